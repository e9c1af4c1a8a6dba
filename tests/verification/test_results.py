"""A report as text, in a notebook and as rows: every cell, escaped, without other packages."""

import csv
import io
import sys
from dataclasses import asdict, replace
from html.parser import HTMLParser

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from rics_transforms import RICSCrop, ShiftReport, verify
from rics_transforms.verification.rows import Row

BOUNDED = {"shift", "value", "95 % interval", "bound", "limit", "verdict"}


def model(images: Tensor) -> tuple[Tensor, Tensor]:
    """Six values of the middle of an image, which a shift exchanges."""
    seen = images[:, 0, 4, 2:8].float() / 40
    return seen, seen


def measured(transform: object) -> ShiftReport:
    noise = torch.Generator().manual_seed(0)
    images = [
        (f"{i}", torch.randint(256, (1, 20, 20), generator=noise).byte(), i % 6) for i in range(9)
    ]
    return verify(images, transform, deltas=[1, 2], model=model)


@pytest.fixture(scope="module")
def report() -> ShiftReport:
    return measured(RICSCrop(10))


def cells_of(row: Row) -> list[str]:
    once = row.metric in ("accuracy", "top5_accuracy")
    cells = ["none" if once else f"{row.delta} px", f"{100 * row.value:.1f}"]
    cells += [f"{100 * row.ci_low:.1f} to {100 * row.ci_high:.1f}"]
    cells += [f"{100 * x:.1f}" for x in (row.bound, row.limit) if x is not None]
    return cells + ([row.verdict] if row.verdict else [])


class Cells(HTMLParser):
    """The texts of the cells of a table, line by line."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.lines: list[list[str]] = []
        self.tags: list[str] = []
        self.feed(text)
        assert self.tags == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self.lines.append([])
        if tag in ("td", "th"):
            self.lines[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.tags.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.tags):
            self.lines[-1][-1] += data


def test_the_text_has_a_line_per_row(report: ShiftReport) -> None:
    lines = [" ".join(line.split()) for line in str(report).splitlines()]
    assert len(lines) == 4 + len(report.rows) + 2 + 2  # head, rows, two metrics' names, source
    for row in report.rows:
        assert any(line.endswith(" ".join(cells_of(row))) for line in lines)
    assert "crops of 10 \u00d7 10 out of 16 \u00d7 16 px, model model" in lines[0]
    assert lines[-1] == "In percent; 9 images: given by the caller"


def test_the_columns_of_the_text_are_aligned(report: ShiftReport) -> None:
    head, rule, *body = str(report).splitlines()[2:-2]
    assert set(rule) == {"-"} and max(map(len, [head, *body])) == len(rule)
    ends = {line.index(" px") for line in body if " px" in line}
    assert len(ends) == 1


def test_the_notebook_has_the_same_cells(report: ShiftReport) -> None:
    head, *lines = Cells(report._repr_html_()).lines
    assert set(head) - {""} == BOUNDED
    assert {len(line) for line in lines} == {len(head)}
    found = [[cell for cell in line[1:] if cell] for line in lines if any(line[1:])]
    assert found == [cells_of(row) for row in report.rows]


def test_nothing_promised_takes_no_columns() -> None:
    report = measured(v2.CenterCrop(10))
    head, *_ = Cells(report._repr_html_()).lines
    assert set(head) - {""} == {"shift", "value", "95 % interval"}
    assert not BOUNDED - set(head) & set(str(report).split())


def test_texts_of_the_caller_are_escaped(report: ShiftReport) -> None:
    hostile = "<script>&\"'"
    odd = replace(report, settings=replace(report.settings, source=hostile, model=hostile))
    assert "<script" not in odd._repr_html_()
    assert odd._repr_html_().count("&lt;script&gt;&amp;") == 2
    assert str(odd).count(hostile) == 2


def test_the_repr_is_short(report: ShiftReport) -> None:
    assert repr(report) == (
        "<ShiftReport: Lattice(patch='mexican_hat'): crops of 10 \u00d7 10 out of 16 \u00d7 16 px, "
        f"model model; 9 images, {len(report.rows)} rows>"
    )


def test_rows_are_dicts(report: ShiftReport) -> None:
    rows = report.to_rows()
    assert rows == [asdict(row) for row in report.rows]
    assert [Row(**row) for row in rows] == list(report.rows)
    file = io.StringIO()
    csv.DictWriter(file, rows[0]).writerows(rows)
    assert len(file.getvalue().splitlines()) == len(report.rows)


def test_pandas_takes_the_rows(report: ShiftReport) -> None:
    pandas = pytest.importorskip("pandas")
    table = report.to_pandas()
    assert table.equals(pandas.DataFrame(report.to_rows()))
    assert list(table["value"]) == [row.value for row in report.rows]
    assert list(table["bound"].isna()) == [row.bound is None for row in report.rows]


def test_without_pandas_the_error_says_what_to_do(
    report: ShiftReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="`to_pandas` needs pandas: pip install pandas"):
        report.to_pandas()
