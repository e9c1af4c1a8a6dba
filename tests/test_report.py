"""The page holds every row, is well-formed, and needs nothing from outside."""

import io
import re
from html.parser import HTMLParser
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

from rics_transforms.photos import scenes
from rics_transforms.report import html, table
from rics_transforms.verify import ShiftReport, verify

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """Checks that tags nest, and collects texts, addresses and ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.collect(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.collect(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def collect(self, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.addresses += [v for n in ("href", "src", "xlink:href") if (v := found.get(n))]
        self.ids += [v for n in ("id",) if (v := found.get(n))]


@pytest.fixture(scope="module")
def images() -> list[tuple[str, Tensor]]:
    return list(scenes(48, minimum=60))


@pytest.fixture(scope="module")
def report(images: list[tuple[str, Tensor]]) -> ShiftReport:
    return verify(images, 26, deltas=(1, 3))


@pytest.fixture(scope="module")
def page(report: ShiftReport, images: list[tuple[str, Tensor]]) -> str:
    return html(report, images)


def test_the_page_is_well_formed_and_complete(page: str, report: ShiftReport) -> None:
    text = "".join(Page(page).texts)
    for row in report.rows:
        interval = f"{100 * row.ci_low:.1f} to {100 * row.ci_high:.1f}"
        theory = [f"{100 * value:.1f}" for value in (row.bound, row.expected, row.limit)]
        cells = [f"{row.delta} px", f"{100 * row.value:.1f}", interval, *theory, row.verdict]
        assert re.search(r"\s+".join(map(re.escape, cells)), text)
    for words in ("Definition 1", "independent scenes", str(report.settings["source"])):
        assert words in text
    assert report.settings["command"] in text


def test_nothing_is_loaded_from_outside(page: str) -> None:
    parsed = Page(page)
    assert all(a.startswith(("#", "data:image/jpeg;base64,")) for a in parsed.addresses)
    assert "script" not in page and "@import" not in page and "http" not in page
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert {a[1:] for a in parsed.addresses if a.startswith("#")} <= set(parsed.ids)


def test_the_page_is_the_same_every_time(
    page: str, report: ShiftReport, images: list[tuple[str, Tensor]]
) -> None:
    assert html(report, images) == page


def test_examples_show_crops_that_stay_and_the_one_that_jumps(
    page: str, report: ShiftReport
) -> None:
    moved = [record.moved is not None for record in report.records]
    assert any(moved) and not all(moved)
    assert page.count("The crop stays") == 3
    assert page.count("The crop jumps") == 1


def test_pages_without_scenes_have_no_pictures(report: ShiftReport) -> None:
    page = html(report)
    Page(page)
    assert "data:image" not in page and "What the windows see" not in page
    assert page.count('<svg role="img"') == 2


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("value", [0, 255])
def test_scenes_of_any_kind_can_be_shown(channels: int, value: int) -> None:
    scene = torch.full((channels, 20, 24), value / 255)
    report = verify([scene], 9, deltas=[2])
    Page(html(report, [scene]))


def test_other_scenes_are_refused(report: ShiftReport, images: list[tuple[str, Tensor]]) -> None:
    with pytest.raises(ValueError, match="Expected `scenes` to be those of the report"):
        html(report, images[1:])


def test_a_cyclic_report(images: list[tuple[str, Tensor]]) -> None:
    report = verify(images[:3], 20, shifts="cyclic", samples=4)
    text = " ".join("".join(Page(html(report, images)).texts).split())
    assert "100.0 % of 3 scenes give exactly the same crop under each of 8 cyclic shifts" in text
    assert "cyclic 100.0" in text and "Theorem 2" in text


@pytest.mark.parametrize("hostile", ["<b>&", "[red]x[/red]"])
def test_texts_of_the_caller_are_only_texts(hostile: str) -> None:
    report = verify([torch.zeros(1, 12, 12)], 6, deltas=[1], command=hostile)
    odd = ShiftReport(report.settings | {"source": hostile}, report.rows, report.records)
    assert "".join(Page(html(odd)).texts).count(hostile) == 2
    assert hostile in printed(odd)


def printed(report: ShiftReport) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(table(report))
    return console.export_text()


def test_the_table_has_a_line_per_row(report: ShiftReport) -> None:
    lines = [re.sub(r"\W*│\W*", " ", line).split() for line in printed(report).splitlines()]
    for row in report.rows:
        words: list[Any] = [*row.metric.split("_"), f"{row.delta}"]
        numbers = [f"{v:.3f}" for v in (row.value, row.ci_low, row.ci_high, row.bound)]
        matches = [li for li in lines if li[: len(words)] == words and row.verdict in li]
        assert any(all(number in line for number in numbers) for line in matches)
