"""Models from modules, functions and names: outputs, options, and every error message."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rics_transforms.models.model import Model, Options, Output, as_model, load_model

from ..conftest import random_image


class Net(nn.Module):
    """Class scores, their dropout, and the mean of a convolution as embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.dropout = nn.Dropout()
        self.head = nn.Linear(4, 5)
        self.unused = nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        embeddings = self.conv(x / 255).mean((2, 3))
        return self.head(self.dropout(embeddings)), embeddings


IMAGES = random_image(7, 3, 8, 8)


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


# --- outputs -------------------------------------------------------------------------------------


def test_a_module_gives_what_it_computes(net: Net) -> None:
    logits, embeddings = net.eval()(IMAGES)
    output = as_model(net.train())(IMAGES)
    assert isinstance(output, Output) and output.features is None
    assert output.logits is not None and output.embeddings is not None
    assert torch.equal(output.logits, logits) and torch.equal(output.embeddings, embeddings)
    assert not output.logits.requires_grad and not output.logits.is_inference()


@pytest.mark.parametrize(
    ("result", "logits", "embeddings"),
    [
        (lambda x: x, True, False),
        (lambda x: (x, x + 1), True, True),
        (lambda x: (x, None), True, False),
        (lambda x: (None, x + 1), False, True),
        (lambda x: {"logits": x, "loss": 0}, True, False),
        (lambda x: {"embeddings": x + 1}, False, True),
        (lambda x: {"logits": x.double(), "embeddings": (x + 1).bfloat16()}, True, True),
    ],
)
def test_what_a_function_may_return(result: Any, logits: bool, embeddings: bool) -> None:
    images = torch.full((2, 3, 4, 4), 7, dtype=torch.uint8)
    output = as_model(lambda images: result(images.float().mean((2, 3))))(images)
    assert (output.logits is not None) == logits
    assert (output.embeddings is not None) == embeddings
    for value, number in ((output.logits, 7), (output.embeddings, 8)):
        if value is not None:
            assert torch.equal(value, torch.full((2, 3), number, dtype=torch.float32))


def test_forward_says_how_to_run_the_net(net: Net) -> None:
    model = as_model(net, forward=lambda net, x: (None, net.conv(x.float()).amax((2, 3))))
    output = model(IMAGES)
    assert output.logits is None and output.embeddings is not None
    assert torch.equal(output.embeddings, net.conv(IMAGES.float()).amax((2, 3)))


@pytest.mark.parametrize("batch_size", [1, 3, 7, 64])
def test_batches_change_nothing_but_the_last_bits(net: Net, batch_size: int) -> None:
    seen: list[int] = []

    def preprocess(images: Tensor) -> Tensor:
        seen.append(len(images))
        return images

    whole = as_model(net, layer="conv")(IMAGES)
    parts = as_model(net, layer="conv", batch_size=batch_size, preprocess=preprocess)(IMAGES)
    assert sum(seen) == 7 and max(seen) == min(7, batch_size)
    for one, other in zip(whole, parts, strict=True):
        assert one is not None and other is not None
        torch.testing.assert_close(one, other)


def test_nothing_of_the_module_changes_and_no_number_is_drawn(net: Net) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    model = as_model(net, layer="conv")
    first, second = model(IMAGES), model(IMAGES)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())
    assert not net.training
    for one, other in zip(first, second, strict=True):
        assert one is not None and other is not None and torch.equal(one, other)


# --- options -------------------------------------------------------------------------------------


def test_options_are_the_attributes_of_a_model() -> None:
    assert list(Options.__annotations__) == [f.name for f in fields(Model) if f.name != "net"]


def test_a_layer_is_recorded(net: Net) -> None:
    features = as_model(net, layer="conv")(IMAGES).features
    assert features is not None and features.dtype == torch.float32
    assert torch.equal(features, net.conv(IMAGES / 255))


def test_of_a_layer_that_runs_twice_the_last_output_counts() -> None:
    twice = nn.Sequential(nn.Flatten(), double := nn.Linear(2, 2), double)
    with torch.no_grad():
        double.weight.copy_(2 * torch.eye(2))
        double.bias.zero_()
    features = as_model(twice, layer="1")(torch.ones(1, 1, 1, 2)).features
    assert features is not None and features.tolist() == [[4, 4]]


