"""`RICSCrop` as a torchvision v2 transform: every kind of input, in every place it is used."""

import copy
import io
import os
import pickle
import random
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
import torchvision.transforms as v1
from skimage import data
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

import rics_transforms
from rics_transforms import (
    Lattice,
    RICSCrop,
    get_score,
    lattice_order,
    list_scores,
    locate,
    rics_crop,
    score_map,
)

from ..reference import ZOO, zoo_image

SCORES = ("hash", "lattice", "mexican_hat", "random", "saliency")
SHIFTS = ("realistic", "cyclic")
N, K = (40, 36), (24, 22)


def noise(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def photograph(name: str, size: tuple[int, int] = (72, 64)) -> PIL.Image.Image:
    return PIL.Image.fromarray(getattr(data, name)()).resize(size[::-1], PIL.Image.Resampling.BOX)


PHOTOGRAPHS = torch.stack(
    [F.pil_to_tensor(photograph(name)) for name in ("astronaut", "chelsea", "coffee")]
)


def window(image: Tensor, origin: Tensor, size: tuple[int, int] = K) -> Tensor:
    """The reference: roll the origin into the corner, then slice; for one image ``[..., H, W]``."""
    top, left = origin.tolist()
    return image.roll((-top, -left), (-2, -1))[..., : size[0], : size[1]]


def storage(tensor: Tensor) -> int:
    return tensor.as_subclass(Tensor).untyped_storage().data_ptr()


def test_scores_under_test_are_those_registered() -> None:
    assert set(SCORES) <= set(list_scores())


# --- tensors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize("score", SCORES)
def test_crop_is_the_window_at_its_origin(score: str, shifts: str) -> None:
    transform = RICSCrop((48, 40), score=score, shifts=shifts)
    origins = transform.locate(PHOTOGRAPHS)
    assert origins.dtype == torch.int64 and origins.shape == (3, 2)
    limit = torch.tensor([25, 25] if shifts == "realistic" else [72, 64])
    assert (origins >= 0).all() and (origins < limit).all()
    for image, origin, crop in zip(PHOTOGRAPHS, origins, transform(PHOTOGRAPHS), strict=True):
        assert torch.equal(crop, window(image, origin, (48, 40)))


@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("lead", [(), (1,), (3,), (5, 2), (2, 1, 2), (0,), (5, 0)], ids=str)
def test_any_leading_dimensions(lead: tuple[int, ...], score: str, shifts: str) -> None:
    transform = RICSCrop(K, score=score, shifts=shifts)
    images = noise(*lead, 3, *N)
    origins, crops = transform.locate(images), transform(images)
    assert origins.shape == (*lead, 2) and origins.dtype == torch.int64
    assert crops.shape == (*lead, 3, *K) and crops.dtype == images.dtype
    flat = zip(
        images.reshape(-1, 3, *N), origins.reshape(-1, 2), crops.reshape(-1, 3, *K), strict=True
    )
    for image, origin, crop in flat:
        assert torch.equal(transform.locate(image), origin)
        assert torch.equal(transform(image), crop)
        assert torch.equal(window(image, origin), crop)


@pytest.mark.parametrize("score", SCORES)
def test_a_large_batch_equals_its_images(score: str) -> None:
    """Beyond what is scored at once."""
    images = noise(70, 1, 64, 64)
    alone = torch.stack([locate(image, 50, score=score) for image in images])
    assert torch.equal(locate(images, 50, score=score), alone)


@pytest.mark.parametrize("shifts", SHIFTS)
def test_every_dtype_holding_the_same_levels_has_the_same_crop(shifts: str) -> None:
    images = noise(2, 3, *N) // 2
    transform = RICSCrop(K, shifts=shifts)
    origins, crops = transform.locate(images), transform(images)
    integers = (torch.int8, torch.int16, torch.int32, torch.int64)
    for dtype in (*integers, torch.uint16, torch.uint32, torch.uint64):
        assert torch.equal(transform.locate(images.to(dtype)), origins)
        assert torch.equal(transform(images.to(dtype)).to(torch.uint8), crops)
        assert transform(images.to(dtype)).dtype == dtype
    for floating in (torch.float16, torch.float32, torch.float64):
        scaled = (images / 255).to(floating)
        assert torch.equal(transform.locate(scaled), origins)
        assert torch.equal((transform(scaled) * 255).round().to(torch.uint8), crops)
        assert transform(scaled).dtype == floating
    for dtype in (torch.bool, torch.bfloat16):
        other = (images > 60).to(dtype)
        expected = [window(*pair) for pair in zip(other, transform.locate(other), strict=True)]
        assert torch.equal(transform(other), torch.stack(expected))
        assert transform(other).dtype == dtype


@pytest.mark.parametrize("score", SCORES)
def test_memory_layout_does_not_matter(score: str) -> None:
    images = noise(3, 3, *N)
    transform = RICSCrop(K, score=score)
    expected = transform(images)
    layouts = {
        "channels_last": images.to(memory_format=torch.channels_last),
        "transposed": images.mT.contiguous().mT,
        "strided": torch.stack([images, images + 1], -1)[..., 0],
        "flipped axes": images.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0),
    }
    for name, layout in layouts.items():
        assert not layout.is_contiguous(), name
        assert torch.equal(transform(layout), expected), name
    same = images[:1].expand(3, -1, -1, -1)
    assert torch.equal(transform(same), expected[:1].expand(3, -1, -1, -1))


def test_k_equal_to_the_image_is_a_copy() -> None:
    for shape in ((3, *N), (2, 3, *N)):
        image = noise(*shape)
        for size in (N, N[1]):
            crop = rics_crop(image, size)
            if size == N:
                assert torch.equal(crop, image)
            assert storage(crop) != storage(image)


@pytest.mark.parametrize("score", SCORES)
def test_functions_and_transform_agree(score: str) -> None:
    for shifts in SHIFTS:
        transform = RICSCrop(list(K), score=score, shifts=shifts)
        for images in (
            noise(2, 3, *N),
            tv_tensors.Image(noise(3, *N)),
            F.to_pil_image(noise(3, *N)),
        ):
            origins = locate(images, K, score=score, shifts=shifts)
            assert type(origins) is Tensor
            assert torch.equal(origins, transform.locate(images))
            crop = rics_crop(images, K, score=score, shifts=shifts)
            assert torch.equal(crop, F.to_image(transform(images)).as_subclass(Tensor))


