"""Crops under a camera's moves: places in a finer scene, and errors that are known beforehand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from rics_transforms import Lattice, RICSCrop, ShiftReport, locate
from rics_transforms.report import as_html, as_table, save
from rics_transforms.shifts.base import Move, cut, size_of
from rics_transforms.shifts.camera import Camera
from rics_transforms.shifts.disturbances import Noise
from rics_transforms.shifts.windows import Realistic
from rics_transforms.verification.metrics import Views, path
from rics_transforms.verification.results import ShiftReport as Report
from rics_transforms.verification.run import verify

from ..conftest import random_image

N, K, FACTOR = (16, 18), (8, 9), 4


def told(height: int, width: int) -> Tensor:
    """A scene whose pixels say where they are: uint8 [2, H, W], up to 255 x 255."""
    grid = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack(grid).to(torch.uint8)


class Oracle:
    """A sub-pixel crop at a fixed place of `told` scenes, off by an error per window."""

    k, score, shifts, subpixel = K, Lattice(), "realistic", True

    def __init__(self, errors: Sequence[Move], shift: Camera) -> None:
        """One error for each move of the shift, that of the reference first."""
        self.errors = dict(zip(shift.moves(N), errors, strict=True))

    def locate(self, view: Tensor) -> Tensor:
        """The corner pixel, a rounded mean of 4 x 4, lies 1.5 pixels from the window's corner."""
        window = (view[:, 0, 0].double() - 2) / FACTOR
        move = tuple((window - 2).tolist())  # (2, 2) is the window of the reference, see SCENE
        return 5.25 - window + torch.tensor(self.errors[move[0], move[1]])

    def __call__(self, view: Tensor) -> Tensor:
        return view[..., : K[0], : K[1]]


SCENE = told(*(FACTOR * (side + 4) for side in N))


def measured(errors: Sequence[Move], shift: Camera, **options: Any) -> ShiftReport:
    return verify([SCENE], Oracle(errors, shift), shifts=shift, n=N, deltas=[1], **options)


# --- errors that are known -----------------------------------------------------------------------


def test_a_crop_that_follows_the_scene_stays() -> None:
    shift = Camera(2, FACTOR, samples=40)
    report = measured([(0, 0)] * 40, shift)
    (record,) = report.records
    assert record.window == (2, 2) and record.places == ((5.25, 5.25),)
    assert set(record.place) == {0} and record.inputs == 40
    shares = [row.value for row in report.rows if not row.metric.endswith("error")]
    assert shares == [1, 1, 1, 1]
    assert [row.value for row in report.rows[4:]] == [0, 0]


def test_errors_are_the_distances_that_were_put_in() -> None:
    shift = Camera(1, FACTOR)
    far = [0.25, 0.5, -0.125, 2, 2.015625, -7]
    errors: list[Move] = [(0, 0), *((0.0, far[i % 6]) for i in range(80))]
    report = measured(errors, shift)
    near = sorted(min(abs(e[1]), 9) for e in errors[1:] if abs(e[1]) <= 2)
    kept = 1 + sum(abs(e[1]) <= 0.25 for e in errors[1:])
    assert report.row("consistency", "crop", 1).value == kept / 81
    assert report.row("consistency", "crop within 2 px", 1).value == (1 + len(near)) / 81
    assert report.row("adversarial_robustness", "crop", 1).value == 0
    median, tail = (report.row(f"{of}_localisation_error", "crop", 1) for of in ("median", "p95"))
    assert median.value == np.quantile(near, 0.5, method="inverted_cdf") == 0.25
    assert tail.value == np.quantile(near, 0.95, method="inverted_cdf") == 2
    assert median.ci_low <= median.value <= median.ci_high == 2  # one image excludes nothing
    assert median.bound is median.verdict is None and median.count == 1


def test_the_error_is_that_of_the_worse_axis_from_the_reference() -> None:
    shift = Camera(1, FACTOR, steps=((0, 1), (2, 2)))
    report = measured([(0.125, 0), (0, 0.125), (0.25, -1)], shift)
    assert report.settings.deltas == ()
    assert report.row("median_localisation_error").value == 0.125
    assert report.row("p95_localisation_error").value == 1


def test_crops_that_left_have_no_error() -> None:
    shift = Camera(1, FACTOR, steps=((0, 1),))
    report = measured([(0, 0), (3, 0)], shift)
    assert not any(row.metric.endswith("error") for row in report.rows)
    assert report.row("consistency", "crop within 2 px").value == 0.5


# --- crops that this library chooses -------------------------------------------------------------


@pytest.mark.parametrize("then", [None, Noise(3)], ids=repr)
def test_places_equal_brute_force(then: Noise | None, photos: Tensor) -> None:
    shift, n = Camera(1, FACTOR, samples=20, then=then), (40, 42)
    scene = cut(photos[2], (40, 60), (173, 181))
    (record,) = verify([scene], RICSCrop(30), shifts=shift, n=n, seed=0).records
    corner = shift.corner(size_of(scene), n)
    assert record.window == (corner[0] / 4, corner[1] / 4) == (1.5, 1.5)
    if then is None:
        views = shift.views(scene, n, np.random.default_rng(0))
        origins = [locate(view, 30).tolist() for view in views]
        found = [record.places[i] for i in record.place]
        for (y, x), (dy, dx), place in zip(origins, shift.moves(n), found, strict=True):
            assert place == (1.5 + dy + y, 1.5 + dx + x)


def test_whole_crops_cannot_stay_under_every_fraction(photos: Tensor) -> None:
    report = verify([*photos[:4, :, :184, :184]], RICSCrop(36), shifts="camera")
    assert report.settings.n == (44, 44)
    assert report.row("adversarial_robustness", "crop", 1).value == 0
    assert report.row("consistency", "crop", 1).value <= 36 / 81  # at most 6 of 9 along an axis
    assert not any(row.bound or row.verdict for row in report.rows)


