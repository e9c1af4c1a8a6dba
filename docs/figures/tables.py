"""The tables of the pages, as Markdown."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

from rics_transforms import theory
from rics_transforms.palette import BLUE, VERMILION
from rics_transforms.verification.metrics import METRICS, QUANTILES

SIZES = ((256, 240), (256, 224), (256, 192), (256, 160), (256, 128), (224, 180), (224, 140))
"""Windows and crops, in pixels."""
DELTAS = (1, 3, 5, 9)
COMMON = ((256, 224), (224, 196), (320, 224), (512, 448), (224, 180), (224, 140), (256, 128))
"""Windows and crops of which `headroom` shows how near the lattice comes to the limit."""
GAP = "\N{NO-BREAK SPACE}"
DEMO = re.compile(r"changes for (\d+) of (\d+) .*?with RICS, for (\d+)")
MARKED = re.compile(r"<!-- accuracy-cost -->(.*?)<!-- /accuracy-cost -->", flags=re.DOTALL)


def guarantee() -> str:
    """Robustness of the paper's score, of the lattice, and the limit, by size and shift."""
    head = ["n, k", "m", "j, t", *(f"D = {delta}" for delta in DELTAS)]
    return _table(head, [_row(n, k) for n, k in SIZES])


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _row(n: int, k: int) -> list[str]:
    order, m = theory.lattice_order(n, k), theory.crop_positions(n, k)[0]
    patch = theory.patch_size(n, k, order)[0]
    return [
        f"{n},{GAP}{k}",
        f"{m}",
        f"{order[0]},{GAP}{patch}",
        *(_cell(n, k, delta) for delta in DELTAS),
    ]


def _cell(n: int, k: int, delta: int) -> str:
    paper = theory.robustness_bound(n, k, delta, order=1)
    return _shares([paper, *_lattice_and_limit(n, k, delta)])


def _shares(shares: list[Fraction]) -> str:
    return f"{GAP}/{GAP}".join(f"{100 * float(share):.1f}" for share in shares)


def headroom() -> str:
    """How near the lattice comes to the limit, by size and shift, and where it is furthest off."""
    head = ["n, k", "m", "N = jm", *(f"D = {delta}" for delta in (1, 4, 9)), "most headroom"]
    return _table(head, [_headroom(n, k) for n, k in COMMON])


def _headroom(n: int, k: int) -> list[str]:
    order, m = theory.lattice_order(n, k)[0], theory.crop_positions(n, k)[0]
    gaps = {
        delta: theory.robustness_limit(n, k, delta) - theory.robustness_bound(n, k, delta)
        for delta in range(1, m)
    }
    widest = max(gaps, key=lambda delta: gaps[delta])
    return [
        f"{n},{GAP}{k}",
        f"{m}",
        f"{order * m}",
        *(_shares(_lattice_and_limit(n, k, delta)) for delta in (1, 4, 9)),
        f"{100 * float(gaps[widest]):.1f} at D{GAP}={GAP}{widest}",
    ]


def _lattice_and_limit(n: int, k: int, delta: int) -> list[Fraction]:
    return [theory.robustness_bound(n, k, delta), theory.robustness_limit(n, k, delta)]


def accuracy_cost() -> str:
    """What docs/reproduction.md holds between the marks `accuracy-cost`, or where to measure it."""
    page = Path(__file__).parents[1] / "reproduction.md"
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    found = MARKED.search(text)
    return found[1].strip() if found else "It is measured by `benchmarks/reproduction.py`."


def result() -> str:
    """What the demo measures, as README.md says it: how many answers change, as two bars."""
    centre, scenes, rics = demo()
    rows = (("Centre crop", centre, VERMILION), ("RICS", rics, BLUE))
    bars = "".join(
        f"<div><dt>{title}</dt><dd><b>{changed}</b> of {scenes}</dd>"
        f'<dd class="bar" style="--ink: {ink}; --share: {changed / scenes:.1%}"></dd></div>'
        for title, changed, ink in rows
    )
    return (
        f'<dl class="result">{bars}</dl>\n\n'
        "Photographic scenes whose answer changes when the window moves by one pixel: "
        "EfficientNet-Lite0, 224 of 256 pixels (`make demo`).\n{ .caption }"
    )


def demo() -> tuple[int, int, int]:
    """Changed answers with the centre crop, scenes, changed answers with RICS."""
    text = " ".join((Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8").split())
    found = DEMO.search(text)
    if found is None:
        raise ValueError("Expected README.md to say what the demo measures, but it does not.")
    centre, scenes, rics = map(int, found.groups())
    return centre, scenes, rics


def metrics() -> str:
    """What reports measure."""
    return "\n".join(f"| {m.name} | {m.subject} | {m.meaning} |" for m in (*METRICS, *QUANTILES))
