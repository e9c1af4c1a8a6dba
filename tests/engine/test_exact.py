"""Integer arithmetic against sums by brute force."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rics_transforms.engine import exact

from .. import reference

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
SIZES = [(1, 1), (3, 3), (4, 7), (9, 5), (12, 14)]


def field(height: int, width: int, low: int, high: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, high + 1, (height, width), generator=generator)


# --- the integer image ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_floats_in_the_unit_interval_are_the_uint8_image(dtype: torch.dtype) -> None:
    levels = torch.arange(256).reshape(1, 16, 16)
    expected = levels.to(torch.uint8)
    for image in ((levels / 255).to(dtype), levels.to(dtype) / 255):
        pixels = exact.integer_image(image)
        assert pixels.dtype == torch.uint8
        assert torch.equal(pixels, expected)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (torch.bool, [0, 1, 1]),
        (torch.int8, [-128, 0, 127]),
        (torch.int16, [-(2**15), -1, 2**15 - 1]),
        (torch.uint16, [0, 2**15, 2**16 - 1]),
        (torch.int32, [-(2**16), 3, 2**16]),
        (torch.uint32, [0, 300, 2**16]),
        (torch.int64, [-(2**16), 3, 2**16]),
        (torch.uint64, [0, 300, 2**16]),
    ],
    ids=str,
)
def test_integers_stay_as_they_are(dtype: torch.dtype, values: list[int]) -> None:
    pixels = exact.integer_image(torch.tensor([[values]], dtype=dtype))
    assert pixels.dtype == torch.int32
    assert pixels.tolist() == [[values]]


def test_uint8_is_not_copied() -> None:
    image = torch.zeros(3, 4, 5, dtype=torch.uint8)
    assert exact.integer_image(image) is image


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_of_any_range_are_rounded_to_the_grid(dtype: type) -> None:
    values = np.random.default_rng(0).normal(0, 40, (2, 9, 11)).clip(-250, 250).astype(dtype)
    values[0, 0, :3] = 0.5 / 255, 1.5 / 255, -0.5 / 255
    pixels = exact.integer_image(torch.from_numpy(values))
    assert pixels.dtype == torch.int32
    assert np.array_equal(pixels.numpy(), reference.integer_image(values))


def test_the_largest_float_is_that_of_the_documented_range() -> None:
    assert exact.integer_image(torch.full((1, 1, 1), -257.0)).item() == -257 * 255


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_errors(dtype: torch.dtype, bad: float) -> None:
    image = torch.zeros(2, 3, 4, dtype=dtype)
    image[1, 2, 3] = bad
    with pytest.raises(ValueError, match="Expected `images` to be finite"):
        exact.integer_image(image)


@pytest.mark.parametrize(
    "image",
    [
        torch.full((1, 2, 2), 2**16 + 1),
        torch.full((1, 2, 2), -(2**16) - 1, dtype=torch.int32),
        torch.full((1, 2, 2), 2**40),
        torch.full((1, 2, 2), 2**32 - 1, dtype=torch.uint32),
    ],
)
def test_integers_beyond_the_limit_are_errors(image: Tensor) -> None:
    with pytest.raises(ValueError, match=r"within \+-65536, but got values from .*rescale"):
        exact.integer_image(image)


def test_uint64_beyond_int64_is_an_error() -> None:
    with pytest.raises(ValueError, match="within"):
        exact.integer_image(torch.full((1, 2, 2), 2**64 - 1, dtype=torch.uint64))


@pytest.mark.parametrize("value", [257.1, -257.1, 1e30])
def test_floats_beyond_the_limit_are_errors(value: float) -> None:
    with pytest.raises(ValueError, match=r"within \+-257, but got values from"):
        exact.integer_image(torch.full((1, 2, 2), value))


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
def test_complex_images_are_errors(dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match="to be real, but got torch.complex"):
        exact.integer_image(torch.zeros(1, 2, 2, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32, torch.bool], ids=str)
def test_empty_batches_are_images_too(dtype: torch.dtype) -> None:
    assert exact.integer_image(torch.zeros(0, 3, 4, 5, dtype=dtype)).shape == (0, 3, 4, 5)


@pytest.mark.parametrize(
    ("dtype", "channels", "expected"),
    [
        (torch.uint8, 1, torch.int16),
        (torch.uint8, 3, torch.int16),
        (torch.uint8, 5, torch.int16),
        (torch.uint8, 128, torch.int16),
        (torch.uint8, 129, torch.int32),
        (torch.int32, 1, torch.int32),
        (torch.int32, 3, torch.int32),
        (torch.int32, 2**15 - 1, torch.int32),
        (torch.int32, 2**15, torch.int64),
    ],
)
def test_channel_sum(dtype: torch.dtype, channels: int, expected: torch.dtype) -> None:
    highest = 255 if dtype == torch.uint8 else 2**16
    pixels = torch.full((2, channels, 2, 3), highest, dtype=dtype)
    pixels[1, :, 1] = torch.arange(channels)[:, None] % 251
    result = exact.channel_sum(pixels)
    assert result.dtype == expected
    assert np.array_equal(result.numpy(), pixels.numpy().astype(np.int64).sum(1))
    assert exact.channel_limit(pixels) == highest * channels


def test_channel_sum_of_negative_pixels() -> None:
    pixels = torch.full((3, 1, 1), -(2**16), dtype=torch.int32)
    assert exact.channel_sum(pixels).item() == -3 * 2**16


def test_require_exact() -> None:
    exact.require_exact(2**31 - 1, 31, "a sum")
    with pytest.raises(ValueError, match=r"partial sum of a sum to stay below 2\^31"):
        exact.require_exact(2**31, 31, "a sum")


# --- sums of patches -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("top", [255, 2**62])
def test_box_sum_modulo_a_word(size: tuple[int, int], top: int) -> None:
    values = field(12, 14, -top if top > 255 else 0, top)

    def box(patch: np.ndarray) -> int:
        return reference.signed(sum(int(v) for v in patch.flat))

    expected = reference.over_patches(box, values.numpy(), size)
    assert exact.box_sum(values, size).tolist() == expected


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.bool], ids=str)
def test_box_sum_of_narrow_fields_does_not_wrap(dtype: torch.dtype) -> None:
    values = field(30, 31, 0, 1).to(dtype) * (1 if dtype == torch.bool else 127)
    values = values.to(dtype)
    expected = reference.over_patches(lambda p: int(p.sum()), values.long().numpy(), (28, 30))
    result = exact.box_sum(values, (28, 30))
    assert result.dtype == torch.int64
    assert result.tolist() == expected


def test_box_sum_of_a_batch() -> None:
    values = torch.randint(256, (2, 3, 9, 8), generator=torch.Generator().manual_seed(1))
    result = exact.box_sum(values, (4, 3))
    for i in range(2):
        for j in range(3):
            assert torch.equal(result[i, j], exact.box_sum(values[i, j], (4, 3)))


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64], ids=str)
def test_gradient_magnitude(dtype: torch.dtype) -> None:
    values = field(7, 9, -3000, 3000)
    result = exact.gradient_magnitude(values.to(dtype))
    assert np.array_equal(result.numpy(), reference.gradient_magnitude(values.numpy()))


# --- the Mexican hat by additions ----------------------------------------------------------------


def impulse_response(size: tuple[int, int], span: tuple[int, int] | None = None) -> np.ndarray:
    """The hat's weights: its response to a single one at every place of the patch."""
    ones = torch.eye(size[0] * size[1], dtype=torch.int64).view(-1, *size)
    return exact.hat(ones, size, limit=1, span=span).view(size).numpy()


