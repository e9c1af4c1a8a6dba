"""Verification against brute force: the same answers from 100 times fewer forwards.

Brute force crops every shifted window by itself and asks SqueezeNet 1.0 about each crop; `verify`
scores a scene once and asks about each distinct crop. Prints forwards, seconds and their ratio, and
stops if a single class differs. Prints Markdown.
"""

from __future__ import annotations

import argparse
from time import perf_counter

import squeezenet
import torch
from reproduction import SETTINGS, Setting, print_row
from torch import Tensor

from rics_transforms import RICSCrop, ShiftReport, verify
from rics_transforms.models import Model
from rics_transforms.shifts import Realistic

DELTAS = (1, 3, 5, 9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=4, help="photographs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = squeezenet.model()
    for setting in SETTINGS:
        model(RICSCrop(setting.k)(torch.zeros(1, 3, setting.n, setting.n, dtype=torch.uint8)))
        print(f"\n## n = {setting.n}, k = {setting.k}, {options.limit} photographs, one thread\n")
        print_row("D", "forwards", "brute force", "fewer", "seconds", "brute force", "faster")
        print_row(*["---:"] * 7)
        for delta in DELTAS:
            room = setting.n + 2 * delta
            images = list(squeezenet.Photographs(room, setting.short, options.limit))
            start = perf_counter()
            report = verify(images, RICSCrop(setting.k), model=model, n=setting.n, deltas=[delta])
            ours, start = perf_counter() - start, perf_counter()
            classes = {name: brute_force(scene, setting, delta, model) for name, scene, _ in images}
            theirs = perf_counter() - start
            require_equal(report, classes)
            used, all_of_them = report.forwards
            fewer, faster = f"{all_of_them / used:.0f}x", f"{theirs / ours:.0f}x"
            print_row(str(delta), str(used), str(all_of_them), fewer, f"{ours:.2f}",
                      f"{theirs:.2f}", faster)  # fmt: skip


def brute_force(scene: Tensor, setting: Setting, delta: int, model: Model) -> list[int]:
    """The class of every shifted window's crop, window by window."""
    crop, n = RICSCrop(setting.k), setting.n
    classes = []
    for dy, dx in Realistic(delta).moves((n, n)):
        top, left = delta + int(dy), delta + int(dx)
        logits = model(crop(scene[:, top : top + n, left : left + n])[None]).logits
        classes.append(int(logits.argmax()))
    return classes


def require_equal(report: ShiftReport, classes: dict[str, list[int]]) -> None:
    for record in report.records:
        found = [record.predictions[i] for i in record.input]
        if found != classes[record.id]:
            raise SystemExit(f"Expected equal classes for {record.id}, but they differ.")


if __name__ == "__main__":
    main()
