"""What RICS guarantees, what no rule can exceed, and which crop size gives which guarantee.

Integers in, exact fractions out. Notation, per axis:

    n  image side          m = n - k + 1      crop positions
    k  crop side           t = n - j*m + 1    side of the patches that are scored
    j  lattice order       N = j*m            patch positions (j = 1: the patch is the crop)
    D  largest shift, in pixels that leave on one side and enter on the other

For a square image and crop (a rectangle turns each square into the product of its axes):

    Theorem 1  P(no shift within D changes the crop)    =   ((m - 2D) / (m + 2D))^2      j = 1
    Theorem 3  P(no shift within D changes the crop)   >=   (j(m - 2D) / (jm + 2D))^2    any j
    Eq. 4      P(a shift within D keeps the crop)      >=   (j(m - D) / (jm + D))^2

               P(the shift (y, x) keeps the crop)      >=   j^2 (m - |y|)(m - |x|)
                                                           ----------------------------
                                                           2 N^2 - (N - |y|)(N - |x|)
               with equality for j = 1 (a rectangle has its own m, j and N along each axis)

    Theorem 2  an integer cyclic shift never changes a cyclic crop: any k, any score.
    Limit      no rule that looks at the window alone keeps its crop under every shift
               within D more often than ((m - 2D) / m)^2, on average over the positions of
               the window. Theorem 3 tends to it as j grows.

All but Theorem 2 and the limit rest on Definition 1: the maximum of the score is equally likely
at any position. Probabilities are over scenes, not over shifts of one image, and they count
crops that stay identical. A model that tolerates another crop only does better, which is why
the paper states Theorem 1 as a bound on its robustness.

Theorems 1 and 2, Definition 1 and Eq. 4 (for j = 1): Shifman & Weiss, "Lost in Translation",
2024, section 3. Theorem 3 and the limit carry the idea of mod-minimizers (Groot Koerkamp &
Pibiri, 2024) to images.
"""

from collections.abc import Iterable
from fractions import Fraction
from itertools import product
from math import prod

from rics_transforms._arguments import SizeLike, as_int, as_number, as_pair

# ---------------------------------------------------------------------------------------------
# Geometry: positions, lattice order, patches
# ---------------------------------------------------------------------------------------------


def crop_positions(n: SizeLike, k: SizeLike) -> tuple[int, int]:
    """Number of places a crop can take along each axis, `m = n - k + 1`.

    Args:
        n: Image side, or (height, width).
        k: Crop side, or (height, width).

    Returns:
        (m_y, m_x).

    Source: Shifman & Weiss 2024, Algorithm 1. Geometry only: no assumption on the score.

    Example:
        >>> crop_positions(224, 140)
        (85, 85)
        >>> crop_positions((240, 320), 200)
        (41, 121)
    """
    image, crop = as_pair(n, "n"), as_pair(k, "k")
    if any(c > i for c, i in zip(crop, image, strict=True)):
        raise ValueError(f"Expected `k` to be at most the image size {image}, but got {crop}.")
    my, mx = (i - c + 1 for i, c in zip(image, crop, strict=True))
    return my, mx


