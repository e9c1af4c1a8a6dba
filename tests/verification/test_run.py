"""Records against brute force over all windows, with models and without; runs that are killed."""

import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from rics_transforms import Lattice, RICSCrop, ShiftReport, list_scores, locate, theory
from rics_transforms.data.photos import scenes
from rics_transforms.engine.scores import register_score, unregister_score
from rics_transforms.models.model import Model, as_model
from rics_transforms.report import as_html
from rics_transforms.shifts.cyclic import Cyclic, Grid
from rics_transforms.shifts.disturbances import Noise
from rics_transforms.shifts.windows import Realistic
from rics_transforms.verification import measurement
from rics_transforms.verification.measurement import Measurement
from rics_transforms.verification.records import Record
from rics_transforms.verification.run import verify
from rics_transforms.verification.statistics import clopper_pearson

Named = tuple[str, Tensor, int]


def noise(count: int, *shape: int, seed: int = 0) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randint(256, shape, generator=draw).byte() for _ in range(count)]


def grid_model(classes: int = 7) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """A little network: a random linear map of the means of 4 x 4 cells."""
    weight = torch.randn(48, classes, generator=torch.Generator().manual_seed(5)).double()

    def model(images: Tensor) -> tuple[Tensor, Tensor]:
        cells = torch.nn.functional.adaptive_avg_pool2d(images.double(), 4).flatten(1)
        return (cells - cells.mean(1, keepdim=True)) @ weight / 20, cells

    return model


@pytest.fixture(scope="module")
def photographs() -> list[Named]:
    named = list(scenes(40, minimum=60))[::6]
    return [(name, scene, number % 7) for number, (name, scene) in enumerate(named)]


# --- crops against brute force -------------------------------------------------------------------


def brute_force(scene: Tensor, n: int, k: int, delta: int, score: Any) -> dict[Any, Any]:
    """Origin in the scene of every shifted window's crop, by the public function."""
    top, left = (scene.shape[-2] - n) // 2, (scene.shape[-1] - n) // 2
    shifts = list(product(range(-delta, delta + 1), repeat=2))
    windows = [scene[:, top + y : top + y + n, left + x : left + x + n] for y, x in shifts]
    origins = locate(torch.stack(windows), k, score=score).tolist()
    return {
        (y, x): (top + y + a, left + x + b) for (y, x), (a, b) in zip(shifts, origins, strict=True)
    }


@pytest.mark.parametrize("score", [*list_scores(), Lattice(patch="hash")], ids=str)
def test_crops_equal_brute_force(score: Any, photographs: list[Named]) -> None:
    report = verify(photographs, RICSCrop(21, score=score), n=33, deltas=(3, 1))
    assert [r.id for r in report.records] == sorted(name for name, *_ in photographs)
    images = {name: scene for name, scene, _ in photographs}
    for record in report.records:
        origins = brute_force(images[record.id], 33, 21, 3, score)
        assert record.window == (3, 3)
        assert [record.places[p] for p in record.place] == [origins[m] for m in report.moves]
        assert record.input == record.place
        assert len(record.places) == record.inputs == len(set(origins.values()))


def test_rows_are_the_statistics_of_the_records(photographs: list[Named]) -> None:
    report = verify(photographs, RICSCrop(21), n=33, deltas=(1, 3))
    assert [(r.metric, r.subject, r.delta) for r in report.rows] == [
        ("adversarial_robustness", "crop", 1), ("adversarial_robustness", "crop", 3),
        ("consistency", "crop", 1), ("consistency", "crop", 3),
    ]  # fmt: skip
    robust, consistent = report.rows[1], report.rows[3]
    order, count = theory.lattice_order(33, 21), len(report.records)
    kept = [sum(p == 0 for p in record.place) for record in report.records]
    assert robust.value == sum(x == 49 for x in kept) / count
    assert (robust.ci_low, robust.ci_high) == clopper_pearson(robust.value * count, count)
    assert robust.bound == robust.expected == float(theory.robustness_bound(33, 21, 3, order))
    assert robust.limit == float(theory.robustness_limit(33, 21, 3))
    assert consistent.value == pytest.approx(sum(kept) / 49 / count)
    assert consistent.bound == float(theory.consistency_bound(33, 21, 3, order))
    assert consistent.expected == float(theory.expected_consistency(33, 21, 3, order))
    assert consistent.limit == float(theory.consistency_limit(33, 21, 3))
    assert ShiftReport.from_records(report.records, report.settings) == report


