"""Where the peaks of a smooth score map lie between the pixels, in integers.

Around each local maximum a quadratic surface is fitted to the 3 x 3 scores: its gradient by central
differences, its Hessian with the mixed term. The surface's own maximum says by what fraction of a
pixel the peak is off the centre, and how high it is. All of it is integer arithmetic, so that equal
scores give equal peaks on any machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rics_transforms.engine.geometry import UNIT
from rics_transforms.engine.maps import lowest

REACH = 38
"""How far a peak may lie from its highest score, 0.6 px: further off, the nine scores would not be
those of one smooth peak."""

BITS = 20
"""The bits of a difference between scores that are kept, so that products fit into 64 bits."""


class Peaks(NamedTuple):
    """The peak of every score of a map, ``[..., H, W]`` each, int64.

    Attributes:
        height: of the surface at its peak; the lowest int64 where the score is not a local maximum.
        down: how far below the score the peak lies, in 1/64 px; 0 where it is not a local maximum.
        across: the same to the right.
    """

    height: Tensor
    down: Tensor
    across: Tensor


def find_peaks(scores: Tensor, *, cyclic: bool) -> Peaks:
    """The peaks of a score map ``[..., H, W]``: none at its edge, unless it is a torus.

    Args:
        scores: integers of magnitude below 2^53.
        cyclic: whether the map wraps around.

    Example:
        >>> scores = torch.tensor([[0, 0, 0, 0], [0, 60, 80, 0], [0, 0, 0, 0]])
        >>> peaks = find_peaks(scores, cyclic=False)
        >>> peaks.height[1, 2].item(), peaks.across[1, 2].item()
        (84, -19)
    """
    if cyclic:
        return _peaks(surround(scores))
    if min(scores.shape[-2:]) < 3:
        none = torch.zeros_like(scores, dtype=torch.int64)
        return Peaks(torch.full_like(none, lowest(none)), none, none)
    height, down, across = _peaks(scores)
    edge = (1, 1, 1, 1)
    return Peaks(F.pad(height, edge, value=lowest(height)), F.pad(down, edge), F.pad(across, edge))


def surround(torus: Tensor) -> Tensor:
    """A map with its last row before the first and its first after the last; likewise columns."""
    torus = torch.cat([torus[..., -1:, :], torus, torus[..., :1, :]], -2)
    return torch.cat([torus[..., -1:], torus, torus[..., :1]], -1)


def _peaks(scores: Tensor) -> Peaks:
    """The same without the edge, ``[..., H, W]`` to ``[..., H - 2, W - 2]``."""
    rows, columns = scores.shape[-2] - 2, scores.shape[-1] - 2
    wide = scores.to(torch.int64)
    around = [wide[..., y : y + rows, x : x + columns] for y in range(3) for x in range(3)]
    height, down, across = fit(around)
    centre = around[4]
    summit = torch.ones_like(centre, dtype=torch.bool)
    for neighbour in around:
        summit = summit & (centre >= neighbour)
    return Peaks(
        torch.where(summit, height, lowest(height)),
        torch.where(summit, down, 0),
        torch.where(summit, across, 0),
    )


def fit(around: Sequence[Tensor]) -> Peaks:
    """The peak of the quadratic surface through 3 x 3 scores, the middle one of which is highest.

    Where that surface has no single maximum (a saddle, a ridge across the axes), each axis is
    fitted by itself; along an axis on which the scores do not fall the peak is at the centre.

    Args:
        around: nine int64 tensors of one shape: the scores row by row.
    """
    centre = around[4]
    drops = [centre - score for score in around]
    largest = drops[0]
    for drop in drops[1:]:
        largest = torch.maximum(largest, drop)
    unit = largest.clamp(min=0) // 2**BITS + 1
    nw, n, ne, w, _, e, sw, s, se = (drop // unit for drop in drops)
    # At (y, x) the surface lies g_y y + g_x x - (h_yy y^2 + h_xx x^2) / 2 + h_xy x y above the
    # centre. These are 2 g_y and 2 g_x, h_yy and h_xx, which are 0 only where g is, and 4 h_xy.
    g_y, g_x = n - s, w - e
    h_yy, h_xx = (n + s).clamp(min=1), (w + e).clamp(min=1)
    h_xy = ne + sw - nw - se
    h_xy = torch.where(h_xy * h_xy < 16 * h_yy * h_xx, h_xy, 0)
    determinant = 16 * h_yy * h_xx - h_xy * h_xy
    down = _ratio(8 * h_xx * g_y + 2 * h_xy * g_x, determinant)
    across = _ratio(8 * h_yy * g_x + 2 * h_xy * g_y, determinant)
    slope = g_y * down + g_x * across
    bend = h_yy * down * down + h_xx * across * across
    rise = 2 * UNIT * slope - 2 * bend + h_xy * down * across  # in 1/16384 of the unit
    return Peaks(centre + (rise // 2**7 * unit) // 2**7, down, across)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient in 1/64, to the nearest, within `REACH`.

    Halves are rounded away from 0, so that a mirrored map has mirrored peaks.
    """
    size = (2 * UNIT * numerator.abs() + denominator) // (2 * denominator)
    size = size.clamp(max=REACH)
    return torch.where(numerator < 0, -size, size)
