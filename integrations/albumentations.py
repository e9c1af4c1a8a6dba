"""RICS for albumentations (2.0.8 or newer) and AlbumentationsX (2.4.7 or newer), in one class.

>>> import albumentations as A
>>> from rics_transforms.integrations.albumentations import RICSCrop
>>> pipeline = A.Compose([A.SmallestMaxSize(256), RICSCrop(224)])

>>> pipeline(image=np.zeros((300, 400, 3), np.uint8))["image"].shape
(224, 224, 3)

Photographs that come in all sizes are better cropped before they are resized, so that trimmed
copies agree:

>>> from rics_transforms.integrations.albumentations import RICSResizedCrop
>>> RICSResizedCrop(224)(image=np.zeros((300, 400, 3), np.uint8))["image"].shape
(224, 224, 3)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from functools import partial
from importlib import metadata
from math import floor, prod
from typing import Any, Literal, Self, TypeVar

import numpy as np
import torch
from torchvision import tv_tensors

from rics_transforms import Ladder, Score, get_score, list_scores
from rics_transforms import RICSCrop as Chooser
from rics_transforms import RICSResizedCrop as ResizedChooser
from rics_transforms.integrations._versions import require

try:  # both are imported as `albumentations`; it is this one if it is installed at all
    metadata.version("albumentationsx")
except metadata.PackageNotFoundError:
    require("albumentations", extra="albumentations", minimum="2.0.8")
    _EDGE = 0.0  # where the first pixel begins, for keypoints
else:
    require("albumentationsx", extra="albumentations", minimum="2.4.7")
    _EDGE = -0.5

import albumentations
import cv2
from albumentations.augmentations.crops.transforms import BaseCrop
from albumentations.core.transforms_interface import BaseTransformInitSchema, DualTransform
from pydantic import model_validator

__all__ = ["RICSCrop", "RICSResizedCrop"]

AnyChooser = TypeVar("AnyChooser", Chooser, ResizedChooser)

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels: ints, or floats between the pixels."""

_LADDER = Ladder()

_GUIDES = {"image": 0, "images": 1, "volume": 1, "volumes": 2}
"""The targets that can decide where to crop, and how many axes precede their (H, W)."""


class _Guided:
    """Lets the pixels of a sample decide where to crop, through the hook of either library.

    AlbumentationsX refuses transforms that define the older hook themselves.
    """

    _chooser: Chooser | ResizedChooser

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        return {"crop_coords": self._crop_coords(data)}

    def sample_parameters(
        self, params: dict[str, Any], data: dict[str, Any], targets: Any, sampling: Any
    ) -> Any:
        return albumentations.SampledParams(params=self.get_params_dependent_on_data(params, data))

    @property
    def _supported_bbox_types(self) -> frozenset[str]:
        """What AlbumentationsX accepts: oriented boxes cannot be cut into pieces."""
        return frozenset({"hbb"} if self._chooser.shifts == "cyclic" else {"hbb", "obb"})

    def _crop_coords(self, data: Mapping[str, Any]) -> Box:
        guide = next((name for name in _GUIDES if data.get(name) is not None), None)
        if guide is None:
            raise ValueError(f"Expected a sample with {', '.join(_GUIDES)}, but got {list(data)}.")
        clip = _as_video(np.asarray(data[guide]), _GUIDES[guide])
        top, left = self._chooser.locate(clip).tolist()  # numbers of Python, as JSON needs them
        height, width = self._size_in(clip.shape[-2:])
        return left, top, left + width, top + height

    def _size_in(self, size: Sequence[int]) -> tuple[int, int]:
        """Height and width of the crops of images of a size."""
        raise NotImplementedError


