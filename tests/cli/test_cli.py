"""The command: what it prints, what it writes, and how it says no."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import PIL.Image
import pytest
import torch
from click.testing import CliRunner, Result
from rich.table import Table

import rics_transforms
from rics_transforms import Lattice, RICSCrop, ShiftReport, folder, list_scores, theory
from rics_transforms.cli import commands
from rics_transforms.cli.shared import print_table, window_for
from rics_transforms.data.files import SUFFIXES
from rics_transforms.data.photos import folder_scenes
from rics_transforms.engine import native
from rics_transforms.verification import run

ROOT = Path(__file__).parents[2]


def rics(*args: object) -> Result:
    """Run a command; what it does not handle itself is raised here."""
    return CliRunner().invoke(commands.rics, [str(arg) for arg in args], catch_exceptions=False)


def refused(*args: object) -> str:
    """The one line on stderr of a command that must end with exit code 2."""
    result = rics(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    *usage, line = result.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    assert not usage or usage[0].startswith("Usage: ")
    return line.removeprefix("Error: ")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name in ("a.png", "a.bmp", "sub/c.png"):
        array = draw.integers(0, 256, (44, 48, 3), dtype=np.uint8)
        PIL.Image.fromarray(array).save(tmp_path / "in" / name)
    return tmp_path / "in"


# --- all commands --------------------------------------------------------------------------------


def test_version() -> None:
    assert rics("--version").stdout == f"rics, version {rics_transforms.__version__}\n"


@pytest.mark.parametrize(
    "command",
    [[], *([name] for name in commands.rics.commands)],
    ids=str,
)
def test_help(command: list[str]) -> None:
    result = rics(*command, "--help")
    assert result.exit_code == 0 and "Usage: " in result.stdout
    assert command in ([], ["report"]) or "pixels" in result.stdout


@pytest.mark.parametrize("name", commands.rics.commands)
def test_options_are_named_alike(name: str) -> None:
    """The window is n, and every command prints its result as JSON."""
    options = {o for p in commands.rics.commands[name].params for o in p.opts}
    assert "--json" in options
    assert not options & {"--field", "--window", "--size"}


def test_as_a_process() -> None:
    command = [sys.executable, "-W", "error", "-m", "rics_transforms.cli", "bound"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    good = subprocess.run(
        [*command, "--n", "224", "--k", "140"], env=environment, capture_output=True, text=True
    )
    assert (good.returncode, good.stderr) == (0, "") and "91.0 %" in good.stdout


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("latice", "did you mean 'lattice'"),
        ("lattice:hash", "name:option=value"),
        (
            "lattice:colour=3",
            "`lattice` has (order, patch, sigma), but got colour=3",
        ),
        ("lattice:patch=has", "Expected `patch` to be"),
    ],
)
def test_scores_that_do_not_exist(text: str, told: str, photos: Path, tmp_path: Path) -> None:
    assert told in refused("crop", photos, tmp_path / "out", "--k", 30, "--score", text)


# --- bound ---------------------------------------------------------------------------------------


def test_bound_shows_percent() -> None:
    out = rics("bound", "--n", 256, "--k", 224).stdout
    assert "224 px crops of 256 px images" in out
    assert "33 places for the crop; lattice of order 7, patches of 26 px." in out
    rows = {line.split()[1]: line for line in out.splitlines() if " px │" in line}
    assert rows.keys() == {"1", "3", "5", "9"}
    for percent in ("78.4 %", "86.7 %", "88.2 %"):
        assert percent in rows["1"]


@pytest.mark.parametrize("order", [None, (2, 1)])
def test_bound_as_json_is_exact(order: tuple[int, int] | None) -> None:
    n, k = (480, 640), (300, 600)
    options = ["--order", "2x1"] if order else []
    out = rics("bound", "--n", "480x640", "--k", "300X600", "--delta", "0,1,30", "--json", *options)
    content, j = json.loads(out.stdout), order or theory.lattice_order(n, k)
    assert content["n"] == [480, 640] and content["k"] == [300, 600]
    assert content["order"] == list(j) and content["positions"] == [181, 41]
    assert content["patch"] == list(theory.patch_size(n, k, j))
    assert [row["delta"] for row in content["rows"]] == [0, 1, 30]
    for row in content["rows"]:
        d = row["delta"]
        assert row["robustness"] == {
            "paper": float(theory.robustness_bound(n, k, d, order=1)),
            "lattice": float(theory.robustness_bound(n, k, d, j)),
            "limit": float(theory.robustness_limit(n, k, d)),
        }
        assert row["consistency"] == {
            "paper": float(theory.consistency_bound(n, k, d, order=1)),
            "lattice": float(theory.consistency_bound(n, k, d, j)),
        }


def test_bound_is_zero_where_shifts_cover_all_places() -> None:
    out = rics("bound", "--n", 32, "--k", 30, "--delta", "2,100")
    assert out.exit_code == 0 and "0.0 %" in out.stdout


def test_bound_for_a_target() -> None:
    options = ["bound", "--n", 256, "--target", 0.9, "--delta", "1,9"]
    near, far = json.loads(rics(*options, "--json").stdout)["rows"]
    assert near["paper"]["k"] == theory.crop_size_for(256, 1, 0.9, order=1)
    assert near["lattice"]["k"] == theory.crop_size_for(256, 1, 0.9)
    assert min(near["paper"]["robustness"], near["lattice"]["robustness"]) >= 0.9
    assert far == {"delta": 9, "paper": None, "lattice": None}
    table = rics(*options).stdout
    assert "210 px" in table and "none" in table


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--k", 300], "Expected `k` to be at most the image size (256, 256), but got (300, 300)."),
        (["--k", "0"], "Invalid value for '--k': Expected whole numbers"),
        (["--k", "2x3x4"], "Expected whole numbers such as 256, or height x width"),
        (["--k", 224, "--delta", "1,-3"], "Expected whole numbers such as 1,3,5"),
        (["--k", 224, "--order", 9], "Expected `order` to be at most"),
        (["--k", 224, "--target", 0.5], "Give either --k or --target."),
        ([], "Give either --k or --target."),
        (["--target", 1.5], "Invalid value for '--target'"),
    ],
)
def test_bound_refuses(options: list[object], told: str) -> None:
    assert told in refused("bound", "--n", 256, *options)


# --- crop ----------------------------------------------------------------------------------------


def test_crop_and_crop_again(photos: Path, tmp_path: Path) -> None:
    command = ["crop", photos, tmp_path / "out", "--k", "30x32", "--workers", 1]
    first, second = rics(*command), rics(*command)
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "3 written, 0 there already, 0 failed." in first.stdout
    assert "0 written, 3 there already, 0 failed." in second.stdout
    with PIL.Image.open(tmp_path / "out" / "sub" / "c.png.png") as crop:
        assert crop.size == (32, 30)
    assert "`k` was [30, 32] and is [20, 20]" in refused(*command[:3], "--k", 20)


def test_crop_hands_its_options_on(photos: Path, tmp_path: Path) -> None:
    options = ["--resize", 40, "--n", "38x36", "--score", "lattice:patch=hash"]
    rics("crop", photos, tmp_path / "out", "--k", 30, *options, "--format", "webp")
    settings = json.loads((tmp_path / "out" / ".rics-crop.json").read_text())
    assert settings == {
        "source": os.path.realpath(photos),
        "k": [30, 30],
        "score": repr(Lattice(patch="hash")),
        "subpixel": False,
        "resized": False,
        "resize": 40,
        "n": [38, 36],
        "format": "webp",
        "version": rics_transforms.__version__,
    }


def test_crop_lists_failures(photos: Path, tmp_path: Path) -> None:
    (photos / "bad.png").write_text("no image")
    PIL.Image.new("CMYK", (40, 40)).save(photos / "print.tif")
    result = rics("crop", photos, tmp_path / "out", "--k", 30)
    assert result.exit_code == 1
    assert result.stderr == "Failed: bad.png: not an image, or of an unknown format\n"
    assert "4 written, 0 there already, 1 failed." in result.stdout
    assert "3 png, 1 tif" in result.stdout


def test_images_that_are_all_too_small_are_counted_in_one_line(
    photos: Path, tmp_path: Path
) -> None:
    for number in range(4):
        PIL.Image.new("L", (40 + number, 30)).save(photos / f"{number}.png")
    result = rics("crop", photos, tmp_path / "out", "--k", 600)
    assert result.exit_code == 1
    assert result.stderr == (
        "Failed: 7 images, such as 0.png: smaller than `k`, 600 x 600 px; enlarge it with "
        "`resize`\n"
    )


def test_crop_takes_files(photos: Path, tmp_path: Path) -> None:
    files = photos / "a.png", photos / "sub" / "c.png"
    whole = json.loads(rics("crop", photos, tmp_path / "all", "--k", 30, "--json").stdout)
    some = json.loads(rics("crop", *files, tmp_path / "some", "--k", 30, "--json").stdout)
    assert [row["path"] for row in some["written"]] == ["a.png", "c.png"]
    places = {row["path"]: (row["top"], row["left"]) for row in whole["written"]}
    found = [(row["top"], row["left"]) for row in some["written"]]
    assert found == [places["a.png"], places["sub/c.png"]]
    assert (some["skipped"], some["failures"]) == (0, [])
    (photos / "c.png").write_bytes(files[1].read_bytes())
    twice = refused("crop", photos / "c.png", files[1], tmp_path / "two", "--k", 30)
    assert "Expected images of different names" in twice


def test_crop_refuses(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "found none" in refused("crop", tmp_path / "empty", tmp_path / "out", "--k", 30)
    assert "or an image file" in refused("crop", tmp_path / "none", tmp_path / "out", "--k", 30)
    assert "'--workers'" in refused("crop", photos, tmp_path / "out", "--k", 3, "--workers", 0)
    (tmp_path / "file").write_text("")
    assert "file" in refused("crop", photos, tmp_path / "file", "--k", 30)


# --- locate --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--resize", 40, "--n", "38x36", "--score", "hash"],
        ["--subpixel", "--score", "saliency"],
        ["--resized", "--subpixel"],
    ],
)
def test_locate_says_where_crop_cuts(photos: Path, tmp_path: Path, options: list[object]) -> None:
    rics("crop", photos, tmp_path / "out", "--k", 30, *options)
    with (tmp_path / "out" / "origins.csv").open(newline="") as file:
        expected = [(row["path"], row["top"], row["left"]) for row in csv.DictReader(file)]
    told = json.loads(rics("locate", photos, "--k", 30, *options, "--json").stdout)
    found = [(row["id"], str(row["top"]), str(row["left"])) for row in told["images"]]
    assert found == expected and told["k"] == [30, 30] and told["failures"] == []
    assert told["subpixel"] == ("--subpixel" in options) == ("." in found[0][1])
    name, top, left = found[0]
    size = [str(told["images"][0][x]) for x in ("height", "width") if "--resized" in options]
    table = rics("locate", photos / name, "--k", 30, *options).stdout
    assert [name, top, left, *size] in [
        line.replace("\u2502", " ").split() for line in table.splitlines()
    ]


def test_locate_goes_on_after_what_it_cannot_read(photos: Path) -> None:
    (photos / "bad.png").write_text("no image")
    result = rics("locate", photos / "bad.png", photos / "a.png", "--k", 30, "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 1 and "Failed: bad.png: not an image" in result.stderr
    assert [row["id"] for row in told["images"]] == ["a.png"]
    assert [row["id"] for row in told["failures"]] == ["bad.png"]


def test_locate_refuses(photos: Path) -> None:
    assert "or an image file" in refused("locate", photos / "none.png", "--k", 30)
    assert "'IMAGE...'" in refused("locate", "--k", 30)
    assert "`k` to be at most `n` (20, 20)" in refused("locate", photos, "--k", 30, "--n", 20)


# --- explain -------------------------------------------------------------------------------------


def test_explain_writes_a_figure(photos: Path, tmp_path: Path) -> None:
    figure = tmp_path / "figure.png"
    scores = ["--score", "hash", "--score", "lattice:order=2"]
    result = rics("explain", photos / "a.png", "--k", 30, *scores, "--n", 40, "--shift", 3,
                  "--output", figure)  # fmt: skip
    assert result.exit_code == 0 and str(figure) in result.stdout
    with PIL.Image.open(figure) as image:
        assert image.width > image.height and len(image.convert("RGB").getcolors(2**24) or []) > 99


def test_explain_all_scores(photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    result = rics("explain", photos / "a.png", "--k", 30, "--score", "all", "--json")
    assert result.exit_code == 0 and (tmp_path / "a-rics.png").exists()
    told = json.loads(result.stdout)
    assert told["figure"] == "a-rics.png" and told["scores"] == list_scores()


def test_explain_refuses(photos: Path, tmp_path: Path) -> None:
    assert "is a directory" in refused("explain", photos, "--k", 30)
    image, options = photos / "a.png", ["--k", 30, "--output", tmp_path / "x.png"]
    assert "nothing.png" in refused("explain", photos / "nothing.png", *options)
    assert "`k` to be at most" in refused("explain", image, "--k", 99)
    assert "did you mean 'hash'" in refused("explain", image, *options, "--score", "hsh")
    assert "`shift`" in refused("explain", image, *options, "--shift", 30)
    assert not (tmp_path / "x.png").exists()


# --- verify --------------------------------------------------------------------------------------


@pytest.fixture
def small() -> Iterator[list[object]]:
    yield ["verify", "--n", 32, "--k", 24, "--score", "hash", "--limit", 6]


def test_verify_on_photographs(small: list[object], tmp_path: Path) -> None:
    result = rics(*small, "--delta", "1,2", "--output", tmp_path)
    assert result.exit_code == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert len(report["rows"]) == 4 and report["settings"]["images"] == 6
    assert report["settings"]["command"].startswith("rics verify --n 32 --k 24")
    assert str(tmp_path / "report.html") in result.stdout.replace("\n", "")
    assert (tmp_path / "report.html").exists()


def test_verify_a_folder_with_cyclic_shifts(
    small: list[object], photos: Path, tmp_path: Path
) -> None:
    result = rics(*small, photos, "--shifts", "cyclic", "--output", tmp_path)
    assert result.exit_code == 0 and "holds" in result.stdout


def test_the_window_follows_from_the_crop(photos: Path, tmp_path: Path) -> None:
    command = [photos, "--k", "21x22", "--score", "hash", "--delta", 1]
    assert rics("verify", *command, "--output", tmp_path / "out").exit_code == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["settings"]["n"] == [24, 26]
    assert json.loads(rics("certify", *command, "--json").stdout)["n"] == [24, 26]


@pytest.mark.parametrize("k", [*range(1, 40), 96, 140, 180, 224, 384])
def test_every_window_is_larger_than_its_crop(k: int) -> None:
    assert min(window_for((k, k))) > k


def test_the_window_of_the_usual_crop_is_the_usual_one() -> None:
    assert window_for((224, 224)) == (256, 256)


def test_no_promise_is_no_verdict(photos: Path, tmp_path: Path) -> None:
    command = [photos, "--k", 24, "--n", 24, "--score", "hash", "--delta", 1]
    verified = rics("verify", *command, "--output", tmp_path / "out")
    told = "No robustness is promised for shifts within 1 px"
    assert told in " ".join(verified.stdout.split()) and "holds" not in verified.stdout
    assert told in rics("certify", *command).stderr
    assert told not in rics("certify", *command[:3], "--delta", 1).stderr


def test_verify_fails_if_a_bound_is_violated(
    small: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = run.verify

    def violated(*args: object, **options: object) -> object:
        report = measured(*args, **options)
        return replace(report, rows=tuple(replace(r, verdict="violated") for r in report.rows))

    monkeypatch.setattr(run, "verify", violated)
    assert rics(*small, "--delta", "1", "--output", tmp_path).exit_code == 1


def test_verify_takes_files_and_prints_json(photos: Path, tmp_path: Path) -> None:
    files = [photos / "a.png", photos / "sub" / "c.png"]
    command = ["verify", *files, "--k", 24, "--n", 32, "--score", "hash", "--delta", "1"]
    result = rics(*command, "--baseline", 24, "--output", tmp_path / "out", "--json")
    told = json.loads(result.stdout)
    saved = json.loads((tmp_path / "out" / "report.json").read_text())
    assert told["settings"]["images"] == 2 and 0 <= told["rows"][0]["value"] <= 1
    assert told["baselines"][0]["settings"]["transform_name"] == "CenterCrop"
    assert {key: told[key] for key in saved} == saved
    records = tmp_path / "out" / "records.jsonl"
    again = rics("report", records, "--output", tmp_path / "again", "--json")
    assert json.loads(again.stdout)["rows"] == told["rows"]
    assert "one folder" in refused(*command, "--labels", "folders", "--output", tmp_path / "x")


def test_verify_and_crop_take_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    PIL.Image.new("RGB", (40, 40)).save(tmp_path / "in" / "a.png")
    for suffix in SUFFIXES:  # what is inside says the format
        (tmp_path / "in" / f"b{suffix}").write_bytes((tmp_path / "in" / "a.png").read_bytes())
    options = [tmp_path / "in", "--k", 24, "--json"]
    cropped = json.loads(rics("crop", *options, tmp_path / "out").stdout)["written"]
    certified = json.loads(rics("certify", *options).stdout)["images"]
    located = json.loads(rics("locate", *options).stdout)["images"]
    assert len(cropped) == len(SUFFIXES) + 1
    assert [row["path"] for row in cropped] == [row["id"] for row in certified]
    assert [row["path"] for row in cropped] == [row["id"] for row in located]


def test_verify_shows_percent(photos: Path, tmp_path: Path) -> None:
    command = [photos, "--k", 24, "--n", 32, "--score", "hash", "--delta", "1"]
    shown = rics("verify", *command, "--output", tmp_path / "out").stdout
    bound = 100 * float(theory.robustness_bound(32, 24, 1, order=1))
    assert "In percent; 3 images" in shown and f" {bound:.1f} " in shown
    assert " %" in rics("certify", *command).stdout.splitlines()[4]


def test_verify_a_camera(photos: Path, tmp_path: Path) -> None:
    command = ["verify", photos, "--k", 28, "--shifts", "camera:samples=9", "--output", tmp_path]
    result = rics(*command, "--baseline", 28)
    assert result.exit_code == 0, result.stderr
    assert "localisation error" in result.stdout and " px" in result.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["settings"]["factor"] == 4 and report["settings"]["n"] == [32, 32]


def test_verify_a_camera_on_tiles(tmp_path: Path) -> None:
    command = ["verify", "--k", 28, "--shifts", "camera:samples=2", "--limit", 2]
    result = rics(*command, "--output", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "enlarged 4 times" in " ".join(result.stdout.split())


CHAIN = """
from torchvision.transforms import v2