@pytest.mark.parametrize(("k", "promised"), [(33, []), (30, [1]), ((30, 33), [])])
def test_what_theory_does_not_promise_has_no_verdict(
    k: Any, promised: list[int], photographs: list[Named]
) -> None:
    report = verify(photographs, RICSCrop(k, score="hash"), n=33, deltas=(1, 2))
    for row in report.rows:
        if row.metric == "adversarial_robustness" and row.delta not in promised:
            assert (row.value, row.bound, row.verdict) == (0, None, None)
        assert (row.bound is None) == (row.verdict is None)
        assert row.bound is None or row.bound > 0
    within = ", ".join(str(delta) for delta in (1, 2) if delta not in promised)
    assert f"No robustness is promised for shifts within {within} px" in str(report)
    assert "No robustness is promised" in as_html(report)


def test_a_hash_on_noise_meets_theorem_1() -> None:
    """Theory expects of a pseudo-random score of order 1 exactly what is measured."""
    report = verify(noise(800, 1, 30, 30), RICSCrop(13, score="hash"), n=26, deltas=(1, 2))
    for row in report.rows:
        low, high = clopper_pearson(row.value * row.count, row.count, confidence=0.999)
        assert row.expected is not None and low <= row.expected <= high
        assert row.verdict != "violated"
    assert report.origins is not None and report.origins.p_value > 0.001


def test_origins_of_a_score_that_prefers_a_corner_are_not_uniform() -> None:
    def corner(pixels: Tensor, size: Any) -> Tensor:
        height, width = pixels.shape[-2] - size[0] + 1, pixels.shape[-1] - size[1] + 1
        return -torch.arange(height * width).view(height, width).expand(len(pixels), -1, -1)

    register_score("corner")(corner)
    try:
        report = verify(noise(40, 1, 30, 30), RICSCrop(20, score="corner"), deltas=[1])
    finally:
        unregister_score("corner")
    assert report.origins is not None and report.origins.p_value < 1e-6
    assert report.row("adversarial_robustness", delta=1).verdict == "violated"


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_equal_pixels_are_one_input_in_any_layout(dtype: torch.dtype) -> None:
    pixels = torch.arange(60).view(3, 4, 5).to(dtype)
    layouts = pixels.mT.contiguous().mT, torch.stack([pixels, pixels], -1)[..., 0]
    wide = torch.zeros(3, 9, 9, dtype=dtype)
    wide[:, 2:6, 3:8] = pixels
    for same in (*layouts, wide[:, 2:6, 3:8]):
        assert measurement.digest(same) == measurement.digest(pixels)
    assert measurement.digest(pixels) != measurement.digest(pixels.flip(0))


# --- models against brute force ------------------------------------------------------------------


def every_answer(
    images: list[Named], transform: Any, n: int, delta: int, model: Any
) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """Logits and embedding of every window, the model asked about each by itself."""
    moves = Realistic(delta).moves((n, n))
    out = {}
    for name, scene, _ in images:
        top, left = (scene.shape[-2] - n) // 2, (scene.shape[-1] - n) // 2
        windows = [scene[:, top + y : top + y + n, left + x : left + x + n] for y, x in moves]
        out[name] = [tuple(x[0] for x in model(transform(w)[None])) for w in windows]
    return out


