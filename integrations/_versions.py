"""Say at import which extra to install, and which version is too old."""

import re
from importlib import metadata


def require(distribution: str, *, extra: str, minimum: str) -> None:
    """Check that a library is installed, and new enough.

    Args:
        distribution: name under which pip knows the library.
        extra: the extra of rics-transforms that installs it.
        minimum: oldest supported version, for example ``"0.9.0"``. A pre-release counts as its
            release: 0.9.0rc1 passes for 0.9.0.

    Raises:
        ImportError: if the library is missing or older.

    Example:
        >>> require("torch", extra="kornia", minimum="2.8")
        >>> require("torch", extra="kornia", minimum="999.0")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ImportError: Expected torch>=999.0, but got ... pip install "rics-transforms[kornia]"
    """
    try:
        found = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        found = "none"
    if found == "none" or _release(found) < _release(minimum):
        raise ImportError(
            f"Expected {distribution}>={minimum}, but got {found}. "
            f'Install it: pip install "rics-transforms[{extra}]"'
        )


def _release(version: str) -> tuple[int, ...]:
    """The numbers a version begins with: (2, 15) for "2.15.0+cpu", whose zeros say nothing."""
    numbers = [int(number) for number in re.split(r"[^0-9.]", version)[0].split(".") if number]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
