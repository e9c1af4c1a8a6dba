"""RICS in timm's evaluation chain.

>>> import timm
>>> from rics_transforms.integrations.timm import create_transform
>>> model = timm.create_model("resnet18")
>>> transform = create_transform(model)  # in place of timm.data.create_transform(**data_config)

>>> import PIL.Image
>>> transform(PIL.Image.new("RGB", (400, 300))).shape
torch.Size([3, 224, 224])

timm resizes an image and cuts out its centre. Here that centre crop is the *field* in which RICS
looks for its k x k crop:

- ``create_transform(model)``: the crop has the size of the model's input, the field is 1/0.875
  times as large, 224 out of 256. With a `crop_pct` of 0.875 objects look as large as in timm's own
  chain.
- ``create_transform(model, 140)``: as in the paper. The field is timm's own crop of 224 pixels, and
  the crop of 140 is resized to 224.
- ``create_transform(model, 140, resize=False)``: the same, but the model sees the 140 pixels
  unscaled, if it accepts them.

Photographs that come in all sizes are better cropped before they are resized, so that trimmed
copies agree: `create_resized_transform`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from math import floor
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import transforms

from rics_transforms import Ladder, RICSCrop, RICSResizedCrop, Score
from rics_transforms.integrations._versions import require

require("timm", extra="timm", minimum="1.0.20")

import timm.data  # noqa: E402, after the version check
from timm.data.loader import PrefetchLoader  # noqa: E402
from timm.data.transforms import CenterCropOrPad  # noqa: E402
from timm.models import get_pretrained_cfg  # noqa: E402

__all__ = ["create_resized_transform", "create_transform", "crop_loader", "resized_crop_loader"]

Size = tuple[int, int]
Chain = list[Any]

_LADDER = Ladder()

_REFUSED = {
    "is_training": "RICS replaces the centre crop of evaluation, and training has none",
    "separate": "the parts of a separated chain are those of training",
    "naflex": "NaFlex resizes the whole image to a sequence of patches and crops nothing",
}


def create_transform(
    source: nn.Module | str | Mapping[str, Any],
    k: int | Sequence[int] | None = None,
    *,
    n: int | Sequence[int] | None = None,
    score: str | Score = "lattice",
    subpixel: bool = False,
    resize: bool = True,
    **options: Any,
) -> transforms.Compose:
    """The evaluation chain of timm, with a crop by RICS inside its centre crop.

    Resize, centre crop (`crop_mode` "center", "squash" or "border"), `RICSCrop`, a second resize
    where `k` is not the model's input size, and timm's conversion to tensors. With ``n=k`` it
    is timm's chain.

    Args:
        source: a timm model; the name of one, looked up offline; or a data config, the arguments of
            ``timm.data.create_transform`` (from ``timm.data.resolve_data_config``).
        k: side of the crop in pixels, or (height, width); by default the model's input size.
        n: side of the centre crop in which RICS looks, the field, or (height, width). Default: the
            model's input size if `k` is smaller, otherwise k / 0.875 or all that timm's resize
            leaves, whichever is larger. The first resize grows with it if necessary.
        score: a registered name (`list_scores`) or a `Score`.
        subpixel: place the crop between the pixels, see `rics_transforms.RICSCrop`.
        resize: resize the crop to the model's input size; otherwise the model gets k x k pixels,
            which is tried once, on zeros.
        options: further arguments of ``timm.data.create_transform``, such as ``use_prefetcher`` or
            ``crop_pct``; they take precedence over those of `source`. timm rounds the size of the
            first resize down: ``crop_pct=224 / 236`` gives 236 where the paper rounds 224 / 0.95
            up.

    Raises:
        ValueError: for training, separate or NaFlex chains, a `k` larger than the field, an unknown
            name, or a model that does not accept k x k pixels without a resize.

    Example:
        >>> for step in create_transform("resnet18", 140).transforms[:4]:
        ...     print(step)
        Resize(size=235, interpolation=bicubic, max_size=None, antialias=True)
        CenterCrop(size=(224, 224))
        RICSCrop(k=(140, 140), score=Lattice(order=None, patch='mexican_hat', sigma=None), \
shifts='realistic')
        Resize(size=(224, 224), interpolation=bicubic, max_size=None, antialias=True)
    """
    chain = _stock_chain(source, options)
    head, crop, tail = _insert(chain, k, n, resize, score=score, subpixel=subpixel)
    if not resize:
        _check_accepts(source, chain.transforms[_place(chain)].size, crop[0].k)
    return transforms.Compose([*head, *crop, *tail])


def create_resized_transform(
    source: nn.Module | str | Mapping[str, Any],
    *,
    field: int | Ladder = _LADDER,
    ratio: float = 7 / 8,
    score: str | Score = "lattice",
    subpixel: bool = False,
    **options: Any,
) -> transforms.Compose:
    """The evaluation chain of timm, with `RICSResizedCrop` for its resize and its centre crop.

    The crop is chosen in the stored pixels, and resized to the model's input size with the
    interpolation of timm's resize; timm's conversion to tensors follows. `crop_pct` and `crop_mode`
    belong to what is replaced, and change nothing.

    Args:
        source: as in `create_transform`.
        field: see `rics_transforms.RICSResizedCrop`, as for the next three.
        ratio: side of the crop as a share of the field's.
        score: a registered name (`list_scores`) or a `Score`.
        subpixel: place the crop between the pixels.
        options: further arguments of ``timm.data.create_transform``, such as ``use_prefetcher`` or
            ``interpolation``; they take precedence over those of `source`.

    Raises:
        ValueError: for training, separate or NaFlex chains, an unknown name, or numbers out of
            range.

    Example:
        >>> for step in create_resized_transform("resnet18").transforms[:2]:
        ...     print(step)
        RICSResizedCrop(size=(224, 224), ratio=0.875, score=Lattice(order=None, \
patch='mexican_hat', sigma=None), shifts='realistic', interpolation='bicubic')
        MaybeToTensor()
    """
    chain = _stock_chain(source, options)
    steps = _replace(chain, field=field, ratio=ratio, score=score, subpixel=subpixel)
    return transforms.Compose(steps)


def crop_loader(
    loader: Any,
    k: int | Sequence[int] | None = None,
    *,
    n: int | Sequence[int] | None = None,
    score: str | Score = "lattice",
    subpixel: bool = False,
    resize: bool = True,
    on_device: bool = False,
) -> Any:
    """Let an evaluation loader of ``timm.data.create_loader`` crop by RICS.

    The loader keeps everything that it was created with; `k`, `n`, `score`, `subpixel` and `resize`
    are those of `create_transform`, except that no model is tried with k x k pixels. Call it before
    the first batch is read: running workers have their own copy of the dataset.

    Args:
        loader: a `PrefetchLoader`, or the `DataLoader` that `create_loader` returns without one.
        on_device: let the workers stop at the field, and crop whole batches on the loader's device,
            before it normalises them. The crops are the same pixels; the resize to the model's
            input size, if any, is that of tensors, which rounds differently from that of PIL.

    Returns:
        The same loader, changed.

    Raises:
        ValueError: for a loader with another chain than timm's for evaluation, or one that
            normalises in its workers, where ``fast_collate`` would truncate the floats to uint8.

    Example:
        >>> import PIL.Image
        >>> from timm.data import create_loader
        >>> image = PIL.Image.new("RGB", (400, 300))
        >>> class Images(torch.utils.data.Dataset):
        ...     def __len__(self):
        ...         return 8
        ...     def __getitem__(self, index):
        ...         return self.transform(image), index
        >>> options = dict(num_workers=0, persistent_workers=False, device=torch.device("cpu"))
        >>> loader = create_loader(Images(), (3, 224, 224), 4, **options)
        >>> loader = crop_loader(loader, on_device=True)
        >>> [tuple(images.shape) for images, targets in loader]
        [(4, 3, 224, 224), (4, 3, 224, 224)]
    """
    if on_device and not isinstance(loader, PrefetchLoader):
        raise ValueError("Expected a loader with `use_prefetcher=True` for `on_device=True`.")
    chain = loader.dataset.transform
    head, crop, tail = _insert(chain, k, n, resize, score=score, subpixel=subpixel)
    _check_collates(loader, chain)
    in_workers = [*head, *tail] if on_device else [*head, *crop, *tail]
    loader.dataset.transform = transforms.Compose(in_workers)
    if on_device:
        loader.loader = _OnDevice(loader.loader, nn.Sequential(*crop), loader.device)
    return loader


def resized_crop_loader(
    loader: Any,
    *,
    field: int | Ladder = _LADDER,
    ratio: float = 7 / 8,
    score: str | Score = "lattice",
    subpixel: bool = False,
) -> Any:
    """Let an evaluation loader of ``timm.data.create_loader`` crop by RICS, and resize afterwards.

    As `crop_loader`, with the arguments of `create_resized_transform`. Workers crop, since stored
    images of several sizes do not form a batch.

    Returns:
        The same loader, changed.

    Raises:
        ValueError: as `crop_loader` does.
    """
    chain = loader.dataset.transform
    steps = _replace(chain, field=field, ratio=ratio, score=score, subpixel=subpixel)
    _check_collates(loader, chain)
    loader.dataset.transform = transforms.Compose(steps)
    return loader


class _OnDevice:
    """A loader of (images, targets) that moves the images to a device and crops them there."""

    def __init__(self, loader: Any, crop: nn.Module, device: torch.device) -> None:
        self.loader = loader
        self.crop = crop
        self.device = device

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, targets in self.loader:
            # The name must hold the crops until the next turn: PrefetchLoader reads them in its
            # own stream, and has joined it by then.
            cropped = self.crop(images.to(self.device, non_blocking=True))
            yield cropped, targets

    def __getattr__(self, name: str) -> Any:  # PrefetchLoader asks for dataset, sampler, ...
        return getattr(self.loader, name)


# --- the chain -----------------------------------------------------------------------------------


def _data_config(source: nn.Module | str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    if isinstance(source, str):
        found = get_pretrained_cfg(source)
        if found is None:
            raise ValueError(
                f"Expected the name of a timm model (timm.list_models()), but got {source!r}."
            )
        pretrained_cfg = found.to_dict()
    else:
        pretrained_cfg = getattr(source, "pretrained_cfg", None)
        if not pretrained_cfg:
            raise ValueError(
                "Expected a timm model with a `pretrained_cfg`, its name or a data config, but got "
                f"{type(source).__name__}."
            )
    return timm.data.resolve_data_config(pretrained_cfg=pretrained_cfg)


def _stock_chain(source: Any, options: Mapping[str, Any]) -> Any:
    config = {**_data_config(source), **options}
    for option in _REFUSED.keys() & {name for name, value in config.items() if value}:
        raise ValueError(f"Expected no `{option}`: {_REFUSED[option]}.")
    return timm.data.create_transform(**config)


def _insert(
    chain: Any,
    k: int | Sequence[int] | None,
    n: int | Sequence[int] | None,
    resize: bool,
    **options: Any,
) -> tuple[Chain, Chain, Chain]:
    """The chain up to the field, the crop by RICS with its resize, and the rest of the chain."""
    place = _place(chain)
    first, center = copy(chain.transforms[place - 1]), copy(chain.transforms[place])
    size = _pair(center.size)
    crop = RICSCrop(size if k is None else k, **options)
    center.size = _default_field(crop.k, size, first.size) if n is None else _pair(n)
    if any(side > limit for side, limit in zip(crop.k, center.size, strict=True)):
        raise ValueError(f"Expected `k` to be at most `n` {center.size}, but got {crop.k}.")
    first.size = _grown(first.size, center.size)
    second = transforms.Resize(size, first.interpolation)
    head = [*chain.transforms[: place - 1], first, center]
    crops = [crop, second] if resize and crop.k != size else [crop]
    return head, crops, chain.transforms[place + 1 :]


def _replace(chain: Any, **options: Any) -> Chain:
    """The chain with `RICSResizedCrop` for its resize and its centre crop."""
    place = _place(chain)
    first, center = chain.transforms[place - 1 : place + 1]
    crop = RICSResizedCrop(_pair(center.size), interpolation=first.interpolation, **options)
    return [*chain.transforms[: place - 1], crop, *chain.transforms[place + 1 :]]


def _place(chain: Any) -> int:
    """Where in the chain the centre crop is."""
    steps = getattr(chain, "transforms", [])
    kinds = (transforms.CenterCrop, CenterCropOrPad, RICSCrop)
    places = [place for place, step in enumerate(steps) if isinstance(step, kinds)]
    if len(places) != 1 or not hasattr(steps[places[0] - 1], "interpolation"):
        raise ValueError(
            "Expected timm's chain for evaluation, with a resize and one centre crop (training, "
            f"NaFlex and TensorFlow's have none), but got {chain}."
        )
    return places[0]


def _check_collates(loader: Any, chain: Any) -> None:
    """Refuse floats where bytes are expected."""
    floats = any(isinstance(step, transforms.Normalize) for step in chain.transforms)
    if floats and isinstance(loader, PrefetchLoader):
        raise ValueError(
            "Expected a transform made with `use_prefetcher=True`, as fast_collate truncates the "
            f"floats of {chain} to uint8."
        )


def _default_field(k: Size, size: Size, resized: int | Size) -> Size:
    """The default field; `create_transform` states the rule."""
    height, width = (
        own if side < own else max(floor(side / timm.data.DEFAULT_CROP_PCT), available)
        for side, own, available in zip(k, size, _pair(resized), strict=True)
    )
    return height, width


def _grown(size: int | Size, least: Size) -> int | Size:
    """The size of a resize (an int is that of the shorter edge), at least that of the field."""
    if isinstance(size, int):
        return max(size, *least)
    return max(size[0], least[0]), max(size[1], least[1])


def _pair(n: int | Sequence[int]) -> Size:
    sides = tuple(n) if isinstance(n, Sequence) else (n, n)
    if len(sides) != 2 or not all(isinstance(side, int) for side in sides):
        raise TypeError(f"Expected `n` to be an int or a pair of them, but got {n!r}.")
    return sides


def _check_accepts(source: Any, size: Size, k: Size) -> None:
    """Refuse a model that cannot take k x k pixels; it is left unchanged."""
    if k == size:
        return
    if not isinstance(source, nn.Module):
        raise ValueError(
            f"Expected a model for `resize=False`, as only a forward pass shows whether it accepts "
            f"{k}, but got {source!r}."
        )
    modes = {module: module.training for module in source.modules()}
    channels = _data_config(source)["input_size"][0]
    try:
        with torch.no_grad():
            source.eval()(next(source.parameters()).new_zeros(1, channels, *k))
    except Exception as error:  # models refuse with errors of every kind
        raise ValueError(
            f"Expected a model that accepts {k}, but it says: {error} Use `resize=True`, or create "
            "a model with `dynamic_img_size=True` where it has that option."
        ) from error
    finally:
        for module, training in modes.items():
            module.training = training
