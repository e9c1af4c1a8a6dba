"""Trimmed copies: what they have lost, that all trims are equally likely, and what is refused."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from rics_transforms.shifts import Shift, Trim, get_shift
from rics_transforms.shifts.disturbances import HalfPixel, Jpeg, Noise

from ..conftest import random_image


def views_of(shift: Shift, scene: Tensor) -> list[Tensor]:
    return list(shift.views(scene, (1, 1), np.random.default_rng(0)))


@pytest.mark.parametrize("shape", [(30, 41), (9, 200)])
def test_a_copy_has_lost_what_sides_say(shape: tuple[int, int]) -> None:
    scene, shift = random_image(3, *shape), Trim(4, samples=20)
    whole, *copies = views_of(shift, scene)
    assert torch.equal(whole, scene)
    assert len(set(shift.sides())) == 20 and (0, 0, 0, 0) not in shift.sides()
    moves = shift.moves((1, 1))
    for (above, below, left, right), copy, move in zip(
        shift.sides(), copies, moves[1:], strict=True
    ):
        assert torch.equal(copy, scene[:, above : shape[0] - below, left : shape[1] - right])
        assert move == (-above, -left)


def test_all_trims_can_be_drawn() -> None:
    everything = {sides for sides in product(range(3), repeat=4) if any(sides)}
    assert set(Trim(2, samples=80).sides()) == everything


def test_all_trims_are_equally_likely() -> None:
    drawn = Counter(sides for seed in range(4000) for sides in Trim(1, 1, seed).sides())
    assert len(drawn) == 15
    assert chisquare(list(drawn.values())).pvalue > 0.01


@pytest.mark.parametrize("then", [Noise(3), "jpeg:quality=90"])
def test_disturbed_copies_follow_the_clean_scene_and_the_disturbed_one(then: Any) -> None:
    scene = random_image(3, 40, 50)
    shift = Trim(3, samples=4, then=then)
    clean, disturbed, *copies = views_of(shift, scene)
    assert torch.equal(clean, scene) and disturbed.shape == scene.shape
    assert not torch.equal(disturbed, scene)
    assert [copy.shape for copy in copies] == [copy.shape for copy in views_of(
        Trim(3, samples=4), scene)[1:]]  # fmt: skip
    assert len(shift.moves((1, 1))) == 6
    if isinstance(shift.then, Jpeg):
        rng = np.random.default_rng(0)  # of which an encoding asks nothing
        for (above, _, left, _), copy in zip(shift.sides(), copies, strict=True):
            again = shift.then.apply(scene, (above, left), (copy.shape[1], copy.shape[2]), rng)
            assert torch.equal(copy, again)


def test_its_text_makes_it() -> None:
    assert get_shift("trim:most=2,samples=3,then=jpeg:quality=90") == Trim(2, 3, then=Jpeg(90))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"most": 0}, ValueError),
        ({"most": 100}, ValueError),
        ({"most": 1.5}, TypeError),
        ({"samples": 0}, ValueError),
        ({"most": 1, "samples": 16}, ValueError),
        ({"seed": -1}, ValueError),
        ({"then": HalfPixel()}, ValueError),
        ({"then": 3}, TypeError),
    ],
)
def test_what_is_refused(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match="Expected `(most|samples|seed|then)` to"):
        Trim(**options)
