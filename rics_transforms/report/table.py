"""A `ShiftReport` as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rics_transforms._extras import require_command
from rics_transforms.report import wording
from rics_transforms.verification.results import ShiftReport
from rics_transforms.verification.statistics import Verdict
from rics_transforms.verification.table import LEFT, tabulate

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


def named_reports(report: ShiftReport, others: Sequence[ShiftReport]) -> dict[str, ShiftReport]:
    """All reports by name.

    Raises:
        ValueError: if they are not on the same images.
    """
    for other in others:
        report.compare(other)
    reports = [report, *others]
    return dict(zip(wording.names(reports), reports, strict=True))


def conclude(report: ShiftReport, *others: ShiftReport) -> str:
    """The result in a sentence, with those of the others; see `wording.conclusion`.

    Raises:
        ValueError: if they are not on the same images.
    """
    return wording.conclusion(named_reports(report, others))


# --- the terminal --------------------------------------------------------------------------------


def as_table(report: ShiftReport, *others: ShiftReport) -> Table:
    """The rows of a report as a `rich` table, in percent, with the values of other reports.

    Words are not broken: where they do not fit, the table is wider than its console.

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

    first, *rest = named_reports(report, others)
    beside = {name: other.rows for name, other in zip(rest, others, strict=True)}
    name = first if others else "value"
    cells = tabulate(report.settings, report.rows, len(report.records), name, beside)
    out = Table(
        title=escape(cells.title), caption=escape(cells.caption), box=box.SIMPLE_HEAD,
        pad_edge=False, show_edge=False, padding=(0, 1, 0, 0),
    )  # fmt: skip
    columns = zip(*(line.cells for line in cells.lines), strict=True)
    for name, texts in zip(cells.header, columns, strict=True):
        wraps = name == "" or name in (first, *rest)
        out.add_column(
            escape(name), justify="left" if name in LEFT else "right", no_wrap=not wraps,
            min_width=max(_longest(text, wraps) for text in (name, *texts)),
        )  # fmt: skip
    for line in cells.lines:
        columns = zip(cells.header, line.cells, strict=True)
        out.add_row(*(_styled(name, text, line.verdict) for name, text in columns))
    return out


def _longest(text: str, wraps: bool) -> int:
    """The width of a text, or of its longest word, indented where it is."""
    from rich.cells import cell_len

    words = text.split() if wraps else [text]
    indent = text[: len(text) - len(text.lstrip())] if wraps else ""
    return max((cell_len(indent + word) for word in words), default=0)


_STYLES = {"holds": "green", "undecided": "dim", "violated": "bold red"}


def _styled(column: str, text: str, verdict: Verdict | None) -> Text:
    from rich.text import Text

    return Text(text, _STYLES[verdict] if column == "verdict" and verdict else "")
