"""What the commands share: options, errors in one line, tables and progress bars."""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rics_transforms._arguments import MAX_PIXELS, by
from rics_transforms._text import printable

if TYPE_CHECKING:
    from fractions import Fraction

    from rich.table import Table

    from rics_transforms.data.photos import Scenes

Pair = tuple[int, int]
Command = TypeVar("Command", bound=Callable[..., Any])

_LISTED = 3  # more images that failed for the same reason are counted
_WIDEST = 1000  # columns that a table may ask for
_PATIENCE = 1.0  # seconds until a progress bar appears


class UserError(click.ClickException):
    """A line on stderr and exit code 2."""

    exit_code = 2


class Interrupted(click.ClickException):
    """What Ctrl-C leaves, and how to resume; exit code 130, as in other programs."""

    exit_code = 130

    def __init__(self, resumed: bool) -> None:
        more = "; finished work is kept: run the same command again to resume" if resumed else ""
        super().__init__(f"interrupted{more}.")


_RESUMED = frozenset({"crop", "verify"})  # commands that resume where they stopped


def _told(error: Exception) -> str:
    """An error in words; for one of the system, the file and the reason instead of a number."""
    if isinstance(error, OSError) and error.strerror:
        names = [repr(os.fsdecode(x)) for x in (error.filename, error.filename2) if x is not None]
        return ": ".join([" to ".join(names), error.strerror] if names else [error.strerror])
    return str(error) or type(error).__name__


class OnceCommand(click.Command):
    """A command that takes each option once."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        *_, order = self.make_parser(ctx).parse_args(args=[*args])
        for param in order:
            once = isinstance(param, click.Option) and not (param.multiple or param.is_flag)
            if once and order.count(param) > 1:
                raise click.UsageError(f"Option '{param.opts[0]}' is given more than once.", ctx)
        return super().parse_args(ctx, args)


command = partial(click.command, cls=OnceCommand)


class Commands(click.Group):
    """Commands that report wrong arguments in one line instead of a traceback."""

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
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except KeyboardInterrupt:
            raise Interrupted(ctx.invoked_subcommand in _RESUMED) from None
        except (ImportError, OSError, TypeError, ValueError) as error:
            raise UserError(one_line(_told(error))) from error


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(one_line(f"Warning: {message}"), err=True)


def as_size(text: str) -> Pair:
    """`256`, or height x width: `480x640`."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text.strip().lower())
    size = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if min(size) < 1:
        raise click.BadParameter(
            f"Expected whole numbers such as 256, or height x width such as 480x640, but got "
            f"{text!r}."
        )
    return size


def as_ints(text: str) -> tuple[int, ...]:
    """`1,3,5,9`."""
    if not re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*", text):
        raise click.BadParameter(f"Expected whole numbers such as 1,3,5, but got {text!r}.")
    return tuple(int(item) for item in text.split(","))


# --- options that several commands have ----------------------------------------------------------


def size_option(name: str, help: str, **options: Any) -> Callable[[Command], Command]:
    """An option in pixels, for both axes or one each."""
    return click.option(name, type=as_size, metavar="PX|HxW", help=help, **options)


SCORE_HELP = "A name, or a name with options: lattice:patch=hash,order=2."

PATH: Any = click.Path(path_type=Path)
FILE: Any = click.Path(exists=True, dir_okay=False, path_type=Path)

