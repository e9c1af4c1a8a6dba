"""How far the features of a layer follow a cyclic shift of the input."""

from __future__ import annotations

import torch
from torch import Tensor

from rics_transforms.shifts.fourier import fourier_shift

ROUNDING = 1e-6
"""Share of a map's largest value below which differences may be rounding errors of float32."""


def feature_difference(reference: Tensor, shifted: Tensor, move: tuple[float, float]) -> float:
    """How far a layer is from moving its features along with the input.

    The mean over channels and places of ``|y0 - y1| / (max(|y0|, |y1|) + eps)``, where y1 are the
    features of the shifted input, and y0 those of the unshifted one, moved like the input by
    `fourier_shift`. The source does not specify eps; here it is 1e-6 of the largest magnitude in y0
    and y1, so that the scale of the features does not matter, and rounding errors hardly do.

    Args:
        reference: features of the unshifted input, ``[C, H, W]``, floating point.
        shifted: features of the shifted one, of the same shape.
        move: (down, to the right) in pixels of the feature map: those of the input, times H and W
            over its height and width.

    Returns:
        0 for an equivariant layer; at most 1 if no feature changes its sign, and never above 2.

    Raises:
        ValueError: for other shapes.

    The shift has to be cyclic: others bring in pixels that the reference does not have.

    Source: Michaeli, Michaeli & Soudry 2023, feature equivariance ("diff").

    Example:
        >>> features = torch.rand(2, 4, 4)
        >>> feature_difference(features, features.roll((1, 2), (1, 2)), (1, 2))
        0.0
    """
    _check_maps(reference, shifted)
    y0, y1 = fourier_shift(reference.double(), move), shifted.double()
    largest = y0.abs().maximum(y1.abs())
    eps = (ROUNDING * largest.max()).clamp(min=torch.finfo(torch.float64).tiny)
    return float(((y0 - y1).abs() / (largest + eps)).mean())


def nonshiftability(reference: Tensor, shifted: Tensor, threshold: float = 0.2) -> float:
    """Share of feature maps whose global sum changes significantly with a shift of the input.

    A change is significant if it exceeds `threshold` times the mean of the two sums. Changes below
    1e-6 of the map's sum of magnitudes count as rounding errors.

    Args:
        reference: features of the unshifted input, ``[C, H, W]``, floating point.
        shifted: features of the shifted one, of the same shape.
        threshold: fraction of the mean.

    Returns:
        A fraction. 0 for a layer that obeys the sampling theorem, and a cyclic shift.

    Raises:
        ValueError: for other shapes.

    Source: Azulay & Weiss 2018, section 3 and figure 5: more than 20 % of the mean.

    Example:
        >>> features = torch.ones(4, 2, 2)
        >>> nonshiftability(features, features * torch.tensor([1, 1.2, 1.3, 0])[:, None, None])
        0.5
    """
    _check_maps(reference, shifted)
    y0, y1 = reference.double().flatten(1), shifted.double().flatten(1)
    before, after = y0.sum(1), y1.sum(1)
    rounding = ROUNDING * (y0.abs().sum(1) + y1.abs().sum(1)) / 2
    allowed = threshold * (before + after).abs() / 2 + rounding
    return float(((after - before).abs() > allowed).double().mean())


def _check_maps(reference: Tensor, shifted: Tensor) -> None:
    if reference.ndim != 3 or reference.shape != shifted.shape:
        raise ValueError(
            "Expected the features of a layer [C, H, W], of the same shape for both inputs, "
            f"but got {tuple(reference.shape)} and {tuple(shifted.shape)}."
        )