class RICSCrop(_Guided, BaseCrop):
    """Crop every sample where its own pixels say, so that a shifted window gives the same crop.

    The first of `image`, `images`, `volume` and `volumes` in a sample decides for all its targets;
    the frames of the last three share one crop, for which their scores are added. Targets come out
    as from the library's `Crop` at that place, except that pixels are never shared with the input.
    With `subpixel` images and volumes are resampled there, masks are cut at the nearest whole
    pixel, and boxes and keypoints move by the fraction.

    Args:
        k: side of the crop in pixels, or ``(height, width)``; at most the image's.
        score: a registered name, a `Score` of a registered class, or a name with options as
            serialization writes it: ``{"name": "lattice", "patch": "hash"}``.
        shifts: "realistic", or "cyclic" for images that wrap around. A box that the border of a
            cyclic crop cuts apart becomes one row per piece, each with its labels; oriented boxes
            cannot be cut.
        subpixel: place crops between the pixels, for scenes that move by fractions of one, see
            `rics_transforms.RICSCrop`.
        p: probability of cropping.

    Raises:
        ValueError: for arguments out of range, a score that is not registered, an image smaller
            than `k`, and a sample without an image.

    Targets:
        image, mask, bboxes, keypoints, volume, mask3d

    Image types:
        uint8, float32, and any other that `rics_transforms.locate` accepts

    The guarantee is that of `rics_transforms.RICSCrop`.

    Example:
        >>> crop = RICSCrop(48, score=get_score("lattice", patch="hash"))
        >>> crop(image=np.zeros((64, 64, 3), np.uint8), mask=np.zeros((64, 64)))["mask"].shape
        (48, 48)
        >>> crop.to_dict()["transform"]["score"]
        {'name': 'lattice', 'patch': 'hash'}
    """

    class InitSchema(BaseTransformInitSchema):
        """The arguments, brought into the form that serialization stores."""

        k: Any
        score: Any
        shifts: Any
        subpixel: Any

        @model_validator(mode="after")
        def _normalise(self) -> Self:
            crop = _make(Chooser, self.k, self.score, self.shifts, self.subpixel)
            self.k, self.score = crop.k, _spec(crop.score)
            return self

    def __init__(
        self,
        k: int | Sequence[int],
        score: str | Score | Mapping[str, Any] = "lattice",
        shifts: Literal["realistic", "cyclic"] = "realistic",
        subpixel: bool = False,
        p: float = 1.0,
    ) -> None:
        super().__init__(p=p)
        self.k = k
        self.score = score
        self.shifts = shifts
        self.subpixel = subpixel
        self._chooser = _make(Chooser, k, score, shifts, subpixel)

    def _size_in(self, size: Sequence[int]) -> tuple[int, int]:
        return self._chooser.k

    def apply(self, img: Any, crop_coords: Box, **params: Any) -> Any:
        return self._cut(img, crop_coords, 0)

    def apply_to_images(self, images: Any, crop_coords: Box, **params: Any) -> Any:
        return self._cut(images, crop_coords, 1)

    def apply_to_volume(self, volume: Any, crop_coords: Box, **params: Any) -> Any:
        return self._cut(volume, crop_coords, 1)

    def apply_to_volumes(self, volumes: Any, crop_coords: Box, **params: Any) -> Any:
        return self._cut(volumes, crop_coords, 2)

    def apply_to_mask(self, mask: Any, crop_coords: Box, **params: Any) -> Any:
        return super().apply_to_mask(mask, crop_coords=_whole(crop_coords), **params)

    def apply_to_masks(self, masks: Any, crop_coords: Box, **params: Any) -> Any:
        return super().apply_to_masks(masks, crop_coords=_whole(crop_coords), **params)

    def apply_to_mask3d(self, mask3d: Any, crop_coords: Box, **params: Any) -> Any:
        return super().apply_to_mask3d(mask3d, crop_coords=_whole(crop_coords), **params)

    def apply_to_masks3d(self, masks3d: Any, crop_coords: Box, **params: Any) -> Any:
        return super().apply_to_masks3d(masks3d, crop_coords=_whole(crop_coords), **params)

    def _cut(self, array: np.ndarray, crop_coords: Box, axis: int) -> np.ndarray:
        left, top, right, bottom = whole = _whole(crop_coords)
        height, width = array.shape[axis : axis + 2]
        over = right > width or bottom > height
        if over and self.shifts == "realistic":
            raise ValueError(
                f"Expected a crop inside the image of {(height, width)}, but got {crop_coords} "
                "(left, top, right, bottom); replay on images of one size."
            )
        if whole != tuple(crop_coords):
            return self._resample(array, crop_coords, axis)
        if over:
            array = np.roll(array, (-top, -left), (axis, axis + 1))
            left, top, right, bottom = 0, 0, right - left, bottom - top
        return array[(slice(None),) * axis + np.s_[top:bottom, left:right]].copy()

    def _resample(self, array: np.ndarray, crop_coords: Box, axis: int) -> np.ndarray:
        left, top, right, bottom = crop_coords
        size = round(bottom - top), round(right - left)
        origin = torch.tensor((top, left), dtype=torch.float64)
        cut = Chooser(size, shifts=self.shifts).transform
        crops = cut(_as_video(array, axis).contiguous(), {"origins": origin})
        last = crops.movedim(1, -1).contiguous().numpy()
        return last.reshape(*array.shape[:axis], *size, *array.shape[axis + 2 :])

    def apply_to_bboxes(self, bboxes: np.ndarray, crop_coords: Box, **params: Any) -> np.ndarray:
        if self.shifts == "cyclic" and bboxes.size:
            bboxes = _pieces(bboxes, crop_coords, params["shape"])
        return super().apply_to_bboxes(bboxes, crop_coords, **params)

    def apply_to_keypoints(
        self, keypoints: np.ndarray, crop_coords: Box, **params: Any
    ) -> np.ndarray:
        moved = super().apply_to_keypoints(keypoints, crop_coords, **params)
        if self.shifts == "cyclic" and moved.size:
            height, width = params["shape"][:2]
            moved[:, :2] = (moved[:, :2] - _EDGE) % (width, height) + _EDGE
        return moved


