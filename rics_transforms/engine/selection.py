"""From score maps to crop origins: levels, the maximum, ties by content.

`select` picks the crop of each image (Algorithm 1 of Shifman & Weiss 2024).

Shapes: pixels are integer images ``[B, T, C, H, W]``, where the T frames of one clip share a crop
(their scores are added; T = 1 for images). Origins are int64 (top, left).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index

import torch
from torch import Tensor

from rics_transforms._arguments import Size
from rics_transforms.engine import bands, hashing, native
from rics_transforms.engine.geometry import Geometry, wrap
from rics_transforms.engine.maps import (
    candidates,
    deciding_levels,
    has_maximum,
    lowest,
    patch_map,
)
from rics_transforms.engine.peaks import find_peaks
from rics_transforms.engine.scores import HASH, Level, Score, complete_levels
from rics_transforms.engine.tracing import can_branch_on, is_empty

_CHUNK = 2**17  # pixels scored at once by PyTorch on a CPU: what fits into its cache


# --- one crop per image --------------------------------------------------------------------------


def select(
    pixels: Tensor, k: Size, score: Score, *, cyclic: bool = False, subpixel: bool = False
) -> Tensor:
    """The origin of the best crop of each image.

    Args:
        pixels: integer images ``[B, T, C, H, W]``.
        k: crop size, at most ``(H, W)``.
        score: what to maximise.
        cyclic: whether crops wrap around the borders (Definition 2 of the paper).
        subpixel: whether peaks of smooth scores are sought between the pixels.

    Returns:
        int64 ``[B, 2]``, in pixels; with `subpixel` in 1/64 px.
    """
    n = index(pixels.shape[-2]), index(pixels.shape[-1])
    geometry = Geometry.of(n, k, score, cyclic, subpixel)
    levels = complete_levels(score, geometry.t)
    _refuse_inexact_tracers()
    if not can_branch_on(pixels):
        return geometry.origin_of(_best_without_branches(pixels, geometry, levels))
    # row, column, how many equal it, and how far its peak lies below and to the right in 1/64 px
    best = pixels.new_zeros((len(pixels), 5), dtype=torch.int64)
    for _, level in deciding_levels(levels, best[:, 2]):
        _fill_best(best, pixels, geometry, level)
    return geometry.origin_of(best)


def _fill_best(best: Tensor, pixels: Tensor, geometry: Geometry, level: Level) -> None:
    """Fill in the best patch of one level for the images that have none yet, if there is one."""
    frame = pixels[:, 0]
    if pixels.shape[1] == 1 and native.applies(level.kernel, frame, geometry.t):
        native.fill_best(
            best, level.kernel, frame, geometry.t, nms=level.nms, cyclic=geometry.cyclic,
            subpixel=geometry.subpixel,
        )  # fmt: skip
        for image, (_, _, count, _, _) in enumerate(best.tolist()):
            if count > 1:
                best[image] = _best_of_maps(pixels[image, None], geometry, level)
        return
    left = (best[:, 2] == 0).nonzero()[:, 0]
    for images in left.split(max(1, _CHUNK // (pixels.shape[-1] * pixels.shape[-2]))):
        best[images] = _best_of_maps(pixels[images], geometry, level)


@torch.no_grad()  # not around `select`: it takes as long as compiled code for a small image
def _best_of_maps(pixels: Tensor, geometry: Geometry, level: Level) -> Tensor:
    """The best patches by a map of the scores, ``[B, 5]``, as `select` has them."""
    if pixels.shape[-2] * pixels.shape[-1] >= bands.LARGE and not is_empty(pixels):
        return torch.cat([bands.best_of_bands(image[None], geometry, level) for image in pixels])
    tied, position, fractions = _maxima(pixels, geometry, level)
    if several(tied.sum(1)):
        position = _first_by_content(tied, pixels, geometry)
    return _as_best(geometry, position, tied.any(1, keepdim=True), fractions)


def _as_best(geometry: Geometry, position: Tensor, count: Tensor, fractions: Tensor) -> Tensor:
    """Row, column, count, and fractions down and across of positions ``[B, 1]``, ``[B, 5]``."""
    place = position if fractions.shape[-1] > 1 else torch.zeros_like(position)
    here = fractions.gather(-1, place[:, None].expand(-1, 2, -1))[..., 0]
    return torch.cat([geometry.patch_of(position), count, here], 1)


def _maxima(pixels: Tensor, geometry: Geometry, level: Level) -> tuple[Tensor, Tensor, Tensor]:
    """Where one level has its maximum, bool ``[B, positions]``, the first place, ``[B, 1]``.

    Also where between the pixels each patch has its peak, int64 ``[B, 2, positions]`` in 1/64 px;
    zeros of one position, which broadcast, where peaks are not sought between them.
    """
    patches = patch_map(pixels, geometry.t, level, geometry.cyclic)
    if geometry.subpixel and level.nms:
        nms = True
        scores, down, across = find_peaks(patches, cyclic=geometry.cyclic)
        fractions = torch.stack([down, across], 1).flatten(2)
    else:
        nms = level.nms and not geometry.cyclic  # the maximum of a torus is a local one
        scores = candidates(patches, nms)
        fractions = patches.new_zeros((patches.shape[0], 2, 1), dtype=torch.int64)
    scores = scores.flatten(1)
    top, position = scores.max(1, keepdim=True)
    tied = scores == top
    return (tied & has_maximum(top, nms) if nms else tied), position, fractions


def _first_by_content(tied: Tensor, pixels: Tensor, geometry: Geometry) -> Tensor:
    """Index ``[B, 1]`` of one of the equal best positions, marked in ``[B, positions]``.

    Ties are broken by the content of the crops, never by position: a position moves with the
    window, content does not. Only crops of equal content are left to raster order.
    """
    whole = wrap(pixels, geometry.k) if geometry.cyclic else pixels
    whole = whole.flatten(1, 2)
    crop = _crop_of_position(geometry, tied.device)
    key = hashing.content_hash(whole, geometry.k).flatten(1)[:, crop] >> 1
    key = torch.where(tied, key, lowest(key))  # below every key, since those are shifted
    tied = key == key.amax(1, keepdim=True)
    if geometry.cyclic and can_branch_on(tied) and several(tied.sum(1)):
        # Theorem 2 allows no collision of hashes.
        rank = hashing.content_rank(whole, geometry.k).flatten(1)[:, crop]
        rank = torch.where(tied, rank, -1)
        tied = rank == rank.amax(1, keepdim=True)
    return tied.to(torch.uint8).argmax(1, keepdim=True)


def several(count: Tensor) -> bool:
    """Whether any count of equal best positions is above one."""
    return bool((count > 1).any())


def _crop_of_position(geometry: Geometry, device: torch.device) -> Tensor:
    """For every patch position, row by row, the index of its crop."""
    count = geometry.positions[0] * geometry.positions[1]
    origins = geometry.crop_of(geometry.patch_of(torch.arange(count, device=device)[:, None]))
    return origins[:, 0] * geometry.crops[1] + origins[:, 1]


# --- the same without branches -------------------------------------------------------------------


@torch.no_grad()
def _best_without_branches(pixels: Tensor, geometry: Geometry, levels: Sequence[Level]) -> Tensor:
    """The best patches ``[B, 5]``, as operators that a graph or a GPU takes in one go.

    `deciding_levels` ends as soon as all images are decided. Here every level is computed, and used
    for the images for which no earlier level had a maximum.
    """
    if torch.compiler.is_compiling():  # branches of a graph of fixed shape cannot hold a view
        pixels = pixels.clone()
    first, *fallbacks = levels
    tied, _, fractions = _maxima(pixels, geometry, first)
    for level in fallbacks if first.nms and not geometry.cyclic else ():
        tied, fractions = _fall_back(tied, fractions, pixels, geometry, level)
    position = _if_any(
        tied.sum(1) > 1,
        lambda: _first_by_content(tied, pixels, geometry),
        lambda: tied.to(torch.uint8).argmax(1, keepdim=True),
    )
    return _as_best(geometry, position, torch.ones_like(position), fractions)


def _fall_back(
    tied: Tensor, fractions: Tensor, pixels: Tensor, geometry: Geometry, level: Level
) -> tuple[Tensor, Tensor]:
    """The maxima of the images that have any; for the others, those of the next level."""
    none = ~tied.any(1, keepdim=True)
    if level == HASH:  # whose scores have no peaks, as images without a maximum so far have none
        return _if_any(
            none, lambda: tied | none & _maxima(pixels, geometry, level)[0], lambda: tied
        ), fractions
    # what other levels compute first, such as filters, cannot be exported inside a branch
    next_tied, _, next_fractions = _maxima(pixels, geometry, level)
    return tied | none & next_tied, torch.where(none[:, None], next_fractions, fractions)


def _if_any(
    condition: Tensor, compute: Callable[[], Tensor], otherwise: Callable[[], Tensor]
) -> Tensor:
    """`compute()`; where the condition holds nowhere, the cheaper `otherwise()` is equal to it.

    A graph for the CPU has both as branches, to save time. vmap has no branches, and a GPU would
    wait for the condition.
    """
    if not torch.compiler.is_compiling() or condition.device.type != "cpu":
        return compute()
    return torch.cond(condition.any(), compute, lambda: otherwise().clone())


def _refuse_inexact_tracers() -> None:
    """Raise under tracers whose graphs would silently give other crops."""
    is_traced = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if is_traced or (torch.compiler.is_compiling() and _is_onnx_export()):
        raise RuntimeError(
            "Expected RICS to be exported by rics_transforms.export, but got "
            "torch.jit.trace or torch.onnx.export, whose graphs would choose other crops."
        )


def _is_onnx_export() -> bool:
    return torch.onnx.is_in_onnx_export()


# Asked while tracing: the compiler takes it to be False everywhere.
_is_onnx_export._dynamo_marked_constant = True  # type: ignore[attr-defined]
