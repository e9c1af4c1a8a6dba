"""The figures of a report, as SVG that takes on the colours and the font of its page.

Each figure has one function that finds what to show (`curves`, `points`, `traces`, `answers`), in
fractions, and one that draws it. Figure numbers are those of Shifman & Weiss 2024.
"""

from __future__ import annotations

import html
import io
import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from math import floor
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rics_transforms.palette import COLOURS, GREY
from rics_transforms.shifts.base import Move
from rics_transforms.verification.metrics import (
    CONSISTENCY,
    ROBUSTNESS,
    Subject,
    Views,
    classes,
    neighbours,
    path,
)
from rics_transforms.verification.records import Record
from rics_transforms.verification.results import ShiftReport
from rics_transforms.verification.rows import Row
from rics_transforms.verification.statistics import Uniformity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Reports = Mapping[str, ShiftReport]
"""Reports on the same images, by their names; the first is the main one."""


_MARKERS = "osD^v"


_INK = "#010203"  # replaced by the colour of the page's text


def style_of(number: int) -> tuple[str, str]:
    """Colour and marker of a report: a different pair for each of the first 30."""
    return COLOURS[number % len(COLOURS)], _MARKERS[number % len(_MARKERS)]


# --- the result ----------------------------------------------------------------------------------


def draw_changes(axes: Axes, row_of: Mapping[str, Row]) -> None:
    """How many images do not keep what they should, one bar per report, the main one last."""
    for y, (name, row) in enumerate(row_of.items()):
        colour, _ = style_of(len(row_of) - 1 - y)
        below, above = _errors([row])
        changed = 1 - row.value
        axes.barh(y, 100 * changed, 0.4, xerr=[above, below], color=colour, ecolor=_INK, capsize=4)
        axes.text(0, y - 0.3, name if len(name) <= 50 else f"{name[:49]}…")
        axes.annotate(
            f"{round(row.count * changed)} of {row.count}", (100 * (1 - row.ci_low), y), (6, 0),
            textcoords="offset points", va="center",
        )  # fmt: skip
    axes.set(xlabel="percent of the images", xlim=(0, 125), xticks=range(0, 101, 25))
    axes.set(ylim=(len(row_of) - 0.7, -0.7), yticks=[])


# --- against the size of the shift (Figure 7) ----------------------------------------------------


def curves(reports: Reports, metric: str, subject: Subject) -> dict[str, list[Row]]:
    """The rows of one metric by report, from the smallest shift to the largest.

    Empty for fewer than two sizes of shift.
    """
    found = {
        name: [r for r in report.rows if r.key[:2] == (metric, subject) and r.delta is not None]
        for name, report in reports.items()
    }
    deltas = {row.delta for rows in found.values() for row in rows}
    return {name: rows for name, rows in found.items() if rows} if len(deltas) > 1 else {}


def draw_curves(axes: Axes, rows_of: Mapping[str, Sequence[Row]]) -> None:
    """Measurements with their intervals, the bound and the limit, in percent."""
    ticks = sorted({row.delta or 0 for rows in rows_of.values() for row in rows})
    aside = 0.012 * (ticks[-1] - ticks[0])  # so that equal reports do not hide each other
    for number, (name, rows) in enumerate(rows_of.items()):
        colour, marker = style_of(number)
        deltas = [float(row.delta or 0) + aside * number for row in rows]
        values = [100 * row.value for row in rows]
        axes.errorbar(deltas, values, _errors(rows), fmt=f"{marker}-", color=colour, lw=2, ms=6,
                      capsize=4, label=name)  # fmt: skip
    _draw_theory(axes, rows_of)
    axes.set(xlabel="shift up to (pixels)", ylabel="percent", ylim=(0, 103))
    axes.set_xticks(ticks)