@pytest.mark.parametrize("neighbours", ["others", "class"])
@pytest.mark.parametrize("transform", [RICSCrop(28), v2.CenterCrop(28)], ids=["rics", "centre"])
def test_answers_equal_brute_force(
    transform: Any, neighbours: Any, photographs: list[Named]
) -> None:
    images = [(name, scene, label % 2) for name, scene, label in photographs]
    model = grid_model()
    report = verify(images, transform, n=34, deltas=(1, 3), model=model, neighbours=neighbours)
    answers = every_answer(images, transform, 34, 3, model)
    labels = {name: label for name, _, label in images}
    first = {name: seen[0][1].numpy() for name, seen in answers.items()}

    def nearest(name: str, x: np.ndarray) -> str:
        others = [o for o in first if o != name]
        if neighbours == "class":
            others = [o for o in others if labels[o] == labels[name]]
        cosine = {o: first[o] @ x / np.linalg.norm(first[o]) / np.linalg.norm(x) for o in others}
        return max(cosine, key=lambda o: cosine[o])

    for record in report.records:
        seen = answers[record.id]
        label = labels[record.id]
        top = int(seen[0][0].argmax())
        for view, (logits, embedding) in zip(record.input, seen, strict=True):
            odds = np.exp(logits.numpy() - logits.numpy().max())
            assert record.predictions[view] == int(logits.argmax())
            assert record.top5[view] == (label in np.argsort(-logits.numpy())[:5])
            assert record.confidence[view] == pytest.approx(odds[top] / odds.sum(), rel=1e-4)
            assert record.truth[view] == pytest.approx(odds[label] / odds.sum(), rel=1e-4)
            assert record.neighbours[view] == nearest(record.id, embedding.numpy())
    found = {row.subject for row in report.rows}
    assert found == {"crop", "class", "neighbour"}


def test_the_model_runs_once_per_distinct_crop(photographs: list[Named]) -> None:
    asked = 0

    def model(images: Tensor) -> Any:
        nonlocal asked
        asked += len(images)
        return grid_model()(images)

    report = verify(photographs, RICSCrop(20), n=34, deltas=(1, 3), model=model)
    crops = sum(len(record.places) for record in report.records)
    assert report.forwards == (crops, 49 * len(photographs))
    assert asked == crops < 5 * len(photographs)
    asked = 0
    again = verify(photographs, RICSCrop(20), n=34, deltas=(1, 3), model=model, neighbours="others")
    assert asked == crops == again.forwards.used  # the gallery's answers are used again


