"""`RICSResizedCrop` and its function: choose the crop in the stored pixels, then resize it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack, overload

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from rics_transforms._arguments import as_number, as_pair, lookup
from rics_transforms.engine.images import Images, as_tensor, resize_pil
from rics_transforms.engine.scores import Score
from rics_transforms.fields import Field, Ladder, as_side, longest_in, scaled
from rics_transforms.samples import SampleCrop, Shifts, is_label_map
from rics_transforms.transform import locate

LADDER = Ladder()
"""The default sides of fields."""


class RICSResizedCrop(SampleCrop):
    """Crop images of any size where their content says, and resize: trimmed copies agree.

    In place of ``[Resize(256), CenterCrop(224)]``, and modelled on `v2.RandomResizedCrop`. After a
    resize RICS helps little where files differ by a trim of a few pixels: these become fractions of
    a pixel and another scale. Here the crop is chosen in the stored pixels, within a field in the
    middle of the image, and resized afterwards. Takes all inputs of `RICSCrop`, and scales their
    annotations; masks, and PIL images that are cut as masks, to the nearest pixel.

    **The field** has the shape of `size` (a square for an int), and its longer side n is the
    longest of a `Ladder` that leaves a margin around it. The crop has ``k = ratio n``.

    **Guarantee.** Let the field of a copy begin at most D stored pixels from that of the original,
    along either axis, and have the same size. If each side is trimmed by at most d pixels, D is
    d / 2, rounded up, since the middle moves by half of what is trimmed; and the size is the same
    unless a rung of the ladder lies between the sizes of the copies. Then all these fields are
    windows of one scene, and with m = n - k + 1 positions per axis the theorems for `RICSCrop`
    hold: all copies have the same crop with probability at least ``((m - 2D)^+ / (m + 2D))^2``
    under Definition 1. The same pixels are resized to the same output, bit for bit. Where a rung
    lies between, nothing is promised.

    With ``shifts="cyclic"`` the field is the whole image, `k` is `ratio` of what fits into it, and
    crops wrap around: every integer cyclic shift of the stored image gives the same output
    (Theorem 2).

    Args:
        size: height and width of the output, or an int for both.
        field: the longer side of the field in pixels, or the `Ladder` it is taken from.
        ratio: side of the crop as a share of the field's, above 0 and at most 1.
        score: a name (`list_scores`), with options as in "lattice:order=2", or a `Score`.
        shifts: "realistic" or "cyclic", see `rics_transforms.locate`.
        subpixel: place crops between the pixels, see `RICSCrop`.
        interpolation: of the resize, as `v2.Resize` takes it, or its name, such as "bicubic".
        antialias: of the resize of tensors, see `v2.Resize`.
        return_origin: give ``(output, origins)``, the latter as `locate` does.

    Raises:
        TypeError: for arguments of another type.
        ValueError: for numbers out of range, another name, or a `field` with shifts="cyclic"; of
            images, if they are smaller than the field.

    Example:
        >>> transform = RICSResizedCrop(224)
        >>> image = torch.randint(256, (3, 375, 500), dtype=torch.uint8)
        >>> transform(image).shape
        torch.Size([3, 224, 224])
        >>> transform.field_of((375, 500))
        Field(origin=(11, 74), size=(352, 352), k=(308, 308))
    """

    def __init__(
        self,
        size: int | Sequence[int],
        *,
        field: int | Ladder = LADDER,
        ratio: float = 7 / 8,
        score: str | Score = "lattice",
        shifts: Shifts = "realistic",
        subpixel: bool = False,
        interpolation: InterpolationMode | str | int = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
        return_origin: bool = False,
    ) -> None:
        super().__init__(score, shifts, subpixel, return_origin)
        self.size = as_pair(size, "size")
        self.field = as_side(field)
        self.ratio = as_number(ratio, "ratio", 1)
        if shifts == "cyclic" and field != LADDER:
            raise ValueError(
                "Expected no `field` with shifts='cyclic', whose crops are chosen in the whole "
                f"image, but got {field!r}."
            )
        self.interpolation = _as_interpolation(interpolation)
        self.antialias = antialias

    def field_of(self, size: int | Sequence[int]) -> Field:
        """The field in images of this height and width, and the size of their crops.

        Raises:
            ValueError: for images that are too small.
        """
        image = as_pair(size, "size")
        if self.shifts == "realistic":
            return Field.within(image, self.ratio, self.field, self.size)
        k = scaled(self.ratio * longest_in(image, self.size), self.size)
        return Field((0, 0), image, k)

    @overload
    def locate(self, images: Tensor | PIL.Image.Image) -> Tensor: ...
    @overload
    def locate(self, images: np.ndarray) -> np.ndarray: ...
    def locate(self, images: Images) -> Tensor | np.ndarray:
        """Origins of the crops in the stored images, ``[..., 2]`` (top, left).

        See `rics_transforms.locate`; the size of the crops is that of `field_of`.
        """
        if isinstance(images, np.ndarray):
            return self.locate(as_tensor(images)).numpy()
        return self._locate_in(self.field_of(F.get_size(images)), images)

    def _locate_in(self, field: Field, images: Tensor | PIL.Image.Image) -> Tensor:
        origins = locate(
            F.crop(images, *field.origin, *field.size),
            field.k,
            score=self.score,
            shifts=self.shifts,
            subpixel=self.subpixel,
        )
        return origins + torch.tensor(field.origin, dtype=origins.dtype, device=origins.device)

    def _params(self, guide: Any) -> dict[str, Any]:
        field = self.field_of(F.get_size(guide))
        return {"origins": self._locate_in(field, guide), "guide": guide, "k": field.k}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        crop = self._cut(inpt, params["origins"], params["k"], params["guide"])
        if isinstance(crop, PIL.Image.Image):
            labels = is_label_map(inpt, params["guide"])
            interpolation = InterpolationMode.NEAREST if labels else self.interpolation
            return resize_pil(crop, self.size, interpolation)
        return self._call_kernel(
            F.resize,
            crop,
            list(self.size),
            interpolation=self.interpolation,
            antialias=self.antialias,
        )

    def extra_repr(self) -> str:
        parts = [f"size={self.size}"]
        parts += [f"field={self.field!r}"] if self.field != LADDER else []
        parts += [f"ratio={self.ratio!r}", f"score={self.score!r}", f"shifts={self.shifts!r}"]
        parts += ["subpixel=True"] if self.subpixel else []
        parts += [f"interpolation={self.interpolation.value!r}"]
        parts += [f"antialias={self.antialias}"] if self.antialias is not True else []
        return ", ".join(parts)


def _as_interpolation(value: InterpolationMode | str | int) -> InterpolationMode:
    """A mode, also by its name or Pillow's number."""
    name = value.value if isinstance(value, InterpolationMode) else value
    if isinstance(name, int):
        filters = {filter.value: filter.name.lower() for filter in PIL.Image.Resampling}
        name = filters.get(name, name)
    known = {mode.value: mode for mode in InterpolationMode}
    return lookup("interpolation", name, known)  # type: ignore[arg-type]


