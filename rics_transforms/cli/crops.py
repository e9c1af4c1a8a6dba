"""`rics crop`: the crops of a folder of images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rics_transforms.cli.shared import (
    SCORE_HELP,
    Pair,
    as_size,
    one_line,
    parse_score,
    progress_bar,
)

if TYPE_CHECKING:
    from rics_transforms.folder import FolderReport


@click.command()
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--k", type=as_size, metavar="PX|HxW", required=True, help="Crop size in pixels.")
@click.option(
    "--resize",
    type=click.IntRange(1),
    metavar="PX",
    help="First resize the shorter side to this many pixels (antialiased bicubic).",
)
@click.option(
    "--field",
    type=as_size,
    metavar="PX|HxW",
    help="Then choose the crop within a centred field of this size in pixels.",
)
@click.option("--score", default="lattice", show_default=True, help=SCORE_HELP)
@click.option(
    "--format",
    type=click.Choice(["png", "webp", "tif", "keep"]),
    default="png",
    show_default=True,
    help="Format of the crops, always lossless. keep: the image's, where that is lossless.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="COUNT",
    help="Processes. Default: one per processor, fewer for few images.",
)
def crop(
    source: Path,
    target: Path,
    k: Pair,
    resize: int | None,
    field: Pair | None,
    score: str,
    format: str,
    workers: int | None,
) -> None:
    """Crop the images in the folder IN, and in the folders in it, into the folder OUT.

    a/b.jpg becomes a/b.jpg.png: upright (EXIF), with its colour mode and ICC profile, without other
    metadata, of several frames the first. What the format cannot hold without loss (CMYK in PNG,
    grey in WebP) becomes PNG or else TIFF. Files are images by their suffix; hidden ones are left
    out. OUT/origins.csv says where each crop lies, in pixels of the upright, resized image.

    Run the same command again to go on after an interruption: what is done is skipped. Exit code 1
    if there are images that could not be cropped.
    """
    from rics_transforms.folder import crop_folder

    rule = parse_score(score)
    with progress_bar("Cropping") as progress:
        report = crop_folder(
            source, target, k, score=rule, resize=resize, field=field, format=format,
            workers=workers, progress=progress,
        )  # fmt: skip
    _show_crops(report, target)
    if report.failures:
        sys.exit(1)


def _show_crops(report: FolderReport, target: Path) -> None:
    done = f"{len(report.written)} written, {report.skipped} there already"
    click.echo(one_line(f"Crops in {target}: {done}, {len(report.failures)} failed."))
    suffixes = [origin.crop.rpartition(".")[2] for origin in report.written]
    if len(kinds := sorted(set(suffixes))) > 1:
        counts = ", ".join(f"{suffixes.count(kind)} {kind}" for kind in kinds)
        click.echo(f"Formats, by what holds each image without loss: {counts}.")
    for failure in report.failures:
        click.echo(one_line(f"Failed: {failure.path}: {failure.reason}"), err=True)
