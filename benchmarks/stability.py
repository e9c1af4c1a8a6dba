"""How often each score keeps its crop when a shift brings noise, re-encoding or rescaling along.

Prints, for every score and companion, the share of photographs whose crop stays exactly where it
was in the scene, and the share whose crop moves by at most 2 px.
"""

from __future__ import annotations

import companions
import scenes
from rich.console import Console
from rich.table import Table

from rics_transforms import Lattice, Score, get_score, list_scores

SETTINGS = ((256, 224, 288), (224, 140, 256))  # window, crop, short side of the photograph


def scores() -> dict[str, Score]:
    """Every registered score, and the lattice with its other patch scores."""
    named = {name: get_score(name) for name in list_scores()}
    return named | {f"lattice of {patch}": Lattice(patch=patch) for patch in ("saliency", "hash")}


def main() -> None:
    options = scenes.parser(__doc__).parse_args()
    console = Console(width=150)
    for n, k, side in SETTINGS:
        images = scenes.load(options, side)
        views = companions.windows(images, n)
        table = Table(
            title=f"Crop exactly kept / within 2 px, %: n {n}, k {k}, {len(images)} scenes"
        )
        table.add_column("score")
        for name in companions.COMPANIONS:
            table.add_column(name, justify="right")
        for name, score in scores().items():
            moved = companions.moves(views, k, score).values()
            cells = [f"{100 * _share(m <= 0):.0f} / {100 * _share(m <= 2):.0f}" for m in moved]
            table.add_row(name, *cells)
        console.print(table)


def _share(kept) -> float:  # type: ignore[no-untyped-def]
    return kept.double().mean().item()


if __name__ == "__main__":
    main()
