"""Doctests in docstrings as blocks of code: Markdown would read `>>>` as quotations."""

from __future__ import annotations

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^( *)>>> .*(?:\n\1\S.*)*", flags=re.MULTILINE)
TYPE = re.compile(r"^ *(?:Returns|Yields):\n[^\n:]*``[^\n:]*(?=: )", flags=re.MULTILINE)


def fence(text: str) -> str:
    """Every doctest of a docstring between fences."""
    return EXAMPLE.sub(lambda found: f"{found[1]}```pycon\n{found[0]}\n{found[1]}```", text)


def plain(text: str) -> str:
    """A docstring whose types of results, which are shown as code, have no marks of code."""
    return TYPE.sub(lambda found: found[0].replace("`", ""), text)


class Doctests(griffe.Extension):
    """Fences the doctests of all that is documented, and clears the types of results."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = plain(fence(obj.docstring.value))
