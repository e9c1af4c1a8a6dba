"""What a release is made from: versions, workflows and hooks, which must agree."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import rics_transforms

yaml = pytest.importorskip("yaml", reason="needs PyYAML, which comes with MkDocs")

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PYTHONS = re.findall(r":: (3\.\d+)$", "\n".join(PYPROJECT["project"]["classifiers"]), re.MULTILINE)
BUILD = PYPROJECT["tool"]["cibuildwheel"]


def load(path: str) -> Any:
    """What a YAML file of the repository holds."""
    return yaml.safe_load((ROOT / path).read_text())


def test_every_supported_python_is_declared_and_tested() -> None:
    first, last = (int(version.removeprefix("3.")) for version in (PYTHONS[0], PYTHONS[-1]))
    assert PYPROJECT["project"]["requires-python"] == f">=3.{first}"
    assert [f"3.{minor}" for minor in range(first, last + 1)] == PYTHONS
    jobs = load(".github/workflows/tests.yml")["jobs"]
    assert jobs["tests"]["strategy"]["matrix"]["python"] == PYTHONS


def test_the_wheels_are_built_for_the_first_python_and_tested_with_the_last() -> None:
    first, last = ("cp" + version.replace(".", "") for version in (PYTHONS[0], PYTHONS[-1]))
    assert BUILD["build"].split() == [f"{first}-*", f"{last}-*"]
    assert PYPROJECT["tool"]["distutils"]["bdist_wheel"] == {"py-limited-api": first}
    (extension,) = PYPROJECT["tool"]["setuptools"]["ext-modules"]
    (source,) = extension["sources"]
    (limited,) = re.findall(r"Py_LIMITED_API (0x\w+)", (ROOT / source).read_text())
    assert int(limited, 16) == 3 << 24 | int(PYTHONS[0].removeprefix("3.")) << 16


def test_the_files_that_test_the_wheels_are_there() -> None:
    commands = "\n".join([*BUILD["test-command"], *(o["test-command"] for o in BUILD["overrides"])])
    files = re.findall(r"\{project\}/(\S+)", commands)
    assert files
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    version = re.escape(rics_transforms.__version__)
    assert re.fullmatch(rf"\[{version}\] - (unreleased|\d{{4}}-\d\d-\d\d)", headings[0])


def test_foreign_actions_are_pinned_by_their_hash() -> None:
    files = [*(ROOT / ".github").rglob("workflows/*.yml"), *(ROOT / ".github").rglob("action.yml")]
    used = [line for file in files for line in re.findall(r"uses: (.*)", file.read_text())]
    foreign = [line for line in used if not line.startswith("./")]
    assert foreign
    pinned = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [line for line in foreign if not pinned.fullmatch(line)] == []


def test_the_hooks_have_the_ruff_of_make_lint() -> None:
    requirements = [*map(Requirement, PYPROJECT["project"]["optional-dependencies"]["dev"])]
    (ruff,) = (requirement for requirement in requirements if requirement.name == "ruff")
    hooks = {repo["repo"]: repo["rev"] for repo in load(".pre-commit-config.yaml")["repos"]}
    (rev,) = (rev for url, rev in hooks.items() if "ruff" in url)
    assert rev.removeprefix("v") in ruff.specifier


def test_the_site_is_the_one_that_the_package_names() -> None:
    site = PYPROJECT["project"]["urls"]["Documentation"]
    assert load("mkdocs.yml")["site_url"] == site
    (contact,) = load(".github/ISSUE_TEMPLATE/config.yml")["contact_links"]
    assert contact["url"] == site
