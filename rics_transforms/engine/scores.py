"""The score functions, and their registry.

A score turns an integer image into one integer per crop, computed from the pixels of that crop
alone; `rics_transforms.engine.selection` then picks the crop with the highest one. A score has one
or more *levels*: where a level that keeps local maxima only has none, the next one decides; the
final fallback is the hash, which always has a maximum.

A score of order above 1 rates patches instead of whole crops: see `Lattice`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import partial
from operator import index
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from rics_transforms import theory
from rics_transforms._arguments import (
    Size,
    as_number,
    as_pair,
    lookup,
    make,
    parse_options,
    store_int,
)
from rics_transforms.engine import exact, hashing
from rics_transforms.engine.exact import HAT_SHAPE, HatShape, channel_limit, channel_sum
from rics_transforms.engine.native import Kernel
from rics_transforms.engine.tracing import cached

PatchFunction = Callable[[Tensor, Size], Tensor]
"""Integer image ``[..., C, H, W]`` and patch size to integers, one per patch position."""


class Level(NamedTuple):
    """One score map, and whether only its local maxima away from the edge may win."""

    patch_map: PatchFunction
    nms: bool = False
    kernel: Kernel | None = None  # the same map in compiled code, where there is one


class Score:
    """What selection needs from a score. Subclass it, or decorate a function: `register_score`."""

    def levels(self, size: Size) -> tuple[Level, ...]:
        """The levels for patches of ``size = (h, w)``, in the order in which they are tried."""
        raise NotImplementedError

    def order_for(self, n: Size, k: Size) -> Size:
        """Patch positions per crop position along each axis; (1, 1): patches are whole crops."""
        return 1, 1

    @property
    def smooth(self) -> bool:
        """Whether scores vary smoothly from place to place, so that peaks lie between pixels."""
        return False


def complete_levels(score: Score, size: Size) -> tuple[Level, ...]:
    """A score's levels, followed by the hash if the last of them may find no maximum."""
    levels = score.levels(size)
    return levels if levels and not levels[-1].nms else (*levels, HASH)


def require_smooth(score: Score, subpixel: bool) -> Score:
    """The score; raise if crops shall lie between the pixels, and it cannot say where.

    Raises:
        TypeError: unless `subpixel` is a bool.
        ValueError: for a score that is not smooth.
    """
    if not isinstance(subpixel, bool):
        raise TypeError(f"Expected `subpixel` to be True or False, but got {subpixel!r}.")
    if subpixel and not score.smooth:
        raise ValueError(
            "Expected a smooth score with subpixel=True (lattice with a smooth patch, mexican_hat, "
            f"saliency), but got {score!r}: its scores have no peaks between pixels."
        )
    return score


# --- the registry --------------------------------------------------------------------------------

_SCORES: dict[str, Callable[..., Score]] = {}


_T = TypeVar("_T", bound=Callable[..., Any])


def register_score(name: str, *, nms: bool = False) -> Callable[[_T], _T]:
    """Decorator: make a score known by name.

    Args:
        name: the name, for `get_score` and for ``RICSCrop(k, score=name)``.
        nms: for a function: only local maxima away from the edge may win (non-maximum
            suppression); where there is none, the hash decides. Peaks of such a score are also
            found between pixels (`subpixel`), if its values stay within 2^53.

    The decorated object is a `Score` class, or a function ``f(pixels, size)`` that maps the integer
    image ``[..., C, H, W]`` (uint8 or int32) to int32 or int64 values above the lowest of their
    dtype, one per crop of ``size = (h, w)``: shape ``[..., H - h + 1, W - w + 1]``, each a function
    of the pixels of its crop alone. Use integers throughout (`rics_transforms.engine.exact` has the
    building blocks): sums in floating point depend on where the crop lies, which would void the
    guarantee.

    Raises:
        ValueError: if the name is taken or has a colon, after which options would follow.

    Example:
        The crop with the largest sum of pixels, in a single function:

        >>> from rics_transforms import RICSCrop, register_score
        >>> from rics_transforms.engine.exact import box_sum, channel_sum
        >>> @register_score("brightest")
        ... def brightest(pixels, size):
        ...     return box_sum(channel_sum(pixels), size)
        >>> image = torch.zeros(3, 8, 8, dtype=torch.uint8)
        >>> image[:, 5, 6] = 255
        >>> RICSCrop(4, score="brightest")(image).sum().item()
        765
        >>> unregister_score("brightest")
    """

    def register(score: _T) -> _T:
        if name in _SCORES:
            raise ValueError(f"Expected a new score name, but {name!r} is already registered.")
        if ":" in name:
            raise ValueError(f"Expected a score name without a colon, but got {name!r}.")
        is_class = isinstance(score, type) and issubclass(score, Score)
        _SCORES[name] = score if is_class else partial(FunctionScore, name, score, nms)
        return score

    return register


