"""Boxes and keypoints that RICSCrop takes along, in albumentations and AlbumentationsX."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from .test_albumentations import IS_X, SHIFTS, A, K, RICSCrop, core, pixels, reference

EDGE = -0.5 if IS_X else 0  # the coordinate at which the first pixel begins

# AlbumentationsX wants a `label_mapping` for labelled keypoints, which albumentations has not.
pytestmark = pytest.mark.filterwarnings("ignore:label_fields are set but label_mapping:UserWarning")


def compose(*transforms: Any) -> Any:
    boxes = A.BboxParams("pascal_voc", label_fields=["names", "ids"])
    return A.Compose(
        transforms, boxes, A.KeypointParams("xy", label_fields=["points"], remove_invisible=True)
    )


def annotated(seed: int, height: int = 40, width: int = 36) -> dict[str, Any]:
    """An image with integer boxes and points, each labelled."""
    random = np.random.default_rng(seed)
    start = random.integers(0, (width - 1, height - 1), (12, 2))
    end = np.minimum(start + random.integers(1, 20, (12, 2)), (width, height))
    return {
        "image": pixels(height, width, 3, seed=seed),
        "bboxes": np.hstack([start, end]).astype(np.float32),
        "names": [f"object {i}" for i in range(12)],
        "ids": list(range(12)),
        "keypoints": (random.uniform(0, (width, height), (12, 2)) + EDGE).astype(np.float32),
        "points": list(range(12)),
    }


@pytest.mark.parametrize("seed", range(10))
def test_annotations_move_with_the_crop(seed: int) -> None:
    sample = annotated(seed)
    sample["bboxes"][:, :2] += 0.25  # albumentations keeps a box that only touches the crop
    sample["bboxes"][:, 2:] -= 0.25
    left, top, right, bottom = reference(sample["image"][None])
    boxes, ids = [], []
    for i, (x0, y0, x1, y1) in enumerate(sample["bboxes"].tolist()):
        visible = max(x0, left), max(y0, top), min(x1, right), min(y1, bottom)
        if visible[0] < visible[2] and visible[1] < visible[3]:
            boxes.append(np.subtract(visible, (left, top, left, top)))
            ids.append(i)
    moved = sample["keypoints"] - np.float32((left, top))
    kept = ((moved >= EDGE) & (moved < np.add((K[1], K[0]), EDGE))).all(1)

    out = compose(RICSCrop(K))(**sample)
    assert out["ids"] == ids
    assert out["names"] == [sample["names"][i] for i in ids]
    np.testing.assert_allclose(out["bboxes"], boxes, rtol=0, atol=1e-4)
    assert out["points"] == np.flatnonzero(kept).tolist()
    np.testing.assert_allclose(out["keypoints"], moved[kept], rtol=0, atol=1e-4)


@pytest.mark.parametrize("seed", range(10))
def test_annotations_are_those_of_the_librarys_crop(seed: int) -> None:
    sample = annotated(seed)
    library = A.Crop(*reference(sample["image"][None]))
    out, expected = compose(RICSCrop(K))(**sample), compose(library)(**sample)
    for target in sample:
        assert np.array_equal(out[target], expected[target])


@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize("seed", range(10))
def test_annotations_move_by_the_fraction(seed: int, shifts: Any) -> None:
    sample = annotated(seed)
    _, origin = core(sample["image"][None], shifts)
    top, left = origin.tolist()
    out = compose(RICSCrop(K, shifts=shifts, subpixel=True))(**sample)
    periods = [(i * 36, j * 40) for i in (0, 1) for j in (0, 1)] if shifts == "cyclic" else [(0, 0)]
    pieces = []
    for i, box in enumerate(sample["bboxes"].tolist()):
        for x, y in periods:
            start = np.maximum(np.add(box[:2], (x - left, y - top)), 0)
            end = np.minimum(np.add(box[2:], (x - left, y - top)), (K[1], K[0]))
            pieces += [(i, *start, *end)] if (start < end).all() else []
    found = [(i, *box) for i, box in zip(out["ids"], np.asarray(out["bboxes"]), strict=True)]
    np.testing.assert_allclose(sorted(found), sorted(pieces), rtol=0, atol=1e-4)
    moved = sample["keypoints"] - np.array((left, top))
    if shifts == "cyclic":
        moved = (moved - EDGE) % (36, 40) + EDGE
    kept = ((moved >= EDGE) & (moved < np.add((K[1], K[0]), EDGE))).all(1)
    assert out["points"] == np.flatnonzero(kept).tolist()
    np.testing.assert_allclose(out["keypoints"], moved[kept], rtol=0, atol=1e-4)


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_cyclic_boxes_cover_what_is_visible_of_them(seed: int, whole: bool) -> None:
    """Painted into an empty image, the pieces of a box are the crop of the box, painted."""
    sample = annotated(seed)
    k = (40, 36) if whole else K
    painted = np.zeros((12, 40, 36), np.uint8)
    for i, (x0, y0, x1, y1) in enumerate(sample["bboxes"].astype(int)):
        painted[i, y0:y1, x0:x1] = 1

    out = compose(RICSCrop(k, shifts="cyclic"))(**sample, masks=painted)
    pieces, again = np.round(out["bboxes"]).astype(int), np.zeros((12, *k), np.uint8)
    for (x0, y0, x1, y1), i in zip(pieces, out["ids"], strict=True):
        assert x0 < x1 and y0 < y1
        again[int(i), y0:y1, x0:x1] += 1  # pieces that overlap would count twice
    assert np.array_equal(again, out["masks"])
    assert out["names"] == [f"object {int(i)}" for i in out["ids"]]
    np.testing.assert_allclose(out["bboxes"], np.round(out["bboxes"]), rtol=0, atol=1e-4)


@pytest.mark.parametrize("k", [K, (40, 36)], ids=["smaller", "whole image"])
@pytest.mark.parametrize("seed", range(10))
def test_cyclic_keypoints_stay_on_their_pixels(seed: int, k: tuple[int, int]) -> None:
    sample = annotated(seed)
    marks = np.zeros((12, 40, 36), np.uint8)
    for i, (x, y) in enumerate(np.floor(sample["keypoints"] - EDGE).astype(int)):
        marks[i, y, x] = 1
    out = compose(RICSCrop(k, shifts="cyclic"))(**sample, masks=marks)
    assert len(out["points"]) == np.sum(out["masks"])
    places = np.floor(np.asarray(out["keypoints"]) - EDGE).astype(int)
    for (x, y), i in zip(places, out["points"], strict=True):
        assert out["masks"][int(i), y, x] == 1


@pytest.mark.skipif(not IS_X, reason="albumentations has no oriented boxes")
def test_oriented_boxes_cannot_be_cut() -> None:
    params = A.BboxParams("pascal_voc", bbox_type="obb") if IS_X else None
    A.Compose([RICSCrop(K)], params)
    with pytest.raises(ValueError, match="RICSCrop"):
        A.Compose([RICSCrop(K, shifts="cyclic")], params)


@pytest.mark.parametrize("shifts", SHIFTS)
def test_nothing_to_take_along(shifts: Any) -> None:
    nothing: dict[str, Any] = {"bboxes": [], "names": [], "ids": [], "keypoints": [], "points": []}
    out = compose(RICSCrop(K, shifts=shifts))(image=pixels(40, 36, 3), **nothing)
    assert all(len(out[target]) == 0 for target in nothing)