# --- videos --------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", ["hash", "random"])
@pytest.mark.parametrize("shifts", SHIFTS)
def test_video_has_one_crop_per_clip_by_the_sum_of_score_maps(score: str, shifts: str) -> None:
    clips = noise(2, 4, 3, *N)
    frames = score_map(clips, K, score, shifts=shifts)
    assert frames.shape[:2] == (2, 4)
    best = frames.sum(1).flatten(1).argmax(1)
    expected = torch.stack([best // frames.shape[-1], best % frames.shape[-1]], 1)
    transform = RICSCrop(K, score=score, shifts=shifts)
    video = tv_tensors.Video(clips)
    assert torch.equal(transform.locate(video), expected)
    assert torch.equal(score_map(video, K, score, shifts=shifts), frames.sum(1))
    cropped = transform(video)
    assert type(cropped) is tv_tensors.Video and cropped.shape == (2, 4, 3, *K)
    for clip, origin, crop in zip(clips, expected, cropped, strict=True):
        assert torch.equal(window(clip, origin), crop.as_subclass(Tensor))
        assert torch.equal(transform.locate(tv_tensors.Video(clip)), origin)


def test_video_with_the_lattice_by_brute_force() -> None:
    n, k = 72, 56
    order, _ = lattice_order(n, k)
    m = n - k + 1
    t = n - order * m + 1
    assert order > 1
    (level,) = Lattice().levels((t, t))
    for seed in range(5):
        clip = noise(3, 3, n, n, seed=seed)
        total = level.patch_map(clip, (t, t)).to(torch.int64).sum(0)
        assert total.shape == (order * m, order * m)
        inner = total[1:-1, 1:-1]
        peak = inner == total.unfold(0, 3, 1).unfold(1, 3, 1).amax((-2, -1))
        best = max((int(inner[y, x]), (int(y + 1) % m, int(x + 1) % m)) for y, x in peak.nonzero())
        assert tuple(locate(tv_tensors.Video(clip), k).tolist()) == best[1]


def test_plain_four_dimensions_are_a_batch_and_a_video_is_one_clip() -> None:
    images = noise(6, 3, *N)
    transform = RICSCrop(K)
    assert transform.locate(images).shape == (6, 2)
    assert len(transform.locate(images).unique(dim=0)) > 1
    assert transform.locate(tv_tensors.Image(images)).shape == (6, 2)
    assert transform.locate(tv_tensors.Video(images)).shape == (2,)
    crop = transform(tv_tensors.Video(images))
    assert torch.equal(
        crop.as_subclass(Tensor), window(images, transform.locate(tv_tensors.Video(images)))
    )


def test_video_of_one_frame_is_that_image_and_flat_frames_do_not_vote() -> None:
    for image in PHOTOGRAPHS:
        origin = locate(image, 48)
        assert torch.equal(locate(tv_tensors.Video(image[None]), 48), origin)
        still = tv_tensors.Video(torch.stack([image, image]))
        assert torch.equal(locate(still, 48), origin)
        faded = tv_tensors.Video(torch.stack([image, torch.full_like(image, 200)]))
        assert torch.equal(locate(faded, 48), origin)


@pytest.mark.parametrize("lead", [(), (2,), (0,), (2, 3)], ids=str)
def test_batches_of_videos(lead: tuple[int, ...]) -> None:
    clips = noise(*lead, 2, 3, *N)
    transform = RICSCrop(K)
    video = tv_tensors.Video(clips)
    assert transform.locate(video).shape == (*lead, 2)
    assert transform(video).shape == (*lead, 2, 3, *K)
    for clip, crop in zip(
        clips.reshape(-1, 2, 3, *N), transform(video).reshape(-1, 2, 3, *K), strict=True
    ):
        assert torch.equal(transform(tv_tensors.Video(clip)), crop)


# --- PIL images ----------------------------------------------------------------------------------


def pil(mode: str) -> PIL.Image.Image:
    image = photograph("astronaut", N)
    if mode == "I;16":
        return PIL.Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    if mode == "RGBA":
        image.putalpha(PIL.Image.fromarray(noise(*N).numpy()))
        return image
    if mode == "P":
        return image.quantize(32)
    return image.convert(mode)


def colours(image: PIL.Image.Image) -> Tensor:
    """What the image shows, as a tensor; written apart from the conversion under test."""
    if image.mode in ("P", "1"):
        image = image.convert({"P": "RGB", "1": "L"}[image.mode])
    array = np.asarray(image)
    if array.dtype == np.uint16:
        array = array.astype(np.int64)
    return torch.from_numpy(array.reshape(*N, -1).copy()).movedim(-1, -3)


PIL_MODES = ("RGB", "L", "RGBA", "P", "1", "I;16", "CMYK", "F", "I", "LA", "YCbCr", "HSV")


@pytest.mark.parametrize("score", ["lattice", "hash"])
@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize("mode", PIL_MODES)
def test_pil_image_is_cropped_like_the_tensor_of_its_colours(
    mode: str, shifts: str, score: str
) -> None:
    image = pil(mode)
    assert image.mode == mode
    before = image.tobytes()
    transform = RICSCrop(K, score=score, shifts=shifts)
    origin = transform.locate(image)
    assert origin.shape == (2,)
    assert torch.equal(origin, transform.locate(colours(image)))
    crop = transform(image)
    assert isinstance(crop, PIL.Image.Image)
    assert crop.mode == mode and crop.size == K[::-1] and crop.getpalette() == image.getpalette()
    top, left = origin.tolist()
    if shifts == "realistic":
        expected = image.crop((left, top, left + K[1], top + K[0]))
        assert crop.tobytes() == expected.tobytes()
    else:
        shown = np.roll(np.asarray(image), (-top, -left), (0, 1))[: K[0], : K[1]]
        assert np.array_equal(np.asarray(crop), shown)
    assert image.tobytes() == before
    assert torch.equal(rics_crop(image, K, score=score, shifts=shifts), colours_of_crop(crop))


def colours_of_crop(crop: PIL.Image.Image) -> Tensor:
    if crop.mode in ("P", "1"):
        crop = crop.convert({"P": "RGB", "1": "L"}[crop.mode])
    array = np.asarray(crop)
    if array.dtype == np.uint16:
        array = array.astype(np.int32)
    return torch.from_numpy(array.reshape(*K, -1).copy()).movedim(-1, -3)


def test_a_palette_chooses_by_its_colours_not_by_its_numbering() -> None:
    image = pil("P")
    numbers = np.asarray(image)
    palette = np.array(image.getpalette()).reshape(-1, 3)
    renumber = np.random.default_rng(0).permutation(len(palette))
    other = PIL.Image.fromarray(renumber[numbers].astype(np.uint8), "L")
    other.putpalette(palette[np.argsort(renumber)].astype(np.uint8).tobytes())
    assert other.mode == "P" and not np.array_equal(np.asarray(other), numbers)
    assert np.array_equal(np.asarray(other.convert("RGB")), np.asarray(image.convert("RGB")))
    for score in SCORES:
        expected = locate(image.convert("RGB"), K, score=score)
        assert torch.equal(locate(image, K, score=score), expected)
        assert torch.equal(locate(other, K, score=score), expected)
    raw = locate(torch.from_numpy(numbers.copy())[None], K, score="hash")
    assert not torch.equal(raw, locate(image, K, score="hash"))


def test_transparency_of_a_palette_counts() -> None:
    image = pil("P")
    image.info["transparency"] = 3
    assert torch.equal(
        locate(image, K, score="hash"),
        locate(F.pil_to_tensor(image.convert("RGBA")), K, score="hash"),
    )


def test_sixteen_bits_are_not_truncated() -> None:
    low = noise(*N).numpy().astype(np.uint16)
    image = PIL.Image.fromarray(low + 0x8100)
    assert image.mode == "I;16"
    expected = locate(torch.from_numpy((low + 0x8100).astype(np.int32))[None], K, score="hash")
    assert torch.equal(locate(image, K, score="hash"), expected)
    assert np.asarray(RICSCrop(K)(image)).min() >= 0x8100


def test_pil_and_tensor_of_photographs_agree() -> None:
    for name in ("astronaut", "chelsea", "coffee"):
        image = photograph(name)
        for score in SCORES:
            transform = RICSCrop(48, score=score)
            assert torch.equal(F.pil_to_tensor(transform(image)), transform(F.pil_to_tensor(image)))


# --- masks, boxes and keypoints ------------------------------------------------------------------


@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize("shape", [N, (1, *N), (5, *N)], ids=str)
def test_mask_follows_its_image(shape: tuple[int, ...], shifts: str) -> None:
    image, mask = noise(3, *N), noise(*shape, seed=1)
    transform = RICSCrop(K, shifts=shifts)
    origin = transform.locate(image)
    for sample in (
        (image, tv_tensors.Mask(mask)),
        (tv_tensors.Image(image), tv_tensors.Mask(mask)),
        (F.to_pil_image(image), tv_tensors.Mask(mask)),
    ):
        out = transform(*sample)[1]
        assert type(out) is tv_tensors.Mask
        assert torch.equal(out.as_subclass(Tensor), window(mask, origin))
        first = transform({"mask": sample[1], "image": sample[0]})["mask"]
        assert torch.equal(first, out)


@pytest.mark.parametrize("shifts", SHIFTS)
def test_batched_mask_follows_its_image(shifts: str) -> None:
    images = noise(2, 3, 3, *N)
    transform = RICSCrop(K, shifts=shifts)
    origins = transform.locate(images)
    for per_image in ((), (1,), (4,)):
        mask = noise(2, 3, *per_image, *N, seed=1)
        out = transform(tv_tensors.Image(images), tv_tensors.Mask(mask))[1]
        assert out.shape == (2, 3, *per_image, *K)
        for i, j in np.ndindex(2, 3):
            assert torch.equal(out[i, j].as_subclass(Tensor), window(mask[i, j], origins[i, j]))
    empty = transform(tv_tensors.Image(images[:0]), tv_tensors.Mask(noise(0, 3, *N)))
    assert empty[0].shape == (0, 3, 3, *K) and empty[1].shape == (0, 3, *K)


def test_mask_follows_its_video() -> None:
    clips = noise(2, 4, 3, *N)
    transform = RICSCrop(K)
    origins = transform.locate(tv_tensors.Video(clips))
    mask = noise(2, 4, *N, seed=1)
    out = transform(tv_tensors.Video(clips), tv_tensors.Mask(mask))[1].as_subclass(Tensor)
    for i in range(2):
        assert torch.equal(out[i], window(mask[i], origins[i]))
    single = transform(tv_tensors.Video(clips[0]), tv_tensors.Mask(mask[0]))[1]
    assert torch.equal(single.as_subclass(Tensor), out[0])


@pytest.mark.parametrize("lead", [(), (3,), (2, 1), (0,)], ids=str)
def test_mismatched_leading_dimensions_raise(lead: tuple[int, ...]) -> None:
    image, mask = tv_tensors.Image(noise(2, 3, *N)), tv_tensors.Mask(noise(*lead, *N))
    if lead[:1] == (2,):
        assert RICSCrop(K)(image, mask)[1].shape == (*lead, *K)
        return
    with pytest.raises(ValueError, match="leading dimensions"):
        RICSCrop(K)(image, mask)
    with pytest.raises(ValueError, match="leading dimensions"):
        RICSCrop(K)(image, tv_tensors.Image(noise(*lead, 3, *N)))


FORMATS = tuple(tv_tensors.BoundingBoxFormat)
ROTATED = [f for f in FORMATS if tv_tensors.is_rotated_bounding_format(f)]
PLAIN = [f for f in FORMATS if f not in ROTATED]


def boxes_in(format: tv_tensors.BoundingBoxFormat, corners: Tensor) -> tv_tensors.BoundingBoxes:
    boxes = tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=N)
    if format in PLAIN:
        return F.convert_bounding_box_format(boxes, new_format=format)
    upright = F.convert_bounding_box_format(boxes, new_format=tv_tensors.BoundingBoxFormat.XYWH)
    angle = torch.zeros(len(corners), 1)
    rotated = tv_tensors.BoundingBoxes(
        torch.cat([upright.as_subclass(Tensor), angle], 1), format="XYWHR", canvas_size=N
    )
    return F.convert_bounding_box_format(rotated, new_format=format)


@pytest.mark.parametrize("mode", ["soft", "hard"])
@pytest.mark.parametrize("format", PLAIN, ids=lambda f: f.value)
def test_boxes_are_shifted_and_clamped(format: tv_tensors.BoundingBoxFormat, mode: str) -> None:
    generator = torch.Generator().manual_seed(3)
    start = torch.rand(50, 2, generator=generator) * torch.tensor([30.0, 34.0])
    corners = torch.cat([start, start + 1 + 5 * torch.rand(50, 2, generator=generator)], 1)
    boxes = boxes_in(format, corners)
    boxes.clamping_mode = mode
    transform = RICSCrop(K)
    image = tv_tensors.Image(noise(3, *N))
    out = transform(image, boxes)[1]
    assert type(out) is tv_tensors.BoundingBoxes
    assert (out.format, out.canvas_size, out.clamping_mode) == (format, K, mode)
    top, left = transform.locate(image).tolist()
    expected = corners - torch.tensor([left, top, left, top])
    expected = torch.maximum(expected, torch.tensor(0.0))
    expected = torch.minimum(expected, torch.tensor([K[1], K[0]] * 2))
    got = F.convert_bounding_box_format(out, new_format=tv_tensors.BoundingBoxFormat.XYXY)
    torch.testing.assert_close(got.as_subclass(Tensor), expected, atol=1e-4, rtol=0)
    assert boxes.canvas_size == N


@pytest.mark.parametrize("format", ROTATED, ids=lambda f: f.value)
def test_rotated_boxes_are_shifted(format: tv_tensors.BoundingBoxFormat) -> None:
    transform = RICSCrop(K)
    image = tv_tensors.Image(noise(3, *N))
    top, left = transform.locate(image).tolist()
    centre = [left + 11.0, top + 12.0]
    rotated = tv_tensors.BoundingBoxes(
        [[*centre, 6.0, 4.0, 30.0], [*centre, 3.0, 5.0, -75.0]], format="CXCYWHR", canvas_size=N
    )
    boxes = F.convert_bounding_box_format(rotated, new_format=format)
    out = transform(image, boxes)[1]
    assert (out.format, out.canvas_size) == (format, K)
    back = F.convert_bounding_box_format(out, new_format=tv_tensors.BoundingBoxFormat.CXCYWHR)
    expected = [[11.0, 12.0, 6.0, 4.0, 30.0], [11.0, 12.0, 3.0, 5.0, -75.0]]
    torch.testing.assert_close(
        back.as_subclass(Tensor), torch.tensor(expected), atol=1e-3, rtol=1e-4
    )


@pytest.mark.parametrize("format", FORMATS, ids=lambda f: f.value)
def test_boxes_out_of_the_crop_are_sanitized_with_their_labels(
    format: tv_tensors.BoundingBoxFormat,
) -> None:
    transform = RICSCrop(K)
    image = tv_tensors.Image(noise(3, *N))
    top, left = transform.locate(image).tolist()
    y, x = 0.0 if top >= 4 else N[0] - 4.0, 0.0 if left >= 4 else N[1] - 4.0
    assert not (top - 3 < y < top + K[0]) and not (left - 3 < x < left + K[1])
    corners = torch.tensor(
        [
            [x, y, x + 3, y + 3],
            [left + 2.0, top + 2.0, left + 9.0, top + 11.0],
            [x, y, x + 2, y + 2],
        ]
    )
    boxes, labels = boxes_in(format, corners), torch.tensor([7, 8, 9])
    sample = {"image": image, "boxes": boxes, "labels": labels}
    cropped = transform(sample)
    assert len(cropped["boxes"]) == 3 and cropped["labels"] is labels
    if format in PLAIN:
        as_corners = F.convert_bounding_box_format(
            cropped["boxes"], new_format=tv_tensors.BoundingBoxFormat.XYXY
        )
        size = as_corners[:, 2:] - as_corners[:, :2]
        assert (size.min(1)[0] <= 0).tolist() == [True, False, True]
    kept = v2.Compose([transform, v2.SanitizeBoundingBoxes()])(sample)
    assert kept["labels"].tolist() == [8]
    assert kept["boxes"].shape[0] == 1 and kept["boxes"].canvas_size == K


@pytest.mark.parametrize("shape", [(4, 2), (2, 5, 2), (3, 2, 2, 2), (0, 2)], ids=str)
@pytest.mark.parametrize("dtype", [torch.int64, torch.float32], ids=str)
def test_keypoints_are_shifted_and_not_clamped(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    points = (torch.arange(int(np.prod(shape))) * 7 % 36).reshape(shape).to(dtype)
    transform = RICSCrop(K)
    for image in (noise(3, *N), tv_tensors.Image(noise(3, *N)), pil("RGB")):
        out = transform(image, tv_tensors.KeyPoints(points, canvas_size=N))[1]
        assert type(out) is tv_tensors.KeyPoints
        assert out.canvas_size == K and out.dtype == dtype
        origin = transform.locate(image)
        assert torch.equal(out.as_subclass(Tensor), points - origin.flip(0).to(dtype))


@pytest.mark.parametrize("kind", ["boxes", "keypoints"])
def test_annotations_of_a_batch_are_refused(kind: str) -> None:
    annotation = ANNOTATIONS[kind](N)
    for image in (noise(2, 3, *N), tv_tensors.Image(noise(1, 3, *N))):
        with pytest.raises(ValueError, match="per sample, before batching"):
            RICSCrop(K)(image, annotation)
    with pytest.raises(ValueError, match="per sample, before batching"):
        RICSCrop(K)(tv_tensors.Video(noise(2, 4, 3, *N)), annotation)
    assert RICSCrop(K)(tv_tensors.Video(noise(4, 3, *N)), annotation)[1].canvas_size == K


ANNOTATIONS: dict[str, Callable[[tuple[int, int]], Any]] = {
    "image": lambda n: tv_tensors.Image(noise(3, *n)),
    "pil": lambda n: F.to_pil_image(noise(1, *n)),
    "video": lambda n: tv_tensors.Video(noise(2, 3, *n)),
    "mask": lambda n: tv_tensors.Mask(noise(*n)),
    "boxes": lambda n: tv_tensors.BoundingBoxes([[1, 2, 9, 8]], format="XYXY", canvas_size=n),
    "keypoints": lambda n: tv_tensors.KeyPoints([[1, 2], [9, 8]], canvas_size=n),
}


# --- custom types --------------------------------------------------------------------------------


class Depth(tv_tensors.TVTensor):
    """A user's own kind of image, with a kernel."""


class Caption(tv_tensors.TVTensor):
    """A user's own kind of input, without one."""


@v2.functional.register_kernel(F.crop, Depth)
def crop_depth(inpt: Depth, top: int, left: int, height: int, width: int) -> Depth:
    return tv_tensors.wrap(inpt[..., top : top + height, left : left + width], like=inpt)


def test_registered_kernels_are_used() -> None:
    image, depth = tv_tensors.Image(noise(3, *N)), noise(1, *N, seed=1).as_subclass(Depth)
    out = RICSCrop(K)(image, depth)[1]
    assert type(out) is Depth
    assert torch.equal(
        out.as_subclass(Tensor), window(depth.as_subclass(Tensor), RICSCrop(K).locate(image))
    )
    with pytest.raises(ValueError, match="per sample, before batching"):
        RICSCrop(K)(tv_tensors.Image(noise(2, 3, *N)), depth)
    with pytest.raises(ValueError, match="wraps around"):
        RICSCrop(K, shifts="cyclic")(image, depth)


def test_types_without_a_kernel_pass_through() -> None:
    caption = torch.arange(5).as_subclass(Caption)
    for image in (noise(3, *N), tv_tensors.Image(noise(3, *N)), pil("RGB")):
        assert RICSCrop(K)(image, caption)[1] is caption


@pytest.mark.parametrize("shifts", SHIFTS)
def test_other_types_are_refused_beside_a_batch_and_on_the_torus(shifts: str) -> None:
    caption = torch.arange(5).as_subclass(Caption)
    lead = (2,) if shifts == "realistic" else ()
    image = tv_tensors.Image(noise(*lead, 3, *N))
    with pytest.raises(ValueError, match="per sample" if lead else "wraps around"):
        RICSCrop(K, shifts=shifts)(image, caption)


def test_foreign_functionals_take_no_kernels() -> None:
    with pytest.raises(ValueError, match="torchvision"):
        v2.functional.register_kernel(rics_crop, Caption)


# --- samples -------------------------------------------------------------------------------------


def test_nested_samples() -> None:
    image = tv_tensors.Image(noise(3, *N))
    label, array = torch.tensor(3), np.zeros(3)
    sample = {
        "name": "first",
        "inputs": [image, (tv_tensors.Mask(noise(*N)), None)],
        "label": label,
        "array": array,
        "boxes": ANNOTATIONS["boxes"](N),
        "rate": 0.5,
    }
    out = RICSCrop(K)(sample)
    assert list(out) == list(sample)
    assert out["name"] == "first" and out["rate"] == 0.5 and out["inputs"][1][1] is None
    assert out["label"] is label and out["array"] is array
    assert out["inputs"][0].shape == (3, *K) and out["inputs"][1][0].shape == K
    assert isinstance(out["inputs"], list) and isinstance(out["inputs"][1], tuple)


def test_the_first_image_decides() -> None:
    first, second = noise(3, *N), noise(3, *N, seed=1)
    origin = locate(first, K)
    assert not torch.equal(origin, locate(second, K))
    out = RICSCrop(K)(tv_tensors.Mask(second), tv_tensors.Image(first), tv_tensors.Image(second))
    assert torch.equal(out[1].as_subclass(Tensor), window(first, origin))
    assert torch.equal(out[0].as_subclass(Tensor), window(second, origin))
    assert torch.equal(out[2].as_subclass(Tensor), window(second, origin))
    pair = RICSCrop(K)(F.to_pil_image(first), F.to_pil_image(second))
    assert torch.equal(F.pil_to_tensor(pair[1]), window(second, origin))


@pytest.mark.parametrize("other", ANNOTATIONS)
@pytest.mark.parametrize("guide", ["image", "pil", "video", "tensor"])
def test_sizes_must_agree(guide: str, other: str) -> None:
    first = noise(3, *N) if guide == "tensor" else ANNOTATIONS[guide](N)
    if guide == "pil":
        first = pil("RGB")
    if guide == "tensor" and other in ("image", "pil", "video"):
        pytest.skip("a plain tensor passes through beside an explicit image")
    for size in ((N[0], N[1] + 1), N[::-1]):
        with pytest.raises(ValueError, match="size"):
            RICSCrop(K)(first, ANNOTATIONS[other](size))
    assert len(RICSCrop(K)(first, ANNOTATIONS[other](N))) == 2


def test_pil_mask_before_its_image_is_refused() -> None:
    image, mask = pil("RGB"), pil("L")
    for first in ("L", "1", "P", "I;16"):
        with pytest.raises(ValueError, match=r"tv_tensors\.Mask"):
            RICSCrop(K)(pil(first), image)
    with pytest.raises(ValueError, match=r"tv_tensors\.Mask"):
        RICSCrop(K)({"a": mask, "b": image})
    out = RICSCrop(K)(image, mask)
    top, left = RICSCrop(K).locate(image).tolist()
    assert out[1].tobytes() == mask.crop((left, top, left + K[1], top + K[0])).tobytes()
    wrapped = RICSCrop(K)(tv_tensors.Mask(F.pil_to_tensor(mask)), image)
    assert torch.equal(wrapped[0].as_subclass(Tensor), F.pil_to_tensor(out[1]))


def test_second_plain_tensor_passes_through() -> None:
    first, second = noise(3, *N), noise(3, *N, seed=1)
    out = RICSCrop(K)(first, second)
    assert out[0].shape == (3, *K) and out[1] is second
    out = RICSCrop(K)(first, tv_tensors.Image(second))
    assert out[0] is first and out[1].shape == (3, *K)
    assert RICSCrop(K)(first, pil("RGB"))[0] is first


@pytest.mark.parametrize("label", [torch.tensor(3), torch.arange(8), torch.zeros(8, 2)], ids=str)
def test_a_label_taken_for_the_image_is_a_clear_error(label: Tensor) -> None:
    with pytest.raises(ValueError, match=r"Expected `images` to have shape \[\.\.\., C, H, W\]"):
        RICSCrop(K)(label, noise(3, *N))
    assert RICSCrop(K)(label, tv_tensors.Image(noise(3, *N)))[0] is label


@pytest.mark.parametrize("label", [torch.tensor(3), torch.arange(8)], ids=str)
def test_a_label_taken_for_the_image_beside_a_mask_is_the_same_error(label: Tensor) -> None:
    with pytest.raises(ValueError, match=r"Expected `images` to have shape \[\.\.\., C, H, W\]"):
        RICSCrop(K)(label, noise(3, *N), tv_tensors.Mask(noise(*N)))


@pytest.mark.parametrize(
    "sample",
    [("a", 3, None), [], {}, np.zeros((40, 36, 3)), {"mask": ANNOTATIONS["mask"](N)}]
    + [[ANNOTATIONS[kind](N)] for kind in ("boxes", "keypoints")],
    ids=lambda sample: type(sample).__name__,
)
def test_no_image_is_a_type_error(sample: Any) -> None:
    with pytest.raises(TypeError, match="an image or a video"):
        RICSCrop(K)(sample)


def test_wrong_inputs() -> None:
    image = noise(3, *N)
    with pytest.raises(ValueError, match="at most the image size"):
        RICSCrop((41, 10))(image)
    with pytest.raises(ValueError, match="at most the image size"):
        RICSCrop((10, 37), shifts="cyclic")(F.to_pil_image(image))
    with pytest.raises(TypeError, match="real"):
        RICSCrop(K)(image.to(torch.complex64))
    for bad in (float("nan"), float("inf")):
        poisoned = image / 255
        poisoned[1, 2, 3] = bad
        with pytest.raises(ValueError, match="finite"):
            RICSCrop(K)(poisoned)
    with pytest.raises(TypeError, match="from_numpy"):
        locate(image.numpy(), K)  # type: ignore[arg-type]
    for shape in ((40, 36), (0, *N), (3, 0, 36), (36,)):
        with pytest.raises(ValueError, match=r"\[\.\.\., C, H, W\]"):
            locate(torch.zeros(shape), K)
    with pytest.raises(ValueError, match=r"\[\.\.\., T, C, H, W\]"):
        locate(tv_tensors.Video(noise(0, 3, *N)), K)


def test_wrong_arguments() -> None:
    for k in ("a", 1.5, None, True, (3, "b")):
        with pytest.raises(TypeError, match="`k`"):
            RICSCrop(k)  # type: ignore[arg-type]
    for size in (0, -3, (3, 0), (1, 2, 3), ()):
        with pytest.raises(ValueError, match="`k`"):
            RICSCrop(size)
    with pytest.raises(ValueError, match="did you mean 'lattice'"):
        RICSCrop(3, score="latice")
    with pytest.raises(ValueError, match="'realistic' or 'cyclic'"):
        RICSCrop(3, shifts="circular")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        RICSCrop(3, "lattice")  # type: ignore[misc]
    assert RICSCrop(np.int64(3)).k == (3, 3)


def test_origins_are_made_once_per_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[Any]] = []
    original = RICSCrop.make_params

    def counted(self: RICSCrop, flat_inputs: list[Any]) -> dict[str, Any]:
        calls.append(flat_inputs)
        return original(self, flat_inputs)

    monkeypatch.setattr(RICSCrop, "make_params", counted)
    located: list[Any] = []
    inner = RICSCrop.locate
    monkeypatch.setattr(
        RICSCrop, "locate", lambda self, images: located.append(images) or inner(self, images)
    )
    image = tv_tensors.Image(noise(3, *N))
    sample = [image, *(ANNOTATIONS[kind](N) for kind in ANNOTATIONS), "text"]
    RICSCrop(K)(sample)
    assert len(calls) == 1 and len(calls[0]) == 7
    assert len(located) == 1 and located[0] is image


def test_make_params_returns_what_locate_does() -> None:
    transform = RICSCrop(K)
    images = noise(4, 3, *N)
    assert torch.equal(transform.make_params([images])["origins"], transform.locate(images))
    params = {"origins": torch.tensor([3, 5])}
    crop = transform.transform(tv_tensors.Image(images[0]), params)
    assert torch.equal(crop.as_subclass(Tensor), images[0, :, 3:27, 5:27])
    with pytest.raises(ValueError, match="inside the image"):  # F.crop would pad with zeros
        transform.transform(images[0], {"origins": torch.tensor([30, 5])})


# --- cyclic --------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", SCORES)
def test_cyclic_crops_wrap_around_both_borders(score: str) -> None:
    transform = RICSCrop(K, score=score, shifts="cyclic")
    image, mask = noise(3, *N), noise(2, *N, seed=1)
    height, width = N
    base, crop = transform.locate(image), transform(image)
    for place in ((0, 0), (height - 1, width - 1), (height - 3, 2), (5, width - 20), (39, 35)):
        move = (torch.tensor(place) - base).tolist()
        moved, moved_mask = image.roll(move, (-2, -1)), mask.roll(move, (-2, -1))
        assert transform.locate(moved).tolist() == list(place)
        assert torch.equal(transform(moved), crop)
        assert torch.equal(F.pil_to_tensor(transform(F.to_pil_image(moved))), crop)
        pair = transform(tv_tensors.Image(moved), tv_tensors.Mask(moved_mask))
        assert torch.equal(pair[0].as_subclass(Tensor), crop)
        assert torch.equal(pair[1].as_subclass(Tensor), window(mask, base))


@pytest.mark.parametrize("mode", PIL_MODES)
def test_cyclic_crops_of_pil_images_in_every_mode(mode: str) -> None:
    transform = RICSCrop(K, shifts="cyclic", score="hash")
    image = pil(mode)
    seen = set()
    for move in ((0, 0), (17, 0), (0, 19), (23, 31), (39, 35)):
        left, top = move[1], move[0]
        moved = PIL.Image.new(mode, image.size)
        if image.getpalette() is not None:
            moved.putpalette(image.getpalette())
        for dx in (left, left - N[1]):
            for dy in (top, top - N[0]):
                moved.paste(image, (dx, dy))
        seen.add(np.asarray(transform(moved)).tobytes())
    assert len(seen) == 1


@pytest.mark.parametrize("kind", ["boxes", "keypoints"])
def test_cyclic_annotations_are_refused_with_the_reason(kind: str) -> None:
    transform = RICSCrop(K, shifts="cyclic")
    annotation = ANNOTATIONS[kind](N)
    for image in (noise(3, *N), tv_tensors.Image(noise(3, *N)), pil("RGB")):
        with pytest.raises(ValueError, match=r"wraps around can cut one object into several"):
            transform(image, annotation)


def test_shifted_windows_of_a_scene_give_the_same_pixels() -> None:
    scene = torch.zeros(3, 60, 60, dtype=torch.uint8)
    scene[:, 28:33, 29:34] = noise(3, 5, 5) // 2 + 128
    crops = {
        RICSCrop(32)(scene[:, y : y + 48, x : x + 48]).numpy().tobytes()
        for y in range(5, 8)
        for x in range(5, 8)
    }
    assert len(crops) == 1


# --- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize("size", [K, N], ids=str)
def test_output_never_aliases_the_input(size: tuple[int, int], shifts: str) -> None:
    transform = RICSCrop(size, shifts=shifts)
    kinds = {
        "plain": noise(3, *N),
        "batch": noise(1, 3, *N),
        "image": tv_tensors.Image(noise(3, *N)),
        "images": tv_tensors.Image(noise(2, 3, *N)),
        "video": tv_tensors.Video(noise(2, 3, *N)),
        "float": torch.rand(3, *N, generator=torch.Generator().manual_seed(0)),
    }
    for name, image in kinds.items():
        lead = image.shape[: 1 if name in ("batch", "images") else 0]
        mask = tv_tensors.Mask(noise(*lead, *N))
        before = image.clone(), mask.clone()
        out = transform(image, mask)
        for source, result, kept in zip((image, mask), out, before, strict=True):
            assert storage(result) != storage(source), name
            assert result.is_contiguous()
            result.as_subclass(Tensor).zero_()
            assert torch.equal(source, kept), name
    picture = pil("RGB")
    before_bytes = picture.tobytes()
    transform(picture).paste((0, 0, 0), (0, 0, *size[::-1]))
    assert picture.tobytes() == before_bytes


def test_annotations_do_not_alias_either() -> None:
    for size in (K, N):
        for kind in ("boxes", "keypoints"):
            source = ANNOTATIONS[kind](N)
            out = RICSCrop(size)(noise(3, *N), source)[1]
            assert storage(out) != storage(source)


@pytest.mark.parametrize("wrap", [Tensor.clone, tv_tensors.Image, tv_tensors.Mask])
def test_small_crop_of_a_large_image_is_small_on_disk(wrap: Callable[[Tensor], Tensor]) -> None:
    image = noise(3, 600, 500)
    out = RICSCrop(20, score="hash")(tv_tensors.Image(image), wrap(image))
    parts = [out[0], rics_crop(image, 20, score="hash")]
    if wrap is not Tensor.clone:
        parts.append(out[1])
    for part in parts:
        file = io.BytesIO()
        torch.save(part, file)
        assert part.shape == (3, 20, 20)
        assert len(pickle.dumps(part)) < 5_000 and file.tell() < 5_000


# --- as an object --------------------------------------------------------------------------------


@pytest.mark.parametrize("score", [*SCORES, Lattice(order=2, patch="hash")], ids=str)
@pytest.mark.parametrize("shifts", SHIFTS)
def test_pickle_and_deepcopy(score: Any, shifts: str) -> None:
    transform = RICSCrop(K, score=score, shifts=shifts)
    images = noise(2, 3, *N)
    expected = transform(images)
    buffer = io.BytesIO()
    torch.save(transform, buffer)
    buffer.seek(0)
    twins = [pickle.loads(pickle.dumps(transform, protocol)) for protocol in (2, 5)]
    twins += [copy.deepcopy(transform), copy.copy(transform)]
    twins += [torch.load(buffer, weights_only=False)]
    for twin in twins:
        assert repr(twin) == repr(transform)
        assert twin.score == get_score(score) and twin.k == K and twin.shifts == shifts
        assert torch.equal(twin(images), expected)
    assert pickle.dumps(twins[0]) == pickle.dumps(RICSCrop(K, score=score, shifts=shifts))


def test_module_without_state() -> None:
    transform = RICSCrop(K)
    image = noise(3, *N)
    before = dict(vars(transform))
    expected = transform(image)
    assert dict(vars(transform)) == before
    assert not transform.state_dict() and not list(transform.parameters())
    assert not list(transform.buffers()) and not list(transform.modules())[1:]
    transform.load_state_dict({})
    for same in (transform.eval(), transform.train(), transform.to("cpu"), transform.double()):
        assert torch.equal(same(image), expected)


def test_repr_names_every_argument() -> None:
    assert repr(RICSCrop(24)) == (
        "RICSCrop(k=(24, 24), score=Lattice(order=None, patch='mexican_hat', sigma=None), "
        "shifts='realistic')"
    )
    for score in SCORES:
        transform = RICSCrop((3, 4), score=score, shifts="cyclic")
        rebuilt = eval(repr(transform), vars(rics_transforms))
        assert isinstance(rebuilt, RICSCrop) and repr(rebuilt) == repr(transform)


def test_scripting_says_that_it_cannot() -> None:
    assert RICSCrop._v1_transform_cls is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError, match="cannot be JIT scripted"):
            torch.jit.script(RICSCrop(K))


