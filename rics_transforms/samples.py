"""Samples of a v2 transform: the first image decides, and the rest is cropped with it."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator
from copy import copy
from typing import Any, Literal

import numpy as np
import PIL.Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from rics_transforms._arguments import Size
from rics_transforms.engine.cutting import crop_pil, crop_tensor
from rics_transforms.engine.geometry import whole
from rics_transforms.engine.images import as_tensor, is_tv_tensor, to_array
from rics_transforms.engine.scores import Score, get_score, require_smooth

Shifts = Literal["realistic", "cyclic"]

_ANNOTATIONS = (tv_tensors.Mask, tv_tensors.BoundingBoxes, tv_tensors.KeyPoints)


class SampleCrop(v2.Transform):
    """A transform with one crop per sample, which the first image of the sample decides.

    Subclasses say where it lies in `_params`, and cut in `transform`, as v2 transforms do.

    Args:
        score: a name or a `Score`.
        shifts: "realistic" or "cyclic".
        subpixel: whether crops lie between the pixels, which takes a smooth score.
        return_origin: give ``(output, origins)``.
    """

    def __init__(
        self, score: str | Score, shifts: Shifts, subpixel: bool, return_origin: bool
    ) -> None:
        super().__init__()
        self.return_origin = return_origin
        self.score = require_smooth(get_score(score), subpixel)
        self.subpixel = subpixel
        is_cyclic(shifts)
        self.shifts = shifts

    def forward(self, *inputs: Any) -> Any:
        output: Any
        origins: Any
        (first, *others) = inputs or (None,)
        if not others and isinstance(first, np.ndarray):
            output, origins = self._crop_array(first)
        elif not others and is_image(first):  # no sample to walk through
            params = self._params(first)
            output, origins = self.transform(first, params), params["origins"]
        elif self.return_origin:
            output, origins = self._crop_sample(inputs)
        else:
            warn_of_several_images(inputs)
            return super().forward(*inputs)
        return (output, origins) if self.return_origin else output

    def _crop_array(self, array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Crops and origins of an image alone; in a sample arrays pass through, as labels do."""
        tensor = as_tensor(array)
        params = self._params(tensor)
        return to_array(self.transform(tensor, params), array), params["origins"].numpy()

    def _crop_sample(self, inputs: tuple[Any, ...]) -> tuple[Any, Tensor]:
        """A cropped sample and the origins, which torchvision passes to `transform` only."""
        warn_of_several_images(inputs)
        made: list[dict[str, Any]] = []

        def make_params(flat_inputs: list[Any]) -> dict[str, Any]:
            made.append(self.make_params(flat_inputs))
            return made[0]

        one_call = copy(self)  # other threads must not see it
        one_call.make_params = make_params  # type: ignore[method-assign]
        output = super(SampleCrop, one_call).forward(*inputs)
        return output, made[0]["origins"]

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        if not any(map(is_image, flat_inputs)):
            raise TypeError(
                "Expected a sample with an image or a video (tensor, PIL image, tv_tensors.Image "
                f"or tv_tensors.Video), but got {[type(i).__name__ for i in flat_inputs]}; an "
                "array [H, W, C] is an image only by itself, elsewhere use tv_tensors.Image."
            )

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        guide = next(filter(is_image, flat_inputs))
        params = self._params(guide)
        check_sample(flat_inputs, guide)
        return params

    @abstractmethod
    def _params(self, guide: Any) -> dict[str, Any]:
        """What `transform` is given: "origins" ``[..., 2]``, one per image, and more."""

    def _cut(self, inpt: Any, origins: Tensor, size: Size, guide: Any) -> Any:
        """The crops of an input; the guide, if known, is the image that chose them."""
        cyclic = self.shifts == "cyclic"
        if is_label_map(inpt, guide):
            origins = whole(origins, F.get_size(inpt) if cyclic else None)
        if is_image(inpt, tv_tensors.Mask) and isinstance(inpt, Tensor):
            selected = guide is inpt
            cropped = crop_tensor(inpt, origins, size, cyclic, selected=selected)
            return tv_tensors.wrap(cropped, like=inpt) if is_tv_tensor(inpt) else cropped
        if origins.ndim > 1:
            raise ValueError(
                f"Expected {type(inpt).__name__} with a single image, but got a batch of shape "
                f"{tuple(origins.shape[:-1])}; apply the transform per sample, before batching."
            )
        if isinstance(inpt, PIL.Image.Image):
            return crop_pil(inpt, origins, size, cyclic)
        if cyclic:
            raise ValueError(
                f"Expected no {type(inpt).__name__} with shifts='cyclic': a crop that wraps around "
                "can cut one object into several pieces, which such annotations cannot express."
            )
        top, left = origins.tolist()
        return self._call_kernel(F.crop, inpt, top, left, *size)


