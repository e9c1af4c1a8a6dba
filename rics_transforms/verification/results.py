"""From records to rows: means over images with intervals, compared with what theory says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from math import fsum
from pathlib import Path
from typing import NamedTuple

from rics_transforms import theory
from rics_transforms._arguments import Size
from rics_transforms.shifts.base import Move
from rics_transforms.verification.metrics import (
    CONSISTENCY,
    FLAGS,
    METRICS,
    ONCE,
    ROBUSTNESS,
    Metric,
    Of,
    Views,
)
from rics_transforms.verification.records import Record, merge_records
from rics_transforms.verification.settings import Settings
from rics_transforms.verification.statistics import (
    Paired,
    Uniformity,
    Verdict,
    clopper_pearson,
    mcnemar,
    uniformity,
    verdict,
)


@dataclass(frozen=True)
class Row:
    """One measured number. Values are fractions, never percent.

    Attributes:
        metric: name of a measure, see `metrics.METRICS`: "adversarial_robustness" is the share of
            images of which no shift changes what `of` says, "consistency" the mean share of shifts,
            the unshifted view included, that keep it.
        of: "crop", "class", "neighbour" or "layer".
        delta: largest shift in pixels; None for all shifts.
        value: the measurement.
        ci_low: lower end of its 95 % interval.
        ci_high: upper end.
        bound: what theory promises at least (Theorems 1 to 3, Eq. 4); None where it promises
            nothing.
        expected: what theory expects of a pseudo-random score: for order 1 exactly that of the
            crop, for higher orders that or more.
        limit: for robustness, what no rule can exceed on average over window positions; for
            consistency, what a lattice tends to as its order grows (no universal ceiling).
        verdict: see `statistics.verdict`; None without a bound.
        count: number of images.
    """

    metric: str
    of: Of
    delta: int | None
    value: float
    ci_low: float
    ci_high: float
    bound: float | None
    expected: float | None
    limit: float | None
    verdict: Verdict | None
    count: int


class Forwards(NamedTuple):
    """How often the model ran, and how often it would have, once per view."""

    used: int
    brute_force: int


class Comparison(NamedTuple):
    """One yes-or-no metric of two reports on the same images."""

    metric: str
    of: Of
    delta: int | None
    first: float
    second: float
    test: Paired


@dataclass(frozen=True)
class ShiftReport:
    """What `verify` found: the settings, the statistics, and one `Record` per image.

    Attributes:
        settings: what was measured, and how.
        rows: one per metric and largest shift.
        records: sorted by id, so that a report does not depend on the order of its images.
    """

    settings: Settings
    rows: tuple[Row, ...]
    records: tuple[Record, ...]

    @classmethod
    def from_records(cls, records: Iterable[Record], settings: Settings) -> ShiftReport:
        """The statistics of records that were made under these settings.

        Args:
            records: one per image, in any order.
            settings: those of a report or of a records file.

        Raises:
            ValueError: without records, for an image that comes twice, or records of which some
                have labels, classes or neighbours and others have none.
        """
        ordered = tuple(sorted(records, key=lambda record: record.id))
        if not ordered:
            raise ValueError("Expected `records` to hold at least one image, but got none.")
        _require_distinct(ordered)
        return cls(settings, tuple(_rows(ordered, settings)), ordered)

    @classmethod
    def load(cls, *paths: str | Path) -> ShiftReport:
        """The report of one or several records files, such as those of the parts of a data set.

        Raises:
            ValueError: for files of different settings, see `records.merge_records`.
        """
        settings, records = merge_records(paths)
        return cls.from_records(records, settings)

    @property
    def moves(self) -> tuple[Move, ...]:
        """How far each view was moved: (dy, dx), the unshifted one first."""
        return self.settings.moves

    @property
    def forwards(self) -> Forwards:
        """How often the model ran on these images, against once per view."""
        used = sum(record.inputs for record in self.records)
        return Forwards(used, len(self.moves) * len(self.records))

    @cached_property
    def origins(self) -> Uniformity | None:
        """A test of Definition 1, on which the bounds lean: are the chosen origins uniform?

        None where places are not known or there are too few images; see `statistics.uniformity`.
        """
        n, k = self.settings.n, self.settings.k
        if self.settings.theory != "realistic" or k is None:
            return None
        chosen = [_origin(record) for record in self.records]
        return uniformity(chosen, theory.crop_positions(n, k))

    def row(self, metric: str, of: str = "crop", delta: int | None = None) -> Row:
        """One row by name.

        Raises:
            ValueError: listing what there is.
        """
        for row in self.rows:
            if (row.metric, row.of, row.delta) == (metric, of, delta):
                return row
        known = ", ".join(f"({r.metric}, {r.of}, {r.delta})" for r in self.rows)
        raise ValueError(f"Expected one of {known}, but got ({metric}, {of}, {delta}).")

    def compare(self, other: ShiftReport) -> tuple[Comparison, ...]:
        """Every yes-or-no metric of this report beside another's, by McNemar's exact test.

        Args:
            other: a report on the same images, of another transform or model.

        Raises:
            ValueError: if the images differ.

        The test assumes independent images, and says nothing of the size of the difference.
        """
        ids = [[record.id for record in report.records] for report in (self, other)]
        if ids[0] != ids[1]:
            raise ValueError(
                "Expected two reports on the same images, but "
                f"{len(set(ids[0]) ^ set(ids[1]))} of them are in one report alone."
            )
        ours, theirs = (_flags(report) for report in (self, other))
        return tuple(
            Comparison(*key, _mean(ours[key]), _mean(theirs[key]), mcnemar(ours[key], theirs[key]))
            for key in ours
            if key in theirs
        )

    def to_json(self) -> str:
        """Settings, rows and tests as JSON; the same report gives the same text."""
        settings = asdict(self.settings) | {"images": len(self.records)}
        del settings["moves"]  # `shifts` tells them
        content = {
            "settings": settings,
            "rows": [asdict(row) for row in self.rows],
            "forwards": self.forwards._asdict(),
            "origins": None if self.origins is None else asdict(self.origins),
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _require_distinct(records: Sequence[Record]) -> None:
    for first, second in pairwise(records):
        if first.id == second.id:
            raise ValueError(f"Expected one record per image, but got two of {first.id!r}.")


def _origin(record: Record) -> tuple[int, int]:
    """Where in its window the crop of the unshifted view lies."""
    (top, left), (y, x) = record.window or (0, 0), record.places[0]
    return y - top, x - left


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


# --- rows ----------------------------------------------------------------------------------------

Key = tuple[str, Of, int | None]


def _values(records: Sequence[Record], settings: Settings) -> dict[Key, list[float]]:
    """Every metric of every image that these records hold, by metric, subject and delta."""
    found: dict[Key, list[float]] = {}
    for metric in METRICS:
        deltas = (None,) if metric.name in ONCE else settings.deltas or (None,)
        for delta in deltas if _wanted(metric, settings) else ():
            views = Views.within(settings.moves, delta)
            values = [metric.value(record, views) for record in records]
            known = [value for value in values if value is not None]
            if len(known) not in (0, len(values)):
                lacks = records[values.index(None)].id
                raise ValueError(
                    f"Expected {metric.name} ({metric.of}) of every image or of none, but "
                    f"{lacks!r} lacks it; was its label missing?"
                )
            if known:
                found[metric.name, metric.of, delta] = known
    return found


def _wanted(metric: Metric, settings: Settings) -> bool:
    """Whether a metric is told: nearness only of disturbed views, which keep no exact crop."""
    return metric.of != "crop within 2 px" or settings.disturbance is not None


def _rows(records: Sequence[Record], settings: Settings) -> Iterable[Row]:
    for (metric, of, delta), values in _values(records, settings).items():
        total, count = fsum(values), len(values)
        low, high = clopper_pearson(total, count)
        bound, expected, limit = _promise(metric, of, delta, settings)
        says = None if bound is None else verdict(low, high, bound)
        yield Row(metric, of, delta, total / count, low, high, bound, expected, limit, says, count)


def _flags(report: ShiftReport) -> dict[Key, list[bool]]:
    values = _values(report.records, report.settings)
    return {key: [v == 1 for v in x] for key, x in values.items() if key[0] in FLAGS}


# --- theory --------------------------------------------------------------------------------------

_Promise = tuple[float | None, float | None, float | None]


def _promise(metric: str, of: str, delta: int | None, settings: Settings) -> _Promise:
    """Bound, expectation and limit. What keeps its crop keeps its class and its neighbour."""
    if metric not in (ROBUSTNESS, CONSISTENCY) or of == "crop within 2 px":
        return None, None, None
    if settings.theory == "cyclic":
        return 1.0, 1.0, 1.0
    if settings.theory is None or settings.k is None or settings.order is None or delta is None:
        return None, None, None
    bound, expected, limit = _of_crop(metric, delta, settings.n, settings.k, settings.order)
    return (bound, expected, limit) if of == "crop" else (bound, None, None)


def _of_crop(metric: str, delta: int, n: Size, k: Size, order: Size) -> tuple[float, float, float]:
    if metric == ROBUSTNESS:
        bound = float(theory.robustness_bound(n, k, delta, order))
        return bound, bound, float(theory.robustness_limit(n, k, delta))
    return (
        float(theory.consistency_bound(n, k, delta, order)),
        float(theory.expected_consistency(n, k, delta, order)),
        float(theory.consistency_limit(n, k, delta)),
    )
