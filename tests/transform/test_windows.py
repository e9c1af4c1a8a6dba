"""The crop of every window of a scene against the crop of each window by itself."""

from itertools import product

import pytest
import torch
from torch import Tensor

from rics_transforms import RICSCrop, Score


def test_locate_windows_equals_locate_of_each_window(every_score: Score, photos: Tensor) -> None:
    transform = RICSCrop((21, 24), score=every_score)
    scenes = photos[:4, :, 100:143, 80:126].unflatten(0, (2, 2))
    found = transform.locate_windows(scenes, (37, 39))
    assert found.shape == (2, 2, 7, 8, 2) and found.dtype == torch.int64
    for top, left in product(range(7), range(8)):
        window = scenes[..., top : top + 37, left : left + 39]
        place = torch.tensor([top, left])
        assert torch.equal(found[..., top, left, :], transform.locate(window) + place)


@pytest.mark.parametrize(
    ("transform", "n", "message"),
    [
        (RICSCrop(20, shifts="cyclic"), 24, "`shifts` to be 'realistic' for windows"),
        (RICSCrop(20), 31, r"`n` to be at most the scene size \(30, 40\), but got \(31, 31\)"),
        (RICSCrop(20), 19, "`k` to be at most the image size"),
    ],
)
def test_locate_windows_errors(transform: RICSCrop, n: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        transform.locate_windows(torch.zeros(3, 30, 40), n)
