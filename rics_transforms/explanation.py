"""Why this crop: the image, the scores of its crops, and the one that won, as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import PIL.Image
from torch import Tensor

from rics_transforms._arguments import as_int, as_pair, by
from rics_transforms._extras import require_command
from rics_transforms.engine.geometry import Geometry
from rics_transforms.engine.images import as_pixels, check_crop
from rics_transforms.engine.maps import (
    candidates,
    deciding_levels,
    has_maximum,
    lowest,
    patch_map,
)
from rics_transforms.engine.scores import Level, Score, complete_levels, get_score
from rics_transforms.engine.selection import select
from rics_transforms.palette import ORANGE, SKY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage


CROP, PATCH, OTHER = ORANGE, SKY, "#ffffff"  # each also has its own shape


_BEST = 10  # places to mark where not only local maxima may win


class Decision(NamedTuple):
    """How a score chose the crop of one image. Places are (top, left) in pixels."""

    origin: tuple[int, int]
    patch: tuple[int, int]
    tied: int
    level: int
    levels: tuple[Level, ...]
    geometry: Geometry
    scores: np.ndarray[Any, Any]
    marked: np.ndarray[Any, Any]


def decide(image: PIL.Image.Image | Tensor, k: int | Sequence[int], score: str | Score) -> Decision:
    """Choose the crop of one image and keep what led to it.

    Args:
        image: a PIL image or a tensor ``[C, H, W]``.
        k: side of the crop in pixels, or (height, width).
        score: a registered name or a `Score`.

    Returns:
        The origin of the crop and of the patch that won, how many crops had its score, the level
        that decided, its scores of all patches, and the places worth marking: its local maxima, or
        else its highest scores.

    Raises:
        TypeError, ValueError: as `rics_transforms.locate`.

    Example:
        >>> import torch
        >>> decision = decide(torch.zeros(3, 8, 8, dtype=torch.uint8), 8, "hash")
        >>> decision.origin, decision.level, decision.scores.shape
        ((0, 0), 0, (1, 1))
    """
    pixels, _ = as_pixels(image)
    size, rule = as_pair(k, "k"), get_score(score)
    check_crop(size, pixels)
    geometry = Geometry.of((pixels.shape[-2], pixels.shape[-1]), size, rule, cyclic=False)
    levels = complete_levels(rule, geometry.t)
    origin = select(pixels, size, rule)[0]
    number, scores, allowed = _deciding(pixels, geometry, levels)
    places = (allowed == allowed.max()).nonzero()
    crops = geometry.crop_of(places)
    patch = places[(crops == origin).all(1)][0]
    if levels[number].nms:
        marked = (allowed > lowest(allowed)).nonzero()
    else:
        best = allowed.flatten().topk(min(_BEST, allowed.numel())).indices
        marked = (best[:, None] // allowed.shape[1]).expand(-1, 2).clone()
        marked[:, 1] = best % allowed.shape[1]
    (top, left), (y, x) = origin.tolist(), patch.tolist()
    found = (top, left), (y, x), len(crops.unique(dim=0)), number, levels, geometry
    return Decision(*found, scores.double().numpy(), marked.numpy())


def _deciding(
    pixels: Tensor, geometry: Geometry, levels: tuple[Level, ...]
) -> tuple[int, Tensor, Tensor]:
    """The number of the level that decides, its scores, and those of them that may win."""
    decided = pixels.new_zeros(1)
    for number, level in deciding_levels(levels, decided):
        scores = patch_map(pixels, geometry.t, level, False)[0]
        allowed = candidates(scores[None], level.nms)[0]
        decided[0] = has_maximum(allowed.max(), level.nms)
        found = number, scores, allowed
    return found


class Explanation(NamedTuple):
    """What a score chose in a window, and, with a shift, after the window had moved."""

    score: str | Score
    shift: int
    windows: list[PIL.Image.Image]
    decisions: list[Decision]

    @property
    def outcome(self) -> str:
        """What the shift did to the crop, in words."""
        before, after = (decision.origin for decision in self.decisions)
        rows, columns = (b + self.shift - a for a, b in zip(before, after, strict=True))
        if rows == columns == 0:
            return "the same crop, pixel by pixel"
        return f"another crop, {rows:+d} rows and {columns:+d} columns away"


def explanations(
    image: PIL.Image.Image, k: int | Sequence[int], scores: Sequence[str | Score], shift: int
) -> list[Explanation]:
    """Which crop each score chooses; arguments as for `explain`."""
    shift = as_int(shift, "shift", 0, (min(image.size) - 1) // 2)  # which leaves a window
    windows = [_window(image, shift, offset) for offset in ((0, shift) if shift else (0,))]
    return [
        Explanation(score, shift, windows, [decide(window, k, score) for window in windows])
        for score in scores
    ]


def explain(
    image: PIL.Image.Image,
    k: int | Sequence[int],
    scores: Sequence[str | Score] = ("lattice",),
    *,
    shift: int = 0,
) -> Figure:
    """Draw which crop each score chooses, and why.

    A row per score: the image with the crop, the scores as a map, the crop. With a shift, a fourth
    panel shows the choice after the window has moved down and right by that many pixels.

    Args:
        image: a PIL image. With a shift, the window is its centre, `shift` pixels inside.
        k: side of the crop in pixels, or (height, width).
        scores: registered names or scores.
        shift: distance in pixels, 0 for none.

    Returns:
        A matplotlib figure that belongs to no window: call its `savefig`.

    Raises:
        TypeError, ValueError: as `rics_transforms.locate`, or for a shift that leaves no window.

    Example:
        >>> figure = explain(PIL.Image.effect_noise((64, 64), 50), 48, ["hash"], shift=2)
        >>> len(figure.subfigs[0].axes)
        4
    """
    require_command()
    return draw(explanations(image, k, scores, shift))


def _window(image: PIL.Image.Image, margin: int, offset: int) -> PIL.Image.Image:
    start, (width, height) = margin + offset, image.size
    return image.crop((start, start, width - margin + offset, height - margin + offset))


# --- drawing -------------------------------------------------------------------------------------


def draw(found: list[Explanation]) -> Figure:
    """The figure that `explain` returns."""
    from matplotlib.figure import Figure

    window, panels = found[0].windows[0], 2 + len(found[0].windows)
    height = 1.5 + 3.8 * min(1.0, window.height / window.width)  # inches per row
    figure = Figure(figsize=(4.5 * panels, height * len(found)))
    rows = figure.subfigures(len(found), 1, squeeze=False)[:, 0]
    for row, explanation in zip(rows, found, strict=True):
        _draw_row(row, height, explanation)
    return figure


def _draw_row(row: SubFigure, height: float, found: Explanation) -> None:
    (window, *moved), (decision, *after) = found.windows, found.decisions
    row.suptitle(
        f"{found.score}: {reason(decision)}", fontsize=14, fontweight="bold", y=1 - 0.15 / height
    )
    space = {"left": 0.02, "right": 0.98, "wspace": 0.17}
    space |= {"top": 1 - 1.0 / height, "bottom": 0.5 / height}
    axes = row.subplots(1, 3 + len(moved), gridspec_kw=space)
    _draw_image(axes[0], window, decision, _image_title(window, decision))
    _draw_scores(axes[1], decision)
    _draw_crop(axes[2], window, decision)
    if moved:
        title = f"The window moved by ({found.shift}, {found.shift}) px:\n{found.outcome}"
        _draw_image(axes[3], moved[0], after[0], title)


def _draw_image(axes: Axes, image: PIL.Image.Image, decision: Decision, title: str) -> None:
    axes.imshow(_shown(image), interpolation="nearest")
    _box(axes, decision.origin, decision.geometry.k, CROP, "solid")
    if decision.geometry.t != decision.geometry.k:
        _box(axes, decision.patch, decision.geometry.t, PATCH, "dashed")
    _finish(axes, title)


def _draw_crop(axes: Axes, image: PIL.Image.Image, decision: Decision) -> None:
    (top, left), (height, width) = decision.origin, decision.geometry.k
    axes.imshow(_shown(image)[top : top + height, left : left + width], interpolation="nearest")
    _finish(axes, f"The crop, {by(decision.geometry.k)} px\nbegins at row {top}, column {left}")
    for spine in axes.spines.values():
        spine.set(edgecolor=CROP, linewidth=3)


def _draw_scores(axes: Axes, decision: Decision) -> None:
    from matplotlib.patheffects import withStroke

    geometry, halo = decision.geometry, [withStroke(linewidth=3, foreground="black")]
    shown = axes.imshow(decision.scores, cmap="cividis", interpolation="nearest")
    kind = "peak" if decision.levels[decision.level].nms else "among the best"
    draw = partial(axes.plot, linestyle="none", markeredgecolor="black", clip_on=False)
    draw(*_xy(decision.marked), marker="o", markersize=5, color=OTHER, label=kind)
    patch, origin = np.array([decision.patch]), np.array([decision.origin])
    if geometry.t != geometry.k:
        _draw_cells(axes, geometry)
        if decision.patch != decision.origin:
            way = np.concatenate([patch, origin])
            axes.plot(*_xy(way), color="white", linewidth=1.5, path_effects=halo)
        draw(*_xy(patch), marker="*", markersize=19, color=PATCH, label="best patch")
        draw(*_xy(origin), marker="D", markersize=9, color=CROP, label="crop begins")
    else:
        draw(*_xy(patch), marker="*", markersize=19, color=CROP, label="winner: crop begins")
    _finish(axes, _scores_title(decision))
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=3, frameon=False, fontsize=9,
        handletextpad=0.2, columnspacing=1.0,
    )  # fmt: skip
    _draw_scale(axes, shown)


def _draw_scale(axes: Axes, shown: AxesImage) -> None:
    low, high = shown.get_clim()
    scale = axes.figure.colorbar(shown, cax=axes.inset_axes((1.02, 0.1, 0.03, 0.8)))
    if low < high:
        scale.set_ticks([low, high], labels=["low", "high"])
    else:
        scale.set_ticks([])


def _draw_cells(axes: Axes, geometry: Geometry) -> None:
    """Lines around the cells, one per patch of a crop, in which a patch stands for a crop."""
    for side, line in zip((0, 1), (axes.axhline, axes.axvline), strict=True):
        for edge in range(geometry.crops[side], geometry.positions[side], geometry.crops[side]):
            line(edge - 0.5, color="white", linewidth=1, linestyle="dotted")


def _box(
    axes: Axes, corner: tuple[int, int], size: tuple[int, int], color: str, style: str
) -> None:
    from matplotlib.patches import Rectangle

    place, width, height = (corner[1] - 0.5, corner[0] - 0.5), size[1], size[0]
    for shade, thick in (("black", 4.5), (color, 2.5)):
        pattern = "solid" if shade == "black" else style
        axes.add_patch(
            Rectangle(place, width, height, fill=False, edgecolor=shade, linewidth=thick,
                      linestyle=pattern, clip_on=False)
        )  # fmt: skip


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10.5, pad=9)
    axes.set(xticks=[], yticks=[])


def _shown(image: PIL.Image.Image) -> np.ndarray[Any, Any]:
    """The image as RGB; deep greys are stretched to 8 bits."""
    if image.mode.startswith(("I", "F")):
        deep = np.asarray(image, dtype=np.float64)
        span = float(np.ptp(deep)) or 1.0
        image = PIL.Image.fromarray(((deep - deep.min()) / span * 255).astype(np.uint8))
    return np.asarray(image.convert("RGB"))


def _xy(places: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    return places[:, 1], places[:, 0]


# --- words ---------------------------------------------------------------------------------------


def reason(decision: Decision) -> str:
    """Why the crop of a decision was chosen, in words."""
    geometry, level = decision.geometry, decision.levels[decision.level]
    rated = "crop" if geometry.t == geometry.k else f"{by(geometry.t)} px patch"
    if level.nms:
        words = f"the {rated} with the highest peak decides{_scale(decision)}"
    elif decision.level:
        words = "no peak lies inside the window, so a hash of the pixels decides"
    else:
        words = f"the {rated} with the highest score decides"
    tie = f"; {decision.tied} crops tie, a hash of their pixels chooses"
    return words + (tie if decision.tied > 1 else "")


def _scale(decision: Decision) -> str:
    """Which of the scales of a score decided, if it has several."""
    scales = [level for level in decision.levels if level.nms]
    if len(scales) == 1:
        return ""
    sigma = getattr(scales[decision.level].patch_map, "keywords", {}).get("sigma")
    width = f" (sigma {sigma:.3g} px)" if sigma else ""
    before = ", as those before have none" if decision.level else ""
    return f" on scale {decision.level + 1} of {len(scales)}{width}{before}"


def _image_title(image: PIL.Image.Image, decision: Decision) -> str:
    size = f"The image, {by((image.height, image.width))} px"
    if decision.geometry.t == decision.geometry.k:
        return f"{size}\nsolid: the crop"
    return f"{size}\ndashed: the best patch, solid: its crop"


def _scores_title(decision: Decision) -> str:
    geometry = decision.geometry
    if geometry.t == geometry.k:
        return f"Score of the crop that begins here,\n{by(geometry.positions)} places"
    return (
        f"Score of the {by(geometry.t)} px patch that begins here:\n"
        f"its place in its cell of {by(geometry.crops)} is the crop's"
    )