# --- in a pipeline -------------------------------------------------------------------------------


def test_random_apply_and_containers() -> None:
    image = noise(3, *N)
    crop = RICSCrop(K)(image)
    assert torch.equal(v2.RandomApply([RICSCrop(K)], p=1.0)(image), crop)
    assert torch.equal(v2.RandomApply([RICSCrop(K)], p=0.0)(image), image)
    assert torch.equal(v2.RandomChoice([RICSCrop(K)])(image), crop)
    assert torch.equal(v1.RandomApply([RICSCrop(K)], p=1.0)(image), crop)
    assert torch.equal(torch.nn.Sequential(RICSCrop(K), torch.nn.Identity())(image), crop)
    assert torch.equal(v2.Compose([RICSCrop(K), RICSCrop(K)])(image), crop)


def test_first_version_compose() -> None:
    image = photograph("coffee")
    chain = v1.Compose([RICSCrop(48), v1.ToTensor(), v1.Normalize([0.5] * 3, [0.25] * 3)])
    crop = RICSCrop(48)(F.pil_to_tensor(image))
    torch.testing.assert_close(chain(image), (crop / 255 - 0.5) / 0.25)
    resized = v1.Compose([v1.Resize(60), v1.PILToTensor(), RICSCrop(48)])(image)
    assert torch.equal(resized, RICSCrop(48)(F.pil_to_tensor(v1.Resize(60)(image))))


