"""What is shipped: the contents and the metadata of the sdist and of the wheels."""

import shutil
import subprocess
import sys
import tarfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

import rics_transforms
from rics_transforms.engine import native

ROOT = Path(__file__).parents[1]
BYPRODUCTS = shutil.ignore_patterns(
    ".*", "*.egg-info", "*.so", "*.pyd", "__pycache__", "build", "demo", "dist", "site"
)


def build(source: Path, target: Path, *kinds: str) -> None:
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", target, *kinds, source]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    assert "Warning" not in done.stdout, done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the sdist, the wheel built from the tree, and the wheel built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, folder / "tree", ignore=BYPRODUCTS)  # a build leaves files in its source
    project = folder / "tree" / "pyproject.toml"  # whose C need not be fast here
    project.write_text(project.read_text().replace('"-O3"', '"-O0"'))
    build(folder / "tree", folder / "from_tree", "--sdist", "--wheel")
    (sdist,) = (folder / "from_tree").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    build(folder / sdist.name.removesuffix(".tar.gz"), folder / "from_sdist", "--wheel")
    return folder


@pytest.fixture(params=["from_tree", "from_sdist"])
def wheel(dist: Path, request: pytest.FixtureRequest) -> ZipFile:
    (path,) = (dist / request.param).glob("*.whl")
    return ZipFile(path)


@pytest.fixture
def metadata(wheel: ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def sources(folder: str) -> set[str]:
    """Every file below a folder of the repository, relative to that folder."""
    files = (path for path in (ROOT / folder).rglob("*") if path.is_file())
    return {
        path.relative_to(ROOT / folder).as_posix()
        for path in files
        if "__pycache__" not in path.parts and path.suffix not in (".so", ".pyd")
    }


def test_the_wheel_holds_the_package_and_nothing_else(wheel: ZipFile) -> None:
    package = {f"rics_transforms/{name}" for name in sources("rics_transforms")}
    adapters = {f"rics_transforms/integrations/{name}" for name in sources("integrations")}
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    compiled = {name for name in shipped if name.endswith(("/_native.abi3.so", "/_native.pyd"))}
    assert shipped - compiled == package | adapters
    assert len(compiled) == native.is_available()  # built for every Python from 3.11 on
    assert {"rics_transforms/py.typed", "rics_transforms/integrations/__init__.py"} <= shipped


def test_the_sdist_holds_the_sources(dist: Path) -> None:
    (path,) = (dist / "from_tree").glob("*.tar.gz")
    with tarfile.open(path) as archive:
        shipped = {name.partition("/")[2] for name in archive.getnames()}
    package = {f"rics_transforms/{name}" for name in sources("rics_transforms")}
    adapters = {f"integrations/{name}" for name in sources("integrations")}
    assert package | adapters | {"pyproject.toml", "README.md", "LICENSE"} <= shipped


def test_the_metadata(metadata: Message) -> None:
    assert metadata["Name"] == "rics-transforms"
    assert metadata["Version"] == rics_transforms.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    extras = "albumentations all cli datasets demo dev docs export kornia ray timm transformers"
    assert sorted(metadata.get_all("Provides-Extra", [])) == extras.split()


def test_the_wheel_installs_the_command(wheel: ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "rics = rics_transforms.cli:main" in wheel.read(name).decode().splitlines()


def test_the_citation_names_this_version() -> None:
    lines = (ROOT / "CITATION.cff").read_text().splitlines()
    assert f"version: {rics_transforms.__version__}" in lines
