"""A folder of images to a folder of crops: lossless, in parallel, and safe to kill and restart.

What a run leaves in the target folder:

    a/b.jpg.png        the crop of a/b.jpg: the whole name of the image and the suffix of the crop
    origins.csv        where every crop lies in its image
    .rics-crop.json    the settings, so that a later run cannot mix in other crops
    .rics-origins      origins of an unfinished run, one JSON line each

Every file but the last is written under another name and then renamed, so none is ever incomplete.
A crop that exists together with its origin is finished; anything else that a killed run lost is
made again.
"""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import PIL.ImageOps
import torch

from rics_transforms._arguments import as_int, as_pair, by, require_name
from rics_transforms._version import __version__
from rics_transforms.data.files import (
    FORMATS,
    central,
    encode,
    open_image,
    resize_shorter,
)
from rics_transforms.data.sources import Sources, find_sources
from rics_transforms.engine.scores import FunctionScore, Score, get_score
from rics_transforms.transform import locate

CHOICES = ("png", "webp", "tif", "keep")


SETTINGS, ORIGINS, JOURNAL = ".rics-crop.json", "origins.csv", ".rics-origins"


_PART = ".rics-*.tmp"


Progress = Callable[[int, int], None]


class Origin(NamedTuple):
    """A row of origins.csv: a crop, and where it lies in its upright, resized image (pixels)."""

    path: str
    crop: str
    top: int
    left: int
    height: int
    width: int


