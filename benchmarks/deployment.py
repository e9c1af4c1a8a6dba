"""RICS and a model in one file: does it give what eager mode gives, and what does it cost?

Per runtime, on one thread: milliseconds per image of a model after the centre crop and after RICS,
one image and a batch at a time; how far its logits are off, and on how many photographs the origins
are equal. With --agreement also the crop alone, per score and kind of shift: milliseconds, and on
how many photographs origins and pixels are equal. SqueezeNet has its ImageNet weights if
RICS_TEST_ASSETS names a folder that has them. With --operators, only: which of the operators that
`export` replaces the installed ONNX Runtime computes exactly.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torchvision
from tables import heading, print_head, print_row
from timing import interleaved, machine, milliseconds, spread
from torch import Tensor, nn
from torchvision.transforms import v2

from rics_transforms import RICSCrop
from rics_transforms.data import photos
from rics_transforms.graph import export

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
    """SqueezeNet 1.0 after its own normalisation: blue first, grey levels minus their mean."""

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
    """A crop that costs nothing, in place of RICS."""

    def locate(self, images: Any) -> Tensor:
        return images.new_full((images.shape[0], 2), (N - K) // 2, dtype=torch.int64)


CROPS: dict[str, RICSCrop] = {"centre": Centre(K), "RICS": RICSCrop(K)}


def images() -> Tensor:
    """Photographs of N pixels: the assets', or scikit-image's."""
    folder = os.environ.get("RICS_TEST_ASSETS")
    scenes = photos.folder_scenes(Path(folder) / "photos", N) if folder else photos.scenes(N)
    return torch.stack([v2.functional.center_crop(scene, [N, N]) for _, scene, *_ in scenes])


def latency(folder: Path, batch: Tensor) -> None:
    """One file with a real model, with RICS and with a centre crop."""
    heading(f"SqueezeNet 1.0 on uint8 {N} px images: ms per image, median (quartiles)")
    kinds = [f"{crop}, {size}" for size in ("one", f"batch of {BATCH}") for crop in CROPS]
    print_head("runtime", *kinds, "logits off by", "origins equal")
    models = {name: nn.Sequential(crop, Network()).eval() for name, crop in CROPS.items()}
    print_row("PyTorch, eager", *times(models, batch), "0", "")
    with torch.no_grad():
        logits, origins = models["RICS"](batch), CROPS["RICS"].locate(batch)
    for runtime, (format, load) in RUNTIMES.items():
        runs = {}
        for name, model in models.items():
            path, _ = export(model, folder / f"{name}.{format}", n=N)
            runs[name] = load(path)
        found = runs["RICS"](batch)
        off = (found[0] - logits).abs().max() / logits.abs().max()
        same = (found[1] == origins).all(1).sum()
        print_row(runtime, *times(runs, batch), f"{off:.0e}", f"{same} of {len(batch)}")


@torch.no_grad()
def times(runs: Mapping[str, Callable[[Tensor], object]], batch: Tensor) -> list[str]:
    """Of single images and of batches, for each of the runs."""
    cells = []
    for size, rounds in ((1, 40), (BATCH, 10)):
        parts = batch.split(size)
        calls = {
            name: lambda i, run=run, parts=parts: run(parts[i % len(parts)])
            for name, run in runs.items()
        }
        cells += [spread(values, size) for values in interleaved(calls, rounds).values()]
    return cells


def agreement(folder: Path, batch: Tensor) -> None:
    """The crop alone, against eager mode."""
    heading(
        f"RICSCrop({K}) on {len(batch)} photographs of {N} px: ms for one image, "
        "and on how many origin and pixels are those of eager mode"
    )
    print_head("score", "shifts", "PyTorch, eager", *RUNTIMES, words=2)
    for score in ("lattice", "mexican_hat", "hash"):
        for shifts in ("realistic", "cyclic"):
            crop = RICSCrop(K, score=score, shifts=shifts)  # type: ignore[arg-type]
            cells = [single(crop, batch)]
            for format, load in RUNTIMES.values():
                path, _ = export(crop, folder / f"crop.{format}", n=N)
                run = load(path)
                equal = sum(count_equal(run(part), crop, part) for part in batch.split(BATCH))
                cells.append(f"{single(run, batch)}; {equal} of {len(batch)}")
            print_row(score, shifts, *cells)


def single(run: Callable[[Tensor], object], batch: Tensor) -> str:
    return spread(milliseconds(lambda i: run(batch[i % len(batch), None]), 40))


def count_equal(outputs: list[Tensor], crop: RICSCrop, images: Tensor) -> int:
    """How many images have the crop and the origin of eager mode."""
    crops, origins = outputs
    same = (crops == crop(images)).flatten(1).all(1) & (origins == crop.locate(images)).all(1)
    return int(same.sum())


OPERATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda x: x.sum(1),
    "maximum": lambda x: torch.maximum(x, x.flip(1)),
    "max": lambda x: x.max(1)[0],
    "amax": lambda x: x.amax((1, 2)),
}
"""Those of int64 that `export` replaces."""


class Operator(nn.Module):
    """A graph of one operator."""

    def __init__(self, compute: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.compute = compute

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(x)


def operators(folder: Path) -> None:
    """What ONNX Runtime makes of the operators that `export` replaces by others."""
    import onnxruntime

    heading(f"Operators of int64 in ONNX Runtime {onnxruntime.__version__}")
    print_head("operator", "exact")
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-(2**62), 2**62, (64, 5, 6), generator=generator)
    x[32:] >>= 28  # numbers that often differ in their lower halves alone
    for name, compute in OPERATORS.items():
        path = folder / f"{name}.onnx"
        torch.onnx.export(Operator(compute).eval(), (x,), path, dynamo=True, verbose=False)
        try:
            (found,) = load_onnx(path)(x)
            answer = "yes" if torch.equal(found, compute(x)) else "no"
        except Exception as error:  # the runtime has many
            answer = f"refused: {type(error).__name__}"
        print_row(name, answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agreement", action="store_true", help="compare all scores as well")
    parser.add_argument("--operators", action="store_true", help="only test which are exact")
    parser.add_argument("--limit", type=int, help="use only this many photographs")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        if arguments.operators:
            operators(Path(name))
            return
        batch = images()[: arguments.limit]
        latency(Path(name), batch[: 4 * BATCH])
        if arguments.agreement:
            agreement(Path(name), batch)


if __name__ == "__main__":
    main()
