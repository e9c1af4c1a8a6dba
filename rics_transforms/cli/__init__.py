"""The command `rics`: bounds, crops of a folder, the why of a crop, and measurements.

A thin layer over public functions. What a command needs is imported when it runs.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

import click

import rics_transforms

if TYPE_CHECKING:
    from rich.console import Console

    from rics_transforms.folder import FolderReport
    from rics_transforms.photos import Scenes
    from rics_transforms.scores import Score

Pair = tuple[int, int]

_PATIENCE = 1.0  # seconds without a progress bar


# --- what all commands share ---------------------------------------------------------------------


class UserError(click.ClickException):
    """A line on stderr and exit code 2."""

    exit_code = 2


class _Commands(click.Group):
    """Commands whose errors of use end in one line instead of a traceback."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        return super().make_context(info_name, args, parent, **{"obj": [*args], **extra})

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except BrokenExecutor:
            raise UserError(
                "a worker process died, perhaps for want of memory; what is done is kept, so run "
                "the same command again, with fewer --workers"
            ) from None
        except (ImportError, OSError, TypeError, ValueError) as error:
            raise UserError(_one_line(str(error) or type(error).__name__)) from error


def _size(text: str) -> Pair:
    """`256`, or height x width: `480x640`."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text.strip().lower())
    size = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if min(size) < 1:
        raise click.BadParameter(
            f"Expected whole numbers such as 256, or height x width such as 480x640, but got "
            f"{text!r}."
        )
    return size


def _ints(text: str) -> tuple[int, ...]:
    """`1,3,5,9`."""
    if not re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*", text):
        raise click.BadParameter(f"Expected whole numbers such as 1,3,5, but got {text!r}.")
    return tuple(int(item) for item in text.split(","))


_SCORE_HELP = "A name, or a name with options: lattice:patch=hash,order=2."


def parse_score(text: str) -> Score:
    """A score from its name, or from its name and options as the command line has them.

    Args:
        text: such as "lattice" or "lattice:patch=hash,order=(2, 3)"; what is no Python number,
            tuple or the like is a string.

    Raises:
        ValueError: for an unknown score, or options it does not have.

    Example:
        >>> parse_score("lattice:patch=hash,order=2")
        Lattice(order=(2, 2), patch='hash', sigma=None)
    """
    from rics_transforms.scores import get_score

    name, _, rest = text.partition(":")
    parts = re.split(r",(?![^(\[]*[)\]])", rest) if rest else []
    if not all("=" in part for part in parts):
        raise ValueError(f"Expected `score` to be name:option=value,..., but got {text!r}.")
    options = {key.strip(): _literal(value) for key, value in (p.split("=", 1) for p in parts)}
    try:
        return get_score(name, **options)
    except TypeError as error:
        raise ValueError(f"Expected options that `{name}` has, but got {rest!r}: {error}") from None


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (SyntaxError, ValueError):
        return text.strip()


def _one_line(text: str) -> str:
    """Text that any terminal can print, on one line."""
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())


@contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on stderr, if that is a terminal and the work takes longer than a second."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console, start = Console(stderr=True), monotonic()
    columns = label, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task(label, total=None)

    def update(done: int, total: int | None) -> None:
        if not bar.live.is_started and console.is_terminal and monotonic() - start > _PATIENCE:
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield update
    finally:
        if bar.live.is_started:
            bar.stop()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(rics_transforms.__version__, prog_name="rics")
def main() -> None:
    """Robust Inference by Crop Selection: shift-robust crops, and what they guarantee."""


# --- bound ---------------------------------------------------------------------------------------


@main.command()
@click.option("--n", type=_size, metavar="PX|HxW", required=True, help="Image size in pixels.")
@click.option("--k", type=_size, metavar="PX|HxW", help="Crop size in pixels.")
@click.option(
    "--delta",
    type=_ints,
    metavar="PX,...",
    default="1,3,5,9",
    show_default=True,
    help="Largest shifts in pixels along either axis.",
)
@click.option(
    "--order",
    type=_size,
    metavar="J|JxJ",
    help="Lattice order. Default: the largest with patches of 16 px or more.",
)
@click.option(
    "--target",
    type=click.FloatRange(0, 1, min_open=True),
    help="Instead of --k: the largest k whose robustness reaches this fraction.",
)
@click.option("--json", "as_json", is_flag=True, help="Fractions from 0 to 1 instead of a table.")
def bound(
    n: Pair,
    k: Pair | None,
    delta: tuple[int, ...],
    order: Pair | None,
    target: float | None,
    as_json: bool,
) -> None:
    """What RICS guarantees for images of N and crops of K pixels.

    Robustness is the probability that no shift within delta changes the crop (Theorem 1 for the
    paper's rule, Theorem 3 for the lattice, and what no rule can exceed); consistency that one
    given shift does not (Eq. 4).
    """
    if (k is None) == (target is None):
        raise click.UsageError("Give either --k or --target.")
    content = _bounds(n, k, delta, order) if k else _sizes(n, delta, order, target)
    if as_json:
        click.echo(json.dumps(content, indent=2))
    else:
        _show_bounds(content) if k else _show_sizes(content)


def _bounds(n: Pair, k: Pair, deltas: Iterable[int], order: Pair | None) -> dict[str, Any]:
    from rics_transforms import theory

    j = order or theory.lattice_order(n, k)
    rows = [
        {
            "delta": d,
            "robustness": {
                "paper": float(theory.robustness_bound(n, k, d)),
                "lattice": float(theory.robustness_bound(n, k, d, j)),
                "limit": float(theory.robustness_limit(n, k, d)),
            },
            "consistency": {
                "paper": float(theory.consistency_bound(n, k, d)),
                "lattice": float(theory.consistency_bound(n, k, d, j)),
            },
        }
        for d in deltas
    ]
    geometry = {"positions": theory.crop_positions(n, k), "patch": theory.patch_size(n, k, j)}
    return {"n": n, "k": k, **geometry, "order": j, "rows": rows}


def _show_bounds(content: dict[str, Any]) -> None:
    n, k, m, t, j = (_by(content[x]) for x in ("n", "k", "positions", "patch", "order"))
    robust = [f"robust\n{rule}" for rule in ("paper\nThm 1", "lattice\nThm 3", "limit")]
    consistent = [f"consistent\n{rule}" for rule in ("paper\nEq. 4", "lattice\nEq. 4")]
    headers = ["shift\nwithin", *robust, *consistent]
    rows = []
    for row in content["rows"]:
        values = *row["robustness"].values(), *row["consistency"].values()
        rows.append([f"{row['delta']} px", *map(_percent, values)])
    _show_table(f"{k} px crops of {n} px images", headers, rows)
    click.echo(f"{m} places for the crop; lattice of order {j}, patches of {t} px.")


def _sizes(
    n: Pair, deltas: Iterable[int], order: Pair | None, target: float | None
) -> dict[str, Any]:
    rows = [
        {
            "delta": d,
            "paper": _largest(n, d, target, (1, 1)),
            "lattice": _largest(n, d, target, order),
        }
        for d in deltas
    ]
    return {"n": n, "target": target, "rows": rows}


def _largest(n: Pair, delta: int, target: Any, order: Pair | None) -> dict[str, Any] | None:
    """The largest crop that reaches the target, if there is one."""
    from rics_transforms import theory

    try:
        k = theory.crop_size_for(n, delta, target, order)
    except ValueError as error:
        if "`target`" in str(error):
            return None
        raise
    j = order or theory.lattice_order(n, k)
    return {"k": k, "order": j, "robustness": float(theory.robustness_bound(n, k, delta, j))}


def _show_sizes(content: dict[str, Any]) -> None:
    paper, lattice = "paper, Thm 1\nlargest k", "lattice, Thm 3\nlargest k"
    headers = ["shift\nwithin", paper, "\nrobust", lattice, "\nrobust", "\norder"]
    rows = []
    for row in content["rows"]:
        cells = [f"{row['delta']} px"]
        for rule in ("paper", "lattice"):
            found = row[rule]
            cells += [f"{found['k']} px", _percent(found["robustness"])] if found else ["none", ""]
        rows.append([*cells, _by(row["lattice"]["order"]) if row["lattice"] else ""])
    target, n = _percent(content["target"]), _by(content["n"])
    _show_table(f"Largest square crops of {n} px images that are {target} robust", headers, rows)


def _show_table(title: str, headers: list[str], rows: list[list[str]]) -> None:
    from rich.table import Table

    table = Table(title=title)
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    _console().print(table)


def _console() -> Console:
    """Where tables go: as wide as the terminal, or in a file as wide as they need."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 120)


def _percent(fraction: float | Fraction) -> str:
    return f"{100 * float(fraction):.1f} %"


def _by(pair: Pair) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]} x {pair[1]}"


