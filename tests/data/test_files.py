"""Reading image files: the picture that is in them, or a reason why not."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from rics_transforms.data.files import Unreadable, _lost_depth, open_image, open_rgb

from .. import odd_files
from ..conftest import deep_png

RAMP = np.linspace(4000, 36000, 48 * 40).reshape(40, 48).astype(np.uint16)
GREY = (RAMP >> 8).astype(np.uint8)


def greys(path: Path) -> np.ndarray:
    return np.asarray(open_rgb(path))[..., 0]


def bmp(bits: int, masks: tuple[int, int, int] | None) -> bytes:
    """A BMP of 4 x 2 pixels of so many bits each, all white."""
    pixels = b"\xff" * (2 * 4 * bits // 8)
    extra = struct.pack("<III", *masks) if masks else b""
    head = struct.pack(
        "<IiiHHIIiiII", 40, 4, 2, 1, bits, 3 if masks else 0, len(pixels), 0, 0, 0, 0
    )
    start = 14 + len(head) + len(extra)
    return struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start) + head + extra + pixels


# --- depth ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm", "jp2"])
def test_grey_of_16_bits_is_the_same_picture_in_8(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    wide = np.int32 if suffix == "pgm" else np.uint16  # as older versions of Pillow save it
    PIL.Image.fromarray(RAMP.astype(wide)).save(path)
    assert np.array_equal(greys(path), GREY)
    assert np.array_equal(np.asarray(open_image(path)[0]), RAMP)


def test_big_endian_grey_is_the_same_picture(tmp_path: Path) -> None:
    data = RAMP.astype(">u2").tobytes()
    PIL.Image.frombytes("I;16B", (48, 40), data).save(tmp_path / "a.tif")
    assert np.array_equal(greys(tmp_path / "a.tif"), GREY)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_no_scene_shows_a_range_that_nobody_knows(tmp_path: Path, dtype: type) -> None:
    PIL.Image.fromarray(RAMP.astype(dtype)).save(tmp_path / "a.tif")
    with pytest.raises(Unreadable, match="32 bits per pixel, in no known range"):
        open_rgb(tmp_path / "a.tif")
    assert np.array_equal(np.asarray(open_image(tmp_path / "a.tif")[0]), RAMP)


@pytest.mark.parametrize("masks", [None, (0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F)])
def test_a_bmp_of_16_bits_per_pixel_is_read(
    tmp_path: Path, masks: tuple[int, int, int] | None
) -> None:
    path = tmp_path / "a.bmp"
    path.write_bytes(bmp(16, masks))
    assert open_image(path)[0].getcolors() == [(8, (255, 255, 255))]


@pytest.mark.parametrize("name", ["deep.png", "deep.ppm", "deep.tif"])
def test_colours_of_16_bits_are_refused_where_8_would_be_read(tmp_path: Path, name: str) -> None:
    path, colours = tmp_path / name, np.repeat(RAMP.astype(">u2")[..., None], 3, -1)
    if name == "deep.png":
        path.write_bytes(deep_png())
    elif name == "deep.ppm":
        path.write_bytes(b"P6 48 40 65535\n" + colours.tobytes())
    else:
        tags = {256: 48, 257: 40, 262: 2, 273: 200, 277: 3, 278: 40, 279: colours.nbytes}
        entries = [(tag, 4, 1, value) for tag, value in tags.items()] + [(258, 3, 3, 190)]
        table = b"".join(struct.pack(">HHII", *entry) for entry in sorted(entries))
        head = b"MM\0*" + struct.pack(">IH", 8, len(entries)) + table + bytes(4)
        bits = struct.pack(">HHH", 16, 16, 16)
        path.write_bytes(head.ljust(190, b"\0") + bits.ljust(10, b"\0") + colours.tobytes())
    with pytest.raises(Unreadable, match="has 16 bits per colour, of which Pillow reads 8"):
        open_image(path)
    if name != "deep.png":
        assert np.abs(greys(path).astype(int) - GREY).max() <= 1


def test_a_jpeg_2000_of_16_bits_is_refused_where_8_would_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jp2"
    PIL.Image.new("RGB", (48, 40)).save(path)
    content = path.read_bytes()
    start = content.index(b"\xff\x4f\xff\x51") + 4 + 38
    assert content[start] == 7
    path.write_bytes(content[:start] + b"\x0b" + content[start + 1 :])
    with pytest.raises(Unreadable, match="has 12 bits per colour"):
        open_image(path)


def test_avif_of_10_bits_is_refused_where_8_would_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    path.write_bytes(b"....ftypavif....pixi\0\0\0\0\x03\x0a\x0a\x0a....")
    file = SimpleNamespace(mode="RGB", format="AVIF", filename=str(path))  # Pillow writes none
    assert _lost_depth(file) == 10  # type: ignore[arg-type]


# --- what is no image, or too much of one --------------------------------------------------------


def test_damaged_exif_is_a_reason(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    block = bytearray(exif.tobytes())
    assert block[16:18] == b"\x01\x0f"
    block[17] = 0  # which makes a text of a tag of numbers
    PIL.Image.new("RGB", (48, 40)).save(tmp_path / "a.png", exif=bytes(block))
    for read in (open_image, open_rgb):
        with pytest.raises(Unreadable, match="is damaged: error: required argument is not an"):
            read(tmp_path / "a.png")


def test_whatever_a_decoder_raises_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PIL.Image.new("RGB", (48, 40)).save(tmp_path / "a.png")

    def fail(_: object) -> None:
        raise struct.error("unpack requires a buffer of 4 bytes")

    monkeypatch.setattr(PIL.ImageOps, "exif_transpose", fail)
    for read in (open_image, open_rgb):
        with pytest.raises(Unreadable) as caught:
            read(tmp_path / "a.png")
        assert caught.value.reason == "is damaged: error: unpack requires a buffer of 4 bytes"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    for path in (tmp_path / "a.png", tmp_path):
        with pytest.raises(Unreadable, match="is not a regular file"):
            open_image(path)


def test_large_images_are_refused_unless_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PIL.Image.new("1", (300, 200)).save(tmp_path / "a.png")
    with pytest.raises(Unreadable, match="has more than 59999 pixels; raise `max_pixels`"):
        open_image(tmp_path / "a.png", max_pixels=59_999)
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 20_000)  # of which Pillow takes the double
    assert open_image(tmp_path / "a.png", max_pixels=60_000)[0].size == (300, 200)
    assert PIL.Image.MAX_IMAGE_PIXELS == 20_000
    with pytest.raises(Unreadable, match="has more than 20000 pixels"):
        open_image(tmp_path / "a.png", max_pixels=20_000)


def test_libtiff_prints_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    PIL.Image.effect_noise((48, 40), 50).save(path, compression="tiff_lzw")
    path.write_bytes(path.read_bytes().replace(b"\x80", b"\x7f"))
    script = (
        "import sys\nfrom rics_transforms.data.files import open_image\n"
        "try:\n    open_image(sys.argv[1])\nexcept ValueError:\n    pass"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_odd_files_are_read_as_pillow_reads_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "deep.png").write_bytes(deep_png())
    (tmp_path / "a.bmp").write_bytes(bmp(16, None))
    PIL.Image.fromarray(RAMP).save(tmp_path / "b.png")
    PIL.Image.new("P", (9, 8), 3).save(tmp_path / "c.png", transparency=b"\0\1\2\3")
    assert odd_files.main(tmp_path) == 0
    shown = capsys.readouterr().out
    assert "1 refused: not an image, or of an unknown format" in shown
    assert "5 files, 0 faults" in shown
