"""What all integrations share: examples that run, imports that say what is missing or too old."""

import doctest
import importlib
import sys
from importlib import metadata
from pathlib import Path

import pytest

from rics_transforms.integrations._versions import require

FOLDER = Path(__file__).parents[2] / "integrations"
MODULES = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
MINIMUM = {
    "albumentations": "2.0.8",
    "datasets": "4.0",
    "kornia": "0.8",
    "ray": "2.40",
    "timm": "1.0.20",
    "transformers": "4.53",
}
# Ray warns of its own settings when it reads them
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")


def load(name: str) -> object:
    return importlib.import_module(f"rics_transforms.integrations.{name}")


def test_every_integration_is_tested_here() -> None:
    assert sorted(MINIMUM) == MODULES


@pytest.mark.parametrize("name", [*MODULES, "_versions"])
def test_examples(name: str) -> None:
    if name in MODULES:
        pytest.importorskip(name, reason=f"needs the extra {name}")
    if name == "transformers" and metadata.version(name).startswith("4."):
        pytest.skip("transformers 4 has the class of the example by another name")
    failed, attempted = doctest.testmod(load(name))  # type: ignore[arg-type]
    assert attempted and not failed


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("found", [None, "0.0.9"])
def test_imports_say_what_to_install(
    name: str, found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(distribution: str) -> str:
        if found is None or distribution == "albumentationsx":
            raise metadata.PackageNotFoundError(distribution)
        return found

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setitem(sys.modules, name, None)  # an import of it would fail otherwise
    monkeypatch.delitem(sys.modules, f"rics_transforms.integrations.{name}", raising=False)
    wanted = rf"Expected {name}>={MINIMUM[name]}, but got {found or 'none'}\. "
    with pytest.raises(ImportError, match=wanted + rf'.*pip install "rics-transforms\[{name}\]"'):
        load(name)


@pytest.mark.parametrize(
    ("found", "passes"),
    [
        ("0.8.3", False),
        ("0.9", True),
        ("0.9.0rc1", True),
        ("0.9.0+cu130", True),
        ("0.10", True),
        ("1.0.post1", True),
    ],
)
def test_versions_compare_as_numbers(
    found: str, passes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: found)
    if passes:
        require("kornia", extra="kornia", minimum="0.9.0")
    else:
        with pytest.raises(ImportError, match=r"Expected kornia>=0.9.0, but got 0.8.3"):
            require("kornia", extra="kornia", minimum="0.9.0")
