"""Table 1 of Shifman & Weiss 2024 on a small scale, and what noise and re-encoding do to it.

SqueezeNet 1.0 on ImageNet photographs; adversarial robustness and consistency (paper, equations 2
and 1; the unshifted window counts) by class and by nearest neighbour among the other photographs,
and of the crop alone. 95 % Clopper-Pearson intervals; independent photographs are assumed. Prints
Markdown. Records are kept in --records, so that an interrupted run resumes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import squeezenet
from tables import cell, print_row
from torchvision.transforms import v2

from rics_transforms import Lattice, RICSCrop, ShiftReport, get_score, verify
from rics_transforms.shifts import get_shift
from rics_transforms.shifts.windows import Realistic

DELTAS = (1, 3, 5, 9)


class Setting(NamedTuple):
    """Windows of n px at a short side of the photograph, crops of k px."""

    n: int
    k: int
    short: int


SETTINGS = (Setting(224, 140, 256), Setting(256, 224, 288))

SCORES = {
    "hash": get_score("hash"),
    "RICS-rand (`random`)": get_score("random"),
    "RICS-MH (`mexican_hat`)": get_score("mexican_hat"),
    "saliency": get_score("saliency"),
    "lattice of hashes": Lattice(patch="hash"),
    "lattice of saliency": Lattice(patch="saliency"),
    "**lattice** (default)": Lattice(),
}

COMPANIONS = {
    "noise 1": "realistic:delta=0,then=noise:deviation=1",
    "noise 4": "realistic:delta=0,then=noise:deviation=4",
    "JPEG 95": "realistic:delta=0,then=jpeg:quality=95",
    "JPEG 75": "realistic:delta=0,then=jpeg:quality=75",
    "half pixel": "realistic:delta=0,then=half_pixel",
    "15/16 and back": "realistic:delta=0,then=rescale",
    "within 1 px + JPEG 90": "realistic:delta=1,then=jpeg:quality=90",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, help="use at most this many photographs")
    parser.add_argument(
        "--baseline-limit", type=int, help="and this many for the centre crop: 361 forwards each"
    )
    parser.add_argument("--records", type=Path, default=Path("records"), help="where records go")
    options = parser.parse_args()
    model = squeezenet.model()
    for setting in SETTINGS:
        n, k, short = setting
        shifts = {"within 9 px": Realistic(max(DELTAS))}
        shifts |= {name: get_shift(text) for name, text in COMPANIONS.items()}
        reports = {
            (name, rule): _measure(setting, name, transform, rule, shift, model, options)
            for rule, shift in shifts.items()
            for name, transform in _transforms(n, k).items()
        }
        counts = {len(r.records) for r in reports.values()}
        count = " and ".join(map(str, sorted(counts)))
        print(f"\n## n = {n}, k = {k}, {count} photographs at a short side of {short} px\n")
        _print_shifts({name: r for (name, rule), r in reports.items() if rule == "within 9 px"})
        _print_companions(reports)


def _transforms(n: int, k: int) -> dict[str, Any]:
    """The baseline sees the whole window if that is the model's size, else its centre."""
    rules = {name: RICSCrop(k, score=score) for name, score in SCORES.items()}
    return rules | {"centre crop": v2.CenterCrop(squeezenet.SIDE)}


def _measure(
    setting: Setting, name: str, transform: Any, rule: str, shift: Any, model: Any, options: Any
) -> ShiftReport:
    room = max(shift.room((setting.n, setting.n)))
    limit = options.baseline_limit if name == "centre crop" else options.limit
    images = squeezenet.Photographs(room, setting.short, limit or options.limit)
    plain = "".join(c if c.isalnum() else "-" for c in f"{setting.n}-{setting.k}-{name}-{rule}")
    return verify(
        images, transform, model=model, n=setting.n, shifts=shift, deltas=DELTAS,
        neighbours="others", records=options.records / f"{plain}.jsonl",
    )  # fmt: skip


# --- tables --------------------------------------------------------------------------------------


def _print_shifts(reports: dict[str, ShiftReport]) -> None:
    for metric, of in [
        (metric, of)
        for metric in ("adversarial_robustness", "consistency")
        for of in ("neighbour", "class", "crop")
    ]:
        print(f"\n### {metric.replace('_', ' ').capitalize()} by {of}, %\n")
        print_row("", "top-1", *(f"D = {d}" for d in DELTAS), "forwards / brute force, D = 9")
        print_row(*["---"] * 7)
        for name, report in reports.items():
            cells = [cell(report.row(metric, of, delta)) for delta in DELTAS]
            used, brute = report.forwards
            share = f"{used} / {brute} (1 / {brute / used:.0f})"
            print_row(name, cell(report.row("accuracy", "class")), *cells, share)
        _print_bounds(reports, metric)


def _print_bounds(reports: dict[str, ShiftReport], metric: str) -> None:
    rows = {"Theorem 1, Eq. 4": "hash", "Theorem 3": "lattice of hashes"}
    for name, of in rows.items():
        bounds = [reports[of].row(metric, "crop", delta).bound for delta in DELTAS]
        if name == "Theorem 1, Eq. 4" or metric == "adversarial_robustness":
            print_row(f"*{name}*", "", *(f"{100 * (b or 0):.1f}" for b in bounds), "")


def _print_companions(reports: dict[tuple[str, str], ShiftReport]) -> None:
    names = list(dict.fromkeys(name for name, _ in reports))
    for of in ("class", "neighbour", "crop", "crop within 2 px"):
        print(f"\n### Share of photographs that keep the {of} under a companion of a shift, %\n")
        print_row("", *COMPANIONS)
        print_row(*["---"] * (1 + len(COMPANIONS)))
        for name in names if not of.startswith("crop") else names[:-1]:
            rows = [
                next(r for r in reports[name, rule].rows if (r.metric, r.subject) == (
                    "adversarial_robustness", of))
                for rule in COMPANIONS
            ]  # fmt: skip
            print_row(name, *map(cell, rows))


if __name__ == "__main__":
    main()
