"""From a folder of images to one of crops: lossless, in parallel, and safe to kill and restart.

What a run leaves in the target folder:

    a/b.jpg.png        the crop of a/b.jpg: the whole name of the image and the suffix of the crop
    origins.csv        where every crop lies in its image
    .rics-crop.json    the settings, so that a later run cannot mix in other crops
    .rics-origins      origins of an unfinished run, one JSON line each

Every file but the last is written under another name and then renamed, so none is ever incomplete.
A crop is finished if it exists together with its origin, and its image still has the size and the
time recorded there; anything else is made again.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import signal
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import inf
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import PIL.Image
import torch

from rics_transforms._arguments import MAX_PIXELS, as_int, as_pair, by, require_name
from rics_transforms._text import read_json
from rics_transforms._version import __version__
from rics_transforms.data.files import (
    FORMATS,
    Unreadable,
    central,
    encode,
    open_image,
    resize_shorter,
)
from rics_transforms.data.sources import Sources, as_paths, find_sources
from rics_transforms.engine.scores import FunctionScore, Score, get_score, require_smooth
from rics_transforms.resized import RICSResizedCrop
from rics_transforms.transform import RICSCrop, locate

CHOICES = ("png", "webp", "tif", "keep")


SETTINGS, ORIGINS, JOURNAL = ".rics-crop.json", "origins.csv", ".rics-origins"


_PART = ".rics-*.tmp"


_UNWRITABLE = frozenset(
    {errno.EEXIST, errno.EILSEQ, errno.EINVAL, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOTDIR}
)
"""What is wrong with the name of one crop; other write errors concern all crops."""


Progress = Callable[[int, int], None]


class Origin(NamedTuple):
    """A row of origins.csv: a crop, and where it lies in its upright, resized image (pixels).

    A crop that was chosen before the resize lies in the stored image, and is resized itself. Top
    and left are floats for crops between the pixels, and ints for others. The last two identify the
    file: its size in bytes, and when it was modified (nanoseconds since 1970).
    """

    path: str
    crop: str
    top: float
    left: float
    height: int
    width: int
    bytes: int
    modified: int


class Failure(NamedTuple):
    """An image without a crop, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class FolderReport:
    """The result of one run.

    Attributes:
        written: the crops that were made.
        skipped: number of crops that were there already.
        failures: images without a crop.
        renewed: number of crops of an earlier run whose images have changed since: they were
            deleted, to be made again.
    """

    written: tuple[Origin, ...]
    skipped: int
    failures: tuple[Failure, ...]
    renewed: int = 0


