"""A camera that moves by fractions of a pixel: its pixels average those of a finer scene."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from rics_transforms._arguments import Size, as_pair, store_int
from rics_transforms.engine.images import middle
from rics_transforms.shifts.base import Move, Shift, cut, sample, size_of, store_samples
from rics_transforms.shifts.disturbances import Disturbance, as_disturbance


@dataclass(frozen=True)
class Camera(Shift):
    """Views of a camera that moves by any multiple of ``1 / factor`` pixels, as real ones do.

    The scene has `factor` times the resolution of the views. A pixel of a view is the mean of the
    factor x factor pixels of the scene that its area covers, see `exposed`; a move by ``1 /
    factor`` is one pixel of the scene. Offsets are all (dy, dx) within `delta`, in such steps; the
    reference comes first, the others in raster order.

    Args:
        delta: largest move along either axis in pixels of a view.
        factor: how many pixels of the scene a pixel of a view is high and wide.
        samples: number of views, the reference included, drawn from all ``(2 delta factor +
            1)^2`` without replacement, the same for every scene. Default: all.
        seed: of the drawing.
        then: a `Disturbance` of every view but the reference, or its text, as `get_disturbance`
            reads it: noise and encoding come after the sensor. The clean reference comes first,
            followed by all views, disturbed, the unmoved one first: one view more.
        steps: only these offsets, pairs of ints (down, right) in steps of ``1 / factor``, within
            `delta`; they follow the reference. Not together with `samples`.

    Raises:
        TypeError: for numbers that are not ints.
        ValueError: for numbers out of range, an unknown disturbance, or `steps` beyond `delta`.

    Example:
        >>> Camera(1).moves((224, 224))[:4]
        ((0.0, 0.0), (-1.0, -1.0), (-1.0, -0.75), (-1.0, -0.5))
        >>> len(Camera(1).moves((224, 224))), Camera(1).room((224, 224))
        (81, (904, 904))
        >>> Camera(2, steps=((2, 0), (6, -5))).moves((224, 224))
        ((0.0, 0.0), (0.5, 0.0), (1.5, -1.25))
    """

    tracks: ClassVar[bool] = True
    delta: int = 1
    factor: int = 4
    samples: int | None = None
    seed: int = 0
    then: Disturbance | str | None = None
    steps: Sequence[Size] | None = None

    def __post_init__(self) -> None:
        store_int(self, "delta", 0)
        store_int(self, "factor", 1)
        store_samples(self, (2 * self.delta * self.factor + 1) ** 2)
        object.__setattr__(self, "then", as_disturbance(self.then))
        if self.steps is not None:
            object.__setattr__(self, "steps", self._checked(self.steps))

    def moves(self, n: Size) -> tuple[Move, ...]:
        offsets = self._offsets() if self.then is None else ((0, 0), *self._offsets())
        return tuple((dy / self.factor, dx / self.factor) for dy, dx in offsets)

    def room(self, n: Size) -> Size:
        margin = self.then.margin if isinstance(self.then, Disturbance) else 0
        reach = 2 * (self.delta + margin)
        return self.factor * (n[0] + reach), self.factor * (n[1] + reach)

    def corner(self, scene: Size, n: Size) -> Size:
        return middle(scene, (self.factor * n[0], self.factor * n[1]))

    def deltas(self, asked: Sequence[int]) -> tuple[int, ...]:
        if self.steps is not None:
            return ()
        return tuple(d for d in asked if d <= self.delta) or (self.delta,)

    @property
    def disturbance(self) -> str | None:
        return None if self.then is None else repr(self.then)

    def _checked(self, steps: Sequence[Size]) -> tuple[Size, ...]:
        """The steps as pairs of ints."""
        if not isinstance(steps, Sequence) or isinstance(steps, str):
            raise TypeError(f"Expected `steps` to be pairs of ints, but got {steps!r}.")
        if self.samples is not None:
            raise ValueError("Expected `samples` or `steps`, but got both.")
        pairs = tuple(as_pair(step, f"steps[{i}]", None) for i, step in enumerate(steps))
        reach = self.delta * self.factor
        for pair in pairs:
            if max(map(abs, pair)) > reach:
                raise ValueError(
                    f"Expected `steps` of at most {reach}, which are {self.delta} px, but got "
                    f"{pair}."
                )
        return pairs

    def _offsets(self) -> tuple[Size, ...]:
        """In pixels of the scene, the reference first."""
        if self.steps is not None:
            return ((0, 0), *((dy, dx) for dy, dx in self.steps))
        side = range(-self.delta * self.factor, self.delta * self.factor + 1)
        others = [move for move in product(side, side) if move != (0, 0)]
        count = None if self.samples is None else self.samples - 1
        return ((0, 0), *sample(others, count, self.seed))

    def _views(self, scene: Tensor, n: Size, rng: np.random.Generator) -> Iterator[Tensor]:
        top, left = self.corner(size_of(scene), n)
        exposures: dict[Size, Tensor] = {}  # views of the same fraction are windows of one image

        def exposure(dy: int, dx: int) -> tuple[Tensor, Size]:
            (y, down), (x, right) = divmod(top + dy, self.factor), divmod(left + dx, self.factor)
            if (down, right) not in exposures:
                exposures[down, right] = exposed(scene[..., down:, right:], self.factor)
            return exposures[down, right], (y, x)

        if isinstance(self.then, Disturbance):
            yield cut(*exposure(0, 0), n)
        for offset in self._offsets():
            image, place = exposure(*offset)
            if isinstance(self.then, Disturbance):
                yield self.then.apply(image, place, n, rng)
            else:
                yield cut(image, place, n)


def exposed(scene: Tensor, factor: int) -> Tensor:
    """What a sensor sees of a scene: the means of factor x factor pixels, side by side.

    Args:
        scene: uint8 ``[C, H, W]``.
        factor: how many pixels of the scene a pixel of the sensor is high and wide.

    Returns:
        uint8 ``[C, H // factor, W // factor]``, rounded, halves up; the remainder of the scene
        below and on the right is not seen.

    Example:
        >>> exposed(torch.tensor([[[0, 1, 9], [0, 1, 9]]], dtype=torch.uint8), 2)
        tensor([[[1]]], dtype=torch.uint8)
    """
    height, width = (side // factor for side in size_of(scene))
    seen = cut(scene, (0, 0), (height * factor, width * factor))
    rows = seen.reshape(len(scene), height, factor, -1).sum(2, dtype=torch.int32)
    total = rows.reshape(len(scene), height, width, factor).sum(3, dtype=torch.int32)
    return ((total + factor**2 // 2) // factor**2).to(torch.uint8)
