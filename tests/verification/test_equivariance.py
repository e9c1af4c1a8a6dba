"""The measures of feature maps against loops over their definitions."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from rics_transforms.verification.equivariance import feature_difference, nonshiftability

MOVES = [(0, 0), (1, 2), (-3, 7), (0.5, 0), (0.25, -1.75)]


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mover(n: int, move: float) -> Tensor:
    """The matrix that samples the trigonometric polynomial through n samples at i - move."""
    matrix = torch.zeros(n, n, dtype=torch.float64)
    for i, j in product(range(n), repeat=2):
        matrix[i, j] = 1 / n
        for f in range(1, (n + 1) // 2):
            matrix[i, j] += 2 * math.cos(2 * math.pi * f * (i - move - j) / n) / n
        if n % 2 == 0:  # the wave at the Nyquist frequency keeps its phase
            matrix[i, j] += math.cos(math.pi * move) * (-1) ** (i - j) / n
    return matrix


@pytest.mark.parametrize("size", [(4, 5), (5, 6)])
@pytest.mark.parametrize("move", MOVES)
def test_feature_difference_is_its_formula(
    move: tuple[float, float], size: tuple[int, int]
) -> None:
    reference, shifted = maps(2, *size), maps(2, *size, seed=1)
    y0 = mover(size[0], move[0]) @ reference.double() @ mover(size[1], move[1]).T
    pairs = list(zip(y0.flatten().tolist(), shifted.flatten().tolist(), strict=True))
    eps = 1e-6 * max(max(abs(a), abs(b)) for a, b in pairs)
    expected = sum(abs(a - b) / (max(abs(a), abs(b)) + eps) for a, b in pairs) / len(pairs)
    assert feature_difference(reference, shifted, move) == pytest.approx(expected, rel=1e-9)


def test_feature_difference_of_layers() -> None:
    """Equivariant: a circular convolution. Not: the same with a stride, for odd shifts."""
    image = maps(1, 2, 16, 16)
    for stride, shift, equivariant in ((1, 3, True), (2, 4, True), (2, 3, False)):
        torch.manual_seed(0)
        layer = nn.Conv2d(2, 6, 3, stride, padding=1, padding_mode="circular")
        with torch.no_grad():
            before, after = layer(image)[0], layer(image.roll((shift, -shift), (2, 3)))[0]
        move = (shift / stride, -shift / stride)
        difference = feature_difference(before, after, move)
        assert (difference < 1e-3) == equivariant, difference


def test_feature_difference_has_a_scale_and_a_range() -> None:
    one, other = maps(3, 4, 4), maps(3, 4, 4, seed=1)
    difference = feature_difference(one, other, (0.5, 1))
    assert feature_difference(1e-12 * one, 1e-12 * other, (0.5, 1)) == pytest.approx(difference)
    assert feature_difference(one, -one, (0, 0)) == pytest.approx(2, abs=1e-4)
    assert feature_difference(one, 0 * one, (0, 0)) == pytest.approx(1, abs=1e-4)
    assert feature_difference(0 * one, 0 * one, (0.5, 0)) == 0
    assert math.isnan(feature_difference(one, one * math.nan, (0, 0)))


def test_nonshiftability_is_its_formula() -> None:
    reference, shifted = maps(64, 3, 4), maps(64, 3, 4, seed=1) * 0.1
    shifted += reference
    for threshold in (0.05, 0.2, 0.5):
        changed = 0
        for one, other in zip(reference.tolist(), shifted.tolist(), strict=True):
            before, after = sum(map(sum, one)), sum(map(sum, other))
            changed += abs(after - before) > threshold * abs(before + after) / 2
        assert 0 < changed < 64
        assert nonshiftability(reference, shifted, threshold) == changed / 64


def test_nonshiftability_does_not_count_rounding_errors() -> None:
    reference = torch.tensor([[[1.0, -1.0]], [[0.0, 0.0]]])
    assert nonshiftability(reference, reference + torch.tensor([1e-7, 0])) == 0.5
    reference = 1000 * reference
    assert nonshiftability(reference, reference + torch.tensor([1e-4, 0]) * (reference != 0)) == 0
    assert nonshiftability(reference, reference + torch.tensor([1e-1, 0]) * (reference != 0)) == 0.5


@pytest.mark.parametrize("shapes", [((2, 3, 3), (3, 3, 3)), ((1, 2, 3, 3),) * 2, ((4, 9),) * 2])
def test_maps_of_other_shapes(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    one, other = map(torch.zeros, shapes)
    message = r"Expected the features of a layer \[C, H, W\], .* but got \("
    with pytest.raises(ValueError, match=message):
        feature_difference(one, other, (0, 0))
    with pytest.raises(ValueError, match=message):
        nonshiftability(one, other)
