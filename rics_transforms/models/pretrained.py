"""Networks of timm and torchvision: how to build, load, run and read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights, list_models
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from rics_transforms._arguments import require_name
from rics_transforms._extras import needs

Forward = Callable[[Any, Tensor], Any]


class Network(NamedTuple):
    """A classifier with its forward pass and its preprocessing.

    Attributes:
        net: the module.
        forward: ``forward(net, inputs)`` is (logits, embeddings) of ``[B, C, h, w]``.
        preprocess: turns images into inputs.
    """

    net: nn.Module
    forward: Forward
    preprocess: Preprocess


@dataclass(frozen=True)
class Preprocess:
    """Scale to [0, 1], resize, normalise: images as most pretrained models expect them.

    Nothing is cropped: that is left to the transform that makes the images. Images of another size
    are resized to `size`, antialiased, each axis separately. All of it happens in float32, whatever
    the dtype of the images, so that uint8 and floating-point views can be compared.

    Attributes:
        size: (height, width) of the model's input.
        mean: of each channel, of pixels in [0, 1].
        std: likewise.
        interpolation: "bilinear" or "bicubic".

    Example:
        >>> preprocess = Preprocess((2, 2), mean=(0.5,), std=(0.25,))
        >>> preprocess(torch.full((1, 1, 4, 4), 255, dtype=torch.uint8))
        tensor([[[[2., 2.],
                  [2., 2.]]]])
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bilinear"

    def __call__(self, images: Tensor) -> Tensor:
        """Float32 ``[B, C, *size]`` from images ``[B, C, h, w]``, uint8 or floats in [0, 1]."""
        if images.shape[1] != len(self.mean):
            raise ValueError(
                f"Expected images of {len(self.mean)} channels, but got {images.shape[1]}."
            )
        if images.is_floating_point() and images.max() > 2:  # Fourier shifts overshoot 1 a little
            raise ValueError(
                f"Expected floating point images to be in [0, 1], but got {images.max():g}."
            )
        images = F.to_dtype(images, torch.float32, scale=True)
        if tuple(images.shape[-2:]) != self.size:
            mode = InterpolationMode(self.interpolation)
            images = F.resize(images, list(self.size), mode).clamp(0, 1)  # bicubic overshoots
        return F.normalize(images, list(self.mean), list(self.std))


# --- networks by name ----------------------------------------------------------------------------


def timm_network(name: str, weights: str | Path | None) -> Network:
    """A network of timm: see `rics_transforms.models.model.load_model`."""
    with needs("timm"):
        import timm
    if ":" not in name and not timm.is_model(name):  # "hf-hub:OWNER/NAME" is known to the hub only
        require_name("model", name, timm.list_models())

    def build(**arguments: Any) -> nn.Module:
        return timm.create_model(name, pretrained=weights is None, **arguments)

    net = _with_weights(build, weights, f"timm:{name}")
    config = timm.data.resolve_model_data_config(net)
    preprocess = Preprocess(
        tuple(config["input_size"][1:]), config["mean"], config["std"], config["interpolation"]
    )
    return Network(net, timm_forward, preprocess)


def timm_forward(net: Any, inputs: Tensor) -> tuple[Tensor | None, Tensor]:
    """Logits, unless the net was built for embeddings only, and embeddings, from one pass."""
    features = net.forward_features(inputs)
    embeddings = net.forward_head(features, pre_logits=True)
    return net.forward_head(features) if net.num_classes else None, embeddings


def torchvision_network(name: str, weights: str | Path | None) -> Network:
    """A network of torchvision: see `rics_transforms.models.model.load_model`."""
    require_name("model", name, list_models(module=torchvision.models))  # that classify images
    default = get_model_weights(name).DEFAULT

    def build(**arguments: Any) -> nn.Module:
        return get_model(name, weights=default if weights is None else None, **arguments)

    net = _with_weights(build, weights, f"torchvision:{name}")
    preset = default.transforms()
    (side,), interpolation = preset.crop_size, preset.interpolation.value
    preprocess = Preprocess((side, side), tuple(preset.mean), tuple(preset.std), interpolation)
    return Network(net, torchvision_forward, preprocess)


def torchvision_forward(net: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Logits, and what enters the last linear or convolutional layer, averaged if it is a map."""
    entered: list[Tensor] = []
    classifier = net.get_submodule(_classifier(net))
    with classifier.register_forward_pre_hook(lambda _, arguments: entered.append(arguments[0])):
        logits = net(inputs)
    return logits, entered[-1].flatten(2).mean(2) if entered[-1].ndim == 4 else entered[-1]


def _classifier(net: nn.Module) -> str:
    """Name of the last linear or convolutional layer."""
    layers = [n for n, module in net.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return layers[-1]


# --- weights -------------------------------------------------------------------------------------


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """A state_dict from a .safetensors file, or from one that `torch.save` made.

    No code in the file is run. A checkpoint may hold the state_dict under the key "state_dict".

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it does not hold a state_dict.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected `weights` to be a file, but found none at {path}.")
    read = _reader(path)
    try:
        state = read(path)
    except Exception as error:  # each format has its own kinds of error
        raise ValueError(
            f"Expected `weights` to be a .safetensors file or a state_dict, but could not read "
            f"{path}: {first_line(error)}"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"Expected `weights` to hold a state_dict, but {path} holds none.")
    return state


def _reader(path: Path) -> Callable[[Path], Any]:
    """What reads this kind of file."""
    if path.suffix != ".safetensors":
        return partial(torch.load, map_location="cpu", weights_only=True)
    with needs("timm"):
        from safetensors.torch import load_file
    return load_file


def _with_weights(
    build: Callable[..., nn.Module], weights: str | Path | None, spec: str
) -> nn.Module:
    """A net with the weights and number of classes of a file, or else with pretrained weights."""
    if weights is not None:
        state, net = read_weights(weights), build()
        key = f"{_classifier(net)}.weight"
        if key in state and len(state[key]) != len(net.state_dict()[key]):
            net = build(num_classes=len(state[key]))
        fill(net, state, spec)
        return net
    try:
        return build()
    except Exception as error:  # each library, protocol and proxy has its own kinds of error
        raise OSError(
            f"Expected to get the pretrained weights of {spec}, but failed ({first_line(error)}). "
            "Without a connection, give a file: `weights`, or --weights FILE."
        ) from error


def fill(net: nn.Module, state: dict[str, Tensor], spec: str) -> None:
    """Load a state_dict into a net; `spec` names the net in errors.

    Raises:
        ValueError: if keys or shapes differ.
    """
    own = net.state_dict()
    shapes = [key for key in own.keys() & state.keys() if own[key].shape != state[key].shape]
    fitting = {key: value for key, value in state.items() if key not in shapes}
    missing, unexpected = net.load_state_dict(fitting, strict=False)
    problems = {
        "missing": [key for key in missing if key not in shapes],
        "unexpected": unexpected,
        "of another shape": sorted(shapes),
    }
    found = [f"{len(keys)} are {kind} ({_few(keys)})" for kind, keys in problems.items() if keys]
    if found:
        raise ValueError(
            f"Expected `weights` to fit {spec}, but among its keys {', '.join(found)}."
        )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


# --- error messages ------------------------------------------------------------------------------


def first_line(error: Exception) -> str:
    """The first line of an error message."""
    return str(error).strip().partition("\n")[0]
