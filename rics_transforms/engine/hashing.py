"""Hashes of patches, in integer arithmetic modulo 2^64, and the order of crops by content.

`rolling_hash` is a score: one pseudo-random integer per patch, at a cost that does not depend on
the size of the patch. `content_hash` and `content_rank` decide between crops whose scores are
equal: they look at every channel of every pixel.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rics_transforms._arguments import Size
from rics_transforms.engine.exact import sliding_sum
from rics_transforms.engine.tracing import cached

_MODULUS = 2**64


def splitmix(index: int) -> int:
    """The `index`-th 64-bit number of the SplitMix64 generator (Steele, Lea & Flood 2014).

    Example:
        >>> hex(splitmix(1))
        '0xe220a8397b1dcdaf'
    """
    z = index * 0x9E3779B97F4A7C15 % _MODULUS
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % _MODULUS
    z = (z ^ z >> 27) * 0x94D049BB133111EB % _MODULUS
    return z ^ z >> 31


def signed(value: int) -> int:
    """The int64 with the bits of `value` modulo 2^64."""
    return (value + _MODULUS // 2) % _MODULUS - _MODULUS // 2


ROW, COLUMN, MIX = (splitmix(i) | 1 for i in (1, 2, 3))


def channel_constant(channel: int) -> int:
    """The odd constant that sets this channel apart in `content_hash`."""
    return splitmix(16 + channel) | 1


def mix(z: Tensor) -> Tensor:
    """Scramble int64 values one to one, so that near values get unrelated ones.

    The upper half is folded into the lower (the mask makes the shift a logical one) and multiplied
    by an odd constant, which carries every bit up: one round of SplitMix64's finaliser.
    """
    return (z ^ ((z >> 32) & 0xFFFFFFFF)).mul_(signed(MIX))


def rolling_hash(field: Tensor, size: Size) -> Tensor:
    """Pseudo-random score of every patch: Rabin-Karp in two dimensions, then `mix`.

    Rows are hashed modulo 2^32, ``r[i, j] = sum over v of field[i, j + v] * C^v``, and columns of
    them modulo 2^64, ``sum over u of r[i + u, j] * R^u``, with C and R odd: one cumulative sum per
    axis, whatever the patch size (Karp & Rabin 1987). 32 bits suffice for the rows, since
    `content_hash` breaks ties, and halve the time.

    Args:
        field: integers ``[..., H, W]``.
        size: patch size ``(h, w)``.

    Returns:
        int64 ``[..., H - h + 1, W - w + 1]``.
    """
    height, width = field.shape[-2:]
    rows, columns = height - size[0] + 1, width - size[1] + 1
    weight, unweight = _row_weights(width, columns, field.device)
    h = sliding_sum(field.to(torch.int32).mul(weight), -1, size[1]).mul_(unweight)
    weight, unweight = _column_weights(height, rows, field.device)
    return mix(sliding_sum(h * weight, -2, size[0]).mul_(unweight))


@cached
def _row_weights(width: int, columns: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """C^x and C^-x modulo 2^32, int32."""
    inverse = pow(COLUMN, -1, _MODULUS)
    weight, unweight = _powers(COLUMN, width, device), _powers(inverse, columns, device)
    return weight.to(torch.int32), unweight.to(torch.int32)


@cached
def _column_weights(height: int, rows: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """R^y and R^-y modulo 2^64, int64, as columns."""
    inverse = pow(ROW, -1, _MODULUS)
    return _powers(ROW, height, device)[:, None], _powers(inverse, rows, device)[:, None]


def _powers(base: int, count: int, device: torch.device) -> Tensor:
    """The first powers modulo 2^64, by doubling: graph branches cannot hold lists of values."""
    powers, done = torch.ones(1, dtype=torch.int64, device=device), 1
    while done < count:
        powers = torch.cat([powers, powers * signed(pow(base, done, _MODULUS))])
        done *= 2
    return powers[:count]


def content_hash(pixels: Tensor, size: Size) -> Tensor:
    """Hash of all pixels of a crop, channel by channel: orders crops of equal score by content.

    Slower and stronger than `rolling_hash`: neighbouring blocks are joined by doubling with a
    `mix` at every step, so that regular patterns (such as Thue-Morse tilings) do not collide.

    Args:
        pixels: integer image ``[..., C, H, W]``.
        size: crop size ``(h, w)``.

    Returns:
        int64 ``[..., H - h + 1, W - w + 1]``.
    """
    return column_content(row_content(pixels, size[1]), size[0])


def row_content(pixels: Tensor, width: int) -> Tensor:
    """The first half of `content_hash`: hashes of `width` neighbours in each row."""
    weights = _channel_weights(pixels.shape[-3], pixels.device)
    h = (pixels.to(torch.int64) * weights).sum(-3)
    return _join(h, -1, width, lambda left, right: mix(left * signed(COLUMN) + right))


def column_content(rows: Tensor, height: int) -> Tensor:
    """The second half: of `height` of these below each other."""
    return _join(rows, -2, height, lambda upper, lower: mix(upper * signed(ROW) + lower))


@cached
def _channel_weights(channels: int, device: torch.device) -> Tensor:
    """An odd constant for each channel, int64 ``[C, 1, 1]``."""
    constants = (signed(channel_constant(c)) for c in range(channels))
    return torch.stack([torch.full((1, 1), constant, device=device) for constant in constants])


def content_rank(pixels: Tensor, size: Size) -> Tensor:
    """Order of the crops by content without a hash: equal rank if and only if equal pixels.

    Naming (Karp, Miller & Rosenberg 1972): blocks are numbered in sorted order and joined by
    doubling, about 2 log2(k) sorts. The order of two crops does not depend on the batch.

    Args:
        pixels: integer image ``[..., C, H, W]``.
        size: crop size ``(h, w)``.

    Returns:
        int64 ``[..., H - h + 1, W - w + 1]``.
    """
    rank, *others = (_name(channel.to(torch.int64)) for channel in pixels.unbind(-3))
    for other in others:
        rank = _name_pair(rank, other)
    return _join(_join(rank, -1, size[1], _name_pair), -2, size[0], _name_pair)


def _join(x: Tensor, dim: int, length: int, pair: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Combine every `length` neighbours along one axis, doubling; the last pair may overlap."""
    span = 1
    while span < length:
        # PyTorch 2.8 and 2.9 export no `min` inside a branch.
        step = span if 2 * span <= length else length - span
        rest = x.shape[dim] - step
        x = pair(x.narrow(dim, 0, rest), x.narrow(dim, step, rest))
        span += step
    return x


def _name(values: Tensor) -> Tensor:
    return torch.unique(values, return_inverse=True)[1]


def _name_pair(first: Tensor, second: Tensor) -> Tensor:
    return _name(first * (second.max() + 1) + second)
