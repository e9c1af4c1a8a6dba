"""Draw docs/images/traces.jpg: what a network answers while a window moves, pixel by pixel.

    RICS_TEST_ASSETS=FOLDER python docs/figures/traces.py

The folder holds squeezenet1_0.safetensors, the ImageNet weights of SqueezeNet 1.0 as
benchmarks/squeezenet.py reads them; the photographs are those of scikit-image. Prints how often a
shift by one pixel changes the class of a scene, with the centre crop and with RICS.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from torch import Tensor
from torchvision.transforms import v2

from rics_transforms import RICSCrop, ShiftReport, verify
from rics_transforms.data.photos import scenes
from rics_transforms.palette import BLUE, VERMILION

DOCS = Path(__file__).parents[1]
sys.path.append(str(DOCS.parent / "benchmarks"))
import squeezenet  # noqa: E402

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
    plt.rcParams["font.size"] = 15  # to be read on a phone
    figure, axes = plt.subplots(2, SHOWN, figsize=(10.5, 5.4), height_ratios=(1.15, 1))
    for column, lines in zip(axes.T, found[:SHOWN], strict=True):
        _draw(column, lines)
    axes[1, 0].set_ylabel("probability")
    axes[1, 0].legend(frameon=False, loc="lower left", fontsize=13)
    figure.tight_layout()
    figure.savefig(
        DOCS / "images" / "traces.jpg", dpi=84, pil_kwargs={"quality": 75, "optimize": True}
    )


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


def _draw(axes: list[Axes], lines: dict[str, Tensor]) -> None:
    axes[0].imshow(lines["scene"].movedim(0, -1))
    axes[0].set_axis_off()
    for name, (_, colour, marker) in RULES.items():
        axes[1].plot(
            range(-REACH, REACH + 1), lines[name], color=colour, marker=marker, ms=4, label=name
        )
    axes[1].set(ylim=(0, 1), xlabel="moved to the right, px")
    axes[1].spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
