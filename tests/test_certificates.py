"""Certificates against brute force; stability against its formula, its outcomes, its extremes."""

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2.functional import to_pil_image

from rics_transforms import (
    Hash,
    Lattice,
    MexicanHat,
    Random,
    RICSCrop,
    Saliency,
    Score,
    get_score,
    locate,
    theory,
)
from rics_transforms.certificates import Certificate, certify, stability
from rics_transforms.data.photos import folder_scenes
from rics_transforms.survival import FITS, fit_of

from . import reference
from .conftest import ordered, random_image

PSEUDO_RANDOM: list[Score] = [Hash(), Random(), Lattice(patch="hash"), Lattice(2, "hash")]
FITTED: list[Score] = [Lattice(), Lattice(patch="saliency"), MexicanHat(), Saliency()]

# --- certificates --------------------------------------------------------------------------------


def brute_force(
    scenes: Tensor, n: tuple[int, int], k: Any, delta: int, score: Score
) -> list[Certificate]:
    """From the crops that all windows of scenes ``[B, C, H, W]`` choose."""
    top, left = ((side - w) // 2 for side, w in zip(scenes.shape[-2:], n, strict=True))
    shifts = list(product(range(-delta, delta + 1), repeat=2))
    places = [(top + y, left + x) for y, x in shifts]
    windows = torch.stack([scenes[..., y : y + n[0], x : x + n[1]] for y, x in places], 1)
    origins = locate(windows, k, score=score) + torch.tensor(places)
    return [
        _certificate(dict(zip(shifts, map(tuple, of), strict=True)), delta)
        for of in origins.tolist()
    ]


def _certificate(chosen: dict[tuple[int, int], Any], delta: int) -> Certificate:
    changes = [shift for shift, origin in chosen.items() if origin != chosen[0, 0]]
    nearest = min(changes, key=lambda shift: max(map(abs, shift)), default=None)
    return Certificate(chosen[0, 0], delta, nearest)


GEOMETRIES = [  # window, crop, delta, lattice order
    ((18, 18), 12, 1, (1, 1)),
    ((19, 17), (13, 10), 2, (2, 1)),
    ((20, 22), (15, 18), 2, (2, 3)),
    ((16, 24), (7, 20), 3, (1, 3)),
    ((12, 12), 10, 1, (2, 2)),
]


@pytest.mark.parametrize(("n", "k", "delta", "order"), GEOMETRIES)
def test_certify_equals_brute_force(
    every_score: Score, n: tuple[int, int], k: Any, delta: int, order: tuple[int, int]
) -> None:
    score = ordered(every_score, order)
    height, width = n[0] + 2 * delta, n[1] + 2 * delta + 1
    scenes = [reference.zoo_image(name, height, width) for name in reference.ZOO]
    for seed, high in product(range(9), (2, 3, 5, 256)):
        scenes.append(random_image(3, height, width, seed=seed, high=high))
        blocks = random_image(3, height // 4 + 1, width // 4 + 1, seed=seed, high=high)
        smooth = blocks.repeat_interleave(4, -2).repeat_interleave(4, -1)
        scenes.append(smooth[:, :height, :width].contiguous())
    answers = [certify(scene, k, delta, n=n, score=score) for scene in scenes]
    assert answers == brute_force(torch.stack(scenes), n, k, delta, score)
    assert len({answer.radius for answer in answers}) > 1


def test_certify_agrees_with_itself_at_every_delta(photos: Tensor) -> None:
    for scene in photos[:, :, 100:160, 100:160]:
        far = certify(scene, 30, 6, n=48)
        assert far.certified == (far.radius == 6)
        for delta in range(7):
            near = certify(scene, 30, delta, n=48)
            assert near.certified == (delta <= far.radius)
            assert near.origin == far.origin


def test_certify_takes_the_scene_less_delta_as_window() -> None:
    scene = random_image(3, 30, 33)
    expected = certify(scene, 20, 2, n=(26, 29))
    assert certify(scene, 20, 2) == expected
    assert certify(to_pil_image(scene), 20, 2) == expected
    assert certify(scene.double() / 255, 20, 2) == expected


def test_a_crop_without_shifts_is_certified() -> None:
    assert certify(random_image(3, 20, 20), 20, 0) == Certificate((0, 0), 0, None)


# --- stability: the formula ----------------------------------------------------------------------


def expected_stability(image: Tensor, k: int, delta: int, score: Score) -> float:
    """The docstrings of `stability` and `Fit`, over the patch scores of the reference."""
    array = reference.as_array(image)
    n, size = (array.shape[-2], array.shape[-1]), (k, k)
    t = reference.patch_side(score, n, size)
    (crop, decider), fit = reference.select(array, size, score), fit_of(score)
    m = [side - k + 1 for side in n]
    if not all(delta <= c < count - delta for c, count in zip(crop, m, strict=True)):
        return 0.0
    function, nms = reference.levels(score, t)[decider]
    scores = reference.patch_scores(array, function, t)
    counts = [side - p + 1 for side, p in zip(n, t, strict=True)]
    grid = np.array(list(scores.values()), dtype=object).reshape(counts)
    places = [p for p in scores if not nms or reference.is_local_maximum(scores, p, (0, 0), False)]
    best = max(scores[p] for p in places)
    winners = [p for p in places if scores[p] == best]
    patch = winners[0] if len(winners) == 1 else crop
    before, after = math.prod(counts), math.prod(c + 2 * delta for c in counts)
    side = math.sqrt(t[0] * t[1])
    intruders = sum(fit.skipped[:decider]) * delta / side * math.sqrt(before) / side
    if len(winners) > 1:
        intruders += math.log(after / before)
    if not nms:
        low, size_of_range = (0, score.modulus) if isinstance(score, Random) else (-(2**63), 2**64)
        higher = (low + size_of_range - best - 0.5) / size_of_range
        return math.exp(-intruders + (after - before) * math.log1p(-higher))
    if not all(delta < p < c - 1 - delta for p, c in zip(patch, counts, strict=True)):
        return 0.0
    edge = max(grid[0].max(), grid[-1].max(), grid[:, 0].max(), grid[:, -1].max())
    steps = [float(x) for axis in (0, 1) for x in np.diff(grid, axis=axis).flat]
    lead = (best - edge) / math.sqrt(sum(x * x for x in steps) / len(steps)) / delta
    if lead < 0:
        intruders += fit.above[0] * (delta / side) ** fit.above[1]
    else:
        scale, power, pull = fit.below
        intruders += scale * (delta / side) ** power * math.exp(-pull * min(lead, 5))
    return math.exp(-intruders)


@pytest.mark.slow
@pytest.mark.parametrize("delta", [1, 2])
def test_stability_equals_its_formula(every_score: Score, photos: Tensor, delta: int) -> None:
    score = ordered(every_score, (2, 2))
    images = [photo[:, 90:112, 140:162] for photo in photos]
    images += [reference.zoo_image(name, 22, 22) for name in reference.ZOO]
    found = stability(torch.stack(images), 15, delta, score=score)
    expected = [expected_stability(image, 15, delta, score) for image in images]
    assert found.tolist() == pytest.approx(expected, rel=1e-9)
    assert any(value > 0 for value in expected)
    assert 0.0 in expected


def test_fallback_levels_count(photos: Tensor) -> None:
    """Every level of the Mexican hat decides somewhere, and the formula holds there."""
    score, deciders = MexicanHat(), set()
    for image in photos[:, :, 100:124, 60:84]:
        deciders.add(reference.select(reference.as_array(image), (14, 14), score)[1])
        expected = expected_stability(image, 14, 1, score)
        assert stability(image, 14, 1, score=score).item() == pytest.approx(expected, rel=1e-9)
    assert len(deciders) > 2


# --- stability: the outcomes ---------------------------------------------------------------------


def ece(predicted: Tensor, kept: Tensor) -> float:
    """Expected calibration error over ten bins of equal width."""
    p, y = predicted.numpy(), kept.numpy()
    number = np.minimum((10 * p).astype(int), 9)
    return float(sum(abs((p - y)[number == i].sum()) for i in range(10)) / len(p))


def outcomes(
    scenes: Tensor, n: int, k: int, deltas: tuple[int, ...], score: Score
) -> dict[int, tuple[Tensor, Tensor]]:
    """By delta: the stability of the centre windows, and which of them keep their crop."""
    most = max(deltas)
    windows = scenes[..., most : most + n, most : most + n]
    locate_windows = RICSCrop(k, score=score).locate_windows
    places = torch.cat([locate_windows(part, n) for part in scenes.split(100)])
    same = (places == places[:, most, None, most, None]).all(-1)
    found = {}
    for delta in deltas:
        near = slice(most - delta, most + delta + 1)
        kept = same[:, near, near].flatten(1).all(1).double()
        found[delta] = stability(windows, k, delta, score=score), kept
    return found


@pytest.mark.slow
@pytest.mark.parametrize("score", PSEUDO_RANDOM, ids=repr)
def test_the_closed_form_is_calibrated_on_noise(score: Score) -> None:
    n, k, count, deltas = 40, 25, 2000, (1, 3)
    found = outcomes(random_image(count, 3, n + 6, n + 6), n, k, deltas, score)
    for delta, (predicted, kept) in found.items():
        bound = float(theory.robustness_bound(n, k, delta, score.order_for((n, n), (k, k))))
        deviation = predicted.std() / math.sqrt(count)
        assert abs(predicted.mean() - bound) < 4 * deviation
        sure = predicted > predicted[predicted > 0].median()
        for part in (sure, ~sure & (predicted > 0)):
            noise = (predicted[part] * (1 - predicted[part])).sum().sqrt()
            assert abs(predicted[part].sum() - kept[part].sum()) < 4 * noise
        assert kept[predicted == 0].sum() == 0
        assert ece(predicted, kept) < 0.03


@pytest.fixture(scope="module")
def scenes(assets: Path) -> Tensor:
    """200 photographs whole, and cut into four at twice the scale: uint8 [1000, 3, 230, 230]."""
    whole = [scene for _, scene in folder_scenes(assets / "photos", 230)]
    fine = torch.stack([scene for _, scene in folder_scenes(assets / "photos", 460)])
    quarters = fine.unfold(2, 230, 230).unfold(3, 230, 230).permute(0, 2, 3, 1, 4, 5)
    return torch.cat([torch.stack(whole), quarters.flatten(0, 2)])


@pytest.mark.slow
@pytest.mark.parametrize("score", [*PSEUDO_RANDOM[:2], *FITTED], ids=repr)
def test_stability_is_calibrated_on_photographs(scenes: Tensor, score: Score) -> None:
    predicted, kept = outcomes(scenes, 224, 180, (3,), score)[3]
    assert len(kept) >= 1000
    assert ece(predicted, kept) <= (0.05 if score in FITTED else 0.03)
    sure = predicted >= 0.9
    assert sure.sum() > 100 and kept[sure].mean() > 0.9 > kept.mean()


# --- stability: the extremes ---------------------------------------------------------------------


def test_stability_falls_as_shifts_grow(every_score: Score, photos: Tensor) -> None:
    windows = photos[:, :, 100:164, 100:164]
    curve = torch.stack([stability(windows, 45, delta, score=every_score) for delta in range(12)])
    assert (curve[0] == 1).all()
    assert (curve.diff(dim=0) <= 0).all()
    assert (curve[10:] == 0).all()  # 2 delta reaches the number of positions


def test_a_crop_near_the_edge_of_its_range_is_lost(every_score: Score, photos: Tensor) -> None:
    scenes = photos[:, :, 100:140, 100:140]
    windows = scenes[..., 2:-2, 2:-2]
    origins = locate(windows, 25, score=every_score)
    near = ((origins < 2) | (origins > 9)).any(1)
    assert near.any() and not near.all()
    assert (stability(windows, 25, 2, score=every_score)[near] == 0).all()
    for scene in scenes[near]:
        assert not certify(scene, 25, 2, score=every_score).certified


def test_every_smooth_score_has_its_own_coefficients() -> None:
    assert len({fit_of(score) for score in FITTED}) == len(FITS) == len(FITTED)
    assert len(fit_of(MexicanHat()).skipped) == 3


# --- shapes, methods, errors ---------------------------------------------------------------------


def test_shapes_and_kinds_of_images(every_score: Score) -> None:
    images = random_image(3, 7, 3, 30, 28)
    found = stability(images, (20, 18), 2, score=every_score)
    assert found.shape == (3, 7) and found.dtype == torch.float64
    for i, j in product(range(3), range(7)):
        single = stability(images[i, j], (20, 18), 2, score=every_score)
        assert single.shape == () and single == found[i, j]
    kinds = (images.float() / 255, tv_tensors.Image(images))
    assert all(torch.equal(stability(x, (20, 18), 2, score=every_score), found) for x in kinds)
    picture: PIL.Image.Image = to_pil_image(images[0, 0])
    assert stability(picture, (20, 18), 2, score=every_score) == found[0, 0]
    assert stability(images[:0], 18, 2, score=every_score).shape == (0, 7)


def test_a_clip_has_one_stability() -> None:
    clip = tv_tensors.Video(random_image(2, 5, 3, 24, 24))
    assert stability(clip, 16, 1, score="hash").shape == (2,)
    assert isinstance(certify(tv_tensors.Video(clip[0]), 16, 1), Certificate)
    with pytest.raises(ValueError, match="Expected images for score='random', but got clips"):
        stability(clip, 16, 1, score="random")


def test_transform_methods(photos: Tensor) -> None:
    transform = RICSCrop((40, 44), score="saliency")
    scene = photos[0, :, 50:120, 50:120]
    expected = certify(scene, (40, 44), 3, n=60, score="saliency")
    assert transform.certify(scene, 3, n=60) == expected
    windows = photos[:, :, 50:114, 50:114]
    expected_values = stability(windows, (40, 44), 3, score="saliency")
    assert torch.equal(transform.stability(windows, 3), expected_values)


def test_cyclic_crops_are_stable_always() -> None:
    transform = RICSCrop(16, shifts="cyclic")
    found = transform.stability(random_image(2, 3, 24, 24), 100)
    assert found.dtype == torch.float64 and found.tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="`shifts` to be 'realistic'"):
        transform.certify(random_image(3, 24, 24), 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scene": torch.zeros(2, 3, 30, 30)}, r"one image \[C, H, W\], but got leading .*\(2,\)"),
        ({"delta": -1}, "`delta` to be a non-negative int, but got -1"),
        ({"delta": 15}, r"at least \(31, 31\) pixels, so .* within 15, but got \(30, 30\)"),
        ({"n": 27}, r"at least \(31, 31\) pixels"),
        ({"k": 27}, r"`k` to be at most the image size \(26, 26\), but got \(27, 27\)"),
        ({"score": "hsh"}, "did you mean 'hash'"),
    ],
)
def test_certify_errors(arguments: dict[str, Any], message: str) -> None:
    given = {"scene": torch.zeros(3, 30, 30), "k": 20, "delta": 2} | arguments
    with pytest.raises(ValueError, match=message):
        certify(**given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"delta": -1}, "`delta` to be a non-negative int, but got -1"),
        ({"k": 31}, r"`k` to be at most the image size \(30, 30\), but got \(31, 31\)"),
        ({"images": torch.full((3, 30, 30), torch.nan)}, "NaN"),
    ],
)
def test_stability_errors(arguments: dict[str, Any], message: str) -> None:
    given = {"images": torch.zeros(3, 30, 30), "k": 20, "delta": 2} | arguments
    with pytest.raises(ValueError, match=message):
        stability(**given)


def test_a_score_of_ones_own_has_certificates_only(brightest: str) -> None:
    scene = random_image(3, 24, 24)
    (expected,) = brute_force(scene[None], (22, 22), 16, 1, get_score(brightest))
    assert certify(scene, 16, 1, score=brightest) == expected
    with pytest.raises(ValueError, match="whose stability is known, but got FunctionScore"):
        stability(scene, 16, 1, score=brightest)


@pytest.mark.parametrize("delta", [1.5, True, "2"])
def test_delta_must_be_an_int(delta: Any) -> None:
    for function in (certify, stability):
        with pytest.raises(TypeError, match="`delta` to be a non-negative int"):
            function(torch.zeros(3, 30, 30), 20, delta)
