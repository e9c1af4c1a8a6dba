"""`rics verify` and `rics report`: measure, resume after an interruption, combine parts."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rics_transforms._text import read_json
from rics_transforms.cli import shared
from rics_transforms.cli.shared import (
    Pair,
    one_line,
    print_json,
    print_table,
    progress_bar,
    side,
    size_option,
)

if TYPE_CHECKING:
    from rics_transforms.data.photos import Scenes
    from rics_transforms.models.model import Model
    from rics_transforms.verification.results import ShiftReport

RECORDS, BASELINE, CHAIN = "records.jsonl", "baseline.jsonl", "chain.jsonl"


@shared.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=shared.PATH)
@shared.window_size
@shared.crop_size
@shared.score
@shared.subpixel
@shared.deltas
@click.option(
    "--shifts",
    "--protocol",
    "shifts",
    metavar="NAME",
    default="realistic",
    show_default=True,
    help="realistic, camera, cyclic, trim, or another with options, such as half:samples=64 or "
    "realistic:delta=1,then=jpeg:quality=90. Cyclic shifts are measured with cyclic crops, trims "
    "of whole images with crops that are chosen before the resize to --k.",
)
@click.option(
    "--model",
    "spec",
    metavar="SPEC",
    help="Also run timm:NAME, torchvision:NAME or module:function on the crops.",
)
@click.option(
    "--weights",
    type=shared.FILE,
    metavar="FILE",
    help="The model's weights, .safetensors or a state_dict. Default: pretrained ones.",
)
@click.option("--layer", metavar="NAME", help="Compare this layer's features under cyclic shifts.")
@click.option("--device", default="cpu", show_default=True, help="Where the model runs.")
@click.option(
    "--autocast",
    type=click.Choice(["bfloat16", "float16"]),
    help="Precision of the model, never of the scores.",
)
@click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True)
@click.option(
    "--neighbours",
    type=click.Choice(["others", "class"]),
    help="Also compare the nearest neighbour among these images.",
)
@click.option(
    "--labels",
    metavar="FILE|folders",
    help="True classes: a JSON object of numbers by image path, or the number of the "
    "image's folder among the sorted folders of PATH.",
)
@size_option(
    "--baseline",
    "Also measure a plain centre crop of this size; with the size n: no crop at all. For trims: "
    "after resizing the shorter side to --n.",
)
@click.option(
    "--chain",
    metavar="SPEC",
    help="Also measure a transform of yours, given as module:function like a --model: everything "
    "from a view to the input of the model.",
)
@shared.max_pixels
@click.option("--limit", type=click.IntRange(1), metavar="COUNT", help="At most this many scenes.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of the noise and the places that some shifts draw.",
)
@click.option(
    "--output",
    type=shared.PATH,
    metavar="DIR",
    required=True,
    help="Folder for report.html, report.json and the records.",
)
@shared.as_json
def verify(
    paths: tuple[Path, ...],
    n: Pair | None,
    k: Pair,
    score: str,
    subpixel: bool,
    deltas: tuple[int, ...],
    shifts: str,
    spec: str | None,
    labels: str | None,
    baseline: Pair | None,
    chain: str | None,
    limit: int | None,
    max_pixels: int,
    output: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure how often shifts change the crop, or a model's output, and compare with the bounds.

    The scenes are the images below the folder PATH, or image files; without PATH, tiles of the
    photographs that ship with scikit-image. Run the same command again to resume after an
    interruption: the records in the output folder are kept. Exit code 1 if the measurement violates
    a bound.
    """
    from torchvision.transforms import v2

    from rics_transforms.models.model import load_own
    from rics_transforms.resized import RICSResizedCrop
    from rics_transforms.transform import RICSCrop
    from rics_transforms.verification.run import as_shift

    n = n or shared.window_for(k)
    _check_baseline(baseline, n)
    shift = as_shift(shifts, deltas)
    label = _labels(paths, labels)
    room = max(shift.room(n)) if shift.sized else None
    scenes = _Labelled(shared.scenes_of(paths, room, max_pixels, shift.factor), limit, label)
    rule: Any
    plain: Any = v2.CenterCrop(baseline) if baseline else None
    if shift.sized:
        kind: Any = "cyclic" if shift.wraps else "realistic"
        rule = RICSCrop(k, score=score, shifts=kind, subpixel=subpixel)
    else:
        rule = RICSResizedCrop(k, score=score, subpixel=subpixel)
        plain = plain and v2.Compose([v2.Resize(min(n)), plain])
    model = _model(spec, **{key: options.pop(key) for key in _MODEL_OPTIONS})

    def measured(label: str, transform: Any, file: str) -> ShiftReport:
        from rics_transforms.verification.run import verify as measure

        threads = shared.one_thread() if model is None else nullcontext()
        with threads, progress_bar(label) as progress:
            return measure(
                scenes, transform, model=model, shifts=shift, deltas=deltas,
                n=n if shift.sized else None, records=output / file, command=_command(), **options,
                progress=lambda records: _watched(records, scenes.count, progress),
            )  # fmt: skip

    found = measured("Measuring", rule, RECORDS)
    others = [measured("Baseline", plain, BASELINE)] if plain else []
    others += [measured("Chain", load_own("chain", chain), CHAIN)] if chain else []
    _show(found, others, output, scenes, as_json)


