"""Pictures of scenes of a report: the window, shifted windows, and the crops of both."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from rics_transforms._arguments import Size
from rics_transforms.engine.exact import integer_image
from rics_transforms.engine.images import middle
from rics_transforms.report.figures import Trace
from rics_transforms.shifts.base import Move, size_of
from rics_transforms.shifts.camera import exposed
from rics_transforms.verification.metrics import TOLERANCE, classes, crops, distance
from rics_transforms.verification.records import Record
from rics_transforms.verification.results import ShiftReport
from rics_transforms.verification.scenes import as_scene

_WORST = 3


@dataclass(frozen=True)
class Picture:
    """A scene and some windows of it; all places are (top, left) in the scene, in pixels of a view.

    Attributes:
        title: name of the image.
        caption: what it shows.
        data: the scene, as the address of an embedded JPEG.
        scene: its height and width, in pixels of a view.
        windows: places of the windows, the unshifted one first if they have crops.
        names: text below each window.
        crops: the crop of each window, if known.
    """

    title: str
    caption: str
    data: str
    scene: Size
    windows: tuple[Move, ...]
    names: tuple[str, ...]
    crops: tuple[Move, ...] = ()

    @property
    def stays(self) -> bool:
        """Whether all windows have the same crop."""
        return bool(self.crops) and all(map(self.is_first, self.crops))

    def is_first(self, crop: Move) -> bool:
        """Whether a crop lies where the first window's does."""
        return distance(crop, self.crops[0]) <= TOLERANCE


# --- scenes --------------------------------------------------------------------------------------


def find_scenes(
    report: ShiftReport, scenes: Iterable[Any], records: Sequence[Record]
) -> dict[str, Tensor]:
    """The scenes of some records of a report, by their names.

    Raises:
        ValueError: for scenes that are not those of the report.
    """
    wanted = {record.id: record for record in records}
    named = (as_scene(item, number) for number, item in enumerate(scenes))
    found = {name: scene for name, scene, _ in named if name in wanted}
    for name, record in wanted.items():
        if name not in found:
            raise ValueError(
                f"Expected `scenes` to be those of the report, but none is named {name!r}."
            )
        _require_window(report, record, found[name])
    return found


def _require_window(report: ShiftReport, record: Record, scene: Tensor) -> None:
    """Raise for a scene of another size, which would show other pixels than were measured."""
    factor, (height, width) = report.settings.factor, report.settings.windows
    centre = tuple(at / factor for at in middle(size_of(scene), (height * factor, width * factor)))
    if record.window != centre:
        raise ValueError(
            f"Expected `scenes` to be those of the report, with the window of {record.id!r} at "
            f"{record.window}, but it would lie at {centre}; is the scene of another size?"
        )


# --- windows along a trace -----------------------------------------------------------------------


def strip(report: ShiftReport, trace: Trace, scene: Tensor) -> Picture:
    """The first, the middle and the last window of the longest line of a trace."""
    line = max(trace.lines.values(), key=len)
    shown = [line[i][0] for i in (0, len(line) // 2, -1)]
    moves = [(0.0, dx) for dx in shown]
    return _picture(report, trace.record, scene, moves, [_signed(dx) for dx in shown], "")


def _signed(dx: float) -> str:
    return f"{int(dx):+d} px".replace("-", "\u2212") if dx else "0 px"


# --- the worst images ----------------------------------------------------------------------------


def worst(report: ShiftReport) -> list[Record]:
    """The images whose class (else crop) survives the fewest shifts, and one that keeps it."""
    if not report.settings.k or not all(record.places for record in report.records):
        return []
    order = sorted(report.records, key=_kept)
    bad = [record for record in order if _kept(record) < (1, 1)][:_WORST]
    return bad + order[-1:] * (_kept(order[-1]) == (1, 1))


def _kept(record: Record) -> tuple[float, float]:
    """The share of views that keep the class, and the share that keep the crop."""
    same = crops(record)
    return _share(classes(record) or same), _share(same)


def _share(seen: Sequence[Any]) -> float:
    return sum(answer == seen[0] for answer in seen) / len(seen)


def example(report: ShiftReport, record: Record, scene: Tensor) -> Picture:
    """The unshifted window, and the least shifted one with another class or crop."""
    view = _telling(report, record)
    shown = [(0.0, 0.0), report.moves[view]]
    places = tuple(record.places[record.place[i]] for i in (0, view))
    return _picture(report, record, scene, shown, ["", ""], _caption(report, record, view), places)


def _telling(report: ShiftReport, record: Record) -> int:
    """The least shift that changes the class, otherwise the crop; if none does, the largest."""
    for seen in (classes(record), crops(record)):
        changed = [i for i, answer in enumerate(seen or ()) if answer != (seen or ())[0]]
        if changed:
            return min(changed, key=lambda i: _size(report.moves[i]))
    return max(range(len(report.moves)), key=lambda i: _size(report.moves[i]))


def _size(move: Move) -> tuple[float, float]:
    return max(map(abs, move)), sum(map(abs, move))


def _caption(report: ShiftReport, record: Record, view: int) -> str:
    (old_y, old_x), (y, x) = record.places[0], record.places[record.place[view]]
    seen = classes(record)
    changed = f"; class {seen[0]} becomes {seen[view]}" if seen and seen[view] != seen[0] else ""
    kept = f"{100 * _share(crops(record)):.0f}\u00a0%"
    return (
        f"The window {_moved(report.moves[view])}, its crop {_moved((y - old_y, x - old_x))}"
        f"{changed}. Of all shifts, {kept} keep the crop."
    )


def _moved(move: Move) -> str:
    """A move (down, right) over the scene, in words."""
    down, right = (round(along, 2) for along in move)
    vertical = f"{abs(down):g} px {'down' if down > 0 else 'up'}" if down else ""
    horizontal = f"{abs(right):g} px {'right' if right > 0 else 'left'}" if right else ""
    ways = " and ".join(filter(None, (vertical, horizontal)))
    return f"moves {ways}" if ways else "stays"


# --- pixels --------------------------------------------------------------------------------------


def _picture(
    report: ShiftReport,
    record: Record,
    scene: Tensor,
    moves: Sequence[Move],
    names: Sequence[str],
    caption: str,
    places: tuple[Move, ...] = (),
) -> Picture:
    top, left = record.window or (0, 0)
    windows = tuple((top + dy, left + dx) for dy, dx in moves)
    shown = exposed(scene, report.settings.factor)
    return Picture(record.id, caption, _jpeg(shown), size_of(shown), windows, tuple(names), places)


def _jpeg(scene: Tensor) -> str:
    """The scene as the address of an embedded JPEG."""
    pixels = integer_image(scene).clamp(0, 255).to(torch.uint8)
    colour = pixels if len(pixels) == 3 else pixels[:1].expand(3, -1, -1)
    file = io.BytesIO()
    F.to_pil_image(colour.contiguous()).save(file, format="JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
