"""What the commands share: options, errors in one line, tables and progress bars."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rics_transforms._arguments import by

if TYPE_CHECKING:
    from fractions import Fraction

    from rich.console import Console

Pair = tuple[int, int]
Command = TypeVar("Command", bound=Callable[..., Any])

_PATIENCE = 1.0  # seconds until a progress bar appears


class UserError(click.ClickException):
    """A line on stderr and exit code 2."""

    exit_code = 2


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
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (ImportError, OSError, TypeError, ValueError) as error:
            raise UserError(one_line(str(error) or type(error).__name__)) from error


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

crop_size = size_option("--k", "Crop size in pixels.", required=True)
image_size = size_option("--n", "Image size in pixels.", required=True)
window_size = size_option(
    "--n", "Window size in pixels. Default: 8/7 of --k, rounded up: 256 for a --k of 224."
)
score = click.option("--score", default="lattice", show_default=True, help=SCORE_HELP)
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
    """The window for a crop where none was asked for: 8/7 of it, as 256 px are of 224.

    It is larger than every crop, so that there are places to choose from.
    """
    height, width = (-(-8 * side // 7) for side in k)
    return height, width


# --- threads -------------------------------------------------------------------------------------


@contextmanager
def one_thread() -> Iterator[None]:
    """Leave PyTorch one thread: for many small images, sharing each costs more than it saves.

    On a busy machine every operator waits for its slowest thread, longer than it computes.
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
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())


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

    table = Table(title=title)
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console().print(table)


def console() -> Console:
    """The console for tables: as wide as the terminal, or 120 columns in a file."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 120)


def percent(fraction: float | Fraction) -> str:
    """Such as `91.0 %`."""
    return f"{100 * float(fraction):.1f} %"


def side(pair: Pair) -> str:
    """The side of a square, or height x width."""
    return str(pair[0]) if pair[0] == pair[1] else by(pair)
