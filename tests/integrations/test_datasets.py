"""RICSBatch for Hugging Face datasets."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from rics_transforms import Ladder, Lattice, RICSCrop, RICSResizedCrop, Score, locate, rics_crop
from rics_transforms.engine.images import from_pil

os.environ |= {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
datasets = pytest.importorskip("datasets")
from rics_transforms.integrations import datasets as adapter  # noqa: E402
from rics_transforms.integrations.datasets import RICSBatch, RICSResizedBatch  # noqa: E402

MODULE = "rics_transforms.integrations.datasets"
K = (24, 20)


@pytest.fixture(autouse=True)
def _no_traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def picture(seed: int, *shape: int, mode: str | None = None) -> PIL.Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, shape or (40, 36, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels, mode) if mode else PIL.Image.fromarray(pixels)


def encoded(image: PIL.Image.Image, format: str = "JPEG", **options: Any) -> dict[str, Any]:
    file = io.BytesIO()
    image.save(file, format, **options)
    return {"bytes": file.getvalue(), "path": None}


def dataset(images: list[Any], folder: Path | None = None) -> Any:
    """Images with their numbers; given a folder, on disk, so that `map` caches there."""
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    columns = {"image": images, "label": list(range(len(images)))}
    made = datasets.Dataset.from_dict(columns, features=features)
    if folder is None:
        return made
    made.save_to_disk(folder / "dataset")
    return datasets.load_from_disk(folder / "dataset")


def photos(count: int = 8) -> list[dict[str, Any]]:
    """JPEG files of different sizes, compressed otherwise than datasets would."""
    sizes = [(40 + i % 3, 36 + i % 4, 3) for i in range(count)]
    return [encoded(picture(i, *size), quality=95) for i, size in enumerate(sizes)]


def stored(made: Any) -> list[Any]:
    undecoded = made.cast_column("image", datasets.Image(decode=False))["image"]
    return [None if image is None else image["bytes"] for image in undecoded]


def missing(shape: tuple[int, ...]) -> Any:
    """What datasets reads where an array is missing: None, or before 5.1 lists of NaN."""
    features = datasets.Features({"array": datasets.Array3D(shape, "uint8")})
    return datasets.Dataset.from_dict({"array": [None]}, features=features)[0]["array"]


def origins(made: Any) -> list[list[int]]:
    return [list(pair) for pair in zip(made["top"], made["left"], strict=True)]


# --- map -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shifts", ["realistic", "cyclic"])
def test_columns_and_pixels_are_those_of_the_core(every_score: Score, shifts: Any) -> None:
    made = dataset(photos())
    batch = RICSBatch(K, score=every_score, shifts=shifts, output_column="crop")
    out = made.map(batch, batched=True, batch_size=3, features=batch.features(made.features))
    assert out.column_names == ["image", "label", "top", "left", "crop"]
    images = list(made["image"])
    expected = [locate(image, K, score=every_score, shifts=shifts).tolist() for image in images]
    assert origins(out) == expected
    for image, crop in zip(images, out.with_format("numpy")["crop"], strict=True):
        pixels = rics_crop(image, K, score=every_score, shifts=shifts)
        assert np.array_equal(np.moveaxis(crop, -1, 0), pixels.numpy())


@pytest.mark.parametrize("shifts", ["realistic", "cyclic"])
def test_subpixel_columns_and_pixels_are_those_of_the_core(every_score: Score, shifts: Any) -> None:
    options: Any = {"score": every_score, "shifts": shifts, "subpixel": True}
    if not every_score.smooth:
        with pytest.raises(ValueError, match="Expected a smooth score with subpixel=True"):
            RICSBatch(K, **options)
        return
    made = dataset([*photos(), None])
    batch = RICSBatch(K, output_column="crop", **options)
    out = made.map(batch, batched=True, batch_size=3, features=batch.features(made.features))
    assert out.features["top"] == out.features["left"] == datasets.Value("float64")
    images = list(made["image"])[:-1]
    expected = [locate(image, K, **options).tolist() for image in images]
    assert origins(out) == [*expected, [None, None]]
    assert any(top % 1 for top, _ in expected)
    cropped = out.select(range(len(images))).with_format("numpy")["crop"]
    for image, crop in zip(images, cropped, strict=True):
        assert np.array_equal(np.moveaxis(crop, -1, 0), rics_crop(image, K, **options))
    assert origins(made.map(batch, batched=True)) == origins(out)


@pytest.mark.parametrize("subpixel", [False, True])
def test_fields_and_crops_before_the_resize_are_those_of_the_core(
    every_score: Score, subpixel: bool
) -> None:
    if subpixel and not every_score.smooth:
        return
    options: Any = {"score": every_score, "subpixel": subpixel, "field": Ladder(1.2)}
    transform = RICSResizedCrop(K, **options, return_origin=True)
    batch = RICSResizedBatch(K, **options, output_column="pixels")
    made = dataset([*photos(), None])
    mapped = made.map(batch, batched=True, features=batch.features(made.features))
    assert stored(mapped) == stored(made)
    *rows, last = mapped
    for row in rows:
        pixels, origin = transform(from_pil(row["image"]))
        field = transform.field_of(row["image"].size[::-1])
        assert row["field"] == [*field.origin, *field.size]
        assert row["crop"] == [*origin.tolist(), *field.k]
        assert np.array_equal(row["pixels"], pixels.movedim(0, -1).numpy())
    assert last["field"] is last["crop"] is None
    places = made.map(RICSResizedBatch(K, **options), batched=True)
    assert places["crop"][:] == mapped["crop"][:] and "pixels" not in places.column_names
    assert pickle.loads(pickle.dumps(batch)).options == options


def test_arguments_before_the_resize_are_refused_early() -> None:
    with pytest.raises(ValueError, match="Expected `ratio` to be a positive number"):
        RICSResizedBatch(K, ratio=2)
    with pytest.raises(ValueError, match="Expected `output_column` or `location_columns`"):
        RICSResizedBatch(K, location_columns=None)
    with pytest.raises(ValueError, match="Expected images with room for a field"):
        RICSResizedBatch(K)({"image": [picture(0, 1, 40, 3)]})


@pytest.mark.parametrize("output", [None, "crop"])
def test_the_stored_images_stay_as_they_are(output: str | None) -> None:
    files = [*photos(), encoded(picture(9), "PNG"), encoded(picture(9), "WEBP"), None]
    made = dataset(files)
    out = made.map(RICSBatch(K, output_column=output), batched=True, batch_size=4)
    assert stored(out) == stored(made) == [file and file["bytes"] for file in files]


def test_the_crop_may_take_the_place_of_the_image() -> None:
    made = dataset([*photos(), None])
    batch = RICSBatch(K, output_column="image", location_columns=None)
    out = made.map(batch, batched=True, features=batch.features(made.features))
    assert out.features["image"] == datasets.Array3D((*K, 3), "uint8")
    assert repr(out[8]["image"]) == repr(missing((*K, 3)))  # NaN is not equal to itself
    assert out.data.column("image").is_null().to_pylist() == [False] * 8 + [True]
    crop = out.select([0]).with_format("torch", dtype=torch.uint8)[0]["image"]
    assert crop.dtype == torch.uint8
    assert torch.equal(crop.movedim(-1, 0), rics_crop(made[0]["image"], K))


def test_names_of_columns() -> None:
    made = dataset(photos()).rename_column("image", "photo")
    out = made.map(RICSBatch(K, image_column="photo", location_columns=("y", "x")), batched=True)
    assert out.column_names == ["photo", "label", "y", "x"]
    assert [out[0]["y"], out[0]["x"]] == locate(made[0]["photo"], K).tolist()


def test_undecoded_images() -> None:
    made = dataset([*photos(), None])
    undecoded = made.cast_column("image", datasets.Image(decode=False))
    batch = RICSBatch(K)
    assert origins(undecoded.map(batch, batched=True)) == origins(made.map(batch, batched=True))


@pytest.mark.parametrize("decode", [True, False])
def test_images_are_upright(decode: bool) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # orientation: turned by a quarter
    made = dataset([encoded(picture(0, 40, 36, 3), quality=95, exif=exif)])
    upright = made[0]["image"]
    assert upright.size == (40, 36)
    out = made.cast_column("image", datasets.Image(decode=decode)).map(RICSBatch(K), batched=True)
    assert origins(out) == [locate(upright, K).tolist()]


def test_paths(tmp_path: Path) -> None:
    picture(0).save(tmp_path / "image.png")
    made = dataset([str(tmp_path / "image.png")])
    for decode in (True, False):
        cast = made.cast_column("image", datasets.Image(decode=decode))
        assert origins(cast.map(RICSBatch(K), batched=True)) == [locate(picture(0), K).tolist()]


def test_prepared_images() -> None:
    prepare = v2.Compose([v2.Resize(32), v2.CenterCrop(30)])
    made = dataset(photos())
    out = made.map(RICSBatch(K, prepare=prepare), batched=True)
    assert origins(out) == [locate(prepare(image), K).tolist() for image in made["image"]]


# --- modes ---------------------------------------------------------------------------------------


def palette(transparent: bool) -> PIL.Image.Image:
    image = picture(1, 40, 36, 3).quantize(32)
    if transparent:
        image.info["transparency"] = 3
    return image


MODES: dict[str, PIL.Image.Image] = {
    "L": picture(1, 40, 36),
    "LA": picture(1, 40, 36, 2),
    "RGB": picture(1, 40, 36, 3),
    "RGBA": picture(1, 40, 36, 4),
    "CMYK": picture(1, 40, 36, 4).convert("CMYK"),
    "P": palette(transparent=False),
    "P with transparency": palette(transparent=True),
    "1": picture(1, 40, 36).convert("1"),
    "I;16": PIL.Image.fromarray(
        np.random.default_rng(1).integers(0, 2**16, (40, 36)).astype(np.uint16)
    ),
}
CHANNELS = {"LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "P": 3, "P with transparency": 4}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("decode", [True, False])
def test_every_mode(mode: str, decode: bool) -> None:
    image = MODES[mode]
    assert image.mode == mode.partition(" ")[0]
    file = encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    made = dataset([file]).cast_column("image", datasets.Image(decode=decode))
    _, _, (row,), lefts, (crop,) = RICSBatch(K, output_column="crop")(made[:]).values()
    assert [row, *lefts] == locate(image, K).tolist()
    assert crop.shape == (*K, CHANNELS.get(mode, 1))
    assert crop.dtype == (np.uint16 if mode == "I;16" else np.uint8)
    assert np.array_equal(np.moveaxis(crop, -1, 0), rics_crop(image, K).numpy())
    (between,) = RICSBatch(K, output_column="crop", subpixel=True)(made[:])["crop"]
    array = np.moveaxis(np.asarray(from_pil(image)), 0, -1).astype(crop.dtype)
    assert np.array_equal(between, rics_crop(array, K, subpixel=True))


def test_a_palette_counts_as_its_colours() -> None:
    image = MODES["P"]
    as_colours = locate(image.convert("RGB"), K).tolist()
    as_indices = locate(torch.from_numpy(np.array(image))[None], K).tolist()
    assert as_colours != as_indices
    found = RICSBatch(K)({"image": [image]})
    assert [found["top"], found["left"]] == [[as_colours[0]], [as_colours[1]]]


def test_the_other_byte_order() -> None:
    image = MODES["I;16"]
    swapped = PIL.Image.frombytes("I;16B", image.size, np.asarray(image).astype(">u2").tobytes())
    _, (top,), (left,) = RICSBatch(K)({"image": [swapped]}).values()
    assert [top, left] == locate(image, K).tolist()


def test_modes_in_one_column_and_missing_images() -> None:
    made = dataset([*MODES.values(), None])
    out = made.map(RICSBatch(K), batched=True, batch_size=4)
    assert stored(out) == stored(made)
    expected = [locate(image, K).tolist() for image in made["image"][:-1]]
    assert origins(out) == [*expected, [None, None]]


def test_nothing_but_missing_images() -> None:
    made = dataset([None, None])
    batch = RICSBatch(K, output_column="crop")
    out = made.map(batch, batched=True, features=batch.features(made.features))
    row = out[1]
    assert repr(row.pop("crop")) == repr(missing((*K, 3)))
    assert row == {"image": None, "label": 1, "top": None, "left": None}
    assert out.data.column("crop").null_count == 2
    assert batch({"image": []}) == {"image": [], "top": [], "left": [], "crop": []}


# --- transforms and streams ----------------------------------------------------------------------


def test_with_transform_and_set_transform() -> None:
    made = dataset(photos())
    batch = RICSBatch(K, output_column="image", location_columns=None)
    lazy = made.with_transform(batch)
    made_lazy = dataset(photos())
    made_lazy.set_transform(batch, columns=["image"], output_all_columns=True)
    expected = [rics_crop(image, K).movedim(0, -1).numpy() for image in made["image"]]
    assert [row["label"] for row in lazy] == list(range(8))
    for rows in (lazy[:]["image"], [row["image"] for row in lazy], made_lazy[:]["image"]):
        assert all(map(np.array_equal, rows, expected))
    loaded = next(iter(DataLoader(lazy, batch_size=8)))
    assert np.array_equal(loaded["image"].numpy(), expected)


def test_pixels_that_nobody_asked_for_are_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RICSCrop, "transform", None)
    assert RICSBatch(K)({"image": photos()})["top"][0] is not None
    with pytest.raises(TypeError):
        RICSBatch(K, output_column="crop")({"image": photos()})


def test_other_columns_stay_in_every_mode() -> None:
    made = dataset(photos())
    for batch, new in (
        (RICSBatch(K), ["top", "left"]),
        (RICSBatch(K, output_column="image", location_columns=None), []),
        (RICSBatch(K, output_column="crop"), ["top", "left", "crop"]),
    ):
        names = ["image", "label", *new]
        stream = made.to_iterable_dataset().map(batch, batched=True)
        row = made.with_transform(batch)[0]
        mapped = made.map(batch, batched=True, features=batch.features(made.features))
        assert list(row) == mapped.column_names == list(next(iter(stream))) == names
        assert row["label"] == 0
    less = {"batched": True, "remove_columns": ["image"]}
    assert made.map(RICSBatch(K), **less).column_names == ["label", "top", "left"]
    assert list(next(iter(made.to_iterable_dataset().map(RICSBatch(K), **less)))) == [
        "label", "top", "left",
    ]  # fmt: skip


def test_stream() -> None:
    made = dataset([*photos(), None])
    batch = RICSBatch(K, output_column="crop")
    features = batch.features(made.features)
    stream = made.to_iterable_dataset(num_shards=2).map(batch, batched=True, features=features)
    mapped = made.map(batch, batched=True, features=features)
    assert stream.features == mapped.features
    for row, expected in zip(stream, mapped, strict=True):
        assert row["image"] == expected["image"]
        assert [row["top"], row["left"]] == [expected["top"], expected["left"]]
        if expected["top"] is not None:  # else see `missing`
            assert np.array_equal(row["crop"], expected["crop"])


# --- processes and fingerprints ------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # fork
def test_several_processes() -> None:
    made = dataset(photos())
    serial = made.map(RICSBatch(K), batched=True)
    parallel = made.map(RICSBatch(K), batched=True, batch_size=2, num_proc=2, with_rank=True)
    assert origins(parallel) == origins(serial)


def test_ranks_share_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for available in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=available: found)
        devices = [str(adapter._device(rank)) for rank in (None, 0, 1, 2)]
        assert devices == ["cpu", *(["cuda:0", "cuda:1", "cuda:0"] if available else ["cpu"] * 3)]


def test_pickle() -> None:
    batch = RICSBatch(K, score=Lattice(patch="hash"), output_column="crop")
    rows = dataset(photos())[:]
    twin = pickle.loads(pickle.dumps(batch))
    assert twin(rows)["top"] == batch(rows)["top"]


SETTINGS = {
    "plain": "RICSBatch(24)",
    "pair": "RICSBatch((24, 20))",
    "name": "RICSBatch(24, score='hash')",
    "score": "RICSBatch(24, score=Lattice(patch='hash'))",
    "cyclic": "RICSBatch(24, shifts='cyclic')",
    "subpixel": "RICSBatch(24, subpixel=True)",
    "output": "RICSBatch(24, output_column='crop')",
    "columns": "RICSBatch(24, location_columns=('y', 'x'))",
    "prepare": "RICSBatch(24, prepare=v2.Compose([v2.Resize(32), v2.CenterCrop(30)]))",
}


def hashes() -> dict[str, str]:
    return {name: datasets.fingerprint.Hasher.hash(eval(code)) for name, code in SETTINGS.items()}


@pytest.mark.slow
def test_fingerprints_differ_and_are_the_same_in_another_process() -> None:
    script = (
        "import json, datasets\n"
        "from torchvision.transforms import v2\n"
        "from rics_transforms import Lattice\n"
        f"from {MODULE} import RICSBatch\n"
        f"hash, settings = datasets.fingerprint.Hasher.hash, {SETTINGS!r}\n"
        "print(json.dumps({name: hash(eval(code)) for name, code in settings.items()}))\n"
    )
    ours = hashes()
    assert len(set(ours.values())) == len(SETTINGS)
    assert json.loads(run(script, PYTHONHASHSEED="7").stdout) == ours


def test_a_call_does_not_change_the_fingerprint() -> None:
    batch = RICSBatch(K)
    before = datasets.fingerprint.Hasher.hash(batch)
    batch(dataset(photos())[:])
    assert datasets.fingerprint.Hasher.hash(batch) == before


def test_the_cache_lasts_until_the_version_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = dataset(photos(), tmp_path)
    calls: list[int] = []
    call = RICSBatch.__call__

    def counted(self: RICSBatch, batch: Any, rank: int | None = None) -> Any:
        calls.append(1)
        return call(self, batch, rank)

    monkeypatch.setattr(RICSBatch, "__call__", counted)
    first = made.map(RICSBatch(K), batched=True)
    again = made.map(RICSBatch(K), batched=True)
    assert (len(calls), again._fingerprint) == (1, first._fingerprint)
    monkeypatch.setattr(adapter, "__version__", "999")
    assert made.map(RICSBatch(K), batched=True)._fingerprint != first._fingerprint
    assert len(calls) == 2


# --- mistakes ------------------------------------------------------------------------------------


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="Expected `output_column` or `location_columns`"):
        RICSBatch(K, location_columns=None)
    with pytest.raises(ValueError, match="Expected `k` to be a positive int"):
        RICSBatch(0)
    with pytest.raises(ValueError, match="did you mean 'lattice'"):
        RICSBatch(K, score="latice")
    made = dataset(photos(2))
    with pytest.raises(ValueError, match="Expected `k` to be at most the image size"):
        made.map(RICSBatch(41), batched=True)
    with pytest.raises(TypeError, match=r"use map\(..., batched=True\)"):
        made.map(RICSBatch(K))
    with pytest.raises(TypeError, match=r"with_format\(None\)"):
        made.select([0]).with_format("numpy").map(RICSBatch(K), batched=True)
    with pytest.raises(TypeError, match=r"Expected images in 'label', but got int"):
        made.map(RICSBatch(K, image_column="label"), batched=True)


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
