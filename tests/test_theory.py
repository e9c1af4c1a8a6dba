"""The formulas against the published numbers, against simulation and against brute force."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest  # type: ignore[import-untyped]

from rics_transforms import theory
from rics_transforms._arguments import SizeLike, as_pair
from rics_transforms.engine.scores import get_score

Pair = tuple[int, int]
DELTAS = (1, 3, 5, 9)


def percent(value: Fraction, digits: int) -> float:
    return round(float(100 * value), digits)


# ---------------------------------------------------------------------------------------------
# Published numbers
# ---------------------------------------------------------------------------------------------

# n, k: m, j, t and, for each of DELTAS, plain RICS / lattice / limit in percent
DESIGN = {
    (224, 140): (85, 2, 55, [(91.0, 93.1, 95.3), (75.4, 80.6, 86.4),
                             (62.3, 69.4, 77.9), (42.3, 50.8, 62.1)]),
    (224, 180): (45, 4, 45, [(83.7, 89.3, 91.3), (58.5, 70.3, 75.1),
                             (40.5, 54.3, 60.5), (18.4, 29.8, 36.0)]),
    (256, 224): (33, 7, 26, [(78.4, 86.7, 88.2), (47.9, 63.6, 66.9),
                             (28.6, 44.6, 48.6), (8.7, 17.8, 20.7)]),
}  # fmt: skip


@pytest.mark.parametrize(("n", "k"), DESIGN)
def test_the_design_table(n: int, k: int) -> None:
    m, j, t, rows = DESIGN[n, k]
    assert theory.crop_positions(n, k) == (m, m)
    assert theory.lattice_order(n, k) == (j, j)
    assert theory.patch_size(n, k, j) == (t, t)
    for delta, row in zip(DELTAS, rows, strict=True):
        assert row == (
            percent(theory.robustness_bound(n, k, delta, order=1), 1),
            percent(theory.robustness_bound(n, k, delta, j), 1),
            percent(theory.robustness_limit(n, k, delta), 1),
        )


def test_the_paper_table_1_theoretical_bound() -> None:
    robust = [percent(theory.robustness_bound(224, 140, d, order=1), 2) for d in DELTAS]
    consistent = [percent(theory.consistency_bound(224, 140, d, order=1), 2) for d in DELTAS]
    assert robust == [91.02, 75.37, 62.33, 42.31]
    assert consistent == [95.40, 86.83, 79.01, 65.37]


@pytest.mark.parametrize(
    "f",
    [
        theory.robustness_bound,
        theory.consistency_bound,
        theory.shift_consistency,
        theory.expected_consistency,
    ],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize(("n", "k"), [(256, 224), ((96, 64), (80, 40)), (64, 20)])
def test_bounds_are_those_of_the_default_score_unless_an_order_is_given(
    f: Callable[..., Fraction], n: SizeLike, k: SizeLike
) -> None:
    order = get_score("lattice").order_for(as_pair(n, "n"), as_pair(k, "k"))
    assert f(n, k, 1) == f(n, k, 1, order)
    if order != (1, 1):
        assert f(n, k, 1) > f(n, k, 1, order=1)


def test_the_crop_size_for_a_target_is_that_of_the_bound() -> None:
    for target in (0.5, 0.784, 0.867, 0.9):
        k = theory.crop_size_for(256, 1, target)
        assert theory.robustness_bound(256, k, 1) >= target > theory.robustness_bound(256, k + 1, 1)


def test_the_paper_example_after_theorem_1() -> None:
    assert theory.robustness_bound(256, 150, 1, order=1) == Fraction(105, 109) ** 2
    assert percent(theory.robustness_bound(256, 150, 1, order=1), 0) == 93


def test_formulas_written_out_for_a_rectangle() -> None:
    n, k, order = (30, 40), (22, 31), (3, 2)  # m = 9, 10 and N = 27, 20
    assert theory.crop_positions(n, k) == (9, 10)
    assert theory.patch_size(n, k, order) == (4, 21)
    assert theory.robustness_bound(n, k, 2, order) == Fraction(3 * 5, 31) * Fraction(2 * 6, 24)
    assert theory.consistency_bound(n, k, 2, order) == Fraction(3 * 7, 29) * Fraction(2 * 8, 22)
    assert theory.robustness_limit(n, k, 2) == Fraction(5, 9) * Fraction(6, 10)
    assert theory.shift_consistency(n, k, (-1, 4), order) == Fraction(
        3 * 8 * 2 * 6, 2 * 27 * 20 - 26 * 16
    )
    assert theory.shift_consistency(n, k, 3, order) == theory.shift_consistency(n, k, (3, 3), order)


# ---------------------------------------------------------------------------------------------
# Simulation: the real selection on random hashes
# ---------------------------------------------------------------------------------------------

TRIALS, BATCH = 20_000, 4_000
SETTINGS = {  # n, k, delta, order
    "plain": (20, 13, 1, 1),
    "plain, larger shift": (20, 10, 3, 1),
    "plain, rectangle": ((20, 30), (12, 24), 2, 1),
    "plain, never robust": (20, 16, 3, 1),
    "lattice": (24, 17, 1, 3),
    "lattice, larger shift": (24, 13, 2, 2),
    "lattice, rectangle": ((24, 30), (16, 25), 2, (2, 4)),
}
cases = pytest.mark.parametrize(("n", "k", "delta", "order"), SETTINGS.values(), ids=SETTINGS)
SIMULATED_SHIFTS = ((0, 0), (1, 0), (0, -2), (1, 1), (-2, 3), (3, 3))


def scenes(n: Pair, k: Pair, margin: int, order: Pair) -> Iterator[np.ndarray]:
    """Random patch hashes on the union of all windows within a margin, batch by batch."""
    my, mx = theory.crop_positions(n, k)
    shape = (BATCH, order[0] * my + 2 * margin, order[1] * mx + 2 * margin)
    rng = np.random.default_rng(0)
    for _ in range(TRIALS // BATCH):
        yield rng.random(shape)


def chosen(hashes: np.ndarray, places: Pair, order: Pair, at: Pair) -> np.ndarray:
    """Crop each scene's window at `at` selects, in scene coordinates."""
    (my, mx), (jy, jx), (y, x) = places, order, at
    window = hashes[:, y : y + jy * my, x : x + jx * mx]
    ay, ax = np.divmod(window.reshape(len(hashes), -1).argmax(axis=1), jx * mx)
    return np.stack([y + ay % my, x + ax % mx])