def _draw_theory(axes: Axes, rows_of: Mapping[str, Sequence[Row]]) -> None:
    """Bounds and limits: in the report's colour where several have one."""
    several = sum(any(row.bound is not None for row in rows) for rows in rows_of.values()) > 1
    for number, rows in enumerate(rows_of.values()):
        colour = style_of(number)[0] if several else _INK
        kinds = (("bound", "--", "promised at least"), ("limit", ":", LIMITS[rows[0].metric]))
        for kind, line, label in kinds:
            known = [(r.delta, 100 * y) for r in rows if (y := getattr(r, kind)) is not None]
            if known:
                axes.plot(*zip(*known, strict=True), line, color=colour, lw=1.6, label=label)


LIMITS = {ROBUSTNESS: "limit of every rule", CONSISTENCY: "limit of lattices"}


def _errors(rows: Sequence[Row]) -> list[list[float]]:
    """How far the intervals reach below and above, in percent."""
    return [
        [100 * (row.value - row.ci_low) for row in rows],
        [100 * (row.ci_high - row.value) for row in rows],
    ]


# --- robustness against accuracy (Figure 6) ------------------------------------------------------


class Point(NamedTuple):
    """One report: how often the model is right, and how often no shift changes its answer."""

    accuracy: Row
    robustness: Row


def points(reports: Reports, subject: Subject) -> dict[str, Point]:
    """Accuracy and robustness at the smallest common shift; empty if a report lacks one."""
    shared = [
        {row.delta for row in report.rows if row.key[:2] == (ROBUSTNESS, subject)}
        for report in reports.values()
    ]
    deltas = sorted(set.intersection(*shared), key=lambda d: -1 if d is None else d)
    right = [any(row.metric == "accuracy" for row in report.rows) for report in reports.values()]
    if not deltas or not all(right):
        return {}
    return {
        name: Point(report.row("accuracy", "class"), report.row(ROBUSTNESS, subject, deltas[0]))
        for name, report in reports.items()
    }


def draw_points(axes: Axes, point_of: Mapping[str, Point]) -> None:
    """One point per report with an interval in either direction, in percent."""
    for number, (name, point) in enumerate(point_of.items()):
        colour, marker = style_of(number)
        across, up = (_errors([row]) for row in point)
        x, y = (100 * row.value for row in point)
        axes.errorbar([x], [y], up, across, fmt=marker, color=colour, ms=8, lw=1.6, capsize=4,
                      label=name)  # fmt: skip
    axes.set(xlabel="accuracy, unshifted (percent)", ylabel="adversarial robustness (percent)")
    axes.margins(0.12)


# --- a probability along shifts (Figure 1) -------------------------------------------------------


@dataclass(frozen=True)
class Trace:
    """The probability of one class while the window moves from left to right.

    Attributes:
        record: of the image, in the first report.
        subject: which class, in words.
        lines: by report, (horizontal shift in pixels, probability) from left to right.
    """

    record: Record
    subject: str
    lines: dict[str, list[tuple[float, float]]]


def traces(reports: Reports, most: int = 2) -> list[Trace]:
    """The images whose probability jumps most from one pixel to the next in the last report."""
    *_, judge = reports.values()
    jumps = {i: _jump(_trace(r, judge)) for i, r in enumerate(judge.records)}
    worst = sorted((i for i in jumps if jumps[i] > 0), key=lambda i: -jumps[i])[:most]
    return [_shown(reports, judge.records[i], i) for i in worst]


def _shown(reports: Reports, judged: Record, index: int) -> Trace:
    lines = {name: _trace(report.records[index], report) for name, report in reports.items()}
    true = f"the true class {judged.label}"
    subject = true if judged.truth else "the class of the unshifted image"
    first = next(iter(reports.values())).records[index]
    return Trace(first, subject, {name: line for name, line in lines.items() if line})


def _trace(record: Record, report: ShiftReport) -> list[tuple[float, float]]:
    """(dx, probability) of the true class, or else of the class of the unshifted view."""
    probability = record.truth or record.confidence
    views = path(Views.within(report.moves, None)) if probability else []
    return [(report.moves[i][1], probability[record.input[i]]) for i in views]


def _jump(line: Sequence[tuple[float, float]]) -> float:
    return max((abs(a[1] - b[1]) for a, b in pairwise(line)), default=0.0)