def chain():
    return v2.Compose([v2.Resize(40), v2.CenterCrop(30)])
"""


def test_verify_trims_beside_chains(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_chain.py").write_text(CHAIN)
    monkeypatch.chdir(tmp_path)
    command = ["verify", photos, "--k", 28, "--shifts", "trim:most=2,samples=5", "--limit", 3]
    command += ["--score", "lattice", "--baseline", 28, "--chain", "own_chain:chain"]
    result = rics(*command, "--output", "out")
    assert result.exit_code == 0, result.stderr
    report = json.loads(Path("out/report.json").read_text())["settings"]
    assert report["n"] is None and report["k"] is None and report["images"] == 3
    assert report["transform"].startswith("RICSResizedCrop(size=(28, 28)")
    plain = ShiftReport.load("out/baseline.jsonl").settings
    assert plain.transform_name == "Resize + CenterCrop" and "size=[32]" in plain.transform
    assert "size=[40]" in ShiftReport.load("out/chain.jsonl").settings.transform
    assert rics(*command, "--output", "out").stdout == result.stdout
    command[-1] = "own_chain:chian"
    refused = rics(*command, "--output", "out")
    assert refused.exit_code == 2 and "did you mean 'chain'" in refused.stderr
    sys.modules.pop("own_chain", None)


def test_verify_trims_of_whole_photographs(tmp_path: Path) -> None:
    command = ["verify", "--k", 28, "--protocol", "trim:samples=1", "--limit", 2]
    result = rics(*command, "--score", "hash", "--output", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "at most 2 of 15 photographs that ship with scikit-image" in " ".join(
        result.stdout.split()
    )


def test_a_table_in_a_narrow_terminal_has_whole_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "10")
    table = Table()
    for word in ("robustness", "CenterCrop"):
        table.add_column(word, min_width=len(word))
    print_table(table)
    shown = capsys.readouterr().out
    assert "robustness" in shown and "CenterCrop" in shown


@pytest.mark.parametrize(("name", "more"), [("report", []), ("explain", ["--k", 30])])
def test_files_that_are_not_there_are_named_without_a_number(
    name: str, more: list[object], tmp_path: Path
) -> None:
    out = ["--output", tmp_path / "out"]
    told = refused(name, tmp_path / "nosuch.jsonl", *more, *out)
    assert "nosuch.jsonl' does not exist" in told and "Errno" not in told


def test_errors_of_the_system_are_told_in_words(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    command = ["verify", photos, "--k", 24, "--score", "hash", "--delta", 1]
    for options in (
        ["--output", tmp_path / "file" / "out"],
        ["--labels", tmp_path / "none.json", "--output", tmp_path / "out"],
    ):
        told = refused(*command, *options)
        assert str(tmp_path) in told and "Errno" not in told


@pytest.mark.parametrize("name", ["crop", "verify", "certify", "bound"])
def test_an_interruption_says_how_to_go_on(
    name: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(folder, "crop_folder", interrupted)
    monkeypatch.setattr(run, "verify", interrupted)
    monkeypatch.setattr(RICSCrop, "certify", interrupted)
    monkeypatch.setattr(theory, "robustness_bound", interrupted)
    out = tmp_path / "out"
    more = {"crop": [photos, out], "verify": [photos, "--output", out], "certify": [photos]}
    result = rics(name, *more.get(name, ["--n", 256]), "--k", 24)
    assert result.exit_code == 130 and "interrupted" in result.stderr
    assert ("run the same command again" in result.stderr) == (name in ("crop", "verify"))


def test_verify_refuses(small: list[object], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "images" in refused(*small, tmp_path / "empty", "--output", tmp_path)
    assert "'--output'" in refused(*small)
    assert "`k` to be at most" in refused("verify", "--n", 32, "--k", 99, "--output", tmp_path)


@pytest.mark.parametrize("baseline", [33, "24x33", "33x24"])
def test_a_baseline_larger_than_the_window_is_refused(
    baseline: object, small: list[object], tmp_path: Path
) -> None:
    told = refused(*small, "--baseline", baseline, "--output", tmp_path)
    assert "Expected `--baseline` to be at most the window of 32 px" in told
    assert not list(tmp_path.iterdir())


# --- threads -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["verify", "certify", "crop", "locate"])
def test_small_images_are_not_shared_among_threads(
    name: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that wait for each other made ten images take a minute on a busy machine."""
    used: list[int] = []
    integer_image = native.integer_image

    def watched(images: torch.Tensor) -> torch.Tensor:
        used.append(torch.get_num_threads())
        return integer_image(images)

    monkeypatch.setattr(native, "integer_image", watched)
    more = {"crop": [tmp_path / "out"], "verify": ["--output", tmp_path / "out"]}
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert rics(name, photos, *more.get(name, []), "--k", 24, "--score", "hash").exit_code == 0
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert set(used) == {1}


