"""Scenes: enough of them, of the size asked for, the same every time."""

import os
from pathlib import Path

import PIL.Image
import pytest
import torch

from rics_transforms.data import photos
from rics_transforms.data.photos import folder_scenes, scenes

from ..conftest import deep_png


@pytest.mark.parametrize("size", [33, 64, 242])
def test_there_are_at_least_200_rgb_scenes_of_the_size_asked_for(size: int) -> None:
    made = scenes(size)
    images = list(made)
    assert len(images) == made.count >= 200
    assert {(s.shape, s.dtype) for _, s in images} == {((3, size, size), torch.uint8)}
    assert len({name for name, _ in images}) == len(images)


def test_scenes_are_the_same_every_time() -> None:
    once, twice, again = scenes(48), scenes(48), list(scenes(48))
    for (a, x), (b, y), (c, z) in zip(once, twice, again, strict=True):
        assert a == b == c
        assert torch.equal(x, y) and torch.equal(x, z)


def test_every_photograph_is_used_and_counted() -> None:
    images = scenes(64)
    names = {name.split(",")[0] for name, _ in images}
    assert names == {Path(name).stem for name in photos.PHOTOGRAPHS}
    assert f"{len(names)} photographs" in images.source


def test_near_constant_tiles_are_left_out() -> None:
    assert min(s.double().std(correction=0) for _, s in scenes(64)) >= photos.FLAT


def test_a_larger_minimum_adds_scales() -> None:
    few, many = list(scenes(24, minimum=20)), list(scenes(24, minimum=300))
    assert len(many) >= 300
    assert [name for name, _ in many[: len(few)]] == [name for name, _ in few]


def test_recipes_evaluate_to_the_same_scenes() -> None:
    images = scenes(24, minimum=20)
    copy = eval(images.recipe)
    assert [name for name, _ in copy] == [name for name, _ in images]


def test_tiles_are_enlarged() -> None:
    small, large = scenes(24, minimum=20), scenes(24, minimum=20, factor=4)
    assert small.count == large.count and "enlarged 4 times" in large.source
    for (name, tile), (other, scene) in zip(small, large, strict=True):
        assert name == other and scene.shape == (3, 96, 96) and scene.dtype == torch.uint8
        back = torch.nn.functional.avg_pool2d(scene.double(), 4)
        assert (back - tile).abs().mean() < 6
    first = next(iter(eval(large.recipe)))[1]
    assert torch.equal(first, next(iter(large))[1])


def test_more_scenes_than_there_are() -> None:
    with pytest.raises(ValueError, match="Expected `minimum` to be at most"):
        scenes(8, 10**6)


# --- folders -------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of several kinds, in and below a folder, and two files that are none."""
    (tmp_path / "below").mkdir()
    ramp = PIL.Image.linear_gradient("L")
    ramp.resize((60, 90)).save(tmp_path / "b.png")
    ramp.resize((20, 30)).convert("RGBA").save(tmp_path / "below" / "small.PNG")
    turned = PIL.Image.Exif()
    turned[0x0112] = 6  # turn by a quarter to look at it
    ramp.resize((50, 40)).convert("RGB").save(tmp_path / "a.jpg", exif=turned)
    (tmp_path / "broken.png").write_bytes((tmp_path / "b.png").read_bytes()[:60])
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / ".hidden.png").write_bytes((tmp_path / "b.png").read_bytes())
    (tmp_path / "notes.txt").write_text("not looked at")
    return tmp_path


def test_a_folder_gives_one_scene_per_image_sorted(folder: Path) -> None:
    images = folder_scenes(folder, 32)
    found = dict(images)
    assert list(found) == ["a.jpg", "b.png", "below/small.PNG"]
    assert {(s.shape, s.dtype) for s in found.values()} == {((3, 32, 32), torch.uint8)}


def test_unreadable_files_are_reported(folder: Path) -> None:
    images = folder_scenes(folder, 32)
    for _ in range(2):  # not collected twice
        list(images)
        assert list(images.unreadable) == ["broken.png", "text.jpg"]
        assert images.unreadable["text.jpg"] == "not an image, or of an unknown format"
        assert images.source.endswith("left out as unreadable (2): broken.png, text.jpg")


def test_images_are_turned_as_their_exif_says(folder: Path) -> None:
    scene = dict(folder_scenes(folder, 32))["a.jpg"].double()
    assert scene.std(-2).mean() < scene.std(-1).mean()  # the ramp was vertical


def test_scenes_may_come_from_16_bits_per_colour(tmp_path: Path) -> None:
    """Crops of such files are refused, since they could not be lossless."""
    (tmp_path / "deep.png").write_bytes(deep_png())
    images = folder_scenes(tmp_path, 30)
    assert [name for name, _ in images] == ["deep.png"] and not images.unreadable


def test_scenes_show_the_centre(tmp_path: Path) -> None:
    pixels = torch.arange(90, dtype=torch.uint8).expand(30, 90).contiguous()
    PIL.Image.fromarray(pixels.numpy()).save(tmp_path / "wide.png")
    ((_, scene),) = folder_scenes(tmp_path, 30)
    assert torch.equal(scene, pixels[:, 30:60].expand(3, 30, 30))


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match="Expected images in .*, but found none"):
        folder_scenes(tmp_path, 32)
    with pytest.raises(ValueError, match="of images or an image file, but got .*missing"):
        folder_scenes(tmp_path / "missing", 32)


def test_a_folder_of_photographs() -> None:
    assets = os.environ.get("RICS_TEST_ASSETS")
    if not assets:
        pytest.skip("RICS_TEST_ASSETS is not set: no folder of photographs to read")
    images = folder_scenes(assets, 64)
    assert all(s.shape == (3, 64, 64) for _, s in images)
    assert images.unreadable == {}
