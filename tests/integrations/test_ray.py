"""Crops and measurements over Ray Data against a local run, also after an actor is killed."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rics_transforms import RICSCrop, RICSResizedCrop, ShiftReport, locate, rics_crop, verify
from rics_transforms.verification.records import Record

ray = pytest.importorskip("ray", reason="needs ray")
from rics_transforms.integrations.ray import (  # noqa: E402
    RayMapper,
    RICSBatch,
    RICSResizedBatch,
)

# Ray warns of its own settings when it reads them.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:ray",
    "ignore::FutureWarning:ray",
    "ignore:subprocess .* is still running:ResourceWarning",  # Ray 2.40 leaves its own running,
    "ignore:unclosed file .*ray.session:ResourceWarning",  # and their logs open
)

SCENES = 12


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def named(photos: Tensor) -> list[tuple[str, Tensor, int]]:
    return [
        (f"{i:02d}", photos[i, :, 40 : 90 + i % 3, 60:110].contiguous(), i % 3)
        for i in range(SCENES)
    ]


def as_dataset(named: list[tuple[str, Tensor, int]]) -> Any:
    return ray.data.from_items([
        {"id": name, "image": scene.movedim(0, -1).numpy(), "label": label}
        for name, scene, label in named
    ])  # fmt: skip


def model(images: Tensor) -> tuple[Tensor, Tensor]:
    cells = torch.nn.functional.adaptive_avg_pool2d(images.double(), 4).flatten(1)
    weight = torch.randn(48, 3, generator=torch.Generator().manual_seed(0)).double()
    return (cells - cells.mean(1, keepdim=True)) @ weight / 20, cells


# --- crops ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shifts", ["realistic", "cyclic"])
def test_batches_of_any_sizes(named: list[Any], every_score: Any, shifts: Any) -> None:
    images = np.empty(len(named), object)
    images[:] = [scene.movedim(0, -1).numpy() for _, scene, _ in named]
    for image in images:
        image.flags.writeable = False  # as Ray hands them over
    batch = RICSBatch(24, score=every_score, shifts=shifts, output_column="crop")({"image": images})
    assert batch["top"].dtype == batch["left"].dtype == np.int64
    for i, (_, scene, _) in enumerate(named):
        origin = locate(scene, 24, score=every_score, shifts=shifts)
        assert [batch["top"][i], batch["left"][i]] == origin.tolist()
        crop = rics_crop(scene, 24, score=every_score, shifts=shifts)
        assert np.array_equal(batch["crop"][i], crop.movedim(0, -1).numpy())


@pytest.mark.parametrize("shifts", ["realistic", "cyclic"])
def test_subpixel_batches(named: list[Any], every_score: Any, shifts: Any) -> None:
    options: Any = {"score": every_score, "shifts": shifts, "subpixel": True}
    if not every_score.smooth:
        with pytest.raises(ValueError, match="Expected a smooth score with subpixel=True"):
            RICSBatch(24, **options)
        return
    images = np.empty(len(named), object)
    images[:] = [scene.movedim(0, -1).numpy() for _, scene, _ in named]
    batch = RICSBatch(24, output_column="crop", **options)({"image": images})
    assert batch["top"].dtype == batch["left"].dtype == np.float64
    for i, (_, scene, _) in enumerate(named):
        origin = locate(scene, 24, **options)
        assert [batch["top"][i], batch["left"][i]] == origin.tolist()
        assert np.array_equal(batch["crop"][i], rics_crop(scene, 24, **options).movedim(0, -1))
    assert RICSBatch(24, **options)({"image": images[:0]})["top"].dtype == np.float64


@pytest.mark.parametrize("subpixel", [False, True])
def test_batches_before_the_resize(named: list[Any], every_score: Any, subpixel: bool) -> None:
    if subpixel and not every_score.smooth:
        return
    options: Any = {"score": every_score, "subpixel": subpixel}
    images = np.empty(len(named), object)
    images[:] = [scene.movedim(0, -1).numpy() for _, scene, _ in named]
    transform = RICSResizedCrop((20, 24), **options, return_origin=True)
    batch = RICSResizedBatch((20, 24), output_column="pixels", **options)({"image": images})
    for i, (_, scene, _) in enumerate(named):
        pixels, origin = transform(scene)
        field = transform.field_of(scene.shape[-2:])
        assert batch["field"][i].tolist() == [*field.origin, *field.size]
        assert batch["crop"][i].tolist() == [*origin.tolist(), *field.k]
        assert np.array_equal(batch["pixels"][i], pixels.movedim(0, -1).numpy())
    empty = RICSResizedBatch((20, 24), output_column="pixels", **options)(
        {"image": np.zeros((0, 30, 30, 3), np.uint8)}
    )
    assert empty["field"].shape == empty["crop"].shape == (0, 4)
    assert empty["crop"].dtype == (np.float64 if subpixel else np.int64)
    assert empty["pixels"].shape == (0, 20, 24, 3)


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        (np.zeros((0, 30, 30, 3), np.uint8), (0, 20, 24, 3)),
        (np.zeros((0, 30, 30), np.float32), (0, 20, 24, 1)),
        (np.empty(0, object), (0,)),  # images of any sizes
    ],
)
def test_an_empty_batch(images: Any, shape: tuple[int, ...]) -> None:
    batch = RICSBatch((20, 24), score="random", output_column="crop")({"image": images})
    assert batch["top"].shape == batch["left"].shape == (0,)
    assert batch["crop"].shape == shape and batch["crop"].dtype == images.dtype


def test_columns() -> None:
    images = {"image": np.zeros((2, 30, 30, 3), np.uint8), "label": np.arange(2)}
    assert list(RICSBatch(20)(images)) == ["image", "label", "top", "left"]
    batch = RICSBatch(20, output_column="image", location_columns=None)
    assert {name: column.shape for name, column in batch(images).items()} == {
        "image": (2, 20, 20, 3),
        "label": (2,),
    }
    assert list(RICSBatch(20, location_columns=("y", "x"))(images))[2:] == ["y", "x"]
    with pytest.raises(ValueError, match="but got neither"):
        RICSBatch(20, location_columns=None)


def test_an_object_array_of_one_image() -> None:
    image = np.arange(40 * 36 * 3, dtype=np.uint16).reshape(40, 36, 3)
    whole = np.array([image], object)  # NumPy takes it apart, to ints of Python
    assert whole.shape == (1, 40, 36, 3)
    batch = RICSBatch(24, output_column="crop")({"image": whole})
    assert [batch["top"][0], batch["left"][0]] == locate(image, 24).tolist()
    assert np.array_equal(batch["crop"][0], rics_crop(image, 24))


def test_the_other_byte_order() -> None:
    image = np.random.default_rng(0).integers(0, 2**16, (40, 36, 1)).astype(np.uint16)
    batch = RICSBatch(24, output_column="crop")({"image": image.astype(">u2")[None]})
    assert np.array_equal(batch["crop"][0], rics_crop(image, 24))


def test_grey_images_and_others() -> None:
    grey = np.arange(900, dtype=np.uint8).reshape(1, 30, 30)
    assert RICSBatch(20, output_column="crop")({"image": grey})["crop"].shape == (1, 20, 20, 1)
    with pytest.raises(ValueError, match=r"\[H, W, C\] or \[H, W\], but got shape \(2,\)"):
        RICSBatch(20)({"image": np.zeros((3, 2))})


@pytest.mark.slow
def test_a_dataset(cluster: None, named: list[Any]) -> None:
    found = as_dataset(named).map_batches(
        RICSBatch,
        fn_constructor_kwargs={"k": 24, "output_column": "crop"},
        batch_format="numpy",
        batch_size=5,
        compute=ray.data.ActorPoolStrategy(size=1),
    )
    rows = {row["id"]: row for row in found.take_all()}
    assert len(rows) == SCENES
    for name, scene, _ in named:
        assert [rows[name]["top"], rows[name]["left"]] == locate(scene, 24).tolist()
        crop = rics_crop(scene, 24).movedim(0, -1).numpy()
        assert np.array_equal(rows[name]["crop"], crop)


# --- measurements --------------------------------------------------------------------------------


def measured(images: Any, path: Path | None = None, **options: Any) -> ShiftReport:
    return verify(
        images, RICSCrop(24), model=model, n=32, deltas=(1, 3), records=path, command="-", **options
    )


@pytest.mark.slow
def test_a_run_over_ray_goes_on_and_equals_a_local_one(
    cluster: None, named: list[Any], tmp_path: Path
) -> None:
    path = tmp_path / "records.jsonl"
    local = measured(named, path, neighbours="others")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:4]))  # of three images, as if it had stopped there
    spread = RayMapper(actors=2, batch_size=3, label_column="label")
    far = measured(as_dataset(named), path, mapper=spread, neighbours="others")
    assert far.rows == local.rows and far.records == local.records
    assert ShiftReport.load(path).records == local.records
    assert path.read_text().splitlines(keepends=True)[:4] == lines[:4]


class Mortal:
    """A centre crop whose process is killed at one image, once."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark
        self.calls = 0

    def __repr__(self) -> str:
        return "Mortal()"

    def __call__(self, view: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == 20 and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return view[:, 4:28, 4:28]


@pytest.mark.slow
def test_nothing_is_lost_or_double_when_an_actor_is_killed(
    cluster: None, named: list[Any], tmp_path: Path
) -> None:
    path, mark = tmp_path / "records.jsonl", tmp_path / "killed"
    spread = RayMapper(actors=1, batch_size=2, label_column="label")
    options: dict[str, Any] = {"model": model, "n": 32, "deltas": [1], "command": "-"}
    far = verify(as_dataset(named), Mortal(mark), mapper=spread, records=path, **options)
    assert mark.exists()
    local = verify(named, Mortal(mark), **options)
    assert far.records == local.records
    written = [Record.from_json(line).id for line in path.read_text().splitlines()[1:]]
    assert sorted(written) == [name for name, *_ in named]


def test_a_mapper_needs_the_window(named: list[Any]) -> None:
    with pytest.raises(ValueError, match="`n` together with a `mapper`"):
        verify(named, RICSCrop(24), mapper=RayMapper())
