"""Show a `ShiftReport`: a table for the terminal, a page for the browser."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from rics_transforms.exact import Size, integer_image
from rics_transforms.verify import (
    CONSISTENCY,
    CYCLIC,
    ROBUSTNESS,
    Record,
    Row,
    ShiftReport,
    as_scene,
)

if TYPE_CHECKING:
    from rich.table import Table

NAMES = {
    ROBUSTNESS: "adversarial robustness",
    CONSISTENCY: "consistency",
    CYCLIC: "cyclic equality",
}

MEANINGS = {
    ROBUSTNESS: "share of images whose crop no shift changes",
    CONSISTENCY: "mean share of shifts that keep the crop",
    CYCLIC: "share of images whose crop no cyclic shift changes",
}

LIMITS = {
    ROBUSTNESS: "limit of every rule",
    CONSISTENCY: "what a lattice tends to",
    CYCLIC: "limit",
}


# --- the terminal --------------------------------------------------------------------------------


def table(report: ShiftReport) -> Table:
    """The rows of a report as a `rich` table, in fractions.

    Example:
        >>> import torch
        >>> from rich.console import Console
        >>> from rics_transforms.verify import verify
        >>> report = verify([torch.eye(8).expand(1, 8, 8)], 4, shifts="cyclic")
        >>> Console(width=80).print(table(report).columns[-1]._cells[0])
        holds
    """
    from rich.markup import escape
    from rich.table import Table

    settings = report.settings
    title = escape(str(settings["score"]))
    title += f": crops of {_size(settings['k'])} out of {_size(settings['n'])} px"
    styles = {"holds": "green", "undecided": "yellow", "violated": "bold red"}
    caption = escape(f"{settings['images']} scenes: {settings['source']}")
    out = Table(title=title, caption=caption)
    out.add_column("metric")
    for name in ("shift", "value", "95 % interval", "bound", "expected", "limit"):
        out.add_column(name, justify="right")
    out.add_column("verdict")
    for row in report.rows:
        numbers = (row.value, row.bound, row.expected, row.limit)
        value, *theory = (f"{number:.3f}" for number in numbers)
        interval = f"{row.ci_low:.3f} to {row.ci_high:.3f}"
        says = f"[{styles[row.verdict]}]{row.verdict}[/]"
        out.add_row(NAMES[row.metric], _shift(row), value, interval, *theory, says)
    return out


# --- the page ------------------------------------------------------------------------------------


def html(report: ShiftReport, scenes: Iterable[Tensor | tuple[str, Tensor]] | None = None) -> str:
    """A report as one page of HTML that needs nothing else: figures and styles are inside.

    Args:
        report: what to show.
        scenes: the images of the report once more, for pictures of some of them.

    Returns:
        The text of the page.

    Raises:
        ValueError: for scenes that are not those of the report.

    Example:
        >>> import torch
        >>> from rics_transforms.verify import verify
        >>> report = verify([torch.eye(8).expand(1, 8, 8)], 4, shifts="cyclic")
        >>> html(report).splitlines()[0]
        '<!doctype html>'
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent / "templates"
    loader = FileSystemLoader(folder)
    pages = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    pages.filters |= {"percent": _percent, "size": _size, "shift": _shift}
    settings = report.settings
    return pages.get_template("report.html").render(
        headline=_headline(report),
        groups=_groups(report),
        settings=settings,
        cyclic=settings["shifts"] == "cyclic",
        tried=report.records[0].kept[-1].shifts,
        figures=[] if settings["shifts"] == "cyclic" else _figures(report),
        examples=_examples(report, scenes),
    )


@dataclass(frozen=True)
class Group:
    """The rows of one metric."""

    name: str
    meaning: str
    limit: str
    rows: list[Row]


def _groups(report: ShiftReport) -> list[Group]:
    metrics = dict.fromkeys(row.metric for row in report.rows)
    return [
        Group(NAMES[m], MEANINGS[m], LIMITS[m], [r for r in report.rows if r.metric == m])
        for m in metrics
    ]


