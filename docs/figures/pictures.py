"""The pictures of the pages, as SVG: how crops are chosen in photographs that anyone has."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from functools import partial
from io import BytesIO

import numpy as np
import PIL.Image
import skimage.data
from figures import same_crop
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rics_transforms import list_scores
from rics_transforms.explanation import CROP, PATCH, Decision, decide
from rics_transforms.report.figures import svg

N, K, SHIFT = 256, 224, 5
PIXELS = re.compile(r"data:image/png;base64,([^\"]*)")


def photograph(name: str, side: int) -> PIL.Image.Image:
    """The middle of a photograph of scikit-image, at a short side of so many pixels."""
    image = PIL.Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    scale = side / min(image.size)
    width, height = (round(length * scale) for length in image.size)
    image = image.resize((width, height), PIL.Image.Resampling.BICUBIC)
    left, top = ((length - side) // 2 for length in image.size)
    return image.crop((left, top, left + side, top + side))


def how(figure: Figure) -> None:
    """The choice of the default score, before and after a shift."""
    scene = photograph("coffee", N + 2 * SHIFT)
    window = scene.crop((SHIFT, SHIFT, SHIFT + N, SHIFT + N))
    moved = scene.crop((2 * SHIFT, 2 * SHIFT, 2 * SHIFT + N, 2 * SHIFT + N))
    before, after = decide(window, K, "lattice"), decide(moved, K, "lattice")
    axes = figure.subplots(2, 2)
    _draw_image(axes[0, 0], window, before, "The window, a patch, the crop")
    _draw_scores(axes[0, 1], before, "Scores of the patches")
    _draw_crop(axes[1, 0], window, before, "The crop")
    _draw_image(axes[1, 1], moved, after, f"Moved by ({SHIFT}, {SHIFT}) pixels")


def scores(figure: Figure) -> None:
    """The choices of all scores in one photograph."""
    image, names = photograph("chelsea", N), list_scores()
    for (above, below), name in zip(figure.subplots(2, len(names)).T, names, strict=True):
        decision = decide(image, 140, name)
        _draw_image(above, image, decision, name)
        _draw_scores(below, decision, "")
        above.title.set_size(9)  # so that five stand side by side


def _draw_image(axes: Axes, image: PIL.Image.Image, decision: Decision, title: str) -> None:
    axes.imshow(np.asarray(image))
    _outline(axes, decision.origin, decision.geometry.k, CROP)
    if decision.geometry.t != decision.geometry.k:
        _outline(axes, decision.patch, decision.geometry.t, PATCH)
    _finish(axes, title)


def _draw_scores(axes: Axes, decision: Decision, title: str) -> None:
    axes.imshow(decision.scores, cmap="cividis")
    top, left = decision.patch
    axes.plot(left, top, "*", ms=15, color=PATCH, mec="black")
    for edge in range(decision.geometry.crops[0], len(decision.scores), decision.geometry.crops[0]):
        axes.axhline(edge - 0.5, color="white", lw=0.8, ls=":")
        axes.axvline(edge - 0.5, color="white", lw=0.8, ls=":")
    _finish(axes, title)


def _draw_crop(axes: Axes, image: PIL.Image.Image, decision: Decision, title: str) -> None:
    (top, left), (height, width) = decision.origin, decision.geometry.k
    axes.imshow(np.asarray(image)[top : top + height, left : left + width])
    _finish(axes, title)


def _outline(axes: Axes, corner: tuple[int, int], size: tuple[int, int], colour: str) -> None:
    place, width, height = (corner[1] - 0.5, corner[0] - 0.5), size[1], size[0]
    for ink, thick in (("black", 5.0), (colour, 3.0)):
        axes.add_patch(Rectangle(place, width, height, fill=False, ec=ink, lw=thick))


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.set(xticks=[], yticks=[])


def compact(drawn: str) -> str:
    """An SVG file with its pixels as JPEG, at most 256 of them along a side."""

    def smaller(found: re.Match[str]) -> str:
        file = BytesIO()
        with PIL.Image.open(BytesIO(base64.b64decode(found[1]))) as image:
            image.thumbnail((256, 256))
            image.convert("RGB").save(file, "JPEG", quality=80)
        return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"

    return PIXELS.sub(smaller, drawn)


def _picture(name: str, height: float, fill: Callable[[Figure], None]) -> str:
    """As broad as a phone shows it; `height` in inches of 72 pixels."""
    return compact(svg(name, "", (5, height), "constrained", fill))


DRAWN: dict[str, Callable[[], str]] = {
    f"{name}.svg": partial(_picture, name, height, fill)
    for name, height, fill in (
        ("how", 5.4, how),
        ("scores", 2.3, scores),
        ("same_crop", 2.9, same_crop.fill),
    )
}
"""How to draw each, by the name of its file."""
