"""Samples of a v2 transform: which inputs are images, and what is cropped with what."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import PIL.Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from rics_transforms.engine.images import is_tv_tensor

_ANNOTATIONS = (tv_tensors.Mask, tv_tensors.BoundingBoxes, tv_tensors.KeyPoints)


def is_image(inpt: Any, *more: type) -> bool:
    """Whether an input can be an image or a video, or is of one of the other types."""
    kinds = (PIL.Image.Image, tv_tensors.Image, tv_tensors.Video, *more)
    return isinstance(inpt, kinds) or (isinstance(inpt, Tensor) and not is_tv_tensor(inpt))


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
            "one of them decides where all are cropped, and plain tensors but the first pass "
            "uncropped. For a crop each, call RICSCrop image by image or on a batch [B, C, H, W]; "
            "give images that belong together as a dict, and masks as tv_tensors.Mask.",
            stacklevel=5,
        )


def _in_sequences(sample: Any) -> Iterator[Any]:
    """What lies in lists and tuples; the values of a dict have names, and so are no batch."""
    for inpt in sample if isinstance(sample, (list, tuple)) else ():
        yield from _in_sequences(inpt)
        yield inpt


def check_sample(flat_inputs: list[Any], guide: Any) -> None:
    """Everything that is cropped together must fit the image that decides where."""
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