def _headline(report: ShiftReport) -> list[str]:
    """The result in plain words."""
    first = report.rows[0]
    counts = f"{first.count} scene" + ("s" if first.count != 1 else "")
    if first.metric == CYCLIC:
        tried = report.records[0].kept[0].shifts
        return [
            f"{_percent(first.value)}\u00a0% of {counts} give exactly the same crop under each of "
            f"{tried} cyclic shifts; Theorem 2 promises all of them."
        ]
    robust = [row for row in report.rows if row.metric == ROBUSTNESS]
    ends = dict.fromkeys((robust[0], robust[-1]))
    return [*(_sentence(row, counts) for row in ends), _tally(report.rows)]


def _sentence(row: Row, counts: str) -> str:
    pixels = f"{row.delta} pixel" + ("s" if row.delta != 1 else "")
    low, high = _percent(row.ci_low), _percent(row.ci_high)
    return (
        f"{_percent(row.value)}\u00a0% of {counts} keep exactly the same crop whichever way the "
        f"window is shifted by up to {pixels} (95\u00a0% interval {low} to {high}\u00a0%); theory "
        f"promises {_percent(row.bound)}\u00a0% for a pseudo-random score."
    )


def _tally(rows: Sequence[Row]) -> str:
    verdicts = [row.verdict for row in rows]
    held, unsure, broken = (verdicts.count(v) for v in ("holds", "undecided", "violated"))
    return f"Bounds that hold: {held} of {len(rows)}; undecided: {unsure}; violated: {broken}."


def _list(items: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(items[:-1]), items[-1])))


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _size(pair: Sequence[int]) -> str:
    return f"{pair[0]} \u00d7 {pair[1]}"


def _shift(row: Row) -> str:
    return "cyclic" if row.delta is None else f"{row.delta} px"


# --- curves --------------------------------------------------------------------------------------

_INK = "#010203"  # becomes the page's own colour
_MEASURED, _BOUND, _LIMIT = "#0072b2", "#d55e00", "#009e73"  # Okabe & Ito: for all eyes


@dataclass(frozen=True)
class Figure:
    """A picture, as SVG, and what it shows."""

    svg: str
    caption: str


def _figures(report: ShiftReport) -> list[Figure]:
    return [
        Figure(_curve(group), f"{group.name.capitalize()}: {group.meaning}.")
        for group in _groups(report)
    ]


def _curve(group: Group) -> str:
    """A metric against the shift: measured with intervals, bound and limit as lines."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    rows = group.rows
    deltas = [float(row.delta or 0) for row in rows]
    value, low, high = ([100 * getattr(r, name) for r in rows]
                        for name in ("value", "ci_low", "ci_high"))  # fmt: skip
    bars = [[v - lo for v, lo in zip(value, low, strict=True)],
            [hi - v for v, hi in zip(value, high, strict=True)]]  # fmt: skip
    style = {
        "font.size": 11, "svg.fonttype": "none", "svg.hashsalt": group.name,
        "text.color": _INK, "axes.labelcolor": _INK, "axes.edgecolor": _INK,
        "xtick.color": _INK, "ytick.color": _INK,
    }  # fmt: skip
    with matplotlib.rc_context(style):  # type: ignore[arg-type]
        canvas = Canvas(figsize=(5, 3.7), layout="constrained")
        axes = canvas.add_subplot()
        bounds, limits = [100 * r.bound for r in rows], [100 * r.limit for r in rows]
        axes.plot(deltas, limits, ":", marker="_", ms=10, color=_LIMIT, lw=2, label=group.limit)
        axes.errorbar(deltas, value, bars, fmt="o-", color=_MEASURED, lw=2, ms=6, capsize=4,
                      label="measured, 95 % interval")  # fmt: skip
        axes.plot(
            deltas, bounds, "--", marker="_", ms=10, color=_BOUND, lw=2, label="promised at least"
        )
        axes.set(xlabel="shift up to (pixels)", ylabel=f"{group.name} (%)", ylim=(0, 102))
        axes.set_xticks(deltas)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=_INK, alpha=0.12, lw=0.8)
        axes.legend(loc="best", frameon=False)
        text = io.StringIO()
        canvas.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return _inline(text.getvalue(), f"{group.name} against the size of the shift")


def _inline(svg: str, title: str) -> str:
    """An SVG file as an element of a page, in the page's colours and font."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    head = rf'<svg role="img" \1 aria-label="{title}">'
    svg = re.sub(r'^<svg[^>]*?(viewBox="[^"]*")[^>]*>', head, svg)
    svg = svg.replace("xlink:href", "href").replace(_INK, "currentColor")
    own = title.split()[0]  # several figures share a page: so their ids must differ
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{own}-", svg)
    return re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)


