"""What the crop costs in accuracy: the default against the centre crop on the same photographs.

Top-1 of SqueezeNet 1.0 on unshifted windows, with 95 % Clopper-Pearson intervals, and the p-value
of McNemar's exact test. Prints Markdown.
"""

from __future__ import annotations

import squeezenet
from reproduction import DELTAS, SETTINGS
from tables import cell, print_row
from torchvision.transforms import v2

from rics_transforms import RICSCrop, verify
from rics_transforms.shifts.windows import Realistic


def main() -> None:
    model = squeezenet.model()
    print_row("n", "k", "photographs", "centre crop", "default lattice", "p")
    print_row(*["---"] * 6)
    for n, k, short in SETTINGS:
        images = squeezenet.Photographs(n + 2 * max(DELTAS), short)
        centre, rics = (
            verify(images, transform, model=model, n=n, shifts=Realistic(0))
            for transform in (v2.CenterCrop(squeezenet.SIDE), RICSCrop(k))
        )
        rows = [report.row("accuracy", "class") for report in (centre, rics)]
        (test,) = (c.test for c in centre.compare(rics) if c.metric == "accuracy")
        print_row(str(n), str(k), str(rows[0].count), *map(cell, rows), f"{test.p_value:.2g}")


if __name__ == "__main__":
    main()
