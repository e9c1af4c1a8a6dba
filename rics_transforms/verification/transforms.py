"""What is known about a transform: whether it selects crops, where, and its name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass

from torch import Tensor

from rics_transforms.engine.scores import Score

Transform = Callable[[Tensor], Tensor]
"""Makes the model's input ``[C, h, w]`` from a view ``[C, n_h, n_w]``."""


def selects(transform: Transform) -> bool:
    """Whether a transform selects crops of one size by a score, as `RICSCrop` does."""
    return isinstance(getattr(transform, "score", None), Score) and hasattr(transform, "k")


def locates(transform: Transform) -> bool:
    """Whether a transform selects places in the scene, so that its crops do not wrap around."""
    return selects(transform) and getattr(transform, "shifts", None) == "realistic"


def resamples(transform: Transform) -> bool:
    """Whether a transform crops at fractions of a pixel, and so resamples its pixels."""
    return bool(getattr(transform, "subpixel", False))


def name_of(x: object) -> str:
    """The name of a function, or of an object's class; of a chain, the names of its steps.

    Example:
        >>> name_of(name_of), name_of(3)
        ('name_of', 'int')
        >>> from torchvision.transforms.v2 import CenterCrop, Compose, Resize
        >>> name_of(Compose([Resize(256), CenterCrop(224)]))
        'Resize + CenterCrop'
    """
    steps = getattr(x, "transforms", None)
    if isinstance(steps, (list, tuple)):
        return " + ".join(map(name_of, steps))
    return str(getattr(x, "__name__", type(x).__name__))


def describe(x: object) -> str:
    """The `repr` of an object, without options left at None and what differs between processes.

    Example:
        >>> from rics_transforms import Lattice, RICSCrop
        >>> describe(RICSCrop(24, score=Lattice(patch="hash")))
        "RICSCrop(k=(24, 24), score=Lattice(patch='hash'), shifts='realistic')"
    """
    score = getattr(x, "score", None)
    text = _call(x)
    if isinstance(score, Score):
        text = text.replace(repr(score), _call(score))
    return re.sub(r" at 0x[0-9a-f]+", "", text)  # the address of a function


def _call(x: object) -> str:
    """The call that makes a dataclass, without options that its repr hides or that stay None."""
    text = repr(x)
    if not is_dataclass(x):
        return text
    values = {f.name: getattr(x, f.name) for f in fields(x) if f"{f.name}=" in text}
    unset = {f.name for f in fields(x) if f.default is None and values.get(f.name) is None}
    options = [f"{name}={value!r}" for name, value in values.items() if name not in unset]
    return f"{type(x).__name__}({', '.join(options)})"
