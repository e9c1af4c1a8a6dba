"""RICS in the image processors of transformers.

>>> from transformers import AutoImageProcessor, ViTImageProcessor  # in 4: ViTImageProcessorFast
>>> from rics_transforms.integrations.transformers import RICSImageProcessorMixin
>>> class RICSViTImageProcessor(RICSImageProcessorMixin, ViTImageProcessor):
...     "Resizes to 256 x 256, and crops to the 224 x 224 that ViT expects."

>>> import torch
>>> processor = RICSViTImageProcessor(size={"height": 256, "width": 256}, rics_k=224)
>>> processor(torch.rand(3, 300, 400), return_tensors="pt")["pixel_values"].shape
torch.Size([1, 3, 224, 224])

For photographs of all sizes the crop is better chosen before the resize, so that trimmed copies of
a file agree: with `rics_ratio` the processor crops to that share of a field in the middle of the
image, and then resizes to its own output size.

>>> processor = RICSViTImageProcessor(rics_ratio=7 / 8)
>>> processor(torch.rand(3, 300, 400), return_tensors="pt")["pixel_values"].shape
torch.Size([1, 3, 224, 224])

Such a processor is saved with its crop and its class. `AutoImageProcessor` finds the class by its
name where it is defined, and elsewhere in the folder, given ``trust_remote_code=True``:

>>> from tempfile import TemporaryDirectory
>>> with TemporaryDirectory() as folder:
...     _ = processor.save_pretrained(folder)
...     loaded = AutoImageProcessor.from_pretrained(folder)
>>> type(loaded).__name__, loaded.rics_ratio
('RICSViTImageProcessor', 0.875)
"""

# Annotations are not postponed: transformers checks arguments against the types in `RICSKwargs`.

import warnings
from collections.abc import Iterator, Mapping
from copy import copy
from functools import cache
from pathlib import Path
from types import new_class
from typing import Any, TypedDict

from torch import Tensor
from torchvision.transforms import InterpolationMode

from rics_transforms import Ladder, RICSCrop, RICSResizedCrop, Score, get_score
from rics_transforms.integrations._versions import require

require("transformers", extra="transformers", minimum="4.53")

import transformers  # noqa: E402, after the version check
from transformers import AutoImageProcessor, BaseImageProcessor  # noqa: E402
from transformers.image_utils import (  # noqa: E402
    pil_torch_interpolation_mapping as _INTERPOLATIONS,
)

try:
    from transformers import PreTrainedConfig
    from transformers.image_processing_backends import TorchvisionBackend
except ImportError:  # transformers 4, which knows the same classes by other names
    from transformers import BaseImageProcessorFast as TorchvisionBackend
    from transformers import PretrainedConfig as PreTrainedConfig

__all__ = ["RICSImageProcessorMixin", "RICSKwargs"]


class RICSKwargs(TypedDict, total=False):
    """The arguments that `RICSImageProcessorMixin` adds to a processor and to its calls."""

    rics_k: int | list[int] | tuple[int, ...] | None
    rics_ratio: float | int | None
    rics_field_step: float | int
    rics_score: str | dict[str, Any]
    rics_subpixel: bool


