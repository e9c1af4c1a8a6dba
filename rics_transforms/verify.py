"""Measure a crop rule on real scenes, and hold the result against what theory says.

    scenes -> records (one per image) -> rows (statistics with intervals and verdicts) -> pictures
              verify                     ShiftReport.from_records                         report.py

No number here is compared without its interval: see `verdict`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from math import fsum
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from rics_transforms import theory
from rics_transforms.crop import crop
from rics_transforms.exact import Size, integer_image
from rics_transforms.scores import FunctionScore, Score, get_score
from rics_transforms.selection import select, select_windows

Progress = Callable[[Iterable[Any]], Iterable[Any]]
Verdict = Literal["holds", "undecided", "violated"]

ROBUSTNESS = "adversarial_robustness"
CONSISTENCY = "consistency"
CYCLIC = "cyclic_equality"

ALL_CYCLIC = 32
"""Up to this side every cyclic shift is tried, beyond it a sample of them."""


# --- what is measured of one image ---------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """How the shifts within `delta` pixels of one image fared; None stands for cyclic shifts.

    Attributes:
        delta: largest shift along either axis.
        shifts: how many were tried, the unshifted one included: ``(2 delta + 1)^2``.
        kept: how many of them lead to the crop of the unshifted window.
        crops: how many different crops they lead to.
    """

    delta: int | None
    shifts: int
    kept: int
    crops: int

    @property
    def all(self) -> bool:
        """Whether no shift changes the crop."""
        return self.kept == self.shifts


@dataclass(frozen=True)
class Record:
    """One image. All positions are (top, left) in pixels of the scene.

    Attributes:
        id: its name.
        window: the unshifted window.
        origin: the crop that the unshifted window chooses.
        moved: the smallest shift (dy, dx) that changes the crop; None if none does.
        moved_origin: the crop that the window moved by `moved` chooses; None if `moved` is.
        kept: one entry per delta, in the order of the deltas.
    """

    id: str
    window: Size
    origin: Size
    moved: Size | None
    moved_origin: Size | None
    kept: tuple[Kept, ...]


def verify(
    images: Iterable[Tensor | tuple[str, Tensor]],
    k: int | Sequence[int],
    *,
    n: int | Sequence[int] | None = None,
    score: str | Score = "lattice",
    deltas: Sequence[int] = (1, 3, 5, 9),
    shifts: Literal["realistic", "cyclic"] = "realistic",
    samples: int = 64,
    seed: int = 0,
    progress: Progress | None = None,
    command: str | None = None,
) -> ShiftReport:
    """Shift a window over every scene, and count how often it chooses the same crop.

    Realistic shifts: the window in the middle of a scene is moved by every (dy, dx) within the
    largest delta, so that real pixels enter on one side as others leave on the other. A crop is
    kept if it is cut from the same place of the scene. Nothing is sampled: each record is exact.

    Cyclic shifts: the window is an image by itself and is rolled; a crop is kept if it has the same
    pixels. All shifts of windows up to 32 px are tried, of larger ones `samples` random ones and
    the four corners, the same for every image.

    Args:
        images: scenes ``[C, H, W]``, uint8 (or what `integer_image` reads), or pairs of a name and
            a scene. They are gone through once. A `source` and a `recipe` that the iterable has
            (those of `rics_transforms.photos` do) are quoted in the report.
        k: crop side in pixels, or ``(height, width)``.
        n: window side in pixels, or ``(height, width)``. Default: what the largest delta leaves of
            the first scene; with cyclic shifts all of it.
        score: a registered name or a `Score`.
        deltas: largest realistic shifts in pixels; each has rows of its own.
        shifts: "realistic" or "cyclic".
        samples: how many random cyclic shifts.
        seed: of those.
        progress: wraps the iteration over the images, such as `rich.progress.track`.
        command: what to run to make this report again. Default: this call.

    Returns:
        A `ShiftReport`. Equal arguments make equal reports.

    Raises:
        ValueError: without images, for a scene that is too small, a `k` larger than the window, or
            a delta below 0.
        TypeError: for images that are no tensors.

    The bounds assume Definition 1 of Shifman & Weiss 2024 (Theorems 1 and 3, Eq. 4), the intervals
    that the scenes are independent. Theorem 2, for cyclic shifts, assumes neither.

    Example:
        >>> noise = torch.Generator().manual_seed(0)
        >>> images = [torch.randint(256, (3, 34, 34), generator=noise).byte() for _ in range(50)]
        >>> for row in verify(images, 20, deltas=[1], score="hash").rows:
        ...     print(row.metric, round(row.value, 3), round(row.bound, 3), row.verdict)
        adversarial_robustness 0.56 0.538 undecided
        consistency 0.827 0.735 undecided
    """
    if shifts not in ("realistic", "cyclic"):
        raise ValueError(f"Expected `shifts` to be 'realistic' or 'cyclic', but got {shifts!r}.")
    rule, size = get_score(score), theory.as_pair(k, "k")
    reach = _as_deltas(deltas) if shifts == "realistic" else ()
    window = None if n is None else theory.as_pair(n, "n")
    records: list[Record] = []
    for number, item in enumerate(images if progress is None else progress(images)):
        name, scene = as_scene(item, number)
        if window is None:
            window = _largest_window(scene, reach)
        if not records:
            theory.crop_positions(window, size)
        corner = _centre_window(name, scene, window, reach)
        pixels = integer_image(scene)[None, None]
        if shifts == "realistic":
            records.append(_realistic(name, pixels, corner, window, size, rule, reach))
        else:
            moves = _cyclic_shifts(window, samples, seed)
            records.append(_cyclic(name, pixels, corner, window, size, rule, moves))
    if not records or window is None:
        raise ValueError("Expected `images` to hold at least one scene, but got none.")
    settings = _settings(window, size, rule, reach, shifts, samples, seed)
    settings["source"] = str(getattr(images, "source", "given by the caller"))
    settings["command"] = command or _call(settings, getattr(images, "recipe", "images"))
    return ShiftReport.from_records(records, settings)


def _realistic(
    name: str, pixels: Tensor, corner: Size, n: Size, k: Size, score: Score, deltas: Sequence[int]
) -> Record:
    """All windows of one scene ``[1, 1, C, H, W]`` whose middle one lies at `corner`."""
    most = max(deltas)
    top, left = corner[0] - most, corner[1] - most
    seen = pixels[..., top : top + n[0] + 2 * most, left : left + n[1] + 2 * most]
    origins = select_windows(seen, n, k, score)[0] + torch.tensor([top, left])
    origin = origins[most, most]
    same = (origins == origin).all(-1)
    move = _smallest_change(same, most)
    moved = None if move is None else _pair(origins[most + move[0], most + move[1]])
    kept = []
    for delta in deltas:
        inner = slice(most - delta, most + delta + 1)
        crops = len(origins[inner, inner].flatten(0, 1).unique(dim=0))
        kept.append(Kept(delta, (2 * delta + 1) ** 2, int(same[inner, inner].sum()), crops))
    return Record(name, corner, _pair(origin), move, moved, tuple(kept))


def _smallest_change(same: Tensor, most: int) -> Size | None:
    """The smallest shift not marked in ``[2 D + 1, 2 D + 1]``, the first in raster order."""
    changes = (~same).nonzero() - most
    if len(changes) == 0:
        return None
    return _pair(changes[changes.abs().amax(1).argmin()])


def _cyclic(
    name: str, pixels: Tensor, corner: Size, n: Size, k: Size, score: Score, moves: list[Size]
) -> Record:
    """One window rolled by each of the moves, of which the first is none."""
    top, left = corner
    image = pixels[0, 0, :, top : top + n[0], left : left + n[1]]
    rolled = torch.stack([image.roll(move, (-2, -1)) for move in moves])
    origins = select(rolled[:, None], k, score, cyclic=True)
    crops = crop(rolled, origins, k, cyclic=True).flatten(1)
    same = (crops == crops[0]).all(1)
    changed = (~same).nonzero()[:, 0].tolist()
    different = 1 + len(crops[changed].unique(dim=0)) if changed else 1
    move = moves[changed[0]] if changed else None
    moved = _pair(origins[changed[0]] + torch.tensor(corner)) if changed else None
    kept = Kept(None, len(moves), int(same.sum()), different)
    return Record(name, corner, _pair(origins[0] + torch.tensor(corner)), move, moved, (kept,))


def _cyclic_shifts(n: Size, samples: int, seed: int) -> list[Size]:
    """All shifts of a small torus; of a larger one the corners and a seeded sample."""
    if max(n) <= ALL_CYCLIC:
        return list(product(range(n[0]), range(n[1])))
    draw = torch.Generator().manual_seed(seed)
    down, across = (torch.randint(side, (samples,), generator=draw).tolist() for side in n)
    corners = product((0, n[0] - 1), (0, n[1] - 1))
    return [*corners, *zip(down, across, strict=True)]


# --- statistics ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One measured number. Values are fractions, never percent.

    Attributes:
        delta: largest shift in pixels; None for cyclic shifts.
        metric: "adversarial_robustness": share of images whose crop no shift changes;
            "consistency": mean share of shifts, the unshifted one included, that keep the crop;
            "cyclic_equality": share of images whose crop no cyclic shift changes.
        value: the measurement.
        ci_low: lower end of its 95 % interval.
        ci_high: upper end.
        bound: what theory promises at least: Theorems 1 and 3, Eq. 4, Theorem 2.
        expected: what theory expects of a pseudo-random score: for order 1 exactly that, for
            higher orders that or more.
        limit: for robustness, what no rule can exceed on average over window positions; for
            consistency, what a lattice tends to as its order grows (no universal ceiling).
        verdict: see `verdict`.
        count: number of images.
    """

    delta: int | None
    metric: str
    value: float
    ci_low: float
    ci_high: float
    bound: float
    expected: float
    limit: float
    verdict: Verdict
    count: int