# --- pictures of scenes --------------------------------------------------------------------------


@dataclass(frozen=True)
class Example:
    """One scene seen through two windows; all positions are (top, left) in the scene."""

    title: str
    caption: str
    picture: str
    scene: Size
    windows: tuple[Size, Size]
    crops: tuple[Size, Size]
    stays: bool


def _examples(
    report: ShiftReport, scenes: Iterable[Tensor | tuple[str, Tensor]] | None
) -> list[Example]:
    """Some scenes whose crop stays, and the one whose crop jumps farthest."""
    if scenes is None or report.settings["shifts"] == "cyclic":
        return []
    chosen = _chosen(report.records)
    named = (as_scene(item, number) for number, item in enumerate(scenes))
    found = {i: scene for i, (name, scene) in enumerate(named)
             if i in chosen and name == report.records[i].id}  # fmt: skip
    if missing := [report.records[i].id for i in chosen if i not in found]:
        raise ValueError(
            f"Expected `scenes` to be those of the report, but {missing[0]!r} is not in its place."
        )
    return [_example(report.records[i], found[i], report.settings) for i in chosen]


def _chosen(records: Sequence[Record]) -> list[int]:
    stays = [i for i, record in enumerate(records) if record.moved is None]
    jumps = [i for i, record in enumerate(records) if record.moved is not None]
    spread = [stays[len(stays) * part // 3] for part in range(3)] if stays else []
    worst = [max(jumps, key=lambda i: _jump(records[i]))] if jumps else []
    return list(dict.fromkeys((*spread, *worst)))


def _jump(record: Record) -> int:
    """How far the crop moves at the smallest shift that changes it, in pixels squared."""
    there = record.moved_origin or record.origin
    return sum((a - b) ** 2 for a, b in zip(there, record.origin, strict=True))


def _example(record: Record, scene: Tensor, settings: dict[str, Any]) -> Example:
    most = max(settings["deltas"])
    move, there = record.moved or (most, most), record.moved_origin or record.origin
    moved = record.window[0] + move[0], record.window[1] + move[1]
    stays = record.moved is None
    effect = (
        f"the crop keeps its place in the scene, as under every shift within {most} px"
        if stays
        else f"its crop {_direction(_difference(there, record.origin))}: the old maximum of the "
        "score left the window, or a higher one entered"
    )
    return Example(
        title=record.id,
        caption=f"The window moves {_direction(move)}, {effect}.",
        picture=_picture(scene),
        scene=(scene.shape[-2], scene.shape[-1]),
        windows=(record.window, moved),
        crops=(record.origin, there),
        stays=stays,
    )


def _difference(a: Size, b: Size) -> Size:
    return a[0] - b[0], a[1] - b[1]


def _direction(move: Size) -> str:
    """A move (down, right) in words."""
    down, right = move
    vertical = f"{abs(down)} px {'down' if down > 0 else 'up'}" if down else ""
    horizontal = f"{abs(right)} px {'right' if right > 0 else 'left'}" if right else ""
    return _list([part for part in (vertical, horizontal) if part] or ["not at all"])


def _picture(scene: Tensor) -> str:
    """The scene as the address of an embedded JPEG."""
    pixels = integer_image(scene).clamp(0, 255).to(torch.uint8)
    colour = pixels if len(pixels) == 3 else pixels[:1].expand(3, -1, -1)
    file = io.BytesIO()
    F.to_pil_image(colour.contiguous()).save(file, format="JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
