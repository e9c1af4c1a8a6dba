"""What a real camera or a server adds to a shift: noise, re-encoding, sub-pixel motion, rescaling.

Each companion maps a scene, a uint8 array [H, W, 3], and the position of a window in it to the
window as it comes out of that process. `COMPANIONS` names them together with the shift of the scene
that they contain.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rics_transforms import Score, locate

Window = Callable[[np.ndarray, int, int, np.random.Generator], np.ndarray]


def _cut(scene: np.ndarray, n: int, corner: int) -> np.ndarray:
    return scene[corner : corner + n, corner : corner + n]


def shift(pixels: int) -> Window:
    """The window moved diagonally by so many pixels."""
    return lambda scene, n, corner, rng: _cut(scene, n, corner + pixels)


def noise(deviation: float, after: Window | None = None) -> Window:
    """Independent Gaussian noise of this standard deviation, in grey levels."""

    def apply(scene: np.ndarray, n: int, corner: int, rng: np.random.Generator) -> np.ndarray:
        window = (after or shift(0))(scene, n, corner, rng)
        noisy = window + rng.normal(0, deviation, window.shape)
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)

    return apply


def jpeg(quality: int, after: Window | None = None) -> Window:
    """Encoding as JPEG of this quality, with Pillow's default chroma subsampling."""

    def apply(scene: np.ndarray, n: int, corner: int, rng: np.random.Generator) -> np.ndarray:
        buffer = io.BytesIO()
        window = (after or shift(0))(scene, n, corner, rng)
        Image.fromarray(window).save(buffer, "JPEG", quality=quality)
        return np.asarray(Image.open(buffer))

    return apply


def half_pixel(scene: np.ndarray, n: int, corner: int, rng: np.random.Generator) -> np.ndarray:
    """The scene moved by half a pixel along both axes, bilinear."""
    fine = scene.astype(np.uint16)
    mean = fine[:-1, :-1] + fine[1:, :-1] + fine[:-1, 1:] + fine[1:, 1:]
    return _cut(((mean + 2) // 4).astype(np.uint8), n, corner)


def rescale(scene: np.ndarray, n: int, corner: int, rng: np.random.Generator) -> np.ndarray:
    """The window scaled down to 15/16 of its size and up again, bicubic."""
    small = round(n * 15 / 16)
    window = Image.fromarray(_cut(scene, n, corner)).resize((small, small), Image.BICUBIC)
    return np.asarray(window.resize((n, n), Image.BICUBIC))


COMPANIONS: dict[str, tuple[Window, int]] = {
    "shift 1": (shift(1), 1),
    "noise 1": (noise(1), 0),
    "noise 4": (noise(4), 0),
    "JPEG 95": (jpeg(95), 0),
    "JPEG 75": (jpeg(75), 0),
    "half pixel": (half_pixel, 0),
    "shift 1 + JPEG 90": (jpeg(90, after=shift(1)), 1),
    "15/16 and back": (rescale, 0),
}


def windows(scenes: Tensor, n: int, seed: int = 0) -> dict[str, Tensor]:
    """The centre window of every scene, and what each companion makes of it: uint8 [B, 3, n, n]."""
    rng = np.random.default_rng(seed)
    arrays = scenes.movedim(1, -1).numpy()
    corner = (scenes.shape[-1] - n) // 2
    processes = {"window": shift(0)} | {name: window for name, (window, _) in COMPANIONS.items()}
    return {
        name: torch.from_numpy(np.stack([window(a, n, corner, rng) for a in arrays])).movedim(-1, 1)
        for name, window in processes.items()
    }


def moves(views: dict[str, Tensor], k: int, score: Score) -> dict[str, Tensor]:
    """How far each companion moves the crop over the scene, in pixels (maximum norm): int64 [B]."""
    origin = locate(views["window"], k, score=score)
    return {
        name: (locate(views[name], k, score=score) + pixels - origin).abs().amax(-1)
        for name, (_, pixels) in COMPANIONS.items()
    }
