"""Crops have memory of their own."""

import io
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors

from rics_transforms import RICSCrop, rics_crop

from ..conftest import SHIFTS, random_image
from .inputs import ANNOTATIONS, K, N, pil, storage


@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize("size", [K, N], ids=str)
def test_output_never_aliases_the_input(size: tuple[int, int], shifts: str) -> None:
    transform = RICSCrop(size, shifts=shifts)
    kinds = {
        "plain": random_image(3, *N),
        "batch": random_image(1, 3, *N),
        "image": tv_tensors.Image(random_image(3, *N)),
        "images": tv_tensors.Image(random_image(2, 3, *N)),
        "video": tv_tensors.Video(random_image(2, 3, *N)),
        "float": torch.rand(3, *N, generator=torch.Generator().manual_seed(0)),
    }
    for name, image in kinds.items():
        lead = image.shape[: 1 if name in ("batch", "images") else 0]
        mask = tv_tensors.Mask(random_image(*lead, *N))
        before = image.clone(), mask.clone()
        out = transform(image, mask)
        for source, result, kept in zip((image, mask), out, before, strict=True):
            assert storage(result) != storage(source), name
            assert result.is_contiguous()
            result.as_subclass(Tensor).zero_()
            assert torch.equal(source, kept), name
    picture = pil("RGB")
    before_bytes = picture.tobytes()
    transform(picture).paste((0, 0, 0), (0, 0, *size[::-1]))
    assert picture.tobytes() == before_bytes


def test_annotations_do_not_alias_either() -> None:
    for size in (K, N):
        for kind in ("boxes", "keypoints"):
            source = ANNOTATIONS[kind](N)
            out = RICSCrop(size)(random_image(3, *N), source)[1]
            assert storage(out) != storage(source)


@pytest.mark.parametrize("wrap", [Tensor.clone, tv_tensors.Image, tv_tensors.Mask])
def test_small_crop_of_a_large_image_is_small_on_disk(wrap: Callable[[Tensor], Tensor]) -> None:
    image = random_image(3, 600, 500)
    sample = {"image": tv_tensors.Image(image), "other": wrap(image)}
    out = RICSCrop(20, score="hash")(sample)
    parts = [out["image"], rics_crop(image, 20, score="hash")]
    if wrap is not Tensor.clone:
        parts.append(out["other"])
    for part in parts:
        file = io.BytesIO()
        torch.save(part, file)
        assert part.shape == (3, 20, 20)
        assert len(pickle.dumps(part)) < 5_000 and file.tell() < 5_000
