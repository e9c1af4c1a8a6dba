"""Every int, wherever it is taken: which types, which values, and which error for the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor

import rics_transforms
from rics_transforms import Lattice, Random, RICSCrop, certify, locate, stability, verify
from rics_transforms import export as export_graph
from rics_transforms._arguments import as_number, require_name
from rics_transforms.data.photos import folder_scenes, scenes
from rics_transforms.explanation import explain
from rics_transforms.folder import crop_folder
from rics_transforms.models import as_model
from rics_transforms.shifts import Cyclic, Embedded, Grid, Realistic, Rescaled
from rics_transforms.shifts.disturbances import Jpeg
from rics_transforms.theory import (
    consistency_bound,
    consistency_limit,
    crop_positions,
    crop_size_for,
    expected_consistency,
    lattice_order,
    patch_size,
    robustness_bound,
    robustness_limit,
)

from .conftest import random_image

IMAGE = random_image(3, 16, 18)
PICTURE = PIL.Image.effect_noise((18, 16), 50)


class Entrance(NamedTuple):
    """A call with one int in it, the smallest that it takes, and one that it takes."""

    call: Callable[[Any], object]
    smallest: int
    good: int


def shown(**options: Any) -> object:
    return [row.value for row in verify([IMAGE], **{"transform": RICSCrop(8), **options}).rows]


def told(images: Tensor) -> Tensor:
    return images.float().mean((2, 3))


ENTRANCES = {
    "locate k": Entrance(lambda x: locate(IMAGE, x).tolist(), 1, 9),
    "RICSCrop k": Entrance(lambda x: repr(RICSCrop(x)), 1, 9),
    "rics_crop k": Entrance(lambda x: rics_transforms.rics_crop(IMAGE, x).tolist(), 1, 9),
    "score_map k": Entrance(lambda x: rics_transforms.score_map(IMAGE, x).tolist(), 1, 9),
    "score_map level": Entrance(
        lambda x: rics_transforms.score_map(IMAGE, 9, level=x).tolist(), 0, 1
    ),
    "locate_windows n": Entrance(lambda x: RICSCrop(8).locate_windows(IMAGE, x).tolist(), 1, 12),
    "certify delta": Entrance(lambda x: certify(IMAGE, 8, x), 0, 2),
    "certify n": Entrance(lambda x: certify(IMAGE, 8, 1, n=x), 1, 12),
    "stability delta": Entrance(lambda x: float(stability(IMAGE, 8, x)), 0, 2),
    "crop_positions n": Entrance(lambda x: crop_positions(x, 1), 1, 9),
    "lattice_order min_patch": Entrance(lambda x: lattice_order(64, 48, x), 1, 9),
    "patch_size order": Entrance(lambda x: patch_size(64, 48, x), 1, 2),
    "robustness_bound delta": Entrance(lambda x: robustness_bound(64, 48, x), 0, 2),
    "robustness_bound order": Entrance(lambda x: robustness_bound(64, 48, 1, x), 1, 2),
    "consistency_bound delta": Entrance(lambda x: consistency_bound(64, 48, x), 0, 2),
    "expected_consistency delta": Entrance(lambda x: expected_consistency(64, 48, x), 0, 2),
    "robustness_limit delta": Entrance(lambda x: robustness_limit(64, 48, x), 0, 2),
    "consistency_limit delta": Entrance(lambda x: consistency_limit(64, 48, x), 0, 2),
    "crop_size_for delta": Entrance(lambda x: crop_size_for(64, x, 0.5), 0, 1),
    "crop_size_for order": Entrance(lambda x: crop_size_for(64, 1, 0.5, x), 1, 2),
    "Lattice order": Entrance(lambda x: repr(Lattice(x)), 1, 2),
    "Random seed": Entrance(lambda x: repr(Random(seed=x)), 0, 7),
    "Random modulus": Entrance(lambda x: repr(Random(modulus=x)), 2, 7),
    "Realistic delta": Entrance(lambda x: repr(Realistic(x)), 0, 2),
    "Realistic samples": Entrance(lambda x: repr(Realistic(samples=x)), 1, 2),
    "Realistic seed": Entrance(lambda x: repr(Realistic(seed=x)), 0, 2),
    "Cyclic samples": Entrance(lambda x: repr(Cyclic(x)), 0, 2),
    "Cyclic seed": Entrance(lambda x: repr(Cyclic(seed=x)), 0, 2),
    "Grid samples": Entrance(lambda x: repr(Grid("half", x)), 1, 2),
    "Grid seed": Entrance(lambda x: repr(Grid("half", seed=x)), 0, 2),
    "Embedded short": Entrance(lambda x: repr(Embedded(x)), 1, 9),
    "Rescaled short": Entrance(lambda x: repr(Rescaled(x)), 1, 9),
    "Jpeg quality": Entrance(lambda x: repr(Jpeg(x)), 1, 90),
    "Model batch_size": Entrance(lambda x: as_model(told, batch_size=x).batch_size, 1, 2),
    "scenes size": Entrance(lambda x: repr(scenes(x, 1)), 1, 9),
    "scenes minimum": Entrance(lambda x: repr(scenes(32, x)), 1, 9),
    "explain k": Entrance(lambda x: len(explain(PICTURE, x).subfigs), 1, 9),
    "explain shift": Entrance(lambda x: len(explain(PICTURE, 9, shift=x).subfigs[0].axes), 0, 2),
    "verify n": Entrance(lambda x: shown(n=x, deltas=[1]), 1, 12),
    "verify deltas": Entrance(lambda x: shown(deltas=[x]), 0, 2),
    "verify seed": Entrance(lambda x: shown(deltas=[1], seed=x), 0, 2),
}

WRONG = [True, np.True_, 2.0, np.float64(2), "2", [2.0, 2.0]]


@pytest.fixture(params=ENTRANCES.values(), ids=ENTRANCES)
def entrance(request: pytest.FixtureRequest) -> Entrance:
    found: Entrance = request.param
    return found


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_another_type_is_a_type_error(entrance: Entrance, wrong: object) -> None:
    with pytest.raises(TypeError, match=r"^Expected `\S+` to be an? .*int.*, but got "):
        entrance.call(wrong)


def test_a_value_out_of_range_is_a_value_error(entrance: Entrance) -> None:
    for small in (entrance.smallest - 1, -(10**30)):
        with pytest.raises(ValueError, match=r"^Expected `\S+` to be an? .*int.*, but got "):
            entrance.call(small)


def test_numpy_ints_are_ints(entrance: Entrance) -> None:
    assert entrance.call(np.int64(entrance.good)) == entrance.call(entrance.good)


# --- entrances that need a folder ----------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    PICTURE.save(tmp_path / "in" / "a.png")
    return tmp_path


@pytest.mark.parametrize("name", ["k", "resize", "n", "workers"])
def test_ints_of_a_folder_of_crops(folder: Path, name: str) -> None:
    source, options = folder / "in", {"k": 9, "workers": 1}
    for wrong in WRONG:
        with pytest.raises(TypeError, match=f"^Expected `{name}` to be a positive int"):
            crop_folder(source, folder / "out", **{**options, name: wrong})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"^Expected `{name}` to be a positive int"):
        crop_folder(source, folder / "out", **{**options, name: 0})
    good = 1 if name == "workers" else 12
    for number in (good, np.int64(good)):  # with the same settings, or it would be refused
        report = crop_folder(source, folder / "out", **{**options, name: number})  # type: ignore[arg-type]
        assert not report.failures


def test_the_size_of_scenes_of_a_folder(folder: Path) -> None:
    for wrong in WRONG:
        with pytest.raises(TypeError, match="^Expected `size` to be a positive int"):
            folder_scenes(folder, wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="^Expected `size` to be a positive int"):
        folder_scenes(folder, 0)
    assert repr(folder_scenes(folder, np.int64(9))) == repr(folder_scenes(folder, 9))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["n", "batch", "channels"])
def test_ints_of_an_exported_graph(folder: Path, name: str) -> None:
    options = {"n": 12, "format": "pt2"}
    for wrong in WRONG:
        with pytest.raises(TypeError, match=f"^Expected `{name}` to be a positive int"):
            export_graph(RICSCrop(9), folder / "x.pt2", **{**options, name: wrong})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"^Expected `{name}` to be a positive int"):
        export_graph(RICSCrop(9), folder / "x.pt2", **{**options, name: 0})  # type: ignore[arg-type]


# --- other arguments -----------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [True, "1", None, (1,), 1j, torch.ones(1)], ids=repr)
def test_what_is_no_number_is_a_type_error(wrong: object) -> None:
    with pytest.raises(TypeError, match="Expected `x` to be a positive number, but got"):
        as_number(wrong, "x")


@pytest.mark.parametrize("wrong", [0, -1.0, float("nan"), float("inf"), np.float32(1.5)], ids=repr)
def test_a_number_out_of_range_is_a_value_error(wrong: float) -> None:
    with pytest.raises(ValueError, match="Expected `x` to be a positive number of at most 1, but"):
        as_number(wrong, "x", 1)


def test_numbers_become_python_s() -> None:
    assert as_number(0, "x", zero=True) == 0
    for number in (np.int32(3), np.float64(2.5), np.float32(0.5)):
        read = as_number(number, "x")
        assert read == number and type(read) in (int, float)


def test_a_name_of_another_type_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="Expected `layer` to be a name, but got 7."):
        require_name("layer", 7, ["conv"])  # type: ignore[arg-type]