def _in_turn(target: str, resize: str, axis: int = 0) -> Callable[..., Any]:
    """The method of a target: crop as `RICSCrop` does, then resize along an axis, one by one."""

    def apply(self: RICSResizedCrop, data: Any, crop_coords: Box, **params: Any) -> Any:
        cropped = getattr(self._crop, target)(data, crop_coords=crop_coords, **params)
        left, top, right, bottom = _whole(crop_coords)
        params["shape"] = bottom - top, right - left
        return _each(partial(getattr(self._resize, resize), **params), cropped, axis)

    return apply


def _each(function: Callable[[Any], Any], data: Any, axis: int) -> Any:
    if axis == 0:
        return function(data)
    return np.stack([_each(function, part, axis - 1) for part in data])


class RICSResizedCrop(_Guided, DualTransform):
    """Crop every sample in its stored pixels, where they say, and resize: trimmed copies agree.

    In place of ``[SmallestMaxSize(256), CenterCrop(224, 224)]``, and modelled on the library's
    `RandomResizedCrop`. The first of `image`, `images`, `volume` and `volumes` in a sample decides
    for all its targets, which are cropped as by `RICSCrop` and then resized as by the library's
    `Resize`. OpenCV's filters do not widen when they shrink an image, except for ``INTER_AREA``.

    Args:
        size: height and width of the output, or an int for both.
        field: the longer side of the field in pixels, or the `Ladder` it is taken from, also as
            serialization writes it: ``{"step": 2, "most": 0.97}``.
        ratio: side of the crop as a share of the field's, above 0 and at most 1.
        score: as in `RICSCrop`.
        shifts: "realistic", or "cyclic" for images that wrap around.
        subpixel: place crops between the pixels.
        interpolation: flag of OpenCV for images and volumes.
        mask_interpolation: flag of OpenCV for masks.
        p: probability of cropping.

    Raises:
        ValueError: for arguments out of range, a score that is not registered, an image smaller
            than the field, and a sample without an image.

    Targets:
        image, mask, bboxes, keypoints, volume, mask3d

    Image types:
        uint8, float32

    The guarantee is that of `rics_transforms.RICSResizedCrop`.

    Example:
        >>> crop = RICSResizedCrop((48, 64), interpolation=cv2.INTER_AREA)
        >>> crop(image=np.zeros((375, 500, 3), np.uint8), mask=np.zeros((375, 500)))["mask"].shape
        (48, 64)
    """

    _targets = BaseCrop._targets

    class InitSchema(BaseTransformInitSchema):
        """The arguments, brought into the form that serialization stores."""

        size: Any
        field: Any
        ratio: Any
        score: Any
        shifts: Any
        subpixel: Any
        interpolation: Any
        mask_interpolation: Any

        @model_validator(mode="after")
        def _normalise(self) -> Self:
            options = {"field": self.field, "ratio": self.ratio}
            arguments = self.size, self.score, self.shifts, self.subpixel
            crop = _make(ResizedChooser, *arguments, **options)
            self.size, self.score = crop.size, _spec(crop.score)
            self.field = crop.field if isinstance(crop.field, int) else asdict(crop.field)
            return self

    def __init__(
        self,
        size: int | Sequence[int],
        field: int | Ladder | Mapping[str, float] = _LADDER,
        ratio: float = 7 / 8,
        score: str | Score | Mapping[str, Any] = "lattice",
        shifts: Literal["realistic", "cyclic"] = "realistic",
        subpixel: bool = False,
        interpolation: int = cv2.INTER_LINEAR,
        mask_interpolation: int = cv2.INTER_NEAREST,
        p: float = 1.0,
    ) -> None:
        super().__init__(p=p)
        self.size = size
        self.field = field
        self.ratio = ratio
        self.score = score
        self.shifts = shifts
        self.subpixel = subpixel
        self.interpolation = interpolation
        self.mask_interpolation = mask_interpolation
        arguments = score, shifts, subpixel
        self._chooser = _make(ResizedChooser, size, *arguments, field=field, ratio=ratio)
        self._crop = RICSCrop(self._chooser.size, *arguments)  # the size is that of `crop_coords`
        self._resize = albumentations.Resize(
            *self._chooser.size, interpolation=interpolation, mask_interpolation=mask_interpolation
        )

    def _size_in(self, size: Sequence[int]) -> tuple[int, int]:
        return self._chooser.field_of(size).k

    apply = _in_turn("apply", "apply")
    apply_to_images = _in_turn("apply_to_images", "apply", 1)
    apply_to_volume = _in_turn("apply_to_volume", "apply", 1)
    apply_to_volumes = _in_turn("apply_to_volumes", "apply", 2)
    apply_to_mask = _in_turn("apply_to_mask", "apply_to_mask")
    apply_to_masks = _in_turn("apply_to_masks", "apply_to_mask", 1)
    apply_to_mask3d = _in_turn("apply_to_mask3d", "apply_to_mask", 1)
    apply_to_masks3d = _in_turn("apply_to_masks3d", "apply_to_mask", 2)
    apply_to_bboxes = _in_turn("apply_to_bboxes", "apply_to_bboxes")
    apply_to_keypoints = _in_turn("apply_to_keypoints", "apply_to_keypoints")


