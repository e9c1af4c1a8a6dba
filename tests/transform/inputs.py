"""Images and annotations of every kind, and what a crop of them is."""

from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import torch
from skimage import data
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from ..conftest import random_image

N, K = (40, 36), (24, 22)


def photograph(name: str, size: tuple[int, int] = (72, 64)) -> PIL.Image.Image:
    return PIL.Image.fromarray(getattr(data, name)()).resize(size[::-1], PIL.Image.Resampling.BOX)


PHOTOGRAPHS = torch.stack(
    [F.pil_to_tensor(photograph(name)) for name in ("astronaut", "chelsea", "coffee")]
)


def window(image: Tensor, origin: Tensor, size: tuple[int, int] = K) -> Tensor:
    """The reference: roll the origin into the corner, then slice; for one image ``[..., H, W]``."""
    top, left = origin.tolist()
    return image.roll((-top, -left), (-2, -1))[..., : size[0], : size[1]]


def storage(tensor: Tensor) -> int:
    return tensor.as_subclass(Tensor).untyped_storage().data_ptr()


def pil(mode: str) -> PIL.Image.Image:
    image = photograph("astronaut", N)
    if mode == "I;16":
        return PIL.Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    if mode == "RGBA":
        image.putalpha(PIL.Image.fromarray(random_image(*N).numpy()))
        return image
    if mode == "P":
        return image.quantize(32)
    return image.convert(mode)


PIL_MODES = ("RGB", "L", "RGBA", "P", "1", "I;16", "CMYK", "F", "I", "LA", "YCbCr", "HSV")


def pixels_on_the_grid(*shape: int) -> Tensor:
    """Grey levels as doubles: a small step does not change the integer image."""
    return (random_image(*shape).double() / 255).requires_grad_()


ANNOTATIONS: dict[str, Callable[[tuple[int, int]], Any]] = {
    "image": lambda n: tv_tensors.Image(random_image(3, *n)),
    "pil": lambda n: F.to_pil_image(random_image(1, *n)),
    "video": lambda n: tv_tensors.Video(random_image(2, 3, *n)),
    "mask": lambda n: tv_tensors.Mask(random_image(*n)),
    "boxes": lambda n: tv_tensors.BoundingBoxes([[1, 2, 9, 8]], format="XYXY", canvas_size=n),
    "keypoints": lambda n: tv_tensors.KeyPoints([[1, 2], [9, 8]], canvas_size=n),
}