def is_cyclic(shifts: str) -> bool:
    """Whether shifts are "cyclic" rather than "realistic"; anything else is a ValueError."""
    if shifts not in ("realistic", "cyclic"):
        raise ValueError(f"Expected `shifts` to be 'realistic' or 'cyclic', but got {shifts!r}.")
    return shifts == "cyclic"


# --- which inputs are what -----------------------------------------------------------------------


def is_image(inpt: Any, *more: type) -> bool:
    """Whether an input can be an image or a video, or has one of the other types."""
    kinds = (PIL.Image.Image, tv_tensors.Image, tv_tensors.Video, *more)
    return isinstance(inpt, kinds) or (isinstance(inpt, Tensor) and not is_tv_tensor(inpt))


def is_label_map(inpt: Any, guide: Any) -> bool:
    """Whether values must not be mixed: of masks, palettes, single bits, boxes in integers."""
    if isinstance(inpt, PIL.Image.Image):
        if inpt is guide:
            return False
        bands = guide.getbands() if isinstance(guide, PIL.Image.Image) else ()
        return inpt.mode in ("1", "P", "PA") or len(inpt.getbands()) < len(bands)
    if isinstance(inpt, (tv_tensors.BoundingBoxes, tv_tensors.KeyPoints)):
        return not inpt.is_floating_point()
    return isinstance(inpt, tv_tensors.Mask)


def warn_of_several_images(sample: Any) -> None:
    """Say what happens to a list of images that could be meant as a batch.

    One of fewer channels after the first is a mask.
    """
    inputs = list(_in_sequences(sample))
    images = [i for i in inputs if is_image(i) and (not isinstance(i, Tensor) or i.ndim >= 3)]
    others = [image for image in images[1:] if image is not images[0]]
    alike = [image for image in others if F.get_dimensions(image) == F.get_dimensions(images[0])]
    if alike and not any(isinstance(inpt, _ANNOTATIONS) for inpt in inputs):
        warnings.warn(
            f"Expected one image per sample, but got {len(images)} of one size in a sequence: "
            "one of them decides where all are cropped, and plain tensors after the first stay "
            "uncropped. For one crop per image, call it image by image or on a batch "
            "[B, C, H, W]; give images that belong together as a dict, and masks as "
            "tv_tensors.Mask.",
            stacklevel=5,
        )


def _in_sequences(sample: Any) -> Iterator[Any]:
    """What lists and tuples hold; the values of a dict have names, and so are not a batch."""
    for inpt in sample if isinstance(sample, (list, tuple)) else ():
        yield from _in_sequences(inpt)
        yield inpt


def check_sample(flat_inputs: list[Any], guide: Any) -> None:
    """Raise unless everything in a sample fits the image that decides where to crop."""
    if len(flat_inputs) == 1:
        return
    size = F.get_size(guide)
    lead = () if isinstance(guide, PIL.Image.Image) else _as_lead(guide)
    for inpt in flat_inputs:
        if not (is_image(inpt) or isinstance(inpt, _ANNOTATIONS)):
            continue
        if (other := F.get_size(inpt)) != size:
            raise ValueError(
                f"Expected all images, masks and annotations of a sample to have the size {size} "
                f"of the first image, but got {other} for {type(inpt).__name__}."
            )
        is_dense = isinstance(inpt, Tensor) and is_image(inpt, tv_tensors.Mask)
        if is_dense and tuple(inpt.shape[: len(lead)]) != lead:
            raise ValueError(
                f"Expected {type(inpt).__name__} to have the leading dimensions {lead} of the "
                f"first image, but got shape {tuple(inpt.shape)}."
            )
        both_pil = isinstance(inpt, PIL.Image.Image) and isinstance(guide, PIL.Image.Image)
        if both_pil and len(inpt.getbands()) > len(guide.getbands()):
            raise ValueError(
                f"Expected the first PIL image to be the one that decides where to crop, but mode "
                f"{guide.mode} comes before {inpt.mode}; wrap masks in tv_tensors.Mask."
            )


def _as_lead(images: Tensor) -> tuple[int, ...]:
    return tuple(images.shape[: -4 if isinstance(images, tv_tensors.Video) else -3])
