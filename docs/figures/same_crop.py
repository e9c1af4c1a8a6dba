"""Draw docs/images/same_crop.jpg: two windows of a scene, and the crop that both choose.

It is for README.md; the site draws the same as SVG.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import skimage.data
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torchvision.transforms import v2

from rics_transforms import RICSCrop
from rics_transforms.palette import BLUE, VERMILION

N, K = 256, 224
WINDOWS = {"window": ((0, 0), BLUE), "moved by (9, 7)": ((9, 7), VERMILION)}


def main() -> None:
    """Draw it."""
    path = Path(__file__).parents[1] / "images" / "same_crop.jpg"
    draw().savefig(path, dpi=90, pil_kwargs={"quality": 88})


def draw() -> Figure:
    """The figure, in black on white."""
    figure = Figure(figsize=(12, 5.9))
    with matplotlib.rc_context({"axes.titlesize": 19}):  # to be read on a phone
        fill(figure)
    figure.tight_layout()
    return figure


def fill(figure: Figure) -> None:
    """Draw into a figure that is twice as broad as high."""
    photograph = torch.from_numpy(skimage.data.chelsea()).movedim(-1, 0)
    scene = v2.functional.resize(photograph, 275)[:, :, 90 : 90 + 275]
    transform, centre = RICSCrop(K), v2.CenterCrop(K)
    axes = figure.subplots(2, 4, width_ratios=(1.25, 1, 1, 1))
    crops: dict[str, list[torch.Tensor]] = {"centre": [], "RICS": []}
    for row, (name, ((top, left), colour)) in zip(axes, WINDOWS.items(), strict=True):
        window = scene[:, top : top + N, left : left + N]
        y, x = transform.locate(window).tolist()
        _show(row[0], scene.movedim(0, -1), name)
        row[0].add_patch(Rectangle((left, top), N - 1, N - 1, fill=False, lw=2, ec=colour))
        row[0].add_patch(
            Rectangle((left + x, top + y), K - 1, K - 1, fill=False, lw=2, ec="white", ls="--")
        )
        crops["centre"].append(centre(window))
        crops["RICS"].append(transform(window))
        for axis, (title, found) in zip(row[1:3], crops.items(), strict=True):
            _show(axis, found[-1].movedim(0, -1), f"{title} crop")
    for axis, (title, (first, second)) in zip(axes[:, 3], crops.items(), strict=True):
        difference = (first.int() - second.int()).abs().amax(0)
        verdict = "differ" if difference.any() else "equal"
        _show(axis, difference, f"{title}: {verdict}", cmap="magma", vmin=0, vmax=128)


def _show(axes: Axes, image: torch.Tensor, title: str, **how: object) -> None:
    axes.imshow(image.numpy(), **how)
    axes.set_title(title)
    axes.set_axis_off()


if __name__ == "__main__":
    main()