class Failure(NamedTuple):
    """An image without a crop, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class FolderReport:
    """The result of one run: crops written, number of crops that already existed, failures."""

    written: tuple[Origin, ...]
    skipped: int
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class Recipe:
    """How each image becomes a crop."""

    k: tuple[int, int]
    score: Score
    resize: int | None
    n: tuple[int, int] | None
    format: str

    def settings(self) -> dict[str, Any]:
        """The settings that all runs into one folder must share."""
        score = self.score.name if isinstance(self.score, FunctionScore) else repr(self.score)
        n = None if self.n is None else list(self.n)
        mine = {"k": list(self.k), "score": score, "resize": self.resize, "n": n}
        return {**mine, "format": self.format, "version": __version__}


class _Job(NamedTuple):
    path: Path
    target: Path
    name: str
    recipe: Recipe


def crop_folder(
    source: Sources,
    target: str | Path,
    k: int | Sequence[int],
    *,
    score: str | Score = "lattice",
    resize: int | None = None,
    n: int | Sequence[int] | None = None,
    format: str = "png",
    workers: int | None = None,
    progress: Progress | None = None,
) -> FolderReport:
    """Crop every image of a folder and of the folders in it.

    An image is turned upright (EXIF), resized, centre-cropped to n pixels, and RICS chooses the
    crop within that window. A crop keeps the pixels, colour mode, transparency and ICC profile of
    its image but no other metadata; of several frames, the first is taken. Each file is decoded
    again before it is kept. If `format` cannot hold an image (CMYK in PNG, grey in WebP), the crop
    becomes PNG, or TIFF if PNG cannot hold it either.

    Run it again with the same arguments to resume after an interruption, or after adding images.
    Only one run at a time may write to a target folder.

    Args:
        source: folder of images, of which names that begin with a dot are left out; or an image
            file; or several of them.
        target: folder for the crops: new, empty, or from an earlier run.
        k: side of the crop in pixels, or (height, width).
        score: a name, with options as in "lattice:order=2", or a `Score`.
        resize: length of the shorter side in pixels before cropping (antialiased bicubic).
        n: side of the centred window in pixels, or (height, width), in which RICS chooses.
            Default: the whole image.
        format: "png", "webp" (lossless) or "tif"; "keep": that of the image where it is one of
            these or "bmp", else "png".
        workers: number of processes; by default one per processor, fewer for few images.
        progress: called with (images done, images to do).

    Returns:
        What was written, skipped, and failed; a failing image does not stop the others.

    Raises:
        TypeError, ValueError: for arguments out of range, a folder without images, or a target
            that holds other files or crops with other settings.
        OSError: if a folder cannot be read, or a crop cannot be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "in").mkdir()
        >>> PIL.Image.effect_noise((48, 40), 50).save(folder / "in" / "noise.png")
        >>> crop_folder(folder / "in", folder / "out", 32).written[0].crop
        'noise.png.png'
    """
    target = Path(target)
    recipe = recipe_of(k, score=score, resize=resize, n=n, format=format)
    processes = None if workers is None else as_int(workers, "workers", 1)
    names = find_sources(source, leave_out=target)
    _claim(target, recipe.settings())
    known = _read_origins(target)
    done = {name for name in names if name in known and (target / known[name].crop).exists()}
    jobs = [_Job(file, target, name, recipe) for name, file in names.items() if name not in done]
    written, failures = _run(jobs, processes or _worth(len(jobs)), target, known, progress)
    return FolderReport(tuple(written), len(done), tuple(failures))


# --- arguments -----------------------------------------------------------------------------------


def recipe_of(
    k: int | Sequence[int],
    *,
    score: str | Score = "lattice",
    resize: int | None = None,
    n: int | Sequence[int] | None = None,
    format: str = "png",
) -> Recipe:
    """How `crop_folder` makes a crop of an image, for the same arguments.

    Raises:
        TypeError, ValueError: for arguments out of range.
    """
    size, room = as_pair(k, "k"), None if n is None else as_pair(n, "n")
    side = None if resize is None else as_int(resize, "resize", 1)
    require_name("format", format, CHOICES)
    if room and (size[0] > room[0] or size[1] > room[1]):
        raise ValueError(f"Expected `k` to be at most `n` {room}, but got {size}.")
    if side and room and side < min(room):
        raise ValueError(f"Expected `resize` to be at least `n` {room}, but got {side}.")
    return Recipe(size, get_score(score), side, room, format)


def _worth(jobs: int) -> int:
    """Number of processes that is worth starting: each takes seconds."""
    return max(1, min(os.cpu_count() or 1, jobs // 200))


def _claim(target: Path, settings: dict[str, Any]) -> None:
    """Prepare the folder: record the settings, and remove partial files of a killed run."""
    target.mkdir(parents=True, exist_ok=True)
    for part in target.rglob(_PART):
        part.unlink(missing_ok=True)
    if (path := target / SETTINGS).exists():
        return _require_same(target, json.loads(path.read_text("utf-8")), settings)
    if stranger := min(os.listdir(target), default=None):
        raise ValueError(
            f"Expected {str(target)!r} to be empty or to hold crops of this command, but it has "
            f"{stranger!r} and no {SETTINGS}."
        )
    _write(path, (json.dumps(settings, indent=2) + "\n").encode())


def _require_same(target: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    if differing := [name for name in new if old.get(name) != new[name]]:
        changes = ", ".join(f"`{x}` was {old.get(x)!r} and is {new[x]!r}" for x in differing)
        raise ValueError(
            f"Expected the settings that {str(target)!r} was begun with, but {changes}; choose "
            "another folder for other crops."
        )


def _write(path: Path, content: bytes) -> None:
    """Write a file atomically: it exists complete or not at all."""
    part = path.with_name(_PART.replace("*", uuid4().hex))
    part.write_bytes(content)
    os.replace(part, path)


# --- origins -------------------------------------------------------------------------------------


def _read_origins(target: Path) -> dict[str, Origin]:
    """Origins of finished and unfinished runs; an incomplete last line is ignored."""
    rows: list[Sequence[Any]] = []
    if (table := target / ORIGINS).exists():
        with table.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows += [[*row[:2], *map(int, row[2:])] for row in islice(csv.reader(file), 1, None)]
    if (journal := target / JOURNAL).exists():
        lines = journal.read_text("utf-8").splitlines(keepends=True)
        rows += [json.loads(line) for line in lines if line.endswith("\n")]
    return {row[0]: Origin(*row) for row in rows}


def _write_origins(target: Path, origins: Iterable[Origin]) -> None:
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(Origin._fields)
    table.writerows(sorted(origins))
    _write(target / ORIGINS, text.getvalue().encode("utf-8", "surrogateescape"))
    (target / JOURNAL).unlink(missing_ok=True)


# --- the work ------------------------------------------------------------------------------------


def _run(
    jobs: list[_Job],
    workers: int,
    target: Path,
    known: dict[str, Origin],
    progress: Progress | None,
) -> tuple[list[Origin], list[Failure]]:
    written: list[Origin] = []
    failures: list[Failure] = []
    _write(target / JOURNAL, "".join(map(_line, known.values())).encode())
    with (target / JOURNAL).open("a", encoding="utf-8") as journal:
        for count, result in enumerate(_each(jobs, workers), 1):
            if isinstance(result, Failure):
                failures.append(result)
            else:
                written.append(result)
                journal.write(_line(result))
                journal.flush()
            if progress:
                progress(count, len(jobs))
    _write_origins(target, {**known, **{origin.path: origin for origin in written}}.values())
    return written, failures


def _line(origin: Origin) -> str:
    return json.dumps(origin) + "\n"


def _each(jobs: list[_Job], workers: int) -> Iterator[Origin | Failure]:
    """Results in the order of the jobs."""
    if workers == 1:
        yield from map(_crop, jobs)
        return
    spawn = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_start_worker) as pool:
        try:
            for start in range(0, len(jobs), step := 256 * workers):
                yield from pool.map(_crop, jobs[start : start + step], chunksize=4)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _start_worker() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the pool
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker with its parent, which cannot end it when killed."""
    if parent := parent_process():
        parent.join()
    os._exit(1)


