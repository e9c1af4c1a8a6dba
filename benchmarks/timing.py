"""Times, and the machine on which they were taken."""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from time import perf_counter

import torch

from rics_transforms.engine import native

Call = Callable[[int], object]


def interleaved(
    functions: Mapping[str, Call],
    rounds: int,
    seconds: float = math.inf,
    clock: Callable[[], float] = perf_counter,
) -> dict[str, list[float]]:
    """Milliseconds of each call, function after function in every round, so that noise hits all.

    Args:
        functions: each gets the number of the round.
        rounds: how many count; a tenth as many, at least one, come before them.
        seconds: after which to stop with the rounds there are, at least three.
        clock: that of one thread, for example, does not count the time of other processes.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    begin = perf_counter()
    for i in range(max(1, rounds // 10)):
        if i >= 1 and perf_counter() - begin > seconds / 10:
            break
        for function in functions.values():
            function(0)
    for i in range(rounds):
        if i >= 3 and perf_counter() - begin > seconds:
            break
        for name, function in functions.items():
            start = clock()
            function(i)
            times[name].append(1000 * (clock() - start))
    return times


def milliseconds(function: Call, rounds: int, seconds: float = math.inf) -> list[float]:
    """The same for a single function."""
    return interleaved({"": function}, rounds, seconds)[""]


def spread(values: Sequence[float], per: float = 1) -> str:
    """Median with quartiles, divided by `per`: for times of a batch, its size."""
    low, median, high = (q / per for q in statistics.quantiles(values, n=4, method="inclusive"))
    return f"{figures(median)} ({figures(low)} to {figures(high)})"


def figures(value: float) -> str:
    """Three significant figures, but at most three decimals, and all digits before the point."""
    power = math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{min(3, max(0, 2 - power))}f}"


def bandwidth(megabytes: int = 256) -> float:
    """Bytes per second that a large copy reads and writes, on as many threads as torch uses."""
    source = torch.ones(megabytes * 2**20, dtype=torch.uint8)
    target = torch.empty_like(source)
    times = milliseconds(lambda _: target.copy_(source), 15)
    return 2 * len(source) / (statistics.median(times) / 1000)


def machine() -> str:
    """Date, processor, versions, and which path computes the scores: for the head of a table."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    return f"{date.today()}; {_processor()}, {cores} cores; {versions}; {_path()}"


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _path() -> str:
    """What computes the scores of uint8 images here."""
    return f"scores in {'C' if native.is_available() else 'torch operations'}"
