"""The report of `verify`: its rows, its records, and comparisons with other reports."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from itertools import pairwise
from math import floor, fsum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rics_transforms import theory
from rics_transforms.shifts.base import Move
from rics_transforms.verification.metrics import FLAGS, Subject
from rics_transforms.verification.records import Record, merge_records
from rics_transforms.verification.rows import Key, Row, rows_of, values_of
from rics_transforms.verification.settings import Settings
from rics_transforms.verification.statistics import Paired, Uniformity, mcnemar, uniformity
from rics_transforms.verification.table import count, tabulate, title

if TYPE_CHECKING:
    import pandas


class Forwards(NamedTuple):
    """How often the model ran, and how often it would have run once per view."""

    used: int
    brute_force: int


class Comparison(NamedTuple):
    """One yes-or-no metric of two reports on the same images."""

    metric: str
    subject: Subject
    delta: int | None
    first: float
    second: float
    test: Paired


@dataclass(frozen=True, repr=False)
class ShiftReport:
    """The result of `verify`: settings, statistics, and one `Record` per image.

    ``print(report)`` prints its rows as a table, and notebooks show them as one.
    `rics_transforms.report` turns it into a page with figures, and saves it.

    Attributes:
        settings: what was measured, and how: see `verification.settings.Settings`.
        rows: one per metric and largest shift.
        records: sorted by id, so that a report does not depend on the order of its images.
    """

    settings: Settings
    rows: tuple[Row, ...]
    records: tuple[Record, ...]

    @classmethod
    def from_records(cls, records: Iterable[Record], settings: Settings) -> ShiftReport:
        """The statistics of records that were made under these settings.

        Args:
            records: one per image, in any order.
            settings: those of a report or of a records file.

        Raises:
            ValueError: for no records, two records of one image, or records only some of which
                have labels, classes or neighbours.
        """
        ordered = tuple(sorted(records, key=lambda record: record.id))
        if not ordered:
            raise ValueError("Expected `records` to hold at least one image, but got none.")
        _require_distinct(ordered)
        return cls(settings, tuple(rows_of(ordered, settings)), ordered)

    @classmethod
    def load(cls, *paths: str | Path) -> ShiftReport:
        """The report of one or more records files, such as those of the parts of a data set.

        Raises:
            ValueError: for files with different settings, see `records.merge_records`.
        """
        settings, records = merge_records(paths)
        return cls.from_records(records, settings)

    @property
    def moves(self) -> tuple[Move, ...]:
        """How far each view was moved: (dy, dx), the unshifted one first."""
        return self.settings.moves

    @property
    def forwards(self) -> Forwards:
        """How often the model ran on these images, compared with once per view."""
        used = sum(record.inputs for record in self.records)
        return Forwards(used, len(self.moves) * len(self.records))

    @cached_property
    def origins(self) -> Uniformity | None:
        """A test of Definition 1, which the bounds assume: are the chosen origins uniform?

        None if places are unknown or there are too few images; see `statistics.uniformity`.
        """
        k = self.settings.k
        if self.settings.theory != "realistic" or k is None:
            return None
        chosen = [_origin(record) for record in self.records]
        return uniformity(chosen, theory.crop_positions(self.settings.windows, k))

    def __repr__(self) -> str:
        images, rows = count(len(self.records), "image"), count(len(self.rows), "row")
        return f"<ShiftReport: {title(self.settings)}; {images}, {rows}>"

    def __str__(self) -> str:
        return tabulate(self.settings, self.rows, len(self.records)).as_text()

    def _repr_html_(self) -> str:
        return tabulate(self.settings, self.rows, len(self.records)).as_html()

    def to_rows(self) -> list[dict[str, Any]]:
        """The rows as dicts, as `pandas.DataFrame` and `csv.DictWriter` take them."""
        return [asdict(row) for row in self.rows]

    def to_pandas(self) -> pandas.DataFrame:
        """The rows as a pandas DataFrame; numbers that a row lacks are NaN.

        Raises:
            ImportError: if pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                "`to_pandas` needs pandas: pip install pandas; `to_rows` does not."
            ) from error
        return pandas.DataFrame(self.to_rows(), columns=[field.name for field in fields(Row)])

    def row(self, metric: str, subject: str = "crop", delta: int | None = None) -> Row:
        """One row by name.

        Raises:
            ValueError: if there is none; the error lists the rows there are.
        """
        for row in self.rows:
            if row.key == (metric, subject, delta):
                return row
        known = ", ".join(f"({r.metric}, {r.subject}, {r.delta})" for r in self.rows)
        raise ValueError(f"Expected one of {known}, but got ({metric}, {subject}, {delta}).")

    def compare(self, other: ShiftReport) -> tuple[Comparison, ...]:
        """Compare every yes-or-no metric with that of another report, by McNemar's exact test.

        Args:
            other: a report on the same images, with another transform or model.

        Raises:
            ValueError: if the images differ.

        The test assumes independent images, and says nothing about the size of the difference.
        """
        ids = [[record.id for record in report.records] for report in (self, other)]
        if ids[0] != ids[1]:
            raise ValueError(
                "Expected two reports on the same images, but "
                f"{len(set(ids[0]) ^ set(ids[1]))} of them are in one report alone."
            )
        ours, theirs = (_flags(report) for report in (self, other))
        return tuple(
            Comparison(*key, _mean(ours[key]), _mean(theirs[key]), mcnemar(ours[key], theirs[key]))
            for key in ours
            if key in theirs
        )

    def to_json(self) -> str:
        """Settings, rows and tests as JSON; equal reports give equal texts."""
        settings = asdict(self.settings) | {"images": len(self.records)}
        del settings["moves"], settings["origin"]  # `shifts` and `source` imply them
        content = {
            "settings": settings,
            "rows": self.to_rows(),
            "forwards": self.forwards._asdict(),
            "origins": None if self.origins is None else asdict(self.origins),
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _require_distinct(records: Sequence[Record]) -> None:
    for first, second in pairwise(records):
        if first.id == second.id:
            raise ValueError(f"Expected one record per image, but got two of {first.id!r}.")


def _origin(record: Record) -> tuple[int, int]:
    """The origin of the unshifted view's crop in its window, to the nearest pixel."""
    (top, left), (y, x) = record.window or (0, 0), record.places[0]
    return floor(y - top + 0.5), floor(x - left + 0.5)


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


def _flags(report: ShiftReport) -> dict[Key, list[bool]]:
    values = values_of(report.records, report.settings)
    return {key: [v == 1 for v in x] for key, x in values.items() if key[0] in FLAGS}
