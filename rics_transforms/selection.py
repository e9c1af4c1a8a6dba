"""From score maps to crop origins: local maxima, fallback levels, the maximum, ties by content.

`select` picks the crop of each image (Algorithm 1 of Shifman & Weiss 2024); `select_windows` picks
the crop of every shifted window of a larger scene from one score map, with the same result.

Shapes: pixels are integer images ``[B, T, C, H, W]``, where the T frames of one clip share a crop
(their scores are added; T = 1 for images). Origins are int64 (top, left).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rics_transforms import hashing, native, theory
from rics_transforms.exact import Size, cached, is_empty, is_traced
from rics_transforms.scores import HASH, Level, Score, complete_levels

_CHUNK = 2**17  # pixels scored at once by PyTorch on a CPU: what fits into its cache


def opaque(tensor: Tensor) -> bool:
    """Whether looking at values is impossible (under a tracer) or costly (on a GPU)."""
    return tensor.device.type != "cpu" or is_traced(tensor)


class Geometry(NamedTuple):
    """Where the patches of a score lie in windows of n, and which crop each patch stands for."""

    n: Size
    k: Size
    t: Size
    cyclic: bool

    @classmethod
    def of(cls, n: Size, k: Size, score: Score, cyclic: bool) -> Geometry:
        """For windows of n and crops of k."""
        order = score.order_for(n, k)
        return cls(n, k, k if order == (1, 1) else _patch_size(n, k, order), cyclic)

    @property
    def positions(self) -> Size:
        """Patch positions per axis: j m, or n on the torus."""
        if self.cyclic:
            return self.n
        return self.n[0] - self.t[0] + 1, self.n[1] - self.t[1] + 1

    @property
    def crops(self) -> Size:
        """Crop positions per axis: m, or n on the torus."""
        return self.n if self.cyclic else (self.n[0] - self.k[0] + 1, self.n[1] - self.k[1] + 1)

    def patch_of(self, position: Tensor) -> Tensor:
        """Patch origins ``[B, 2]`` of patch positions ``[B, 1]``, counted row by row."""
        columns = self.positions[1]
        row = position.div(columns, rounding_mode="floor")
        return torch.cat([row, position - row * columns], 1)

    def crop_of(self, patch: Tensor) -> Tensor:
        """Crop origins of patch origins ``[..., 2]``: a mod m; cyclic: with the patch centred."""
        if self.cyclic:
            centre = (self.k[0] - self.t[0]) // 2, (self.k[1] - self.t[1]) // 2
            patch = patch - _pair(centre, patch.device)
        elif self.t == self.k:
            return patch
        return patch.remainder(_pair(self.crops, patch.device))

    def fold(self, patches: Tensor) -> Tensor:
        """Scores of the crops from scores of the patches: the best of each crop's patches."""
        if self.cyclic:
            offset = [-((k - t) // 2) for k, t in zip(self.k, self.t, strict=True)]
            return patches.roll(offset, (-2, -1))
        cells = patches.unflatten(-1, (-1, self.crops[1])).unflatten(-3, (-1, self.crops[0]))
        return cells.amax((-4, -2))


_patch_size = cached(theory.patch_size)


@cached
def _pair(values: Size, device: torch.device) -> Tensor:
    """Two integers as a tensor made on the device: a copy to it would wait for it."""
    return torch.stack([torch.full((), value, device=device) for value in values])


# --- one crop per image --------------------------------------------------------------------------


@torch.no_grad()
def select(pixels: Tensor, k: Size, score: Score, *, cyclic: bool = False) -> Tensor:
    """The origin of the best crop of each image.

    Args:
        pixels: integer images ``[B, T, C, H, W]``.
        k: crop size, at most ``(H, W)``.
        score: what to maximise.
        cyclic: whether crops wrap around the borders (Definition 2 of the paper).

    Returns:
        int64 ``[B, 2]``.
    """
    n = index(pixels.shape[-2]), index(pixels.shape[-1])
    geometry = Geometry.of(n, k, score, cyclic)
    levels = complete_levels(score, geometry.t)
    _refuse_inexact_tracers()
    if opaque(pixels):
        return geometry.crop_of(geometry.patch_of(_best_unseen(pixels, geometry, levels)))
    best = pixels.new_zeros((len(pixels), 3), dtype=torch.int64)  # row, column, how many equal it
    for level in levels:
        _fill_best(best, pixels, geometry, level)
        if best[:, 2].all():
            break
    return geometry.crop_of(best[:, :2])


def _fill_best(best: Tensor, pixels: Tensor, geometry: Geometry, level: Level) -> None:
    """Fill in the best patch of one level for the images that have none yet, if there is one."""
    if pixels.shape[1] == 1 and native.applies(level.kernel, pixels[:, 0], geometry.t):
        native.fill_best(
            best, level.kernel, pixels[:, 0], geometry.t, nms=level.nms, cyclic=geometry.cyclic
        )
        for image in (i for i, count in enumerate(best[:, 2].tolist()) if count > 1):
            best[image] = _best_of_maps(pixels[image, None], geometry, level)
        return
    left = (best[:, 2] == 0).nonzero()[:, 0]
    for images in left.split(max(1, _CHUNK // (pixels.shape[-1] * pixels.shape[-2]))):
        best[images] = _best_of_maps(pixels[images], geometry, level)


def _best_of_maps(pixels: Tensor, geometry: Geometry, level: Level) -> Tensor:
    """The same from a map of the scores, ``[B, 3]``: row, column, whether there is one."""
    tied, position = _maxima(pixels, geometry, level)
    if _several(tied.sum(1)):
        position = _first_by_content(tied, pixels, geometry)
    return torch.cat([geometry.patch_of(position), tied.any(1, keepdim=True)], 1)


def _maxima(pixels: Tensor, geometry: Geometry, level: Level) -> tuple[Tensor, Tensor]:
    """Where one level has its maximum, bool ``[B, positions]``, and the first place, ``[B, 1]``."""
    nms = level.nms and not geometry.cyclic  # the torus has no edge, and its maximum is a local one
    patches = patch_map(pixels, geometry.t, level, geometry.cyclic)
    scores = candidates(patches, nms).flatten(1)
    top, position = scores.max(1, keepdim=True)
    tied = scores == top
    return (tied & (top > lowest(scores)) if nms else tied), position


def patch_map(pixels: Tensor, t: Size, level: Level, cyclic: bool) -> Tensor:
    """One level's scores of all patches, ``[B, *positions]``."""
    flat = pixels.flatten(0, 1)
    height, width = flat.shape[-2:]
    positions = (height, width) if cyclic else (height - t[0] + 1, width - t[1] + 1)
    if is_empty(flat):  # no score is asked about no image: Fourier transforms may refuse
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


def wrap(x: Tensor, size: Size) -> Tensor:
    """Repeat the first rows and columns after the last, so that patches of `size` cross over."""
    x = torch.cat([x, x[..., : size[0] - 1, :]], -2)
    return torch.cat([x, x[..., : size[1] - 1]], -1)


def candidates(scores: Tensor, nms: bool) -> Tensor:
    """The scores that may win; with `nms` all but the local maxima away from the edge are lowest.

    A maximum is at least as large as its eight neighbours: plateaus keep their candidates.
    """
    if not nms:
        return scores
    if min(scores.shape[-2:]) < 3:
        return torch.full_like(scores, lowest(scores))
    return F.pad(_inner_maxima(scores), (1, 1, 1, 1), value=lowest(scores))


def _inner_maxima(scores: Tensor) -> Tensor:
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
    if geometry.cyclic and not opaque(tied) and _several(tied.sum(1)):
        rank = hashing.content_rank(whole, geometry.k).flatten(1)[:, crop]  # Theorem 2 allows no
        rank = torch.where(tied, rank, -1)  # collision of hashes
        tied = rank == rank.amax(1, keepdim=True)
    return tied.to(torch.uint8).argmax(1, keepdim=True)


def _several(count: Tensor) -> bool:
    """Whether any count of equal best positions is above one."""
    return bool((count > 1).any())


def _crop_of_position(geometry: Geometry, device: torch.device) -> Tensor:
    """For every patch position, row by row, the index of its crop."""
    count = geometry.positions[0] * geometry.positions[1]
    origins = geometry.crop_of(geometry.patch_of(torch.arange(count, device=device)[:, None]))
    return origins[:, 0] * geometry.crops[1] + origins[:, 1]


# --- the same without looking at values ----------------------------------------------------------


def _best_unseen(pixels: Tensor, geometry: Geometry, levels: Sequence[Level]) -> Tensor:
    """The best patch position ``[B, 1]``, as operators that a graph or a GPU takes in one go."""
    if torch.compiler.is_compiling():  # branches of a graph of fixed shape cannot hold a view
        pixels = pixels.clone()
    first, *fallbacks = levels
    tied, _ = _maxima(pixels, geometry, first)
    for level in fallbacks if first.nms and not geometry.cyclic else ():
        tied = _fall_back(tied, pixels, geometry, level)
    return _if_any(
        tied.sum(1) > 1,
        lambda: _first_by_content(tied, pixels, geometry),
        lambda: tied.to(torch.uint8).argmax(1, keepdim=True),
    )


def _fall_back(tied: Tensor, pixels: Tensor, geometry: Geometry, level: Level) -> Tensor:
    """The maxima of the images that have some, those of the next level for the others."""
    none = ~tied.any(1, keepdim=True)

    def fill() -> Tensor:
        return tied | none & _maxima(pixels, geometry, level)[0]

    # what other levels are made of, filters say, could not be exported inside a branch
    return _if_any(none, fill, lambda: tied) if level is HASH else fill()


def _if_any(
    condition: Tensor, compute: Callable[[], Tensor], otherwise: Callable[[], Tensor]
) -> Tensor:
    """`compute()`, or `otherwise()` if the condition holds nowhere, where both are equal.

    A graph for the CPU has both as branches, and saves time. vmap has no branches, and on a GPU
    they would wait for the condition.
    """
    if not torch.compiler.is_compiling() or condition.device.type != "cpu":
        return compute()
    return torch.cond(condition.any(), compute, lambda: otherwise().clone())


def _refuse_inexact_tracers() -> None:
    """Refuse tracers whose graphs would give other crops without a word."""
    is_traced = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if is_traced or (torch.compiler.is_compiling() and _is_onnx_export()):
        raise RuntimeError(
            "Expected RICS to be exported by rics_transforms.export.export, but got "
            "torch.jit.trace or torch.onnx.export, whose graphs would choose other crops."
        )


def _is_onnx_export() -> bool:
    return torch.onnx.is_in_onnx_export()


# Asked while tracing: the compiler takes it to be False everywhere.
_is_onnx_export._dynamo_marked_constant = True  # type: ignore[attr-defined]


# --- the crop of every shifted window ------------------------------------------------------------


@torch.no_grad()
def select_windows(scenes: Tensor, n: Size, k: Size, score: Score) -> Tensor:
    """The crop that each window of a scene chooses, from one score map per scene.

    Equal to ``select(window) + window's position`` for every window, at about the cost of one.

    Args:
        scenes: integer images ``[B, T, C, n_h + s_h - 1, n_w + s_w - 1]``, seen through
            ``s_h x s_w`` windows.
        n: window size.
        k: crop size.
        score: what to maximise.

    Returns:
        int64 ``[B, s_h, s_w, 2]``: origins in coordinates of the scene, so that windows which
        choose the same crop of the scene have the same entry.
    """
    shifts = scenes.shape[-2] - n[0] + 1, scenes.shape[-1] - n[1] + 1
    origins = scenes.new_zeros(len(scenes), *shifts, 2, dtype=torch.int64)
    for i in range(len(scenes)):
        origins[i] = _select_windows(scenes[i, None], n, k, score)
    return origins


def _select_windows(scene: Tensor, n: Size, k: Size, score: Score) -> Tensor:
    geometry = Geometry.of(n, k, score, cyclic=False)
    shifts = scene.shape[-2] - n[0] + 1, scene.shape[-1] - n[1] + 1
    windows = torch.cartesian_prod(*(torch.arange(s, device=scene.device) for s in shifts))
    origins = torch.zeros_like(windows)
    undecided = torch.ones(len(windows), dtype=torch.bool, device=scene.device)
    for level in complete_levels(score, geometry.t):
        edge = int(level.nms)  # a local maximum of the scene is one of a window if not at its edge
        lengths = [count - 2 * edge for count in geometry.positions]
        if min(lengths) < 1:
            continue
        scores = patch_map(scene, geometry.t, level, False)[0]
        if level.nms:
            scores = _inner_maxima(scores)
        across = _sliding_maximum(scores, 1, lengths[1])
        best = _sliding_maximum(across, 0, lengths[0]).flatten()
        deciding = undecided & (best > lowest(scores)) if level.nms else undecided
        if not deciding.any():
            continue
        corner = windows[deciding]
        rows = torch.isin(across, best.unique()).any(1).nonzero()[:, 0]  # no winner is in any other
        patch = _winners(best[deciding], corner, scores, rows, edge, scene, geometry)
        origins[deciding] = corner + geometry.crop_of(patch - corner)
        undecided &= ~deciding
        if not undecided.any():
            break
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
    """The patch ``[W, 2]`` that has the `best` score ``[W]`` in each window, by content if several.

    It lies in one of the `rows` of the `scores`, which leave out `edge` positions on every side of
    the scene, as of every window.
    """
    distinct = best.unique()
    value, row, column = (scores[rows] == distinct[:, None, None]).nonzero().unbind(1)
    values, places = distinct[value], torch.stack([rows[row], column], 1) + edge
    room = _pair(geometry.positions, scores.device) - edge
    keys: Tensor | None = None
    winners = torch.empty_like(corner)
    step = max(1, 2**22 // len(places))
    for part in (slice(start, start + step) for start in range(0, len(best), step)):
        offset = places - corner[part, None]
        holds = ((offset >= edge) & (offset < room)).all(-1) & (values == best[part, None])
        chosen = holds.to(torch.uint8).argmax(1)
        if _several(holds.sum(1)):
            if keys is None:
                keys = hashing.content_hash(scene.flatten(1, 2), geometry.k)[0] >> 1
            crop = corner[part, None] + geometry.crop_of(offset)
            key = keys[crop[..., 0], crop[..., 1]]
            chosen = torch.where(holds, key, lowest(key)).argmax(1)
        winners[part] = places[chosen]
    return winners
