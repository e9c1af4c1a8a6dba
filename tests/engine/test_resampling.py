"""Crops between the pixels, against fractions, and what stays as it is."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch
from torch import Tensor

from rics_transforms.engine import native
from rics_transforms.engine.crop import crop
from rics_transforms.engine.resampling import (
    LOBES,
    ONE,
    TAPS,
    TORUS_LOBES,
    TORUS_TAPS,
    reach_of_taps,
    resample,
)
from rics_transforms.shifts.fourier import fourier_shift

from .. import reference
from ..conftest import random_image

PLACES = torch.tensor([[-32, 31], [0, 64], [100, -1], [224, 191], [5, 223]])


@pytest.fixture(params=[True, False], ids=["compiled", "PyTorch"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with and without the compiled code."""
    if not request.param:
        monkeypatch.setattr(native, "_native", None)
    elif not native.is_available():
        pytest.skip("needs a C compiler")


@pytest.mark.parametrize(("lobes", "taps"), [(LOBES, TAPS), (TORUS_LOBES, TORUS_TAPS)])
def test_taps_are_lanczos_and_sum_to_one(lobes: int, taps: tuple[tuple[int, ...], ...]) -> None:
    assert len(taps) == 64
    for phase, weights in enumerate(taps):
        assert sum(weights) == ONE
        assert [Fraction(w, ONE) for w in weights] == reference.taps(phase, lobes)
        assert weights == taps[-phase % 64][::-1] or phase == 0  # a mirrored image is mirrored
    assert taps[0] == (0,) * (lobes - 1) + (ONE,) + (0,) * lobes


@pytest.mark.parametrize("lobes", [LOBES, TORUS_LOBES])
def test_no_tap_depends_on_how_a_platform_rounds_a_sine(lobes: int) -> None:
    x = np.arange(1 - lobes, lobes + 1) - np.arange(1, 64)[:, None] / 64
    weights = np.sinc(x) * np.sinc(x / lobes)
    exact = ONE * weights / weights.sum(1, keepdims=True)
    assert np.abs(exact % 1 - 0.5).min() > 1e-6


@pytest.mark.parametrize("taps", [TAPS, TORUS_TAPS], ids=len)
def test_sums_of_bytes_fit_into_what_holds_them(taps: tuple[tuple[int, ...], ...]) -> None:
    """Quarters of a grey level into 16 bits, sums of products with them into 32."""
    most, least = (
        sum(max(sign * w, 0) for w in max(taps, key=lambda row: sum(map(abs, row))))
        for sign in (1, -1)
    )
    high, low = 4 * 255 * most / ONE + 1, 4 * 255 * least / ONE + 1
    assert max(high, low, ONE) < 2**15
    assert high * most + low * least < 2**31


def test_a_torus_is_shifted_as_fourier_shifts_it() -> None:
    """Waves up to 0.8 of the highest frequency: to 0.6 % of their amplitude along each axis."""
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(50.0), indexing="ij")
    for rows, columns in ((0, 0), (1, 3), (16, 0), (0, 20), (16, 20)):
        wave = (2 * torch.pi * (rows * y / 40 + columns * x / 50)).cos().double()[None, None]
        for place in ((32, 32), (5, -21), (0, 63)):
            found = resample(wave, torch.tensor([place]), (40, 50), cyclic=True)
            exact = fourier_shift(wave, (-place[0] / 64, -place[1] / 64))
            assert (found - exact).abs().max() < 0.012


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("high", [256, 2])
def test_bytes_equal_their_definition(either: None, cyclic: bool, high: int) -> None:
    images = random_image(5, 1, 12, 13, high=high) * (255 // (high - 1))
    places = PLACES % 704 if cyclic else PLACES
    crops = resample(images, places, (9, 10), cyclic=cyclic)
    for image, place, found in zip(images, places.tolist(), crops, strict=True):
        exact = reference.resample(image[0].numpy(), tuple(place), (9, 10), cyclic)
        rounded = [[min(max(floor(v + Fraction(1, 2)), 0), 255) for v in row] for row in exact]
        assert found[0].tolist() == rounded


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.int8, torch.int16, torch.uint16, torch.int32, torch.int64]
)
def test_other_integers_are_rounded_once(dtype: torch.dtype) -> None:
    limits = (0, 1) if dtype == torch.bool else (torch.iinfo(dtype).min, torch.iinfo(dtype).max)
    low, high = max(limits[0], -(2**16)), min(limits[1], 2**16)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(low, high + 1, (5, 1, 12, 13), generator=generator).to(dtype)
    crops = resample(images, PLACES, (4, 5))
    assert crops.dtype == dtype
    for image, place, found in zip(images, PLACES.tolist(), crops, strict=True):
        exact = reference.resample(image[0].numpy().astype(np.int64), tuple(place), (4, 5), False)
        rounded = [[min(max(floor(v + Fraction(1, 2)), limits[0]), limits[1]) for v in row]
                   for row in exact]  # fmt: skip
        assert found[0].tolist() == rounded


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floats_have_the_same_taps(dtype: torch.dtype) -> None:
    images = random_image(5, 1, 12, 13).to(dtype)  # whole numbers, which every dtype holds
    found = resample(images, PLACES, (4, 5))
    assert found.dtype == dtype
    for image, place, crop_ in zip(images, PLACES.tolist(), found, strict=True):
        levels = image[0].to(torch.int64).numpy()
        exact = torch.tensor(
            [
                [float(v) for v in row]
                for row in reference.resample(levels, tuple(place), (4, 5), False)
            ],
            dtype=torch.float64,
        )
        torch.testing.assert_close(crop_[0].double(), exact, rtol=torch.finfo(dtype).eps, atol=1e-4)


