"""Every score against its reference, the same bits wherever a crop lies, and the registry."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision import tv_tensors

import rics_transforms
from rics_transforms import (
    Hash,
    Lattice,
    MexicanHat,
    Random,
    RICSCrop,
    Saliency,
    Score,
    get_score,
    list_scores,
    locate,
    register_score,
    rics_crop,
    score_map,
    unregister_score,
)
from rics_transforms._arguments import Size
from rics_transforms.engine.exact import box_sum, channel_sum, integer_image
from rics_transforms.engine.geometry import Geometry
from rics_transforms.engine.maps import patch_map
from rics_transforms.engine.scores import (
    FunctionScore,
    Level,
    complete_levels,
    gaussian_filter,
    mexican_hat_factors,
)

from .. import reference
from ..conftest import EVERY_SCORE, ordered, random_image

VARIANTS: list[Score] = [
    *EVERY_SCORE,
    Lattice(order=2),
    Lattice(order=(1, 2), patch="hash"),
    Lattice(order=(2, 1), patch="saliency"),
    Lattice(sigma=0.9),
    Saliency(sigma=0.8),
    Random(seed=5, modulus=1009),
    Random(seed=2**32 - 1),
    MexicanHat(sigma=2),
    MexicanHat(sigma=(3.5, 1.25)),
]


# --- maps against the reference ------------------------------------------------------------------


@pytest.mark.broad
@pytest.mark.parametrize("score", VARIANTS, ids=repr)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shifts", ["realistic", "cyclic"])
def test_maps_of_all_levels(score: Score, channels: int, shifts: str) -> None:
    n, k = (12, 14), (9, 11)
    image = random_image(channels, *n)
    cyclic = shifts == "cyclic"
    count = len(reference.levels(score, reference.patch_side(score, n, k)))
    for level in range(count):
        result = score_map(image, k, score, level=level, shifts=shifts)  # type: ignore[arg-type]
        assert result.dtype == torch.int64
        expected = reference.crop_map(reference.as_array(image), k, score, level, cyclic)
        assert result.tolist() == expected
    with pytest.raises(ValueError, match=rf"`level` .* from 0 to {count - 1}, but got {count}"):
        score_map(image, k, score, level=count)
    with pytest.raises(ValueError, match="`level` to be an int from 0"):
        score_map(image, k, score, level=-1)


@pytest.mark.parametrize("k", [(1, 1), (3, 3), (4, 4), (5, 4), (7, 8), (12, 14), (12, 3)])
def test_maps_of_all_crop_sizes(every_score: Score, k: Size) -> None:
    image = random_image(3, 12, 14, seed=1)
    for level in range(len(reference.levels(every_score, k))):
        result = score_map(image, k, every_score, level=level)
        expected = reference.crop_map(reference.as_array(image), k, every_score, level)
        assert result.tolist() == expected


@pytest.mark.parametrize("patch", ["mexican_hat", "hash", "saliency"])
def test_maps_of_the_default_order(patch: str) -> None:
    """A lattice of order (2, 3), as it is chosen for patches of 16 px or more."""
    score, n, k = Lattice(patch=patch), (25, 29), (21, 25)  # type: ignore[arg-type]
    assert Geometry.of(n, k, score, False).t == reference.patch_side(score, n, k) == (16, 20)
    image = random_image(3, *n, seed=2)
    expected = reference.crop_map(reference.as_array(image), k, score)
    assert score_map(image, k, score).tolist() == expected


def test_wide_pixels(every_score: Score) -> None:
    """Integers up to 16 bits of either sign, and floats far beyond [0, 1]."""
    wide = random_image(4, 12, 14).int() * 514 - 2**16
    floats = (torch.rand(4, 12, 14, generator=torch.Generator().manual_seed(1)) - 0.5) * 500
    for image in (wide, floats):
        pixels = reference.integer_image(image.numpy())[None]
        for level in range(len(reference.levels(every_score, (7, 8)))):
            result = score_map(image, (7, 8), every_score, level=level)
            assert result.tolist() == reference.crop_map(pixels, (7, 8), every_score, level)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0,), (2, 0)])
@pytest.mark.parametrize("shifts", ["realistic", "cyclic"])
def test_shapes_of_maps(every_score: Score, shape: tuple[int, ...], shifts: str) -> None:
    result = score_map(random_image(*shape, 3, 12, 14), (7, 8), every_score, shifts=shifts)  # type: ignore[arg-type]
    assert result.shape == (*shape, *((12, 14) if shifts == "cyclic" else (6, 7)))
    assert result.dtype == torch.int64


def unasked(pixels: Tensor, size: Size) -> Tensor:
    """Raises as MKL's Fourier transforms do when there is no image."""
    raise RuntimeError("Inconsistent configuration parameters")


