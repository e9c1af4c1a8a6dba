"""A process that is forked after PyTorch's threads have run answers, and with the same crops."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rics_transforms

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

WORK = """
import hashlib, os, sys, threading
import numpy as np, PIL.Image, torch
from torchvision import tv_tensors
from torchvision.transforms import v2
import rics_transforms
from rics_transforms import RICSCrop, certify, rics_crop, score_map
from rics_transforms.certificates import stability
from rics_transforms.explanation import explain

torch.set_num_threads(2)
generator = torch.Generator().manual_seed(0)
# large enough for PyTorch to share every operator among threads
IMAGES = torch.randint(0, 256, (2, 300, 304, 3), dtype=torch.uint8, generator=generator)
IMAGES = IMAGES.movedim(-1, -3)  # as arrays of pixels come: channels last
FLOATS, SHORTS = IMAGES / 255, IMAGES.to(torch.int16)
PHOTO = PIL.Image.fromarray(IMAGES[0].movedim(0, -1).numpy())
MASK = tv_tensors.Mask(IMAGES[0, :1])

def work():
    for score in rics_transforms.list_scores():
        for shifts in ("realistic", "cyclic"):
            for images in (IMAGES, FLOATS, SHORTS):
                yield rics_crop(images, 224, score=score, shifts=shifts)
            crop = RICSCrop(224, score=score, shifts=shifts)
            yield from crop(tv_tensors.Image(IMAGES[0]), MASK)
            yield v2.functional.pil_to_tensor(crop(PHOTO))
            yield crop.transform(IMAGES, {"origins": torch.full((2, 2), 40)})
        yield score_map(IMAGES[0], 224, score)
        yield RICSCrop(224, score=score).locate_windows(IMAGES[0], 296)
        yield stability(IMAGES[0], 224, 3, score=score)
        yield torch.tensor(certify(PHOTO, 224, 3, score=score).certified)
    yield v2.Normalize([0.5] * 3, [0.5] * 3)(crop(FLOATS))  # what follows in a chain

def digest(parts):
    parts = [part.as_subclass(torch.Tensor).contiguous().numpy().tobytes() for part in parts]
    return hashlib.sha256(b"".join(parts)).hexdigest()
"""

CHILDREN = (
    WORK
    + """
def ask_a_child():
    sys.stdout.flush()
    child = os.fork()
    print(digest(work()), flush=True)
    if not child:
        os._exit(torch.get_num_threads() - 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

torch.stack(list(IMAGES))  # in threads
ask_a_child()
ask_a_child()  # after everything has run in threads
"""
)

MAP = """
import datasets, numpy as np, torch
from rics_transforms.integrations.datasets import RICSBatch

if __name__ == "__main__":
    torch.set_num_threads(2)
    for dtype in (np.uint8, np.uint16):
        shape = (8, 256, 256, 3) if dtype == np.uint8 else (8, 256, 256)
        images = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
        made = datasets.Dataset.from_dict({"image": list(images)}).cast_column(
            "image", datasets.Image()
        )
        for column in (None, "crop"):
            crop = RICSBatch(224, output_column=column)
            options = {"batched": True, "load_from_cache_file": False}
            made.select(range(2)).map(crop, **options)
            here, there = made.map(crop, **options), made.map(crop, num_proc=2, **options)
            print(here["top"][:] == there["top"][:])
"""


def run(path: Path, text: str, limit: float) -> list[str]:
    path.write_text(text)
    root = str(Path(rics_transforms.__file__).resolve().parents[1])
    search = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(path)],
        env={**os.environ, "PYTHONPATH": search, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.slow
def test_forked_children_answer(tmp_path: Path) -> None:
    digests = run(tmp_path / "fork.py", CHILDREN, 120)
    assert len(digests) == 4 and len(set(digests)) == 1


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="needs datasets")
def test_workers_of_map_answer(tmp_path: Path) -> None:
    assert run(tmp_path / "map.py", MAP, 120) == ["True"] * 4