def test_autocast_is_for_the_model_only(net: Net) -> None:
    dtypes: list[torch.dtype] = []

    def preprocess(images: Tensor) -> Tensor:
        dtypes.append((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
        return images

    def forward(net: Net, inputs: Tensor) -> tuple[Tensor, Tensor]:
        logits, embeddings = net(inputs)
        dtypes.append(logits.dtype)
        return logits, embeddings

    options: Options = {"preprocess": preprocess, "forward": forward, "layer": "conv"}
    exact = as_model(net, **options)
    outputs = exact(IMAGES), as_model(exact, autocast=torch.bfloat16)(IMAGES)
    assert dtypes == [torch.float32, torch.float32, torch.float32, torch.bfloat16]
    for one, other in zip(*outputs, strict=True):
        assert one is not None and other is not None
        assert one.dtype == other.dtype == torch.float32
        assert not torch.equal(one, other)
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.05)


def test_a_model_takes_other_options(net: Net) -> None:
    model = as_model(net, name="mine", batch_size=3)
    other = as_model(model, layer="conv")
    assert (other.name, other.batch_size, other.layer, model.layer) == ("mine", 3, "conv", None)
    assert as_model(model) == model


def test_names() -> None:
    def function(images: Tensor) -> Tensor:
        return images

    assert as_model(function).name == "function"
    assert as_model(nn.Flatten()).name == "Flatten"
    assert as_model(function, name="other").name == "other"


# --- module:function -----------------------------------------------------------------------------

OWN = """
import torch
from torch import nn
import beside_{0}
from rics_transforms.models.model import as_model

def network():
    import beside_{0}
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5))

def wrapped(scale=2):
    return as_model(lambda images: images.flatten(1) * scale, batch_size=1)

def itself(images):
    return images.flatten(1).float()

instance = nn.Flatten()
number = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module in the working directory; each test has one of its own."""
    name = f"own_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(OWN.format(name))
    (tmp_path / f"beside_{name}.py").write_text("")
    (tmp_path / f"lacking_{name}.py").write_text("import no_such_library")
    monkeypatch.chdir(tmp_path)
    return name


@pytest.mark.parametrize(
    ("function", "classes"), [("network", 5), ("wrapped", 12), ("itself", 12), ("instance", 12)]
)
def test_own_models(own: str, function: str, classes: int) -> None:
    model = load_model(f"{own}:{function}")
    logits = model(torch.ones(2, 3, 2, 2)).logits
    assert model.name == f"{own}:{function}"
    assert logits is not None and logits.shape == (2, classes)
    assert model.batch_size == (1 if function == "wrapped" else 64)


def test_own_models_with_weights_and_options(own: str, tmp_path: Path) -> None:
    state = {"1.weight": torch.ones(5, 12), "1.bias": torch.arange(5.0)}
    torch.save(state, tmp_path / "weights.pt")
    model = load_model(f"{own}:network", weights=tmp_path / "weights.pt", name="mine", layer="0")
    output = model(torch.ones(1, 3, 2, 2))
    assert output.logits is not None and output.features is not None
    assert output.logits.tolist() == [[12, 13, 14, 15, 16]]
    assert output.features.shape == (1, 12)
    assert model.name == "mine"
    with pytest.raises(ValueError, match="Expected .*:itself to be a torch.nn.Module, for `weigh"):
        load_model(f"{own}:itself", weights=tmp_path / "weights.pt")


def test_own_models_that_are_not_there(own: str) -> None:
    with pytest.raises(ValueError, match="got 'netwrk'; did you mean 'network'"):
        load_model(f"{own}:netwrk")
    with pytest.raises(ValueError, match="Expected a module 'no_such_module', installed or in /"):
        load_model("no_such_module:network")
    with pytest.raises(ValueError, match="Expected a module 'torch.no_such_module', "):
        load_model("torch.no_such_module:network")
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_library'"):
        load_model(f"lacking_{own}:network")
    with pytest.raises(TypeError, match="Expected `model` to be callable, but got int."):
        load_model(f"{own}:number")


@pytest.mark.parametrize("spec", ["resnet18", "timm:", ":resnet18", ""])
def test_specs_say_where_from(spec: str) -> None:
    with pytest.raises(ValueError, match='be "timm:NAME", "torchvision:NAME" or "module:function"'):
        load_model(spec)


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "Expected `batch_size` to be a positive int, but got 0."),
        ({"layer": "cnov"}, "Expected `layer` to be one of .* got 'cnov'; did you mean 'conv'"),
        ({"device": "nowhere"}, "Expected `device` to be one that .*, but got 'nowhere': "),
        ({"device": "cuda:99"}, "Expected `device` to be one that .*, but got 'cuda:99': "),
    ],
)
def test_options_are_checked(net: Net, options: Options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_model(net, **options)


def test_what_is_no_model() -> None:
    with pytest.raises(TypeError, match="Expected `model` to be callable, but got int."):
        as_model(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Expected a torch.nn.Module, for `layer`, but got functi"):
        as_model(lambda images: images, layer="conv")


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ([1], TypeError, "Expected `images` to be a tensor, but got list."),
        (torch.zeros(3, 8, 8), ValueError, r"of shape \[B, C, h, w\], but got \(3, 8, 8\)."),
        (torch.zeros(0, 3, 8, 8), ValueError, r"but got \(0, 3, 8, 8\)."),
        (torch.zeros(1, 3, 8, 8).int(), TypeError, "of uint8 or floats in .*got torch.int32."),
    ],
)
def test_images_are_checked(images: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        as_model(lambda images: images.flatten(1))(images)


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (None, TypeError, "Expected `model` to return logits, .* but got None."),
        ([1, 2], TypeError, r"but got \[1, 2\]."),
        ((None, None), TypeError, r"but got \(None, None\)."),
        ((torch.zeros(4, 2),) * 3, TypeError, "a mapping with one of these keys or both, but got"),
        ({"scores": 1}, TypeError, r"but got \(None, None\)."),
        (([1], None), TypeError, r"to return logits as a tensor, but got \[1\]."),
        (torch.zeros(4), ValueError, r"of shape \[4, K\] for 4 images, but got \(4,\)."),
        (torch.zeros(3, 2), ValueError, r"logits of shape .* but got \(3, 2\)."),
        (torch.zeros(4, 0), ValueError, r"but got \(4, 0\)."),
        (torch.zeros(4, 2, 1, 1), ValueError, r"but got \(4, 2, 1, 1\)."),
        ((None, torch.zeros(3, 2)), ValueError, r"embeddings of shape .* but got \(3, 2\)."),
    ],
)
def test_outputs_are_checked(result: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        as_model(lambda _: result)(IMAGES[:4])


@pytest.mark.parametrize(("value", "word"), [("nan", "NaN"), ("inf", "infinity")])
def test_outputs_are_finite(value: str, word: str) -> None:
    def broken(images: Tensor) -> tuple[Tensor, Tensor]:
        spoilt = images.float().mean((2, 3))
        return images.float().amax((2, 3)), torch.where(spoilt > 100, float(value), spoilt)

    images = torch.zeros(6, 3, 8, 8)
    images[[3, 5]] = 200
    message = f"finite embeddings, but got {word} for 2 of 6 images, the first of them number 3."
    with pytest.raises(ValueError, match=message):
        as_model(broken, batch_size=2)(images)


def test_outputs_have_one_shape() -> None:
    widths = iter([2, 3])
    model = as_model(lambda images: torch.zeros(len(images), next(widths)), batch_size=4)
    with pytest.raises(ValueError, match="Expected `model` to return logits of one shape for all"):
        model(IMAGES)


def test_layers_run_and_return_one_tensor(net: Net) -> None:
    with pytest.raises(ValueError, match="Expected `layer` to run, but 'unused' did not."):
        as_model(net, layer="unused")(IMAGES)
    pair = nn.Sequential(nn.Sequential(net))
    with pytest.raises(ValueError, match="to return a tensor .* but '0' returned <class 'tuple'>."):
        as_model(pair, layer="0")(IMAGES)
    unbatched = nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (7, 192)))
    with pytest.raises(ValueError, match=r"for 7 images, but '0' returned torch.Size\(\[1344\]\)."):
        as_model(unbatched, layer="0")(IMAGES)
