"""RICS and a model in one file: does it give what eager mode gives, and what does it cost?

Per format, one thread: latency of one image and of a batch, of the model alone (on the centre crop)
and with RICS in front; how far its logits are off, and on how many photographs the origins are
equal. With --agreement also: on how many the crop alone is equal, per score and kind of shift.
SqueezeNet has its ImageNet weights if RICS_TEST_ASSETS has them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision
from rich.console import Console
from rich.table import Table
from speed import milliseconds, spread
from torch import Tensor, nn
from torchvision.transforms import v2

from rics_transforms import RICSCrop, photos
from rics_transforms.export import export

N, K, BATCH = 256, 224, 4
Run = Callable[[Tensor], list[Tensor]]


def load_onnx(path: Path) -> Run:
    """An ONNX file for ONNX Runtime, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (name,) = (value.name for value in session.get_inputs())
    return lambda images: [torch.from_numpy(a) for a in session.run(None, {name: images.numpy()})]


def load_pt2(path: Path) -> Run:
    """A file of torch.export, run by the interpreter of PyTorch."""
    graph = torch.export.load(path).module()
    return lambda images: list(graph(images))


def compile_pt2(path: Path) -> Run:
    """The same file compiled to machine code by AOTInductor."""
    inductor: Any = torch._inductor
    package = str(path.with_suffix(".compiled.pt2"))
    inductor.aoti_compile_and_package(torch.export.load(path), package_path=package)
    graph = inductor.aoti_load_package(package)
    return lambda images: list(graph(images))


RUNTIMES: dict[str, tuple[str, Callable[[Path], Run]]] = {
    "ONNX Runtime": ("onnx", load_onnx),
    "torch.export": ("pt2", load_pt2),
    "AOTInductor": ("pt2", compile_pt2),
}


class Network(nn.Module):
    """SqueezeNet 1.0 behind its own normalisation: blue first, grey levels less their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.net = torchvision.models.squeezenet1_0()
        folder = os.environ.get("RICS_TEST_ASSETS")
        if folder:
            from safetensors.torch import load_file

            self.net.load_state_dict(load_file(Path(folder) / "squeezenet1_0.safetensors"))
        self.register_buffer("mean", torch.tensor([104.0, 117.0, 123.0]).view(3, 1, 1))

    def forward(self, crops: Tensor) -> Tensor:
        return self.net(crops.float().flip(-3) - self.mean)


class Centre(RICSCrop):
    """A crop that costs nothing, in the place of RICS."""

    def locate(self, images: Any) -> Tensor:
        return images.new_full((images.shape[0], 2), (N - K) // 2, dtype=torch.int64)


def images() -> Tensor:
    """Photographs of N pixels: the assets', or scikit-image's."""
    folder = os.environ.get("RICS_TEST_ASSETS")
    scenes = photos.folder_scenes(Path(folder) / "photos", N) if folder else photos.scenes(N)
    return torch.stack([v2.functional.center_crop(scene, [N, N]) for _, scene, *_ in scenes])


def latency(console: Console, folder: Path, batch: Tensor) -> None:
    """One file with a real model, with RICS and with a centre crop."""
    table = Table(title=f"SqueezeNet 1.0 on uint8 {N} px images: ms per image, median (quartiles)")
    for column in ("runtime", "crop", "single", f"batch of {BATCH}", "logits off by", "origins"):
        table.add_column(column, justify="left" if column in ("runtime", "crop") else "right")
    for crop in (Centre(K), RICSCrop(K)):
        model = nn.Sequential(crop, Network()).eval()
        with torch.no_grad():
            logits, origins = model(batch), crop.locate(batch)
        for runtime, (format, load) in RUNTIMES.items():
            path, _ = export(model, folder / f"model.{format}", n=N, format=format)  # type: ignore[arg-type]
            run = load(path)
            found = run(batch)
            single = milliseconds(lambda i, run=run: run(batch[i % BATCH, None]), 30)
            several = milliseconds(lambda i, run=run: run(batch[:BATCH]), 5)
            off = f"{(found[0] - logits).abs().max() / logits.abs().max():.0e}"
            same = f"{(found[1] == origins).all(1).sum()} of {len(batch)}"
            name = "centre" if isinstance(crop, Centre) else "RICS"
            table.add_row(runtime, name, spread(single), spread(several, BATCH), off, same)
    console.print(table)


def agreement(console: Console, folder: Path, batch: Tensor) -> None:
    """Origins and crops of the transform alone, against eager mode."""
    table = Table(title=f"RICSCrop({K}) on {len(batch)} photographs of {N} px: equal to eager mode")
    for column in ("score", "shifts", *RUNTIMES):
        table.add_column(column)
    for score in ("lattice", "mexican_hat", "hash"):
        for shifts in ("realistic", "cyclic"):
            crop = RICSCrop(K, score=score, shifts=shifts)  # type: ignore[arg-type]
            cells = []
            for format, load in RUNTIMES.values():
                path, _ = export(crop, folder / f"crop.{format}", n=N, format=format)  # type: ignore[arg-type]
                run = load(path)
                equal = sum(
                    torch.equal(origins, crop.locate(part)) * len(part)
                    for part in batch.split(BATCH)
                    for crops, origins in [run(part)]
                    if torch.equal(crops, crop(part))
                )
                cells.append(f"{equal}")
            table.add_row(score, shifts, *cells)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agreement", action="store_true", help="compare all scores as well")
    parser.add_argument("--limit", type=int, help="so many photographs only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    console, batch = Console(width=120), images()[: arguments.limit]
    with tempfile.TemporaryDirectory() as name:
        if arguments.agreement:
            agreement(console, Path(name), batch)
        latency(console, Path(name), batch[: 4 * BATCH])


if __name__ == "__main__":
    main()