def test_one_delta_has_the_moves_within_it(photos: Tensor) -> None:
    shift = Camera(2, 2, then=Noise(1))
    images = [*photos[:3, :, :90, :90]]
    report = verify(images, RICSCrop(30), shifts=shift, deltas=[1, 2, 5], n=40)
    assert report.settings.deltas == (1, 2)
    views = Views.within(report.moves, 1)
    assert len(views.index) == 1 + 25
    for record in report.records:
        assert len(record.place) == 1 + 81
    rows = [row for row in report.rows if row.metric.endswith("localisation_error")]
    assert [(row.metric[:3], row.delta) for row in rows] == [
        ("med", 1), ("med", 2), ("p95", 1), ("p95", 2),
    ]  # fmt: skip


def test_the_path_has_steps_of_one_pixel() -> None:
    moves = Camera(2).moves((9, 9))
    walk = path(Views.within(moves, None))
    assert [moves[i] for i in walk] == [(0, dx) for dx in (-2, -1, 0, 1, 2)]


def test_a_plain_transform_is_compared_by_its_pixels() -> None:
    scenes = [random_image(3, 72, 72, seed=seed) for seed in range(3)]
    report = verify(scenes, v2.CenterCrop(8), shifts="camera", n=16)
    assert report.row("consistency", "crop", 1).value == pytest.approx(1 / 81)
    assert [row.metric for row in report.rows] == ["adversarial_robustness", "consistency"]


class Finer:
    """A crop whose origin is a fraction of a pixel off that of the whole one."""

    subpixel, shifts = True, "realistic"

    def __init__(self, k: int) -> None:
        self.whole = RICSCrop(k)
        self.k, self.score = self.whole.k, self.whole.score

    def locate(self, view: Tensor) -> Tensor:
        return self.whole.locate(view).double() + 0.375

    def __call__(self, view: Tensor) -> Any:
        return self.whole(view)


@pytest.mark.parametrize(
    "shift", [Realistic(1), Realistic(1, then=Noise(2)), Camera(1, 2)], ids=repr
)
def test_sub_pixel_crops_are_located_in_every_view(shift: Any, photos: Tensor) -> None:
    images = [*photos[:6, :, :90, :90]]
    fine, whole = (
        verify(images, rule, shifts=shift, n=40, deltas=[1]) for rule in (Finer(30), RICSCrop(30))
    )
    for ours, theirs in zip(fine.records, whole.records, strict=True):
        assert ours.places == tuple((y + 0.375, x + 0.375) for y, x in theirs.places)
        assert ours.place == theirs.place
    assert fine.row("consistency", "crop", 1).value == whole.row("consistency", "crop", 1).value
    assert fine.row("median_localisation_error", "crop", 1).value == (
        0.5 if shift.factor > 1 else 0
    )
    assert "lies at the same place of the scene to 0.25 px" in as_html(fine, images)


# --- records and reports -------------------------------------------------------------------------


def brightness(images: Tensor) -> Tensor:
    return images.float().mean((2, 3))


@pytest.mark.parametrize("shift", [Camera(1, 3), Camera(1, 4, samples=30)], ids=repr)
def test_records_survive_their_file(shift: Camera, photos: Tensor, tmp_path: Path) -> None:
    side = max(shift.room((40, 40)))
    scenes = [(str(i), photo[:, :side, :side], i) for i, photo in enumerate(photos[:3])]
    file = tmp_path / "records.jsonl"
    options: Any = {"shifts": shift, "n": 40, "model": brightness, "records": file}
    report = verify(scenes, RICSCrop(30), **options)
    assert Report.load(file).records == report.records
    assert Report.load(file).rows == report.rows
    lines = file.read_text()
    assert verify(scenes, RICSCrop(30), **options) == report
    assert file.read_text() == lines


def test_the_report_of_a_camera(photos: Tensor, tmp_path: Path) -> None:
    scenes = [(str(i), photo[:, :168, :168], i % 3) for i, photo in enumerate(photos[:5])]
    options: Any = {"shifts": "camera", "n": 40, "model": brightness}
    ours, plain = (verify(scenes, rule, **options) for rule in (RICSCrop(30), v2.CenterCrop(30)))
    page = save(ours, tmp_path, scenes, [plain]).read_text(encoding="utf-8")
    assert "whichever way a camera moves by up to 1 pixel, in steps of 1/4 pixel" in page
    assert "Median localisation error" in page and " px</b>" in page
    assert "lies at the same place of the scene to 0.25 px" in page
    assert "4 \u00d7 4 pixels of the scene" in page
    assert "px down" in page or "px up" in page
    assert "localisation error" in str(ours) and "0 px" in str(ours)
    assert as_table(ours, plain).row_count == len(ours.rows) + 2
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert [row["metric"] for row in rows] == [row.metric for row in ours.rows]


def test_the_page_refuses_other_scenes(photos: Tensor) -> None:
    scenes = [photo[:, :168, :168] for photo in photos[:2]]
    report = verify(scenes, RICSCrop(30), shifts="camera", n=40)
    with pytest.raises(ValueError, match=r"window of '.' at \(1, 1\), but it would lie at"):
        as_html(report, [photo[:, :176, :176] for photo in photos[:2]])


def test_crops_of_whole_pixels_are_compared_as_before(photos: Tensor) -> None:
    report = verify([photos[0, :, :60, :60]], RICSCrop(30), shifts=Realistic(2), n=40)
    assert not any("localisation" in row.metric or "2 px" in row.subject for row in report.rows)
    (record,) = report.records
    assert all(type(side) is int for place in record.places for side in place)
