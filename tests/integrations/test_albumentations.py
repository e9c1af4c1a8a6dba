"""RICSCrop for albumentations and AlbumentationsX: `make test` runs this file with each of them."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors

from rics_transforms import (
    Lattice,
    MexicanHat,
    Score,
    get_score,
    locate,
    register_score,
    rics_crop,
    unregister_score,
)
from rics_transforms import RICSCrop as Core

from ..conftest import SHIFTS

# On import albumentations asks the network for its newest version; its successor reports its use.
os.environ |= {"NO_ALBUMENTATIONS_UPDATE": "1", "ALBUMENTATIONS_OFFLINE": "1"}
A = pytest.importorskip("albumentations")
from rics_transforms.integrations.albumentations import RICSCrop  # noqa: E402

MODULE = "rics_transforms.integrations.albumentations"
IS_X = hasattr(A, "SampledParams")
K = (24, 20)

Box = tuple[int, int, int, int]


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def reference(clip: np.ndarray, shifts: str = "realistic", score: str | Score = "lattice") -> Box:
    """(left, top, right, bottom) that the core selects in ``[T, H, W, C]``."""
    video = tv_tensors.Video(torch.tensor(clip).permute(0, 3, 1, 2))
    top, left = locate(video, K, score=score, shifts=shifts).tolist()  # type: ignore[arg-type]
    return left, top, left + K[1], top + K[0]


def cut(array: np.ndarray, box: Box, axis: int = 0) -> np.ndarray:
    """The box of an array whose (H, W) are the axes from `axis` on, wrapping around."""
    left, top, right, bottom = box
    height, width = array.shape[axis : axis + 2]
    rows = np.take(array, np.arange(top, bottom) % height, axis)
    return np.take(rows, np.arange(left, right) % width, axis + 1)


# --- pixels --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shifts", SHIFTS)
def test_image_and_masks_are_slices(every_score: Score, shifts: Any) -> None:
    transform = A.Compose([RICSCrop(K, every_score, shifts)])
    for seed in range(4):
        image, mask, masks = pixels(40, 36, 3, seed=seed), pixels(40, 36), pixels(5, 40, 36)
        box = reference(image[None], shifts, every_score)
        out = transform(image=image, mask=mask, masks=masks)
        assert np.array_equal(out["image"], cut(image, box))
        assert np.array_equal(out["mask"], cut(mask, box))
        assert np.array_equal(out["masks"], cut(masks, box, 1))


# The guide, its axes in front of (H, W), and what may come with it.
CLIPS = [
    ("images", (6,), "masks", (4,)),
    ("volume", (6,), "mask3d", (6,)),
    ("volumes", (2, 3), "masks3d", (2, 3)),
]


@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize(("guide", "lead", "other", "mask_lead"), CLIPS)
def test_frames_share_one_crop(
    guide: str, lead: tuple[int, ...], other: str, mask_lead: tuple[int, ...], shifts: Any
) -> None:
    for channels in ((), (1,), (3,)):
        if IS_X and not channels:
            continue  # which wants the axis of channels
        clip, masks = pixels(*lead, 40, 36, *channels), pixels(*mask_lead, 40, 36, seed=1)
        box = reference(clip.reshape(-1, 40, 36, *(channels or (1,))), shifts)
        out = A.Compose([RICSCrop(K, shifts=shifts)])(**{guide: clip, other: masks})
        assert np.array_equal(out[guide], cut(clip, box, len(lead)))
        assert np.array_equal(out[other], cut(masks, box, len(mask_lead)))


@pytest.mark.parametrize(
    "image",
    [
        pixels(40, 36, 1),
        pixels(40, 36, 5),
        pixels(40, 36, 3)[::-1, ::-1],
        np.asfortranarray(pixels(40, 36, 3)),
        np.frombuffer(pixels(40, 36, 3).tobytes(), np.uint8).reshape(40, 36, 3),  # read-only
        pixels(40, 36, 3).astype(np.float32) / 255,
    ],
    ids="grey five-channels reversed fortran read-only float".split(),
)
def test_layouts_and_dtypes(image: np.ndarray) -> None:
    levels = np.ascontiguousarray(image if image.dtype == np.uint8 else np.round(image * 255))
    out = RICSCrop(K)(image=image)["image"]
    assert np.array_equal(out, cut(image, reference(levels[None].astype(np.uint8))))
    assert out.dtype == image.dtype


@pytest.mark.skipif(IS_X, reason="AlbumentationsX wants the axis of channels")
def test_grey_image_without_channels() -> None:
    image = pixels(40, 36)
    out = RICSCrop(K)(image=image)["image"]
    assert np.array_equal(out, cut(image, reference(image[None, ..., None])))


@pytest.mark.parametrize("k", [K, (40, 36)], ids=["smaller", "whole image"])
@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize(("guide", "lead"), [("image", ()), *((c[0], c[1]) for c in CLIPS)])
def test_outputs_are_contiguous_and_do_not_alias(
    guide: str, lead: tuple[int, ...], shifts: Any, k: tuple[int, int]
) -> None:
    clip = pixels(*lead, 40, 36, 3)
    out = RICSCrop(k, shifts=shifts)(**{guide: clip})[guide]
    assert out.shape == (*lead, *k, 3)
    assert out.flags["C_CONTIGUOUS"]
    assert not np.shares_memory(out, clip)


def test_a_cyclic_shift_gives_the_same_crop() -> None:
    image, transform = pixels(40, 36, 3), RICSCrop(K, shifts="cyclic")
    expected = transform(image=image)["image"]
    for shift in ((1, 0), (0, 35), (17, 23)):
        assert np.array_equal(transform(image=np.roll(image, shift, (0, 1)))["image"], expected)


def test_the_guide_is_the_first_of_the_documented_order() -> None:
    image, images = pixels(40, 36, 3), pixels(2, 40, 36, 3, seed=1)
    box = reference(image[None])
    assert box != reference(images)
    out = RICSCrop(K)(images=images, image=image)
    assert np.array_equal(out["images"], cut(images, box, 1))


def test_an_additional_image_follows() -> None:
    image, depth = pixels(40, 36, 3), pixels(40, 36, 3, seed=1)
    out = A.Compose([RICSCrop(K)], additional_targets={"depth": "image"})(depth=depth, image=image)
    assert np.array_equal(out["depth"], cut(depth, reference(image[None])))


@pytest.mark.skipif(not IS_X, reason="albumentations takes arrays only")
def test_tensors() -> None:
    image = torch.from_numpy(pixels(3, 40, 36))
    out = A.Compose([RICSCrop(K)])(image=image)["image"]
    assert torch.equal(out, rics_crop(image, K))


def test_p_zero_leaves_the_sample_alone() -> None:
    image = pixels(40, 36, 3)
    assert np.array_equal(RICSCrop(K, p=0)(image=image)["image"], image)


# --- between the pixels --------------------------------------------------------------------------


def core(clip: np.ndarray, shifts: Any, score: str | Score = "lattice") -> tuple[Core, Tensor]:
    """The core's transform and what it selects in ``[T, H, W, C]``."""
    chooser = Core(K, score=score, shifts=shifts, subpixel=True)
    return chooser, chooser.locate(tv_tensors.Video(torch.tensor(clip).permute(0, 3, 1, 2)))


