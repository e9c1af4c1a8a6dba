"""What the library computes, once more: slowly, from the definitions, in Python integers and NumPy.

A score is written as a function of one patch (``[C, h, w]`` as int64), which is what a score is by
definition; maps, selection and the crops of all windows follow from it by plain loops. Images are
NumPy arrays ``[T, C, H, W]`` of int64, T frames sharing a crop.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache, lru_cache, partial
from itertools import product
from math import floor
from typing import Any

import numpy as np
import torch

from rics_transforms import Hash, Lattice, MexicanHat, Random, Saliency, Score
from rics_transforms.engine.scores import Level, mexican_hat_factors

Array = np.ndarray[Any, Any]
Pair = tuple[int, int]
PatchScore = Callable[[Array], int]

WORD = 2**64


def signed(value: int, bits: int = 64) -> int:
    """The two's complement integer with the lowest bits of `value`."""
    value %= 2**bits
    return value - 2**bits if value >= 2 ** (bits - 1) else value


# --- images --------------------------------------------------------------------------------------


def integer_image(x: Array) -> Array:
    """Floats on the grid of 1/255, ties to even; float64 in float64, all others in float32."""
    if x.dtype.kind != "f":
        return x.astype(np.int64)
    wide = x if x.dtype == np.float64 else x.astype(np.float32)
    return np.rint(wide * wide.dtype.type(255)).astype(np.int64)


def windows(image: Array, size: Pair, cyclic: bool = False) -> dict[Pair, Array]:
    """Every window ``[..., h, w]`` of ``[..., H, W]`` by its (top, left), row by row."""
    height, width = image.shape[-2:]
    if cyclic:
        return {
            (y, x): np.roll(image, (-y, -x), (-2, -1))[..., : size[0], : size[1]]
            for y, x in product(range(height), range(width))
        }
    return {
        (y, x): image[..., y : y + size[0], x : x + size[1]]
        for y, x in product(range(height - size[0] + 1), range(width - size[1] + 1))
    }


def over_patches(function: Callable[[Array], int], image: Array, size: Pair) -> list[list[int]]:
    """A function of a patch at every place of the image, as nested lists."""
    values = {place: function(patch) for place, patch in windows(image, size).items()}
    rows, columns = image.shape[-2] - size[0] + 1, image.shape[-1] - size[1] + 1
    return [[values[y, x] for x in range(columns)] for y in range(rows)]


def correlate(field: Array, kernel: Array) -> list[list[int]]:
    """Sums of products with a kernel at every place, in Python integers."""
    weights = [int(w) for w in kernel.ravel()]

    def one(patch: Array) -> int:
        return sum(int(v) * w for v, w in zip(patch.ravel(), weights, strict=True))

    return over_patches(one, field, (kernel.shape[0], kernel.shape[1]))


# --- the Mexican hat by additions ----------------------------------------------------------------


def bell_and_arm(span: int) -> tuple[Array, int]:
    """A bell from adding shifted copies of one pixel, and the reach of the Laplacian."""
    arm = max(1, math.floor(0.14 * span + 0.5))
    left, steps = span - 1 - 2 * arm, []
    while left > 0:
        steps.append(math.ceil(left / 4))
        left -= steps[-1]
    bell = np.ones(1, dtype=np.int64)
    for step in steps:
        bell = np.append(bell, np.zeros(step, np.int64)) + np.append(np.zeros(step, int), bell)
    return bell, arm


def hat_shift(span: Pair) -> int:
    """Bits dropped from a smoothed row: what the number of doublings exceeds 17 by."""
    return max(0, sum(round(math.log2(bell_and_arm(s)[0].sum())) for s in span) - 17)


