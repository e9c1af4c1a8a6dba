"""Hashes against big integers, and the order of crops by content."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rics_transforms.engine import hashing

from .. import reference
from ..conftest import random_image

SIZES = [(1, 1), (1, 4), (2, 2), (3, 5), (7, 8), (12, 14)]


def test_constants() -> None:
    assert hashing.splitmix(1) == 0xE220A8397B1DCDAF
    assert (hashing.ROW, hashing.COLUMN, hashing.MIX) == (
        reference.ROW,
        reference.COLUMN,
        reference.MIX,
    )
    assert len({hashing.channel_constant(c) for c in range(1000)}) == 1000
    assert all(hashing.channel_constant(c) % 2 == 1 for c in range(1000))


@given(st.integers(-(2**200), 2**200))
def test_signed(value: int) -> None:
    assert hashing.signed(value) == reference.signed(value)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
def test_mix_is_a_bijection(values: list[int]) -> None:
    given_ = torch.tensor(values)
    mixed = hashing.mix(given_)
    assert given_.tolist() == values  # the argument is left alone
    assert mixed.tolist() == [reference.signed(reference.mix(v)) for v in values]
    assert [reference.signed(reference.unmix(v)) for v in mixed.tolist()] == values


def test_mix_does_not_collide() -> None:
    values = torch.arange(-(2**16), 2**16) * 0x10001_0001
    assert len(hashing.mix(values).unique()) == len(values)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("low", "high"), [(0, 765), (-(2**20), 2**20), (2**31, 2**33)])
def test_rolling_hash(size: tuple[int, int], low: int, high: int) -> None:
    generator = torch.Generator().manual_seed(0)
    field = torch.randint(low, high + 1, (12, 14), generator=generator)
    expected = reference.over_patches(reference.rolling_hash_of, field.numpy(), size)
    assert hashing.rolling_hash(field, size).tolist() == expected
    if high < 2**15:
        assert hashing.rolling_hash(field.short(), size).tolist() == expected


def test_rolling_hash_over_long_lines() -> None:
    """The powers of the constants wrap around many times."""
    field = random_image(3, 700).long()
    expected = reference.over_patches(reference.rolling_hash_of, field.numpy(), (2, 690))
    assert hashing.rolling_hash(field, (2, 690)).tolist() == expected
    expected = reference.over_patches(reference.rolling_hash_of, field.T.numpy(), (690, 2))
    assert hashing.rolling_hash(field.T, (690, 2)).tolist() == expected


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_content_hash(size: tuple[int, int], channels: int) -> None:
    pixels = random_image(2, channels, 12, 14)
    for image, result in zip(pixels, hashing.content_hash(pixels, size), strict=True):
        expected = reference.over_patches(
            reference.content_hash_of, reference.as_array(image)[0], size
        )
        assert result.tolist() == expected


def test_content_hash_of_wide_pixels() -> None:
    pixels = random_image(3, 9, 8).int() * 513 - 2**16
    expected = reference.over_patches(
        reference.content_hash_of, reference.as_array(pixels)[0], (6, 7)
    )
    assert hashing.content_hash(pixels, (6, 7)).tolist() == expected


def contents(image: Tensor, size: tuple[int, int]) -> list[bytes]:
    array = reference.as_array(image)[0]
    return [patch.tobytes() for patch in reference.windows(array, size).values()]


def agrees(keys: list[int], content: list[bytes]) -> bool:
    """Whether keys are equal exactly where contents are."""
    pairs = set(zip(keys, content, strict=True))
    return len(pairs) == len(set(keys)) == len(set(content))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 5), (17, 17), (9, 16), (24, 24)])
def test_equal_rank_means_equal_content(zoo_name: str, size: tuple[int, int]) -> None:
    image = reference.zoo_image(zoo_name, 24, 24)
    content = contents(image, size)
    assert agrees(hashing.content_rank(image, size).flatten().tolist(), content)
    assert agrees(hashing.content_hash(image, size).flatten().tolist(), content)


def test_channels_are_kept_apart() -> None:
    """Exchanged colours have one sum, yet another rank and hash."""
    image = random_image(3, 5, 6)
    batch = torch.stack([image, image.flip(0), image.roll(1, 0)])
    for function in (hashing.content_rank, hashing.content_hash):
        assert len(function(batch, (5, 6)).unique()) == 3


@given(
    st.integers(2, 4),
    st.integers(1, 3),
    st.tuples(st.integers(1, 6), st.integers(1, 7)),
    st.integers(0, 10**6),
)
def test_order_by_rank_is_that_of_any_batch(
    levels: int, channels: int, size: tuple[int, int], seed: int
) -> None:
    """Two crops are ordered alike whichever images stand beside theirs."""
    images = random_image(4, channels, 6, 7, seed=seed, high=levels)
    images[3] = random_image(channels, 6, 7, seed=seed + 1)  # another image with other colours
    together = hashing.content_rank(images, size)
    for part in (images[:1], images[1:3], images[[3, 0]], images.flip(0)):
        alone = hashing.content_rank(part, size)
        content = [c for image in part for c in contents(image, size)]
        order = np.argsort(alone.flatten().numpy(), kind="stable")
        known = {
            c: rank
            for image, ranks in zip(images, together, strict=True)
            for c, rank in zip(contents(image, size), ranks.flatten().tolist(), strict=True)
        }
        ranks_together = [known[content[i]] for i in order]
        ranks_alone = [alone.flatten()[i].item() for i in order]
        for (a, b), (c, d) in zip(pairwise(ranks_together), pairwise(ranks_alone), strict=True):
            assert (a < b) == (c < d)
            assert (a == b) == (c == d)


def test_rank_of_negative_pixels() -> None:
    image = random_image(2, 9, 9, high=3).int() - 2
    content = contents(image, (4, 4))
    assert agrees(hashing.content_rank(image, (4, 4)).flatten().tolist(), content)
