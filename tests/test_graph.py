"""Graphs in files: the same origins and pixels as in eager mode, or no file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo.testing
from click.testing import CliRunner
from torch import Tensor, nn
from torchvision.models import squeezenet1_1
from torchvision.transforms import v2

from rics_transforms import Lattice, RICSCrop, register_score, unregister_score
from rics_transforms import graph as module
from rics_transforms.cli.commands import rics
from rics_transforms.engine.crop import crop
from rics_transforms.engine.exact import box_sum, channel_sum
from rics_transforms.graph import export, sample_images

from .conftest import SHIFTS, load_photo, random_image
from .reference import ZOO, zoo_image

N, K = 96, 64
Run = Callable[[Tensor], list[Tensor]]

CASES = [(score, shifts) for score in ("lattice", "mexican_hat") for shifts in SHIFTS]


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def load_onnx(path: Path) -> Run:
    """An ONNX file on the CPU, as any user of ONNX Runtime loads it."""
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: [
        torch.from_numpy(array) for array in session.run(None, {"images": images.numpy()})
    ]


def load_pt2(path: Path) -> Run:
    graph = torch.export.load(path).module()
    return lambda images: list(graph(images))


def compile_pt2(path: Path) -> Run:
    """The file compiled to machine code."""
    inductor: Any = torch._inductor
    package = str(path.with_name("compiled.pt2"))
    soon = {"aot_inductor.compile_wrapper_opt_level": "O0"}  # what calls the kernels
    inductor.aoti_compile_and_package(
        torch.export.load(path), package_path=package, inductor_configs=soon
    )
    graph = inductor.aoti_load_package(package)
    return lambda images: list(graph(images))


def check(run: Run, transform: RICSCrop, images: Tensor) -> None:
    crops, origins = run(images)
    assert torch.equal(origins, transform.locate(images))
    assert torch.equal(crops, transform(images))


def zoo_images() -> Tensor:
    return torch.stack([zoo_image(name, N, N) for name in sorted(ZOO)])


# --- equal to eager mode -------------------------------------------------------------------------


@pytest.fixture(params=CASES, ids=" ".join, scope="module")
def transform(request: pytest.FixtureRequest) -> RICSCrop:
    score, shifts = request.param
    return RICSCrop(K, score=score, shifts=shifts)


@pytest.fixture(scope="module")
def onnx_file(transform: RICSCrop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxscript")
    path = tmp_path_factory.mktemp("onnx") / "crop.onnx"
    assert export(transform, path, n=N).verified > 0
    return path


@pytest.fixture(scope="module")
def onnx(onnx_file: Path) -> Run:
    return load_onnx(onnx_file)


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
@pytest.mark.parametrize(("score", "shifts"), [("lattice", "realistic"), ("random", "cyclic")])
def test_pt2_equals_eager(score: str, shifts: Any, tmp_path: Path, photos: Tensor) -> None:
    transform = RICSCrop(K, score=score, shifts=shifts)
    path, verified = export(transform, tmp_path / "crop.pt2", n=N, format="pt2")
    assert verified > 0
    run = load_pt2(path)
    for images in (zoo_images(), photos[..., :N, :N].contiguous(), random_image(1, 3, N, N)):
        check(run, transform, images)
    check(run, transform, zoo_images()[:0])


class Crops(nn.Module):
    """Crops and origins of several transforms."""

    def __init__(self, *transforms: RICSCrop) -> None:
        super().__init__()
        self.transforms = nn.ModuleList(transforms)

    def forward(self, images: Tensor) -> list[Tensor]:
        origins = [transform.locate(images) for transform in self.transforms]
        cut = [
            crop(images, place, transform.k, cyclic=transform.shifts == "cyclic")
            for transform, place in zip(self.transforms, origins, strict=True)
        ]
        return [*origins, *cut]


EVERY_CASE = Crops(*(RICSCrop(K, score=score, shifts=shifts) for score, shifts in CASES))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dynamic = ({0: torch.export.Dim("batch")},)
    exported = torch.export.export(EVERY_CASE, (random_image(2, 3, N, N),), dynamic_shapes=dynamic)
    path = tmp_path_factory.mktemp("program") / "crops.pt2"
    torch.export.save(exported, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("load", [load_pt2, compile_pt2])
def test_one_graph_of_every_case_equals_eager(
    load: Callable[[Path], Run], program: Path, photos: Tensor
) -> None:
    run = load(program)
    parts = [zoo_images(), photos[..., :N, :N].contiguous(), random_image(1, 3, N, N)]
    alone = zoo_images().split(1)  # each takes its own branches
    for images in [*parts, *alone, zoo_images()[:0]]:
        assert all(map(torch.equal, run(images), EVERY_CASE(images)))


@pytest.mark.slow
@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize("score", ["lattice", "mexican_hat"])
def test_one_compiled_graph_per_size_serves_every_batch(score: str, shifts: Any) -> None:
    transform = RICSCrop(24, score=score, shifts=shifts)
    counter = torch._dynamo.testing.CompileCounterWithBackend("eager")
    compiled = torch.compile(transform, fullgraph=True, dynamic=True, backend=counter)
    for graphs, size in enumerate([(32, 32), (37, 30)], 1):
        for batch in (2, 3, 5, 8):
            images = random_image(batch, 3, *size, seed=batch)
            assert torch.equal(compiled(images), transform(images))
        assert counter.frame_count == graphs


@pytest.mark.slow
def test_the_hash_is_a_branch(onnx_file: Path, transform: RICSCrop) -> None:
    graph = pytest.importorskip("onnx").load(onnx_file).graph
    branches = [node.op_type for node in graph.node].count("If")
    # where scores are equal; and where there is no local maximum, which a torus has
    assert branches == {"realistic": 2, "cyclic": 1}[transform.shifts]


@pytest.mark.parametrize("shifts", SHIFTS)
def test_vmap_has_no_branches(shifts: Any) -> None:
    transform = RICSCrop(24, shifts=shifts)
    images = torch.stack([zoo_image(name, 32, 32) for name in sorted(ZOO)])[:, None]
    assert torch.equal(torch.vmap(transform)(images), transform(images))


# --- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "n", "options"),
    [
        ((10, 12), (14, 17), {}),
        (12, 16, {"channels": 1}),
        (12, 16, {"channels": 5, "dtype": torch.float32}),
        (12, 16, {"dtype": torch.int16}),
        (12, 16, {"batch": 3}),
        (12, 16, {"batch": 1}),
    ],
)
def test_options(k: Any, n: Any, options: dict[str, Any], tmp_path: Path) -> None:
    transform = RICSCrop(k, score="hash")
    path, verified = export(transform, tmp_path / "crop.pt2", n=n, format="pt2", **options)
    height, width = (n, n) if isinstance(n, int) else n
    shape = options.get("batch", 6), options.get("channels", 3), height, width
    images = random_image(*shape, seed=7)
    dtype = options.get("dtype", torch.uint8)
    check(load_pt2(path), transform, images / 255 if dtype.is_floating_point else images.to(dtype))
    assert verified >= 16


@pytest.mark.slow
def test_floats_choose_the_same_crops_in_onnx(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    transform = RICSCrop(24)
    path, _ = export(transform, tmp_path / "crop.onnx", n=32, dtype=torch.float32, batch=8)
    images = random_image(8, 3, 32, 32, seed=3)
    crops, origins = load_onnx(path)(images / 255)
    assert torch.equal(origins, transform.locate(images))
    assert torch.equal(crops, transform(images / 255))


# --- with a model --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_crop_and_model_in_one_file(format: Any, tmp_path: Path, photos: Tensor) -> None:
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    normalise = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])
    model = nn.Sequential(RICSCrop(224), normalise, squeezenet1_1(num_classes=10)).eval()
    path, _ = export(model, tmp_path / f"model.{format}", n=256, format=format)
    images = photos[:3, :, :256, :256].contiguous()
    output, origins = {"onnx": load_onnx, "pt2": load_pt2}[format](path)(images)
    assert torch.equal(origins, model[0].locate(images))
    with torch.no_grad():
        torch.testing.assert_close(output, model(images), rtol=1e-3, atol=1e-4)
    assert [file.name for file in tmp_path.iterdir()] == [f"model.{format}"]


def names_of(path: Path) -> tuple[list[str], list[str]]:
    graph = pytest.importorskip("onnx").load(path).graph
    return [value.name for value in graph.input], [value.name for value in graph.output]


@pytest.mark.slow
def test_crops_have_names(onnx_file: Path) -> None:
    assert names_of(onnx_file) == (["images"], ["crops", "origins"])


def test_outputs_have_names(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")

    class TwoHeads(nn.Module):
        def forward(self, crops: Tensor) -> dict[str, Tensor]:
            return {"mean": crops.float().mean((1, 2, 3)), "crops": crops}

    model = nn.Sequential(RICSCrop(12, score="hash"), TwoHeads()).eval()
    path, _ = export(model, tmp_path / "model.onnx", n=16)
    assert names_of(path) == (["images"], ["output_0", "output_1", "origins"])


# --- nothing wrong is written --------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operator", "score"),
    [
        ("sum.dim_IntList", "hash"),
        ("maximum.default", "mexican_hat"),
        ("max.dim", "hash"),
        ("amax.default", "hash"),
    ],
)
def test_what_an_operator_computes_wrongly_is_noticed(
    operator: str, score: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here by losing the upper halves of int64, so that no runtime's own fault is needed."""
    pytest.importorskip("onnxruntime")
    name, overload = operator.split(".")
    key = getattr(getattr(torch.ops.aten, name), overload)
    right = module._EXACT[key]

    def wrong(x: Tensor, *rest: Any, **options: Any) -> Any:
        return right(x.to(torch.int32).to(x.dtype), *rest, **options)

    monkeypatch.setitem(module._EXACT, key, wrong)
    (tmp_path / "crop.onnx").write_text("older")
    with pytest.raises(RuntimeError, match="of the exported graph to equal"):
        export(RICSCrop(24, score=score), tmp_path / "crop.onnx", n=32)
    assert (tmp_path / "crop.onnx").read_text() == "older"
    assert len(list(tmp_path.iterdir())) == 1


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
        export(RICSCrop(12, score="hash"), tmp_path / "crop.pt2", n=16, format="pt2")
    assert not list(tmp_path.iterdir())