@pytest.mark.parametrize("to_tensor", [v2.PILToTensor, v2.ToImage])
@pytest.mark.parametrize("place", range(4))
def test_compose_in_any_order(place: int, to_tensor: Callable[[], Any]) -> None:
    image = photograph("chelsea")
    steps = [to_tensor(), v2.ToDtype(torch.float32, scale=True)]
    steps += [v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    whole = v2.Compose(steps)(image)
    crop = v2.Compose([*steps[:place], RICSCrop(48), *steps[place:]])(image)
    guide = whole if place == 3 else image
    assert type(crop) is type(whole) and crop.dtype == torch.float32
    expected = window(whole, locate(guide, 48), (48, 48))
    torch.testing.assert_close(crop, expected, rtol=0, atol=0)


def test_normalised_images_keep_their_crop_when_the_window_moves() -> None:
    normalize = v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    scene = torch.zeros(3, 60, 60)
    scene[:, 28:33, 29:34] = 0.5 + noise(3, 5, 5) / 510
    crops = [
        RICSCrop(32)(normalize(scene[:, y : y + 48, x : x + 48])) for y in (5, 7) for x in (5, 7)
    ]
    assert all(torch.equal(crop, crops[0]) for crop in crops)


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_compose_with_flip_and_convert(order: tuple[int, ...]) -> None:
    steps = [RICSCrop(K), v2.RandomHorizontalFlip(1.0), v2.ToDtype(torch.float32, scale=True)]
    sample = {
        "image": tv_tensors.Image(noise(3, *N)),
        "mask": tv_tensors.Mask(noise(*N)),
        "points": ANNOTATIONS["keypoints"](N),
    }
    out = v2.Compose([steps[i] for i in order])(sample)
    assert out["image"].shape == (3, *K) and out["image"].dtype == torch.float32
    assert out["mask"].shape == K and out["points"].canvas_size == K


# --- transformations of torch --------------------------------------------------------------------


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("shifts", SHIFTS)
def test_vmap_equals_batch(score: str, shifts: str) -> None:
    transform = RICSCrop(K, score=score, shifts=shifts)
    images = noise(4, 3, *N)
    assert torch.equal(torch.vmap(transform)(images), transform(images))
    assert torch.equal(torch.vmap(transform.locate)(images), transform.locate(images))
    assert torch.equal(torch.vmap(transform, in_dims=-1)(images.movedim(0, -1)), transform(images))


def test_vmap_twice_and_over_batches() -> None:
    transform = RICSCrop(K)
    images = noise(2, 3, 3, *N)
    assert torch.equal(torch.vmap(torch.vmap(transform))(images), transform(images))
    assert torch.equal(torch.vmap(transform)(images), transform(images))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.float32, torch.float64], ids=str)
