"""What all kinds of shifts share: a list of moves, and one view of a scene for each move.

A new kind of shift needs `Shift.moves` and `Shift._views`. What else a measurement asks of a shift
has a default, which holds for views that are not windows of the scene:

| | default | overridden by |
|---|---|---|
| `tracks` | False | `Realistic`, `Camera` |
| `wraps` | False | `Cyclic`, `Grid` |
| `factor` | 1 | `Camera` |
| `sized` | True | `Trim` |
| `room` | the window itself | every shift that needs more, or less |
| `deltas` | none: one row for all moves | `Realistic`, `Camera` |
| `disturbance` | None | `Realistic`, `Camera` |
| `theory_for` | None | `Realistic`, `Cyclic`, `Grid` |
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from rics_transforms._arguments import Size, store_int
from rics_transforms.engine.images import middle

Move = tuple[float, float]
"""(dy, dx) in pixels: how far the window moves over the scene if the shift tracks it, otherwise how
far the content moves in the window, as in `Tensor.roll`."""


Rule = Literal["realistic", "cyclic"]
"""The kind of shifts that a crop rule is made for, and that a theorem is about."""


_T = TypeVar("_T")


@dataclass(frozen=True)
class Shift(ABC):
    """A family of shifts; the first one moves nothing.

    Attributes:
        tracks: whether all views are windows of the scene, so that places in them can be compared:
            pixel p of a view shows what the scene has at ``corner + factor * (move + p)``. All
            moves are then multiples of ``1 / factor``.
        wraps: whether the content of the window is rolled, so that what leaves on one side enters
            on the other; rules for cyclic shifts are made for these.
        sized: whether views have the n pixels asked for; otherwise they have about the size of
            their scene, and `room` asks for no more than views of n pixels need.
    """

    tracks: ClassVar[bool] = False
    wraps: ClassVar[bool] = False
    sized: ClassVar[bool] = True

    @property
    def factor(self) -> int:
        """How many pixels of the scene a pixel of a view is high and wide."""
        return 1

    @abstractmethod
    def moves(self, n: Size) -> tuple[Move, ...]:
        """One move per view of n = (height, width) pixels; the first is (0, 0), the reference."""

    def room(self, n: Size) -> Size:
        """The least height and width of a scene."""
        return n

    def corner(self, scene: Size, n: Size) -> Size:
        """(top, left) of the unmoved window in a scene of this height and width: its middle."""
        return middle(scene, n)

    def deltas(self, asked: Sequence[int]) -> tuple[int, ...]:
        """Those of the requested largest moves that get rows of their own.

        Empty if moves are not ordered by size: then one row covers all of them.
        """
        return ()

    @property
    def disturbance(self) -> str | None:
        """What changes the pixels of every view but the reference, as text; None if nothing does.

        If a shift tracks the scene, has a `factor` of 1 and no disturbance, its views are exact
        windows.
        """
        return None

    def theory_for(self, rule: Rule) -> Rule | None:
        """The theorems that bound a rule for these shifts: realistic ones, cyclic ones, or none."""
        return None

    def views(self, scene: Tensor, n: Size, rng: np.random.Generator) -> Iterator[Tensor]:
        """One view per move, in the order of the moves, each made on demand.

        Args:
            scene: uint8 ``[C, H, W]``, at least as large as `room`.
            n: height and width of a view.
            rng: source of randomness for this scene.

        Yields:
            uint8 ``[C, n_h, n_w]`` (`Grid` also makes float32, and `Trim` other sizes). May share
            memory with the scene.

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
        """The views of a scene that is large enough."""


def size_of(image: Tensor) -> Size:
    """Height and width."""
    return image.shape[-2], image.shape[-1]


def store_samples(shift: Any, most: int) -> None:
    """Read the `samples` of a shift, None or at most this many, and their `seed`."""
    store_int(shift, "seed", 0)
    if shift.samples is not None:
        store_int(shift, "samples", 1, most)


def sample(items: list[_T], count: int | None, seed: int) -> list[_T]:
    """Draw `count` items at random without replacement, kept in order; all of them if None."""
    if count is None:
        return items
    chosen = np.random.default_rng(seed).choice(len(items), count, replace=False)
    return [items[i] for i in sorted(chosen)]


def cut(scene: Tensor, corner: Size, n: Size) -> Tensor:
    """A window of a scene ``[..., H, W]``; shares its memory."""
    return scene[..., corner[0] : corner[0] + n[0], corner[1] : corner[1] + n[1]]