def _crop(job: _Job) -> Origin | Failure:
    """Crop one image: errors in reading it are returned as a Failure, errors in writing raised."""
    try:
        crop, origin, source_format = crop_file(job.path, job.recipe)
        wished = job.recipe.format
        suffix, content = encode(crop, _kept(source_format) if wished == "keep" else wished)
    except Exception as error:  # a broken file can make a decoder raise anything
        return Failure(job.name, reason_of(error))
    result = f"{job.name}.{suffix}"
    if not (path := job.target / result).exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, content)
    return Origin(job.name, result, *origin, *job.recipe.k)


def _kept(source_format: str) -> str:
    return next((s for s, options in FORMATS.items() if options["format"] == source_format), "png")


def reason_of(error: Exception) -> str:
    """Why an image has no crop, in a line."""
    if isinstance(error, PIL.UnidentifiedImageError):
        return "not an image, or of an unknown format"
    return " ".join(str(error).split()) or type(error).__name__


# --- one image -----------------------------------------------------------------------------------


def crop_file(path: str | Path, recipe: Recipe) -> tuple[PIL.Image.Image, tuple[int, int], str]:
    """The crop of one image file, its origin in the upright and resized image, and the format."""
    image, source_format = open_image(path)
    if recipe.resize:
        image = resize_shorter(image, recipe.resize)
    _require_room((image.height, image.width), recipe)
    window, (y, x) = central(image, recipe.n)
    top, left = locate(window, recipe.k, score=recipe.score).tolist()
    height, width = recipe.k
    crop = window.crop((left, top, left + width, top + height))
    crop.info = {x: image.info[x] for x in ("icc_profile", "transparency") if x in image.info}
    return crop, (y + top, x + left), source_format


def _require_room(size: tuple[int, int], recipe: Recipe) -> None:
    """Raise the same error for all images that are too small, so that they can be counted."""
    name, needed = ("n", recipe.n) if recipe.n else ("k", recipe.k)
    if size[0] < needed[0] or size[1] < needed[1]:
        raise ValueError(f"smaller than `{name}`, {by(needed)} px; enlarge it with `resize`")