class Options(TypedDict, total=False):
    """The options of `RICSResizedCrop`."""

    field: int | Ladder
    ratio: float
    score: str | Score
    shifts: Shifts
    subpixel: bool
    interpolation: InterpolationMode | str | int
    antialias: bool | None


@overload
def rics_resized_crop(
    images: Tensor | PIL.Image.Image, size: int | Sequence[int], **options: Unpack[Options]
) -> Tensor: ...
@overload
def rics_resized_crop(
    images: np.ndarray, size: int | Sequence[int], **options: Unpack[Options]
) -> np.ndarray: ...
def rics_resized_crop(
    images: Images, size: int | Sequence[int], **options: Unpack[Options]
) -> Tensor | np.ndarray:
    """The crop that RICS selects in the stored pixels, resized: ``[..., C, h, w]``.

    Arguments and errors are those of `RICSResizedCrop`; dtype and device are those of the input, an
    array gives an array ``[..., h, w, C]``.

    Example:
        >>> rics_resized_crop(torch.rand(2, 3, 300, 400), 224).shape
        torch.Size([2, 3, 224, 224])
    """
    pixels = as_tensor(images) if isinstance(images, PIL.Image.Image) else images
    cropped: Tensor | np.ndarray = RICSResizedCrop(size, **options)(pixels)
    return cropped