# --- certify -------------------------------------------------------------------------------------


def test_certify_says_what_the_functions_say(photos: Path) -> None:
    command = ["certify", photos, "--n", 32, "--k", 24, "--delta", 2, "--score", "hash"]
    told = json.loads(rics(*command, "--json").stdout)
    scenes = dict(folder_scenes(photos, 36))
    assert [image["id"] for image in told["images"]] == list(scenes)
    transform = RICSCrop(24, score="hash")
    for image in told["images"]:
        scene = scenes[image["id"]]
        found = transform.certify(scene, 2)
        assert image["certified"] == found.certified
        assert image["breaks_at"] == (None if found.certified else found.radius + 1)
        assert image["stability"] == float(transform.stability(scene[:, 2:34, 2:34], 2))
    assert told["certified"] == sum(image["certified"] for image in told["images"]) / 3
    table = rics(*command)
    assert table.exit_code == 0 and "of 3 certified (95 % interval" in table.stdout
    rows = list(csv.DictReader(rics(*command, "--csv").stdout.splitlines()))
    assert [row["id"] for row in rows] == list(scenes)
    assert rows[0].keys() == {"id", "certified", "breaks_at", "stability"}


def test_certify_between_the_pixels(photos: Path) -> None:
    command = ["certify", photos, "--n", 32, "--k", 24, "--delta", 2, "--subpixel"]
    told = json.loads(rics(*command, "--json").stdout)
    scenes = dict(folder_scenes(photos, 36))
    transform = RICSCrop(24, subpixel=True)
    certified = [transform.certify(scenes[image["id"]], 2).certified for image in told["images"]]
    assert [image["certified"] for image in told["images"]] == certified
    assert told["subpixel"] is True and told["expected"] is None
    assert {image["stability"] for image in told["images"]} == {None}
    table = rics(*command).stdout
    assert "of 3 certified (95 % interval" in table and "stability" not in table
    rows = list(csv.DictReader(rics(*command, "--csv").stdout.splitlines()))
    assert [row["stability"] for row in rows] == [""] * 3


