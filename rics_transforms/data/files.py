"""Image files: finding, reading, resizing and lossless encoding."""

from __future__ import annotations

import io
import logging
import os
import stat
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL.ImageOps
from torchvision.transforms.v2 import InterpolationMode

from rics_transforms._arguments import MAX_PIXELS
from rics_transforms.engine.images import resize_pil

logging.getLogger("PIL").addHandler(logging.NullHandler())  # or Python prints what it logs


SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"}
    | {".tga", ".tif", ".tiff", ".webp"}
)
"""The suffixes of image files."""

FORMATS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG"},
    "tif": {"format": "TIFF"},
    "bmp": {"format": "BMP"},
    "webp": {"format": "WEBP", "lossless": True, "exact": True, "method": 4},
}
"""How Pillow saves crops without loss, by suffix."""


class Unreadable(ValueError):
    """An image file that cannot be read.

    Attributes:
        reason: why not, in words that follow the name of the file.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"Expected {str(path)!r} to be an image that can be read: {reason}")
        self.reason = reason


def open_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> tuple[PIL.Image.Image, str]:
    """An image file, upright as its EXIF says, and the name of its format.

    Args:
        path: the file.
        max_pixels: how many pixels it may have.

    Raises:
        Unreadable: if it is not an image, is damaged or too large, or if Pillow would read it with
            less colour depth than it has.
    """
    with _opened(path, max_pixels) as file:
        if (bits := _lost_depth(file)) > 8:
            raise ValueError(
                f"has {bits} bits per colour, of which Pillow reads 8; convert it first"
            )
        return PIL.ImageOps.exif_transpose(file), file.format or ""


def open_rgb(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> PIL.Image.Image:
    """An image file in 8-bit RGB, upright as its EXIF says; deeper colours keep the upper 8 bits.

    Args:
        path: the file.
        max_pixels: how many pixels it may have.

    Raises:
        Unreadable: if it is not an image, is damaged or too large, or if its pixels have no known
            range of which 8 bits could be the upper ones.
    """
    with _opened(path, max_pixels) as file:
        bits = _grey_depth(file)
        image = PIL.ImageOps.exif_transpose(file)
        if bits > 8:
            image = PIL.Image.fromarray((np.asarray(image) >> (bits - 8)).astype(np.uint8))
        return image.convert("RGB")


@contextmanager
def _opened(path: str | Path, max_pixels: int) -> Iterator[PIL.Image.Image]:
    """An image file whose pixels are not decoded yet; whatever goes wrong with it is Unreadable."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # reading a pipe would hang
            raise Unreadable(path, "is not a regular file")
        with warnings.catch_warnings(), _pillow_limit(max_pixels):
            warnings.simplefilter("ignore")  # what matters is an error, of Pillow's or of ours
            with PIL.Image.open(path) as file:
                if file.width * file.height > max_pixels:
                    raise PIL.Image.DecompressionBombError
                with silenced(file):
                    yield file
    except Unreadable:
        raise
    except Exception as error:  # a broken file can make a decoder raise anything
        raise Unreadable(path, _reason(error, max_pixels)) from error


@contextmanager
def silenced(file: PIL.Image.Image) -> Iterator[None]:
    """Keep libtiff from writing to the standard error."""
    coders = [tile[0] for tile in getattr(file, "tile", None) or ()]
    try:
        kept = os.dup(2) if "libtiff" in coders else None
    except OSError:  # there is no standard error to write to
        kept = None
    if kept is None:
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _reason(error: Exception, max_pixels: int) -> str:
    if isinstance(error, PIL.UnidentifiedImageError):
        return "not an image, or of an unknown format"
    if isinstance(error, PIL.Image.DecompressionBombError):
        return f"has more than {max_pixels} pixels; raise `max_pixels` (--max-pixels) to read it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, (OSError, SyntaxError, ValueError)):
        return text
    return f"is damaged: {type(error).__name__}: {text}"


@contextmanager
def _pillow_limit(max_pixels: int) -> Iterator[None]:
    """Let Pillow open files of up to `max_pixels`, unless its own limit is enough."""
    own = PIL.Image.MAX_IMAGE_PIXELS
    if own is None or max_pixels <= own:
        yield
        return
    PIL.Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        yield
    finally:
        PIL.Image.MAX_IMAGE_PIXELS = own


# --- colour depth --------------------------------------------------------------------------------


def _lost_depth(file: PIL.Image.Image) -> int:
    """The bits per colour of a file, of which Pillow reads 8; at most 8 if it reads them all."""
    if file.mode.startswith(("I", "F")):
        return 8
    if file.format == "TIFF":
        return max(file.tag_v2.get(258, (8,)))  # type: ignore[attr-defined]
    if file.format == "JPEG2000":
        return _depth_of_jpeg_2000(file)
    if file.format == "AVIF":
        return _depth_of_avif(file)
    tiles: Any = getattr(file, "tile", None) or [("", 0, 0, "")]
    coder, raw = tiles[0][0], tiles[0][3]
    name, *options = raw if isinstance(raw, tuple) and raw else (raw,)
    if coder in ("ppm", "ppm_plain"):
        return int(options[-1]).bit_length()
    return 16 if ";16" in str(name) and name != "BGR;16" else 8  # that one has 5, 6 and 5


def _depth_of_jpeg_2000(file: PIL.Image.Image) -> int:
    """The largest depth that the SIZ segment declares."""
    content = Path(file.filename).read_bytes()  # type: ignore[attr-defined]
    start = content.index(b"\xff\x4f\xff\x51") + 4
    (count,) = struct.unpack_from(">H", content, start + 36)
    return max((part & 127) + 1 for part in content[start + 38 : start + 38 + 3 * count : 3])


