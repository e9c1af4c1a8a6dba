"""Image files: finding, reading, resizing and lossless encoding."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import PIL.ImageOps
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from rics_transforms.engine.images import as_colours

SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"}
    | {".tga", ".tif", ".tiff", ".webp"}
)
"""Of files that are images."""

FORMATS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG"},
    "tif": {"format": "TIFF"},
    "bmp": {"format": "BMP"},
    "webp": {"format": "WEBP", "lossless": True, "exact": True, "method": 4},
}
"""How Pillow saves crops without loss, by suffix."""


def open_image(path: str | Path, *, lossless: bool = True) -> tuple[PIL.Image.Image, str]:
    """An image file, upright as its EXIF says, and the name of its format.

    Args:
        path: the file.
        lossless: whether to refuse files of which Pillow reads 8 of 16 bits per colour.

    Raises:
        OSError: if it cannot be read.
        ValueError: if reading it would lose colour depth.
    """
    with PIL.Image.open(path) as file:
        if lossless:
            _require_depth(file)
        return PIL.ImageOps.exif_transpose(file), file.format or ""


def _require_depth(file: PIL.Image.Image) -> None:
    raw = file.tile[0][3] if getattr(file, "tile", None) else ""  # type: ignore[attr-defined]
    raw = raw[0] if isinstance(raw, tuple) and raw else raw
    if ";16" in str(raw) and not file.mode.startswith("I"):
        raise ValueError("has 16 bits per colour, of which Pillow reads 8; convert it first")


def resize_shorter(image: PIL.Image.Image, side: int) -> PIL.Image.Image:
    """The image with its shorter side of `side` pixels, antialiased bicubic as in `v2.Resize`.

    Bicubic filters overshoot: what Pillow does not clamp by itself stays within 16 bits if it was.
    """
    if not image.mode.startswith("I"):
        resized: PIL.Image.Image = F.resize(as_colours(image), [side], InterpolationMode.BICUBIC)
        return resized
    whole = image.convert("I")  # before Pillow 11 the only integers of more than 8 bits to resize
    values = np.asarray(whole)
    array = np.asarray(F.resize(whole, [side], InterpolationMode.BICUBIC))
    if values.min() >= 0 and values.max() < 2**16:  # 16 bits, whatever Pillow calls them
        array = array.clip(0, 2**16 - 1)
    resized = PIL.Image.fromarray(array if image.mode == "I" else array.astype(np.uint16))
    resized.info = image.info.copy()
    return resized


def central(
    image: PIL.Image.Image, n: tuple[int, int] | None
) -> tuple[PIL.Image.Image, tuple[int, int]]:
    """The centred window of n pixels, and its (top, left) as in torchvision's `CenterCrop`.

    Crops of files replace those of `CenterCrop`, whose place is rounded to even. Windows of scenes
    are placed by `rics_transforms.engine.images.middle` instead.
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
        image: the image; of its `info` the ICC profile and the transparency are kept.
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
    if image.mode[:4] != other.mode[:4]:  # I;16 is I;16B in another order of bytes
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
