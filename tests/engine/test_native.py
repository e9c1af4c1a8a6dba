"""The compiled kernels against PyTorch: equal bits, whatever the images are and how they lie."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rics_transforms import Lattice, RICSCrop, Score, get_score, locate, score_map
from rics_transforms._arguments import Size
from rics_transforms.engine import native
from rics_transforms.engine.crop import crop
from rics_transforms.engine.exact import HAT_SHAPE, HatShape, integer_image
from rics_transforms.engine.geometry import Geometry
from rics_transforms.engine.maps import patch_map
from rics_transforms.engine.scores import Level, complete_levels
from rics_transforms.engine.selection import select

from ..conftest import EVERY_SCORE, ordered, random_image

needs_kernels = pytest.mark.skipif(not native.is_available(), reason="built without a C compiler")

LAYOUTS = {
    "CHW": lambda x: x.contiguous(),
    "HWC": lambda x: x.contiguous(memory_format=torch.channels_last),
    "a slice": lambda x: torch.nn.functional.pad(x, (3, 1, 2, 5))[..., 2:-5, 3:-1],
    "every other row and column": lambda x: x.repeat_interleave(2, -1).repeat_interleave(2, -2)[
        ..., ::2, ::2
    ],
    "turned": lambda x: x.transpose(-2, -1).contiguous().transpose(-2, -1),
    "one channel": lambda x: x[:, :1],
    "five channels": lambda x: torch.cat([x, x[:, :2]], 1),
    "one image": lambda x: x[3:4],
    "the same image thrice": lambda x: x[1:2].expand(3, -1, -1, -1),
    "no image": lambda x: x[:0],
}

SETTINGS: list[tuple[Size, Size, Size]] = [
    ((72, 72), (40, 40), (2, 2)),
    ((61, 72), (52, 45), (3, 1)),
    ((30, 41), (29, 20), (1, 1)),
    ((48, 9), (44, 6), (1, 1)),
]


def images(photos: Tensor, size: Size) -> Tensor:
    """Photographs and images with plateaus, ties and maxima at the edge."""
    height, width = size
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (2, 3, height, width), generator=generator, dtype=torch.uint8)
    ramp = torch.arange(width, dtype=torch.uint8).expand(1, 3, height, width)
    flat = torch.tensor([0, 255], dtype=torch.uint8)[:, None, None, None].expand(2, 3, *size)
    return torch.cat([photos[:4, :, :height, :width], noise, noise[:1] % 2, flat, ramp])


@pytest.mark.broad
@needs_kernels
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("cyclic", [False, True], ids=["realistic", "cyclic"])
@pytest.mark.parametrize("score", EVERY_SCORE, ids=repr)
def test_kernels_equal_pytorch(
    score: Score, cyclic: bool, layout: str, photos: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = list(LAYOUTS).index(layout) + EVERY_SCORE.index(score)
    for n, k, order in SETTINGS[turn % 2 :: 2]:
        score = ordered(score, order)
        geometry = Geometry.of(n, k, score, cyclic)
        pixels = LAYOUTS[layout](images(photos, n))[:, None]
        levels = complete_levels(score, geometry.t)
        computed = [patch_map(pixels, geometry.t, level, cyclic) for level in levels]
        chosen = select(pixels, k, score, cyclic=cyclic)
        with monkeypatch.context() as context:
            context.setattr(native, "_native", None)
            for level, scores in zip(levels, computed, strict=True):
                expected = patch_map(pixels, geometry.t, level, cyclic)
                assert scores.dtype == expected.dtype
                assert torch.equal(scores, expected)
            assert torch.equal(chosen, select(pixels, k, score, cyclic=cyclic))


@needs_kernels
@given(
    seed=st.integers(0, 2**32),
    grey_levels=st.integers(1, 256),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    room=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    score=st.sampled_from(EVERY_SCORE),
    cyclic=st.booleans(),
)
def test_any_image_has_the_same_crop(
    seed: int, grey_levels: int, size: Size, room: Size, score: Score, cyclic: bool
) -> None:
    n = size[0] + room[0], size[1] + room[1]
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, grey_levels, (2, 1, 3, *n), generator=generator, dtype=torch.uint8)
    score = ordered(score, (1, 1))
    wide = pixels.to(torch.int32)  # which PyTorch scores
    assert torch.equal(
        select(pixels, size, score, cyclic=cyclic), select(wide, size, score, cyclic=cyclic)
    )


class Mixed(Score):
    """The paper's Mexican hat, compiled at some of its levels."""

    def __init__(self, *compiled: bool) -> None:
        self.compiled = compiled

    def levels(self, size: Size) -> tuple[Level, ...]:
        levels = zip(get_score("mexican_hat").levels(size), self.compiled, strict=True)
        return tuple(level if c else level._replace(kernel=None) for level, c in levels)


