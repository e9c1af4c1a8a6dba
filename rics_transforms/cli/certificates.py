"""`rics certify`: which images keep their crop under every shift, for sure or probably."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rics_transforms._text import printable
from rics_transforms.cli import shared
from rics_transforms.cli.shared import (
    Pair,
    one_line,
    percent,
    print_json,
    progress_bar,
    show_table,
    side,
)

if TYPE_CHECKING:
    from torch import Tensor

    from rics_transforms import RICSCrop


@shared.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=shared.PATH)
@shared.window_size
@shared.crop_size
@click.option(
    "--delta",
    type=click.IntRange(0),
    metavar="PX",
    default=1,
    show_default=True,
    help="Largest shift in pixels along either axis.",
)
@shared.score
@shared.subpixel
@shared.max_pixels
@click.option("--json", "form", flag_value="json", help="Print JSON, with fractions from 0 to 1.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV, one line per image.")
@shared.one_thread()
def certify(
    paths: tuple[Path, ...],
    n: Pair | None,
    k: Pair,
    delta: int,
    score: str,
    subpixel: bool,
    max_pixels: int,
    form: str | None,
) -> None:
    """Certify every image: does any shift within delta change its crop?

    The scenes are the images below the folder PATH, or image files, resized to a shorter side of n
    plus twice delta; without PATH, tiles of the photographs that ship with scikit-image.
    Certificates are exact and hold for every model. Stability is the probability of the same from
    the middle window alone, as a deployed model sees it; it is not known with --subpixel, where
    shifts are still of whole pixels.
    """
    from rics_transforms import RICSCrop
    from rics_transforms.verification.table import no_robustness

    n = n or shared.window_for(k)
    if note := no_robustness(n, k, [delta]):
        click.echo(note, err=True)
    transform, side = RICSCrop(k, score=score, subpixel=subpixel), max(n) + 2 * delta
    scenes = shared.scenes_of(paths, side, max_pixels)
    rows: list[dict[str, Any]] = []
    with progress_bar("Certifying") as progress:
        for name, scene in scenes:
            rows.append(_row(name, scene, transform, n, delta))
            progress(len(rows), scenes.count)
    shared.print_unreadable(scenes.unreadable)
    if not rows:
        raise ValueError("Expected images that can be read, but got none.")
    if form == "csv":
        _show_csv(rows)
    elif form == "json":
        settings = {"n": n, "k": k, "delta": delta, "score": score, "subpixel": subpixel}
        print_json({**settings, **_summary(rows), "images": rows})
    else:
        _show(rows, n, k, delta)


def _show_csv(rows: list[dict[str, Any]]) -> None:
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    table.writeheader()
    table.writerows(rows)
    if sys.stdout.isatty():
        click.echo("\n".join(map(printable, text.getvalue().splitlines())))
    else:  # names unchanged, even with bytes that are not UTF-8
        click.echo(text.getvalue().encode("utf-8", "surrogateescape"), nl=False)


def _row(name: str, scene: Tensor, transform: RICSCrop, n: Pair, delta: int) -> dict[str, Any]:
    from rics_transforms.engine.images import middle
    from rics_transforms.shifts.base import cut, size_of

    found = transform.certify(scene, delta, n=n)
    window = cut(scene, middle(size_of(scene), n), n)
    known = not transform.subpixel
    return {
        "id": name,
        "certified": found.certified,
        "breaks_at": None if found.certified else found.radius + 1,
        "stability": float(transform.stability(window, delta)) if known else None,
    }


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    from rics_transforms.verification.statistics import clopper_pearson

    certified = sum(row["certified"] for row in rows)
    known = [row["stability"] for row in rows if row["stability"] is not None]
    return {
        "certified": certified / len(rows),
        "interval": clopper_pearson(certified, len(rows)),
        "expected": sum(known) / len(known) if known else None,
    }


def _show(rows: list[dict[str, Any]], n: Pair, k: Pair, delta: int) -> None:
    found = _summary(rows)
    known = found["expected"] is not None
    headers = ["image", "certified", "breaks at", *(["stability"] if known else [])]
    cells = [
        [
            one_line(row["id"]),
            "yes" if row["certified"] else "no",
            "" if row["certified"] else f"{row['breaks_at']} px",
            *([percent(row["stability"])] if known else []),
        ]
        for row in rows
    ]
    show_table(
        f"{side(k)} px crops of {side(n)} px windows, shifts within {delta} px", headers, cells
    )
    low, high = map(percent, found["interval"])
    expected = f"; stability expects {percent(found['expected'])}" if known else ""
    click.echo(
        f"{percent(found['certified'])} of {len(rows)} certified (95 % interval {low} to {high})"
        f"{expected}."
    )
