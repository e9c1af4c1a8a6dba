"""Class, probability and stability in one call."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rics_transforms import predict, rics_crop, stability
from rics_transforms.models import as_model

from .conftest import random_image


def colours(crops: Tensor) -> Tensor:
    return crops.float().mean((2, 3))


def test_the_answer_is_that_of_the_crop() -> None:
    images = random_image(2, 4, 3, 64, 64)
    answer = predict(colours, images, 1, k=48, least=0.5)
    logits = colours(rics_crop(images, 48).flatten(0, 1))
    assert torch.equal(answer.classes, logits.argmax(1).view(2, 4))
    torch.testing.assert_close(answer.probability, logits.softmax(1).amax(1).view(2, 4))
    assert torch.equal(answer.stability, stability(images, 48, 1))
    assert torch.equal(answer.abstained, answer.stability < 0.5)
    assert answer.abstained.any() and not answer.abstained.all()


def test_by_default_seven_eighths_of_the_image() -> None:
    sizes = []

    def model(crops: Tensor) -> Tensor:
        sizes.append(crops.shape)
        return colours(crops)

    predict(model, random_image(3, 64, 72), 1)
    assert sizes == [(1, 3, 56, 63)]


def test_a_model_by_name() -> None:
    images = random_image(2, 1, 16, 16) / 255
    answer = predict("torch.nn:Flatten", images, 1, k=12)
    assert answer.classes.shape == (2,)


def test_refusals() -> None:
    images = random_image(2, 3, 16, 16)
    with pytest.raises(ValueError, match="`least`"):
        predict(colours, images, 1, least=2)
    with pytest.raises(ValueError, match="class scores"):
        predict(as_model(colours, forward=lambda net, x: (None, net(x))), images, 1)
