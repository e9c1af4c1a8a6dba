"""How time grows with image, crop, batch and channels, and memory with the batch.

Times of `locate` on one thread, uint8, in milliseconds: medians with quartiles. Exponents are
slopes of least squares through the logarithms of the medians, with 95 % intervals. Prints Markdown.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from functools import partial

import scipy.stats
import torch
from memory import cost
from scenes import tiles
from speed import scores
from tables import heading, print_head, print_row
from timing import interleaved, machine, spread
from torch import Tensor

from rics_transforms import RICSCrop

SIDES = (128, 181, 256, 362, 512, 724, 1024, 1448, 2048)
FROM = 256  # px: below this, costs that do not depend on the size matter
BATCHES, CHANNELS, HELD = (1, 2, 4, 8, 16, 32, 64, 128), (1, 3, 4, 8), (8, 64, 512, 2048)
N, K = 224, 140


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=SIDES[-1], help="of the largest images")
    parser.add_argument("--batch", type=int, default=HELD[-1], help="the largest")
    parser.add_argument("--rounds", type=int, default=15, help="of measuring")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    print_sides([side for side in SIDES if side <= options.side], options.rounds)
    print_batches([batch for batch in BATCHES if batch <= options.batch], options.rounds)
    print_channels(options.rounds)
    print_memory([batch for batch in HELD if batch <= options.batch])


def print_sides(sides: Sequence[int], rounds: int) -> None:
    """Two crops of very different size, in turns."""
    heading("Image and crop: ms of one image by n, for k = 7n/8, and how much k = n/2 takes")
    print_head("score", *map(str, sides), "exponent, k = 7n/8", "k = n/2", "k = n/2 against 7n/8")
    for name, score in scores().items():
        wide, narrow = [], []
        for n in sides:
            image = tiles(n, 1)
            large, small = (RICSCrop(k, score=score) for k in (7 * n // 8, n // 2))
            both = {
                "large": partial(_locate, large, image),
                "small": partial(_locate, small, image),
            }
            times = interleaved(both, rounds, 1.0)
            wide.append(times["large"])
            narrow.append(times["small"])
        ratios = [
            statistics.median(b) / statistics.median(a) for a, b in zip(wide, narrow, strict=True)
        ]
        extent = f"{min(ratios):.2f}x to {max(ratios):.2f}x"
        exponents = exponent(sides, wide, FROM), exponent(sides, narrow, FROM)
        print_row(name, *map(spread, wide), *exponents, extent)


def print_batches(batches: Sequence[int], rounds: int) -> None:
    heading(f"Batch: ms per image, n = {N}, k = {K}")
    print_head("score", *map(str, batches), "exponent of the time per batch")
    images = tiles(N, max(batches))
    for name, score in scores().items():
        crop = RICSCrop(K, score=score)
        calls = {f"{b}": partial(_locate, crop, images[:b]) for b in batches}
        times = interleaved(calls, rounds, 5.0).values()
        cells = [spread(t, b) for t, b in zip(times, batches, strict=True)]
        print_row(name, *cells, exponent(batches, list(times), 8))


def print_channels(rounds: int) -> None:
    heading(f"Channels: ms per image, n = {N}, k = {K}, batch of 8")
    print_head("score", *map(str, CHANNELS))
    images = tiles(N, 8).repeat(1, 3, 1, 1)
    for name, score in scores().items():
        crop = RICSCrop(K, score=score)
        calls = {f"{c}": partial(_locate, crop, images[:, :c].contiguous()) for c in CHANNELS}
        print_row(name, *(spread(t, 8) for t in interleaved(calls, rounds, 2.0).values()))


def print_memory(batches: Sequence[int]) -> None:
    heading(f"Memory: MB that `locate` takes at most beyond the batch, n = {N}, k = {K}, uint8")
    print_head("score", *(f"batch of {b} ({b * 3 * N * N / 1e6:.0f} MB)" for b in batches))
    for name, score in scores().items():
        crop, tiny = RICSCrop(K, score=score), RICSCrop(24, score=score)
        held = [tiles(N, min(b, 64)).repeat(-(-b // 64), 1, 1, 1) for b in batches]
        costs = [
            cost(partial(crop.locate, x), partial(tiny.locate, x[:1, :, :32, :32])) for x in held
        ]
        print_row(name, *(f"{c.megabytes:.1f}" for c in costs))


def exponent(sizes: Sequence[int], times: Sequence[list[float]], least: int) -> str:
    """The power of the size with which the time grows, from a `least` size on."""
    pairs = [(s, statistics.median(t)) for s, t in zip(sizes, times, strict=True) if s >= least]
    if len(pairs) < 3:
        return ""
    fit = scipy.stats.linregress(
        *(list(map(math.log, column)) for column in zip(*pairs, strict=True))
    )
    half = fit.stderr * scipy.stats.t.ppf(0.975, len(pairs) - 2)
    return f"{fit.slope:.2f} ({fit.slope - half:.2f}-{fit.slope + half:.2f})"


def _locate(crop: RICSCrop, images: Tensor, _: int) -> Tensor:
    return crop.locate(images)


if __name__ == "__main__":
    main()
