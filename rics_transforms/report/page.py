"""A `ShiftReport` as a page for the browser."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rics_transforms._extras import require_command
from rics_transforms._text import printable
from rics_transforms.palette import ORANGE, SKY
from rics_transforms.report import figures, pictures, wording
from rics_transforms.report.figures import Reports
from rics_transforms.report.pictures import Picture
from rics_transforms.report.table import named_reports
from rics_transforms.verification.metrics import METRICS, QUANTILES
from rics_transforms.verification.results import ShiftReport
from rics_transforms.verification.rows import Row, find
from rics_transforms.verification.table import count, number, reach, size, title, words

if TYPE_CHECKING:
    from jinja2 import Environment


_MEANINGS = {(metric.name, metric.subject): metric.meaning for metric in METRICS}
_MEANINGS |= {(quantile.name, quantile.subject): quantile.meaning for quantile in QUANTILES}


# --- the page ------------------------------------------------------------------------------------


def as_html(
    report: ShiftReport, scenes: Iterable[Any] | None = None, others: Sequence[ShiftReport] = ()
) -> str:
    """A report as a self-contained HTML page, with its figures and styles inside.

    Args:
        report: what to show.
        scenes: the images of the report again, for pictures of some of them.
        others: reports on the same images to compare with, such as that of a centre crop.

    Returns:
        The text of the page.

    Raises:
        ValueError: if scenes or other reports are not those of the same images.

    Example:
        >>> import torch
        >>> from rics_transforms import RICSCrop
        >>> from rics_transforms.verification.run import verify
        >>> report = verify([torch.eye(8).byte().expand(1, 8, 8)], RICSCrop(4), shifts="cyclic")
        >>> as_html(report).splitlines()[0]
        '<!doctype html>'
    """
    require_command()
    reports = named_reports(report, others)
    traces = figures.traces(reports)
    strips, examples = _pictures(report, scenes, traces)
    page = _pages().get_template("report.html").render(
        title=title(report.settings),
        headline=[wording.conclusion(reports), *wording.headline(reports)],
        changes=_changes(reports),
        report=report,
        settings=report.settings,
        kept=wording.kept(report),
        images=f"{count(len(report.records), 'image')}: {report.settings.source}",
        names=list(reports),
        sections=_sections(report, others),
        comparisons=[(name, report.compare(r)) for name, r in list(reports.items())[1:]],
        curves=list(_curves(reports)),
        points=list(_points(reports)),
        traces=[(t, _trace(i, t), strips.get(t.record.id)) for i, t in enumerate(traces)],
        answers=_answers(reports),
        origins=_origins(report),
        examples=examples,
        forwards=[(name, r.forwards) for name, r in reports.items()],
        commands=[r.settings.command for r in reports.values()],
    )  # fmt: skip
    return "\n".join(map(printable, page.split("\n")))  # no control characters of names


def save(
    report: ShiftReport,
    directory: str | Path,
    scenes: Iterable[Any] | None = None,
    others: Sequence[ShiftReport] = (),
) -> Path:
    """Write report.json and report.html into a directory, which is created if necessary.

    Args:
        report: what to write.
        directory: where to write it.
        scenes: the images of the report again, for pictures of some of them.
        others: reports on the same images to compare with, such as that of a centre crop.

    Returns:
        The path of report.html.
    """
    page = as_html(report, scenes, others)
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(report.to_json(), encoding="utf-8")
    (folder / "report.html").write_text(page, encoding="utf-8")
    return folder / "report.html"


def _pages() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    pages.globals["colours"] = {"stays": SKY, "moves": ORANGE}  # of crops
    filters = (number, reach, size, words, wording.chance, wording.percent)
    pages.filters |= {function.__name__: function for function in filters}
    return pages


# --- tables of the page --------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """The rows of one metric and subject, each with the matching rows of the other reports."""

    name: str
    meaning: str
    lines: list[tuple[Row, list[Row | None]]]


@dataclass(frozen=True)
class Section:
    """A table: its columns of theory, and its rows in groups."""

    title: str
    limit: str
    promised: tuple[str, ...]
    groups: list[Group]


def _sections(report: ShiftReport, others: Sequence[ShiftReport]) -> list[Section]:
    """A table for robustness, one for consistency and one for the rest, in the order of rows."""
    by_table = groupby(report.rows, lambda row: row.metric if row.metric in figures.LIMITS else "")
    return [_section(metric, list(rows), others) for metric, rows in by_table]


def _section(metric: str, rows: list[Row], others: Sequence[ShiftReport]) -> Section:
    known = [
        n for n in ("bound", "expected", "limit") if any(getattr(r, n) is not None for r in rows)
    ]
    groups = [
        Group(
            subject if metric else name,
            _MEANINGS[name, subject],
            [(r, [find(o.rows, r.key) for o in others]) for r in same],
        )
        for (name, subject), same in groupby(rows, lambda row: (row.metric, row.subject))
    ]
    name = metric or "accuracy and what changes with the shift"
    return Section(name, figures.LIMITS.get(metric, ""), tuple(known), groups)


# --- figures of the page -------------------------------------------------------------------------


def _changes(reports: Reports) -> str | None:
    """The conclusion, where there is something to compare with."""
    row_of = wording.compared(reports)
    if len(row_of) < 2:
        return None
    draw = partial(figures.draw_changes, row_of=row_of)
    return figures.bars("changes", f"Images for which {wording.change(reports)}", len(row_of), draw)


def _curves(reports: Reports) -> Iterator[tuple[str, str]]:
    """Figure 7: every metric that has a bound somewhere, as SVG and caption."""
    for (metric, subject), meaning in _MEANINGS.items():
        rows_of = figures.curves(reports, metric, subject) if metric in figures.LIMITS else {}
        if rows_of:
            name = f"{words(metric).capitalize()}, {subject}"
            key = re.sub(r"\W", "-", f"{metric}-{subject}")
            draw = partial(figures.draw_curves, rows_of=rows_of)
            yield figures.chart(key, name, draw), f"{meaning.capitalize()}."


def _points(reports: Reports) -> Iterator[str]:
    """Figure 6: robustness against accuracy."""
    for subject in ("class", "neighbour"):
        point_of = figures.points(reports, subject)
        if point_of:
            under = reach(next(iter(point_of.values())).robustness)
            draw = partial(figures.draw_points, point_of=point_of)
            yield figures.chart(f"tradeoff-{subject}", f"By {subject}, shifts: {under}", draw)


def _trace(number: int, trace: figures.Trace) -> str:
    """Figure 1."""
    return figures.chart(
        f"trace-{number}", trace.record.id, partial(figures.draw_trace, trace=trace)
    )


def _answers(reports: Reports) -> tuple[figures.AnswerMap, str] | None:
    """Figure 11."""
    shown = figures.answers(reports)
    if shown is None:
        return None
    draws = [partial(figures.draw_answers, shown=shown, name=name) for name in shown.grids]
    return shown, figures.maps("answers", f"What every shift leads to, by {shown.subject}", draws)


def _origins(report: ShiftReport) -> str | None:
    test = report.origins
    if test is None:
        return None
    name = "Where the crops lie in their windows"
    return figures.maps("origins", name, [partial(figures.draw_origins, test=test)])


def _pictures(
    report: ShiftReport, scenes: Iterable[Any] | None, traces: Sequence[figures.Trace]
) -> tuple[dict[str, Picture], list[Picture]]:
    """The windows of the traces, by image, and the images with the worst results."""
    if scenes is None:
        return {}, []
    looked = [trace for trace in traces if trace.record.window is not None]
    bad = pictures.worst(report)
    found = pictures.find_scenes(report, scenes, [*bad, *(trace.record for trace in looked)])
    strips = {t.record.id: pictures.strip(report, t, found[t.record.id]) for t in looked}
    return strips, [pictures.example(report, record, found[record.id]) for record in bad]
