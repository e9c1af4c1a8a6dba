"""The figure tells the truth, and can be read."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from click.testing import CliRunner
from matplotlib.figure import Figure
from matplotlib.text import Text

from rics_transforms import Lattice, MexicanHat, Score, locate, score_map
from rics_transforms.cli.commands import rics
from rics_transforms.explanation import decide, explain, reason

HATS = MexicanHat(sigma=(6, 3))


@pytest.fixture(scope="module")
def photo() -> PIL.Image.Image:
    from skimage import data

    astronaut = PIL.Image.fromarray(data.astronaut())  # type: ignore[no-untyped-call]
    return astronaut.resize((72, 64), PIL.Image.Resampling.BICUBIC)


# --- what decided --------------------------------------------------------------------------------


def test_the_decision_is_that_of_locate(photo: PIL.Image.Image, every_score: Score) -> None:
    for k in (40, (44, 50), 64):
        decision = decide(photo, k, every_score)
        assert list(decision.origin) == locate(photo, k, score=every_score).tolist()
        crop = decision.geometry.crop_of(torch.tensor(decision.patch))
        assert crop.tolist() == list(decision.origin)
        assert list(decision.patch) in decision.marked.tolist()


def test_marks_are_local_maxima(photo: PIL.Image.Image) -> None:
    decision = decide(photo, 48, "lattice")
    assert decision.levels[decision.level].nms and len(decision.marked) > 1
    for y, x in decision.marked:
        around = decision.scores[y - 1 : y + 2, x - 1 : x + 2]
        assert around.shape == (3, 3) and decision.scores[y, x] == around.max()
    best = max(decision.scores[y, x] for y, x in decision.marked)
    assert decision.scores[decision.patch] == best


def test_without_suppression_the_highest_scores_are_marked(photo: PIL.Image.Image) -> None:
    decision = decide(photo, 40, "hash")
    assert np.array_equal(decision.scores, score_map(photo, 40, "hash").double().numpy())
    marked = sorted(decision.scores[y, x] for y, x in decision.marked)
    assert marked == sorted(decision.scores.flatten())[-len(marked) :]


def test_the_level_that_decided() -> None:
    flat = torch.full((3, 40, 40), 9, dtype=torch.uint8)
    ramp = torch.arange(40, dtype=torch.uint8).expand(3, 40, 40)
    assert decide(flat, 30, "mexican_hat").level == 0  # plateaus are maxima
    assert decide(ramp * ramp.mT, 38, HATS).level == 2
    assert decide(ramp, 40, "saliency").level == 1  # one place, at the edge


# --- the figure ----------------------------------------------------------------------------------


def texts(figure: Figure) -> list[Text]:
    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible())
    return [text for text in found if isinstance(text, Text) and text.get_text().strip()]


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in texts(figure))


@pytest.mark.parametrize("shift", [0, 4])
@pytest.mark.parametrize("size", [(64, 64), (60, 90), (90, 60)], ids=str)
def test_no_text_overlaps_or_leaves_the_figure(
    photo: PIL.Image.Image, shift: int, size: tuple[int, int]
) -> None:
    scores: list[str | Score] = ["lattice", "mexican_hat", "random", Lattice(patch="saliency")]
    figure = explain(photo.resize(size), 46, scores, shift=shift)
    figure.canvas.draw()
    legends = [axes.get_legend() for row in figure.subfigs for axes in row.axes]
    inside = {text for legend in legends if legend for text in legend.get_texts()}
    boxes = [(t.get_text(), t.get_window_extent()) for t in texts(figure) if t not in inside]
    boxes += [("legend", legend.get_window_extent()) for legend in legends if legend]
    assert len(boxes) >= 4 * 6
    for (one, a), (other, b) in combinations(boxes, 2):
        assert not a.overlaps(b), f"{one!r} lies over {other!r}"
    for text, box in boxes:
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, text


def test_the_words_name_patch_and_place(photo: PIL.Image.Image) -> None:
    decision = decide(photo, 48, "lattice")
    said = words(explain(photo, 48, ["lattice"]))
    (top, left), (h, w) = decision.origin, decision.geometry.t
    assert f"begins at row {top}, column {left}" in said
    assert f"lattice: the {h} x {w} px patch with the highest peak decides" in said


@pytest.mark.parametrize(
    ("k", "score", "words"),
    [
        (40, "hash", "the crop with the highest score decides"),
        (40, "saliency", "the crop with the highest peak decides"),
        (52, "saliency", "no peak lies inside the window, so a hash of the pixels decides"),
        (40, HATS, "the crop with the highest peak decides on scale 1 of 2 (sigma 6 px)"),
        (
            48,
            HATS,
            "the crop with the highest peak decides on scale 2 of 2 (sigma 3 px), as those before "
            "have none",
        ),
    ],
)
def test_reasons(photo: PIL.Image.Image, k: int, score: str | Score, words: str) -> None:
    assert reason(decide(photo, k, score)) == words


def test_ties_are_told() -> None:
    flat = torch.full((3, 40, 40), 9, dtype=torch.uint8)
    assert reason(decide(flat, 37, "hash")) == (
        "the crop with the highest score decides; 16 crops tie, a hash of their pixels chooses"
    )


def test_the_example_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skimage import data

    monkeypatch.chdir(tmp_path)
    astronaut = data.astronaut()  # type: ignore[no-untyped-call]
    PIL.Image.fromarray(astronaut).save("astronaut.png")
    page = (Path(__file__).parents[1] / "docs" / "cli.md").read_text(encoding="utf-8")
    command, _, told = page.partition("$ rics explain ")[2].partition("```")[0].partition("\n")
    assert CliRunner().invoke(rics, ["explain", *command.split()]).stdout == told
    found = CliRunner().invoke(rics, ["explain", *command.split(), "--json"]).stdout
    assert json.loads(found)["origins"] == [[[12, 2], [10, 0]]]


def test_a_moved_window_is_judged_by_the_crop(photo: PIL.Image.Image) -> None:
    for shift in (2, 9):
        said = words(explain(photo, 40, ["hash"], shift=shift))
        windows = [
            photo.crop((shift + d, shift + d, 72 - shift + d, 64 - shift + d)) for d in (0, shift)
        ]
        before, after = (locate(window, 40, score="hash") for window in windows)
        same = (after + shift - before).tolist() == [0, 0]
        assert ("the same crop" in said) == same and ("another crop" in said) != same


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16", "1"])
def test_any_mode_can_be_drawn(photo: PIL.Image.Image, mode: str) -> None:
    image = photo.convert("L").convert("I;16") if mode == "I;16" else photo.convert(mode)
    explain(image, 40).canvas.draw()


def test_the_image_is_drawn_as_it_is(photo: PIL.Image.Image) -> None:
    figure = explain(photo, 40)
    left, _, right = (ax.images[0].get_array() for ax in figure.subfigs[0].axes[:3])
    (y, x), _ = decide(photo, 40, "lattice")[:2]
    assert np.array_equal(np.asarray(left), np.asarray(photo))
    assert np.array_equal(np.asarray(right), np.asarray(photo)[y : y + 40, x : x + 40])


@pytest.mark.parametrize("shift", [-1, 32])
def test_a_shift_that_leaves_no_window(photo: PIL.Image.Image, shift: int) -> None:
    with pytest.raises(ValueError, match="Expected `shift` to be an int from 0 to 31, but got"):
        explain(photo, 20, shift=shift)
