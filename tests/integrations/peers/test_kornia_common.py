"""What kornia asks of any transform, written anew and checked on its own `CenterCrop`, too.

`kornia_suite.py` runs the original, which is not in kornia's wheel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

pytest.importorskip("kornia")

import kornia.augmentation as K

from rics_transforms.integrations.kornia import RICSCrop

from ..test_kornia import need

Make = Callable[..., K.AugmentationBase2D]


@pytest.fixture(
    params=[
        partial(K.CenterCrop, (4, 5)),
        partial(RICSCrop, (4, 5)),
        partial(RICSCrop, (4, 5), score="saliency"),
        partial(RICSCrop, (4, 5), shifts="cyclic"),
    ],
    ids=["CenterCrop", "RICSCrop", "saliency", "cyclic"],
)
def make(request: pytest.FixtureRequest) -> Make:
    function: Make = request.param
    return function


def test_the_parts_of_a_call(make: Make) -> None:
    images = torch.rand(4, 3, 7, 8)
    crop = make()
    params = crop.forward_parameters(images.shape)
    matrix = crop.compute_transformation(images, params, crop.flags)
    output = crop.apply_transform(images, params, crop.flags, matrix)
    assert torch.equal(crop(images, params=params), output)
    assert torch.equal(crop.transform_matrix, matrix) and matrix.shape == (4, 3, 3)


@pytest.mark.parametrize("p", [0.0, 1.0])
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("shape", [(7, 8), (3, 7, 8), (1, 3, 7, 8), (2, 3, 7, 8)], ids=str)
def test_cardinality(make: Make, shape: tuple[int, ...], keepdim: bool, p: float) -> None:
    images = torch.rand(shape)
    output = make(p=p, keepdim=keepdim)(images)
    lead = shape[:-2] if keepdim else (1, 1, *shape[:-2])[-2:]
    assert output.shape == (*lead, *((4, 5) if p else shape[-2:]))
    assert p or torch.equal(output.view(shape), images)


def test_a_sequence_is_its_members_one_after_the_other(make: Make) -> None:
    images = torch.rand(2, 3, 7, 8)
    flip, crop = K.RandomHorizontalFlip(p=1.0), make()
    sequence = K.AugmentationSequential(K.RandomHorizontalFlip(p=1.0), make())
    assert torch.equal(sequence(images), crop(flip(images)))
    assert torch.equal(sequence.transform_matrix, crop.transform_matrix @ flip.transform_matrix)


def test_the_matrix_says_where_each_pixel_came_from(make: Make) -> None:
    images = torch.rand(2, 3, 7, 8)
    crop = make()
    output = crop(images)
    columns, rows = torch.meshgrid(torch.arange(5.0), torch.arange(4.0), indexing="xy")
    places = torch.stack([columns, rows, torch.ones(4, 5)], -1)
    for image, cropped, matrix in zip(images, output, crop.transform_matrix, strict=True):
        x, y, _ = (places @ matrix.inverse().T).round().long().unbind(-1)
        assert torch.equal(image[:, y % 7, x % 8], cropped)


def test_replay(make: Make) -> None:
    first, second = torch.rand(2, 2, 3, 7, 8)
    crop = make()
    output, params = crop(first), crop._params
    crop(second)
    assert torch.equal(crop(first, params=params), output)


def test_gradients(make: Make) -> None:
    images = torch.rand(1, 2, 7, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(make(), (images,), fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_dtypes(make: Make, dtype: torch.dtype) -> None:
    if dtype == torch.bfloat16:
        need("bfloat16")
    crop: Any = make().to(dtype)
    assert crop(torch.rand(2, 3, 7, 8, dtype=dtype)).dtype == dtype
    assert crop.transform_matrix.dtype == dtype