# --- crop ----------------------------------------------------------------------------------------


@main.command()
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--k", type=_size, metavar="PX|HxW", required=True, help="Crop size in pixels.")
@click.option(
    "--resize",
    type=click.IntRange(1),
    metavar="PX",
    help="First resize the shorter side to this many pixels (antialiased bicubic).",
)
@click.option(
    "--field",
    type=_size,
    metavar="PX|HxW",
    help="Then choose the crop within a centred field of this size in pixels.",
)
@click.option("--score", default="lattice", show_default=True, help=_SCORE_HELP)
@click.option(
    "--format",
    type=click.Choice(["png", "webp", "tif", "keep"]),
    default="png",
    show_default=True,
    help="Format of the crops, always lossless. keep: the image's, where that is lossless.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="COUNT",
    help="Processes. Default: one per processor, fewer for few images.",
)
def crop(
    source: Path,
    target: Path,
    k: Pair,
    resize: int | None,
    field: Pair | None,
    score: str,
    format: str,
    workers: int | None,
) -> None:
    """Crop the images in the folder IN, and in the folders in it, into the folder OUT.

    a/b.jpg becomes a/b.jpg.png: upright (EXIF), with its colour mode and ICC profile, without other
    metadata, of several frames the first. What the format cannot hold without loss (CMYK in PNG,
    grey in WebP) becomes PNG or else TIFF. Files are images by their suffix; hidden ones are left
    out. OUT/origins.csv says where each crop lies, in pixels of the upright, resized image.

    Run the same command again to go on after an interruption: what is done is skipped. Exit code 1
    if there are images that could not be cropped.
    """
    from rics_transforms.folder import crop_folder

    rule = parse_score(score)
    with _progress("Cropping") as progress:
        report = crop_folder(
            source, target, k, score=rule, resize=resize, field=field, format=format,
            workers=workers, progress=progress,
        )  # fmt: skip
    _show_crops(report, target)
    if report.failures:
        sys.exit(1)


