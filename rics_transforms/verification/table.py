"""The table of a report: its cells as text, and the table as plain text and as HTML."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from rics_transforms import theory
from rics_transforms._arguments import Size, by
from rics_transforms._text import printable
from rics_transforms.verification.metrics import LENGTHS, ONCE
from rics_transforms.verification.rows import Row, find
from rics_transforms.verification.settings import Settings
from rics_transforms.verification.statistics import Verdict

LEFT = frozenset({"", "verdict"})
"""The columns that are aligned to the left."""


class Line(NamedTuple):
    """A line of a table, with one cell per column."""

    cells: tuple[str, ...]
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Table:
    """Numbers for people to read, as text.

    Attributes:
        title: what was measured.
        caption: on which images.
        header: names of the columns.
        lines: below it.
    """

    title: str
    caption: str
    header: tuple[str, ...]
    lines: tuple[Line, ...]

    def as_text(self) -> str:
        """The table for a terminal, with columns of equal width."""
        lines = [self.header, *(line.cells for line in self.lines)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        head, *body = (self._padded(cells, widths) for cells in lines)
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([self.title, "", head, rule, *body, "", self.caption])

    def _padded(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        columns = zip(self.header, cells, widths, strict=True)
        padded = (x.ljust(w) if name in LEFT else x.rjust(w) for name, x, w in columns)
        return "  ".join(padded).rstrip()

    def as_html(self) -> str:
        """The table for a notebook: styles are in the tags, colours suit light and dark pages."""
        title = f'<caption style="{_CAPTION}">{html.escape(self.title)}</caption>'
        head = "".join(self._cell("th", name, name) for name in self.header)
        body = "\n".join(f"<tr>{self._html_cells(line)}</tr>" for line in self.lines)
        source = f'<p style="margin: .4em .6em; opacity: .75">{html.escape(self.caption)}</p>'
        return (
            f'<div style="overflow-x: auto">\n<table style="{_TABLE}">\n{title}\n'
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n{source}\n</div>"
        )

    def _html_cells(self, line: Line) -> str:
        columns = zip(self.header, line.cells, strict=True)
        return "".join(self._cell("td", name, text, line.verdict) for name, text in columns)

    def _cell(self, tag: str, column: str, text: str, verdict: Verdict | None = None) -> str:
        shown = html.escape(text)
        if column == "verdict" and verdict:
            shown = f'<span style="{_BADGE} {_COLOURS[verdict]}">{shown}</span>'
        side = "left" if column in LEFT else "right"
        inset = " padding-left: 1.6em;" if text.startswith(" ") else ""
        return f'<{tag} style="text-align: {side};{_CELL}{inset}">{shown}</{tag}>'


_TABLE = "border-collapse: collapse; font-variant-numeric: tabular-nums;"
_CAPTION = "caption-side: top; text-align: left; font-weight: 600; padding: .3em .6em;"
_CELL = " white-space: nowrap; padding: .25em .6em; border-bottom: 1px solid rgba(128,128,128,.3);"
_BADGE = "padding: .05em .55em; border-radius: 1em;"
_COLOURS: Mapping[Verdict, str] = {
    "holds": "color: #0b6b50; background: #d9f2e8;",
    "undecided": "color: #6b4e00; background: #fbeec5;",
    "violated": "color: #a3200d; background: #fde0da; font-weight: 600;",
}


# --- of rows -------------------------------------------------------------------------------------


def tabulate(
    settings: Settings,
    rows: Sequence[Row],
    images: int,
    name: str = "value",
    others: Mapping[str, Sequence[Row]] | None = None,
) -> Table:
    """The table of some rows, in percent.

    Args:
        settings: of the rows.
        rows: a line each.
        images: how many there are.
        name: of the column of values.
        others: rows of other reports, by their names; their values appear next to ours.
    """
    beside = others or {}
    promised = ("bound", "limit") if any(row.bound is not None for row in rows) else ()
    verdict = ("verdict",) if promised else ()
    header = ("", "shift", name, "95 % interval", *promised, *verdict, *beside)
    lines = (_line(label, row, promised, beside, len(header)) for label, row in _labelled(rows))
    caption = printable(f"In percent; {count(images, 'image')}: {settings.source}")
    if note := unpromised(settings):
        caption += f"\n{note}"
    heads = tuple(map(printable, header))
    return Table(printable(title(settings)), caption, heads, tuple(lines))


def _labelled(rows: Sequence[Row]) -> Iterator[tuple[str, Row | None]]:
    """Every row with its metric; where a metric has several, below it with their subjects."""
    for metric, group in groupby(rows, lambda row: row.metric):
        same = list(group)
        if several := len({row.subject for row in same}) > 1:
            yield words(metric), None
        for row in same:
            yield f"  {row.subject}" if several else words(metric), row


def _line(
    label: str,
    row: Row | None,
    theory: Sequence[str],
    others: Mapping[str, Sequence[Row]],
    columns: int,
) -> Line:
    if row is None:
        return Line((label, *[""] * (columns - 1)))
    interval = f"{number(row.ci_low, row)} to {number(row.ci_high, row)}"
    promised = [number(getattr(row, name), row) for name in theory]
    verdict = [row.verdict or ""] if theory else []
    matches = (find(rows, row.key) for rows in others.values())
    beside = [number(match.value if match else None, row) for match in matches]
    cells = (label, reach(row), number(row.value, row), interval, *promised, *verdict, *beside)
    return Line(cells, row.verdict)


def number(value: float | None, row: Row) -> str:
    """A number of a row in percent, or in pixels if it is a length; nothing for None."""
    if value is None:
        return ""
    return f"{value:.3f} px" if row.metric in LENGTHS else f"{100 * value:.1f}"


# --- words ---------------------------------------------------------------------------------------


def title(settings: Settings) -> str:
    """What was measured, in a line."""
    whole = f"{settings.transform_name} of "
    whole += f"{size(settings.n)} px windows" if settings.n else "whole images"
    if settings.k:
        whole = f"{settings.score}: crops of {size(settings.k)} out of {size(settings.windows)} px"
    return f"{whole}, model {settings.model}" if settings.model else whole


def size(pair: Sequence[int]) -> str:
    """A height and a width."""
    return by(pair, "\u00d7")


def unpromised(settings: Settings) -> str:
    """For which shifts theory promises no robustness, and why; empty if there are none."""
    if settings.theory != "realistic" or settings.k is None:
        return ""
    return no_robustness(settings.windows, settings.k, settings.deltas)


def no_robustness(n: Size, k: Size, deltas: Sequence[int]) -> str:
    """Which of these shifts leave no crop that could stay, and why; empty if none does.

    Example:
        >>> no_robustness((256, 256), (240, 240), (1, 3, 9))
        'No robustness is promised for shifts within 9 px: a crop can stay under all of them only \
where n - k + 1, here 17, is more than twice the shift.'
    """
    places = min(theory.crop_positions(n, k))
    if not (far := [str(delta) for delta in deltas if places <= 2 * delta]):
        return ""
    return (
        f"No robustness is promised for shifts within {', '.join(far)} px: a crop can stay under "
        f"all of them only where n - k + 1, here {places}, is more than twice the shift."
    )


def words(metric: str) -> str:
    """The name of a metric."""
    return metric.replace("_", " ").replace("top5", "top-5")


def reach(row: Row) -> str:
    """How far the shifts of a row reach."""
    if row.metric in ONCE:
        return "none"
    return "all" if row.delta is None else f"{row.delta} px"


def count(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number} {noun}" + ("s" if number != 1 else "")
