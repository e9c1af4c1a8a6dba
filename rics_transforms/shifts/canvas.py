"""The one-pixel changes of Azulay & Weiss 2019, for photographs of any size.

A random square of the photograph, or the photograph made small and put on a canvas.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from rics_transforms._arguments import Size, lookup, store_int
from rics_transforms._extras import needs
from rics_transforms.engine.images import middle
from rics_transforms.shifts.base import Move, Shift, cut, size_of
from rics_transforms.shifts.disturbances import resized

FALLOFF = 4
"""`inpainted` weights a pixel by its distance to the power of minus this number."""


# --- the shifts -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShiftedCrop(Shift):
    """Two views: a random square of the scene, resized, and the same moved by (1, 1) scene pixels.

    The area of the square is drawn uniformly from 8 % to 100 % of the scene's, as far as a square
    of that size fits and can still move; in a scene too long for 8 %, the largest square is taken.
    Its place is drawn uniformly, too. It is resized by `resized`.

    Source: Azulay & Weiss 2019, section 2, "crop"; the distribution is that of Szegedy et al. 2015,
    its aspect ratio fixed at 1.

    Example:
        >>> scene = torch.zeros(3, 300, 400, dtype=torch.uint8)
        >>> first, second = ShiftedCrop().views(scene, (224, 224), np.random.default_rng(0))
        >>> first.shape
        torch.Size([3, 224, 224])
    """

    def moves(self, n: Size) -> tuple[Move, ...]:
        return (0, 0), (1, 1)

    def room(self, n: Size) -> Size:
        return 2, 2

    def _views(self, scene: Tensor, n: Size, rng: np.random.Generator) -> Iterator[Tensor]:
        height, width = size_of(scene)
        largest = min(height, width) - 1
        area = rng.uniform(min(0.08 * height * width, largest**2), largest**2)
        side = max(1, round(math.sqrt(area)))
        top, left = random_place((side, side), (height - 1, width - 1), rng)
        for move in (0, 1):
            yield resized(cut(scene, (top + move, left + move), (side, side)), n)


@dataclass(frozen=True)
class Embedded(Shift):
    """Two views: the scene made small, at a random place on a canvas, and the same a pixel lower.

    The scene keeps its aspect ratio; if it is too long for the canvas, its middle is taken. The
    two views are equal except for their first and last rows, and all places at which both show the
    whole picture are equally likely.

    Args:
        short: its short side in pixels.
        fill: "black", or "inpainted": see `rics_transforms.shifts.canvas.inpainted`.

    Raises:
        TypeError: for a `short` that is not an int.
        ValueError: for a `short` below 1, or another `fill`; from `views`, if `short` is not
            smaller than they are.

    Source: Azulay & Weiss 2019, section 2, "embedding" on black, and with inpainting.

    Example:
        >>> scene = torch.full((3, 200, 300), 255, dtype=torch.uint8)
        >>> first, second = Embedded().views(scene, (224, 224), np.random.default_rng(0))
        >>> first[0].count_nonzero().item() == 100 * 150, torch.equal(first.roll(1, -2), second)
        (True, True)
    """

    short: int = 100
    fill: Literal["black", "inpainted"] = "black"

    def __post_init__(self) -> None:
        store_int(self, "short", 1)
        lookup("fill", self.fill, _FILLS)

    def moves(self, n: Size) -> tuple[Move, ...]:
        return (0, 0), (1, 0)

    def room(self, n: Size) -> Size:
        return 1, 1

    def _views(self, scene: Tensor, n: Size, rng: np.random.Generator) -> Iterator[Tensor]:
        _check_canvas(self.short, n)
        picture = shrunk(scene, self.short, (n[0] - 1, n[1]))
        top, left = random_place(size_of(picture), (n[0] - 1, n[1]), rng)
        canvas = _FILLS[self.fill](picture, (top + 1, left), (n[0] + 1, n[1]))
        return iter((canvas[:, 1:], canvas[:, :-1]))


@dataclass(frozen=True)
class Rescaled(Shift):
    """Two views: the scene made small, at a random place on black, and the same a pixel larger.

    The short side grows by one pixel; the top left corner stays in place. The scene keeps its
    aspect ratio; if it is too long for the view, its middle is taken.

    Args:
        short: its short side in pixels, in the first view.

    Raises:
        TypeError: for a `short` that is not an int.
        ValueError: for a `short` below 1; from `views`, if `short` is not smaller than they are.

    Source: Azulay & Weiss 2019, section 2, the fourth protocol.
    """

    short: int = 100

    def __post_init__(self) -> None:
        store_int(self, "short", 1)

    def moves(self, n: Size) -> tuple[Move, ...]:
        return (0, 0), (0, 0)

    def room(self, n: Size) -> Size:
        return 1, 1

    def _views(self, scene: Tensor, n: Size, rng: np.random.Generator) -> Iterator[Tensor]:
        _check_canvas(self.short, n)
        first, second = (shrunk(scene, self.short + more, n) for more in (0, 1))
        place = random_place(size_of(second), n, rng)
        return iter((embedded(first, place, n), embedded(second, place, n)))


def _check_canvas(short: int, n: Size) -> None:
    if short >= min(n):
        raise ValueError(f"Expected `short` to be smaller than a view of {n}, but got {short}.")


# --- pictures on canvases -------------------------------------------------------------------------


def shrunk(image: Tensor, short: int, room: Size) -> Tensor:
    """The image with its short side scaled to `short` pixels (a smaller one is enlarged).

    If the result does not fit into the room, it is cut at both ends equally.

    Args:
        image: uint8 ``[C, H, W]``.
        short: length of the short side.
        room: largest height and width.

    Returns:
        uint8 ``[C, h, w]``, of the image's aspect ratio unless it had to be cut.
    """
    height, width = image.shape[-2:]
    least = min(height, width)
    small = resized(image, (round(height * short / least), round(width * short / least)))
    kept = min(small.shape[-2], room[0]), min(small.shape[-1], room[1])
    return cut(small, middle(size_of(small), kept), kept)


def random_place(size: Size, room: Size, rng: np.random.Generator) -> Size:
    """A random (top, left) for something of this size in a room; all places are equally likely."""
    top, left = (int(rng.integers(r - s, endpoint=True)) for r, s in zip(room, size, strict=True))
    return top, left


def embedded(picture: Tensor, place: Size, n: Size) -> Tensor:
    """The picture ``[C, h, w]`` on black, its corner at `place`: ``[C, n_h, n_w]``."""
    canvas = picture.new_zeros(len(picture), *n)
    cut(canvas, place, size_of(picture)).copy_(picture)
    return canvas


def inpainted(picture: Tensor, place: Size, n: Size) -> Tensor:
    """The picture embedded as in `embedded`, and continued smoothly over the rest of the canvas.

    Every pixel outside is the average of all pixels of the picture with weights ``distance^-4``
    (the inverse-distance interpolation of Shepard 1968), steep enough for the nearest ones to
    dominate. No pixel stays black for lack of neighbours.

    Args:
        picture: uint8 ``[C, h, w]``.
        place: (top, left) of the picture.
        n: height and width of the canvas.

    Returns:
        uint8 ``[C, n_h, n_w]``, rounded.
    """
    with needs("cli"):
        from scipy.signal import fftconvolve  # type: ignore[import-untyped]

    canvas = embedded(picture, place, n)
    inside = embedded(torch.ones_like(picture[:1]), place, n)
    y, x = np.ogrid[1 - n[0] : n[0], 1 - n[1] : n[1]]
    weights = np.maximum(x * x + y * y, 1.0)[None] ** (-FALLOFF / 2)
    known = torch.cat([canvas, inside]).double().numpy()
    sums = torch.from_numpy(fftconvolve(known, weights, mode="same", axes=(1, 2)))
    filled = (sums[:-1] / sums[-1]).round().clamp(0, 255).to(torch.uint8)
    return torch.where(inside.bool(), canvas, filled)


_FILLS: Mapping[str, Callable[[Tensor, Size, Size], Tensor]] = {
    "black": embedded,
    "inpainted": inpainted,
}
