"""Peak memory of every score and of its rivals, and images of 9 megapixels: seconds and memory.

Each case runs on one thread in its own process. Memory is how much the resident set grew at most
during the first call, beyond the images, the libraries and what a call on tiny images left behind;
this includes results and cached tables. Needs Linux. Prints Markdown.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import cv2
import rivals
import torch
from scenes import tiles
from speed import SIZES, affordable, scores, taps
from tables import Target, heading, print_head, print_row, print_targets
from timing import machine
from torch import Tensor

from rics_transforms import RICSCrop

LARGE = (3000, 2800)  # image, crop
SECONDS, MEGABYTES = 0.5, 1000
BATCH = 64


class Cost(NamedTuple):
    """The cost of a first call, with everything it has to prepare, and of a second one."""

    megabytes: float
    first: float
    second: float


def cost(call: Callable[[], object], tiny: Callable[[], object]) -> Cost:
    """Peak memory and seconds of a call, measured in a fork after a `tiny` one."""
    if sys.platform != "linux":
        print("Left out: peak memory is measured only on Linux.")
        sys.exit(0)
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe(duplex=False)
    process = fork.Process(target=_measure, args=(call, tiny, there))
    process.start()
    there.close()
    try:
        return Cost(*here.recv())
    except EOFError:
        raise SystemExit("Expected a call to end, but its process did: out of memory?") from None
    finally:
        process.join()


def _measure(call: Callable[[], object], tiny: Callable[[], object], there: Connection) -> None:
    tiny()
    ctypes.CDLL(None).malloc_trim(0)  # or freed memory would be used again, and not be counted
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak
    before, start = _resident("VmRSS"), perf_counter()
    call()
    first, peak = perf_counter() - start, _resident("VmHWM")
    start = perf_counter()
    call()
    there.send((peak - before, first, perf_counter() - start))


def _resident(which: str) -> float:
    """Resident memory of this process in 10^6 bytes, now (VmRSS) or at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{which}:"))
    return int(line.split()[1]) * 1024 / 1e6


def of_crop(crop: RICSCrop, images: Tensor) -> Cost:
    """What `RICSCrop` takes for a batch."""
    tiny = RICSCrop(24, score=crop.score)
    return cost(partial(crop, images), partial(tiny, images[:1, :, :32, :32]))


def of_rival(rival: rivals.Rival, image: Tensor, k: int) -> Cost:
    filters = taps(k), taps(24)
    return cost(
        partial(rivals.crop, image, filters[0], rival),
        partial(rivals.crop, image[..., :32, :32], filters[1], rival),
    )


def print_peaks(side: int) -> None:
    sizes = [(n, k) for n, k in SIZES if n <= side]
    heading("Peak memory beyond the images: MB, uint8")
    columns = [f"n = {n}, one" for n, _ in sizes]
    print_head("", *columns, f"n = 224, batch of {BATCH}")
    for name, score in scores().items():
        singles = [of_crop(RICSCrop(k, score=score), tiles(n, 1)) for n, k in sizes]
        batch = of_crop(RICSCrop(SIZES[0][1], score=score), tiles(SIZES[0][0], BATCH))
        print_row(name, *(f"{c.megabytes:.1f}" for c in (*singles, batch)))
    for name, rival in rivals.RIVALS.items():
        costs = [
            f"{of_rival(rival, tiles(n, 1), k).megabytes:.1f}" if name in affordable(n, k) else ""
            for n, k in sizes
        ]
        print_row(name, *costs, "")
    image, crop = (3 * side**2 / 1e6 for side in SIZES[0])
    print(f"\nAn image of 224 px takes {image:.2f} MB, its crop {crop:.2f} MB.")


def print_large() -> list[Target]:
    n, k = LARGE
    image = tiles(n, 1)
    heading(f"n = {n}, k = {k}: one uint8 image of {3 * n * n / 1e6:.0f} MB, one thread")
    print_head("score", "first call, s", "second call, s", "peak beyond the image, MB")
    rows = []
    for name, score in scores().items():
        found = of_crop(RICSCrop(k, score=score), image)
        print_row(name, f"{found.first:.2f}", f"{found.second:.2f}", f"{found.megabytes:.0f}")
        good = max(found.first, found.second) < SECONDS and found.megabytes < MEGABYTES
        measured = f"{max(found[1:]):.2f} s, {found.megabytes:.0f} MB"
        wanted = f"below {SECONDS} s and {MEGABYTES} MB"
        rows.append(Target(f"`{name}`, n = {n}, k = {k}", wanted, measured, good))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=LARGE[0], help="of the largest images")
    options = parser.parse_args()
    torch.set_num_threads(1)  # threads would not survive the fork
    cv2.setNumThreads(1)
    print(machine())
    print_peaks(options.side)
    if options.side >= LARGE[0]:
        print_targets(print_large())


if __name__ == "__main__":
    main()