@pytest.mark.parametrize("neighbours", [None, "others", "class", "own"])
def test_one_score_map_per_measured_image(
    neighbours: Any, photographs: list[Named], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [(name, scene, 0) for name, scene, _ in photographs[:4]]
    asked = {"locate_windows": 0, "locate": 0}

    def counted(name: str) -> Any:
        real = getattr(RICSCrop, name)

        def call(*args: Any, **options: Any) -> Any:
            asked[name] += 1
            return real(*args, **options)

        return call

    for name in asked:
        monkeypatch.setattr(RICSCrop, name, counted(name))
    among = photographs[4:7] if neighbours == "own" else neighbours
    verify(images, RICSCrop(20), n=34, deltas=[3], model=grid_model(), neighbours=among)
    assert asked == {"locate_windows": 4, "locate": 3 if neighbours == "own" else 0}


def test_batches_hold_one_image_and_do_not_matter(photographs: list[Named]) -> None:
    sizes: list[int] = []

    def model(images: Tensor) -> Any:
        sizes.append(len(images))
        return grid_model()(images)

    small, large = (
        verify(photographs[:3], v2.CenterCrop(20), n=34, deltas=[2], model=batched)
        for batched in (as_model(model, batch_size=size) for size in (7, 100))
    )
    assert sizes == [7, 7, 7, 4] * 3 + [25] * 3
    assert small.rows == large.rows


def test_a_gallery_of_your_own(photographs: list[Named]) -> None:
    gallery = [(f"own {name}", scene.flip(-1)) for name, scene, _ in photographs[:5]]
    report = verify(
        photographs, RICSCrop(28), n=34, deltas=[1], model=grid_model(), neighbours=gallery
    )
    assert {n for r in report.records for n in r.neighbours} <= {name for name, _ in gallery}
    assert report.settings.neighbours == "own"


# --- other shifts --------------------------------------------------------------------------------


@pytest.mark.parametrize("score", list_scores())
@pytest.mark.parametrize("n", [14, 40])
def test_cyclic_shifts_never_change_a_crop(score: str, n: int) -> None:
    images = [*noise(2, 3, n, n), torch.zeros(3, n, n, dtype=torch.uint8)]
    transform = RICSCrop(11, score=score, shifts="cyclic")
    report = verify(images, transform, shifts="cyclic", model=grid_model())
    assert len(report.moves) == (n * n if n <= 32 else 68)
    for row in report.rows:
        if row.metric in ("adversarial_robustness", "consistency"):
            assert (row.delta, row.value, row.bound, row.verdict) == (None, 1, 1, "holds")
    assert [record.inputs for record in report.records] == [1, 1, 1]


def test_cyclic_shifts_that_do_change_a_crop_are_found() -> None:
    (row, *_) = verify(noise(30, 3, 12, 12), RICSCrop(5), shifts=Cyclic()).rows
    assert row.value < 1 and row.verdict is None  # nothing is promised for a realistic rule
    report = verify(noise(3, 3, 40, 40), v2.CenterCrop(5), shifts="integer:samples=40")
    assert [record.inputs for record in report.records] == [41, 41, 41]


def test_a_cyclic_rule_under_realistic_shifts_is_told_by_its_pixels() -> None:
    report = verify(noise(2, 3, 30, 30), RICSCrop(12, shifts="cyclic"), n=24, deltas=[1, 3])
    assert [record.places for record in report.records] == [(), ()]
    assert all(row.bound is None for row in report.rows)
    assert 0 < report.row("consistency", delta=1).value < 1


def test_inputs_may_be_of_any_dtype() -> None:
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        transform = v2.Compose([v2.CenterCrop(9), v2.ToDtype(dtype, scale=True)])
        report = verify(noise(1, 3, 20, 20), transform, deltas=[2])
        assert report.records[0].inputs == 25


def test_disturbed_windows_keep_their_places(photographs: list[Named]) -> None:
    shift = Realistic(1, then=Noise(3))
    report = verify(photographs, RICSCrop(24), n=34, shifts=shift)
    rng_free = verify(photographs, RICSCrop(24), n=34, deltas=[1])
    assert len(report.moves) == 10 and report.settings.deltas == (1,)
    assert all(row.bound is None for row in report.rows)
    near = report.row("consistency", "crop within 2 px", 1)
    exact = report.row("consistency", "crop", 1)
    assert 0.1 < exact.value <= near.value
    clean = {record.id: record for record in rng_free.records}
    for record in report.records:
        assert record.places[0] == clean[record.id].places[0]
        assert record.inputs == 10  # noise makes every crop another one


def test_disturbances_depend_on_the_name_and_the_seed_alone(photographs: list[Named]) -> None:
    def seen(images: list[Named], seed: int) -> dict[str, Record]:
        shift = Realistic(0, then=Noise(9))
        report = verify(images, RICSCrop(24, score="hash"), n=34, shifts=shift, seed=seed)
        return {record.id: record for record in report.records}

    forward, backward = seen(photographs, 0), seen(photographs[::-1], 0)
    assert forward == backward != seen(photographs, 1)


def test_layers_are_compared_under_cyclic_shifts() -> None:
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular"),
        torch.nn.Conv2d(4, 4, 2, stride=2),
        torch.nn.Flatten(),
        torch.nn.Linear(4 * 64, 3),
    )
    images = noise(3, 1, 16, 16)
    rows = {}
    for layer in ("0", "1"):
        model = as_model(net, layer=layer, preprocess=lambda x: x.float() / 255)
        report = verify(images, v2.Identity(), shifts="integer:samples=20", model=model)
        rows[layer] = {row.metric: row.value for row in report.rows if row.subject == "layer"}
    assert rows["0"]["feature_difference"] < 1e-3 and rows["0"]["nonshiftability"] == 0
    assert rows["1"]["feature_difference"] > 0.1


# --- runs that were killed -----------------------------------------------------------------------


class Killed(Exception):
    """Stands for the end of a process."""


def stopping_after(images: list[Named], count: int) -> Iterator[Named]:
    for number, image in enumerate(images):
        if number == count:
            raise Killed
        yield image


def test_a_killed_run_continues(tmp_path: Path, photographs: list[Named]) -> None:
    def run(images: Any, path: Path | None) -> ShiftReport:
        return verify(
            images, RICSCrop(24), n=34, deltas=[2], model=grid_model(), records=path, command="-"
        )

    whole = run(photographs, None)
    path = tmp_path / "records.jsonl"
    for count in (0, 2, 3):
        with pytest.raises(Killed):
            run(stopping_after(photographs, count), path)
    with path.open("a") as file:
        file.write('{"id": "half of a rec')
    with pytest.warns(UserWarning, match="cut off in the middle"):
        assert run(photographs, path) == whole
    assert run(photographs, path) == whole == ShiftReport.load(path)
    with pytest.raises(ValueError, match="differ: model = None, .* seed = 4, not 0"):
        verify(photographs, RICSCrop(24), n=34, deltas=[2], seed=4, records=path)


