"""Every metric against a slow reading of its definition, from answers listed view by view."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest

from rics_transforms.verification.metrics import METRICS, Views, path
from rics_transforms.verification.records import Record

Move = tuple[float, float]
GRID: list[Move] = [(0, 0), *(m for m in product(range(-2, 3), repeat=2) if m != (0, 0))]


@dataclass
class Seen:
    """What was seen of one image, one entry per view."""

    moves: list[Move]
    label: int
    place: list[tuple[int, int]]
    classes: list[int]
    top5: list[bool]
    confidence: list[float]
    neighbour: list[str]
    difference: list[float]
    unshiftable: list[float]

    def record(self) -> Record:
        """The same, with every distinct input told once."""
        keys = list(zip(self.place, self.classes, self.confidence, strict=True))
        first = {key: i for i, key in reversed(list(enumerate(keys)))}
        order = sorted(first.values())
        places = list(dict.fromkeys(self.place))

        def told(values: list[Any]) -> tuple[Any, ...]:
            return tuple(values[i] for i in order)

        return Record(
            "x", self.label, (9, 9), tuple(places), tuple(places.index(p) for p in self.place),
            tuple(order.index(first[key]) for key in keys), told(self.classes), told(self.top5),
            told(self.confidence), told(self.confidence), told(self.neighbour),
            told(self.difference), told(self.unshiftable),
        )  # fmt: skip


def draw(seed: int, moves: list[Move]) -> Seen:
    """Answers that depend on which of a few crops a view leads to."""
    rng = np.random.default_rng(seed)
    crop = [0, *rng.choice(4, len(moves) - 1, p=[0.7, 0.1, 0.1, 0.1]).tolist()]
    places = [(10, 10), (10, 12), (13, 10), (40, 7)]
    answers = [
        (int(c), bool(t), float(p), f"n{n}", float(d), float(u))
        for c, t, p, n, d, u in zip(
            rng.integers(0, 3, 4), rng.random(4) < 0.5, rng.random(4), rng.integers(0, 2, 4),
            rng.random(4), rng.random(4), strict=True,
        )
    ]  # fmt: skip
    columns = [list(column) for column in zip(*(answers[c] for c in crop), strict=True)]
    return Seen(moves, int(rng.integers(0, 3)), [places[c] for c in crop], *columns)


# --- definitions ---------------------------------------------------------------------------------


def expected(seen: Seen, delta: float | None) -> dict[tuple[str, str], float]:
    """The definitions, written out."""
    within = [
        i for i, (dy, dx) in enumerate(seen.moves)
        if delta is None or (abs(dy) <= delta and abs(dx) <= delta)
    ]  # fmt: skip
    shifted = [i for i in within if i != 0]
    out: dict[tuple[str, str], float] = {}
    subjects: dict[str, list[Any]] = {
        "crop": seen.place,
        "crop within 2 px": [
            abs(y - seen.place[0][0]) <= 2 and abs(x - seen.place[0][1]) <= 2 for y, x in seen.place
        ],
        "class": seen.classes,
        "neighbour": seen.neighbour,
    }
    for of, answers in subjects.items():
        same = sum(answers[i] == answers[0] for i in within)
        out["adversarial_robustness", of] = 1.0 if same == len(within) else 0.0
        out["consistency", of] = same / len(within)
    right = [seen.classes[i] == seen.label for i in within]
    out["accuracy", "class"] = 1.0 if right[0] else 0.0
    out["top5_accuracy", "class"] = 1.0 if seen.top5[0] else 0.0
    out["certified_accuracy", "class"] = 1.0 if sum(right) == len(right) else 0.0
    if shifted:
        count = len(shifted)
        out["class_change", "class"] = (
            sum(seen.classes[i] != seen.classes[0] for i in shifted) / count
        )
        change = sum(abs(seen.confidence[i] - seen.confidence[0]) for i in shifted)
        out["absolute_change", "class"] = change / count
        out["feature_difference", "layer"] = sum(seen.difference[i] for i in shifted) / count
        out["nonshiftability", "layer"] = sum(seen.unshiftable[i] for i in shifted) / count
    reach = int(delta or 0)
    if reach:
        row = [seen.top5[seen.moves.index((0, dx))] for dx in range(-reach, reach + 1)]
        crossings = 0
        for step in range(2 * reach):
            crossings += row[step] != row[step + 1]
        out["jaggedness", "class"] = crossings / (2 * reach)
        out["jagged_images", "class"] = 1.0 if crossings else 0.0
    return out


@pytest.mark.parametrize("delta", [0, 1, 2])
def test_metrics_equal_their_definitions(delta: int) -> None:
    for seed in range(60):
        seen = draw(seed, GRID)
        views, wanted = Views.within(GRID, delta), expected(seen, delta)
        found = {(m.name, m.subject): m.value(seen.record(), views) for m in METRICS}
        assert {key for key, value in found.items() if value is not None} == wanted.keys()
        for key, value in wanted.items():
            assert found[key] == pytest.approx(value), key


def test_a_pair_of_views_has_no_path() -> None:
    moves: list[Move] = [(0, 0), (0.5, 0.5)]
    seen, views = draw(3, moves), Views.within(moves, None)
    found = {(m.name, m.subject): m.value(seen.record(), views) for m in METRICS}
    wanted = expected(seen, None)
    assert found["jaggedness", "class"] is None
    known = {key: value for key, value in found.items() if value is not None}
    assert known == pytest.approx(wanted)


def test_metrics_without_their_data_are_none() -> None:
    bare = Record("x", None, None, (), (), (0, 1, 1))
    views = Views.within([(0, 0), (0, 1), (0, 2)], None)
    found = {(m.name, m.subject): m.value(bare, views) for m in METRICS}
    known = {key: value for key, value in found.items() if value is not None}
    assert known == {("adversarial_robustness", "crop"): 0.0, ("consistency", "crop"): 1 / 3}


def test_the_path_is_the_row_through_the_middle() -> None:
    assert path(Views.within(GRID, 1)) == [GRID.index((0, dx)) for dx in (-1, 0, 1)]
    assert path(Views.within([(0, 0), (0, 2)], None)) == []
    assert path(Views.within([(0, 0), (3, 1)], None)) == [0]


def test_views_within_are_of_either_sign_and_axis() -> None:
    moves: list[Move] = [(0, 0), (-2, 0), (0, 2), (1, -1), (1.5, 0)]
    assert Views.within(moves, 1) == Views((0, 3), ((0, 0), (1, -1)))
    assert Views.within(moves, None).index == (0, 1, 2, 3, 4)
