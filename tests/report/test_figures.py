"""What the figures show is what the rows and the records hold."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torchvision.transforms import v2

from rics_transforms import RICSCrop
from rics_transforms.report import figures, wording
from rics_transforms.report.figures import Reports, answers, curves, points, traces
from rics_transforms.verification.run import verify
from rics_transforms.verification.statistics import uniformity


def model(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Six values of the middle of an image, which a shift exchanges."""
    seen = images[:, 0, 9, 8:14].float() / 40
    return seen, seen


@pytest.fixture(scope="module")
def reports() -> Reports:
    noise = torch.Generator().manual_seed(0)
    images = [
        (f"{i}", torch.randint(256, (3, 36, 36), generator=noise).byte(), i % 6) for i in range(24)
    ]
    return {
        "rics": verify(images, RICSCrop(18), n=30, deltas=(1, 3), model=model, neighbours="others"),
        "centre": verify(
            images, v2.CenterCrop(18), n=30, deltas=(1, 2), model=model, neighbours="others"
        ),
    }


def test_the_bars_are_the_conclusion(reports: Reports) -> None:
    axes = Figure().add_subplot()
    row_of = wording.compared(reports)
    figures.draw_changes(axes, row_of)
    said = wording.conclusion(reports)
    rows, names, texts = row_of.values(), axes.texts[::2], axes.texts[1::2]
    assert [name.get_text() for name in names] == ["the centre crop", "RICS"]
    for bar, text, row in zip(axes.patches, texts, rows, strict=True):
        changed, images = map(int, text.get_text().split(" of "))
        assert images == 24 and f"for {changed}" in said
        assert bar.get_width() == pytest.approx(100 * changed / images)
        low, high = 100 * (1 - row.ci_high), 100 * (1 - row.ci_low)
        assert low <= bar.get_width() <= high == pytest.approx(text.xy[0])


def test_names_of_any_length_leave_room_for_the_bars(reports: Reports) -> None:
    row = next(iter(wording.compared(reports).values()))
    row_of = {"Compose(transforms=[Resize(size=(256, 256))], " * 9: row, "RICS": row}
    drawn = figures.bars("changes", "", 2, lambda axes: figures.draw_changes(axes, row_of))
    assert "Compose(transforms=[Resize(size=(256, 256))], Com…<" in drawn


def test_curves_are_the_rows(reports: Reports) -> None:
    for metric in ("adversarial_robustness", "consistency"):
        for of in ("crop", "class", "neighbour"):
            found = curves(reports, metric, of)
            assert list(found) == list(reports)
            for name, rows in found.items():
                deltas = reports[name].settings.deltas
                assert rows == [reports[name].row(metric, of, delta) for delta in deltas]


def test_one_size_of_shift_makes_no_curve(reports: Reports) -> None:
    rows = tuple(row for row in reports["rics"].rows if row.delta in (1, None))
    assert curves({"rics": replace(reports["rics"], rows=rows)}, "consistency", "crop") == {}


def test_drawn_curves_have_the_values_of_the_rows(reports: Reports) -> None:
    axes = Figure().add_subplot()
    found = curves(reports, "adversarial_robustness", "crop")
    figures.draw_curves(axes, found)
    for bars, rows in zip(axes.containers, found.values(), strict=True):
        line, _, (spans,) = bars
        ends = np.array([segment[:, 1] for segment in spans.get_segments()])
        assert line.get_xdata() == pytest.approx([row.delta for row in rows], abs=0.1)
        assert line.get_ydata() == pytest.approx([100 * row.value for row in rows])
        assert ends[:, 0] == pytest.approx([100 * row.ci_low for row in rows])
        assert ends[:, 1] == pytest.approx([100 * row.ci_high for row in rows])
    named = {line.get_label(): line.get_ydata() for line in axes.lines}
    rows = found["rics"]
    assert named["promised at least"] == pytest.approx([100 * (row.bound or 0) for row in rows])
    assert named["limit of every rule"] == pytest.approx([100 * (row.limit or 0) for row in rows])


def test_the_bounds_of_several_reports_have_their_colours(reports: Reports) -> None:
    rows = curves(reports, "adversarial_robustness", "crop")["rics"]
    for rows_of, colours in (
        ({"a": rows}, {figures._INK}),
        ({"a": rows, "b": rows}, set(figures.COLOURS[:2])),
    ):
        axes = Figure().add_subplot()
        figures.draw_curves(axes, rows_of)
        bounds = [line for line in axes.lines if line.get_label() == "promised at least"]
        assert {line.get_color() for line in bounds} == colours