@needs_kernels
@pytest.mark.parametrize("compiled", list(product([True, False], repeat=3)), ids=str)
def test_levels_go_on_with_what_others_left(compiled: tuple[bool, ...], photos: Tensor) -> None:
    pixels = images(photos, (61, 72))[:, None]
    expected = select(pixels.int(), (52, 60), get_score("mexican_hat"))  # which PyTorch scores
    assert torch.equal(select(pixels, (52, 60), Mixed(*compiled)), expected)


@needs_kernels
@dataclass(frozen=True)
class ShapedLattice(Lattice):
    """The lattice score with another shape of the Mexican hat."""

    shape: HatShape = HAT_SHAPE


@needs_kernels
@pytest.mark.parametrize("patch", ["mexican_hat", "saliency"])
def test_the_shape_of_the_hat_is_part_of_the_kernel(
    monkeypatch: pytest.MonkeyPatch, patch: Any, photos: Tensor
) -> None:
    """Whatever is remembered about one shape, another one gives the map of PyTorch."""
    shapes = HatShape(14, 4), HatShape(16, 4), HatShape(14, 3)
    scores = [ShapedLattice(patch=patch, shape=shape) for shape in shapes]
    compiled = [score_map(photos[:2, :, :72, :64], 48, score) for score in scores]
    assert torch.equal(compiled[0], score_map(photos[:2, :, :72, :64], 48, Lattice(patch=patch)))
    assert all(not torch.equal(a, b) for a, b in combinations(compiled, 2))
    monkeypatch.setattr(native, "_native", None)
    for score, expected in zip(scores, compiled, strict=True):
        assert torch.equal(score_map(photos[:2, :, :72, :64], 48, score), expected)


def test_which_scores_have_kernels(photos: Tensor) -> None:
    pixels = photos[:1]
    compiled = {
        type(score).__name__: all(
            native.applies(level.kernel, pixels, (40, 40)) for level in score.levels((40, 40))
        )
        for score in EVERY_SCORE
    }
    assert {name for name, has in compiled.items() if has} == {
        "Hash",
        "Lattice",
        "MexicanHat",
        "Saliency",
    }


@needs_kernels
def test_kernels_leave_to_pytorch_what_they_cannot_hold(photos: Tensor) -> None:
    size = 100, 100
    hat = native.Kernel("hat", size)
    assert native.applies(hat, photos, size)
    assert not native.applies(hat, photos.to(torch.int32), size)
    assert not native.applies(hat, photos.to("meta"), size)
    assert not native.applies(None, photos, size)
    many_channels = photos[:, :1].expand(-1, 8000, -1, -1)
    assert not native.applies(hat, many_channels, size)
    (coarse, *_) = get_score("mexican_hat").levels(size)
    assert not native.applies(coarse.kernel, many_channels, size)


@needs_kernels
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.bool], ids=str)
@pytest.mark.parametrize("cyclic", [False, True], ids=["realistic", "cyclic"])
def test_crops_equal_pytorch(
    cyclic: bool, dtype: torch.dtype, layout: str, photos: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = LAYOUTS[layout](images(photos, (30, 41))).to(dtype)
    generator = torch.Generator().manual_seed(1)
    room = (30, 41) if cyclic else (11, 19)
    places = [torch.randint(0, r, (len(pixels),), generator=generator) for r in room]
    origins = torch.stack(places, 1)
    cut = crop(pixels, origins, (20, 23), cyclic=cyclic)
    monkeypatch.setattr(native, "_native", None)
    assert torch.equal(cut, crop(pixels, origins, (20, 23), cyclic=cyclic))


@needs_kernels
def test_gradients_flow_through_crops(photos: Tensor) -> None:
    images = photos[:2].double().requires_grad_()
    crop(images, torch.tensor([[1, 2], [3, 4]]), (5, 6)).sum().backward()
    assert images.grad is not None
    assert images.grad.sum() == 2 * 3 * 5 * 6


FLOATS = {
    "grey levels": lambda: torch.arange(256) / 255,
    "between them": lambda: torch.linspace(0, 1, 100_001),
    "halves, which round to even": lambda: torch.arange(512).double().div(510).float(),
    "just outside": lambda: torch.tensor([-0.0019, -0.0021, 1.0019, 1.0021]),
    "normalised": lambda: torch.linspace(-2.2, 2.7, 100_001),
    "minus zero": lambda: torch.tensor([-0.0, -1e-30, 1e-45]),
    "none": lambda: torch.zeros(0),
}


@needs_kernels
@pytest.mark.parametrize("values", FLOATS)
def test_grey_levels_equal_pytorch(values: str) -> None:
    image = FLOATS[values]()[None, None]
    levels, expected = native.integer_image(image), integer_image(image)
    assert levels.dtype == expected.dtype
    assert torch.equal(levels, expected)


@needs_kernels
@pytest.mark.parametrize("layout", LAYOUTS)
def test_grey_levels_of_every_layout(layout: str) -> None:
    images = LAYOUTS[layout](random_image(4, 3, 20, 24)) / 255
    levels, expected = native.integer_image(images), integer_image(images)
    assert levels.dtype == expected.dtype == torch.uint8
    assert torch.equal(levels, expected)


@needs_kernels
@pytest.mark.parametrize("layout", ["CHW", "HWC"])
def test_whole_layouts_are_read_in_one_pass(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = LAYOUTS[layout](random_image(4, 3, 20, 24) / 255)
    monkeypatch.setattr(native.exact, "integer_image", lambda images: pytest.fail("not compiled"))
    assert native.integer_image(images).stride() == images.stride()


@needs_kernels
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 258.0])
def test_bad_floats_are_refused_as_by_pytorch(bad: float) -> None:
    image = torch.zeros(1, 2, 1000)
    image[0, 1, 777] = bad
    with pytest.raises(ValueError, match="Expected"):
        native.integer_image(image)