EMPTY: dict[str, Callable[[RICSCrop, Tensor], Tensor]] = {
    "locate": lambda transform, images: transform.locate(images),
    "crop": lambda transform, images: transform(images),
    "floats": lambda transform, images: transform(images / 255),
    "a sample": lambda transform, images: transform({"image": images, "id": 1})["image"],
    "clips": lambda transform, images: transform(tv_tensors.Video(images[:, None])),
    "vmap": lambda transform, images: torch.vmap(transform)(images[:, None]),
}

any_score = pytest.mark.parametrize(
    "score",
    [*EVERY_SCORE, FunctionScore("unasked", unasked)],
    ids=[*map(repr, EVERY_SCORE), "unasked"],
)


@any_score
@pytest.mark.parametrize("shifts", ["realistic", "cyclic"])
@pytest.mark.parametrize("entrance", EMPTY)
def test_no_score_is_asked_about_no_image(entrance: str, shifts: Any, score: Score) -> None:
    some = EMPTY[entrance](RICSCrop((7, 8), shifts=shifts), random_image(2, 3, 12, 14))
    none = EMPTY[entrance](RICSCrop((7, 8), score=score, shifts=shifts), random_image(0, 3, 12, 14))
    assert none.shape == (0, *some.shape[1:]) and none.dtype == some.dtype


@any_score
def test_no_window_of_no_scene(score: Score) -> None:
    places = RICSCrop(8, score=score).locate_windows(random_image(0, 3, 14, 15), 12)
    assert places.shape == (0, 3, 4, 2)


# --- the same bits wherever the crop lies --------------------------------------------------------

LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x.contiguous(),
    "permuted": lambda x: x.permute(3, 2, 0, 1).contiguous().permute(2, 3, 1, 0),
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "strided": lambda x: x.repeat_interleave(2, -1).repeat_interleave(3, -2)[..., ::3, ::2],
}
DTYPES: dict[str, Callable[[Tensor], Tensor]] = {
    "uint8": lambda x: x,
    "int32": lambda x: x.int(),
    "float32": lambda x: x / 255,
    "float64": lambda x: x.double() / 255,
    "bfloat16": lambda x: (x / 255).bfloat16(),
}


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def maps(images: Tensor, t: Size, score: Score) -> list[Tensor]:
    pixels = integer_image(images)[:, None]
    return [patch_map(pixels, t, level, False).long() for level in complete_levels(score, t)]


@pytest.mark.broad
@settings(max_examples=30)
@given(data=st.data())
def test_a_sub_window_has_the_same_scores(every_score: Score, data: st.DataObject) -> None:
    draw = data.draw
    batch, channels = draw(st.sampled_from([1, 2, 7])), draw(st.sampled_from([1, 3, 5]))
    t = draw(st.integers(3, 12)), draw(st.integers(3, 12))
    n = tuple(draw(st.integers(side, side + 9)) for side in t)
    margins = tuple(draw(st.integers(0, 9)) for _ in range(4))
    height, width = n[0] + margins[0] + margins[1], n[1] + margins[2] + margins[3]
    seed, high = draw(st.integers(0, 10**6)), draw(st.sampled_from([2, 256]))
    scene = random_image(batch, channels, height, width, seed=seed, high=high)
    whole = maps(scene, t, every_score)

    top, left = margins[0], margins[2]
    window = scene[..., top : top + n[0], left : left + n[1]]
    image = draw(st.integers(0, batch - 1)) if draw(st.booleans()) else slice(None)
    image = slice(image, image + 1) if isinstance(image, int) else image
    window = LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))](window[image])
    window = DTYPES[draw(st.sampled_from(sorted(DTYPES)))](window)
    autocast = torch.autocast("cpu", dtype=torch.bfloat16)
    with threads(draw(st.sampled_from([1, 2]))), draw(st.sampled_from([autocast, nullcontext()])):
        parts = maps(window, t, every_score)

    rows, columns = n[0] - t[0] + 1, n[1] - t[1] + 1
    for part, full in zip(parts, whole, strict=True):
        assert torch.equal(part, full[image, top : top + rows, left : left + columns])


