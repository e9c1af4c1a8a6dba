"""Photographs to measure on: those that ship with scikit-image, or any folder of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil
from pathlib import Path

import PIL.Image
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from rics_transforms._arguments import MAX_PIXELS, as_int
from rics_transforms._extras import needs
from rics_transforms._text import printable
from rics_transforms.data.files import Unreadable, open_rgb
from rics_transforms.data.sources import Sources, as_paths, find_sources
from rics_transforms.engine.images import middle

Scene = tuple[str, Tensor]


PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)
"""The photographs in scikit-image's wheel with a short side of 300 px or more. Left out: drawings,
scans of text, and `motorcycle_right`, a shifted view of what `motorcycle_left` shows."""


FLAT = 8.0
"""Tiles with a smaller standard deviation over all pixels, in grey levels, are left out."""


SCALES = 8
"""How many scales `scenes` tries: at the last one a photograph is 8 scenes high."""


class Scenes:
    """Named scenes, uint8 ``[3, size, size]``, created again in each iteration.

    Attributes:
        count: how many there are, if all files can be read.
        origin: where they come from, in words.
        recipe: a Python expression for these scenes.
        unreadable: why files could not be read, by name, so far; complete after the first
            iteration.
    """

    def __init__(
        self,
        make: Callable[[dict[str, str]], Iterator[Scene]],
        count: int,
        origin: str,
        recipe: str,
    ) -> None:
        self._make = make
        self.origin = origin
        self.count = count
        self.recipe = recipe
        self.unreadable: dict[str, str] = {}

    def __iter__(self) -> Iterator[Scene]:
        self.unreadable = {}
        return self._make(self.unreadable)

    def __repr__(self) -> str:
        return self.recipe

    @property
    def source(self) -> str:
        """Where the scenes come from, in words, and which files were left out."""
        if not self.unreadable:
            return self.origin
        names = ", ".join(map(printable, self.unreadable))
        return f"{self.origin}; left out as unreadable ({len(self.unreadable)}): {names}"


# --- the photographs of scikit-image -------------------------------------------------------------


def scenes(size: int, minimum: int = 200, factor: int = 1) -> Scenes:
    """At least `minimum` square scenes, cut from the photographs that ship with scikit-image.

    Every photograph is resized to a short side of 1, 2, 3, ... times `size` (bicubic, antialiased;
    small photographs are enlarged) and cut into tiles that do not overlap, until there are enough.
    All tiles of a scale are taken except near-constant ones (standard deviation below 8 grey
    levels); grey photographs are repeated to RGB. Nothing is downloaded.

    Tiles of one photograph resemble each other, especially across scales, and there are only 15
    photographs: enough for a check on any machine, but `folder_scenes` of a data set is a better
    sample.

    Args:
        size: side of a scene in pixels.
        minimum: how many scenes at least.
        factor: how many times the tiles are enlarged (bicubic), for shifts that need scenes finer
            than their views, such as `Camera`. This adds no detail.

    Returns:
        An iterable of ``(id, uint8 [3, size * factor, size * factor])``, always the same in the
        same order; its `source` names the number of photographs.

    Raises:
        ValueError: for a size, a minimum or a factor below 1, or more scenes than 8 scales give.
        ModuleNotFoundError: without scikit-image.

    Example:
        >>> images = scenes(32, minimum=50)
        >>> print(images.source)
        tiles of 15 photographs that ship with scikit-image
        >>> name, scene = next(iter(images))
        >>> name, scene.shape, scene.dtype
        ('astronaut, scale 1, row 0, column 0', torch.Size([3, 32, 32]), torch.uint8)
    """
    size, minimum = as_int(size, "size", 1), as_int(minimum, "minimum", 1)
    factor = as_int(factor, "factor", 1)
    tiles: list[Scene] = []
    photographs = _photographs()
    for scale in range(1, SCALES + 1):
        tiles += [t for name, photo in photographs for t in _tiles(name, photo, size, scale)]
        if len(tiles) >= minimum:
            break
    else:
        raise ValueError(f"Expected `minimum` to be at most {len(tiles)}, but got {minimum}.")
    used = len({name.split(",")[0] for name, _ in tiles})
    origin = f"tiles of {used} photographs that ship with scikit-image"
    recipe = f"scenes({size}, minimum={minimum})"
    if factor > 1:
        origin += f", enlarged {factor} times"
        recipe = f"scenes({size}, minimum={minimum}, factor={factor})"
    return Scenes(lambda _: _enlarged(tiles, factor), len(tiles), origin, recipe)


def photographs() -> Scenes:
    """The same photographs, whole and at the size of their files.

    Returns:
        An iterable of ``(name, uint8 [3, H, W])``.

    Raises:
        ModuleNotFoundError: without scikit-image.

    Example:
        >>> name, scene = next(iter(photographs()))
        >>> name, scene.shape
        ('astronaut', torch.Size([3, 512, 512]))
    """
    found = [(name, F.pil_to_tensor(photo)) for name, photo in _photographs()]
    origin = f"{len(found)} photographs that ship with scikit-image"
    return Scenes(lambda _: iter(found), len(found), origin, "photographs()")


def _enlarged(tiles: list[Scene], factor: int) -> Iterator[Scene]:
    """The tiles, each enlarged on demand."""
    for name, tile in tiles:
        side = tile.shape[-1] * factor
        yield name, tile if factor == 1 else F.pil_to_tensor(_resize(F.to_pil_image(tile), side))


def _photographs() -> list[tuple[str, PIL.Image.Image]]:
    with needs("cli"):
        import skimage
    folder = Path(skimage.__file__).parent / "data"
    return [(Path(name).stem, open_rgb(folder / name)) for name in PHOTOGRAPHS]


def _tiles(name: str, photo: PIL.Image.Image, size: int, scale: int) -> Iterator[Scene]:
    pixels: Tensor = F.pil_to_tensor(_resize(photo, size * scale))
    for row in range(pixels.shape[-2] // size):
        for column in range(pixels.shape[-1] // size):
            top, left = row * size, column * size
            tile = pixels[:, top : top + size, left : left + size]
            if tile.to(torch.float64).std(correction=0) >= FLAT:
                yield f"{name}, scale {scale}, row {row}, column {column}", tile.clone()


# --- a folder of images --------------------------------------------------------------------------


def folder_scenes(
    path: Sources, size: int | None = None, *, max_pixels: int = MAX_PIXELS
) -> Scenes:
    """One square scene per image of a folder, or file: the centre, at a short side of `size`.

    Files of folders are found recursively by their suffix, hidden ones left out, and sorted. They
    are read one by one: turned as their EXIF says, converted to 8-bit RGB (deeper colours to their
    upper 8 bits) and resized (bicubic, antialiased). Files that cannot be read are left out and
    listed with the reason by `unreadable`, and in `source`.

    Args:
        path: the folder, or an image file, or several of them.
        size: side of a scene in pixels; None: the whole images, at their own sizes.
        max_pixels: larger images are left out.

    Returns:
        An iterable of ``(name, uint8 [3, size, size])``: the path below the folder, or a file's own
        name.

    Raises:
        ValueError: for a folder without images, a path that is neither, two images of one name, or
            a size below 1.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     PIL.Image.new("L", (64, 48), 200).save(f"{folder}/grey.png")
        ...     [(name, scene.shape) for name, scene in folder_scenes(folder, 40)]
        [('grey.png', torch.Size([3, 40, 40]))]
    """
    size = None if size is None else as_int(size, "size", 1)
    limit = as_int(max_pixels, "max_pixels", 1)
    files, paths = find_sources(path), [str(source) for source in as_paths(path)]

    def make(unreadable: dict[str, str]) -> Iterator[Scene]:
        for name, file in files.items():
            try:
                photo = open_rgb(file, max_pixels=limit)
            except Unreadable as error:
                unreadable[name] = error.reason
            else:
                yield name, F.pil_to_tensor(photo) if size is None else _centre(photo, size)

    first = paths[0] if len(paths) == 1 else paths
    recipe = f"folder_scenes({first!r})" if size is None else f"folder_scenes({first!r}, {size})"
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return Scenes(make, len(files), f"images of {paths[0]}{more}", recipe)


def _centre(photo: PIL.Image.Image, size: int) -> Tensor:
    pixels: Tensor = F.pil_to_tensor(_resize(photo, size))
    top, left = middle((pixels.shape[-2], pixels.shape[-1]), (size, size))
    return pixels[:, top : top + size, left : left + size].clone()


# --- shared --------------------------------------------------------------------------------------


def _resize(photo: PIL.Image.Image, short: int) -> PIL.Image.Image:
    """The photograph at a given short side, the long one rounded up.

    `files.resize_shorter` rounds it down, as torchvision does, which would make other scenes.
    """
    least = min(photo.size)
    width, height = (ceil(side * short / least) for side in photo.size)
    return photo.resize((width, height), PIL.Image.Resampling.BICUBIC)
