"""`rics explain`: which crop is chosen, and why, as a figure."""

from __future__ import annotations

from pathlib import Path

import click

from rics_transforms.cli import shared
from rics_transforms.cli.shared import SCORE_HELP, Pair, one_line, print_json


@shared.command()
@click.argument("image", type=shared.FILE)
@shared.crop_size
@click.option(
    "--score",
    "scores",
    multiple=True,
    default=["lattice"],
    show_default=True,
    help=SCORE_HELP + " May be given several times; all: every score.",
)
@click.option(
    "--n",
    type=click.IntRange(1),
    metavar="PX",
    help="Use a centred window of this side, after resizing the shorter side of the image "
    "to PX plus twice the shift. Default: the whole image.",
)
@click.option(
    "--shift",
    type=click.IntRange(0),
    default=0,
    metavar="PX",
    help="Also show the choice after the window has moved this far down and right.",
)
@shared.max_pixels
@click.option(
    "--output",
    type=shared.PATH,
    metavar="FILE",
    help="Default: the image's name followed by -rics.png, in the current folder.",
)
@shared.as_json
def explain(
    image: Path,
    k: Pair,
    scores: tuple[str, ...],
    n: int | None,
    shift: int,
    max_pixels: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Draw which crop of IMAGE is chosen, and why: the image, its score map, the crop."""
    from rics_transforms.data.files import central, open_image, resize_shorter
    from rics_transforms.engine.scores import list_scores
    from rics_transforms.explanation import draw, explanations, reason

    names = list_scores() if "all" in scores else scores
    scene = open_image(image, max_pixels=max_pixels)[0]
    if n:
        side = n + 2 * shift
        scene = central(resize_shorter(scene, side), (side, side))[0]
    path = output or Path(f"{image.stem}-rics.png")
    found = explanations(scene, k, names, shift)
    draw(found).savefig(path)
    if as_json:
        settings = {"figure": path, "k": k, "n": n, "shift": shift, "scores": names}
        origins = [[decision.origin for decision in row.decisions] for row in found]
        reasons = [reason(row.decisions[0]) for row in found]
        print_json({**settings, "origins": origins, "reasons": reasons})
        return
    for row in found:
        top, left = row.decisions[0].origin
        click.echo(f"{row.score}: the crop begins at row {top}, column {left}")
        click.echo(f"  why: {reason(row.decisions[0])}")
        if shift:
            click.echo(f"  after the shift: {row.outcome}")
    click.echo(one_line(f"Figure: {path}"))
