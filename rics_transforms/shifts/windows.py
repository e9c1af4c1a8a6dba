"""Realistic shifts: windows of a scene, alone or with a disturbance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
from torch import Tensor

from rics_transforms._arguments import Size, store_int
from rics_transforms.shifts.base import Move, Rule, Shift, cut, sample, size_of, store_samples
from rics_transforms.shifts.disturbances import Disturbance, as_disturbance


@dataclass(frozen=True)
class Realistic(Shift):
    """Windows of a scene, moved by every (dy, dx) within `delta`: real pixels leave and enter.

    The reference comes first, the others in raster order.

    Args:
        delta: largest move along either axis in pixels.
        samples: number of windows, the reference included, drawn from all ``(2 delta + 1)^2``
            without replacement, the same for every scene. Default: all.
        seed: of the drawing.
        then: a `Disturbance` of every window but the reference, or its text, as `get_disturbance`
            reads it. The clean reference comes first, followed by all windows, disturbed, the
            unmoved one first: one view more. `Realistic(0, then=...)` is the disturbance alone.

    Raises:
        TypeError: for numbers that are not ints.
        ValueError: for numbers out of range, or an unknown disturbance.

    Source: Shifman & Weiss 2024, section 2.

    Example:
        >>> Realistic(1).moves((224, 224))[:4]
        ((0, 0), (-1, -1), (-1, 0), (-1, 1))
        >>> len(Realistic(9).moves((224, 224))), Realistic(9).room((224, 224))
        (361, (242, 242))
        >>> Realistic(1, then="jpeg:quality=90")
        Realistic(delta=1, samples=None, seed=0, then=Jpeg(quality=90))
    """

    tracks: ClassVar[bool] = True
    delta: int = 9
    samples: int | None = None
    seed: int = 0
    then: Disturbance | str | None = None

    def __post_init__(self) -> None:
        store_int(self, "delta", 0)
        store_samples(self, (2 * self.delta + 1) ** 2)
        object.__setattr__(self, "then", as_disturbance(self.then))

    def moves(self, n: Size) -> tuple[Move, ...]:
        return self._windows() if self.then is None else ((0, 0), *self._windows())

    def room(self, n: Size) -> Size:
        margin = self.then.margin if isinstance(self.then, Disturbance) else 0
        reach = 2 * (self.delta + margin)
        return n[0] + reach, n[1] + reach

    def deltas(self, asked: Sequence[int]) -> tuple[int, ...]:
        return tuple(d for d in asked if d <= self.delta) or (self.delta,)

    @property
    def disturbance(self) -> str | None:
        return None if self.then is None else repr(self.then)

    def theory_for(self, rule: Rule) -> Rule | None:
        return "realistic" if rule == "realistic" and self.then is None else None

    def _windows(self) -> tuple[Size, ...]:
        side = range(-self.delta, self.delta + 1)
        others = [move for move in product(side, side) if move != (0, 0)]
        count = None if self.samples is None else self.samples - 1
        return ((0, 0), *sample(others, count, self.seed))

    def _views(self, scene: Tensor, n: Size, rng: np.random.Generator) -> Iterator[Tensor]:
        top, left = self.corner(size_of(scene), n)
        places = [(top + dy, left + dx) for dy, dx in self._windows()]
        if isinstance(self.then, Disturbance):
            yield cut(scene, places[0], n)
            yield from (self.then.apply(scene, place, n, rng) for place in places)
        else:
            yield from (cut(scene, place, n) for place in places)
