"""What every kind of shift is: moves, and one view of a scene for each of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor

from rics_transforms._arguments import Size, store_int
from rics_transforms.engine.images import middle

Move = tuple[float, float]
"""(dy, dx) in pixels: how far the window moves over the scene if the shift tracks it, and else how
far the content moves in the window, as in `Tensor.roll`."""


_T = TypeVar("_T")


@dataclass(frozen=True)
class Shift(ABC):
    """A family of shifts, of which the first is none.

    Attributes:
        tracks: whether all views are windows of the scene, so that places in them compare: pixel p
            of a view shows what the scene has at ``corner + move + p``.
    """

    tracks: ClassVar[bool] = False

    @abstractmethod
    def moves(self, n: Size) -> tuple[Move, ...]:
        """One move per view of n = (height, width) pixels; the first is (0, 0), the reference."""

    def room(self, n: Size) -> Size:
        """The least height and width of a scene."""
        return n

    def corner(self, scene: Size, n: Size) -> Size:
        """(top, left) of the window in the middle of a scene of this height and width."""
        return middle(scene, n)

    def views(self, scene: Tensor, n: Size, rng: np.random.Generator) -> Iterator[Tensor]:
        """One view per move, in their order, each made when it is asked for.

        Args:
            scene: uint8 ``[C, H, W]``, at least as large as `room` says.
            n: height and width of a view.
            rng: where the randomness of this scene comes from.

        Yields:
            uint8 ``[C, n_h, n_w]`` (`Grid` has an exception). May share memory with the scene.

        Raises:
            TypeError: for another dtype.
            ValueError: for another shape, or a scene that is too small.
        """
        if scene.dtype != torch.uint8:
            raise TypeError(f"Expected `scene` to be uint8, but got {scene.dtype}.")
        if scene.ndim != 3 or len(scene) == 0:
            raise ValueError(f"Expected `scene` [C, H, W], but got shape {tuple(scene.shape)}.")
        least, size = self.room(n), size_of(scene)
        if size[0] < least[0] or size[1] < least[1]:
            raise ValueError(
                f"Expected `scene` to have at least {least} pixels, for views of {n} by {self}, "
                f"but got {size}."
            )
        return self._views(scene, n, rng)

    @abstractmethod
    def _views(self, scene: Tensor, n: Size, rng: np.random.Generator) -> Iterator[Tensor]:
        """The views of a scene that fits."""


def size_of(image: Tensor) -> Size:
    """Height and width."""
    return image.shape[-2], image.shape[-1]


def store_samples(shift: Any, most: int) -> None:
    """Read the `samples` of a shift, None or at most this many, and their `seed`."""
    store_int(shift, "seed", 0)
    if shift.samples is not None:
        store_int(shift, "samples", 1, most)


def sample(items: list[_T], count: int | None, seed: int) -> list[_T]:
    """So many of the items, at random without repetition, in their order; all if None."""
    if count is None:
        return items
    chosen = np.random.default_rng(seed).choice(len(items), count, replace=False)
    return [items[i] for i in sorted(chosen)]


def cut(scene: Tensor, corner: Size, n: Size) -> Tensor:
    """A window of a scene ``[..., H, W]``; shares its memory."""
    return scene[..., corner[0] : corner[0] + n[0], corner[1] : corner[1] + n[1]]
