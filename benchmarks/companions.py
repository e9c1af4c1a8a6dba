"""What comes along with a shift in the benchmarks: the last view of each of these."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rics_transforms import Score, locate
from rics_transforms.shifts.disturbances import HalfPixel, Jpeg, Noise, Rescale
from rics_transforms.shifts.windows import Realistic

COMPANIONS = {
    "shift 1": Realistic(1),
    "noise 1": Realistic(0, then=Noise(1)),
    "noise 4": Realistic(0, then=Noise(4)),
    "JPEG 95": Realistic(0, then=Jpeg(95)),
    "JPEG 75": Realistic(0, then=Jpeg(75)),
    "half pixel": Realistic(0, then=HalfPixel()),
    "shift 1 + JPEG 90": Realistic(1, then=Jpeg(90)),
    "15/16 and back": Realistic(0, then=Rescale(15 / 16)),
}


def windows(scenes: Tensor, n: int, seed: int = 0) -> dict[str, Tensor]:
    """The centre window of every scene, and what each companion makes of it: uint8 [B, 3, n, n]."""
    rng = np.random.default_rng(seed)
    views: dict[str, Tensor] = {}
    for name, shift in {"window": Realistic(0), **COMPANIONS}.items():
        last = [[*shift.views(scene, (n, n), rng)][-1] for scene in scenes]
        views[name] = torch.stack(last)
    return views


def moves(views: dict[str, Tensor], k: int, score: Score) -> dict[str, Tensor]:
    """How far each companion moves the crop over the scene, in pixels (maximum norm): int64 [B]."""
    n = views["window"].shape[-2], views["window"].shape[-1]
    origin = locate(views["window"], k, score=score)
    return {
        name: (locate(views[name], k, score=score) + torch.tensor(shift.moves(n)[-1]) - origin)
        .abs()
        .amax(-1)
        for name, shift in COMPANIONS.items()
    }