@pytest.mark.parametrize("order", [1, 2, (3, 2)])
def test_windows_agree_on_the_crops_they_share(every_score: Score, order: Size | int) -> None:
    """Also for a lattice, where the score of a crop depends on m, which windows have in common."""
    score = ordered(every_score, order) if order != 1 else every_score  # type: ignore[arg-type]
    n, k, scene = (22, 24), (17, 18), random_image(3, 27, 30, seed=3)
    whole = score_map(scene[:, : n[0], : n[1]], k, score)
    m = whole.shape
    for top, left in ((0, 1), (2, 3), (4, 0), (5, 6)):
        part = score_map(scene[:, top : top + n[0], left : left + n[1]], k, score)
        assert torch.equal(whole[top:, left:], part[: m[0] - top, : m[1] - left])


def test_large_photographs(photos: Tensor, every_score: Score) -> None:
    """The sizes that people use, where a matrix product or a transform takes another path."""
    scene, t = photos[:2], (140, 133)
    whole = maps(scene, t, every_score)
    for top, left in ((7, 3), (40, 50)):
        window = scene[:, :, top : top + 224, left : left + 230]
        for images in (window, window[1:] / 255):
            for part, full in zip(maps(images, t, every_score), whole, strict=True):
                full = full[-len(images) :, top : top + part.shape[1], left : left + part.shape[2]]
                assert torch.equal(part, full)


def test_matmul_precision_changes_nothing(every_score: Score) -> None:
    image, before = random_image(2, 3, 40, 44), torch.get_float32_matmul_precision()
    expected = locate(image, 30, score=every_score), score_map(image, 30, every_score)
    try:
        torch.set_float32_matmul_precision("medium")
        result = locate(image, 30, score=every_score), score_map(image, 30, every_score)
    finally:
        torch.set_float32_matmul_precision(before)
    for a, b in zip(result, expected, strict=True):
        assert torch.equal(a, b)


# --- the filters ---------------------------------------------------------------------------------


def test_gaussian_filter_is_the_documented_one() -> None:
    for size, seed in (((1, 1), 0), ((7, 8), 0), ((5, 3), 2**32 - 1)):
        assert gaussian_filter(size, seed).tolist() == reference.gaussian_taps(size, seed).tolist()


def test_gaussian_filter_is_the_same_everywhere() -> None:
    assert gaussian_filter((2, 3), 0).tolist() == [[157, 3915, 448], [-1972, 774, 3561]]


def test_gaussian_filter_is_gaussian() -> None:
    size = (224, 224)
    for seed in (0, 1):
        taps = gaussian_filter(size, seed).double() / 2**12
        error = 1 / math.sqrt(taps.numel())
        assert abs(taps.mean()) < 4 * error
        assert abs(taps.std() - 1) < 4 * error / math.sqrt(2)
        for x, share in ((1, 0.6827), (2, 0.9545), (3, 0.9973)):
            assert abs((taps.abs() < x).double().mean() - share) < 0.005 + 2 * error
    apart = [gaussian_filter(size, seed).double().flatten() for seed in (0, 1)]
    assert abs(torch.corrcoef(torch.stack(apart))[0, 1]) < 4 * error
    neighbours = torch.stack([apart[0][:-1], apart[0][1:]])
    assert abs(torch.corrcoef(neighbours)[0, 1]) < 4 * error


@pytest.mark.parametrize("length", [1, 2, 9, 140, 141, 224])
@pytest.mark.parametrize("sigma", [0.3, 5.0, 9, 50])
def test_mexican_hat_factors(length: int, sigma: float) -> None:
    u, g = mexican_hat_factors(length, sigma)
    place = [i - (length - 1) / 2 for i in range(length)]
    bell = [math.exp(-x * x / (2 * sigma**2)) for x in place]
    scale = 2**15 / sum(bell)
    for tap, b in zip(g, bell, strict=True):
        assert abs(tap - scale * b) <= 0.5 + 1e-6
    for tap, x, b in zip(u, place, bell, strict=True):
        assert abs(tap - scale * b * (0.5 - x * x / (2 * sigma**2))) <= 0.5 + 1e-6