def hat_kernel(span: Pair) -> Array:
    """The integer kernel of the hat where nothing is shifted away."""
    (bell_y, arm_y), (bell_x, arm_x) = map(bell_and_arm, span)
    kernel = np.zeros(span, np.int64)
    for dy, dx, weight in (
        (0, 0, 4),
        (-arm_y, 0, -1),
        (arm_y, 0, -1),
        (0, -arm_x, -1),
        (0, arm_x, -1),
    ):
        kernel[arm_y + dy :, arm_x + dx :][: len(bell_y), : len(bell_x)] += weight * np.outer(
            bell_y, bell_x
        )
    return kernel


def hat_of(field: Array, span: Pair) -> int:
    """Response of one patch ``[h, w]``: the hat lies centred in it."""
    top, left = ((room - s) // 2 for room, s in zip(field.shape, span, strict=True))
    field = field[top : top + span[0], left : left + span[1]]
    (bell_y, arm_y), (bell_x, arm_x) = map(bell_and_arm, span)
    rows = np.stack([np.correlate(row, bell_x, "valid") for row in field])
    rows = rows // 2 ** hat_shift(span)
    smooth = np.stack([np.correlate(column, bell_y, "valid") for column in rows.T], 1)
    centre = smooth[arm_y, arm_x]
    ends = smooth[0, arm_x] + smooth[2 * arm_y, arm_x]
    ends += smooth[arm_y, 0] + smooth[arm_y, 2 * arm_x]
    return int(4 * centre - ends)


def hat_span(room: int, sigma: float | None) -> Pair:
    """The widest span whose sigma, from the variances of its parts, is not above the given one."""

    def width(span: int) -> float:
        bell, arm = bell_and_arm(span)
        place = np.arange(len(bell)) - (len(bell) - 1) / 2
        return math.sqrt((bell * place**2).sum() / bell.sum() + arm**2 / 6)

    if sigma is None:
        return room, room
    span = max(s for s in range(3, room + 1) if width(s) <= sigma + 1e-12)
    return span, span


def gradient_magnitude(field: Array) -> Array:
    height, width = field.shape
    return np.array(
        [
            [
                abs(int(field[y + 1, x]) - int(field[y, x]))
                + abs(int(field[y, x + 1]) - int(field[y, x]))
                for x in range(width - 1)
            ]
            for y in range(height - 1)
        ],
        dtype=np.int64,
    )


# --- hashes --------------------------------------------------------------------------------------


def splitmix(index: int) -> int:
    z = (index * 0x9E3779B97F4A7C15) % WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % WORD
    return z ^ (z >> 31)


ROW, COLUMN, MIX = splitmix(1) | 1, splitmix(2) | 1, splitmix(3) | 1


def mix(z: int) -> int:
    z %= WORD
    return (z ^ (z >> 32)) * MIX % WORD


def unmix(z: int) -> int:
    """The inverse of `mix`."""
    z = z % WORD * pow(MIX, -1, WORD) % WORD
    return z ^ (z >> 32)


@cache
def power(base: int, exponent: int) -> int:
    return pow(base, exponent, WORD)


def rolling_hash_of(field: Array) -> int:
    """Rabin-Karp of one patch: rows modulo 2^32, columns of them modulo 2^64, then `mix`."""
    rows = [signed(sum(int(p) * power(COLUMN, v) for v, p in enumerate(row)), 32) for row in field]
    return signed(mix(sum(r * power(ROW, u) for u, r in enumerate(rows))))


def content_hash_of(patch: Array) -> int:
    """Hash of one crop ``[C, h, w]``: two halves of a power of two, overlapping if need be."""
    channels = range(patch.shape[0])
    weights = [splitmix(16 + c) | 1 for c in channels]
    leaf = [
        [sum(int(patch[c, y, x]) * weights[c] for c in channels) for x in range(patch.shape[2])]
        for y in range(patch.shape[1])
    ]

    def join(values: list[int], constant: int) -> int:
        if len(values) == 1:
            return values[0]
        half = 1
        while 2 * half < len(values):
            half *= 2
        return mix(join(values[:half], constant) * constant + join(values[-half:], constant))

    return signed(join([join(row, COLUMN) for row in leaf], ROW))


# --- scores --------------------------------------------------------------------------------------


def hash_score(patch: Array) -> int:
    return rolling_hash_of(patch.sum(0))


@lru_cache
def gaussian_taps(size: Pair, seed: int) -> Array:
    """Sums of twelve 16-bit numbers, each the top bits of a counter that is mixed three times."""
    taps = []
    for place in range(size[0] * size[1]):
        total = 0
        for part in range(12):
            z = 12 * place + part + (seed << 31)
            for _ in range(3):
                z = mix(z * COLUMN)
            total += signed(z >> 48, 16)
        taps.append(total // 16)
    return np.array(taps, dtype=np.int64).reshape(size)


def random_score(patch: Array, *, seed: int, modulus: int) -> int:
    taps = gaussian_taps((patch.shape[1], patch.shape[2]), seed)
    return sum(int(a) * int(b) for a, b in zip(patch.sum(0).flat, taps.flat, strict=True)) % modulus


@lru_cache
def paper_hat_kernel(size: Pair, sigma: float) -> Array:
    (u_y, g_y), (u_x, g_x) = (mexican_hat_factors(length, sigma) for length in size)
    return np.outer(u_y, g_x) + np.outer(g_y, u_x)


def mexican_hat_score(patch: Array, *, sigma: float) -> int:
    kernel = paper_hat_kernel((patch.shape[1], patch.shape[2]), sigma)
    return int((patch.sum(0) * kernel).sum())


def blob_score(patch: Array, *, sigma: float | None) -> int:
    return hat_of(patch.sum(0), hat_span(min(patch.shape[1:]), sigma))


def saliency_score(patch: Array, *, sigma: float | None) -> int:
    edges = gradient_magnitude(patch.sum(0))
    return hat_of(edges, hat_span(min(edges.shape), sigma))


def alone(level: Level, patch: Array) -> int:
    """A level's score of a patch that stands alone: for scores that have no reference here."""
    tensor = torch.from_numpy(patch.copy())
    tensor = tensor.to(torch.uint8 if patch.min() >= 0 and patch.max() <= 255 else torch.int32)
    return int(level.patch_map(tensor, (patch.shape[1], patch.shape[2])).item())


@cache  # so that equal scores have the same functions, by which maps are remembered
def levels(score: Score, t: Pair) -> list[tuple[PatchScore, bool]]:
    """The levels of a score for patches of t, and whether only local maxima may win."""
    found: list[tuple[PatchScore, bool]]
    smooth = min(t) >= 4
    match score:
        case Hash() | Lattice(patch="hash"):
            found = []
        case Random():
            return [(partial(random_score, seed=score.seed, modulus=score.modulus), False)]
        case MexicanHat():
            sigmas = score.sigma or [s * min(t) / 140 for s in (50, 20, 9)]
            assert not isinstance(sigmas, (int, float))
            found = [(partial(mexican_hat_score, sigma=s), True) for s in sigmas]
            found = found if min(t) >= 3 else []
        case Saliency() | Lattice(patch="saliency"):
            found = [(partial(saliency_score, sigma=score.sigma), True)] if smooth else []
        case Lattice():
            found = [(partial(blob_score, sigma=score.sigma), True)] if smooth else []
        case _:
            found = [(partial(alone, level), level.nms) for level in score.levels(t)]
            if found and not found[-1][1]:
                return found
    return [*found, (hash_score, False)]


def order_for(score: Score, n: Pair, k: Pair) -> Pair:
    if not isinstance(score, Lattice):
        return score.order_for(n, k)
    if score.order is not None:
        assert isinstance(score.order, tuple)
        return score.order
    jy, jx = (
        max(j for j in range(1, a + 1) if j == 1 or a - j * (a - b + 1) + 1 >= 16)
        for a, b in zip(n, k, strict=True)
    )
    return jy, jx


def patch_side(score: Score, n: Pair, k: Pair) -> Pair:
    order = order_for(score, n, k)
    ty, tx = (a - j * (a - b + 1) + 1 for a, b, j in zip(n, k, order, strict=True))
    return ty, tx


# --- selection -----------------------------------------------------------------------------------


def crop_of_patch(patch: Pair, n: Pair, k: Pair, t: Pair, cyclic: bool) -> Pair:
    """The crop that a patch selects: a mod m, or on the torus the one with the patch centred."""
    if cyclic:
        y, x = ((a - (c - s) // 2) % side for a, side, c, s in zip(patch, n, k, t, strict=True))
    else:
        y, x = (a % (side - c + 1) for a, side, c in zip(patch, n, k, strict=True))
    return y, x


def patch_scores(
    image: Array, function: PatchScore, t: Pair, cyclic: bool = False
) -> dict[Pair, int]:
    """Scores of all patches of ``[T, C, H, W]``, the frames' added, row by row."""
    return _patch_scores(image.tobytes(), image.shape, function, t, cyclic)


@lru_cache(maxsize=256)
def _patch_scores(
    content: bytes, shape: tuple[int, ...], function: PatchScore, t: Pair, cyclic: bool
) -> dict[Pair, int]:
    image = np.frombuffer(content, np.int64).reshape(shape)
    return {
        place: signed(sum(function(frame) for frame in patch))
        for place, patch in windows(image, t, cyclic).items()
    }


def is_local_maximum(scores: dict[Pair, int], place: Pair, size: Pair, cyclic: bool) -> bool:
    """Away from the edge and at least as large as its eight neighbours."""
    for step in product((-1, 0, 1), repeat=2):
        y, x = place[0] + step[0], place[1] + step[1]
        if cyclic:
            y, x = y % size[0], x % size[1]
        if (y, x) not in scores or scores[y, x] > scores[place]:
            return False
    return True


def select(
    image: Array, k: Pair, score: Score, cyclic: bool = False, content: bool = True
) -> tuple[Pair, int]:
    """The origin of the best crop of ``[T, C, H, W]``, and the number of the level that decided.

    Among equal scores the crop with the largest content hash wins (all but its lowest bit), among
    equal hashes the first in raster order. Without `content` the first in any case.
    """
    n = image.shape[-2], image.shape[-1]
    t = patch_side(score, n, k)
    for number, (function, nms) in enumerate(levels(score, t)):
        scores = patch_scores(image, function, t, cyclic)
        places = list(scores)
        if nms:
            size = max(places)[0] + 1, max(places)[1] + 1
            places = [p for p in places if is_local_maximum(scores, p, size, cyclic)]
        if not places:
            continue
        best = max(scores[p] for p in places)
        origins = [crop_of_patch(p, n, k, t, cyclic) for p in places if scores[p] == best]
        if len(set(origins)) > 1 and content:
            crops = windows(image, k, cyclic)
            keys = [content_hash_of(crops[o].reshape(-1, *k)) // 2 for o in origins]
            return origins[keys.index(max(keys))], number
        return origins[0], number
    raise AssertionError("the last level decides always")


def peak(around: list[list[int]]) -> tuple[int, Pair]:
    """Height of the quadratic surface through 3 x 3 scores at its peak, and where: in 1/64 px.

    At (y, x) it lies ``g_y y + g_x x - (a y^2 + b x^2) / 2 + c x y`` above the middle score. The
    differences are divided by one integer until 21 bits hold them.
    """
    drops = [[around[1][1] - value for value in row] for row in around]
    unit = max(map(max, drops)) // 2**20 + 1
    (nw, n, ne), (w, _, e), (sw, s, se) = [[drop // unit for drop in row] for row in drops]
    g_y, g_x = Fraction(n - s, 2), Fraction(w - e, 2)
    a, b, c = max(n + s, 1), max(w + e, 1), Fraction(ne + sw - nw - se, 4)
    if c * c >= a * b:  # no single peak: each axis by itself
        c = Fraction(0)
    determinant = a * b - c * c
    y = _parts((b * g_y + c * g_x) / determinant)
    x = _parts((a * g_x + c * g_y) / determinant)
    v, u = Fraction(y, 64), Fraction(x, 64)
    rise = g_y * v + g_x * u - (a * v * v + b * u * u) / 2 + c * u * v
    return around[1][1] + floor(Fraction(floor(128 * rise) * unit, 128)), (y, x)


def _parts(place: Fraction) -> int:
    """In 1/64, the nearest one, halves away from 0; at most 38."""
    size = min(floor(64 * abs(place) + Fraction(1, 2)), 38)
    return size if place >= 0 else -size


def select_between(image: Array, k: Pair, score: Score, cyclic: bool = False) -> Pair:
    """The origin of the best crop of ``[T, C, H, W]`` between the pixels, in 1/64 px."""
    n = image.shape[-2], image.shape[-1]
    t = patch_side(score, n, k)
    for function, nms in levels(score, t):
        scores = patch_scores(image, function, t, cyclic)
        size = max(scores)[0] + 1, max(scores)[1] + 1
        peaks = {p: (scores[p], (0, 0)) for p in scores}
        if nms:
            peaks = {
                p: peak(surroundings(scores, p, size))
                for p in scores
                if is_local_maximum(scores, p, size, cyclic)
            }
        if not peaks:
            continue
        best = max(height for height, _ in peaks.values())
        places = [p for p, (height, _) in peaks.items() if height == best]
        origins = [crop_of_patch(p, n, k, t, cyclic) for p in places]
        first = 0
        if len(set(origins)) > 1:
            crops = windows(image, k, cyclic)
            keys = [content_hash_of(crops[o].reshape(-1, *k)) // 2 for o in origins]
            first = keys.index(max(keys))
        fraction = peaks[places[first]][1]
        y, x = (
            _place(64 * a + f, side, c, s, cyclic)
            for a, f, side, c, s in zip(places[first], fraction, n, k, t, strict=True)
        )
        return y, x
    raise AssertionError("the last level decides always")


def surroundings(scores: dict[Pair, int], place: Pair, size: Pair) -> list[list[int]]:
    return [
        [scores[(place[0] + y) % size[0], (place[1] + x) % size[1]] for x in (-1, 0, 1)]
        for y in (-1, 0, 1)
    ]


def _place(patch: int, side: int, c: int, s: int, cyclic: bool) -> int:
    """The crop's origin from its patch's, in 1/64 px: modulo n, or within [-1/2, m - 1/2)."""
    if cyclic:
        return (patch - 64 * ((c - s) // 2)) % (64 * side)
    m = side - c + 1
    return patch if c == s else (patch + 32) % (64 * m) - 32


@cache
@cache
def taps(phase: int, lobes: int) -> list[Fraction]:
    """Lanczos weights for ``phase / 64``, in 1/4096: of pixels ``1 - lobes`` to `lobes`."""
    x = np.arange(1 - lobes, lobes + 1) - phase / 64
    weights = np.sinc(x) * np.sinc(x / lobes)
    rounded = [round(value) for value in (4096 * weights / weights.sum()).tolist()]
    largest = [i for i, value in enumerate(rounded) if value == max(rounded)]
    share = (4096 - sum(rounded)) // len(largest)
    for i in largest:
        rounded[i] += share
    return [Fraction(value, 4096) for value in rounded]


def resample(plane: Array, place: Pair, size: Pair, cyclic: bool) -> list[list[Fraction]]:
    """The crop of ``[H, W]`` at (top, left) in 1/64 px, before it is rounded to grey levels.

    Bytes are rounded to quarters of a grey level between the two axes.
    """
    lobes = 16 if cyclic else 5
    (top, down), (left, across) = (divmod(p, 64) for p in place)

    def at(y: int, x: int) -> int:
        if cyclic:
            return int(plane[y % plane.shape[0], x % plane.shape[1]])
        return int(plane[min(max(y, 0), len(plane) - 1), min(max(x, 0), plane.shape[1] - 1)])

    @cache
    def column(y: int, x: int) -> Fraction:
        total = sum(w * at(top + y + i + 1 - lobes, x) for i, w in enumerate(taps(down, lobes)))
        byte = plane.dtype == np.uint8
        return Fraction(floor(4 * total + Fraction(1, 2)), 4) if byte else Fraction(total)

    return [
        [
            sum(
                (
                    w * column(y, left + x + i + 1 - lobes)
                    for i, w in enumerate(taps(across, lobes))
                ),
                Fraction(0),
            )
            for x in range(size[1])
        ]
        for y in range(size[0])
    ]


def crop_map(
    image: Array, k: Pair, score: Score, level: int = 0, cyclic: bool = False
) -> list[list[int]]:
    """The score of every crop: the best of the patches that select it."""
    n = image.shape[-2], image.shape[-1]
    t = patch_side(score, n, k)
    size = n if cyclic else (n[0] - k[0] + 1, n[1] - k[1] + 1)
    best: dict[Pair, int] = {}
    for patch, value in patch_scores(image, levels(score, t)[level][0], t, cyclic).items():
        origin = crop_of_patch(patch, n, k, t, cyclic)
        best[origin] = max(best.get(origin, value), value)
    return [[best[y, x] for x in range(size[1])] for y in range(size[0])]


# --- degenerate images ---------------------------------------------------------------------------


def _draw(height: int, width: int, function: Callable[[int, int], int]) -> torch.Tensor:
    return torch.tensor([[function(y, x) for x in range(width)] for y in range(height)])


def _random(seed: int, high: int, *shape: int) -> torch.Tensor:
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))


def _colour_swapped(height: int, width: int) -> torch.Tensor:
    """The right half is the left one with red and blue exchanged: channel sums cannot tell."""
    half = _random(3, 256, 3, height, width // 2)
    return torch.cat([half, half.flip(0), half[..., : width % 2]], -1)


ZOO: dict[str, Callable[[int, int], torch.Tensor]] = {
    "constant": lambda h, w: torch.full((h, w), 77),
    "black": lambda h, w: torch.zeros(h, w),
    "white": lambda h, w: torch.full((h, w), 255),
    "tiles": lambda h, w: _random(1, 256, 3, 6, 8).repeat(1, h // 6 + 1, w // 8 + 1)[:, :h, :w],
    "horizontal stripes": lambda h, w: _draw(h, w, lambda y, x: 255 * (y % 4 < 2)),
    "vertical stripes": lambda h, w: _draw(h, w, lambda y, x: 90 * (x % 3)),
    "checkerboard": lambda h, w: _draw(h, w, lambda y, x: 255 * ((y + x) % 2)),
    "two values": lambda h, w: 255 * _random(2, 2, h, w),
    "one pixel": lambda h, w: _draw(h, w, lambda y, x: 255 * ((y, x) == (h // 3, w // 2))),
    "colour-swapped halves": _colour_swapped,
    "Thue-Morse": lambda h, w: _draw(
        h, w, lambda y, x: 255 * ((y.bit_count() + x.bit_count()) % 2)
    ),
    "zeros and ones": lambda h, w: _random(4, 2, 3, h, w),
    "ramp": lambda h, w: _draw(h, w, lambda y, x: min(255, 3 * y + 2 * x)),
}


def zoo_image(name: str, height: int, width: int) -> torch.Tensor:
    """A degenerate image, uint8 ``[3, height, width]``."""
    return ZOO[name](height, width).to(torch.uint8).expand(3, -1, -1).clone()


def as_array(pixels: torch.Tensor) -> Array:
    """An integer image ``[C, H, W]`` or ``[T, C, H, W]`` for this module."""
    return pixels.to(torch.int64).numpy().reshape(-1, *pixels.shape[-3:])