def test_without_onnx_runtime_nothing_is_said_to_be_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.warns(UserWarning, match="crop.onnx was not compared with eager mode"):
        path, verified = export(RICSCrop(12, score="hash"), tmp_path / "crop.onnx", n=16)
    assert verified == 0 and path.exists()


def test_a_score_of_ones_own(brightest: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    transform = RICSCrop(12, score=brightest)
    path, _ = export(transform, tmp_path / "crop.onnx", n=16)
    check(load_onnx(path), transform, random_image(5, 3, 16, 16))


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
        (nn.Flatten(), {}, TypeError, "Expected `module` to be a RICSCrop or an nn.Sequential"),
        (nn.Sequential(), {}, TypeError, "begins with one, but got Sequential"),
        (nn.Sequential(v2.Resize(32), RICSCrop(24)), {}, TypeError, "with Resize; what must"),
        (nn.Sequential(RICSCrop(24), nn.Dropout()), {}, ValueError, r"call .eval\(\) on it"),
        (RICSCrop(24), {"format": "pb"}, ValueError, "to be one of onnx, pt2, but got 'pb'"),
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


def test_sample_images_hold_ties_and_every_level() -> None:
    images = sample_images((32, 33), 3, torch.uint8)
    assert images.shape[1:] == (3, 32, 33) and images.dtype == torch.uint8
    assert torch.equal(images, sample_images((32, 33), 3, torch.uint8))
    assert torch.equal((sample_images((32, 33), 3, torch.float32) * 255).round(), images.float())
    flat = images.flatten(1)
    assert (flat == flat[:, :1]).all(1).any()  # no local maximum: the hash decides
    tiles = (images[..., 6:, 8:] == images[..., :-6, :-8]).flatten(1).all(1)
    assert tiles.sum() == 2  # tiled, flat


# --- operators -----------------------------------------------------------------------------------


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


# --- the command ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_the_command(format: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    path = tmp_path / f"crop.{format}"
    options = ["--k", "224", "--n", "256", "--format", format, str(path)]
    result = CliRunner().invoke(rics, ["export", *options])
    assert result.exit_code == 0, result.output
    assert "224 px crops of 256 px images, equal to the library on " in result.output
    load = {"onnx": load_onnx, "pt2": load_pt2}[format]
    check(load(path), RICSCrop(224), random_image(2, 3, 256, 256))


def test_the_command_with_options(tmp_path: Path) -> None:
    path = tmp_path / "crop.pt2"
    options = ["--k", "10x12", "--n", "16", "--format", "pt2", "--score", "lattice:patch=hash"]
    rest = ["--shifts", "cyclic", "--batch", "4", "--channels", "1"]
    result = CliRunner().invoke(rics, ["export", str(path), *options, *rest])
    assert result.exit_code == 0, result.output
    assert "10 x 12 px crops of 16 px images, equal to the library on " in result.output
    transform = RICSCrop((10, 12), score=Lattice(patch="hash"), shifts="cyclic")
    check(load_pt2(path), transform, random_image(4, 1, 16, 16))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--score", "random"], "Expected a score without Fourier transforms for ONNX"),
        (["--batch", "0"], "Expected 'dynamic' or a number such as 8, but got '0'."),
        (["--format", "pb"], "'pb' is not one of"),
        (["--score", "lattice:order=9"], "Expected"),
    ],
)
def test_the_command_refuses(options: list[str], message: str, tmp_path: Path) -> None:
    start = ["export", str(tmp_path / "x"), "--k", "24", "--n", "32"]
    result = CliRunner().invoke(rics, [*start, *options])
    assert result.exit_code == 2 and message in result.stderr
    assert not list(tmp_path.iterdir())
