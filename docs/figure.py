"""Draw docs/images/same_crop.jpg: two windows of a scene, and the crop that both choose."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import skimage.data
import torch
from matplotlib.patches import Rectangle
from torchvision.transforms import v2

from rics_transforms import RICSCrop

N, K = 256, 224
WINDOWS = {"window": ((0, 0), "#0072b2"), "moved by (9, 7) px": ((9, 7), "#d55e00")}


def main() -> None:
    """Draw it."""
    photograph = torch.from_numpy(skimage.data.chelsea()).movedim(-1, 0)
    scene = v2.functional.resize(photograph, 275)[:, :, 90 : 90 + 275]
    transform, centre = RICSCrop(K), v2.CenterCrop(K)
    figure, axes = plt.subplots(2, 4, figsize=(12, 5.9), width_ratios=(1.25, 1, 1, 1))
    crops: dict[str, list[torch.Tensor]] = {"CenterCrop(224)": [], "RICSCrop(224)": []}
    for row, (name, ((top, left), colour)) in zip(axes, WINDOWS.items(), strict=True):
        window = scene[:, top : top + N, left : left + N]
        y, x = transform.locate(window).tolist()
        row[0].imshow(scene.movedim(0, -1))
        row[0].add_patch(Rectangle((left, top), N - 1, N - 1, fill=False, lw=2, ec=colour))
        row[0].add_patch(
            Rectangle((left + x, top + y), K - 1, K - 1, fill=False, lw=2, ec="white", ls="--")
        )
        row[0].set_title(f"scene, {name}", color=colour)
        crops["CenterCrop(224)"].append(centre(window))
        crops["RICSCrop(224)"].append(transform(window))
        for axis, (title, found) in zip(row[1:3], crops.items(), strict=True):
            axis.imshow(found[-1].movedim(0, -1))
            axis.set_title(title)
    for axis, (title, (first, second)) in zip(axes[:, 3], crops.items(), strict=True):
        difference = (first.int() - second.int()).abs().amax(0)
        axis.imshow(difference, cmap="magma", vmin=0, vmax=128)
        axis.set_title(f"{title}: {'differ' if difference.any() else 'equal, bit for bit'}")
    for axis in axes.flat:
        axis.set_axis_off()
    figure.tight_layout()
    figure.savefig(
        Path(__file__).parent / "images" / "same_crop.jpg", dpi=90, pil_kwargs={"quality": 88}
    )


if __name__ == "__main__":
    main()
