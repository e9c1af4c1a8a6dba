"""Graphs in files: the same origins and pixels as in eager mode, or no file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo.testing
from click.testing import CliRunner
from torch import Tensor, nn
from torchvision.transforms import v2

from rics_transforms import (
    Lattice,
    RICSCrop,
    RICSResizedCrop,
    register_score,
    unregister_score,
)
from rics_transforms import graph as module
from rics_transforms.cli.commands import rics
from rics_transforms.engine.exact import box_sum, channel_sum
from rics_transforms.graph import export, sample_images

from ..conftest import random_image
from .runners import Run, check, load_onnx, load_pt2

# --- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "n", "options"),
    [
        ((10, 12), (14, 17), {"channels": 5, "dtype": torch.float64}),
        (12, 16, {"dtype": torch.int16, "batch": 3}),
        (12, 16, {"channels": 1, "batch": 1, "dtype": torch.bfloat16}),
    ],
)
def test_options(k: Any, n: Any, options: dict[str, Any], tmp_path: Path) -> None:
    transform = RICSCrop(k, score="hash")
    path, verified = export(transform, tmp_path / "crop.pt2", n=n, **options)
    height, width = (n, n) if isinstance(n, int) else n
    shape = options.get("batch", 6), options.get("channels", 3), height, width
    images = random_image(*shape, seed=7)
    dtype = options.get("dtype", torch.uint8)
    images = (images / 255).to(dtype) if dtype.is_floating_point else images.to(dtype)
    run = load_pt2(path)
    assert run(images)[0].dtype == dtype
    check(run, transform, images)
    assert verified >= 16


@pytest.mark.parametrize(
    "options", [{"score": "hash"}, {"shifts": "cyclic"}, {"subpixel": True}], ids=repr
)
def test_a_crop_before_the_resize(options: dict[str, Any], tmp_path: Path) -> None:
    transform = RICSResizedCrop((12, 14), **options)
    path, verified = export(transform, tmp_path / "crop.pt2", n=(36, 44))
    images = random_image(5, 3, 36, 44, seed=7)
    run = load_pt2(path)
    crops, origins = run(images)
    assert crops.shape == (5, 3, 12, 14) and torch.equal(crops, transform(images))
    assert torch.equal(origins, transform.locate(images))
    assert verified >= 16 and not transform.return_origin
    with pytest.raises(ValueError, match="Expected a crop without a resize for ONNX"):
        export(transform, tmp_path / "crop.onnx", n=(36, 44))


# --- with a model --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> nn.Sequential:
    torch.manual_seed(0)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    normalise = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])
    network = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()]
    return nn.Sequential(RICSCrop(24, score="hash"), normalise, *network, nn.Linear(128, 10)).eval()


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_crop_and_model_in_one_file(
    format: Any, model: nn.Sequential, tmp_path: Path, photos: Tensor
) -> None:
    pytest.importorskip("onnxscript")
    path, _ = export(model, tmp_path / f"model.{format}", n=32, format=format)
    images = photos[:3, :, :32, :32].contiguous()
    output, origins = {"onnx": load_onnx, "pt2": load_pt2}[format](path)(images)
    assert torch.equal(origins, model[0].locate(images))
    with torch.no_grad():
        torch.testing.assert_close(output, model(images), rtol=1e-3, atol=1e-4)
    assert [file.name for file in tmp_path.iterdir()] == [f"model.{format}"]


def test_outputs_have_names() -> None:
    deployed = module._Deployed(nn.Sequential(RICSCrop(12), nn.Identity()).eval())
    assert deployed.output_names(2) == ["output", "origins"]
    assert deployed.output_names(3) == ["output_0", "output_1", "origins"]


# --- nothing wrong is written --------------------------------------------------------------------


@pytest.mark.parametrize("which", [0, 1])
def test_any_difference_is_noticed(
    which: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = module._WRITERS["pt2"]

    def wrong(*args: Any) -> Run:
        def run(images: Tensor) -> list[Tensor]:
            outputs = [output.clone() for output in right(*args)(images)]  # type: ignore[misc]
            outputs[which][-1].view(-1)[-1] += 1
            return outputs

        return run

    monkeypatch.setitem(module._WRITERS, "pt2", wrong)
    name = ("crops", "origins")[which]
    with pytest.raises(RuntimeError, match=f"Expected `{name}` of the exported graph to equal"):
        export(RICSCrop(12, score="hash"), tmp_path / "crop.pt2", n=16)
    assert not list(tmp_path.iterdir())


def test_without_onnx_runtime_nothing_is_said_to_be_checked(
    brightest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript")
    transform = RICSCrop(12, score=brightest)
    options: dict[str, Any] = {"n": 16, "dtype": torch.float32, "batch": 8}
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "onnxruntime", None)
        with pytest.warns(UserWarning, match="crop.onnx was not compared with eager mode"):
            path, verified = export(transform, tmp_path / "crop.onnx", **options)
    assert verified == 0
    images = random_image(8, 3, 16, 16, seed=3)
    crops, origins = load_onnx(path)(images / 255)
    assert torch.equal(origins, transform.locate(images))  # floats choose the same crops
    assert torch.equal(crops, transform(images / 255))


def test_a_score_that_branches_on_values_is_refused(tmp_path: Path) -> None:
    @register_score("branching")
    def branching(pixels: Tensor, size: tuple[int, int]) -> Tensor:
        scores = box_sum(channel_sum(pixels), size)
        return -scores if scores.max() > 100 else scores

    try:
        for format in ("onnx", "pt2"):
            with pytest.raises(ValueError, match="without branches on values"):
                export(RICSCrop(12, score="branching"), tmp_path / "x", n=16, format=format)  # type: ignore[arg-type]
    finally:
        unregister_score("branching")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("part", "options", "error", "message"),
    [
        (
            nn.Flatten(),
            {},
            TypeError,
            "Expected `module` to be a RICSCrop or RICSResizedCrop, or an nn",
        ),
        (nn.Sequential(), {}, TypeError, "begins with one, but got Sequential"),
        (nn.Sequential(v2.Resize(32), RICSCrop(24)), {}, TypeError, "with Resize; do what must"),
        (nn.Sequential(RICSCrop(24), nn.Dropout()), {}, ValueError, r"call .eval\(\) on it"),
        (RICSCrop(24), {"format": "pb"}, ValueError, "to be one of onnx, pt2, but got 'pb'"),
        (RICSCrop(24), {"format": "pt2"}, ValueError, "`path` to end in .pt2, as its `format`"),
        (RICSCrop(24), {"dtype": "float16"}, TypeError, "torch.dtype of real numbers, but got 'fl"),
        (RICSCrop(24), {"dtype": torch.complex64}, TypeError, "numbers, but got torch.complex64"),
        (RICSCrop(24), {"dtype": torch.float8_e5m2}, ValueError, "do not hold 256 grey levels"),
        (RICSCrop(24), {"dtype": torch.bfloat16}, ValueError, "got torch.bfloat16; use torch.uin"),
        (RICSCrop(24), {"dtype": torch.uint16}, ValueError, "`dtype` that a graph in onnx takes"),
        (RICSCrop(33), {}, ValueError, r"`k` to be at most the image size \(32, 32\)"),
        (RICSCrop(24), {"n": 0}, ValueError, "Expected `n`"),
        (
            RICSCrop(24),
            {"batch": 0},
            ValueError,
            "`batch` to be a positive int, but got 0",
        ),
        (RICSCrop(24, score="random"), {}, ValueError, "use format='pt2' or another score"),
    ],
)
def test_refusals(
    part: nn.Module,
    options: dict[str, Any],
    error: type[Exception],
    message: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(error, match=message):
        export(part, tmp_path / "crop.onnx", **{"n": 32, **options})
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of these tracers
def test_other_tracers_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    path, images = tmp_path / "crop.onnx", random_image(2, 3, 32, 32)
    tracers: dict[str, Callable[[nn.Module], object]] = {
        "trace": lambda model: torch.jit.trace(model, images),
        "onnx": lambda model: torch.onnx.export(model, (images,), path, verbose=False),
        "older": lambda model: torch.onnx.export(model, (images,), path, dynamo=False),
    }
    for model in (RICSCrop(24), nn.Sequential(RICSCrop(24, shifts="cyclic"))):
        for trace in tracers.values():
            with pytest.raises(Exception, match="exported by rics_transforms.export"):
                trace(model)
    assert not path.exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Expected the folder of `path` to exist"):
        export(RICSCrop(24), tmp_path / "no" / "crop.onnx", n=32)


@pytest.mark.parametrize("name", ["crop", "crop.foo", "pt2", ".onnx"])
def test_a_suffix_that_names_no_format_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Expected `path` to end in \.onnx or \.pt2, but got"):
        export(RICSCrop(24), tmp_path / name, n=32)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["crop.pt2", "crop.PT2"])
def test_the_suffix_names_the_format(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for format in module._WRITERS:
        monkeypatch.setitem(module._WRITERS, format, _writer(format, asked))
    monkeypatch.setattr(module, "_trace", lambda *args, **options: None)
    export(RICSCrop(24), tmp_path / name, n=32)
    export(RICSCrop(24), tmp_path / "crop.onnx", n=32)
    export(RICSCrop(24), tmp_path / "crop", n=32, format="pt2")
    assert asked == ["pt2", "onnx", "pt2"]


def _writer(format: str, asked: list[str]) -> Callable[..., None]:
    def write(program: object, path: Path, names: object) -> None:
        asked.append(format)
        path.touch()

    return write


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int16, torch.bool]
)
def test_sample_images_are_of_the_type_that_was_asked_for(dtype: torch.dtype) -> None:
    images = sample_images((24, 24), 3, dtype)
    assert images.dtype == dtype
    assert len(images.flatten().unique()) >= 2


def test_sample_images_hold_ties_and_every_level() -> None:
    images = sample_images((32, 33), 3, torch.uint8)
    assert images.shape[1:] == (3, 32, 33) and images.dtype == torch.uint8
    assert torch.equal(images, sample_images((32, 33), 3, torch.uint8))
    assert torch.equal((sample_images((32, 33), 3, torch.float32) * 255).round(), images.float())
    flat = images.flatten(1)
    assert (flat == flat[:, :1]).all(1).any()  # no local maximum: the hash decides
    tiles = (images[..., 6:, 8:] == images[..., :-6, :-8]).flatten(1).all(1)
    assert tiles.sum() == 2  # tiled, flat


# --- the command ---------------------------------------------------------------------------------


def test_the_command_with_options(tmp_path: Path) -> None:
    path = tmp_path / "crop.pt2"
    options = ["--k", "10x12", "--n", "16", "--score", "lattice:patch=hash"]
    rest = ["--shifts", "cyclic", "--batch", "4", "--channels", "1"]
    result = CliRunner().invoke(rics, ["export", str(path), *options, *rest, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"path": str(path), "verified": 28}
    transform = RICSCrop((10, 12), score=Lattice(patch="hash"), shifts="cyclic")
    check(load_pt2(path), transform, random_image(4, 1, 16, 16))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("x.onnx", ["--score", "random"], "Expected a score without Fourier transforms for ONNX"),
        ("x.onnx", ["--batch", "0"], "Expected 'dynamic' or a number such as 8, but got '0'."),
        ("x.onnx", ["--format", "pb"], "'pb' is not one of"),
        ("x.onnx", ["--score", "lattice:order=9"], "Expected"),
        ("x.pt2", ["--format", "onnx"], "Expected `path` to end in .onnx, as its `format` does"),
        ("x.foo", [], "Expected `path` to end in .onnx or .pt2"),
    ],
)
def test_the_command_refuses(name: str, options: list[str], message: str, tmp_path: Path) -> None:
    start = ["export", str(tmp_path / name), "--k", "24", "--n", "32"]
    result = CliRunner().invoke(rics, [*start, *options])
    assert result.exit_code == 2 and message in result.stderr
    assert not list(tmp_path.iterdir())