def test_vmap_of_dtypes_whose_range_is_checked(dtype: torch.dtype) -> None:
    images = noise(4, 3, *N)
    images = images.to(dtype) / 255 if dtype.is_floating_point else images.to(dtype)
    transform = RICSCrop(K)
    assert torch.equal(torch.vmap(transform)(images), transform(images))


def pixels_on_the_grid(*shape: int) -> Tensor:
    """Grey levels as doubles: a small step does not change the integer image."""
    return (noise(*shape).double() / 255).requires_grad_()


@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize("score", SCORES)
def test_gradients_flow_to_exactly_the_cropped_pixels(score: str, shifts: str) -> None:
    images = pixels_on_the_grid(2, 3, *N)
    transform = RICSCrop(K, score=score, shifts=shifts)
    weights = torch.arange(1.0, 2 * 3 * K[0] * K[1] + 1, dtype=torch.float64).view(2, 3, *K)
    (transform(images) * weights).sum().backward()
    assert images.grad is not None
    assert images.grad.count_nonzero() == weights.numel()
    for gradient, origin, weight in zip(
        images.grad, transform.locate(images), weights, strict=True
    ):
        assert torch.equal(window(gradient, origin), weight)
    assert not transform.locate(images).requires_grad


@pytest.mark.parametrize("shifts", SHIFTS)
def test_gradcheck(shifts: str) -> None:
    images = pixels_on_the_grid(2, 1, 6, 7)
    assert torch.autograd.gradcheck(RICSCrop((3, 4), shifts=shifts), (images,))
    assert torch.autograd.gradgradcheck(RICSCrop((3, 4), shifts=shifts), (images,))


