"""Intervals and tests against SciPy and plain counting; verdicts."""

from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2  # type: ignore[import-untyped]

from rics_transforms.verification.statistics import (
    clopper_pearson,
    mcnemar,
    pooled_quantile,
    uniformity,
    verdict,
)


@pytest.mark.parametrize("count", [1, 7, 200])
def test_clopper_pearson_equals_scipy(count: int) -> None:
    for successes in {0, 1, count // 3, count - 1, count}:
        interval = binomtest(successes, count).proportion_ci(0.95, method="exact")
        assert clopper_pearson(successes, count) == pytest.approx((interval.low, interval.high))


def test_clopper_pearson_of_fractions_lies_between_its_neighbours() -> None:
    (low, high), (below, _), (_, above) = (clopper_pearson(s, 50) for s in (30.4, 30, 31))
    assert below < low < 30.4 / 50 < high < above


@pytest.mark.parametrize(("low", "high", "bound", "says"), [
    (0.91, 0.97, 0.90, "holds"),
    (0.90, 0.97, 0.90, "holds"),
    (0.89, 0.97, 0.90, "undecided"),
    (0.80, 0.90, 0.90, "undecided"),
    (0.80, 0.89, 0.90, "violated"),
    (0.97, 1.0, 1.0, "holds"),
    (0.97, 0.999, 1.0, "violated"),
    (0.0, 0.1, 0.0, "holds"),
])  # fmt: skip
def test_verdicts(low: float, high: float, bound: float, says: str) -> None:
    assert verdict(low, high, bound) == says


# --- McNemar -------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40))
def test_mcnemar_is_a_coin_for_every_disagreement(pairs: list[tuple[bool, bool]]) -> None:
    found = mcnemar([a for a, _ in pairs], [b for _, b in pairs])
    one = sum(a and not b for a, b in pairs)
    other = sum(b and not a for a, b in pairs)
    coins = one + other
    as_uneven = [comb(coins, i) for i in range(coins + 1) if abs(2 * i - coins) >= abs(one - other)]
    assert (found.first, found.second) == (one, other)
    assert found.both == sum(a and b for a, b in pairs)
    assert found.both + found.first + found.second + found.neither == len(pairs)
    assert found.p_value == pytest.approx(sum(as_uneven) / 2**coins)


def test_mcnemar_of_different_images() -> None:
    with pytest.raises(ValueError, match="same images, but got 1 and 2"):
        mcnemar([True], [True, False])


# --- uniformity ----------------------------------------------------------------------------------


def test_uniformity_counts_and_tests_cells() -> None:
    rng = np.random.default_rng(0)
    origins: list[Any] = [tuple(o) for o in rng.integers(0, (7, 9), size=(90, 2)).tolist()]
    found = uniformity(origins, (7, 9))
    assert found is not None
    cells = len(found.counts)
    assert cells == 4  # of the finest grid with 5 expected in each
    counts, expected = np.zeros((cells, cells)), np.zeros((cells, cells))
    for top, left in origins:
        counts[top * cells // 7, left * cells // 9] += 1
    for top, left in np.ndindex(7, 9):
        expected[top * cells // 7, left * cells // 9] += 90 / 63
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert np.array_equal(found.counts, counts)
    assert np.allclose(found.expected, expected)
    assert found.statistic == pytest.approx(statistic)
    assert found.p_value == pytest.approx(chi2.sf(statistic, cells**2 - 1))


def test_uniform_origins_are_rarely_called_uneven() -> None:
    rng = np.random.default_rng(1)
    draws = rng.integers(0, 33, size=(200, 300, 2)).tolist()
    tests = [uniformity([(y, x) for y, x in draw], (33, 33)) for draw in draws]
    rejected = sum(test is not None and test.p_value < 0.05 for test in tests)
    low, high = clopper_pearson(rejected, 200, confidence=0.999)
    assert low <= 0.05 <= high


def test_uniformity_needs_images_and_positions() -> None:
    assert uniformity([(0, 0)] * 19, (9, 9)) is None
    assert uniformity([(0, 0)] * 100, (1, 1)) is None
    found = uniformity([(0, x % 5) for x in range(100)], (1, 5))
    assert found is not None and found.p_value == 1.0


def test_uniformity_refuses_origins_outside() -> None:
    with pytest.raises(ValueError, match=r"within \(4, 4\) positions, but got \(4, 0\)"):
        uniformity([(0, 0), (4, 0)], (4, 4))


# --- quantiles of numbers in groups --------------------------------------------------------------


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_pooled_quantile_of_equal_groups_is_that_of_all_numbers(share: float) -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 40, (30, 12)).tolist()
    value, low, high = pooled_quantile(groups, share, 40)
    assert value == np.quantile(groups, share, method="inverted_cdf")
    for level in range(41):
        total = sum(sum(x <= level for x in group) / 12 for group in groups)
        lower, upper = clopper_pearson(min(total, 30), 30)
        assert (level >= low) == (upper >= share)
        assert (level >= high) == (lower >= share) or (level == 40 and high == 40)


def test_every_group_weighs_the_same() -> None:
    groups = [[0.0] * 1000, [1.0], [2.0]]
    assert pooled_quantile(groups, 1 / 3, 9)[0] == 0
    assert pooled_quantile(groups, 0.5, 9)[0] == 1
    assert pooled_quantile(groups, 0.95, 9) == (2, 1, 9)  # 1 of 3: at most 91 %


def test_intervals_of_quantiles_cover_them() -> None:
    """Of numbers whose images differ: 2 in 3 have errors in [0, 1], the others in [0, 3]."""
    rng = np.random.default_rng(1)
    true = {0.5: 9 / 14, 0.95: 2.55}
    for share, quantile in true.items():
        missed = 0
        for _ in range(200):
            most = rng.choice([1, 1, 3], 60)
            groups = (rng.random((60, 9)) * most[:, None]).tolist()
            _, low, high = pooled_quantile(groups, share, 3)
            missed += not low <= quantile <= high
        assert missed <= 12  # 10 are expected at most
