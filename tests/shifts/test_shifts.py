"""Views against slices, sums and loops; what is random, what is refused, and what text says it."""

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, product
from typing import Any, ClassVar

import numpy as np
import pytest
import scipy.ndimage  # type: ignore[import-untyped]
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import kstest
from torch import Tensor

from rics_transforms import shifts
from rics_transforms._arguments import Size, parse_options
from rics_transforms.shifts import canvas as embedding
from rics_transforms.shifts import disturbances, get_shift, list_shifts
from rics_transforms.shifts.base import Shift
from rics_transforms.shifts.camera import Camera
from rics_transforms.shifts.canvas import Embedded, Rescaled, ShiftedCrop
from rics_transforms.shifts.cyclic import Cyclic, Grid
from rics_transforms.shifts.disturbances import (
    Disturbance,
    HalfPixel,
    Jpeg,
    Noise,
    Rescale,
    get_disturbance,
    list_disturbances,
    resized,
)
from rics_transforms.shifts.fourier import fourier_shift
from rics_transforms.shifts.trim import Trim
from rics_transforms.shifts.windows import Realistic

from ..conftest import random_image

OBJECTS: list[Shift] = [
    Realistic(2),
    Realistic(30, samples=5, seed=3),
    Realistic(1, then=Noise(2.5)),
    Realistic(0, then=Jpeg(75)),
    Realistic(1, then=HalfPixel()),
    Realistic(1, samples=4, then=Rescale(0.5)),
    Camera(1, factor=2),
    Camera(1, 2, samples=5, then=Jpeg(90)),
    Camera(1, 2, then=HalfPixel(), steps=((1, -2), (0, 1))),
    Cyclic(samples=3),
    Grid("integer", samples=4),
    Grid("half", samples=4, seed=1),
    Grid("fractional", samples=4),
    ShiftedCrop(),
    Embedded(short=20),
    Embedded(short=20, fill="inpainted"),
    Rescaled(short=20),
    Trim(2),
    Trim(1, samples=4, seed=1, then=Jpeg(75)),
]
DISTURBANCES: list[Disturbance] = [Noise(1), Noise(4.5), Jpeg(75), Jpeg(95), HalfPixel(), Rescale()]

every_shift = pytest.mark.parametrize("shift", OBJECTS, ids=repr)
every_disturbance = pytest.mark.parametrize("disturbance", DISTURBANCES, ids=repr)


def views_of(shift: Shift, scene: Tensor, n: Size, seed: int = 0) -> list[Tensor]:
    return list(shift.views(scene, n, np.random.default_rng(seed)))


def coordinates(height: int, width: int) -> Tensor:
    """A scene whose pixels say where they are: uint8 [2, H, W], up to 255 x 255."""
    grid = torch.meshgrid(torch.arange(1, height + 1), torch.arange(1, width + 1), indexing="ij")
    return torch.stack(grid).to(torch.uint8)


# --- what holds for every shift ------------------------------------------------------------------


def test_every_registered_shift_is_among_the_tested() -> None:
    names = {get_shift(name).__class__ for name in list_shifts()}
    assert names == {shift.__class__ for shift in OBJECTS}


@every_shift
@pytest.mark.parametrize("n", [(30, 41), (64, 64)])
@pytest.mark.parametrize("channels", [1, 3])
def test_one_view_per_move_of_the_least_scene(shift: Shift, n: Size, channels: int) -> None:
    scene = random_image(channels, *shift.room(n))
    views, moves = views_of(shift, scene, n), shift.moves(n)
    assert len(views) == len(moves)
    assert moves[0] == (0, 0)
    if shift.sized:
        assert {view.shape for view in views} == {(channels, *n)}
    assert all(view.shape[0] == channels and view[0].numel() >= n[0] * n[1] for view in views)
    is_float = isinstance(shift, Grid) and shift.kind != "integer"
    assert {view.dtype for view in views} == {torch.float32 if is_float else torch.uint8}


@every_shift
def test_equal_generators_make_equal_views(shift: Shift) -> None:
    scene = random_image(3, 101, 107)
    first, second = (views_of(shift, scene, (33, 40), seed=7) for _ in range(2))
    assert all(map(torch.equal, first, second))