def test_gradients_through_tv_tensors() -> None:
    pixels, masks = pixels_on_the_grid(3, *N), pixels_on_the_grid(*N)
    image, mask = RICSCrop(K)(tv_tensors.Image(pixels), tv_tensors.Mask(masks))
    (image.sum() + mask.sum()).backward()
    assert pixels.grad is not None and pixels.grad.sum() == 3 * K[0] * K[1]
    assert masks.grad is not None and masks.grad.sum() == K[0] * K[1]


def test_functional_gradients() -> None:
    image = pixels_on_the_grid(3, *N).detach()
    for score in SCORES:
        transform = RICSCrop((23, 21), score=score)
        gradient = torch.func.grad(lambda x, t=transform: t(x).sum())(image)
        assert gradient.sum() == 3 * 23 * 21
        assert window(gradient, transform.locate(image), (23, 21)).all()


@pytest.fixture
def dynamo() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def check_compiled(transform: RICSCrop, backend: str) -> None:
    compiled = torch.compile(transform, fullgraph=True, dynamic=True, backend=backend)
    for scale in (1, 255):
        two, three, five = (noise(count, 3, *N) for count in (2, 3, 5))
        if scale > 1:
            two, three, five = two / scale, three / scale, five / scale
        assert torch.equal(compiled(two), transform(two))
        with torch.compiler.set_stance("fail_on_recompile"):
            assert torch.equal(compiled(three), transform(three))
            assert torch.equal(compiled(five), transform(five))


