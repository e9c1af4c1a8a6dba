"""Images in bands: the crop that whole maps choose, in bounded memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rics_transforms import get_score, list_scores
from rics_transforms.engine import bands, native
from rics_transforms.engine.geometry import Geometry, wrap
from rics_transforms.engine.hashing import content_rank
from rics_transforms.engine.selection import select

from ..conftest import random_image


def stripes(height: int, width: int) -> Tensor:
    """A pattern that repeats itself down and across, so that many crops are equal."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((y % 4 * 3 + x % 5) * 17).to(torch.uint8)[None, None, None]


def spots(height: int, width: int) -> Tensor:
    """Equal spots on one colour, some with a mark: equal scores, contents that differ."""
    pixels = torch.full((1, 1, 1, height, width), 40, dtype=torch.uint8)
    pixels[..., 5::11, 6::9] = 200
    pixels[..., 6, 7] = 41
    pixels[..., height // 2 + 1 :: 11, 7] = 39
    return pixels


PICTURES: dict[str, Callable[[int, int], Tensor]] = {
    "stripes": stripes,
    "spots": spots,
    "one colour": lambda height, width: torch.full((1, 1, 2, height, width), 7).byte(),
    "two levels": lambda height, width: random_image(1, height, width, high=2)[None, None],
    "colours": lambda height, width: random_image(3, height, width)[None, None],
    "a clip": lambda height, width: random_image(3, height, width, high=3).expand(1, 2, -1, -1, -1),
    "16 bits": lambda height, width: stripes(height, width).int() * 257,
}  # fmt: skip


@pytest.mark.broad
@pytest.mark.parametrize("part", [1, 200])
@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("score", list_scores())
def test_bands_choose_the_crop_of_whole_maps(
    score: str, picture: str, cyclic: bool, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = torch.cat([PICTURES[picture](47, 41), PICTURES[picture](47, 41).flip(-1)])
    for k in ((9, 8), (20, 33), (47, 41)):
        expected = select(pixels, k, get_score(score), cyclic=cyclic)
        with monkeypatch.context() as patch:
            patch.setattr(bands, "LARGE", 1)
            patch.setattr(bands, "_PART", part)
            assert torch.equal(select(pixels, k, get_score(score), cyclic=cyclic), expected)
            patch.setattr(native, "_native", None)
            assert torch.equal(select(pixels, k, get_score(score), cyclic=cyclic), expected)


@pytest.mark.parametrize("picture", PICTURES)
def test_the_torus_decides_between_equal_hashes_by_the_pixels(
    picture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = PICTURES[picture](47, 41)
    geometry = Geometry.of((47, 41), (9, 8), get_score("hash"), cyclic=True)
    whole = wrap(pixels, geometry.k)[0].flatten(0, 1)
    tied = torch.arange(47 * 41).view(47, 41) % 3 > 0
    rank = content_rank(whole, geometry.k).masked_fill(~tied, -1)
    monkeypatch.setattr(bands, "_PART", 50)
    assert torch.equal(bands._highest(tied, whole, geometry), rank == rank.max())


SCRIPT = """
import resource, torch
from rics_transforms import locate
image = torch.full((1, 3000, 3000), 9, dtype=torch.uint8)
image[:, ::2, ::2] = 10
locate(image[:, :300, :300], 224)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
locate(image, 224)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts in other units elsewhere")
def test_ties_by_the_million_take_little_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 350_000  # kB; whole maps took 500,000
