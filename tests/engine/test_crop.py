"""Crops against slicing and rolling, and that they share no memory with the image."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision import tv_tensors

from rics_transforms import RICSCrop, rics_crop
from rics_transforms._arguments import Size
from rics_transforms.engine import crop as crop_module
from rics_transforms.engine.crop import crop

from ..conftest import random_image

DTYPES = (
    torch.uint8,
    torch.bool,
    torch.int16,
    torch.uint16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex64,
)


def expected_crops(images: Tensor, origins: Tensor, size: Size) -> list[Tensor]:
    """Each image rolled so that its crop lies in the corner."""
    return [
        image.roll((-int(top), -int(left)), (-2, -1))[..., : size[0], : size[1]]
        for image, (top, left) in zip(images, origins, strict=True)
    ]


def same(result: Tensor, expected: list[Tensor]) -> None:
    assert len(result) == len(expected)
    for one, other in zip(result, expected, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert torch.equal(one.view(torch.uint8), other.contiguous().view(torch.uint8))


@given(data=st.data(), cyclic=st.booleans(), dtype=st.sampled_from(DTYPES))
def test_crops_are_slices(data: st.DataObject, cyclic: bool, dtype: torch.dtype) -> None:
    n = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    size = data.draw(st.integers(1, n[0])), data.draw(st.integers(1, n[1]))
    lead = data.draw(st.sampled_from([(), (1,), (3,), (2, 3)]))
    images = random_image(4, *lead, *n).to(dtype)
    last = n if cyclic else (n[0] - size[0] + 1, n[1] - size[1] + 1)
    place = st.tuples(st.integers(0, last[0] - 1), st.integers(0, last[1] - 1))
    origins = torch.tensor([data.draw(place) for _ in range(4)])
    result = crop(images, origins, size, cyclic=cyclic)
    assert result.is_contiguous()
    same(result, expected_crops(images, origins, size))
    if not cyclic:
        slices = [
            image[..., top : top + size[0], left : left + size[1]]
            for image, (top, left) in zip(images, origins.tolist(), strict=True)
        ]
        same(result, slices)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("cyclic", [False, True])
def test_the_gather_path_is_the_slice_path(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, cyclic: bool
) -> None:
    images = random_image(5, 2, 3, 9, 8).to(dtype)
    places = [[0, 0], [3, 2], [1, 1], [0, 2], [3, 0]]
    origins = torch.tensor([[8, 7], [4, 3], *places[2:]] if cyclic else places)
    expected = crop(images, origins, (6, 6), cyclic=cyclic)
    monkeypatch.setattr(crop_module, "can_branch_on", lambda tensor: False)
    for layout in (images, images.transpose(-1, -2).contiguous().transpose(-1, -2)):
        result = crop(layout, origins, (6, 6), cyclic=cyclic)
        same(result, list(expected))
        assert result.untyped_storage().data_ptr() != layout.untyped_storage().data_ptr()


@pytest.mark.parametrize("size", [(3, 4), (8, 9), (8, 4)])
@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("batch", [1, 2])
def test_crops_have_memory_of_their_own(size: Size, cyclic: bool, batch: int) -> None:
    images = random_image(batch, 3, 8, 9)
    before = images.clone()
    result = crop(images, torch.zeros(batch, 2, dtype=torch.int64), size, cyclic=cyclic)
    assert result.untyped_storage().nbytes() == result.numel()
    result.fill_(1)
    assert torch.equal(images, before)


@pytest.mark.parametrize("shifts", ["realistic", "cyclic"])
@pytest.mark.parametrize("shape", [(3, 8, 9), (1, 3, 8, 9)])
def test_rics_crop_of_the_whole_image_is_a_copy(shifts: str, shape: tuple[int, ...]) -> None:
    image = random_image(*shape)
    before = image.clone()
    result = rics_crop(image, (8, 9), score="hash", shifts=shifts)  # type: ignore[arg-type]
    if shifts == "realistic":
        assert torch.equal(result, image)
    assert result.untyped_storage().nbytes() == result.numel()
    result += 1
    assert torch.equal(image, before)


@pytest.mark.parametrize(
    "layout",
    [
        lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
        lambda x: x.repeat_interleave(2, -1)[..., ::2],
        lambda x: x[:1].expand(4, -1, -1, -1),
        lambda x: x.flip(-1).flip(-1)[:, 1:],
    ],
    ids=["channels last", "strided", "expanded", "offset"],
)
def test_images_that_are_not_contiguous(layout: object) -> None:
    assert callable(layout)
    images = layout(random_image(4, 3, 8, 9))
    origins = torch.tensor([[0, 0], [1, 2], [4, 4], [2, 0]])
    for cyclic in (False, True):
        same(crop(images, origins, (4, 5), cyclic=cyclic), expected_crops(images, origins, (4, 5)))


@pytest.mark.parametrize("origin", [(5, 0), (0, 5), (-1, 0), (0, -1), (99, 99)])
def test_a_crop_over_the_border_is_an_error(origin: Size) -> None:
    images, origins = torch.zeros(2, 3, 8, 9), torch.tensor([(0, 0), origin])
    with pytest.raises(ValueError, match=r"inside the image of \(8, 9\), but got origin"):
        crop(images, origins, (4, 5))


@pytest.mark.parametrize("origin", [(-1, 0), (0, -1)])
def test_a_negative_origin_on_the_torus_is_an_error(origin: Size) -> None:
    with pytest.raises(ValueError, match="inside the image"):
        crop(torch.zeros(1, 3, 8, 9), torch.tensor([origin]), (4, 5), cyclic=True)


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("branches", [False, True])
def test_an_empty_batch(monkeypatch: pytest.MonkeyPatch, cyclic: bool, branches: bool) -> None:
    monkeypatch.setattr(crop_module, "can_branch_on", lambda tensor: branches)
    images, origins = torch.zeros(0, 2, 3, 8, 9), torch.zeros(0, 2, dtype=torch.int64)
    result = crop(images, origins, (4, 5), cyclic=cyclic)
    assert result.shape == (0, 2, 3, 4, 5)
    assert result.dtype == images.dtype


def test_selected_origins_are_not_validated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Size] = []
    validate = crop_module._require_inside
    monkeypatch.setattr(
        crop_module, "_require_inside", lambda *args: asked.append(args[2]) or validate(*args)
    )
    image, mask = random_image(3, 12, 14), random_image(1, 12, 14)
    rics_crop(image, 9)
    RICSCrop(9)(image)
    assert not asked
    RICSCrop(9)(tv_tensors.Image(image), tv_tensors.Mask(mask))
    assert asked == [(9, 9)]  # the mask, which might have another size
    params = RICSCrop(9).make_params([image])
    with pytest.raises(ValueError, match="inside the image"):
        RICSCrop(9).transform(image[:, :9, :9], {**params, "origins": torch.tensor([1, 0])})
    assert len(asked) == 2


def test_one_origin_per_image() -> None:
    with pytest.raises(ValueError, match="origins, one per image"):
        crop(torch.zeros(2, 3, 8, 9), torch.zeros(3, 2, dtype=torch.int64), (4, 5))


def test_gradients_flow_through_the_crop() -> None:
    image = torch.rand(2, 3, 8, 9, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for cyclic in (False, True):
        origins = torch.tensor([[1, 2], [6, 7]] if cyclic else [[1, 2], [0, 4]])
        (gradient,) = torch.autograd.grad(crop(image, origins, (4, 5), cyclic=cyclic).sum(), image)
        inside = torch.zeros(2, 3, 8, 9)
        for one, (top, left) in zip(inside, origins.tolist(), strict=True):
            one[:, :4, :5] = 1
            one.copy_(one.roll((top, left), (-2, -1)))
        assert torch.equal(gradient, inside)


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64], ids=str)
def test_origins_of_any_integer_type(dtype: torch.dtype, cyclic: bool) -> None:
    images = random_image(3, 2, 20, 18)
    origins = torch.tensor([[1, 2], [3, 4], [0, 6]])
    expected = crop(images, origins, (8, 9), cyclic=cyclic)
    assert torch.equal(crop(images, origins.to(dtype), (8, 9), cyclic=cyclic), expected)
    columns = torch.stack([origins, origins], 1)[:, 0]  # not contiguous
    assert torch.equal(crop(images, columns.to(dtype), (8, 9), cyclic=cyclic), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.complex64], ids=str)
def test_origins_must_be_integers(dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match="Expected `origins` to be integers"):
        crop(random_image(1, 3, 9, 9), torch.zeros(1, 2, dtype=dtype), (4, 4))


@pytest.mark.parametrize("shape", [(3,), (2, 2), (1,), (2, 3, 2)])
def test_origins_must_fit_the_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Expected `origins` to be \[..., 2\]"):
        RICSCrop(4).transform(
            random_image(3, 3, 9, 9), {"origins": torch.zeros(shape, dtype=torch.int64)}
        )


@pytest.mark.parametrize("cyclic", [False, True])
def test_a_crop_larger_than_the_image_is_an_error(cyclic: bool) -> None:
    with pytest.raises(ValueError, match="inside the image"):
        crop(random_image(1, 3, 9, 9), torch.zeros(1, 2, dtype=torch.int64), (4, 10), cyclic=cyclic)