@pytest.mark.parametrize("shift", [ShiftedCrop(), Embedded(20), Rescaled(20)], ids=repr)
def test_places_are_drawn_for_every_scene(shift: Shift) -> None:
    scene = random_image(3, 101, 107)
    first, second = (views_of(shift, scene, (33, 40), seed=seed) for seed in (1, 2))
    assert not torch.equal(first[0], second[0])


@every_shift
def test_views_do_not_change_the_scene(shift: Shift) -> None:
    scene = random_image(3, 101, 107)
    before = scene.clone()
    views_of(shift, scene, (33, 40))
    assert torch.equal(scene, before)


@every_shift
def test_the_unshifted_window_lies_in_the_middle(shift: Shift) -> None:
    if shift.factor > 1:
        assert shift.corner((101, 108), (33, 40)) == (17, 14)
        return
    assert shift.corner((101, 108), (33, 40)) == (34, 34)
    if shift.sized and not isinstance(shift, ShiftedCrop | Embedded | Rescaled):
        scene = random_image(3, 101, 108)
        reference = next(shift.views(scene, (33, 40), np.random.default_rng(0)))
        window = scene[:, 34:67, 34:74]
        assert torch.equal((reference.double() * 255).round().byte(), window) or torch.equal(
            reference, window
        )


@every_shift
def test_what_is_refused(shift: Shift) -> None:
    n, rng = (32, 32), np.random.default_rng(0)
    height, width = shift.room(n)
    with pytest.raises(TypeError, match="Expected `scene` to be uint8, but got torch.float32."):
        shift.views(torch.zeros(3, 99, 99), n, rng)
    for small in ((height - 1, width), (height, width - 1)):
        if 0 not in small:
            with pytest.raises(ValueError, match=rf"at least \({height}, {width}\) pixels, .* got"):
                shift.views(random_image(3, *small), n, rng)
    for shape in ((height, width), (1, 3, height, width), (0, height, width)):
        with pytest.raises(ValueError, match=r"Expected `scene` \[C, H, W\], but got shape"):
            shift.views(random_image(*shape), n, rng)


# --- realistic -----------------------------------------------------------------------------------


@given(
    delta=st.integers(0, 6),
    seed=st.integers(0, 2**40),
    share=st.none() | st.floats(0, 1),
    n=st.just((9, 8)),
)
def test_realistic_moves(delta: int, seed: int, share: float | None, n: Size) -> None:
    everything = (2 * delta + 1) ** 2
    samples = None if share is None else 1 + int(share * (everything - 1))
    moves = Realistic(delta, samples, seed).moves(n)
    assert len(moves) == (samples or everything)
    assert len(set(moves)) == len(moves)
    assert moves[0] == (0, 0)
    assert list(moves[1:]) == sorted(moves[1:])
    assert all(max(abs(dy), abs(dx)) <= delta for dy, dx in moves)
    assert Realistic(delta, samples, seed).moves((5, 5)) == moves


def test_the_seed_chooses_the_windows() -> None:
    chosen = {Realistic(9, samples=20, seed=seed).moves((9, 9)) for seed in range(5)}
    assert len(chosen) == 5
    drawn = [move for seed in range(600) for move in Realistic(1, 3, seed).moves((9, 9))[1:]]
    counts = [drawn.count(move) for move in set(drawn)]
    assert len(counts) == 8 and min(counts) > 110 and max(counts) < 190  # 150 each, s.d. 11


@pytest.mark.parametrize("shift", [Realistic(3), Realistic(3, samples=10)], ids=repr)
def test_realistic_views_are_slices(shift: Realistic) -> None:
    scene = random_image(3, 51, 44)
    views = views_of(shift, scene, (40, 30))
    for view, (dy, dx) in zip(views, shift.moves((40, 30)), strict=True):
        top, left = 5 + int(dy), 7 + int(dx)
        assert torch.equal(view, scene[:, top : top + 40, left : left + 30])


def test_only_windows_of_the_scene_track_it() -> None:
    assert [shift for shift in OBJECTS if shift.tracks] == [
        shift for shift in OBJECTS if isinstance(shift, Realistic | Camera)
    ]