@dataclass(frozen=True)
class ShiftReport:
    """What `verify` found: the settings, one `Row` per metric and delta, one `Record` per image."""

    settings: dict[str, Any]
    rows: tuple[Row, ...]
    records: tuple[Record, ...]

    @classmethod
    def from_records(cls, records: Iterable[Record], settings: dict[str, Any]) -> ShiftReport:
        """The statistics of records that were made under these settings.

        Args:
            records: one per image, all with the same deltas.
            settings: those of a report; n, k and order, as pairs, decide what theory says.

        Raises:
            ValueError: without records.

        Example:
            >>> record = Record("a", (1, 1), (3, 2), None, None, (Kept(1, 9, 9, 1),))
            >>> settings = {"n": [32, 32], "k": [20, 20], "order": [1, 1]}
            >>> row = ShiftReport.from_records([record], settings).rows[0]
            >>> row.value, round(row.ci_low, 3), row.verdict
            (1.0, 0.025, 'undecided')
        """
        records = tuple(records)
        if not records:
            raise ValueError("Expected `records` to hold at least one image, but got none.")
        n, k, order = (tuple(settings[key]) for key in ("n", "k", "order"))
        columns = list(zip(*(record.kept for record in records), strict=True))
        if columns[0][0].delta is None:
            rows = [_cyclic_row(columns[0])]
        else:
            makers = (_robustness_row, _consistency_row)
            rows = [make(column, n, k, order) for make in makers for column in columns]
        return cls({**settings, "images": len(records)}, tuple(rows), records)

    def to_json(self) -> str:
        """Settings and rows as JSON; the same report gives the same text."""
        content = {"settings": self.settings, "rows": [asdict(row) for row in self.rows]}
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def save(
        self, directory: str | Path, scenes: Iterable[Tensor | tuple[str, Tensor]] | None = None
    ) -> Path:
        """Write report.json and report.html into a directory, which is made if there is none.

        Args:
            directory: where to.
            scenes: the images of the report once more, for pictures of some of them.

        Returns:
            The path of report.html.
        """
        from rics_transforms.report import html

        page = html(self, scenes)
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(self.to_json(), encoding="utf-8")
        (folder / "report.html").write_text(page, encoding="utf-8")
        return folder / "report.html"