def resampled(array: np.ndarray, chooser: Core, origin: Tensor) -> np.ndarray:
    """What the core makes of ``[..., H, W, C]``."""
    crops = chooser.transform(torch.tensor(array).movedim(-1, -3), {"origins": origin})
    return crops.movedim(-3, -1).numpy()


@pytest.mark.parametrize("shifts", SHIFTS)
def test_subpixel_crops_are_those_of_the_core(every_score: Score, shifts: Any) -> None:
    options: Any = {"score": every_score, "shifts": shifts, "subpixel": True}
    if not every_score.smooth:
        with pytest.raises(ValueError, match="Expected a smooth score with subpixel=True"):
            RICSCrop(K, **options)
        return
    for seed in range(4):
        image, mask, masks = pixels(40, 36, 3, seed=seed), pixels(40, 36), pixels(5, 40, 36)
        chooser, origin = core(image[None], shifts, every_score)
        assert (origin % 1).any()
        out = A.Compose([RICSCrop(K, **options)])(image=image, mask=mask, masks=masks)
        assert np.array_equal(out["image"], chooser(image))
        assert np.array_equal(out["image"], resampled(image, chooser, origin))
        top, left = (origin + 0.5).floor().long().tolist()
        box = left, top, left + K[1], top + K[0]
        assert np.array_equal(out["mask"], cut(mask, box))
        assert np.array_equal(out["masks"], cut(masks, box, 1))