def _show_crops(report: FolderReport, target: Path) -> None:
    done = f"{len(report.written)} written, {report.skipped} there already"
    click.echo(_one_line(f"Crops in {target}: {done}, {len(report.failures)} failed."))
    suffixes = [origin.crop.rpartition(".")[2] for origin in report.written]
    if len(kinds := sorted(set(suffixes))) > 1:
        counts = ", ".join(f"{suffixes.count(kind)} {kind}" for kind in kinds)
        click.echo(f"Formats, by what holds each image without loss: {counts}.")
    for failure in report.failures:
        click.echo(_one_line(f"Failed: {failure.path}: {failure.reason}"), err=True)


# --- explain -------------------------------------------------------------------------------------


@main.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--k", type=_size, metavar="PX|HxW", required=True, help="Crop size in pixels.")
@click.option(
    "--score",
    "scores",
    multiple=True,
    default=["lattice"],
    show_default=True,
    help=_SCORE_HELP + " May be given several times; all: every score.",
)
@click.option(
    "--n",
    type=click.IntRange(1),
    metavar="PX",
    help="Look at the centre through a window of this side, after resizing the shorter "
    "side of the image to PX plus twice the shift. Default: the image as it is.",
)
@click.option(
    "--shift",
    type=click.IntRange(0),
    default=0,
    metavar="PX",
    help="Show the choice after the window has moved this far down and right, too.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Default: the name of the image with -rics.png, in the current folder.",
)
def explain(
    image: Path,
    k: Pair,
    scores: tuple[str, ...],
    n: int | None,
    shift: int,
    output: Path | None,
) -> None:
    """Draw which crop of IMAGE is chosen, and why: the image, its score map, the crop."""
    from rics_transforms.explain import explain as draw
    from rics_transforms.folder import central, open_image, resize_shorter
    from rics_transforms.scores import list_scores

    names = list_scores() if "all" in scores else scores
    rules = [parse_score(name) if ":" in name else name for name in names]
    scene = open_image(image)[0]
    if n:
        side = n + 2 * shift
        scene = central(resize_shorter(scene, side), (side, side))[0]
    path = output or Path(f"{image.stem}-rics.png")
    draw(scene, k, rules, shift=shift).savefig(path)
    click.echo(_one_line(f"Figure: {path}"))


