"""Settings survive JSON, and the texts in them are calls that make the same objects."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torchvision.transforms import v2

import rics_transforms
from rics_transforms import Lattice, RICSCrop, Score, get_score, list_scores, shifts
from rics_transforms.shifts import disturbances, get_shift, list_shifts
from rics_transforms.shifts.base import Shift
from rics_transforms.verification.settings import Settings
from rics_transforms.verification.transforms import describe, name_of

NAMES = vars(rics_transforms) | vars(shifts) | vars(disturbances)
NAMES |= {name: getattr(rics_transforms, name) for name in rics_transforms.__all__}
SHIFTS = [get_shift(name) for name in list_shifts()]
SHIFTS += [get_shift("realistic:delta=2,samples=3"), get_shift("realistic:delta=0,then=half_pixel")]
SCORES = [*map(get_score, list_scores()), Lattice(patch="hash", order=2)]
TRANSFORMS = [RICSCrop(9, score=score) for score in SCORES]
TRANSFORMS += [RICSCrop(9, subpixel=True), RICSCrop((9, 8), shifts="cyclic"), v2.CenterCrop(9)]


@pytest.mark.parametrize("shift", SHIFTS, ids=repr)
@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_settings_survive_json(transform: Any, shift: Shift) -> None:
    settings = Settings.of(transform, shift, (32, 30), deltas=[1, 2], seed=3)
    assert Settings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize("x", [*SCORES, *SHIFTS], ids=repr)
def test_a_description_is_a_call_without_unset_options(x: Any) -> None:
    assert eval(describe(x), NAMES) == x
    assert "None" not in describe(x)


@pytest.mark.parametrize("transform", TRANSFORMS[:-1], ids=repr)
def test_transforms_are_described_like_their_scores(transform: RICSCrop) -> None:
    again = eval(describe(transform), NAMES)
    assert (again.k, again.score, again.shifts) == (transform.k, transform.score, transform.shifts)
    assert describe(transform.score) in describe(transform)
    assert "None" not in describe(transform)


def test_a_none_that_is_no_default_is_told() -> None:
    @dataclass(frozen=True)
    class Odd(Score):
        width: int | None = 3

    assert describe(Odd(None)) == "Odd(width=None)"


def test_descriptions_hold_no_addresses() -> None:
    relu = torch.nn.functional.relu
    assert " at 0x" in repr(relu)
    assert describe(relu) == "<function relu>"


def test_names() -> None:
    assert [name_of(x) for x in (RICSCrop(3), Lattice(), test_names)] == [
        "RICSCrop", "Lattice", "test_names",
    ]  # fmt: skip


def test_settings_differ_in_all_but_where_they_come_from() -> None:
    settings = Settings.of(RICSCrop(9), SHIFTS[0], (32, 32))
    moved = replace(settings, source="there", command="again")
    assert settings.differences(moved) == []
    assert settings.differences(replace(moved, k=(8, 8), gallery="x")) == ["gallery", "k"]


@pytest.mark.parametrize("disturbance", ["noise:deviation=2", "half_pixel"])
def test_the_disturbance_is_told(disturbance: str) -> None:
    shift = get_shift(f"realistic:delta=1,then={disturbance}")
    settings = Settings.of(RICSCrop(9), shift, (32, 32))
    assert settings.disturbance == repr(disturbances.get_disturbance(disturbance))
    assert settings.theory is None


@dataclass(frozen=True)
class Half(Score):
    shown: int = 1
    hidden: int = field(default=2, repr=False)


def test_what_a_repr_hides_stays_hidden() -> None:
    assert describe(Lattice()) == "Lattice(patch='mexican_hat')"
    assert describe(Half(hidden=3)) == "Half(shown=1)"


@pytest.mark.parametrize(("shift", "kept"), [("realistic", False), ("integer", True)])
def test_crops_between_pixels_are_promised_pixels_on_a_torus_only(shift: str, kept: bool) -> None:
    """In the plane taps reach over the border of the window, and make other pixels there."""
    moves = get_shift(shift)
    rule: Any = "cyclic" if moves.wraps else "realistic"
    for subpixel in (False, True):
        crop = RICSCrop(24, shifts=rule, subpixel=subpixel)
        expected = rule if kept or not subpixel else None
        assert Settings.of(crop, moves, (32, 32), deltas=[1]).theory == expected