@pytest.mark.usefixtures("dynamo")
@pytest.mark.parametrize("score", SCORES)
def test_compiled_graph_equals_eager(score: str) -> None:
    check_compiled(RICSCrop(K, score=score), "aot_eager")


@pytest.mark.usefixtures("dynamo")
@pytest.mark.parametrize("score", ["lattice", "hash"])
def test_compiled_cyclic_graph_equals_eager(score: str) -> None:
    check_compiled(RICSCrop(K, score=score, shifts="cyclic"), "eager")


@pytest.mark.usefixtures("dynamo")
def test_compiled_code_equals_eager() -> None:
    transform = RICSCrop(K)
    compiled = torch.compile(transform, fullgraph=True, dynamic=True)
    assert torch.equal(compiled(noise(2, 3, *N)), transform(noise(2, 3, *N)))
    degenerate = torch.stack([zoo_image(name, *N) for name in sorted(ZOO)])
    with torch.compiler.set_stance("fail_on_recompile"):
        for images in (noise(3, 3, *N), degenerate, *degenerate[1:].split(2)):  # other branches
            assert torch.equal(compiled(images), transform(images))


@pytest.mark.usefixtures("dynamo")
def test_compiled_gradients() -> None:
    transform = RICSCrop(K)
    compiled = torch.compile(transform, fullgraph=True, backend="aot_eager")
    images = pixels_on_the_grid(2, 3, *N)
    compiled(images).sum().backward()
    expected = torch.autograd.grad(transform(images).sum(), images)[0]
    assert images.grad is not None and torch.equal(images.grad, expected)


