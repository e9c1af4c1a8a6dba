"""The same pixels choose the same crop through every entrance, by every score and kind of shifts.

The reference is `locate` of single uint8 images. Each entrance hands the same photographs over in
the form that its library uses, and says what it found: origins, pixels, or both.
"""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms import v2

from rics_transforms import RICSCrop, Score, get_score, list_scores, locate, rics_crop, score_map
from rics_transforms.data.photos import folder_scenes, scenes

from .conftest import SHIFTS

# These libraries ask the network for news otherwise.
os.environ |= {"NO_ALBUMENTATIONS_UPDATE": "1", "ALBUMENTATIONS_OFFLINE": "1"}
os.environ |= {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}

# Ray warns of its own settings when it reads them
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")

N, K = (68, 72), (48, 56)  # sides differ, so that none can stand for the other

SPECS = [*({"name": name} for name in list_scores()), {"name": "lattice", "patch": "hash"}]
SCORES = {get_score(**spec): spec for spec in SPECS}


class Found(NamedTuple):
    """Origins int64 ``[B, 2]``, crops uint8 ``[B, 3, *K]``: what an entrance tells."""

    origins: Any = None
    crops: Any = None


class Photographs:
    """The same images, uint8 ``[B, 3, *N]``, in the forms that the entrances take."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels
        self.found = cache(self._found)

    @cached_property
    def arrays(self) -> np.ndarray:
        return self.pixels.movedim(1, -1).contiguous().numpy()

    @cached_property
    def pil(self) -> list[PIL.Image.Image]:
        return [PIL.Image.fromarray(array) for array in self.arrays]

    @cached_property
    def png(self) -> list[dict[str, Any]]:
        files = [io.BytesIO() for _ in self.pil]
        for image, file in zip(self.pil, files, strict=True):
            image.save(file, "PNG", compress_level=1)
        return [{"bytes": file.getvalue(), "path": None} for file in files]

    def _found(self, score: Score, shifts: Any) -> Found:
        """The reference: image by image, and slices."""
        origins = torch.stack([locate(i, K, score=score, shifts=shifts) for i in self.pixels])
        pairs = zip(self.pixels, origins.tolist(), strict=True)
        rolled = torch.stack([image.roll((-top, -left), (1, 2)) for image, (top, left) in pairs])
        return Found(origins, rolled[..., : K[0], : K[1]])


@pytest.fixture(scope="module")
def photographs() -> Photographs:
    """At least 200 photographs: half of those on every machine and of the assets, or all."""
    named = list(scenes(max(N)))
    if folder := os.environ.get("RICS_TEST_ASSETS"):
        named = [*named[::2], *list(folder_scenes(Path(folder) / "photos", max(N)))[::2]]
    pixels = torch.stack([image[:, : N[0], : N[1]] for _, image in named])
    assert len(pixels) >= 200
    return Photographs(pixels)


def as_bytes(floats: Tensor) -> Tensor:
    """The grey levels of a float image, which must be exactly x / 255."""
    levels = (floats * 255).round().to(torch.uint8)
    assert torch.equal(levels.to(floats) / 255, floats)
    return levels


def as_crops(arrays: Sequence[Any]) -> Tensor:
    """``[B, 3, h, w]`` from arrays ``[h, w, 3]`` or PIL images."""
    return torch.from_numpy(np.stack([np.asarray(array) for array in arrays])).movedim(-1, 1)


def as_origins(columns: Any) -> Tensor:
    return torch.tensor(np.stack([columns["top"], columns["left"]], -1))


def adapter(name: str) -> Any:
    """The integration with a library, whose module and extra have the library's name."""
    if find_spec(name) is None:
        pytest.skip(f'needs the extra {name}: pip install "rics-transforms[{name}]"')
    return importlib.import_module(f"rics_transforms.integrations.{name}")


# --- entrances -----------------------------------------------------------------------------------

Entrance = Callable[[Photographs, Score, Any], Found]
ENTRANCES: dict[str, Entrance] = {}


def entrance(function: Entrance) -> Entrance:
    ENTRANCES[function.__name__] = function
    return function


@entrance
def uint8_batch(photos: Photographs, score: Score, shifts: Any) -> Found:
    origins = locate(photos.pixels, K, score=score, shifts=shifts)
    return Found(origins, rics_crop(photos.pixels, K, score=score, shifts=shifts))


