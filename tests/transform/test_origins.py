"""Where the crop was: handed out by the transform, and used to go back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from rics_transforms import RICSCrop, locate, uncrop

from ..conftest import SHIFTS, random_image
from .inputs import ANNOTATIONS, K, N, pil

CROP = RICSCrop(K)


@pytest.mark.parametrize("shifts", SHIFTS)
def test_an_image_comes_with_its_origin(shifts: Any) -> None:
    transform = RICSCrop(K, shifts=shifts, return_origin=True)
    batch = random_image(2, 3, *N)
    for image in (batch, batch[0], tv_tensors.Image(batch[0]), pil("RGB"), batch[0, 0].numpy()):
        output, origin = transform(image)
        assert np.array_equal(origin, transform.locate(image))
        assert np.array_equal(np.asarray(output), np.asarray(RICSCrop(K, shifts=shifts)(image)))


def test_a_sample_comes_with_its_origin_through_a_chain() -> None:
    image, mask = random_image(3, *N), tv_tensors.Mask(random_image(*N, seed=1))
    chain = v2.Compose(
        [
            RICSCrop(K, return_origin=True),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    for pack in (lambda *parts: parts, lambda *parts: dict(zip("im", parts, strict=True))):
        sample = pack(tv_tensors.Image(image), mask)
        output, origin = chain(sample)
        assert torch.equal(origin, locate(image, K)) and origin.dtype == torch.int64
        assert type(output) is type(sample)
    (output, cropped), origin = chain(tv_tensors.Image(image), mask)
    assert output.dtype == torch.float32 and cropped.shape == K


def test_threads_do_not_mix_origins() -> None:
    transform = RICSCrop(K, return_origin=True)
    images = [random_image(3, *N, seed=seed) for seed in range(32)]
    expected = [locate(image, K).tolist() for image in images]
    assert len({tuple(origin) for origin in expected}) > 16
    samples = [{"image": image, "mask": tv_tensors.Mask(image[0])} for image in images]
    with ThreadPoolExecutor(8) as pool:
        found = [origin.tolist() for _, origin in pool.map(transform, samples)]
    assert found == expected
    assert "make_params" not in vars(transform)


# --- back ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["boxes", "keypoints"])
def test_boxes_and_points_go_back(kind: str) -> None:
    annotation = ANNOTATIONS[kind](N)
    image = random_image(3, *N)
    origin = locate(image, K)
    there = v2.functional.crop(annotation, *origin.tolist(), *K)
    back = uncrop(there, origin, N)
    assert type(back) is type(annotation) and back.canvas_size == N
    plain = uncrop(there.as_subclass(Tensor), origin)
    assert torch.equal(plain, back.as_subclass(Tensor))
    once_more = v2.functional.crop(back, *origin.tolist(), *K)
    assert torch.equal(once_more.as_subclass(Tensor), there.as_subclass(Tensor))


@pytest.mark.parametrize("format", list(tv_tensors.BoundingBoxFormat))
def test_every_format_of_boxes(format: Any) -> None:
    corners = torch.tensor([[1.0, 2.0, 9.0, 8.0]])
    boxes = tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=K)
    try:
        other = v2.functional.convert_bounding_box_format(boxes, new_format=format)
    except ValueError:  # oriented boxes come from oriented ones alone
        other = tv_tensors.BoundingBoxes(
            torch.arange(8.0)[None] if format.name == "XYXYXYXY" else torch.arange(5.0)[None],
            format=format,
            canvas_size=K,
        )
    back = uncrop(other, (3, 5), N)
    moved = (back - other).as_subclass(Tensor)[0]
    pairs = {"XYXY": 2, "XYXYXYXY": 4}.get(format.name, 1)
    assert moved.tolist() == [5, 3] * pairs + [0] * (len(moved) - 2 * pairs)
    assert back.format == format


def test_masks_go_back() -> None:
    image, masks = random_image(2, 3, *N), random_image(2, 4, *N, seed=1)
    origins = CROP.locate(image)
    cropped = CROP.transform(masks, {"origins": origins})
    back = uncrop(tv_tensors.Mask(cropped), origins, N, fill=9)
    assert back.shape == masks.shape
    assert torch.equal(CROP.transform(back.as_subclass(Tensor), {"origins": origins}), cropped)
    assert (back == 9).sum() >= 2 * 4 * (N[0] * N[1] - K[0] * K[1])


def test_a_batch_of_points_goes_back() -> None:
    points = torch.zeros(2, 5, 2)
    origins = torch.tensor([[1, 2], [3, 4]])
    assert uncrop(points, origins)[:, 0].tolist() == [[2, 1], [4, 3]]
    assert uncrop(points.numpy(), origins.numpy())[:, 0].tolist() == [[2, 1], [4, 3]]


@pytest.mark.parametrize(
    ("annotation", "origin", "n", "error", "message"),
    [
        (torch.zeros(4, 3), (0, 0), None, TypeError, "Expected points"),
        (tv_tensors.Image(torch.zeros(3, 4, 2)), (0, 0), 8, TypeError, "but got Image"),
        (tv_tensors.Mask(torch.zeros(4, 4)), (0, 0), None, ValueError, "Expected `n`"),
        (tv_tensors.Mask(torch.zeros(4, 4)), (5, 0), 8, ValueError, "inside images"),
        (torch.zeros(4, 2), torch.zeros(3, 2), None, ValueError, "Expected `origin`"),
        (torch.zeros(4, 2), torch.zeros(3), None, ValueError, "Expected `origin`"),
    ],
)
def test_refusals(annotation: Any, origin: Any, n: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        uncrop(annotation, origin, n)
