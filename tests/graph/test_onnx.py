"""ONNX files give the origins and pixels of eager mode in ONNX Runtime, bit for bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor
from torch.export import ExportedProgram

from rics_transforms import Hash, MexicanHat, RICSCrop, Score
from rics_transforms import graph as module
from rics_transforms.cli.commands import rics
from rics_transforms.graph import export

from ..conftest import load_photo
from .runners import CASES, K, N, Run, check, load_onnx, zoo_images


@pytest.fixture(params=CASES, ids=" ".join, scope="module")
def case(request: pytest.FixtureRequest) -> tuple[str, Any]:
    score, shifts = request.param
    return score, shifts


@pytest.fixture(scope="module")
def transform(case: tuple[str, Any]) -> RICSCrop:
    return RICSCrop(K, score=case[0], shifts=case[1])


@pytest.fixture(scope="module")
def command(case: tuple[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """What the command writes, and what it says of it."""
    pytest.importorskip("onnxscript")
    path = tmp_path_factory.mktemp("onnx") / "crop.onnx"
    options = ["--k", str(K), "--n", str(N), "--score", case[0], "--shifts", case[1]]
    result = CliRunner().invoke(rics, ["export", str(path), *options])
    assert result.exit_code == 0, result.output
    return path, result.output


@pytest.fixture(scope="module")
def onnx_file(command: tuple[Path, str]) -> Path:
    return command[0]


@pytest.fixture(scope="module")
def onnx(onnx_file: Path) -> Run:
    return load_onnx(onnx_file)


@pytest.mark.slow
def test_the_command(command: tuple[Path, str]) -> None:
    assert "64 px crops of 96 px images, equal to the library on " in command[1]


@pytest.mark.slow
def test_onnx_equals_eager_on_degenerate_images(onnx: Run, transform: RICSCrop) -> None:
    check(onnx, transform, zoo_images())
    for image in zoo_images().split(1):  # alone, each takes its own branches
        check(onnx, transform, image)
    check(onnx, transform, zoo_images()[:0])


@pytest.mark.slow
def test_onnx_equals_eager_on_photographs(onnx: Run, transform: RICSCrop, photos: Tensor) -> None:
    for images in photos[..., :N, :N].split(5):
        check(onnx, transform, images.contiguous())


@pytest.mark.slow
def test_onnx_equals_eager_on_200_photographs(onnx: Run, transform: RICSCrop, assets: Path) -> None:
    paths = sorted((assets / "photos").glob("*.jpg"))
    assert len(paths) == 200
    check(onnx, transform, torch.stack([load_photo(path, N) for path in paths]))


@pytest.mark.slow
def test_the_hash_is_a_branch(onnx_file: Path, transform: RICSCrop) -> None:
    graph = pytest.importorskip("onnx").load(onnx_file).graph
    branches = [node.op_type for node in graph.node].count("If")
    # where scores are equal; and where there is no local maximum, which a torus has
    assert branches == {"realistic": 2, "cyclic": 1}[transform.shifts]


@pytest.mark.slow
def test_crops_have_names(onnx_file: Path) -> None:
    graph = pytest.importorskip("onnx").load(onnx_file).graph
    assert [value.name for value in graph.input] == ["images"]
    assert [value.name for value in graph.output] == ["crops", "origins"]


def decomposed(program: ExportedProgram, path: Path, names: object) -> Run:
    """The graph that is converted to ONNX, run by PyTorch: converting it takes twice as long."""
    path.touch()
    graph = program.run_decompositions(module._EXACT).module()
    return lambda images: list(graph(images))


@pytest.mark.slow
def test_a_decomposed_graph_is_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the next test would show little."""
    monkeypatch.setitem(module._WRITERS, "onnx", decomposed)
    assert export(RICSCrop(12, score="hash"), tmp_path / "crop.onnx", n=16).verified > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operator", "score"),
    [("sum.dim_IntList", Hash()), ("maximum.default", MexicanHat(sigma=4)), ("max.dim", Hash())],
)
def test_what_an_operator_computes_wrongly_is_noticed(
    operator: str, score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here by losing the upper halves of int64, so that no runtime's own fault is needed."""
    name, overload = operator.split(".")
    key = getattr(getattr(torch.ops.aten, name), overload)
    right = module._EXACT[key]

    def wrong(x: Tensor, *rest: Any, **options: Any) -> Any:
        return right(x.to(torch.int32).to(x.dtype), *rest, **options)

    monkeypatch.setitem(module._WRITERS, "onnx", decomposed)
    (tmp_path / "crop.onnx").write_text("older")
    monkeypatch.setitem(module._EXACT, key, wrong)
    with pytest.raises(RuntimeError, match="of the exported graph to equal"):
        export(RICSCrop(12, score=score), tmp_path / "crop.onnx", n=16)
    assert (tmp_path / "crop.onnx").read_text() == "older"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
def test_what_onnx_runtime_answers_otherwise_is_noticed(
    onnx_file: Path, case: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here by the file of another score."""
    monkeypatch.setattr(module, "_trace", lambda *args, **options: None)
    monkeypatch.setattr(module, "_save_onnx", lambda _, path, names: shutil.copy(onnx_file, path))
    with pytest.raises(RuntimeError, match="of the exported graph to equal"):
        export(RICSCrop(K, score="hash", shifts=case[1]), tmp_path / "crop.onnx", n=N)
    assert not list(tmp_path.iterdir())


def test_replaced_operators_are_the_same_functions() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randint(-(2**63), 2**63 - 1, (2, 4, 5, 6), generator=generator)
    for dims, keepdim in (([0], True), ([-1], False), ([0, -1], False), ([-2, -3], True)):
        assert torch.equal(module._sum(x, dims, keepdim), x.sum(dims, keepdim))
        assert torch.equal(module._amax(x, dims, keepdim), x.amax(dims, keepdim))
        narrow = (x & 0xFFFF).to(torch.int32)
        found = module._sum(narrow, dims, keepdim, dtype=torch.int32)
        assert torch.equal(found, narrow.sum(dims, keepdim, dtype=torch.int32))
        assert found.dtype == torch.int32
    for keepdim in (True, False):
        assert all(map(torch.equal, module._max(x, 1, keepdim), x.max(1, keepdim)))
    assert torch.equal(module._maximum(x, y), torch.maximum(x, y))
    assert module._sum(x.float(), [0]) is NotImplemented
    assert module._maximum(x.float(), y.float()) is NotImplemented
