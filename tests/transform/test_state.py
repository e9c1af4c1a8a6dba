"""The state of the process does not matter, nor is it changed."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.transforms.v2 import functional as F

from rics_transforms import RICSCrop

from ..conftest import SCORES, SHIFTS, random_image
from .inputs import PHOTOGRAPHS, window


@pytest.mark.parametrize("score", SCORES)
def test_inference_mode_does_not_spoil_what_is_remembered(score: str) -> None:
    transform = RICSCrop((31, 29), score=score)
    images = random_image(2, 3, 45, 47)
    with torch.inference_mode():
        expected = transform(images)
        assert expected.is_inference()
    assert torch.equal(transform(images), expected)
    floating = (images.double() / 255).requires_grad_()
    transform(floating).sum().backward()
    assert floating.grad is not None and floating.grad.sum() == 2 * 3 * 31 * 29
    with torch.no_grad():
        assert torch.equal(transform(images), expected)
    assert not transform(images).is_inference()


@pytest.mark.parametrize("score", SCORES)
def test_fake_tensors_do_not_spoil_what_is_remembered(score: str) -> None:
    transform = RICSCrop((32, 29), score=score)
    images = random_image(2, 3, 46, 47)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        try:
            transform(mode.from_tensor(images))
        except Exception as error:
            assert "DataDependent" in type(error).__name__
    crops = transform(images)
    assert type(crops) is Tensor
    assert torch.equal(crops[0], window(images[0], transform.locate(images[0]), (32, 29)))


@pytest.mark.parametrize("score", SCORES)
def test_a_default_device_does_not_matter(score: str) -> None:
    """Models are often made under the meta device; data sets must not notice."""
    transform = RICSCrop((33, 29), score=score)
    images = random_image(2, 3, 46, 48)
    with torch.device("meta"):
        under = transform(images)
    after = transform(images)
    assert under.device.type == "cpu" and torch.equal(under, after)
    torch.set_default_device("cpu")
    try:
        assert torch.equal(transform(images), after)
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("shifts", SHIFTS)
def test_default_dtype_and_autocast_do_not_matter(score: str, shifts: str) -> None:
    images = PHOTOGRAPHS
    transform = RICSCrop((49, 41), score=score, shifts=shifts)
    default = torch.get_default_dtype()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = transform(images), transform.locate(images / 255)
    try:
        torch.set_default_dtype(torch.float64)
        double = transform(images), transform.locate(images / 255)
        torch.set_default_dtype(torch.float16)
        half = transform(images)
    finally:
        torch.set_default_dtype(default)
    for cold in (under_autocast, double):
        assert torch.equal(cold[0], transform(images))
        assert torch.equal(cold[1], transform.locate(images))
    assert torch.equal(half, transform(images))


def test_random_number_generators_are_left_alone() -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    for score in SCORES:
        for shifts in SHIFTS:
            RICSCrop((19, 17), score=score, shifts=shifts)(random_image(2, 3, 29, 31))
            RICSCrop((19, 17), score=score, shifts=shifts)(F.to_pil_image(random_image(3, 29, 31)))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]


def test_threads_share_one_transform() -> None:
    transforms = [RICSCrop((26, 30), score=score) for score in SCORES]
    images = random_image(40, 3, 44, 52)
    with ThreadPoolExecutor(8) as pool:
        crops = list(pool.map(lambda i: transforms[i % 5](images[i]), range(40)))
    assert all(torch.equal(crops[i], transforms[i % 5](images[i])) for i in range(40))
