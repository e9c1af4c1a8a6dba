"""Shifts by fractions of a pixel, as cameras move: how whole and sub-pixel crops cope with them.

ImageNet photographs, enlarged to four times the windows' resolution (bicubic, antialiased: they
have too few pixels), seen by `Camera`: means of 4 x 4 pixels, as uint8. The tables: whether
EfficientNet-Lite0 and SqueezeNet 1.0 keep their class under six moves; where the crops of every
score lie under all 81 moves by quarters within 1 px, alone, with noise, and with JPEG; and
fractional shifts of photographs that wrap around, the whole photograph being the crop, shifted by
the Fourier shift theorem: six, rounded to grey levels, and a sample of each of the grids on which
alias-free networks are certified, not rounded. And what whole shifts leave the same.
95 % Clopper-Pearson intervals, p of McNemar's exact test against the centre crop; independent
photographs are assumed. Prints Markdown. Records are kept in --records, so that an interrupted run
resumes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import squeezenet
import torch
from stability import scores
from tables import cell, heading, print_head, print_row
from torch import Tensor
from torchvision.transforms import v2

from rics_transforms import RICSCrop, ShiftReport, verify
from rics_transforms._arguments import Size
from rics_transforms.models import efficientnet
from rics_transforms.models.model import Model
from rics_transforms.shifts.base import Move, Shift, cut, size_of
from rics_transforms.shifts.camera import Camera
from rics_transforms.shifts.cyclic import Grid
from rics_transforms.shifts.disturbances import Jpeg, Noise
from rics_transforms.shifts.fourier import fourier_shift
from rics_transforms.verification.metrics import NEAR, QUANTILES, TOLERANCE, distance
from rics_transforms.verification.rows import find

N, K = 256, 224
SIX = Camera(2, steps=((2, 2), (2, 0), (1, 3), (-2, 1), (6, 2), (3, -5)))
GRIDS = {
    "81 moves": Camera(1),
    "+ noise 4": Camera(1, then=Noise(4)),
    "+ JPEG 90": Camera(1, then=Jpeg(90)),
}
KINDS: tuple[Literal["integer", "half", "fractional"], ...] = ("integer", "half", "fractional")
MOVES = 16  # of each of these grids
ROBUST = "adversarial_robustness"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, help="use at most this many photographs")
    parser.add_argument("--grid", type=int, default=20, help="this many of them for the 81 moves")
    parser.add_argument("--torus", type=int, default=40, help="and for the cyclic grids")
    parser.add_argument("--records", type=Path, default=Path("records"), help="where records go")
    options = parser.parse_args()
    torch.set_num_threads(1)  # small batches gain nothing from more
    models = {"EfficientNet-Lite0": efficientnet.lite0(), "SqueezeNet 1.0": squeezenet.model()}
    run = Run(options.limit, options.records)
    print_classes(run, models)
    print_torus(run, models)
    print_grids(run.of(options.torus), models)
    print_whole_shifts(options.limit)
    print_scores(run.of(options.grid))


# --- what is measured ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Torus(Shift):
    """Six cyclic shifts, three of them by halves, of windows that are rounded to grey levels."""

    wraps: ClassVar[bool] = True
    seed: int = 0

    def moves(self, n: Size) -> tuple[Move, ...]:
        rng = np.random.default_rng(self.seed)
        halves = rng.integers(1, 64, (3, 2)) / 2
        return ((0, 0), *map(tuple, [*halves.tolist(), *rng.uniform(0, 32, (3, 2)).tolist()]))

    def _views(self, scene: Tensor, n: Size, rng: np.random.Generator) -> Iterator[Tensor]:
        window = cut(scene, self.corner(size_of(scene), n), n).double()
        for move in self.moves(n):
            yield fourier_shift(window, move).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class Run:
    """How many photographs to measure, and where the records go."""

    limit: int | None
    records: Path

    def of(self, limit: int) -> Run:
        """At most this many photographs."""
        return Run(min(limit, self.limit or limit), self.records)

    def camera(self, shift: Camera, name: str, rule: Any, model: Model | None) -> ShiftReport:
        """A rule on the photographs at the resolution that a camera needs."""
        room = max(shift.room((N, N)))
        return self._measure(squeezenet.Photographs(room, room, self.limit), N, shift, name, rule,
                             model)  # fmt: skip

    def torus(self, name: str, rule: Any, model: Model) -> ShiftReport:
        """A rule on photographs that wrap around."""
        images = squeezenet.Photographs(K, N, self.limit)
        return self._measure(images, K, Torus(), name, rule, model)

    def grid(
        self, kind: Literal["integer", "half", "fractional"], name: str, rule: Any, model: Model
    ) -> ShiftReport:
        """The same under moves of a grid on which alias-free networks are certified."""
        images = squeezenet.Photographs(K, N, self.limit)
        return self._measure(images, K, Grid(kind, MOVES), name, rule, model)

    def _measure(
        self, images: Any, n: int, shift: Shift, name: str, rule: Any, model: Model | None
    ) -> ShiftReport:
        words = f"{self.limit or 'all'} {shift} {name} {model.name if model else ''}"
        file = self.records / f"{''.join(c if c.isalnum() else '-' for c in words)}.jsonl"
        return verify(images, rule, model=model, shifts=shift, n=n, deltas=[1], records=file)


def crops(**options: Any) -> dict[str, Any]:
    """RICS at whole pixels, and at fractions of them where the score has peaks there."""
    rules = {"RICS": RICSCrop(K, **options)}
    if rules["RICS"].score.smooth:
        rules["RICS, sub-pixel"] = RICSCrop(K, subpixel=True, **options)
    return rules


# --- tables --------------------------------------------------------------------------------------


def print_classes(run: Run, models: dict[str, Model]) -> None:
    heading(f"Class kept under all six moves of a camera, %: windows {N}, k {K}")
    rules = {"centre crop": v2.CenterCrop(K), **crops()}
    reports = {(m, r): run.camera(SIX, r, rules[r], models[m]) for m in models for r in rules}
    _print_kept(models, rules, reports)
    heading("Where the crops lie in the scene under these moves")
    print_head("", "within 1/4 px, %", "within 2 px, %", "median error, px", "95th percentile, px")
    first = next(iter(models))
    for rule in crops():
        print_row(rule, *_places(reports[first, rule], None))


def print_torus(run: Run, models: dict[str, Model]) -> None:
    heading(f"Class kept under six fractional shifts of photographs that wrap around, %: n = k {K}")
    rules = {"no defence": v2.CenterCrop(K), **crops(shifts="cyclic")}
    reports = {(m, r): run.torus(r, rules[r], models[m]) for m in models for r in rules}
    _print_kept(models, rules, reports)


def print_grids(run: Run, models: dict[str, Model]) -> None:
    for kind in KINDS:
        heading(
            f"Class kept under {MOVES} cyclic shifts of the {kind} grid of alias-free networks, "
            f"%: n = k {K}"
        )
        rules = {"no defence": v2.CenterCrop(K), **crops(shifts="cyclic")}
        reports = {(m, r): run.grid(kind, r, rules[r], models[m]) for m in models for r in rules}
        _print_kept(models, rules, reports)


def _print_kept(models: Any, rules: Any, reports: dict[tuple[str, str], ShiftReport]) -> None:
    columns = ("photographs", "of all views", "under all", "p", "top-1", "p")
    print_head("model", "crop", *columns, words=2)
    plain = next(iter(rules))
    for model in models:
        for rule in rules:
            report = reports[model, rule]
            p = {c.metric: f"{c.test.p_value:.2g}" for c in reports[model, plain].compare(report)
                 if c.subject == "class"}  # fmt: skip
            kept, right = report.row(ROBUST, "class"), report.row("accuracy", "class")
            same = cell(report.row("consistency", "class"))
            said = (p[ROBUST], p["accuracy"]) if rule != plain else ("", "")
            print_row(model, rule, str(kept.count), same, cell(kept), said[0], cell(right), said[1])


def print_whole_shifts(limit: int | None) -> None:
    heading(f"Scenes of which all nine windows of {N} px within 1 px have the same crop, k {K}")
    print_head("scenes", "crop", "number", "same place", "same pixels", "all but 5 outer", words=2)
    side, noise = N + 2, torch.Generator().manual_seed(0)
    sources = {
        "photographs": [scene for _, scene, _ in squeezenet.Photographs(side, side, limit)],
        "noise": [
            torch.randint(256, (3, side, side), generator=noise).byte() for _ in range(limit or 200)
        ],
    }
    for name, scenes in sources.items():
        for rule, crop in crops().items():
            found = [_same_of_windows(crop, scene) for scene in scenes]
            counts = (str(sum(column)) for column in zip(*found, strict=True))
            print_row(name, rule, str(len(scenes)), *counts)


def _same_of_windows(crop: RICSCrop, scene: Tensor) -> tuple[bool, bool, bool]:
    """Whether all windows have the same place, the same pixels, and the same but for 5 outer."""
    windows = scene.unfold(1, N, 1).unfold(2, N, 1).permute(1, 2, 0, 3, 4)
    places = crop.locate_windows(scene, N)
    same = crop(windows) == crop(windows[1, 1])
    return bool((places == places[1, 1]).all()), bool(same.all()), bool(same[..., 5:-5, 5:-5].all())


def print_scores(run: Run) -> None:
    heading(
        f"Moves by quarters within 1 px, {run.limit} photographs: crops within 1/4 px, and within "
        "2 px of their place, %; median error, 95th percentile, px"
    )
    print_head("score", "crop", *GRIDS, words=2)
    print_row("", "centre crop", *("; ".join(_places_of_centre(c)) for c in GRIDS.values()))
    for name, score in scores().items():
        for rule, crop in crops(score=score).items():
            reports = (run.camera(shift, f"{name}-{rule}", crop, None) for shift in GRIDS.values())
            print_row(name, rule, *("; ".join(_places(report, 1)) for report in reports))


def _places_of_centre(shift: Camera) -> list[str]:
    """The same for the crop that stays in the middle of the window: off by the whole move."""
    errors = [distance(move, (0, 0)) for move in shift.moves((N, N))]
    shares = [100 * np.mean(np.array(errors) <= reach) for reach in (TOLERANCE, NEAR)]
    return [f"{s:.1f}" for s in shares] + [f"{q:.3f}" for q in np.quantile(errors, (0.5, 0.95))]


def _places(report: ShiftReport, delta: int | None) -> list[str]:
    """Shares of views whose crop lies near its place in percent, and errors of these in pixels."""
    shares = [report.row("consistency", crop, delta) for crop in ("crop", "crop within 2 px")]
    errors = [find(report.rows, (q.name, q.subject, delta)) for q in QUANTILES]
    cells = [f"{100 * row.value:.1f}" for row in shares]
    return cells + ["" if row is None else f"{row.value:.3f}" for row in errors]


if __name__ == "__main__":
    main()
