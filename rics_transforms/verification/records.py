"""One record per image, and the file they are streamed into: JSON lines that survive a kill.

The first line of a file holds the settings, every other one a record. Each line is flushed before
the next image is looked at, so a run that dies loses one image at most.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

from rics_transforms._arguments import Size

FREE = frozenset({"source", "command"})
"""Settings that say where a run came from, not what it measures: they may differ on continuing."""


@dataclass(frozen=True)
class Record:
    """What was seen of one image. What no model or label was given for is empty.

    A *view* is one shifted image, the first the unshifted one; an *input* is what the transform
    makes of a view. Equal inputs are given to the model once: `input` says which one each view has,
    and what the model said is listed per distinct input, that of the unshifted view first.

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
        feature_difference: of the layer, against the unshifted view: `models.feature_difference`.
        nonshiftability: likewise, `models.nonshiftability`.
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
        """How many different inputs the views lead to: the forwards that a model needs."""
        return max(self.input) + 1

    @classmethod
    def from_json(cls, line: str) -> Record:
        """The record that `to_json` wrote; ValueError or KeyError for anything else."""
        content = json.loads(line)
        if not isinstance(content, dict) or set(content) != {f.name for f in fields(cls)}:
            raise ValueError("Expected a record, but got other content.")
        return cls(**{key: _frozen(value) for key, value in content.items()})

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


# --- files ---------------------------------------------------------------------------------------


def read_records(path: str | Path) -> tuple[dict[str, Any], list[Record]]:
    """Settings and records of a file.

    A last line that was cut while it was written is left out, with a warning.

    Raises:
        ValueError: for a file that holds no records, or is damaged elsewhere.
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


def _settings(line: str, path: str | Path) -> dict[str, Any]:
    try:
        settings = json.loads(line)["settings"]
        return dict(settings)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"Expected {str(path)!r} to be a records file that `verify` wrote, but its first line "
            "holds no settings."
        ) from error


def _record(line: str, number: int, path: str | Path) -> Record:
    try:
        return Record.from_json(line)
    except (ValueError, TypeError) as error:
        raise ValueError(f"Expected a record in line {number} of {str(path)!r}: {error}") from error


def merge_records(paths: Iterable[str | Path]) -> tuple[dict[str, Any], list[Record]]:
    """The records of several files of one measurement, such as the parts of a data set.

    The order does not matter, and neither does an image that two files hold alike.

    Returns:
        The settings of the first file, and the records.

    Raises:
        ValueError: for no files, files of different settings, or an image with different records.
    """
    settings: dict[str, Any] | None = None
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


def require_same(ours: dict[str, Any], theirs: dict[str, Any], path: str | Path) -> None:
    """Refuse a file whose settings measure something else.

    Raises:
        ValueError: naming the settings that differ.
    """
    names = sorted((ours.keys() | theirs.keys()) - FREE)
    differ = [name for name in names if ours.get(name) != theirs.get(name)]
    if differ:
        shown = ", ".join(
            f"{n} = {_brief(ours.get(n))}, not {_brief(theirs.get(n))}" for n in differ
        )
        raise ValueError(
            f"Expected the records in {str(path)!r} to be of the same settings, but these differ: "
            f"{shown}. Choose another file, or delete it to start anew."
        )


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class RecordsFile:
    """A file that records are appended to; what it holds already is continued.

    Attributes:
        done: the records it held when it was opened, by id.
    """

    def __init__(self, path: str | Path, settings: dict[str, Any]) -> None:
        self.path = Path(path)
        self.done: dict[str, Record] = {}
        settings = json.loads(json.dumps(settings))  # as it will be read back
        if self.path.exists() and self.path.stat().st_size:
            self._continue(settings)
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._write([json.dumps({"settings": settings}, ensure_ascii=False)])
        self._file: IO[str] = self.path.open("a", encoding="utf-8", newline="\n")

    def _continue(self, settings: dict[str, Any]) -> None:
        text = self.path.read_bytes()
        if b"\n" not in text:  # killed while the settings were written
            self._write([json.dumps({"settings": settings}, ensure_ascii=False)])
            return
        found, records = read_records(self.path)
        require_same(settings, found, self.path)
        self.done = {record.id: record for record in records}
        with self.path.open("r+b") as file:
            file.truncate(text.rindex(b"\n") + 1)

    def _write(self, lines: Sequence[str]) -> None:
        self.path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")

    def append(self, record: Record) -> None:
        """Write a record, safe from the end of this process."""
        self._file.write(record.to_json() + "\n")
        self._file.flush()

    def __enter__(self) -> RecordsFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