def test_points_are_accuracy_and_robustness_at_the_smallest_shift(reports: Reports) -> None:
    found = points(reports, "class")
    axes = Figure().add_subplot()
    figures.draw_points(axes, found)
    for bars, (name, report) in zip(axes.containers, reports.items(), strict=True):
        right = report.row("accuracy", "class")
        robust = report.row("adversarial_robustness", "class", 1)
        assert found[name] == (right, robust)
        x, y = (float(data[0]) for data in bars[0].get_data())
        assert (x, y) == pytest.approx((100 * right.value, 100 * robust.value))
    assert points(reports, "layer") == {}
    alone = points({"rics": reports["rics"]}, "neighbour")["rics"]
    assert alone.robustness.delta == 1


def test_traces_are_of_the_images_that_jump_most_in_the_last_report(reports: Reports) -> None:
    def line(name: str, index: int) -> dict[float, float]:
        report = reports[name]
        record = report.records[index]
        views = zip(report.moves, record.input, strict=True)
        return {dx: record.truth[i] for (dy, dx), i in views if dy == 0}

    def jump(index: int) -> float:
        values = [p for _, p in sorted(line("centre", index).items())]
        return max(abs(a - b) for a, b in pairwise(values))

    order = sorted(range(24), key=jump, reverse=True)
    found = traces(reports)
    ids = [record.id for record in reports["centre"].records]
    assert [trace.record.id for trace in found] == [ids[i] for i in order[:2]]
    for trace, index in zip(found, order, strict=False):
        for name in reports:
            assert trace.lines[name] == sorted(line(name, index).items())


def test_a_model_that_never_changes_has_no_trace_and_no_map() -> None:
    images = [torch.full((3, 14, 14), 9 * i, dtype=torch.uint8) for i in range(3)]
    flat = verify(images, v2.CenterCrop(8), n=10, deltas=(2,), model=lambda x: x.float()[:, 0, 0])
    assert traces({"flat": flat}) == [] and answers({"flat": flat}) is None


def test_the_map_is_of_the_image_with_the_most_different_answers(reports: Reports) -> None:
    found = answers(reports)
    assert found is not None and found.subject == "neighbour"
    assert found.down == found.right == (-2, -1, 0, 1, 2)  # what both have
    most = []
    for number in range(24):
        different = 0
        for name, report in reports.items():
            record = report.records[number]
            near = {
                move: record.neighbours[i]
                for move, i in zip(report.moves, record.input, strict=True)
                if max(map(abs, move)) <= 2
            }
            different += len(set(near.values()))
            if record.id == found.id:
                grid = [[near[dy, dx] for dx in range(-2, 3)] for dy in range(-2, 3)]
                assert found.grids[name] == grid
                assert found.different(name) == len(set(near.values()))
        most.append((different, report.records[number].id))
    assert (max(most)[0], found.id) in most


def test_the_colours_of_a_map_are_those_of_its_answers(reports: Reports) -> None:
    found = answers(reports)
    assert found is not None
    axes = Figure().add_subplot()
    figures.draw_answers(axes, found, "centre")
    drawn = np.asarray(axes.collections[0].get_array()).reshape(-1, 3)
    flat = [answer for row in found.grids["centre"] for answer in row]
    for colour, answer in zip(drawn, flat, strict=True):
        wanted = found.colour(answer)
        assert tuple(round(255 * c) for c in colour) == tuple(bytes.fromhex(wanted[1:]))
    frequent = [found.colour(answer) for answer in found.ranking]
    assert frequent[:6] == list(figures.COLOURS)[: len(frequent)]
    assert set(frequent[6:]) <= {figures.GREY}


def test_the_histogram_shows_every_count() -> None:
    test = uniformity([(i % 4, i * i % 3) for i in range(60)], (4, 3))
    assert test is not None
    axes = Figure().add_subplot()
    figures.draw_origins(axes, test)
    height, width = len(test.counts), len(test.counts[0])
    places = {text.get_position(): text.get_text() for text in axes.texts}
    assert places == {
        (x + 0.5, y + 0.5): str(test.counts[y][x]) for y in range(height) for x in range(width)
    }
    assert axes.yaxis_inverted()  # the top of the window is at the top


def test_titles_are_texts_not_formulas() -> None:
    svg = figures.chart("key", "a $b$ & \u56fe", lambda axes: None)
    assert 'aria-label="a $b$ &amp; \u56fe"' in svg and "a $b$ &amp; \u56fe</text>" in svg
