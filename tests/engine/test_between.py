"""Crops chosen between the pixels: against the slow reference, and on every path the same."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rics_transforms import Lattice, MexicanHat, Saliency, Score
from rics_transforms._arguments import Size
from rics_transforms.engine import bands, native, selection
from rics_transforms.engine.resampling import reach_of_taps, resample
from rics_transforms.engine.selection import select
from rics_transforms.engine.windows import select_windows

from .. import reference
from ..conftest import SMOOTH, ordered, random_image
from .test_selection import geometries


def between(pixels: Tensor, k: Size, score: Score, *, cyclic: bool = False) -> Tensor:
    return select(pixels, k, score, cyclic=cyclic, subpixel=True)


@pytest.mark.broad
@settings(max_examples=60)
@given(
    geometry=geometries(),
    high=st.sampled_from([1, 2, 3, 256]),
    frames=st.sampled_from([1, 1, 2]),
    score=st.sampled_from([Lattice(), Lattice(patch="saliency"), MexicanHat(), Saliency()]),
    cyclic=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_every_crop_equals_the_reference(
    geometry: tuple[Size, Size, Size], high: int, frames: int, score: Score, cyclic: bool, seed: int
) -> None:
    n, k, order = geometry
    pixels = random_image(2, frames, 1, *n, seed=seed, high=high)
    rule = ordered(score, order)
    expected = [reference.select_between(x.long().numpy(), k, rule, cyclic) for x in pixels]
    assert [tuple(place) for place in between(pixels, k, rule, cyclic=cyclic).tolist()] == expected


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("k", [(30, 27), (40, 37), (9, 33)], ids=str)
def test_every_path_chooses_the_same(
    zoo: dict[str, Tensor],
    smooth_score: Score,
    k: Size,
    cyclic: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Compiled code, PyTorch on wide integers, without branches, in bands, image by image."""
    small = torch.stack([*zoo.values()])[:, None].repeat(1, 1, 1, 2, 2)[..., :40, :37]
    pixels = torch.cat([small, random_image(5, 1, 3, 40, 37)])
    expected = between(pixels, k, smooth_score, cyclic=cyclic)
    assert torch.equal(between(pixels.int(), k, smooth_score, cyclic=cyclic), expected)
    each = [between(image[None], k, smooth_score, cyclic=cyclic) for image in pixels]
    assert torch.equal(torch.cat(each), expected)
    with monkeypatch.context() as patch:
        patch.setattr(selection, "can_branch_on", lambda tensor: False)
        assert torch.equal(between(pixels, k, smooth_score, cyclic=cyclic), expected)
    with monkeypatch.context() as patch:
        patch.setattr(native, "_native", None)
        assert torch.equal(between(pixels, k, smooth_score, cyclic=cyclic), expected)
        patch.setattr(bands, "LARGE", 1)
        patch.setattr(bands, "_PART", 200)
        assert torch.equal(between(pixels, k, smooth_score, cyclic=cyclic), expected)


@pytest.mark.parametrize("high", [2, 256])
def test_every_window_of_a_scene_has_its_crop(smooth_score: Score, high: int) -> None:
    n, k = (38, 36), (29, 30)
    scenes = random_image(2, 1, 3, n[0] + 3, n[1] + 5, high=high)
    found = select_windows(scenes, n, k, smooth_score, subpixel=True)
    for y in range(4):
        for x in range(6):
            window = scenes[..., y : y + n[0], x : x + n[1]]
            place = between(window, k, smooth_score) + 64 * torch.tensor((y, x))
            assert torch.equal(found[:, y, x], place)


def test_a_torus_that_is_rolled_has_the_same_crop(smooth_score: Score) -> None:
    """Theorem 2: not a pixel differs."""
    images, k = random_image(8, 3, 41, 36), (29, 30)
    places = between(images[:, None], k, smooth_score, cyclic=True)
    moved = images.roll((17, -9), (-2, -1))
    after = between(moved[:, None], k, smooth_score, cyclic=True)
    period = torch.tensor((41, 36)) * 64
    assert torch.equal((places + 64 * torch.tensor((17, -9))) % period, after)
    first = resample(images, places, k, cyclic=True)
    assert torch.equal(first, resample(moved, after, k, cyclic=True))


def test_where_no_tap_leaves_the_window_whole_shifts_change_no_pixel(photos: Tensor) -> None:
    """What is promised: the same peak has the same place, and away from the border the pixels."""
    n, k, score = (256, 256), (224, 224), Lattice()
    same = kept = 0
    for dy, dx in ((1, 0), (-1, 2), (3, -3)):
        first = photos[..., 16 : 16 + n[0], 16 : 16 + n[1]].contiguous()
        moved = photos[..., 16 + dy : 16 + dy + n[0], 16 + dx : 16 + dx + n[1]].contiguous()
        places = [between(images[:, None], k, score) for images in (first, moved)]
        crops = [resample(x, p, k) for x, p in zip((first, moved), places, strict=True)]
        anchored = (places[0] == places[1] + 64 * torch.tensor((dy, dx))).all(1)
        inside = torch.stack(
            [
                (low >= 0).all(1) & (high < 256).all(1)
                for low, high in (reach_of_taps(place, k) for place in places)
            ]
        ).all(0)
        equal = (crops[0] == crops[1]).flatten(1).all(1)
        assert equal[anchored & inside].all()
        middle = (crops[0] == crops[1])[..., 5:-5, 5:-5].flatten(1).all(1)
        assert middle[anchored].all()
        same, kept = same + int(equal.sum()), kept + int(anchored.sum())
    assert kept >= same > 0


def test_a_blob_is_found_where_it_is() -> None:
    """A Gaussian blob, sampled wherever it moves to: the crop moves along, to 1/20 px."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")

    def blob(down: float, across: float) -> Tensor:
        level = 200 * torch.exp(-((y - 30 - down) ** 2 + (x - 33 - across) ** 2) / 18) + 20
        return level.round().byte()[None, None, None]

    for score in SMOOTH:
        start = between(blob(0, 0), (48, 48), score)
        for move in ((0.25, 0.5), (-0.5, 0.125), (1.75, -0.625)):
            moved = between(blob(*move), (48, 48), score) - start
            error = (moved / 64 - torch.tensor(move) + 8.5) % 17 - 8.5  # a mod m may start anew
            assert error.abs().max() < 0.05, (score, move)


def test_a_place_stays_within_half_a_pixel_of_the_window(smooth_score: Score) -> None:
    images, k = random_image(40, 1, 3, 34, 30), (30, 30)
    places = between(images, k, smooth_score)
    assert (places >= -32).all() and (places < torch.tensor((5, 1)) * 64 - 32).all()
    torus = between(images, k, smooth_score, cyclic=True)
    assert (torus >= 0).all() and (torus < torch.tensor((34, 30)) * 64).all()


@pytest.mark.parametrize("cyclic", [False, True])
def test_flat_images_have_whole_places(smooth_score: Score, cyclic: bool) -> None:
    pixels = torch.full((1, 1, 3, 20, 20), 9).byte()
    assert (between(pixels, (20, 20), smooth_score, cyclic=cyclic) % 64 == 0).all()
    assert between(pixels[:0], (20, 20), smooth_score, cyclic=cyclic).shape == (0, 2)


def test_patches_without_neighbours_have_whole_places(smooth_score: Score) -> None:
    """Three pixels are too few for a peak inside: the hash decides, and knows no fractions."""
    assert between(random_image(1, 1, 3, 3, 3), (3, 3), smooth_score).tolist() == [[0, 0]]
