"""How a written graph is run, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rics_transforms import RICSCrop

from ..reference import ZOO, zoo_image

N, K = 96, 64
CASES = [("lattice", "realistic"), ("mexican_hat", "cyclic")]
"""Each score and each kind of shifts, but not all pairs: a graph takes up to a minute."""

Run = Callable[[Tensor], list[Tensor]]


def load_onnx(path: Path) -> Run:
    """An ONNX file on the CPU, as any user of ONNX Runtime loads it."""
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: [
        torch.from_numpy(array) for array in session.run(None, {"images": images.numpy()})
    ]


def load_pt2(path: Path) -> Run:
    graph = torch.export.load(path).module()
    return lambda images: list(graph(images))


def compile_pt2(path: Path) -> Run:
    """The file compiled to machine code."""
    inductor: Any = torch._inductor
    package = str(path.with_name("compiled.pt2"))
    soon = {"aot_inductor.compile_wrapper_opt_level": "O0"}  # what calls the kernels
    inductor.aoti_compile_and_package(
        torch.export.load(path), package_path=package, inductor_configs=soon
    )
    graph = inductor.aoti_load_package(package)
    return lambda images: list(graph(images))


def check(run: Run, transform: RICSCrop, images: Tensor) -> None:
    crops, origins = run(images)
    assert torch.equal(origins, transform.locate(images))
    assert torch.equal(crops, transform(images))


def zoo_images() -> Tensor:
    return torch.stack([zoo_image(name, N, N) for name in sorted(ZOO)])
