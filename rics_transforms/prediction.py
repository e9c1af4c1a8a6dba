"""What a model says about the crop, and whether a shift could change it, in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from rics_transforms._arguments import as_number, as_pair
from rics_transforms.certificates import stability
from rics_transforms.engine.images import Images, as_tensor
from rics_transforms.engine.scores import Score
from rics_transforms.models.model import Model, as_model, load_model
from rics_transforms.transform import rics_crop


class Prediction(NamedTuple):
    """Answers for images ``[..., C, H, W]``, each field ``[...]`` on the CPU.

    Attributes:
        classes: the class with the highest score, int64.
        probability: its probability by the model's softmax, float32; only as calibrated as the
            model.
        stability: the probability that no shift within delta changes the crop, float64.
        abstained: whether the stability is below the least that was asked for, bool.
    """

    classes: Tensor
    probability: Tensor
    stability: Tensor
    abstained: Tensor


def predict(
    model: Model | str | Callable[[Tensor], Tensor],
    images: Images,
    delta: int,
    *,
    k: int | Sequence[int] | None = None,
    score: str | Score = "lattice",
    least: float = 0.9,
) -> Prediction:
    """Classify the crop that RICS selects, and abstain where a shift might change it.

    Guarantee: while the crop stays, so does the answer, since the model sees the same pixels.
    `stability` says how likely it is to stay, and under which assumptions.

    Args:
        model: a `Model`, a name as `load_model` takes it, or a callable from crops
            ``[B, C, kh, kw]`` to class scores ``[B, K]``.
        images: as `locate` takes them.
        delta: largest shift in pixels along either axis.
        k: side of the crop in pixels, or ``(height, width)``. Default: 7/8 of the image's height
            and width, rounded down, such as 224 of 256.
        score: a name, or a `Score`.
        least: stability from 0 to 1 below which it abstains.

    Returns:
        A `Prediction`, with classes even where it abstains.

    Raises:
        TypeError, ValueError: as `stability` and the model do, and for a model without classes.

    Example:
        >>> import torch
        >>> images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        >>> answer = predict(lambda crops: crops.mean((2, 3)), images, delta=1)
        >>> answer.classes.shape, answer.abstained.dtype
        (torch.Size([4]), torch.bool)
    """
    tensor = as_tensor(images)
    size = as_pair([7 * side // 8 for side in tensor.shape[-2:]] if k is None else k, "k")
    least = as_number(least, "least", 1, zero=True)
    ready = load_model(model) if isinstance(model, str) else as_model(model)
    steady = stability(tensor, size, delta, score=score).cpu()
    crops = rics_crop(tensor, size, score=score)
    logits = ready(crops.reshape(-1, *crops.shape[-3:])).logits
    if logits is None:
        raise ValueError(f"Expected a model with class scores, but {ready.name} gives embeddings.")
    probability, classes = logits.softmax(1).max(1)
    lead = steady.shape
    return Prediction(classes.reshape(lead), probability.reshape(lead), steady, steady < least)
