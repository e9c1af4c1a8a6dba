"""The conformance vectors: no version changes a crop silently, compiled or not, in any dtype."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import pytest
import torch
from torch import Tensor

from rics_transforms.engine import native

from .. import vectors

VECTORS: list[dict[str, Any]] = json.loads(vectors.PATH.read_text(encoding="utf-8"))
FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "uint8": lambda x: x,
    "float32": lambda x: x / 255,
    "float64": lambda x: x.double() / 255,
    "int32": lambda x: x.int(),
    "channels last": lambda x: x.movedim(-3, -1).contiguous().movedim(-1, -3),
}


@pytest.fixture(params=[True, False], ids=["compiled", "torch"], autouse=True)
def compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test with compiled code, and without."""
    if not request.param:
        monkeypatch.setattr(native, "_native", None)
    elif not native.is_available():
        pytest.skip("built without a C compiler")


def test_the_vectors_are_those_of_the_cases() -> None:
    """The file has not lost a line, nor does it hold one that the script would not write."""
    made = [json.loads(json.dumps(case)) for case in vectors.cases()]
    asked = [dict(vector) for vector in VECTORS]
    for vector in asked:
        assert vector.pop("origin")
        assert ("digest" in vector) == ("subpixel" in vector)
        vector.pop("digest", None)
    assert asked == made


@pytest.mark.parametrize(
    "form", ["uint8", *(pytest.param(form, marks=pytest.mark.broad) for form in list(FORMS)[1:])]
)
def test_every_vector(form: str) -> None:
    wrong = []
    for vector in VECTORS:
        image = vectors.picture(vector)
        if vectors.origin(vector, FORMS[form](image)) != vector["origin"]:
            wrong.append(vector)
    assert not wrong


@pytest.mark.parametrize("form", ["uint8", "channels last"])
def test_crops_between_the_pixels(form: str) -> None:
    wrong = []
    for vector in VECTORS:
        if "digest" in vector:
            image = FORMS[form](vectors.picture(vector))
            if vectors.digest(vector, image) != vector["digest"]:
                wrong.append(vector)
    assert not wrong


def test_most_places_lie_between_the_pixels() -> None:
    places = [vector["origin"] for vector in VECTORS if "subpixel" in vector]
    assert sum(bool(y % 64 and x % 64) for y, x in places) > len(places) / 2
    assert any(min(place) < 0 for place in places)


def batches() -> Iterator[list[dict[str, Any]]]:
    """Vectors that differ in nothing but the image."""

    def question(vector: dict[str, Any]) -> str:
        names = ("n", "k", "score", "options", "shifts", "subpixel")
        return json.dumps([vector.get(name, False) for name in names])

    for _, batch in groupby(sorted(VECTORS, key=question), question):
        yield list(batch)


def test_vectors_in_batches() -> None:
    """Images of every texture together, of which some are decided by later levels than others."""
    for batch in batches():
        assert len(batch) == len(vectors.TEXTURES)
        images = torch.stack([vectors.picture(vector) for vector in batch])
        assert vectors.origin(batch[0], images) == [vector["origin"] for vector in batch]