def test_gradients_flow_through_the_taps() -> None:
    images = torch.rand(2, 1, 7, 8, dtype=torch.float64, requires_grad=True)
    places = torch.tensor([[33, -20], [70, 64]])
    assert torch.autograd.gradcheck(lambda x: resample(x, places, (5, 5)), images)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.float32])
@pytest.mark.parametrize("cyclic", [False, True])
def test_a_place_on_the_grid_copies_pixels(either: None, cyclic: bool, dtype: torch.dtype) -> None:
    images = random_image(4, 2, 3, 15, 14).to(dtype)
    origins = torch.tensor([[0, 0], [4, 3], [1, 2], [3, 4]])
    expected = crop(images, origins, (11, 10), cyclic=cyclic)
    assert torch.equal(resample(images, 64 * origins, (11, 10), cyclic=cyclic), expected)


def test_the_border_is_repeated_and_the_torus_goes_on() -> None:
    image = random_image(1, 3, 9, 11)
    place = torch.tensor([[-32, 30]])
    wide = torch.nn.functional.pad(image.float(), (8,) * 4, mode="replicate").byte()
    assert torch.equal(resample(image, place, (9, 11)), resample(wide, place + 512, (9, 11)))
    around = image.repeat(1, 1, 5, 5)  # of which the middle one sees no border
    found = resample(image, place % 576, (9, 11), cyclic=True)
    middle = place + 64 * torch.tensor([[18, 22]])
    assert torch.equal(found, resample(around, middle, (9, 11), cyclic=True))


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (3, 2), (31, 20)], ids=str)
def test_images_smaller_than_the_taps(either: None, size: tuple[int, int], cyclic: bool) -> None:
    image = random_image(1, 1, *size)
    place = torch.tensor([[17, 30]])
    found = resample(image, place, size, cyclic=cyclic)
    exact = reference.resample(image[0, 0].numpy(), (17, 30), size, cyclic)
    assert found[0, 0].tolist() == [
        [min(max(floor(v + Fraction(1, 2)), 0), 255) for v in row] for row in exact
    ]


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_and_threads_change_nothing(either: None, threads: int) -> None:
    images, size = random_image(6, 3, 220, 230), (200, 210)
    places = torch.randint(-32, 1248, (6, 2), generator=torch.Generator().manual_seed(0))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        together = resample(images, places, size)
    finally:
        torch.set_num_threads(before)
    each = [resample(images[i, None], places[i, None], size)[0] for i in range(6)]
    assert torch.equal(together, torch.stack(each))


def test_no_images(either: None) -> None:
    images = torch.zeros(0, 3, 8, 9, dtype=torch.uint8)
    assert resample(images, torch.zeros(0, 2, dtype=torch.int64), (5, 6)).shape == (0, 3, 5, 6)


def test_flat_images_stay_flat(either: None) -> None:
    for level in (0, 1, 128, 254, 255):
        images = torch.full((5, 1, 12, 13), level, dtype=torch.uint8)
        assert (resample(images, PLACES, (9, 10)) == level).all()


def test_edges_of_images_are_reached_by_taps_between_pixels_only() -> None:
    first, last = reach_of_taps(torch.tensor([[0, 64], [-1, 65]]), (10, 20))
    assert first.tolist() == [[0, 1], [-1 - 4, 1 - 4]]
    assert last.tolist() == [[9, 20], [8 + 5, 20 + 5]]


@pytest.mark.skipif(not native.is_available(), reason="needs a C compiler")
@pytest.mark.parametrize("places", [torch.zeros(2, 2).long(), torch.zeros(3, 2).int()], ids=str)
def test_places_are_looked_at_before_they_are_read_by_address(places: Tensor) -> None:
    with pytest.raises(ValueError, match="Expected a contiguous tensor of torch.int64"):
        resample(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), places, (4, 4), selected=True)
