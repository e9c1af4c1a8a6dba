"""What one image alone says about shifts: a proof, given the scene around it, or a probability.

    scene   -> certify   -> Certificate: whether any shift within delta changes the crop. Exact.
    window  -> stability -> the probability that none does, from the pixels of the window.

No model is needed for either: where the crop stays, the output of every model stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rics_transforms import theory
from rics_transforms._arguments import Size, as_int, as_pair
from rics_transforms.engine.geometry import UNIT, Geometry
from rics_transforms.engine.images import Images, as_pixels, check_crop, middle
from rics_transforms.engine.resampling import reach_of_taps
from rics_transforms.engine.scores import Random, Score, get_score, require_smooth
from rics_transforms.engine.windows import select_windows
from rics_transforms.survival import fit_of, observe, survival

# --- given the scene -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Certificate:
    """Whether every window within `delta` of one scene's middle window has the same crop.

    Attributes:
        origin: (top, left) of the unshifted window's crop, in pixels of the scene; floats if crops
            lie between the pixels.
        delta: largest shift that was considered, along either axis.
        counterexample: the smallest shift (dy, dx) that changes the crop, in the maximum norm; the
            first in raster order if there are several. None if no shift does.
    """

    origin: tuple[float, float]
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
    scene: Images,
    k: int | Sequence[int],
    delta: int,
    *,
    n: int | Sequence[int] | None = None,
    score: str | Score = "lattice",
    subpixel: bool = False,
) -> Certificate:
    """Decide whether any shift within delta changes the crop, from one score map of the scene.

    Sound and complete for the place of the crop in the scene: the certificate says what `locate`
    gives for all ``(2 delta + 1)^2`` windows, for every score. It is sound for any model whose
    output on equal pixels is equal; a model may also tolerate a crop that moves.

    Args:
        scene: one image ``[C, H, W]`` as `locate` takes it, or one clip: the middle window and at
            least delta pixels around it.
        k: side of the crop in pixels, or ``(height, width)``.
        delta: largest shift in pixels along either axis.
        n: side of the windows, or ``(height, width)``. Default: the scene less delta on each side.
        score: a registered name or a `Score`.
        subpixel: for crops between the pixels. Shifts are still of whole pixels: the crop has the
            same place after each, and no tap of its resampling leaves any of the windows, so that
            all its pixels are the same (a tap outside would see the border repeated, and counts as
            a change, though the pixels could be equal by chance). Nothing can be certified for
            fractions of a pixel: what lies between the pixels of the scene is not known.

    Returns:
        A `Certificate`. Where ``n - k + 1 <= 2 delta`` no crop can stay, and none is certified.

    Raises:
        TypeError: unless `delta` is an int, and as `locate` does.
        ValueError: for a batch, a negative `delta`, a scene too small for its windows, or a window
            too small for `k`.

    Source: Shifman & Weiss 2024, section 3: a crop that all windows choose.

    Example:
        >>> import torch
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
    size, reach = as_pair(k, "k"), as_int(delta, "delta", 0)
    sides = pixels.shape[-2], pixels.shape[-1]
    window = _window(sides, n, reach)
    theory.crop_positions(window, size)
    top, left = (side - reach for side in middle(sides, window))
    seen = pixels[..., top:, left:][..., : window[0] + 2 * reach, : window[1] + 2 * reach]
    rule = require_smooth(get_score(score), subpixel)
    origins = select_windows(seen, window, size, rule, subpixel=subpixel)[0]
    changed = (origins != origins[reach, reach]).any(-1)
    if subpixel:
        inside = _taps_stay_inside(origins, size, window)
        changed |= ~(inside & inside[reach, reach])
        changed[reach, reach] = False
        origins = origins / UNIT
    changes = changed.nonzero() - reach
    nearest = None if len(changes) == 0 else _pair(changes[changes.abs().amax(1).argmin()])
    y, x = origins[reach, reach].tolist()
    return Certificate((top + y, left + x), reach, nearest)


def _taps_stay_inside(origins: Tensor, k: Size, n: Size) -> Tensor:
    """Whether the crop of each window, at ``[h, w, 2]`` in 1/64 px, needs no pixel outside it."""
    height, width = (torch.arange(side, device=origins.device) for side in origins.shape[:2])
    places = origins - UNIT * torch.stack(torch.meshgrid(height, width, indexing="ij"), -1)
    first, last = reach_of_taps(places, k)
    return (first >= 0).all(-1) & (last < torch.tensor(n, device=origins.device)).all(-1)


def _window(sides: Size, n: int | Sequence[int] | None, delta: int) -> Size:
    """Size of the windows, if the scene has room for all of them."""
    whole = sides[0] - 2 * delta, sides[1] - 2 * delta
    window = whole if n is None else as_pair(n, "n")
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
    images: Images,
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
    2024) and patches that differ: crops of content that repeats beyond the window survive more
    often.

    The smooth scores (`lattice`, `saliency`, `mexican_hat`) show at the window's edge what is about
    to enter: see `Fit`. Their coefficients are fitted on photographs, for the default widths
    of the filters, and are an estimate elsewhere.

    Args:
        images: ``[..., C, H, W]`` as `locate` takes them.
        k: side of the crop in pixels, or ``(height, width)``.
        delta: largest shift in pixels along either axis.
        score: a score of this library.

    Returns:
        float64 ``[...]``, which never grows with delta.

    Raises:
        TypeError: unless `delta` is an int, and as `locate` does.
        ValueError: for a negative `delta`, a user's own score, clips with score="random", and as
            `locate` does.

    Checked on 1000 windows of 200 photographs that no fit has seen (benchmarks/calibration.py;
    n = 256, 224, 224, 96 with k = 224, 180, 140, 80 and delta up to 9): the expected calibration
    error over all of them is 0.003 to 0.005 in closed form, 0.002 for `lattice`, 0.007 for
    `mexican_hat`, 0.014 for `saliency`; in no single setting above 0.030 and 0.049. A threshold
    buys robustness with coverage; n = 256, k = 224, `lattice`:

        stability at least         0          0.5        0.9        0.95
        delta 1: kept, robust      100, 84 %  87, 96 %   79, 100 %  79, 100 %
        delta 3                    100, 59 %  58, 99 %   56, 99 %   54, 100 %
        delta 5                    100, 41 %  42, 96 %   36, 98 %   32, 98 %

    Example:
        Set aside the images whose crop a shift by one pixel may change:

        >>> import torch
        >>> images = torch.rand(64, 3, 40, 40, generator=torch.Generator().manual_seed(0))
        >>> steady = stability(images, 24, 1, score="hash") >= 0.9
        >>> kept, unsure = images[steady], images[~steady]
        >>> len(kept), len(unsure)
        (15, 49)
    """
    pixels, lead = as_pixels(images)
    size, reach = as_pair(k, "k"), as_int(delta, "delta", 0)
    check_crop(size, pixels)
    rule = get_score(score)
    fit = fit_of(rule)
    if isinstance(rule, Random) and pixels.shape[1] > 1:
        raise ValueError(
            "Expected images for score='random', but got clips, whose sums over frames are not "
            "uniform; use score='hash'."
        )
    geometry = Geometry.of((pixels.shape[-2], pixels.shape[-1]), size, rule, cyclic=False)
    return survival(observe(pixels, geometry, rule), geometry, reach, fit).reshape(lead)
