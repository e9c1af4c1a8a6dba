"""The packages that the base installation leaves out, and the extras that install them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

COMMAND = ("click", "jinja2", "matplotlib", "rich", "scipy", "skimage")
"""What the extra `cli` installs: the modules behind `rics`, `verify`, reports and figures."""


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """A context in which importing a missing optional package names the extra that installs it.

    Raises:
        ModuleNotFoundError: if a package is missing.

    Example:
        >>> with needs("cli"):
        ...     import no_such_package
        Traceback (most recent call last):
        ModuleNotFoundError: Expected the package no_such_package, but it is not installed: \
pip install "rics-transforms[cli]"
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise _missing(str(error.name).partition(".")[0], extra) from None


def require_command() -> None:
    """Raise unless everything in the extra `cli` is installed; nothing is imported.

    Raises:
        ModuleNotFoundError: naming the first package that is missing.
    """
    for name in COMMAND:
        if find_spec(name) is None:
            raise _missing(name, "cli")


def _missing(name: str, extra: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f"Expected the package {name}, but it is not installed: "
        f'pip install "rics-transforms[{extra}]"',
        name=name,
    )
