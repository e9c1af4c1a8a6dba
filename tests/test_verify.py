"""Records against brute force, intervals against SciPy, verdicts, errors."""

import ast
import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import binomtest  # type: ignore[import-untyped]
from torch import Tensor

from rics_transforms import Lattice, list_scores, locate, theory
from rics_transforms.photos import scenes
from rics_transforms.scores import register_score, unregister_score
from rics_transforms.verify import (
    Kept,
    Record,
    Row,
    ShiftReport,
    _cyclic_shifts,
    clopper_pearson,
    verdict,
    verify,
)

SETTINGS = {"n": [32, 32], "k": [20, 20], "order": [1, 1]}


def noise(count: int, *shape: int, seed: int = 0) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randint(256, shape, generator=draw).byte() for _ in range(count)]


@pytest.fixture(scope="module")
def photographs() -> list[tuple[str, Tensor]]:
    return list(scenes(40, minimum=60))[::6]


# --- records -------------------------------------------------------------------------------------


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
def test_records_equal_brute_force(score: Any, photographs: list[tuple[str, Tensor]]) -> None:
    report = verify(photographs, 21, n=33, score=score, deltas=(3, 1))
    assert [record.id for record in report.records] == [name for name, _ in photographs]
    for record, (_, scene) in zip(report.records, photographs, strict=True):
        origins = brute_force(scene, 33, 21, 3, score)
        assert record.window == (3, 3)
        assert record.origin == origins[0, 0]
        assert [entry.delta for entry in record.kept] == [1, 3]
        for entry in record.kept:
            assert entry.delta is not None
            within = [o for s, o in origins.items() if max(map(abs, s)) <= entry.delta]
            assert entry.shifts == len(within) == (2 * entry.delta + 1) ** 2
            assert entry.kept == within.count(origins[0, 0])
            assert entry.crops == len(set(within))
            assert entry.all == (entry.crops == 1)
        changes = [s for s, o in origins.items() if o != origins[0, 0]]
        if record.moved is None:
            assert not changes and record.moved_origin is None
        else:
            assert max(map(abs, record.moved)) == min(max(map(abs, s)) for s in changes)
            assert record.moved_origin == origins[record.moved]


def test_rows_are_the_statistics_of_the_records(photographs: list[tuple[str, Tensor]]) -> None:
    report = verify(photographs, 21, n=33, deltas=(1, 3))
    assert [(r.metric, r.delta) for r in report.rows] == [
        ("adversarial_robustness", 1), ("adversarial_robustness", 3),
        ("consistency", 1), ("consistency", 3),
    ]  # fmt: skip
    robust, consistent = report.rows[1], report.rows[3]
    kept = [record.kept[1] for record in report.records]
    order = theory.lattice_order(33, 21)
    assert robust.value == sum(entry.all for entry in kept) / len(kept)
    assert robust.bound == robust.expected == float(theory.robustness_bound(33, 21, 3, order))
    assert robust.limit == float(theory.robustness_limit(33, 21, 3))
    assert consistent.value == pytest.approx(sum(e.kept / 49 for e in kept) / len(kept))
    assert consistent.bound == float(theory.consistency_bound(33, 21, 3, order))
    assert consistent.expected == float(theory.expected_consistency(33, 21, 3, order))
    assert consistent.limit == float(theory.consistency_limit(33, 21, 3))
    assert ShiftReport.from_records(report.records, report.settings) == report


def test_a_hash_on_noise_meets_theorem_1() -> None:
    """Theory expects of a pseudo-random score of order 1 exactly what is measured."""
    report = verify(noise(1500, 1, 30, 30), 13, n=26, score="hash", deltas=(1, 2))
    for row in report.rows:
        low, high = clopper_pearson(row.value * row.count, row.count, confidence=0.999)
        assert low <= row.expected <= high
        assert row.verdict != "violated"


def test_the_window_lies_in_the_middle_and_defaults_to_the_largest() -> None:
    scene = noise(1, 3, 50, 61)
    assert verify(scene, 20, n=(30, 40), deltas=[2]).records[0].window == (10, 10)
    settings = verify(scene, 20, deltas=[2]).settings
    assert (settings["n"], settings["k"]) == ([46, 57], [20, 20])


def test_what_images_may_be() -> None:
    scene = noise(1, 3, 24, 24)[0]
    batch = verify(torch.stack([scene, scene]), 12, deltas=[2])
    assert [record.id for record in batch.records] == ["0", "1"]
    lazily = verify((("x", scene) for _ in range(1)), 12, deltas=[2])
    assert replace(lazily.records[0], id="0") == batch.records[0]
    floats = verify([scene / 255], 12, deltas=[2])
    assert floats.records[0] == batch.records[0]


