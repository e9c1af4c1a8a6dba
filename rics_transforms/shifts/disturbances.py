"""Disturbances that come with real shifts: noise, re-encoding, half a pixel, rescaling."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from rics_transforms._arguments import Size, as_number, from_text, store_int
from rics_transforms.shifts.base import cut


@dataclass(frozen=True)
class Disturbance(ABC):
    """A process that makes a disturbed window of a scene and the place of the window in it.

    Attributes:
        margin: number of pixels that it needs on every side of the window.
    """

    margin: ClassVar[int] = 0

    @abstractmethod
    def apply(self, scene: Tensor, corner: Size, n: Size, rng: np.random.Generator) -> Tensor:
        """The disturbed window.

        Args:
            scene: uint8 ``[C, H, W]``, with `margin` pixels to spare around the window.
            corner: (top, left) of the window.
            n: its height and width.
            rng: source of its randomness.

        Returns:
            uint8 ``[C, n_h, n_w]``.
        """


@dataclass(frozen=True)
class Noise(Disturbance):
    """Independent Gaussian noise on every value, then rounded, and clipped to 0..255.

    Args:
        deviation: standard deviation in grey levels.

    Raises:
        ValueError: for a negative or infinite deviation.

    Example:
        >>> scene = torch.full((1, 40, 40), 128, dtype=torch.uint8)
        >>> noisy = Noise(4).apply(scene, (4, 4), (32, 32), np.random.default_rng(0))
        >>> round(noisy.double().std().item())
        4
    """

    deviation: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "deviation", as_number(self.deviation, "deviation", zero=True))

    def apply(self, scene: Tensor, corner: Size, n: Size, rng: np.random.Generator) -> Tensor:
        window = cut(scene, corner, n).movedim(0, -1)
        noisy = window + torch.from_numpy(rng.normal(0, self.deviation, window.shape))
        return noisy.round().clamp(0, 255).to(torch.uint8).movedim(-1, 0)


@dataclass(frozen=True)
class Jpeg(Disturbance):
    """Encoding as JPEG and decoding, by Pillow with its default chroma subsampling.

    Args:
        quality: from 1 to 100, as in Pillow.

    Raises:
        ValueError: for another quality; from `apply`, unless there are 1 or 3 channels.
        TypeError: for a quality that is not an int.
    """

    quality: int

    def __post_init__(self) -> None:
        store_int(self, "quality", 1, 100)

    def apply(self, scene: Tensor, corner: Size, n: Size, rng: np.random.Generator) -> Tensor:
        if len(scene) not in (1, 3):
            raise ValueError(f"Expected 1 or 3 channels for JPEG, but got {len(scene)}.")
        buffer = io.BytesIO()
        F.to_pil_image(cut(scene, corner, n)).save(buffer, "JPEG", quality=self.quality)
        with PIL.Image.open(buffer) as file:
            return F.pil_to_tensor(file)


@dataclass(frozen=True)
class HalfPixel(Disturbance):
    """The window moved by half a pixel down and to the right: the rounded mean of 2 x 2 pixels.

    Example:
        >>> scene = 10 * torch.arange(16, dtype=torch.uint8).reshape(1, 4, 4)
        >>> HalfPixel().apply(scene, (1, 1), (1, 2), np.random.default_rng(0))
        tensor([[[75, 85]]], dtype=torch.uint8)
    """

    margin: ClassVar[int] = 1

    def apply(self, scene: Tensor, corner: Size, n: Size, rng: np.random.Generator) -> Tensor:
        x = cut(scene, corner, (n[0] + 1, n[1] + 1)).to(torch.int32)
        total = x[:, :-1, :-1] + x[:, 1:, :-1] + x[:, :-1, 1:] + x[:, 1:, 1:]
        return ((total + 2) // 4).to(torch.uint8)


@dataclass(frozen=True)
class Rescale(Disturbance):
    """The window scaled down and up again, bicubic.

    Args:
        ratio: smaller size over original size, above 0 and up to 1; sides are rounded.

    Raises:
        ValueError: for another ratio.
    """

    ratio: float = 15 / 16

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratio", as_number(self.ratio, "ratio", 1))

    def apply(self, scene: Tensor, corner: Size, n: Size, rng: np.random.Generator) -> Tensor:
        small = max(1, round(n[0] * self.ratio)), max(1, round(n[1] * self.ratio))
        return resized(resized(cut(scene, corner, n), small), n)


def resized(image: Tensor, size: Size) -> Tensor:
    """An image at another size, by Pillow's bicubic filter, which smooths before it shrinks.

    Args:
        image: uint8 ``[C, H, W]``.
        size: ``(height, width)``.

    Returns:
        uint8 ``[C, height, width]``, each channel resized separately.
    """
    planes = (F.to_pil_image(plane) for plane in image[:, None])
    turned = size[1], size[0]
    return torch.cat(
        [F.pil_to_tensor(p.resize(turned, PIL.Image.Resampling.BICUBIC)) for p in planes]
    )


_DISTURBANCES: Mapping[str, Callable[..., Disturbance]] = {
    "half_pixel": HalfPixel,
    "jpeg": Jpeg,
    "noise": Noise,
    "rescale": Rescale,
}


def list_disturbances() -> list[str]:
    """The names of the disturbances, sorted.

    Example:
        >>> list_disturbances()
        ['half_pixel', 'jpeg', 'noise', 'rescale']
    """
    return sorted(_DISTURBANCES)


def as_disturbance(then: Disturbance | str | None) -> Disturbance | None:
    """A disturbance, or the one that a text names; None stays None.

    Raises:
        TypeError: for anything else.
        ValueError: for an unknown name or unknown options.
    """
    found = get_disturbance(then) if isinstance(then, str) else then
    if not isinstance(found, Disturbance | None):
        raise TypeError(f"Expected `then` to be a Disturbance, but got {found!r}.")
    return found


def get_disturbance(text: str) -> Disturbance:
    """A disturbance by its name and options.

    Raises:
        ValueError: for an unknown name or unknown options.

    Example:
        >>> get_disturbance("jpeg:quality=75")
        Jpeg(quality=75)
    """
    return from_text("disturbance", text, _DISTURBANCES)