@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize(("guide", "lead", "other", "mask_lead"), CLIPS)
def test_frames_share_one_crop_between_the_pixels(
    guide: str, lead: tuple[int, ...], other: str, mask_lead: tuple[int, ...], shifts: Any
) -> None:
    clip, masks = pixels(*lead, 40, 36, 3), pixels(*mask_lead, 40, 36, seed=1)
    chooser, origin = core(clip.reshape(-1, 40, 36, 3), shifts)
    transform = A.Compose([RICSCrop(K, shifts=shifts, subpixel=True)])
    out = transform(**{guide: clip, other: masks})
    assert np.array_equal(out[guide], resampled(clip, chooser, origin))
    top, left = (origin + 0.5).floor().long().tolist()
    assert np.array_equal(out[other], cut(masks, (left, top, left + K[1], top + K[0]), len(lead)))
    assert out[guide].flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("shifts", SHIFTS)
def test_replay_through_json_between_the_pixels(shifts: Any) -> None:
    first, second = pixels(40, 36, 3), pixels(40, 36, 3, seed=1)
    pipeline = A.ReplayCompose([RICSCrop(K, shifts=shifts, subpixel=True)])
    recorded = json.loads(json.dumps(pipeline(image=first)["replay"]))
    out = A.ReplayCompose.replay(recorded, image=second)["image"]
    assert np.array_equal(out, resampled(second, *core(first[None], shifts)))
    if shifts == "realistic":
        with pytest.raises(ValueError, match="Expected a crop inside the image of"):
            A.ReplayCompose.replay(recorded, image=pixels(20, 20, 3))


# --- serialization, replay, processes, threads ---------------------------------------------------

SETTINGS: list[dict[str, Any]] = [
    {"k": 24},
    {"k": (24, 20), "score": "hash", "shifts": "cyclic", "p": 0.5},
    {"k": 24, "score": Lattice(patch="hash", order=(2, 3))},
    {"k": [24, 20], "score": MexicanHat(sigma=(4, 2))},
    {"k": 24, "score": "saliency", "subpixel": True},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("form", ["dict", "json", "yaml"])
def test_serialization_keeps_every_argument(
    form: str, settings: dict[str, Any], tmp_path: Any
) -> None:
    pipeline = A.Compose([RICSCrop(**settings)])
    if form == "dict":
        loaded = A.from_dict(json.loads(json.dumps(A.to_dict(pipeline))))
    else:
        A.save(pipeline, tmp_path / "file", data_format=form)
        loaded = A.load(tmp_path / "file", data_format=form)
    (transform,) = loaded.transforms
    assert type(transform) is RICSCrop
    assert A.to_dict(loaded) == A.to_dict(pipeline)
    expected = {"k": (24, 24), "score": "lattice", "shifts": "realistic", "p": 1.0} | settings
    assert transform._chooser.subpixel is transform.subpixel is settings.get("subpixel", False)
    assert transform._chooser.k == ((24, 24) if settings["k"] == 24 else (24, 20))
    assert transform._chooser.score == get_score(expected["score"])
    assert (transform.shifts, transform.p) == (expected["shifts"], expected["p"])


def test_the_file_format() -> None:
    """Files written by older versions stay readable only if none of this ever changes."""
    score = Lattice(patch="hash")
    assert json.loads(json.dumps(RICSCrop(24, score).to_dict()["transform"])) == {
        "__class_fullname__": "rics_transforms.integrations.albumentations.RICSCrop",
        "k": [24, 24],
        "score": {"name": "lattice", "patch": "hash"},
        "shifts": "realistic",
        "subpixel": False,
        "p": 1.0,
    }
    assert RICSCrop(24).to_dict()["transform"]["score"] == "lattice"
    older = RICSCrop(24, "hash").to_dict()
    del older["transform"]["subpixel"]
    assert A.from_dict(older).to_dict() == RICSCrop(24, "hash").to_dict()


def test_a_users_score_is_stored_by_name(brightest: str) -> None:
    @register_score("darkest")
    def darkest(pixels: Tensor, size: tuple[int, int]) -> Tensor:
        return -get_score(brightest).levels(size)[0].patch_map(pixels, size)

    for name in (brightest, "darkest"):
        assert RICSCrop(24, get_score(name)).to_dict()["transform"]["score"] == name
    removed = get_score("darkest")
    unregister_score("darkest")
    with pytest.raises(ValueError, match="Expected `score` to be registered"):
        RICSCrop(24, removed)


def test_an_unregistered_score_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected `score` to be registered.*register_score"):
        RICSCrop(24, Score())


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)