def agreement(n: SizeLike, k: SizeLike, order: SizeLike, shifts: list[Pair]) -> np.ndarray:
    """Whether each shifted window selects the crop of the unshifted one, [shift, trial]."""
    size, crop, orders = (as_pair(v, "v") for v in (n, k, order))
    places, margin = theory.crop_positions(size, crop), max(abs(d) for s in shifts for d in s)
    batches = []
    for hashes in scenes(size, crop, margin, orders):
        home = chosen(hashes, places, orders, (margin, margin))
        moved = (chosen(hashes, places, orders, (margin + y, margin + x)) for y, x in shifts)
        batches.append([(crop == home).all(axis=0) for crop in moved])
    return np.concatenate(batches, axis=1)


def check(kept: np.ndarray, value: Fraction, *, exact: bool) -> None:
    """The frequency agrees with an exact value, or does not contradict a lower bound."""
    interval = binomtest(int(kept.sum()), kept.size).proportion_ci(0.999, method="exact")
    assert interval.high >= value
    if exact:
        assert interval.low <= value


def square(delta: int) -> list[Pair]:
    side = range(-delta, delta + 1)
    return list(product(side, side))


@pytest.mark.broad
@cases
def test_robustness_is_what_the_selection_does(
    n: SizeLike, k: SizeLike, delta: int, order: SizeLike
) -> None:
    kept = np.logical_and.reduce(agreement(n, k, order, square(delta)))
    check(kept, theory.robustness_bound(n, k, delta, order), exact=order == 1)
    ceiling = binomtest(int(kept.sum()), kept.size).proportion_ci(0.999, method="exact").low
    assert ceiling <= theory.robustness_limit(n, k, delta)