@pytest.mark.parametrize("name", ["crop", "locate", "certify", "verify", "export"])
def test_subpixel_needs_a_smooth_score(name: str, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    more: dict[str, list[object]] = {
        "crop": [photos, out],
        "verify": [photos, "--output", out],
        "export": [tmp_path / "crop.pt2", "--n", 32],
    }
    options = [*more.get(name, [photos]), "--k", 24, "--subpixel", "--score", "hash"]
    assert "Expected a smooth score with subpixel=True" in refused(name, *options)
    assert not out.exists() or not any(out.iterdir())


def test_verify_hands_subpixel_on(photos: Path, tmp_path: Path) -> None:
    command = ["verify", photos, "--n", 32, "--k", 24, "--delta", "1", "--subpixel"]
    assert rics(*command, "--output", tmp_path / "out").exit_code in (0, 1)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "subpixel=True" in report["settings"]["transform"]


def test_certify_leaves_out_what_it_cannot_read(photos: Path) -> None:
    for image in photos.rglob("*.*"):
        image.write_bytes(b"no image")
    result = rics("certify", photos, "--n", 32, "--k", 24)
    assert result.exit_code == 2
    assert "Left out as unreadable: a.bmp: not an image, or of an unknown" in result.stderr
    assert "images that can be read" in result.stderr


@pytest.mark.filterwarnings("default")
def test_nothing_stale_is_reported(photos: Path, tmp_path: Path) -> None:
    out, crops = tmp_path / "out", tmp_path / "crops"
    command = ["--n", 32, "--k", 24, "--delta", "1", "--output"]
    assert rics("verify", photos, *command, out).exit_code in (0, 1)
    rics("crop", photos, crops, "--k", 24)
    other = photos.rename(tmp_path / "other")
    assert "they are 'images of" in refused("verify", other, *command, out)
    assert "`source` was" in refused("crop", other, crops, "--k", 24)

    other.rename(photos)
    draw = np.random.default_rng(1)
    PIL.Image.fromarray(draw.integers(0, 256, (44, 48), dtype=np.uint8)).save(photos / "a.png")
    again = rics("verify", photos, *command, out)
    assert "Warning: Of 1 images in" in again.stderr and "measured again" in again.stderr
    fresh = rics("verify", photos, *command, tmp_path / "fresh")
    assert again.stdout.replace(str(out), "") == fresh.stdout.replace(str(tmp_path / "fresh"), "")
    told = rics("crop", photos, crops, "--k", 24).stdout
    assert "1 written, 2 there already (1 made again: their images have changed)" in told


def test_large_images_are_left_out_unless_asked_for(photos: Path, tmp_path: Path) -> None:
    PIL.Image.new("1", (80, 70)).save(photos / "large.png")
    size, told = ["--n", 32, "--k", 24], "has more than 3000 pixels; raise `max_pixels`"
    for command in (
        ["crop", photos, tmp_path / "crops", "--k", 24],
        ["certify", photos, *size],
        ["verify", photos, *size, "--delta", "1", "--output", tmp_path / "out"],
    ):
        assert f"large.png: {told}" in rics(*command, "--max-pixels", 3000).stderr
        assert rics(*command, "--max-pixels", 5600).stderr == ""
    assert told in refused("explain", photos / "large.png", "--k", 24, "--max-pixels", 3000)


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "3", '{"a.png": "x"}', ""])
def test_labels_that_are_none(photos: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "labels.json").write_text(content)
    options = ["--n", 32, "--k", 24, "--output", tmp_path / "out"]
    refused("verify", photos, *options, "--labels", tmp_path / "labels.json")


