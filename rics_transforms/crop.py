"""Cut k x k crops out of images, each at its own origin; in the plane or on the torus.

Pixels are copied, never interpolated, never padded, and never shared with the input.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from rics_transforms.exact import Size
from rics_transforms.selection import opaque


def crop(images: Tensor, origins: Tensor, size: Size, *, cyclic: bool = False) -> Tensor:
    """The crop of each image at its origin.

    Args:
        images: ``[B, ..., H, W]``, any dtype.
        origins: int64 ``[B, 2]``, (top, left).
        size: ``(h, w)``, at most ``(H, W)``.
        cyclic: whether a crop that reaches the border goes on at the opposite one.

    Returns:
        ``[B, ..., h, w]`` in memory of its own.

    Raises:
        ValueError: for a crop that reaches over the border of an image that does not wrap around.

    Example:
        >>> image = torch.arange(9).view(1, 3, 3)
        >>> crop(image, torch.tensor([[1, 2]]), (2, 2), cyclic=True)
        tensor([[[5, 3],
                 [8, 6]]])
    """
    if opaque(images) or opaque(origins):
        return _gather(images, origins, size, cyclic)
    if len(images) == 0:
        return images.new_empty((*images.shape[:-2], *size))
    pairs = zip(images, origins.tolist(), strict=True)
    return torch.stack([crop_one(image, (top, left), size, cyclic) for image, (top, left) in pairs])


def crop_one(image: Tensor, origin: Size, size: Size, cyclic: bool) -> Tensor:
    """The crop of one image ``[..., H, W]``; a view of it unless it wraps around."""
    bottom, right = origin[0] + size[0], origin[1] + size[1]
    if cyclic:
        over_y, over_x = max(0, bottom - image.shape[-2]), max(0, right - image.shape[-1])
        if over_y:
            image = torch.cat([image, image[..., :over_y, :]], -2)
        if over_x:
            image = torch.cat([image, image[..., :over_x]], -1)
    if min(origin) < 0 or bottom > image.shape[-2] or right > image.shape[-1]:
        raise ValueError(
            f"Expected a crop inside the image of {tuple(image.shape[-2:])}, "
            f"but got origin {origin} and size {size}."
        )
    return image[..., origin[0] : bottom, origin[1] : right]


def _gather(images: Tensor, origins: Tensor, size: Size, cyclic: bool) -> Tensor:
    """The same by one gather, for tensors whose values cannot be looked at."""
    height, width = images.shape[-2:]
    rows = origins[:, 0, None] + torch.arange(size[0], device=images.device)
    columns = origins[:, 1, None] + torch.arange(size[1], device=images.device)
    if cyclic:
        rows, columns = rows.remainder(height), columns.remainder(width)
    place = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)
    flat = images.reshape(images.shape[0], prod(images.shape[1:-2]), height * width)
    place = place[:, None].expand(-1, flat.shape[1], -1)
    return flat.gather(-1, place).reshape(*images.shape[:-2], *size)
