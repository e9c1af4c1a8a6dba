"""Ray Data: crops and measurements beyond one machine.

One line adds the crop to a dataset whose rows hold an image (height, width, channels) each:

    >>> import numpy as np
    >>> from rics_transforms.integrations.ray import RICSBatch
    >>> batch = {"image": np.zeros((2, 32, 40, 3), np.uint8)}  # what `map_batches` passes
    >>> sorted(RICSBatch(24)(batch))
    ['image', 'left', 'top']

    dataset.map_batches(RICSBatch, fn_constructor_kwargs={"k": 224}, batch_format="numpy",
                        compute=ray.data.ActorPoolStrategy(size=8), num_gpus=0)

`RayMapper` makes `verify` run on a dataset: the same records as a local run, in any order.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from rics_transforms import RICSCrop, RICSResizedCrop, Score
from rics_transforms.integrations._versions import require

require("ray", extra="ray", minimum="2.40")

import ray.data  # noqa: E402

Batch = dict[str, Any]


class _Batch:
    """What both kinds of crops do with a batch.

    Args:
        crop: gives an image's crop and its origin.
        image_column, output_column, location_columns, device: see `RICSBatch`.
    """

    def __init__(
        self,
        crop: RICSCrop | RICSResizedCrop,
        image_column: str,
        output_column: str | None,
        location_columns: tuple[str, str] | None,
        device: str,
    ) -> None:
        if output_column is None and location_columns is None:
            raise ValueError("Expected `output_column` or `location_columns`, but got neither.")
        self.crop = crop
        self.image_column = image_column
        self.output_column = output_column
        self.location_columns = location_columns
        self.device = device

    def __call__(self, batch: Batch) -> Batch:
        images = [_as_tensor(image).to(self.device) for image in batch[self.image_column]]
        if self.output_column is None:
            crops, origins = [], [self.crop.locate(image) for image in images]
        else:
            pairs = [self.crop(image) for image in images]
            crops = [crop.movedim(0, -1).cpu().numpy() for crop, _ in pairs]
            origins = [origin for _, origin in pairs]
        found = dict(batch)
        if self.location_columns is not None:
            columns = self._locations(images, [origin.tolist() for origin in origins])
            found |= zip(self.location_columns, columns, strict=True)
        if self.output_column is not None:
            found[self.output_column] = np.stack(crops) if crops else self._no_crops(batch)
        return found

    @property
    def _dtype(self) -> Any:
        return np.float64 if self.crop.subpixel else np.int64

    def _locations(
        self, images: list[Tensor], origins: list[list[float]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The columns that say where the crops lie."""
        raise NotImplementedError

    @property
    def _size(self) -> Sequence[int]:
        """Height and width of what `output_column` holds."""
        raise NotImplementedError

    def _no_crops(self, batch: Batch) -> np.ndarray:
        """The column of crops of an empty batch; without sizes if that of the images has none."""
        images = np.asarray(batch[self.image_column])
        if images.ndim < 3:
            return images
        return np.empty((0, *self._size, *(images.shape[3:] or (1,))), images.dtype)


class RICSBatch(_Batch):
    """The crop of every image of a batch, for `ray.data.Dataset.map_batches`.

    Args:
        k: side of the crop in pixels, or ``(height, width)``.
        score: a registered name or a `Score`.
        shifts: "realistic" or "cyclic".
        subpixel: place crops between the pixels, see `rics_transforms.RICSCrop`.
        image_column: images ``[H, W, C]`` or ``[H, W]``; their sizes may differ.
        output_column: where the pixels of the crops go. None: nowhere, since an origin takes 16
            bytes where a crop of 224 px takes 150 kB.
        location_columns: names for the crop's origin; None: no origin.
        device: where the scores are computed; "cuda" for actors with ``num_gpus=1``.

    Returns:
        The batch with the int64 columns "top" and "left" (float64 with `subpixel`), and perhaps
        `output_column`. With shifts="cyclic", crops wrap around.

    Raises:
        ValueError: for arguments out of range, or an image smaller than `k`.

    Every image chooses the crop that `rics_transforms.locate` chooses for it.
    """

    crop: RICSCrop

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
        device: str = "cpu",
    ) -> None:
        crop = RICSCrop(k, score=score, shifts=shifts, subpixel=subpixel, return_origin=True)
        super().__init__(crop, image_column, output_column, location_columns, device)

    def _locations(
        self, images: list[Tensor], origins: list[list[float]]
    ) -> tuple[np.ndarray, np.ndarray]:
        top, left = np.array(origins, self._dtype).reshape(-1, 2).T
        return top, left

    @property
    def _size(self) -> Sequence[int]:
        return self.crop.k


