"""`subpixel=True`: images are resampled at the place of their peak, annotations follow."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from rics_transforms import RICSCrop, Score, list_scores, locate, rics_crop, uncrop
from rics_transforms.engine.geometry import whole
from rics_transforms.engine.resampling import resample
from rics_transforms.engine.selection import select

from ..conftest import SHIFTS, random_image
from .inputs import K, N, pil

MODES = ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16", "P", "1")


def expected(images: Tensor, shifts: str, score: Any = "lattice") -> tuple[Tensor, Tensor]:
    """Places and crops of images ``[B, C, H, W]``."""
    cyclic = shifts == "cyclic"
    rule = RICSCrop(K, score=score).score
    places = select(images[:, None], K, rule, cyclic=cyclic, subpixel=True)
    return places.double() / 64, resample(images, places, K, cyclic=cyclic)


@pytest.mark.parametrize("shifts", SHIFTS)
def test_every_smooth_score_places_crops_between_pixels(smooth_score: Score, shifts: Any) -> None:
    images = random_image(4, 3, *N)
    places, crops = expected(images, shifts, smooth_score)
    transform = RICSCrop(K, score=smooth_score, shifts=shifts, subpixel=True)
    assert torch.equal(transform.locate(images), places)
    assert transform.locate(images).dtype == torch.float64
    assert torch.equal(transform(images), crops)
    options = {"score": smooth_score, "shifts": shifts, "subpixel": True}
    assert torch.equal(locate(images, K, **options), places)
    assert torch.equal(rics_crop(images, K, **options), crops)
    assert torch.equal(transform(images[1]), crops[1])
    assert torch.equal(transform.locate(images.reshape(2, 2, 3, *N)), places.view(2, 2, 2))
    if places.remainder(1).any():
        assert not torch.equal(crops, rics_crop(images, K, score=smooth_score, shifts=shifts))


@pytest.mark.parametrize("shifts", SHIFTS)
def test_floats_choose_the_place_of_bytes(shifts: Any) -> None:
    images = random_image(4, 3, *N)
    places, crops = expected(images, shifts)
    transform = RICSCrop(K, shifts=shifts, subpixel=True)
    floats = (images / 255).requires_grad_()
    assert torch.equal(transform.locate(floats), places)
    found = transform(floats)
    assert ((255 * found.detach()).clamp(0, 255) - crops).abs().max() < 0.7  # of grey levels
    found.sum().backward()
    assert floats.grad is not None and floats.grad.sum() == pytest.approx(crops.numel(), rel=1e-4)


@pytest.mark.parametrize("score", ["hash", "random", "lattice:patch=hash"])
def test_scores_without_peaks_are_refused(score: str) -> None:
    images = random_image(3, *N)
    for call in (
        lambda: RICSCrop(K, score=score, subpixel=True),
        lambda: locate(images, K, score=score, subpixel=True),
        lambda: rics_crop(images, K, score=score, subpixel=True),
    ):
        with pytest.raises(ValueError, match="Expected a smooth score with subpixel=True"):
            call()


@pytest.mark.parametrize("subpixel", [1, "yes", None])
def test_subpixel_must_be_a_bool(subpixel: Any) -> None:
    with pytest.raises(TypeError, match="Expected `subpixel` to be True or False"):
        RICSCrop(K, subpixel=subpixel)


def test_every_registered_score_is_smooth_or_refused() -> None:
    for name in list_scores():
        score = RICSCrop(K, score=name).score
        assert score.smooth == (name in ("lattice", "mexican_hat", "saliency"))


def test_a_repr_tells_of_it_and_copies_keep_it() -> None:
    transform = RICSCrop(K, subpixel=True)
    assert "subpixel=True" in repr(transform) and "subpixel" not in repr(RICSCrop(K))
    assert pickle.loads(pickle.dumps(transform)).subpixel


@pytest.mark.parametrize("shifts", SHIFTS)
def test_masks_are_cut_at_the_nearest_whole_pixel(shifts: Any) -> None:
    images, masks = random_image(5, 3, *N), random_image(5, *N, seed=1)
    transform = RICSCrop(K, shifts=shifts, subpixel=True)
    for image, mask in zip(images, masks, strict=True):
        crop, cut = transform(tv_tensors.Image(image), tv_tensors.Mask(mask))
        place = transform.locate(image)
        assert torch.equal(crop.as_subclass(Tensor), transform(image))
        y, x = whole(place, N if shifts == "cyclic" else None).tolist()
        assert (place - torch.tensor((y, x))).abs().max() <= 0.5 or shifts == "cyclic"
        rolled = mask.roll((-y, -x), (-2, -1))[: K[0], : K[1]]
        assert torch.equal(cut.as_subclass(Tensor), rolled)
        if shifts == "realistic":
            assert torch.equal(rolled, mask[y : y + K[0], x : x + K[1]])


def test_a_place_just_below_the_period_is_nearest_to_its_start() -> None:
    assert whole(torch.tensor([N[0] - 1 / 64, 0.5]).double(), N).tolist() == [0, 1]


def test_boxes_and_points_move_by_the_fraction() -> None:
    image = random_image(3, *N, seed=3)
    transform = RICSCrop(K, subpixel=True)
    top, left = transform.locate(image).tolist()
    assert top % 1 and left % 1
    size = {"canvas_size": N}
    boxes = tv_tensors.BoundingBoxes([[20.0, 18, 26, 25.5]], format="XYXY", **size)
    points = tv_tensors.KeyPoints([[20.0, 18.0]], **size)
    _, box, point = transform(tv_tensors.Image(image), boxes, points)
    moved = torch.tensor([[20 - left, 18 - top, 26 - left, 25.5 - top]])
    torch.testing.assert_close(box.as_subclass(Tensor), moved)
    torch.testing.assert_close(point.as_subclass(Tensor), moved[:, :2])
    assert box.canvas_size == K
    back = uncrop(box, transform.locate(image), N)
    torch.testing.assert_close(back.as_subclass(Tensor), boxes.as_subclass(Tensor))


def test_masks_go_back_to_where_they_were_cut() -> None:
    image = random_image(3, *N, seed=3)
    transform = RICSCrop(K, subpixel=True)
    mask = tv_tensors.Mask(random_image(*N, seed=1))
    _, cut = transform(tv_tensors.Image(image), mask)
    back = uncrop(cut, transform.locate(image), N, fill=77)
    assert back.shape == N and (back == mask).sum() >= cut.numel()


def test_levels_without_a_range_stay_in_that_of_their_image() -> None:
    levels = 40000 * random_image(*N, high=2).numpy().astype(np.int32)
    crop = RICSCrop(K, subpixel=True)(PIL.Image.fromarray(levels))
    assert crop.getextrema() == (0, 40000)


def test_boxes_of_integers_move_by_whole_pixels() -> None:
    image = random_image(3, *N, seed=3)
    transform = RICSCrop(K, subpixel=True)
    boxes = tv_tensors.BoundingBoxes([[20, 18, 26, 25]], format="XYXY", canvas_size=N)
    _, box = transform(tv_tensors.Image(image), boxes)
    y, x = whole(transform.locate(image)).tolist()
    assert box.tolist() == [[20 - x, 18 - y, 26 - x, 25 - y]]


@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize("mode", MODES)
def test_pil_images_are_resampled_in_their_colours(mode: str, shifts: Any) -> None:
    image = pil(mode)
    transform = RICSCrop(K, shifts=shifts, subpixel=True)
    crop = transform(image)
    assert crop.size == (K[1], K[0])
    assert crop.mode == {"P": "RGB", "1": "L"}.get(mode, mode)
    colours = torch.from_numpy(np.atleast_3d(np.array(image.convert(crop.mode)))).movedim(-1, 0)
    places = (64 * transform.locate(image)).long()[None]
    found = torch.from_numpy(np.atleast_3d(np.array(crop))).movedim(-1, 0)
    expected = resample(colours[None], places, K, cyclic=shifts == "cyclic")[0]
    if mode == "I":  # which has no range of its own
        expected = expected.clamp(colours.min(), colours.max())
    assert torch.equal(found, expected)


def test_pil_masks_keep_their_labels() -> None:
    image = pil("RGB")
    transform = RICSCrop(K, subpixel=True)
    y, x = whole(transform.locate(image)).tolist()
    for mode in ("L", "P", "1"):
        mask = pil(mode)
        cut = transform(image, mask)[1]
        assert cut.mode == mode
        assert np.array_equal(np.array(cut), np.array(mask)[y : y + K[0], x : x + K[1]])


def test_one_place_for_all_frames_of_a_clip() -> None:
    clip = tv_tensors.Video(random_image(4, 3, *N))
    transform = RICSCrop(K, subpixel=True)
    place = transform.locate(clip)
    assert place.shape == (2,)
    frames = resample(clip.as_subclass(Tensor)[None], (64 * place).long()[None], K)[0]
    assert torch.equal(transform(clip).as_subclass(Tensor), frames)


@pytest.mark.parametrize("shifts", SHIFTS)
def test_arrays_and_origins(shifts: Any) -> None:
    array = random_image(*N, 3).numpy()
    transform = RICSCrop(K, shifts=shifts, subpixel=True, return_origin=True)
    crop, origin = transform(array)
    tensor = torch.from_numpy(array).movedim(-1, 0)
    assert origin.dtype == np.float64 and np.array_equal(origin, transform.locate(tensor))
    assert np.array_equal(crop, transform(tensor)[0].movedim(0, -1))


@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize("origin", [(-0.75, 0), (0, 15), (16.75, 0), (90, 0), (float("nan"), 0)])
def test_places_outside_are_refused(origin: tuple[float, float], shifts: Any) -> None:
    transform = RICSCrop(K, shifts=shifts, subpixel=True)
    origins = {"origins": torch.tensor(origin, dtype=torch.float64)}
    if shifts == "cyclic" and origin in ((-0.75, 0), (0, 15), (16.75, 0)):
        assert transform.transform(random_image(3, *N), origins).shape == (3, *K)
        return
    with pytest.raises(ValueError, match="Expected a crop inside the image"):
        transform.transform(random_image(3, *N), origins)


def test_it_stands_in_a_chain() -> None:
    chain = v2.Compose([RICSCrop(K, subpixel=True), v2.ToDtype(torch.float32, scale=True)])
    assert chain(random_image(2, 3, *N)).shape == (2, 3, *K)


def test_vmap_and_one_image_at_a_time_agree() -> None:
    images = random_image(3, 3, *N)
    transform = RICSCrop(K, subpixel=True)
    assert torch.equal(torch.vmap(transform.locate)(images), transform.locate(images))
    assert torch.equal(torch.vmap(transform)(images), transform(images))


def test_every_window_has_its_place_in_the_scene() -> None:
    scene = random_image(3, N[0] + 2, N[1] + 3)
    transform = RICSCrop(K, subpixel=True)
    places = transform.locate_windows(scene, N)
    assert places.dtype == torch.float64
    for y, x in np.ndindex(3, 4):
        window = scene[:, y : y + N[0], x : x + N[1]]
        assert torch.equal(places[y, x], transform.locate(window) + torch.tensor((y, x)))


def test_stability_knows_no_fractions() -> None:
    images = random_image(2, 3, *N)
    with pytest.raises(ValueError, match="Expected `subpixel` to be False for `stability`"):
        RICSCrop(K, subpixel=True).stability(images, 1)
    assert RICSCrop(K, subpixel=True, shifts="cyclic").stability(images, 1).tolist() == [1, 1]


@pytest.mark.parametrize("seed", range(4))
def test_a_certificate_says_what_windows_say(seed: int) -> None:
    """Sound: no pixel of the crop differs within its radius; the place changes beyond, or taps."""
    scene, delta = random_image(3, N[0] + 6, N[1] + 6, seed=seed), 3
    scene[:, N[0] // 2 : N[0] // 2 + 3, N[1] // 2 + 2 : N[1] // 2 + 5] = 255
    transform = RICSCrop(K, subpixel=True)
    certificate = transform.certify(scene, delta)

    def window(dy: int, dx: int) -> Tensor:
        return scene[:, 3 + dy : 3 + dy + N[0], 3 + dx : 3 + dx + N[1]]

    first = transform.locate(window(0, 0))
    assert certificate.origin == tuple((first + 3).tolist())
    moves = [(y, x) for y in range(-delta, delta + 1) for x in range(-delta, delta + 1)]
    for move in moves:
        within = max(map(abs, move)) <= certificate.radius
        if within:
            assert torch.equal(transform(window(*move)), transform(window(0, 0)))
    if certificate.counterexample is not None:
        y, x = certificate.counterexample
        moved = transform.locate(window(y, x)) + torch.tensor((y, x))
        sides = torch.stack([first, transform.locate(window(y, x))])
        near = (sides < 4).any() or (sides > torch.tensor(N) - torch.tensor(K) - 5).any()
        assert not torch.equal(moved, first) or near
