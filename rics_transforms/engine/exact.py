"""Arithmetic that cannot round: the integer image, and integer functions of every patch of it.

A *patch function* maps an integer field ``[..., H, W]`` to one integer per patch position,
``[..., H - h + 1, W - w + 1]`` for patches of ``h x w`` pixels. Each value depends on the pixels of
its own patch and on nothing else, bit for bit: not on where the patch lies, the batch, the memory
layout, the number of threads or the device. Integer sums are exact modulo a power of two in any
order. The two floating-point routes (`correlate_separable`, `correlate`) stay below the size at
which float64 could round to another integer: proven from the weights and the range of the pixels,
and split into limbs where one pass would not suffice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rics_transforms._arguments import Size
from rics_transforms.engine.tracing import is_traced

PIXEL_LIMIT = 2**16
"""Largest magnitude of a pixel in an integer image that is not uint8 (holds uint16)."""


# --- the integer image ---------------------------------------------------------------------------


def integer_image(images: Tensor) -> Tensor:
    """The image as integers: integer dtypes unchanged, floats on the fixed grid of 1/255.

    Args:
        images: ``[..., C, H, W]`` of any real dtype. Floats are read as ``round(255 * x)``, so
            that uint8 and the same image as float in [0, 1] are one integer image.

    Returns:
        ``[..., C, H, W]``, uint8 where the values are known to lie in 0..255, else int32.

    Raises:
        TypeError: for complex images.
        ValueError: for NaN, infinity, or values beyond +-65536 (for floats, +-257).

    Example:
        >>> integer_image(torch.tensor([[[0.0, 0.5, 1.0]]]))
        tensor([[[  0, 128, 255]]], dtype=torch.uint8)
    """
    if images.dtype == torch.uint8:
        return images
    if images.is_complex():
        raise TypeError(f"Expected `images` to be real, but got {images.dtype}.")
    if not images.is_floating_point():
        if images.dtype.itemsize > 2:
            wide = images.to(torch.int64)
            if images.dtype == torch.uint64:  # whose upper half has turned negative
                wide = wide.masked_fill(wide < 0, 2**63 - 1)
            _range(wide)
        return images.to(torch.int32)
    wide = images if images.dtype == torch.float64 else images.to(torch.float32)
    levels = (wide * 255).round()
    low, high = _range(levels)
    return levels.to(torch.uint8 if low >= 0 and high <= 255 else torch.int32)


def _range(values: Tensor) -> tuple[float, float]:
    """Smallest and largest value; raise unless all are finite and small enough to stay exact."""
    if values.numel() == 0:
        return 0, 0
    if is_traced(values):  # a graph can neither raise nor choose a dtype by value
        return -PIXEL_LIMIT, PIXEL_LIMIT
    low, high = torch.stack(torch.aminmax(values)).tolist()
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("Expected `images` to be finite, but got NaN or infinite pixels.")
    if max(-low, high) > PIXEL_LIMIT:
        unit = 255 if values.is_floating_point() else 1
        raise ValueError(
            f"Expected pixels of `images` within +-{PIXEL_LIMIT / unit:.0f}, but got values from "
            f"{low / unit:.6g} to {high / unit:.6g}; rescale them first."
        )
    return low, high


def channel_limit(pixels: Tensor) -> int:
    """Largest magnitude that `channel_sum` can reach, known from the dtype and the channels."""
    return (255 if pixels.dtype == torch.uint8 else PIXEL_LIMIT) * pixels.shape[-3]


def channel_sum(pixels: Tensor) -> Tensor:
    """Sum over the channels, ``[..., C, H, W]`` to ``[..., H, W]``, in the narrowest exact dtype.

    Example:
        >>> channel_sum(torch.full((3, 1, 2), 255, dtype=torch.uint8))
        tensor([[765, 765]], dtype=torch.int16)
    """
    limit = channel_limit(pixels)
    dtype = torch.int16 if limit < 2**15 else torch.int32 if limit < 2**31 else torch.int64
    return pixels.sum(-3, dtype=dtype)


def require_exact(largest: int, bits: int, what: str) -> None:
    """Raise unless the largest partial sum fits into `bits` bits."""
    if largest >= 2**bits:
        raise ValueError(
            f"Expected every partial sum of {what} to stay below 2^{bits}, but it can reach "
            f"2^{math.log2(largest):.1f}; use fewer channels, a smaller crop or uint8 images."
        )


# --- sums of patches -----------------------------------------------------------------------------


def box_sum(field: Tensor, size: Size) -> Tensor:
    """Sum over every patch, int64 ``[..., H - h + 1, W - w + 1]``; exact modulo 2^64.

    Example:
        >>> box_sum(torch.ones(3, 4, dtype=torch.uint8), (2, 3))
        tensor([[6, 6],
                [6, 6]])
    """
    return sliding_sum(sliding_sum(field.to(torch.int64), -1, size[1]), -2, size[0])


def sliding_sum(x: Tensor, dim: int, length: int) -> Tensor:
    """Sum of every `length` neighbours along one axis: the first, then what enters and leaves.

    In the dtype of x, exact modulo its power of two.
    """
    rest = x.shape[dim] - length
    first = x.narrow(dim, 0, length).sum(dim, keepdim=True, dtype=x.dtype)
    change = x.narrow(dim, length, rest) - x.narrow(dim, 0, rest)
    return torch.cat([first, change], dim).cumsum(dim, dtype=x.dtype)


def gradient_magnitude(field: Tensor) -> Tensor:
    """|difference to the pixel below| + |to the right|, ``[..., H, W]`` to ``[..., H-1, W-1]``.

    Example:
        >>> gradient_magnitude(torch.tensor([[0, 3], [5, 9]]))
        tensor([[8]])
    """
    corner = field[..., :-1, :-1]
    return (field[..., 1:, :-1] - corner).abs() + (field[..., :-1, 1:] - corner).abs()


# --- the Mexican hat by additions ----------------------------------------------------------------


@dataclass(frozen=True)
class HatShape:
    """The proportions of the Mexican hat; the default ones are part of what the scores are.

    They were tuned on photographs for shifts with and without noise and re-encoding
    (`benchmarks/tune.py`).

    Attributes:
        arm: percentage of the hat's span that the Laplacian reaches to each side.
        share: each smoothing step takes 1 / share of what is left of the span.

    Raises:
        ValueError: for an arm below 1 or above 33 percent, which would not fit, or a share below 1.
    """

    arm: int = 14
    share: int = 4

    def __post_init__(self) -> None:
        if not (1 <= self.arm <= 33 and self.share >= 1):
            raise ValueError(
                f"Expected an arm from 1 to 33 percent and a share of at least 1, but got {self}."
            )


HAT_SHAPE = HatShape()


HAT_DOUBLINGS = 17
"""Additions of shifted copies that 32 bits hold: 31, less 11 for gradients of uint8 images, less 3
for the Laplacian. What exceeds them is shifted away."""


def hat(
    field: Tensor,
    size: Size,
    *,
    limit: int,
    span: Size | None = None,
    shape: HatShape = HAT_SHAPE,
) -> Tensor:
    """Mexican-hat response of every patch: an integer Laplacian of a smoothed field.

    Smoothing is a cascade of additions of shifted copies, about ten per axis, without
    multiplications. The only rounding is one right shift of every smoothed row (a function of that
    row's pixels). The weights sum to exactly zero: a flat patch scores 0, bright or dark.

    Args:
        field: integers ``[..., H, W]`` of magnitude at most `limit`.
        size: patch size ``(h, w)``; the hat lies centred in it.
        limit: largest magnitude in `field`.
        span: height and width of the hat, from 3 to `size` (the default).
        shape: its proportions.

    Returns:
        ``[..., H - h + 1, W - w + 1]``, int32 where that cannot overflow, else int64.
    """
    (steps_y, arm_y), (steps_x, arm_x) = (hat_geometry(s, shape) for s in span or size)
    shift, largest = hat_range(span or size, limit, shape)
    require_exact(largest, 63, "the Mexican hat")
    x = field.to(torch.int32 if largest < 2**31 else torch.int64)
    x = _cascade(x, -1, steps_x)
    x = _cascade(x >> shift if shift else x, -2, steps_y)
    rows, columns = field.shape[-2] - size[0] + 1, field.shape[-1] - size[1] + 1
    top, left = (x.shape[-2] - rows) // 2, (x.shape[-1] - columns) // 2

    def smooth(dy: int, dx: int) -> Tensor:
        return x.narrow(-2, top + dy, rows).narrow(-1, left + dx, columns)

    response = smooth(0, 0) * 4
    for dy, dx in ((-arm_y, 0), (arm_y, 0), (0, -arm_x), (0, arm_x)):
        response -= smooth(dy, dx)
    return response


def hat_geometry(span: int, shape: HatShape = HAT_SHAPE) -> tuple[tuple[int, ...], int]:
    """The steps of the smoothing cascade and the arm of the Laplacian that fill `span` pixels.

    Adding copies shifted by each step in turn makes a bell of ``1 + sum(steps)`` pixels; the
    Laplacian compares it with itself `arm` pixels to the four sides.

    Example:
        >>> hat_geometry(26)
        ((1, 1, 1, 1, 2, 3, 3, 5), 4)
    """
    arm = max(1, (span * shape.arm + 50) // 100)
    steps: list[int] = []
    while (rest := span - 1 - 2 * arm - sum(steps)) > 0:
        steps.append(-(-rest // shape.share))
    return tuple(reversed(steps)), arm


def hat_range(span: Size, limit: int, shape: HatShape = HAT_SHAPE) -> tuple[int, int]:
    """By how many bits smoothed rows are shifted, and the largest sum for fields up to `limit`.

    Example:
        >>> hat_range((26, 26), 765)
        (0, 401080320)
    """
    steps_y, steps_x = (len(hat_geometry(s, shape)[0]) for s in span)
    doublings = steps_y + steps_x
    shift = max(0, doublings - HAT_DOUBLINGS)
    return shift, max(limit << steps_x, (limit << (doublings + 3)) >> shift)


def hat_sigma(span: int, shape: HatShape = HAT_SHAPE) -> float:
    """Standard deviation of the bell under the Mexican hat that fills `span` pixels.

    Example:
        >>> round(hat_sigma(26), 2), round(hat_sigma(55), 2)
        (3.93, 8.13)
    """
    steps, arm = hat_geometry(span, shape)
    return math.sqrt(sum(step * step for step in steps) / 4 + arm * arm / 6)


def _cascade(x: Tensor, dim: int, steps: Sequence[int]) -> Tensor:
    for step in steps:
        rest = x.shape[dim] - step
        x = x.narrow(dim, 0, rest) + x.narrow(dim, step, rest)
    return x


# --- correlations in float64 that cannot round ---------------------------------------------------


def correlate_separable(
    field: Tensor, across: Tensor, down: Tensor, *, terms: int, limit: int, gain: int
) -> Tensor:
    """Correlation with a sum of r outer products of 1-D filters, as two matrix products.

    No partial sum reaches 2^53, up to which float64 is exact.

    Args:
        field: integers ``[..., H, W]`` of magnitude at most `limit`.
        across: `toeplitz` matrices of the row filters, side by side: ``[W, r * positions]``.
        down: those of the column filters, transposed and side by side: ``[positions, r * H]``.
        terms: r.
        gain: largest output per unit of input.

    Returns:
        int64 ``[..., H - h + 1, W - w + 1]``.
    """

    def correlate_limb(x: Tensor) -> Tensor:
        stacked = torch.cat((x @ across).chunk(terms, -1), -2)
        # One matrix per image: not every ONNX Runtime takes a single one for an empty batch.
        return (down.expand(*x.shape[:-2], -1, -1) @ stacked).to(torch.int64)

    return _in_limbs(field, limit, 2**53 // gain, gain, correlate_limb)


def toeplitz(filters: Sequence[Sequence[int]], length: int, device: torch.device) -> Tensor:
    """Matrices that correlate a line of `length` pixels: float64 ``[r, length, positions]``."""
    reach = len(filters[0])
    taps = torch.tensor([[*taps, 0] for taps in filters], dtype=torch.float64, device=device)
    lag = torch.arange(length, device=device)[:, None]
    lag = lag - torch.arange(length - reach + 1, device=device)
    return taps[:, torch.where((lag >= 0) & (lag < reach), lag, reach)]


def correlate(
    field: Tensor,
    size: Size,
    spectrum: Callable[[Size], Tensor],
    *,
    limit: int,
    norm: float,
) -> Tensor:
    """Correlation with any integer filter, by a float64 Fourier transform and rounding.

    The error of every output stays below 1/4 by the bound ``12 log2(2 N) u |x| |f|`` for N padded
    pixels (Percival 2003; Brent & Zimmermann 2010, section 2.3), so rounding restores the integer.

    Args:
        field: integers ``[..., H, W]`` of magnitude at most `limit`.
        size: the filter's ``(h, w)``.
        spectrum: gives the conjugate `rfft2` of the filter, zero-padded to a size.
        norm: no less than the filter's Euclidean norm.

    Returns:
        int64 ``[..., H - h + 1, W - w + 1]``.
    """
    height, width = field.shape[-2:]
    rows, columns = height - size[0] + 1, width - size[1] + 1
    padded = fast_length(height), fast_length(width)
    weights = spectrum(padded)

    def correlate_limb(x: Tensor) -> Tensor:
        if x.ndim > 2 and isinstance(x.shape[0], torch.SymInt):
            # A graph may meet an empty batch, which not every build of PyTorch can transform.
            return transform(torch.cat([x, x.new_zeros(1, *x.shape[1:])]))[:-1]
        return transform(x)

    def transform(x: Tensor) -> Tensor:
        product = torch.fft.rfft2(x, s=padded) * weights
        kept = torch.fft.ifft(product, dim=-2)[..., :rows, :]  # the other rows wrap around
        sums = torch.fft.irfft(kept, n=padded[1], dim=-1)[..., :columns]
        return sums.round().to(torch.int64)

    bound = 12 * math.log2(2 * padded[0] * padded[1]) * 2**-53 * math.sqrt(height * width) * norm
    gain = math.ceil(norm * math.sqrt(size[0] * size[1]))
    return _in_limbs(field, limit, int(0.25 / bound), gain, correlate_limb)


def fast_length(n: int) -> int:
    """Smallest length, n or above, without prime factors above 5, as suits Fourier transforms.

    Example:
        >>> fast_length(223), fast_length(257)
        (225, 270)
    """
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 1


def _in_limbs(
    field: Tensor, limit: int, exact: int, gain: int, correlate_limb: Callable[[Tensor], Tensor]
) -> Tensor:
    """The sum of the correlations of float64 limbs of the field, each at most `exact` in magnitude.

    A field that can be larger is split into its low bits and the rest, recursively.
    """
    if limit <= exact:
        with torch.autocast(field.device.type, enabled=False):
            return correlate_limb(field.to(torch.float64))
    require_exact(limit * gain, 63, "the correlation")
    require_exact(2**53 // max(1, exact), 52, "one limb of the correlation")
    bits = exact.bit_length() - 1
    low = _in_limbs(field & (2**bits - 1), 2**bits - 1, exact, gain, correlate_limb)
    high = _in_limbs(field >> bits, (limit >> bits) + 1, exact, gain, correlate_limb)
    return low + (high << bits)
