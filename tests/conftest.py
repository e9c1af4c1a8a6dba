"""Images and scores that many tests share."""

from __future__ import annotations

import importlib.util
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import settings
from torch import Tensor

import rics_transforms
from rics_transforms import Lattice, Score, get_score, list_scores, register_score
from rics_transforms._arguments import Size
from rics_transforms.engine.exact import box_sum, channel_sum
from rics_transforms.samples import Shifts

from . import chromium, reference

INTEGRATIONS = Path(__file__).parent / "integrations"

settings.register_profile("fixed", deadline=None, derandomize=True, database=None)
settings.load_profile("fixed")
torch.set_num_threads(1)  # small tensors gain nothing from a second, and CI may be crowded

PHOTOS = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)

SHIFTS: tuple[Shifts, ...] = ("realistic", "cyclic")
SCORES = ("hash", "lattice", "mexican_hat", "random", "saliency")
"""The names of the scores that the library brings along."""

EVERY_SCORE: list[Score] = [
    *map(get_score, list_scores()),
    Lattice(patch="hash"),
    Lattice(patch="saliency"),
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a browser, or another library."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
        if INTEGRATIONS in item.path.parents:
            item.add_marker("integration")


@pytest.fixture(params=EVERY_SCORE, ids=repr, scope="session")
def every_score(request: pytest.FixtureRequest) -> Score:
    """Every registered score, and the default one with its other patch scores."""
    score: Score = request.param
    return score


SMOOTH: list[Score] = [score for score in EVERY_SCORE if score.smooth]
"""Those whose peaks can lie between the pixels."""


@pytest.fixture(params=SMOOTH, ids=repr, scope="session")
def smooth_score(request: pytest.FixtureRequest) -> Score:
    """Every registered score whose crops can lie between the pixels."""
    score: Score = request.param
    return score


def ordered(score: Score, order: Size) -> Score:
    """A lattice score with this order; any other score as it is."""
    return replace(score, order=order) if isinstance(score, Lattice) else score


@pytest.fixture(scope="session")
def photos() -> Tensor:
    """Photographs, uint8 ``[B, 3, 288, 288]``, as they lie in scikit-image's wheel."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the photographs of scikit-image")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    return torch.stack([load_photo(folder / name, 288) for name in PHOTOS])


def load_photo(path: Path, side: int) -> Tensor:
    """A photograph scaled to a short side, its middle cut out: uint8 ``[3, side, side]``."""
    with PIL.Image.open(path) as file:
        image = file.convert("RGB")
    scale = side / min(image.size)
    image = image.resize(
        (max(side, round(image.width * scale)), max(side, round(image.height * scale)))
    )
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder that the environment variable RICS_TEST_ASSETS names, with photos/*.jpg in it."""
    folder = os.environ.get("RICS_TEST_ASSETS")
    if not folder:
        pytest.skip("needs RICS_TEST_ASSETS to name a folder with photos/*.jpg")
    return Path(folder)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Page]:
    """A tab to drive, the same for all tests."""
    with chromium.page(chromium.find(), tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(params=sorted(reference.ZOO), scope="session")
def zoo_name(request: pytest.FixtureRequest) -> str:
    """The name of a degenerate image, for `reference.zoo_image`."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def zoo() -> dict[str, Tensor]:
    """Degenerate images by name, uint8 ``[3, 24, 24]``."""
    return {name: reference.zoo_image(name, 24, 24) for name in reference.ZOO}


@pytest.fixture
def brightest() -> Iterator[str]:
    """A user's score, registered for the time of a test: the sum of the crop's pixels."""

    @register_score("brightest")
    def brightest(pixels: Tensor, size: Size) -> Tensor:
        return box_sum(channel_sum(pixels), size)

    yield "brightest"
    rics_transforms.unregister_score("brightest")


def random_image(*shape: int, seed: int = 0, high: int = 256) -> Tensor:
    """Uniform random pixels below `high`, uint8."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(high, shape, generator=generator, dtype=torch.uint8)


def deep_png() -> bytes:
    """A black image file, RGB with 16 bits per channel, which Pillow reads but does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", 40, 32, 16, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(6 * 40)) * 32)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
