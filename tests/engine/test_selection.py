"""The selected crop against slow references, and all windows of a scene against each alone."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from rics_transforms import Hash, Lattice, MexicanHat, Random, Saliency, Score, locate, score_map
from rics_transforms._arguments import Size
from rics_transforms.engine import selection
from rics_transforms.engine.geometry import Geometry
from rics_transforms.engine.maps import candidates, deciding_levels, has_maximum, lowest
from rics_transforms.engine.scores import Level
from rics_transforms.engine.selection import select
from rics_transforms.engine.windows import select_windows

from .. import reference
from ..conftest import load_photo, ordered, random_image

# --- one crop per image --------------------------------------------------------------------------


def check(pixels: Tensor, k: Size, score: Score, cyclic: bool = False) -> list[int]:
    """Compare `select` with the reference, image by image; the levels that decided."""
    result = select(pixels, k, score, cyclic=cyclic)
    assert result.dtype == torch.int64
    levels = []
    for image, origin in zip(pixels, result.tolist(), strict=True):
        expected, level = reference.select(image.long().numpy(), k, score, cyclic)
        assert tuple(origin) == expected
        levels.append(level)
    return levels


@st.composite
def geometries(draw: st.DrawFn, least: int = 1) -> tuple[Size, Size, Size]:
    """Window, crop and lattice order that fit, rectangular, with few positions."""
    axes = []
    for _ in range(2):
        order, m, t = draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(least, 6))
        n = order * m + t - 1
        axes.append((n, n - m + 1, order))
    n, k, order = (cast(Size, pair) for pair in zip(*axes, strict=True))
    return n, k, order


@settings(max_examples=25)
@given(
    geometry=geometries(),
    high=st.sampled_from([1, 2, 3, 256]),
    channels=st.sampled_from([1, 3]),
    frames=st.sampled_from([1, 1, 2]),
    cyclic=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_select(
    every_score: Score,
    geometry: tuple[Size, Size, Size],
    high: int,
    channels: int,
    frames: int,
    cyclic: bool,
    seed: int,
) -> None:
    n, k, order = geometry
    pixels = random_image(2, frames, channels, *n, seed=seed, high=high)
    score = ordered(every_score, order)
    assume(min(n) > 2)  # a single pixel and thin crops have tests of their own
    if not isinstance(every_score, Lattice):
        k = max(3, k[0]), max(3, k[1])
    check(pixels, k, score, cyclic)


@pytest.mark.broad
@pytest.mark.parametrize("cyclic", [False, True])
def test_select_on_degenerate_images(zoo_name: str, every_score: Score, cyclic: bool) -> None:
    """Ties of every kind; only those of equal content may be left to raster order."""
    image = reference.zoo_image(zoo_name, 12, 14)[None, None]
    check(image, (9, 11), every_score, cyclic)
    if isinstance(every_score, Lattice):
        check(image, (9, 11), ordered(every_score, (2, 2)), cyclic)


def test_select_on_photographs(photos: Tensor, every_score: Score) -> None:
    pixels = photos[:6, None, :, 100:115, 100:117]
    check(pixels, (12, 13), ordered(every_score, (2, 2)))


@pytest.mark.broad
@pytest.mark.parametrize(
    "score",
    [Lattice(), Lattice(patch="saliency"), Saliency(), MexicanHat(), MexicanHat(sigma=(2, 1))],
    ids=repr,
)
@pytest.mark.parametrize("cyclic", [False, True])
def test_every_level_decides_somewhere(score: Score, cyclic: bool) -> None:
    """In one batch: the choice of one image must not depend on the level another one needs."""
    n, k = (11, 12), (7, 8)
    pixels = random_image(60, 1, 1, *n, seed=6, high=64)
    if cyclic:  # on a torus the maximum is a local one, so that the first level decides always
        assert set(check(pixels[:10], k, score, cyclic)) == {0}
    else:
        last = len(reference.levels(score, reference.patch_side(score, n, k))) - 1
        assert set(check(pixels, k, score)) == set(range(last + 1))
    assert torch.equal(
        select(pixels, k, score, cyclic=cyclic),
        torch.cat([select(image[None], k, score, cyclic=cyclic) for image in pixels]),
    )


@pytest.mark.parametrize("score", [Lattice(), Saliency(), MexicanHat()], ids=repr)
def test_ties_are_broken_by_content_in_any_batch(score: Score) -> None:
    """Also where other images of the batch have no candidate at all.

    The colours of the first image are random, their sums are the same along every row: equal
    scores along the rows, crops of different content.
    """
    others = random_image(40, 3, 11, 12, seed=3)
    for seed in range(12):
        rows = random_image(11, 1, seed=seed).int() // 2 + 60
        colour = random_image(11, 12, seed=seed).int() // 8
        tied = torch.stack([rows + colour, rows - colour, rows.expand(11, 12)]).to(torch.uint8)
        together = locate(torch.cat([tied[None], others]), (8, 8), score=score)
        assert torch.equal(together[0], locate(tied, (8, 8), score=score))


@pytest.mark.parametrize("cyclic", [False, True])
def test_a_single_pixel(every_score: Score, cyclic: bool) -> None:
    pixels = random_image(2, 1, 3, 1, 1)
    assert select(pixels, (1, 1), every_score, cyclic=cyclic).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("k", [(1, 2), (2, 1), (2, 2), (1, 5), (4, 2)])
def test_thin_crops(every_score: Score, k: Size) -> None:
    pixels = random_image(3, 1, 3, 6, 7)
    for level in range(len(reference.levels(every_score, k))):
        score_map(pixels, k, every_score, level=level)  # whichever level has to decide
    check(pixels, k, every_score)


def test_the_first_level_with_a_maximum_decides() -> None:
    levels = [Level(lambda pixels, size: pixels, nms) for nms in (True, True, False)]
    tops = torch.tensor([[5, -128, -128], [7, 7, -128], [1, 1, 1]], dtype=torch.int8)
    decided = torch.zeros(3, dtype=torch.bool)
    asked = []
    for number, level in deciding_levels(levels, decided):
        assert level is levels[number]
        asked.append(decided.tolist())
        decided |= has_maximum(tops[number], level.nms)
    assert asked == [[False] * 3, [True, False, False], [True, True, False]]
    everything = torch.ones(2, dtype=torch.bool)
    assert [number for number, _ in deciding_levels(levels, everything)] == [0]


def test_candidates_keep_plateaus() -> None:
    scores = torch.tensor([[9, 0, 0, 0, 0], [0, 5, 5, 1, 0], [0, 5, 5, 1, 0], [0, 0, 0, 0, 8]])
    low = lowest(scores)
    kept = candidates(scores[None], True)[0]
    assert (kept > low).nonzero().tolist() == [[1, 2], [2, 1], [2, 2]]  # the corner outranks [1, 1]
    assert kept[2, 1] == 5
    assert torch.equal(candidates(scores[None], False)[0], scores)


@pytest.mark.parametrize("shape", [(2, 9), (9, 2), (1, 1), (2, 2)])
def test_maps_without_an_inside_have_no_candidates(shape: Size) -> None:
    scores = torch.ones(1, *shape, dtype=torch.int32)
    assert (candidates(scores, True) == lowest(scores)).all()


@pytest.mark.parametrize("cyclic", [False, True])
def test_patches_lie_in_the_crops_they_select(cyclic: bool) -> None:
    n, k = (23, 30), (18, 21)
    geometry = Geometry.of(n, k, Lattice(order=(3, 2)), cyclic)
    assert geometry.t == (6, 11)
    assert geometry.positions == (n if cyclic else (18, 20))
    patches = torch.cartesian_prod(*map(torch.arange, geometry.positions))
    crops = geometry.crop_of(patches)
    assert torch.equal(geometry.patch_of(torch.arange(len(patches))[:, None]), patches)
    offset = (patches - crops).remainder(torch.tensor(n)) if cyclic else patches - crops
    assert (offset >= 0).all()
    assert (offset + torch.tensor(geometry.t) <= torch.tensor(k)).all()
    if cyclic:
        assert offset.unique(dim=0).tolist() == [[6, 5]]
        assert (crops.min(), crops.max()) == (0, 29)
    else:
        assert offset.unique(dim=0).tolist() == [[a, b] for a in (0, 6, 12) for b in (0, 10)]


def test_the_whole_image_as_a_crop(every_score: Score) -> None:
    image = random_image(3, 20, 21)
    assert locate(image, (20, 21), score=every_score).tolist() == [0, 0]


@pytest.mark.parametrize("chunk", [1, 400, 1000])
@pytest.mark.parametrize("cyclic", [False, True])
def test_chunks_change_nothing(
    monkeypatch: pytest.MonkeyPatch, every_score: Score, chunk: int, cyclic: bool
) -> None:
    pixels = random_image(7, 1, 3, 18, 20, high=3)
    expected = select(pixels, (14, 15), every_score, cyclic=cyclic)
    monkeypatch.setattr(selection, "_CHUNK", chunk)
    assert torch.equal(select(pixels, (14, 15), every_score, cyclic=cyclic), expected)


@pytest.mark.parametrize("cyclic", [False, True])
def test_looking_at_no_value_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, zoo: dict[str, Tensor], every_score: Score, cyclic: bool
) -> None:
    """The path of traced tensors and GPUs; on a torus it takes equal hashes for equal content."""
    pixels = torch.cat([torch.stack([*zoo.values()]), random_image(9, 3, 24, 24, seed=7)])
    pixels = pixels[:, None, :, :14, :13]
    for k in ((9, 9), (5, 12)):
        expected = select(pixels, k, every_score, cyclic=cyclic)
        with monkeypatch.context() as patched:
            patched.setattr(selection, "can_branch_on", lambda tensor: False)
            assert torch.equal(select(pixels, k, every_score, cyclic=cyclic), expected)


# --- the crop of every shifted window ------------------------------------------------------------


def by_force(scene: Tensor, n: Size, k: Size, score: Score) -> Tensor:
    """What `select_windows` promises for a scene ``[T, C, H, W]``: every window by itself."""
    windows = scene.unfold(-2, n[0], 1).unfold(-2, n[1], 1)  # [T, C, s_h, s_w, n_h, n_w]
    windows = windows.permute(2, 3, 0, 1, 4, 5)
    shifts = windows.shape[:2]
    origins = select(windows.flatten(0, 1), k, score).view(*shifts, 2)
    corner = torch.cartesian_prod(*map(torch.arange, shifts)).view(*shifts, 2)
    return origins + corner


def check_windows(scenes: Tensor, n: Size, k: Size, score: Score) -> None:
    result = select_windows(scenes, n, k, score)
    expected = torch.stack([by_force(scene, n, k, score) for scene in scenes])
    assert result.dtype == torch.int64
    assert torch.equal(result, expected)


@pytest.mark.broad
@settings(max_examples=40)
@given(
    geometry=geometries(),
    shifts=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    high=st.sampled_from([1, 2, 3, 256]),
    frames=st.sampled_from([1, 1, 2]),
    seed=st.integers(0, 10**6),
)
def test_windows_of_small_scenes(
    every_score: Score,
    geometry: tuple[Size, Size, Size],
    shifts: Size,
    high: int,
    frames: int,
    seed: int,
) -> None:
    n, k, order = geometry
    assume(min(n) > 2)
    if not isinstance(every_score, Lattice):
        k = max(3, k[0]), max(3, k[1])
    size = n[0] + shifts[0] - 1, n[1] + shifts[1] - 1
    scenes = random_image(1, frames, 1, *size, seed=seed, high=high)
    check_windows(scenes, n, k, ordered(every_score, order))


@pytest.mark.broad
@pytest.mark.parametrize("n", [(17, 17), (20, 14)])
def test_windows_of_degenerate_scenes(zoo_name: str, every_score: Score, n: Size) -> None:
    scene = reference.zoo_image(zoo_name, 24, 24)[None, None]
    k = n[0] - 4, n[1] - 3
    check_windows(scene, n, k, every_score)
    if isinstance(every_score, Lattice):
        check_windows(scene, n, k, ordered(every_score, (2, 1)))


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (Lattice(), {0, 1}),
        (Saliency(), {0, 1}),
        (MexicanHat(), {0, 1, 2, 3}),
        (Hash(), {0}),
        (Random(), {0}),
    ],
    ids=repr,
)
def test_windows_of_one_scene_are_decided_by_different_levels(
    score: Score, expected: set[int]
) -> None:
    n, k = (11, 12), (9, 10)
    scenes = random_image(3, 1, 1, 20, 19, seed=8, high=64)
    levels = {
        reference.select(window, k, score)[1]
        for window in reference.windows(scenes[0].long().numpy(), n).values()
    }
    assert levels == expected
    check_windows(scenes, n, k, score)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "k", "shifts"), [((64, 64), (48, 48), (19, 19)), ((80, 96), (70, 80), (9, 15))]
)
def test_windows_of_photographs(
    photos: Tensor, every_score: Score, n: Size, k: Size, shifts: Size
) -> None:
    """All 361 windows of 52 scenes, four from each photograph, and rectangular ones of some."""
    height, width = n[0] + shifts[0] - 1, n[1] + shifts[1] - 1
    corners = [(0, 0), (10, 160), (170, 20), (90, 100)] if n[0] == n[1] else [(30, 40)]
    scenes = torch.cat([photos[:, :, y : y + height, x : x + width] for y, x in corners])
    assert len(scenes) >= (50 if n[0] == n[1] else 10)
    check_windows(scenes[:, None], n, k, every_score)


@pytest.mark.slow
def test_windows_of_large_photographs(photos: Tensor, every_score: Score) -> None:
    check_windows(photos[:2, None, :, :242, :242], (224, 224), (140, 140), every_score)


@pytest.mark.slow
def test_windows_of_more_photographs(assets: Path) -> None:
    """The default score on photographs from elsewhere, at its usual size."""
    paths = sorted((assets / "photos").glob("*.jpg"))[:20]
    assert paths
    scenes = torch.stack([load_photo(path, 274) for path in paths])[:, None]
    check_windows(scenes[..., 2:272, 2:272], (256, 256), (224, 224), Lattice())


def test_a_clip_has_one_crop_by_the_sum_of_its_frames(every_score: Score) -> None:
    clip = random_image(1, 3, 3, 20, 22, seed=9)
    check(clip[:, :, :1], (15, 16), every_score)
    check_windows(clip, (17, 18), (13, 12), every_score)


def test_scenes_of_one_window(every_score: Score) -> None:
    pixels = random_image(2, 1, 3, 20, 22, seed=10)
    result = select_windows(pixels, (20, 22), (15, 16), every_score)
    assert result.shape == (2, 1, 1, 2)
    assert torch.equal(result[:, 0, 0], select(pixels, (15, 16), every_score))


def test_no_scene(every_score: Score) -> None:
    pixels = random_image(0, 1, 3, 20, 22)
    assert select_windows(pixels, (18, 19), (15, 16), every_score).shape == (0, 3, 4, 2)
    assert select(pixels, (15, 16), every_score).shape == (0, 2)
