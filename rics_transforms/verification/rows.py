"""From records to rows: means over images with intervals, compared with what theory promises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import fsum

from rics_transforms import theory
from rics_transforms._arguments import Size
from rics_transforms.verification.metrics import (
    CONSISTENCY,
    METRICS,
    NEAR,
    ONCE,
    QUANTILES,
    ROBUSTNESS,
    Metric,
    Quantile,
    Subject,
    Views,
    localisation_errors,
)
from rics_transforms.verification.records import Record
from rics_transforms.verification.settings import Settings
from rics_transforms.verification.statistics import (
    Verdict,
    clopper_pearson,
    pooled_quantile,
    verdict,
)

Key = tuple[str, Subject, int | None]
"""Metric, subject and delta: what a row is about."""


@dataclass(frozen=True)
class Row:
    """One measured number. Values are fractions, never percent; of localisation errors, pixels.

    Attributes:
        metric: name of the metric, see `metrics.METRICS` and `metrics.QUANTILES`:
            "adversarial_robustness" is the share of images whose `subject` no shift changes,
            "consistency" the mean share of views, the unshifted one included, that keep it.
        subject: what is compared: "crop", "crop within 2 px", "class", "neighbour" or "layer".
        delta: largest shift in pixels; None for all shifts.
        value: the measurement.
        ci_low: lower end of its 95 % interval.
        ci_high: upper end.
        bound: the least value that theory promises (Theorems 1 to 3, Eq. 4); None if it promises
            nothing.
        expected: the value that theory gives for the crop of a pseudo-random score: exactly for
            order 1, a lower bound for higher orders.
        limit: for robustness, the value that no rule can exceed on average over window positions;
            for consistency, the value that a lattice tends to as its order grows (no ceiling for
            other rules).
        verdict: see `statistics.verdict`; None without a bound.
        count: number of images; of localisation errors, of those with a crop within 2 px.
    """

    metric: str
    subject: Subject
    delta: int | None
    value: float
    ci_low: float
    ci_high: float
    bound: float | None
    expected: float | None
    limit: float | None
    verdict: Verdict | None
    count: int

    @property
    def key(self) -> Key:
        """Metric, subject and delta, by which a row is found."""
        return self.metric, self.subject, self.delta


def find(rows: Iterable[Row], key: Key) -> Row | None:
    """The row of this metric, subject and delta, if there is one."""
    return next((row for row in rows if row.key == key), None)


# --- from records --------------------------------------------------------------------------------


def values_of(records: Sequence[Record], settings: Settings) -> dict[Key, list[float]]:
    """Every metric of every image that these records hold, by metric, subject and delta."""
    found: dict[Key, list[float]] = {}
    for metric in METRICS:
        deltas = (None,) if metric.name in ONCE else settings.deltas or (None,)
        for delta in deltas if _wanted(metric, records, settings) else ():
            views = Views.within(settings.moves, delta)
            values = [metric.value(record, views) for record in records]
            known = [value for value in values if value is not None]
            if len(known) not in (0, len(values)):
                lacks = records[values.index(None)].id
                raise ValueError(
                    f"Expected {metric.name} ({metric.subject}) of every image or of none, but "
                    f"{lacks!r} lacks it; was its label missing?"
                )
            if known:
                found[metric.name, metric.subject, delta] = known
    return found


def _wanted(metric: Metric, records: Sequence[Record], settings: Settings) -> bool:
    """Whether a metric has rows: nearness only where views or crops keep no exact crop."""
    if metric.subject != "crop within 2 px":
        return True
    return settings.disturbance is not None or is_fractional(records, settings)


def is_fractional(records: Sequence[Record], settings: Settings) -> bool:
    """Whether views or crops lie at fractions of a pixel."""
    places = (place for record in records for place in record.places)
    return settings.factor > 1 or any(not float(x).is_integer() for place in places for x in place)


def rows_of(records: Sequence[Record], settings: Settings) -> Iterator[Row]:
    """One row per metric, subject and delta that these records hold."""
    for key, values in values_of(records, settings).items():
        total, count = fsum(values), len(values)
        low, high = clopper_pearson(total, count)
        bound, expected, limit = _promise(*key, settings)
        says = None if bound is None else verdict(low, high, bound)
        yield Row(*key, total / count, low, high, bound, expected, limit, says, count)
    if is_fractional(records, settings):
        for quantile, delta in product(QUANTILES, settings.deltas or (None,)):
            yield from _errors(quantile, delta, records, settings)


def _errors(
    quantile: Quantile, delta: int | None, records: Sequence[Record], settings: Settings
) -> Iterator[Row]:
    """The row of a quantile of localisation errors, if there are any."""
    views = Views.within(settings.moves, delta)
    errors = [found for record in records if (found := localisation_errors(record, views))]
    if errors:
        value, low, high = pooled_quantile(errors, quantile.share, NEAR)
        about = (quantile.name, quantile.subject, delta)
        yield Row(*about, value, low, high, None, None, None, None, len(errors))


# --- theory --------------------------------------------------------------------------------------

_Promise = tuple[float | None, float | None, float | None]


def _promise(metric: str, subject: str, delta: int | None, settings: Settings) -> _Promise:
    """Bound, expectation and limit. What keeps its crop keeps its class and its neighbour."""
    if metric not in (ROBUSTNESS, CONSISTENCY) or subject == "crop within 2 px":
        return None, None, None
    if settings.theory == "cyclic":
        return 1.0, 1.0, 1.0
    if settings.theory is None or settings.k is None or settings.order is None or delta is None:
        return None, None, None
    least, expected, limit = _of_crop(metric, delta, settings.windows, settings.k, settings.order)
    bound = least or None  # at least 0 is not a promise
    return (bound, expected, limit) if subject == "crop" else (bound, None, None)


def _of_crop(metric: str, delta: int, n: Size, k: Size, order: Size) -> tuple[float, float, float]:
    if metric == ROBUSTNESS:
        bound = float(theory.robustness_bound(n, k, delta, order))
        return bound, bound, float(theory.robustness_limit(n, k, delta))
    return (
        float(theory.consistency_bound(n, k, delta, order)),
        float(theory.expected_consistency(n, k, delta, order)),
        float(theory.consistency_limit(n, k, delta)),
    )
