"""The picture that other sites show with a link to this one."""

from __future__ import annotations

from io import BytesIO

from figures import moving, tables
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rics_transforms.palette import BLUE, GREY, VERMILION

SIZE = (1200, 630)


def draw() -> bytes:
    """The card as JPEG: what RICS is for, in words, numbers and a photograph."""
    figure = Figure(figsize=(SIZE[0] / 100, SIZE[1] / 100))
    _write(figure)
    _photograph(figure)
    file = BytesIO()
    figure.savefig(file, format="jpeg", dpi=100, pil_kwargs={"quality": 85})
    return file.getvalue()


def _write(figure: Figure) -> None:
    figure.text(0.05, 0.9, "rics-transforms", size=20, color=GREY, va="top")
    title = "Same scene,\nsame crop,\nsame answer"
    figure.text(0.05, 0.79, title, size=36, weight="bold", va="top", linespacing=1.25)
    centre, scenes, rics = tables.demo()
    axes = figure.add_axes((0.2, 0.17, 0.3, 0.16))
    bars = axes.barh(("RICS", "centre crop"), (rics, centre), color=(BLUE, VERMILION))
    axes.bar_label(bars, padding=6, size=20, weight="bold")
    axes.set(xlim=(0, 1.4 * centre), xticks=[])
    axes.tick_params(labelsize=18, length=0)
    axes.spines[:].set_visible(False)
    words = f"of {scenes} scenes change their answer\nwhen the window moves by one pixel"
    figure.text(0.05, 0.06, words, size=14, color="#555555")


def _photograph(figure: Figure) -> None:
    axes = figure.add_axes((0.53, 0.06, 0.44, 0.88))
    axes.imshow(moving.scene().movedim(0, -1))
    y, x = moving.RULES["rics"][2].locate(moving.scene()[:, : moving.N, : moving.N]).tolist()
    inside = (moving.N - moving.K) // 2
    for left, top, side, colour in (
        (0, 0, moving.N, "white"),
        (inside, inside, moving.K, VERMILION),
        (x, y, moving.K, BLUE),
    ):
        axes.add_patch(Rectangle((left, top), side, side, fill=False, lw=4, ec=colour))
    axes.set_axis_off()