@pytest.mark.broad
@cases
def test_consistency_is_what_the_selection_does(
    n: SizeLike, k: SizeLike, delta: int, order: SizeLike
) -> None:
    kept = agreement(n, k, order, square(delta))
    drawn = kept[np.random.default_rng(1).integers(len(kept), size=TRIALS), np.arange(TRIALS)]
    check(drawn, theory.expected_consistency(n, k, delta, order), exact=order == 1)
    check(drawn, theory.consistency_bound(n, k, delta, order), exact=False)


@cases
def test_one_shift_is_what_the_selection_does(
    n: SizeLike, k: SizeLike, delta: int, order: SizeLike
) -> None:
    for shift, kept in zip(
        SIMULATED_SHIFTS, agreement(n, k, order, list(SIMULATED_SHIFTS)), strict=True
    ):
        check(kept, theory.shift_consistency(n, k, shift, order), exact=order == 1)


# ---------------------------------------------------------------------------------------------
# The limits: every way to give one crop a set of windows
# ---------------------------------------------------------------------------------------------


def regions(m: int) -> np.ndarray:
    """All non-empty subsets of an m x m box, [subset, m, m]."""
    bits = np.arange(1, 2 ** (m * m))[:, None] >> np.arange(m * m) & 1
    return bits.astype(bool).reshape(-1, m, m)


@pytest.mark.parametrize(("m", "delta"), [(2, 0), (3, 1), (4, 1)])
def test_no_rule_exceeds_the_robustness_limit(m: int, delta: int) -> None:
    sets, inner = regions(m), m - 2 * delta
    eroded = np.ones((len(sets), inner, inner), dtype=bool)
    for y, x in product(range(2 * delta + 1), repeat=2):
        eroded &= sets[:, y : y + inner, x : x + inner]
    best = (eroded.sum(axis=(1, 2)) / sets.sum(axis=(1, 2))).max()
    assert best == pytest.approx(float(theory.robustness_limit(m, 1, delta)), abs=1e-12)


def pairs_within(windows: np.ndarray, delta: int) -> int:
    """Ordered pairs of windows, each with itself included, at most delta apart per axis."""
    padded, (h, w) = np.pad(windows, delta), windows.shape
    steps = product(range(2 * delta + 1), repeat=2)
    return sum(int((windows & padded[y : y + h, x : x + w]).sum()) for y, x in steps)


def test_consistency_limit_counts_a_box_and_a_hexagon_beats_it() -> None:
    m, delta, cut = 33, 1, 6
    box = np.ones((m, m), dtype=bool)
    limit = theory.consistency_limit(m, 1, delta)
    assert Fraction(pairs_within(box, delta), m * m * 9) == limit

    y, x = np.indices(box.shape)
    hexagon = (y + x >= cut) & (2 * (m - 1) - y - x >= cut - 1)
    area = m * m - cut * cut  # it tiles the plane by the steps (m, -cut) and (-cut, m)
    tiles = {((m * a + cut * b) % area, (cut * a + m * b) % area) for a, b in np.argwhere(hexagon)}
    assert len(tiles) == hexagon.sum() == area
    gain = Fraction(pairs_within(hexagon, delta), area * 9) - limit
    assert 0 < gain < Fraction(3, 1000)


def test_a_lattice_tends_to_the_limits() -> None:
    m, delta, j = 33, 3, 10_000
    n = j * m
    k = n - m + 1
    assert float(theory.robustness_bound(n, k, delta, j)) == pytest.approx(
        float(theory.robustness_limit(n, k, delta)), abs=1e-4
    )
    assert float(theory.expected_consistency(n, k, delta, j)) == pytest.approx(
        float(theory.consistency_limit(n, k, delta)), abs=1e-4
    )


# ---------------------------------------------------------------------------------------------
# Properties
# ---------------------------------------------------------------------------------------------


@st.composite
def geometries(draw: st.DrawFn) -> tuple[Pair, Pair, int]:
    n = draw(st.integers(1, 80)), draw(st.integers(1, 80))
    return n, (draw(st.integers(1, n[0])), draw(st.integers(1, n[1]))), draw(st.integers(0, 12))


properties = settings(deadline=None, max_examples=60)


