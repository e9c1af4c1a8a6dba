"""Dataclasses as JSON: values read have the types that the fields declare, or raise an error."""

from __future__ import annotations

from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

_T = TypeVar("_T")


def as_dataclass(cls: type[_T], content: dict[str, Any]) -> _T:
    """The object of a dataclass whose fields a JSON object holds, lists as tuples.

    Raises:
        ValueError: for missing or unknown fields, or a value of another type than declared.
    """
    hints = get_type_hints(cls)
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    if differ := sorted(content.keys() ^ set(names)):
        raise ValueError(f"it differs in {', '.join(differ)}")
    try:
        values = {name: _frozen(content[name]) for name in names}
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    for name, value in values.items():
        if not _fits(value, hints[name]):
            raise ValueError(f"`{name}` is {brief(value)}")
    return cls(**values)


def _frozen(value: Any) -> Any:
    """Lists as tuples, at any depth."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value has a type; a bool is not an int, and a float is finite."""
    kind, inner = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return any(_fits(value, option) for option in inner)
    if kind is Literal:
        return value in inner and isinstance(value, str)
    if kind is tuple:
        if not isinstance(value, tuple):
            return False
        each = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return len(value) == len(each) and all(map(_fits, value, each))
    if hint is float:
        return type(value) in (int, float) and abs(value) < 1e300
    return type(value) is (NoneType if hint is None else hint)


def brief(value: Any) -> str:
    """A value in a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
