"""`rics bound`: what RICS guarantees for a size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from rics_transforms.cli import shared
from rics_transforms.cli.shared import (
    Pair,
    as_size,
    percent,
    print_json,
    show_table,
    side,
    size_option,
)


@shared.command()
@shared.image_size
@size_option("--k", "Crop size in pixels.")
@shared.deltas
@click.option(
    "--order",
    type=as_size,
    metavar="J|JxJ",
    help="Lattice order. Default: the largest with patches of 16 px or more.",
)
@click.option(
    "--target",
    type=click.FloatRange(0, 1, min_open=True),
    help="Instead of --k: the largest k whose robustness reaches this fraction.",
)
@shared.as_json
def bound(
    n: Pair,
    k: Pair | None,
    deltas: tuple[int, ...],
    order: Pair | None,
    target: float | None,
    as_json: bool,
) -> None:
    """What RICS guarantees for images of N and crops of K pixels.

    Robustness is the probability that no shift within delta changes the crop (Theorem 1 for the
    paper's rule, Theorem 3 for the lattice, and what no rule can exceed); consistency is the
    probability that one given shift does not (Eq. 4).
    """
    if (k is None) == (target is None):
        raise click.UsageError("Give either --k or --target.")
    content = _bounds(n, k, deltas, order) if k else _sizes(n, deltas, order, target)
    if as_json:
        print_json(content)
    else:
        _show_bounds(content) if k else _show_sizes(content)


def _bounds(n: Pair, k: Pair, deltas: Iterable[int], order: Pair | None) -> dict[str, Any]:
    from rics_transforms import theory

    j = order or theory.lattice_order(n, k)
    rows = [
        {
            "delta": d,
            "robustness": {
                "paper": float(theory.robustness_bound(n, k, d, order=1)),
                "lattice": float(theory.robustness_bound(n, k, d, j)),
                "limit": float(theory.robustness_limit(n, k, d)),
            },
            "consistency": {
                "paper": float(theory.consistency_bound(n, k, d, order=1)),
                "lattice": float(theory.consistency_bound(n, k, d, j)),
            },
        }
        for d in deltas
    ]
    geometry = {"positions": theory.crop_positions(n, k), "patch": theory.patch_size(n, k, j)}
    return {"n": n, "k": k, **geometry, "order": j, "rows": rows}


def _show_bounds(content: dict[str, Any]) -> None:
    n, k, m, t, j = (side(content[x]) for x in ("n", "k", "positions", "patch", "order"))
    robust = [f"robust\n{rule}" for rule in ("paper\nThm 1", "lattice\nThm 3", "limit")]
    consistent = [f"consistent\n{rule}" for rule in ("paper\nEq. 4", "lattice\nEq. 4")]
    headers = ["shift\nwithin", *robust, *consistent]
    rows = []
    for row in content["rows"]:
        values = *row["robustness"].values(), *row["consistency"].values()
        rows.append([f"{row['delta']} px", *map(percent, values)])
    show_table(f"{k} px crops of {n} px images", headers, rows)
    click.echo(f"{m} places for the crop; lattice of order {j}, patches of {t} px.")


def _sizes(
    n: Pair, deltas: Iterable[int], order: Pair | None, target: float | None
) -> dict[str, Any]:
    rows = [
        {
            "delta": d,
            "paper": _largest(n, d, target, (1, 1)),
            "lattice": _largest(n, d, target, order),
        }
        for d in deltas
    ]
    return {"n": n, "target": target, "rows": rows}


def _largest(n: Pair, delta: int, target: Any, order: Pair | None) -> dict[str, Any] | None:
    """The largest crop that reaches the target, if there is one."""
    from rics_transforms import theory

    try:
        k = theory.crop_size_for(n, delta, target, order)
    except ValueError as error:
        if "`target`" in str(error):
            return None
        raise
    j = order or theory.lattice_order(n, k)
    return {"k": k, "order": j, "robustness": float(theory.robustness_bound(n, k, delta, j))}


def _show_sizes(content: dict[str, Any]) -> None:
    paper, lattice = "paper, Thm 1\nlargest k", "lattice, Thm 3\nlargest k"
    headers = ["shift\nwithin", paper, "\nrobust", lattice, "\nrobust", "\norder"]
    rows = []
    for row in content["rows"]:
        cells = [f"{row['delta']} px"]
        for rule in ("paper", "lattice"):
            found = row[rule]
            cells += [f"{found['k']} px", percent(found["robustness"])] if found else ["none", ""]
        rows.append([*cells, side(row["lattice"]["order"]) if row["lattice"] else ""])
    target, n = percent(content["target"]), side(content["n"])
    show_table(f"Largest square crops of {n} px images that are {target} robust", headers, rows)