@needs_kernels
@pytest.mark.parametrize("score", ["hash", Lattice(), "saliency", "mexican_hat"], ids=str)
def test_threads_share_a_batch(score: str | Score, photos: Tensor) -> None:
    transform, threads = RICSCrop(140, score=score), torch.get_num_threads()
    expected = [(transform.locate(photo), transform(photo / 255)) for photo in photos]
    try:
        torch.set_num_threads(3)
        assert torch.equal(transform.locate(photos), torch.stack([o for o, _ in expected]))
        assert torch.equal(transform(photos / 255), torch.stack([c for _, c in expected]))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.slow
def test_the_package_works_without_a_compiler() -> None:
    """Without the compiled module PyTorch gives the same crop."""
    script = """
import sys, torch
sys.modules["rics_transforms.engine._native"] = None
from rics_transforms import locate
from rics_transforms.engine import native
assert not native.is_available()
generator = torch.Generator().manual_seed(0)
image = torch.randint(256, (3, 64, 64), generator=generator, dtype=torch.uint8)
print(locate(image, 40).tolist())
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{locate(random_image(3, 64, 64), 40).tolist()}\n"


WRONG: dict[str, Any] = {
    "dtype": lambda x: x.to(torch.int32),
    "shape": lambda x: x[:, :-1],
    "number": lambda x: x[:-1],
    "strides": lambda x: x.T.contiguous().T,
    "device": lambda x: x.to("meta"),
}


@pytest.mark.skipif(not native.is_available(), reason="needs a C compiler")
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_read_by_address_is_looked_at_first(wrong: str) -> None:
    images = torch.zeros(3, 2, 20, 18, dtype=torch.uint8)
    with pytest.raises(ValueError, match="Expected a contiguous tensor of torch.int64"):
        kernel = complete_levels(get_score("hash"), (8, 8))[0].kernel
        best = WRONG[wrong](torch.zeros(3, 5, dtype=torch.int64))
        assert kernel is not None
        native.fill_best(best, kernel, images, (8, 8), nms=False, cyclic=False)
    if wrong != "strides":  # which are brought into order
        with pytest.raises(ValueError, match="Expected a contiguous tensor of torch.int64"):
            native.crop(images, WRONG[wrong](torch.zeros(3, 2, dtype=torch.int64)), (8, 8))


def test_an_image_without_end_is_refused() -> None:
    pixel = torch.zeros(1, 1, 1, dtype=torch.uint8)
    with pytest.raises((MemoryError, RuntimeError)):
        RICSCrop(2**31 - 8, score="hash").locate(pixel.expand(1, 2**31, 2**31))


LATE = """
import atexit, threading, torch
from rics_transforms import locate

torch.set_num_threads(2)
images = torch.zeros(4, 3, 512, 512, dtype=torch.uint8)
images[:, :, 300, 200] = 255
expected = locate(images, 480)

def work(name):
    print(name, *(torch.equal(locate(x, 480), expected) for x in (images, images / 255)))

def outlive():
    threading.main_thread().join()
    work("thread")

atexit.register(work, "atexit")
threading.Thread(target=outlive).start()
"""


@pytest.mark.slow
def test_after_the_end_of_the_main_thread() -> None:
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    assert sorted(done.stdout.splitlines()) == ["atexit True True", "thread True True"]