@properties
@given(geometries(), st.integers(1, 20))
def test_the_lattice_is_the_largest_that_fits(g: tuple[Pair, Pair, int], least: int) -> None:
    n, k, _ = g
    order = theory.lattice_order(n, k, least)
    for side, crop, m, j, t in zip(
        n, k, theory.crop_positions(n, k), order, theory.patch_size(n, k, order), strict=True
    ):
        fits = [i for i in range(1, side + 1) if side - i * m + 1 >= least]
        assert j == max(fits, default=1)
        assert t + (j - 1) * m == crop


@properties
@given(geometries())
def test_limit_above_lattice_above_plain(g: tuple[Pair, Pair, int]) -> None:
    n, k, d = g
    j = theory.lattice_order(n, k, 1)
    plain, lattice = (theory.robustness_bound(n, k, d, order) for order in (1, j))
    assert 0 <= plain <= lattice <= theory.robustness_limit(n, k, d) <= 1
    plain, lattice = (theory.consistency_bound(n, k, d, order) for order in (1, j))
    assert 0 <= plain <= lattice <= theory.expected_consistency(n, k, d, j)
    assert theory.expected_consistency(n, k, d, order=1) <= theory.expected_consistency(n, k, d, j)
    assert theory.expected_consistency(n, k, d, j) <= theory.consistency_limit(n, k, d) <= 1


@properties
@given(geometries())
def test_one_shift_lies_between_bound_and_one(g: tuple[Pair, Pair, int]) -> None:
    n, k, d = g
    j = theory.lattice_order(n, k, 1)
    worst = theory.shift_consistency(n, k, (d, -d), j)
    assert theory.robustness_bound(n, k, d, j) <= theory.consistency_bound(n, k, d, j) <= worst
    assert worst <= theory.shift_consistency(n, k, (0, d), j)
    assert theory.shift_consistency(n, k, (0, 0), j) == 1


@properties
@given(geometries())
def test_larger_shifts_never_help(g: tuple[Pair, Pair, int]) -> None:
    n, k, d = g
    j = theory.lattice_order(n, k, 1)
    for f in theory.robustness_bound, theory.consistency_bound, theory.expected_consistency:
        assert f(n, k, d, j) >= f(n, k, d + 1, j)
    for limit in theory.robustness_limit, theory.consistency_limit:
        assert limit(n, k, d) >= limit(n, k, d + 1)


@properties
@given(geometries())
def test_expected_consistency_is_the_mean_over_the_square(g: tuple[Pair, Pair, int]) -> None:
    n, k, d = g
    d = min(d, 4)
    j = theory.lattice_order(n, k, 1)
    each = [theory.shift_consistency(n, k, s, j) for s in square(d)]
    assert theory.expected_consistency(n, k, d, j) == sum(each) / len(each)


@properties
@given(geometries())
def test_the_axes_may_be_swapped(g: tuple[Pair, Pair, int]) -> None:
    n, k, d = g
    j = theory.lattice_order(n, k)
    for f in theory.robustness_bound, theory.consistency_bound, theory.expected_consistency:
        assert f(n, k, d, j) == f(n[::-1], k[::-1], d, j[::-1])


@pytest.mark.parametrize("order", [1, 3])
def test_nothing_is_promised_once_the_shift_covers_the_positions(order: int) -> None:
    n, k = 30, 25  # m = 6
    assert theory.robustness_bound(n, k, 2, order) > 0
    assert theory.robustness_bound(n, k, 3, order) == theory.robustness_limit(n, k, 3) == 0
    assert theory.robustness_bound(n, k, 99, order) == theory.robustness_limit(n, k, 99) == 0
    assert theory.consistency_bound(n, k, 5, order) > 0
    assert (
        theory.consistency_bound(n, k, 6, order) == theory.consistency_bound(n, k, 99, order) == 0
    )
    assert theory.shift_consistency(n, k, (5, 5), order) > 0
    assert theory.shift_consistency(n, k, (-6, 0), order) == 0
    assert theory.expected_consistency(n, k, 99, order) > 0


def test_results_are_exact_fractions() -> None:
    for value in (
        theory.robustness_bound(20, 20, 1),
        theory.consistency_bound(20, 20, 1),
        theory.shift_consistency(20, 20, (0, 1)),
        theory.expected_consistency(20, 20, 0),
        theory.robustness_limit(20, 20, 0),
        theory.consistency_limit(20, 20, 0),
    ):
        assert type(value) is Fraction


