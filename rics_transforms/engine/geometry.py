"""Where the patches of a score lie in an image, and which crop each of them stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rics_transforms import theory
from rics_transforms._arguments import Size
from rics_transforms.engine.scores import Score
from rics_transforms.engine.tracing import cached


@dataclass(frozen=True)  # PyTorch 2.8 cannot trace properties of a NamedTuple
class Geometry:
    """Where the patches of a score lie in windows of n, and which crop each patch stands for."""

    n: Size
    k: Size
    t: Size
    cyclic: bool
    subpixel: bool = False

    @classmethod
    def of(cls, n: Size, k: Size, score: Score, cyclic: bool, subpixel: bool = False) -> Geometry:
        """For windows of n and crops of k."""
        order = score.order_for(n, k)
        return cls(n, k, k if order == (1, 1) else _patch_size(n, k, order), cyclic, subpixel)

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
            patch = patch - pair_tensor(self._centre, patch.device)
        elif self.t == self.k:
            return patch
        return patch.remainder(pair_tensor(self.crops, patch.device))

    def origin_of(self, best: Tensor) -> Tensor:
        """Crop origins of best patches ``[..., 5]``: pixels, or 1/64 px where `subpixel`.

        A fraction moves the crop along with the patch, but no more than half a pixel beyond the
        border, so that the nearest whole crop always lies inside: from -1/2 to below m - 1/2.
        """
        patch = best[..., :2]
        if not self.subpixel:
            return self.crop_of(patch)
        place = torch.add(best[..., 3:], patch, alpha=UNIT)
        if self.cyclic:
            place = place - _parts(self._centre, patch.device)
        elif self.t == self.k:
            return place
        half = 0 if self.cyclic else UNIT // 2
        return (place + half).remainder(_parts(self.crops, patch.device)) - half

    @property
    def _centre(self) -> Size:
        """Where the patch lies in the crop that it selects on the torus."""
        return (self.k[0] - self.t[0]) // 2, (self.k[1] - self.t[1]) // 2

    def fold(self, patches: Tensor) -> Tensor:
        """Scores of the crops from scores of the patches: the best of each crop's patches."""
        if self.cyclic:
            return patches.roll([-side for side in self._centre], (-2, -1))
        cells = patches.unflatten(-1, (-1, self.crops[1])).unflatten(-3, (-1, self.crops[0]))
        return cells.amax((-4, -2))


UNIT = 64
"""Places between the pixels are counted in this fraction of a pixel."""


_patch_size = cached(theory.patch_size)


@cached
def pair_tensor(values: Size, device: torch.device) -> Tensor:
    """Two integers as a tensor created on the device, since a copy to it would wait."""
    return torch.stack([torch.full((), value, device=device) for value in values])


def _parts(pixels: Size, device: torch.device) -> Tensor:
    """Two whole pixels in 1/64 px."""
    return pair_tensor((UNIT * pixels[0], UNIT * pixels[1]), device)


def whole(origins: Tensor, period: Sequence[int] | None = None) -> Tensor:
    """Whole pixels unchanged; places between them to the nearest, int64, on a torus of a size."""
    if not origins.is_floating_point():
        return origins
    nearest = (origins + 0.5).floor().to(torch.int64)
    return nearest if period is None else nearest.remainder(origins.new_tensor(period).long())


def wrap(x: Tensor, size: Size) -> Tensor:
    """Repeat the first rows and columns after the last, so that patches of `size` cross over."""
    x = torch.cat([x, x[..., : size[0] - 1, :]], -2)
    return torch.cat([x, x[..., : size[1] - 1]], -1)
