"""Cut crops at fractions of a pixel: by Lanczos taps along each axis, in fixed point.

Integers stay integers: bytes are resampled down the columns into 1/4 grey levels, then across the
rows, and rounded to the nearest; a place on the grid copies the pixels. Floats use the same taps,
and gradients flow through them. In the plane ten taps are enough for a network to see the same; a
torus has no border that longer ones could leave, and 32 come close to the Fourier shift theorem.
"""

from __future__ import annotations

import math
from array import array
from functools import reduce
from itertools import chain
from math import prod

import torch
from torch import Tensor

from rics_transforms._arguments import Size
from rics_transforms.engine import native
from rics_transforms.engine.forks import use_one_thread_if_forked
from rics_transforms.engine.geometry import UNIT
from rics_transforms.engine.tracing import cached, can_branch_on

LOBES, TORUS_LOBES = 5, 16
"""How many pixels the Lanczos kernel reaches to each side, in the plane and on a torus."""

ONE = 2**12
"""The sum of the taps."""


def _taps(lobes: int) -> tuple[tuple[int, ...], ...]:
    return tuple(_weights(phase, lobes) for phase in range(UNIT))


def _weights(phase: int, lobes: int) -> tuple[int, ...]:
    offsets = [(UNIT * i - phase) / UNIT for i in range(1 - lobes, 1 + lobes)]
    weights = [_sinc(x) * _sinc(x / lobes) for x in offsets]
    rounded = [round(ONE * weight / sum(weights)) for weight in weights]
    left, largest = ONE - sum(rounded), max(rounded)
    share = left // rounded.count(largest)
    return tuple(weight + share * (weight == largest) for weight in rounded)


def _sinc(x: float) -> float:
    if x == int(x):
        return float(x == 0)
    return math.sin(math.pi * x) / (math.pi * x)


TAPS, TORUS_TAPS = _taps(LOBES), _taps(TORUS_LOBES)
"""The weights of the nearest pixels, in 1/4096, for every 1/64 px: ten in the plane, 32 on a torus.

The Lanczos kernel ``sinc(x) sinc(x / lobes)`` (Duchon 1979), scaled to sum to one. What rounding
leaves goes to the largest weight, or half to each of two: flat images stay flat, and mirrored ones
mirrored. Below 0.8 of the highest frequency the longer taps differ from an exact shift by at most
0.6 %, of which rounding accounts for 0.1.
"""

_PACKED, _TORUS_PACKED = (array("h", chain(*taps)).tobytes() for taps in (TAPS, TORUS_TAPS))


def resample(
    images: Tensor, places: Tensor, size: Size, *, cyclic: bool = False, selected: bool = False
) -> Tensor:
    """The crop of each image at its place between the pixels.

    The taps reach up to five pixels beyond the crop, and where that leaves the image, its border is
    repeated. With `cyclic` they reach 16, and the image wraps around.

    Args:
        images: ``[B, ..., H, W]`` of any real dtype.
        places: int64 ``[B, 2]``: (top, left) in 1/64 px.
        size: ``(h, w)``, at most ``(H, W)``.
        cyclic: whether a crop that reaches the border continues at the opposite one.
        selected: whether `select` chose the places in these very images; others are validated.

    Returns:
        ``[B, ..., h, w]`` in the dtype of the images: integers to the nearest, within the range of
        their dtype.

    Raises:
        ValueError: for another number of places, or a crop that reaches beyond the border by more
            than half a pixel, on a torus by more than the image.

    Example:
        >>> edge = torch.tensor([[[0, 0, 0, 200, 200, 200]]], dtype=torch.uint8)
        >>> resample(edge, torch.tensor([[0, 96]]), (1, 3))
        tensor([[[  0, 100, 225]]], dtype=torch.uint8)
    """
    use_one_thread_if_forked()
    if not selected and can_branch_on(images) and can_branch_on(places):
        _require_inside(places.tolist(), images, size, cyclic)
    if images.dtype == torch.uint8 and can_branch_on(places) and native.copies(images):
        return native.resample(
            images, places, size, cyclic=cyclic, taps=_TORUS_PACKED if cyclic else _PACKED
        )
    whole = places.div(UNIT, rounding_mode="floor")
    phase = places - UNIT * whole
    weights = _table(cyclic, images.device)[phase]  # [B, 2, taps]
    wide = _as_wide(images)
    seen = _surroundings(wide, whole, size, weights.shape[-1], cyclic)
    if images.dtype == torch.uint8:
        rows = _shift_down(_combine(seen, weights[:, 0], -2), 10)
        return _shift_down(_combine(rows, weights[:, 1], -1), 14).clamp(0, 255).to(images.dtype)
    if images.is_floating_point():
        weights = weights.to(wide.dtype) / ONE
        return _combine(_combine(seen, weights[:, 0], -2), weights[:, 1], -1).to(images.dtype)
    weights = weights.to(torch.int64)
    levels = _shift_down(_combine(_combine(seen, weights[:, 0], -2), weights[:, 1], -1), 24)
    return _as_narrow(levels, images.dtype)