def test_the_paper_s_filter_is_the_mexican_hat() -> None:
    kernel = reference.paper_hat_kernel((41, 41), 7.0)
    y, x = np.mgrid[-20:21, -20:21]
    r = (x**2 + y**2) / (2 * 7.0**2)
    expected = (1 - r) * np.exp(-r)
    assert np.abs(kernel / kernel.max() - expected).max() < 1e-3


def test_paper_sigmas_scale_with_the_crop() -> None:
    image = random_image(3, 30, 30)
    for level, sigma in enumerate((50, 20, 9)):
        given_ = MexicanHat(sigma=sigma * 21 / 140)
        assert torch.equal(
            score_map(image, (21, 25), "mexican_hat", level=level),
            score_map(image, (21, 25), given_),
        )


def test_hash_of_a_flat_scene_is_flat(every_score: Score) -> None:
    flat = torch.full((3, 20, 22), 9, dtype=torch.uint8)
    for level in range(len(reference.levels(every_score, (12, 13)))):
        assert len(score_map(flat, (12, 13), every_score, level=level).unique()) == 1


@pytest.mark.parametrize("score", [Lattice(), Saliency()], ids=repr)
def test_brightness_of_a_flat_scene_does_not_count(score: Score) -> None:
    for value in (0, 7, 255):
        flat = torch.full((3, 40, 41), value, dtype=torch.uint8)
        assert not score_map(flat, 30, score).any()


# --- batches and dtypes --------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (5, 2), (0,), (5, 0), (1, 1, 3)])
@pytest.mark.parametrize("shifts", ["realistic", "cyclic"])
def test_a_batch_is_its_images_one_by_one(
    every_score: Score, shape: tuple[int, ...], shifts: str
) -> None:
    images, k = random_image(*shape, 3, 20, 22, seed=4), (16, 15)
    options = {"score": every_score, "shifts": shifts}
    flat = images.reshape(-1, 3, 20, 22) if images.numel() else []
    singles = [locate(image, k, **options) for image in flat]  # type: ignore[arg-type]
    crops = [rics_crop(image, k, **options) for image in flat]  # type: ignore[arg-type]
    origins = locate(images, k, **options)  # type: ignore[arg-type]
    assert origins.shape == (*shape, 2)
    assert origins.dtype == torch.int64
    assert origins.reshape(-1, 2).tolist() == [single.tolist() for single in singles]
    cropper = RICSCrop(k, **options)  # type: ignore[arg-type]
    assert torch.equal(cropper.locate(images), origins)
    for result in (rics_crop(images, k, **options), cropper(images)):  # type: ignore[arg-type]
        assert result.shape == (*shape, 3, *k)
        assert result.dtype == images.dtype
        for crop, single in zip(result.reshape(-1, 3, *k) if crops else [], crops, strict=True):
            assert torch.equal(crop, single)


def test_an_image_beyond_the_unit_interval_does_not_change_its_neighbours(
    every_score: Score,
) -> None:
    """One such image gives the whole batch another integer dtype, and must not give it a score."""
    images = random_image(6, 3, 30, 31, seed=5).float() / 255
    expected = locate(images, 24, score=every_score)
    images[4] = images[4] * 7 - 2
    result = locate(images, 24, score=every_score)
    keep = torch.arange(6) != 4
    assert torch.equal(result[keep], expected[keep])
    assert torch.equal(result[4], locate(images[4], 24, score=every_score))


@pytest.mark.parametrize("shifts", ["realistic", "cyclic"])
def test_floats_choose_what_uint8_chooses(photos: Tensor, every_score: Score, shifts: str) -> None:
    images = photos[:4, :, 100:164, 90:160]
    expected = locate(images, (48, 50), score=every_score, shifts=shifts)  # type: ignore[arg-type]
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        result = locate((images / 255).to(dtype), (48, 50), score=every_score, shifts=shifts)  # type: ignore[arg-type]
        assert torch.equal(result, expected)
    assert torch.equal(locate(images.int(), (48, 50), score=every_score, shifts=shifts), expected)  # type: ignore[arg-type]


