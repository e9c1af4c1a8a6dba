"""Stored photographs, trimmed by up to 4 px on each side: which chains give the same answer.

ImageNet photographs at the size of their files; six trims, and six with a JPEG encoding of quality
90 after each. Chains resize before they crop, or choose the crop in the stored pixels. Tables:
whether EfficientNet-Lite0 (bicubic) and SqueezeNet 1.0 (bilinear) keep their class under all six,
and for how many copies the model's input is the same to the last bit; the same for larger
photographs; what ladders of other steps do; and what the chains cost. 95 % Clopper-Pearson
intervals, p of McNemar's exact test against the first chain; independent photographs are assumed.
Prints Markdown. Records are kept in --records, so that an interrupted run resumes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import squeezenet
import torch
from tables import cell, heading, print_head, print_row
from timing import interleaved, machine, spread
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from rics_transforms import Ladder, RICSCrop, RICSResizedCrop, ShiftReport, verify
from rics_transforms.data.photos import folder_scenes, photographs
from rics_transforms.fields import Field, scaled
from rics_transforms.models import efficientnet
from rics_transforms.models.model import Model
from rics_transforms.shifts import Trim

SIDE = 224
STEPS = {"2^(1/16)": 2 ** (1 / 16), "2^(1/8)": 2 ** (1 / 8), "2^(1/4)": 2 ** (1 / 4),
         "2^(1/2)": 2 ** (1 / 2)}  # fmt: skip
TRIMS = {"trims": Trim(4), "trims and JPEG 90 after each": Trim(4, then="jpeg:quality=90")}
SHORTER = range(256, 1025)
REENCODED = ("Resize 256, centre", "RICSResizedCrop", "RICSResizedCrop, sub-pixel")
ROBUST = "adversarial_robustness"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, help="use at most this many photographs")
    parser.add_argument("--records", type=Path, default=Path("records"), help="where records go")
    options = parser.parse_args()
    torch.set_num_threads(1)  # small batches gain nothing from more
    run = Run(options.limit, options.records)
    print_cost()
    print_steps()
    cubic = InterpolationMode.BICUBIC
    models = {"SqueezeNet 1.0": squeezenet.model(), "EfficientNet-Lite0": efficientnet.lite0()}
    rules = {"SqueezeNet 1.0": chains(), "EfficientNet-Lite0": chains(interpolation=cubic)}
    for name, trims in TRIMS.items():
        print_classes(run, name, trims, models, rules)
    print_large(models, rules)


# --- chains --------------------------------------------------------------------------------------


class CentreOfField(v2.Transform):
    """The middle of the field of `RICSResizedCrop`, resized: the same chain without a choice."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        k = Field.within(tuple(F.get_size(inpt)), 7 / 8, Ladder(), (SIDE, SIDE)).k
        return F.resize(F.center_crop(inpt, list(k)), [SIDE, SIDE], antialias=True, **self.options)


class WholeImage(v2.Transform):
    """RICS in the whole image, whatever its size, with k .78 of the shorter side; then resized."""

    def __init__(self, score: str, **options: Any) -> None:
        super().__init__()
        self.called, self.options = score, options

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        k = scaled(0.78 * min(F.get_size(inpt)), (SIDE, SIDE))
        crop = RICSCrop(k, score=self.called)(inpt)
        return F.resize(crop, [SIDE, SIDE], antialias=True, **self.options)

    def extra_repr(self) -> str:
        return f"score={self.called!r}"


def chains(**options: Any) -> dict[str, Any]:
    resize = v2.Resize(256, **options)
    resized = partial(RICSResizedCrop, SIDE, **options)
    return {
        "Resize 256, centre": v2.Compose([resize, v2.CenterCrop(SIDE)]),
        "Resize 256, RICS": v2.Compose([resize, RICSCrop(SIDE)]),
        "Resize 256, RICS sub-pixel": v2.Compose([resize, RICSCrop(SIDE, subpixel=True)]),
        "centre of the field": CentreOfField(**options),
        "RICSResizedCrop": resized(),
        "RICSResizedCrop, sub-pixel": resized(subpixel=True),
        "whole image, lattice": WholeImage("lattice", **options),
        "whole image, saliency": WholeImage("saliency", **options),
    }


