"""Score maps of all patches of an image, which of their places may win, and at which level.

Shapes: pixels are integer images ``[B, T, C, H, W]``, where the T frames of one clip share a crop
(their scores are added; T = 1 for images).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from rics_transforms._arguments import Size
from rics_transforms.engine import native
from rics_transforms.engine.geometry import wrap
from rics_transforms.engine.scores import Level
from rics_transforms.engine.tracing import is_empty


def patch_map(pixels: Tensor, t: Size, level: Level, cyclic: bool) -> Tensor:
    """One level's scores of all patches, ``[B, *positions]``."""
    flat = pixels.flatten(0, 1)
    height, width = flat.shape[-2:]
    positions = (height, width) if cyclic else (height - t[0] + 1, width - t[1] + 1)
    if is_empty(flat):  # Fourier transforms may refuse an empty batch
        return flat.new_zeros((flat.shape[0], *positions), dtype=torch.int64)
    if native.applies(level.kernel, flat, t):
        scores = native.patch_map(level.kernel, flat, t, cyclic=cyclic)
        return _sum_of_frames(scores, pixels)
    scores = level.patch_map(wrap(flat, t) if cyclic else flat, t)
    if scores.dtype not in (torch.int32, torch.int64) or scores.shape[-2:] != positions:
        raise ValueError(
            f"Expected the score to be an int32 or int64 map of {positions} positions, but got "
            f"{scores.dtype} of {tuple(scores.shape[-2:])}; use integers throughout."
        )
    return _sum_of_frames(scores, pixels)


def _sum_of_frames(scores: Tensor, pixels: Tensor) -> Tensor:
    """The score of each clip from those of its frames."""
    return scores if pixels.shape[1] == 1 else scores.unflatten(0, pixels.shape[:2]).sum(1)


# --- which level decides -------------------------------------------------------------------------


def deciding_levels(levels: Sequence[Level], decided: Tensor) -> Iterator[tuple[int, Level]]:
    """The levels and their numbers, until each image is decided: by its first level with a maximum.

    Args:
        levels: as `complete_levels` gives them: the last one always has a maximum.
        decided: zeros, one for each image or window. The caller sets those zeros to another number
            where the level `has_maximum`, and leaves the others unchanged.
    """
    for number, level in enumerate(levels):
        yield number, level
        if number + 1 == len(levels) or decided.all():
            return


def has_maximum(top: Tensor, nms: bool) -> Tensor:
    """Whether a level has a maximum, given the highest of its `candidates`."""
    return (top > lowest(top)) | (not nms)


def candidates(scores: Tensor, nms: bool) -> Tensor:
    """The scores that may win; with `nms` all are lowest but the local maxima away from the edge.

    A maximum is at least as large as its eight neighbours: plateaus keep their candidates.
    """
    if not nms:
        return scores
    if min(scores.shape[-2:]) < 3:
        return torch.full_like(scores, lowest(scores))
    return F.pad(inner_maxima(scores), (1, 1, 1, 1), value=lowest(scores))


def inner_maxima(scores: Tensor) -> Tensor:
    """The local maxima away from the edge, ``[..., H, W]`` to ``[..., H - 2, W - 2]``."""
    inner = scores[..., 1:-1, 1:-1]
    return torch.where(inner >= _neighbourhood(scores), inner, lowest(scores))


def _neighbourhood(x: Tensor) -> Tensor:
    """Maximum over 3 x 3, ``[..., H, W]`` to ``[..., H - 2, W - 2]``."""
    x = torch.maximum(torch.maximum(x[..., :-2, :], x[..., 1:-1, :]), x[..., 2:, :])
    return torch.maximum(torch.maximum(x[..., :-2], x[..., 1:-1]), x[..., 2:])


def lowest(scores: Tensor) -> int:
    """The value that marks what may not win; every score lies above it."""
    return torch.iinfo(scores.dtype).min
