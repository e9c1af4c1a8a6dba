"""Any model as one callable: images -> class scores, embeddings, and feature maps of a layer.

A `Model` comes from a name (`load_model`), or from a module or function (`as_model`).
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, Unpack

import torch
from torch import Tensor, nn

from rics_transforms._arguments import require_name, store_int
from rics_transforms.models.pretrained import (
    fill,
    first_line,
    read_weights,
    timm_network,
    torchvision_network,
)


class Output(NamedTuple):
    """What a model says about B images.

    Attributes:
        logits: class scores, float32 ``[B, K]`` on the CPU; None if the model has none.
        embeddings: for nearest neighbours, float32 ``[B, d]`` on the CPU; None if it has none.
        features: output of the layer asked for, float32 ``[B, ...]`` on the model's device.
    """

    logits: Tensor | None
    embeddings: Tensor | None
    features: Tensor | None = None


class Options(TypedDict, total=False):
    """Attributes of `Model` that `load_model` and `as_model` take as keyword arguments."""

    name: str
    forward: Callable[[Any, Tensor], Any]
    preprocess: Callable[[Tensor], Tensor]
    layer: str | None
    device: str | torch.device
    autocast: torch.dtype | None
    batch_size: int


def _call(net: Callable[[Tensor], Any], inputs: Tensor) -> Any:
    return net(inputs)


def _as_it_is(images: Tensor) -> Tensor:
    return images


@dataclass(frozen=True)
class Model:
    """A model with everything needed to run it on images: ``model(images) -> Output``.

    A `torch.nn.Module` is moved to the device and put into eval mode, in place and once; its
    parameters stay unchanged. It runs under `torch.inference_mode` and draws no random numbers. The
    composition of a batch may change the last bits of an output, but nothing else.

    Attributes:
        net: a `torch.nn.Module`, or any callable, on ``[B, C, h, w]``.
        name: what reports call it.
        forward: ``forward(net, inputs)`` returns the logits ``[B, K]``, or the pair ``(logits,
            embeddings)``, one of which may be None, or a mapping with the keys "logits" and
            "embeddings", one of which may be missing. Default: ``net(inputs)``.
        preprocess: makes the input of `net` from images, uint8 or floating point in [0, 1], on the
            device: see `Preprocess`. Default: none, `net` gets the images unchanged.
        layer: name of a module of `net` whose (last) output becomes `Output.features`.
        device: where it runs.
        autocast: dtype in which `net` computes where PyTorch considers it safe, such as
            `torch.bfloat16`. It never applies to the preprocessing.
        batch_size: number of images that run at once.

    Raises:
        ValueError: for an unknown layer, an unavailable device, or a batch size below 1.
        TypeError: if `net` is not callable, or the batch size not an int.
    """

    net: Callable[[Tensor], Any]
    name: str
    forward: Callable[[Any, Tensor], Any] = _call
    preprocess: Callable[[Tensor], Tensor] = _as_it_is
    layer: str | None = None
    device: str | torch.device = "cpu"
    autocast: torch.dtype | None = None
    batch_size: int = 64

    def __post_init__(self) -> None:
        if not callable(self.net):
            raise TypeError(f"Expected `model` to be callable, but got {type(self.net).__name__}.")
        store_int(self, "batch_size", 1)
        if self.layer is not None:
            _check_layer(self.net, self.layer)
        _check_device(self.device)
        if isinstance(self.net, nn.Module):
            self.net.eval().to(self.device)

    def __call__(self, images: Tensor) -> Output:
        """Run the model.

        Args:
            images: ``[B, C, h, w]`` on any device, uint8 or floating point in [0, 1].

        Returns:
            An `Output`, in the order of the images.

        Raises:
            TypeError: for images or outputs that are not tensors, or images of another dtype.
            ValueError: for images of another shape; for outputs of a shape other than ``[B, K]``,
                with NaN or infinity, or with a K that differs between images.

        Example:
            >>> model = as_model(lambda images: images.float().mean((2, 3)))
            >>> model(torch.full((2, 3, 4, 4), 7, dtype=torch.uint8)).logits
            tensor([[7., 7., 7.],
                    [7., 7., 7.]])
        """
        _check_images(images)
        chunks = [self._run(chunk) for chunk in images.split(self.batch_size)]
        parts = zip(Output._fields, zip(*chunks, strict=True), strict=True)
        return Output(*(_joined(kind, values) for kind, values in parts))

    @torch.inference_mode()
    def _run(self, images: Tensor) -> Output:
        inputs = self.preprocess(images.to(self.device))
        autocast = torch.autocast(
            torch.device(self.device).type, self.autocast, enabled=self.autocast is not None
        )
        with _recorded(self.net, self.layer) as features, autocast:
            result = self.forward(self.net, inputs)
        logits, embeddings = _answers(result)
        return Output(
            _rows("logits", logits, len(images)),
            _rows("embeddings", embeddings, len(images)),
            None if self.layer is None else _last(self.layer, features, len(images)),
        )


def as_model(model: Model | Callable[[Tensor], Any], **options: Unpack[Options]) -> Model:
    """Any callable as a `Model`; a `Model` with other options.

    Args:
        model: a `Model`, a `torch.nn.Module`, or a callable that takes images ``[B, C, h, w]``,
            and returns what `Model.forward` may return.
        **options: attributes of `Model`. The default of `name` is that of the function or class.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 5))
        >>> model = as_model(net, preprocess=lambda images: images / 255, layer="0")
        >>> model.name, model(torch.zeros(2, 3, 2, 2)).features.shape
        ('Sequential', torch.Size([2, 12]))
    """
    if isinstance(model, Model):
        return replace(model, **options)
    options.setdefault("name", getattr(model, "__name__", type(model).__name__))
    return Model(model, **options)


# --- models by name ------------------------------------------------------------------------------


def load_model(
    spec: str, *, weights: str | Path | None = None, **options: Unpack[Options]
) -> Model:
    """A model by name.

    ``"timm:NAME"``: logits and embeddings (``forward_head(..., pre_logits=True)``) from one pass;
    input size, mean, std and interpolation from timm's data config. ``"torchvision:NAME"``: the
    embedding is what enters the last linear or convolutional layer, averaged over height and width
    if it is a map; `Preprocess` has the values of the default weights. ``"module:function"``: the
    module may lie in the working directory. A function that can be called without arguments is
    called to make the model; any other object is the model itself. A model is whatever `as_model`
    takes.

    Args:
        spec: a name in one of these forms.
        weights: a state_dict, as a .safetensors file or from `torch.save`, read without running
            any code in it. The number of classes is taken from it. Default: the pretrained weights
            of timm or torchvision, which are downloaded; models of your own stay unchanged.
        **options: attributes of `Model`. The default of `name` is `spec` and the file's name.

    Raises:
        ValueError: for an unknown name, or weights that do not fit or cannot be read.
        OSError: if weights are missing or cannot be downloaded.
        ImportError: if timm or safetensors is needed and missing.

    Example:
        >>> model = load_model("torch.nn:Flatten", batch_size=2)
        >>> model.name, model(torch.ones(3, 1, 1, 2)).logits.shape
        ('torch.nn:Flatten', torch.Size([3, 2]))
    """
    source, _, name = spec.partition(":")
    if not source or not name:
        raise ValueError(
            'Expected `model` to be "timm:NAME", "torchvision:NAME" or "module:function", '
            f"but got {spec!r}."
        )
    options.setdefault("name", spec if weights is None else f"{spec} ({Path(weights).name})")
    networks = {"timm": timm_network, "torchvision": torchvision_network}
    with torch.random.fork_rng(devices=[]):  # what is built starts from random weights
        if source not in networks:
            return as_model(_own(spec, weights), **options)
        network = networks[source](name, weights)
    return as_model(Model(network.net, spec, network.forward, network.preprocess), **options)


def _own(spec: str, weights: str | Path | None) -> Model:
    model = as_model(load_own("model", spec))
    if weights is None:
        return model
    if not isinstance(model.net, nn.Module):
        raise ValueError(f"Expected {spec} to be a torch.nn.Module, for `weights`, but it is not.")
    fill(model.net, read_weights(weights), spec)
    return model


def load_own(kind: str, spec: str) -> Any:
    """What ``"module:function"`` stands for: see `load_model`.

    Args:
        kind: argument name to put into the errors.
        spec: the module may lie in the working directory.

    Raises:
        ValueError: for a module or a name that is not there.
    """
    path, _, name = spec.partition(":")
    if not path or not name:
        raise ValueError(f'Expected `{kind}` to be "module:function", but got {spec!r}.')
    with _working_directory_first():
        module = _imported(path, spec)
        if not hasattr(module, name):
            names = [public for public in dir(module) if not public.startswith("_")]
            require_name(kind, name, names)
        found = getattr(module, name)
        return found() if _needs_no_arguments(found) else found


def _imported(path: str, spec: str) -> Any:
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise  # the module exists, but something it imports does not
        raise ValueError(
            f"Expected a module {path!r}, installed or in {Path.cwd()}, for {spec!r}, "
            "but found none."
        ) from error


def _needs_no_arguments(model: Any) -> bool:
    if isinstance(model, nn.Module | Model) or not callable(model):
        return False
    try:
        inspect.signature(model).bind()
    except (TypeError, ValueError):  # it needs some, or does not say
        return False
    return True


@contextmanager
def _working_directory_first() -> Iterator[None]:
    path = str(Path.cwd())
    sys.path.insert(0, path)
    try:
        yield
    finally:
        sys.path.remove(path)


# --- checks --------------------------------------------------------------------------------------


def _check_device(device: str | torch.device) -> None:
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:
        raise ValueError(
            f"Expected `device` to be one that PyTorch finds here, but got {device!r}: "
            f"{first_line(error)}"
        ) from error


def _check_layer(net: Any, layer: str) -> None:
    if not isinstance(net, nn.Module):
        raise ValueError(f"Expected a torch.nn.Module, for `layer`, but got {type(net).__name__}.")
    require_name("layer", layer, (name for name, _ in net.named_modules() if name))


def _check_images(images: Tensor) -> None:
    if not isinstance(images, Tensor):
        raise TypeError(f"Expected `images` to be a tensor, but got {type(images).__name__}.")
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"Expected `images` of shape [B, C, h, w], but got {tuple(images.shape)}.")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise TypeError(f"Expected `images` of uint8 or floats in [0, 1], but got {images.dtype}.")


def _answers(result: Any) -> tuple[Any, Any]:
    """Logits and embeddings from what a model returned."""
    if isinstance(result, Tensor):
        return result, None
    if isinstance(result, Mapping):
        result = result.get("logits"), result.get("embeddings")
    if isinstance(result, tuple) and len(result) == 2 and any(v is not None for v in result):
        return result
    raise TypeError(
        "Expected `model` to return logits, (logits, embeddings), or a mapping with one of these "
        f"keys or both, but got {result!r:.80}."
    )


def _rows(kind: str, value: Any, count: int) -> Tensor | None:
    """Logits or embeddings as float32 ``[count, K]`` on the CPU."""
    if value is None:
        return None
    if not isinstance(value, Tensor):
        raise TypeError(f"Expected `model` to return {kind} as a tensor, but got {value!r:.80}.")
    if value.ndim != 2 or len(value) != count or value.shape[1] == 0:
        raise ValueError(
            f"Expected `model` to return {kind} of shape [{count}, K] for {count} images, "
            f"but got {tuple(value.shape)}."
        )
    return value.float().cpu()


def _last(layer: str, outputs: list[Any], count: int) -> Tensor:
    """The last output of a layer, float32 ``[count, ...]``."""
    if not outputs:
        raise ValueError(f"Expected `layer` to run, but {layer!r} did not.")
    if not isinstance(outputs[-1], Tensor) or outputs[-1].shape[:1] != (count,):
        raise ValueError(
            f"Expected `layer` to return a tensor [{count}, ...] for {count} images, "
            f"but {layer!r} returned {getattr(outputs[-1], 'shape', type(outputs[-1]))}."
        )
    return outputs[-1].float()


@contextmanager
def _recorded(net: Any, layer: str | None) -> Iterator[list[Any]]:
    """The outputs of a layer while the context lasts."""
    outputs: list[Any] = []
    if layer is None:
        yield outputs
        return
    with net.get_submodule(layer).register_forward_hook(lambda *call: outputs.append(call[-1])):
        yield outputs


def _joined(kind: str, parts: Sequence[Tensor | None]) -> Tensor | None:
    """Outputs of several batches as one, if they agree in shape and are finite."""
    present = [part for part in parts if part is not None]
    shapes = {None if part is None else tuple(part.shape[1:]) for part in parts}
    if len(shapes) > 1:
        raise ValueError(
            f"Expected `model` to return {kind} of one shape for all images, but got {shapes}."
        )
    if not present:
        return None
    values = torch.cat(present)
    bad = (~values.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
    if bad:
        what = "NaN" if values[bad].isnan().any() else "infinity"
        raise ValueError(
            f"Expected `model` to return finite {kind}, but got {what} for {len(bad)} of "
            f"{len(values)} images, the first of them number {bad[0]}."
        )
    return values
