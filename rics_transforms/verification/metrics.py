"""The metrics of one image: a number from 0 to 1 each, computed from its record.

A metric is computed over some views of a record, such as those shifted by at most D pixels; the
first is always the unshifted one. `rows` has the means over images, intervals and bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any, Literal

from rics_transforms.shifts.base import Move
from rics_transforms.verification.records import Record

Subject = Literal["crop", "crop within 2 px", "class", "neighbour", "layer"]


FLAGS = frozenset(
    {"adversarial_robustness", "accuracy", "top5_accuracy", "certified_accuracy", "jagged_images"}
)
"""The metrics that are yes or no for every image."""


ONCE = frozenset({"accuracy", "top5_accuracy"})
"""The metrics of the unshifted view alone, the same for every delta."""


NEAR = 2  # pixels: what "within 2 px" means


TOLERANCE = 0.25
"""Pixels along either axis up to which crops lie at the same place; whole places are the same only
if they are equal. A crop at a fraction of a pixel that follows its scene is off by a few hundredths
of a pixel, one that does not, by whole pixels; and a crop at whole pixels has to be half a pixel
off when its window moves by half a pixel. A quarter tells these apart."""


ROBUSTNESS = "adversarial_robustness"


CONSISTENCY = "consistency"


@dataclass(frozen=True)
class Views:
    """Some views of a record, by index, and how far each was moved; the unshifted one is first."""

    index: tuple[int, ...]
    moves: tuple[Move, ...]

    @classmethod
    def within(cls, moves: Sequence[Move], delta: float | None) -> Views:
        """The views moved by at most `delta` pixels along either axis; None: all."""
        near = [i for i, m in enumerate(moves) if delta is None or max(map(abs, m)) <= delta]
        return cls(tuple(near), tuple(moves[i] for i in near))


@dataclass(frozen=True)
class Metric:
    """A named measure of one image.

    Attributes:
        name: of the measure.
        subject: what is compared between views.
        meaning: its mean over images, in words.
        value: computes it; None if the record lacks what it needs.
    """

    name: str
    subject: Subject
    meaning: str
    value: Callable[[Record, Views], float | None]


# --- what is compared between views --------------------------------------------------------------


def crops(record: Record) -> Sequence[Any]:
    """For every view whether its crop lies where the unshifted view's does in the scene.

    Where places cannot be compared, for every view the identity of its crop's pixels.
    """
    return _within(record, TOLERANCE) or record.input


def classes(record: Record) -> Sequence[Any] | None:
    """For every view the top-1 class."""
    return _per_view(record, record.predictions)


def neighbours(record: Record) -> Sequence[Any] | None:
    """For every view the nearest image of the gallery."""
    return _per_view(record, record.neighbours)


def _near(record: Record) -> Sequence[Any] | None:
    """For every view whether its crop lies within 2 px of the unshifted view's."""
    return _within(record, NEAR)


def _within(record: Record, reach: float) -> list[bool] | None:
    """For every view whether its crop is this near the unshifted view's; None without places."""
    if not record.places:
        return None
    near = [distance(place, record.places[0]) <= reach for place in record.places]
    return [near[i] for i in record.place]


def distance(a: Move, b: Move) -> float:
    """Between two places, along the axis on which they differ more."""
    return max(abs(a[0] - b[0]), abs(a[1] - b[1]))


def _per_view(record: Record, per_input: Sequence[Any]) -> Sequence[Any] | None:
    return [per_input[i] for i in record.input] if per_input else None


# --- equations 1 and 2 ---------------------------------------------------------------------------

Seen = Callable[[Record], Sequence[Any] | None]


def _kept(seen: Seen, reduce: Callable[[list[bool]], float]) -> Callable[..., float | None]:
    """Reduces, over views, whether each leads to the same as the unshifted one."""

    def value(record: Record, views: Views) -> float | None:
        per_view = seen(record)
        if per_view is None:
            return None
        first = per_view[views.index[0]]
        return float(reduce([per_view[i] == first for i in views.index]))

    return value


# --- one class and its probability ---------------------------------------------------------------


def _accuracy(record: Record, _: Views) -> float | None:
    if not record.predictions or record.label is None:
        return None
    return float(record.predictions[0] == record.label)


def _top5_accuracy(record: Record, _: Views) -> float | None:
    return float(record.top5[0]) if record.top5 else None


def _certified_accuracy(record: Record, views: Views) -> float | None:
    per_view = classes(record)
    if per_view is None or record.label is None:
        return None
    return float(all(per_view[i] == record.label for i in views.index))


def _class_change(record: Record, views: Views) -> float | None:
    per_view = classes(record)
    if per_view is None or len(views.index) < 2:
        return None
    return fmean(per_view[i] != per_view[0] for i in views.index[1:])


def _absolute_change(record: Record, views: Views) -> float | None:
    per_view = _per_view(record, record.confidence)
    if per_view is None or len(views.index) < 2:
        return None
    return fmean(abs(per_view[i] - per_view[0]) for i in views.index[1:])


