"""The photographs of the playground, which MkDocs writes into the site.

They come out of scikit-image's wheel, are free of rights (public domain or CC0, as `skimage.data`
says of each), and are stored without loss: the browser sees the same pixels as Python.
"""

from __future__ import annotations

import PIL.Image
import skimage.data

NAMES = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field")
SHORT = 400
"""Pixels along the short side: a window of 256 can move by 144."""


def photograph(name: str) -> PIL.Image.Image:
    """One photograph of scikit-image, RGB, with a short side of `SHORT`."""
    image = PIL.Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    scale = SHORT / min(image.size)
    width, height = (round(side * scale) for side in image.size)
    return image.resize((width, height), PIL.Image.Resampling.BICUBIC)
