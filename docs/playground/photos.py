"""The photographs of the playground, written into the site whenever MkDocs builds it.

They come out of scikit-image's wheel, are free of rights (public domain or CC0, as `skimage.data`
says of each), and are stored without loss: the browser sees the same pixels as Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import PIL.Image
import skimage.data

NAMES = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field")
SHORT = 400
"""Pixels along the short side: a window of 256 can move by 144."""


def on_post_build(config: Mapping[str, Any]) -> None:
    """MkDocs calls this: list the file under `hooks`."""
    write(Path(config["site_dir"]) / "playground" / "photos")


def write(folder: Path) -> None:
    """All photographs, as PNG files named like the functions of `skimage.data`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        photograph(name).save(folder / f"{name}.png", optimize=True)


def photograph(name: str) -> PIL.Image.Image:
    """One photograph of scikit-image, RGB, with a short side of `SHORT`."""
    image = PIL.Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    scale = SHORT / min(image.size)
    width, height = (round(side * scale) for side in image.size)
    return image.resize((width, height), PIL.Image.Resampling.BICUBIC)
