"""Fields: the middle of an image of any size, cut so that trimmed copies of it have the same size.

A file that was trimmed by a few pixels has another size. If crops were chosen in the whole image,
or their side derived from it, a trimmed copy would get another crop, or one of another scale. So
crops are chosen in a field whose side is a rung of a ladder: it stays the same unless a rung lies
between the sizes of the two copies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from rics_transforms._arguments import Size, as_int, as_number
from rics_transforms.engine.images import middle

BASE = 62.4
"""The side in pixels that every ladder climbs from. With it, fields of the usual sizes of files (a
shorter side of 256, 320, 375, 480, 500, 512, 640, 720, 768, 1024, 1080 or 1200 px, and many others)
stay the same until 8 px are trimmed: no rung of the default ladder is that close below them."""


@dataclass(frozen=True)
class Ladder:
    """The sides that fields may have: ``62.4 step^i`` pixels for all whole i, rounded down.

    A finer ladder leaves less of an image unused, but trims cross a rung more often: for images
    whose shorter side is L, trimmed by d pixels, a share of about ``d / (L log(step))`` does.

    Args:
        step: how much longer a side is than the one before it, above 1.
        most: how much of the shorter side of an image a field may cover, above 0 and at most 1.

    Raises:
        TypeError: for anything but numbers.
        ValueError: for numbers out of range.

    Example:
        >>> ladder = Ladder()
        >>> [ladder.side(shorter) for shorter in (256, 320, 375, 480)]
        [228, 296, 352, 457]
        >>> ladder.side(375) == ladder.side(379)  # a copy trimmed by 4 px
        True
    """

    step: float = 2 ** (1 / 8)
    most: float = 0.97

    def __post_init__(self) -> None:
        object.__setattr__(self, "most", as_number(self.most, "most", 1))
        if as_number(self.step, "step") <= 1:
            raise ValueError(f"Expected `step` to be a number above 1, but got {self.step!r}.")

    def side(self, shorter: float) -> int:
        """The longest side that an image with this shorter side leaves room for, in pixels.

        Raises:
            ValueError: if that leaves no room at all.
        """
        room = self.most * shorter
        if room < 1:
            raise ValueError(
                f"Expected images with room for a field of 1 pixel in {self.most:g} of the shorter "
                f"side, but got {shorter:g}. Enlarge smaller images first."
            )
        rung = math.floor(math.log(room / BASE, self.step)) + 1
        while BASE * self.step**rung > room:
            rung -= 1
        return max(1, int(BASE * self.step**rung))


class Field(NamedTuple):
    """Where the crop of an image is chosen, and its size.

    Attributes:
        origin: (top, left) of the field in the image.
        size: height and width of the field.
        k: height and width of the crop.
    """

    origin: Size
    size: Size
    k: Size

    @classmethod
    def within(cls, image: Size, ratio: float, side: int | Ladder, shape: Size) -> Field:
        """The field in the middle of an image of (height, width), shaped as the output is.

        Args:
            image: its height and width.
            ratio: side of the crop as a share of the field's.
            side: the longer side of the field, or the ladder that it is taken from.
            shape: a height and a width; field and crop have their ratio.

        Raises:
            ValueError: for an image that is too small.

        Example:
            >>> Field.within((375, 500), 7 / 8, Ladder(), (224, 224))
            Field(origin=(11, 74), size=(352, 352), k=(308, 308))
        """
        room = longest_in(image, shape)
        if isinstance(side, Ladder):
            side = side.side(room)
        elif side > room:
            raise ValueError(
                f"Expected `field` to be at most {int(room)} for images of {image}, but got "
                f"{side}; a `Ladder` fits it to every image."
            )
        size = scaled(side, shape)
        k = scaled(ratio * side, shape)
        return cls(middle(image, size), size, k)


def longest_in(image: Size, shape: Size) -> float:
    """The longer side of the largest rectangle of a shape in an image: for a square, its side.

    Example:
        >>> longest_in((375, 500), (224, 224)), longest_in((375, 500), (100, 300))
        (375.0, 500.0)
    """
    return min(length * max(shape) / part for length, part in zip(image, shape, strict=True))


def scaled(longest: float, shape: Size) -> Size:
    """A height and a width in the ratio of `shape`, given the longer of them; at least one pixel.

    Example:
        >>> scaled(100, (3, 4))
        (75, 100)
    """
    height, width = (max(1, round(longest * part / max(shape))) for part in shape)
    return height, width


def as_side(field: int | Ladder) -> int | Ladder:
    """The argument `field`.

    Raises:
        TypeError: unless it is an int or a `Ladder`.
        ValueError: for an int below 1.
    """
    return field if isinstance(field, Ladder) else as_int(field, "field", 1)
