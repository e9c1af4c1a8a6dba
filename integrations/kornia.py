"""RICS as a kornia augmentation.

>>> from kornia.augmentation import AugmentationSequential
>>> from rics_transforms.integrations.kornia import RICSCrop
>>> crop = AugmentationSequential(RICSCrop(48), data_keys=["input", "mask", "keypoints"])

>>> images, masks, points = torch.rand(2, 3, 64, 64), torch.zeros(2, 1, 64, 64), torch.rand(2, 5, 2)
>>> [tuple(output.shape) for output in crop(images, masks, points)]
[(2, 3, 48, 48), (2, 1, 48, 48), (2, 5, 2)]

kornia asks a transform for its parameters before it shows any pixels. So `generate_parameters`
gives those that follow from shapes, and `forward` adds, in the caller's dict, the crop that the
image chooses. Annotations, replays and inverses read the crop from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from rics_transforms import Ladder, Score
from rics_transforms import RICSCrop as Chooser
from rics_transforms import RICSResizedCrop as ResizedChooser
from rics_transforms.integrations._versions import require

require("kornia", extra="kornia", minimum="0.8")

from kornia.augmentation import GeometricAugmentationBase2D  # noqa: E402, after the version check
from kornia.constants import Resample  # noqa: E402
from kornia.geometry.boxes import Boxes  # noqa: E402
from kornia.geometry.keypoints import Keypoints  # noqa: E402

__all__ = ["RICSCrop", "RICSResizedCrop"]

Params = dict[str, Tensor]
Flags = dict[str, Any]
Size = tuple[int, int]
Shapes = TypeVar("Shapes", Boxes, Keypoints)

_LADDER = Ladder()

_MODES = {
    Resample.NEAREST: InterpolationMode.NEAREST_EXACT,
    Resample.BILINEAR: InterpolationMode.BILINEAR,
    Resample.BICUBIC: InterpolationMode.BICUBIC,
}
"""The filters, on one grid: that of the outer edges of pixels."""


class _Crop(GeometricAugmentationBase2D):
    """What both crops share: the image decides, and everything else follows."""

    chooser: Chooser | ResizedChooser

    # Before kornia 0.9 there is nothing to read until the first image has come.
    _transform_matrix: Tensor | None = None

    # --- parameters ------------------------------------------------------------------------------

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> Params:
        """What follows from shapes: the size of the output, and how many crops there are to choose.

        The latter is the number of columns of a tensor: `VideoSequential` repeats the rows of all
        parameters for every frame and leaves columns alone, and a compiler knows sizes.
        """
        batch = batch_shape[0]
        crops = 1 if self.same_on_batch else max(batch, 1)
        size = torch.tensor(self.flags["size"]).expand(batch, 2)
        return {"output_size": size, "crops": torch.zeros(batch, crops, dtype=torch.bool)}

    def forward(self, input: Tensor, params: Params | None = None, **kwargs: Any) -> Tensor:
        images = self.transform_tensor(input)
        if params is None:
            params = self.forward_parameters(images.shape)
        params["src"] = self._complete(params, images)["src"]
        return super().forward(input, params=params, **kwargs)

    def _complete(self, params: Params, images: Tensor) -> Params:
        """The parameters with the corners of the crops, which the images choose unless recorded."""
        if "src" in params:
            return params
        origins = self._choose(images, params["crops"].shape[1]).flip(-1)
        return {**params, "src": _corners(origins, self._size_in(images.shape[-2:]))}

    def _size_in(self, size: Sequence[int]) -> Size:
        """Height and width of the crops of images of a size."""
        raise NotImplementedError

    def _choose(self, images: Tensor, crops: int) -> Tensor:
        """Origins ``[B, 2]`` (top, left) of a batch that is made of as many clips as crops."""
        if crops >= len(images):
            return self.chooser.locate(images)
        frames = len(images) // crops
        clips = tv_tensors.Video(images.unflatten(0, (crops, frames)))
        return self.chooser.locate(clips).repeat_interleave(frames, 0)

    def generate_transformation_matrix(self, input: Tensor, params: Params, flags: Flags) -> Tensor:
        _offset(params)  # or raise: for annotations without an image kornia passes a blank one
        return super().generate_transformation_matrix(input, params, flags)

    def compute_transformation(self, input: Tensor, params: Params, flags: Flags) -> Tensor:
        return _translation(-_offset(self._complete(params, input))).to(input.dtype)

    # --- pixels ----------------------------------------------------------------------------------

    def apply_transform(
        self, input: Tensor, params: Params, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        return self._cut(input, self._complete(params, input), flags)

    def apply_transform_mask(
        self, input: Tensor, params: Params, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        nearest = {**flags, "resample": Resample.NEAREST}
        return self._cut(input, self._at_whole_pixels(params), nearest)

    def _cut(self, input: Tensor, params: Params, flags: Flags) -> Tensor:
        """The output ``[B, C, h, w]``, resampled where crops lie between the pixels."""
        _check_fit(input, params)
        k, origins = self._size_in(input.shape[-2:]), _offset(params).flip(-1)
        chosen = {"origins": origins, "k": k, "guide": None}
        cropped: Tensor = self._chooser_of(flags).transform(input, chosen)
        return cropped

    def _chooser_of(self, flags: Flags) -> Chooser | ResizedChooser:
        """The transform that cuts, and resamples as the flags say."""
        return self.chooser

    def _at_whole_pixels(self, params: Params) -> Params:
        """The parameters for masks, whose values must not be mixed: the nearest whole crops."""
        offset = _offset(params)
        if not offset.is_floating_point():
            return params
        nearest = (offset + 0.5).floor()
        if self.chooser.shifts == "cyclic":
            nearest = nearest.remainder(_as_xy(params["forward_input_shape"], nearest))
        src = params["src"] + (nearest - offset)[:, None]
        return {**params, "src": src.to(torch.int64)}

    def inverse_inputs(
        self,
        input: Tensor,
        params: Params,
        flags: Flags,
        transform: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        exact = _translation(_offset(params))  # the given one has the dtype of the image
        return super().inverse_inputs(input, params, flags, exact, **kwargs)

    def inverse_masks(
        self,
        input: Tensor,
        params: Params,
        flags: Flags,
        transform: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        whole = self._at_whole_pixels(params)
        return super().inverse_masks(input, whole, flags, transform, **kwargs)

    def inverse_transform(
        self,
        input: Tensor,
        flags: Flags,
        transform: Any = None,
        size: Any = None,
    ) -> Tensor:
        """Scatter ``[B, C, kh, kw]`` onto zeros of a size, moved by `transform`."""
        input, offset = self._onto_pixels(input, transform[:, :2, 2], size)
        rows, columns = self._places(input.shape[-2:], offset, size)
        batch, channels, height, _ = input.shape
        columns = columns.expand(batch, channels, height, -1)
        wide = input.new_zeros(batch, channels, height, size[1]).scatter(3, columns, input)
        rows = rows.expand(batch, channels, -1, size[1])
        return input.new_zeros(batch, channels, *size).scatter(2, rows, wide)

    def _onto_pixels(
        self, input: Tensor, offset: Tensor, size: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Crops resampled at the whole pixels nearest to them, and the (x, y) of these, int64.

        The taps repeat the border of the crop, or wrap around if it is a whole torus.
        """
        if not offset.is_floating_point():
            return input, offset
        nearest, k = (offset + 0.5).floor(), tuple(input.shape[-2:])
        closed = self.chooser.shifts == "cyclic" and k == tuple(size)
        back = Chooser(k, shifts="cyclic" if closed else "realistic")
        moved: Tensor = back.transform(input, {"origins": (nearest - offset).flip(-1)})
        return moved, nearest.to(torch.int64)

    def _places(
        self, k: Sequence[int], offset: Tensor, size: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Rows ``[B, 1, kh, 1]`` and columns ``[B, 1, 1, kw]`` of crops at ``[B, 2]`` (x, y)."""
        height, width = (torch.arange(side, device=offset.device) for side in k)
        columns, rows = offset[:, 0, None] + width, offset[:, 1, None] + height
        if self.chooser.shifts == "cyclic":
            rows, columns = rows.remainder(size[0]), columns.remainder(size[1])
        return rows[:, None, :, None], columns[:, None, None]

    # --- boxes and keypoints ---------------------------------------------------------------------

    def apply_transform_box(
        self, input: Boxes, params: Params, flags: Flags, transform: Tensor | None = None
    ) -> Boxes:
        return self._move(input, params)

    def apply_transform_keypoint(
        self, input: Keypoints, params: Params, flags: Flags, transform: Tensor | None = None
    ) -> Keypoints:
        return self._move(input, params)

    def inverse_boxes(
        self,
        input: Boxes,
        params: Params,
        flags: Flags,
        transform: Tensor | None = None,
        **kwargs: Any,
    ) -> Boxes:
        return self._move_back(input, params)

    def inverse_keypoints(
        self,
        input: Keypoints,
        params: Params,
        flags: Flags,
        transform: Tensor | None = None,
        **kwargs: Any,
    ) -> Keypoints:
        return self._move_back(input, params)

    def _move(self, shapes: Shapes, params: Params) -> Shapes:
        """Boxes or keypoints of the image, in the output."""
        points = _points(shapes)
        points = points - _spread(_offset(params), points)
        if self.chooser.shifts == "cyclic":
            view = _spread(_extent(params), points) if isinstance(shapes, Boxes) else None
            points = points + _to_torus(points, _period(params, points), view)
        return _with_points(shapes, self._onto_output(points, params))

    def _move_back(self, shapes: Shapes, params: Params) -> Shapes:
        """Boxes or keypoints of the output, in the image."""
        if not (params["batch_prob"] > 0.5).any():
            return shapes
        points = self._off_output(_points(shapes), params)
        points = points + _spread(_offset(params), points)
        if self.chooser.shifts == "cyclic":
            period = _period(params, points)
            view = period if isinstance(shapes, Boxes) else None
            points = points + _to_torus(points, period, view)
        return _with_points(shapes, points)

    def _onto_output(self, points: Tensor, params: Params) -> Tensor:
        """Points of the crop in the output, which is the crop unless it is resized."""
        return points

    def _off_output(self, points: Tensor, params: Params) -> Tensor:
        """Points of the output in the crop."""
        return points


class RICSCrop(_Crop):
    """Crop every image where its own content says, so that a shifted window gives the same crop.

    The crop of `rics_transforms.RICSCrop`, which states the guarantee, in place of kornia's
    `RandomCrop` or `CenterCrop`: called directly, or in `AugmentationSequential` with every data
    key, `ImageSequential` and `VideoSequential`. Deterministic: only a `p` between 0 and 1 draws a
    random number. `inverse` pastes the crop, bit for bit, back where it came from, onto zeros.

    Pixels are copied, and resampled only with `subpixel`. Like kornia's own crops, this one moves
    boxes and keypoints that lie outside along with the others. With ``shifts="cyclic"`` keypoints
    come out in ``[-0.5, W - 0.5)`` and ``[-0.5, H - 0.5)`` of the input, and a box takes, of its
    places on the torus, the one that shows most of it; the part of it that appears at the opposite
    border has no box.

    Args:
        k: side of the crop in pixels, or ``(height, width)``; at most the image's.
        score: a registered name (`list_scores`) or a `Score` with its own options.
        shifts: "realistic" or "cyclic", see `rics_transforms.locate`.
        subpixel: place crops between the pixels, for scenes that move by fractions of one, see
            `rics_transforms.RICSCrop`: boxes and keypoints move by the fraction, masks are cut at
            the nearest whole pixel. `inverse` then resamples images back: what two Lanczos filters
            leave is off by 1.3 of 255 grey levels on average for photographs, and by no more than
            10 in 99 % of their pixels. Edges overshoot [0, 1] a little, and are not clamped.
        same_on_batch: one crop for the whole batch, where the sum of the images' scores is highest.
            `VideoSequential` does so with the frames of each clip, unless given
            ``same_on_frame=False``.
        keepdim: return an image without a batch dimension as such, instead of as a batch of one.
        p: probability that a batch is cropped; all of it or nothing, as its images keep one size.

    Input and output are float images ``[B, C, H, W]`` to ``[B, C, kh, kw]`` (also without B, or B
    and C). They give the same crop as the image in uint8 would, except in bfloat16, which cannot
    hold 256 grey levels. Afterwards ``_params["src"]`` holds the corners of the crops, int64
    ``[B, 4, 2]`` (x, y) clockwise from the top left, the last pixel included; with `subpixel`
    float64. Compiled and exported graphs equal the eager call; with `same_on_batch`,
    ``fullgraph=True`` does not work. No crop of kornia 0.8 can be compiled or exported, or take
    empty batches with masks, or masks in lists or before the image; and bfloat16 needs 0.8.3.

    Raises:
        ValueError: for a `k` larger than the image or below 1, an unknown score or kind of shifts,
            NaN or infinity; annotations before an image has chosen the crop.
        TypeError: for integer images, as in all of kornia.

    Example:
        >>> crop = RICSCrop(48, shifts="cyclic")
        >>> images = torch.rand(2, 3, 64, 64)
        >>> torch.equal(crop(images), crop(images.roll((5, -3), dims=(-2, -1))))
        True
        >>> crop.inverse(crop(images)).shape
        torch.Size([2, 3, 64, 64])
    """

    chooser: Chooser

    def __init__(
        self,
        k: int | Sequence[int],
        *,
        score: str | Score = "lattice",
        shifts: Literal["realistic", "cyclic"] = "realistic",
        subpixel: bool = False,
        same_on_batch: bool = False,
        keepdim: bool = False,
        p: float = 1.0,
    ) -> None:
        super().__init__(p=1.0, p_batch=p, same_on_batch=same_on_batch, keepdim=keepdim)
        self.chooser = Chooser(k, score=score, shifts=shifts, subpixel=subpixel)
        self.flags = {"size": self.chooser.k, "score": self.chooser.score, "shifts": shifts}
        self.flags |= {"subpixel": True} if subpixel else {}

    def _size_in(self, size: Sequence[int]) -> Size:
        return self.chooser.k


class RICSResizedCrop(_Crop):
    """Crop every image in its stored pixels, where they say, and resize: trimmed copies agree.

    The crop of `rics_transforms.RICSResizedCrop`, which states the guarantee, in place of kornia's
    `RandomResizedCrop`, or of `Resize` and `CenterCrop`. For calls, containers, replays and graphs,
    everything said about `RICSCrop` holds.

    Pixels are resampled on the grid of the pixels' outer edges, as by kornia with
    ``align_corners=False``; boxes and keypoints move by the matrix, as with kornia's own crops, and
    masks take the nearest pixel. `inverse` resizes the output to the size of the crop, and pastes
    that back where it came from, onto zeros: what the resize lost stays lost, 4.2 of 255 grey
    levels on average for photographs whose 279 pixels became 224.

    Args:
        size: height and width of the output, or an int for both.
        field: the longer side of the field in pixels, or the `Ladder` it is taken from.
        ratio: side of the crop as a share of the field's, above 0 and at most 1.
        score: a registered name (`list_scores`) or a `Score` with its own options.
        shifts: "realistic" or "cyclic", see `rics_transforms.locate`.
        subpixel: place crops between the pixels, see `RICSCrop`.
        resample: "nearest", "bilinear" or "bicubic", for images and their inverse.
        antialias: let the filter of the resize cover what it shrinks.
        same_on_batch: as in `RICSCrop`.
        keepdim: as in `RICSCrop`.
        p: probability that a batch is cropped.

    Raises:
        ValueError: for numbers out of range, an image smaller than the field, an unknown score or
            kind of shifts, NaN or infinity; annotations before an image has chosen the crop.
        TypeError: for integer images, as in all of kornia.

    Example:
        >>> crop = RICSResizedCrop(48)
        >>> images = torch.rand(2, 3, 75, 100)
        >>> crop(images).shape, crop.inverse(crop(images)).shape
        (torch.Size([2, 3, 48, 48]), torch.Size([2, 3, 75, 100]))
    """

    chooser: ResizedChooser

    def __init__(
        self,
        size: int | Sequence[int],
        *,
        field: int | Ladder = _LADDER,
        ratio: float = 7 / 8,
        score: str | Score = "lattice",
        shifts: Literal["realistic", "cyclic"] = "realistic",
        subpixel: bool = False,
        resample: str | int | Resample = Resample.BILINEAR,
        antialias: bool = True,
        same_on_batch: bool = False,
        keepdim: bool = False,
        p: float = 1.0,
    ) -> None:
        super().__init__(p=1.0, p_batch=p, same_on_batch=same_on_batch, keepdim=keepdim)
        self._choosers = {
            name: ResizedChooser(
                size,
                field=field,
                ratio=ratio,
                score=score,
                shifts=shifts,
                subpixel=subpixel,
                interpolation=mode,
                antialias=antialias,
            )
            for name, mode in _MODES.items()
        }
        self.chooser = self._choosers[Resample.get(resample)]
        flags: Flags = {"size": self.chooser.size, "field": field, "ratio": ratio}
        flags |= {"score": self.chooser.score, "shifts": shifts}
        flags |= {"subpixel": True} if subpixel else {}
        self.flags = {**flags, "resample": Resample.get(resample)}

    def _size_in(self, size: Sequence[int]) -> Size:
        return self.chooser.field_of(size).k

    def _chooser_of(self, flags: Flags) -> ResizedChooser:
        return self._choosers[flags["resample"]]

    def compute_transformation(self, input: Tensor, params: Params, flags: Flags) -> Tensor:
        params = self._complete(params, input)
        zoom = self._zoom(params, torch.promote_types(input.dtype, torch.float32))
        scale = torch.diag_embed(torch.cat([zoom, torch.ones_like(zoom[:, :1])], 1))
        before = _translation(0.5 - _offset(params).to(zoom))
        return (_translation(torch.full_like(zoom, -0.5)) @ scale @ before).to(input.dtype)

    def inverse_transform(
        self, input: Tensor, flags: Flags, transform: Any = None, size: Any = None
    ) -> Tensor:
        """Resize to the size of the crop, and scatter as `RICSCrop` does."""
        mode, antialias = _MODES[flags["resample"]], self.chooser.antialias
        crops = F.resize(input, self._size_in(size), interpolation=mode, antialias=antialias)
        return super().inverse_transform(crops, flags, transform, size)

    def _onto_output(self, points: Tensor, params: Params) -> Tensor:
        return (points + 0.5) * _spread(self._zoom(params, points.dtype), points) - 0.5

    def _off_output(self, points: Tensor, params: Params) -> Tensor:
        return (points + 0.5) / _spread(self._zoom(params, points.dtype), points) - 0.5

    def _zoom(self, params: Params, dtype: torch.dtype) -> Tensor:
        """Pixels of the output per pixel of the crop, ``[B, 2]`` (x, y)."""
        extent = _extent(params).to(dtype)
        return _as_xy(self.chooser.size, extent) / extent


def _corners(offset: Tensor, size: Sequence[int]) -> Tensor:
    """Corner pixels ``[B, 4, 2]`` of crops at ``[B, 2]`` (x, y), clockwise from the top left."""
    bottom, right = size[0] - 1, size[1] - 1
    corners = [[0, 0], [right, 0], [right, bottom], [0, bottom]]
    return offset[:, None] + torch.tensor(corners, device=offset.device)


def _offset(params: Params) -> Tensor:
    """Where the crops begin, ``[B, 2]`` (x, y): int64, or float64 between the pixels."""
    if "src" not in params:
        raise ValueError(
            "Expected an image before its masks, boxes and keypoints, but got `params` in which no "
            "image has chosen a crop; apply the transform to the image first."
        )
    return params["src"][:, 0]


def _extent(params: Params) -> Tensor:
    """Width and height of the crops in the image, ``[B, 2]``."""
    return params["src"][:, 2] - params["src"][:, 0] + 1


def _check_fit(input: Tensor, params: Params) -> None:
    """Refuse to replay crops on images or masks of another size or number."""
    if torch.compiler.is_compiling():
        return
    expected, size = tuple(params["forward_input_shape"][-2:].tolist()), tuple(input.shape[-2:])
    if size != expected:
        raise ValueError(
            f"Expected images and masks of the size {expected} that `params` were recorded for, "
            f"but got {size}."
        )
    crops = len(_offset(params))
    if len(input) != crops:  # kornia 0.8 passes the masks of a list like this
        raise ValueError(
            f"Expected as many images or masks as crops, {crops}, but got {len(input)}; "
            "lists of masks need kornia 0.9."
        )


def _translation(offset: Tensor) -> Tensor:
    """Matrices ``[B, 3, 3]`` that add ``[B, 2]`` to a point."""
    matrix = torch.eye(3, dtype=offset.dtype, device=offset.device).repeat(len(offset), 1, 1)
    matrix[:, :2, 2] = offset
    return matrix


def _points(shapes: Boxes | Keypoints) -> Tensor:
    """Coordinates ``[B, ..., 2]`` (x, y) in which integers stay exact."""
    return shapes.data.to(torch.promote_types(shapes.data.dtype, torch.float32))


def _with_points(shapes: Shapes, points: Tensor) -> Shapes:
    moved = shapes.clone()
    moved._data = points.to(shapes.data.dtype)
    return moved


def _spread(values: Tensor, points: Tensor) -> Tensor:
    """Values ``[B, 2]`` that broadcast to points ``[B, ..., 2]``."""
    return values.to(points).view(-1, *[1] * (points.ndim - 2), 2)


def _period(params: Params, points: Tensor) -> Tensor:
    """Width and height of the torus."""
    return _as_xy(params["forward_input_shape"], points)


def _as_xy(size: Any, like: Tensor) -> Tensor:
    """A size (..., height, width) as a tensor (width, height)."""
    return torch.as_tensor(size)[-2:].flip(0).to(like)


def _to_torus(points: Tensor, period: Tensor, view: Tensor | None) -> Tensor:
    """Whole periods to add to keypoints ``[..., 2]``, or to boxes ``[..., 4, 2]`` in a view.

    A pixel reaches half a pixel around its centre: the torus is ``[-0.5, period - 0.5)``.
    """
    if view is None:
        return -period * torch.div(points + 0.5, period, rounding_mode="floor")
    low, high = points.amin(-2, keepdim=True), points.amax(-2, keepdim=True)
    shift = _to_torus(low, period, None)
    low, high = low + shift, high + shift
    here = torch.minimum(high, view) - low
    before = torch.minimum(high - period, view) - (low - period).clamp(min=0)
    return torch.where(before > here, shift - period, shift)
