"""The benchmarks run, on as little as they accept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
LITTLE = {
    "guarantee": ["--limit", "2"],
    "stability": ["--limit", "2"],
    "cyclic": ["--limit", "1", "--baseline", "1"],
}


@pytest.mark.parametrize("name", LITTLE)
def test_benchmarks_run(name: str, assets: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RICS_TEST_ASSETS": str(assets)}
    command = [sys.executable, str(FOLDER / f"{name}.py"), *LITTLE[name]]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "lattice" in done.stdout
