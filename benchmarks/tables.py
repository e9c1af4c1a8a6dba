"""Markdown tables on the standard output, row by row as they are measured."""

from __future__ import annotations

from typing import Any, NamedTuple


class Target(NamedTuple):
    """What was wanted, what was measured, and whether that is enough."""

    name: str
    wanted: str
    measured: str
    met: bool


TARGETS = "### Targets"


def heading(text: str) -> None:
    print(f"\n### {text}\n", flush=True)


def print_head(*names: str, words: int = 1) -> None:
    """Names of the columns: the first `words` hold words, the others numbers."""
    print_row(*names)
    print_row(*["---"] * words, *["---:"] * (len(names) - words))


def print_row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def print_targets(targets: list[Target]) -> None:
    """The last table of a script: `page.py` gathers these."""
    print(f"\n{TARGETS}\n")
    print_head("target", "wanted", "measured", "met", words=4)
    for target in targets:
        print_row(target.name, target.wanted, target.measured, "yes" if target.met else "no")


def cell(row: Any) -> str:
    """A row of a `ShiftReport` in percent, with its interval."""
    return f"{100 * row.value:.1f} ({100 * row.ci_low:.0f}-{100 * row.ci_high:.0f})"