@entrance
def float16_batch(photos: Photographs, score: Score, shifts: Any) -> Found:
    return Found(locate((photos.pixels / 255).half(), K, score=score, shifts=shifts))


@entrance
def float32(photos: Photographs, score: Score, shifts: Any) -> Found:
    crops = [rics_crop(image / 255, K, score=score, shifts=shifts) for image in photos.pixels]
    return Found(crops=as_bytes(torch.stack(crops)))


@entrance
def float32_batch(photos: Photographs, score: Score, shifts: Any) -> Found:
    return Found(locate(photos.pixels / 255, K, score=score, shifts=shifts))


@entrance
def float64_batch(photos: Photographs, score: Score, shifts: Any) -> Found:
    return Found(locate(photos.pixels.double() / 255, K, score=score, shifts=shifts))


@entrance
def channels_last(photos: Photographs, score: Score, shifts: Any) -> Found:
    images = photos.pixels.to(memory_format=torch.channels_last)
    return Found(locate(images, K, score=score, shifts=shifts))


@entrance
def batch_of_batches(photos: Photographs, score: Score, shifts: Any) -> Found:
    return Found(locate(photos.pixels[None], K, score=score, shifts=shifts)[0])


@entrance
def windows(photos: Photographs, score: Score, shifts: Any) -> Found:
    crop = RICSCrop(K, score=score, shifts=shifts)
    return Found(crop.locate_windows(photos.pixels, N)[:, 0, 0])


@entrance
def torchvision_tensors(photos: Photographs, score: Score, shifts: Any) -> Found:
    to_floats, to_bytes = (v2.ToDtype(t, scale=True) for t in (torch.float32, torch.uint8))
    chain = v2.Compose([to_floats, RICSCrop(K, score=score, shifts=shifts), to_bytes])
    return Found(crops=chain(photos.pixels))


@entrance
def torchvision_images(photos: Photographs, score: Score, shifts: Any) -> Found:
    crop = RICSCrop(K, score=score, shifts=shifts)
    images = tv_tensors.Image(photos.pixels)
    return Found(crop.locate(images), crop(images))


@entrance
def torchvision_videos(photos: Photographs, score: Score, shifts: Any) -> Found:
    crop = RICSCrop(K, score=score, shifts=shifts)
    clips = tv_tensors.Video(photos.pixels[:, None])
    return Found(crop.locate(clips), crop(clips)[:, 0])


@entrance
def torchvision_pil(photos: Photographs, score: Score, shifts: Any) -> Found:
    chain = v2.Compose([RICSCrop(K, score=score, shifts=shifts), v2.PILToTensor()])
    return Found(crops=torch.stack([chain(image) for image in photos.pil]))


@entrance
def dataloader(photos: Photographs, score: Score, shifts: Any) -> Found:
    crop = RICSCrop(K, score=score, shifts=shifts)
    loader: Any = DataLoader(photos.pixels, batch_size=64)  # type: ignore[arg-type]
    return Found(crops=torch.cat([crop(batch) for batch in loader]))


@entrance
def kornia_direct(photos: Photographs, score: Score, shifts: Any) -> Found:
    crop = adapter("kornia").RICSCrop(K, score=score, shifts=shifts)
    crops = crop(photos.pixels / 255)
    return Found(crop._params["src"][:, 0].flip(-1), as_bytes(crops))


@entrance
def kornia_sequential(photos: Photographs, score: Score, shifts: Any) -> Found:
    crop = adapter("kornia").RICSCrop(K, score=score, shifts=shifts)
    from kornia.augmentation import AugmentationSequential

    return Found(crops=as_bytes(AugmentationSequential(crop)(photos.pixels / 255)))


@entrance
def albumentations_image(photos: Photographs, score: Score, shifts: Any) -> Found:
    crop = adapter("albumentations").RICSCrop(K, score, shifts)
    from albumentations import Compose

    chain = Compose([crop])
    return Found(crops=as_crops([chain(image=array)["image"] for array in photos.arrays]))


@entrance
def albumentations_images(photos: Photographs, score: Score, shifts: Any) -> Found:
    crop = adapter("albumentations").RICSCrop(K, score, shifts)
    return Found(
        crops=as_crops([crop(images=clip)["images"][0] for clip in photos.arrays[:, None]])
    )


@entrance
def datasets_pil(photos: Photographs, score: Score, shifts: Any) -> Found:
    crop = adapter("datasets").RICSBatch(K, score=score, shifts=shifts, output_column="crop")
    columns = crop({"image": photos.pil})
    return Found(as_origins(columns), as_crops(columns["crop"]))


