"""The page and the table hold every row; the page is well-formed and needs nothing from outside."""

import html
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor
from torchvision.transforms import v2

from rics_transforms import RICSCrop
from rics_transforms.data.photos import scenes
from rics_transforms.report import as_html, as_table, save
from rics_transforms.report.table import conclude
from rics_transforms.report.wording import names
from rics_transforms.shifts.windows import Realistic
from rics_transforms.verification.records import Record
from rics_transforms.verification.results import ShiftReport
from rics_transforms.verification.run import verify

VOID = {"meta", "br", "img", "link", "hr", "input"}
Labelled = list[tuple[str, Tensor, int]]


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
        self.text = " ".join("".join(self.texts).split())

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


def model(images: Tensor) -> tuple[Tensor, Tensor]:
    """Sees coarse colours: nearly, but not quite, the same under a shift."""
    weights = torch.randn(48, 6, generator=torch.Generator().manual_seed(0))
    seen = torch.nn.functional.adaptive_avg_pool2d(images.float() / 16, 4).flatten(1)
    return seen @ weights, seen


@pytest.fixture(scope="module")
def images() -> Labelled:
    found = list(scenes(48, minimum=30))[:30]
    return [(name, scene, i % 6) for i, (name, scene) in enumerate(found)]


@pytest.fixture(scope="module")
def report(images: Labelled) -> ShiftReport:
    return verify(images, RICSCrop(26), deltas=(1, 3), model=model, neighbours="others")


@pytest.fixture(scope="module")
def centre(images: Labelled) -> ShiftReport:
    rule = v2.CenterCrop(26)
    return verify(images, rule, n=42, deltas=(1, 2), model=model, neighbours="others")


@pytest.fixture(scope="module")
def page(report: ShiftReport, centre: ShiftReport, images: Labelled) -> str:
    return as_html(report, images, [centre])


# --- the page ------------------------------------------------------------------------------------


def test_every_row_is_in_a_table_of_the_page(
    page: str, report: ShiftReport, centre: ShiftReport
) -> None:
    text = Page(page).text
    beside = {r.key: r for r in centre.rows}
    for row in report.rows:
        once = row.metric in ("accuracy", "top5_accuracy")
        cells = ["none" if once else f"{row.delta} px", f"{100 * row.value:.1f}"]
        cells += [f"{100 * row.ci_low:.1f} to {100 * row.ci_high:.1f}"]
        cells += [f"{100 * x:.1f}" for x in (row.bound, row.expected, row.limit) if x is not None]
        cells += [row.verdict] if row.verdict else []
        other = beside.get(row.key)
        cells += [f"{100 * other.value:.1f}"] if other else []
        assert " ".join(cells) in text


def test_every_comparison_is_in_a_table_of_the_page(
    page: str, report: ShiftReport, centre: ShiftReport
) -> None:
    text = Page(page).text
    for found in report.compare(centre):
        once = found.metric in ("accuracy", "top5_accuracy")
        name = found.metric.replace("_", " ").replace("top5", "top-5")
        shift = "none" if once else f"{found.delta} px"
        p = found.test.p_value
        chance = "below 0.0001" if p < 0.0001 else f"{p:.2g}"
        counts = f"{found.test.first} {found.test.second} {chance}"
        assert f"{name}, {found.subject} {shift} {counts}" in text


def test_the_page_begins_with_the_result(
    page: str, report: ShiftReport, centre: ShiftReport
) -> None:
    """How many images the smallest shifts change, counted from the records."""
    changed = []
    for each in (centre, report):
        near = [i for i, move in enumerate(each.moves) if max(map(abs, move)) <= 1]
        answers = [{r.predictions[r.input[i]] for i in near} for r in each.records]
        changed.append(sum(len(found) > 1 for found in answers))
    sentence = conclude(report, centre)
    assert sentence in Page(page).text
    assert f"for {changed[0]} of {len(report.records)} images" in sentence
    assert sentence.endswith(f"with RICS, for {changed[1]}.")


def test_the_page_says_what_it_rests_on(page: str, report: ShiftReport) -> None:
    text = Page(page).text
    for words in ("Definition 1", "independent images", "meets its bound with equality", "McNemar"):
        assert words in text
    assert report.settings.source in text and report.settings.command in text
    assert f"{report.forwards.used} times, once per distinct input, for" in text


def test_nothing_is_loaded_from_outside(page: str) -> None:
    parsed = Page(page)
    assert all(a.startswith(("#", "data:image/jpeg;base64,")) for a in parsed.addresses)
    assert "script" not in page and "@import" not in page and "http" not in page
    assert len(set(parsed.ids)) == len(parsed.ids)
    used = {a[1:] for a in parsed.addresses if a.startswith("#")}
    used |= set(re.findall(r"url\(#([^)]*)\)", page))
    assert used <= set(parsed.ids)


