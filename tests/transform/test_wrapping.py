"""Crops that wrap around the borders, of every kind of input."""

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from rics_transforms import RICSCrop

from ..conftest import SCORES, random_image
from .inputs import ANNOTATIONS, PIL_MODES, K, N, pil, window


@pytest.mark.parametrize("score", SCORES)
def test_cyclic_crops_wrap_around_both_borders(score: str) -> None:
    transform = RICSCrop(K, score=score, shifts="cyclic")
    image, mask = random_image(3, *N), random_image(2, *N, seed=1)
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
    for image in (random_image(3, *N), tv_tensors.Image(random_image(3, *N)), pil("RGB")):
        with pytest.raises(ValueError, match=r"wraps around can cut one object into several"):
            transform(image, annotation)