crop_size = size_option("--k", "Crop size in pixels.", required=True)
image_size = size_option("--n", "Image size in pixels.", required=True)
window_size = size_option(
    "--n", "Window size in pixels. Default: 8/7 of --k, rounded up: 256 for a --k of 224."
)
as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, with fractions from 0 to 1."
)
score = click.option("--score", default="lattice", show_default=True, help=SCORE_HELP)
subpixel = click.option(
    "--subpixel",
    is_flag=True,
    help="Place crops between the pixels, for scenes that move by fractions of one. Needs a smooth "
    "score.",
)
resized = click.option(
    "--resized",
    is_flag=True,
    help="Choose the crop in the middle of the image as it is stored, and resize it to --k "
    "afterwards (antialiased bicubic): for images of all sizes.",
)
resize = click.option(
    "--resize",
    type=click.IntRange(1),
    metavar="PX",
    help="First resize the shorter side to this many pixels (antialiased bicubic).",
)
centred_size = size_option(
    "--n", "Choose the crop within the centred window of this size. Default: the whole image."
)
max_pixels = click.option(
    "--max-pixels",
    type=click.IntRange(1),
    metavar="COUNT",
    default=MAX_PIXELS,
    show_default=True,
    help="Refuse larger images, to save memory.",
)
deltas = click.option(
    "--delta",
    "deltas",
    type=as_ints,
    metavar="PX,...",
    default="1,3,5,9",
    show_default=True,
    help="Largest shifts in pixels along either axis.",
)


def window_for(k: Pair) -> Pair:
    """The default window for a crop: 8/7 of it, as 256 px are of 224.

    It is larger than any crop, so that there are places to choose from.
    """
    height, width = (-(-8 * side // 7) for side in k)
    return height, width


# --- scenes --------------------------------------------------------------------------------------


def scenes_of(paths: Sequence[Path], side: int | None, max_pixels: int, factor: int = 1) -> Scenes:
    """The scenes of folders and image files; without any, those that ship with scikit-image.

    The photographs are cut at the resolution of the views, `factor` times coarser than the scenes.
    Without a side, images stay whole.
    """
    from rics_transforms.data import photos

    if side is None and not paths:
        return photos.photographs()
    if paths or side is None:
        return photos.folder_scenes(paths, side, max_pixels=max_pixels)
    return photos.scenes(side // factor, factor=factor)


def print_unreadable(unreadable: Mapping[str, str]) -> None:
    """Print on stderr which files were left out, and why."""
    for name, reason in unreadable.items():
        click.echo(one_line(f"Left out as unreadable: {name}: {reason}"), err=True)


# --- threads -------------------------------------------------------------------------------------


@contextmanager
def one_thread() -> Iterator[None]:
    """Leave PyTorch one thread: for many small images, sharing each costs more than it saves.

    On a busy machine every operator waits for its slowest thread for longer than it computes.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


# --- what is printed -----------------------------------------------------------------------------


def one_line(text: str) -> str:
    """Text that any terminal can print, on one line."""
    return printable(" ".join(text.split()))


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on stderr, if it is a terminal and the work takes longer than a second."""
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


def show_table(title: str, headers: list[str], rows: list[list[str]]) -> None:
    """Print a table whose columns are aligned to the right."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title)
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))  # names are not markup
    print_table(table)


def print_table(table: Table) -> None:
    """Print as wide as the terminal, 120 columns in a file, or wider where words need it."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console(width=None if sys.stdout.isatty() else 120)
    least = Measurement.get(console, console.options.update(max_width=_WIDEST), table).minimum
    (Console(width=least) if least > console.width else console).print(table)


def print_json(content: object) -> None:
    """Print what a program reads: fractions from 0 to 1, paths as text."""
    click.echo(json.dumps(content, indent=2, default=str))


def print_failures(failures: Sequence[tuple[str, str]]) -> None:
    """Print which images failed, and why, on stderr; many that are too small, in one line."""
    alike: dict[str, list[str]] = {}
    for name, reason in failures:
        alike.setdefault(reason, []).append(name)
    for reason, names in alike.items():
        if len(names) > _LISTED and reason.startswith("smaller than"):
            names = [f"{len(names)} images, such as {names[0]}"]
        for name in names:
            click.echo(one_line(f"Failed: {name}: {reason}"), err=True)


def percent(fraction: float | Fraction) -> str:
    """Such as `91.0 %`."""
    return f"{100 * float(fraction):.1f} %"


def side(pair: Pair) -> str:
    """The side of a square, or height x width."""
    return str(pair[0]) if pair[0] == pair[1] else by(pair)
