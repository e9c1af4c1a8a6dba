"""Cut k x k crops out of images, each at its own origin; in the plane or on the torus.

Pixels are copied, never interpolated, never padded, and never shared with the input.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from rics_transforms._arguments import Size
from rics_transforms.engine import native
from rics_transforms.engine.forks import use_one_thread_if_forked
from rics_transforms.engine.tracing import can_branch_on


def crop(
    images: Tensor, origins: Tensor, size: Size, *, cyclic: bool = False, selected: bool = False
) -> Tensor:
    """The crop of each image at its origin.

    Args:
        images: ``[B, ..., H, W]``, any dtype.
        origins: ``[B, 2]``, (top, left), of integers.
        size: ``(h, w)``, at most ``(H, W)``.
        cyclic: whether a crop that reaches the border continues at the opposite one.
        selected: whether `select` chose the origins in these very images; others are validated.

    Returns:
        ``[B, ..., h, w]``, a copy.

    Raises:
        TypeError: for origins that are not integers.
        ValueError: for origins of another shape, or a crop that reaches beyond the border of an
            image that does not wrap around.

    Example:
        >>> image = torch.arange(9).view(1, 3, 3)
        >>> crop(image, torch.tensor([[1, 2]]), (2, 2), cyclic=True)
        tensor([[[5, 3],
                 [8, 6]]])
    """
    use_one_thread_if_forked()
    origins = origins if origins.dtype == torch.int64 else _as_int64(origins)
    if not (can_branch_on(images) and can_branch_on(origins)):
        return _gather(images, origins, size, cyclic)
    if not selected:
        _require_inside(origins.tolist(), images, size, cyclic)
    if native.copies(images):
        return native.crop(images, origins, size)
    if len(images) == 0:
        return images.new_empty((*images.shape[:-2], *size))
    places = zip(images, origins.tolist(), strict=True)
    return torch.stack([_slice(image, place, size) for image, place in places])


def _as_int64(origins: Tensor) -> Tensor:
    if origins.is_floating_point() or origins.is_complex() or origins.dtype == torch.bool:
        raise TypeError(f"Expected `origins` to be integers, but got {origins.dtype}.")
    return origins.to(torch.int64)


def _require_inside(places: list[list[int]], images: Tensor, size: Size, cyclic: bool) -> None:
    """One origin for each image; on the torus it may be any pixel."""
    if len(places) != len(images):
        raise ValueError(f"Expected {len(images)} origins, one per image, but got {len(places)}.")
    height, width = images.shape[-2:]
    rows, columns = (height, width) if cyclic else (height - size[0] + 1, width - size[1] + 1)
    outside = [place for place in places if not (0 <= place[0] < rows and 0 <= place[1] < columns)]
    if places and (size[0] > height or size[1] > width):  # nor does a torus hold it once
        outside = places
    if outside:
        raise ValueError(
            f"Expected a crop inside the image of {(height, width)}, "
            f"but got origin {tuple(outside[0])} and size {size}."
        )


def _slice(image: Tensor, origin: list[int], size: Size) -> Tensor:
    """A view of the image, unless the crop wraps around."""
    (top, left), (height, width) = origin, size
    over_y, over_x = top + height - image.shape[-2], left + width - image.shape[-1]
    if over_y > 0:
        image = torch.cat([image, image[..., :over_y, :]], -2)
    if over_x > 0:
        image = torch.cat([image, image[..., :over_x]], -1)
    return image[..., top : top + height, left : left + width]


def _gather(images: Tensor, origins: Tensor, size: Size, cyclic: bool) -> Tensor:
    """The same by one gather, for tensors whose values cannot be looked at."""
    if images.dtype == torch.uint16:  # which PyTorch 2.8 cannot gather on a CPU
        return _gather(images.view(torch.int16), origins, size, cyclic).view(torch.uint16)
    height, width = images.shape[-2:]
    rows = origins[:, 0, None] + torch.arange(size[0], device=images.device)
    columns = origins[:, 1, None] + torch.arange(size[1], device=images.device)
    if cyclic:
        rows, columns = rows.remainder(height), columns.remainder(width)
    place = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)
    flat = images.reshape(images.shape[0], prod(images.shape[1:-2]), height * width)
    place = place[:, None].expand(-1, flat.shape[1], -1)
    return flat.gather(-1, place).reshape(*images.shape[:-2], *size)
