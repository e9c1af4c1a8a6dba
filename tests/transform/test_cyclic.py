"""Theorem 2: every integer cyclic shift of an image leads to the same crop, whatever the image."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch
from torch import Tensor

from rics_transforms import Lattice, RICSCrop, Score, locate, rics_crop
from rics_transforms._arguments import Size
from rics_transforms.engine import hashing

from .. import reference
from ..conftest import EVERY_SCORE, random_image

SCORES = [
    *EVERY_SCORE,
    Lattice(order=(1, 2)),
    Lattice(order=(1, 2), patch="hash"),
    Lattice(order=(1, 2), patch="saliency"),
]
scores = pytest.mark.parametrize("score", SCORES, ids=repr)
N = 24
PERIODIC = ("checkerboard", "constant", "horizontal stripes", "tiles", "vertical stripes")
"""Images that have few different shifts at n = 24."""


@lru_cache(maxsize=64)
def all_shifts(name: str, side: int) -> Tensor:
    """The different ones among the side^2 shifts of a degenerate image."""
    image = reference.zoo_image(name, side, side)
    shifted = {}
    for y in range(side):
        for x in range(side):
            rolled = image.roll((y, x), (-2, -1))
            shifted[rolled.numpy().tobytes()] = rolled
    return torch.stack(list(shifted.values()))


def one_output(images: Tensor, k: Size, score: Score) -> None:
    crops = rics_crop(images, k, score=score, shifts="cyclic")
    different = (crops != crops[:1]).flatten(1).any(1)
    assert not different.any(), f"{int(different.sum())} of {len(images)} shifts differ"


def test_the_zoo_shifts_are_what_they_should_be() -> None:
    count = {name: len(all_shifts(name, N)) for name in reference.ZOO}
    assert count["constant"] == 1
    assert count["checkerboard"] == 2
    assert count["vertical stripes"] == 3
    assert count["horizontal stripes"] == 4
    assert count["tiles"] == 48
    assert all(count[name] <= 48 for name in PERIODIC)
    for name in ("two values", "one pixel", "colour-swapped halves", "zeros and ones", "ramp"):
        assert count[name] == N * N


@pytest.mark.slow
@scores
def test_all_shifts_of_degenerate_images_give_one_crop(zoo_name: str, score: Score) -> None:
    """Two crop sizes; what is periodic also where its period divides n."""
    if isinstance(score, Lattice) and score.order is not None:
        one_output(all_shifts(zoo_name, 14), (9, 8), score)
        return
    for k in ((13, 13), (7, 12)):
        one_output(all_shifts(zoo_name, 14), k, score)
        if zoo_name in PERIODIC:
            one_output(all_shifts(zoo_name, N), k, score)


@pytest.mark.slow
@pytest.mark.parametrize("k", [(1, 1), (2, 5), (14, 14), (14, 7)])
def test_extreme_crop_sizes(every_score: Score, k: Size) -> None:
    for name in ("zeros and ones", "Thue-Morse", "colour-swapped halves"):
        one_output(all_shifts(name, 14), k, every_score)


@scores
def test_rectangular_images(score: Score) -> None:
    for seed, high in ((0, 2), (1, 256)):
        image = random_image(3, 10, 21, seed=seed, high=high)
        shifted = [image.roll((y, x), (-2, -1)) for y in range(10) for x in range(21)]
        one_output(torch.stack(shifted), (8, 17), score)


@pytest.mark.broad
@pytest.mark.parametrize("bits", [0, 1])
@scores
def test_theorem_2_does_not_rest_on_a_hash(
    monkeypatch: pytest.MonkeyPatch, zoo_name: str, score: Score, bits: int
) -> None:
    """With a hash that tells nothing apart, or two classes only, the order by content decides."""
    strong = hashing.content_hash

    def weak(pixels: Tensor, size: Size) -> Tensor:
        return (strong(pixels, size) >> 40 & bits) << 20

    monkeypatch.setattr(hashing, "content_hash", weak)
    side, k = 12, (9, 8)
    if isinstance(score, Lattice) and score.order is not None:
        k = (7, 10)
    one_output(all_shifts(zoo_name, side), k, score)


def test_weak_hashes_do_collide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the order by content the test above would fail."""
    monkeypatch.setattr(hashing, "content_hash", lambda p, s: hashing.rolling_hash(p[:, 0], s) * 0)
    monkeypatch.setattr(hashing, "content_rank", lambda p, s: hashing.rolling_hash(p[:, 0], s) * 0)
    with pytest.raises(AssertionError, match="shifts differ"):
        one_output(all_shifts("colour-swapped halves", 12), (9, 8), SCORES[0])


@scores
def test_random_shifts_of_photographs(photos: Tensor, score: Score) -> None:
    generator = torch.Generator().manual_seed(0)
    images = photos[:4, :, :224, :224]
    if isinstance(score, Lattice) and score.order is not None:
        score = Lattice(order=2, patch=score.patch)
    expected = RICSCrop(140, score=score, shifts="cyclic")(images)
    for y, x in torch.randint(224, (4, 2), generator=generator).tolist():
        rolled = images.roll((y, x), (-2, -1))
        assert torch.equal(rics_crop(rolled, 140, score=score, shifts="cyclic"), expected)


@scores
def test_the_origin_moves_with_the_image(photos: Tensor, score: Score) -> None:
    image = photos[0, :, 100:124, 100:124]
    origin = locate(image, (9, 16), score=score, shifts="cyclic")
    for y, x in ((1, 0), (0, 1), (23, 5), (12, 12)):
        moved = locate(image.roll((y, x), (-2, -1)), (9, 16), score=score, shifts="cyclic")
        assert moved.tolist() == [(int(origin[0]) + y) % N, (int(origin[1]) + x) % N]
