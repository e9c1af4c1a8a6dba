"""Graphs of torch.export, AOTInductor and torch.compile: the same origins and pixels as eager."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo.testing
from torch import Tensor, nn

from rics_transforms import RICSCrop
from rics_transforms.engine.crop import crop
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


class Crops(nn.Module):
    """Crops and origins of several transforms."""

    def __init__(self, *transforms: RICSCrop) -> None:
        super().__init__()
        self.transforms = nn.ModuleList(transforms)

    def forward(self, images: Tensor) -> list[Tensor]:
        origins = [transform.locate(images) for transform in self.transforms]
        cut = [
            crop(images, place, transform.k, cyclic=transform.shifts == "cyclic")
            for transform, place in zip(self.transforms, origins, strict=True)
        ]
        return [*origins, *cut]


CROPS = Crops(*(RICSCrop(K, score=score, shifts=shifts) for score, shifts in CASES))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dynamic = ({0: torch.export.Dim("batch")},)
    exported = torch.export.export(CROPS, (random_image(2, 3, N, N),), dynamic_shapes=dynamic)
    path = tmp_path_factory.mktemp("program") / "crops.pt2"
    torch.export.save(exported, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("load", [load_pt2, compile_pt2])
def test_one_graph_of_two_transforms_equals_eager(
    load: Callable[[Path], Run], program: Path, photos: Tensor
) -> None:
    run = load(program)
    parts = [zoo_images(), photos[..., :N, :N].contiguous(), random_image(1, 3, N, N)]
    alone = zoo_images().split(1)  # each takes its own branches
    for images in [*parts, *alone, zoo_images()[:0]]:
        assert all(map(torch.equal, run(images), CROPS(images)))


@pytest.mark.slow
@pytest.mark.parametrize(("score", "shifts"), CASES)
def test_one_compiled_graph_per_size_serves_every_batch(score: str, shifts: Any) -> None:
    transform = RICSCrop(24, score=score, shifts=shifts)
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
