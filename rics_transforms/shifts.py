"""Shifted views of a scene: what a model has to see the same thing in.

A `Shift` says which moves there are, how large a scene they need, and makes one view per move, one
after the other. Its `repr` is its specification; equal objects make equal views of equal scenes.

| name | views | source |
|---|---|---|
| `realistic` | windows of the scene, alone or disturbed (noise, JPEG, ...) | Shifman & Weiss 2024 |
| `cyclic` | the window rolled | the same, Theorem 2 |
| `integer`, `half`, `fractional` | the window rolled over a grid | Michaeli et al. 2023 |
| `shifted_crop` | a random square, moved by a pixel, then resized | Azulay & Weiss 2019 |
| `embedded` | a small picture on a canvas, moved by a pixel | the same |
| `rescaled` | a small picture on black, enlarged by a pixel | the same |
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import ClassVar, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from rics_transforms import spec
from rics_transforms.disturbances import Disturbance, cut, get_disturbance
from rics_transforms.exact import Size
from rics_transforms.fourier import fourier_shift

Move = tuple[float, float]
"""(dy, dx) in pixels: how far the window moves over the scene if the shift tracks it, and else how
far the content moves in the window, as in `Tensor.roll`."""

ALL_CYCLIC = 32
"""`Cyclic` tries every shift of a window up to this side, and a sample of them beyond it."""

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
        return (scene[0] - n[0]) // 2, (scene[1] - n[1]) // 2

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


@dataclass(frozen=True)
class Realistic(Shift):
    """Windows of a scene, moved by every (dy, dx) within `delta`: real pixels leave and enter.

    The reference comes first, the others in raster order.

    Args:
        delta: largest move along either axis in pixels.
        samples: how many windows to take, the reference among them, of all ``(2 delta + 1)^2``, at
            random without repetition, the same for every scene. Default: all.
        seed: of that choice.
        then: what happens to every window but the reference: a `Disturbance`, or the text of one,
            as `get_disturbance` reads it. The clean reference comes first then, and all the windows
            follow, disturbed, the unmoved one first: one view more. `Realistic(0, then=...)` is the
            disturbance alone.

    Raises:
        TypeError: for numbers that are no ints.
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
        spec.require_int("delta", self.delta, 0)
        _check_samples(self.samples, self.seed, (2 * self.delta + 1) ** 2)
        if isinstance(self.then, str):
            object.__setattr__(self, "then", get_disturbance(self.then))
        if not isinstance(self.then, Disturbance | None):
            raise TypeError(f"Expected `then` to be a Disturbance, but got {self.then!r}.")

    def moves(self, n: Size) -> tuple[Move, ...]:
        return self._windows() if self.then is None else ((0, 0), *self._windows())

    def room(self, n: Size) -> Size:
        margin = self.then.margin if isinstance(self.then, Disturbance) else 0
        reach = 2 * (self.delta + margin)
        return n[0] + reach, n[1] + reach

    def _windows(self) -> tuple[Size, ...]:
        side = range(-self.delta, self.delta + 1)
        others = [move for move in product(side, side) if move != (0, 0)]
        count = None if self.samples is None else self.samples - 1
        return ((0, 0), *_sample(others, count, self.seed))

    def _views(self, scene: Tensor, n: Size, rng: np.random.Generator) -> Iterator[Tensor]:
        top, left = self.corner(size_of(scene), n)
        places = [(top + dy, left + dx) for dy, dx in self._windows()]
        if isinstance(self.then, Disturbance):
            yield cut(scene, places[0], n)
            yield from (self.then.apply(scene, place, n, rng) for place in places)
        else:
            yield from (cut(scene, place, n) for place in places)


