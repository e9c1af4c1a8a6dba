"""Masks, boxes and keypoints follow their image."""

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from rics_transforms import RICSCrop

from ..conftest import SHIFTS, random_image
from .inputs import ANNOTATIONS, K, N, pil, window

TORCHVISION = tuple(map(int, torchvision.__version__.split(".")[:2]))


@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize("shape", [N, (1, *N), (5, *N)], ids=str)
def test_mask_follows_its_image(shape: tuple[int, ...], shifts: str) -> None:
    image, mask = random_image(3, *N), random_image(*shape, seed=1)
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
    images = random_image(2, 3, 3, *N)
    transform = RICSCrop(K, shifts=shifts)
    origins = transform.locate(images)
    for per_image in ((), (1,), (4,)):
        mask = random_image(2, 3, *per_image, *N, seed=1)
        out = transform(tv_tensors.Image(images), tv_tensors.Mask(mask))[1]
        assert out.shape == (2, 3, *per_image, *K)
        for i, j in np.ndindex(2, 3):
            assert torch.equal(out[i, j].as_subclass(Tensor), window(mask[i, j], origins[i, j]))
    empty = transform(tv_tensors.Image(images[:0]), tv_tensors.Mask(random_image(0, 3, *N)))
    assert empty[0].shape == (0, 3, 3, *K) and empty[1].shape == (0, 3, *K)


def test_mask_follows_its_video() -> None:
    clips = random_image(2, 4, 3, *N)
    transform = RICSCrop(K)
    origins = transform.locate(tv_tensors.Video(clips))
    mask = random_image(2, 4, *N, seed=1)
    out = transform(tv_tensors.Video(clips), tv_tensors.Mask(mask))[1].as_subclass(Tensor)
    for i in range(2):
        assert torch.equal(out[i], window(mask[i], origins[i]))
    single = transform(tv_tensors.Video(clips[0]), tv_tensors.Mask(mask[0]))[1]
    assert torch.equal(single.as_subclass(Tensor), out[0])


@pytest.mark.parametrize("lead", [(), (3,), (2, 1), (0,)], ids=str)
def test_mismatched_leading_dimensions_raise(lead: tuple[int, ...]) -> None:
    image, mask = tv_tensors.Image(random_image(2, 3, *N)), tv_tensors.Mask(random_image(*lead, *N))
    if lead[:1] == (2,):
        assert RICSCrop(K)(image, mask)[1].shape == (*lead, *K)
        return
    with pytest.raises(ValueError, match="leading dimensions"):
        RICSCrop(K)(image, mask)
    with pytest.raises(ValueError, match="leading dimensions"):
        RICSCrop(K)({"a": image, "b": tv_tensors.Image(random_image(*lead, 3, *N))})


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
    image = tv_tensors.Image(random_image(3, *N))
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
    image = tv_tensors.Image(random_image(3, *N))
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
    image = tv_tensors.Image(random_image(3, *N))
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
def test_keypoints_are_shifted_as_by_torchvision(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    points = (torch.arange(int(np.prod(shape))) * 7 % 36).reshape(shape).to(dtype)
    transform = RICSCrop(K)
    for image in (random_image(3, *N), tv_tensors.Image(random_image(3, *N)), pil("RGB")):
        keypoints = tv_tensors.KeyPoints(points, canvas_size=N)
        out = transform(image, keypoints)[1]
        assert type(out) is tv_tensors.KeyPoints
        assert out.canvas_size == K and out.dtype == dtype
        origin = transform.locate(image)
        assert torch.equal(out, F.crop(keypoints, *origin.tolist(), *K))
        if TORCHVISION >= (0, 24):  # 0.23 clamps what lies outside
            assert torch.equal(out.as_subclass(Tensor), points - origin.flip(0).to(dtype))


@pytest.mark.parametrize("kind", ["boxes", "keypoints"])
def test_annotations_of_a_batch_are_refused(kind: str) -> None:
    annotation = ANNOTATIONS[kind](N)
    for image in (random_image(2, 3, *N), tv_tensors.Image(random_image(1, 3, *N))):
        with pytest.raises(ValueError, match="per sample, before batching"):
            RICSCrop(K)(image, annotation)
    with pytest.raises(ValueError, match="per sample, before batching"):
        RICSCrop(K)(tv_tensors.Video(random_image(2, 4, 3, *N)), annotation)
    assert RICSCrop(K)(tv_tensors.Video(random_image(4, 3, *N)), annotation)[1].canvas_size == K