def _whole(box: Box) -> tuple[int, int, int, int]:
    """The whole pixels nearest to a crop, where masks are cut, since labels must not be mixed."""
    left, top, right, bottom = (floor(side + 0.5) for side in box)
    return left, top, right, bottom


def _make(
    kind: type[AnyChooser], size: Any, score: Any, shifts: Any, subpixel: Any, **options: Any
) -> AnyChooser:
    """The transform with these arguments; every mistake is a ValueError, as pydantic expects."""
    try:
        if isinstance(options.get("field"), Mapping):
            options["field"] = Ladder(**options["field"])
        resolved = get_score(**score) if isinstance(score, Mapping) else score
        return kind(size, score=resolved, shifts=shifts, subpixel=subpixel, **options)
    except TypeError as error:
        raise ValueError(str(error)) from error


def _spec(score: Score) -> str | dict[str, Any]:
    """A score as JSON can store it: its name, with the options that are not the default."""
    for name in list_scores():
        default = get_score(name)
        if type(default) is type(score) and is_dataclass(score):
            values = {field.name: getattr(score, field.name) for field in fields(score)}
            options = {x: value for x, value in values.items() if value != getattr(default, x)}
            if "name" not in options:  # by which functions differ
                return {"name": name, **options} if options else name
    raise ValueError(
        f"Expected `score` to be registered, so that it can be serialized, but got {score!r}; "
        "see rics_transforms.register_score."
    )


def _as_video(array: np.ndarray, axis: int) -> tv_tensors.Video:
    """The frames ``[T, C, H, W]`` of an array ``[..., H, W]`` or ``[..., H, W, C]``."""
    channels = array.shape[axis + 2] if array.ndim == axis + 3 else 1
    frames = array.reshape(prod(array.shape[:axis]), *array.shape[axis : axis + 2], channels)
    native = frames.astype(frames.dtype.newbyteorder("="), copy=False)
    writeable = np.require(native, requirements=["C", "W"])  # which from_numpy insists on
    return tv_tensors.Video(torch.from_numpy(writeable).movedim(-1, -3))


def _pieces(bboxes: np.ndarray, crop_coords: Box, shape: Sequence[int]) -> np.ndarray:
    """Every box, in units of the image, at each of its periodic places that the crop reaches."""
    left, top, right, bottom = crop_coords
    period = np.array((shape[1], shape[0]))
    moved = np.repeat(bboxes[:, None], 4, axis=1)
    moved[..., :4] += np.array([(0, 0, 0, 0), (1, 0, 1, 0), (0, 1, 0, 1), (1, 1, 1, 1)])
    start = np.maximum(moved[..., :2] * period, (left, top))
    end = np.minimum(moved[..., 2:4] * period, (right, bottom))
    return moved[(end - start > 1e-3).all(-1)]  # rounding leaves slivers
