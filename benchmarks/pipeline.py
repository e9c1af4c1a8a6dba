"""What RICS adds to an input pipeline, and what robustness costs by test-time augmentation.

JPEG files are decoded, resized to a short side of 256 px, cropped and normalised, with PIL images
or with tensors. The plain pipeline takes the centre 224 px; with RICS, the centre 256 px and the
224 px in them that `RICSCrop` chooses. Both take turns on every file; "added" is the difference on
the same file, and the overhead its median over that of the plain pipeline. Then the classes that
SqueezeNet 1.0 gives to shifted windows of 256 px: from one crop of 224 px, or from logits averaged
over 5 or 10 of them, with 95 % Clopper-Pearson intervals. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import PIL.Image
import squeezenet
import torch
from tables import Target, cell, heading, print_head, print_row, print_targets
from timing import interleaved, machine, spread
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

from rics_transforms import RICSCrop, verify
from rics_transforms.data import photos
from rics_transforms.models.model import Model

N, K, SHORT, DELTAS = 256, 224, 288, (1, 3)
LIMIT, WORKERS, BATCH = 5, 2, 32  # percent
MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]

CROPS: dict[str, list[v2.Transform]] = {
    "centre crop": [v2.CenterCrop(K)],
    "RICS": [v2.CenterCrop(N), RICSCrop(K)],
}
"""The steps between resizing and normalising."""


# --- loading -------------------------------------------------------------------------------------


class Files(Dataset[Tensor]):
    """Files as the model wants them, by way of PIL images or of tensors."""

    def __init__(self, paths: list[Path], backend: str, crop: str) -> None:
        self.paths, self.decode = paths, {"PIL": _decode_pil, "tensor": _decode_tensor}[backend]
        last = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, DEVIATION)]
        self.transform = v2.Compose(
            [v2.Resize(N, antialias=True), *CROPS[crop], v2.ToImage(), *last]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> Tensor:
        return self.transform(self.decode(self.paths[i]))


def _decode_pil(path: Path) -> PIL.Image.Image:
    with PIL.Image.open(path) as image:
        return image.convert("RGB")


def _decode_tensor(path: Path) -> Tensor:
    return decode_jpeg(read_file(str(path)), mode=ImageReadMode.RGB)


def jpegs(folder: Path, limit: int | None) -> Iterator[tuple[int, str, list[Path]]]:
    """Files by their short side: those of RICS_TEST_ASSETS, and tiles written into the folder."""
    if assets := os.environ.get("RICS_TEST_ASSETS"):
        yield 320, "ImageNet photographs", sorted((Path(assets) / "photos").glob("*.jpg"))[:limit]
    paths = []
    for _, scene in islice(photos.scenes(512), limit):
        paths.append(folder / f"{len(paths)}.jpg")
        v2.functional.to_pil_image(scene).save(paths[-1], quality=90)
    yield 512, "tiles of the photographs in scikit-image", paths


# --- overhead ------------------------------------------------------------------------------------


def print_overheads(side: int, source: str, paths: list[Path], rounds: int) -> list[Target]:
    heading(f"Overhead of RICS: ms per image, {len(paths)} {source}, short side {side} px")
    print_head("", "centre crop", "RICS", "added", "overhead")
    targets = []
    for setting, measure in (("one process", by_file), (f"{WORKERS} workers", by_loader)):
        for backend in ("PIL", "tensor"):
            plain, rics = measure(backend, paths, rounds)
            added = [b - a for a, b in zip(plain, rics, strict=True)]
            share = 100 * statistics.median(added) / statistics.median(plain)
            name = f"{backend}, {setting}"
            print_row(name, spread(plain), spread(rics), spread(added), f"{share:.1f} %")
            title, wanted = f"pipeline, files of {side} px, {name}", f"at most {LIMIT} % more"
            targets.append(Target(title, wanted, f"{share:.1f} %", share <= LIMIT))
    return targets


def by_file(backend: str, paths: list[Path], rounds: int) -> list[list[float]]:
    """In one process, on one thread: every file in turn, both ways."""
    files = {crop: Files(paths, backend, crop) for crop in CROPS}
    ways = {crop: lambda i, f=f: f[i % len(f)] for crop, f in files.items()}
    return list(interleaved(ways, rounds * len(paths)).values())


def by_loader(backend: str, paths: list[Path], rounds: int) -> list[list[float]]:
    """All files by a DataLoader with workers, alternating between both ways; workers are kept."""
    loaders = {
        crop: DataLoader(Files(paths, backend, crop), BATCH, num_workers=WORKERS,
                         persistent_workers=True)
        for crop in CROPS
    }  # fmt: skip
    ways = {crop: lambda _, x=x: sum(len(batch) for batch in x) for crop, x in loaders.items()}
    times = interleaved(ways, 3 * rounds).values()
    return [[t / len(paths) for t in column] for column in times]


# --- robustness ----------------------------------------------------------------------------------


class Averaged:
    """A model that sees whole windows, and averages its logits over crops of them.

    It does not run again on crops that it has seen, so that 5 crops cost nothing on top of 10.
    """

    def __init__(self, model: Model, crops: Callable[[Tensor], tuple[Tensor, ...]]) -> None:
        self.model, self.crops = model, crops

    def __call__(self, windows: Tensor) -> Tensor:
        return torch.stack([self._logits(torch.stack(self.crops(w))).mean(0) for w in windows])

    def _logits(self, crops: Tensor) -> Tensor:
        keys = [blake2b(crop.numpy().tobytes(), digest_size=16).digest() for crop in crops]
        new = [i for i, key in enumerate(keys) if key not in _KNOWN]
        if new:
            logits = self.model(crops[new]).logits
            _KNOWN.update(zip((keys[i] for i in new), logits, strict=True))
        return torch.stack([_KNOWN[key] for key in keys])


_KNOWN: dict[bytes, Tensor] = {}


def one(crop: v2.Transform) -> Callable[[Tensor], tuple[Tensor, ...]]:
    return lambda window: (crop(window),)


WAYS: dict[str, Callable[[Tensor], tuple[Tensor, ...]]] = {
    "centre crop": one(v2.CenterCrop(K)),
    "RICS": one(RICSCrop(K)),
    "5 crops": v2.FiveCrop(K),
    "10 crops": v2.TenCrop(K),
}


def print_robustness(limit: int, most: int, rounds: int) -> None:
    """Class under shifts, and the time from the window to the class."""
    model = squeezenet.model()
    deltas = [delta for delta in DELTAS if delta <= most]
    images = list(squeezenet.Photographs(N + 2 * max(DELTAS), SHORT, limit))
    heading(f"Robustness for its price: n = {N}, k = {K}, {len(images)} photographs, one thread")
    names = [f"robust at D = {delta}, %" for delta in deltas]
    names.append(f"the same per forward, D = {deltas[-1]}")
    print_head("", "forwards", "ms per image", "ms added", "top-1, %", *names)
    times = costs(model, [scene[:, :N, :N] for _, scene, _ in images], rounds)
    plain = times["centre crop"]
    for name, crops in WAYS.items():
        report = verify(images, _whole, model=Averaged(model, crops), n=N, deltas=deltas)
        rows = [report.row("adversarial_robustness", "class", delta) for delta in deltas]
        forwards, top1 = len(crops(images[0][1])), cell(report.row("accuracy", "class"))
        added = [b - a for a, b in zip(plain, times[name], strict=True)]
        price = "" if name == "centre crop" else spread(added)
        share = f"{100 * rows[-1].value / forwards:.1f}"
        cells = (spread(times[name]), price, top1, *map(cell, rows), share)
        print_row(name, str(forwards), *cells)


def costs(model: Model, windows: list[Tensor], rounds: int) -> dict[str, list[float]]:
    """Milliseconds from the window to the averaged logits, all ways in turns."""
    ways = {
        name: lambda i, c=crops: model(torch.stack(c(windows[i % len(windows)]))).logits
        for name, crops in WAYS.items()
    }
    return interleaved(ways, 10 * rounds)


def _whole(window: Tensor) -> Tensor:
    return window


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, help="use at most this many files for the overhead")
    parser.add_argument("--limit", type=int, default=24, help="photographs for the robustness")
    parser.add_argument("--delta", type=int, default=max(DELTAS), help="the largest shift")
    parser.add_argument("--rounds", type=int, default=3, help="of measuring")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        targets = [
            target
            for side, source, paths in jpegs(Path(folder), options.files)
            for target in print_overheads(side, source, paths, options.rounds)
        ]
    if "RICS_TEST_ASSETS" in os.environ:
        print_robustness(options.limit, options.delta, options.rounds)
    else:
        print("\nRobustness is left out: it needs RICS_TEST_ASSETS.")
    print_targets(targets)


if __name__ == "__main__":
    main()
