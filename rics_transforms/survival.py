"""The probability that no shift changes a crop, from the window alone.

The probability of a pseudo-random score has a closed form, that of a smooth one is fitted. The
crop must lie delta or more away from the edges of its range, or else some window does not contain
it and the probability is 0. It then stays unless a patch enters that beats the best one, or in
which an earlier level has a maximum. If h such patches are expected, the probability is
``exp(-h)``: see `Fit`.
"""

from __future__ import annotations

from math import log, prod, sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from rics_transforms._arguments import Size
from rics_transforms.engine.geometry import Geometry
from rics_transforms.engine.maps import candidates, deciding_levels, has_maximum, patch_map
from rics_transforms.engine.scores import (
    Hash,
    Lattice,
    Level,
    MexicanHat,
    Random,
    Saliency,
    Score,
    complete_levels,
)
from rics_transforms.engine.selection import select

_BATCH = 16  # images whose score maps are held at once


class Fit(NamedTuple):
    """How many patches enter and win, as a function of what the window shows.

    With r = delta / t for patches of t pixels, N patch positions per axis, and L how far the winner
    lies above the best score at the window's edge, in units of how much a map changes within delta
    (delta times the root mean square difference of neighbours, at most 5 of them):

        below[0] * r ** below[1] * exp(-below[2] * L)    the winner is above the edge
        above[0] * r ** above[1]                         a slope rises out of the window
        skipped[i] * r * N / t                           for each level i that had no maximum

    The hash, the last level, needs no coefficients: each of the q patches that enter has a higher
    hash with the same probability.
    """

    below: tuple[float, float, float] = (0.0, 1.0, 0.0)
    above: tuple[float, float] = (0.0, 1.0)
    skipped: tuple[float, ...] = ()


# From benchmarks/calibration.py --fit: 5943 tiles of the 15 photographs in scikit-image 0.26.0, at
# seven settings of n and k from (40, 32) to (256, 224), delta 1 to 15; PyTorch 2.15, SciPy 1.17.1.
FITS = {
    "lattice of mexican_hat": Fit((4.45, 1.46, 2.52), (14.0, 1.11), (17.4,)),
    "lattice of saliency": Fit((6.19, 1.56, 2.28), (14.5, 1.05), (20.9,)),
    "mexican_hat": Fit((8.97, 1.88, 5.24), (3.81, 0.924), (3.10, 29.1, 75.9)),
    "saliency": Fit((10.7, 1.59, 3.15), (7.50, 0.794), (32.2,)),
}


def fit_of(score: Score) -> Fit:
    """The coefficients of a score; those of a pseudo-random one are not used."""
    match score:
        case Hash() | Random() | Lattice(patch="hash"):
            return Fit()
        case Lattice():
            return FITS[f"lattice of {score.patch}"]
        case MexicanHat():
            return FITS["mexican_hat"]
        case Saliency():
            return FITS["saliency"]
    raise ValueError(
        f"Expected `score` to be one of this library, whose stability is known, but got {score!r}; "
        "`certify` takes any score, given the scene."
    )


class Evidence(NamedTuple):
    """What the score maps of B windows show, whatever the shift.

    Attributes:
        patch: (top, left) of the best patch, int64 ``[B, 2]``.
        level: number of the level that decided, int64 ``[B]``.
        tail: probability that another patch has a higher pseudo-random score, float64 ``[B]``;
            NaN where a smooth level decided.
        lead: by how much the best patch exceeds those at the window's edge, in root mean square
            differences of neighbouring patches, float64 ``[B]``.
        tied: whether several patches are best, and the content of their crops decides, ``[B]``.
    """

    patch: Tensor
    level: Tensor
    tail: Tensor
    lead: Tensor
    tied: Tensor


@torch.no_grad()
def observe(pixels: Tensor, geometry: Geometry, score: Score) -> Evidence:
    """Look at windows ``[B, T, C, H, W]`` level by level, until each has a best patch."""
    parts = (_observe_batch(part, geometry, score) for part in pixels.split(_BATCH))
    return Evidence(*map(torch.cat, zip(*parts, strict=True)))