@dataclass(frozen=True)
class Recipe:
    """How each image becomes a crop."""

    k: tuple[int, int]
    score: Score
    resize: int | None
    n: tuple[int, int] | None
    format: str
    max_pixels: int = MAX_PIXELS
    subpixel: bool = False
    resized: bool = False

    def settings(self) -> dict[str, Any]:
        """The settings that all runs into one folder must share."""
        score = self.score.name if isinstance(self.score, FunctionScore) else repr(self.score)
        n = None if self.n is None else list(self.n)
        mine = {"k": list(self.k), "score": score, "resize": self.resize, "n": n}
        kind = {"subpixel": self.subpixel, "resized": self.resized}
        return {**mine, **kind, "format": self.format, "version": __version__}


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
    subpixel: bool = False,
    resized: bool = False,
    resize: int | None = None,
    n: int | Sequence[int] | None = None,
    format: str = "png",
    max_pixels: int = MAX_PIXELS,
    workers: int | None = None,
    progress: Progress | None = None,
) -> FolderReport:
    """Crop every image of a folder and of the folders in it.

    An image is turned upright (EXIF), resized, centre-cropped to n pixels, and RICS chooses the
    crop within that window. A crop keeps the pixels, colour mode, transparency and ICC profile of
    its image but no other metadata; of several frames, the first is taken. Each file is decoded
    again before it is kept. If `format` cannot hold an image (CMYK in PNG, grey in WebP), the crop
    becomes PNG, or TIFF if PNG cannot hold it either.

    Run it again with the same arguments to resume after an interruption, or after adding or
    replacing images: a file of another size or time is cropped again. Only one run at a time may
    write to a target folder.

    Args:
        source: folder of images, except names that begin with a dot; or an image file; or several
            of them.
        target: folder for the crops: new, empty, or from an earlier run.
        k: side of the crop in pixels, or (height, width).
        score: a name, with options as in "lattice:order=2", or a `Score`.
        subpixel: place crops between the pixels, see `rics_transforms.RICSCrop`: they are resampled
            there, palettes as their colours, and origins are floats.
        resized: choose the crop in the image as it is stored, and resize it to `k` afterwards
            (antialiased bicubic), see `rics_transforms.RICSResizedCrop`: for images of all sizes.
        resize: length of the shorter side in pixels before cropping (antialiased bicubic).
        n: side of the centred window in pixels, or (height, width), in which RICS chooses.
            Default: the whole image.
        format: "png", "webp" (lossless) or "tif"; "keep": that of the image where it is one of
            these or "bmp", else "png".
        max_pixels: larger images are refused, to save memory.
        workers: number of processes; by default one per processor, fewer for few images.
        progress: called with (images done, images to do).

    Returns:
        What was written, skipped, and failed; a failing image does not stop the others.

    Raises:
        TypeError, ValueError: for arguments out of range, a folder without images, or a target
            that holds other files, or crops of another source or with other settings.
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
    recipe = recipe_of(
        k,
        score=score,
        subpixel=subpixel,
        resized=resized,
        resize=resize,
        n=n,
        format=format,
        max_pixels=max_pixels,
    )
    processes = None if workers is None else as_int(workers, "workers", 1)
    names = find_sources(source, leave_out=target)
    places = [os.path.realpath(path) for path in as_paths(source)]
    origin = places[0] if len(places) == 1 else places
    _claim(target, {"source": origin, **recipe.settings()})
    known = _read_origins(target, float if recipe.subpixel else int)
    stale = [name for name in names if name in known and _has_changed(names[name], known[name])]
    for name in stale:
        (target / known.pop(name).crop).unlink(missing_ok=True)
    done = {name for name in names if name in known and _is_there(target / known[name].crop)}
    jobs = [_Job(file, target, name, recipe) for name, file in names.items() if name not in done]
    written, failures = _run(jobs, processes or _worth(len(jobs)), target, known, progress)
    return FolderReport(tuple(written), len(done), tuple(failures), len(stale))


# --- arguments -----------------------------------------------------------------------------------


def recipe_of(
    k: int | Sequence[int],
    *,
    score: str | Score = "lattice",
    subpixel: bool = False,
    resized: bool = False,
    resize: int | None = None,
    n: int | Sequence[int] | None = None,
    format: str = "png",
    max_pixels: int = MAX_PIXELS,
) -> Recipe:
    """How `crop_folder` makes a crop of an image, for the same arguments.

    Raises:
        TypeError, ValueError: for arguments out of range.
    """
    size, room = as_pair(k, "k"), None if n is None else as_pair(n, "n")
    side = None if resize is None else as_int(resize, "resize", 1)
    require_name("format", format, CHOICES)
    if resized and (side or room):
        raise ValueError(
            "Expected neither `resize` nor `n` with `resized`, which looks at the middle of the "
            f"stored image, but got {resize} and {n}."
        )
    if room and (size[0] > room[0] or size[1] > room[1]):
        raise ValueError(f"Expected `k` to be at most `n` {room}, but got {size}.")
    if side and room and side < min(room):
        raise ValueError(f"Expected `resize` to be at least `n` {room}, but got {side}.")
    limit = as_int(max_pixels, "max_pixels", 1)
    rule = require_smooth(get_score(score), subpixel)
    return Recipe(size, rule, side, room, format, limit, subpixel, resized)


def _worth(jobs: int) -> int:
    """Number of processes worth starting: each takes seconds."""
    return max(1, min(os.cpu_count() or 1, jobs // 200))


def _claim(target: Path, settings: dict[str, Any]) -> None:
    """Prepare the folder: record the settings, and remove partial files of a killed run."""
    target.mkdir(parents=True, exist_ok=True)
    for part in target.rglob(_PART):
        part.unlink(missing_ok=True)
    if (path := target / SETTINGS).exists():
        return _require_same(target, _read_settings(path), settings)
    if stranger := min(os.listdir(target), default=None):
        raise ValueError(
            f"Expected {str(target)!r} to be empty or to hold crops of this command, but it has "
            f"{stranger!r} and no {SETTINGS}."
        )
    _write(path, (json.dumps(settings, indent=2) + "\n").encode())


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings = read_json(path.read_text("utf-8", errors="replace"))
        if not isinstance(settings, dict):
            raise ValueError("it is not a JSON object")
    except ValueError as error:
        raise ValueError(
            f"Expected {str(path)!r} to hold the settings of an earlier run, but {error}; choose "
            "another folder for the crops."
        ) from error
    return settings


def _require_same(target: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    old = {"subpixel": False, "resized": False, **old}  # which the folders of older versions lack
    if differing := [name for name in new if old.get(name) != new[name]]:
        changes = ", ".join(f"`{x}` was {old.get(x)!r} and is {new[x]!r}" for x in differing)
        raise ValueError(
            f"Expected the settings that {str(target)!r} was started with, but {changes}; choose "
            "another folder for other crops."
        )


def _write(path: Path, content: bytes) -> None:
    """Write a file atomically: it exists complete or not at all."""
    part = path.with_name(_PART.replace("*", uuid4().hex))
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


# --- what is there -------------------------------------------------------------------------------


def _has_changed(path: Path, origin: Origin) -> bool:
    """Whether a file differs from the one in which this origin was found."""
    try:
        return _state(path) != (origin.bytes, origin.modified)
    except OSError:
        return True


def _state(path: Path) -> tuple[int, int]:
    """Size and time of a file, which replacing it changes."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _is_there(crop: Path) -> bool:
    """Whether a crop was written: a file that is not empty, as a system crash may leave it."""
    try:
        found = crop.stat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > 0