@pytest.mark.slow
def test_another_process_loads_it_by_importing_us_alone(tmp_path: Any) -> None:
    image = pixels(40, 36, 3)
    transform = RICSCrop(K, Lattice(patch="saliency"), "cyclic")
    np.save(tmp_path / "image.npy", image)
    A.save(transform, tmp_path / "crop.json")
    done = run(
        f"import {MODULE}, albumentations, numpy, sys\n"
        f"crop = albumentations.load({str(tmp_path / 'crop.json')!r})\n"
        f"out = crop(image=numpy.load({str(tmp_path / 'image.npy')!r}))['image']\n"
        f"numpy.save({str(tmp_path / 'out.npy')!r}, out)\n"
    )
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(tmp_path / "out.npy"), transform(image=image)["image"])


@pytest.mark.parametrize("shifts", SHIFTS)
def test_replay_through_json_crops_another_image_alike(shifts: Any) -> None:
    first, second = pixels(40, 36, 3), pixels(40, 36, 3, seed=1)
    pipeline = A.ReplayCompose([RICSCrop(K, shifts=shifts)])
    recorded = json.loads(json.dumps(pipeline(image=first)["replay"]))
    box = reference(first[None], shifts)
    assert box != reference(second[None], shifts)
    out = A.ReplayCompose.replay(recorded, image=second)["image"]
    assert np.array_equal(out, cut(second, box))


def test_replay_on_a_smaller_image_is_refused() -> None:
    recorded = A.ReplayCompose([RICSCrop(K)])(image=pixels(40, 36, 3))["replay"]
    with pytest.raises(ValueError, match="Expected a crop inside the image of .* replay"):
        A.ReplayCompose.replay(recorded, image=pixels(20, 20, 3))


def test_pickle() -> None:
    image, transform = pixels(40, 36, 3), A.Compose([RICSCrop(K, Lattice(patch="hash"))])
    twin = pickle.loads(pickle.dumps(transform))
    assert np.array_equal(twin(image=image)["image"], transform(image=image)["image"])


def test_threads_share_one_transform(photos: Tensor) -> None:
    transform = A.Compose([RICSCrop(40)])
    scenes = photos[:, :, ::4, ::4].permute(0, 2, 3, 1).numpy()
    images = [np.roll(scenes[i % len(scenes)], (i, 3 * i), (0, 1)) for i in range(200)]
    serial = [transform(image=image)["image"] for image in images]
    with ThreadPoolExecutor(8) as pool:
        parallel = list(pool.map(lambda image: transform(image=image)["image"], images))
    assert all(map(np.array_equal, parallel, serial))


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "k\n"),
        ({"k": 0}, "Expected `k` to be a positive int or a pair of them, but got 0"),
        ({"k": "a"}, "Expected `k` to be a positive int or a pair of them, but got 'a'"),
        ({"k": 2.5}, "Expected `k` to be a positive int"),
        ({"k": 8, "p": 2}, "p\n"),
        ({"k": 8, "score": "latice"}, "did you mean 'lattice'"),
        ({"k": 8, "score": {"name": "lattice", "batch": 1}}, "batch"),
        ({"k": 8, "shifts": "cylic"}, "Expected `shifts` to be 'realistic' or 'cyclic'"),
        ({"k": 8, "score": "hash", "subpixel": True}, "Expected a smooth score"),
        ({"k": 8, "subpixel": "yes"}, "Expected `subpixel` to be True or False"),
    ],
    ids=str,
)
def test_arguments_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RICSCrop(**settings)


def test_images_that_cannot_be_cropped() -> None:
    with pytest.raises(ValueError, match="Expected `k` to be at most the image size"):
        RICSCrop(41)(image=pixels(40, 48, 3))
    with pytest.raises(ValueError, match="NaN|finite"):
        RICSCrop(8)(image=np.full((16, 16, 3), np.nan, np.float32))


def test_a_sample_without_an_image() -> None:
    with pytest.raises(ValueError if IS_X else KeyError, match="image"):
        RICSCrop(8)(mask=pixels(16, 16, 1))


# --- what is installed ---------------------------------------------------------------------------

NEEDED = {"albumentations": "2.0.8", "albumentationsx": "2.4.7"}


@pytest.mark.parametrize(
    ("installed", "passes"),
    [
        ({"albumentations": "2.0.7"}, False),
        ({"albumentations": "2.0.8"}, True),
        ({"albumentationsx": "2.4.6"}, False),
        ({"albumentationsx": "2.4.7"}, True),
        ({"albumentations": "2.0.8", "albumentationsx": "2.4.6"}, False),  # X is what is imported
    ],
    ids=str,
)
def test_versions(installed: dict[str, str], passes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.delitem(sys.modules, MODULE)
    if passes:
        importlib.import_module(MODULE)
        return
    with pytest.raises(ImportError, match="Expected albumentationsx?>=2"):
        importlib.import_module(MODULE)