def test_replaced_images_and_labels_are_measured_anew(
    tmp_path: Path, photographs: list[Named]
) -> None:
    def run(images: Any, path: Path | None = tmp_path / "records.jsonl") -> ShiftReport:
        return verify(
            images, RICSCrop(24), n=34, deltas=[2], model=grid_model(), records=path, command="-"
        )

    run(photographs[:4])
    (first, _, label), (_, pixels, _), (third, same, _), *_ = photographs
    changed = [(first, pixels, label), photographs[1], (third, same, 5), photographs[3]]
    with pytest.warns(
        UserWarning, match="Of 2 images in .* have changed; they were measured again"
    ):
        assert run(changed) == run(changed, None)
    assert run(changed) == ShiftReport.load(tmp_path / "records.jsonl")


def test_a_report_is_about_the_images_that_are_given(
    tmp_path: Path, photographs: list[Named]
) -> None:
    path = tmp_path / "records.jsonl"
    verify(photographs[:4], RICSCrop(24), n=34, deltas=[2], records=path)
    with pytest.warns(UserWarning, match="also has records of 2 images that were not given"):
        report = verify(photographs[2:6], RICSCrop(24), n=34, deltas=[2], records=path)
    assert [record.id for record in report.records] == sorted(name for name, *_ in photographs[2:6])
    assert len(ShiftReport.load(path).records) == 6


def test_a_gallery_of_replaced_images_is_another_one(
    tmp_path: Path, photographs: list[Named]
) -> None:
    def run(images: list[Named]) -> ShiftReport:
        return verify(
            images, RICSCrop(24), n=34, deltas=[2], model=grid_model(), neighbours="others",
            records=tmp_path / "records.jsonl",
        )  # fmt: skip

    run(photographs)
    name, _, label = photographs[0]
    with pytest.raises(ValueError, match="these differ: gallery = "):
        run([(name, photographs[1][1], label), *photographs[1:]])


def test_records_of_another_gallery_are_refused(tmp_path: Path, photographs: list[Named]) -> None:
    def run(images: list[Named]) -> ShiftReport:
        return verify(
            images, RICSCrop(24), n=34, deltas=[2], model=grid_model(), neighbours="others",
            records=tmp_path / "records.jsonl",
        )  # fmt: skip

    run(photographs[:4])
    with pytest.raises(ValueError, match="differ: gallery = '14 images, .*', not '4 images"):
        run(photographs)


def test_parts_merge_to_the_whole(tmp_path: Path, photographs: list[Named]) -> None:
    def run(images: list[Named], name: str) -> ShiftReport:
        return verify(
            images, RICSCrop(24), n=34, deltas=[2], model=grid_model(), records=tmp_path / name
        )

    whole = run(photographs, "whole")
    run(photographs[1::2], "odd")
    run(photographs[::2], "even")
    merged = ShiftReport.load(tmp_path / "odd", tmp_path / "even")
    assert (merged.rows, merged.records) == (whole.rows, whole.records)


def test_a_measurement_makes_the_same_record_anywhere(photographs: list[Named]) -> None:
    report = verify(photographs, RICSCrop(24), n=34, deltas=[2], model=grid_model())
    measure = Measurement(RICSCrop(24), Realistic(2), (34, 34), as_model(grid_model()))
    records = {name: measure(name, scene, label) for name, scene, label in photographs[::-1]}
    assert all(records[record.id] == record for record in report.records)


# --- comparisons ---------------------------------------------------------------------------------


def test_reports_on_the_same_images_compare(photographs: list[Named]) -> None:
    rics, centre = (
        verify(photographs, t, n=34, deltas=[1], model=grid_model())
        for t in (RICSCrop(24), v2.CenterCrop(24))
    )
    compared = {(c.metric, c.subject, c.delta): c for c in rics.compare(centre)}
    assert ("consistency", "class", 1) not in compared
    found = compared["adversarial_robustness", "crop", 1]
    assert found.first == rics.row("adversarial_robustness", "crop", 1).value
    assert found.second == centre.row("adversarial_robustness", "crop", 1).value == 0
    assert found.test.first == round(found.first * len(photographs)) and found.test.second == 0
    fewer = verify(photographs[1:], RICSCrop(24), n=34, deltas=[1])
    with pytest.raises(ValueError, match="same images, but 1 of them are in one report alone"):
        rics.compare(fewer)


