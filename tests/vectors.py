"""Conformance vectors: which crop every score chooses in images that integer arithmetic makes.

`vectors.json` holds them. The package, with compiled code and without, and the playground must meet
every one, so that no version changes crops silently. `python -m tests.vectors` in the root of the
repository writes the file anew, with the cases of `cases`: only for a release whose changelog says
which crops change, and why.

Origins are (top, left) in pixels. Cases with ``"subpixel": true`` have them in 1/64 px, and the
`digest` of the crop, which is resampled there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import rics_transforms
from rics_transforms.engine.geometry import UNIT

PATH = Path(__file__).with_name("vectors.json")

SCORES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("hash", {}),
    ("lattice", {}),
    ("lattice", {"patch": "hash"}),
    ("lattice", {"patch": "saliency"}),
    ("lattice", {"order": 2}),
    ("mexican_hat", {}),
    ("mexican_hat", {"sigma": 6}),
    ("random", {}),
    ("random", {"seed": 7}),
    ("saliency", {}),
)
SMOOTH = tuple(case for case in SCORES if rics_transforms.get_score(case[0], **case[1]).smooth)
"""Those that have peaks between the pixels."""

SIZES = (
    ((24, 24), (24, 24)),
    ((40, 40), (28, 28)),
    ((72, 72), (60, 60)),
    ((45, 38), (31, 25)),
    ((96, 80), (75, 66)),
)
TEXTURES = ((1, 0), (5, 0), (6, 6), (30, 0))
"""Side of the blocks in pixels, and the share of the noise: see `image`."""


def image(seed: int, size: tuple[int, int], block: int, noise: int, channels: int = 3) -> Tensor:
    """A picture of random blocks and noise, uint8 ``[C, H, W]``.

    Value number i, row by row and channel by channel, is ``(32 - noise) * b + noise * p``, divided
    by 32 and rounded down. With SplitMix64's n-th number s(n), p is the highest byte of
    ``s(seed * 2^32 + i)`` and b that of ``s(seed * 2^32 + 2^31 + j)``, j counting the blocks
    likewise.
    """
    down, across = (-(-side // block) for side in size)
    places = np.arange(channels * size[0] * size[1], dtype=np.uint64).reshape(channels, *size)
    blocks = np.arange(channels * down * across, dtype=np.uint64).reshape(channels, down, across)
    start = np.uint64(seed) << np.uint64(32)
    coarse = _byte(start + np.uint64(2**31) + blocks).repeat(block, 1).repeat(block, 2)
    coarse = coarse[:, : size[0], : size[1]]
    mixed = (32 - noise) * coarse + noise * _byte(start + places)
    return torch.from_numpy((mixed // 32).astype(np.uint8))


def _byte(index: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The highest byte of SplitMix64's numbers (Steele, Lea & Flood 2014)."""
    z = index * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(56)).astype(np.int64)


def cases() -> Iterator[dict[str, Any]]:
    """What is asked: images by their numbers, and a score, a crop size and a kind of shifts."""
    whole = list(_cases(SCORES, 0))
    yield from whole
    for case in _cases(SMOOTH, len(whole)):
        yield {**case, "subpixel": True}


def _cases(scores: Sequence[tuple[str, dict[str, Any]]], seed: int) -> Iterator[dict[str, Any]]:
    """All sizes, textures and kinds of shifts with each of the scores; images after `seed`."""
    for (n, k), (block, noise), shifts in product(SIZES, TEXTURES, ("realistic", "cyclic")):
        for score, options in scores:
            if options.get("order") and any(2 * (i - c + 1) > i for i, c in zip(n, k, strict=True)):
                continue  # no patch is left
            seed += 1
            made = {"seed": seed, "n": n, "block": block, "noise": noise}
            yield {**made, "k": k, "score": score, "options": options, "shifts": shifts}


def picture(case: dict[str, Any]) -> Tensor:
    """The image that a case is about."""
    return image(case["seed"], tuple(case["n"]), case["block"], case["noise"])


def origin(case: dict[str, Any], images: Tensor) -> list[int]:
    """(top, left) of the crop that the package chooses, of every image."""
    found = rics_transforms.locate(images, case["k"], **_rule(case))
    unit = UNIT if case.get("subpixel") else 1
    origins: list[int] = (unit * found).to(torch.int64).tolist()
    return origins


def digest(case: dict[str, Any], image: Tensor) -> str:
    """Of the crop that the package cuts out of a uint8 image: 16 digits of SHA-256.

    It is that of the crop's bytes row by row, the channels of a pixel next to each other.
    """
    crop = rics_transforms.rics_crop(image, case["k"], **_rule(case))
    return hashlib.sha256(crop.movedim(0, -1).contiguous().numpy().tobytes()).hexdigest()[:16]


def _rule(case: dict[str, Any]) -> dict[str, Any]:
    """How the crop of a case is chosen, as arguments."""
    score = rics_transforms.get_score(case["score"], **case["options"])
    return {"score": score, "shifts": case["shifts"], "subpixel": case.get("subpixel", False)}


def answers(case: dict[str, Any]) -> dict[str, Any]:
    """What the file adds to a case."""
    image = picture(case)
    found: dict[str, Any] = {"origin": origin(case, image)}
    return {**found, "digest": digest(case, image)} if case.get("subpixel") else found


def main() -> None:
    """Write the file: one case per line."""
    lines = [json.dumps({**case, **answers(case)}) for case in cases()]
    PATH.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