# --- along a path of one-pixel shifts ------------------------------------------------------------


def path(views: Views) -> list[int]:
    """The views moved by whole pixels horizontally, left to right; empty unless by one each."""
    moved = zip(views.index, views.moves, strict=True)
    across = {m[1]: i for i, m in moved if m[0] == 0 and float(m[1]).is_integer()}
    if any(b - a != 1 for a, b in pairwise(sorted(across))):
        return []
    return [across[dx] for dx in sorted(across)]


def _steps(record: Record, views: Views) -> list[bool] | None:
    """For every step of the path whether the label enters or leaves the top 5."""
    per_view = _per_view(record, record.top5)
    steps = list(pairwise(path(views)))
    if per_view is None or not steps:
        return None
    return [per_view[a] != per_view[b] for a, b in steps]


def _jaggedness(record: Record, views: Views) -> float | None:
    steps = _steps(record, views)
    return None if steps is None else fmean(steps)


def _jagged(record: Record, views: Views) -> float | None:
    steps = _steps(record, views)
    return None if steps is None else float(any(steps))


# --- layers --------------------------------------------------------------------------------------


def _layer(name: str) -> Callable[[Record, Views], float | None]:
    """The mean over the shifted views."""

    def value(record: Record, views: Views) -> float | None:
        per_view = _per_view(record, getattr(record, name))
        if per_view is None or len(views.index) < 2:
            return None
        return fmean(per_view[i] for i in views.index[1:])

    return value


# --- how far off, in pixels ----------------------------------------------------------------------


@dataclass(frozen=True)
class Quantile:
    """A named quantile of the localisation errors of all images, see `localisation_errors`.

    Attributes:
        name: of the measure.
        subject: what is compared between views.
        meaning: in words.
        share: of the errors that are no larger.
    """

    name: str
    subject: Subject
    meaning: str
    share: float


def localisation_errors(record: Record, views: Views) -> list[float]:
    """Distances in pixels of the shifted views' crops from the unshifted one's place in the scene.

    Those above 2 px are left out: such a crop does not follow the scene inaccurately, it follows
    something else, which "crop within 2 px" counts.
    """
    if not record.places:
        return []
    found = (distance(record.places[record.place[i]], record.places[0]) for i in views.index[1:])
    return [error for error in found if error <= NEAR]


# --- all of them ---------------------------------------------------------------------------------

_SEEN: dict[Subject, tuple[Seen, str]] = {
    "crop": (crops, "the crop"),
    "crop within 2 px": (_near, "where the crop lies to within 2 px"),
    "class": (classes, "the class"),
    "neighbour": (neighbours, "the nearest neighbour"),
}


METRICS: tuple[Metric, ...] = (
    *(Metric(ROBUSTNESS, subject, f"share of images of which no shift changes {what}",
             _kept(see, all))
      for subject, (see, what) in _SEEN.items()),
    *(Metric(CONSISTENCY, subject,
             f"mean share of views, the unshifted one included, that keep {what}",
             _kept(see, fmean))
      for subject, (see, what) in _SEEN.items()),
    Metric("accuracy", "class", "share of unshifted images with the right class", _accuracy),
    Metric("top5_accuracy", "class",
           "share of unshifted images with the right class among the first five", _top5_accuracy),
    Metric("certified_accuracy", "class",
           "share of images with the right class on every shift", _certified_accuracy),
    Metric("class_change", "class", "P(top-1 change): mean share of shifts that change the class",
           _class_change),
    Metric("absolute_change", "class",
           "mean absolute change of the probability of the unshifted image's class",
           _absolute_change),
    Metric("jaggedness", "class", "share of one-pixel steps to the right at which the true class "
           "enters or leaves the top 5", _jaggedness),
    Metric("jagged_images", "class", "share of images with such a step", _jagged),
    Metric("feature_difference", "layer", "mean relative change of the layer's features",
           _layer("feature_difference")),
    Metric("nonshiftability", "layer",
           "share of feature maps whose global sum changes by more than 20 %",
           _layer("nonshiftability")),
)  # fmt: skip
"""Every metric. Adversarial robustness and consistency are equations 2 and 1 of Shifman & Weiss
2024; P(top-1 change) and the mean absolute change are of Azulay & Weiss 2019, jaggedness and
nonshiftability of their preprint of 2018; certified accuracy and the feature difference of
Michaeli, Michaeli & Soudry 2023."""


QUANTILES: tuple[Quantile, ...] = (
    Quantile("median_localisation_error", "crop",
             "median distance of crops within 2 px from the unshifted one's place, in pixels", 0.5),
    Quantile("p95_localisation_error", "crop",
             "95th percentile of these distances, in pixels", 0.95),
)  # fmt: skip
"""The metrics in pixels, for crops or windows at fractions of a pixel. Every image counts the same,
however many of its crops are within 2 px."""


LENGTHS = frozenset(quantile.name for quantile in QUANTILES)
"""The metrics in pixels; all others are fractions from 0 to 1."""
