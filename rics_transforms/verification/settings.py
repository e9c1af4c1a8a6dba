"""The settings of a measurement: everything its records depend on, and where they come from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from rics_transforms import theory
from rics_transforms._arguments import Size, as_pair
from rics_transforms._text import read_json
from rics_transforms._version import __version__
from rics_transforms.shifts.base import Move, Rule, Shift
from rics_transforms.verification.content import as_dataclass
from rics_transforms.verification.transforms import (
    Transform,
    describe,
    name_of,
    resamples,
    selects,
)

Neighbours = Literal["others", "class", "own"]
"""Among which images the nearest neighbour is sought; "own": a gallery of the caller."""

_ORIGIN = frozenset({"source", "origin", "command"})  # where a run comes from, not what it measures


@dataclass(frozen=True)
class Settings:
    """What was measured, and how. Objects are given as text: a call that makes them.

    Attributes:
        n: height and width of a window in pixels; None if views have the sizes of their scenes.
        transform: what makes the model's input from a window.
        transform_name: its class, or the name of a function.
        k: height and width of a crop; None, like the next three, if the transform selects none.
        score: what it selects crops by.
        score_name: class of the score.
        order: order of the lattice per axis.
        theory: the theorems that bound these crops under these shifts; None: no theorem does.
        shifts: the views.
        moves: the move of every view, (dy, dx), that of the reference first.
        deltas: largest moves in pixels that have their own rows; empty: one row for all moves.
        disturbance: what changes the pixels of every view but the reference, or None.
        factor: how many pixels of the scene a pixel of a view is high and wide.
        model: name of the model, or None.
        neighbours: among which images the nearest neighbour is sought, or None.
        gallery: which images these are, or None.
        seed: of what shifts draw at random.
        version: of this package.
        source: where the images come from, and which could not be read.
        origin: where they come from, the same for every run on them; "" if unknown.
        command: what makes the same report.
    """

    n: Size | None
    transform: str
    transform_name: str
    k: Size | None
    score: str | None
    score_name: str | None
    order: Size | None
    theory: Rule | None
    shifts: str
    moves: tuple[Move, ...]
    deltas: tuple[int, ...]
    disturbance: str | None
    factor: int
    model: str | None
    neighbours: Neighbours | None
    gallery: str | None
    seed: int
    version: str
    source: str = ""
    origin: str = ""
    command: str = ""

    @classmethod
    def of(
        cls,
        transform: Transform,
        shifts: Shift,
        n: Size,
        *,
        deltas: Sequence[int] = (),
        model: str | None = None,
        neighbours: Neighbours | None = None,
        seed: int = 0,
    ) -> Settings:
        """The settings of a measurement of windows of n pixels.

        Raises:
            ValueError: if the crop of the transform is larger than the window.
        """
        return cls(
            n=n if shifts.sized else None,
            transform=describe(transform),
            transform_name=name_of(transform),
            **_selection(transform, shifts, n),
            shifts=describe(shifts),
            moves=shifts.moves(n),
            deltas=shifts.deltas(deltas),
            disturbance=shifts.disturbance,
            factor=shifts.factor,
            model=model,
            neighbours=neighbours,
            gallery=None,
            seed=seed,
            version=__version__,
        )

    @classmethod
    def from_json(cls, line: str) -> Settings:
        """The settings that `to_json` wrote.

        Raises:
            ValueError: for anything else.
        """
        content = read_json(line)
        found = content.get("settings") if isinstance(content, dict) else None
        if not isinstance(found, dict):
            raise ValueError("it holds no settings")
        if differ := sorted(found.keys() ^ {f.name for f in fields(cls)}):
            raise ValueError(
                f"version {found.get('version')} wrote it, whose settings differ from those of "
                f"{__version__} in {', '.join(differ)}"
            )
        settings = as_dataclass(cls, found)
        _require_sense(settings)
        return settings

    def to_json(self) -> str:
        """One line of JSON, the first one of a records file."""
        return json.dumps({"settings": asdict(self)})

    @property
    def windows(self) -> Size:
        """Height and width of the windows, where there are any.

        Raises:
            ValueError: where views have the sizes of their scenes.
        """
        if self.n is None:
            raise ValueError("views that have the sizes of their scenes are not windows")
        return self.n

    def differences(self, other: Settings) -> list[str]:
        """The names of the settings that differ; `source`, `origin` and `command` may.

        Example:
            >>> from torchvision.transforms.v2 import CenterCrop
            >>> from rics_transforms.shifts import Cyclic
            >>> settings = Settings.of(CenterCrop(9), Cyclic(), (9, 9))
            >>> settings.differences(Settings.of(CenterCrop(9), Cyclic(), (9, 9), seed=1))
            ['seed']
        """
        names = sorted({f.name for f in fields(self)} - _ORIGIN)
        return [name for name in names if getattr(self, name) != getattr(other, name)]

    def call(self, images: str) -> str:
        """The Python call that makes the same report."""
        options = [f"n={self.n}"] if self.n else []
        options += [f"shifts={self.shifts}"]
        options += [f"deltas={list(self.deltas)}"] if self.deltas else []
        options += [f"model={self.model!r}"] if self.model else []
        options += [f"neighbours={self.neighbours!r}"] if self.neighbours else []
        options += [f"seed={self.seed}"]
        return f"verify({images}, {self.transform}, {', '.join(options)})"


def _selection(transform: Any, shifts: Shift, n: Size) -> dict[str, Any]:
    """What a transform that selects crops does, and which theorems bound it."""
    if not selects(transform) or not shifts.sized:
        return dict.fromkeys(("k", "score", "score_name", "order", "theory"))
    k = as_pair(transform.k, "k")
    theory.crop_positions(n, k)
    bound = shifts.theory_for(transform.shifts)
    if resamples(transform) and bound == "realistic":
        bound = None  # the crop keeps its place as they say, but near the border not all its pixels
    return {
        "k": k,
        "score": describe(transform.score),
        "score_name": name_of(transform.score),
        "order": tuple(transform.score.order_for(n, k)),
        "theory": bound,
    }


_LARGEST = 2**20  # pixels per axis, more than any measurement has


def _require_sense(settings: Settings) -> None:
    """Raise for settings that no measurement has."""
    selection = [getattr(settings, name) for name in ("k", "score", "score_name", "order")]
    sizes = [size for size in (settings.n, settings.k, settings.order) if size is not None]
    moves, deltas = settings.moves, settings.deltas
    if not all(0 < side <= _LARGEST for size in sizes for side in size):
        raise ValueError("`n`, `k` or `order` is not a size")
    if len({value is None for value in selection}) > 1 or (settings.theory and not settings.k):
        raise ValueError("only some of `k`, `score`, `score_name`, `order` and `theory` are given")
    if settings.k is not None:
        theory.crop_positions(settings.windows, settings.k)
    if not moves or any(moves[0]):
        raise ValueError("the first one of `moves` is not (0, 0)")
    if list(deltas) != sorted(set(deltas)) or min(deltas, default=0) < 0:
        raise ValueError(f"`deltas` are {deltas}")
    if settings.factor < 1:
        raise ValueError(f"`factor` is {settings.factor}")
    if settings.seed < 0 or (settings.neighbours and not settings.model):
        raise ValueError("`seed` is negative, or there are `neighbours` without a model")
