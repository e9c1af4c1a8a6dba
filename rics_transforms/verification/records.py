"""One record per image, and the file that records are streamed into: JSON lines.

The first line of a file holds the settings, every other line a record. Each line is flushed before
the next image is measured, so a run that is killed loses one image at most.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from rics_transforms._text import read_json
from rics_transforms.shifts.base import Move
from rics_transforms.verification.content import as_dataclass, brief
from rics_transforms.verification.settings import Settings


@dataclass(frozen=True)
class Record:
    """What was measured on one image. Fields that need a model or a label are empty without one.

    A *view* is one shifted image, the first one unshifted; an *input* is the output of the
    transform for a view. Equal inputs are given to the model once: `input` says which one each view
    has, and the model's answers are listed per distinct input, that of the unshifted view first.

    Attributes:
        id: name of the image.
        label: its true class.
        window: (top, left) of the unshifted window in the scene, in pixels of a view. These need
            not be whole where the scene is finer, with `Settings.factor` of its pixels each.
        places: distinct places of crops in the scene, (top, left), likewise, the unshifted view's
            first; empty if places cannot be compared.
        place: for every view the index of its place.
        input: for every view the index of its input.
        predictions: top-1 class.
        top5: whether the label is among the five most likely classes.
        confidence: probability of the class that is most likely for the unshifted view.
        truth: probability of the label.
        neighbours: id of the nearest image of the gallery.
        feature_difference: of the layer, from the unshifted view: see
            `verification.equivariance.feature_difference`.
        nonshiftability: likewise, see `verification.equivariance.nonshiftability`.
        scene: a digest of the pixels of the scene, by which a later run recognises it.
    """

    id: str
    label: int | None
    window: Move | None
    places: tuple[Move, ...]
    place: tuple[int, ...]
    input: tuple[int, ...]
    predictions: tuple[int, ...] = ()
    top5: tuple[bool, ...] = ()
    confidence: tuple[float, ...] = ()
    truth: tuple[float, ...] = ()
    neighbours: tuple[str, ...] = ()
    feature_difference: tuple[float, ...] = ()
    nonshiftability: tuple[float, ...] = ()
    scene: str = ""

    @property
    def inputs(self) -> int:
        """How many distinct inputs the views lead to: the forward passes that a model needs."""
        return max(self.input) + 1

    @classmethod
    def from_json(cls, line: str) -> Record:
        """The record that `to_json` wrote; ValueError for anything else."""
        content = read_json(line)
        if not isinstance(content, dict):
            raise ValueError("it is not a JSON object")
        return as_dataclass(cls, content)

    def to_json(self) -> str:
        """One line of JSON."""
        # In ASCII, which holds names that are not UTF-8, too.
        return json.dumps(asdict(self), separators=(",", ":"), allow_nan=False)


# --- files ---------------------------------------------------------------------------------------


def read_records(path: str | Path) -> tuple[Settings, list[Record]]:
    """Settings and records of a file.

    A last line that was cut off while it was written is left out, with a warning. If an image was
    replaced, the later of its two records counts.

    Raises:
        ValueError: naming the line, for a file that holds no records, is damaged elsewhere, or was
            written by a version with other settings.
    """
    lines = Path(path).read_text(encoding="utf-8", errors="replace").split("\n")
    *whole, rest = lines  # what follows the last line break was cut
    if rest:
        warnings.warn(
            f"The last line of {str(path)!r} is cut off in the middle; its image is left out.",
            stacklevel=2,
        )
    if not whole:
        raise ValueError(f"Expected {str(path)!r} to hold records, but it has no complete line.")
    settings = _settings(whole[0], path)
    found: dict[str, Record] = {}
    for number, line in enumerate(whole[1:], 2):
        try:
            record = Record.from_json(line)
            _require_fit(record, settings)
            _require_new(record, found.get(record.id))
        except ValueError as error:
            raise ValueError(
                f"Expected a record in line {number} of {str(path)!r}, but {error}."
            ) from error
        found[record.id] = record
    return settings, list(found.values())


def _settings(line: str, path: str | Path) -> Settings:
    try:
        return Settings.from_json(line)
    except ValueError as error:
        raise ValueError(
            f"Expected {str(path)!r} to begin with settings that `verify` wrote: {error}"
        ) from error


def _require_new(record: Record, earlier: Record | None) -> None:
    """Raise for a second record of the same image."""
    if earlier is not None and made_of(record) == made_of(earlier):
        raise ValueError(f"{record.id!r} has another one above")


def made_of(record: Record) -> tuple[str, int | None]:
    """What a record was made of: with another scene or label it is out of date."""
    return record.scene, record.label


def _require_fit(record: Record, settings: Settings) -> None:
    """Raise for a record that no measurement with these settings makes."""
    views = len(settings.moves)
    if len(record.input) != views or not _numbers(record.input):
        raise ValueError(f"`input` does not number the inputs of {views} views")
    if record.places or record.place:
        if len(record.place) != views or not _numbers(record.place, len(record.places)):
            raise ValueError(f"`place` does not number the `places` of {views} views")
        _require_within(record, settings)
    asked = (*_OF_MODEL, *_OF_LABEL, "neighbours")
    for name in asked:
        if len(getattr(record, name)) not in (0, record.inputs):
            raise ValueError(f"`{name}` does not hold a value for each of {record.inputs} inputs")
    unasked = [] if settings.model else [*asked]
    unasked += [] if settings.neighbours else ["neighbours"]
    unasked += [*_OF_LABEL] if record.label is None else []
    if given := [name for name in unasked if getattr(record, name)]:
        raise ValueError(f"`{given[0]}` has values that were not asked for")
    shares = (*record.confidence, *record.truth, *record.nonshiftability)
    if not all(0 <= share <= 1 + 1e-9 for share in shares):
        raise ValueError("a probability or share lies outside 0 to 1")
    if min((*record.predictions, *record.feature_difference), default=0) < 0:
        raise ValueError("a class or a difference is negative")


_OF_MODEL = ("predictions", "confidence", "feature_difference", "nonshiftability")
_OF_LABEL = ("top5", "truth")


def _numbers(numbers: tuple[int, ...], count: int | None = None) -> bool:
    """Whether these are 0, 1, 2, ... in the order of their first appearance."""
    distinct = list(dict.fromkeys(numbers))
    return distinct == list(range(len(distinct) if count is None else count))


_OVER = 0.5 + 1e-6  # pixels by which a crop at a fraction of a pixel may leave its window


def _require_within(record: Record, settings: Settings) -> None:
    """Raise unless every crop lies within the window of its view."""
    if record.window is None or settings.k is None:
        raise ValueError("`places` are given without a `window` or a crop")
    places = [record.places[i] for i in record.place]
    room = [n - k for n, k in zip(settings.windows, settings.k, strict=True)]
    for axis in (0, 1):
        start = record.window[axis]
        for place, move in zip(places, settings.moves, strict=True):
            if not -_OVER <= place[axis] - start - move[axis] <= room[axis] + _OVER:
                raise ValueError(f"the place {place} lies outside the window")
    if len(set(record.places)) < len(record.places):
        raise ValueError("`places` are not distinct")


def merge_records(paths: Iterable[str | Path]) -> tuple[Settings, list[Record]]:
    """The records of several files of one measurement, such as those of the parts of a data set.

    Files may share images, as long as their records are equal.

    Returns:
        The settings of the first file, and the records.

    Raises:
        ValueError: for no files, files of different settings, or an image with different records.
    """
    settings: Settings | None = None
    merged: dict[str, Record] = {}
    for path in paths:
        own, records = read_records(path)
        settings = settings or own
        require_same(settings, own, path)
        for record in records:
            if merged.setdefault(record.id, record) != record:
                raise ValueError(
                    f"Expected one record per image, but {record.id!r} has another one in "
                    f"{str(path)!r}."
                )
    if settings is None:
        raise ValueError("Expected `paths` to name at least one records file, but got none.")
    return settings, list(merged.values())


def require_same(ours: Settings, theirs: Settings, path: str | Path) -> None:
    """Raise unless the settings of a file equal ours.

    Raises:
        ValueError: naming the settings that differ.
    """
    if differ := ours.differences(theirs):
        pairs = [(name, getattr(ours, name), getattr(theirs, name)) for name in differ]
        shown = ", ".join(f"{name} = {brief(a)}, not {brief(b)}" for name, a, b in pairs)
        raise ValueError(
            f"Expected the records in {str(path)!r} to be of the same settings, but these differ: "
            f"{shown}. Choose another file, or delete it to start over."
        )


class RecordsFile:
    """A file that records are appended to; an existing one is continued.

    Attributes:
        done: the records that it held when it was opened, by id.
        renewed: how many of these were replaced, as their images or labels had changed.
    """

    def __init__(self, path: str | Path, settings: Settings) -> None:
        self.path = Path(path)
        self.done: dict[str, Record] = {}
        self.renewed = 0
        if self.path.exists() and self.path.stat().st_size:
            self._continue(settings)
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._start(settings)
        self._file: IO[str] = self.path.open("a", encoding="utf-8", newline="\n")

    def _continue(self, settings: Settings) -> None:
        text = self.path.read_bytes()
        if b"\n" not in text:  # killed while the settings were written
            self._start(settings)
            return
        found, records = read_records(self.path)
        require_same(settings, found, self.path)
        if settings.origin != found.origin:
            raise ValueError(
                f"Expected the records in {str(self.path)!r} to be of the same images, but they are"
                f" {found.origin or 'others'!r}, not {settings.origin or 'those given'!r}. Choose "
                "another file, or delete it to start over."
            )
        self.done = {record.id: record for record in records}
        with self.path.open("r+b") as file:
            file.truncate(text.rindex(b"\n") + 1)

    def _start(self, settings: Settings) -> None:
        self.path.write_text(f"{settings.to_json()}\n", encoding="utf-8", newline="\n")

    def append(self, record: Record) -> None:
        """Write a record; it stays if this process is killed."""
        self._file.write(record.to_json() + "\n")
        self._file.flush()
        self.renewed += record.id in self.done

    def __enter__(self) -> RecordsFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