def draw_trace(axes: Axes, trace: Trace) -> None:
    """Every report's line."""
    from matplotlib.ticker import MaxNLocator

    for number, (name, line) in enumerate(trace.lines.items()):
        colour, marker = style_of(number)
        axes.plot(*zip(*line, strict=True), f"{marker}-", color=colour, lw=1.8, ms=5, label=name)
    axes.set(xlabel="window moved right by (pixels)", ylabel="probability", ylim=(-0.03, 1.03))
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))


# --- the answers over the grid of shifts (Figure 11) ---------------------------------------------


@dataclass(frozen=True)
class AnswerMap:
    """The answer under every shift of one image.

    Attributes:
        id: of the image.
        subject: "neighbour", "class" or "crop".
        down: the vertical shifts in pixels.
        right: the horizontal ones.
        grids: by report, the answers as ``grid[i][j]``, under the shift (down[i], right[j]).
        ranking: all answers, the most frequent first.
    """

    id: str
    subject: Subject
    down: tuple[float, ...]
    right: tuple[float, ...]
    grids: dict[str, list[list[Any]]]
    ranking: tuple[Any, ...]

    def colour(self, answer: Any) -> str:
        """A colour for each of the most frequent answers, grey for the rest."""
        rank = self.ranking.index(answer)
        return COLOURS[rank] if rank < len(COLOURS) else GREY

    def different(self, name: str) -> int:
        """How many different answers there are in a report."""
        return len({answer for row in self.grids[name] for answer in row})


_SEEN: dict[Subject, Callable[[Record], Sequence[Any] | None]] = {
    "neighbour": neighbours,
    "class": classes,
    "crop": lambda record: [_to_pixels(record.places[i]) for i in record.place] or None,
}


def _to_pixels(place: Move) -> tuple[int, int]:
    return floor(place[0] + 0.5), floor(place[1] + 0.5)


def answers(reports: Reports) -> AnswerMap | None:
    """The map of the image with the most different answers, over the shifts all reports share.

    Answers are nearest neighbours if all reports have them, otherwise classes, otherwise places of
    crops. None if they have none of these, if no shift of any image changes the answer, or if the
    shifts form no grid.
    """
    known = [
        subject
        for subject, seen in _SEEN.items()
        if all(seen(record) is not None for report in reports.values() for record in report.records)
    ]
    moves = sorted(set.intersection(*(set(report.moves) for report in reports.values())))
    down, right = (tuple(sorted(set(along))) for along in zip(*moves, strict=True))
    if not known or min(len(down), len(right)) < 2 or len(moves) != len(down) * len(right):
        return None
    subject = known[0]
    tables = [_answers(report, subject, moves) for report in reports.values()]
    most = max(range(len(tables[0])), key=lambda i: sum(len(set(table[i])) for table in tables))
    ranking = Counter(answer for table in tables for answer in table[most]).most_common()
    if all(len(set(table[most])) == 1 for table in tables):
        return None
    width = len(right)
    grids = {
        name: [table[most][i : i + width] for i in range(0, len(moves), width)]
        for name, table in zip(reports, tables, strict=True)
    }
    image = next(iter(reports.values())).records[most].id
    return AnswerMap(image, subject, down, right, grids, tuple(answer for answer, _ in ranking))


def _answers(report: ShiftReport, subject: Subject, moves: Sequence[Any]) -> list[list[Any]]:
    """For every image the answers under these moves, in their order."""
    view = {move: i for i, move in enumerate(report.moves)}  # of equal moves the disturbed one
    per_view = (_SEEN[subject](record) for record in report.records)
    return [[seen[view[move]] for move in moves] for seen in per_view if seen is not None]