def unregister_score(name: str) -> None:
    """Forget a registered score."""
    lookup("score", name, _SCORES)
    del _SCORES[name]


def get_score(name: str | Score, **options: Any) -> Score:
    """A score by name and options; a `Score` is returned unchanged.

    Args:
        name: the name, alone or with options as text: "lattice:patch=hash,order=2".
        **options: options of the score, in place of text.

    Raises:
        ValueError: for an unknown name, listing the valid ones and the nearest, or options that
            the score does not have.

    Example:
        >>> get_score("lattice:patch=hash,order=2")
        Lattice(order=(2, 2), patch='hash', sigma=None)
        >>> get_score("lattice", patch="hash")
        Lattice(order=None, patch='hash', sigma=None)
        >>> get_score("latice")
        Traceback (most recent call last):
        ValueError: Expected `score` to be one of hash, lattice, mexican_hat, random, saliency, \
but got 'latice'; did you mean 'lattice'?
    """
    if isinstance(name, Score):
        if options:
            raise TypeError(f"Expected no options with {name!r}, but got {sorted(options)}.")
        return name
    plain, written = parse_options("score", name)
    return make("score", plain, {**written, **options}, _SCORES)


def list_scores() -> list[str]:
    """The names of the registered scores, sorted.

    Example:
        >>> list_scores()
        ['hash', 'lattice', 'mexican_hat', 'random', 'saliency']
    """
    return sorted(_SCORES)


@dataclass(frozen=True)
class FunctionScore(Score):
    """A score made from one registered function."""

    name: str
    function: PatchFunction
    nms: bool = False

    def levels(self, size: Size) -> tuple[Level, ...]:
        return (Level(self.function, self.nms),)

    @property
    def smooth(self) -> bool:
        return self.nms


# --- levels that several scores share ------------------------------------------------------------


def _hash_map(pixels: Tensor, size: Size) -> Tensor:
    return hashing.rolling_hash(channel_sum(pixels), size)


HASH = Level(_hash_map, kernel=Kernel("hash"))


def _hat_map(pixels: Tensor, size: Size, *, span: Size, shape: HatShape) -> Tensor:
    field, limit = channel_sum(pixels), channel_limit(pixels)
    return exact.hat(field, size, limit=limit, span=span, shape=shape)


def _saliency_map(pixels: Tensor, size: Size, *, span: Size, shape: HatShape) -> Tensor:
    field = channel_sum(pixels)
    limit = 2 * (2 if pixels.dtype != torch.uint8 else 1) * channel_limit(pixels)
    edges = exact.gradient_magnitude(field.to(torch.int32 if limit < 2**31 else torch.int64))
    inner = (size[0] - 1, size[1] - 1)
    return exact.hat(edges, inner, limit=limit, span=span, shape=shape)


def _span(room: int, sigma: float | None, shape: HatShape) -> Size:
    """Side of the widest hat within `room` pixels whose bell is no wider than `sigma`."""
    if sigma is None:
        return room, room
    width = partial(exact.hat_sigma, shape=shape)
    if not width(3) <= sigma < width(room + 2):
        low, high = width(3), width(room)
        raise ValueError(
            f"Expected `sigma` to be from {low:.2f} to {high:.2f} px for patches of {room} px, "
            f"but got {sigma}; a lower lattice order makes larger patches."
        )
    span = max(s for s in range(3, room + 1) if width(s) <= sigma)
    return span, span