# --- arguments and settings ----------------------------------------------------------------------


def test_the_window_lies_in_the_middle_and_defaults_to_the_largest() -> None:
    scene = noise(1, 3, 50, 61)
    assert verify(scene, RICSCrop(20), n=(30, 40), deltas=[2]).records[0].window == (10, 10)
    settings = verify(scene, RICSCrop(20), deltas=[2]).settings
    assert (settings.n, settings.k) == ((46, 57), (20, 20))


def test_what_images_may_be() -> None:
    scene = noise(1, 3, 24, 24)[0]
    batch = verify(torch.stack([scene, scene]), RICSCrop(12), deltas=[2])
    assert [record.id for record in batch.records] == ["0", "1"]
    lazily = verify((("0", scene) for _ in range(1)), RICSCrop(12), n=20, deltas=[2])
    assert lazily.records[0] == batch.records[0]
    for shifts in ("realistic", "cyclic"):
        floats, ints = (
            verify([x], RICSCrop(12), deltas=[2], shifts=shifts) for x in (scene / 255, scene)
        )
        assert floats.records == ints.records


def test_progress_wraps_the_images() -> None:
    seen = []

    def progress(images: Any) -> Any:
        for image in images:
            seen.append(image)
            yield image

    verify(noise(3, 1, 20, 20), RICSCrop(10), deltas=[1], progress=progress)
    assert len(seen) == 3


def test_a_shift_of_nothing_changes_nothing() -> None:
    for row in verify(noise(3, 1, 20, 20), RICSCrop(10), deltas=[0]).rows:
        assert row.value == row.bound == 1 and row.verdict == "holds"


def test_report_json() -> None:
    report = verify(noise(2, 1, 20, 20), RICSCrop(10), deltas=[1])
    content = json.loads(report.to_json())
    assert list(content) == ["settings", "rows", "forwards", "origins"]
    assert list(content["settings"]) == [
        "n", "transform", "transform_name", "k", "score", "score_name", "order", "theory", "shifts",
        "deltas", "disturbance", "factor", "model", "neighbours", "gallery", "seed", "version",
        "source", "command", "images",
    ]  # fmt: skip
    assert [row["value"] for row in content["rows"]] == [row.value for row in report.rows]


@pytest.mark.parametrize("shifts", ["realistic", "cyclic", Grid("half", samples=3)])
def test_the_command_makes_the_same_report(shifts: Any) -> None:
    images = scenes(34, minimum=10)  # too large for every cyclic shift
    rule = "cyclic" if shifts == "cyclic" else "realistic"
    report = verify(images, RICSCrop(14, shifts=rule), deltas=(1, 2), shifts=shifts, seed=3)
    names = {x.__name__: x for x in (verify, scenes, Lattice, RICSCrop, Realistic, Cyclic, Grid)}
    again = eval(report.settings.command, names)
    assert again.rows == report.rows and again.records == report.records
    assert report.settings.source == images.source


# --- errors --------------------------------------------------------------------------------------

CROP = RICSCrop(10)
SCENE = noise(1, 3, 40, 40)


