"""`rics crop`: the crops of a folder of images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rics_transforms.cli import shared
from rics_transforms.cli.shared import UserError, one_line, progress_bar, size_option

if TYPE_CHECKING:
    from rics_transforms.folder import FolderReport


@click.command()
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@shared.crop_size
@click.option(
    "--resize",
    type=click.IntRange(1),
    metavar="PX",
    help="First resize the shorter side to this many pixels (antialiased bicubic).",
)
@size_option("--field", "Then choose the crop within a centred field of this size in pixels.")
@shared.score
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
@shared.one_thread()
def crop(source: Path, target: Path, **options: Any) -> None:
    """Crop the images in the folder IN, and in the folders in it, into the folder OUT.

    a/b.jpg becomes a/b.jpg.png: upright (EXIF), with its colour mode and ICC profile, without other
    metadata, of several frames the first. What the format cannot hold without loss (CMYK in PNG,
    grey in WebP) becomes PNG or else TIFF. Files are images by their suffix; hidden ones are left
    out. OUT/origins.csv says where each crop lies, in pixels of the upright, resized image.

    Run the same command again to go on after an interruption: what is done is skipped. Exit code 1
    if there are images that could not be cropped.
    """
    from concurrent.futures import BrokenExecutor

    from rics_transforms.folder import crop_folder

    try:
        with progress_bar("Cropping") as progress:
            report = crop_folder(source, target, **options, progress=progress)
    except BrokenExecutor:
        raise UserError(
            "a worker process died, perhaps because memory ran out; finished crops are kept, so "
            "run the same command again with fewer --workers"
        ) from None
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
