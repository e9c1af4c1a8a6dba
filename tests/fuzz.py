"""Odd command lines, records files and images, for a bounded time: every fault is a traceback.

    make fuzz                      for a minute
    make fuzz SECONDS=600 SEED=7   longer, and other cases

Whatever comes in, a command must end with 0, 1 or 2, say so in lines without control characters,
and print no traceback. Cases follow from the seed alone: a fault is found again by its number.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import PIL.Image
from click.testing import CliRunner, Result

from rics_transforms import RICSCrop, verify
from rics_transforms.cli.commands import rics

VALUES = """
0 1 -1 2 3 24 32 40 224 1e9 99999999999999999999 -0 0x10 1.5 nan inf 24x24 24x 24x0 x24 30x20 auto
'' - -- . .. / a,b 1,3 1,,3 lattice hash random mexican_hat saliency lattice:order=2 lattice:order=
lattice:patch=hash,patch=random hash:x=1 mexican_hat:sigma=1e-8 mexican_hat:sigma=nan
random:modulus=2^64 lattice:order=------1 realistic cyclic realistic:delta=1 half:samples=2
realistic:then=jpeg:quality=0 png webp keep json folders [red]x[/red] \x1b[31m \u202e \ud800 %s {}
torch.nn:Flatten timm:none a:b:c
""".split()

ODD: list[Any] = [
    None, True, 0, -1, 1.5, 1e400, "", "x", "\ud800", [], [[]], {}, [None], 2**80, {"k": 1},
]  # fmt: skip


def commands(chance: random.Random, folder: Path) -> list[str]:
    """A command with some of its options, and values that may fit."""
    name = chance.choice(sorted(set(rics.commands) - {"export"}))  # which takes half a minute
    arguments = [name]
    if "--k" in {flag for param in rics.commands[name].params for flag in param.opts}:
        arguments += ["--k", "24"]
    options = [param for param in rics.commands[name].params if isinstance(param, click.Option)]
    for option in chance.sample(options, chance.randint(0, min(4, len(options)))):
        arguments.append(option.opts[0])
        if not option.is_flag:
            arguments.append(chance.choice(VALUES))
    places = [*folder.iterdir(), folder / "photos" / "0.png", folder / "none"]
    for _ in range(chance.randint(0, 2)):
        arguments.append(str(chance.choice(places)))
    if name == "verify" and chance.random() < 0.8:
        arguments += ["--limit", "2", "--n", "32", "--delta", "1"]
    return arguments


def records(chance: random.Random, folder: Path) -> list[str]:
    """The report of a records file in which something was changed."""
    lines = (folder / "records.jsonl").read_text("utf-8").splitlines()
    for _ in range(chance.randint(1, 3)):
        number = chance.randrange(len(lines))
        lines[number] = chance.choice([_other_bytes, _other_value, _other_line])(
            chance, lines[number]
        )
    path = folder / "changed.jsonl"
    path.write_text("\n".join(lines) + "\n", "utf-8", errors="surrogatepass")
    return ["report", str(path), "--output", str(folder / "report")]


def _other_bytes(chance: random.Random, line: str) -> str:
    place = chance.randrange(len(line) + 1)
    return line[:place] + chance.choice(["", "\x00", "é", "9", '"', "[", "}"]) + line[place + 1 :]


def _other_value(chance: random.Random, line: str) -> str:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return line
    holder, key = chance.choice(list(_places(content)) or [(None, None)])
    if holder is not None:
        holder[key] = chance.choice(ODD)
    return json.dumps(content)


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every key of every object, and every index of every list."""
    items = content.items() if isinstance(content, dict) else ()
    items = enumerate(content) if isinstance(content, list) else items
    for key, value in items:
        yield content, key
        yield from _places(value)


def _other_line(chance: random.Random, line: str) -> str:
    return chance.choice(["", "[]", "{}", line + "\n" + line, "[" * 5000, line[: len(line) // 2]])


def images(chance: random.Random, folder: Path) -> list[str]:
    """A crop of an image file of which some bytes were changed."""
    source = chance.choice(sorted((folder / "photos").iterdir()))
    content = bytearray(source.read_bytes())
    for _ in range(chance.randint(1, 8)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    path = folder / f"changed{source.suffix}"
    path.write_bytes(content[: chance.choice([len(content), chance.randrange(len(content))])])
    return [chance.choice(["locate", "certify", "explain"]), str(path), "--k", "24"]


KINDS: list[Callable[[random.Random, Path], list[str]]] = [commands, records, images]


@contextlib.contextmanager
def limit(seconds: int) -> Iterator[None]:
    """Raise in what takes longer."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"takes more than {seconds} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def fault(result: Result) -> str | None:
    """What is wrong with the end of a command."""
    error = result.exception
    if "takes more than" in result.output:
        return result.output
    if error is not None and not isinstance(error, SystemExit):
        return "".join(traceback.format_exception(error)[-3:])
    if result.exit_code not in (0, 1, 2):
        return f"exit code {result.exit_code}"
    if strange := {c for c in result.stderr if not c.isprintable()} - set("\n"):
        return f"control characters {strange!r} on stderr"
    return None


def prepare(folder: Path) -> None:
    """Images of several kinds, and the records of a run."""
    (folder / "photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (48, 52, 3), dtype=np.uint8)
    picture = PIL.Image.fromarray(noise)
    for number, suffix in enumerate(["png", "jpg", "tif", "webp", "gif", "bmp"]):
        exif = {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"} if suffix in ("jpg", "webp") else {}
        picture.save(folder / "photos" / f"{number}.{suffix}", **exif)
    scenes = [np.roll(noise, shift, 1) for shift in range(3)]
    named = [(f"{i}.png", _as_tensor(scene), None) for i, scene in enumerate(scenes)]
    verify(named, RICSCrop(24), n=32, deltas=[1], records=folder / "records.jsonl")


def _as_tensor(image: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(image.copy()).movedim(-1, 0)


def main(seconds: str = "60", seed: str = "0") -> None:
    """Run cases until the time is over; exit with 1 if there was a fault."""
    end, found, ends = time.monotonic() + float(seconds), 0, Counter[tuple[str, int]]()
    number = int(seed) * 1_000_000
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        folder = Path(name)
        prepare(folder)
        while time.monotonic() < end:
            chance = random.Random(number)
            kind = chance.choice(KINDS)
            arguments = kind(chance, folder)
            with limit(30):
                result = CliRunner().invoke(rics, arguments)
            ends[kind.__name__, result.exit_code] += 1
            if wrong := fault(result):
                found += 1
                print(f"case {number}: rics {arguments!r}\n{wrong}\n", flush=True)
            number += 1
    for (kind_name, code), count in sorted(ends.items()):
        print(f"{kind_name:10} exit code {code}: {count}")
    if found:
        sys.exit(f"{found} faults")


if __name__ == "__main__":
    main(*sys.argv[1:])
