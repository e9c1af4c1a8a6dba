"""Peaks between the pixels, against fractions, and where there is no single peak."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rics_transforms.engine.maps import lowest
from rics_transforms.engine.peaks import REACH, Peaks, find_peaks, fit

from .. import reference

LARGEST = 2**53 - 1


def around(*scores: int) -> list[Tensor]:
    return [torch.tensor(score) for score in scores]


def numbers(peaks: Peaks) -> tuple[int, tuple[int, int]]:
    height, down, across = (part.item() for part in peaks)
    return height, (down, across)


@settings(max_examples=300)
@given(
    drops=st.lists(st.integers(0, 2**54) | st.integers(0, 9), min_size=9, max_size=9),
    bits=st.integers(0, 54),
    top=st.integers(-LARGEST, LARGEST),
)
def test_a_peak_equals_its_definition(drops: list[int], bits: int, top: int) -> None:
    scores = [top - min(drop >> bits, top + LARGEST) for drop in drops]
    scores[4] = top
    rows = [scores[:3], scores[3:6], scores[6:]]
    assert numbers(fit(around(*scores))) == reference.peak(rows)


@pytest.mark.parametrize(
    ("scores", "height", "place"),
    [
        ([5] * 9, 5, (0, 0)),  # a plateau
        ([-LARGEST] * 4 + [LARGEST] + [-LARGEST] * 4, LARGEST, (0, 0)),
        ([0, 8, 0, 0, 8, 0, 0, 8, 0], 8, (0, 0)),  # a ridge down
        ([0, 0, 0, 8, 8, 4, 0, 0, 0], 8, (0, -32)),  # half a pixel off
        ([0, 0, 8, 0, 8, 0, 8, 0, 0], 8, (0, 0)),  # a ridge across the axes
        ([8, 0, 0, 0, 8, 0, 0, 0, 8], 8, (0, 0)),
        ([0, 8, 8, 0, 8, 8, 0, 0, 0], 10, (-REACH, REACH)),  # two by two
    ],
    ids=str,
)
def test_where_there_is_no_single_peak(
    scores: list[int], height: int, place: tuple[int, int]
) -> None:
    assert numbers(fit(around(*scores)))[1] == place
    assert abs(numbers(fit(around(*scores)))[0] - height) <= 1


@settings(max_examples=50)
@given(st.lists(st.integers(0, 30), min_size=9, max_size=9))
def test_mirrored_scores_have_mirrored_peaks(scores: list[int]) -> None:
    scores[4] = 30
    height, (down, across) = numbers(fit(around(*scores)))
    flipped = [scores[3 * y + 2 - x] for y in range(3) for x in range(3)]
    turned = [scores[3 * x + y] for y in range(3) for x in range(3)]
    assert numbers(fit(around(*flipped))) == (height, (down, -across))
    assert numbers(fit(around(*turned))) == (height, (across, down))
    assert max(abs(down), abs(across)) <= REACH


def test_a_paraboloid_has_its_peak_where_it_is() -> None:
    y, x = torch.meshgrid(torch.arange(-1, 2), torch.arange(-1, 2), indexing="ij")
    for down, across in ((0, 0), (16, -9), (-31, 30), (5, 32)):
        v, u = 64 * y - down, 64 * x - across
        scores = (10**9 - 5 * v * v - 3 * u * u - 2 * v * u).flatten()
        height, place = numbers(fit(list(scores)))
        assert place == (down, across)
        assert abs(height - 10**9) <= scores[4].item() // 10**6


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2), (2, 7), (3, 3), (9, 8)], ids=str)
def test_every_local_maximum_has_a_peak(
    size: tuple[int, int], dtype: torch.dtype, cyclic: bool
) -> None:
    maps = torch.randint(-4, 4, (6, *size), generator=torch.Generator().manual_seed(0))
    height, down, across = find_peaks(maps.to(dtype), cyclic=cyclic)
    assert height.shape == down.shape == across.shape == maps.shape
    for number, scores in enumerate(maps.tolist()):
        places = {(y, x): s for y, row in enumerate(scores) for x, s in enumerate(row)}
        for place in places:
            here = (number, *place)
            if reference.is_local_maximum(places, place, size, cyclic):
                rows = reference.surroundings(places, place, size)
                expected = reference.peak(rows)
            else:
                expected = lowest(height), (0, 0)
            assert (height[here].item(), (down[here].item(), across[here].item())) == expected


def test_a_torus_has_no_edge() -> None:
    scores = torch.randint(0, 1000, (7, 9), generator=torch.Generator().manual_seed(1))
    moved = find_peaks(scores.roll((3, 5), (0, 1)), cyclic=True)
    for part, rolled in zip(find_peaks(scores, cyclic=True), moved, strict=True):
        assert torch.equal(part.roll((3, 5), (0, 1)), rolled)
