"""Intervals, verdicts and tests: what a sample of images says about a probability.

SciPy does the arithmetic; this module chooses which of its tests answers which question.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Literal

import numpy as np

from rics_transforms._arguments import Size
from rics_transforms._extras import needs

Verdict = Literal["holds", "undecided", "violated"]


CONFIDENCE = 0.95


def clopper_pearson(
    successes: float, count: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Interval for a probability, or for the mean of fractions, from independent images.

    Exact for counts: it covers the true probability with a probability of at least `confidence`.
    Sums of fractions in [0, 1] use the same formula; since such a mean varies no more than a share
    of successes with the same mean, the interval is, if anything, too wide.

    Args:
        successes: the number of successes, or the sum of the images' fractions.
        count: the number of images.
        confidence: between 0 and 1.

    Returns:
        (low, high), fractions.

    Source: Clopper & Pearson 1934.

    Example:
        >>> low, high = clopper_pearson(90, 100)
        >>> round(low, 4), round(high, 4)
        (0.8238, 0.951)
    """
    with needs("cli"):
        from scipy.stats import beta  # type: ignore[import-untyped]

    tail, failures = (1 - confidence) / 2, count - successes
    low = 0.0 if successes <= 0 else float(beta.ppf(tail, successes, failures + 1))
    high = 1.0 if failures <= 0 else float(beta.ppf(1 - tail, successes + 1, failures))
    return low, high