@pytest.mark.parametrize("span", [(3, 3), (4, 4), (5, 5), (8, 8), (9, 13), (14, 3), (20, 20)])
def test_weights_of_the_hat(span: tuple[int, int]) -> None:
    assert reference.hat_shift(span) == 0
    weights = impulse_response(span)
    assert weights.sum() == 0
    assert np.array_equal(weights, weights[::-1])
    assert np.array_equal(weights, weights[:, ::-1])
    if span[0] == span[1]:
        assert np.array_equal(weights, weights.T)
    assert all(weights[edge].any() and weights[:, edge].any() for edge in (0, -1))
    assert weights[span[0] // 2, span[1] // 2] == weights.max() > 0
    assert np.array_equal(weights, reference.hat_kernel(span))


@pytest.mark.parametrize(
    ("size", "span"), [((9, 9), (5, 5)), ((10, 9), (5, 6)), ((12, 14), (12, 3)), ((4, 9), (3, 3))]
)
def test_a_smaller_hat_lies_centred_in_the_patch(
    size: tuple[int, int], span: tuple[int, int]
) -> None:
    weights = impulse_response(size, span)
    top, left = (size[0] - span[0]) // 2, (size[1] - span[1]) // 2
    expected = np.zeros(size, int)
    expected[top : top + span[0], left : left + span[1]] = reference.hat_kernel(span)
    assert np.array_equal(weights, expected)


@pytest.mark.parametrize("limit", [765, 2**20])
@pytest.mark.parametrize(("size", "span"), [((7, 8), None), ((8, 7), (5, 5)), ((12, 3), None)])
def test_hat_is_a_correlation_where_nothing_is_shifted(
    size: tuple[int, int], span: tuple[int, int] | None, limit: int
) -> None:
    values = field(12, 14, -limit, limit)
    expected = reference.over_patches(
        lambda patch: reference.hat_of(patch, span or size), values.numpy(), size
    )
    assert exact.hat(values, size, limit=limit, span=span).tolist() == expected
    if span is None:
        kernel = reference.hat_kernel(size)
        assert exact.hat(values, size, limit=limit).tolist() == reference.correlate(
            values.numpy(), kernel
        )


@pytest.mark.parametrize("size", [(44, 33), (40, 44), (61, 24)])
@pytest.mark.parametrize("low", [0, -(2**17)])
def test_hat_with_a_shift(size: tuple[int, int], low: int) -> None:
    assert reference.hat_shift(size) > 0
    values = field(size[0] + 2, size[1] + 3, low, 765 if low == 0 else -low)
    expected = reference.over_patches(
        lambda patch: reference.hat_of(patch, size), values.numpy(), size
    )
    assert exact.hat(values, size, limit=max(765, -low)).tolist() == expected


@pytest.mark.parametrize("size", [(7, 8), (40, 44), (90, 90)])
def test_hat_in_int32_and_int64_is_one(size: tuple[int, int]) -> None:
    values = field(size[0] + 3, size[1] + 2, 0, 1530)
    narrow = exact.hat(values, size, limit=1530)
    wide = exact.hat(values, size, limit=2**33)
    assert (narrow.dtype, wide.dtype) == (torch.int32, torch.int64)
    assert torch.equal(narrow.long(), wide)


@pytest.mark.parametrize("size", [(8, 8), (40, 44), (200, 200), (600, 600)])
def test_hat_in_int32_does_not_overflow_at_its_extremes(size: tuple[int, int]) -> None:
    """The fields with the largest response, up and down, and the largest smoothed values."""
    limit = (
        2**31
        // 2 ** (sum(len(exact.hat_geometry(s)[0]) for s in size) + 3)
        * 2 ** (reference.hat_shift(size))
    )
    limit = max(1, min(limit, 2**31 // 2 ** len(exact.hat_geometry(size[1])[0])) - 1)
    sign = torch.from_numpy(np.sign(reference.hat_kernel(size)))
    for values in (sign * limit, -sign * limit, torch.full(size, limit), torch.full(size, -limit)):
        narrow = exact.hat(values, size, limit=limit)
        assert narrow.dtype == torch.int32
        assert narrow.item() == reference.hat_of(values.numpy(), size)


@pytest.mark.parametrize("span", [3, 4, 9, 26, 55, 140, 224, 512])
@pytest.mark.parametrize("value", [1, 255, 765, 2**17])
def test_flat_patches_score_zero(span: int, value: int) -> None:
    flat = torch.full((span + 1, span), value)
    assert not exact.hat(flat, (span, span), limit=2**17).any()


def test_geometry_of_the_hat_fills_the_span() -> None:
    for span in range(3, 700):
        steps, arm = exact.hat_geometry(span)
        assert 1 + sum(steps) + 2 * arm == span
        assert arm >= 1
        assert sorted(steps) == list(steps)
        assert not steps or steps[0] == 1  # without gaps: the bell has no zeros inside


def test_another_shape_of_the_hat() -> None:
    shape = exact.HatShape(arm=25, share=2)
    assert exact.hat_geometry(20, shape) == ((1, 1, 2, 5), 5)
    values = field(20, 20, 0, 255)
    bell = np.ones(1, int)
    for step in (1, 1, 2, 5):
        bell = np.convolve(bell, [1, *[0] * (step - 1), 1])
    smooth = np.array([[bell @ values.numpy()[y : y + 10, x : x + 10] @ bell for x in (0, 5, 10)]
                       for y in (0, 5, 10)])  # fmt: skip
    ends = smooth[0, 1] + smooth[2, 1] + smooth[1, 0] + smooth[1, 2]
    assert exact.hat(values, (20, 20), limit=255, shape=shape).item() == 4 * smooth[1, 1] - ends


@pytest.mark.parametrize("arm", [1, 14, 33])
@pytest.mark.parametrize("share", [1, 4, 9])
def test_every_shape_of_the_hat_fits(arm: int, share: int) -> None:
    for span in range(3, 300):
        steps, reach = exact.hat_geometry(span, exact.HatShape(arm, share))
        assert 1 + sum(steps) + 2 * reach == span


@pytest.mark.parametrize(("arm", "share"), [(0, 4), (34, 4), (14, 0), (14, -1)])
def test_a_shape_that_does_not_fit_is_an_error(arm: int, share: int) -> None:
    with pytest.raises(ValueError, match=rf"a share of at least 1, but got HatShape\(arm={arm}, "):
        exact.HatShape(arm, share)


def test_hat_refuses_what_int64_cannot_hold() -> None:
    with pytest.raises(ValueError, match=r"the Mexican hat to stay below 2\^63"):
        exact.hat(torch.zeros(9, 9, dtype=torch.int64), (8, 8), limit=2**60)


# --- correlations in float64 that cannot round ---------------------------------------------------


def fourier(
    values: Tensor, taps: Tensor, *, limit: int, norm: float | None = None
) -> list[list[int]]:
    result = exact.correlate(
        values,
        (taps.shape[0], taps.shape[1]),
        lambda padded: torch.fft.rfft2(taps.double(), s=padded).conj_physical(),
        limit=limit,
        norm=float(taps.double().norm()) if norm is None else norm,
    )
    assert result.dtype == torch.int64
    listed: list[list[int]] = result.tolist()
    return listed


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("limit", [255, 2**16, 2**30])
def test_correlate(size: tuple[int, int], limit: int) -> None:
    values, taps = field(12, 14, -limit, limit), field(*size, -(2**14), 2**14, seed=1)
    expected = reference.correlate(values.numpy(), taps.numpy())
    assert fourier(values, taps, limit=limit) == expected


@pytest.mark.parametrize("sign", [1, -1])
def test_correlate_at_its_extremes(sign: int) -> None:
    limit = 65535 * 64
    values = torch.full((40, 45), sign * limit, dtype=torch.int32)
    taps = torch.full((31, 37), 2**14)
    assert fourier(values, taps, limit=limit) == reference.correlate(values.numpy(), taps.numpy())


def test_correlate_in_limbs_is_correlate(monkeypatch: pytest.MonkeyPatch) -> None:
    values, taps = field(12, 14, -(2**16), 2**16).int(), field(5, 6, -999, 999, seed=1)
    sizes: list[int] = []
    whole = torch.fft.rfft2

    def spy(x: Tensor, s: tuple[int, int]) -> Tensor:
        sizes.append(int(x.abs().max()))
        return whole(x, s=s)

    monkeypatch.setattr(torch.fft, "rfft2", spy)
    one = fourier(values, taps, limit=2**16)
    assert len(sizes) == 2  # the filter and the field
    many = fourier(values, taps, limit=2**16, norm=1e10)
    assert len(sizes) > 5
    assert max(sizes[4:]) < 2**16
    assert one == many == reference.correlate(values.numpy(), taps.numpy())


def test_correlate_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(ValueError, match=r"the correlation to stay below 2\^63"):
        fourier(field(12, 14, 0, 1), field(5, 6, 0, 1), limit=2**62)


@pytest.mark.parametrize("norm", [1.5e12, 1e13])
def test_correlate_refuses_filters_that_leave_no_room_for_a_limb(norm: float) -> None:
    with pytest.raises(ValueError, match=r"one limb of the correlation to stay below 2\^52"):
        fourier(field(12, 14, 0, 1), field(5, 6, 0, 1), limit=4, norm=norm)


def separable(values: Tensor, u: Tensor, v: Tensor, *, limit: int, gain: int) -> list[list[int]]:
    """Correlation with the sum over r of ``outer(u[r], v[r])``."""
    terms = len(u)
    down = exact.toeplitz(u.tolist(), values.shape[0], values.device)
    across = exact.toeplitz(v.tolist(), values.shape[1], values.device)
    result = exact.correlate_separable(
        values,
        torch.cat(list(across), 1),
        torch.cat([matrix.T for matrix in down], 1),
        terms=terms,
        limit=limit,
        gain=gain,
    )
    assert result.dtype == torch.int64
    listed: list[list[int]] = result.tolist()
    return listed


@pytest.mark.parametrize("terms", [1, 2, 3])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("limit", [255, 2**20, 2**34])
def test_correlate_separable(terms: int, size: tuple[int, int], limit: int) -> None:
    values = field(12, 14, -limit, limit)
    u, v = field(terms, size[0], -999, 999, seed=1), field(terms, size[1], -999, 999, seed=2)
    kernel = sum(np.outer(a, b) for a, b in zip(u.numpy(), v.numpy(), strict=True))
    gain = int(sum(a.abs().sum() * b.abs().sum() for a, b in zip(u, v, strict=True)))
    expected = reference.correlate(values.numpy(), np.asarray(kernel))
    assert separable(values, u, v, limit=limit, gain=gain) == expected


def test_correlate_separable_needs_limbs_where_float64_ends() -> None:
    limit, taps = 2**35 - 1, torch.full((1, 9), 2**10)
    values = limit - field(12, 14, 0, 9)
    expected = reference.correlate(values.numpy(), np.full((9, 9), 2**20))
    assert max(map(max, expected)) > 2**53
    assert separable(values, taps, taps, limit=limit, gain=81 * 2**20) == expected


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64], ids=str)
def test_limbs_of_every_container(dtype: torch.dtype) -> None:
    values = field(12, 14, -(2**15), 2**15 - 1).to(dtype)
    taps = field(5, 6, -99, 99, seed=1)
    expected = reference.correlate(values.numpy(), taps.numpy())
    for norm in (1e3, 1e9, 1e11):
        assert fourier(values, taps, limit=2**15, norm=norm) == expected


@given(st.integers(1, 3000))
def test_fast_length(n: int) -> None:
    def smooth(x: int) -> bool:
        for prime in (2, 3, 5):
            while x % prime == 0:
                x //= prime
        return x == 1

    assert exact.fast_length(n) == next(x for x in range(n, 2 * n + 1) if smooth(x))


def test_toeplitz() -> None:
    taps, line = field(2, 4, -9, 9), field(1, 11, -9, 9, seed=1)[0]
    matrices = exact.toeplitz(taps.tolist(), 11, line.device)
    assert matrices.shape == (2, 11, 8)
    for matrix, filter_ in zip(matrices, taps, strict=True):
        expected = np.correlate(line.numpy(), filter_.numpy(), "valid")
        assert (line.double() @ matrix).tolist() == expected.tolist()


@pytest.mark.parametrize(
    "run",
    [
        lambda v: exact.correlate(
            v,
            (5, 6),
            lambda s: torch.fft.rfft2(torch.ones(5, 6, dtype=torch.float64), s=s).conj_physical(),
            limit=2**16,
            norm=6.0,
        ),
        lambda v: torch.tensor(
            separable(v, torch.ones(1, 5).long(), torch.ones(1, 6).long(), limit=2**16, gain=30)
        ),
    ],
    ids=["fourier", "separable"],
)
def test_autocast_changes_nothing(run: Callable[[Tensor], Tensor]) -> None:
    values = field(12, 14, 0, 2**16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = run(values)
    assert torch.equal(result, exact.box_sum(values, (5, 6)))
