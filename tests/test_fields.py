"""The sides of a ladder, and the field of an image: against a list of all rungs, and by hand."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rics_transforms import Ladder
from rics_transforms.fields import Field

STEPS = [2 ** (1 / 16), 2 ** (1 / 8), 2 ** (1 / 4), 2 ** (1 / 2), 3]


def rungs(step: float) -> list[float]:
    """All rungs up to 10,000 pixels or so."""
    return [62.4 * step**i for i in range(-200, 200) if 62.4 * step**i < 10_000]


@pytest.mark.parametrize("step", STEPS)
def test_the_side_is_the_longest_rung_that_fits(step: float) -> None:
    ladder = Ladder(step)
    for shorter in [*range(2, 1200), *range(1200, 9000, 97)]:
        longest = max(rung for rung in rungs(step) if rung <= 0.97 * shorter)
        assert ladder.side(shorter) == max(1, int(longest))


@pytest.mark.parametrize("step", STEPS)
def test_a_trim_changes_the_side_as_often_as_the_documentation_says(step: float) -> None:
    """A share of d / (L log(step)) of images: over an octave, d for each of the rungs in it."""
    ladder, d = Ladder(step, most=1), 4
    shorter = range(512, 1024)
    changed = sum(ladder.side(length) != ladder.side(length - d) for length in shorter)
    crossed = sum(512 - d < rung < 1024 for rung in rungs(step))
    assert d * (crossed - 1) <= changed <= d * crossed


USUAL = (256, 300, 320, 333, 360, 375, 480, 500, 512, 540, 600, 640, 720, 768, 1024, 1080, 1200)


@pytest.mark.parametrize("shorter", USUAL)
def test_usual_sizes_lie_well_above_a_rung(shorter: int) -> None:
    """Trims by up to 4 px per side leave the field of the default ladder as it is."""
    assert len({Ladder().side(shorter - trimmed) for trimmed in range(9)}) == 1
    assert 0.88 < Ladder().side(shorter) / shorter <= 0.97


@pytest.mark.parametrize("shorter", [0.5, 1, 1.03])
def test_an_image_without_room_is_refused(shorter: float) -> None:
    with pytest.raises(ValueError, match="Expected images with room for a field of 1 pixel"):
        Ladder().side(shorter)


@pytest.mark.parametrize("step", [1, 0.5, 0, -1, float("nan"), float("inf")])
def test_steps_that_do_not_climb_are_refused(step: float) -> None:
    with pytest.raises(ValueError, match="Expected `step` to be a"):
        Ladder(step)


@pytest.mark.parametrize("most", [0, -0.5, 1.01, float("nan")])
def test_margins_outside_the_image_are_refused(most: float) -> None:
    with pytest.raises(ValueError, match="Expected `most` to be a positive number of at most 1"):
        Ladder(most=most)


@pytest.mark.parametrize("options", [{"step": "2"}, {"step": True}, {"most": None}])
def test_what_is_no_number_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="Expected `(step|most)` to be a positive number"):
        Ladder(**options)


@given(
    st.tuples(st.integers(8, 5000), st.integers(8, 5000)),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.floats(0.05, 1),
)
def test_a_field_lies_in_the_middle_and_holds_its_crop(
    image: tuple[int, int], shape: tuple[int, int], ratio: float
) -> None:
    field = Field.within(image, ratio, Ladder(), shape)
    for length, start, side, crop in zip(image, field.origin, field.size, field.k, strict=True):
        assert start == (length - side) // 2
        assert 1 <= crop <= side <= length
    aspect = Fraction(*shape)
    for height, width in (field.size, field.k):  # as the output, to half a pixel
        longer, shorter = max(height, width), min(height, width)
        exact = longer * min(aspect, 1 / aspect)
        assert shorter == 1 or abs(shorter - exact) <= 1 + Fraction(1, 10**6)


def test_a_field_of_a_given_side_must_fit() -> None:
    assert Field.within((300, 400), 7 / 8, 256, (1, 1)) == ((22, 72), (256, 256), (224, 224))
    assert Field.within((300, 300), 1 / 2, 300, (1, 2)) == ((75, 0), (150, 300), (75, 150))
    with pytest.raises(ValueError, match="Expected `field` to be at most 300 for images of"):
        Field.within((300, 400), 7 / 8, 301, (1, 1))
    with pytest.raises(ValueError, match="Expected `field` to be at most 200 for images of"):
        Field.within((300, 200), 7 / 8, 201, (1, 2))


@pytest.mark.parametrize("shorter", range(300, 420, 7))
def test_trims_move_the_field_by_half_of_what_is_trimmed(shorter: int) -> None:
    """At most d rows on each side: the field begins at most d / 2 rows away, rounded up."""
    d, ladder = 5, Ladder()
    before = (shorter - ladder.side(shorter)) // 2
    for above in range(d + 1):
        for below in range(d + 1):
            height = shorter - above - below
            if ladder.side(height) == ladder.side(shorter):
                (top, _), _, _ = Field.within((height, 2 * height), 7 / 8, ladder, (1, 1))
                assert abs(above + top - before) <= -(-d // 2)