def test_the_page_is_the_same_every_time(
    page: str, report: ShiftReport, centre: ShiftReport, images: Labelled
) -> None:
    assert as_html(report, reversed(images), [centre]) == page


SECTIONS = (
    "Compared with",
    "Against the size of the shift",
    "Robustness against accuracy",
    "A probability along shifts",
    "What every shift leads to",
    "Where the crops lie",
    "What the windows see",
)


def shown(page: str) -> set[str]:
    text = Page(page).text
    return {section for section in SECTIONS if section in text}


def test_a_page_with_everything(page: str) -> None:
    assert shown(page) == set(SECTIONS)
    assert page.count('<svg role="img"') == 1 + 6 + 2 + 2 * 2 + 1 + 1 + 4


def test_sections_without_content_are_absent(report: ShiftReport, images: Labelled) -> None:
    crops = verify([image[:2] for image in images], RICSCrop(26), deltas=(1, 3))
    assert shown(as_html(crops)) == {SECTIONS[1], SECTIONS[4], SECTIONS[5]}
    assert "data:image" not in as_html(crops)
    assert shown(as_html(replace(crops, records=crops.records[:3]))) <= {SECTIONS[1], SECTIONS[4]}


def test_reports_of_different_shifts_and_windows_side_by_side(
    images: Labelled, centre: ShiftReport
) -> None:
    few = Realistic(3, samples=5)
    report = verify(images, RICSCrop(26), n=36, shifts=few, deltas=(3,), model=model)
    page = as_html(report, images, [centre])
    text = Page(page).text
    assert "under each of 4 random shifts by up to 3 pixels" in text
    assert "A probability along shifts" in text and "What every shift leads to" not in text


def test_a_cyclic_report(images: Labelled) -> None:
    report = verify(images[:3], RICSCrop(20, shifts="cyclic"), shifts="cyclic:samples=4")
    page = as_html(report, images)
    text = Page(page).text
    assert shown(page) == set()
    assert "100.0 % of 3 images keep exactly the same crop under each of 7 shifts" in text
    assert "Theorem 2" in text and "Definition 1" not in text


@pytest.mark.parametrize(
    ("shift", "under"),
    [
        ("embedded:short=20", "Embedded(short=20, fill='black')"),
        ("half:samples=3", "each of 3 shifts, Grid(kind='half', samples=3, seed=0)"),
        ("shifted_crop", "ShiftedCrop()"),
    ],
)
def test_reports_of_other_shifts(images: Labelled, shift: str, under: str) -> None:
    report = verify(images[:4], v2.CenterCrop(26), n=32, shifts=shift, model=model)
    page = as_html(report, images)
    text = Page(page).text
    assert f"of 4 images keep the class that the model gives them under {under} (95 %" in text
    assert "nothing is promised" in text and "bound lies" not in text
    assert shown(page) <= {"Robustness against accuracy"}


def test_a_disturbed_report(images: Labelled) -> None:
    shift = Realistic(2, then="noise:deviation=2")
    report = verify(images[:4], RICSCrop(26), n=40, shifts=shift, deltas=(2,), model=model)
    text = Page(as_html(report, images)).text
    assert "after Noise(deviation=2) and each of 25 shifts by up to 2 pixels" in text
    assert "Crop within 2 px" in text and "both shown undisturbed" in text


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("value", [0, 255])
def test_scenes_of_any_kind_can_be_shown(channels: int, value: int) -> None:
    scene = torch.full((channels, 20, 24), value / 255)
    report = verify([scene], RICSCrop(9), deltas=[2])
    assert "data:image" in as_html(report, [scene])


def test_the_worst_images_are_shown(page: str, report: ShiftReport) -> None:
    captions = re.findall(r"<figcaption><b>([^<]*)</b>\. The window moves", page)
    chosen = [next(r for r in report.records if r.id == caption) for caption in captions]

    def kept(record: Record) -> tuple[float, float]:
        says = [record.predictions[i] for i in record.input]
        return says.count(says[0]) / len(says), record.place.count(0) / len(record.place)

    ranked = sorted(map(kept, report.records))
    assert [kept(record) for record in chosen] == [*ranked[:3], ranked[-1]]
    assert ranked[-1] == (1, 1)


@pytest.mark.parametrize("shift", ["noise:deviation=2", None])
def test_the_page_says_how_to_reproduce_it(shift: str | None) -> None:
    scenes_again = scenes(24, minimum=12)
    shifts = Realistic(1, then=shift)
    report = verify(scenes_again, RICSCrop(12), shifts=shifts, deltas=[1])
    found = re.search(r"<pre>\n(.*?)</pre>", as_html(report), re.DOTALL)
    assert found is not None
    *head, call = html.unescape(found[1]).strip().split("\n")
    scope: dict[str, Any] = {}
    exec("\n".join(head), scope)
    assert eval(call, scope) == report


