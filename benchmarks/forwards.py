"""Verification against brute force: the same answers from 100 times fewer forwards.

Brute force crops every shifted window separately and runs SqueezeNet 1.0 on the crops, in the
batches that `verify` uses; `verify` scores a scene once and runs the model on each distinct crop.
Prints forwards, seconds (for `verify` medians with quartiles of five runs, for brute force a single
run) and their ratios, for every D, and for growing windows. Stops if a single class differs. Prints
Markdown.
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial
from time import perf_counter

import squeezenet
import torch
from reproduction import SETTINGS, Setting
from tables import heading, print_head, print_row
from timing import machine, milliseconds, spread
from torch import Tensor

from rics_transforms import RICSCrop, ShiftReport, verify
from rics_transforms.models.model import Model
from rics_transforms.shifts.windows import Realistic

DELTAS = range(1, 10)
GROWING = (Setting(160, 140, 192), Setting(224, 196, 256), Setting(320, 280, 352),
           Setting(448, 392, 480), Setting(640, 560, 672))  # fmt: skip
REACH = 3  # of the growing windows
COLUMNS = ("forwards", "brute force", "fewer", "seconds", "brute force", "faster")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=4, help="photographs")
    parser.add_argument("--delta", type=int, default=max(DELTAS), help="the largest")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = squeezenet.model()
    deltas = [delta for delta in DELTAS if delta <= options.delta]
    print(machine())
    for setting in SETTINGS:
        heading(f"n = {setting.n}, k = {setting.k}, {options.limit} photographs, one thread")
        print_head("D", *COLUMNS, words=0)
        compare(setting, deltas, options.limit, model)
    few = max(1, options.limit // 2)
    reach = min(REACH, max(deltas))
    heading(f"Growing windows at D = {reach}, k = 7n/8, {few} photographs, one thread")
    print_head("n", *COLUMNS, words=0)
    for setting in GROWING:
        compare(setting, [reach], few, model, str(setting.n))


def compare(
    setting: Setting, deltas: list[int], limit: int, model: Model, name: str | None = None
) -> None:
    """One row per delta, for windows of the same scenes."""
    room = setting.n + 2 * max(deltas)
    images = list(squeezenet.Photographs(room, setting.short, limit))
    crop = RICSCrop(setting.k)
    seconds = [0.0] * (max(deltas) + 1)
    classes = {
        name: brute_force(scene, setting, max(deltas), model, seconds) for name, scene, _ in images
    }
    for delta in deltas:
        measure = partial(verify, images, crop, model=model, n=setting.n, deltas=[delta])
        report = measure()
        require_equal(report, classes)
        used, every = report.forwards
        ours, theirs = milliseconds(lambda _, m=measure: m(), 5), sum(seconds[: delta + 1])
        faster = f"{1000 * theirs / statistics.median(ours):.0f}x"
        print_row(name or str(delta), str(used), str(every), f"{every / used:.0f}x",
                  spread(ours, 1000), f"{theirs:.2f}", faster)  # fmt: skip


def brute_force(
    scene: Tensor, setting: Setting, most: int, model: Model, seconds: list[float]
) -> dict[tuple[int, int], int]:
    """The class of every shifted window's crop, by its move, from the shortest moves on.

    Adds the time that the moves of length D take beyond shorter ones to ``seconds[D]``: those of a
    larger D are a superset of those of a smaller one.
    """
    crop, n = RICSCrop(setting.k), setting.n
    classes: dict[tuple[int, int], int] = {}
    for delta in range(most + 1):
        start = perf_counter()
        moves = [(int(dy), int(dx)) for dy, dx in Realistic(delta).moves((n, n))]
        new = [move for move in moves if move not in classes]
        for first in range(0, len(new), model.batch_size):
            part = new[first : first + model.batch_size]
            corners = [(most + dy, most + dx) for dy, dx in part]
            windows = [scene[:, top : top + n, left : left + n] for top, left in corners]
            logits = model(torch.stack([crop(window) for window in windows])).logits
            classes |= zip(part, logits.argmax(1).tolist(), strict=True)
        seconds[delta] += perf_counter() - start
    return classes


def require_equal(report: ShiftReport, classes: dict[str, dict[tuple[int, int], int]]) -> None:
    for record in report.records:
        found = [record.predictions[i] for i in record.input]
        wanted = [classes[record.id][int(dy), int(dx)] for dy, dx in report.moves]
        if found != wanted:
            raise SystemExit(f"Expected equal classes for {record.id}, but they differ.")


if __name__ == "__main__":
    main()
