"""Photographs for the benchmarks: a folder if one is given, else those in scikit-image."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from torch import Tensor

from rics_transforms import photos


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark on photographs has."""
    assets = os.environ.get("RICS_TEST_ASSETS")
    options = argparse.ArgumentParser(description=description)
    options.add_argument(
        "--photos",
        type=Path,
        default=Path(assets) / "photos" if assets else None,
        help="folder of images; default: RICS_TEST_ASSETS/photos, else those in scikit-image",
    )
    options.add_argument("--limit", type=int, help="use so many scenes at most")
    return options


def load(options: argparse.Namespace, side: int) -> Tensor:
    """Centre squares of images whose short side is `side` pixels: uint8 [B, 3, side, side]."""
    if options.photos is None:
        scenes = photos.scenes(side)
    else:
        scenes = photos.folder_scenes(options.photos, side)
    return torch.stack([scene for _, scene in scenes][: options.limit])