# --- verify --------------------------------------------------------------------------------------


@main.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option(
    "--n",
    type=_size,
    metavar="PX|HxW",
    default="224",
    show_default=True,
    help="Window size in pixels.",
)
@click.option("--k", type=_size, metavar="PX|HxW", required=True, help="Crop size in pixels.")
@click.option("--score", default="lattice", show_default=True, help=_SCORE_HELP)
@click.option(
    "--delta",
    type=_ints,
    metavar="PX,...",
    default="1,3,5,9",
    show_default=True,
    help="Largest realistic shifts in pixels along either axis.",
)
@click.option(
    "--shifts",
    type=click.Choice(["realistic", "cyclic"]),
    default="realistic",
    show_default=True,
    help="Real pixels enter, or those that left.",
)
@click.option("--limit", type=click.IntRange(1), metavar="COUNT", help="At most so many scenes.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the cyclic shifts tried.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    required=True,
    help="Folder for report.html and report.json.",
)
def verify(
    path: Path | None,
    n: Pair,
    k: Pair,
    score: str,
    delta: tuple[int, ...],
    shifts: Literal["realistic", "cyclic"],
    limit: int | None,
    seed: int,
    output: Path,
) -> None:
    """Measure how often the crop survives shifts, and compare with the guarantee.

    The scenes are the images below the folder PATH; without PATH, tiles of the photographs that
    ship with scikit-image. Exit code 1 if the measurement violates a bound.
    """
    from rics_transforms.report import table
    from rics_transforms.verify import verify as measure

    scenes = _scenes(path, max(n) + 2 * max(delta) * (shifts == "realistic"), limit)
    with _progress("Measuring") as progress:
        report = measure(
            scenes, k, n=n, score=parse_score(score), deltas=delta, shifts=shifts, seed=seed,
            progress=lambda items: _watched(items, limit, progress), command=_command(),
        )  # fmt: skip
    page = report.save(output, scenes)
    _console().print(table(report))
    click.echo(_one_line(f"Report: {page} and {page.with_name('report.json')}"))
    if any(row.verdict == "violated" for row in report.rows):
        sys.exit(1)


class _First:
    """The first few of some scenes."""

    def __init__(self, scenes: Scenes, count: int) -> None:
        self._scenes = scenes
        self._count = count

    def __iter__(self) -> Iterator[Any]:
        return islice(self._scenes, self._count)

    @property
    def source(self) -> str:
        return f"at most {self._count} of {self._scenes.source}"


def _scenes(path: Path | None, size: int, limit: int | None) -> Scenes | _First:
    from rics_transforms import photos

    found = photos.scenes(size) if path is None else photos.folder_scenes(path, size)
    return _First(found, limit) if limit else found


def _watched(
    items: Iterable[Any], total: int | None, progress: Callable[[int, int | None], None]
) -> Iterator[Any]:
    for count, item in enumerate(items, 1):
        yield item
        progress(count, total)


def _command() -> str:
    """This very call, for the report to quote."""
    return shlex.join(["rics", *click.get_current_context().obj])


if __name__ == "__main__":
    main()
