"""Networks of timm and torchvision, their preprocessing, and weights from files."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from scipy.stats import binomtest  # type: ignore[import-untyped]
from torch import Tensor, nn
from torchvision.models import get_model
from torchvision.transforms.v2 import functional as F

from rics_transforms.models.model import load_model
from rics_transforms.models.pretrained import Preprocess, fill, read_weights, timm_forward

from ..conftest import load_photo, random_image

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def saved(net: nn.Module, folder: Path) -> Path:
    torch.save(net.state_dict(), folder / "weights.pt")
    return folder / "weights.pt"


# --- preprocessing -------------------------------------------------------------------------------


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(150, 150), (70, 100), (224, 160)])
def test_preprocess_resizes_as_pillow_does(
    size: tuple[int, int], interpolation: str, photos: Tensor
) -> None:
    images = photos[:4, :, 50:200, 50:200]
    result = Preprocess(size, MEAN, STD, interpolation)(images)
    mode = PIL.Image.Resampling[interpolation.upper()]
    for image, inputs in zip(images, result, strict=True):
        picture = PIL.Image.fromarray(image.permute(1, 2, 0).numpy())
        expected = torch.from_numpy(np.array(picture.resize(size[::-1], mode))).permute(2, 0, 1)
        for channel in range(3):
            levels = 255 * (inputs[channel] * STD[channel] + MEAN[channel])
            assert levels.min() > -1e-3 and levels.max() < 255 + 1e-3
            difference = (levels - expected[channel]).abs()
            # Pillow rounds, and cuts off, after each axis.
            assert difference.mean() < 0.4 and (difference > 1.5).float().mean() < 0.02


@pytest.mark.parametrize("size", [(16, 16), (8, 12), (24, 20)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_floats_are_read_as_uint8_is(
    size: tuple[int, int], interpolation: str, dtype: torch.dtype
) -> None:
    images = random_image(4, 3, 16, 16)
    preprocess = Preprocess(size, MEAN, STD, interpolation)
    integers, floats = preprocess(images), preprocess(images.to(dtype) / 255)
    assert integers.dtype == floats.dtype == torch.float32
    torch.testing.assert_close(floats, integers, rtol=1e-6, atol=1e-6)


def test_preprocess_takes_images_of_its_kind_only() -> None:
    preprocess = Preprocess((8, 8), MEAN, STD)
    with pytest.raises(ValueError, match="Expected images of 3 channels, but got 1."):
        preprocess(random_image(2, 1, 8, 8))
    with pytest.raises(ValueError, match=r"to be in \[0, 1\], but got 255."):
        preprocess(torch.full((1, 3, 8, 8), 255.0))
    preprocess(torch.full((1, 3, 8, 8), 1.2))  # a Fourier shift overshoots


# --- timm ----------------------------------------------------------------------------------------


@pytest.fixture
def timm() -> Any:
    return pytest.importorskip("timm")


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
@pytest.mark.parametrize("classes", [1000, 10])
def test_timm(name: str, classes: int, timm: Any, tmp_path: Path) -> None:
    net = timm.create_model(name, pretrained=False, num_classes=classes).eval()
    state = torch.get_rng_state()
    model = load_model(f"timm:{name}", weights=saved(net, tmp_path))
    assert torch.equal(state, torch.get_rng_state())
    config = timm.data.resolve_model_data_config(net)
    assert model.preprocess == Preprocess(
        config["input_size"][1:], config["mean"], config["std"], config["interpolation"]
    )
    images = random_image(2, 3, 100, 110)
    output = model(images)
    assert output.logits is not None and output.embeddings is not None
    with torch.no_grad():
        inputs = model.preprocess(images)
        torch.testing.assert_close(output.logits, net(inputs))
        pooled = net.forward_head(net.forward_features(inputs), pre_logits=True)
        torch.testing.assert_close(output.embeddings, pooled)
        torch.testing.assert_close(output.logits, net.get_classifier()(output.embeddings))
    assert output.logits.shape == (2, classes)
    assert model.name == f"timm:{name} (weights.pt)"


def test_timm_runs_the_features_once(timm: Any, tmp_path: Path) -> None:
    net = timm.create_model("test_resnet", pretrained=False)
    model = load_model("timm:test_resnet", weights=saved(net, tmp_path), layer="layer2")
    runs: list[int] = []
    model.net.conv1.register_forward_hook(lambda *_: runs.append(1))  # type: ignore[attr-defined]
    features = model(random_image(2, 3, 160, 160)).features
    assert features is not None and features.ndim == 4 and runs == [1]


def test_timm_without_a_classifier(timm: Any, tmp_path: Path) -> None:
    net = timm.create_model("test_resnet", pretrained=False, num_classes=0).eval()
    with pytest.raises(ValueError, match="2 are missing .fc.weight, fc.bias.."):
        load_model("timm:test_resnet", weights=saved(net, tmp_path))
    inputs = torch.rand(2, 3, 64, 64)
    logits, embeddings = timm_forward(net, inputs)
    assert logits is None and torch.equal(embeddings, net(inputs))


def test_names_that_timm_and_torchvision_do_not_know(timm: Any) -> None:
    with pytest.raises(ValueError, match="got 'resnt18'; the nearest are: resnet18"):
        load_model("timm:resnt18")
    with pytest.raises(ValueError, match="got 'resnt18'; the nearest are: resnet18"):
        load_model("torchvision:resnt18")
    with pytest.raises(ValueError, match="but got 'fcn_resnet50'"):
        load_model("torchvision:fcn_resnet50")


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_without_a_connection(library: str, timm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str, **arguments: Any) -> nn.Module:
        assert arguments.get("pretrained") or arguments.get("weights")
        raise ConnectionResetError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    monkeypatch.setattr("rics_transforms.models.pretrained.get_model", offline)
    message = f"weights of {library}:resnet18, but failed .no route to host.. Without .*--weights F"
    with pytest.raises(OSError, match=message):
        load_model(f"{library}:resnet18")


@pytest.mark.parametrize(("module", "spec"), [("timm", "timm:resnet18"), ("safetensors.torch", "")])
def test_without_an_optional_package(
    module: str, spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    package = module.partition(".")[0]
    (tmp_path / "a.safetensors").touch()
    message = rf"Expected the package {package}, but it is not installed: pip install .*\[timm\]"
    with pytest.raises(ImportError, match=message):
        load_model(spec or "torchvision:resnet18", weights=tmp_path / "a.safetensors")


# --- torchvision ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "embedding"),
    [
        ("resnet18", lambda net, x: nn.Sequential(*list(net.children())[:-1])(x).flatten(1)),
        ("squeezenet1_1", lambda net, x: net.features(x).mean((2, 3))),
        ("mobilenet_v3_small", lambda net, x: net.classifier[:-1](net.features(x).mean((2, 3)))),
    ],
)
@pytest.mark.parametrize("classes", [1000, 10])
def test_torchvision(
    name: str, embedding: Callable[[Any, Tensor], Tensor], classes: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    net = get_model(name, num_classes=classes).eval()
    model = load_model(f"torchvision:{name}", weights=saved(net, tmp_path))
    assert model.preprocess == Preprocess((224, 224), MEAN, STD, "bilinear")
    images = random_image(2, 3, 224, 224)
    output = model(images)
    with torch.no_grad():
        inputs = model.preprocess(images)
        expected = net(inputs), embedding(net, inputs)
    assert output.logits is not None and output.embeddings is not None
    torch.testing.assert_close(output.logits, expected[0])
    torch.testing.assert_close(output.embeddings, expected[1])


def bgr(images: Tensor) -> Tensor:
    """What the real weights expect."""
    pixels = 255 * F.to_dtype(images, torch.float32, scale=True).flip(1)
    return pixels - torch.tensor([104.0, 117.0, 123.0])[:, None, None]


@pytest.mark.slow
def test_real_weights_classify_photographs(assets: Path) -> None:
    """61.2 % top-1 on 1000 photographs are known of these weights."""
    pytest.importorskip("safetensors")
    weights = assets / "squeezenet1_0.safetensors"
    model = load_model(
        "torchvision:squeezenet1_0", weights=weights, preprocess=bgr, layer="features"
    )
    paths = sorted((assets / "photos").glob("*.jpg"))[::3]
    labels = torch.tensor([int(path.stem) for path in paths])
    images = torch.stack([load_photo(path, 256)[:, 16:240, 16:240] for path in paths])
    logits, embeddings, features = model(images)
    assert logits is not None and embeddings is not None and features is not None
    right = int((logits.argmax(1) == labels).sum())
    interval = binomtest(right, len(labels)).proportion_ci(0.999)
    assert len(labels) == 67 and interval.low <= 0.612 <= interval.high and interval.low > 0.3
    torch.testing.assert_close(embeddings, features.mean((2, 3)))
    floats = model(images[:8] / 255).logits
    assert floats is not None
    torch.testing.assert_close(floats, logits[:8], rtol=1e-4, atol=1e-3)


# --- weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["weights.pt", "checkpoint.pth", "weights.safetensors"])
def test_weights_are_read(kind: str, tmp_path: Path) -> None:
    state, path = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}, tmp_path / kind
    if kind == "weights.safetensors":
        pytest.importorskip("safetensors.torch").save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3} if kind == "checkpoint.pth" else state, path)
    read = read_weights(str(path))
    assert read.keys() == state.keys()
    assert all(torch.equal(read[key], state[key]) for key in state)


class Unsafe:
    """An object whose class has to be imported to be read."""


def test_weights_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Expected `weights` to be a file, but found none"):
        read_weights(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("no weights")
    torch.save({"a": Unsafe()}, tmp_path / "unsafe.pt")
    for name in ("text.pt", "unsafe.pt"):
        with pytest.raises(ValueError, match=f"state_dict, but could not read .*{name}: "):
            read_weights(tmp_path / name)
    for content in ([1], {"a": 1}):
        torch.save(content, tmp_path / "other.pt")
        with pytest.raises(ValueError, match="to hold a state_dict, but .*other.pt holds none."):
            read_weights(tmp_path / "other.pt")


def test_weights_that_do_not_fit() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    state = dict(net.state_dict(), **{"0.weight": torch.zeros(3, 5), "x": torch.zeros(1)})
    state |= {f"y{i}": torch.zeros(1) for i in range(4)}
    del state["0.bias"], state["1.num_batches_tracked"]
    with pytest.raises(ValueError) as error:
        fill(net, state, "mine")
    assert str(error.value) == (
        "Expected `weights` to fit mine, but among its keys 1 are missing (0.bias), "
        "5 are unexpected (x, y0, y1, ...), 1 are of another shape (0.weight)."
    )