# ---------------------------------------------------------------------------------------------
# Planning
# ---------------------------------------------------------------------------------------------


@properties
@given(
    st.tuples(st.integers(8, 60), st.integers(8, 60)),
    st.integers(0, 3),
    st.fractions(Fraction(1, 100), 1, max_denominator=100),
    st.sampled_from([None, 1, 2, (1, 3)]),
)
def test_crop_size_is_truly_the_largest(
    n: Pair, delta: int, target: Fraction, order: int | Pair | None
) -> None:
    reached = []
    for k in range(1, min(n) + 1):
        j = theory.lattice_order(n, k) if order is None else as_pair(order, "order")
        if any(i - a * (i - k + 1) + 1 < 1 for i, a in zip(n, j, strict=True)):
            continue
        if theory.robustness_bound(n, k, delta, j) >= target:
            reached.append(k)
    if reached:
        assert theory.crop_size_for(n, delta, target, order) == max(reached)
    else:
        with pytest.raises(ValueError, match=r"^Expected `(target|order)` to "):
            theory.crop_size_for(n, delta, target, order)


def test_crop_size_looks_past_a_dip() -> None:
    low, high = (theory.robustness_bound(256, k, 1) for k in (136, 137))
    assert low < high  # the order rises from 1 to 2: a larger crop with a better promise
    assert theory.crop_size_for(256, 1, high) >= 137


def test_crop_size_reads_a_float_as_its_decimal() -> None:
    assert theory.robustness_bound(100, 63, 1, order=1) == Fraction(36, 40) ** 2 == Fraction("0.81")
    assert theory.crop_size_for(100, 1, 0.81, order=1) == 63
    assert theory.crop_size_for(100, 1, np.float32(0.81), order=1) == 63  # type: ignore[arg-type]
    assert theory.crop_size_for(100, 0, 1) == 100


def test_crop_size_names_the_best_that_can_be_had() -> None:
    best = theory.robustness_bound(224, 1, 5)
    message = r"^Expected `target` to be at most 0\.8363, which k=1 reaches for an image of "
    message += r"\(224, 224\) and shifts within 5, but got 0\.9\.$"
    assert 0.8363 < best < 0.8364
    with pytest.raises(ValueError, match=message):
        theory.crop_size_for(224, 5, 0.9)
    assert theory.crop_size_for(224, 5, best) == 1
    with pytest.raises(ValueError, match=r"^Expected `order` to fit an image of \(8, 20\), but "):
        theory.crop_size_for((8, 20), 1, 0.5, order=9)


# ---------------------------------------------------------------------------------------------
# Arguments
# ---------------------------------------------------------------------------------------------


def test_pairs_are_read_from_every_kind_of_int() -> None:
    assert as_pair(7, "k") == as_pair([7, np.int64(7)], "k") == (7, 7)
    assert as_pair(0, "d", minimum=0) == (0, 0)
    assert as_pair((-3, 2), "shift", minimum=None) == (-3, 2)
    assert all(type(side) is int for side in as_pair(np.array([3, 4], np.uint8)[1], "k"))
    sizes = np.int32(224), (140, np.int64(140)), np.int8(1)
    assert theory.robustness_bound(*sizes, order=1) == Fraction(83, 87) ** 2  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [1.0, True, "7", None, (3, 2.5), (True, 3), Fraction(3), {3, 4}])
def test_pairs_refuse_what_is_no_int(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"^Expected `k` to be a positive int or a pair of them, "):
        as_pair(wrong, "k")


@pytest.mark.parametrize("wrong", [0, -1, (3, 0), (3,), (1, 2, 3), ()])
def test_pairs_refuse_values_out_of_range(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"^Expected `k` to be a positive int or a pair of them, "):
        as_pair(wrong, "k")


@pytest.mark.parametrize(
    ("minimum", "words"),
    [(0, "a non-negative int"), (4, "an int of at least 4"), (None, "an int")],
)
def test_pairs_name_their_minimum(minimum: int | None, words: str) -> None:
    value = "x" if minimum is None else minimum - 1
    with pytest.raises((TypeError, ValueError), match=f"^Expected `v` to be {words} or a pair "):
        as_pair(value, "v", minimum)