def _smooth_levels(
    patch: str, size: Size, sigma: float | None, shape: HatShape = HAT_SHAPE
) -> tuple[Level, ...]:
    """The smooth level of a patch score; none where the patch is too small to hold a hat."""
    if min(size) < 4:
        return ()
    if patch == "saliency":
        span = _span(min(size) - 1, sigma, shape)  # a patch has one difference less than pixels
        saliency = partial(_saliency_map, span=span, shape=shape)
        return (Level(saliency, True, Kernel("saliency", span, shape)),)
    span = _span(min(size), sigma, shape)
    hat = partial(_hat_map, span=span, shape=shape)
    return (Level(hat, True, Kernel("hat", span, shape)),)


def _read_sigma(score: Lattice | Saliency) -> None:
    if score.sigma is not None:
        object.__setattr__(score, "sigma", as_number(score.sigma, "sigma"))


# --- the scores ----------------------------------------------------------------------------------


@register_score("lattice")
@dataclass(frozen=True)
class Lattice(Score):
    """The default: rate small patches; the best of them selects the crop (THEORY: Theorem 3).

    With m = n - k + 1 crop positions per axis and order j, every patch of t = n - j m + 1 pixels is
    rated: N = j m positions per axis. The best one, at a, selects the crop at a mod m, which always
    contains it. Each crop is thus rated by the best of its j x j patches on an m-lattice, and for a
    pseudo-random patch score (Definition 1 of Shifman & Weiss 2024) no shift within D changes the
    crop with probability at least ``(j (m - 2D) / (j m + 2D))^2``: more than any score of whole
    crops can guarantee, and approaching the limit for all rules as j grows.

    On the torus (``shifts="cyclic"``) the crop is the one with the best patch in its centre.

    Args:
        order: j, or (j_y, j_x). Default: the largest with patches of 16 px or more.
        patch: the patch score. "mexican_hat": response to blobs, which survives noise,
            re-encoding and sub-pixel shifts; "saliency": the same for gradients; "hash":
            pseudo-random by construction, for exact copies only.
        sigma: width of the Mexican hat in pixels; by default it fills the patch (about t / 7).

    Raises:
        ValueError: for an order that leaves no patch, or a hat wider than the patch.

    Example:
        >>> from rics_transforms import RICSCrop
        >>> RICSCrop(224, score=Lattice(order=4))(torch.rand(3, 256, 256)).shape
        torch.Size([3, 224, 224])
    """

    order: int | Size | None = None
    patch: Literal["mexican_hat", "hash", "saliency"] = "mexican_hat"
    sigma: float | None = None

    shape: ClassVar[HatShape] = (
        HAT_SHAPE  # not an option: `benchmarks/tune.py` sets it in a subclass
    )

    def __post_init__(self) -> None:
        if self.order is not None:
            object.__setattr__(self, "order", as_pair(self.order, "order"))
        if self.patch not in ("mexican_hat", "hash", "saliency"):
            known = "'mexican_hat', 'hash' or 'saliency'"
            raise ValueError(f"Expected `patch` to be {known}, but got {self.patch!r}.")
        _read_sigma(self)

    def levels(self, size: Size) -> tuple[Level, ...]:
        if self.patch == "hash":
            return (HASH,)
        return _smooth_levels(self.patch, size, self.sigma, self.shape)

    def order_for(self, n: Size, k: Size) -> Size:
        if self.order is None:
            return _lattice_order(n, k)
        return as_pair(self.order, "order")

    @property
    def smooth(self) -> bool:
        return self.patch != "hash"


_lattice_order = cached(theory.lattice_order)


@register_score("hash")
@dataclass(frozen=True)
class Hash(Score):
    """A rolling hash of the crop: pseudo-random, so Theorem 1 holds with equality.

    The hash of the channel sums (`rics_transforms.engine.hashing.rolling_hash`) costs the same for
    every crop size. A single changed grey level changes the score of every crop around it, so this
    score is for exact copies: tiles, deduplication, cropping without re-encoding.

    Source: Shifman & Weiss 2024, Definition 1 and Theorem 1; Karp & Rabin 1987.

    Example:
        >>> from rics_transforms import score_map
        >>> score_map(torch.zeros(3, 4, 5), 3, score="hash").shape
        torch.Size([2, 3])
    """

    def levels(self, size: Size) -> tuple[Level, ...]:
        return (HASH,)


