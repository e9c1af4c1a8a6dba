"""Draw docs/images/traces.svg: what a network answers while a window moves, pixel by pixel.

    RICS_TEST_ASSETS=FOLDER python docs/figures/traces.py

The folder holds squeezenet1_0.safetensors, the ImageNet weights of SqueezeNet 1.0 as
benchmarks/squeezenet.py reads them; the photographs are those of scikit-image. Prints how often a
shift by one pixel changes the class of a scene, with the centre crop and with RICS.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from rics_transforms import RICSCrop, ShiftReport, verify
from rics_transforms.data.photos import scenes
from rics_transforms.palette import BLUE, VERMILION
from rics_transforms.report.figures import svg

DOCS = Path(__file__).parents[1]
sys.path += [str(DOCS), str(DOCS.parent / "benchmarks")]
import squeezenet  # noqa: E402
from figures.pictures import compact  # noqa: E402

N, K, REACH, SHOWN = 256, 224, 9, 3
RULES = {
    f"CenterCrop({K})": (v2.CenterCrop(K), VERMILION, "o"),
    f"RICSCrop({K})": (RICSCrop(K), BLUE, "s"),
}


def main() -> None:
    """Measure, and draw the scenes whose answer jumps most."""
    model = squeezenet.model()
    tiles = scenes(N + 2 * REACH, minimum=200)
    for name, (rule, _, _) in RULES.items():
        print(name, _robustness(verify(tiles, rule, n=N, model=model, deltas=(1,))))
    found = sorted(
        (_traces(model, scene) for name, scene in tiles if "scale 1" in name),
        key=lambda lines: -lines[f"CenterCrop({K})"].diff().abs().amax(),
    )
    drawn = svg("traces", "", (5, 6), "constrained", partial(_draw, shown=found[:SHOWN]))
    drawn = compact(drawn.replace(' aria-label=""', "", 1))  # the page has words
    (DOCS / "images" / "traces.svg").write_text(drawn, encoding="utf-8")


def _robustness(report: ShiftReport) -> str:
    row = report.row("adversarial_robustness", "class", delta=1)
    return f"{row.value:.3f} ({row.ci_low:.3f} to {row.ci_high:.3f}), {row.count} scenes"


def _traces(model: squeezenet.Model, scene: Tensor) -> dict[str, Tensor]:
    """For windows that move to the right: the probability of what each rule answers unmoved."""
    windows = torch.stack([scene[:, REACH : REACH + N, x : x + N] for x in range(2 * REACH + 1)])
    lines = {"scene": windows[REACH]}
    for name, (rule, _, _) in RULES.items():
        logits = model(torch.stack([rule(window) for window in windows])).logits
        assert logits is not None
        chances = logits.softmax(1)
        lines[name] = chances[:, chances[REACH].argmax()]
    return lines


def _draw(figure: Figure, shown: list[dict[str, Tensor]]) -> None:
    rows = figure.subplots(SHOWN, 2, width_ratios=(1, 2), sharex="col")
    for (left, right), lines in zip(rows, shown, strict=True):
        left.imshow(F.resize(lines["scene"], [128]).movedim(0, -1))
        left.set_axis_off()
        for name, (_, colour, marker) in RULES.items():
            moved = range(-REACH, REACH + 1)
            right.plot(moved, lines[name], color=colour, marker=marker, ms=3.5, label=name)
        right.set(ylim=(0, 1.05), yticks=(0, 0.5, 1))
        right.spines[["top", "right"]].set_visible(False)
    rows[0, 1].set_title("probability of the answer", loc="left")
    rows[-1, 1].set_xlabel("window moved to the right, pixels")
    figure.legend(*rows[0, 1].get_legend_handles_labels(), loc="outside lower center", ncols=2,
                  frameon=False)  # fmt: skip


if __name__ == "__main__":
    main()
