"""`rics locate`: where the crops of images begin."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rics_transforms.cli import shared
from rics_transforms.cli.shared import (
    Pair,
    one_line,
    print_failures,
    print_json,
    progress_bar,
    show_table,
    side,
)

if TYPE_CHECKING:
    from rics_transforms.folder import Recipe


@shared.command()
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=shared.PATH)
@shared.crop_size
@shared.resized
@shared.resize
@shared.centred_size
@shared.score
@shared.subpixel
@shared.max_pixels
@shared.as_json
@shared.one_thread()
def locate(
    images: tuple[Path, ...],
    k: Pair,
    resized: bool,
    resize: int | None,
    n: Pair | None,
    score: str,
    subpixel: bool,
    max_pixels: int,
    as_json: bool,
) -> None:
    """Say where the crop of each IMAGE begins: row and column of its first pixel, from 0.

    An IMAGE is a file, or a folder of them. Origins are in pixels of the upright (EXIF), resized
    image, as in the origins.csv of `rics crop`, in multiples of 1/64 with --subpixel. With
    --resized, also says how high and wide the crop is in the stored image. Exit code 1 if an image
    could not be read.
    """
    from rics_transforms.data.sources import find_sources
    from rics_transforms.folder import recipe_of

    options: dict[str, Any] = {"resize": resize, "score": score, "subpixel": subpixel}
    options |= {"resized": True} if resized else {}
    recipe = recipe_of(k, n=n, max_pixels=max_pixels, **options)
    rows: list[dict[str, Any]] = []
    failures: list[tuple[str, str]] = []
    files = find_sources(images)
    with progress_bar("Locating") as progress:
        for done, (name, file) in enumerate(files.items(), 1):
            _locate(name, file, recipe, rows, failures)
            progress(done, len(files))
    if as_json:
        failed = [{"id": name, "reason": reason} for name, reason in failures]
        print_json({"k": k, "n": n, **options, "images": rows, "failures": failed})
    elif rows:
        names = ["top", "left", "height", "width"] if resized else ["top", "left"]
        cells = [[one_line(row["id"]), *(str(row[name]) for name in names)] for row in rows]
        show_table(f"Origins of {side(k)} px crops", ["image", *names], cells)
    print_failures(failures)
    if failures:
        sys.exit(1)


def _locate(
    name: str,
    file: Path,
    recipe: Recipe,
    rows: list[dict[str, Any]],
    failures: list[tuple[str, str]],
) -> None:
    from rics_transforms.folder import crop_file, reason_of

    try:
        top, left, height, width = crop_file(file, recipe)[1]
    except Exception as error:  # a broken file can make a decoder raise anything
        failures.append((name, reason_of(error)))
    else:
        size = {"height": height, "width": width} if recipe.resized else {}
        rows.append({"id": name, "top": top, "left": left, **size})
