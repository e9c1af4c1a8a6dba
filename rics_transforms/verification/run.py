"""Measure a transform and a model under shifts, and compare the result with the bounds of theory.

Each step has its own module:

    scenes    -> records, one per image -> rows with intervals and verdicts -> report
    scenes.py    measurement.py            rows.py                             results.py
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from torch import Tensor

from rics_transforms._arguments import Size, as_int, as_pair
from rics_transforms._extras import require_command
from rics_transforms.models.model import Model, as_model
from rics_transforms.shifts import get_shift
from rics_transforms.shifts.base import Shift
from rics_transforms.shifts.windows import Realistic
from rics_transforms.verification.measurement import Continued, Gallery, GalleryPass, Measurement
from rics_transforms.verification.records import Record, RecordsFile, made_of
from rics_transforms.verification.results import ShiftReport
from rics_transforms.verification.scenes import SceneLike, as_scene, named_scenes
from rics_transforms.verification.settings import Settings
from rics_transforms.verification.transforms import Transform

Result = TypeVar("Result")


class Mapper(Protocol):
    """Applies a function of name, scene and label to all images."""

    def __call__(self, function: Callable[..., Result], images: Any, /) -> Iterable[Result]:
        """Its results, in any order; ``function.to(device)`` moves its model."""


def verify(
    images: Iterable[SceneLike],
    transform: Transform,
    *,
    model: Model | Callable[[Tensor], Any] | None = None,
    shifts: str | Shift = "realistic",
    deltas: Sequence[int] = (1, 3, 5, 9),
    n: int | Sequence[int] | None = None,
    neighbours: Literal["others", "class"] | Iterable[SceneLike] | None = None,
    seed: int = 0,
    records: str | Path | None = None,
    mapper: Mapper | None = None,
    progress: Callable[[Iterable[Any]], Iterable[Any]] | None = None,
    command: str | None = None,
) -> ShiftReport:
    """Shift the window of every scene; count how often the output of transform and model changes.

    Realistic shifts: the window in the middle of a scene is moved by every (dy, dx) within the
    largest delta, so that real pixels enter on one side as others leave on the other. The crop of
    a transform that tells where it crops (`RICSCrop`) counts as kept if it is cut from the same
    place in the scene, within `verification.metrics.TOLERANCE` if windows or crops lie at fractions
    of a pixel; the crop of any other transform, if its pixels are the same. Other shifts are in
    `rics_transforms.shifts`.

    The model runs once per *distinct* input: with RICS about once per image for delta 1 and twice
    for delta 9, instead of 361 times.

    Args:
        images: scenes ``[C, H, W]``, uint8 or float in [0, 1] (rounded to grey levels); or pairs
            of a name and a scene; or triples with a label for the metrics that need one. If the
            iterable has a `source` and a `recipe` (as in `rics_transforms.data.photos`), the report
            quotes them.
        transform: makes the model's input from a window ``[C, n, n]``: `RICSCrop`, a plain
            `v2.CenterCrop`, or any other.
        model: a `Model` (see `load_model`), a module, or any callable from a batch of transformed
            windows to logits ``[B, K]`` or a pair of logits and embeddings. Default: only crops are
            compared.
        shifts: "realistic", "cyclic", any other name in `list_shifts`, or a `Shift`.
        deltas: largest realistic shifts in pixels; each gets its own rows. A `Realistic` that does
            not reach all of them reports those that it reaches.
        n: window side in pixels, or ``(height, width)``. Default: the largest window that can be
            shifted within the first scene. `Trim` takes scenes of all sizes, and no `n`.
        neighbours: also compare the nearest neighbour, by the cosine of embeddings, among all
            "others", those of the same "class", or scenes of your own. The first two iterate over
            `images` twice.
        seed: seeds the noise and the places that some shifts draw, together with an image's name.
        records: file to stream the records into, as JSON lines. If it exists, the run continues
            where it stopped: images with a record in the file are not measured again, unless their
            pixels or labels have changed since. If its settings differ, a ValueError names them.
        mapper: applies a function to the images, in any order, on any machines, such as
            `rics_transforms.integrations.ray.RayMapper`, which takes a Ray dataset as `images`.
            Default: one image after the other, in this process. Needs `n`.
        progress: wraps the iteration over the records, such as `rich.progress.track`.
        command: how to make this report again, quoted in it. Default: this call.

    Returns:
        A `ShiftReport`. Equal arguments give equal reports, whether a run was interrupted or not.

    Raises:
        ValueError: for no images, a scene that is too small, a `k` larger than the window, a
            negative delta, a missing label, or records with other settings.
        TypeError: for images that are not tensors.

    The bounds assume Definition 1 of Shifman & Weiss 2024 (Theorems 1 and 3, Eq. 4), the intervals
    that the scenes are independent. Theorem 2, for cyclic shifts, assumes neither.

    Example:
        >>> import torch
        >>> from rics_transforms import RICSCrop
        >>> noise = torch.Generator().manual_seed(0)
        >>> images = [torch.randint(256, (3, 34, 34), generator=noise).byte() for _ in range(50)]
        >>> for row in verify(images, RICSCrop(20, score="hash"), deltas=[1]).rows:
        ...     print(row.metric, round(row.value, 3), round(row.bound, 3), row.verdict)
        adversarial_robustness 0.56 0.538 undecided
        consistency 0.827 0.735 undecided
    """
    require_command()
    deltas = _as_deltas(deltas)
    shift = as_shift(shifts, deltas)
    ready = None if model is None else as_model(model)
    each = mapper or in_order
    window = _window(images, shift, n, alone=mapper is None)
    measure = Measurement(transform, shift, window, ready, None, as_int(seed, "seed", 0))
    settings = Settings.of(
        transform, shift, window, deltas=deltas, model=None if ready is None else ready.name,
        neighbours=neighbours if neighbours is None or isinstance(neighbours, str) else "own",
        seed=measure.seed,
    )  # fmt: skip
    command = command or settings.call(str(getattr(images, "recipe", "images")))
    origin = str(getattr(images, "origin", ""))
    settings = replace(settings, source=_source(images), origin=origin, command=command)
    if neighbours is not None:
        measure = _with_gallery(measure, images, neighbours, each)
        settings = replace(settings, gallery=str(measure.gallery))
    made = _records(images, measure, each, records, settings)
    found = list(made if progress is None else progress(made))
    settings = replace(settings, source=_source(images))  # which may count what it could not read
    if not found:
        raise ValueError("Expected `images` to hold at least one scene, but got none.")
    return ShiftReport.from_records(found, settings)


# --- records -------------------------------------------------------------------------------------


def in_order(function: Callable[..., Result], images: Iterable[SceneLike]) -> Iterator[Result]:
    """Apply a function to one image after the other: a `Mapper`."""
    for name, scene, label in named_scenes(images):
        yield function(name, scene, label)


def _records(
    images: Iterable[SceneLike],
    measure: Measurement,
    each: Mapper,
    path: str | Path | None,
    settings: Settings,
) -> Iterator[Record]:
    """The record of every image: from the file, or a new one, appended to it at once."""
    if path is None:
        yield from each(measure, images)
        return
    with RecordsFile(path, settings) as file:
        known = {name: made_of(record) for name, record in file.done.items()}
        seen: set[str] = set()
        for found in each(Continued(measure, known), images):
            record = file.done[found] if isinstance(found, str) else found
            if record is found:
                file.append(record)
            seen.add(record.id)
            yield record
    _warn(file, len(file.done.keys() - seen))


def _warn(file: RecordsFile, others: int) -> None:
    """Say which records of a file are not in the report."""
    if file.renewed:
        warnings.warn(
            f"Of {file.renewed} images in {str(file.path)!r} the pixels or labels have changed; "
            "they were measured again.",
            stacklevel=2,
        )
    if others:
        warnings.warn(
            f"{str(file.path)!r} also has records of {others} images that were not given; they are "
            "left out of this report.",
            stacklevel=2,
        )


def _with_gallery(
    measure: Measurement,
    images: Iterable[SceneLike],
    neighbours: Literal["others", "class"] | Iterable[SceneLike],
    each: Mapper,
) -> Measurement:
    """The same measurement with a gallery, in which nearest neighbours are sought."""
    own = None if isinstance(neighbours, str) else neighbours
    if own is None and neighbours not in ("others", "class"):
        raise ValueError(
            f"Expected `neighbours` to be 'others', 'class' or scenes, but got {neighbours!r}."
        )
    if own is None and isinstance(images, Iterator):
        raise ValueError(
            "Expected `images` that can be iterated over twice for nearest neighbours, such as a "
            "list, but got an iterator."
        )
    first_pass = GalleryPass(measure, measured=own is None)
    entries = list(each(first_pass, images if own is None else own))
    gallery = Gallery.of(entries, same_class=neighbours == "class", measured=own is None)
    return replace(measure, gallery=gallery)


# --- arguments and settings ----------------------------------------------------------------------


def _source(images: object) -> str:
    """Where images come from, in words."""
    return str(getattr(images, "source", "given by the caller"))


def as_shift(shifts: str | Shift, deltas: Sequence[int]) -> Shift:
    """A shift by name, or unchanged; "realistic" reaches the largest delta."""
    return Realistic(max(deltas)) if shifts == "realistic" else get_shift(shifts)


def _as_deltas(deltas: Sequence[int]) -> tuple[int, ...]:
    expected = f"Expected `deltas` to be one or more ints of at least 0, but got {deltas!r}."
    if not isinstance(deltas, Sequence) or isinstance(deltas, str):
        raise TypeError(expected)
    if not deltas:
        raise ValueError(expected)
    read = {as_int(delta, f"deltas[{number}]", 0) for number, delta in enumerate(deltas)}
    return tuple(sorted(read))


def _window(
    images: Iterable[SceneLike], shift: Shift, n: int | Sequence[int] | None, *, alone: bool
) -> Size:
    """Height and width of the windows: as asked for, or the largest within the first scene."""
    if not shift.sized:
        if n is not None:
            raise ValueError(f"Expected no `n` with {shift}, whose views are whole, but got {n}.")
        return 1, 1
    if n is not None:
        return as_pair(n, "n")
    if not alone:
        raise ValueError("Expected `n` together with a `mapper`, but got none.")
    if isinstance(images, Iterator):
        raise ValueError("Expected `n` together with an iterator of images, but got none.")
    first = next(iter(images), None)
    if first is None:
        raise ValueError("Expected `images` to hold at least one scene, but got none.")
    size = as_scene(first, 0)[1].shape[-2:]
    least = shift.room((1, 1))
    if size[0] < least[0] or size[1] < least[1]:
        raise ValueError(
            f"Expected scenes of at least {least} pixels for {shift}, but got {tuple(size)}."
        )
    height, width = (
        1 + (side - room) // shift.factor for side, room in zip(size, least, strict=True)
    )
    return height, width
