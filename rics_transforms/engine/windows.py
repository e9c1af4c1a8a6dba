"""The crop of every shifted window of a larger scene, from one score map.

The result is that of `rics_transforms.engine.selection.select` for each window.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rics_transforms._arguments import Size
from rics_transforms.engine import hashing
from rics_transforms.engine.geometry import UNIT, Geometry, pair_tensor
from rics_transforms.engine.maps import (
    deciding_levels,
    has_maximum,
    inner_maxima,
    lowest,
    patch_map,
)
from rics_transforms.engine.peaks import find_peaks
from rics_transforms.engine.scores import Score, complete_levels
from rics_transforms.engine.selection import several


@torch.no_grad()
def select_windows(
    scenes: Tensor, n: Size, k: Size, score: Score, *, subpixel: bool = False
) -> Tensor:
    """The crop that each window of a scene chooses, from one score map per scene.

    Equal to ``select(window) + window's position`` for every window, at about the cost of one.

    Args:
        scenes: integer images ``[B, T, C, n_h + s_h - 1, n_w + s_w - 1]``, seen through
            ``s_h x s_w`` windows.
        n: window size.
        k: crop size.
        score: what to maximise.
        subpixel: whether peaks of smooth scores are sought between the pixels.

    Returns:
        int64 ``[B, s_h, s_w, 2]``: origins in coordinates of the scene, so that windows which
        choose the same crop of the scene have the same entry; in pixels, with `subpixel` in 1/64.
    """
    shifts = scenes.shape[-2] - n[0] + 1, scenes.shape[-1] - n[1] + 1
    origins = scenes.new_zeros(len(scenes), *shifts, 2, dtype=torch.int64)
    for i in range(len(scenes)):
        origins[i] = _select_windows(scenes[i, None], n, k, score, subpixel)
    return origins


def _select_windows(scene: Tensor, n: Size, k: Size, score: Score, subpixel: bool) -> Tensor:
    geometry = Geometry.of(n, k, score, False, subpixel)
    unit = UNIT if subpixel else 1
    shifts = scene.shape[-2] - n[0] + 1, scene.shape[-1] - n[1] + 1
    windows = torch.cartesian_prod(*(torch.arange(s, device=scene.device) for s in shifts))
    origins = torch.zeros_like(windows)
    decided = torch.zeros(len(windows), dtype=torch.bool, device=scene.device)
    for _, level in deciding_levels(complete_levels(score, geometry.t), decided):
        edge = int(level.nms)  # a local maximum of the scene is one of a window if not at its edge
        lengths = [count - 2 * edge for count in geometry.positions]
        if min(lengths) < 1:
            continue
        scores = patch_map(scene, geometry.t, level, False)[0]
        peaks = find_peaks(scores, cyclic=False) if subpixel and level.nms else None
        if peaks:
            scores = peaks.height[1:-1, 1:-1]
        elif level.nms:
            scores = inner_maxima(scores)
        across = _sliding_maximum(scores, 1, lengths[1])
        best = _sliding_maximum(across, 0, lengths[0]).flatten()
        here = has_maximum(best, level.nms) & ~decided
        if not here.any():
            continue
        corner = windows[here]
        rows = torch.isin(across, best.unique()).any(1).nonzero()[:, 0]  # no winner is in any other
        patch = _winners(best[here], corner, scores, rows, edge, scene, geometry)
        fraction = torch.zeros_like(patch)
        if peaks:
            fraction = torch.stack([peaks.down[*patch.T], peaks.across[*patch.T]], 1)
        chosen = torch.cat([patch - corner, patch[:, :1], fraction], 1)
        origins[here] = unit * corner + geometry.origin_of(chosen)
        decided |= here
    return origins.view(*shifts, 2)


def _sliding_maximum(x: Tensor, dim: int, length: int) -> Tensor:
    """Maximum of every `length` neighbours along one axis.

    The windows share their core (van Herk's split): only the margins are accumulated.
    """
    count = x.shape[dim] - length + 1
    if length < count:
        return x.unfold(dim, length, 1).amax(-1)
    core = x.narrow(dim, count - 1, length - count + 1).amax(dim, keepdim=True)
    if count == 1:
        return core
    before = x.narrow(dim, 0, count - 1).flip(dim).cummax(dim)[0].flip(dim)
    after = x.narrow(dim, length, count - 1).cummax(dim)[0]
    nothing = torch.full_like(core, lowest(x))
    margins = torch.maximum(torch.cat([before, nothing], dim), torch.cat([nothing, after], dim))
    return torch.maximum(core, margins)


def _winners(
    best: Tensor,
    corner: Tensor,
    scores: Tensor,
    rows: Tensor,
    edge: int,
    scene: Tensor,
    geometry: Geometry,
) -> Tensor:
    """The patch ``[W, 2]`` that has the `best` score ``[W]`` in each window; content breaks ties.

    It lies in one of the `rows` of the `scores`, which leave out `edge` positions on every side of
    the scene, as on every side of a window.
    """
    distinct = best.unique()
    value, row, column = (scores[rows] == distinct[:, None, None]).nonzero().unbind(1)
    values, places = distinct[value], torch.stack([rows[row], column], 1) + edge
    room = pair_tensor(geometry.positions, scores.device) - edge
    keys: Tensor | None = None
    winners = torch.empty_like(corner)
    step = max(1, 2**22 // len(places))
    for part in (slice(start, start + step) for start in range(0, len(best), step)):
        offset = places - corner[part, None]
        holds = ((offset >= edge) & (offset < room)).all(-1) & (values == best[part, None])
        chosen = holds.to(torch.uint8).argmax(1)
        if several(holds.sum(1)):
            if keys is None:
                keys = hashing.content_hash(scene.flatten(1, 2), geometry.k)[0] >> 1
            crop = corner[part, None] + geometry.crop_of(offset)
            key = keys[crop[..., 0], crop[..., 1]]
            chosen = torch.where(holds, key, lowest(key)).argmax(1)
        winners[part] = places[chosen]
    return winners
