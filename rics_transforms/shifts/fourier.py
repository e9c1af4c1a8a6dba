"""Shifts by a fraction of a pixel of an image that wraps around."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def fourier_shift(image: Tensor, move: tuple[float, float]) -> Tensor:
    """Shift what an image shows, cyclically, by any fraction of a pixel.

    The image is read as samples of the smoothest periodic function through them (its trigonometric
    interpolation), which is moved and sampled again. Along an axis whose move is whole this is
    `Tensor.roll`, bit for bit. Along an axis of odd length moves add up, except for rounding
    errors; along one of even length only where nothing oscillates from pixel to pixel, at the
    Nyquist frequency: such a wave has only one phase, and is multiplied by the cosine of the move,
    which keeps the result real.

    Args:
        image: ``[..., H, W]``, float64 or float32; for whole moves any dtype.
        move: (down, to the right) in pixels.

    Returns:
        ``[..., H, W]``, in the dtype of the image. Values can leave the range of the image's.

    Raises:
        TypeError: for another dtype.

    Example:
        >>> wave = torch.tensor([[0.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
        >>> fourier_shift(wave, (0, 0.5)).mul(2**0.5).round()
        tensor([[-1.,  1.,  1., -1.]], dtype=torch.float64)
    """
    return _shift(_shift(image, move[0], -2), move[1], -1)


def _shift(x: Tensor, move: float, dim: int) -> Tensor:
    if float(move).is_integer():
        return x.roll(int(move), dim)
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"Expected `image` to be float32 or float64, but got {x.dtype}.")
    length = x.shape[dim]
    turns = torch.arange(length // 2 + 1, dtype=torch.float64) * (move / length)
    phase = torch.polar(torch.ones_like(turns), -2 * math.pi * turns)
    if length % 2 == 0:
        phase[-1] = math.cos(math.pi * move)
    phase = phase.to(x.device, torch.complex128 if x.dtype == torch.float64 else torch.complex64)
    spectrum = torch.fft.rfft(x, dim=dim).movedim(dim, -1) * phase
    return torch.fft.irfft(spectrum, n=length).movedim(-1, dim)