# names: markup of rich and HTML, an escape sequence, a line break, bytes that are not UTF-8
ODD_NAMES = ["[red]x[/blue].png", "<b>&amp;.png", "\x1b[31mred.png", "a\r\nb.png"]


@pytest.fixture
def odd_names(photos: Path) -> list[str]:
    names = [*ODD_NAMES, *([os.fsdecode(b"caf\xe9.png")] if sys.platform == "linux" else [])]
    for name in names:
        whole, broken = photos / name, photos / f"broken {name}"
        whole.parent.mkdir(exist_ok=True)
        broken.parent.mkdir(exist_ok=True)
        whole.write_bytes((photos / "a.png").read_bytes())
        broken.write_bytes(b"no image")
    return names


def test_names_are_shown_as_they_are_or_escaped(
    photos: Path, tmp_path: Path, odd_names: list[str]
) -> None:
    size, k = ["--n", 32], ["--k", 24]
    for command in (
        ["crop", photos, tmp_path / "crops", *k],
        ["certify", photos, *size, *k],
        ["verify", photos, *size, *k, "--delta", "1", "--output", tmp_path / "out"],
    ):
        result = rics(*command)
        shown = result.stdout + result.stderr
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert not any(ord(c) < 32 and c != "\n" for c in shown)
        assert shown.count(": not an image, or of an unknown format") == len(odd_names)
        assert "broken \\x1b[31mred.png: not" in result.stderr
    table = rics("certify", photos, *size, *k).stdout
    assert "[red]x[/blue].png" in table and "\\x1b[31mred.png" in table
    rows = rics("certify", photos, *size, *k, "--csv").stdout_bytes.decode(
        "utf-8", "surrogateescape"
    )
    assert set(odd_names) < {row["id"] for row in csv.DictReader(io.StringIO(rows, newline=""))}
    assert set(odd_names) < {image["id"] for image in report_of(tmp_path / "out")}
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "\x1b" not in page and "<b>&amp;.png" not in page


