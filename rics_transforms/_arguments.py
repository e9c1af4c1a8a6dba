"""How arguments are read: sizes, numbers, names, and names with options written as text.

A wrong type is a TypeError, a wrong value a ValueError, and both say what was expected. Sizes are
(height, width) in pixels; a single int counts for both.
"""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from math import inf
from numbers import Real
from operator import index
from typing import Any, TypeVar

Size = tuple[int, int]
"""(height, width), or anything else along y and x."""

SizeLike = int | Sequence[int]
"""A `Size` as callers give it: one int for both axes, or two."""

_T = TypeVar("_T")
_LISTED = 12  # errors list at most this many names


# --- numbers -------------------------------------------------------------------------------------


MAX_PIXELS = 89_478_485
"""How many pixels an image file may have unless more are asked for: Pillow warns above."""


def as_int(value: object, name: str, minimum: int | None = None, maximum: int | None = None) -> int:
    """An integer of any type, NumPy's included but bool excluded, as an int within a range.

    Args:
        value: the integer.
        name: argument name to put into the error.
        minimum: smallest value allowed; None allows all.
        maximum: largest value allowed; None allows all.

    Raises:
        TypeError: unless it is an integer.
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


def store_int(
    owner: object, name: str, minimum: int | None = None, maximum: int | None = None
) -> None:
    """Replace an attribute, even of a frozen dataclass, by its value as an int: see `as_int`."""
    object.__setattr__(owner, name, as_int(getattr(owner, name), name, minimum, maximum))


def as_pair(value: object, name: str, minimum: int | None = 1) -> Size:
    """An int or a pair of ints as a pair: every size is read this way.

    Args:
        value: an int, which counts for both axes, or two of them.
        name: argument name to put into the error.
        minimum: smallest value allowed; None allows all.

    Returns:
        (along y, along x).

    Raises:
        TypeError: if one of them is not an int.
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


def by(size: Sequence[int], sign: str = "x") -> str:
    """A height and a width as text.

    Example:
        >>> by((480, 640))
        '480 x 640'
    """
    return f"{size[0]} {sign} {size[1]}"


def _integer(value: object) -> int | None:
    """None unless it is an int."""
    if type(value).__name__ in ("bool", "bool_"):  # NumPy's, which below 2 passes for an index
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


def as_number(value: object, name: str, maximum: float = inf, *, zero: bool = False) -> float:
    """A finite positive number, an int where it is one.

    Args:
        value: the number.
        name: argument name to put into the error.
        maximum: largest value allowed.
        zero: whether 0 is allowed, too.

    Raises:
        TypeError: unless it is a real number.
        ValueError: outside the range.

    Example:
        >>> as_number(1.5, "ratio", maximum=1)
        Traceback (most recent call last):
        ValueError: Expected `ratio` to be a positive number of at most 1, but got 1.5.
    """
    most = "" if maximum == inf else f" of at most {maximum}"
    kind = "non-negative" if zero else "positive"
    expected = f"Expected `{name}` to be a {kind} number{most}, but got {value!r}."
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(expected)
    whole = _integer(value)
    number = float(value) if whole is None else whole
    if not (0 < number <= maximum or (zero and number == 0)) or number == inf:
        raise ValueError(expected)
    return number


# --- names ---------------------------------------------------------------------------------------


def lookup(kind: str, name: str, known: Mapping[str, _T]) -> _T:
    """The value of a name, or an error that lists the known names.

    Example:
        >>> lookup("number", "itn", {"int": 1, "float": 2.0})
        Traceback (most recent call last):
        ValueError: Expected `number` to be one of float, int, but got 'itn'; did you mean 'int'?
    """
    require_name(kind, name, known)
    return known[name]