# --- origins -------------------------------------------------------------------------------------


def _read_origins(target: Path, place: type[float]) -> dict[str, Origin]:
    """Origins of finished and unfinished runs; an incomplete last line is ignored.

    Args:
        target: the folder.
        place: the type of top and left: int, or float for crops between the pixels.

    Raises:
        ValueError: naming a line that no run could have written.
    """
    found: dict[str, Origin] = {}
    parse_row = partial(_parse_row, place=place)
    for name, rows, parse in ((ORIGINS, _rows, parse_row), (JOURNAL, _lines, read_json)):
        path, number = target / name, 1
        try:
            for number, row in rows(path) if path.exists() else ():  # noqa: B007
                origin = _as_origin(parse(row), place)
                found[origin.path] = origin
        except (ValueError, csv.Error) as error:
            raise ValueError(
                f"Expected {str(path)!r} to hold origins of crops, but line {number} does not: "
                f"{error}; delete it to redo all crops."
            ) from error
    return found


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        table = csv.reader(file)
        if next(table, None) != list(Origin._fields):
            raise ValueError(f"expected {','.join(Origin._fields)}")
        for row in table:
            yield table.line_num, row


def _parse_row(row: list[str], place: type[float]) -> list[Any]:
    return [*row[:2], *map(place, row[2:4]), *map(int, row[4:])]


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    lines = path.read_text("utf-8", errors="replace").split("\n")
    yield from enumerate(lines[:-1], 1)  # what follows the last line break was cut


def _as_origin(row: Any, place: type[float]) -> Origin:
    types = [str, str, place, place, int, int, int, int]
    if not isinstance(row, list) or [type(x) for x in row] != types:
        numbers = "two numbers and four whole ones" if place is float else "six whole numbers"
        raise ValueError(f"expected two names, {numbers}, but got {row!r}")
    origin = Origin(*row)
    if origin.crop not in [f"{origin.path}.{suffix}" for suffix in FORMATS]:
        raise ValueError(f"{origin.crop!r} is not a crop of {origin.path!r}")
    least = -0.5 if place is float else 0
    if not all(least <= x < inf for x in row[2:4]) or min(row[4:6]) < 0:
        raise ValueError(f"expected places within the image, but got {row!r}")
    return origin


