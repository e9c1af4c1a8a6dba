"""Tensors whose values cannot be looked at (in graphs, under vmap), or only at a cost (on GPUs)."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

_R = TypeVar("_R")


def cached(function: Callable[..., _R]) -> Callable[..., _R]:
    """Remember what a function of hashable arguments returns, unless under a tracer."""
    made: dict[tuple[Any, ...], _R] = {}

    @wraps(function)
    def call(*args: Any) -> _R:
        if torch.compiler.is_compiling():
            return function(*args)
        if args not in made:
            result = function(*args)
            parts: Any = result if isinstance(result, tuple) else (result,)
            if not all(_is_plain(part) for part in parts if isinstance(part, Tensor)):
                return result
            if len(made) >= 64:
                made.clear()
            made[args] = result
        return made[args]

    return call


def _is_plain(tensor: Tensor) -> bool:
    """Whether this is an ordinary tensor, not a placeholder in a tracer or vmap."""
    return type(tensor) is Tensor and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def is_traced(tensor: Tensor) -> bool:
    """Whether the values of a tensor cannot be looked at."""
    return torch.compiler.is_compiling() or not _is_plain(tensor)


def can_branch_on(tensor: Tensor) -> bool:
    """Whether values may decide what comes next: not in a graph, nor on a GPU, which would wait."""
    return tensor.is_cpu and not is_traced(tensor)


def is_empty(tensor: Tensor) -> bool:
    """Whether a tensor has no elements, or stands for one of an empty batch in vmap."""
    if not torch.compiler.is_compiling():
        while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
            tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor.numel() == 0