def report_of(folder: Path) -> list[dict[str, object]]:
    """The records that `verify` wrote."""
    lines = (folder / "records.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines[1:]]


# --- verify with a model -------------------------------------------------------------------------

MODEL = """
import torch

def features(images):
    return torch.nn.functional.adaptive_avg_pool2d(images.double(), 4).flatten(1)

def model(images):
    cells = features(images)
    weight = torch.randn(48, 3, generator=torch.Generator().manual_seed(0)).double()
    return (cells - cells.mean(1, keepdim=True)) @ weight, cells
"""


@pytest.fixture
def asked(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    (tmp_path / "tiny_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    yield ["verify", photos, "--n", 32, "--k", 24, "--delta", "1,2", "--model", "tiny_model:model"]
    sys.modules.pop("tiny_model", None)


@pytest.mark.slow
def test_verify_a_model_beside_its_baseline(asked: list[object], tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"a.png": 0, "a.bmp": 1, "sub/c.png": 2}')
    command = [*asked, "--neighbours", "others", "--labels", "labels.json", "--baseline", 24]
    result = rics(*command, "--output", "out")
    assert result.exit_code == 0
    report = json.loads(Path("out/report.json").read_text())
    assert {row["subject"] for row in report["rows"]} == {"crop", "class", "neighbour"}
    assert "accuracy" in {row["metric"] for row in report["rows"]}
    assert report["forwards"]["used"] < report["forwards"]["brute_force"] == 75
    assert result.stdout.startswith("With the centre crop, the answer changes for ")
    baseline = ShiftReport.load("out/baseline.jsonl")
    assert baseline.forwards == (75, 75) and baseline.settings.theory is None
    again = rics(*command, "--output", "out")
    assert again.stdout == result.stdout
    assert json.loads(Path("out/report.json").read_text()) == report


@pytest.mark.slow
def test_verify_goes_on_and_refuses_other_settings(asked: list[object]) -> None:
    first = rics(*asked, "--limit", 1, "--output", "out")
    assert first.exit_code == 0
    assert rics(*asked, "--output", "out").exit_code == 0
    assert len(Path("out/records.jsonl").read_text().splitlines()) == 4
    assert "these differ: seed = 1, not 0" in refused(*asked, "--seed", 1, "--output", "out")


@pytest.mark.slow
def test_report_puts_parts_together(asked: list[object], photos: Path) -> None:
    rics(*asked, "--output", "whole")
    rics(*asked, "--limit", 1, "--output", "one")
    lines = Path("whole/records.jsonl").read_text().splitlines(keepends=True)
    Path("rest.jsonl").write_text("".join(lines[:1] + lines[2:]))
    result = rics("report", "one/records.jsonl", "rest.jsonl", "--output", "merged")
    assert result.exit_code == 0
    whole, merged = (json.loads(Path(f"{d}/report.json").read_text()) for d in ("whole", "merged"))
    assert merged["rows"] == whole["rows"]


def test_labels_may_be_folders(asked: list[object], photos: Path) -> None:
    (photos / "a.png").unlink()
    (photos / "a.bmp").rename(photos / "sub" / "a.bmp")
    assert rics(*asked, "--labels", "folders", "--output", "out").exit_code == 0
    assert {record.label for record in ShiftReport.load("out/records.jsonl").records} == {0}


def test_verify_refuses_what_it_cannot_ask(asked: list[object]) -> None:
    Path("labels.json").write_text('{"a.png": 0}')
    assert "'a.bmp' has none" in refused(*asked, "--labels", "labels.json", "--output", "out")
    Path("labels.json").write_text('{"a.png": "cat"}')
    assert "object of ints" in refused(*asked, "--labels", "labels.json", "--output", "out")
    assert "did you mean 'model'" in refused(*asked[:-1], "tiny_model:modl", "--output", "out")
    assert "--labels needs a PATH" in refused(
        "verify", "--k", 24, "--labels", "folders", "--output", "out"
    )
    assert "`shift` to be one of" in refused(*asked, "--shifts", "round", "--output", "out")


@pytest.mark.parametrize("name", sorted(commands.rics.commands))
def test_an_option_is_given_once(name: str) -> None:
    for option in commands.rics.commands[name].params:
        if isinstance(option, click.Option) and not (option.multiple or option.is_flag):
            flag = option.opts[0]
            assert f"Option '{flag}' is given more than once." in refused(name, flag, 1, flag, 2)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        ("mexican_hat:sigma=1e-8", "Expected `sigma` to be at least 0.1 px, but got 1e-08"),
        ("random:modulus=2^64", "Expected `modulus` to be an int"),
        ("lattice:order=" + "-" * 5000 + "1", "Expected `order`"),
        ("lattice:order=" + "(" * 5000, "Expected `order`"),
        ("lattice:order=1,order=2", "Expected each option of `score` once, but got `order` twice"),
    ],
)
def test_scores_that_none_has(score: str, message: str) -> None:
    assert message in refused("locate", "none.png", "--k", 24, "--score", score)
