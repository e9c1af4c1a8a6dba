"""The guarantee, measured: how often all shifted windows of a scene choose the same crop.

Statistical statements carry an exact binomial interval of 99.9 %; seeds are fixed. White noise is
where Definition 1 should hold to the letter; photographs are where it has to hold well enough.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from PIL import Image
from scipy.stats import binomtest
from torchvision.transforms.v2 import functional as F

from rics_transforms import Hash, Lattice, Random, Score, robustness_bound
from rics_transforms.engine.windows import select_windows

DELTAS = (1, 3, 5, 9)
ASSETS = os.environ.get("RICS_TEST_ASSETS")
needs_photographs = pytest.mark.skipif(
    ASSETS is None, reason="RICS_TEST_ASSETS names no folder with photographs"
)


def survivors(scenes: torch.Tensor, n: int, k: int, score: Score, deltas=DELTAS) -> list[int]:
    """For each delta, how many scenes keep their crop in all (2 delta + 1)^2 windows."""
    reach = max(deltas)
    corner = (scenes.shape[-1] - n) // 2 - reach
    seen = scenes[:, None, :, corner:, corner:][..., : n + 2 * reach, : n + 2 * reach]
    origins = select_windows(seen, (n, n), (k, k), score)
    kept = (origins == origins[:, reach, None, reach, None]).all(-1)
    inner = [slice(reach - delta, reach + delta + 1) for delta in deltas]
    return [int(kept[:, rows, rows].flatten(1).all(1).sum()) for rows in inner]


def bound(n: int, k: int, delta: int, score: Score) -> float:
    return float(robustness_bound(n, k, delta, score.order_for((n, n), (k, k))))


def interval(count: int, of: int) -> tuple[float, float]:
    found = binomtest(count, of).proportion_ci(0.999, method="exact")
    return found.low, found.high


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (1500, 3, 74, 74), generator=generator, dtype=torch.uint8)


@pytest.fixture(scope="module")
def photographs() -> dict[int, torch.Tensor]:
    """Centre squares of the 200 photographs, by the length to which the short side is resized."""
    assert ASSETS is not None
    scenes: dict[int, list[torch.Tensor]] = {256: [], 288: [], 320: []}
    for file in sorted((Path(ASSETS) / "photos").glob("*.jpg")):
        image = F.pil_to_tensor(Image.open(file).convert("RGB"))
        for side, found in scenes.items():
            resized = F.resize(image, side, F.InterpolationMode.BICUBIC)
            found.append(F.center_crop(resized, [side, side]))
    return {side: torch.stack(found) for side, found in scenes.items()}


@pytest.mark.parametrize("score", [Hash(), Random()], ids=repr)
def test_white_noise_agrees_with_theorem_1_from_both_sides(noise, score):
    n, k, deltas = 64, 44, (1, 3, 5)
    for delta, count in zip(deltas, survivors(noise, n, k, score, deltas), strict=True):
        low, high = interval(count, len(noise))
        assert low <= bound(n, k, delta, score) <= high


def test_white_noise_meets_theorem_3(noise):
    n, k, deltas = 64, 52, (1, 2, 3)
    score = Lattice(order=4, patch="hash")
    for delta, count in zip(deltas, survivors(noise, n, k, score, deltas), strict=True):
        assert interval(count, len(noise))[1] >= bound(n, k, delta, score)
        assert interval(count, len(noise))[0] > bound(n, k, delta, Hash())  # beats plain RICS


@needs_photographs
@pytest.mark.parametrize(("n", "k", "sides"), [(224, 140, (256, 288, 320)), (256, 224, (288, 320))])
@pytest.mark.parametrize("score", [Hash(), Random(), Lattice(patch="hash")], ids=repr)
def test_photographs_agree_with_the_theorems(photographs, score, n, k, sides):
    counts = torch.tensor([survivors(photographs[side], n, k, score) for side in sides]).sum(0)
    total = sum(len(photographs[side]) for side in sides)
    for delta, count in zip(DELTAS, counts.tolist(), strict=True):
        low, high = interval(count, total)
        assert bound(n, k, delta, score) <= high
        if score.order_for((n, n), (k, k)) == (1, 1):  # there the theorem is exact
            assert low <= bound(n, k, delta, score)


@needs_photographs
@pytest.mark.parametrize(("n", "k", "sides"), [(224, 140, (256, 288, 320)), (256, 224, (288, 320))])
def test_default_on_photographs_is_within_3_points_of_theorem_3(
    photographs, n, k, sides, record_property
):
    counts = torch.tensor([survivors(photographs[side], n, k, Lattice()) for side in sides]).sum(0)
    total = sum(len(photographs[side]) for side in sides)
    for delta, count in zip(DELTAS, counts.tolist(), strict=True):
        record_property(f"D={delta}", count / total)
        assert count / total >= bound(n, k, delta, Lattice()) - 0.03
