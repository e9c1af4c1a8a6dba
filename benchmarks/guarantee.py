"""How often every shift within D leaves the crop of each score in place, against the bound.

Crop identity on photographs, each at two or three scales, with 95 % Clopper-Pearson intervals. The
bound is Theorem 1, for lattice scores Theorem 3, and assumes a pseudo-random score (Definition 1).
"""

from __future__ import annotations

import scenes
import torch
from rich.console import Console
from rich.table import Table
from stability import scores
from torchvision.transforms.v2.functional import center_crop

from rics_transforms import RICSCrop, verify

SETTINGS = ((256, 224, (288, 320)), (224, 140, (256, 288, 320)))  # window, crop, short sides
DELTAS = (1, 3, 5, 9)


def main() -> None:
    options = scenes.parser(__doc__).parse_args()
    console = Console(width=150)
    for n, k, sides in SETTINGS:
        reach = n + 2 * max(DELTAS)
        images = torch.cat([center_crop(scenes.load(options, s), [reach, reach]) for s in sides])
        table = Table(
            title=f"Crop kept, in % (interval; bound): n {n}, k {k}, {len(images)} scenes"
        )
        table.add_column("score")
        for delta in DELTAS:
            table.add_column(f"D = {delta}", justify="right")
        for name, score in scores().items():
            rows = verify(images, RICSCrop(k, score=score), n=n, deltas=DELTAS).rows
            found = [row for row in rows if row.metric == "adversarial_robustness"]
            table.add_row(name, *(_cell(row) for row in found))
        console.print(table)


def _cell(row) -> str:  # type: ignore[no-untyped-def]
    value, low, high, bound = (100 * x for x in (row.value, row.ci_low, row.ci_high, row.bound))
    return f"{value:.1f} ({low:.1f}-{high:.1f}; {bound:.1f})"


if __name__ == "__main__":
    main()
