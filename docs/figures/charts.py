"""The charts of the pages, as SVG in the page's own colours."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import skimage.data
from figures import measured
from matplotlib.axes import Axes

from rics_transforms import theory
from rics_transforms.palette import BLUE, COLOURS, GREEN, GREY, PURPLE, VERMILION
from rics_transforms.report.figures import chart

N, DELTAS = 256, (1, 3, 9)


def guarantee() -> str:
    """Robustness against the size of the crop."""
    return chart("guarantee", f"Crops that no shift within D changes, n = {N} px", _guarantee)


def _guarantee(axes: Axes) -> None:
    sizes = range(64, N + 1, 2)
    for delta, colour in zip(DELTAS, COLOURS, strict=False):
        axes.plot(
            sizes, [_lattice_bound(k, delta) for k in sizes], color=colour, label=f"D = {delta}"
        )
        paper = [theory.robustness_bound(N, k, delta, order=1) for k in sizes]
        limit = [theory.robustness_limit(N, k, delta) for k in sizes]
        axes.plot(sizes, paper, color=colour, lw=1, ls="--")
        axes.plot(sizes, limit, color=colour, lw=1, ls=":")
    for name, style in (("lattice", "-"), ("paper's score", "--"), ("limit", ":")):
        axes.plot([], [], color=GREY, ls=style, label=name)
    axes.set(xlabel="crop side k, pixels", ylabel="share of scenes", ylim=(0, 1))


def _lattice_bound(k: int, delta: int) -> Fraction:
    return theory.robustness_bound(N, k, delta)


def stride() -> str:
    """A row of a photograph, sampled by a stride from two places."""
    return chart("stride", "A row of pixels, and every fourth of them", _stride)


def _stride(axes: Axes) -> None:
    row = np.asarray(skimage.data.grass()[100, :41], dtype=float)
    axes.plot(row, color=GREY, lw=1, label="all pixels")
    for start, style in ((0, "o-"), (1, "s--")):
        places = np.arange(start, len(row), 4)
        axes.plot(
            places, row[places], style, color=COLOURS[start], ms=4, label=f"from pixel {start}"
        )
    axes.set(xlabel="column, pixels", ylabel="grey level")


def lattice() -> str:
    """Along one axis: which patch positions keep the crop under every shift."""
    return chart("lattice", "Patch positions along one axis: m = 33, j = 3, D = 5", _lattice)


def _lattice(axes: Axes) -> None:
    m, j, delta = 33, 3, 5
    axes.barh(0, j * m + 2 * delta, left=-delta, color=GREY, label="seen by some window")
    kept = [cell * m + delta for cell in range(j)]
    axes.barh(0, m - 2 * delta, left=kept, color=COLOURS[0], label="the crop stays")
    for edge in range(0, j * m + 1, m):
        axes.axvline(edge, color=GREY, lw=1, ls=":")
    axes.set(xlabel="position of the best patch, pixels", yticks=[], ylim=(-1, 1))


def speed() -> str:
    """How long scores take, next to other ways to choose a crop and to the steps around them."""
    return chart("speed", "One image of 256 px on one thread: milliseconds", _speed)


def _speed(axes: Axes) -> None:
    scores = measured.table("speed", "n = 256, k = 224, uint8")
    files = measured.table("speed", "Overhead of RICS: ms per image, 200 ImageNet")
    models = measured.table("speed", "Robustness for its price")
    groups = {
        "RICS": (BLUE, {name: scores[name][0] for name in SCORES}),
        "one random filter": (VERMILION, {name.strip("`"): scores[name][0] for name in RIVALS}),
        "around it": (GREY, {
            "open a JPEG, resize": files["PIL, one process"][0],
            "ask SqueezeNet": models["centre crop"][1],
        }),
    }  # fmt: skip
    names = []
    for label, (colour, cells) in groups.items():
        places = range(len(names), len(names) + len(cells))
        bars = axes.barh(places, [*map(measured.number, cells.values())], color=colour, label=label)
        axes.bar_label(bars, padding=3, fmt="%.2g")
        names += [f"{name} (default)" if name == "lattice" else name for name in cells]
    axes.set(xscale="log", xlim=(0.05, 400), yticks=range(len(names)), yticklabels=names)
    axes.set_xticks((0.1, 1, 10, 100), ("0.1", "1", "10", "100"))
    axes.invert_yaxis()


SCORES = ("lattice", "hash", "saliency", "mexican_hat", "random")
RIVALS = ("`cv2.filter2D`", "`scipy.signal.fftconvolve`", "`F.conv2d`")


def reproduction() -> str:
    """Robustness by neighbour against the shift, ours and the paper's."""
    title = "No shift within D changes the nearest neighbour, n = 224, k = 140"
    return chart("reproduction", title, _reproduction)


def _reproduction(axes: Axes) -> None:
    ours = measured.table("reproduction", "Adversarial robustness by neighbour")
    deltas = (1, 3, 5, 9)
    for name, (row, theirs, colour) in CURVES.items():
        cells = ours[row][-5:-1]
        values = [*map(measured.number, cells)]
        spread = [[abs(float(end) - value) for end, value in zip(ends, values, strict=True)]
                  for ends in zip(*map(_ends, cells), strict=True)]  # fmt: skip
        axes.errorbar(deltas, values, spread, fmt="o-", ms=4, capsize=3, color=colour, label=name)
        if theirs:
            axes.plot(deltas, theirs, "x--", color=colour, lw=1)
    axes.plot([], [], "x--", color=GREY, lw=1, label="the paper")
    theorem = [float(cell) for cell in ours["*Theorem 1, Eq. 4*"][-5:-1]]
    axes.plot(deltas, theorem, ":", color=GREY, label="Theorem 1")
    axes.set(xlabel="largest shift D, pixels", ylabel="percent", ylim=(35, 101), xticks=deltas)


def _ends(cell: str) -> list[str]:
    """Of an interval such as `95.0 (91-98)`."""
    return cell.partition("(")[2].rstrip(")").split("-")


CURVES: dict[str, tuple[str, tuple[float, ...], str]] = {
    "default": ("**lattice** (default)", (), BLUE),
    "RICS-MH": ("RICS-MH (`mexican_hat`)", (94.3, 83.9, 74.6, 58.1), GREEN),
    "RICS-rand": ("RICS-rand (`random`)", (93.5, 81.5, 70.8, 52.9), PURPLE),
    "centre crop": ("centre crop", (), VERMILION),
}
"""By name: the row of our table, the paper's values, a colour."""
