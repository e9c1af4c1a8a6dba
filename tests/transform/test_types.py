"""Kinds of input that users register with torchvision."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from rics_transforms import RICSCrop, rics_crop

from ..conftest import SHIFTS, random_image
from .inputs import K, N, pil, window


class Depth(tv_tensors.TVTensor):
    """A user's own kind of image, with a kernel."""


class Caption(tv_tensors.TVTensor):
    """A user's own kind of input, without one."""


@v2.functional.register_kernel(F.crop, Depth)
def crop_depth(inpt: Depth, top: int, left: int, height: int, width: int) -> Depth:
    return tv_tensors.wrap(inpt[..., top : top + height, left : left + width], like=inpt)


def test_registered_kernels_are_used() -> None:
    image, depth = (
        tv_tensors.Image(random_image(3, *N)),
        random_image(1, *N, seed=1).as_subclass(Depth),
    )
    out = RICSCrop(K)(image, depth)[1]
    assert type(out) is Depth
    assert torch.equal(
        out.as_subclass(Tensor), window(depth.as_subclass(Tensor), RICSCrop(K).locate(image))
    )
    with pytest.raises(ValueError, match="per sample, before batching"):
        RICSCrop(K)(tv_tensors.Image(random_image(2, 3, *N)), depth)
    with pytest.raises(ValueError, match="wraps around"):
        RICSCrop(K, shifts="cyclic")(image, depth)


def test_types_without_a_kernel_pass_through() -> None:
    caption = torch.arange(5).as_subclass(Caption)
    for image in (random_image(3, *N), tv_tensors.Image(random_image(3, *N)), pil("RGB")):
        assert RICSCrop(K)(image, caption)[1] is caption


@pytest.mark.parametrize("shifts", SHIFTS)
def test_other_types_are_refused_beside_a_batch_and_on_the_torus(shifts: str) -> None:
    caption = torch.arange(5).as_subclass(Caption)
    lead = (2,) if shifts == "realistic" else ()
    image = tv_tensors.Image(random_image(*lead, 3, *N))
    with pytest.raises(ValueError, match="per sample" if lead else "wraps around"):
        RICSCrop(K, shifts=shifts)(image, caption)


def test_foreign_functionals_take_no_kernels() -> None:
    with pytest.raises(ValueError, match="torchvision"):
        v2.functional.register_kernel(rics_crop, Caption)


class Subclass(Tensor):
    """As MONAI's MetaTensor, or fastai's TensorImage."""


@pytest.mark.parametrize("make", [lambda x: x.as_subclass(Subclass), torch.nn.Parameter])
def test_subclasses_of_tensor_are_checked_and_cropped_alike(make: Callable[..., Tensor]) -> None:
    plain = random_image(3, *N) / 255
    image = make(plain.clone())
    with torch.no_grad():
        out = rics_crop(image, K)
    assert torch.equal(out.as_subclass(Tensor), rics_crop(plain, K))
    for bad in (float("nan"), float("inf"), 2.0**60):
        poisoned = plain.clone()
        poisoned[1, 2, 3] = bad
        with pytest.raises(ValueError) as expected:
            rics_crop(poisoned, K)
        with pytest.raises(ValueError) as found:
            rics_crop(make(poisoned), K)
        assert str(found.value) == str(expected.value)
