"""Text from outside, such as file names: made printable, and read as JSON."""

from __future__ import annotations

import json
from typing import Any, NoReturn
from unicodedata import category


def printable(text: str) -> str:
    r"""Text that any terminal or page can show: what has no glyph becomes an escape as in Python.

    Args:
        text: any, such as a file name with bytes that are not UTF-8, or with escape sequences that
            would reach a terminal.

    Example:
        >>> print(printable("caf\u00e9\x1b[31m\udcff.png"))
        café\x1b[31m\udcff.png
    """
    return "".join(c if c.isprintable() or category(c) == "Zs" else ascii(c)[1:-1] for c in text)


def read_json(text: str) -> Any:
    """The content of standard JSON.

    Raises:
        ValueError: for anything else, including endless nesting and numbers that JSON lacks.

    Example:
        >>> read_json('{"k": [224, 224]}')
        {'k': [224, 224]}
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}, which is not JSON")