@every_shift
def test_what_wraps_keeps_every_pixel(shift: Shift) -> None:
    assert shift.wraps == isinstance(shift, Cyclic | Grid)
    if shift.wraps:
        sums = [view.double().sum() for view in views_of(shift, random_image(1, 40, 40), (40, 40))]
        assert torch.allclose(torch.stack(sums), sums[0], rtol=1e-5)


@every_shift
def test_undisturbed_windows_are_cut_from_the_scene(shift: Shift) -> None:
    assert (shift.disturbance is None) == (getattr(shift, "then", None) is None)
    if shift.tracks and shift.disturbance is None and shift.factor == 1:
        scene, n = random_image(3, 101, 107), (33, 40)
        corner = shift.corner((101, 107), n)
        for view, (dy, dx) in zip(views_of(shift, scene, n), shift.moves(n), strict=True):
            place = corner[0] + int(dy), corner[1] + int(dx)
            assert torch.equal(view, shifts.base.cut(scene, place, n))


def test_which_theory_speaks_of_which_rule() -> None:
    theories = {
        repr(shift): (shift.theory_for("realistic"), shift.theory_for("cyclic"))
        for shift in OBJECTS
    }
    realistic = {repr(shift) for shift in OBJECTS[:2]}
    cyclic = {repr(Cyclic(samples=3)), repr(Grid("integer", samples=4))}
    assert theories == {
        name: ("realistic" if name in realistic else None, "cyclic" if name in cyclic else None)
        for name in theories
    }


def test_the_moves_that_get_rows() -> None:
    assert Realistic(5).deltas((1, 3, 5, 9)) == (1, 3, 5)
    assert Realistic(2).deltas((3, 9)) == (2,)
    assert Cyclic().deltas((1, 3)) == Grid("half").deltas((1,)) == ShiftedCrop().deltas((1,)) == ()


def test_a_disturbance_is_told_as_text() -> None:
    assert Realistic(1, then=Noise(2.5)).disturbance == "Noise(deviation=2.5)"


def test_views_are_made_one_by_one() -> None:
    made = []

    @dataclass(frozen=True)
    class Counted(Disturbance):
        margin: ClassVar[int] = 3

        def apply(self, scene: Tensor, corner: Size, n: Size, rng: np.random.Generator) -> Tensor:
            made.append(corner)
            return scene[:, : n[0], : n[1]]

    shift = Realistic(2, then=Counted())
    views = shift.views(random_image(1, 40, 40), (30, 30), np.random.default_rng(0))
    assert shift.room((30, 30)) == (40, 40)
    assert len(list(islice(views, 3))) == 3
    assert made == [(5, 5), (3, 3)]


# --- disturbances --------------------------------------------------------------------------------


def disturbed(kind: Disturbance, scene: Any, top: int, left: int, n: Size, rng: Any) -> Any:
    """The window [H, W, C] of a scene [H, W, C] as plain code has it."""
    window = scene[top : top + n[0], left : left + n[1]]
    mode = window[..., 0] if window.shape[-1] == 1 else window
    if isinstance(kind, Noise):
        noisy = window + rng.normal(0, kind.deviation, window.shape)
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    if isinstance(kind, Jpeg):
        buffer = io.BytesIO()
        Image.fromarray(mode).save(buffer, "JPEG", quality=kind.quality)
        return np.asarray(Image.open(buffer)).reshape(window.shape)
    if isinstance(kind, HalfPixel):
        fine = scene.astype(np.float64)
        mean = (fine[:-1, :-1] + fine[1:, :-1] + fine[:-1, 1:] + fine[1:, 1:]) / 4
        return np.floor(mean + 0.5).astype(np.uint8)[top : top + n[0], left : left + n[1]]
    assert isinstance(kind, Rescale)
    small = (round(n[1] * kind.ratio), round(n[0] * kind.ratio))
    shrunk = Image.fromarray(mode).resize(small, Image.Resampling.BICUBIC)
    back = shrunk.resize((n[1], n[0]), Image.Resampling.BICUBIC)
    return np.asarray(back).reshape(window.shape)