# --- the registry --------------------------------------------------------------------------------


def test_the_registry_lists_what_the_library_ships() -> None:
    assert list_scores() == ["hash", "lattice", "mexican_hat", "random", "saliency"]
    kinds = [type(get_score(name)) for name in list_scores()]
    assert kinds == [Hash, Lattice, MexicanHat, Random, Saliency]


def test_a_taken_name_is_an_error() -> None:
    with pytest.raises(ValueError, match="'hash' is already registered"):
        register_score("hash")(lambda pixels, size: box_sum(channel_sum(pixels), size))
    assert isinstance(get_score("hash"), Hash)


def test_a_name_with_a_colon_is_an_error() -> None:
    with pytest.raises(ValueError, match="Expected a score name without a colon, but got 'a:b'"):
        register_score("a:b")(lambda pixels, size: box_sum(channel_sum(pixels), size))


@pytest.mark.parametrize(("name", "hint"), [("latice", "lattice"), ("mexican-hat", "mexican_hat")])
def test_an_unknown_name_is_an_error_with_a_hint(name: str, hint: str) -> None:
    expected = f"one of hash, lattice, mexican_hat, random, saliency, but got '{name}'; did you "
    for call in (get_score, unregister_score, lambda score: RICSCrop(3, score=score)):
        with pytest.raises(ValueError, match=f"{expected}mean '{hint}'"):
            call(name)


def test_an_unknown_name_without_a_neighbour() -> None:
    with pytest.raises(ValueError, match=r"saliency, but got 'zzz'\.$"):
        locate(torch.zeros(3, 8, 8), 4, score="zzz")
    with pytest.raises(TypeError, match="Expected `score` to be a name, but got 3."):
        get_score(3)  # type: ignore[arg-type]


def test_a_user_s_function(brightest: str) -> None:
    assert brightest in list_scores()
    image = random_image(3, 12, 14)
    image[:, 7, 9] = 255
    image[:, 6:9, 8:11] = 250
    sums = box_sum(channel_sum(image), (3, 3))
    assert torch.equal(score_map(image, 3, brightest), sums)
    top, left = divmod(int(sums.argmax()), sums.shape[1])
    assert RICSCrop(3, score=brightest).locate(image).tolist() == [top, left]
    assert torch.equal(
        RICSCrop(3, score=brightest)(image), image[:, top : top + 3, left : left + 3]
    )
    assert reference.select(reference.as_array(image), (3, 3), get_score(brightest))[0] == (
        top,
        left,
    )


def test_a_forgotten_score_is_unknown(brightest: str) -> None:
    unregister_score(brightest)
    assert brightest not in list_scores()
    with pytest.raises(ValueError, match="but got 'brightest'"):
        get_score(brightest)
    register_score(brightest)(lambda pixels, size: box_sum(channel_sum(pixels), size))


def test_a_user_s_function_with_nms_falls_back_to_the_hash() -> None:
    @register_score("peak", nms=True)
    def peak(pixels: Tensor, size: Size) -> Tensor:
        return box_sum(channel_sum(pixels), size)

    try:
        ramp = reference.zoo_image("ramp", 20, 21)
        assert torch.equal(
            locate(ramp, (12, 13), score="peak"), locate(ramp, (12, 13), score="hash")
        )
        assert torch.equal(
            score_map(ramp, 12, "peak", level=1), score_map(ramp, 12, "hash")
        )  # the fallback
        spot = torch.zeros(3, 20, 21, dtype=torch.uint8)
        spot[:, 9:12, 8:11] = 200
        assert locate(spot, (3, 3), score="peak").tolist() == [9, 8]
        assert reference.select(reference.as_array(ramp), (12, 13), get_score("peak"))[1] == 1
    finally:
        unregister_score("peak")


def test_a_user_s_class() -> None:
    @register_score("corner")
    class Corner(Score):
        """The value of the crop's first pixel, rated on patches; dark ones by option."""

        def __init__(self, sign: int = 1) -> None:
            self.sign = sign

        def levels(self, size: Size) -> tuple[Level, ...]:
            return (Level(self.first),)

        def first(self, pixels: Tensor, size: Size) -> Tensor:
            height, width = pixels.shape[-2:]
            rows, columns = height - size[0] + 1, width - size[1] + 1
            return self.sign * pixels[..., 0, :rows, :columns].long()

    try:
        image = torch.arange(64).reshape(1, 8, 8)
        assert locate(image, 5, score="corner").tolist() == [3, 3]
        assert locate(image, 5, score=get_score("corner", sign=-1)).tolist() == [0, 0]
        assert locate(image, 5, score=Corner(-1)).tolist() == [0, 0]
    finally:
        unregister_score("corner")


