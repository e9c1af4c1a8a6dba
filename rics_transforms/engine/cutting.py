"""Cut tensors and PIL images, at whole places and between the pixels."""

from __future__ import annotations

from math import prod

import PIL.Image
import torch
from torch import Tensor

from rics_transforms._arguments import Size
from rics_transforms.engine.crop import crop
from rics_transforms.engine.geometry import UNIT
from rics_transforms.engine.images import as_plain, from_pil, to_pil
from rics_transforms.engine.resampling import resample


def crop_tensor(
    images: Tensor, origins: Tensor, size: Size, cyclic: bool, *, selected: bool
) -> Tensor:
    """Crop ``[..., *, H, W]`` at origins ``[..., 2]``; see `rics_transforms.engine.crop.crop`."""
    plain = as_plain(images)
    lead = origins.shape[:-1]
    if origins.shape[-1:] != (2,) or plain.shape[: len(lead)] != lead:
        raise ValueError(
            "Expected `origins` to be [..., 2] with the leading dimensions of the images, but got "
            f"{tuple(origins.shape)} with {tuple(plain.shape)}."
        )
    flat = plain.reshape(prod(lead), *plain.shape[len(lead) :])
    places = origins.reshape(prod(lead), 2)
    if origins.is_floating_point():
        parts = (places * UNIT).to(torch.int64)
        crops = resample(flat, parts, size, cyclic=cyclic, selected=selected)
    else:
        crops = crop(flat, places, size, cyclic=cyclic, selected=selected)
    return crops.reshape(*lead, *plain.shape[len(lead) : -2], *size)


def crop_pil(image: PIL.Image.Image, origins: Tensor, size: Size, cyclic: bool) -> PIL.Image.Image:
    """A crop that may wrap around; Pillow's own offset corrupts I;16 up to 12.1."""
    if origins.is_floating_point():
        crop = crop_tensor(from_pil(image), origins, size, cyclic, selected=False)
        return to_pil(crop, image)
    (top, left), (height, width) = origins.tolist(), size
    cropped = image.crop((left, top, left + width, top + height))
    for x, y in ((image.width, 0), (0, image.height), image.size):
        if cyclic and (not x or left + width > x) and (not y or top + height > y):
            cropped.paste(image, (x - left, y - top))
    return cropped