def pooled_quantile(
    groups: Sequence[Sequence[float]], share: float, most: float, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """A quantile of numbers that come in groups, one per image, with an interval.

    Every group weighs the same. The interval holds the thresholds that `clopper_pearson` does not
    exclude: it takes the mean share of numbers up to a threshold for a mean of fractions, so it
    assumes independent images, but not independent numbers of one image.

    Args:
        groups: the numbers of every image, at least one each.
        share: of the numbers that are no larger than the quantile, between 0 and 1.
        most: what no number can exceed, used as the upper end if there are too few images.
        confidence: between 0 and 1.

    Returns:
        (quantile, low, high).

    Example:
        >>> pooled_quantile([[1, 2, 3]] * 100, 0.5, 9)
        (2, 2, 2)
    """
    ordered, count = [sorted(group) for group in groups], len(groups)
    levels = sorted({number for group in ordered for number in group})

    def up_to(level: float) -> float:
        return sum(bisect_right(group, level) / len(group) for group in ordered)

    def first(reached: Callable[[float], float]) -> float:
        at = bisect_left(levels, True, key=lambda level: reached(up_to(level)) >= share - 1e-12)
        return levels[at] if at < len(levels) else most

    low = first(lambda total: clopper_pearson(min(total, count), count, confidence)[1])
    high = first(lambda total: clopper_pearson(min(total, count), count, confidence)[0])
    return first(lambda total: total / count), low, high


def verdict(ci_low: float, ci_high: float, bound: float) -> Verdict:
    """What an interval, not just a mean, says about a bound.

    "holds" if the whole interval lies at or above the bound, "violated" if all of it lies below,
    "undecided" if the bound lies inside. A bound of 1 is a promise for every single image, which no
    interval could confirm: it holds if no image breaks it.

    Example:
        >>> verdict(0.92, 0.97, 0.91), verdict(0.85, 0.95, 0.91), verdict(0.80, 0.90, 0.91)
        ('holds', 'undecided', 'violated')
    """
    if ci_high < bound:
        return "violated"
    return "holds" if ci_low >= bound or bound == 1 else "undecided"


@dataclass(frozen=True)
class Paired:
    """Counts of two yes-or-no results on the same images, and McNemar's exact test of them.

    Attributes:
        both: number of images where both succeed.
        first: number of images where only the first does.
        second: number of images where only the second does.
        neither: number of the other images.
        p_value: probability of so uneven a split of the disagreements if neither is better.
    """

    both: int
    first: int
    second: int
    neither: int
    p_value: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> Paired:
    """Whether one of two measurements on the same images succeeds more often: exact, two-sided.

    Only images on which they disagree count: under the null hypothesis, each falls on either side
    with probability 1/2. Assumes independent images.

    Raises:
        ValueError: if the numbers of images differ.

    Source: McNemar 1947, in the exact (binomial) form.

    Example:
        >>> mcnemar([True] * 9 + [False], [True] * 2 + [False] * 8).p_value
        0.015625
    """
    with needs("cli"):
        from scipy.stats import binomtest

    if len(first) != len(second):
        raise ValueError(
            "Expected the results of `first` and `second` to be of the same images, "
            f"but got {len(first)} and {len(second)}."
        )
    pairs = list(zip(map(bool, first), map(bool, second), strict=True))
    both, one, other = (pairs.count(p) for p in ((True, True), (True, False), (False, True)))
    p_value = float(binomtest(one, one + other).pvalue) if one + other else 1.0
    return Paired(both, one, other, len(pairs) - both - one - other, p_value)


@dataclass(frozen=True)
class Uniformity:
    """Where the chosen origins lie in their windows, and a chi-square test of Definition 1.

    Attributes:
        counts: origins per cell of a grid over the m x m positions.
        expected: origins per cell of a uniform choice; sides of cells differ by at most one.
        statistic: chi-square.
        p_value: probability of a histogram at least as uneven if all positions are equally likely.
    """

    counts: tuple[tuple[int, ...], ...]
    expected: tuple[tuple[float, ...], ...]
    statistic: float
    p_value: float


_CELLS = 8  # per axis, at most


_LEAST = 5  # expected origins per cell, the usual condition of the chi-square approximation


def uniformity(origins: Sequence[Size], positions: Size) -> Uniformity | None:
    """Test whether origins are spread evenly over the positions in a window.

    The bounds assume this (Definition 1 of Shifman & Weiss 2024). A small p-value says that the
    score prefers some positions on these images; a large one says that these images show no such
    preference, not that there is none. Assumes independent images.

    Args:
        origins: (top, left) of the crop in its window, one per image.
        positions: number of positions per axis.

    Returns:
        The test, on the finest grid of at most 8 x 8 cells that expects 5 origins in each; None if
        there are too few images for 2 x 2 cells, or too few positions.

    Raises:
        ValueError: for an origin outside the positions.

    Example:
        >>> corner = uniformity([(0, 0)] * 20, (4, 4))
        >>> corner.counts, corner.p_value < 1e-10
        (((20, 0), (0, 0)), True)
    """
    with needs("cli"):
        from scipy.stats import chisquare

    if bad := [
        o for o in origins if not all(0 <= a < m for a, m in zip(o, positions, strict=True))
    ]:
        raise ValueError(
            f"Expected `origins` to lie within {tuple(positions)} positions, but got {bad[0]}."
        )
    most = min(_CELLS, isqrt(len(origins) // _LEAST))
    cells = [min(most, m) for m in positions]
    if min(cells) < 1 or max(cells) < 2:
        return None
    index = [_cell_of(m, c) for m, c in zip(positions, cells, strict=True)]
    counts = np.zeros(cells, dtype=int)
    for top, left in origins:
        counts[index[0][top], index[1][left]] += 1
    sizes = np.outer(*(np.bincount(i) for i in index))
    expected = sizes * (len(origins) / sizes.sum())
    test = chisquare(counts.ravel(), expected.ravel())
    return Uniformity(
        tuple(map(tuple, counts.tolist())),
        tuple(map(tuple, expected.tolist())),
        float(test.statistic),
        float(test.pvalue),
    )


def _cell_of(positions: int, cells: int) -> list[int]:
    """The cell of every position; cells are runs of positions whose lengths differ by at most 1."""
    return [p * cells // positions for p in range(positions)]
