"""How arguments are read: sizes, integers, names, and names with options written as text.

A wrong type is a TypeError, a wrong value a ValueError, and both say what was expected. Sizes are
(height, width) in pixels; a single int counts for both.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import index
from typing import Any, TypeVar

Size = tuple[int, int]
"""(height, width), or anything else along y and x."""

SizeLike = int | Sequence[int]
"""A `Size` as it is given: one int for both axes, or two."""

_T = TypeVar("_T")
_LISTED = 12  # more names than these are not listed in an error


# --- integers ------------------------------------------------------------------------------------


def as_int(value: object, name: str, minimum: int | None = None, maximum: int | None = None) -> int:
    """An int of any kind (of NumPy, say, but no bool) within a range, both ends included.

    Raises:
        TypeError: unless it is an int.
        ValueError: outside the range.

    Example:
        >>> as_int(101, "quality", 1, 100)
        Traceback (most recent call last):
        ValueError: Expected `quality` to be an int from 1 to 100, but got 101.
    """
    number = _integer(value)
    expected = f"Expected `{name}` to be {_kind(minimum, maximum)}, but got {value!r}."
    if number is None:
        raise TypeError(expected)
    if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
        raise ValueError(expected)
    return number


def as_pair(value: object, name: str, minimum: int | None = 1) -> Size:
    """An int, or a pair of them, as a pair: how every size is read.

    Args:
        value: an int, which counts for both axes, or two of them.
        name: argument name to put into the error.
        minimum: smallest value allowed; None allows all.

    Returns:
        (along y, along x).

    Raises:
        TypeError: if something in it is not an int.
        ValueError: if an int is below the minimum, or there are not two of them.

    Example:
        >>> as_pair(224, "k")
        (224, 224)
        >>> as_pair([240, 320], "k")
        (240, 320)
    """
    items = tuple(value) if isinstance(value, Sequence) else (value, value)
    numbers = [number for number in map(_integer, items) if number is not None]
    if len(numbers) == len(items) == 2 and (minimum is None or min(numbers) >= minimum):
        return numbers[0], numbers[1]
    kind = _kind(minimum, None)
    expected = f"Expected `{name}` to be {kind} or a pair of them, but got {value!r}."
    raise ValueError(expected) if len(numbers) == len(items) else TypeError(expected)


def _integer(value: object) -> int | None:
    """None unless it is an int."""
    if isinstance(value, bool):
        return None
    try:
        return index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def _kind(minimum: int | None, maximum: int | None) -> str:
    if maximum is not None:
        return f"an int from {minimum} to {maximum}"
    named = {None: "an int", 0: "a non-negative int", 1: "a positive int"}
    return named.get(minimum, f"an int of at least {minimum}")


# --- names ---------------------------------------------------------------------------------------


def lookup(kind: str, name: str, known: Mapping[str, _T]) -> _T:
    """What goes by a name, or an error that says which names there are.

    Example:
        >>> lookup("number", "itn", {"int": 1, "float": 2.0})
        Traceback (most recent call last):
        ValueError: Expected `number` to be one of float, int, but got 'itn'; did you mean 'int'?
    """
    require_name(kind, name, known)
    return known[name]


def require_name(kind: str, name: str, names: Iterable[str]) -> None:
    """Raise unless a name is one of those that there are; of many, the error has the nearest.

    Example:
        >>> require_name("layer", "layr7", [f"layer{i}" for i in range(20)])
        Traceback (most recent call last):
        ValueError: Expected `layer` to be one of 20 names, but got 'layr7'; the nearest are: \
layer7, layer17, layer9.
    """
    known = sorted(names)
    if name in known:
        return
    near = difflib.get_close_matches(str(name), known, n=3)
    if len(known) > _LISTED:
        hint = f"; the nearest are: {', '.join(near)}." if near else "."
        raise ValueError(
            f"Expected `{kind}` to be one of {len(known)} names, but got {name!r}{hint}"
        )
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise ValueError(f"Expected `{kind}` to be one of {', '.join(known)}, but got {name!r}{hint}")


# --- names with options --------------------------------------------------------------------------


def from_text(kind: str, text: str, makers: Mapping[str, Callable[..., _T]]) -> _T:
    """The object that ``name`` or ``name:option=value,...`` stands for.

    The command line, result files and keyword arguments name scores, shifts and disturbances so.

    Args:
        kind: argument name to put into the errors.
        text: such as "jpeg:quality=75"; what is no Python literal is a string.
        makers: what to call, by name.

    Raises:
        ValueError: for an unknown name, or options that it does not have.

    Example:
        >>> from_text("number", "int:x=ff,base=16", {"int": lambda x, base: int(x, base)})
        255
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
    """Name and options of ``name:option=value,...``.

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
