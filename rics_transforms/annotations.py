"""From the crop back to the image: boxes, points and masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors

from rics_transforms._arguments import Size, as_pair
from rics_transforms.engine.geometry import whole
from rics_transforms.engine.images import as_plain

Annotation = TypeVar("Annotation", Tensor, np.ndarray)

_POINTS = {"XYXY": 2, "XYXYXYXY": 4}
"""How many points make a box of a format; others are a point and lengths."""


def uncrop(
    inpt: Annotation,
    origin: Tensor | np.ndarray | Sequence[float],
    n: int | Sequence[int] | None = None,
    *,
    fill: float = 0,
) -> Annotation:
    """What was found in crops, in the coordinates of the images that they were cut from.

    The inverse of the crop: what a model finds in the crop at `origin` is moved by (left, top). For
    crops that wrap around (``shifts="cyclic"``), take points modulo `n` afterwards. At a fraction
    of a pixel (`subpixel`) masks lie at the nearest whole one, as they were cut.

    Args:
        inpt: points ``[..., 2]`` (x, y) or boxes ``[..., 4]`` (x1, y1, x2, y2), in pixels of the
            crop; or `tv_tensors` of key points, boxes of any format, or a mask ``[..., h, w]``. For
            a batch, the first dimensions are those of the origins.
        origin: ``[..., 2]``, (top, left), as `locate` and ``RICSCrop(return_origin=True)`` give it.
        n: side of the images in pixels, or ``(height, width)``; masks and other `tv_tensors` need
            it.
        fill: value of a mask outside the crop.

    Returns:
        The same kind of annotation, as a copy.

    Raises:
        TypeError: for a plain tensor that is neither points nor boxes by its last dimension.
        ValueError: for a missing `n`, origins of another batch, or a crop outside the image.

    Example:
        >>> uncrop(torch.tensor([[1.0, 2.0, 9.0, 8.0]]), (10, 20))
        tensor([[21., 12., 29., 18.]])
        >>> uncrop(tv_tensors.Mask(torch.ones(1, 2)), (1, 0), 3)
        Mask([[0., 0., 0.],
              [1., 1., 0.],
              [0., 0., 0.]])
    """
    if isinstance(inpt, np.ndarray):
        return uncrop(torch.from_numpy(inpt), origin, n, fill=fill).numpy()
    origins = torch.as_tensor(origin, device=inpt.device)
    lead = origins.shape[:-1]
    if origins.shape[-1:] != (2,) or inpt.shape[: len(lead)] != lead:
        raise ValueError(
            "Expected `origin` to be [..., 2] with the first dimensions of the annotation, but got "
            f"{tuple(origins.shape)} with {tuple(inpt.shape)}."
        )
    if isinstance(inpt, tv_tensors.Mask):
        return tv_tensors.wrap(_paste(as_plain(inpt), origins, _required(n), fill), like=inpt)
    if isinstance(inpt, tv_tensors.BoundingBoxes):
        moved = _move(as_plain(inpt), origins, _POINTS.get(inpt.format.name, 1))
        return tv_tensors.wrap(moved, like=inpt, canvas_size=_required(n))
    if isinstance(inpt, tv_tensors.KeyPoints):
        moved = _move(as_plain(inpt), origins, 1)
        return tv_tensors.wrap(moved, like=inpt, canvas_size=_required(n))
    if isinstance(inpt, tv_tensors.TVTensor) or inpt.shape[-1:] not in ((2,), (4,)):
        raise TypeError(
            "Expected points [..., 2], boxes [..., 4], a tv_tensors.Mask, BoundingBoxes or "
            f"KeyPoints, but got {type(inpt).__name__} of shape {tuple(inpt.shape)}."
        )
    return _move(inpt, origins, inpt.shape[-1] // 2)


def _required(n: int | Sequence[int] | None) -> Size:
    if n is None:
        raise ValueError("Expected `n`, the size of the image, for tv_tensors, but got None.")
    return as_pair(n, "n")


def _move(coordinates: Tensor, origins: Tensor, points: int) -> Tensor:
    """Coordinates whose last dimension begins with `points` (x, y) pairs, moved by the origins."""
    shift = origins.flip(-1).repeat(*[1] * (origins.ndim - 1), points).to(coordinates.dtype)
    between = [1] * (coordinates.ndim - origins.ndim)
    shift = shift.reshape(*origins.shape[:-1], *between, 2 * points)
    lengths = coordinates.shape[-1] - 2 * points
    return coordinates + torch.nn.functional.pad(shift, (0, lengths))


def _paste(masks: Tensor, origins: Tensor, n: Size, fill: float) -> Tensor:
    """Masks ``[..., h, w]`` at their origins in images of size n."""
    (height, width), lead = masks.shape[-2:], origins.shape[:-1]
    origins = whole(origins)
    canvas = masks.new_full((*masks.shape[:-2], *n), fill)
    images = canvas.view(-1, *canvas.shape[len(lead) :])
    pieces = masks.reshape(-1, *masks.shape[len(lead) :])
    for image, piece, (top, left) in zip(
        images, pieces, origins.reshape(-1, 2).tolist(), strict=True
    ):
        if not (0 <= top <= n[0] - height and 0 <= left <= n[1] - width):
            raise ValueError(
                f"Expected crops of {(height, width)} inside images of {n}, but got origin "
                f"{(top, left)}."
            )
        image[..., top : top + height, left : left + width] = piece
    return canvas