def draw_answers(axes: Axes, shown: AnswerMap, name: str) -> None:
    """One report's map; the unshifted window is framed."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    colours = [[to_rgb(shown.colour(answer)) for answer in row] for row in shown.grids[name]]
    axes.pcolormesh(shown.right, shown.down, colours, edgecolor="face", lw=1)
    step = min(b - a for a, b in pairwise(shown.right))
    axes.add_patch(Rectangle((-step / 2, -step / 2), step, step, fill=False, ec=_INK, lw=2))
    axes.set(aspect="equal", title=f"{name}: {shown.different(name)}", xlabel="right (pixels)")
    axes.invert_yaxis()
    axes.locator_params(integer=True)


# --- where the crops lie -------------------------------------------------------------------------


def draw_origins(axes: Axes, test: Uniformity) -> None:
    """Counts per cell; fuller cells are darker."""
    most = max(map(max, test.counts))
    height, width = len(test.counts), len(test.counts[0])
    for y, x in product(range(height), range(width)):
        count = test.counts[y][x]
        axes.fill([x, x + 1, x + 1, x], [y, y, y + 1, y + 1], color=COLOURS[0],
                  alpha=0.6 * count / most, lw=0)  # fmt: skip
        axes.text(x + 0.5, y + 0.5, str(count), ha="center", va="center")
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal", xticks=[], yticks=[])


# --- SVG -----------------------------------------------------------------------------------------


def chart(key: str, title: str, draw: Callable[[Axes], None]) -> str:
    """One pair of axes with a grid and a legend below, as SVG; `key` makes its ids unique."""
    from matplotlib.lines import Line2D

    def fill(canvas: Figure) -> None:
        axes = canvas.add_subplot()
        draw(axes)
        axes.set_title(title, loc="left", wrap=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=_INK, alpha=0.12, lw=0.8)
        found = list(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        named = dict(sorted(found, key=lambda pair: isinstance(pair[1], Line2D)))  # theory last
        canvas.legend(
            named.values(), named.keys(), loc="outside lower center", ncols=2, frameon=False
        )

    return svg(key, title, (5, 4), "constrained", fill)


def bars(key: str, title: str, count: int, draw: Callable[[Axes], None]) -> str:
    """So many bars, one below the other, as SVG: broad and low."""

    def fill(canvas: Figure) -> None:
        axes = canvas.add_subplot()
        draw(axes)
        axes.set_title(title, loc="left", wrap=True)
        axes.spines[["top", "right"]].set_visible(False)

    return svg(key, title, (5, 1.1 + 0.6 * count), "constrained", fill)


def maps(key: str, title: str, draws: Sequence[Callable[[Axes], None]]) -> str:
    """Maps side by side, at most two in a row, as SVG."""
    across = min(2, len(draws))
    down = -(-len(draws) // across)

    def fill(canvas: Figure) -> None:
        for number, draw in enumerate(draws, 1):
            draw(canvas.add_subplot(down, across, number))

    return svg(key, title, (3.3 * across, 3.5 * down), "compressed", fill)


def svg(
    key: str,
    title: str,
    size: tuple[float, float],
    layout: Literal["constrained", "compressed"],
    fill: Callable[[Figure], None],
) -> str:
    """What `fill` draws, as SVG; `size` in inches of 72 pixels."""
    import matplotlib
    from matplotlib.figure import Figure

    style = {
        "font.size": 11, "axes.titlesize": 11, "svg.fonttype": "none", "svg.hashsalt": key,
        "text.parse_math": False, "text.color": _INK, "axes.labelcolor": _INK,
        "axes.edgecolor": _INK, "xtick.color": _INK, "ytick.color": _INK,
    }  # fmt: skip
    text = io.StringIO()
    with matplotlib.rc_context(style), warnings.catch_warnings():  # type: ignore[arg-type]
        warnings.filterwarnings("ignore", "Glyph")  # only for measuring: browsers draw the text
        canvas = Figure(figsize=size, layout=layout)
        fill(canvas)
        canvas.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return _inline(text.getvalue(), key, title)


def _inline(svg: str, key: str, title: str) -> str:
    """An SVG file as an element of a page, in the page's colours and font."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    head = rf'<svg role="img" \1 aria-label="{html.escape(title)}">'
    svg = re.sub(r'^<svg[^>]*?(viewBox="[^"]*")[^>]*>', lambda m: head.replace(r"\1", m[1]), svg)
    svg = svg.replace("xlink:href", "href").replace(_INK, "currentColor")
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{key}-", svg)
    return re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)
