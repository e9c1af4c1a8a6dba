"""How well `stability` says, from a window alone, whether its crop survives every shift.

Prints, for every score and setting, the expected calibration error (ECE, ten bins of equal width)
of all windows and of those whose stability is not 0; for every score the reliability table, with
95 % Clopper-Pearson intervals; and what a threshold on the stability keeps. Windows are the centres
of photographs at two scales, whole and cut into four: tiles of one photograph are not independent,
which the intervals ignore.

    --figure FILE   the reliability diagram, in the format that the suffix names
    --fit           refit the coefficients in rics_transforms/survival.py, and print them

The fit sees only the photographs of scikit-image, never those given by --photos.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from math import exp, log
from pathlib import Path
from typing import NamedTuple

import scenes
import torch
from rich.console import Console
from rich.table import Table
from stability import scores
from torch import Tensor

from rics_transforms import Score
from rics_transforms.certificates import certify
from rics_transforms.data import photos
from rics_transforms.engine.geometry import Geometry
from rics_transforms.survival import Evidence, Fit, fit_of, observe, survival
from rics_transforms.verification.statistics import clopper_pearson

SETTINGS = ((256, 224), (224, 180), (224, 140), (96, 80))  # window, crop
DELTAS = (1, 3, 5, 9)
BINS = 10
THRESHOLDS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99)

FIT_SETTINGS = (*SETTINGS, (128, 104), (160, 64), (40, 32))
FIT_DELTAS = (1, 2, 3, 5, 9, 15)
FIT_SCENES = 500  # per setting, at least
FITTED = {"lattice": 1, "lattice of saliency": 1, "mexican_hat": 3, "saliency": 1}  # smooth levels


class Sample(NamedTuple):
    """Windows of one size, what they show, and the largest shift that their crops survive."""

    geometry: Geometry
    seen: Evidence
    radius: Tensor


def sample(tiles: Sequence[Tensor], n: int, k: int, score: Score, reach: int) -> Sample:
    """Look at the middle windows of scenes, and certify the scenes up to `reach`."""
    geometry = Geometry.of((n, n), (k, k), score, cyclic=False)
    seen = [observe(x[None, None, :, reach:-reach, reach:-reach], geometry, score) for x in tiles]
    radius = [certify(x, k, reach, n=n, score=score).radius for x in tiles]
    columns = zip(*seen, strict=True)
    return Sample(geometry, Evidence(*map(torch.cat, columns)), torch.tensor(radius))


def outcomes(part: Sample, delta: int, fit: Fit) -> tuple[Tensor, Tensor]:
    """Predicted stability, and whether the crop did survive, as float64."""
    return survival(part.seen, part.geometry, delta, fit), (part.radius >= delta).double()


def possible(part: Sample, deltas: Iterable[int]) -> list[int]:
    """The deltas under which a crop can survive."""
    return [delta for delta in deltas if 2 * delta < min(part.geometry.crops)]


# --- fitting -------------------------------------------------------------------------------------


def fit(score: Score, levels: int) -> Fit:
    """Maximum likelihood over all fit settings and deltas."""
    from scipy.optimize import minimize

    reach = max(FIT_DELTAS)
    parts = []
    for n, k in FIT_SETTINGS:
        tiles = [tile for _, tile in photos.scenes(n + 2 * reach, minimum=FIT_SCENES)]
        parts.append(sample(tiles, n, k, score, reach))

    def loss(values: Sequence[float]) -> float:
        pairs = [outcomes(p, d, _unpack(values)) for p in parts for d in possible(p, FIT_DELTAS)]
        predicted, kept = (torch.cat(column) for column in zip(*pairs, strict=True))
        chance = predicted[predicted > 0].clamp(1e-9, 1 - 1e-9)
        total = torch.nn.functional.binary_cross_entropy(chance, kept[predicted > 0])
        return float(total) + 1e-5 * sum(value**2 for value in values)

    start = [log(3.0), 1.5, 1.0, log(10.0), 1.0, *[log(5.0)] * levels]
    return _unpack(minimize(loss, start, method="BFGS").x)


def _unpack(values: Sequence[float]) -> Fit:
    below, rise, pull, above, steep, *skipped = map(float, values)
    return Fit((exp(below), rise, exp(pull)), (exp(above), steep), tuple(map(exp, skipped)))


# --- tables --------------------------------------------------------------------------------------


def bins(predicted: Tensor) -> list[Tensor]:
    """Which windows are in each bin of equal width."""
    number = (predicted * BINS).long().clamp(max=BINS - 1)
    return [number == i for i in range(BINS)]


def ece(predicted: Tensor, kept: Tensor) -> float:
    """Expected calibration error: mean distance of predicted and observed, by bins."""
    gaps = [(predicted[here].sum() - kept[here].sum()).abs() for here in bins(predicted)]
    return float(sum(gaps)) / len(predicted)


def windows(options: argparse.Namespace, size: int) -> list[Tensor]:
    """Every photograph whole, and cut into four at twice the scale: uint8 [3, size, size] each."""
    fine = scenes.load(options, 2 * size).unfold(2, size, size).unfold(3, size, size)
    quarters = fine.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
    return [*scenes.load(options, size), *quarters]


def errors(samples: dict[str, list[Sample]]) -> Table:
    """The ECE of every score, setting and delta."""
    count = len(next(iter(samples.values()))[0].radius)
    table = Table(title=f"ECE of all windows / of those that can survive: {count} per setting")
    for header in ("score", "n, k", *(f"D = {delta}" for delta in DELTAS), "all D"):
        table.add_column(header, justify="right")
    for name, parts in samples.items():
        for (n, k), part in zip(SETTINGS, parts, strict=True):
            single = {d: outcomes(part, d, fit_of(scores()[name])) for d in possible(part, DELTAS)}
            cells = [_error(*single[d]) if d in single else "" for d in DELTAS]
            table.add_row(name, f"{n}, {k}", *cells, _error(*_joined(single.values())))
    return table


def _error(predicted: Tensor, kept: Tensor) -> str:
    able = predicted > 0
    return f"{ece(predicted, kept):.3f} / {ece(predicted[able], kept[able]):.3f}"


def _joined(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    predicted, kept = (torch.cat(column) for column in zip(*pairs, strict=True))
    return predicted, kept


def pooled(name: str, parts: list[Sample]) -> tuple[Tensor, Tensor]:
    """Predictions and outcomes of a score over all settings and deltas."""
    known = fit_of(scores()[name])
    return _joined(outcomes(part, d, known) for part in parts for d in possible(part, DELTAS))


class Bin(NamedTuple):
    """The windows of one bin: how many, their mean stability, and the share that survived."""

    count: int
    predicted: float
    observed: float
    low: float
    high: float


def reliability(predicted: Tensor, kept: Tensor) -> list[Bin]:
    """One entry for every bin that is not empty."""
    found = []
    for here in bins(predicted):
        if count := int(here.sum()):
            survived = float(kept[here].sum())
            mean, interval = float(predicted[here].mean()), clopper_pearson(survived, count)
            found.append(Bin(count, mean, survived / count, *interval))
    return found


def diagram(name: str, predicted: Tensor, kept: Tensor) -> Table:
    table = Table(title=f"{name}: reliability, all settings; ECE {ece(predicted, kept):.3f}")
    for header in ("windows", "predicted", "observed", "95 % interval"):
        table.add_column(header, justify="right")
    for row in reliability(predicted, kept):
        interval = f"{row.low:.3f} - {row.high:.3f}"
        table.add_row(str(row.count), f"{row.predicted:.3f}", f"{row.observed:.3f}", interval)
    return table


def abstention(part: Sample, known: Fit, title: str) -> Table:
    """How much is left, and how robust it is, if images below a threshold are set aside."""
    table = Table(title=f"{title}: share of windows kept / share of those that survive (interval)")
    for header in ("stability at least", *(f"D = {delta}" for delta in DELTAS)):
        table.add_column(header, justify="right")
    for threshold in THRESHOLDS:
        cells = []
        for delta in DELTAS:
            predicted, kept = outcomes(part, delta, known)
            chosen = kept[predicted >= threshold]
            low, high = clopper_pearson(float(chosen.sum()), len(chosen))
            share = f"{len(chosen) / len(kept):.2f} / {chosen.mean():.3f}"
            cells.append(f"{share} ({low:.3f}-{high:.3f})")
        table.add_row(f"{threshold}", *cells)
    return table


def figure(samples: dict[str, list[Sample]], path: Path) -> None:
    """Reliability diagrams side by side: observed against predicted, the size of dots by count."""
    from matplotlib.figure import Figure

    columns = 4
    rows = -(-len(samples) // columns)
    page = Figure(figsize=(2.8 * columns, 3.4 * rows), layout="constrained")
    axes = list(page.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for plot, (name, parts) in zip(axes, samples.items(), strict=False):
        found = reliability(*pooled(name, parts))
        x, y = [row.predicted for row in found], [row.observed for row in found]
        spread = [[r.observed - r.low for r in found], [r.high - r.observed for r in found]]
        plot.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        plot.errorbar(x, y, spread, fmt="none", color="tab:blue", linewidth=1.5)
        plot.scatter(x, y, [15 + 80 * r.count / sum(b.count for b in found) for r in found])
        plot.set_title(f"{name}\nECE {ece(*pooled(name, parts)):.3f}", fontsize=10)
    for plot in axes[len(samples) :]:
        plot.set_axis_off()
    page.supxlabel("stability, from the window alone")
    page.supylabel("share of windows whose crop survived every shift")
    page.savefig(path)


def main() -> None:
    parser = scenes.parser(__doc__)
    parser.add_argument("--figure", type=Path, help="where to draw the reliability diagram")
    parser.add_argument("--fit", action="store_true", help="refit the coefficients, and stop")
    options = parser.parse_args()
    if options.fit:
        for name, levels in FITTED.items():
            print(f"{name!r}: {fit(scores()[name], levels)}", flush=True)
        return
    console, reach = Console(width=150), max(DELTAS)
    samples: dict[str, list[Sample]] = {name: [] for name in scores()}
    for n, k in SETTINGS:
        tiles = windows(options, n + 2 * reach)
        for name, score in scores().items():
            samples[name].append(sample(tiles, n, k, score, reach))
    console.print(errors(samples))
    for name, parts in samples.items():
        console.print(diagram(name, *pooled(name, parts)))
    for name in ("lattice", "hash"):
        title = f"{name}, n {SETTINGS[0][0]}, k {SETTINGS[0][1]}"
        console.print(abstention(samples[name][0], fit_of(scores()[name]), title))
    if options.figure:
        figure(samples, options.figure)


if __name__ == "__main__":
    main()