# --- measurements --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """How many photographs to measure, and where the records go."""

    limit: int | None
    records: Path

    def measure(self, trims: Trim, name: str, rule: Any, model: Model | None) -> ShiftReport:
        words = f"{self.limit or 'all'} {trims} {name} {model.name if model else ''}"
        file = self.records / f"{''.join(c if c.isalnum() else '-' for c in words)}.jsonl"
        return verify(Stored(self.limit), rule, model=model, shifts=trims, records=file)


class Stored:
    """The first few photographs, as stored."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.folder = squeezenet.assets() / "photos"
        self.scenes = folder_scenes(self.folder)
        self.source = f"{limit or 'all'} ImageNet photographs as they are stored"

    def __iter__(self) -> Iterator[tuple[str, Tensor, int]]:
        labels = json.loads((self.folder / "labels.json").read_text())
        for number, (name, scene) in enumerate(self.scenes):
            if number == self.limit:
                return
            yield name, scene, labels[name]["class_index"]


# --- tables --------------------------------------------------------------------------------------


def print_classes(
    run: Run, name: str, trims: Trim, models: dict[str, Model], rules: dict[str, dict[str, Any]]
) -> None:
    heading(f"Class kept under six trims of up to 4 px per side, %: {name}")
    print_head("model", "chain", "photographs", "class kept", "p", "top-1", "p", "same input, %",
               words=2)  # fmt: skip
    for model in models:
        plain: ShiftReport | None = None
        for rule, chain in rules[model].items():
            if trims.then and rule not in REENCODED:
                continue
            report = run.measure(trims, rule, chain, models[model])
            kept, right = report.row(ROBUST, "class"), report.row("accuracy", "class")
            said = {} if plain is None else _p_values(plain, report)
            plain = plain or report
            print_row(
                model, rule, str(kept.count), cell(kept), said.get(ROBUST, ""), cell(right),
                said.get("accuracy", ""), f"{100 * _same(report):.1f}",
            )  # fmt: skip


def _p_values(plain: ShiftReport, report: ShiftReport) -> dict[str, str]:
    found = (c for c in plain.compare(report) if c.subject == "class")
    return {c.metric: f"{c.test.p_value:.2g}" for c in found}


def _same(report: ShiftReport) -> float:
    """The share of copies whose input equals that of the whole photograph, bit for bit."""
    views = [view == 0 for record in report.records for view in record.input[1:]]
    return sum(views) / len(views)


def print_large(models: dict[str, Model], rules: dict[str, dict[str, Any]]) -> None:
    heading(
        "The same without labels: whole photographs of scikit-image, shorter side 300 to 1411 px"
    )
    print_head("model", "chain", "photographs", "class kept", "same input, %", words=2)
    for model in models:
        for rule in REENCODED:
            report = verify(photographs(), rules[model][rule], model=models[model],
                            shifts=TRIMS["trims"])  # fmt: skip
            kept = report.row(ROBUST, "class")
            print_row(model, rule, str(kept.count), cell(kept), f"{100 * _same(report):.1f}")


def print_steps() -> None:
    heading(
        f"Ladders: the share of the shorter side, from {SHORTER[0]} to {SHORTER[-1]} px, that "
        "fields cover; how often the six trims lead to another field, %"
    )
    print_head("step", "covered", "another field")
    for name, step in STEPS.items():
        ladder = Ladder(step)
        covered = fmean(ladder.side(shorter) / shorter for shorter in SHORTER)
        other = fmean(
            ladder.side(shorter - max(above + below, left + right)) != ladder.side(shorter)
            for shorter in SHORTER
            for above, below, left, right in TRIMS["trims"].sides()
        )
        print_row(name, f"{100 * covered:.1f}", f"{100 * other:.1f}")


def print_cost() -> None:
    heading("Milliseconds per uint8 image on one thread, with quartiles")
    print(f"{machine()}.\n")
    sizes = {"375 x 500": (375, 500), "3000 x 4000": (3000, 4000)}
    print_head("chain", *sizes)
    noise = torch.Generator().manual_seed(0)
    rules = {name: rule for name, rule in chains().items() if "whole" not in name}
    times: dict[str, list[str]] = {name: [] for name in rules}
    for size in sizes.values():
        image = torch.randint(256, (3, *size), generator=noise).byte()
        calls = {name: partial(_call, rule, image) for name, rule in rules.items()}
        for name, found in interleaved(calls, 200, seconds=15).items():
            times[name].append(spread(found))
    for name, cells in times.items():
        print_row(name, *cells)


def _call(chain: Any, image: Tensor, _: int) -> object:
    return chain(image)


if __name__ == "__main__":
    main()
