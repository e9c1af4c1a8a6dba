"""Time of every score, against the obvious ways to score all crops and against the floor.

Times are those of `RICSCrop(k)` on RGB tiles of photographs, in milliseconds per image: medians
with quartiles. Also: the compiled scores against the same in torch, what crops between the pixels
cost beyond whole ones, the crops of all (2 D + 1)^2 windows of a scene, and what importing the
package costs beyond torchvision. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from time import perf_counter, thread_time
from unittest.mock import patch

import cv2
import rivals
import torch
from scenes import tiles
from tables import Target, heading, print_head, print_row, print_targets
from timing import bandwidth, figures, interleaved, machine, milliseconds, spread
from torch import Tensor

from rics_transforms import Lattice, RICSCrop, Score, get_score, list_scores
from rics_transforms.engine import native
from rics_transforms.engine.windows import select_windows

SIZES = ((224, 140), (256, 224), (512, 448), (1024, 896))  # image, crop
BATCHES, THREADS, REACH = (1, 8, 64, 256), (1, 2), 9
MOST_PIXELS = 2**24  # of a batch
MOST_PRODUCTS = 2**30  # of weights and pixels, over all crops of an image
LIMITS = {224: {"hash": 0.15, "lattice": 0.3}, 256: {"hash": 0.2, "lattice": 0.3}}  # ms per image
LIMIT, GAIN, IMPORT = 0.5, 1.6, 50  # ms of the other scores; of two threads; ms
BEYOND = 0.3  # ms per image that fractions of a pixel may add
BEFORE = "torchvision.transforms.v2"  # is imported, before the package is

Times = dict[tuple[str, int, int], list[float]]  # by score, threads and batch
SEEN = """
Of the batches 1, 8, 64 and 256 those beyond 2^24 pixels are left out. The floor is the time to
read the images and to write the crops once, at the bandwidth of a large copy; the last column
compares the largest batch on one thread with it. The rivals find the best crop for one random
filter in float32, image by image in any batch. Left out are the matrix of all crops beyond 1 GiB
(n = 512: 3.2 GiB, n = 1024: 50 GiB) and `F.conv2d` at n = 1024 (13 billion products, 16 times as
many as at 512).
"""


def scores() -> dict[str, Score]:
    """Every registered score, and the lattice with hash patches."""
    named = {name: get_score(name) for name in list_scores()}
    return named | {"lattice of hashes": Lattice(patch="hash")}


# --- scores, rivals and the floor ----------------------------------------------------------------


def print_times(
    n: int, k: int, dtype: torch.dtype, floor: list[float], most: int, seconds: float
) -> Times:
    """One table; `floor` is in milliseconds per image, for each number of threads."""
    batches = [batch for batch in BATCHES if batch * n * n <= MOST_PIXELS and batch <= most]
    columns = [(threads, batch) for threads in THREADS for batch in batches]
    images = tiles(n, max(batches))
    images = images if dtype == torch.uint8 else images / 255
    heading(f"n = {n}, k = {k}, {str(dtype).removeprefix('torch.')}: ms per image")
    print_head("threads, batch", *(f"{t}, {b}" for t, b in columns), "of the floor")
    times: Times = {}

    def measure(name: str, crop: Callable[[Tensor], object], possible: list[int]) -> None:
        for threads, batch in columns:
            if batch in possible:
                _set_threads(threads)
                calls = milliseconds(lambda _, b=batch: crop(images[:b]), 100, seconds)
                times[name, threads, batch] = [call / batch for call in calls]
        cells = [spread(times[name, *c]) if (name, *c) in times else "" for c in columns]
        most = statistics.median(times[name, 1, max(possible)])
        print_row(name, *cells, f"{most / floor[0]:.0f}x")

    for name, score in scores().items():
        measure(name, RICSCrop(k, score=score), batches)
    if dtype == torch.uint8:
        possible = affordable(n, k)
        for name, rival in possible.items():
            measure(name, lambda x, r=rival: rivals.crop(x, taps(k), r), [1])
        _require_agreement(images[:1], k, possible)
    print_row("floor", *(f"{floor[THREADS.index(t)]:.4f}" for t, _ in columns), "1x")
    return times


@cache
def taps(k: int) -> Tensor:
    """The filter of the rivals."""
    return torch.randn(k, k, generator=torch.Generator().manual_seed(0))


def affordable(n: int, k: int) -> dict[str, rivals.Rival]:
    """The rivals that fit into the time and the memory."""
    products = k * k * (n - k + 1) ** 2
    most = {"unfold + matmul": MOST_PRODUCTS // 4, "`F.conv2d`": MOST_PRODUCTS}
    return {
        name: rival for name, rival in rivals.RIVALS.items() if products <= most.get(name, products)
    }


def _require_agreement(image: Tensor, k: int, possible: dict[str, rivals.Rival]) -> None:
    """The rivals do the same: they find one and the same crop."""
    first, *others = (rivals.crop(image, taps(k), rival) for rival in possible.values())
    if not all(torch.equal(first, other) for other in others):
        raise SystemExit("Expected the rivals to find the same crop, but they differ.")


def _set_threads(threads: int) -> None:
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def floors(n: int, k: int, dtype: torch.dtype, speeds: list[float]) -> list[float]:
    """Milliseconds to read an image and to write a crop at this many bytes per second."""
    return [1000 * 3 * (n * n + k * k) * dtype.itemsize / speed for speed in speeds]


# --- compiled scores -----------------------------------------------------------------------------


def print_paths(rounds: int) -> None:
    """The same scores in C and in torch, alternating."""
    heading("Compiled scores against torch: ms per image, one thread, uint8, batch 64")
    if not native.is_available():
        print("Left out: the compiled scores were not built here.")
        return
    print_head(
        "score", *(f"{n}, {k}: {way}" for n, k in SIZES[:2] for way in ("C", "torch", "gain"))
    )
    for name, score in scores().items():
        cells: list[str] = []
        for n, k in SIZES[:2]:
            images, crop = tiles(n, 64), RICSCrop(k, score=score)
            ways = {
                "C": lambda _, c=crop, x=images: c(x),
                "torch": lambda _, c=crop, x=images: _in_torch(c, x),
            }
            times = interleaved(ways, rounds)
            medians = [statistics.median(t) for t in times.values()]
            cells += [*(spread(t, 64) for t in times.values()), f"{medians[1] / medians[0]:.1f}x"]
        print_row(name, *cells)


def _in_torch(crop: RICSCrop, images: Tensor) -> Tensor:
    with patch.object(native, "_native", None):
        return crop(images)


# --- threads -------------------------------------------------------------------------------------


def print_gains(rounds: int, most: int) -> dict[tuple[int, int], dict[str, float]]:
    """How much faster two threads are, by image and batch; the two alternate."""
    settings = [(n, k, batch) for n, k in SIZES[:2] for batch in BATCHES[2:] if batch <= most]
    heading("Two threads against one, uint8: milliseconds per image on one and on two, and gain")
    print_head("score", *(f"n = {n}, batch {batch}" for n, _, batch in settings))
    gains: dict[tuple[int, int], dict[str, float]] = {(n, b): {} for n, _, b in settings}
    for name, score in scores().items():
        cells = []
        for n, k, batch in settings:
            one, two = _in_turns(RICSCrop(k, score=score), tiles(n, batch), rounds)
            gains[n, batch][name] = one / two
            cells.append(f"{figures(one / batch)}, {figures(two / batch)}: {one / two:.2f}x")
        print_row(name, *cells)
    return gains


def _in_turns(crop: RICSCrop, images: Tensor, rounds: int) -> list[float]:
    """Median milliseconds for each number of threads, after a call that does not count."""
    times: dict[int, list[float]] = {threads: [] for threads in THREADS}
    for _ in range(rounds + 1):
        for threads, taken in times.items():
            _set_threads(threads)
            start = perf_counter()
            crop(images)
            taken.append(1000 * (perf_counter() - start))
    return [statistics.median(taken[1:]) for taken in times.values()]


# --- crops between the pixels --------------------------------------------------------------------


def print_subpixel(rounds: int) -> list[Target]:
    """What fractions of a pixel cost beyond the whole-pixel crop; the two alternate."""
    heading("Crops between the pixels, uint8, one thread: ms of CPU time per image")
    print_head("images", "whole pixels", "`subpixel=True`", "beyond")
    n, k = SIZES[1]
    crops = {str(subpixel): RICSCrop(k, subpixel=subpixel) for subpixel in (False, True)}
    rows = []
    for title, images in {"one image": tiles(n, 1)[0], "a batch of 16": tiles(n, 16)}.items():
        count = images.shape[:-3].numel()
        ways = {name: lambda _, c=crop, x=images: c(x) for name, crop in crops.items()}
        whole, between = interleaved(ways, rounds, clock=thread_time).values()
        beyond = [b - w for w, b in zip(whole, between, strict=True)]
        print_row(title, *(spread(times, count) for times in (whole, between, beyond)))
        most = statistics.median(beyond) / count
        name, measured = f"`subpixel`, {n} px, {title}", f"{figures(most)} ms"
        rows.append(Target(name, f"at most {BEYOND} ms", measured, most <= BEYOND))
    return rows


# --- windows and import --------------------------------------------------------------------------


def print_windows(rounds: int) -> None:
    heading(
        f"All {(2 * REACH + 1) ** 2} windows of a scene (D = {REACH}): ms per scene, one thread"
    )
    print_head("score", *(f"n = {n}, k = {k}" for n, k in SIZES[:2]))
    seen = {n: tiles(n + 2 * REACH, 16)[:, None, None] for n, _ in SIZES[:2]}
    for name, score in scores().items():
        ways = {
            f"{n}": lambda i, n=n, k=k, s=score: select_windows(seen[n][i % 16], (n, n), (k, k), s)
            for n, k in SIZES[:2]
        }
        print_row(name, *map(spread, interleaved(ways, rounds).values()))


def print_imports(rounds: int) -> float:
    """Each in a process that has already imported torchvision's transforms.

    A first run, not counted, leaves the bytecode behind, as an installation does. torchvision's
    import leaves a full garbage collection due, which the next import triggers, whichever it is; so
    the time is shown with and without that collection done before.
    """
    program = (
        f"import gc, time, {BEFORE}; {{}}; start = time.perf_counter(); "
        "import rics_transforms; print(time.perf_counter() - start)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    heading("Import after torchvision's: ms")
    print_head("import", "time")

    def run(before: str) -> float:
        command = [sys.executable, "-c", program.format(before)]
        return 1000 * float(subprocess.check_output(command, env=environment))

    run("pass")
    alone, after = ([run(before) for _ in range(rounds)] for before in ("gc.collect()", "pass"))
    print_row("`rics_transforms` alone", spread(alone))
    print_row("`rics_transforms` and what torchvision left to collect", spread(after))
    return statistics.median(alone)


# --- targets -------------------------------------------------------------------------------------


def targets(
    times: dict[int, Times], gains: dict[tuple[int, int], dict[str, float]], imported: float
) -> list[Target]:
    """The slowest batch counts, and the least gain."""
    rows = []
    for n, of in times.items():
        for name in list_scores():
            limit = LIMITS[n].get(name, LIMIT)
            most = max(statistics.median(t) for (s, th, _), t in of.items() if (s, th) == (name, 1))
            title = f"`{name}`, {n} px, one thread, any batch"
            rows.append(Target(title, f"at most {limit} ms", f"{figures(most)} ms", most <= limit))
    for (n, batch), of in gains.items():
        least = min(of, key=lambda name: of[name])
        measured = f"default {of['lattice']:.2f}x, least {of[least]:.2f}x (`{least}`)"
        title = f"two threads, {n} px, batch {batch}"
        rows.append(Target(title, f"at least {GAIN}x", measured, of[least] >= GAIN))
    good = imported <= IMPORT
    return [*rows, Target("import", f"at most {IMPORT} ms", f"{imported:.0f} ms", good)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.1, help="for each cell, about")
    parser.add_argument("--side", type=int, default=1024, help="of the largest images")
    parser.add_argument("--batch", type=int, default=256, help="the largest")
    options = parser.parse_args()
    rounds = max(2, round(200 * options.seconds))
    print(machine())
    speeds = []
    for threads in THREADS:
        _set_threads(threads)
        speeds.append(bandwidth())
    shown = " and ".join(f"{speed / 1e9:.1f}" for speed in speeds)
    print(f"\nA large copy reads and writes {shown} GB/s on one and on two threads.\n{SEEN}")
    times: dict[int, Times] = {}
    for n, k in SIZES:
        for dtype in (torch.uint8, torch.float32) if n <= options.side else ():
            floor = floors(n, k, dtype, speeds)
            found = print_times(n, k, dtype, floor, options.batch, options.seconds)
            if dtype == torch.uint8 and n in LIMITS:
                times[n] = found
    _set_threads(1)
    print_paths(rounds)
    gains = print_gains(rounds, options.batch)
    _set_threads(1)
    between = print_subpixel(rounds)
    print_windows(rounds)
    print_targets([*targets(times, gains, print_imports(rounds)), *between])


if __name__ == "__main__":
    main()