def test_progress_wraps_the_images() -> None:
    seen = []

    def progress(images: Any) -> Any:
        for image in images:
            seen.append(image)
            yield image

    verify(noise(3, 1, 20, 20), 10, deltas=[1], progress=progress)
    assert len(seen) == 3


def test_a_shift_of_nothing_changes_nothing() -> None:
    robust, consistent = verify(noise(3, 1, 20, 20), 10, deltas=[0]).rows
    assert robust.value == consistent.value == robust.bound == 1
    assert robust.verdict == consistent.verdict == "holds"


# --- cyclic --------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", list_scores())
@pytest.mark.parametrize("n", [24, 40])
def test_cyclic_shifts_never_change_a_crop(score: str, n: int) -> None:
    images = [*noise(2, 3, n, n), torch.zeros(3, n, n, dtype=torch.uint8)]
    report = verify(images, 11, score=score, shifts="cyclic")
    (row,) = report.rows
    tried = n * n if n <= 32 else 68
    assert (row.metric, row.delta, row.value, row.verdict) == ("cyclic_equality", None, 1, "holds")
    assert [r.kept for r in report.records] == [(Kept(None, tried, tried, 1),)] * 3


def test_cyclic_shifts_that_do_change_a_crop_are_found() -> None:
    def by_place(pixels: Tensor, size: Any) -> Tensor:
        height, width = pixels.shape[-2] - size[0] + 1, pixels.shape[-1] - size[1] + 1
        return torch.arange(height * width).view(height, width).expand(len(pixels), -1, -1)

    register_score("by_place")(by_place)
    try:
        report = verify(noise(30, 3, 12, 12), 5, score="by_place", shifts="cyclic")
    finally:
        unregister_score("by_place")
    assert report.settings["score"] == "by_place"
    assert report.rows[0].value == 0 and report.rows[0].verdict == "violated"
    entry = report.records[0].kept[0]
    assert (entry.shifts, entry.kept, entry.crops) == (144, 1, 144)
    assert report.records[0].moved == (0, 1)


def test_cyclic_origins_are_those_of_the_public_functions() -> None:
    (image,) = noise(1, 3, 24, 30)
    record = verify([image], 11, n=20, shifts="cyclic").records[0]
    assert record.window == (2, 5)
    window = image[:, 2:22, 5:25]
    top, left = locate(window, 11, shifts="cyclic").tolist()
    assert record.origin == (top + 2, left + 5)


def test_the_seed_draws_the_cyclic_shifts() -> None:
    draw = _cyclic_shifts
    assert draw((40, 50), 9, 1) == draw((40, 50), 9, 1) != draw((40, 50), 9, 2)
    assert draw((40, 50), 9, 1)[:4] == [(0, 0), (0, 49), (39, 0), (39, 49)]
    assert len(draw((40, 50), 9, 1)) == 13