@pytest.mark.parametrize(("images", "options", "error", "message"), [
    ([], {}, ValueError, "at least one scene, but got none"),
    ([], {"n": 30}, ValueError, "at least one scene, but got none"),
    (iter(SCENE), {}, ValueError, "`n` together with an iterator"),
    (noise(1, 3, 41, 50), {"n": 32, "deltas": [5]}, ValueError,
     r"at least \(42, 42\) pixels, .* but got \(41, 50\) for '0'"),
    (noise(1, 3, 50, 50) + noise(1, 3, 49, 50), {"deltas": [5]}, ValueError,
     r"at least \(50, 50\) pixels, .* but got \(49, 50\) for '1'"),
    (noise(1, 3, 18, 18), {}, ValueError, r"at least \(19, 19\) pixels .* got \(18, 18\)"),
    (SCENE, {"n": 9, "deltas": [1]}, ValueError, r"`k` to be at most the image"),
    (SCENE, {"deltas": []}, ValueError, "`deltas` to be one or more ints"),
    (SCENE, {"deltas": [1, -1]}, ValueError, r"`deltas\[1\]` to be a non-negative int"),
    (SCENE, {"deltas": 3}, TypeError, "`deltas` to be one or more ints"),
    (SCENE, {"deltas": [1.0]}, TypeError, r"`deltas\[0\]` to be a non-negative int"),
    (SCENE, {"shifts": "cyclc"}, ValueError, "did you mean 'cyclic'"),
    (noise(1, 40, 40), {}, ValueError, r"shape \[C, H, W\], but got \(40, 40\)"),
    (torch.full((1, 3, 40, 40), 1.5), {}, ValueError, "uint8, or float in .* from 1.5 to 1.5"),
    (torch.zeros(1, 3, 40, 40).int(), {}, ValueError, "uint8, or float in .* got torch.int32"),
    ([[1, 2]], {}, TypeError, r"\(name, tensor, label\), but got list"),
    ([("a", SCENE[0]), ("a", SCENE[0])], {}, ValueError, "its own name, but got two 'a'"),
    ([("a", SCENE[0], "cat")], {}, TypeError, "label of 'a'` to be an int, but got 'cat'"),
    ([("a", SCENE[0], 7)], {"model": grid_model()}, ValueError, "labels below 7, .* got 7 for 'a'"),
    ([("a", SCENE[0], 1), ("b", SCENE[0])], {"model": grid_model()}, ValueError,
     r"accuracy \(class\) of every image or of none, but 'b' lacks it"),
    (SCENE, {"neighbours": "others"}, ValueError, "a `model` for nearest neighbours"),
    (SCENE, {"neighbours": "others", "model": lambda x: x.float().mean((2, 3))}, ValueError,
     "embeddings for nearest neighbours, but"),
    (SCENE, {"neighbours": "others", "model": grid_model()}, ValueError,
     "an image other than '0', but got none"),
    ([("a", SCENE[0], 1), ("b", SCENE[0], 2)], {"neighbours": "class", "model": grid_model()},
     ValueError, "an image of class 1 other than 'a', but got none"),
    (iter(SCENE), {"n": 20, "neighbours": "others", "model": grid_model()}, ValueError,
     "iterated over twice"),
    (SCENE, {"neighbours": "all", "model": grid_model()}, ValueError, "'others', 'class' or scen"),
    (SCENE, {"neighbours": [], "model": grid_model()}, ValueError, "gallery to hold at least one"),
    (SCENE, {"model": lambda x: torch.full((len(x), 3), torch.nan)}, ValueError, "finite"),
    (SCENE, {"model": lambda x: torch.zeros(3)}, ValueError, r"\[\d+, K\]"),
])  # fmt: skip
def test_errors(images: Any, options: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        verify(images, CROP, **{"deltas": (1, 3, 5, 9), **options})


def test_transforms_must_make_tensors() -> None:
    with pytest.raises(TypeError, match="a tensor .* but got Image"):
        verify(SCENE, v2.ToPILImage(), deltas=[1])
    with pytest.raises(TypeError, match=r"a tensor .* but got shape \(3, 3, 2, 2\)"):
        verify(SCENE, lambda view: view[None, :, :2, :2].repeat(3, 1, 1, 1), deltas=[1])


def test_rows_are_found_by_name() -> None:
    report = verify(SCENE, CROP, deltas=[1])
    assert report.row("consistency", delta=1) == report.rows[1]
    with pytest.raises(ValueError, match=r"consistency, crop, 1\), but got \(accuracy, crop"):
        report.row("accuracy", delta=1)


def test_records_are_named_once() -> None:
    report = verify(SCENE, CROP, deltas=[1])
    with pytest.raises(ValueError, match="got two of '0'"):
        ShiftReport.from_records(report.records * 2, report.settings)
    with pytest.raises(ValueError, match="`records` to hold at least one image"):
        ShiftReport.from_records([], report.settings)


def test_models_and_modules_are_taken_alike() -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 100, 4))
    ready = as_model(net, preprocess=lambda x: x.float())
    assert isinstance(ready, Model)
    report = verify(SCENE, CROP, n=30, deltas=[1], model=ready)
    assert report.settings.model == ready.name