class RICSImageProcessorMixin(TorchvisionBackend):
    """Let an image processor crop by RICS, after its resize and centre crop or instead of them.

    Place it before the processor's class, which must run on torchvision (`TorchvisionBackend`) and
    finish with `rescale_and_normalize`, as most do: those of ViT, CLIP, SigLIP, ConvNeXt, BEiT,
    DINOv2 (`BitImageProcessor`), ..., but not those of DINOv3 and EfficientNet. The subclass is
    registered with `AutoImageProcessor`.

    With `rics_k` the resized and centre-cropped images are the field in which RICS chooses; each
    has its own crop, the same alone and in a batch. For the accuracy of the stock processor keep
    the crop at the model's input size and enlarge the field (`size`, `crop_size`).

    With `rics_ratio`, `rics_transforms.RICSResizedCrop` crops in the stored pixels, and resizes to
    `crop_size` if `do_center_crop` is set and to `size` otherwise, by the processor's `resample`;
    to a square if `size` has only a shortest edge. It fits the processors of DINOv3 and
    EfficientNet, too.

    `save_pretrained` writes the subclass into the folder, too, unless it has methods of its own:
    where it is not defined, ``AutoImageProcessor.from_pretrained(folder, trust_remote_code=True)``
    finds it there, and needs this package. The stock class reads the folder without an error, and
    does not crop.

    Args:
        rics_k: side of the crop in pixels, or (height, width); without it and `rics_ratio` nothing
            differs from the stock processor.
        rics_ratio: side of the crop as a share of the field's, above 0 and at most 1.
        rics_field_step: of the `Ladder` of fields, with `rics_ratio`.
        rics_score: a registered name (`list_scores`), or a dict of the arguments of `get_score`,
            such as ``{"name": "lattice", "patch": "hash"}``, as processors are saved as JSON.
        rics_subpixel: place crops between the pixels, see `rics_transforms.RICSCrop`.

    All are also arguments of a call, and then apply to that call only.

    Warns:
        UserWarning: for a `rics_k` as large as the field, which leaves no other crop to choose:
            nothing is protected.

    Raises:
        TypeError: for an argument of another type.
        ValueError: for both `rics_k` and `rics_ratio`, an unknown score, one that is not smooth
            with `rics_subpixel`, or annotations with the images (they would not follow); for a
            `rics_k` larger than the field, or a processor that normalises in its own way; for a
            `rics_ratio` without `do_resize`, or a processor without an output size.
    """

    rics_k: int | list[int] | tuple[int, ...] | None = None
    rics_ratio: float | int | None = None
    rics_field_step: float | int = Ladder().step
    rics_score: str | dict[str, Any] = "lattice"
    rics_subpixel: bool = False

    _crop: RICSCrop | None = None
    _cropped: int

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        processors = [base for base in cls.__mro__ if issubclass(base, BaseImageProcessor)]
        for base in processors:
            if not issubclass(base, TorchvisionBackend) and base is not BaseImageProcessor:
                raise TypeError(
                    f"Expected a processor that runs on torchvision, but got {base.__name__}; use "
                    "the class without `Pil`, in transformers 4 with `Fast` at the end of its name."
                )
        cls.valid_kwargs = new_class("Kwargs", (cls.valid_kwargs, RICSKwargs), {"total": False})
        _register(cls)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        settings = {name: getattr(self, name) for name in RICSKwargs.__annotations__}
        crop = _crop_of(vars(self), **settings)  # refuses early
        if isinstance(crop, RICSCrop):
            _warn_unless_smaller(crop.k, _field(vars(self)))

    def to_json_file(self, json_file_path: Any) -> None:
        """Save the settings, and the class next to them, as `save_pretrained` asks."""
        if self._auto_class is None and (code := _code_of(type(self))):
            Path(json_file_path).with_name(f"{_FILE}.py").write_text(code, encoding="utf-8")
            self.auto_map = {"AutoImageProcessor": f"{_FILE}.{type(self).__name__}"}
        super().to_json_file(json_file_path)

    def preprocess(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        known = self.valid_kwargs.__annotations__
        others = [*args, *(value for name, value in kwargs.items() if name not in known)]
        crops = [x for x in ("rics_k", "rics_ratio") if kwargs.get(x, getattr(self, x)) is not None]
        if crops and any(other is not None for other in others):
            raise ValueError(
                "Expected only images, as nothing passed with them would follow the crop, but got "
                f"{[type(other).__name__ for other in others]}; use `{crops[0]}=None` there."
            )
        return super().preprocess(images, *args, **kwargs)

    def rescale_and_normalize(self, images: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self._crop is not None:
            self._cropped += images.shape[:-3].numel()
            images = self._crop(images)
        return super().rescale_and_normalize(images, *args, **kwargs)

    def _preprocess(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        settings = {name: kwargs.pop(name, None) for name in RICSKwargs.__annotations__}
        crop = _crop_of(kwargs, **settings)
        if crop is None:
            return super()._preprocess(images, *args, **kwargs)
        if isinstance(crop, RICSResizedCrop):
            replaced = {**kwargs, "do_resize": False, "do_center_crop": False}
            return super()._preprocess([crop(image) for image in images], *args, **replaced)
        # The crop of this call must not be seen by calls in other threads.
        one_call = copy(self)
        one_call._crop, one_call._cropped = crop, 0
        output = super(RICSImageProcessorMixin, one_call)._preprocess(images, *args, **kwargs)
        if one_call._cropped != len(images):
            raise ValueError(
                "Expected a processor that passes every image to `rescale_and_normalize` once, "
                f"where RICS crops, but {type(self).__name__} passed {one_call._cropped} images "
                f"for {len(images)}."
            )
        return output


def _crop_of(
    stock: Mapping[str, Any],
    rics_k: Any,
    rics_ratio: Any,
    rics_field_step: Any,
    rics_score: Any,
    rics_subpixel: Any,
) -> RICSCrop | RICSResizedCrop | None:
    """The crop that these arguments ask for, in a processor with the arguments `stock`."""
    if rics_k is not None and rics_ratio is not None:
        raise ValueError(
            "Expected `rics_k`, to crop after the resize, or `rics_ratio`, to crop before it, but "
            f"got both, {rics_k!r} and {rics_ratio!r}; make one of them None."
        )
    if rics_k is not None:
        return RICSCrop(rics_k, score=_as_score(rics_score), subpixel=rics_subpixel)
    if rics_ratio is None:
        return None
    if not stock["do_resize"]:
        raise ValueError("Expected `do_resize` with `rics_ratio`: crops have several sizes.")
    resample = stock.get("resample", stock.get("interpolation"))  # the latter in transformers 4
    return RICSResizedCrop(
        _output_size(_field(stock)),
        field=Ladder(rics_field_step),
        ratio=rics_ratio,
        score=_as_score(rics_score),
        subpixel=rics_subpixel,
        interpolation=_INTERPOLATIONS.get(resample, resample) or InterpolationMode.BILINEAR,
    )


def _as_score(score: Any) -> Score:
    if isinstance(score, dict):
        return get_score(**score)
    if not isinstance(score, str):
        raise TypeError(
            "Expected `rics_score` to be a registered name or a dict of get_score's arguments, as "
            f"processors are saved as JSON, but got {score!r}."
        )
    return get_score(score)


def _field(stock: Mapping[str, Any]) -> dict[str, int]:
    """The sides of the output of the resize and the centre crop, as far as they are known."""
    size = stock["crop_size"] if stock["do_center_crop"] else stock["size"]
    sides = size if isinstance(size, Mapping) else vars(size) if size else {}
    return {name: side for name, side in sides.items() if side is not None}


def _output_size(sides: Mapping[str, int]) -> tuple[int, int]:
    if sides.keys() == {"height", "width"}:
        return sides["height"], sides["width"]
    if sides.keys() == {"shortest_edge"}:
        return sides["shortest_edge"], sides["shortest_edge"]
    raise ValueError(
        "Expected a `crop_size`, or a `size` of a height and a width or of a shortest edge, with "
        f"`rics_ratio`, but got {sides}."
    )


def _warn_unless_smaller(k: tuple[int, int], sides: Mapping[str, int]) -> None:
    """Warn if there is no choice, as far as the size of the field is known beforehand."""
    if (sides.get("height"), sides.get("width")) == k:
        warnings.warn(
            f"Expected `rics_k` to be smaller than the field, but got {k} for both: there is one "
            "crop to choose, and nothing is protected. Enlarge `size` (or `crop_size`), to 8/7 of "
            "`rics_k` for example.",
            stacklevel=3,
        )


# --- saved with the settings ---------------------------------------------------------------------

_FILE = "rics_processor"

_CODE = """\
from rics_transforms.integrations.transformers import RICSImageProcessorMixin
from transformers import {stock}


class {name}(RICSImageProcessorMixin, {stock}):
    pass
"""


def _code_of(cls: type[RICSImageProcessorMixin]) -> str | None:
    """A module with this class, if it is nothing but the mixin before a stock class."""
    above = cls.__mro__[: cls.__mro__.index(RICSImageProcessorMixin)]
    if any(callable(value) for base in above for value in _own(base)):
        return None
    stock = cls.__mro__[len(above) + 1].__name__
    return _CODE.format(name=cls.__name__, stock=stock) if hasattr(transformers, stock) else None


def _own(cls: type) -> Iterator[Any]:
    """What a class adds to its bases and to what every subclass of the mixin gets."""
    return (value for name, value in vars(cls).items() if name != "valid_kwargs")


def _register(cls: type[TorchvisionBackend]) -> None:
    """Let `AutoImageProcessor` find the class by its name."""
    key = _key(cls.__name__)
    if TorchvisionBackend.__name__ == "BaseImageProcessorFast":  # transformers 4
        AutoImageProcessor.register(key, fast_image_processor_class=cls, exist_ok=True)
    else:
        classes = {"torchvision": cls}
        AutoImageProcessor.register(key, image_processor_classes=classes, exist_ok=True)


@cache
def _key(name: str) -> type[PreTrainedConfig]:
    """`AutoImageProcessor` knows processors by a model's config; this one has no model."""
    return type(f"{name}Config", (PreTrainedConfig,), {"model_type": name})