def clopper_pearson(successes: float, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval for a probability, or for the mean of fractions, from independent images.

    Exact for counts: it covers the true probability at least as often as `confidence` says. A sum
    of fractions in [0, 1] is put into the same formula; as such a mean varies no more than a share
    of successes of equal mean does, the interval is, if anything, too wide.

    Args:
        successes: how many images, or the sum of their fractions.
        count: how many images there are.
        confidence: between 0 and 1.

    Returns:
        (low, high), fractions.

    Source: Clopper & Pearson 1934.

    Example:
        >>> low, high = clopper_pearson(90, 100)
        >>> round(low, 4), round(high, 4)
        (0.8238, 0.951)
    """
    from scipy.stats import beta  # type: ignore[import-untyped]

    tail, failures = (1 - confidence) / 2, count - successes
    low = 0.0 if successes <= 0 else float(beta.ppf(tail, successes, failures + 1))
    high = 1.0 if failures <= 0 else float(beta.ppf(1 - tail, successes + 1, failures))
    return low, high


def verdict(ci_low: float, ci_high: float, bound: float) -> Verdict:
    """What an interval says about a bound: never a bare comparison of two numbers.

    "holds" if the whole interval lies at or above the bound, "violated" if all of it lies below,
    "undecided" if the bound lies inside. A bound of 1 promises something of every single image, and
    no interval below 1 could confirm it: it holds if no image breaks it.

    Example:
        >>> verdict(0.92, 0.97, 0.91), verdict(0.85, 0.95, 0.91), verdict(0.80, 0.90, 0.91)
        ('holds', 'undecided', 'violated')
    """
    if ci_high < bound:
        return "violated"
    return "holds" if ci_low >= bound or bound == 1 else "undecided"


def _robustness_row(kept: Sequence[Kept], n: Size, k: Size, order: Size) -> Row:
    delta = _delta(kept)
    bound = float(theory.robustness_bound(n, k, delta, order))
    limit = float(theory.robustness_limit(n, k, delta))
    return _row(ROBUSTNESS, delta, [float(entry.all) for entry in kept], bound, bound, limit)


def _consistency_row(kept: Sequence[Kept], n: Size, k: Size, order: Size) -> Row:
    delta = _delta(kept)
    bound = float(theory.consistency_bound(n, k, delta, order))
    expected = float(theory.expected_consistency(n, k, delta, order))
    limit = float(theory.consistency_limit(n, k, delta))
    shares = [entry.kept / entry.shifts for entry in kept]
    return _row(CONSISTENCY, delta, shares, bound, expected, limit)


def _cyclic_row(kept: Sequence[Kept]) -> Row:
    return _row(CYCLIC, None, [float(entry.all) for entry in kept], 1.0, 1.0, 1.0)


def _row(
    metric: str,
    delta: int | None,
    values: list[float],
    bound: float,
    expected: float,
    limit: float,
) -> Row:
    total, count = fsum(values), len(values)
    low, high = clopper_pearson(total, count)
    says = verdict(low, high, bound)
    return Row(delta, metric, total / count, low, high, bound, expected, limit, says, count)


def _delta(kept: Sequence[Kept]) -> int:
    """The delta that all of these share."""
    deltas = {entry.delta for entry in kept}
    delta = kept[0].delta
    if delta is None or len(deltas) > 1:
        raise ValueError(f"Expected `records` to share their deltas, but got {deltas}.")
    return delta


# --- arguments and settings ----------------------------------------------------------------------


def as_scene(item: Tensor | tuple[str, Tensor], number: int) -> tuple[str, Tensor]:
    """Name and pixels of one item of `images`; its number is the name of one without."""
    name, scene = item if isinstance(item, tuple) else (str(number), item)
    if not isinstance(scene, Tensor):
        raise TypeError(
            "Expected `images` to hold tensors or (name, tensor) pairs, "
            f"but got {type(scene).__name__}."
        )
    if scene.ndim != 3 or 0 in scene.shape:
        raise ValueError(
            f"Expected scenes of shape [C, H, W], but got {tuple(scene.shape)} for {name!r}."
        )
    return str(name), scene


def _as_deltas(deltas: Sequence[int]) -> tuple[int, ...]:
    expected = f"Expected `deltas` to be one or more ints of at least 0, but got {deltas!r}."
    if not isinstance(deltas, Sequence) or isinstance(deltas, str):
        raise TypeError(expected)
    if any(isinstance(d, bool) or not isinstance(d, int) for d in deltas):
        raise TypeError(expected)
    if not deltas or min(deltas) < 0:
        raise ValueError(expected)
    return tuple(sorted(set(deltas)))


def _largest_window(scene: Tensor, deltas: Sequence[int]) -> Size:
    margin = 2 * max(deltas, default=0)
    height, width = scene.shape[-2:]
    if min(height, width) <= margin:
        raise ValueError(
            f"Expected scenes of more than {margin} pixels per side for shifts within "
            f"{margin // 2}, but got {(height, width)}."
        )
    return height - margin, width - margin


def _centre_window(name: str, scene: Tensor, n: Size, deltas: Sequence[int]) -> Size:
    """Where the middle window lies, if there is room for all of them."""
    most = max(deltas, default=0)
    needed = n[0] + 2 * most, n[1] + 2 * most
    height, width = scene.shape[-2:]
    if height < needed[0] or width < needed[1]:
        raise ValueError(
            f"Expected scenes of at least {needed} pixels, for windows of {n} shifted within "
            f"{most}, but got {(height, width)} for {name!r}."
        )
    return (height - n[0]) // 2, (width - n[1]) // 2


def _settings(
    n: Size, k: Size, score: Score, deltas: Sequence[int], shifts: str, samples: int, seed: int
) -> dict[str, Any]:
    from rics_transforms import __version__  # the package is complete only when this is called

    return {
        "n": list(n),
        "k": list(k),
        "score": score.name if isinstance(score, FunctionScore) else repr(score),
        "order": list(score.order_for(n, k)),
        "deltas": list(deltas),
        "shifts": shifts,
        "samples": samples,
        "seed": seed,
        "version": __version__,
    }


def _call(settings: dict[str, Any], images: str) -> str:
    """The Python call that makes the same report."""
    n, k, score, deltas = (settings[key] for key in ("n", "k", "score", "deltas"))
    score = score if score.endswith(")") else repr(score)
    options = f"n={tuple(n)}, score={score}, "
    options += f"deltas={deltas}" if deltas else f"shifts='cyclic', samples={settings['samples']}"
    return f"verify({images}, {tuple(k)}, {options}, seed={settings['seed']})"


def _pair(x: Tensor) -> Size:
    first, second = x.tolist()
    return first, second