def test_no_value_is_looked_at_off_the_cpu() -> None:
    """A device without values stands for one where looking at them would wait."""
    images = noise(2, 3, *N).to("meta")
    for shifts in SHIFTS:
        out = RICSCrop(K, shifts=shifts)(images)
        assert out.shape == (2, 3, *K) and out.device.type == "meta"


def test_masks_without_channels_off_the_cpu() -> None:
    images = noise(2, 3, *N).to("meta")
    batch, mask = RICSCrop(K)(tv_tensors.Image(images), tv_tensors.Mask(images[:, 0]))
    assert batch.shape == (2, 3, *K) and mask.shape == (2, *K)
    image, mask = RICSCrop(K)(tv_tensors.Image(images[0]), tv_tensors.Mask(images[0, 0]))
    assert image.shape == (3, *K) and mask.shape == K


def test_masks_without_channels_under_vmap() -> None:
    images = noise(2, 3, *N)

    def crop_mask(image: Tensor) -> Tensor:
        params = {"origins": RICSCrop(K).locate(image)}
        return RICSCrop(K).transform(image[0], params)

    expected = RICSCrop(K)(images)[:, 0]
    assert torch.equal(torch.vmap(crop_mask)(images), expected)


# --- the state of the process --------------------------------------------------------------------


@pytest.mark.parametrize("score", SCORES)
def test_inference_mode_does_not_spoil_what_is_remembered(score: str) -> None:
    transform = RICSCrop((31, 29), score=score)
    images = noise(2, 3, 45, 47)
    with torch.inference_mode():
        expected = transform(images)
        assert expected.is_inference()
    assert torch.equal(transform(images), expected)
    floating = (images.double() / 255).requires_grad_()
    transform(floating).sum().backward()
    assert floating.grad is not None and floating.grad.sum() == 2 * 3 * 31 * 29
    with torch.no_grad():
        assert torch.equal(transform(images), expected)
    assert not transform(images).is_inference()


@pytest.mark.parametrize("score", SCORES)
def test_fake_tensors_do_not_spoil_what_is_remembered(score: str) -> None:
    transform = RICSCrop((32, 29), score=score)
    images = noise(2, 3, 46, 47)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        try:
            transform(mode.from_tensor(images))
        except Exception as error:
            assert "DataDependent" in type(error).__name__
    crops = transform(images)
    assert type(crops) is Tensor
    assert torch.equal(crops[0], window(images[0], transform.locate(images[0]), (32, 29)))


@pytest.mark.parametrize("score", SCORES)
def test_a_default_device_does_not_matter(score: str) -> None:
    """Models are often made under the meta device; data sets must not notice."""
    transform = RICSCrop((33, 29), score=score)
    images = noise(2, 3, 46, 48)
    with torch.device("meta"):
        under = transform(images)
    after = transform(images)
    assert under.device.type == "cpu" and torch.equal(under, after)
    torch.set_default_device("cpu")
    try:
        assert torch.equal(transform(images), after)
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("shifts", SHIFTS)
def test_default_dtype_and_autocast_do_not_matter(score: str, shifts: str) -> None:
    images = PHOTOGRAPHS
    transform = RICSCrop((49, 41), score=score, shifts=shifts)
    default = torch.get_default_dtype()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = transform(images), transform.locate(images / 255)
    try:
        torch.set_default_dtype(torch.float64)
        double = transform(images), transform.locate(images / 255)
        torch.set_default_dtype(torch.float16)
        half = transform(images)
    finally:
        torch.set_default_dtype(default)
    for cold in (under_autocast, double):
        assert torch.equal(cold[0], transform(images))
        assert torch.equal(cold[1], transform.locate(images))
    assert torch.equal(half, transform(images))


def test_random_number_generators_are_left_alone() -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    for score in SCORES:
        for shifts in SHIFTS:
            RICSCrop((19, 17), score=score, shifts=shifts)(noise(2, 3, 29, 31))
            RICSCrop((19, 17), score=score, shifts=shifts)(F.to_pil_image(noise(3, 29, 31)))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]


def test_threads_share_one_transform() -> None:
    transforms = [RICSCrop((26, 30), score=score) for score in SCORES]
    images = noise(40, 3, 44, 52)
    with ThreadPoolExecutor(8) as pool:
        crops = list(pool.map(lambda i: transforms[i % 5](images[i]), range(40)))
    assert all(torch.equal(crops[i], transforms[i % 5](images[i])) for i in range(40))


# --- other processes -----------------------------------------------------------------------------

DIGEST = """
import hashlib
import torch
from rics_transforms import RICSCrop
from torchvision import tv_tensors

def image(i):
    generator = torch.Generator().manual_seed(i)
    return torch.randint(0, 256, (3, 40, 36), dtype=torch.uint8, generator=generator)

def digest(tensors):
    joined = b"".join(t.as_subclass(torch.Tensor).contiguous().numpy().tobytes() for t in tensors)
    return hashlib.sha256(joined).hexdigest()
"""

ORIGINS = (
    DIGEST
    + """
def origins():
    images = torch.stack([image(i) for i in range(64)])
    for score in ("hash", "lattice", "mexican_hat", "random", "saliency"):
        for shifts in ("realistic", "cyclic"):
            transform = RICSCrop((24, 22), score=score, shifts=shifts)
            yield transform.locate(images)
            yield transform(images / 255)
"""
)

LOADERS = (
    DIGEST
    + """
class Noise(torch.utils.data.Dataset):
    def __init__(self):
        self.transform = RICSCrop((24, 22))

    def __len__(self):
        return 8

    def __getitem__(self, i):
        sample = tv_tensors.Image(image(i)), tv_tensors.Mask(image(i)[0])
        return *self.transform(sample), i

def batches(context):
    workers = {"num_workers": 2, "multiprocessing_context": context} if context else {}
    for images, masks, _ in torch.utils.data.DataLoader(Noise(), batch_size=4, **workers):
        yield images
        yield masks

if __name__ == "__main__":
    for context in ("fork", "spawn", "forkserver"):
        print(digest(batches(context)))
"""
)


def run_script(path: Path, text: str, **environment: str) -> list[str]:
    path.write_text(text)
    root = str(Path(rics_transforms.__file__).resolve().parents[2])
    search = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, str(path)],
        env={**os.environ, "PYTHONPATH": search, **environment},
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_two_processes_agree(tmp_path: Path) -> None:
    here: dict[str, Any] = {}
    exec(ORIGINS, here)
    expected = here["digest"](here["origins"]())
    for threads, seed in ((1, "0"), (2, "1")):
        script = ORIGINS + f"\ntorch.set_num_threads({threads})\nprint(digest(origins()))\n"
        variables = {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": str(threads)}
        assert run_script(tmp_path / f"origins_{seed}.py", script, **variables) == [expected]


def test_workers_of_a_data_loader_agree(tmp_path: Path) -> None:
    here: dict[str, Any] = {"__name__": "loaders"}
    exec(LOADERS, here)
    expected = here["digest"](here["batches"](None))
    transform = RICSCrop(K)
    images = torch.stack([here["image"](i) for i in range(8)])
    crops, masks = transform(tv_tensors.Image(images), tv_tensors.Mask(images[:, 0]))
    direct = [part for pair in zip(crops.split(4), masks.split(4), strict=True) for part in pair]
    assert here["digest"](direct) == expected
    assert run_script(tmp_path / "loaders.py", LOADERS) == [expected] * 3
