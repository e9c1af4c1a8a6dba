"""`rics crop`: write the crops of images to a folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rics_transforms.cli import shared
from rics_transforms.cli.shared import (
    UserError,
    one_line,
    print_failures,
    print_json,
    progress_bar,
)

if TYPE_CHECKING:
    from rics_transforms.folder import FolderReport


@shared.command()
@click.argument("sources", metavar="IN...", nargs=-1, required=True, type=shared.PATH)
@click.argument("target", metavar="OUT", type=shared.PATH)
@shared.crop_size
@shared.resized
@shared.resize
@shared.centred_size
@shared.score
@shared.subpixel
@shared.max_pixels
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
@shared.as_json
@shared.one_thread()
def crop(sources: tuple[Path, ...], target: Path, as_json: bool, **options: Any) -> None:
    """Crop images into the folder OUT: those in the folder IN and in the folders in it, or files.

    a/b.jpg becomes a/b.jpg.png: upright (EXIF), with its colour mode and ICC profile but no other
    metadata, the first of several frames. What the format cannot hold without loss (CMYK in PNG,
    grey in WebP) becomes PNG or else TIFF. In folders, the suffix tells which files are images, and
    hidden ones are left out. OUT/origins.csv says where each crop lies, in pixels of the upright,
    resized image (with --resized, of the stored one), in multiples of 1/64 with --subpixel.

    Run the same command again to resume after an interruption: finished crops are skipped. Exit
    code 1 if there are images that could not be cropped.
    """
    from concurrent.futures import BrokenExecutor

    from rics_transforms.folder import crop_folder

    try:
        with progress_bar("Cropping") as progress:
            report = crop_folder(sources, target, **options, progress=progress)
    except BrokenExecutor:
        raise UserError(
            "a worker process died, perhaps because memory ran out; finished crops are kept, so "
            "run the same command again with fewer --workers"
        ) from None
    _print_crops(report) if as_json else _show_crops(report, target)
    if report.failures:
        sys.exit(1)


def _print_crops(report: FolderReport) -> None:
    print_json(
        {
            "written": [origin._asdict() for origin in report.written],
            "skipped": report.skipped,
            "failures": [failure._asdict() for failure in report.failures],
        }
    )


def _show_crops(report: FolderReport, target: Path) -> None:
    anew = f" ({report.renewed} made again: their images have changed)" if report.renewed else ""
    done = f"{len(report.written)} written, {report.skipped} there already{anew}"
    click.echo(one_line(f"Crops in {target}: {done}, {len(report.failures)} failed."))
    suffixes = [origin.crop.rpartition(".")[2] for origin in report.written]
    if len(kinds := sorted(set(suffixes))) > 1:
        counts = ", ".join(f"{suffixes.count(kind)} {kind}" for kind in kinds)
        click.echo(f"Formats, by what holds each image without loss: {counts}.")
    print_failures(report.failures)