def test_levels_are_closed_by_the_hash() -> None:
    assert [len(complete_levels(s, (9, 9))) for s in map(get_score, list_scores())] == [
        1,
        2,
        4,
        1,
        2,
    ]
    for score in (Lattice(), Saliency(), MexicanHat()):
        assert not complete_levels(score, (9, 9))[-1].nms
    assert len(complete_levels(Lattice(), (3, 9))) == 1  # too small to hold a hat


# --- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1, -0.5, math.nan, math.inf])
@pytest.mark.parametrize("kind", [Lattice, Saliency])
def test_sigma_must_be_positive(kind: type[Lattice] | type[Saliency], value: object) -> None:
    with pytest.raises(ValueError, match="Expected `sigma` to be a positive number"):
        kind(sigma=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["5", (5,), True])
@pytest.mark.parametrize("kind", [Lattice, Saliency])
def test_sigma_must_be_a_number(kind: type[Lattice] | type[Saliency], value: object) -> None:
    with pytest.raises(TypeError, match="Expected `sigma` to be a positive number"):
        kind(sigma=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, -1, math.nan, (3, 0), (5, math.inf)])
def test_every_sigma_of_the_paper_s_hat_must_be_positive(value: object) -> None:
    with pytest.raises(ValueError, match="Expected `sigma` to be a positive number"):
        MexicanHat(sigma=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("score", [Lattice(sigma=30), Saliency(sigma=30)], ids=repr)
def test_a_hat_wider_than_the_patch_is_an_error(score: Score) -> None:
    with pytest.raises(ValueError, match=r"`sigma` to be from .* px for patches of \d+ px, but"):
        locate(torch.zeros(3, 64, 64), 48, score=score)


@pytest.mark.parametrize("score", [Lattice(sigma=0.01), Saliency(sigma=0.01)], ids=repr)
def test_a_hat_narrower_than_a_pixel_is_an_error(score: Score) -> None:
    with pytest.raises(ValueError, match=r"`sigma` to be from .* px for patches of \d+ px, but"):
        locate(torch.zeros(3, 64, 64), 48, score=score)


def test_an_order_that_leaves_no_patch_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"`order` to be at most \(4, 4\) for crops of \(20, 20\)"):
        locate(torch.zeros(3, 24, 24), 20, score=Lattice(order=5))
    locate(torch.zeros(3, 24, 24), 20, score=Lattice(order=4))


@pytest.mark.parametrize("order", [0, -1, (1, 2, 3)])
def test_an_order_must_be_a_positive_pair(order: object) -> None:
    with pytest.raises(ValueError, match="Expected `order` to be a positive int or a pair"):
        Lattice(order=order)  # type: ignore[arg-type]


def test_other_options() -> None:
    with pytest.raises(TypeError, match="Expected `order`"):
        Lattice(order=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Expected `patch` to be 'mexican_hat', 'hash' or"):
        Lattice(patch="random")  # type: ignore[arg-type]
    for seed in (-1, 2**32):
        with pytest.raises(ValueError, match="Expected `seed` to be an int from 0 to 4294967295"):
            Random(seed=seed)
    for modulus in (1, 0):
        with pytest.raises(ValueError, match="Expected `modulus` to be an int of at least 2"):
            Random(modulus=modulus)
    with pytest.raises(ValueError, match="Expected `sigma` to hold a positive number, but got non"):
        MexicanHat(sigma=())


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("hash", Hash()),
        ("lattice:patch=hash,order=2", Lattice(patch="hash", order=2)),
        ("lattice:order=(2, 3),sigma=4.5", Lattice(order=(2, 3), sigma=4.5)),
        ("mexican_hat:sigma=[50,20]", MexicanHat(sigma=(50, 20))),
        ("random: seed = 7", Random(seed=7)),
    ],
)
def test_options_may_be_text(text: str, score: Score) -> None:
    assert get_score(text) == RICSCrop(5, score=text).score == score


