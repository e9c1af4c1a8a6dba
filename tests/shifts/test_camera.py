"""Views of a camera against the mean of every pixel's area, one by one; what is refused."""

from fractions import Fraction
from itertools import product
from math import floor

import numpy as np
import pytest
import torch
from torch import Tensor

from rics_transforms._arguments import Size
from rics_transforms.shifts.base import cut, size_of
from rics_transforms.shifts.camera import Camera, exposed
from rics_transforms.shifts.disturbances import HalfPixel, Jpeg, Noise
from rics_transforms.shifts.windows import Realistic

from ..conftest import random_image

QUARTERS = ((2, 2), (2, 0), (1, 3), (-2, 1), (6, 2), (3, -5))


def views_of(shift: Camera, scene: Tensor, n: Size, seed: int = 0) -> list[Tensor]:
    return list(shift.views(scene, n, np.random.default_rng(seed)))


def slow_view(scene: Tensor, corner: Size, n: Size, factor: int) -> Tensor:
    """The exact mean of every pixel's area, rounded half up."""
    out = torch.empty(len(scene), *n, dtype=torch.uint8)
    for c, y, x in product(range(len(scene)), *map(range, n)):
        place = corner[0] + factor * y, corner[1] + factor * x
        area = cut(scene[c : c + 1], place, (factor, factor)).flatten().tolist()
        out[c, y, x] = floor(Fraction(sum(area), factor**2) + Fraction(1, 2))
    return out


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("extra", [(0, 0), (1, 0), (5, 6)])
def test_a_pixel_is_the_mean_of_its_area(factor: int, extra: Size) -> None:
    shift, n = Camera(1, factor, samples=7), (4, 3)
    height, width = shift.room(n)
    scene = random_image(2, height + extra[0], width + extra[1])
    corner = shift.corner(size_of(scene), n)
    assert corner == tuple(
        (side - factor * own) // 2 for side, own in zip(size_of(scene), n, strict=True)
    )
    for view, move in zip(views_of(shift, scene, n), shift.moves(n), strict=True):
        down, right = (round(factor * along) for along in move)
        place = corner[0] + down, corner[1] + right
        assert torch.equal(view, slow_view(scene, place, n, factor))


def test_halves_are_rounded_up() -> None:
    scene = torch.tensor([[[0, 1], [0, 1]]], dtype=torch.uint8)
    assert exposed(scene, 2).item() == 1
    assert exposed(torch.full((3, 9, 9), 255, dtype=torch.uint8), 3).unique().tolist() == [255]


def test_all_moves_in_steps() -> None:
    moves = Camera(1).moves((9, 9))
    steps = [i / 4 for i in range(-4, 5)]
    assert moves[0] == (0, 0) and len(moves) == 81
    assert sorted(moves) == list(product(steps, steps))
    assert list(moves[1:]) == sorted(moves[1:])


def test_drawn_moves() -> None:
    drawn = Camera(2, samples=9, seed=1).moves((9, 9))
    assert len(set(drawn)) == 9 and drawn[0] == (0, 0)
    assert set(drawn) <= set(Camera(2).moves((9, 9)))
    assert drawn == Camera(2, samples=9, seed=1).moves((7, 8)) != Camera(2, samples=9).moves((7, 8))


def test_moves_of_ones_own() -> None:
    shift = Camera(2, steps=QUARTERS)
    assert shift.moves((9, 9))[1:] == tuple((dy / 4, dx / 4) for dy, dx in QUARTERS)
    assert shift.deltas((1, 2)) == ()
    assert Camera(2, steps=[list(step) for step in QUARTERS]) == shift


def test_whole_moves_at_factor_one_are_realistic() -> None:
    scene = random_image(3, 30, 31)
    views = views_of(Camera(2, 1), scene, (20, 21))
    windows = Realistic(2).views(scene, (20, 21), np.random.default_rng(0))
    assert all(map(torch.equal, views, windows))
    assert Camera(2, 1).moves((20, 21)) == Realistic(2).moves((20, 21))


def test_what_follows_the_sensor() -> None:
    shift, n = Camera(1, 2, steps=((1, 0),), then=Noise(3)), (12, 13)
    scene = random_image(3, *shift.room(n))
    clean, still, moved = views_of(shift, scene, n, seed=5)
    plain = views_of(Camera(1, 2, steps=((1, 0),)), scene, n)
    rng = np.random.default_rng(5)
    assert torch.equal(clean, plain[0])
    assert torch.equal(still, Noise(3).apply(plain[0], (0, 0), n, rng))
    assert torch.equal(moved, Noise(3).apply(plain[1], (0, 0), n, rng))
    assert shift.moves(n) == ((0, 0), (0, 0), (0.5, 0))
    assert shift.disturbance == "Noise(deviation=3)"


def test_a_disturbance_has_its_margin() -> None:
    shift, n = Camera(0, 2, then=HalfPixel()), (6, 6)
    assert shift.room(n) == (16, 16)
    scene = random_image(1, 16, 16)
    _, half = views_of(shift, scene, n)
    assert torch.equal(
        half, HalfPixel().apply(exposed(scene, 2), (1, 1), n, np.random.default_rng())
    )


def test_what_it_says_of_itself() -> None:
    shift = Camera(3)
    assert (shift.tracks, shift.wraps, shift.factor) == (True, False, 4)
    assert shift.deltas((1, 2, 9)) == (1, 2) and shift.deltas((9,)) == (3,)
    assert shift.theory_for("realistic") is shift.theory_for("cyclic") is shift.disturbance is None
    assert Camera(1, then="jpeg:quality=90") == Camera(1, then=Jpeg(90))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delta": -1}, "Expected `delta` to be a non-negative int, but got -1."),
        ({"factor": 0}, "Expected `factor` to be a positive int, but got 0."),
        ({"samples": 82}, "Expected `samples` to be an int from 1 to 81, but got 82."),
        ({"steps": ((0, 5),)}, r"Expected `steps` of at most 4, which are 1 px, but got \(0, 5\)"),
        ({"steps": ((0, 1, 2),)}, r"Expected `steps\[0\]` to be an int or a pair of them"),
        ({"steps": ((0, 1),), "samples": 2}, "Expected `samples` or `steps`, but got both."),
    ],
)
def test_values_that_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Camera(**options)


@pytest.mark.parametrize(
    "options", [{"delta": 1.0}, {"factor": 2.5}, {"steps": 3}, {"steps": ((0.5, 1),)}, {"then": 3}]
)
def test_types_that_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(TypeError, match="Expected `"):
        Camera(**options)