@every_disturbance
@pytest.mark.parametrize("channels", [1, 3])
def test_disturbances_equal_plain_code(
    disturbance: Disturbance, channels: int, photos: Tensor
) -> None:
    scene = photos[0, :channels, 40:140, 50:150]
    shift = Realistic(1, then=disturbance)
    views = views_of(shift, scene, (60, 71), seed=4)
    array, rng = scene.movedim(0, -1).numpy(), np.random.default_rng(4)
    assert torch.equal(views[0], scene[:, 20:80, 14:85])
    places = [(0, 0), *(move for move in product((-1, 0, 1), repeat=2) if move != (0, 0))]
    assert shift.moves((60, 71)) == ((0, 0), *places)
    for view, (dy, dx) in zip(views[1:], places, strict=True):
        expected = disturbed(disturbance, array, 20 + dy, 14 + dx, (60, 71), rng)
        assert np.array_equal(view.movedim(0, -1).numpy(), expected)


@every_disturbance
def test_disturbances_disturb(disturbance: Disturbance, photos: Tensor) -> None:
    reference, view = views_of(Realistic(0, then=disturbance), photos[0], (128, 128))
    change = (reference.double() - view.double()).abs()
    assert 0.1 < change.mean() < 20


@pytest.mark.parametrize("disturbance", [Noise(4), HalfPixel(), Rescale()], ids=repr)
def test_any_number_of_channels(disturbance: Disturbance) -> None:
    assert views_of(Realistic(1, then=disturbance), random_image(5, 40, 40), (30, 30))[
        -1
    ].shape == (
        5,
        30,
        30,
    )


def test_jpeg_has_one_or_three_channels() -> None:
    with pytest.raises(ValueError, match="Expected 1 or 3 channels for JPEG, but got 2."):
        views_of(Realistic(1, then=Jpeg(90)), random_image(2, 40, 40), (30, 30))


# --- cyclic --------------------------------------------------------------------------------------


def test_small_windows_have_every_cyclic_shift() -> None:
    assert Cyclic(samples=2).moves((4, 32)) == tuple(product(range(4), range(32)))


def test_large_windows_have_corners_and_a_sample() -> None:
    draw = torch.Generator().manual_seed(5)
    down = torch.randint(33, (6,), generator=draw).tolist()
    across = torch.randint(20, (6,), generator=draw).tolist()
    corners = ((0, 0), (0, 19), (32, 0), (32, 19))
    assert Cyclic(samples=6, seed=5).moves((33, 20)) == (*corners, *zip(down, across, strict=True))


@pytest.mark.parametrize("shift", [Cyclic(samples=9), Grid("integer", samples=9)], ids=repr)
def test_whole_cyclic_views_are_rolls(shift: Shift) -> None:
    scene, n = random_image(3, 50, 45), (40, 35)
    window = scene[:, 5:45, 5:40]
    for view, (dy, dx) in zip(views_of(shift, scene, n), shift.moves(n), strict=True):
        rows, columns = torch.arange(40) - int(dy), torch.arange(35) - int(dx)
        assert torch.equal(view, window[:, rows % 40][:, :, columns % 35])


# --- the grids of alias-free networks ------------------------------------------------------------

LINES: dict[str, set[Fraction]] = {
    "integer": {Fraction(i) for i in range(1, 32)},
    "half": {Fraction(i, 2) for i in range(1, 64)},
    "fractional": {Fraction(i, j) for i in range(1, 13) for j in range(1, 13) if i <= j},
}


@pytest.mark.parametrize(
    ("kind", "count"), [("integer", 961), ("half", 3969), ("fractional", 2116)]
)
def test_grids(kind: Any, count: int) -> None:
    moves = Grid(kind).moves((224, 224))
    assert moves[0] == (0, 0)
    assert list(moves[1:]) == sorted(product(map(float, LINES[kind]), repeat=2))
    assert len(moves) == 1 + count
    some = Grid(kind, samples=50, seed=1).moves((224, 224))
    assert len(set(some)) == 51 and set(some) <= set(moves)
    assert list(some) == sorted(some) and some[0] == (0, 0)
    assert some != Grid(kind, samples=50, seed=2).moves((224, 224))