@dataclass(frozen=True)
class Cyclic(Shift):
    """The window in the middle of a scene, rolled by whole pixels.

    All shifts of a window of up to 32 pixels per side, in raster order; of a larger one the four
    corners (none, and one pixel back along either axis or both), then random shifts, the same for
    every scene.

    Args:
        samples: how many random shifts.
        seed: of those.

    Source: Shifman & Weiss 2024, Theorem 2; Chaman & Dokmanic 2021.

    Example:
        >>> len(Cyclic().moves((32, 32))), Cyclic(samples=2).moves((64, 64))[:4]
        (1024, ((0, 0), (0, 63), (63, 0), (63, 63)))
    """

    samples: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        spec.require_int("samples", self.samples, 0)
        spec.require_int("seed", self.seed, 0)

    def moves(self, n: Size) -> tuple[Move, ...]:
        if max(n) <= ALL_CYCLIC:
            return tuple(product(range(n[0]), range(n[1])))
        draw = torch.Generator().manual_seed(self.seed)
        down, across = (torch.randint(side, (self.samples,), generator=draw).tolist() for side in n)
        corners = product((0, n[0] - 1), (0, n[1] - 1))
        return (*corners, *zip(down, across, strict=True))

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
    clipped: they leave [0, 1] where the image is sharp. What is to be tested is invariance to the
    exact signal. Whole moves among them are exact rolls of the reference.

    Args:
        kind: "integer", "half" or "fractional".
        samples: how many moves of the grid to take, besides the reference, at random without
            repetition, the same for every scene. Default: all.
        seed: of that choice.

    Raises:
        TypeError: for numbers that are no ints.
        ValueError: for another kind, or numbers out of range.

    Source: Michaeli, Michaeli & Soudry 2023 ("Alias-Free Convnets"), certified adversarial
    accuracy; for whole pixels, Chaman & Dokmanic 2021.

    Example:
        >>> Grid("half").moves((224, 224))[:4]
        ((0, 0), (0.5, 0.5), (0.5, 1.0), (0.5, 1.5))
        >>> len(Grid("half", samples=64).moves((224, 224)))
        65
    """

    kind: Literal["integer", "half", "fractional"]
    samples: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        spec.lookup("kind", self.kind, _GRIDS)
        _check_samples(self.samples, self.seed, len(_GRIDS[self.kind]) ** 2)

    def moves(self, n: Size) -> tuple[Move, ...]:
        grid = list(product(_GRIDS[self.kind], _GRIDS[self.kind]))
        return ((0, 0), *_sample(grid, self.samples, self.seed))

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


def size_of(image: Tensor) -> Size:
    """Height and width."""
    return image.shape[-2], image.shape[-1]


def _check_samples(samples: int | None, seed: int, most: int) -> None:
    spec.require_int("seed", seed, 0)
    if samples is not None:
        spec.require_int("samples", samples, 1, most)


def _sample(items: list[_T], count: int | None, seed: int) -> list[_T]:
    """So many of the items, at random without repetition, in their order; all if None."""
    if count is None:
        return items
    chosen = np.random.default_rng(seed).choice(len(items), count, replace=False)
    return [items[i] for i in sorted(chosen)]


# --- by name -------------------------------------------------------------------------------------


def _makers() -> Mapping[str, Callable[..., Shift]]:
    from rics_transforms.embedding import Embedded, Rescaled, ShiftedCrop  # which import this file

    return {
        "cyclic": Cyclic,
        "embedded": Embedded,
        "fractional": partial(Grid, "fractional"),
        "half": partial(Grid, "half"),
        "integer": partial(Grid, "integer"),
        "realistic": Realistic,
        "rescaled": Rescaled,
        "shifted_crop": ShiftedCrop,
    }


def list_shifts() -> list[str]:
    """The names of the shifts, sorted.

    Example:
        >>> list_shifts()
        ['cyclic', 'embedded', 'fractional', 'half', 'integer', 'realistic', 'rescaled', \
'shifted_crop']
    """
    return sorted(_makers())


def get_shift(shift: str | Shift) -> Shift:
    """A shift by its name and options; a `Shift` is handed back as it is.

    Raises:
        ValueError: for an unknown name, naming the valid ones and the nearest, or options that it
            does not have.

    Example:
        >>> get_shift("half:samples=64")
        Grid(kind='half', samples=64, seed=0)
        >>> get_shift("realistic:delta=0,then=noise:deviation=4")
        Realistic(delta=0, samples=None, seed=0, then=Noise(deviation=4))
        >>> get_shift("cylic")
        Traceback (most recent call last):
        ValueError: Expected `shift` to be one of cyclic, embedded, fractional, half, integer, \
realistic, rescaled, shifted_crop, but got 'cylic'; did you mean 'cyclic'?
    """
    return shift if isinstance(shift, Shift) else spec.from_text("shift", shift, _makers())
