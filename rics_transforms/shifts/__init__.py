"""Shifted views of a scene, on which a robust model gives the same answer.

A `Shift` lists its moves, tells how large a scene they need, and makes one view per move. Its
`repr` specifies it completely: equal shifts make equal views of equal scenes.

| name | views | source |
|---|---|---|
| `realistic` | windows of the scene, alone or disturbed (noise, JPEG, ...) | Shifman & Weiss 2024 |
| `camera` | means of a finer scene's pixels, moved by fractions of a pixel, alone or disturbed | |
| `cyclic` | the window rolled | Shifman & Weiss 2024, Theorem 2 |
| `integer`, `half`, `fractional` | the window rolled over a grid | Michaeli et al. 2023 |
| `trim` | the whole scene, trimmed by a few rows and columns, alone or disturbed | |
| `shifted_crop` | a random square, moved by a pixel, then resized | Azulay & Weiss 2019 |
| `embedded` | a small picture on a canvas, moved by a pixel | Azulay & Weiss 2019 |
| `rescaled` | a small picture on black, enlarged by a pixel | Azulay & Weiss 2019 |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from rics_transforms._arguments import from_text
from rics_transforms.shifts.base import Move, Shift
from rics_transforms.shifts.camera import Camera
from rics_transforms.shifts.canvas import Embedded, Rescaled, ShiftedCrop
from rics_transforms.shifts.cyclic import Cyclic, Grid
from rics_transforms.shifts.trim import Trim
from rics_transforms.shifts.windows import Realistic

__all__ = [
    "Camera",
    "Cyclic",
    "Embedded",
    "Grid",
    "Move",
    "Realistic",
    "Rescaled",
    "Shift",
    "ShiftedCrop",
    "Trim",
    "get_shift",
    "list_shifts",
]

# --- by name -------------------------------------------------------------------------------------


_SHIFTS: Mapping[str, Callable[..., Shift]] = {
    "camera": Camera,
    "cyclic": Cyclic,
    "embedded": Embedded,
    "fractional": partial(Grid, "fractional"),
    "half": partial(Grid, "half"),
    "integer": partial(Grid, "integer"),
    "realistic": Realistic,
    "rescaled": Rescaled,
    "shifted_crop": ShiftedCrop,
    "trim": Trim,
}


def list_shifts() -> list[str]:
    """The names of the shifts, sorted.

    Example:
        >>> list_shifts()
        ['camera', 'cyclic', 'embedded', 'fractional', 'half', 'integer', 'realistic', \
'rescaled', 'shifted_crop', 'trim']
    """
    return sorted(_SHIFTS)


def get_shift(shift: str | Shift) -> Shift:
    """A shift by its name and options; a `Shift` is returned unchanged.

    Raises:
        ValueError: for an unknown name, with the valid names and the nearest one, or for unknown
            options.

    Example:
        >>> get_shift("half:samples=64")
        Grid(kind='half', samples=64, seed=0)
        >>> get_shift("realistic:delta=0,then=noise:deviation=4")
        Realistic(delta=0, samples=None, seed=0, then=Noise(deviation=4))
        >>> get_shift("cylic")
        Traceback (most recent call last):
        ValueError: Expected `shift` to be one of camera, cyclic, embedded, fractional, half, \
integer, realistic, rescaled, shifted_crop, trim, but got 'cylic'; did you mean 'cyclic'?
    """
    return shift if isinstance(shift, Shift) else from_text("shift", shift, _SHIFTS)
