"""`RICSCrop` of tensors: leading dimensions, dtypes, memory layouts."""

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from rics_transforms import RICSCrop, list_scores, locate, rics_crop

from ..conftest import SCORES, SHIFTS, random_image
from .inputs import PHOTOGRAPHS, K, N, storage, window


def test_scores_under_test_are_those_registered() -> None:
    assert set(SCORES) <= set(list_scores())


@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize("score", SCORES)
def test_crop_is_the_window_at_its_origin(score: str, shifts: str) -> None:
    transform = RICSCrop((48, 40), score=score, shifts=shifts)
    origins = transform.locate(PHOTOGRAPHS)
    assert origins.dtype == torch.int64 and origins.shape == (3, 2)
    limit = torch.tensor([25, 25] if shifts == "realistic" else [72, 64])
    assert (origins >= 0).all() and (origins < limit).all()
    for image, origin, crop in zip(PHOTOGRAPHS, origins, transform(PHOTOGRAPHS), strict=True):
        assert torch.equal(crop, window(image, origin, (48, 40)))


@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("lead", [(), (1,), (3,), (5, 2), (2, 1, 2), (0,), (5, 0)], ids=str)
def test_any_leading_dimensions(lead: tuple[int, ...], score: str, shifts: str) -> None:
    transform = RICSCrop(K, score=score, shifts=shifts)
    images = random_image(*lead, 3, *N)
    origins, crops = transform.locate(images), transform(images)
    assert origins.shape == (*lead, 2) and origins.dtype == torch.int64
    assert crops.shape == (*lead, 3, *K) and crops.dtype == images.dtype
    flat = zip(
        images.reshape(-1, 3, *N), origins.reshape(-1, 2), crops.reshape(-1, 3, *K), strict=True
    )
    for image, origin, crop in flat:
        assert torch.equal(transform.locate(image), origin)
        assert torch.equal(transform(image), crop)
        assert torch.equal(window(image, origin), crop)


@pytest.mark.parametrize("score", SCORES)
def test_a_large_batch_equals_its_images(score: str) -> None:
    """Beyond what is scored at once."""
    images = random_image(70, 1, 64, 64)
    alone = torch.stack([locate(image, 50, score=score) for image in images])
    assert torch.equal(locate(images, 50, score=score), alone)


@pytest.mark.parametrize("shifts", SHIFTS)
def test_every_dtype_holding_the_same_levels_has_the_same_crop(shifts: str) -> None:
    images = random_image(2, 3, *N) // 2
    transform = RICSCrop(K, shifts=shifts)
    origins, crops = transform.locate(images), transform(images)
    integers = (torch.int8, torch.int16, torch.int32, torch.int64)
    for dtype in (*integers, torch.uint16, torch.uint32, torch.uint64):
        assert torch.equal(transform.locate(images.to(dtype)), origins)
        assert torch.equal(transform(images.to(dtype)).to(torch.uint8), crops)
        assert transform(images.to(dtype)).dtype == dtype
    for floating in (torch.float16, torch.float32, torch.float64):
        scaled = (images / 255).to(floating)
        assert torch.equal(transform.locate(scaled), origins)
        assert torch.equal((transform(scaled) * 255).round().to(torch.uint8), crops)
        assert transform(scaled).dtype == floating
    for dtype in (torch.bool, torch.bfloat16):
        other = (images > 60).to(dtype)
        expected = [window(*pair) for pair in zip(other, transform.locate(other), strict=True)]
        assert torch.equal(transform(other), torch.stack(expected))
        assert transform(other).dtype == dtype


@pytest.mark.parametrize("score", SCORES)
def test_memory_layout_does_not_matter(score: str) -> None:
    images = random_image(3, 3, *N)
    transform = RICSCrop(K, score=score)
    expected = transform(images)
    layouts = {
        "channels_last": images.to(memory_format=torch.channels_last),
        "transposed": images.mT.contiguous().mT,
        "strided": torch.stack([images, images + 1], -1)[..., 0],
        "flipped axes": images.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0),
    }
    for name, layout in layouts.items():
        assert not layout.is_contiguous(), name
        assert torch.equal(transform(layout), expected), name
    same = images[:1].expand(3, -1, -1, -1)
    assert torch.equal(transform(same), expected[:1].expand(3, -1, -1, -1))


def test_k_equal_to_the_image_is_a_copy() -> None:
    for shape in ((3, *N), (2, 3, *N)):
        image = random_image(*shape)
        for size in (N, N[1]):
            crop = rics_crop(image, size)
            if size == N:
                assert torch.equal(crop, image)
            assert storage(crop) != storage(image)


@pytest.mark.parametrize("score", SCORES)
def test_functions_and_transform_agree(score: str) -> None:
    for shifts in SHIFTS:
        transform = RICSCrop(list(K), score=score, shifts=shifts)
        for images in (
            random_image(2, 3, *N),
            tv_tensors.Image(random_image(3, *N)),
            F.to_pil_image(random_image(3, *N)),
        ):
            origins = locate(images, K, score=score, shifts=shifts)
            assert type(origins) is Tensor
            assert torch.equal(origins, transform.locate(images))
            crop = rics_crop(images, K, score=score, shifts=shifts)
            assert torch.equal(crop, F.to_image(transform(images)).as_subclass(Tensor))


def test_shifted_windows_of_a_scene_give_the_same_pixels() -> None:
    scene = torch.zeros(3, 60, 60, dtype=torch.uint8)
    scene[:, 28:33, 29:34] = random_image(3, 5, 5) // 2 + 128
    crops = {
        RICSCrop(32)(scene[:, y : y + 48, x : x + 48]).numpy().tobytes()
        for y in range(5, 8)
        for x in range(5, 8)
    }
    assert len(crops) == 1
