"""One record per image, and the file that records are streamed into: JSON lines.

The first line of a file holds the settings, every other line a record. Each line is flushed before
the next image is measured, so a run that is killed loses one image at most.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

from rics_transforms._arguments import Size
from rics_transforms.verification.settings import Settings, frozen


@dataclass(frozen=True)
class Record:
    """What was measured on one image. What needs a model or a label is empty without one.

    A *view* is one shifted image, the first one unshifted; an *input* is the output of the
    transform for a view. Equal inputs are given to the model once: `input` says which one each view
    has, and the model's answers are listed per distinct input, that of the unshifted view first.

    Attributes:
        id: name of the image.
        label: its true class.
        window: (top, left) of the unshifted window in the scene.
        places: distinct places of crops in the scene, (top, left), the unshifted view's first;
            empty if places cannot be compared.
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
    """

    id: str
    label: int | None
    window: Size | None
    places: tuple[Size, ...]
    place: tuple[int, ...]
    input: tuple[int, ...]
    predictions: tuple[int, ...] = ()
    top5: tuple[bool, ...] = ()
    confidence: tuple[float, ...] = ()
    truth: tuple[float, ...] = ()
    neighbours: tuple[str, ...] = ()
    feature_difference: tuple[float, ...] = ()
    nonshiftability: tuple[float, ...] = ()

    @property
    def inputs(self) -> int:
        """How many distinct inputs the views lead to: the forward passes that a model needs."""
        return max(self.input) + 1

    @classmethod
    def from_json(cls, line: str) -> Record:
        """The record that `to_json` wrote; ValueError or KeyError for anything else."""
        content = json.loads(line)
        if not isinstance(content, dict) or set(content) != {f.name for f in fields(cls)}:
            raise ValueError("Expected a record, but got other content.")
        return cls(**{key: frozen(value) for key, value in content.items()})

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


# --- files ---------------------------------------------------------------------------------------


def read_records(path: str | Path) -> tuple[Settings, list[Record]]:
    """Settings and records of a file.

    A last line that was cut off while it was written is left out, with a warning.

    Raises:
        ValueError: for a file that holds no records, is damaged elsewhere, or was written by a
            version with other settings.
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
    return settings, [_record(line, number, path) for number, line in enumerate(whole[1:], 2)]


def _settings(line: str, path: str | Path) -> Settings:
    try:
        return Settings.from_json(line)
    except ValueError as error:
        raise ValueError(
            f"Expected {str(path)!r} to begin with settings that `verify` wrote: {error}"
        ) from error


def _record(line: str, number: int, path: str | Path) -> Record:
    try:
        return Record.from_json(line)
    except (ValueError, TypeError) as error:
        raise ValueError(f"Expected a record in line {number} of {str(path)!r}: {error}") from error


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
    """Raise unless the settings of a file are ours.

    Raises:
        ValueError: naming the settings that differ.
    """
    if differ := ours.differences(theirs):
        pairs = [(name, getattr(ours, name), getattr(theirs, name)) for name in differ]
        shown = ", ".join(f"{name} = {_brief(a)}, not {_brief(b)}" for name, a, b in pairs)
        raise ValueError(
            f"Expected the records in {str(path)!r} to be of the same settings, but these differ: "
            f"{shown}. Choose another file, or delete it to start anew."
        )


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class RecordsFile:
    """A file that records are appended to; an existing one is continued.

    Attributes:
        done: the records that it held when it was opened, by id.
    """

    def __init__(self, path: str | Path, settings: Settings) -> None:
        self.path = Path(path)
        self.done: dict[str, Record] = {}
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
        self.done = {record.id: record for record in records}
        with self.path.open("r+b") as file:
            file.truncate(text.rindex(b"\n") + 1)

    def _start(self, settings: Settings) -> None:
        self.path.write_text(f"{settings.to_json()}\n", encoding="utf-8", newline="\n")

    def append(self, record: Record) -> None:
        """Write a record; it stays if this process is killed."""
        self._file.write(record.to_json() + "\n")
        self._file.flush()

    def __enter__(self) -> RecordsFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
