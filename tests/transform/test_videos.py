"""`RICSCrop` of videos: one crop per clip."""

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors

from rics_transforms import Lattice, RICSCrop, lattice_order, locate, score_map

from ..conftest import SHIFTS, random_image
from .inputs import PHOTOGRAPHS, K, N, window


@pytest.mark.parametrize("score", ["hash", "random"])
@pytest.mark.parametrize("shifts", SHIFTS)
def test_video_has_one_crop_per_clip_by_the_sum_of_score_maps(score: str, shifts: str) -> None:
    clips = random_image(2, 4, 3, *N)
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
        clip = random_image(3, 3, n, n, seed=seed)
        total = level.patch_map(clip, (t, t)).to(torch.int64).sum(0)
        assert total.shape == (order * m, order * m)
        inner = total[1:-1, 1:-1]
        peak = inner == total.unfold(0, 3, 1).unfold(1, 3, 1).amax((-2, -1))
        best = max((int(inner[y, x]), (int(y + 1) % m, int(x + 1) % m)) for y, x in peak.nonzero())
        assert tuple(locate(tv_tensors.Video(clip), k).tolist()) == best[1]


def test_plain_four_dimensions_are_a_batch_and_a_video_is_one_clip() -> None:
    images = random_image(6, 3, *N)
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
    clips = random_image(*lead, 2, 3, *N)
    transform = RICSCrop(K)
    video = tv_tensors.Video(clips)
    assert transform.locate(video).shape == (*lead, 2)
    assert transform(video).shape == (*lead, 2, 3, *K)
    for clip, crop in zip(
        clips.reshape(-1, 2, 3, *N), transform(video).reshape(-1, 2, 3, *K), strict=True
    ):
        assert torch.equal(transform(tv_tensors.Video(clip)), crop)