@entrance
def datasets_encoded(photos: Photographs, score: Score, shifts: Any) -> Found:
    crop = adapter("datasets").RICSBatch(K, score=score, shifts=shifts, output_column="crop")
    from datasets import Dataset, Features, Image

    features = Features({"image": Image(decode=False)})
    rows = Dataset.from_dict({"image": photos.png}, features=features).with_transform(crop)[:]
    return Found(as_origins(rows), as_crops(rows["crop"]))


@entrance
def timm_chain(photos: Photographs, score: Score, shifts: Any) -> Found:
    config = {"input_size": (3, *K), "crop_mode": "squash", "mean": (0,) * 3, "std": (1,) * 3}
    chain = adapter("timm").create_transform(config, n=N, score=score)
    return Found(crops=as_bytes(torch.stack([chain(image) for image in photos.pil])))


@entrance
def transformers_processor(photos: Photographs, score: Score, shifts: Any) -> Found:
    mixin = adapter("transformers").RICSImageProcessorMixin
    from transformers import ViTImageProcessor

    if not issubclass(ViTImageProcessor, mixin.__base__):  # transformers 4: this one is on PIL
        from transformers import ViTImageProcessorFast as ViTImageProcessor

    made = type("AgreementProcessor", (mixin, ViTImageProcessor), {})
    processor = made(size={"height": N[0], "width": N[1]}, rics_k=K, rics_score=SCORES[score])
    as_they_are = {"do_rescale": False, "do_normalize": False, "return_tensors": "pt"}
    return Found(crops=processor(photos.pil, **as_they_are)["pixel_values"])


@entrance
def ray_batch(photos: Photographs, score: Score, shifts: Any) -> Found:
    crop = adapter("ray").RICSBatch(K, score=score, shifts=shifts, output_column="crop")
    columns = crop({"image": photos.arrays})
    return Found(as_origins(columns), as_crops(columns["crop"]))


REALISTIC_ONLY = {
    "windows": "windows of a scene do not wrap around",
    "timm_chain": "create_transform has no `shifts`",
    "transformers_processor": "the processor has no `rics_shifts`",
}


# --- agreement -----------------------------------------------------------------------------------


def cases(name: str) -> Iterator[tuple[Score, str]]:
    """Every score with one kind of shifts, and with the other one at the next entrance."""
    turn = list(ENTRANCES).index(name)
    for number, score in enumerate(SCORES, turn):
        yield score, SHIFTS[0 if name in REALISTIC_ONLY else number % 2]


def differing(found: Found, expected: Found) -> list[int]:
    """The photographs for which an entrance tells something else than the reference."""
    told = [pair for pair in zip(found, expected, strict=True) if pair[0] is not None]
    assert told
    for ours, reference in told:
        assert ours.dtype == reference.dtype and ours.shape == reference.shape
    differ = [(ours != reference).flatten(1).any(1) for ours, reference in told]
    return torch.stack(differ).any(0).nonzero().flatten().tolist()


@pytest.mark.parametrize("name", ENTRANCES)
def test_entrance_agrees_with_locate(name: str, photographs: Photographs) -> None:
    for score, shifts in cases(name):
        found = ENTRANCES[name](photographs, score, shifts)
        assert differing(found, photographs.found(score, shifts)) == [], (score, shifts)


@pytest.mark.parametrize("shifts", SHIFTS)
def test_pixels_tell_the_origin(shifts: Any, photographs: Photographs) -> None:
    """No other crop of a photograph has the hash of the chosen one, so equal pixels are enough."""
    hashes = score_map(photographs.pixels, K, "hash", shifts=shifts)
    images = torch.arange(len(hashes))
    for score in SCORES:
        top, left = photographs.found(score, shifts).origins.unbind(-1)
        chosen = hashes[images, top, left, None, None]
        assert ((hashes == chosen).sum((1, 2)) == 1).all()


def test_origins_are_spread(photographs: Photographs) -> None:
    """Agreement says something, as the scores choose many places, and each its own."""
    origins = [photographs.found(*case).origins.flatten() for case in product(SCORES, SHIFTS)]
    assert all(len(found.view(-1, 2).unique(dim=0)) > 50 for found in origins)
    assert len(torch.stack(origins).unique(dim=0)) == len(origins)
