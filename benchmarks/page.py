"""Run benchmarks, and write what they print into docs/speed.md.

    python benchmarks/page.py           all that the page has a place for
    python benchmarks/page.py gpu       only these; the others keep the numbers they have

What a script prints goes between its marks, `<!-- gpu -->` and `<!-- /gpu -->`, and its targets
into the table between those of `targets`. Everything else on the page is written by hand. There is
no `main` here, so that `make bench` leaves this script out.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from tables import TARGETS

SCRIPTS = ("speed", "memory", "pipeline", "forwards", "growth", "gpu")
FOLDER = Path(__file__).parent
HEAD = ["| measured by | target | wanted | measured | met |", "| --- | --- | --- | --- | --- |"]


def output(script: str) -> tuple[str, list[str]]:
    """What a script prints: the text, and the rows of its targets."""
    run = [sys.executable, str(FOLDER / f"{script}.py")]
    text, _, table = subprocess.check_output(run, text=True).partition(TARGETS)
    _, _, *rows = table.strip().splitlines() or ["", ""]
    return text.strip(), [f"| `{script}` {row}" for row in rows]


def section(page: str, name: str) -> re.Match[str]:
    """The marks of a name, with what lies between them as the first group."""
    found = re.search(f"<!-- {name} -->\n(.*?)<!-- /{name} -->", page, flags=re.DOTALL)
    if found is None:
        raise SystemExit(f"Expected the page to have the marks of `{name}`, but it has not.")
    return found


def replaced(page: str, name: str, text: str) -> str:
    """The page with other text between the marks of a name."""
    found = section(page, name)
    return page[: found.start(1)] + f"{text}\n" + page[found.end(1) :]


def with_targets(page: str, script: str, rows: list[str]) -> str:
    """The page with these rows in place of those that the script had; sorted by script."""
    kept = [row for row in section(page, "targets")[1].splitlines() if row.startswith("| `")]
    rows = [row for row in kept if not row.startswith(f"| `{script}` ")] + rows
    rows.sort(key=lambda row: SCRIPTS.index(row.split("`")[1]))
    return replaced(page, "targets", "\n".join([*HEAD, *rows]))


def write() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scripts", nargs="*", help=f"of {', '.join(SCRIPTS)}; default: all")
    parser.add_argument("--page", type=Path, default=FOLDER.parent / "docs" / "speed.md")
    options = parser.parse_args()
    for script in options.scripts or SCRIPTS:
        if script not in SCRIPTS:
            raise SystemExit(f"Expected scripts of {', '.join(SCRIPTS)}, but got {script!r}.")
        text, rows = output(script)
        page = options.page.read_text(encoding="utf-8")  # read again: others may be writing
        page = with_targets(replaced(page, script, text), script, rows)
        options.page.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    write()
