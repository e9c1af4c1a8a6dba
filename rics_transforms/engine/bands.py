"""The best patch of an image that is too large for whole maps: the same one, in bounded memory.

Scores are computed for a few rows of patches at a time, and the contents that break ties for a few
columns of crops at a time. Both depend on the pixels of a patch or a crop alone, so the parts equal
those of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from rics_transforms._arguments import Size
from rics_transforms.engine import hashing
from rics_transforms.engine.geometry import Geometry, wrap
from rics_transforms.engine.maps import candidates, has_maximum, lowest, patch_map
from rics_transforms.engine.peaks import find_peaks
from rics_transforms.engine.scores import Level

LARGE = 2**22  # pixels of an image that is scored in bands


_PART = 2**21  # values of a map that are held at once, or as many as a patch or crop needs


def best_of_bands(pixels: Tensor, geometry: Geometry, level: Level) -> Tensor:
    """The best patch of one image by a level, int64 ``[1, 5]``, as `selection.select` has it.

    Args:
        pixels: one integer image or clip, ``[1, T, C, H, W]``.
        geometry: of its patches and crops.
        level: what to maximise.
    """
    nms = level.nms and (geometry.subpixel or not geometry.cyclic)
    tied, top = _maxima(pixels, geometry, level, nms)
    if not has_maximum(top, nms):
        return tied.new_zeros((1, 5), dtype=torch.int64)
    if int(tied.count_nonzero()) > 1:
        whole = (wrap(pixels, geometry.k) if geometry.cyclic else pixels)[0].flatten(0, 1)
        tied = _first_by_content(tied, whole, geometry)
    position = tied.view(torch.uint8).flatten().argmax()[None, None]
    patch = geometry.patch_of(position)
    fraction = torch.zeros_like(patch)
    if geometry.subpixel and level.nms:
        fraction = _fraction(pixels, patch[0], geometry.t, level)
    return torch.cat([patch, torch.ones_like(position), fraction], 1)


def _fraction(pixels: Tensor, patch: Tensor, t: Size, level: Level) -> Tensor:
    """How far below and right of a patch its peak lies in 1/64 px, ``[1, 2]``."""
    for dim, start, length in zip((-2, -1), patch.tolist(), t, strict=True):
        pixels = _take(pixels, dim, start - 1, start + length + 1)
    _, down, across = find_peaks(patch_map(pixels, t, level, False), cyclic=False)
    return torch.stack([down[:, 1, 1], across[:, 1, 1]], 1)


def _take(torus: Tensor, dim: int, start: int, stop: int) -> Tensor:
    """Lines of an image that wraps around."""
    lines = torch.arange(start, stop, device=torus.device)
    return torus.index_select(dim, lines.remainder(torus.shape[dim]))


# --- scores --------------------------------------------------------------------------------------


def _maxima(pixels: Tensor, geometry: Geometry, level: Level, nms: bool) -> tuple[Tensor, Tensor]:
    """Where the level has its maximum, bool ``[rows, columns]`` of patches, and its value."""
    rows, columns = geometry.positions
    whole, around = pixels, 0
    if geometry.cyclic:
        around = int(nms)  # neighbours of the positions at the borders
        for dim, length in zip((-2, -1), geometry.t, strict=True):
            whole = _take(whole, dim, -around, whole.shape[dim] + length - 1 + around)
    tied = torch.zeros((rows, columns), dtype=torch.bool, device=pixels.device)
    best: Tensor | None = None
    for start, stop in _parts(rows, max(geometry.t[0], _PART // columns)):
        above, below = (int(start > 0), int(stop < rows)) if nms else (0, 0)  # neighbours
        if around:
            above, below = 1, 1
        first = start - above + around
        seen = whole[..., first : stop + below + around + geometry.t[0] - 1, :]
        patches = patch_map(seen, geometry.t, level, False)
        if geometry.subpixel and level.nms:
            scores = find_peaks(patches, cyclic=False).height[0]
        else:
            scores = candidates(patches, nms)[0]
        scores = scores[above : len(scores) - below, around : around + columns]
        top = scores.max()
        if best is None or top > best:
            best = top
            tied.zero_()
        if top == best:
            tied[start:stop] = scores == top
    if best is None:
        raise ValueError(f"Expected patches, but got {rows} x {columns} positions.")
    return tied, best


def _parts(count: int, step: int) -> Iterator[tuple[int, int]]:
    """Starts and stops of runs of at most `step` numbers below `count`."""
    return ((start, min(count, start + step)) for start in range(0, count, step))


# --- ties ----------------------------------------------------------------------------------------


def _first_by_content(tied: Tensor, whole: Tensor, geometry: Geometry) -> Tensor:
    """Those of the `tied` patches whose crops have the highest content: equal up to collisions.

    On the torus no two different crops are among them: Theorem 2 allows no collision of hashes.
    """
    if bool((whole == whole[..., :1, :1]).all()):  # of one colour: every crop is the same
        return tied
    best: Tensor | None = None
    left = torch.zeros_like(tied)
    for columns, part, strip, index in _strips(tied, whole, geometry):
        key = _on_patches(_content_hash(strip, geometry.k) >> 1, part, index)
        top = key.max()
        if best is None or top > best:
            best = top
            left.zero_()
        if top == best:
            left[:, columns] = key == top
    if geometry.cyclic and int(left.count_nonzero()) > 1:
        return _highest(left, whole, geometry)
    return left


def _highest(tied: Tensor, whole: Tensor, geometry: Geometry) -> Tensor:
    """The same by the pixels themselves, in the order of `hashing.content_rank`."""
    best: Tensor | None = None
    left = torch.zeros_like(tied)
    for columns, part, strip, index in _strips(tied, whole, geometry):
        rank = _on_patches(hashing.content_rank(strip, geometry.k), part, index)
        highest = part & (rank == rank.max())
        row, column = highest.nonzero()[0]
        y, x = index[0][row], index[1][column]
        crop = strip[:, y:, x:][:, : geometry.k[0], : geometry.k[1]].movedim(0, -1).flatten()
        order = 1 if best is None else _compare(crop, best)
        if order > 0:
            best = crop
            left.zero_()
        if order >= 0:
            left[:, columns] = highest
    return left


def _compare(first: Tensor, second: Tensor) -> int:
    """Which of two contents comes later in lexicographic order: 1, -1, or 0 for equal ones."""
    differ = (first != second).nonzero()
    if len(differ) == 0:
        return 0
    return 1 if first[differ[0, 0]] > second[differ[0, 0]] else -1


def _strips(
    tied: Tensor, whole: Tensor, geometry: Geometry
) -> Iterator[tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]]:
    """Parts of an image, as wide as some columns of crops, that have tied patches.

    Yields:
        The columns of the patches; which of these are tied; the pixels ``[C, H, width]``; and for
        each row and each column of patches, the row and column of its crop in the strip.
    """
    rows, columns = (torch.arange(count, device=tied.device) for count in tied.shape)
    row = geometry.crop_of(torch.stack([rows, torch.zeros_like(rows)], 1))[:, 0]
    column = geometry.crop_of(torch.stack([torch.zeros_like(columns), columns], 1))[:, 1]
    width = geometry.k[1]
    for start, stop in _parts(geometry.crops[1], max(width // 4, _PART // whole.shape[-2], 1)):
        here = ((column >= start) & (column < stop)).nonzero()[:, 0]
        if bool((part := tied[:, here]).any()):
            strip = whole[..., start : stop + width - 1]
            yield here, part, strip, (row, column[here] - start)


def _on_patches(keys: Tensor, part: Tensor, index: tuple[Tensor, Tensor]) -> Tensor:
    """The key of each patch from those of the crops; the lowest where it is not tied."""
    spread = keys[index[0]][:, index[1]]
    return spread.masked_fill_(~part, lowest(keys))


def _content_hash(strip: Tensor, size: Size) -> Tensor:
    """As `hashing.content_hash`, row after row."""
    step = max(1, _PART // (strip.shape[0] * strip.shape[-1]))
    rows = [hashing.row_content(part, size[1]) for part in strip.split(step, -2)]
    return hashing.column_content(torch.cat(rows, -2), size[0])
