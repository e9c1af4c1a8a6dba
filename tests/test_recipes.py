"""The recipes of docs/recipes.md, run as they stand there, and what the page says about them."""

import gc
import io
import re
import tarfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from rics_transforms import RICSCrop, locate

wds = pytest.importorskip("webdataset")

PAGE = Path(__file__).parents[1] / "docs" / "recipes.md"
FIELD = v2.Compose([v2.Resize(256), v2.CenterCrop(256), v2.PILToTensor()])


@pytest.fixture(scope="module")
def folder(photos: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JPEG files of several shapes in photos/<class>, and the same in two shards/*.tar."""
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "shards").mkdir()
    for shard in range(2):
        (folder / "photos" / str(shard)).mkdir(parents=True)
        with tarfile.open(folder / "shards" / f"{shard:06}.tar", "w") as tar:
            for i, photo in enumerate(photos[shard::2]):
                file = folder / "photos" / str(shard) / f"{i:02}.jpg"
                v2.functional.to_pil_image(photo[:, : 288 - 2 * i]).save(file)
                add(tar, f"{shard}{i:02}.jpg", file.read_bytes())
                add(tar, f"{shard}{i:02}.cls", str(shard).encode())
    return folder


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


@pytest.fixture(scope="module")
def page(folder: Path) -> dict[str, Any]:
    """The names that the page's code blocks define, run in the folder of the images."""
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch, unclosed_shards():
        patch.chdir(folder)
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
            exec(compile(block, str(PAGE), "exec"), names)
    return names


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, tuple[list[int], Tensor]]:
    """By key, in the order of the files: the origin and the crop of every image."""
    found = {}
    for path in sorted(folder.glob("photos/*/*.jpg")):
        with PIL.Image.open(path) as image:
            field = FIELD(image)
        top, left = locate(field, 224).tolist()
        crop = field[:, top : top + 224, left : left + 224]
        found[path.parent.name + path.stem] = ([top, left], crop)
    return found


@contextmanager
def unclosed_shards() -> Iterator[None]:
    """Let webdataset, which does not close its last shard, have it collected without a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"unclosed file .*\.tar", ResourceWarning)
        yield
        gc.collect()


def test_crops_differ(expected: dict[str, tuple[list[int], Tensor]]) -> None:
    """Or the other tests would show little."""
    assert len({tuple(origin) for origin, _ in expected.values()}) > len(expected) // 2


@pytest.mark.parametrize("recipe", ["crops", "crops_on_device"])
def test_data_loader(
    recipe: str, page: dict[str, Any], expected: dict[str, Any], folder: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(folder)
    batches = list(page[recipe])
    crops = torch.cat([images.cpu() for images, _ in batches])
    assert torch.equal(crops, torch.stack([crop for _, crop in expected.values()]))
    assert torch.cat([labels for _, labels in batches]).tolist() == [
        int(key[0]) for key in expected
    ]


def test_web_dataset(
    page: dict[str, Any], expected: dict[str, Any], folder: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(folder)
    found: dict[int, list[Tensor]] = {0: [], 1: []}
    for images, labels in page["crops_of_shards"]:
        for image, label in zip(images, labels, strict=True):
            found[int(label)].append(image)
    crops = torch.stack([*found[0], *found[1]])
    assert torch.equal(crops, torch.stack([crop for _, crop in expected.values()]))


def test_web_dataset_origins(page: dict[str, Any], expected: dict[str, Any]) -> None:
    assert page["origins"] == {key: tuple(origin) for key, (origin, _) in expected.items()}


def test_decoders_of_tensors_give_the_same_crops(folder: Path) -> None:
    shards = str(folder / "shards" / "{000000..000001}.tar")
    crop = RICSCrop(200)

    def crops(decoder: str) -> list[Tensor]:
        samples = wds.WebDataset(shards, shardshuffle=False).decode(decoder)
        return [crop(image) for (image,) in samples.to_tuple("jpg")]

    with unclosed_shards():
        integers, floats = crops("torchrgb8"), crops("torchrgb")
    for integer, floating in zip(integers, floats, strict=True):
        assert (integer.dtype, floating.dtype) == (torch.uint8, torch.float32)
        torch.testing.assert_close(integer / 255, floating)
