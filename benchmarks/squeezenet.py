"""SqueezeNet 1.0 with real ImageNet weights, and labelled photographs, from RICS_TEST_ASSETS."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms import v2

from rics_transforms import load_model
from rics_transforms.data import photos
from rics_transforms.models.model import Model

SIDE = 224
MEAN = torch.tensor([104.0, 117.0, 123.0]).view(3, 1, 1)  # grey levels: blue, green, red


def assets() -> Path:
    """The folder with the weights and photos/, or the end of the script."""
    folder = os.environ.get("RICS_TEST_ASSETS")
    if not folder:
        print("Left out: needs RICS_TEST_ASSETS, a folder with squeezenet1_0.safetensors.")
        sys.exit(0)
    return Path(folder)


def preprocess(images: Tensor) -> Tensor:
    """Resized to 224 px (bilinear, antialiased), blue first, 0 to 255, minus the mean."""
    if images.is_floating_point():
        images = images * 255
    if images.shape[-1] != SIDE:
        images = v2.functional.resize(images, [SIDE, SIDE], antialias=True)
    return (images.float().flip(-3) - MEAN).contiguous(memory_format=torch.channels_last)


def model() -> Model:
    """Class scores, and the mean of the last feature map as the embedding."""
    weights = assets() / "squeezenet1_0.safetensors"
    model = load_model(
        "torchvision:squeezenet1_0", weights=weights, preprocess=preprocess, batch_size=8
    )
    model.net.to(memory_format=torch.channels_last)  # twice as fast here, as are small batches
    return model


class Photographs:
    """The first few photographs as square scenes, cut at a given short side."""

    def __init__(self, side: int, short: int, limit: int | None = None) -> None:
        self.side, self.limit = side, limit
        self.folder = assets() / "photos"
        self.scenes = photos.folder_scenes(self.folder, short)
        self.source = f"{limit or 'all'} ImageNet photographs, short side {short} px"

    def __iter__(self) -> Iterator[tuple[str, Tensor, int]]:
        labels = json.loads((self.folder / "labels.json").read_text())
        for number, (name, scene) in enumerate(self.scenes):
            if number == self.limit:
                return
            scene = v2.functional.center_crop(scene, [self.side, self.side])
            yield name, scene, labels[name]["class_index"]
