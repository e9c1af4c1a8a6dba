"""What the pages of measurements say, to be drawn."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[1]
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def table(page: str, title: str) -> dict[str, list[str]]:
    """The cells of the first table below a heading, by the first of their row."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    found = re.search(rf"^### {re.escape(title)}.*\n\n((?:\|.*\n)+)", text, flags=re.MULTILINE)
    if found is None:
        raise ValueError(f"Expected {page}.md to have a table {title!r}, but it has not.")
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in found[1].splitlines()]
    return {name: cells for name, *cells in rows}


def number(cell: str) -> float:
    """The first number in a cell."""
    found = NUMBER.search(cell)
    if found is None:
        raise ValueError(f"Expected a cell with a number, but got {cell!r}.")
    return float(found[0])