def _write_origins(target: Path, origins: Iterable[Origin]) -> None:
    text = io.StringIO(newline="")
    # With quotes around every name: some versions of Python leave a lone \r unquoted.
    table = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
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
    """Crop one image: an error that concerns only this image is returned, others are raised."""
    try:
        state = _state(job.path)
        crop, box, source_format = crop_file(job.path, job.recipe)
        wished = job.recipe.format
        suffix, content = encode(crop, _kept(source_format) if wished == "keep" else wished)
    except Exception as error:  # such as a size or a mode that has no crop
        return Failure(job.name, reason_of(error))
    result = f"{job.name}.{suffix}"
    try:
        target = job.target / result
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(target, content)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        return Failure(job.name, f"its crop cannot be written: {error.strerror}")
    return Origin(job.name, result, *box, *state)


def _kept(source_format: str) -> str:
    return next((s for s, options in FORMATS.items() if options["format"] == source_format), "png")


def reason_of(error: Exception) -> str:
    """Why an image has no crop, in a line."""
    if isinstance(error, Unreadable):
        return error.reason
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return " ".join(str(error).split()) or type(error).__name__


# --- one image -----------------------------------------------------------------------------------


Box = tuple[float, float, int, int]
"""Where a crop lies: (top, left, height, width)."""


def crop_file(path: str | Path, recipe: Recipe) -> tuple[PIL.Image.Image, Box, str]:
    """The crop of one image file, where it lies in the upright and resized image, the format."""
    image, source_format = open_image(path, max_pixels=recipe.max_pixels)
    crop, box = _resized(image, recipe) if recipe.resized else _cropped(image, recipe)
    kept = ("icc_profile", "transparency") if crop.mode == image.mode else ("icc_profile",)
    crop.info = {x: image.info[x] for x in kept if x in image.info}
    return crop, box, source_format


def _resized(image: PIL.Image.Image, recipe: Recipe) -> tuple[PIL.Image.Image, Box]:
    """The crop of the stored image, resized."""
    transform = RICSResizedCrop(
        recipe.k,
        score=recipe.score,
        subpixel=recipe.subpixel,
        interpolation="bicubic",
        return_origin=True,
    )
    crop, origin = transform(image)
    top, left = origin.tolist()
    return crop, (top, left, *transform.field_of((image.height, image.width)).k)


def _cropped(image: PIL.Image.Image, recipe: Recipe) -> tuple[PIL.Image.Image, Box]:
    """The crop of the central window of the image, which is resized first if requested."""
    if recipe.resize:
        image = resize_shorter(image, recipe.resize)
    _require_room((image.height, image.width), recipe)
    window, (y, x) = central(image, recipe.n)
    crop, (top, left) = _resampled(window, recipe) if recipe.subpixel else _cut(window, recipe)
    return crop, (y + top, x + left, *recipe.k)


def _cut(window: PIL.Image.Image, recipe: Recipe) -> tuple[PIL.Image.Image, tuple[int, int]]:
    top, left = locate(window, recipe.k, score=recipe.score).tolist()
    height, width = recipe.k
    return window.crop((left, top, left + width, top + height)), (top, left)


def _resampled(
    window: PIL.Image.Image, recipe: Recipe
) -> tuple[PIL.Image.Image, tuple[float, float]]:
    transform = RICSCrop(recipe.k, score=recipe.score, subpixel=True, return_origin=True)
    crop, origin = transform(window)
    top, left = origin.tolist()
    return crop, (top, left)


def _require_room(size: tuple[int, int], recipe: Recipe) -> None:
    """Raise the same error for all images that are too small, so that they can be counted."""
    name, needed = ("n", recipe.n) if recipe.n else ("k", recipe.k)
    if size[0] < needed[0] or size[1] < needed[1]:
        raise ValueError(f"smaller than `{name}`, {by(needed)} px; enlarge it with `resize`")
