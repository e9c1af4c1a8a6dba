"""RICS for Hugging Face datasets: a callable for `map`, `with_transform` and streams.

>>> from datasets import Dataset
>>> from rics_transforms.integrations.datasets import RICSBatch
>>> dataset = Dataset.from_dict({"image": [PIL.Image.effect_noise((64, 64), 50)]})

The cheapest thing to keep is where to crop, as two columns of integers:

>>> dataset.map(RICSBatch(48), batched=True).column_names
['image', 'top', 'left']

Pixels on the fly, next to the other columns (the same callable stores them with `map`):

>>> crop = RICSBatch(48, output_column="image", location_columns=None)
>>> dataset.with_transform(crop)[0]["image"].shape
(48, 48, 1)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from rics_transforms import RICSCrop, RICSResizedCrop, Score, __version__
from rics_transforms.integrations._versions import require

require("datasets", extra="datasets", minimum="4.0")

import datasets  # noqa: E402, after the version check
from datasets import Array3D, Features, Image, Value  # noqa: E402

__all__ = ["RICSBatch", "RICSResizedBatch"]


class _Batch:
    """What both kinds of crops do with a batch; the arguments are those of `RICSBatch`."""

    def __init__(
        self,
        image_column: str,
        output_column: str | None,
        location_columns: tuple[str, str] | None,
        prepare: Callable[[PIL.Image.Image], PIL.Image.Image] | None,
    ) -> None:
        if output_column is None and location_columns is None:
            raise ValueError("Expected `output_column` or `location_columns`, but got neither.")
        self.image_column = image_column
        self.output_column = output_column
        self.location_columns = location_columns
        self.prepare = prepare
        self.algorithm_version = __version__  # datasets hashes this state, and no code of ours

    def _chooser(self) -> Any:
        """The transform, created per batch since this object is hashed and sent to processes."""
        raise NotImplementedError

    def _places(self, chooser: Any, image: Tensor, origin: Tensor) -> tuple[Any, Any]:
        """What the two location columns hold for an image."""
        raise NotImplementedError

    def _location_features(self) -> tuple[Any, Any]:
        """Their types."""
        raise NotImplementedError

    def _size(self) -> Sequence[int]:
        """Height and width of what `output_column` holds."""
        raise NotImplementedError

    def __call__(self, batch: Any, rank: int | None = None) -> dict[str, list[Any]]:
        """The new columns of a batch; a dict is returned with them added.

        Args:
            batch: lists by column, as `map` and `with_transform` pass them.
            rank: of the process, as ``map(..., with_rank=True, num_proc=n)`` gives it: chooses one
                of the CUDA devices, which needs the start method "spawn". Without a rank or a
                device the CPU does the work.
        """
        images = batch.copy()[self.image_column]  # reading the batch itself would re-encode them
        if not isinstance(images, list):
            raise TypeError(
                f"Expected a list of images in {self.image_column!r}, but got "
                f"{type(images).__name__}; use map(..., batched=True), and with_format(None)."
            )
        chooser, device = self._chooser(), _device(rank)
        rows = [self._crop(image, chooser, device) for image in images]
        # `map` keeps the columns of its lazy batch; a transform returns only this dict, by whose
        # identity a stream knows which columns are new.
        columns: dict[str, list[Any]] = batch if isinstance(batch, dict) else {}
        columns |= {name: [row[i] for row in rows] for i, name in enumerate(self._locations())}
        if self.output_column is not None:
            columns[self.output_column] = [row[2] for row in rows]
        return columns

    def features(self, features: Features, channels: int = 3) -> Features:
        """The features of a dataset with the new columns, for ``map(..., features=...)``.

        With them crops are stored as raw uint8, an eighth of the size of the lists of int64 that
        `map` otherwise makes of arrays, and streams know their columns. All crops must have these
        channels. Read them with ``with_format("torch", dtype=torch.uint8)``, which otherwise gives
        int64. A missing crop is stored as such, but datasets before 5.1 reads it as NaN, as every
        format does, and the crops in a batch with it as floats; `location_columns` hold None.
        """
        new: dict[str, Any] = dict(zip(self._locations(), self._location_features(), strict=False))
        if self.output_column is not None:
            new[self.output_column] = Array3D((*self._size(), channels), "uint8")
        return Features({**features, **new})

    def _locations(self) -> tuple[str, ...]:
        return self.location_columns or ()

    def _crop(
        self, image: Any, chooser: Any, device: torch.device
    ) -> tuple[Any, Any, np.ndarray | None]:
        """Where one crop lies, in two columns, and its pixels."""
        if image is None:
            return None, None, None
        decoded = Image().decode_example(image) if isinstance(image, dict) else image
        if not isinstance(decoded, PIL.Image.Image):
            raise TypeError(
                f"Expected images in {self.image_column!r}, but got {type(decoded).__name__}; "
                "use cast_column with datasets.Image()."
            )
        tensor = _as_tensor(self.prepare(decoded) if self.prepare else decoded).to(device)
        if self.output_column is None:
            return *self._places(chooser, tensor, chooser.locate(tensor)), None
        crop, origin = chooser(tensor)
        return *self._places(chooser, tensor, origin), crop.movedim(0, -1).cpu().numpy()


class RICSBatch(_Batch):
    """Find the crop of every image of a batch, and cut it out if wanted.

    For ``dataset.map(batch, batched=True)``, also of an `IterableDataset`, and for `with_transform`
    and `set_transform`. Other columns stay, and so do the stored images: a function that merely
    looks at ``examples["image"]`` makes `map` encode them again, as JPEG of quality 75.

    The images of a column may differ in size and mode. Palettes are read as their colours, one bit
    as black and white, other modes (L, RGBA, CMYK, I;16) as their channels, and a missing image has
    a missing crop. ``cast_column("image", datasets.Image(mode="RGB"))`` brings all to one mode.

    Every process finds the cache of `map` again, until a setting or the version changes.

    Args:
        k: side of the crop in pixels, or ``(height, width)``; at most the images'.
        score: a registered name or a `Score`.
        shifts: "realistic" or "cyclic", see `rics_transforms.locate`.
        subpixel: place crops between the pixels, see `rics_transforms.RICSCrop`: pixels are
            resampled, and origins are float64.
        image_column: column of `datasets.Image`, decoded or not.
        output_column: name for the pixels, arrays ``[height, width, channels]``; None: no pixels.
        location_columns: names for the crop's origin in the (prepared) image; None: no origin.
        prepare: called with every PIL image first, such as `torchvision.transforms.v2.Resize`.

    Raises:
        ValueError: for arguments out of range, or an image smaller than `k`.
        TypeError: for a `k` that is not an int, or a column without images.

    Example:
        >>> crop = RICSBatch(32, prepare=lambda image: image.resize((40, 40)))
        >>> columns = crop({"image": [PIL.Image.new("L", (64, 48)), None], "label": [3, 5]})
        >>> columns["label"], columns["top"], columns["left"]
        ([3, 5], [1, None], [1, None])
    """

    def __init__(
        self,
        k: int | Sequence[int],
        *,
        score: str | Score = "lattice",
        shifts: Literal["realistic", "cyclic"] = "realistic",
        subpixel: bool = False,
        image_column: str = "image",
        output_column: str | None = None,
        location_columns: tuple[str, str] | None = ("top", "left"),
        prepare: Callable[[PIL.Image.Image], PIL.Image.Image] | None = None,
    ) -> None:
        super().__init__(image_column, output_column, location_columns, prepare)
        crop = RICSCrop(k, score=score, shifts=shifts, subpixel=subpixel)
        self.k, self.score, self.shifts = crop.k, crop.score, crop.shifts
        self.subpixel = crop.subpixel

    def _chooser(self) -> RICSCrop:
        options: Any = {"score": self.score, "shifts": self.shifts, "subpixel": self.subpixel}
        return RICSCrop(self.k, **options, return_origin=True)

    def _places(self, chooser: RICSCrop, image: Tensor, origin: Tensor) -> tuple[float, float]:
        top, left = origin.tolist()
        return top, left

    def _location_features(self) -> tuple[Any, Any]:
        place = Value("float64" if self.subpixel else "int64")
        return place, place

    def _size(self) -> Sequence[int]:
        return self.k


class RICSResizedBatch(_Batch):
    """The crops of stored images of any size, resized: see `rics_transforms.RICSResizedCrop`.

    Used like `RICSBatch`, with the same arguments for columns.

    Args:
        size: height and width of the output, or an int for both.
        location_columns: names for the field in which the crop was chosen, and for the crop, both
            lists (top, left, height, width) in pixels of the (prepared) image; None: neither.
        options: `field`, `ratio`, `score`, `shifts`, `subpixel`, `interpolation` and `antialias` of
            `rics_transforms.RICSResizedCrop`.

    Raises:
        ValueError: for arguments out of range, or an image without room for a field.
        TypeError: for arguments of another type, or a column without images.

    Example:
        >>> columns = RICSResizedBatch(24)({"image": [PIL.Image.new("L", (100, 80)), None]})
        >>> columns["field"], columns["crop"][0][2:]
        ([[3, 13, 74, 74], None], [65, 65])
    """

    def __init__(
        self,
        size: int | Sequence[int],
        *,
        image_column: str = "image",
        output_column: str | None = None,
        location_columns: tuple[str, str] | None = ("field", "crop"),
        prepare: Callable[[PIL.Image.Image], PIL.Image.Image] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(image_column, output_column, location_columns, prepare)
        self.crop_size = RICSResizedCrop(size, **options).size  # refuses early
        self.options = options

    def _chooser(self) -> RICSResizedCrop:
        return RICSResizedCrop(self.crop_size, **self.options, return_origin=True)

    def _places(
        self, chooser: RICSResizedCrop, image: Tensor, origin: Tensor
    ) -> tuple[list[int], list[float]]:
        field = chooser.field_of(image.shape[-2:])
        return [*field.origin, *field.size], [*origin.tolist(), *field.k]

    def _location_features(self) -> tuple[Any, Any]:
        place = "float64" if self.options.get("subpixel") else "int64"
        return _four("int64"), _four(place)

    def _size(self) -> Sequence[int]:
        return self.crop_size


def _four(kind: str) -> Any:
    """The type of lists of four numbers."""
    return datasets.Sequence(Value(kind), length=4)


def _device(rank: int | None) -> torch.device:
    if rank is None or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", rank % torch.cuda.device_count())


def _as_tensor(image: PIL.Image.Image) -> Tensor:
    """The channels of an image, or the colours of its palette: ``[C, H, W]``."""
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif image.mode == "1":
        image = image.convert("L")
    array = np.atleast_3d(np.asarray(image))
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="))).movedim(-1, 0)
