"""Which shape of the Mexican hat keeps the crop best, under shifts alone and with companions.

The default lattice score rates patches with a Mexican hat whose shape has two parameters (the share
of the patch that the arm of the Laplacian takes, and the share of the rest that each smoothing step
takes), and one width. For each of these the table shows the share of scenes whose crop survives
(each photograph gives two or three, at different scales):

- every shift within 1, 3, 5 and 9 px (Theorem 3 is the bound for a pseudo-random score),
- each companion of a shift, exactly ("half pixel", which cannot be exact: within 2 px),

and the mean of all of these over the settings, by which the rows are sorted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import companions
import scenes
import torch
from guarantee import DELTAS, SETTINGS
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torchvision.transforms.v2.functional import center_crop

from rics_transforms import Lattice, RICSCrop, lattice_order, verify
from rics_transforms.engine.exact import HAT_SHAPE, HatShape, hat_sigma
from rics_transforms.theory import patch_size

ARMS, SHARES, WIDTHS = (12, 14, 16), (3, 4, 5), (0.5, 0.75, 0.85)

Variant = tuple[HatShape, float]


@dataclass(frozen=True)
class ShapedLattice(Lattice):
    """The lattice score with another shape of the Mexican hat."""

    shape: HatShape = HAT_SHAPE


def variants() -> Iterator[Variant]:
    """The shapes at full width, and the default shape at other widths."""
    yield from ((HatShape(arm, share), 1.0) for arm, share in product(ARMS, SHARES))
    yield from ((HAT_SHAPE, width) for width in WIDTHS)


def main() -> None:
    options = scenes.parser(__doc__).parse_args()
    rows: dict[Variant, list[float]] = {variant: [] for variant in variants()}
    for n, k, sides in SETTINGS:
        reach = n + 2 * max(DELTAS)
        images = torch.cat([center_crop(scenes.load(options, s), [reach, reach]) for s in sides])
        views = companions.windows(images, n)
        for variant in rows:
            rows[variant] += _measure(images, views, n, k, *variant)
    names = [f"D {delta}" for delta in DELTAS] + list(companions.COMPANIONS)
    table = Table(title="Crop kept, in % (n 256 and k 224, then n 224 and k 140)")
    for column in ("arm", "share", "width", *names, "mean"):
        table.add_column(column, justify="right")
    for (shape, width), values in sorted(rows.items(), key=lambda row: -sum(row[1])):
        pairs = zip(values[: len(names)], values[len(names) :], strict=True)
        cells = [f"{100 * a:.0f}, {100 * b:.0f}" for a, b in pairs]
        mean = f"{100 * sum(values) / len(values):.1f}"
        table.add_row(f"{shape.arm}", f"{shape.share}", f"{width:g}", *cells, mean)
    Console(width=190).print(table)


def lattice(n: int, k: int, shape: HatShape, width: float) -> Lattice:
    """The default score with a hat of this shape, as a share of the patch's width."""
    size = patch_size(n, k, lattice_order(n, k))[0]
    sigma = None if width == 1 else hat_sigma(size, shape) * width
    return ShapedLattice(sigma=sigma, shape=shape)


def _measure(
    images: Tensor, views: Tensor, n: int, k: int, shape: HatShape, width: float
) -> list[float]:
    score = lattice(n, k, shape, width)
    rows = verify(images, RICSCrop(k, score=score), n=n, deltas=DELTAS).rows
    values = [row.value for row in rows if row.metric == "adversarial_robustness"]
    for name, move in companions.moves(views, k, score).items():
        near = move <= (2 if name == "half pixel" else 0)
        values.append(near.double().mean().item())
    return values


if __name__ == "__main__":
    main()
