"""What importing the package loads, which of its modules import which, and what it exports."""

import ast
import importlib
import pickle
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import rics_transforms

ROOT = Path(__file__).parents[1]
PACKAGE = "rics_transforms"


def _files() -> dict[str, Path]:
    """Every module of the package by its name, as it is installed."""
    folders = {PACKAGE: ROOT / PACKAGE, f"{PACKAGE}.integrations": ROOT / "integrations"}
    files = {}
    for package, folder in folders.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            files[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return files


FILES = _files()
FLOORS = {
    "_version": set(),
    "_arguments": set(),
    "_extras": set(),
    "_text": set(),
    "palette": set(),
    "theory": {"_arguments"},
    "engine": {"_arguments", "theory"},
    "shifts": {"_arguments", "_extras", "theory", "engine"},
    "models": {"_arguments", "_extras", "theory", "engine"},
    "data": {"_arguments", "_extras", "_text", "theory", "engine"},
    "survival": {"_arguments", "theory", "engine"},
    "certificates": {"_arguments", "theory", "engine", "survival"},
    "annotations": {"_arguments", "engine"},
    "fields": {"_arguments", "engine.images"},
    "samples": {"_arguments", "engine"},
    "transform": {"_arguments", "theory", "engine", "samples", "certificates"},
    "resized": {"_arguments", "engine", "fields", "samples", "transform"},
    "explanation": {"_arguments", "_extras", "palette", "theory", "engine"},
    "prediction": {"_arguments", "engine", "models", "certificates", "transform"},
    "graph": {"_arguments", "theory", "engine", "resized", "transform"},
    "folder": {
        "_arguments",
        "_text",
        "_version",
        "theory",
        "engine",
        "data",
        "resized",
        "transform",
    },
    "verification": {
        "_arguments",
        "_extras",
        "_text",
        "_version",
        "theory",
        "engine",
        "shifts",
        "models",
    },
    "report": {
        "_arguments",
        "_extras",
        "_text",
        "palette",
        "theory",
        "engine.exact",
        "engine.images",
        "shifts",
        "verification",
    },
}
"""What each part may import of the others; itself it may always. `cli` stands above them all."""


SLOW = {"torch", "torchvision", "numpy", "scipy", "matplotlib", "rich", "PIL", "skimage", "jinja2"}
"""What takes long to import."""


# --- what an import loads ------------------------------------------------------------------------


TOP = "{name.partition('.')[0] for name in sys.modules}"


def loaded(statement: str, after: str = "pass") -> set[str]:
    """The top-level modules that a statement loads, silently, in a process of its own."""
    script = f"import sys; {after}; known = {TOP}; {statement}; print('--', *sorted({TOP} - known))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    printed, _, names = done.stdout.partition("--")
    assert printed == ""
    return set(names.split())


def test_importing_the_transform_loads_nothing_optional_and_prints_nothing() -> None:
    found = loaded(f"from {PACKAGE} import RICSCrop", after="import torchvision.transforms.v2")
    assert found - sys.stdlib_module_names == {PACKAGE}


def test_importing_the_command_does_not_wait_for_torch() -> None:
    assert not loaded(f"import {PACKAGE}.cli.commands") & SLOW


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["verify", "--help"], 0),
        (["verify", "--nothing"], 2),
        (["verify", "--output", "out"], 2),
        (["crop", "in", "out", "--k", "140", "--resize", "0"], 2),
        (["bound", "--n", "large", "--k", "140"], 2),
    ],
    ids=str,
)
def test_help_and_usage_errors_do_not_wait_for_torch(arguments: list[str], code: int) -> None:
    script = (
        f"import sys, {PACKAGE}.cli\n"
        f"sys.argv = ['rics', *{arguments}]\n"
        "try:\n"
        f"    {PACKAGE}.cli.main()\n"
        "finally:\n"
        "    print('--', *{name.partition('.')[0] for name in sys.modules}, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    printed, _, names = done.stdout.partition("--\n")
    assert "Usage: rics" in printed + done.stderr or "version" in printed
    assert "click" in names.split() and not SLOW & set(names.split())


# --- who imports whom ----------------------------------------------------------------------------


def imports(module: str) -> set[str]:
    """The modules of the package that a module imports anywhere, functions included."""
    path = FILES[module]
    return set(_imported(ast.parse(path.read_text(encoding="utf-8"))))


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"Expected absolute imports, but line {node.lineno} has dots."
            for name in (alias.name for alias in node.names if _is_ours(str(node.module))):
                inner = f"{node.module}.{name}"
                yield inner if inner in FILES else str(node.module)


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == PACKAGE


def part_of(module: str) -> str:
    """The folder, or the file, that a module belongs to."""
    return module.removeprefix(f"{PACKAGE}.").partition(".")[0]


INNER = sorted(
    module for module in FILES if part_of(module) not in (PACKAGE, "cli", "integrations")
)


def test_every_part_has_a_floor() -> None:
    assert {part_of(module) for module in INNER} == set(FLOORS)


@pytest.mark.parametrize("module", INNER)
def test_imports_go_down(module: str) -> None:
    own = part_of(module)
    allowed = FLOORS[own] | {own}
    for other in imports(module) - {f"{PACKAGE}.engine._native"}:
        inside = other.removeprefix(f"{PACKAGE}.")
        assert part_of(other) in allowed or inside in allowed, f"{module} imports {other}"


def test_the_imports_have_no_circle() -> None:
    graph = {
        module: {other for other in imports(module) if not module.startswith(f"{other}.")}
        for module in FILES
        if module != PACKAGE
    }
    order = list(TopologicalSorter(graph).static_order())  # or a CycleError that names the circle
    assert set(FILES) - {PACKAGE} <= set(order)


@pytest.mark.parametrize("module", sorted(m for m in FILES if part_of(m) == "integrations"))
def test_integrations_use_the_public_surface_alone(module: str) -> None:
    assert {part_of(other) for other in imports(module)} <= {PACKAGE, "integrations"}


@pytest.mark.parametrize("module", sorted(FILES))
def test_no_module_is_hidden_by_a_public_function(module: str) -> None:
    package, _, name = module.rpartition(".")
    if package:
        hidden = getattr(importlib.import_module(package), name, None)
        assert not callable(hidden), f"{module} has the name of a function of {package}"


# --- what the package exports --------------------------------------------------------------------


def test_the_public_surface() -> None:
    assert sorted(rics_transforms.__all__) == [
        "Certificate",
        "Hash",
        "Ladder",
        "Lattice",
        "MexicanHat",
        "RICSCrop",
        "RICSResizedCrop",
        "Random",
        "Saliency",
        "Score",
        "ShiftReport",
        "certify",
        "consistency_bound",
        "crop_size_for",
        "export",
        "get_score",
        "get_shift",
        "lattice_order",
        "list_scores",
        "list_shifts",
        "load_model",
        "locate",
        "predict",
        "register_score",
        "rics_crop",
        "rics_resized_crop",
        "robustness_bound",
        "robustness_limit",
        "score_map",
        "stability",
        "uncrop",
        "unregister_score",
        "verify",
    ]


def test_type_checkers_see_the_same_names() -> None:
    stub = ast.parse((ROOT / PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    homes = {
        alias.asname: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    submodules = [homes.pop(name) for name in SUBMODULES]
    assert set(submodules) == {PACKAGE}
    version = homes.pop("__version__")
    assert version == f"{PACKAGE}._version"
    assert sorted(map(str, homes)) == sorted(rics_transforms.__all__)
    for name, home in homes.items():
        here = getattr(importlib.import_module(str(home)), str(name))
        assert getattr(rics_transforms, str(name)) is here


SUBMODULES = ["data", "engine", "models", "report", "shifts", "theory"]


def test_submodules_are_attributes() -> None:
    """Of a package that is imported anew for each, while torch stays in memory."""
    assert set(SUBMODULES) <= set(dir(rics_transforms))
    script = (
        "import sys, importlib\n"
        f"for name in {SUBMODULES}:\n"
        f"    for ours in [n for n in sys.modules if n.partition('.')[0] == '{PACKAGE}']:\n"
        "        del sys.modules[ours]\n"
        f"    package = importlib.import_module('{PACKAGE}')\n"
        f"    assert '{PACKAGE}.' + name not in sys.modules\n"
        f"    assert getattr(package, name).__name__ == '{PACKAGE}.' + name, name\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_star_imports_the_public_names() -> None:
    names: dict[str, object] = {}
    exec(f"from {PACKAGE} import *", names)
    assert (
        names.keys() - {"__builtins__"} == set(rics_transforms.__all__) <= set(dir(rics_transforms))
    )


@pytest.mark.parametrize("name", sorted(rics_transforms.__all__))
def test_public_names_can_be_pickled(name: str) -> None:
    public = getattr(rics_transforms, name)
    assert pickle.loads(pickle.dumps(public)) is public


@pytest.mark.parametrize("name", sorted(rics_transforms.__all__))
def test_every_public_name_exists_and_is_documented(name: str) -> None:
    public = getattr(rics_transforms, name)
    assert callable(public), f"{name} is a {type(public).__name__}"
    assert public.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        rics_transforms.Nothing  # noqa: B018