_MODEL_OPTIONS = ("weights", "layer", "device", "autocast", "batch_size")


@shared.command()
@click.argument("records", nargs=-1, required=True, type=shared.FILE)
@click.option(
    "--baseline",
    multiple=True,
    type=shared.FILE,
    metavar="FILE",
    help="Records of the same images to compare with. May be given several times.",
)
@click.option(
    "--output",
    type=shared.PATH,
    metavar="DIR",
    required=True,
    help="Folder for report.html and report.json.",
)
@shared.as_json
def report(records: Sequence[Path], baseline: Sequence[Path], output: Path, as_json: bool) -> None:
    """Combine the records of one measurement, such as those of the parts of a data set.

    RECORDS are files that `rics verify` wrote with the same settings. Exit code 1 if the
    measurement violates a bound.
    """
    from rics_transforms.verification.results import ShiftReport

    others = [ShiftReport.load(*baseline)] if baseline else []
    _show(ShiftReport.load(*records), others, output, None, as_json)


# --- what goes in --------------------------------------------------------------------------------


def _check_baseline(baseline: Pair | None, n: Pair) -> None:
    if baseline and (baseline[0] > n[0] or baseline[1] > n[1]):
        raise click.UsageError(
            f"Expected `--baseline` to be at most the window of {side(n)} px, but got "
            f"{side(baseline)}; a larger centre crop would be padded."
        )


def _model(spec: str | None, *, weights: Path | None, layer: str | None, device: str,
           autocast: str | None, batch_size: int) -> Model | None:  # fmt: skip
    if spec is None:
        return None
    import torch

    from rics_transforms.models.model import load_model

    precision = None if autocast is None else getattr(torch, autocast)
    return load_model(
        spec, weights=weights, layer=layer, device=device, autocast=precision, batch_size=batch_size
    )


class _Labelled:
    """The first scenes, up to a limit, with their true classes if those are known."""

    def __init__(
        self, scenes: Scenes, limit: int | None, label: Callable[[str], int | None]
    ) -> None:
        self._scenes, self._limit, self._label = scenes, limit, label
        self.count = min(scenes.count, limit or scenes.count)

    def __iter__(self) -> Iterator[Any]:
        for name, scene in islice(self._scenes, self._limit):
            yield name, scene, self._label(name)

    @property
    def origin(self) -> str:
        return self._scenes.origin

    @property
    def unreadable(self) -> dict[str, str]:
        return self._scenes.unreadable

    @property
    def source(self) -> str:
        first = f"at most {self._limit} of " if self._limit else ""
        return first + self._scenes.source


def _labels(paths: Sequence[Path], labels: str | None) -> Callable[[str], int | None]:
    if labels is None:
        return lambda name: None
    if not paths:
        raise click.UsageError("--labels needs a PATH.")
    if labels == "folders":
        if len(paths) != 1 or not paths[0].is_dir():
            raise click.UsageError("--labels folders needs one folder as PATH.")
        names = sorted(folder.name for folder in paths[0].iterdir() if folder.is_dir())
        return lambda name: names.index(name.partition("/")[0])
    known = read_json(Path(labels).read_text(encoding="utf-8"))
    if not isinstance(known, dict) or not all(type(x) is int for x in known.values()):
        raise ValueError(f"Expected a JSON object of ints by image path in {labels!r}.")

    def label(name: str) -> int:
        if name not in known:
            raise ValueError(
                f"Expected {labels!r} to hold a label of every image, but {name!r} has none."
            )
        return int(known[name])

    return label


# --- what comes out ------------------------------------------------------------------------------


def _watched(
    records: Iterable[Any], total: int, progress: Callable[[int, int | None], None]
) -> Iterator[Any]:
    for count, record in enumerate(records, 1):
        progress(count, total)
        yield record


def _command() -> str:
    """This command line, for the report to quote."""
    return shlex.join(["rics", *click.get_current_context().obj])


def _show(
    found: ShiftReport,
    others: Sequence[ShiftReport],
    output: Path,
    scenes: _Labelled | None,
    as_json: bool,
) -> None:
    from rics_transforms.report import as_table, save
    from rics_transforms.report.table import conclude

    if scenes:
        shared.print_unreadable(scenes.unreadable)
    page = save(found, output, scenes, others)
    if as_json:
        baselines = [json.loads(other.to_json()) for other in others]
        print_json({**json.loads(found.to_json()), "baselines": baselines, "page": page})
    else:
        click.echo(one_line(conclude(found, *others)))
        print_table(as_table(found, *others))
        click.echo(one_line(f"Report: {page} and {page.with_name('report.json')}"))
    if any(row.verdict == "violated" for row in found.rows):
        sys.exit(1)