# --- statistics ----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 7, 200])
def test_clopper_pearson_equals_scipy(count: int) -> None:
    for successes in {0, 1, count // 3, count - 1, count}:
        interval = binomtest(successes, count).proportion_ci(0.95, method="exact")
        assert clopper_pearson(successes, count) == pytest.approx((interval.low, interval.high))


def test_clopper_pearson_of_fractions_lies_between_its_neighbours() -> None:
    (low, high), (below, _), (_, above) = (clopper_pearson(s, 50) for s in (30.4, 30, 31))
    assert below < low < 30.4 / 50 < high < above


@pytest.mark.parametrize(("low", "high", "bound", "says"), [
    (0.91, 0.97, 0.90, "holds"),
    (0.90, 0.97, 0.90, "holds"),
    (0.89, 0.97, 0.90, "undecided"),
    (0.80, 0.90, 0.90, "undecided"),
    (0.80, 0.89, 0.90, "violated"),
    (0.97, 1.0, 1.0, "holds"),
    (0.97, 0.999, 1.0, "violated"),
    (0.0, 0.1, 0.0, "holds"),
])  # fmt: skip
def test_verdicts(low: float, high: float, bound: float, says: str) -> None:
    assert verdict(low, high, bound) == says


def rows_of(kept: int, count: int) -> tuple[Row, ...]:
    """The rows of so many images, of which some keep all nine windows and the others one."""
    entries = [Kept(1, 9, 9, 1)] * kept + [Kept(1, 9, 1, 9)] * (count - kept)
    records = [Record(str(i), (1, 1), (3, 3), None, None, (e,)) for i, e in enumerate(entries)]
    return ShiftReport.from_records(records, SETTINGS).rows


def test_rows_carry_the_verdict_of_their_interval() -> None:
    bound = float(theory.robustness_bound(32, 20, 1))
    assert [rows_of(kept, 1000)[0].verdict for kept in (1000, round(1000 * bound), 100)] == [
        "holds", "undecided", "violated",
    ]  # fmt: skip
    robust, consistent = rows_of(90, 100)
    assert (robust.value, robust.count) == (0.9, 100)
    assert consistent.value == pytest.approx((90 + 10 / 9) / 100)
    assert (robust.ci_low, robust.ci_high) == clopper_pearson(90, 100)


# --- the report ----------------------------------------------------------------------------------


def test_report_json_keys() -> None:
    content = json.loads(verify(noise(2, 1, 20, 20), 10, deltas=[1]).to_json())
    assert list(content) == ["settings", "rows"]
    assert list(content["settings"]) == [
        "n", "k", "score", "order", "deltas", "shifts", "samples", "seed", "version", "source",
        "command", "images",
    ]  # fmt: skip
    for row in content["rows"]:
        assert list(row) == [
            "delta", "metric", "value", "ci_low", "ci_high", "bound", "expected", "limit",
            "verdict", "count",
        ]  # fmt: skip


@pytest.mark.parametrize("shifts", ["realistic", "cyclic"])
def test_two_runs_are_equal(shifts: Any) -> None:
    first, second = (verify(noise(4, 3, 40, 40), 20, deltas=(1, 2), shifts=shifts) for _ in "ab")
    assert first == second
    assert first.to_json() == second.to_json()


@pytest.mark.parametrize("shifts", ["realistic", "cyclic"])
def test_the_command_makes_the_same_report(shifts: Any) -> None:
    images = scenes(30, minimum=10)
    report = verify(images, 14, deltas=(1, 2), shifts=shifts, samples=5, seed=3)
    names = {"verify": verify, "scenes": scenes, "Lattice": Lattice}
    again = eval(report.settings["command"], names)
    assert again.rows == report.rows and again.records == report.records
    assert report.settings["source"] == images.source


def test_a_command_of_the_caller_is_kept() -> None:
    report = verify(noise(1, 1, 20, 20), 10, deltas=[1], command="rics verify --k 10")
    assert report.settings["command"] == "rics verify --k 10"


def test_save_writes_both_files(tmp_path: Path) -> None:
    images = noise(2, 3, 20, 20)
    report = verify(images, 10, deltas=[1])
    page = report.save(tmp_path / "new" / "folder", scenes=images)
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (page.parent / "report.json").read_text(encoding="utf-8") == report.to_json()


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("images", "options", "error", "message"), [
    ([], {}, ValueError, "at least one scene, but got none"),
    (noise(1, 3, 41, 50), {"n": 32, "deltas": [5]}, ValueError,
     r"at least \(42, 42\) pixels, .* but got \(41, 50\) for '0'"),
    (noise(1, 3, 50, 50) + noise(1, 3, 49, 50), {"deltas": [5]}, ValueError,
     r"at least \(50, 50\) pixels, .* but got \(49, 50\) for '1'"),
    (noise(1, 3, 18, 18), {}, ValueError, r"more than 18 pixels per side .* got \(18, 18\)"),
    (noise(1, 3, 40, 40), {"n": 9, "deltas": [1]}, ValueError, r"`k` to be at most the image"),
    (noise(1, 3, 40, 40), {"deltas": []}, ValueError, "`deltas` to be one or more ints"),
    (noise(1, 3, 40, 40), {"deltas": [1, -1]}, ValueError, "`deltas` to be one or more ints"),
    (noise(1, 3, 40, 40), {"deltas": 3}, TypeError, "`deltas` to be one or more ints"),
    (noise(1, 3, 40, 40), {"deltas": [1.0]}, TypeError, "`deltas` to be one or more ints"),
    (noise(1, 3, 40, 40), {"shifts": "circular"}, ValueError, "'realistic' or 'cyclic'"),
    (noise(1, 3, 40, 40), {"score": "hush"}, ValueError, "did you mean 'hash'"),
    (noise(1, 40, 40), {}, ValueError, r"shape \[C, H, W\], but got \(40, 40\)"),
    ([[1, 2]], {}, TypeError, r"tensors or \(name, tensor\) pairs, but got list"),
])  # fmt: skip
def test_errors(images: Any, options: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        verify(images, 10, **options)


def test_records_must_exist_and_agree() -> None:
    with pytest.raises(ValueError, match="`records` to hold at least one image"):
        ShiftReport.from_records([], SETTINGS)
    mixed = [Record(str(d), (9, 9), (9, 9), None, None, (Kept(d, 9, 9, 1),)) for d in (1, 2)]
    with pytest.raises(ValueError, match="`records` to share their deltas"):
        ShiftReport.from_records(mixed, SETTINGS)


def test_verify_does_not_import_the_transform() -> None:
    source = Path(verify.__code__.co_filename).read_text(encoding="utf-8")
    imported = [
        name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
    ]
    assert not [name for name in imported if "transform" in name.replace("rics_transforms", "")]