OF_SIZES = (
    theory.robustness_bound,
    theory.consistency_bound,
    theory.expected_consistency,
    theory.robustness_limit,
    theory.consistency_limit,
)


@pytest.mark.parametrize("f", OF_SIZES, ids=lambda f: f.__name__)
def test_every_formula_checks_its_sizes_and_delta(f: Callable[..., Fraction]) -> None:
    with pytest.raises(
        ValueError,
        match=r"^Expected `k` to be at most the image size \(224, 224\), but got \(300, 300\)\.$",
    ):
        f(224, 300, 1)
    with pytest.raises(ValueError, match=r"^Expected `k` .* but got \(9, 11\)\.$"):
        f((10, 10), (9, 11), 1)
    with pytest.raises(ValueError, match=r"^Expected `n` to be a positive int or a pair of them"):
        f(0, 1, 1)
    with pytest.raises(TypeError, match=r"^Expected `k` .* but got 140\.0\.$"):
        f(224, 140.0, 1)
    with pytest.raises(
        ValueError, match=r"^Expected `delta` to be a non-negative int, but got -1\.$"
    ):
        f(224, 140, -1)
    for delta in (1.0, True, (1, 1), "1", None):
        with pytest.raises(TypeError, match=r"^Expected `delta` to be a non-negative int, but "):
            f(224, 140, delta)


@pytest.mark.parametrize("f", OF_SIZES[:3], ids=lambda f: f.__name__)
def test_every_bound_checks_its_order(f: Callable[..., Fraction]) -> None:
    message = r"^Expected `order` to be at most \(2, 2\) for crops of \(140, 140\) out of "
    with pytest.raises(ValueError, match=message + r"\(224, 224\), but got \(3, 3\)\.$"):
        f(224, 140, 1, 3)
    with pytest.raises(ValueError, match=r"^Expected `order` to be a positive int"):
        f(224, 140, 1, 0)
    with pytest.raises(TypeError, match=r"^Expected `order` to be a positive int"):
        f(224, 140, 1, 1.5)


def test_the_rest_of_the_arguments() -> None:
    with pytest.raises(ValueError, match=r"^Expected `k` to be at most the image size"):
        theory.lattice_order(10, 11)
    with pytest.raises(ValueError, match=r"^Expected `min_patch` to be a positive int"):
        theory.lattice_order(224, 140, 0)
    with pytest.raises(ValueError, match=r"^Expected `order` to be at most \(2, 1\) .* \(2, 2\)"):
        theory.patch_size((224, 224), (140, 100), 2)
    assert theory.patch_size(20, 11, 2) == (1, 1)
    with pytest.raises(ValueError, match=r"^Expected `order` to be at most \(1, 1\)"):
        theory.patch_size(19, 10, 2)
    with pytest.raises(TypeError, match=r"^Expected `shift` to be an int or a pair of them, but"):
        theory.shift_consistency(224, 140, (0.5, 0))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^Expected `shift` to be an int or a pair of them, but"):
        theory.shift_consistency(224, 140, (1, 2, 3))


def test_the_target_is_a_probability() -> None:
    message = r"^Expected `target` to be a positive number of at most 1, but got "
    for target in (0, -0.5, 1.01, 90, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=message):
            theory.crop_size_for(224, 1, target)
    for wrong in (True, "0.9", None, 0.9 + 0j):
        with pytest.raises(TypeError, match=message):
            theory.crop_size_for(224, 1, wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^Expected `delta` to be a non-negative int, but got -1"):
        theory.crop_size_for(224, -1, 0.9)


@pytest.mark.parametrize(
    "name",
    [
        "consistency_bound",
        "consistency_limit",
        "expected_consistency",
        "robustness_bound",
        "robustness_limit",
    ],
)
def test_shifts_beyond_all_crops_take_no_time(name: str) -> None:
    for delta in (10**6, 2**80):
        assert getattr(theory, name)(40, 32, delta) == pytest.approx(0, abs=1e-4)
