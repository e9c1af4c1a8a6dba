"""Table 2 of Shifman & Weiss 2024 on a small scale: photographs that wrap around.

SqueezeNet 1.0 on ImageNet photographs that are rolled by whole pixels: by one pixel over the edges,
and by 64 random moves. RICS has to give the same crop for each of them on every photograph (Theorem
2), hence the same class: "different inputs" counts the crops that differ in a single bit, by a
128-bit digest of their bytes. Adversarial robustness and consistency are equations 2 and 1 of the
paper. 95 % Clopper-Pearson intervals; independent photographs are assumed. Prints Markdown. Records
are kept in --records, so that an interrupted run resumes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import squeezenet
from reproduction import SCORES, SETTINGS, Setting
from tables import cell, print_row
from torchvision.transforms import v2

from rics_transforms import RICSCrop, ShiftReport, verify
from rics_transforms.models.model import Model

SHIFTS = "cyclic:samples=64"
COLUMNS = [
    (metric, of) for of in ("crop", "class") for metric in ("adversarial_robustness", "consistency")
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, help="use at most this many photographs")
    parser.add_argument("--baseline", type=int, default=40, help="of these for the centre crop")
    parser.add_argument("--records", type=Path, default=Path("records"), help="where records go")
    options = parser.parse_args()
    model = squeezenet.model()
    few = min(options.baseline, options.limit or options.baseline)
    for setting in SETTINGS:
        n, k, short = setting
        print(f"\n## n = {n}, k = {k}, short side {short} px, `{SHIFTS}`\n")
        names = (f"{metric.replace('_', ' ')} by {of}, %" for metric, of in COLUMNS)
        print_row("", "photographs", "top-1, %", *names, "different inputs / views")
        print_row(*["---"] * 8)
        _print_report("centre crop", _measure(setting, "centre crop", model, few, options.records))
        for name in SCORES:
            _print_report(name, _measure(setting, name, model, options.limit, options.records))


def _measure(
    setting: Setting, name: str, model: Model, limit: int | None, records: Path
) -> ShiftReport:
    """The baseline sees the whole window if that is the model's size, else its centre."""
    transform: Any = v2.CenterCrop(squeezenet.SIDE)
    if name in SCORES:
        transform = RICSCrop(setting.k, score=SCORES[name], shifts="cyclic")
    images = squeezenet.Photographs(setting.n, setting.short, limit)
    plain = "".join(c if c.isalnum() else "-" for c in f"{setting.n}-{setting.k}-{name}-cyclic")
    return verify(images, transform, model=model, shifts=SHIFTS, records=records / f"{plain}.jsonl")


def _print_report(name: str, report: ShiftReport) -> None:
    cells = [cell(report.row(metric, of)) for metric, of in COLUMNS]
    used, views = report.forwards
    top1 = report.row("accuracy", "class")
    print_row(name, str(top1.count), cell(top1), *cells, f"{used} / {views}")


if __name__ == "__main__":
    main()
