"""A `ShiftReport` as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rics_transforms._extras import require_command
from rics_transforms.report import wording
from rics_transforms.report.wording import counterpart
from rics_transforms.verification.results import Row, ShiftReport

if TYPE_CHECKING:
    from rich.table import Table


def named_reports(report: ShiftReport, others: Sequence[ShiftReport]) -> dict[str, ShiftReport]:
    """All reports by name.

    Raises:
        ValueError: if they are not on the same images.
    """
    for other in others:
        report.compare(other)
    reports = [report, *others]
    return dict(zip(wording.names(reports), reports, strict=True))


# --- the terminal --------------------------------------------------------------------------------


def as_table(report: ShiftReport, *others: ShiftReport) -> Table:
    """The rows of a report as a `rich` table, in fractions, beside the values of other reports.

    Args:
        report: what to show.
        *others: reports on the same images.

    Raises:
        ValueError: for reports on other images.

    Example:
        >>> import torch
        >>> from rich.console import Console
        >>> from rics_transforms import RICSCrop
        >>> from rics_transforms.verification.run import verify
        >>> report = verify([torch.eye(8).byte().expand(1, 8, 8)], RICSCrop(4), deltas=[1])
        >>> Console(width=80).print(as_table(report).columns[0]._cells[0])
        adversarial robustness
    """
    require_command()
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    first, *rest = map(escape, named_reports(report, others))
    promised = any(row.bound is not None for row in report.rows)
    theory = ("bound", "limit") if promised else ()
    out = Table(
        title=escape(wording.title(report)), caption=escape(wording.images(report)),
        box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False,
    )  # fmt: skip
    out.add_column()
    for name in ("shift", first if rest else "value", "95 % interval", *theory):
        out.add_column(name, justify="right", no_wrap=True)
    if promised:
        out.add_column("verdict", no_wrap=True)
    for name in rest:
        out.add_column(name, justify="right", overflow="fold")
    for label, row in _labelled(report.rows):
        beside = (_value(counterpart(other, row)) for other in others) if row else ()
        out.add_row(label, *(_cells(row, theory) if row else ()), *beside)
    return out


def _labelled(rows: Sequence[Row]) -> Iterator[tuple[str, Row | None]]:
    """Every row with its metric, or below its metric with its subject where there are several."""
    for metric, group in groupby(rows, lambda row: row.metric):
        same = list(group)
        if several := len({row.of for row in same}) > 1:
            yield wording.words(metric), None
        for row in same:
            yield f"  {row.of}" if several else wording.words(metric), row


_STYLES = {"holds": "green", "undecided": "yellow", "violated": "bold red"}


def _cells(row: Row, theory: Sequence[str]) -> Iterator[str]:
    yield wording.shift(row)
    yield f"{row.value:.3f}"
    yield f"{row.ci_low:.3f} to {row.ci_high:.3f}"
    for name in theory:
        number = getattr(row, name)
        yield "" if number is None else f"{number:.3f}"
    if theory:
        yield f"[{_STYLES[row.verdict]}]{row.verdict}[/]" if row.verdict else ""


def _value(row: Row | None) -> str:
    return "" if row is None else f"{row.value:.3f}"