def require_name(kind: str, name: str, names: Iterable[str]) -> None:
    """Raise unless a name is a known one; where many are known, the error lists the nearest.

    Raises:
        TypeError: unless the name is a string.
        ValueError: for an unknown name.

    Example:
        >>> require_name("layer", "layr7", [f"layer{i}" for i in range(20)])
        Traceback (most recent call last):
        ValueError: Expected `layer` to be one of 20 names, but got 'layr7'; the nearest are: \
layer7, layer17, layer9.
    """
    _require_str(kind, name)
    known = sorted(names)
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=3)
    if len(known) > _LISTED:
        hint = f"; the nearest are: {', '.join(near)}." if near else "."
        raise ValueError(
            f"Expected `{kind}` to be one of {len(known)} names, but got {name!r}{hint}"
        )
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise ValueError(f"Expected `{kind}` to be one of {', '.join(known)}, but got {name!r}{hint}")


def _require_str(kind: str, name: object) -> None:
    if not isinstance(name, str):
        raise TypeError(f"Expected `{kind}` to be a name, but got {name!r}.")


# --- names with options --------------------------------------------------------------------------


def from_text(kind: str, text: str, makers: Mapping[str, Callable[..., _T]]) -> _T:
    """The object that ``name`` or ``name:option=value,...`` stands for.

    This is how the command line, result files and keyword arguments name scores, shifts and
    disturbances.

    Args:
        kind: argument name to put into the errors.
        text: such as "jpeg:quality=75"; a value that is not a Python literal is a string.
        makers: what to call, by name.

    Raises:
        TypeError: unless the text is a string.
        ValueError: for an unknown name, or options that it does not have.

    Example:
        >>> from_text("number", "int:x=ff,base=16", {"int": lambda x, base: int(x, base)})
        255
    """
    name, options = parse_options(kind, text)
    return make(kind, name, options, makers)


def make(
    kind: str, name: str, options: Mapping[str, Any], makers: Mapping[str, Callable[..., _T]]
) -> _T:
    """The object of a name with these options.

    Raises:
        TypeError: unless the name is a string.
        ValueError: for an unknown name, or options that it does not have.

    Example:
        >>> make("number", "int", {"radix": 16}, {"int": lambda x, base=10: int(x, base)})
        Traceback (most recent call last):
        ValueError: Expected options that `int` has (x, base), but got radix=16: \
missing a required argument: 'x'.
    """
    maker = lookup(kind, name, makers)
    signature = inspect.signature(maker)
    try:
        signature.bind(**options)
    except TypeError as error:
        known = f"({', '.join(signature.parameters) or 'none'})"
        given = ", ".join(f"{key}={value!r}" for key, value in options.items()) or "none"
        raise ValueError(
            f"Expected options that `{name}` has {known}, but got {given}: {error}."
        ) from None
    return maker(**options)


def parse_options(kind: str, text: str) -> tuple[str, dict[str, Any]]:
    """Name and options of ``name:option=value,...``.

    Example:
        >>> parse_options("score", "lattice:patch=hash,order=(2, 3)")
        ('lattice', {'patch': 'hash', 'order': (2, 3)})
        >>> parse_options("shift", "camera:steps=((2, 2), (2, 0)),factor=4")
        ('camera', {'steps': ((2, 2), (2, 0)), 'factor': 4})
    """
    _require_str(kind, text)
    name, _, rest = text.partition(":")
    parts = _outer_parts(rest) if rest else []
    if not all("=" in part for part in parts):
        raise ValueError(f"Expected `{kind}` to be name:option=value,..., but got {text!r}.")
    options: dict[str, Any] = {}
    for key, value in (map(str.strip, part.split("=", 1)) for part in parts):
        if key in options:
            raise ValueError(f"Expected each option of `{kind}` once, but got `{key}` twice.")
        options[key] = _literal(value)
    return name.strip(), options


def _outer_parts(text: str) -> list[str]:
    """The text split at its commas, except those in brackets."""
    depths = list(accumulate((c in "([") - (c in ")]") for c in text))
    ends = [i for i, c in enumerate(text) if c == "," and depths[i] <= 0]
    return [text[a + 1 : b] for a, b in pairwise([-1, *ends, len(text)])]


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the latter for deep nesting
        return text