class RICSResizedBatch(_Batch):
    """The crops of stored images of any size, resized: see `rics_transforms.RICSResizedCrop`.

    Args:
        size: height and width of the output, or an int for both.
        location_columns: names for the field and the crop; None: neither.
        options: `field`, `ratio`, `score`, `shifts`, `subpixel`, `interpolation` and `antialias` of
            `rics_transforms.RICSResizedCrop`.

    The other arguments are those of `RICSBatch`.

    Returns:
        The batch with the columns "field" and "crop": (top, left, height, width) in pixels of the
        stored image, int64 ``[B, 4]`` (the crop's float64 with `subpixel`); and perhaps
        `output_column`.

    Raises:
        ValueError: for arguments out of range, or an image without room for a field.

    Example:
        >>> batch = RICSResizedBatch(24)({"image": np.zeros((2, 80, 100, 3), np.uint8)})
        >>> batch["field"].tolist(), batch["crop"][:, 2:].tolist()
        ([[3, 13, 74, 74], [3, 13, 74, 74]], [[65, 65], [65, 65]])
    """

    crop: RICSResizedCrop

    def __init__(
        self,
        size: int | Sequence[int],
        *,
        image_column: str = "image",
        output_column: str | None = None,
        location_columns: tuple[str, str] | None = ("field", "crop"),
        device: str = "cpu",
        **options: Any,
    ) -> None:
        crop = RICSResizedCrop(size, **options, return_origin=True)
        super().__init__(crop, image_column, output_column, location_columns, device)

    def _locations(
        self, images: list[Tensor], origins: list[list[float]]
    ) -> tuple[np.ndarray, np.ndarray]:
        found = [self.crop.field_of(image.shape[-2:]) for image in images]
        fields = [[*field.origin, *field.size] for field in found]
        crops = [[*origin, *field.k] for origin, field in zip(origins, found, strict=True)]
        whole = np.array(fields, np.int64).reshape(-1, 4)
        return whole, np.array(crops, self._dtype).reshape(-1, 4)

    @property
    def _size(self) -> Sequence[int]:
        return self.crop.size


def _as_tensor(image: np.ndarray) -> Tensor:
    """[C, H, W] from an array [H, W, C] or [H, W], which Ray may have made read-only."""
    pixels = np.asarray(image)
    if pixels.dtype == object:  # NumPy turns a list of one image into an array of Python's ints
        pixels = np.asarray(pixels.tolist())
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3:
        raise ValueError(f"Expected images [H, W, C] or [H, W], but got shape {pixels.shape}.")
    return torch.from_numpy(pixels.astype(pixels.dtype.newbyteorder("="))).movedim(-1, 0)


# --- measurements --------------------------------------------------------------------------------


class RayMapper:
    """Runs `verify` over a dataset: ``verify(dataset, ..., n=256, mapper=RayMapper(actors=8))``.

    Each row holds an image and a unique name. Records come in any order; a batch whose actor dies
    is repeated by another one before any of its records is handed out, so none is lost and none
    comes twice. The driver appends them to the file ``verify(records=...)``; a run that is started
    again does not repeat the rows in the file.

    Args:
        actors: how many processes, each with its own copy of the model.
        gpus: of each actor, also a fraction; above 0 the model runs on "cuda".
        batch_size: images per batch.
        id_column: names of the images.
        image_column: images ``[H, W, C]`` or ``[H, W]``.
        label_column: true classes, or None.

    Records depend neither on the batch nor on the actor, so the report equals that of a local run
    as long as the model gives the same answers on every machine.
    """

    def __init__(
        self,
        *,
        actors: int = 2,
        gpus: float = 0,
        batch_size: int = 16,
        id_column: str = "id",
        image_column: str = "image",
        label_column: str | None = None,
    ) -> None:
        self.actors, self.gpus, self.batch_size = actors, gpus, batch_size
        self.columns = id_column, image_column, label_column

    def __call__(self, function: Callable[..., Any], dataset: ray.data.Dataset) -> Iterator[Any]:
        """The results of a function of name, scene and label for every row."""
        results = dataset.map_batches(
            _Actor,
            fn_constructor_args=(function, self.columns, self.gpus > 0),
            batch_format="numpy",
            batch_size=self.batch_size,
            compute=ray.data.ActorPoolStrategy(size=self.actors),
            num_gpus=self.gpus,
        )
        for row in results.iter_rows():
            yield pickle.loads(row["result"])


class _Actor:
    """Applies the function to the rows of a batch; results travel as bytes."""

    def __init__(
        self,
        function: Any,
        columns: tuple[str, str, str | None],
        cuda: bool,
    ) -> None:
        self.function = function.to("cuda") if cuda else function
        self.columns = columns

    def __call__(self, batch: Batch) -> Batch:
        name, image, label = self.columns
        labels = batch[label].tolist() if label else [None] * len(batch[name])
        rows = zip(map(str, batch[name]), batch[image], labels, strict=True)
        results = [self.function(name, _as_tensor(image), label) for name, image, label in rows]
        return {"result": np.array([pickle.dumps(result) for result in results], object)}
