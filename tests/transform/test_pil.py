"""`RICSCrop` of PIL images in every mode."""

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from rics_transforms import RICSCrop, locate, rics_crop

from ..conftest import SCORES, SHIFTS, random_image
from .inputs import PIL_MODES, K, N, photograph, pil


def colours(image: PIL.Image.Image) -> Tensor:
    """What the image shows, as a tensor; written apart from the conversion under test."""
    if image.mode in ("P", "1"):
        image = image.convert({"P": "RGB", "1": "L"}[image.mode])
    array = np.asarray(image)
    if array.dtype == np.uint16:
        array = array.astype(np.int64)
    return torch.from_numpy(array.reshape(*N, -1).copy()).movedim(-1, -3)


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
    low = random_image(*N).numpy().astype(np.uint16)
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
