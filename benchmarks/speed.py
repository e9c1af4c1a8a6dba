"""Time of every score on one CPU thread, against the obvious ways to score all crops.

Three tables: the crop of uint8 RGB images, 224 to 140 pixels, one by one and in a batch of 64; the
crops of all (2 D + 1)^2 windows of a scene at D = 9; and what importing the package costs beyond
torchvision. Times are medians with quartiles; ratios compare medians of the same run. The rivals'
batches hold 8 images.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table

import rics_transforms
from rics_transforms import Lattice, RICSCrop, get_score, list_scores
from rics_transforms.selection import select_windows

N, K, BATCH, REACH = 224, 140, 64, 9


def milliseconds(function: Callable[[int], object], rounds: int) -> list[float]:
    """Time of each call, after a tenth as many to warm up; sorted."""
    times = []
    for i in range(-(rounds // 10) - 2, rounds):
        start = time.perf_counter()
        function(i)
        if i >= 0:
            times.append(1000 * (time.perf_counter() - start))
    return sorted(times)


def spread(times: list[float], per: int = 1) -> str:
    """Median with quartiles, per image."""
    low, median, high = (q / per for q in statistics.quantiles(times, n=4))
    return f"{median:.3f} ({low:.3f}-{high:.3f})"


def unfold_and_multiply(images: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Every crop written out, then one matrix product."""
    crops = F.unfold(images.sum(1, keepdim=True, dtype=torch.float32), K)
    return (kernel.flatten() @ crops).argmax(-1)


def convolve(images: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """One convolution with a filter as large as the crop."""
    field = images.sum(1, keepdim=True, dtype=torch.float32)
    return F.conv2d(field, kernel[None, None]).flatten(1).argmax(-1)


def crops(console: Console, images: torch.Tensor) -> None:
    """The first table."""
    kernel = torch.randn(K, K)
    rivals = {"unfold + matmul": (unfold_and_multiply, 5), "F.conv2d": (convolve, 20)}
    times: dict[str, tuple[list[float], list[float]]] = {}
    for name, (rival, rounds) in rivals.items():
        single = milliseconds(lambda i, r=rival: r(images[i % BATCH, None], kernel), rounds)
        batch = milliseconds(lambda i, r=rival: r(images[:8], kernel), 3)
        times[name] = single, [t * BATCH / 8 for t in batch]
    for name, score in scores().items():
        transform = RICSCrop(K, score=score)
        single = milliseconds(lambda i, t=transform: t(images[i % BATCH]), 300)
        times[name] = single, milliseconds(lambda i, t=transform: t(images), 10)
    table = Table(title=f"RICSCrop({K}) on uint8 RGB {N} x {N}: ms per image, median (quartiles)")
    for column in ("score", "single", f"batch of {BATCH}", *(f"x faster than {r}" for r in rivals)):
        table.add_column(column, justify="left" if column == "score" else "right")
    for name, (single, batch) in times.items():
        ratios = [statistics.median(times[r][0]) / statistics.median(single) for r in rivals]
        table.add_row(name, spread(single), spread(batch, BATCH), *(f"{r:.0f}" for r in ratios))
    console.print(table)


def windows(console: Console, images: torch.Tensor) -> None:
    """The second table."""
    table = Table(
        title=f"All {(2 * REACH + 1) ** 2} windows of a scene (D = {REACH}): ms per scene"
    )
    for column in ("score", f"n {N}, k {K}", "n 256, k 224"):
        table.add_column(column, justify="left" if column == "score" else "right")
    for name, score in scores().items():
        cells = []
        for n, k in ((N, K), (256, 224)):
            side = n + 2 * REACH
            seen = images[:, None, :, :side, :side]
            cells.append(
                milliseconds(
                    lambda i, s=seen, n=n, k=k, score=score: select_windows(
                        s[i % BATCH, None], (n, n), (k, k), score
                    ),
                    60,
                )
            )
        table.add_row(name, *map(spread, cells))
    console.print(table)


def imports(console: Console) -> None:
    """The last lines: in a process that has torchvision's transforms already.

    That import leaves a full garbage collection due, which the next import, whichever it is, sets
    off; so the time is shown with that collection done before, and without.
    """
    program = (
        "import gc, time, torchvision.transforms.v2; {}; start = time.perf_counter(); "
        "import rics_transforms; print(time.perf_counter() - start)"
    )
    for title, before in (("", "gc.collect()"), (" and what it left to collect", "pass")):
        run = [sys.executable, "-c", program.format(before)]
        times = sorted(1000 * float(subprocess.check_output(run)) for _ in range(9))
        console.print(f"import rics_transforms{title}, after torchvision's: {spread(times)} ms")


def scores() -> dict[str, rics_transforms.Score]:
    """Every registered score, and the lattice with hash patches."""
    return {name: get_score(name) for name in list_scores()} | {
        "lattice of hashes": Lattice(patch="hash")
    }


def photographs(side: int) -> torch.Tensor:
    """A batch of real scenes: what is in a picture decides which fallback levels are needed."""
    from rics_transforms import photos

    scenes = [scene for _, scene in photos.scenes(side)]
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(scenes), generator=generator)[:BATCH]
    return torch.stack([scenes[i] for i in chosen.tolist()])


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    console = Console(width=150)
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    console.print(f"{platform.processor() or platform.machine()}, one thread, {versions}")
    images = photographs(256 + 2 * REACH)
    crops(console, images[..., :N, :N].contiguous())
    windows(console, images)
    imports(console)


if __name__ == "__main__":
    main()
