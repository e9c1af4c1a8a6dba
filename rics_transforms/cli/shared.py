"""What all commands share: how options are read, errors told, tables and progress shown."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from fractions import Fraction
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from rics_transforms._arguments import parse_options

if TYPE_CHECKING:
    from rich.console import Console

    from rics_transforms.engine.scores import Score

Pair = tuple[int, int]

_PATIENCE = 1.0  # seconds without a progress bar


class UserError(click.ClickException):
    """A line on stderr and exit code 2."""

    exit_code = 2


class Commands(click.Group):
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


SCORE_HELP = "A name, or a name with options: lattice:patch=hash,order=2."


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
    from rics_transforms.engine.scores import get_score

    name, options = parse_options("score", text)
    try:
        return get_score(name, **options)
    except TypeError as error:
        raise ValueError(f"Expected options that `{name}` has, but got {text!r}: {error}") from None


def one_line(text: str) -> str:
    """Text that any terminal can print, on one line."""
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int | None], None]]:
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
    """Where tables go: as wide as the terminal, or in a file as wide as they need."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 120)


def percent(fraction: float | Fraction) -> str:
    """Such as `91.0 %`."""
    return f"{100 * float(fraction):.1f} %"


def by(pair: Pair) -> str:
    """A side, or height x width."""
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]} x {pair[1]}"