def test_options_as_arguments_replace_those_in_the_text() -> None:
    assert get_score("lattice:order=2,patch=hash", order=3) == Lattice(3, "hash")


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        ("hash", {"bogus": 1}, r"`hash` has \(none\), but got bogus=1"),
        ("lattice:colour=3", {}, r"`lattice` has \(order, patch, sigma\), but got colour=3"),
        ("lattice:hash", {}, "name:option=value"),
    ],
)
def test_options_that_a_score_does_not_have(
    text: str, options: dict[str, object], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        get_score(text, **options)


# --- bad input -----------------------------------------------------------------------------------

IMAGE = torch.zeros(3, 10, 12)
CALLS: dict[str, Callable[..., object]] = {
    "locate": locate,
    "rics_crop": rics_crop,
    "score_map": score_map,
    "RICSCrop": lambda images, k, **options: RICSCrop(k, **options)(images),
    "RICSCrop.locate": lambda images, k, **options: RICSCrop(k, **options).locate(images),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@every_call
@pytest.mark.parametrize(("k", "shown"), [(13, "13, 13"), ((10, 13), "10, 13"), ((11, 4), "11, 4")])
def test_a_crop_larger_than_the_image(
    call: Callable[..., object], k: int | Size, shown: str
) -> None:
    with pytest.raises(
        ValueError, match=rf"`k` to be at most the image size \(10, 12\), but got \({shown}\)"
    ):
        call(IMAGE, k)


@every_call
@pytest.mark.parametrize("k", [0, -1, (4, 0), (1, 2, 3), (), [5]])
def test_a_crop_size_that_is_no_size(call: Callable[..., object], k: object) -> None:
    with pytest.raises(
        ValueError, match="Expected `k` to be a positive int or a pair of them, but"
    ):
        call(IMAGE, k)


@every_call
@pytest.mark.parametrize("k", [2.5, True, "a", None, (3, 2.0), (True, 3)])
def test_a_crop_size_that_is_no_int(call: Callable[..., object], k: object) -> None:
    with pytest.raises(TypeError, match="Expected `k` to be a positive int or a pair of them, but"):
        call(IMAGE, k)


@every_call
def test_unknown_options(call: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="Expected `score` to be one of .* but got 'best'"):
        call(IMAGE, 4, score="best")
    with pytest.raises(ValueError, match="`shifts` to be 'realistic' or 'cyclic', but got 'real'"):
        call(IMAGE, 4, shifts="real")


@every_call
def test_bad_pixels(call: Callable[..., object]) -> None:
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="to be finite, but got NaN or infinite"):
            call(torch.full((3, 10, 12), bad), 4)
    with pytest.raises(ValueError, match="rescale them first"):
        call(IMAGE + 300, 4)
    with pytest.raises(TypeError, match="to be real, but got torch.complex64"):
        call(IMAGE.to(torch.complex64), 4)


@every_call
@pytest.mark.parametrize("shape", [(10,), (10, 12), (0, 10, 12), (3, 0, 12), (2, 3, 10, 0)])
def test_bad_shapes(call: Callable[..., object], shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"to have shape \[\.\.\., C, H, W\] without empty"):
        call(torch.zeros(shape), 4)


@every_call
def test_lists_are_no_images(call: Callable[..., object]) -> None:
    with pytest.raises(TypeError, match="list|ndarray"):
        call([np.zeros((10, 12, 3), np.uint8)], 4)


def test_numpy_ints_are_ints() -> None:
    assert torch.equal(locate(IMAGE, np.int64(5)), locate(IMAGE, [5, np.int32(5)]))  # type: ignore[arg-type, list-item]


@pytest.mark.parametrize(
    "wrong", [lambda p, s: box_sum(channel_sum(p), s).float(), lambda p, s: channel_sum(p).long()]
)
def test_a_score_must_be_a_map_of_integers(wrong: Callable[[Tensor, Size], Tensor]) -> None:
    with pytest.raises(ValueError, match=r"Expected the score to be an int32 or int64 map of \(7"):
        locate(IMAGE, 4, score=FunctionScore("wrong", wrong))


def test_the_public_names_exist() -> None:
    for name in rics_transforms.__all__:
        assert hasattr(rics_transforms, name)
