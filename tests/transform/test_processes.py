"""Other processes choose the same crops."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import tv_tensors

import rics_transforms
from rics_transforms import RICSCrop

from .inputs import K

SCRIPT = """
import hashlib
import torch
from rics_transforms import RICSCrop
from torchvision import tv_tensors

def image(i):
    generator = torch.Generator().manual_seed(i)
    return torch.randint(0, 256, (3, 40, 36), dtype=torch.uint8, generator=generator)

def digest(tensors):
    joined = b"".join(t.as_subclass(torch.Tensor).contiguous().numpy().tobytes() for t in tensors)
    return hashlib.sha256(joined).hexdigest()

def origins():
    images = torch.stack([image(i) for i in range(64)])
    for score in ("hash", "lattice", "mexican_hat", "random", "saliency"):
        for shifts in ("realistic", "cyclic"):
            transform = RICSCrop((24, 22), score=score, shifts=shifts)
            yield transform.locate(images)
            yield transform(images / 255)

class Noise(torch.utils.data.Dataset):
    def __init__(self):
        self.transform = RICSCrop((24, 22))

    def __len__(self):
        return 8

    def __getitem__(self, i):
        sample = tv_tensors.Image(image(i)), tv_tensors.Mask(image(i)[0])
        return *self.transform(sample), i

def batches(context):
    count = 2 if context == "fork" else 1  # which have to import torch
    workers = {"num_workers": count, "multiprocessing_context": context} if context else {}
    for images, masks, _ in torch.utils.data.DataLoader(Noise(), batch_size=4, **workers):
        yield images
        yield masks

if __name__ == "__main__":
    for context in ("fork", "spawn", "forkserver"):
        print(digest(batches(context)))
    torch.set_num_threads(2)
    print(digest(origins()))
"""


def run_script(path: Path, text: str, **environment: str) -> list[str]:
    path.write_text(text)
    root = str(Path(rics_transforms.__file__).resolve().parents[2])
    search = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, str(path)],
        env={**os.environ, "PYTHONPATH": search, **environment},
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.slow
def test_processes_and_workers_of_a_data_loader_agree(tmp_path: Path) -> None:
    here: dict[str, Any] = {"__name__": "here"}
    exec(SCRIPT, here)
    loaded, origins = here["digest"](here["batches"](None)), here["digest"](here["origins"]())
    transform = RICSCrop(K)
    images = torch.stack([here["image"](i) for i in range(8)])
    crops, masks = transform(tv_tensors.Image(images), tv_tensors.Mask(images[:, 0]))
    direct = [part for pair in zip(crops.split(4), masks.split(4), strict=True) for part in pair]
    assert here["digest"](direct) == loaded
    variables = {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "2"}
    found = run_script(tmp_path / "script.py", SCRIPT, **variables)
    assert found == [loaded, loaded, loaded, origins]
