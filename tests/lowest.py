"""Whether an environment holds the lowest version that is declared of every dependency.

Run by `make test-oldest`, since a resolver may have to choose a higher one.
"""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

TEXT = (Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8")
PROJECT = tomllib.loads(TEXT)["project"]
EXTRAS = ("cli", "kornia", "albumentations", "datasets", "timm", "transformers", "ray")


def main() -> None:
    """Print what is declared and installed, and exit with 1 if they differ."""
    texts = [*PROJECT["dependencies"]]
    for extra in EXTRAS:
        texts += PROJECT["optional-dependencies"][extra]
    others = 0
    for requirement in map(Requirement, texts):
        (bound,) = requirement.specifier
        lowest, found = Version(bound.version), Version(version(requirement.name)).public
        same = Version(found) == lowest
        others += not same
        print(f"{requirement.name:16} {lowest!s:10} {'' if same else found}".rstrip())
    if others:
        sys.exit(f"Expected the lowest version of each, but got {others} others.")


if __name__ == "__main__":
    main()
