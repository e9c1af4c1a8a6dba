"""NumPy arrays in, NumPy arrays out, with the crops of the same pixels in tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from rics_transforms import (
    RICSCrop,
    Score,
    certify,
    locate,
    predict,
    rics_crop,
    score_map,
    stability,
)

from ..conftest import SHIFTS, random_image
from .inputs import K, N

LAYOUTS: dict[str, Any] = {
    "as it is": lambda array: array,
    "reversed": lambda array: array[..., ::-1, ::-1, :],
    "read-only": lambda array: np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape),
    "big-endian": lambda array: array.astype(">u2"),
    "floats": lambda array: array / 255,
    "float32": lambda array: (array / 255).astype(np.float32),
    "transposed": lambda array: np.ascontiguousarray(array.swapaxes(-2, -3)).swapaxes(-2, -3),
}


def pixels(*shape: int) -> np.ndarray:
    return random_image(*shape).numpy()


def as_tensor(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(array.astype(array.dtype.newbyteorder("="))).movedim(-1, -3)


@pytest.mark.parametrize("shifts", SHIFTS)
@pytest.mark.parametrize("lead", [(), (2,), (2, 3), (0,)], ids=str)
def test_every_score_takes_arrays(every_score: Score, shifts: Any, lead: tuple[int, ...]) -> None:
    array = pixels(*lead, *N, 3)
    options: Any = {"score": every_score, "shifts": shifts}
    origins, crops = locate(array, K, **options), rics_crop(array, K, **options)
    assert type(origins) is np.ndarray and origins.dtype == np.int64
    assert np.array_equal(origins, locate(as_tensor(array), K, **options).numpy())
    assert type(crops) is np.ndarray and crops.shape == (*lead, *K, 3)
    assert np.array_equal(crops, rics_crop(as_tensor(array), K, **options).movedim(-3, -1).numpy())
    transform = RICSCrop(K, **options)
    assert np.array_equal(transform(array), crops)
    assert np.array_equal(transform.locate(array), origins)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str) -> None:
    array = LAYOUTS[layout](pixels(2, *N, 3))
    before = array.copy()
    crops = RICSCrop(K)(array)
    assert np.array_equal(crops, RICSCrop(K)(as_tensor(array)).movedim(-3, -1).numpy())
    assert crops.dtype == array.dtype.newbyteorder("=")
    crops[...] = 0  # of its own memory
    assert np.array_equal(array, before)


def test_greys_need_no_channel() -> None:
    grey = pixels(*N)
    assert RICSCrop(K)(grey).shape == K
    assert np.array_equal(RICSCrop(K)(grey), RICSCrop(K)(grey[..., None])[..., 0])


def test_other_functions_take_arrays() -> None:
    array = pixels(*N, 3)
    tensor = as_tensor(array)
    assert torch.equal(score_map(array, K), score_map(tensor, K))
    assert torch.equal(stability(array, K, 1), stability(tensor, K, 1))
    assert certify(array, K, 2) == certify(tensor, K, 2)
    mean = predict(lambda crops: crops.float().mean((2, 3)), array, 1)
    assert mean.classes.shape == () and mean.stability.dtype == torch.float64


def test_in_a_sample_arrays_pass_through() -> None:
    array = pixels(*N, 3)
    out = RICSCrop(K)({"image": random_image(3, *N), "embedding": array})
    assert out["embedding"] is array
    with pytest.raises(TypeError, match="an image only by itself"):
        RICSCrop(K)({"image": array})


@pytest.mark.parametrize(
    "array", [np.zeros(5), np.array(3), np.empty((40, 36, 3), object), np.zeros((4, 40, 36))]
)
def test_what_is_no_image_is_refused(array: np.ndarray) -> None:
    with pytest.raises((TypeError, ValueError), match="Expected"):
        locate(array, K)


def test_in_a_chain() -> None:
    chain = v2.Compose([RICSCrop(K), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    array = pixels(*N, 3)
    assert torch.equal(chain(array), chain(v2.functional.to_pil_image(array)))
