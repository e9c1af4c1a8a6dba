"""Photographs for the benchmarks: a folder if one is given, else those in scikit-image."""

from __future__ import annotations

import argparse
import os
from functools import cache
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from rics_transforms.data import photos


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
    options.add_argument("--limit", type=int, help="use at most this many scenes")
    return options


def load(options: argparse.Namespace, side: int) -> Tensor:
    """Centre squares of images whose short side is `side` pixels: uint8 [B, 3, side, side]."""
    if options.photos is None:
        scenes = photos.scenes(side)
    else:
        scenes = photos.folder_scenes(options.photos, side)
    return torch.stack([scene for _, scene in islice(scenes, options.limit)])


@cache
def tiles(side: int, count: int) -> Tensor:
    """Tiles of the photographs in scikit-image, chosen at random: uint8 [count, 3, side, side].

    What is in a picture decides how long some scores take, so noise would not do.
    """
    found = [tile for _, tile in photos.scenes(side, minimum=count)]
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(found), generator=generator)[:count]
    return torch.stack([found[i] for i in chosen.tolist()])