def test_save_writes_both_files(
    page: str, report: ShiftReport, centre: ShiftReport, images: Labelled, tmp_path: Path
) -> None:
    saved = save(report, tmp_path / "new" / "folder", images, [centre])
    assert saved.read_text(encoding="utf-8") == page
    assert (saved.parent / "report.json").read_text(encoding="utf-8") == report.to_json()


# --- what does not fit ---------------------------------------------------------------------------


def test_missing_scenes_are_named(report: ShiftReport, images: Labelled) -> None:
    with pytest.raises(ValueError, match="those of the report, but none is named"):
        as_html(report, images[:1])


def test_scenes_of_another_size_are_refused(report: ShiftReport, images: Labelled) -> None:
    larger = [(name, scene.repeat(1, 2, 2), label) for name, scene, label in images]
    with pytest.raises(ValueError, match="of another size"):
        as_html(report, larger)


def test_reports_on_other_images_are_refused(report: ShiftReport, images: Labelled) -> None:
    fewer = ShiftReport.from_records(report.records[1:], report.settings)
    for show in (lambda: as_html(report, others=[fewer]), lambda: as_table(report, fewer)):
        with pytest.raises(ValueError, match="Expected two reports on the same images"):
            show()


@pytest.mark.parametrize("hostile", ["<b>&", "[red]x[/red]", "a $b$ c", "\u56fe"])
def test_texts_of_the_caller_are_only_texts(hostile: str) -> None:
    noise = torch.Generator().manual_seed(0)
    images = [(f"{hostile} {i}", torch.rand(3, 12, 12, generator=noise), 0) for i in range(3)]
    report = verify(images, RICSCrop(6), deltas=[1], model=model, command=hostile)
    odd = replace(report, settings=replace(report.settings, source=hostile, model=hostile))
    text = Page(as_html(odd, images, [report])).text
    assert text.count(hostile) >= 6
    assert " ".join(printed(odd).split()).count(hostile) == 2


# --- the terminal --------------------------------------------------------------------------------


def printed(report: ShiftReport, *others: ShiftReport, width: int = 100) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(as_table(report, *others))
    return console.export_text()


def test_the_table_has_a_line_per_row(report: ShiftReport, centre: ShiftReport) -> None:
    lines = [line.strip() for line in printed(report, centre).splitlines()]
    for row in report.rows:
        once = row.metric in ("accuracy", "top5_accuracy")
        numbers = [x for x in (row.bound, row.limit) if x is not None]
        cells = ["none" if once else f"{row.delta} px", f"{100 * row.value:.1f}"]
        cells += [f"{100 * row.ci_low:.1f} to {100 * row.ci_high:.1f}"]
        cells += [f"{100 * x:.1f}" for x in numbers]
        cells += [row.verdict] if row.verdict else []
        beside = [r for r in centre.rows if r.key == row.key]
        cells += [f"{100 * r.value:.1f}" for r in beside]
        assert any(line.endswith(" ".join(cells)) for line in (" ".join(x.split()) for x in lines))


def test_the_table_fits_into_100_columns(report: ShiftReport, centre: ShiftReport) -> None:
    text = printed(report, centre)
    assert "\u2026" not in text
    rows = sum(line.count("verdict") for line in text.splitlines())
    several = sum(row.startswith("  ") for row in text.splitlines())
    assert rows == 1 and several >= 12


def test_no_word_of_the_table_is_broken_at_80_columns(
    report: ShiftReport, centre: ShiftReport
) -> None:
    older = int(version("rich").split(".")[0]) < 15  # leaves room behind the last column
    text = printed(report, centre, width=82 if older else 80)
    assert {"adversarial", "robustness", "neighbour", "undecided", "CenterCrop"} <= set(
        text.split()
    )
    assert "\u2026" not in text and max(map(len, text.splitlines())) <= (82 if older else 80)


def test_columns_of_theory_are_there_if_something_is_promised(
    report: ShiftReport, centre: ShiftReport
) -> None:
    assert {"bound", "limit", "verdict"} <= set(printed(report).split())
    assert not {"bound", "limit", "verdict"} & set(printed(centre).split())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([{}], ["RICSCrop"]),
        ([{}, {"transform_name": "CenterCrop", "score_name": None}], ["RICSCrop", "CenterCrop"]),
        ([{}, {"score_name": "Hash"}], ["RICSCrop Lattice", "RICSCrop Hash"]),
        ([{"model": "a"}, {"model": "b"}], ["a", "b"]),
        ([{}, {}], ["RICSCrop 1", "RICSCrop 2"]),
    ],
)
def test_reports_are_called_by_what_tells_them_apart(
    report: ShiftReport, changes: list[dict[str, Any]], expected: list[str]
) -> None:
    odd = [replace(report, settings=replace(report.settings, **change)) for change in changes]
    assert names(odd) == expected
