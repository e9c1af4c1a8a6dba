"""Small objects written as text: ``name`` or ``name:option=value,...``; checks of their options.

The command line, result files and keyword arguments name shifts and disturbances in this form.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

_T = TypeVar("_T")


def from_text(kind: str, text: str, makers: Mapping[str, Callable[..., _T]]) -> _T:
    """The object that a text stands for.

    Args:
        kind: argument name to put into the errors.
        text: such as "jpeg:quality=75".
        makers: what to call, by name.

    Raises:
        ValueError: for an unknown name, naming the valid ones and the nearest, or for options that
            it does not have.

    Example:
        >>> from_text("number", "int:x=ff,base=16", {"int": lambda x, base: int(x, base)})
        255
        >>> from_text("number", "itn:x=3", {"int": int, "float": float})
        Traceback (most recent call last):
        ValueError: Expected `number` to be one of float, int, but got 'itn'; did you mean 'int'?
    """
    name, options = parse_options(kind, text)
    make = lookup(kind, name, makers)
    signature = inspect.signature(make)
    try:
        signature.bind(**options)
    except TypeError as error:
        raise ValueError(
            f"Expected options that `{name}` has, {signature}, but got {text!r}: {error}."
        ) from None
    return make(**options)


def parse_options(kind: str, text: str) -> tuple[str, dict[str, Any]]:
    """Name and options of ``name:option=value,...``; what is no Python literal is a string.

    Example:
        >>> parse_options("score", "lattice:patch=hash,order=(2, 3)")
        ('lattice', {'patch': 'hash', 'order': (2, 3)})
    """
    name, _, rest = text.partition(":")
    parts = re.split(r",(?![^(\[]*[)\]])", rest) if rest else []
    if not all("=" in part for part in parts):
        raise ValueError(f"Expected `{kind}` to be name:option=value,..., but got {text!r}.")
    pairs = (part.split("=", 1) for part in parts)
    return name.strip(), {key.strip(): _literal(value.strip()) for key, value in pairs}


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def lookup(kind: str, name: str, known: Mapping[str, _T]) -> _T:
    """What goes by a name, or an error that lists the names and the nearest of them."""
    if name in known:
        return known[name]
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    names = ", ".join(sorted(known))
    raise ValueError(f"Expected `{kind}` to be one of {names}, but got {name!r}{hint}")


def require_int(name: str, value: object, least: int, most: int | None = None) -> None:
    """Refuse what is no int from `least` to `most`.

    Example:
        >>> require_int("quality", 101, 1, 100)
        Traceback (most recent call last):
        ValueError: Expected `quality` to be an int from 1 to 100, but got 101.
    """
    wanted = f"of at least {least}" if most is None else f"from {least} to {most}"
    expected = f"Expected `{name}` to be an int {wanted}, but got {value!r}."
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(expected)
    if value < least or (most is not None and value > most):
        raise ValueError(expected)
