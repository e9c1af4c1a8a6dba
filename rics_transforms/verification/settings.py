"""All that a measurement depends on, in what JSON can hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from rics_transforms import theory
from rics_transforms._arguments import as_pair
from rics_transforms.verification.measurement import Measurement, selects
from rics_transforms.verification.scenes import Scene

Neighbours = Literal["others", "class"]


def _settings(
    measure: Measurement, deltas: Sequence[int], neighbours: Neighbours | Iterable[Scene] | None
) -> dict[str, Any]:
    """All that a record depends on, in what JSON can hold."""
    from rics_transforms import __version__  # the package is complete only when this is called

    among = neighbours if neighbours is None or isinstance(neighbours, str) else "own"
    return {
        "n": list(measure.n),
        "transform": _describe(measure.transform),
        **_rule(measure),
        "shifts": repr(measure.shifts),
        "moves": [list(move) for move in measure.shifts.moves(measure.n)],
        "deltas": list(deltas),
        "disturbed": measure.shifts.disturbance is not None,
        "model": None if measure.model is None else measure.model.name,
        "neighbours": among,
        "gallery": None,
        "seed": measure.seed,
        "version": __version__,
    }


def _rule(measure: Measurement) -> dict[str, Any]:
    """Crop size, score and order of a transform that has them, and which theory speaks of it."""
    if not selects(measure.transform):
        return {"k": None, "score": None, "order": None, "theory": None}
    transform: Any = measure.transform
    k = as_pair(transform.k, "k")
    theory.crop_positions(measure.n, k)
    return {
        "k": list(k),
        "score": _describe(transform.score),
        "order": list(transform.score.order_for(measure.n, k)),
        "theory": measure.shifts.theory_for(transform.shifts),
    }


def _describe(x: object) -> str:
    """A `repr` that is the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(x))


def _call(settings: dict[str, Any], images: str) -> str:
    """The Python call that makes the same report."""
    options = [f"n={tuple(settings['n'])}", f"shifts={settings['shifts']}"]
    options += [f"deltas={settings['deltas']}"] if settings["deltas"] else []
    options += [f"model={settings['model']!r}"] if settings["model"] else []
    options += [f"neighbours={settings['neighbours']!r}"] if settings["neighbours"] else []
    options += [f"seed={settings['seed']}"]
    return f"verify({images}, {settings['transform']}, {', '.join(options)})"
