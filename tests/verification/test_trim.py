"""Trims of whole images, of all sizes: counted by hand, resumed, in a report; and no windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from rics_transforms import RICSCrop, RICSResizedCrop, ShiftReport, verify
from rics_transforms.report import save
from rics_transforms.shifts import Trim
from rics_transforms.verification.run import in_order

from ..conftest import random_image

SHIFT = Trim(3, samples=9)
CHAIN = v2.Compose([v2.Resize(32), v2.CenterCrop(28)])


@pytest.fixture(scope="module")
def scenes() -> list[tuple[str, Tensor]]:
    sizes = [(60, 80), (80, 60), (47, 47), (99, 61), (64, 200), (70, 71)]
    return [(f"{h} x {w}", random_image(3, h, w)) for h, w in sizes]


def copies_of(scene: Tensor) -> list[Tensor]:
    height, width = scene.shape[1:]
    sides = [(0, 0, 0, 0), *SHIFT.sides()]
    return [scene[:, a : height - b, l_ : width - r] for a, b, l_, r in sides]


@pytest.mark.parametrize("transform", [RICSResizedCrop(24), CHAIN, RICSCrop(24)], ids=repr)
def test_a_copy_is_kept_if_the_input_of_the_model_is_the_same(
    transform: Any, scenes: list[tuple[str, Tensor]]
) -> None:
    report = verify(scenes, transform, shifts=SHIFT)
    same = torch.tensor([
        [torch.equal(transform(copy), transform(scene)) for copy in copies_of(scene)]
        for _, scene in scenes
    ])  # fmt: skip
    assert report.row("adversarial_robustness", "crop").value == same.all(1).double().mean()
    assert report.row("consistency", "crop").value == pytest.approx(float(same.double().mean()))
    assert report.settings.n is None and report.settings.k is None
    assert all(row.bound is None for row in report.rows)


def test_the_crop_before_the_resize_is_kept_more_often(scenes: list[tuple[str, Tensor]]) -> None:
    ours, plain = (verify(scenes, rule, shifts=SHIFT) for rule in (RICSResizedCrop(24), CHAIN))
    assert ours.row("consistency", "crop").value > 0.4 > plain.row("consistency", "crop").value


def test_it_resumes_and_makes_a_page(scenes: list[tuple[str, Tensor]], tmp_path: Path) -> None:
    options: dict[str, Any] = {"shifts": SHIFT, "records": tmp_path / "records.jsonl"}
    verify(scenes[:2], RICSResizedCrop(24), **options)
    report = verify(scenes, RICSResizedCrop(24), **options)
    assert report.rows == verify(scenes, RICSResizedCrop(24), shifts=SHIFT).rows
    loaded = ShiftReport.load(tmp_path / "records.jsonl")
    assert loaded.rows == report.rows and loaded.settings.n is None
    page = save(report, tmp_path, scenes, [verify(scenes, CHAIN, shifts=SHIFT)])
    text = page.read_text(encoding="utf-8")
    assert "RICSResizedCrop of whole images" in text and "Resize + CenterCrop" in text
    assert ", n=" not in report.settings.call("images")


def test_a_model_is_asked_about_distinct_inputs(scenes: list[tuple[str, Tensor]]) -> None:
    asked = []

    def model(inputs: Tensor) -> Tensor:
        asked.append(len(inputs))
        return inputs.double().mean((2, 3))

    rule = RICSResizedCrop(24)
    report = verify(scenes, rule, model=model, shifts=SHIFT)
    assert sum(asked) == report.forwards.used < report.forwards.brute_force == 60
    answers = [[model(rule(copy)[None]).argmax().item() for copy in copies_of(scene)]
               for _, scene in scenes]  # fmt: skip
    kept = [len(set(found)) == 1 for found in answers]
    assert report.row("adversarial_robustness", "class").value == sum(kept) / len(kept)


def test_there_is_no_window_to_ask_for(scenes: list[tuple[str, Tensor]]) -> None:
    with pytest.raises(ValueError, match="Expected no `n` with Trim"):
        verify(scenes, RICSResizedCrop(24), shifts=SHIFT, n=40)
    mapped = verify(scenes, RICSResizedCrop(24), shifts=SHIFT, mapper=in_order)
    assert mapped.rows == verify(iter(scenes), RICSResizedCrop(24), shifts=SHIFT).rows


def test_scenes_must_outlast_the_trims() -> None:
    with pytest.raises(ValueError, match=r"Expected scenes of at least \(7, 7\) pixels"):
        verify([random_image(3, 6, 50)], CHAIN, shifts=SHIFT)
