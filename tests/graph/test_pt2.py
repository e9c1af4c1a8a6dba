"""Graphs of torch.export, AOTInductor and torch.compile: the same origins and pixels as eager."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo.testing
from torch import Tensor

from rics_transforms import RICSCrop
from rics_transforms.graph import export

from ..conftest import SHIFTS, random_image
from ..reference import ZOO, zoo_image
from .runners import CASES, K, N, Run, check, compile_pt2, load_pt2, zoo_images


@pytest.mark.slow
def test_fourier_transforms_are_taken(tmp_path: Path, photos: Tensor) -> None:
    transform = RICSCrop(K, score="random", shifts="cyclic")
    path, verified = export(transform, tmp_path / "crop.pt2", n=N, format="pt2")
    assert verified > 0
    run = load_pt2(path)
    for images in (zoo_images(), photos[..., :N, :N].contiguous(), random_image(1, 3, N, N)):
        check(run, transform, images)
    check(run, transform, zoo_images()[:0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("load", "score", "shifts"),
    [(load, *case) for load, case in zip((load_pt2, compile_pt2), CASES, strict=True)],
)
def test_pt2_equals_eager(
    load: Callable[[Path], Run], score: str, shifts: Any, tmp_path: Path, photos: Tensor
) -> None:
    transform = RICSCrop(K, score=score, shifts=shifts)
    run = load(export(transform, tmp_path / "crop.pt2", n=N).path)
    parts = [zoo_images(), photos[..., :N, :N].contiguous(), random_image(1, 3, N, N)]
    alone = zoo_images().split(1)  # each takes its own branches
    for images in [*parts, *alone, zoo_images()[:0]]:
        check(run, transform, images)


@pytest.mark.slow
def test_one_compiled_graph_per_size_serves_every_batch() -> None:
    transform = RICSCrop(24)
    counter = torch._dynamo.testing.CompileCounterWithBackend("eager")
    compiled = torch.compile(transform, fullgraph=True, dynamic=True, backend=counter)
    for graphs, size in enumerate([(32, 32), (37, 30)], 1):
        for batch in (2, 3, 5, 8):
            images = random_image(batch, 3, *size, seed=batch)
            assert torch.equal(compiled(images), transform(images))
        assert counter.frame_count == graphs


@pytest.mark.parametrize("shifts", SHIFTS)
def test_vmap_has_no_branches(shifts: Any) -> None:
    transform = RICSCrop(24, shifts=shifts)
    images = torch.stack([zoo_image(name, 32, 32) for name in sorted(ZOO)])[:, None]
    assert torch.equal(torch.vmap(transform)(images), transform(images))
