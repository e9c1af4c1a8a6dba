"""Cyclic shifts: the window rolled, by whole pixels or by fractions of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from rics_transforms._arguments import Size, lookup, store_int
from rics_transforms.shifts.base import Move, Rule, Shift, cut, sample, size_of, store_samples
from rics_transforms.shifts.fourier import fourier_shift

ALL_CYCLIC = 32
"""`Cyclic` tries every shift of a window up to this side, and a sample of them beyond it."""


@dataclass(frozen=True)
class Cyclic(Shift):
    """The window in the middle of a scene, rolled by whole pixels.

    For windows of up to 32 pixels per side: all shifts, in raster order. For larger ones: the four
    corners (none, and one pixel back along either axis or both), then random shifts, the same for
    every scene.

    Args:
        samples: number of random shifts.
        seed: of the drawing.

    Source: Shifman & Weiss 2024, Theorem 2; Chaman & Dokmanic 2021.

    Example:
        >>> len(Cyclic().moves((32, 32))), Cyclic(samples=2).moves((64, 64))[:4]
        (1024, ((0, 0), (0, 63), (63, 0), (63, 63)))
    """

    wraps: ClassVar[bool] = True
    samples: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        store_int(self, "samples", 0)
        store_int(self, "seed", 0)

    def moves(self, n: Size) -> tuple[Move, ...]:
        if max(n) <= ALL_CYCLIC:
            return tuple(product(range(n[0]), range(n[1])))
        draw = torch.Generator().manual_seed(self.seed)
        down, across = (torch.randint(side, (self.samples,), generator=draw).tolist() for side in n)
        corners = product((0, n[0] - 1), (0, n[1] - 1))
        return (*corners, *zip(down, across, strict=True))

    def theory_for(self, rule: Rule) -> Rule | None:
        return "cyclic" if rule == "cyclic" else None

    def _views(self, scene: Tensor, n: Size, rng: np.random.Generator) -> Iterator[Tensor]:
        window = cut(scene, self.corner(size_of(scene), n), n)
        return (fourier_shift(window, move) for move in self.moves(n))


@dataclass(frozen=True)
class Grid(Shift):
    """The cyclic grids on which alias-free networks are certified, after the unshifted reference.

    | kind | moves (dy, dx) | how many |
    |---|---|---|
    | integer | {1, ..., 31}^2 | 961 |
    | half | {1/2, 1, 3/2, ..., 63/2}^2 | 3969 |
    | fractional | {i/j, 1 <= i <= j <= 12}^2, equal ones once | 2116 |

    Views of the integer grid are uint8. Those of the other two, the reference included, are float32
    in units of 255 grey levels, interpolated by `fourier_shift` in float64, neither rounded nor
    clipped: they leave [0, 1] where the image is sharp, since invariance is tested on the exact
    signal. Whole moves among them are exact rolls of the reference.

    Args:
        kind: "integer", "half" or "fractional".
        samples: number of moves after the reference, drawn from the grid without replacement, the
            same for every scene. Default: all.
        seed: of the drawing.

    Raises:
        TypeError: for numbers that are not ints.
        ValueError: for another kind, or numbers out of range.

    Source: Michaeli, Michaeli & Soudry 2023 ("Alias-Free Convnets"), certified adversarial
    accuracy; for whole pixels, Chaman & Dokmanic 2021.

    Example:
        >>> Grid("half").moves((224, 224))[:4]
        ((0, 0), (0.5, 0.5), (0.5, 1.0), (0.5, 1.5))
        >>> len(Grid("half", samples=64).moves((224, 224)))
        65
    """

    wraps: ClassVar[bool] = True
    kind: Literal["integer", "half", "fractional"]
    samples: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        lookup("kind", self.kind, _GRIDS)
        store_samples(self, len(_GRIDS[self.kind]) ** 2)

    def moves(self, n: Size) -> tuple[Move, ...]:
        grid = list(product(_GRIDS[self.kind], _GRIDS[self.kind]))
        return ((0, 0), *sample(grid, self.samples, self.seed))

    def theory_for(self, rule: Rule) -> Rule | None:
        return "cyclic" if rule == "cyclic" and self.kind == "integer" else None

    def _views(self, scene: Tensor, n: Size, rng: np.random.Generator) -> Iterator[Tensor]:
        window = cut(scene, self.corner(size_of(scene), n), n)
        if self.kind == "integer":
            return (fourier_shift(window, move) for move in self.moves(n))
        signal = window.double() / 255
        return (fourier_shift(signal, move).float() for move in self.moves(n))


_GRIDS: Mapping[str, Sequence[float]] = {
    "integer": range(1, 32),
    "half": [i / 2 for i in range(1, 64)],
    "fractional": sorted({i / j for j in range(1, 13) for i in range(1, j + 1)}),
}
