"""`rics export`: a transform as one file, for ONNX Runtime or torch.export."""

from __future__ import annotations

import re
from pathlib import Path

import click

from rics_transforms.cli.shared import (
    SCORE_HELP,
    Pair,
    UserError,
    as_size,
    by,
    one_line,
    parse_score,
)


def as_batch(text: str) -> int | None:
    """`dynamic`, or a positive number such as `8`."""
    if text == "dynamic":
        return None
    if not re.fullmatch(r"0*[1-9]\d*", text):
        raise click.BadParameter(f"Expected 'dynamic' or a number such as 8, but got {text!r}.")
    return int(text)


@click.command()
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--k", type=as_size, metavar="PX|HxW", required=True, help="Crop size in pixels.")
@click.option("--n", type=as_size, metavar="PX|HxW", required=True, help="Image size in pixels.")
@click.option(
    "--format",
    type=click.Choice(["onnx", "pt2"]),
    default="onnx",
    show_default=True,
    help="onnx: for ONNX Runtime. pt2: for torch.export.load and AOTInductor.",
)
@click.option("--score", default="lattice", show_default=True, help=SCORE_HELP)
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
    help="Images per call: any number, or always so many.",
)
@click.option("--channels", type=click.IntRange(1), default=3, show_default=True)
def export(
    target: Path,
    k: Pair,
    n: Pair,
    format: str,
    score: str,
    shifts: str,
    batch: int | None,
    channels: int,
) -> None:
    """Write the transform as a graph into the file OUT.

    The graph takes uint8 images [B, C, H, W] of n pixels and gives their crops of k pixels and the
    origins (top, left) of these. It is run on images made for it, and written only if it gives what
    the library itself gives. A model is exported with its crop by rics_transforms.export.
    """
    from rics_transforms import RICSCrop
    from rics_transforms.graph import export as export_graph

    transform = RICSCrop(k, score=parse_score(score), shifts=shifts)  # type: ignore[arg-type]
    try:
        written = export_graph(
            transform, target, n=n, format=format, batch=batch, channels=channels,  # type: ignore[arg-type]
        )  # fmt: skip
    except RuntimeError as error:
        raise UserError(one_line(str(error))) from error
    equal = f"equal to the library on {written.verified} images"
    state = equal if written.verified else "not checked, for want of onnxruntime"
    click.echo(one_line(f"{target}: {by(k)} px crops of {by(n)} px images, {state}."))
