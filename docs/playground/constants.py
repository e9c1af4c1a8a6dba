"""The constants of the package that the scripts here share: `constants.js`.

`python docs/playground/constants.py` writes it; a test requires that it is what would be written.
"""

from __future__ import annotations

import inspect
from pathlib import Path

from rics_transforms import Random, theory
from rics_transforms.engine import exact, geometry, hashing, peaks, resampling, scores

PATH = Path(__file__).with_name("constants.js")
HEAD = "/** Constants of rics_transforms, written by constants.py. */\n\n"


def script() -> str:
    """One exported constant per line."""
    min_patch = inspect.signature(theory.lattice_order).parameters["min_patch"].default
    words = {"ROW": hashing.ROW, "COLUMN": hashing.COLUMN, "MIX": hashing.MIX}
    values = {
        "HAT_ARM": exact.HAT_SHAPE.arm,
        "HAT_SHARE": exact.HAT_SHAPE.share,
        "HAT_DOUBLINGS": exact.HAT_DOUBLINGS,
        "PAPER_SIGMAS": list(scores.PAPER_SIGMAS),
        "PAPER_CROP": scores.PAPER_CROP,
        "MODULUS": Random().modulus,
        "MIN_PATCH": min_patch,
        "UNIT": geometry.UNIT,
        "REACH": peaks.REACH,
        "DROP_BITS": peaks.BITS,
        **{name: f"{value:#x}n" for name, value in words.items()},
        "CHANNELS": f"[{', '.join(f'{hashing.channel_constant(c):#x}n' for c in range(3))}]",
        "TAPS": list(map(list, resampling.TAPS)),
        "TORUS_TAPS": list(map(list, resampling.TORUS_TAPS)),
    }
    return HEAD + "".join(f"export const {name} = {value};\n" for name, value in values.items())


if __name__ == "__main__":
    PATH.write_text(script(), encoding="utf-8", newline="\n")
