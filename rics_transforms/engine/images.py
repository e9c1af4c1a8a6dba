"""Tensors, videos and PIL images as integer images ``[B, T, C, H, W]``."""

from __future__ import annotations

from math import prod
from typing import Any

import PIL.Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from rics_transforms._arguments import Size
from rics_transforms.engine import native
from rics_transforms.engine.forks import use_one_thread_if_forked


def as_pixels(images: Tensor | PIL.Image.Image) -> tuple[Tensor, tuple[int, ...]]:
    """Integer images ``[B, T, C, H, W]``, and the leading dimensions that B stands for."""
    use_one_thread_if_forked()
    if isinstance(images, PIL.Image.Image):
        images = from_pil(images)
    if not isinstance(images, Tensor):
        raise TypeError(
            f"Expected `images` to be a tensor or a PIL image, but got {type(images).__name__}; "
            "use torch.from_numpy(array).movedim(-1, -3) for an array of [..., H, W, C]."
        )
    per_clip = 4 if isinstance(images, tv_tensors.Video) else 3
    plain = as_plain(images).detach()
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


def as_plain(images: Tensor) -> Tensor:
    """The tensor as a plain one: reading the shape of a TVTensor takes microseconds."""
    return images.as_subclass(Tensor) if is_tv_tensor(images) else images


def is_tv_tensor(inpt: Any) -> bool:
    """Whether this is an image, a mask or another TVTensor of torchvision."""
    return isinstance(inpt, tv_tensors.TVTensor)


def check_crop(size: Size, pixels: Tensor) -> None:
    """Raise unless the crop fits into the image."""
    if size[0] > pixels.shape[-2] or size[1] > pixels.shape[-1]:
        raise ValueError(
            f"Expected `k` to be at most the image size {tuple(pixels.shape[-2:])}, but got {size}."
        )


def from_pil(image: PIL.Image.Image) -> Tensor:
    """The image as a tensor of its colours (not palette indices, not truncated 16-bit values)."""
    image = image.convert("I") if image.mode.startswith("I;16") else as_colours(image)
    return F.pil_to_tensor(image)


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