@register_score("random")
@dataclass(frozen=True)
class Random(Score):
    """RICS-rand of the paper: correlation with a fixed Gaussian filter, then a modulo.

    The filter is computed from the seed in integer arithmetic, so it is the same everywhere.
    Without the modulo the scores of neighbouring crops would be correlated, which would void the
    guarantee.

    Args:
        seed: of the filter; any int from 0 to 2^32 - 1.
        modulus: far below the typical difference between neighbouring products (about 2^24 on
            photographs), yet well above the number of crops, so that ties stay rare.

    Source: Shifman & Weiss 2024, section 3.1 (RICS-rand).

    Example:
        >>> from rics_transforms import locate
        >>> locate(torch.zeros(3, 6, 6), 6, score="random")
        tensor([0, 0])
    """

    seed: int = 0
    modulus: int = 2**20 - 3

    def __post_init__(self) -> None:
        store_int(self, "seed", 0, 2**32 - 1)
        store_int(self, "modulus", 2)

    def levels(self, size: Size) -> tuple[Level, ...]:
        return (Level(partial(_random_map, seed=self.seed, modulus=self.modulus)),)


def _random_map(pixels: Tensor, size: Size, *, seed: int, modulus: int) -> Tensor:
    products = exact.correlate(
        channel_sum(pixels),
        size,
        lambda padded: _gaussian_spectrum(size, seed, padded, pixels.device),
        limit=channel_limit(pixels),
        norm=_gaussian_norm(size),
    )
    return products.remainder(modulus)


@cached
def gaussian_filter(size: Size, seed: int) -> Tensor:
    """Int64 ``[h, w]``, near-Gaussian with standard deviation 2^12: sums of 12 uniform numbers."""
    count, block = size[0] * size[1], 2**17
    parts = [_gaussians(start, min(block, count - start), seed) for start in range(0, count, block)]
    return torch.cat(parts).view(size)


def _gaussians(start: int, count: int, seed: int) -> Tensor:
    z = torch.arange(12 * start, 12 * (start + count), device="cpu") + (seed << 31)
    for _ in range(3):
        z = hashing.mix(z * hashing.signed(hashing.COLUMN))
    uniform = z >> 48  # 16 bits, signed
    return uniform.view(count, 12).sum(-1) >> 4


def _gaussian_norm(size: Size) -> float:
    """An upper bound of the filter's norm, eight standard deviations above the expected one."""
    return 2**12 * (math.sqrt(size[0] * size[1]) + 8)


@cached
def _gaussian_spectrum(size: Size, seed: int, padded: Size, device: torch.device) -> Tensor:
    taps = gaussian_filter(size, seed).double()
    if not torch.compiler.is_compiling() and taps.norm() > _gaussian_norm(size):
        raise ValueError(f"Expected another `seed`: the filter of {seed} is exceptionally large.")
    return torch.fft.rfft2(taps, s=padded).conj_physical().to(device)


PAPER_SIGMAS, PAPER_CROP = (50, 20, 9), 140
"""Scales of the paper's Mexican hat, and the side of the crop that they are for, in pixels."""


@register_score("mexican_hat")
@dataclass(frozen=True)
class MexicanHat(Score):
    """RICS-MH of the paper: a Mexican hat over the whole crop, from coarse to fine.

    The crop must be a local maximum of ``(1 - r^2 / 2 s^2) exp(-r^2 / 2 s^2)``, not at the edge.
    Where a scale s has none, the next one decides; the final fallback is the hash, the only level
    for crops under 3 px. Not pseudo-random: on photographs it keeps about as many crops as Theorem
    1 says for k = 140 of n = 224, and far fewer where m = n - k + 1 is small, since the coarse
    scales then seldom have a maximum away from the edge.

    Args:
        sigma: the scales, coarsest first, or a single one, of at least 0.1 pixels. Default: 50, 20
            and 9 px for k = 140 as in the paper, in proportion for other k (the shorter side of a
            rectangle).

    Source: Shifman & Weiss 2024, section 3.1 (RICS-MH).

    Example:
        >>> get_score("mexican_hat", sigma=(30, 12))
        MexicanHat(sigma=(30, 12))
    """

    sigma: float | Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.sigma is not None:
            sigmas = self.sigma if isinstance(self.sigma, Sequence) else (self.sigma,)
            if not sigmas:
                raise ValueError("Expected `sigma` to hold a positive number, but got none.")
            read = tuple(as_number(sigma, "sigma") for sigma in sigmas)
            if min(read) < 0.1:  # between pixels nothing would be left of the bell
                raise ValueError(f"Expected `sigma` to be at least 0.1 px, but got {min(read)}.")
            object.__setattr__(self, "sigma", read)

    def levels(self, size: Size) -> tuple[Level, ...]:
        if min(size) < 3:
            return ()
        scaled = tuple(sigma * min(size) / PAPER_CROP for sigma in PAPER_SIGMAS)
        sigmas: Sequence[float] = self.sigma or scaled  # type: ignore[assignment]
        return tuple(
            Level(
                partial(_paper_hat_map, sigma=s),
                nms=True,
                kernel=Kernel("separable", factors=mexican_hat_factors, sigma=s),
            )
            for s in sigmas
        )

    @property
    def smooth(self) -> bool:
        return True


