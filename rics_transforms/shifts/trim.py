"""Trimmed copies of a stored image: a few rows and columns less on each side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from rics_transforms._arguments import Size, store_int
from rics_transforms.shifts.base import Move, Shift, cut, size_of
from rics_transforms.shifts.disturbances import Disturbance, as_disturbance

Sides = tuple[int, int, int, int]
"""How many rows are removed above and below, and how many columns on the left and on the right."""


@dataclass(frozen=True)
class Trim(Shift):
    """Copies of the whole scene, each side trimmed by up to a few pixels, as stored files are.

    The views have the sizes of the scenes, whatever these are, so the transform has to be a whole
    chain: `RICSResizedCrop`, or a resize and a crop. The whole scene comes first, then the copies:
    each has lost from 0 to `most` rows above and below, and columns on the left and right, drawn
    uniformly from all such trims except the empty one, all different, the same for every scene.

    Args:
        most: largest number of rows or columns that one side loses.
        samples: number of copies.
        seed: of the drawing.
        then: a `Disturbance` of every view but the reference, or its text, as `get_disturbance`
            reads it, such as a re-encoding "jpeg:quality=90". The clean scene comes first, followed
            by the whole one, disturbed, and the copies: one view more.

    Raises:
        TypeError: for numbers that are not ints.
        ValueError: for numbers out of range, an unknown disturbance, or one that needs pixels
            around its view.

    Example:
        >>> Trim(samples=3).sides()
        ((3, 0, 4, 2), (2, 2, 3, 4), (4, 1, 1, 0))
    """

    sized: ClassVar[bool] = False
    most: int = 4
    samples: int = 6
    seed: int = 0
    then: Disturbance | str | None = None

    def __post_init__(self) -> None:
        store_int(self, "most", 1, 99)
        store_int(self, "samples", 1, (self.most + 1) ** 4 - 1)
        store_int(self, "seed", 0)
        object.__setattr__(self, "then", as_disturbance(self.then))
        if isinstance(self.then, Disturbance) and self.then.margin:
            raise ValueError(
                "Expected `then` to need no pixels around its view, which trims do not leave, but "
                f"got {self.then!r}."
            )

    def sides(self) -> tuple[Sides, ...]:
        """What every copy has lost: (above, below, left, right)."""
        base = self.most + 1
        rng = np.random.default_rng(self.seed)
        drawn = 1 + rng.choice(base**4 - 1, self.samples, replace=False)
        above, below, left, right = np.unravel_index(drawn, (base,) * 4)
        return tuple(zip(*(x.tolist() for x in (above, below, left, right)), strict=True))

    def moves(self, n: Size) -> tuple[Move, ...]:
        whole = ((0, 0),) * (1 if self.then is None else 2)
        return (*whole, *((-above, -left) for above, _, left, _ in self.sides()))

    def room(self, n: Size) -> Size:
        return n[0] + 2 * self.most, n[1] + 2 * self.most

    @property
    def disturbance(self) -> str | None:
        return None if self.then is None else repr(self.then)

    def _views(self, scene: Tensor, n: Size, rng: np.random.Generator) -> Iterator[Tensor]:
        height, width = size_of(scene)
        sides = self.sides()
        if isinstance(self.then, Disturbance):
            yield scene
        for above, below, left, right in ((0, 0, 0, 0), *sides):
            corner, size = (above, left), (height - above - below, width - left - right)
            if isinstance(self.then, Disturbance):
                yield self.then.apply(scene, corner, size, rng)
            else:
                yield cut(scene, corner, size)