def _depth_of_avif(file: PIL.Image.Image) -> int:
    """The largest depth that the property of pixel information declares."""
    content = Path(file.filename).read_bytes()  # type: ignore[attr-defined]
    _, _, found = content.partition(b"pixi")
    return max(found[5 : 5 + found[4]], default=8) if len(found) > 4 else 8


def _grey_depth(file: PIL.Image.Image) -> int:
    """The bits per pixel of a grey image with more than 8; 8 for all other images."""
    if file.mode.startswith("I;16"):
        twelve = file.format == "TIFF" and file.tag_v2.get(258) == (12,)  # type: ignore[attr-defined]
        return 12 if twelve else 16
    if file.mode == "I" and file.format in ("JPEG2000", "PNG", "PPM"):  # as old Pillow calls 16
        return 16
    if file.mode in ("I", "F"):
        raise ValueError("has 32 bits per pixel, in no known range; convert it to 8 or 16 first")
    return 8


# --- pixels --------------------------------------------------------------------------------------


def resize_shorter(image: PIL.Image.Image, side: int) -> PIL.Image.Image:
    """The image with its shorter side of `side` pixels, antialiased bicubic as in `v2.Resize`."""
    return resize_pil(image, [side], InterpolationMode.BICUBIC)


def central(
    image: PIL.Image.Image, n: tuple[int, int] | None
) -> tuple[PIL.Image.Image, tuple[int, int]]:
    """The centred window of n pixels, and its (top, left) as in torchvision's `CenterCrop`.

    Crops of files replace those of `CenterCrop`, whose place is rounded to even. The windows of
    scenes are placed by `rics_transforms.engine.images.middle` instead.
    """
    if n is None:
        return image, (0, 0)
    (height, width), (h, w) = (image.height, image.width), n
    if h > height or w > width:
        size = (height, width)
        raise ValueError(f"Expected `n` to be at most the image size {size}, but got {n}.")
    top, left = round((height - h) / 2), round((width - w) / 2)
    return image.crop((left, top, left + w, top + h)), (top, left)


def encode(image: PIL.Image.Image, wished: str = "png") -> tuple[str, bytes]:
    """An image as a file that decodes to the same pixels.

    Args:
        image: the image; its ICC profile and transparency are kept, the rest of its `info` is not.
        wished: "png", "webp", "tif" or "bmp"; an image that it cannot hold becomes PNG, or TIFF
            if PNG cannot hold it either.

    Returns:
        (suffix without a dot, content of the file).

    Raises:
        ValueError: if none of the formats holds the image.

    Example:
        >>> encode(PIL.Image.new("RGB", (4, 4)), "webp")[0]
        'webp'
        >>> encode(PIL.Image.new("CMYK", (4, 4)))[0]
        'tif'
    """
    profile = image.info.get("icc_profile")
    for suffix in dict.fromkeys((wished, "png", "tif")):
        file = io.BytesIO()
        try:
            image.save(file, **FORMATS[suffix], **({"icc_profile": profile} if profile else {}))
        except (OSError, ValueError, KeyError):  # the format lacks this mode
            continue
        with PIL.Image.open(io.BytesIO(file.getvalue())) as back:
            if _same(image, back):
                return suffix, file.getvalue()
    raise ValueError(f"no lossless format holds mode {image.mode}")


def _same(image: PIL.Image.Image, other: PIL.Image.Image) -> bool:
    """Whether two images agree in mode, pixels, colours and ICC profile."""
    if image.mode[:4] != other.mode[:4]:  # I;16 is I;16B in another byte order
        return False
    if image.info.get("icc_profile") != other.info.get("icc_profile"):
        return False
    if image.mode == "P" or image.has_transparency_data:
        if not np.array_equal(np.asarray(image.convert("RGBA")), np.asarray(other.convert("RGBA"))):
            return False
        if image.mode not in ("P", "RGBA", "LA", "PA"):
            return image.has_transparency_data == other.has_transparency_data
    return np.array_equal(np.asarray(image), np.asarray(other))


# --- the folders ---------------------------------------------------------------------------------


def find_images(source: str | Path, leave_out: str | Path | None = None) -> list[str]:
    """The images below a folder, as sorted paths relative to it, with forward slashes.

    Links to folders are followed, each folder is visited once, hidden names are left out.

    Args:
        source: folder to search.
        leave_out: folder to skip, such as that of the crops.

    Raises:
        ValueError: if there are none.
        OSError: if a folder cannot be read.
    """
    source, skipped = Path(source), leave_out is not None and os.path.realpath(leave_out)
    if not source.is_dir():
        raise ValueError(f"Expected a folder of images, but got {str(source)!r}.")
    if skipped == os.path.realpath(source):
        raise ValueError(f"Expected another folder for the crops than {str(source)!r}.")
    names: list[str] = []
    visited = {skipped}
    for folder, folders, files in os.walk(source, onerror=_raise, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        images = [f for f in files if _suffix(f) in SUFFIXES and not f.startswith(".")]
        names += [Path(folder, f).relative_to(source).as_posix() for f in images]
    if not names:
        known = ", ".join(sorted(s[1:] for s in SUFFIXES))
        raise ValueError(f"Expected images in {str(source)!r} ({known}), but found none.")
    return sorted(names)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _raise(error: OSError) -> None:
    raise error
