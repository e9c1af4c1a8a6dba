"""`rics export`: a transform as one file, for ONNX Runtime or torch.export."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from rics_transforms.cli import shared
from rics_transforms.cli.shared import Pair, UserError, one_line, print_json, side


def as_batch(text: str) -> int | None:
    """`dynamic`, or a positive number such as `8`."""
    if text == "dynamic":
        return None
    if not re.fullmatch(r"0*[1-9]\d*", text):
        raise click.BadParameter(f"Expected 'dynamic' or a number such as 8, but got {text!r}.")
    return int(text)


@shared.command()
@click.argument("target", metavar="OUT", type=shared.PATH)
@shared.crop_size
@shared.image_size
@click.option(
    "--format",
    type=click.Choice(["onnx", "pt2"]),
    help="onnx: for ONNX Runtime. pt2: for torch.export.load and AOTInductor. "
    "Default: by the suffix of OUT.",
)
@shared.score
@shared.subpixel
@click.option(
    "--shifts",
    type=click.Choice(["realistic", "cyclic"]),
    default="realistic",
    show_default=True,
    help="cyclic: for images that wrap around.",
)
@click.option(
    "--batch",
    type=as_batch,
    metavar="dynamic|COUNT",
    default="dynamic",
    show_default=True,
    help="Images per call: any number, or a fixed one.",
)
@click.option("--channels", type=click.IntRange(1), default=3, show_default=True)
@shared.as_json
def export(
    target: Path,
    k: Pair,
    n: Pair,
    score: str,
    subpixel: bool,
    shifts: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Write the transform as a graph into the file OUT, such as crop.onnx or crop.pt2.

    The graph takes uint8 images [B, C, H, W] of n pixels and returns their crops of k pixels and
    the origins (top, left) of the crops. It is run on sample images and written only if its results
    equal the library's. rics_transforms.export writes a model together with its crop.
    """
    from rics_transforms import RICSCrop
    from rics_transforms.graph import export as export_graph

    rule: dict[str, Any] = {"score": score, "shifts": shifts, "subpixel": subpixel}
    transform = RICSCrop(k, **rule)
    try:
        written = export_graph(transform, target, n=n, **options)
    except RuntimeError as error:
        raise UserError(one_line(str(error))) from error
    if as_json:
        print_json(written._asdict())
        return
    equal = f"equal to the library on {written.verified} images"
    state = equal if written.verified else "not checked, since onnxruntime is not installed"
    click.echo(one_line(f"{target}: {side(k)} px crops of {side(n)} px images, {state}."))