def _paper_hat_map(pixels: Tensor, size: Size, *, sigma: float) -> Tensor:
    n = index(pixels.shape[-2]), index(pixels.shape[-1])
    across, down = _paper_hat_matrices(n, size, sigma, pixels.device)
    return exact.correlate_separable(
        channel_sum(pixels),
        across,
        down,
        terms=2,
        limit=channel_limit(pixels),
        gain=2**32,
    )


@cached
def _paper_hat_matrices(
    n: Size, size: Size, sigma: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    (u_y, g_y), (u_x, g_x) = (mexican_hat_factors(length, sigma) for length in size)
    largest = [sum(map(abs, taps)) for taps in (u_y, g_y, u_x, g_x)]
    exact.require_exact(largest[0] * largest[3] + largest[1] * largest[2], 32, "the Mexican hat")
    across = exact.toeplitz([g_x, u_x], n[1], device).movedim(0, 1).flatten(1)
    down = exact.toeplitz([u_y, g_y], n[0], device).permute(2, 0, 1).flatten(1)
    return across.contiguous(), down.contiguous()


def mexican_hat_factors(length: int, sigma: float) -> tuple[list[int], list[int]]:
    """Integer filters u and g with ``u(y) g(x) + g(y) u(x)`` proportional to the Mexican hat.

    ``g = exp(-x^2 / 2 s^2)`` and ``u = (1/2 - x^2 / 2 s^2) g``, in decimal arithmetic, which rounds
    the same way on every platform.
    """
    with localcontext() as context:
        context.prec = 30
        exponents = [
            (Decimal(2 * i - length + 1) / (2 * Decimal(sigma))) ** 2 / 2 for i in range(length)
        ]
        g = [(-e).exp() for e in exponents]
        u = [(Decimal("0.5") - e) * weight for e, weight in zip(exponents, g, strict=True)]
        scale = 2**15 / sum(g, Decimal(0))
        return [round(w * scale) for w in u], [round(w * scale) for w in g]


# As torch.compiler.assume_constant_result does, but without importing the compiler here: it cannot
# trace decimal arithmetic, and need not.
mexican_hat_factors._dynamo_marked_constant = True  # type: ignore[attr-defined]


@register_score("saliency")
@dataclass(frozen=True)
class Saliency(Score):
    """Crop around the strongest concentration of edges.

    A Mexican hat as wide as the crop (sigma about k / 7) over the magnitude of the gradient, taken
    between the crop's own pixels only; local maxima away from the edge, else the hash. Not
    pseudo-random: the bounds do not hold for it, though photographs keep more crops than they say,
    since salient content is seldom at the edge.

    Args:
        sigma: width of the Mexican hat in pixels; by default it fills the crop.

    Example:
        >>> from rics_transforms import locate
        >>> image = torch.zeros(1, 32, 32)
        >>> image[:, 15:17, 18:20] = 1
        >>> locate(image, 24, score="saliency")
        tensor([4, 7])
    """

    sigma: float | None = None

    def __post_init__(self) -> None:
        _read_sigma(self)

    def levels(self, size: Size) -> tuple[Level, ...]:
        return _smooth_levels("saliency", size, self.sigma)

    @property
    def smooth(self) -> bool:
        return True