def _require_inside(places: list[list[int]], images: Tensor, size: Size, cyclic: bool) -> None:
    """One place for each image, at most half a pixel outside; on a torus, at most once around."""
    if len(places) != len(images):
        raise ValueError(f"Expected {len(images)} places, one per image, but got {len(places)}.")
    for place in places:
        for start, side, length in zip(place, size, images.shape[-2:], strict=True):
            beyond = UNIT * length if cyclic else UNIT // 2
            last = beyond + UNIT * (length if cyclic else length - side)
            if side > length or not -beyond <= start <= last:
                raise ValueError(
                    f"Expected a crop inside the image of {tuple(images.shape[-2:])}, but got "
                    f"origin {tuple(start / UNIT for start in place)} and size {size}."
                )


def reach_of_taps(places: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """First and last row, and column, that a crop in the plane needs: int64 ``[..., 2]`` each.

    Example:
        >>> reach_of_taps(torch.tensor([64, 65]), (10, 10))
        (tensor([ 1, -3]), tensor([10, 15]))
    """
    first = places.div(UNIT, rounding_mode="floor")
    last = first + torch.tensor(size, device=places.device) - 1
    between = (places != UNIT * first).to(torch.int64)
    return first - (LOBES - 1) * between, last + LOBES * between


@cached
def _table(cyclic: bool, device: torch.device) -> Tensor:
    return torch.tensor(TORUS_TAPS if cyclic else TAPS, dtype=torch.int32).to(device)


def _as_wide(images: Tensor) -> Tensor:
    """The images in a dtype that holds their products with the taps."""
    if images.is_floating_point():
        return images if images.dtype == torch.float64 else images.to(torch.float32)
    return images.to(torch.int32 if images.dtype == torch.uint8 else torch.int64)


def _as_narrow(levels: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype == torch.bool:
        return levels > 0
    limits = torch.iinfo(dtype)
    return levels.clamp(limits.min, min(limits.max, 2**63 - 1)).to(dtype)


def _surroundings(images: Tensor, whole: Tensor, size: Size, taps: int, cyclic: bool) -> Tensor:
    """The crops at whole places with all that the taps reach: `taps` - 1 more rows and columns."""
    height, width = images.shape[-2:]
    lines = []
    for axis, (side, length) in enumerate(zip(size, (height, width), strict=True)):
        steps = torch.arange(1 - taps // 2, side + taps // 2, device=images.device)
        line = whole[:, axis, None] + steps
        lines.append(line.remainder(length) if cyclic else line.clamp(0, length - 1))
    place = (lines[0][:, :, None] * width + lines[1][:, None, :]).flatten(1)
    flat = images.reshape(images.shape[0], prod(images.shape[1:-2]), height * width)
    seen = flat.gather(-1, place[:, None].expand(-1, flat.shape[1], -1))
    return seen.reshape(*images.shape[:-2], lines[0].shape[1], lines[1].shape[1])


def _combine(x: Tensor, weights: Tensor, dim: int) -> Tensor:
    """Neighbours along an axis, weighted by ``[B, taps]``, in the same order everywhere."""
    columns = weights.reshape(*weights.shape, *[1] * (x.ndim - 1)).unbind(1)
    count = x.shape[dim] - len(columns) + 1
    parts = (x.narrow(dim, i, count) * column for i, column in enumerate(columns))
    return reduce(torch.add, parts)


def _shift_down(x: Tensor, bits: int) -> Tensor:
    """The nearest multiple of 2^bits, in its units; halves up."""
    return (x + 2 ** (bits - 1)) >> bits
