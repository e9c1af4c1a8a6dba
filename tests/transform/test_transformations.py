"""`RICSCrop` under vmap, autograd and torch.compile, and off the CPU."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors

from rics_transforms import RICSCrop

from ..conftest import SCORES, SHIFTS, random_image
from ..reference import ZOO, zoo_image
from .inputs import K, N, pixels_on_the_grid, window


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("shifts", SHIFTS)
def test_vmap_equals_batch(score: str, shifts: str) -> None:
    transform = RICSCrop(K, score=score, shifts=shifts)
    images = random_image(4, 3, *N)
    assert torch.equal(torch.vmap(transform)(images), transform(images))
    assert torch.equal(torch.vmap(transform.locate)(images), transform.locate(images))
    assert torch.equal(torch.vmap(transform, in_dims=-1)(images.movedim(0, -1)), transform(images))


def test_vmap_twice_and_over_batches() -> None:
    transform = RICSCrop(K)
    images = random_image(2, 3, 3, *N)
    assert torch.equal(torch.vmap(torch.vmap(transform))(images), transform(images))
    assert torch.equal(torch.vmap(transform)(images), transform(images))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.float32, torch.float64], ids=str)
def test_vmap_of_dtypes_whose_range_is_checked(dtype: torch.dtype) -> None:
    images = random_image(4, 3, *N)
    images = images.to(dtype) / 255 if dtype.is_floating_point else images.to(dtype)
    transform = RICSCrop(K)
    assert torch.equal(torch.vmap(transform)(images), transform(images))


@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize("score", SCORES)
def test_gradients_flow_to_exactly_the_cropped_pixels(score: str, shifts: str) -> None:
    images = pixels_on_the_grid(2, 3, *N)
    transform = RICSCrop(K, score=score, shifts=shifts)
    weights = torch.arange(1.0, 2 * 3 * K[0] * K[1] + 1, dtype=torch.float64).view(2, 3, *K)
    (transform(images) * weights).sum().backward()
    assert images.grad is not None
    assert images.grad.count_nonzero() == weights.numel()
    for gradient, origin, weight in zip(
        images.grad, transform.locate(images), weights, strict=True
    ):
        assert torch.equal(window(gradient, origin), weight)
    assert not transform.locate(images).requires_grad


@pytest.mark.parametrize("shifts", SHIFTS)
def test_gradcheck(shifts: str) -> None:
    images = pixels_on_the_grid(2, 1, 6, 7)
    assert torch.autograd.gradcheck(RICSCrop((3, 4), shifts=shifts), (images,))
    assert torch.autograd.gradgradcheck(RICSCrop((3, 4), shifts=shifts), (images,))


def test_gradients_through_tv_tensors() -> None:
    pixels, masks = pixels_on_the_grid(3, *N), pixels_on_the_grid(*N)
    image, mask = RICSCrop(K)(tv_tensors.Image(pixels), tv_tensors.Mask(masks))
    (image.sum() + mask.sum()).backward()
    assert pixels.grad is not None and pixels.grad.sum() == 3 * K[0] * K[1]
    assert masks.grad is not None and masks.grad.sum() == K[0] * K[1]


def test_functional_gradients() -> None:
    image = pixels_on_the_grid(3, *N).detach()
    for score in SCORES:
        transform = RICSCrop((23, 21), score=score)
        gradient = torch.func.grad(lambda x, t=transform: t(x).sum())(image)
        assert gradient.sum() == 3 * 23 * 21
        assert window(gradient, transform.locate(image), (23, 21)).all()


@pytest.fixture
def dynamo() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


# Bytes or floats; tests/graph/test_pt2.py has the other kind of shifts for two of the scores.
COMPILED: list[tuple[str, Any, int]] = [
    ("hash", "cyclic", 1),
    ("lattice", "cyclic", 255),
    ("mexican_hat", "realistic", 255),
    ("random", "realistic", 1),
    ("saliency", "realistic", 255),
]


@pytest.mark.slow
@pytest.mark.usefixtures("dynamo")
@pytest.mark.parametrize(("score", "shifts", "scale"), COMPILED)
def test_compiled_graph_equals_eager(score: str, shifts: Any, scale: int) -> None:
    transform = RICSCrop(K, score=score, shifts=shifts)
    compiled = torch.compile(transform, fullgraph=True, dynamic=True, backend="eager")
    two, three, five = (random_image(count, 3, *N) for count in (2, 3, 5))
    if scale > 1:
        two, three, five = two / scale, three / scale, five / scale
    assert torch.equal(compiled(two), transform(two))
    with torch.compiler.set_stance("fail_on_recompile"):
        assert torch.equal(compiled(three), transform(three))
        assert torch.equal(compiled(five), transform(five))


@pytest.mark.slow
@pytest.mark.usefixtures("dynamo")
def test_compiled_code_equals_eager() -> None:
    transform = RICSCrop(K)
    compiled = torch.compile(transform, fullgraph=True, dynamic=True)
    assert torch.equal(compiled(random_image(2, 3, *N)), transform(random_image(2, 3, *N)))
    degenerate = torch.stack([zoo_image(name, *N) for name in sorted(ZOO)])
    with torch.compiler.set_stance("fail_on_recompile"):
        for images in (
            random_image(3, 3, *N),
            degenerate,
            *degenerate[1:].split(2),
        ):  # other branches
            assert torch.equal(compiled(images), transform(images))


@pytest.mark.slow
@pytest.mark.usefixtures("dynamo")
def test_compiled_gradients() -> None:
    transform = RICSCrop(K, score="hash")
    compiled = torch.compile(transform, fullgraph=True, backend="aot_eager")
    images = pixels_on_the_grid(2, 3, *N)
    compiled(images).sum().backward()
    expected = torch.autograd.grad(transform(images).sum(), images)[0]
    assert images.grad is not None and torch.equal(images.grad, expected)


def test_no_value_is_looked_at_off_the_cpu() -> None:
    """A device without values stands for one where looking at them would wait."""
    images = random_image(2, 3, *N).to("meta")
    for shifts in SHIFTS:
        out = RICSCrop(K, shifts=shifts)(images)
        assert out.shape == (2, 3, *K) and out.device.type == "meta"


def test_masks_without_channels_off_the_cpu() -> None:
    images = random_image(2, 3, *N).to("meta")
    batch, mask = RICSCrop(K)(tv_tensors.Image(images), tv_tensors.Mask(images[:, 0]))
    assert batch.shape == (2, 3, *K) and mask.shape == (2, *K)
    image, mask = RICSCrop(K)(tv_tensors.Image(images[0]), tv_tensors.Mask(images[0, 0]))
    assert image.shape == (3, *K) and mask.shape == K


def test_masks_without_channels_under_vmap() -> None:
    images = random_image(2, 3, *N)

    def crop_mask(image: Tensor) -> Tensor:
        params = {"origins": RICSCrop(K).locate(image)}
        return RICSCrop(K).transform(image[0], params)

    expected = RICSCrop(K)(images)[:, 0]
    assert torch.equal(torch.vmap(crop_mask)(images), expected)
