"""A folder of crops: the same pixels, nothing lost to failures, kills and restarts."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
import torch
from torchvision.transforms import v2

from rics_transforms import RICSCrop, RICSResizedCrop, folder, locate, rics_crop
from rics_transforms.data.files import encode, find_images
from rics_transforms.folder import FolderReport, crop_folder

from .conftest import deep_png

ROOT = Path(__file__).parents[1]
K = (20, 24)


def noise(mode: str = "RGB", size: tuple[int, int] = (40, 32), seed: int = 0) -> PIL.Image.Image:
    """Random pixels of a mode; size is (width, height)."""
    draw = np.random.default_rng(seed)
    shape = size[::-1]
    if mode == "F":
        return PIL.Image.fromarray(draw.random(shape, dtype=np.float32))
    if mode in ("I", "I;16"):
        dtype = np.int32 if mode == "I" else np.uint16
        return PIL.Image.fromarray(draw.integers(0, 2**16, shape).astype(dtype))
    if mode == "1":
        return PIL.Image.fromarray(draw.integers(0, 2, shape).astype(bool))
    if mode == "P":
        image = PIL.Image.fromarray(draw.integers(0, 256, shape, dtype=np.uint8)).convert("P")
        image.putpalette(draw.integers(0, 256, 768, dtype=np.uint8).tobytes())
        return image
    channels = len(PIL.Image.new(mode, (1, 1)).getbands())
    data = draw.integers(0, 256, (*shape, channels), dtype=np.uint8)
    return PIL.Image.frombytes(mode, size, data.tobytes())


def save(image: PIL.Image.Image, path: Path, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def pixels(image: PIL.Image.Image) -> tuple[str, bytes]:
    return image.mode, np.asarray(image).tobytes()


def opened(path: Path) -> PIL.Image.Image:
    with PIL.Image.open(path) as image:
        image.load()
        return image


def tree(path: Path) -> dict[str, bytes]:
    """All files of a folder."""
    files = (file for file in path.rglob("*") if file.is_file())
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


def origins(path: Path) -> list[dict[str, str]]:
    with (path / "origins.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def cut(image: PIL.Image.Image, **options: object) -> PIL.Image.Image:
    """What should come out."""
    top, left = locate(image, K, **options).tolist()  # type: ignore[arg-type]
    return image.crop((left, top, left + K[1], top + K[0]))


# --- pixels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "suffix", "result"),
    [
        *[(mode, "png", "png") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")],
        *[(mode, "tif", "tif") for mode in ("CMYK", "F", "I", "LAB")],
        ("RGB", "bmp", "png"),
    ],
)
def test_every_mode_keeps_its_pixels(tmp_path: Path, mode: str, suffix: str, result: str) -> None:
    image = noise(mode)
    save(image, tmp_path / "in" / f"a.{suffix}")
    report = crop_folder(tmp_path / "in", tmp_path / "out", K)
    assert report.failures == ()
    crop = opened(tmp_path / "out" / f"a.{suffix}.{result}")
    assert pixels(crop) == pixels(cut(image))
    assert pixels(crop.convert("RGBA")) == pixels(cut(image).convert("RGBA"))


@pytest.mark.parametrize("mode", ["P", "RGB", "L"])
def test_transparent_colours_are_kept(tmp_path: Path, mode: str) -> None:
    colour = (1, 2, 3) if mode == "RGB" else 7
    path = save(noise(mode), tmp_path / "in" / "a.png", transparency=colour)
    crop_folder(tmp_path / "in", tmp_path / "out", K)
    crop = opened(tmp_path / "out" / "a.png.png")
    assert crop.has_transparency_data
    assert pixels(crop.convert("RGBA")) == pixels(cut(opened(path)).convert("RGBA"))


def test_a_lossy_image_is_not_lossy_again(tmp_path: Path) -> None:
    path = save(noise("CMYK"), tmp_path / "in" / "a.jpg")
    crop_folder(tmp_path / "in", tmp_path / "out", K)
    assert pixels(opened(tmp_path / "out" / "a.jpg.tif")) == pixels(cut(opened(path)))


@pytest.mark.parametrize(
    ("format", "name", "mode", "result"),
    [
        ("webp", "a.png", "RGB", "a.png.webp"),
        ("webp", "a.png", "RGBA", "a.png.webp"),
        ("webp", "a.png", "L", "a.png.png"),
        ("webp", "a.tif", "CMYK", "a.tif.tif"),
        ("tif", "a.png", "RGB", "a.png.tif"),
        ("keep", "a.png", "RGB", "a.png.png"),
        ("keep", "a.tif", "L", "a.tif.tif"),
        ("keep", "a.webp", "RGB", "a.webp.webp"),
        ("keep", "a.jpg", "RGB", "a.jpg.png"),
        ("keep", "a.bmp", "L", "a.bmp.bmp"),
    ],
)
def test_formats(tmp_path: Path, format: str, name: str, mode: str, result: str) -> None:
    path = save(noise(mode), tmp_path / "in" / name)
    crop_folder(tmp_path / "in", tmp_path / "out", K, format=format)
    assert pixels(opened(tmp_path / "out" / result)) == pixels(cut(opened(path)))


def test_images_are_turned_upright_and_lose_their_exif(tmp_path: Path) -> None:
    image, exif = noise(), PIL.Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"  # turned by 90 degrees
    save(image, tmp_path / "in" / "a.png", exif=exif)
    crop_folder(tmp_path / "in", tmp_path / "out", K)
    crop = opened(tmp_path / "out" / "a.png.png")
    assert pixels(crop) == pixels(cut(image.transpose(PIL.Image.Transpose.ROTATE_270)))
    assert not crop.getexif()


@pytest.mark.parametrize("format", ["png", "webp", "tif"])
def test_colour_profiles_are_kept(tmp_path: Path, format: str) -> None:
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    save(noise(), tmp_path / "in" / "a.jpg", icc_profile=profile)
    crop_folder(tmp_path / "in", tmp_path / "out", K, format=format)
    assert opened(tmp_path / "out" / f"a.jpg.{format}").info["icc_profile"] == profile


def test_resize_and_window_are_those_of_torchvision(tmp_path: Path) -> None:
    path = save(noise(size=(61, 47)), tmp_path / "in" / "a.png")
    crop_folder(tmp_path / "in", tmp_path / "out", K, resize=40, n=(33, 38), score="hash")
    resize = v2.Resize(40, interpolation=v2.InterpolationMode.BICUBIC)
    pipeline = v2.Compose([resize, v2.CenterCrop((33, 38)), RICSCrop(K, score="hash")])
    assert pixels(opened(tmp_path / "out" / "a.png.png")) == pixels(pipeline(opened(path)))
    (row,) = origins(tmp_path / "out")
    top, left = int(row["top"]), int(row["left"])
    whole = resize(opened(path)).crop((left, top, left + K[1], top + K[0]))
    assert pixels(whole) == pixels(pipeline(opened(path)))


@pytest.mark.parametrize("mode", ["P", "1", "I;16", "LA"])
def test_resizing_interpolates_colours(tmp_path: Path, mode: str) -> None:
    image = noise(mode)
    save(image, tmp_path / "in" / "a.png")
    crop_folder(tmp_path / "in", tmp_path / "out", K, resize=28)
    smooth = image.convert({"P": "RGB", "1": "L", "I;16": "I"}.get(mode, mode))
    smooth = smooth.resize((35, 28), PIL.Image.Resampling.BICUBIC)
    if mode == "I;16":
        smooth = PIL.Image.fromarray(np.asarray(smooth).clip(0, 2**16 - 1).astype(np.uint16))
    assert pixels(opened(tmp_path / "out" / "a.png.png")) == pixels(cut(smooth))


def test_resizing_stays_within_16_bits(tmp_path: Path) -> None:
    edge = np.zeros((40, 50), np.uint16)
    edge[:, 20:] = 65535
    save(PIL.Image.fromarray(edge), tmp_path / "in" / "a.png")
    save(PIL.Image.fromarray(edge.astype(np.int32)), tmp_path / "in" / "b.pgm")
    report = crop_folder(tmp_path / "in", tmp_path / "out", K, resize=28)
    assert report.failures == ()
    ramp, other = (np.asarray(opened(tmp_path / "out" / n)) for n in ("a.png.png", "b.pgm.tif"))
    assert ramp.min() == 0 and ramp.max() == 65535
    assert np.array_equal(ramp, other)


def test_encode_falls_back_to_what_holds_the_image() -> None:
    assert encode(noise("L"), "webp")[0] == "png"
    assert encode(noise("CMYK"), "webp")[0] == "tif"
    with pytest.raises(ValueError, match="no lossless format holds mode HSV"):
        encode(noise("HSV"))


# --- between the pixels --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "F", "I"])
def test_subpixel_crops_are_those_of_the_core(tmp_path: Path, mode: str) -> None:
    path = save(noise(mode), tmp_path / "in" / "a.tif")
    report = crop_folder(tmp_path / "in", tmp_path / "out", K, subpixel=True)
    (written,) = report.written
    assert [written.top, written.left] == locate(opened(path), K, subpixel=True).tolist()
    crop = opened(tmp_path / "out" / written.crop)
    assert pixels(crop) == pixels(RICSCrop(K, subpixel=True)(opened(path)))
    assert crop.mode == {"1": "L", "P": "RGB"}.get(mode, mode)


def test_a_transparent_palette_becomes_an_alpha_channel(tmp_path: Path) -> None:
    path = save(noise("P"), tmp_path / "in" / "a.png", transparency=7)
    crop_folder(tmp_path / "in", tmp_path / "out", K, subpixel=True)
    crop = opened(tmp_path / "out" / "a.png.png")
    assert crop.mode == "RGBA" and "transparency" not in crop.info
    assert pixels(crop) == pixels(RICSCrop(K, subpixel=True)(opened(path).convert("RGBA")))


@pytest.mark.parametrize("subpixel", [False, True])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I"])
def test_crops_before_the_resize_are_those_of_the_core(
    tmp_path: Path, mode: str, subpixel: bool
) -> None:
    path = save(noise(mode, size=(61, 47)), tmp_path / "in" / "a.tif")
    options: dict[str, Any] = {"subpixel": subpixel}
    crop_folder(tmp_path / "in", tmp_path / "out", K, resized=True, **options)
    transform = RICSResizedCrop(K, interpolation="bicubic", return_origin=True, **options)
    crop, origin = transform(opened(path))
    (name,) = (x for x in tree(tmp_path / "out") if x.startswith("a.tif"))
    found = opened(tmp_path / "out" / name)
    assert pixels(found) == pixels(crop) and found.size == K[::-1]
    (row,) = origins(tmp_path / "out")
    assert [float(row["top"]), float(row["left"])] == origin.tolist()
    assert (int(row["height"]), int(row["width"])) == transform.field_of((47, 61)).k


def test_a_resize_before_and_after_is_refused(tmp_path: Path) -> None:
    for options in ({"resize": 40}, {"n": 40}):
        with pytest.raises(ValueError, match="Expected neither `resize` nor `n` with `resized`"):
            crop_folder(tmp_path, tmp_path / "out", K, resized=True, **options)


def test_subpixel_origins_lie_in_the_resized_image(tmp_path: Path) -> None:
    path = save(noise(size=(61, 47)), tmp_path / "in" / "a.png")
    crop_folder(tmp_path / "in", tmp_path / "out", K, resize=40, n=(33, 38), subpixel=True)
    resize = v2.Resize(40, interpolation=v2.InterpolationMode.BICUBIC)
    pipeline = v2.Compose([resize, v2.CenterCrop((33, 38)), RICSCrop(K, subpixel=True)])
    assert pixels(opened(tmp_path / "out" / "a.png.png")) == pixels(pipeline(opened(path)))
    (row,) = origins(tmp_path / "out")
    whole = resize(opened(path))
    centre = round((whole.height - 33) / 2), round((whole.width - 38) / 2)
    found = locate(v2.CenterCrop((33, 38))(whole), K, subpixel=True)
    assert [float(row["top"]), float(row["left"])] == (found + torch.tensor(centre)).tolist()
    assert "." in row["top"] and "." not in row["height"]


# --- the folder ----------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten images in three folders."""
    for i in range(10):
        save(noise(seed=i), tmp_path / "in" / ("", "b", "c/d")[i % 3] / f"{i}.png")
    return tmp_path / "in"


