"""Reads the scenes given to `verify`: tensors, with or without a name and a label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from rics_transforms._arguments import as_int

SceneLike = Tensor | tuple[str, Tensor] | tuple[str, Tensor, int | None]
"""A scene as `verify` takes it."""


def as_scene(item: Any, number: int) -> tuple[str, Tensor, int | None]:
    """Name, pixels (uint8) and label of one item of `images`; its number serves as a missing name.

    Raises:
        TypeError: unless the scene is a tensor, and its label an int or None.
        ValueError: for a shape other than ``[C, H, W]``, or values that are not grey levels.
    """
    name, scene, label = (*item, None)[:3] if isinstance(item, tuple) else (str(number), item, None)
    if not isinstance(scene, Tensor):
        raise TypeError(
            "Expected `images` to hold tensors, (name, tensor) or (name, tensor, label), "
            f"but got {type(scene).__name__}."
        )
    if scene.ndim != 3 or 0 in scene.shape:
        raise ValueError(
            f"Expected scenes of shape [C, H, W], but got {tuple(scene.shape)} for {name!r}."
        )
    number_of_class = None if label is None else as_int(label, f"label of {name!r}")
    return str(name), _as_grey_levels(scene, name), number_of_class


def _as_grey_levels(scene: Tensor, name: str) -> Tensor:
    """A scene as uint8."""
    if scene.dtype == torch.uint8:
        return scene
    if not scene.is_floating_point() or not 0 <= scene.min() <= scene.max() <= 1:
        raise ValueError(
            f"Expected scenes in uint8, or float in [0, 1], but got {scene.dtype} from "
            f"{scene.min()} to {scene.max()} for {name!r}."
        )
    return (scene * 255).round().to(torch.uint8)


def named_scenes(images: Iterable[SceneLike]) -> Iterator[tuple[str, Tensor, int | None]]:
    """Name, pixels and label of every image.

    Raises:
        ValueError: if two images have the same name.
    """
    seen: set[str] = set()
    for number, item in enumerate(images):
        name, scene, label = as_scene(item, number)
        if name in seen:
            raise ValueError(f"Expected every image to have its own name, but got two {name!r}.")
        seen.add(name)
        yield name, scene, label
