"""A compiler that has forgotten the graphs of other tests, and traces that are made once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.export import ExportedProgram

from rics_transforms import graph


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture(autouse=True, scope="package")
def traced_once() -> Iterator[None]:
    """Writes a module in several files from one trace of it, which takes seconds."""
    trace, programs = graph._trace, {}  # type: ignore[var-annotated]

    def remembered(module: Any, images: Tensor, *, dynamic: bool) -> ExportedProgram:
        crop = repr(vars(module.crop)), module.crop.score
        asked = *crop, *module.rest, images.shape, images.dtype, dynamic
        if asked not in programs:
            programs[asked] = trace(module, images, dynamic=dynamic)
        return programs[asked]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "_trace", remembered)
        yield