def run(source: Path, target: Path, **options: object) -> FolderReport:
    return crop_folder(source, target, K, **options)  # type: ignore[arg-type]


def test_origins_lead_to_the_crops(photos: Path, tmp_path: Path) -> None:
    report = run(photos, tmp_path / "out")
    rows = origins(tmp_path / "out")
    assert [row["path"] for row in rows] == sorted(find_images(photos)) and len(rows) == 10
    assert len(report.written) == 10
    for row in rows:
        y, x, h, w = (int(row[name]) for name in ("top", "left", "height", "width"))
        expected = opened(photos / row["path"]).crop((x, y, x + w, y + h))
        assert pixels(opened(tmp_path / "out" / row["crop"])) == pixels(expected)
        assert pixels(expected) == pixels(cut(opened(photos / row["path"])))


def test_the_crop_is_that_of_rics_crop(tmp_path: Path) -> None:
    path = save(noise(), tmp_path / "in" / "a.png")
    run(tmp_path / "in", tmp_path / "out")
    array = np.asarray(opened(tmp_path / "out" / "a.png.png"))
    assert np.array_equal(array, rics_crop(opened(path), K).movedim(0, -1).numpy())


def test_names_that_differ_by_suffix_do_not_meet(tmp_path: Path) -> None:
    for name in ("a.png", "a.bmp", "a.png.png", "A.PNG"):
        save(noise(), tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    save(noise(), tmp_path / "in" / ".hidden.png")
    run(tmp_path / "in", tmp_path / "out")
    names = {"a.png.png", "a.bmp.png", "a.png.png.png", "A.PNG.png"}
    assert tree(tmp_path / "out").keys() == names | {"origins.csv", ".rics-crop.json"}


def test_odd_names(tmp_path: Path) -> None:
    names = [os.fsdecode(b"caf\xe9.png"), 'line\nbreak, "quoted".png', "画像.png"]
    for name in names:
        save(noise(), tmp_path / "in" / name)
    report = run(tmp_path / "in", tmp_path / "out")
    assert [origin.path for origin in report.written] == sorted(names)
    assert run(tmp_path / "in", tmp_path / "out").skipped == 3


@pytest.mark.parametrize("character", [chr(code) for code in (*range(1, 32), 127, 133, 0x2028)])
def test_origins_hold_any_name(tmp_path: Path, character: str) -> None:
    name = f"a{character}b.png"
    save(noise(), tmp_path / "in" / name)
    run(tmp_path / "in", tmp_path / "out")
    assert [row["path"] for row in origins(tmp_path / "out")] == [name]
    assert run(tmp_path / "in", tmp_path / "out").skipped == 1


def test_names_that_no_crop_can_have_are_failures(photos: Path, tmp_path: Path) -> None:
    save(noise(), photos / f"{'x' * 251}.png")
    save(noise(), photos / "9.png")
    save(noise(), photos / "8.png")
    save(noise(), photos / "8.png.png" / "inner.png")  # a folder where a crop must go, or a crop
    (tmp_path / "out").mkdir()
    run(photos / "c", tmp_path / "trial")
    (tmp_path / "out" / ".rics-crop.json").write_bytes(
        (tmp_path / "trial" / ".rics-crop.json").read_bytes().replace(b'/in/c"', b'/in"')
    )
    (tmp_path / "out" / "9.png.png").mkdir()
    report = run(photos, tmp_path / "out")
    reasons = {failure.path: failure.reason for failure in report.failures}
    assert reasons.keys() == {"8.png.png/inner.png", "9.png", f"{'x' * 251}.png"}
    assert all(text.startswith("its crop cannot be written: ") for text in reasons.values())
    assert len(report.written) == 10
    assert not list((tmp_path / "out").rglob(folder._PART))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_what_is_no_file_is_a_failure(photos: Path, tmp_path: Path) -> None:
    os.mkfifo(photos / "pipe.png")
    (photos / "nowhere.png").symlink_to(tmp_path / "none.png")
    report = run(photos, tmp_path / "out")
    assert {f.path: f.reason for f in report.failures} == {
        "nowhere.png": "No such file or directory",
        "pipe.png": "is not a regular file",
    }
    assert len(report.written) == 10


def test_links_to_folders_are_followed_once(photos: Path, tmp_path: Path) -> None:
    save(noise(), tmp_path / "elsewhere" / "e.png")
    (photos / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(photos)
    names = find_images(photos)
    assert len(names) == 11 and "link/e.png" in names


def test_failures_are_listed_and_the_rest_is_done(photos: Path, tmp_path: Path) -> None:
    (photos / "text.png").write_text("no image")
    whole = (photos / "0.png").read_bytes()
    (photos / "torn.png").write_bytes(whole[: len(whole) // 2])
    save(noise(size=(23, 99)), photos / "small.png")
    (photos / "deep.png").write_bytes(deep_png())
    report = run(photos, tmp_path / "out")
    reasons = {failure.path: failure.reason for failure in report.failures}
    assert reasons.keys() == {"text.png", "torn.png", "small.png", "deep.png"}
    assert "not an image" in reasons["text.png"]
    assert "truncated" in reasons["torn.png"]
    assert reasons["small.png"] == "smaller than `k`, 20 x 24 px; enlarge it with `resize`"
    assert "16 bits" in reasons["deep.png"]
    assert len(report.written) == len(origins(tmp_path / "out")) == 10

    (photos / "torn.png").write_bytes(whole)
    again = run(photos, tmp_path / "out")
    assert [origin.path for origin in again.written] == ["torn.png"]
    assert (again.skipped, len(again.failures)) == (10, 3)


def test_what_cannot_be_written_stops_the_run(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    run(photos, tmp_path / "out")
    (tmp_path / "out" / "0.png.png").unlink()
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(os, "replace", full)
        run(photos, tmp_path / "out")
    assert [origin.path for origin in run(photos, tmp_path / "out").written] == ["0.png"]


# --- restarts ------------------------------------------------------------------------------------


def test_what_is_there_is_skipped_and_nothing_else(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(photos, out)
    before = tree(out)
    marked = out / "b" / "1.png.png"
    marked.write_bytes(b"left alone")
    (out / "0.png.png").unlink()
    report = run(photos, out)
    assert [origin.path for origin in report.written] == ["0.png"] and report.skipped == 9
    assert tree(out) == {**before, "b/1.png.png": b"left alone"}


def test_more_images_can_be_added(photos: Path, tmp_path: Path) -> None:
    run(photos, tmp_path / "out")
    save(noise(seed=99), photos / "a" / "late.png")
    report = run(photos, tmp_path / "out")
    assert [origin.path for origin in report.written] == ["a/late.png"]
    run(photos, tmp_path / "whole")
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_replaced_images_are_cropped_anew(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(photos, out)
    save(noise(seed=50), photos / "0.png")
    save(noise("CMYK", seed=51), photos / "b" / "1.png", format="TIFF")
    (photos / "c" / "d" / "2.png").write_text("no image any more")
    report = run(photos, out)
    assert (len(report.written), report.skipped, report.renewed) == (2, 7, 3)
    assert [failure.path for failure in report.failures] == ["c/d/2.png"]
    run(photos, tmp_path / "whole")
    assert tree(out) == tree(tmp_path / "whole")


def test_subpixel_runs_go_on(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(photos, out, subpixel=True)
    before = tree(out)
    assert run(photos, out, subpixel=True).skipped == 10
    rows = [[*r.values()] for r in origins(out)][3:]
    lines = [[*row[:2], *map(float, row[2:4]), *map(int, row[4:])] for row in rows]
    (out / "origins.csv").unlink()
    (out / ".rics-origins").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert len(run(photos, out, subpixel=True).written) == 3
    assert tree(out) == before


@pytest.mark.parametrize("name", ["subpixel", "resized"])
def test_settings_of_older_versions_are_those_without(
    photos: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    run(photos, out)
    settings = json.loads((out / ".rics-crop.json").read_text())
    assert settings.pop(name) is False
    (out / ".rics-crop.json").write_text(json.dumps(settings))
    assert run(photos, out).skipped == 10
    with pytest.raises(ValueError, match=f"`{name}` was False and is True"):
        run(photos, out, **{name: True})


def test_an_empty_crop_is_not_done(photos: Path, tmp_path: Path) -> None:
    run(photos, tmp_path / "out")
    before = tree(tmp_path / "out")
    (tmp_path / "out" / "0.png.png").write_bytes(b"")
    report = run(photos, tmp_path / "out")
    assert [origin.path for origin in report.written] == ["0.png"] and report.renewed == 0
    assert tree(tmp_path / "out") == before


def test_another_source_is_refused(photos: Path, tmp_path: Path) -> None:
    run(photos, tmp_path / "out")
    photos.rename(tmp_path / "other")
    with pytest.raises(ValueError, match="`source` was '.*in' and is '.*other'"):
        run(tmp_path / "other", tmp_path / "out")


@pytest.mark.parametrize("content", ["", "[]", "3", "{", "[" * 100_000, "NaN", "\x00"])
def test_damaged_settings_are_refused(photos: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".rics-crop.json").write_text(content)
    with pytest.raises(
        ValueError, match=r"rics-crop\.json' to hold the settings of an earlier run"
    ):
        run(photos, tmp_path / "out")


HEAD = '"path","crop","top","left","height","width","bytes","modified"\n'


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("origins.csv", "path,crop\n", 1),
        ("origins.csv", HEAD + "0.png,0.png.png,1,2\n", 2),
        ("origins.csv", HEAD + "0.png,0.png.png,1,2,20,24,x,1\n", 2),
        ("origins.csv", HEAD + "0.png,../../etc/passwd,1,2,20,24,1,1\n", 2),
        ("origins.csv", HEAD + "0.png,0.png.png,-1,2,20,24,1,1\n", 2),
        ("origins.csv", HEAD + "0.png,0.png.png,1.5,2,20,24,1,1\n", 2),
        (".rics-origins", "[]\n", 1),
        (".rics-origins", "\n", 1),
        (".rics-origins", "[" * 100_000 + "\n", 1),
        (".rics-origins", '["0.png","0.png.png",1,2,20,24,1,true]\n', 1),
        (".rics-origins", '["0.png",3,1,2,20,24,1,1]\n', 1),
    ],
)
def test_damaged_origins_are_refused(
    photos: Path, tmp_path: Path, name: str, content: str, line: int
) -> None:
    run(photos, tmp_path / "out")
    (tmp_path / "out" / name).write_text(content)
    with pytest.raises(
        ValueError, match=rf"{name}' to hold origins of crops, but line {line} does not"
    ):
        run(photos, tmp_path / "out")


@pytest.mark.parametrize("place", ["-0.75", "nan", "inf"])
def test_damaged_subpixel_origins_are_refused(photos: Path, tmp_path: Path, place: str) -> None:
    run(photos, tmp_path / "out", subpixel=True)
    for row in (f"{place},2.5", f"2.5,{place}"):
        rows = HEAD + f"0.png,0.png.png,{row},20,24,1,1\n"
        (tmp_path / "out" / "origins.csv").write_text(rows)
        with pytest.raises(ValueError, match="to hold origins of crops, but line 2 does not"):
            run(photos, tmp_path / "out", subpixel=True)


@pytest.mark.parametrize("cut_off", ["", '["0.png", "0.pn', '["0.png", "0.png.png", 3, 1, 20, 2'])
def test_origins_survive_a_torn_journal(photos: Path, tmp_path: Path, cut_off: str) -> None:
    out = tmp_path / "out"
    run(photos, out)
    before = tree(out)
    rows = [[*r.values()] for r in origins(out)][3:]
    lines = [json.dumps([*row[:2], *map(int, row[2:])]) + "\n" for row in rows]
    (out / "origins.csv").unlink()
    (out / ".rics-origins").write_text("".join(lines) + cut_off)
    assert len(run(photos, out).written) == 3
    assert tree(out) == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"score": "hash"}, "`score`"),
        ({"subpixel": True}, "`subpixel` was False and is True"),
        ({"resize": 30}, "`resize` was None and is 30"),
        ({"n": 28}, r"`n` was None and is \[28, 28\]"),
        ({"format": "webp"}, "`format` was 'png' and is 'webp'"),
    ],
)
def test_other_settings_are_refused(
    photos: Path, tmp_path: Path, change: dict[str, object], told: str
) -> None:
    run(photos, tmp_path / "out")
    before = tree(tmp_path / "out")
    with pytest.raises(ValueError, match=told):
        run(photos, tmp_path / "out", **change)
    with pytest.raises(ValueError, match=r"`k` was \[20, 24\] and is \[20, 20\]"):
        crop_folder(photos, tmp_path / "out", 20)
    assert tree(tmp_path / "out") == before


KILLED = """
import os, signal, sys
from rics_transforms import folder

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def after_four(done, total):
    if done == 4:
        kill()

if __name__ == "__main__":
    source, target, how = sys.argv[1:]
    if how == "between writing and renaming":
        replace, calls = os.replace, []
        folder.os.replace = lambda *x: replace(*x) if calls.append(x) or len(calls) < 6 else kill()
        folder.crop_folder(source, target, (20, 24), workers=1)
    else:
        folder.crop_folder(source, target, (20, 24), workers=2, progress=after_four)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["between writing and renaming", "with two workers"])
def test_a_killed_run_goes_on_to_the_same_result(photos: Path, tmp_path: Path, how: str) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    out = tmp_path / "out"
    command = [sys.executable, str(script), str(photos), str(out), how]
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=path, capture_output=True)  # until no worker is left
    assert done.returncode == -signal.SIGKILL
    assert not (out / "origins.csv").exists()
    assert list(out.rglob(folder._PART)) or how == "with two workers"
    kept = {name for name in tree(out) if name.endswith(".png")}
    assert len(kept) >= 3

    report = run(photos, out)
    assert report.skipped + len(report.written) == 10 and report.skipped >= 3
    run(photos, tmp_path / "whole")
    assert tree(out) == tree(tmp_path / "whole")
    assert not list(out.rglob(folder._PART))


# --- arguments -----------------------------------------------------------------------------------


def test_folders_that_cannot_be_meant(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="Expected images in .*empty"):
        run(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(ValueError, match="of images or an image file, but got .*none"):
        run(tmp_path / "none", tmp_path / "out")
    with pytest.raises(ValueError, match="Expected another folder for the crops"):
        run(photos, photos)
    with pytest.raises(ValueError, match=r"no \.rics-crop\.json"):
        run(photos, tmp_path)
    assert not (tmp_path / "out").exists()


def test_crops_within_the_source_are_no_images(photos: Path) -> None:
    run(photos, photos / "crops")
    assert run(photos, photos / "crops").skipped == 10
    assert len(tree(photos / "crops")) == 12


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"workers": 0}, "`workers` to be a positive int"),
        ({"resize": 0}, "`resize` to be a positive int"),
        ({"resize": 10, "n": 32}, "`resize` to be at least `n`"),
        ({"n": (19, 40)}, r"`k` to be at most `n` \(19, 40\)"),
        ({"format": "jpg"}, "`format` to be one of keep, png, tif, webp"),
        ({"score": "latice"}, "did you mean 'lattice'"),
        ({"score": "hash", "subpixel": True}, "Expected a smooth score with subpixel=True"),
    ],
)
def test_bad_arguments(photos: Path, tmp_path: Path, options: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        run(photos, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
