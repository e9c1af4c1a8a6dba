"""What one image alone says about shifts: a proof, given the scene around it, or a probability.

    scene   -> certify   -> Certificate: whether any shift within delta changes the crop. Exact.
    window  -> stability -> the probability that none does, from the pixels of the window.

No model is needed for either: where the crop stays, the output of every model stays.

The probability of a pseudo-random score has a closed form, that of a smooth one is fitted. The
crop must lie delta or more away from the edges of its range, else some window does not contain it
and the probability is 0. It then stays unless a patch enters that beats the best one, or that is
asked first. With h the expected number of those, the probability is ``exp(-h)``: see `Fit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, prod, sqrt
from typing import NamedTuple

import PIL.Image
import torch
from torch import Tensor

from rics_transforms import theory
from rics_transforms.exact import Size
from rics_transforms.scores import (
    Hash,
    Lattice,
    Level,
    MexicanHat,
    Random,
    Saliency,
    Score,
    complete_levels,
    get_score,
)
from rics_transforms.selection import (
    Geometry,
    candidates,
    lowest,
    patch_map,
    select,
    select_windows,
)
from rics_transforms.transform import as_pixels, check_crop

_BATCH = 16  # images whose score maps are held at once

# --- given the scene -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Certificate:
    """Whether every window within `delta` of one scene's middle window has the same crop.

    Attributes:
        origin: (top, left) of the unshifted window's crop, in pixels of the scene.
        delta: largest shift that was looked at, along either axis.
        counterexample: the smallest shift (dy, dx) that changes the crop, in the maximum norm; the
            first in raster order if there are several. None if no shift does.
    """

    origin: Size
    delta: int
    counterexample: Size | None

    @property
    def certified(self) -> bool:
        """Whether no shift within delta changes the crop."""
        return self.counterexample is None

    @property
    def radius(self) -> int:
        """The largest d, up to delta, such that no shift within d changes the crop."""
        return self.delta if self.counterexample is None else max(map(abs, self.counterexample)) - 1


def certify(
    scene: Tensor | PIL.Image.Image,
    k: int | Sequence[int],
    delta: int,
    *,
    n: int | Sequence[int] | None = None,
    score: str | Score = "lattice",
) -> Certificate:
    """Decide whether any shift within delta changes the crop, from one score map of the scene.

    Sound and complete for the place of the crop in the scene: the certificate is what `locate` says
    of all ``(2 delta + 1)^2`` windows, for every score. It is sound for any model, whose output on
    equal pixels is equal; a model may also tolerate a crop that moves.

    Args:
        scene: one image ``[C, H, W]`` as `locate` takes it, or one clip: the middle window and at
            least delta pixels around it.
        k: side of the crop in pixels, or ``(height, width)``.
        delta: largest shift in pixels along either axis.
        n: side of the windows, or ``(height, width)``. Default: the scene less delta on each side.
        score: a registered name or a `Score`.

    Returns:
        A `Certificate`.

    Raises:
        TypeError: for a `delta` that is no int, and as `locate` does.
        ValueError: for a batch, a negative `delta`, a scene too small for its windows, or a window
            too small for `k`.

    Source: Shifman & Weiss 2024, section 3: a crop that all windows choose.

    Example:
        >>> scene = torch.zeros(3, 40, 40)
        >>> scene[:, 20, 21] = 1
        >>> certify(scene, 24, 2)
        Certificate(origin=(7, 8), delta=2, counterexample=None)
        >>> certify(scene, 24, 4).radius
        2
    """
    pixels, lead = as_pixels(scene)
    if lead:
        raise ValueError(
            f"Expected `scene` to be one image [C, H, W], but got leading dimensions {lead}; "
            "certify one scene at a time."
        )
    size, reach = theory.as_pair(k, "k"), theory.as_delta(delta)
    sides = pixels.shape[-2], pixels.shape[-1]
    window = _window(sides, n, reach)
    theory.crop_positions(window, size)
    top, left = ((s - w) // 2 - reach for s, w in zip(sides, window, strict=True))
    seen = pixels[..., top:, left:][..., : window[0] + 2 * reach, : window[1] + 2 * reach]
    origins = select_windows(seen, window, size, get_score(score))[0]
    changes = (origins != origins[reach, reach]).any(-1).nonzero() - reach
    nearest = None if len(changes) == 0 else _pair(changes[changes.abs().amax(1).argmin()])
    y, x = _pair(origins[reach, reach])
    return Certificate((top + y, left + x), reach, nearest)


def _window(sides: Size, n: int | Sequence[int] | None, delta: int) -> Size:
    """Size of the windows, if the scene has room for all of them."""
    if n is not None:
        window = theory.as_pair(n, "n")
    else:
        window = sides[0] - 2 * delta, sides[1] - 2 * delta
    needed = max(1, window[0]) + 2 * delta, max(1, window[1]) + 2 * delta
    if sides[0] < needed[0] or sides[1] < needed[1]:
        raise ValueError(
            f"Expected `scene` to have at least {needed} pixels, so that a window can be shifted "
            f"within {delta}, but got {sides}."
        )
    return window


def _pair(x: Tensor) -> Size:
    first, second = x.tolist()
    return first, second


# --- given the window alone ----------------------------------------------------------------------


def stability(
    images: Tensor | PIL.Image.Image,
    k: int | Sequence[int],
    delta: int,
    *,
    score: str | Score = "lattice",
) -> Tensor:
    """The probability that no shift within delta changes the crop, from the window alone.

    For `hash`, `random` and the lattice of hashes in closed form: ``u^q`` where the crop lies delta
    or more away from the edges of its range, 0 elsewhere, with u the winner's score as a fraction
    of all possible ones and ``q = (N + 2 delta)^2 - N^2`` the number of patches that could enter.
    Its mean over images is the bound of Theorems 1 and 3. It assumes Definition 1 (Shifman & Weiss
    2024) and patches that differ: what repeats itself beyond the window survives more often.

    The smooth scores (`lattice`, `saliency`, `mexican_hat`) announce at the window's edge what is
    about to enter: see `Fit`. Their coefficients are fitted on photographs, for the default widths
    of the filters, and are an estimate elsewhere.

    Args:
        images: ``[..., C, H, W]`` as `locate` takes them.
        k: side of the crop in pixels, or ``(height, width)``.
        delta: largest shift in pixels along either axis.
        score: a score of this library.

    Returns:
        float64 ``[...]``; it never grows with delta.

    Raises:
        TypeError: for a `delta` that is no int, and as `locate` does.
        ValueError: for a negative `delta`, a score of one's own, clips with score="random", and as
            `locate` does.

    Calibrated on 1000 windows of 200 photographs that no fit has seen (benchmarks/calibration.py;
    n = 256, 224, 224, 96 with k = 224, 180, 140, 80 and delta up to 9): the expected calibration
    error over all of them is 0.003 to 0.005 in closed form, 0.002 for `lattice`, 0.007 for
    `mexican_hat`, 0.014 for `saliency`; in no single setting above 0.030 and 0.049. A threshold
    buys robustness with coverage; n = 256, k = 224, `lattice`:

        stability at least         0          0.5        0.9        0.95
        delta 1: kept, robust      100, 84 %  87, 96 %   79, 100 %  79, 100 %
        delta 3                    100, 59 %  58, 99 %   56, 99 %   54, 100 %
        delta 5                    100, 41 %  42, 96 %   36, 98 %   32, 98 %

    Example:
        Set aside what a shift by one pixel may change:

        >>> images = torch.rand(64, 3, 40, 40, generator=torch.Generator().manual_seed(0))
        >>> steady = stability(images, 24, 1, score="hash") >= 0.9
        >>> kept, unsure = images[steady], images[~steady]
        >>> len(kept), len(unsure)
        (15, 49)
    """
    pixels, lead = as_pixels(images)
    size, reach = theory.as_pair(k, "k"), theory.as_delta(delta)
    check_crop(size, pixels)
    rule = get_score(score)
    fit = fit_of(rule)
    if isinstance(rule, Random) and pixels.shape[1] > 1:
        raise ValueError(
            "Expected images for score='random', but got clips, whose sums over frames are not "
            "uniform; use score='hash'."
        )
    geometry = Geometry.of((pixels.shape[-2], pixels.shape[-1]), size, rule, cyclic=False)
    parts = (observe(part, geometry, rule) for part in pixels.split(_BATCH))
    return torch.cat([survival(part, geometry, reach, fit) for part in parts]).reshape(lead)


class Fit(NamedTuple):
    """How the number of patches that enter and win follows from what the window shows.

    With r = delta / t for patches of t pixels, N patch positions per axis, and L how far the winner
    lies above the best score at the window's edge, in units of what a map changes within delta
    (delta times the root mean square difference of neighbours, at most 5 of them):

        below[0] * r ** below[1] * exp(-below[2] * L)    the winner is above the edge
        above[0] * r ** above[1]                         a slope rises out of the window
        skipped[i] * r * N / t                           for each level i that had no maximum

    The hash at the end of the levels needs no coefficients: each of the q patches that enter has a
    higher one with the same probability.
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
    count, device = len(pixels), pixels.device
    found = Evidence(
        torch.zeros(count, 2, dtype=torch.int64, device=device),
        torch.zeros(count, dtype=torch.int64, device=device),
        torch.zeros(count, dtype=torch.float64, device=device),
        torch.zeros(count, dtype=torch.float64, device=device),
        torch.zeros(count, dtype=torch.bool, device=device),
    )
    rest = torch.arange(count, device=device)
    for number, level in enumerate(complete_levels(score, geometry.t)):
        here, decided = _observe_level(pixels[rest], geometry, score, level, number)
        for whole, part in zip(found, here, strict=True):
            whole[rest[decided]] = part[decided]
        rest = rest[~decided]
        if len(rest) == 0:
            break
    return found


def _observe_level(
    pixels: Tensor, geometry: Geometry, score: Score, level: Level, number: int
) -> tuple[Evidence, Tensor]:
    patches = patch_map(pixels, geometry.t, level, cyclic=False)
    scores = candidates(patches, level.nms).flatten(1)
    top, position = scores.max(1)
    columns = geometry.positions[1]
    patch = torch.stack([position.div(columns, rounding_mode="floor"), position % columns], 1)
    tied = (scores == top[:, None]).sum(1) > 1
    decided = (top > lowest(scores)) | (not level.nms)
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
