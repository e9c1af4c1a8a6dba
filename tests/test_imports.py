"""What importing the package loads, which of its modules import which, and what it exports."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rics_transforms

ROOT = Path(__file__).parents[1]
PACKAGE = "rics_transforms"
MODULES = {path.stem: path for path in (ROOT / PACKAGE).glob("*.py") if path.stem != "__init__"}

# What the ground floor may import of the package. A module that is not listed may import any other.
ALLOWED: dict[str, set[str]] = {
    "theory": set(),
    "exact": set(),
    "hashing": {"exact"},
    "spec": set(),
    "native": {"_native", "exact", "hashing"},
    "scores": {"exact", "hashing", "native", "spec", "theory"},
    "selection": {"exact", "hashing", "native", "scores", "theory"},
    "crop": {"exact", "native", "selection"},
}


# --- what an import loads ------------------------------------------------------------------------


def loaded(statement: str) -> set[str]:
    """The top-level modules in memory after a statement has run, silently, on its own."""
    report = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    script = f"{statement}; print('--'); {report}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    printed, _, names = done.stdout.partition("--\n")
    assert printed == ""
    return set(names.split())


def test_importing_the_package_loads_nothing_optional_and_prints_nothing() -> None:
    extra = loaded(f"import {PACKAGE}") - loaded("import torchvision.transforms.v2")
    assert extra - sys.stdlib_module_names == {PACKAGE}


# --- who imports whom ----------------------------------------------------------------------------


def imports(path: Path) -> set[str]:
    """The modules of the package that a file imports anywhere; its root counts as `__init__`.

    The version is no part of this: it may be read from anywhere.
    """
    return {
        "__init__" if module == PACKAGE else module.split(".")[1]
        for module in _imported(ast.parse(path.read_text()))
        if module.partition(".")[0] == PACKAGE
    }


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"Expected absolute imports, but line {node.lineno} has dots."
            if node.module != PACKAGE:
                yield str(node.module)
                continue
            for name in {alias.name for alias in node.names} - {"__version__"}:
                is_module = name in {*MODULES, "integrations"} - set(rics_transforms.__all__)
                yield f"{PACKAGE}.{name}" if is_module else PACKAGE


@pytest.mark.parametrize("module", ALLOWED)
def test_the_ground_floor_imports_nothing_above_it(module: str) -> None:
    assert imports(MODULES[module]) <= ALLOWED[module]


@pytest.mark.parametrize("module", MODULES)
def test_no_module_imports_the_integrations(module: str) -> None:
    assert "integrations" not in imports(MODULES[module])


@pytest.mark.parametrize("module", ["verify", "measurement", "summary", "metrics"])
def test_verification_takes_any_transform(module: str) -> None:
    assert not imports(MODULES[module]) & {"transform", "__init__"}


@pytest.mark.parametrize("path", sorted((ROOT / "integrations").glob("*.py")), ids=lambda p: p.stem)
def test_integrations_use_the_public_surface_alone(path: Path) -> None:
    assert imports(path) <= {"__init__", "integrations"}


# --- what the package exports --------------------------------------------------------------------


def test_the_public_surface() -> None:
    assert sorted(rics_transforms.__all__) == [
        "Certificate",
        "Hash",
        "Lattice",
        "Level",
        "Measurement",
        "MexicanHat",
        "RICSCrop",
        "Random",
        "Record",
        "Saliency",
        "Score",
        "ShiftReport",
        "certify",
        "consistency_bound",
        "crop_size_for",
        "get_score",
        "lattice_order",
        "list_scores",
        "load_model",
        "locate",
        "register_score",
        "rics_crop",
        "robustness_bound",
        "robustness_limit",
        "score_map",
        "stability",
        "unregister_score",
        "verify",
    ]


@pytest.mark.parametrize("name", sorted(rics_transforms.__all__))
def test_every_public_name_exists_and_is_documented(name: str) -> None:
    public = getattr(rics_transforms, name)
    assert callable(public), f"{name} is a {type(public).__name__}"
    assert public.__doc__