def lattice_order(n: SizeLike, k: SizeLike, min_patch: SizeLike = 16) -> tuple[int, int]:
    """Largest lattice order along each axis that leaves patches of `min_patch` pixels.

    The higher the order, the better the guarantee and the smaller the patches. Where even
    order 2 leaves too little the order is 1, plain RICS, whose patch is the whole crop.

    Args:
        n: Image side, or (height, width).
        k: Crop side, or (height, width).
        min_patch: Smallest patch side, or (height, width), that the score can still rank.

    Returns:
        (j_y, j_x), the largest j >= 1 with `n - j*m + 1 >= min_patch`.

    Source: this library, Theorem 3. Geometry only: choose `min_patch` so that patches of this
    size still meet Definition 1 (Shifman & Weiss 2024).

    Example:
        >>> lattice_order(256, 224)
        (7, 7)
        >>> lattice_order((224, 320), 140)
        (2, 1)
    """
    axes = zip(as_pair(n, "n"), crop_positions(n, k), as_pair(min_patch, "min_patch"), strict=True)
    jy, jx = (max(1, (side + 1 - least) // m) for side, m, least in axes)
    return jy, jx


def patch_size(n: SizeLike, k: SizeLike, order: SizeLike) -> tuple[int, int]:
    """Side of the patches that a lattice of this order scores, `t = n - j*m + 1`.

    Since `t + (j - 1)*m = k`, the patch at `a` lies inside the crop at `a mod m`.

    Args:
        n: Image side, or (height, width).
        k: Crop side, or (height, width).
        order: Lattice order, or one per axis.

    Returns:
        (t_y, t_x). Order 1 returns the crop size.

    Source: this library, Theorem 3. Geometry only: no assumption on the score.

    Example:
        >>> patch_size(256, 224, 7)
        (26, 26)
        >>> patch_size((224, 320), 140, (2, 1))
        (55, 140)
    """
    image, places, orders = as_pair(n, "n"), crop_positions(n, k), as_pair(order, "order")
    ty, tx = (i - j * m + 1 for i, m, j in zip(image, places, orders, strict=True))
    if min(ty, tx) < 1:
        most = tuple(i // m for i, m in zip(image, places, strict=True))
        raise ValueError(
            f"Expected `order` to be at most {most} for crops of {as_pair(k, 'k')} "
            f"out of {image}, but got {orders}."
        )
    return ty, tx


# ---------------------------------------------------------------------------------------------
# Guarantees
# ---------------------------------------------------------------------------------------------


def robustness_bound(
    n: SizeLike, k: SizeLike, delta: int, order: SizeLike | None = None
) -> Fraction:
    """Probability that no shift within `delta` pixels changes the crop: adversarial robustness.

    The product over the axes of `j(m - 2D) / (jm + 2D)`, 0 where `m <= 2D`. For order 1 it is
    the exact probability that the crop stays, for higher orders a lower bound on it.

    Args:
        n: Image side, or (height, width).
        k: Crop side, or (height, width).
        delta: Largest shift D in pixels along either axis.
        order: Lattice order, or one per axis; 1 is plain RICS, the paper's. Default: the
            `lattice_order`, that of the default score.

    Returns:
        A fraction between 0 and 1.

    Assumes Definition 1 of Shifman & Weiss 2024: the maximum of the score is equally likely at
    any position. The probability is over scenes.

    Source: Shifman & Weiss 2024, Theorem 1 (order 1); this library, Theorem 3 (any order).

    Example:
        >>> round(float(robustness_bound(256, 224, 1)), 4)
        0.8674
        >>> round(float(robustness_bound(256, 224, 1, order=1)), 4)
        0.7845
        >>> round(float(robustness_bound(224, 140, 1, order=1)), 4)
        0.9102
    """
    d = as_int(delta, "delta", 0)
    return _product(Fraction(j * max(m - 2 * d, 0), j * m + 2 * d) for m, j in _axes(n, k, order))


def consistency_bound(
    n: SizeLike, k: SizeLike, delta: int, order: SizeLike | None = None
) -> Fraction:
    """Least probability that one shift within `delta` pixels keeps the crop: consistency.

    The product over the axes of `j(m - D) / (jm + D)`, 0 where `m <= D`. It holds for each
    shift within D and hence for any way to draw one at random.

    Args:
        n: Image side, or (height, width).
        k: Crop side, or (height, width).
        delta: Largest shift D in pixels along either axis.
        order: Lattice order, or one per axis; 1 is plain RICS, the paper's. Default: the
            `lattice_order`, that of the default score.

    Returns:
        A fraction between 0 and 1.

    Assumes Definition 1 of Shifman & Weiss 2024: the maximum of the score is equally likely at
    any position. The probability is over scenes.

    Source: Shifman & Weiss 2024, Eq. 4 (order 1); this library for higher orders.

    Example:
        >>> round(float(consistency_bound(256, 224, 1)), 4)
        0.9322
        >>> round(float(consistency_bound(224, 140, 1, order=1)), 4)
        0.954
    """
    d = as_int(delta, "delta", 0)
    return _product(Fraction(j * max(m - d, 0), j * m + d) for m, j in _axes(n, k, order))


def shift_consistency(
    n: SizeLike, k: SizeLike, shift: SizeLike, order: SizeLike | None = None
) -> Fraction:
    """Probability that one given shift keeps the crop.

    With `N = jm` patch positions per axis, the patches that keep the crop over the patches of
    both windows:

        j_y (m_y - |dy|) * j_x (m_x - |dx|)  /  (2 N_y N_x - (N_y - |dy|)(N_x - |dx|))

    and 0 where a shift reaches m. Exact for order 1, a lower bound for higher orders.

    Args:
        n: Image side, or (height, width).
        k: Crop side, or (height, width).
        shift: (dy, dx) in pixels, of either sign; an int is that shift along both axes.
        order: Lattice order, or one per axis; 1 is plain RICS, the paper's. Default: the
            `lattice_order`, that of the default score.

    Returns:
        A fraction between 0 and 1; 1 for the shift (0, 0).

    Assumes Definition 1 of Shifman & Weiss 2024: the maximum of the score is equally likely at
    any position. The probability is over scenes.

    Source: this library, by the counting argument behind Theorem 1 of Shifman & Weiss 2024.

    Example:
        >>> shift_consistency(224, 140, (0, -5), order=1)
        Fraction(8, 9)
        >>> round(float(shift_consistency(256, 224, (3, 3))), 4)
        0.8057
    """
    dy, dx = as_pair(shift, "shift", minimum=None)
    return _shared(_axes(n, k, order), (abs(dy), abs(dx)))


def expected_consistency(
    n: SizeLike, k: SizeLike, delta: int, order: SizeLike | None = None
) -> Fraction:
    """Probability that a shift drawn uniformly within `delta` pixels keeps the crop.

    The mean of `shift_consistency` over all `(2D + 1)^2` shifts, the unshifted one included.
    Exact for order 1, a lower bound for higher orders; never below `consistency_bound`.

    Args:
        n: Image side, or (height, width).
        k: Crop side, or (height, width).
        delta: Largest shift D in pixels along either axis.
        order: Lattice order, or one per axis; 1 is plain RICS, the paper's. Default: the
            `lattice_order`, that of the default score.

    Returns:
        A fraction between 0 and 1.

    Assumes Definition 1 of Shifman & Weiss 2024: the maximum of the score is equally likely at
    any position. The probability is over scenes and shifts.

    Source: this library; sharpens Eq. 4 of Shifman & Weiss 2024 for a uniform shift.

    Example:
        >>> round(float(expected_consistency(224, 140, 9, order=1)), 4)
        0.8072
    """
    d, axes = as_int(delta, "delta", 0), _axes(n, k, order)
    rows, columns = (range(min(d, m - 1) + 1) for m, _ in axes)  # from m on nothing is shared
    quadrant = product(rows, columns)
    total = sum((_mirrors(s) * _shared(axes, s) for s in quadrant), start=Fraction(0))
    return total / (2 * d + 1) ** 2


# ---------------------------------------------------------------------------------------------
# Limits
# ---------------------------------------------------------------------------------------------


def robustness_limit(n: SizeLike, k: SizeLike, delta: int) -> Fraction:
    """The most that any rule can promise: no shift within `delta` pixels changes the crop.

    The product over the axes of `(m - 2D) / m`, 0 where `m <= 2D`. One crop of a scene is seen
    by the m x m windows that contain it; those from which no shift within D leads to another
    choice are at most that share of them. `robustness_bound` tends to it as the order grows.

    Args:
        n: Image side, or (height, width).
        k: Crop side, or (height, width).
        delta: Largest shift D in pixels along either axis.

    Returns:
        A fraction between 0 and 1.

    Assumes nothing about the score, so Definition 1 of Shifman & Weiss 2024 is not needed: it
    holds for every rule that depends on the window alone, on average over the positions of the
    window. Scenes that look different at their centre (most photographs) can exceed it.

    Source: this library, for the adversary of Theorem 1 of Shifman & Weiss 2024.

    Example:
        >>> round(float(robustness_limit(224, 140, 1)), 4)
        0.9535
    """
    d = as_int(delta, "delta", 0)
    return _product(Fraction(max(m - 2 * d, 0), m) for m in crop_positions(n, k))


def consistency_limit(n: SizeLike, k: SizeLike, delta: int) -> Fraction:
    """What the consistency of a lattice tends to as its order grows, for a uniform shift.

    The mean over all `(2D + 1)^2` shifts, the unshifted one included, of the product over the
    axes of `(m - |d|) / m` (0 where `|d| >= m`). `expected_consistency` never exceeds it. Unlike
    `robustness_limit` it is not a ceiling for every conceivable rule: one that gives each crop a
    hexagon of windows instead of a square gains up to a few tenths of a percentage point.

    Args:
        n: Image side, or (height, width).
        k: Crop side, or (height, width).
        delta: Largest shift D in pixels along either axis.

    Returns:
        A fraction between 0 and 1.

    Assumes Definition 1 of Shifman & Weiss 2024: the maximum of the score is equally likely at
    any position. The probability is over scenes and shifts.

    Source: this library; the limit of `expected_consistency`, which sharpens Eq. 4.

    Example:
        >>> round(float(consistency_limit(224, 140, 9)), 4)
        0.8917
    """
    d = as_int(delta, "delta", 0)
    return _product(
        Fraction(m + 2 * sum(range(max(m - d, 0), m)), m * (2 * d + 1))
        for m in crop_positions(n, k)
    )


# ---------------------------------------------------------------------------------------------
# Planning
# ---------------------------------------------------------------------------------------------


def crop_size_for(
    n: SizeLike, delta: int, target: float | Fraction, order: SizeLike | None = None
) -> int:
    """Largest square crop whose `robustness_bound` reaches a target.

    Larger crops keep more of the image, smaller ones promise more. The bound of a lattice need
    not fall steadily with k, since the order changes with it, so every k is tried.

    Args:
        n: Image side, or (height, width).
        delta: Largest shift D in pixels along either axis.
        target: Robustness to guarantee, above 0 and at most 1. A float means the decimal it
            prints as: 0.9 is 9/10.
        order: Lattice order, or one per axis; 1 is plain RICS, the paper's. Default: the
            `lattice_order` of each crop size, as for the default score. Crop sizes too small for a
            given order are skipped.

    Returns:
        k, at most the shorter side of the image.

    Raises:
        ValueError: If no crop size reaches the target. The message names the best one.

    Assumes Definition 1 of Shifman & Weiss 2024: the maximum of the score is equally likely at
    any position. The probability is over scenes.

    Source: Shifman & Weiss 2024, Theorem 1 (order 1); this library, Theorem 3 (any order).

    Example:
        >>> crop_size_for(256, 1, 0.9)
        210
        >>> robustness_bound(256, 210, 1) >= 0.9 > robustness_bound(256, 211, 1)
        True
        >>> crop_size_for(256, 1, 0.9, order=1)
        181
    """
    image, d, goal = as_pair(n, "n"), as_int(delta, "delta", 0), _as_probability(target)
    orders = None if order is None else as_pair(order, "order")
    sizes = range(_smallest_crop(image, orders or (1, 1)), min(image) + 1)
    if not sizes:
        raise ValueError(f"Expected `order` to fit an image of {image}, but got {orders}.")
    bounds = {k: robustness_bound(image, k, d, orders) for k in sizes}
    if reached := [k for k, bound in bounds.items() if bound >= goal]:
        return max(reached)
    k, bound = max(bounds.items(), key=lambda item: item[1])
    raise ValueError(
        f"Expected `target` to be at most {int(bound * 10**4) / 10**4}, which k={k} reaches for "
        f"an image of {image} and shifts within {d}, but got {target}."
    )


def _smallest_crop(image: tuple[int, int], orders: tuple[int, int]) -> int:
    """Smallest square crop that leaves patches of a pixel or more at these orders."""
    return max(i + 1 - i // j for i, j in zip(image, orders, strict=True))


# ---------------------------------------------------------------------------------------------
# Counting
# ---------------------------------------------------------------------------------------------


def _axes(n: SizeLike, k: SizeLike, order: SizeLike | None) -> list[tuple[int, int]]:
    """(m, j) of each axis, for an order that fits."""
    orders = lattice_order(n, k) if order is None else as_pair(order, "order")
    patch_size(n, k, orders)
    return list(zip(crop_positions(n, k), orders, strict=True))


def _shared(axes: list[tuple[int, int]], shift: tuple[int, int]) -> Fraction:
    """Patches that keep the crop under a shift >= 0, over the patches of both windows."""
    if any(d >= m for (m, _), d in zip(axes, shift, strict=True)):
        return Fraction(0)
    keep = prod(j * (m - d) for (m, j), d in zip(axes, shift, strict=True))
    both = prod(j * m - d for (m, j), d in zip(axes, shift, strict=True))
    return Fraction(keep, 2 * prod(j * m for m, j in axes) - both)


def _mirrors(shift: tuple[int, int]) -> int:
    """How many shifts equal this one up to signs."""
    return prod(2 if d else 1 for d in shift)


def _product(factors: Iterable[Fraction]) -> Fraction:
    return prod(factors, start=Fraction(1))


# ---------------------------------------------------------------------------------------------
# Arguments
# ---------------------------------------------------------------------------------------------


def _as_probability(target: float | Fraction) -> Fraction:
    as_number(target, "target", 1)
    return Fraction(str(target))
