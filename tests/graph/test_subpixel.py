"""Crops between the pixels in graphs: the places and pixels of eager mode, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch._dynamo.testing
from click.testing import CliRunner
from torch import Tensor

from rics_transforms import RICSCrop
from rics_transforms.cli.commands import rics

from ..conftest import random_image
from .runners import check, load_onnx, zoo_images

N, K = 48, 40


@pytest.mark.slow
def test_onnx_of_the_command_equals_eager(tmp_path: Path, photos: Tensor) -> None:
    pytest.importorskip("onnxscript")
    transform = RICSCrop(K, shifts="cyclic", subpixel=True)
    path = str(tmp_path / "crop.onnx")
    command = ["export", path, "--k", str(K), "--n", str(N), "--shifts", "cyclic", "--subpixel"]
    result = CliRunner().invoke(rics, command)
    assert result.exit_code == 0 and "equal to the library on 28 images" in result.stdout
    run = load_onnx(Path(path))
    for images in (zoo_images(), photos, random_image(9, 3, N, N), photos[:0]):
        check(run, transform, images[..., :N, :N].contiguous())


@pytest.mark.slow
def test_one_compiled_graph_equals_eager(photos: Tensor) -> None:
    transform = RICSCrop(K, subpixel=True)
    counter = torch._dynamo.testing.CompileCounterWithBackend("eager")
    compiled = torch.compile(transform, fullgraph=True, dynamic=True, backend=counter)
    for images in (photos, random_image(3, 3, N, N), zoo_images()):
        seen = images[..., :N, :N].contiguous()
        assert torch.equal(compiled(seen), transform(seen))
    assert counter.frame_count == 1