def _observe_batch(pixels: Tensor, geometry: Geometry, score: Score) -> Evidence:
    count, device = len(pixels), pixels.device
    seen = Evidence(
        patch=torch.zeros(count, 2, dtype=torch.int64, device=device),
        level=torch.zeros(count, dtype=torch.int64, device=device),
        tail=torch.zeros(count, dtype=torch.float64, device=device),
        lead=torch.zeros(count, dtype=torch.float64, device=device),
        tied=torch.zeros(count, dtype=torch.bool, device=device),
    )
    decided = torch.zeros(count, dtype=torch.bool, device=device)
    for number, level in deciding_levels(complete_levels(score, geometry.t), decided):
        rest = (~decided).nonzero()[:, 0]
        found, here = _observe_level(pixels[rest], geometry, score, level, number)
        for whole, part in zip(seen, found, strict=True):
            whole[rest[here]] = part[here]
        decided[rest[here]] = True
    return seen


def _observe_level(
    pixels: Tensor, geometry: Geometry, score: Score, level: Level, number: int
) -> tuple[Evidence, Tensor]:
    """What one level shows, and which windows it decides."""
    patches = patch_map(pixels, geometry.t, level, cyclic=False)
    scores = candidates(patches, level.nms).flatten(1)
    top, position = scores.max(1)
    columns = geometry.positions[1]
    patch = torch.stack([position.div(columns, rounding_mode="floor"), position % columns], 1)
    tied = (scores == top[:, None]).sum(1) > 1
    decided = has_maximum(top, level.nms)
    if (unsure := tied & decided).any():
        patch[unsure] = select(pixels[unsure], geometry.k, score)
    low, high = (0.0, score.modulus) if isinstance(score, Random) else (-(2.0**63), 2.0**63)
    tail = (high - 0.5 - top.double()) / (high - low)
    if level.nms:
        tail = torch.full_like(tail, torch.nan)
    level_number = torch.full_like(position, number)
    return Evidence(patch, level_number, tail, _lead(patches.double(), top), tied), decided


def _lead(patches: Tensor, top: Tensor) -> Tensor:
    """By how much the best exceeds the edge of the maps ``[B, H, W]``, in typical differences."""
    lines = [patches[:, 0], patches[:, -1], patches[:, :, 0], patches[:, :, -1]]
    edge = torch.cat(lines, 1).amax(1)
    steps = torch.cat([patches.diff(dim=d).flatten(1) for d in (1, 2)], 1)
    typical = steps.square().mean(1).sqrt()
    return torch.where(typical > 0, (top.double() - edge) / typical, 0.0)


def survival(seen: Evidence, geometry: Geometry, delta: int, fit: Fit) -> Tensor:
    """The probability that no shift within delta changes the crop, float64 ``[B]``."""
    edge = seen.tail.isnan()[:, None] + delta
    crop = geometry.crop_of(seen.patch)
    inside = (crop >= delta) & (crop < _sizes(geometry.crops, crop) - delta)
    inside &= (seen.patch >= edge) & (seen.patch < _sizes(geometry.positions, crop) - edge)
    return torch.where(inside.all(1), torch.exp(-_intruders(seen, geometry, delta, fit)), 0.0)


def _sizes(values: Size, like: Tensor) -> Tensor:
    return torch.tensor(values, device=like.device)


def _intruders(seen: Evidence, geometry: Geometry, delta: int, fit: Fit) -> Tensor:
    """How many patches are expected to enter and win, float64 ``[B]``."""
    before = prod(geometry.positions)
    after = prod(count + 2 * delta for count in geometry.positions)
    side = sqrt(prod(geometry.t))
    r, lead = delta / side, (seen.lead / max(delta, 1)).clamp(max=5)
    below = fit.below[0] * r ** fit.below[1] * torch.exp(-fit.below[2] * lead)
    above = torch.full_like(lead, fit.above[0] * r ** fit.above[1])
    smooth = torch.where(lead < 0, above, below)
    hashed = (before - after) * torch.log1p(-seen.tail)
    skipped = torch.tensor([0.0, *fit.skipped], dtype=lead.dtype, device=lead.device).cumsum(0)
    asked = skipped[seen.level.clamp(max=len(fit.skipped))] * r * sqrt(before) / side
    ties = seen.tied.double() * log(after / before)
    return torch.where(seen.tail.isnan(), smooth, hashed) + asked + ties
