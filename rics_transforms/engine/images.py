"""Tensors, videos, PIL images and arrays as integer images ``[B, T, C, H, W]``."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from rics_transforms._arguments import Size
from rics_transforms.engine import native
from rics_transforms.engine.forks import use_one_thread_if_forked

Images: TypeAlias = Tensor | PIL.Image.Image | np.ndarray
"""Tensors ``[..., C, H, W]``, a PIL image, or arrays ``[..., H, W, C]``."""


def as_pixels(images: Images) -> tuple[Tensor, tuple[int, ...]]:
    """Integer images ``[B, T, C, H, W]``, and the leading dimensions that B stands for."""
    use_one_thread_if_forked()
    images = as_tensor(images)
    per_clip = 4 if isinstance(images, tv_tensors.Video) else 3
    plain = _without_subclass(images).detach()
    if plain.ndim < per_clip or 0 in plain.shape[-per_clip:]:
        shape = "[..., T, C, H, W]" if per_clip == 4 else "[..., C, H, W]"
        raise ValueError(
            f"Expected `images` to have shape {shape} without empty frames, "
            f"but got {tuple(plain.shape)}."
        )
    lead = tuple(plain.shape[:-per_clip])
    frames = plain.shape[-4] if per_clip == 4 else 1
    pixels = native.integer_image(plain)
    return pixels.reshape(prod(lead), frames, *plain.shape[-3:]), lead


def as_tensor(images: Images) -> Tensor:
    """Tensors unchanged, a PIL image and arrays as tensors ``[..., C, H, W]``."""
    if isinstance(images, Tensor):
        return images
    if isinstance(images, PIL.Image.Image):
        return from_pil(images)
    if isinstance(images, np.ndarray):
        return from_array(images)
    raise TypeError(
        "Expected `images` to be a tensor [..., C, H, W], a PIL image or an array [..., H, W, C], "
        f"but got {type(images).__name__}."
    )


def as_plain(images: Tensor) -> Tensor:
    """The tensor as a plain one: reading the shape of a TVTensor takes microseconds."""
    return images.as_subclass(Tensor) if is_tv_tensor(images) else images


def _without_subclass(images: Tensor) -> Tensor:
    """Scores see the values of any subclass, except those that stand for others in a tracer."""
    if type(images) is Tensor or type(images).__torch_dispatch__ != Tensor.__torch_dispatch__:
        return images
    return images.as_subclass(Tensor)


def is_tv_tensor(inpt: Any) -> bool:
    """Whether this is an image, a mask or another TVTensor of torchvision."""
    return isinstance(inpt, tv_tensors.TVTensor)


def check_crop(size: Size, pixels: Tensor) -> None:
    """Raise unless the crop fits into the image."""
    if size[0] > pixels.shape[-2] or size[1] > pixels.shape[-1]:
        raise ValueError(
            f"Expected `k` to be at most the image size {tuple(pixels.shape[-2:])}, "
            f"but got {size}. Enlarge smaller images first, by v2.Resize for example."
        )


def from_pil(image: PIL.Image.Image) -> Tensor:
    """The image as a tensor of its colours (not palette indices, not truncated 16-bit values)."""
    image = image.convert("I") if image.mode.startswith("I;16") else as_colours(image)
    return F.pil_to_tensor(image)


def to_pil(tensor: Tensor, like: PIL.Image.Image) -> PIL.Image.Image:
    """What `from_pil` made of an image, or a crop of it, in the mode of that image or its colours.

    Example:
        >>> image = PIL.Image.new("YCbCr", (4, 2), (90, 120, 130))
        >>> to_pil(from_pil(image)[:, :1], image)
        <PIL.Image.Image image mode=YCbCr size=4x1 ...>
    """
    height, width = tensor.shape[-2:]
    if like.mode.startswith("I;16"):
        mode, array = "I;16", tensor.clamp(0, 2**16 - 1).numpy().astype("<u2")
    else:
        mode, array = as_colours(like).mode, tensor.movedim(0, -1).numpy()
    if mode == "I":  # whose levels have no range but that of the image
        array = array.clip(*like.getextrema())
    image = PIL.Image.frombytes(mode, (width, height), array.tobytes())
    image.info = dict(like.info)
    return image


def resize_pil(
    image: PIL.Image.Image, size: Sequence[int], interpolation: InterpolationMode
) -> PIL.Image.Image:
    """The image at another size, as `v2.Resize` makes it; a palette as its colours.

    Filters overshoot: what Pillow does not clamp is kept within 16 bits if it was before. Palettes
    and single bits are kept only when resizing to the nearest pixel.
    """
    if interpolation in (InterpolationMode.NEAREST, InterpolationMode.NEAREST_EXACT):
        nearest: PIL.Image.Image = F.resize(image, list(size), InterpolationMode.NEAREST)
        return nearest
    if not image.mode.startswith("I"):
        resized: PIL.Image.Image = F.resize(as_colours(image), list(size), interpolation)
        return resized
    whole = image.convert("I")  # before Pillow 11 the only integers of more than 8 bits to resize
    values = np.asarray(whole)
    array = np.asarray(F.resize(whole, list(size), interpolation))
    if values.min() >= 0 and values.max() < 2**16:  # 16 bits, whatever Pillow calls them
        array = array.clip(0, 2**16 - 1)
    resized = PIL.Image.fromarray(array if image.mode == "I" else array.astype(np.uint16))
    resized.info = image.info.copy()
    return resized


def from_array(array: np.ndarray) -> Tensor:
    """An array ``[..., H, W, C]``, or ``[H, W]`` of greys, as a tensor ``[..., C, H, W]``.

    Memory is shared where PyTorch can: not if it is read-only, reversed, or byte-swapped.
    """
    if array.dtype == object or array.ndim < 2:
        raise TypeError(
            "Expected an array of pixels [..., H, W, C] or [H, W], but got shape "
            f"{array.shape} of {array.dtype}."
        )
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    if not native.flags.writeable or min(native.strides, default=0) < 0:
        native = native.copy()
    tensor = torch.from_numpy(native)
    return tensor[None] if array.ndim == 2 else tensor.movedim(-1, -3)


def to_array(tensor: Tensor, like: np.ndarray) -> np.ndarray:
    """Crops ``[..., C, h, w]`` as an array of the same layout as the one they come from."""
    crops = tensor.squeeze(0) if like.ndim == 2 else tensor.movedim(-3, -1)
    return crops.numpy()


def as_colours(image: PIL.Image.Image) -> PIL.Image.Image:
    """The image with colours in place of palette indices, and greys in place of single bits."""
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image


def middle(outer: Size, inner: Size) -> Size:
    """(top, left) of the window of size `inner` in the middle of `outer`, rounded down."""
    return (outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2
