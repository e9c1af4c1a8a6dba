"""RICSResizedCrop for albumentations and AlbumentationsX: the core's crop, resized by OpenCV."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors

from rics_transforms import Ladder, Lattice, Score
from rics_transforms import RICSCrop as CoreCrop
from rics_transforms import RICSResizedCrop as Core

from .test_albumentations import CLIPS, IS_X, SHIFTS, A, Box, cut, pixels, resampled
from .test_albumentations_annotations import EDGE, annotated, compose

cv2 = pytest.importorskip("cv2")  # which albumentations brings along
from rics_transforms.integrations.albumentations import RICSCrop, RICSResizedCrop  # noqa: E402

SIZE = (20, 16)
N = (40, 36)  # of the images

pytestmark = pytest.mark.filterwarnings("ignore:label_fields are set but label_mapping:UserWarning")


def reference(clip: np.ndarray, **options: Any) -> tuple[Tensor, Box]:
    """Origin that the core selects in ``[T, H, W, C]``, and the whole box nearest to it."""
    core = Core(SIZE, **options)
    origin = core.locate(tv_tensors.Video(torch.tensor(clip).permute(0, 3, 1, 2)))
    height, width = core.field_of(clip.shape[1:3]).k
    top, left = (origin + 0.5).floor().long().tolist()
    return origin, (left, top, left + width, top + height)


def resize(array: np.ndarray, axis: int = 0, interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
    """Every image of an array ``[..., H, W, C]``, or ``[..., H, W]``."""
    lead, shape = array.shape[:axis], array.shape[axis:]
    images = array.reshape(-1, *shape)
    scaled = [cv2.resize(image, SIZE[::-1], interpolation=interpolation) for image in images]
    return np.stack(scaled).reshape(*lead, *SIZE, *shape[2:])


def nearest(array: np.ndarray, axis: int = 0) -> np.ndarray:
    return resize(array, axis, cv2.INTER_NEAREST)


# --- pixels --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shifts", SHIFTS)
def test_image_and_masks_are_cropped_and_resized(every_score: Score, shifts: Any) -> None:
    options: Any = {"score": every_score, "shifts": shifts, "ratio": 0.7}
    transform = A.Compose([RICSResizedCrop(SIZE, **options)])
    for seed in range(4):
        image, mask, masks = pixels(*N, 3, seed=seed), pixels(*N), pixels(5, *N)
        _, box = reference(image[None], **options)
        out = transform(image=image, mask=mask, masks=masks)
        assert np.array_equal(out["image"], resize(cut(image, box)))
        assert np.array_equal(out["mask"], nearest(cut(mask, box)))
        assert np.array_equal(out["masks"], nearest(cut(masks, box, 1), 1))


@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize(("guide", "lead", "other", "mask_lead"), CLIPS)
def test_frames_share_one_crop(
    guide: str, lead: tuple[int, ...], other: str, mask_lead: tuple[int, ...], shifts: Any
) -> None:
    for channels in (1, 3):
        clip, masks = pixels(*lead, *N, channels), pixels(*mask_lead, *N, seed=1)
        _, box = reference(clip.reshape(-1, *N, channels), shifts=shifts)
        out = A.Compose([RICSResizedCrop(SIZE, shifts=shifts)])(**{guide: clip, other: masks})
        assert np.array_equal(out[guide], resize(cut(clip, box, len(lead)), len(lead)))
        assert np.array_equal(out[other], nearest(cut(masks, box, len(mask_lead)), len(mask_lead)))


@pytest.mark.parametrize(
    "options", [{"field": Ladder(1.5, most=0.8)}, {"field": 30}, {"ratio": 0.5}], ids=str
)
def test_options_reach_the_core(options: Any) -> None:
    image = pixels(*N, 3)
    _, box = reference(image[None], **options)
    out = RICSResizedCrop(SIZE, **options)(image=image)["image"]
    assert np.array_equal(out, resize(cut(image, box)))


@pytest.mark.parametrize("interpolation", [cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_NEAREST])
def test_flags_of_opencv(interpolation: int) -> None:
    image, mask = pixels(*N, 3), pixels(*N)
    _, box = reference(image[None])
    of_images = RICSResizedCrop(SIZE, interpolation=interpolation)(image=image, mask=mask)
    assert np.array_equal(of_images["image"], resize(cut(image, box), 0, interpolation))
    assert np.array_equal(of_images["mask"], nearest(cut(mask, box)))
    of_masks = RICSResizedCrop(SIZE, mask_interpolation=interpolation)(image=image, mask=mask)
    assert np.array_equal(of_masks["mask"], resize(cut(mask, box), 0, interpolation))


def test_sizes_of_images_may_differ() -> None:
    transform = RICSResizedCrop(SIZE)
    for size in ((40, 36), (90, 30), (20, 200)):
        image = pixels(*size, 3)
        _, box = reference(image[None])
        assert np.array_equal(transform(image=image)["image"], resize(cut(image, box)))


@pytest.mark.parametrize("shifts", SHIFTS)
def test_subpixel_crops_are_those_of_the_core(every_score: Score, shifts: Any) -> None:
    options: Any = {"score": every_score, "shifts": shifts, "subpixel": True, "ratio": 0.6}
    if not every_score.smooth:
        with pytest.raises(ValueError, match="Expected a smooth score with subpixel=True"):
            RICSResizedCrop(SIZE, **options)
        return
    k = Core(SIZE, **options).field_of(N).k
    for seed in range(4):
        image, mask, volume = pixels(*N, 3, seed=seed), pixels(*N), pixels(5, *N, 3)
        origin, box = reference(image[None], **options)
        assert (origin % 1).any()
        out = A.Compose([RICSResizedCrop(SIZE, **options)])(image=image, mask=mask, volume=volume)
        cutter = CoreCrop(k, shifts=shifts)
        assert np.array_equal(out["image"], resize(resampled(image, cutter, origin)))
        assert np.array_equal(out["volume"], resize(resampled(volume, cutter, origin), 1))
        assert np.array_equal(out["mask"], nearest(cut(mask, box)))


def test_outputs_do_not_alias_where_nothing_is_resized() -> None:
    image, mask = pixels(*SIZE, 3), pixels(*SIZE)
    out = RICSResizedCrop(SIZE, field=20, ratio=1)(image=image, mask=mask)
    for name, before in (("image", image), ("mask", mask)):
        assert np.array_equal(out[name], before) and out[name].flags["C_CONTIGUOUS"]
        assert not np.shares_memory(out[name], before)


# --- annotations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_annotations_are_those_of_the_librarys_crop_and_resize(seed: int) -> None:
    sample = annotated(seed)
    _, box = reference(sample["image"][None])
    expected = compose(A.Crop(*box), A.Resize(*SIZE))(**sample)
    out = compose(RICSResizedCrop(SIZE))(**sample)
    for target in sample:
        assert np.array_equal(out[target], expected[target])


@pytest.mark.parametrize("subpixel", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_cyclic_annotations_are_those_of_the_crop_resized(seed: int, subpixel: bool) -> None:
    """Its field is the whole image, as for `RICSCrop`."""
    sample, options = annotated(seed), {"shifts": "cyclic", "subpixel": subpixel}
    k = Core(SIZE, shifts="cyclic").field_of(N).k
    expected = compose(RICSCrop(k, **options), A.Resize(*SIZE))(**sample)
    out = compose(RICSResizedCrop(SIZE, **options))(**sample)
    assert len(out["ids"]) > 0
    for target in sample:
        assert np.array_equal(out[target], expected[target])


@pytest.mark.parametrize("seed", range(5))
def test_keypoints_move_by_the_fraction(seed: int) -> None:
    sample = annotated(seed)
    origin, (left, top, right, bottom) = reference(sample["image"][None], subpixel=True)
    scale = np.array((SIZE[1] / (right - left), SIZE[0] / (bottom - top)))
    moved = sample["keypoints"] - origin.flip(0).numpy()
    moved = (moved - EDGE) * scale + EDGE
    kept = ((moved >= EDGE) & (moved < np.add(SIZE[::-1], EDGE))).all(1)
    out = compose(RICSResizedCrop(SIZE, subpixel=True))(**sample)
    assert out["points"] == np.flatnonzero(kept).tolist()
    np.testing.assert_allclose(out["keypoints"], moved[kept], rtol=0, atol=1e-4)


@pytest.mark.skipif(not IS_X, reason="albumentations has no oriented boxes")
def test_oriented_boxes_cannot_be_cut() -> None:
    params = A.BboxParams("pascal_voc", bbox_type="obb") if IS_X else None
    crop = A.Compose([RICSResizedCrop(SIZE)], params)
    boxes = np.array([[8, 10, 20, 18, 30]], np.float32)
    image = pixels(*N, 3)
    library = A.Compose([A.Crop(*reference(image[None])[1]), A.Resize(*SIZE)], params)
    expected = library(image=image, bboxes=boxes)["bboxes"]
    assert np.array_equal(crop(image=image, bboxes=boxes)["bboxes"], expected)
    with pytest.raises(ValueError, match="RICSResizedCrop"):
        A.Compose([RICSResizedCrop(SIZE, shifts="cyclic")], params)


# --- serialization, replay, threads --------------------------------------------------------------

SETTINGS: list[dict[str, Any]] = [
    {"size": 24},
    {"size": SIZE, "score": Lattice(patch="hash"), "shifts": "cyclic", "p": 0.5},
    {"size": [20, 16], "field": Ladder(1.5, most=0.5), "ratio": 0.6, "score": "hash"},
    {"size": SIZE, "field": 30, "interpolation": 2, "mask_interpolation": 1, "subpixel": True},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("form", ["dict", "json", "yaml"])
def test_serialization_keeps_every_argument(
    form: str, settings: dict[str, Any], tmp_path: Any
) -> None:
    pipeline = A.Compose([RICSResizedCrop(**settings)])
    if form == "dict":
        loaded = A.from_dict(json.loads(json.dumps(A.to_dict(pipeline))))
    else:
        A.save(pipeline, tmp_path / "file", data_format=form)
        loaded = A.load(tmp_path / "file", data_format=form)
    (transform,) = loaded.transforms
    assert json.dumps(A.to_dict(loaded)) == json.dumps(A.to_dict(pipeline))
    others = {"p", "interpolation", "mask_interpolation"}
    core = Core(**{name: value for name, value in settings.items() if name not in others})
    assert repr(transform._chooser) == repr(core)
    assert transform.p == settings.get("p", 1.0)
    assert transform._resize.interpolation == settings.get("interpolation", cv2.INTER_LINEAR)
    assert transform._resize.mask_interpolation == settings.get("mask_interpolation", 0)


def test_the_file_format() -> None:
    """Files written by older versions stay readable only if none of this ever changes."""
    transform = RICSResizedCrop(24, Ladder(1.5), score=Lattice(patch="hash"))
    assert json.loads(json.dumps(transform.to_dict()["transform"])) == {
        "__class_fullname__": "rics_transforms.integrations.albumentations.RICSResizedCrop",
        "size": [24, 24],
        "field": {"step": 1.5, "most": 0.97},
        "ratio": 0.875,
        "score": {"name": "lattice", "patch": "hash"},
        "shifts": "realistic",
        "subpixel": False,
        "interpolation": 1,
        "mask_interpolation": 0,
        "p": 1.0,
    }


@pytest.mark.parametrize("subpixel", [False, True])
def test_replay_through_json_crops_another_image_alike(subpixel: bool) -> None:
    first, second = pixels(*N, 3), pixels(*N, 3, seed=1)
    pipeline = A.ReplayCompose([RICSResizedCrop(SIZE, subpixel=subpixel)])
    recorded = json.loads(json.dumps(pipeline(image=first)["replay"]))
    origin, box = reference(first[None], subpixel=subpixel)
    out = A.ReplayCompose.replay(recorded, image=second)["image"]
    k = box[3] - box[1], box[2] - box[0]
    expected = resampled(second, CoreCrop(k), origin) if subpixel else cut(second, box)
    assert np.array_equal(out, resize(expected))
    with pytest.raises(ValueError, match="Expected a crop inside the image of .* replay"):
        A.ReplayCompose.replay(recorded, image=pixels(20, 20, 3))


def test_pickle() -> None:
    image, transform = pixels(*N, 3), A.Compose([RICSResizedCrop(SIZE, Ladder(1.5))])
    twin = pickle.loads(pickle.dumps(transform))
    assert np.array_equal(twin(image=image)["image"], transform(image=image)["image"])


def test_threads_share_one_transform() -> None:
    transform = A.Compose([RICSResizedCrop(SIZE)])
    images = [pixels(40 + i % 7, 36 + i % 5, 3, seed=i) for i in range(100)]
    serial = [transform(image=image)["image"] for image in images]
    with ThreadPoolExecutor(8) as pool:
        parallel = list(pool.map(lambda image: transform(image=image)["image"], images))
    assert all(map(np.array_equal, parallel, serial))


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "size\n"),
        ({"size": 0}, "Expected `size` to be a positive int or a pair of them, but got 0"),
        ({"size": "a"}, "Expected `size` to be a positive int"),
        ({"size": 8, "field": 0.9}, "Expected `field` to be a positive int"),
        ({"size": 8, "field": {"step": 0.5}}, "Expected `step` to be a number above 1"),
        ({"size": 8, "field": {"stride": 2}}, "stride"),
        ({"size": 8, "ratio": 1.5}, "Expected `ratio` to be a positive number of at most 1"),
        ({"size": 8, "score": "latice"}, "did you mean 'lattice'"),
        ({"size": 8, "shifts": "cylic"}, "Expected `shifts` to be 'realistic' or 'cyclic'"),
        ({"size": 8, "shifts": "cyclic", "field": 9}, "Expected no `field` with shifts='cyclic'"),
        ({"size": 8, "score": "hash", "subpixel": True}, "Expected a smooth score"),
        ({"size": 8, "interpolation": 99}, "interpolation\n"),
        ({"size": 8, "mask_interpolation": "nearest"}, "mask_interpolation\n"),
        ({"size": 8, "p": 2}, "p\n"),
    ],
    ids=str,
)
def test_arguments_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RICSResizedCrop(**settings)


def test_images_that_cannot_be_cropped() -> None:
    with pytest.raises(ValueError, match="Expected `field` to be at most 36 for images of"):
        RICSResizedCrop(8, field=41)(image=pixels(*N, 3))
    with pytest.raises(ValueError if IS_X else KeyError, match="image"):
        RICSResizedCrop(8)(mask=pixels(16, 16, 1))