@pytest.mark.parametrize("kind", ["half", "fractional"])
@pytest.mark.parametrize("n", [(12, 15), (13, 10)])
def test_sub_pixel_views_equal_the_sum_over_all_pixels(kind: Any, n: Size) -> None:
    scene, shift = random_image(2, *n), Grid(kind, samples=40)
    signal = scene.double().numpy() / 255
    for view, (dy, dx) in zip(views_of(shift, scene, n), shift.moves(n), strict=True):
        expected = dirichlet(n[0], dy) @ signal @ dirichlet(n[1], dx).T
        assert np.abs(view.numpy() - expected).max() < 1e-6


def dirichlet(length: int, move: float) -> Any:
    """Trigonometric interpolation of a periodic line at its pixels less a move, as a matrix."""
    lag = np.subtract.outer(np.arange(length), np.arange(length)) - move
    waves = [np.cos(2 * np.pi * k * lag / length) for k in range((length - 1) // 2 + 1)]
    total = 2 * sum(waves) - waves[0]
    return (total + (np.cos(np.pi * lag) if length % 2 == 0 else 0)) / length


@pytest.mark.parametrize("n", [(15, 21), (16, 21), (16, 16)])
def test_fourier_shift_equals_scipy_without_the_nyquist_frequency(n: Size) -> None:
    image, move = smooth_image(n), (3.7, -0.4)
    spectrum = scipy.ndimage.fourier_shift(np.fft.fft2(image.numpy()), move)
    expected = np.fft.ifft2(spectrum)
    assert np.abs(expected.imag).max() < 1e-12
    assert np.abs(fourier_shift(image, move).numpy() - expected.real).max() < 1e-12


def smooth_image(n: Size) -> Tensor:
    """Random, with all frequencies below Nyquist's."""
    spectrum = np.fft.fft2(np.random.default_rng(0).normal(size=n))
    for axis, length in enumerate(n):
        if length % 2 == 0:
            np.moveaxis(spectrum, axis, 0)[length // 2] = 0
    return torch.from_numpy(np.fft.ifft2(spectrum).real)


@pytest.mark.parametrize("n", [(15, 21), (16, 21), (16, 16)])
@pytest.mark.parametrize("parts", [2, 3])
def test_fractions_of_a_shift_add_up(n: Size, parts: int) -> None:
    image = smooth_image(n)
    moved = image
    for _ in range(parts):
        moved = fourier_shift(moved, (1 / parts, -3 / parts))
    assert (moved - image.roll((1, -3), (-2, -1))).abs().max() < 1e-12


def test_whole_moves_of_sub_pixel_grids_are_exact_rolls() -> None:
    scene, shift = random_image(3, 40, 40), Grid("half", samples=200)
    views, moves = views_of(shift, scene, (40, 40)), shift.moves((40, 40))
    assert torch.equal(views[0], (scene.double() / 255).float())
    whole = [(view, move) for view, move in zip(views, moves, strict=True) if sum(move) % 1 == 0]
    whole = [(view, move) for view, move in whole if move[0] % 1 == 0]
    assert len(whole) > 20
    for view, (dy, dx) in whole:
        assert torch.equal(view, views[0].roll((int(dy), int(dx)), (-2, -1)))


def test_sub_pixel_views_are_not_clipped() -> None:
    scene = torch.zeros(1, 32, 32, dtype=torch.uint8)
    scene[:, 8:24] = 255
    view = fourier_shift(scene.double() / 255, (0.5, 0))
    assert view.min() < -0.05 and view.max() > 1.05
    drawn = views_of(Grid("half", samples=20), scene, (32, 32))
    assert min(v.min().item() for v in drawn) < -0.05


def test_fourier_shift_keeps_float32_and_refuses_integers() -> None:
    image = smooth_image((16, 15))
    single = fourier_shift(image.float(), (0.5, 0.25))
    assert single.dtype == torch.float32
    assert (single - fourier_shift(image, (0.5, 0.25))).abs().max() < 1e-5
    with pytest.raises(TypeError, match="Expected `image` to be float32 or float64, but got"):
        fourier_shift(random_image(3, 8, 8), (0.5, 0))


# --- Azulay & Weiss ------------------------------------------------------------------------------


@pytest.fixture
def no_resizing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hand the squares of `ShiftedCrop` back as they are cut."""
    monkeypatch.setattr(embedding, "resized", lambda image, size: image)
    yield


@pytest.mark.parametrize("shape", [(120, 200), (60, 50), (8, 250), (2, 2)])
@pytest.mark.usefixtures("no_resizing")
def test_shifted_crops_are_squares_a_pixel_apart(shape: Size) -> None:
    scene, largest = coordinates(*shape), min(shape) - 1
    smallest = min(math.sqrt(0.08 * shape[0] * shape[1]), largest)
    sides, corners, rng = [], [], np.random.default_rng(0)
    for _ in range(300):
        first, second = ShiftedCrop().views(scene, (224, 224), rng)
        assert torch.equal(second, first + 1)  # every pixel a row lower and a column further
        assert first.shape[-2] == first.shape[-1]
        sides.append(first.shape[-1])
        corners.append(tuple((first[:, 0, 0] - 1).tolist()))
    assert smallest - 0.5 <= min(sides) and max(sides) <= largest
    gaps = np.array(shape) - np.array(sides)[:, None]  # so many places along either axis
    assert (np.array(corners) < gaps).all()  # the second fits, too
    if min(shape) > 8:
        areas = (np.square(sides) - smallest**2) / (largest**2 - smallest**2)
        assert kstest(areas, "uniform").pvalue > 0.01
        within = (np.array(corners) + rng.random((300, 2))) / gaps
        assert all(kstest(axis, "uniform").pvalue > 0.01 for axis in within.T)


def test_shifted_crops_are_resized(photos: Tensor) -> None:
    views = views_of(ShiftedCrop(), photos[0], (40, 30))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "resized", lambda image, size: image)
        squares = views_of(ShiftedCrop(), photos[0], (40, 30))
    for view, square in zip(views, squares, strict=True):
        assert np.array_equal(to_array(view), pillow(square, (40, 30)))


def to_array(image: Tensor) -> Any:
    return image.movedim(0, -1).numpy()


def pillow(image: Tensor, size: Size) -> Any:
    picture = Image.fromarray(to_array(image))
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("fill", ["black", "inpainted"])
@pytest.mark.parametrize(
    ("shape", "size"), [((90, 60), (30, 20)), ((50, 60), (20, 24)), ((10, 15), (20, 30))]
)
def test_embedded_pictures(fill: Any, shape: Size, size: Size) -> None:
    scene, n = random_image(3, *shape, high=255) + 1, (48, 40)
    picture = pillow(scene, size)
    shift = Embedded(20, fill=fill)
    places = set()
    for seed in range(40):
        first, second = views_of(shift, scene, n, seed)
        assert torch.equal(second[:, 1:], first[:, :-1])
        top, left = place_of(picture, to_array(first))
        places.add((top, left))
        assert top + size[0] < n[0]
        outside = np.ones(n, dtype=bool)
        outside[top : top + size[0], left : left + size[1]] = False
        assert (to_array(first)[outside] == 0).all() == (fill == "black")
    assert len(places) > 30


def place_of(picture: Any, image: Any) -> Size:
    """Where an image shows a picture, which must be at one place alone."""
    height, width = picture.shape[:2]
    tries = product(range(image.shape[0] - height + 1), range(image.shape[1] - width + 1))
    found = [(y, x) for y, x in tries if (image[y : y + height, x : x + width] == picture).all()]
    assert len(found) == 1
    return found[0]


def test_embedded_pictures_come_to_lie_everywhere() -> None:
    scene = coordinates(20, 24)
    places = set()
    for seed in range(400):
        first, _ = views_of(Embedded(20), scene, (24, 26), seed)
        rows, columns = first[0].any(1).nonzero()[:, 0], first[0].any(0).nonzero()[:, 0]
        places.add((rows[0].item(), columns[0].item()))
    assert places == set(product(range(4), range(3)))


def test_pictures_that_are_too_long_lose_their_ends() -> None:
    tall, wide, n = coordinates(200, 20), coordinates(20, 200), (48, 40)
    first, second = views_of(Embedded(20), tall, n)
    assert first[0].amax(1).tolist() == [*range(77, 124), 0]
    assert second[0].amax(1).tolist() == [0, *range(77, 124)]
    first, _ = views_of(Embedded(20), wide, n)
    assert first[1].amax(0).tolist() == [*range(81, 121)]


@pytest.mark.parametrize("n", [(9, 11), (12, 8)])
def test_inpainting_equals_loops(n: Size) -> None:
    picture, (top, left) = random_image(2, 4, 3), (3, 5)
    filled = embedding.inpainted(picture, (top, left), n)
    for y, x in product(range(n[0]), range(n[1])):
        weights, values = [], []
        for v, u in product(range(4), range(3)):
            square = (top + v - y) ** 2 + (left + u - x) ** 2
            weights.append(1e9 if square == 0 else 1 / square**2)
            values.append(picture[:, v, u].double())
        mean = sum(w * value for w, value in zip(weights, values, strict=True)) / sum(weights)
        assert torch.equal(filled[:, y, x], mean.round().byte())


def test_inpainting_continues_a_flat_picture() -> None:
    picture = torch.full((3, 20, 30), 77, dtype=torch.uint8)
    assert (embedding.inpainted(picture, (150, 3), (224, 224)) == 77).all()


@pytest.mark.parametrize(
    ("shape", "sizes"), [((90, 60), ((30, 20), (32, 21))), ((60, 60), ((20, 20), (21, 21)))]
)
def test_rescaled_pictures(shape: Size, sizes: tuple[Size, Size]) -> None:
    scene, n = random_image(3, *shape, high=255) + 1, (33, 29)
    places = set()
    for seed in range(40):
        views = [to_array(view) for view in views_of(Rescaled(20), scene, n, seed)]
        found = {
            place_of(pillow(scene, size), view) for size, view in zip(sizes, views, strict=True)
        }
        assert len(found) == 1
        places |= found
        for size, view in zip(sizes, views, strict=True):
            assert (view.any(-1)).sum() == size[0] * size[1]
    assert {max(axis) for axis in zip(*places, strict=True)} == {
        n[0] - sizes[1][0],
        n[1] - sizes[1][1],
    }


@pytest.mark.parametrize("shift", [Embedded(32), Rescaled(32)], ids=repr)
def test_a_picture_is_smaller_than_the_view(shift: Shift) -> None:
    message = r"Expected `short` to be smaller than a view of \(40, 32\), but got 32."
    with pytest.raises(ValueError, match=message):
        shift.views(random_image(3, 50, 50), (40, 32), np.random.default_rng(0))


def test_resized_equals_pillow(photos: Tensor) -> None:
    for size in ((30, 47), (400, 300)):
        assert np.array_equal(to_array(resized(photos[0], size)), pillow(photos[0], size))


# --- by name -------------------------------------------------------------------------------------

NAMESPACE = {**vars(shifts), **vars(embedding), **vars(disturbances)}


@pytest.mark.parametrize("thing", [*OBJECTS, *DISTURBANCES], ids=repr)
def test_the_repr_is_the_specification(thing: Shift | Disturbance) -> None:
    again = eval(repr(thing), dict(NAMESPACE))
    assert again == thing
    assert repr(again) == repr(thing)
    assert hash(again) == hash(thing)


@pytest.mark.parametrize(
    ("text", "shift"),
    [
        ("realistic", Realistic()),
        ("realistic:delta=3,samples=9,seed=2", Realistic(3, 9, 2)),
        ("realistic:delta=0,then=half_pixel", Realistic(0, then=HalfPixel())),
        ("realistic:delta=1,then=jpeg:quality=90", Realistic(1, then=Jpeg(90))),
        ("realistic:then=rescale:ratio=0.5", Realistic(then=Rescale(0.5))),
        ("camera", Camera()),
        ("camera:delta=2,then=noise:deviation=4", Camera(2, then=Noise(4))),
        ("camera:factor=2,steps=((1,2), [-2,0])", Camera(factor=2, steps=((1, 2), (-2, 0)))),
        ("cyclic:samples=3", Cyclic(3)),
        ("integer", Grid("integer")),
        ("half:samples=64", Grid("half", 64)),
        ("fractional: seed = 3", Grid("fractional", seed=3)),
        ("shifted_crop", ShiftedCrop()),
        ("embedded:fill=inpainted", Embedded(fill="inpainted")),
        ("rescaled:short=50", Rescaled(50)),
    ],
)
def test_shifts_by_name(text: str, shift: Shift) -> None:
    assert get_shift(text) == shift
    assert get_shift(shift) is shift


def test_a_disturbance_as_text_is_one() -> None:
    assert Realistic(1, then="noise:deviation=4") == Realistic(1, then=Noise(4))


@pytest.mark.parametrize("name", list_disturbances())
def test_disturbances_by_name(name: str) -> None:
    options = {"jpeg": ":quality=75", "noise": ":deviation=4"}.get(name, "")
    expected = {
        "jpeg": Jpeg(75),
        "noise": Noise(4),
        "half_pixel": HalfPixel(),
        "rescale": Rescale(),
    }
    assert get_disturbance(name + options) == expected[name]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "relistic",
            "one of camera, .*, trim, but got 'relistic'; did you mean 'realistic'",
        ),
        ("zzz", "one of camera, .*, but got 'zzz'\\."),
        ("realistic:5", "to be name:option=value,..., but got 'realistic:5'"),
        ("cyclic:delta=3", "Expected options that `cyclic` has .samples, seed.*'delta'"),
        ("half:kind=integer", "Expected options that `half` has .samples, seed.*'kind'"),
        ("realistic:then=jpg:quality=3", "`disturbance` to be one of .*; did you mean 'jpeg'"),
        ("realistic:then=jpeg", "Expected options that `jpeg` has .quality.*missing.*'quality'"),
        ("realistic:delta=-1", "Expected `delta` to be a non-negative int, but got -1."),
        (
            "realistic:delta=1,samples=10",
            "Expected `samples` to be an int from 1 to 9, but got 10.",
        ),
        ("realistic:seed=-1", "Expected `seed` to be a non-negative int, but got -1."),
        ("realistic:samples=0", "Expected `samples` to be an int from 1 to 361, but got 0."),
        ("cyclic:samples=-1", "Expected `samples` to be a non-negative int, but got -1."),
        ("cyclic:seed=-1", "Expected `seed` to be a non-negative int, but got -1."),
        ("integer:samples=962", "Expected `samples` to be an int from 1 to 961, but got 962."),
        ("embedded:short=0", "Expected `short` to be a positive int, but got 0."),
        ("rescaled:short=0", "Expected `short` to be a positive int, but got 0."),
        ("embedded:fill=blck", "`fill` to be one of black, inpainted, .*; did you mean 'black'"),
        ("realistic:then=jpeg:quality=0", "`quality` to be an int from 1 to 100, but got 0."),
        ("realistic:then=noise:deviation=-1", "a non-negative number, but got -1."),
        (
            "realistic:then=rescale:ratio=0",
            "`ratio` .* a positive number of at most 1, but got 0.",
        ),
    ],
)
def test_texts_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_shift(text)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Realistic(1.0),  # type: ignore[arg-type]
        lambda: Realistic(True),
        lambda: Realistic(samples=2.0),  # type: ignore[arg-type]
        lambda: Realistic(then=Jpeg),  # type: ignore[arg-type]
        lambda: Cyclic(samples="3"),  # type: ignore[arg-type]
        lambda: Cyclic(samples=None),  # type: ignore[arg-type]
        lambda: Grid("half", seed=None),  # type: ignore[arg-type]
        lambda: Embedded(20.5),  # type: ignore[arg-type]
        lambda: Jpeg(90.0),  # type: ignore[arg-type]
    ],
)
def test_types_that_are_refused(make: Any) -> None:
    with pytest.raises(TypeError, match="Expected `"):
        make()


def test_infinite_noise_is_refused() -> None:
    for deviation in (math.inf, math.nan):
        with pytest.raises(ValueError, match="Expected `deviation` to be a non-negative number"):
            Noise(deviation)


def test_grid_kinds_are_listed() -> None:
    with pytest.raises(ValueError, match="`kind` to be one of fractional, half, integer, but got"):
        Grid("quarter")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("a", ("a", {})),
        ("a:b=c", ("a", {"b": "c"})),
        ("a:b=(1, 2),c=[3,4],d=None,e=0.5", ("a", {"b": (1, 2), "c": [3, 4], "d": None, "e": 0.5})),
        ("a: b = c:d=1 ", ("a", {"b": "c:d=1"})),
    ],
)
def test_parse_options(text: str, parsed: Any) -> None:
    assert parse_options("score", text) == parsed
