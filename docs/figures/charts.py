"""The charts of the pages, as SVG in the page's own colours."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import skimage.data
from matplotlib.axes import Axes

from rics_transforms import theory
from rics_transforms.palette import COLOURS, GREY
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
