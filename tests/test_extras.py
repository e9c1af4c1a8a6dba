"""Without the extra `cli`: what works, and what says in one line what to install."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rics_transforms import RICSCrop, verify
from rics_transforms._extras import COMMAND
from rics_transforms.data.photos import scenes
from rics_transforms.explanation import explain
from rics_transforms.report import as_html, as_table, save
from rics_transforms.shifts.canvas import inpainted
from rics_transforms.verification.statistics import clopper_pearson

ROOT = Path(__file__).parents[1]
MODULES = {"scikit-image": "skimage"}  # by the names of their distributions, where these differ
INSTALL = 'but it is not installed: pip install "rics-transforms[cli]"'

BASE = """
import torch, rics_transforms
from rics_transforms import RICSCrop, certify, locate, stability
from rics_transforms.folder import crop_folder
scene = torch.arange(3 * 40 * 40).reshape(3, 40, 40).remainder(251).byte()
assert RICSCrop(24)(scene).shape == (3, 24, 24)
certify(scene, 24, 2), stability(scene, 24, 2)
for score in rics_transforms.list_scores():
    locate(scene, 24, score=score)
"""
FUNCTIONS: dict[str, Callable[[], object]] = {
    "verify": lambda: verify([], RICSCrop(24)),
    "as_table": lambda: as_table(None),  # type: ignore[arg-type]
    "as_html": lambda: as_html(None),  # type: ignore[arg-type]
    "save": lambda: save(None, "."),  # type: ignore[arg-type]
    "explain": lambda: explain(None, 24),  # type: ignore[arg-type]
    "clopper_pearson": lambda: clopper_pearson(1, 2),
    "inpainted": lambda: inpainted(torch.zeros(1, 2, 2), (0, 0), (4, 4)),
}


def python(
    script: str, hidden: tuple[str, ...], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run a script in a process that does not find some modules."""
    hide = f"import sys; sys.modules.update(dict.fromkeys({hidden!r}))\n"
    command = [sys.executable, "-c", hide + script, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_extra_is_what_the_check_looks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    brought = [name.partition(">=")[0] for name in project["optional-dependencies"]["cli"]]
    assert sorted(MODULES.get(name, name) for name in brought) == sorted(COMMAND)
    base = [name.partition(">=")[0] for name in project["dependencies"]]
    assert sorted(base) == ["numpy", "pillow", "torch", "torchvision"]
    assert "rics-transforms[cli," in project["optional-dependencies"]["all"][0]


@pytest.mark.slow
def test_crops_and_certificates_need_the_base_alone() -> None:
    done = python(BASE, COMMAND)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", COMMAND)
@pytest.mark.parametrize("arguments", [["--help"], ["bound", "--n", "224", "--k", "140"]], ids=str)
def test_the_command_says_what_to_install(name: str, arguments: list[str]) -> None:
    done = python("from rics_transforms.cli import main; main()", (name,), *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"Error: Expected the package {name}, {INSTALL}\n"


@pytest.mark.parametrize("call", FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_say_what_to_install(
    call: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "scipy"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ModuleNotFoundError) as error:
        call()
    assert str(error.value) == f"Expected the package scipy, {INSTALL}"


def test_the_photographs_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ModuleNotFoundError) as error:
        scenes(32)
    assert str(error.value) == f"Expected the package skimage, {INSTALL}"
