"""`RICSCrop` in torchvision's pipelines."""

from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
import torch
import torchvision.transforms as v1
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from rics_transforms import RICSCrop, locate

from ..conftest import random_image
from .inputs import ANNOTATIONS, K, N, photograph, window


def test_random_apply_and_containers() -> None:
    image = random_image(3, *N)
    crop = RICSCrop(K)(image)
    assert torch.equal(v2.RandomApply([RICSCrop(K)], p=1.0)(image), crop)
    assert torch.equal(v2.RandomApply([RICSCrop(K)], p=0.0)(image), image)
    assert torch.equal(v2.RandomChoice([RICSCrop(K)])(image), crop)
    assert torch.equal(v1.RandomApply([RICSCrop(K)], p=1.0)(image), crop)
    assert torch.equal(torch.nn.Sequential(RICSCrop(K), torch.nn.Identity())(image), crop)
    assert torch.equal(v2.Compose([RICSCrop(K), RICSCrop(K)])(image), crop)


def test_first_version_compose() -> None:
    image = photograph("coffee")
    chain = v1.Compose([RICSCrop(48), v1.ToTensor(), v1.Normalize([0.5] * 3, [0.25] * 3)])
    crop = RICSCrop(48)(F.pil_to_tensor(image))
    torch.testing.assert_close(chain(image), (crop / 255 - 0.5) / 0.25)
    resized = v1.Compose([v1.Resize(60), v1.PILToTensor(), RICSCrop(48)])(image)
    assert torch.equal(resized, RICSCrop(48)(F.pil_to_tensor(v1.Resize(60)(image))))


@pytest.mark.parametrize("to_tensor", [v2.PILToTensor, v2.ToImage])
@pytest.mark.parametrize("place", range(4))
def test_compose_in_any_order(place: int, to_tensor: Callable[[], Any]) -> None:
    image = photograph("chelsea")
    steps = [to_tensor(), v2.ToDtype(torch.float32, scale=True)]
    steps += [v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    whole = v2.Compose(steps)(image)
    crop = v2.Compose([*steps[:place], RICSCrop(48), *steps[place:]])(image)
    guide = whole if place == 3 else image
    assert type(crop) is type(whole) and crop.dtype == torch.float32
    expected = window(whole, locate(guide, 48), (48, 48))
    torch.testing.assert_close(crop, expected, rtol=0, atol=0)


def test_normalised_images_keep_their_crop_when_the_window_moves() -> None:
    normalize = v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    scene = torch.zeros(3, 60, 60)
    scene[:, 28:33, 29:34] = 0.5 + random_image(3, 5, 5) / 510
    crops = [
        RICSCrop(32)(normalize(scene[:, y : y + 48, x : x + 48])) for y in (5, 7) for x in (5, 7)
    ]
    assert all(torch.equal(crop, crops[0]) for crop in crops)


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_compose_with_flip_and_convert(order: tuple[int, ...]) -> None:
    steps = [RICSCrop(K), v2.RandomHorizontalFlip(1.0), v2.ToDtype(torch.float32, scale=True)]
    sample = {
        "image": tv_tensors.Image(random_image(3, *N)),
        "mask": tv_tensors.Mask(random_image(*N)),
        "points": ANNOTATIONS["keypoints"](N),
    }
    out = v2.Compose([steps[i] for i in order])(sample)
    assert out["image"].shape == (3, *K) and out["image"].dtype == torch.float32
    assert out["mask"].shape == K and out["points"].canvas_size == K
