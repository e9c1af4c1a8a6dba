"""One file from images to crops, or to a model's output for them: ONNX, or torch.export.

`export` writes the graph of a `RICSCrop`, alone or at the head of an `nn.Sequential`, and compares
the written file with eager mode before returning it: the same origins and pixels, bit for bit.

| | torch.compile | pt2, AOTInductor | ONNX |
|---|---|---|---|
| `lattice`, `mexican_hat`, `hash`, `saliency` | equal | equal | equal |
| `random` | equal | equal | refused: ONNX has no float64 Fourier transform |
| a score of your own | equal | equal | if its operators are exact there (checked) |
| a score that branches on values in Python | refused | refused | refused |

As in eager mode, the hash that other scores fall back on, and the one that breaks ties, are
computed only if an image of the batch needs them: branches of the graph, `torch.cond` in PyTorch
and `If` in ONNX. What a graph cannot do:

- *Raise.* NaN, infinity and values out of range are errors in eager mode only; a graph of uint8
  images, the default, cannot meet them.
- *Order crops that differ but have equal scores and equal 63-bit hashes* on the torus: eager mode
  compares their pixels, a graph takes the first in raster order, so Theorem 2 holds except for such
  collisions.

Other ways to export go wrong, and RICS refuses them: ONNX Runtime (1.31 and 1.32 on x86) sums int64
numbers in floating point, and the maxima of 1.31 compare the lower halves of int64 as signed, so
`torch.onnx.export` called directly would silently give other crops, where `export` writes operators
that are exact; `torch.jit.trace` would keep the origins of the example.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves

from rics_transforms._arguments import Size, as_int, as_pair, require_name
from rics_transforms.resized import RICSResizedCrop
from rics_transforms.transform import RICSCrop

Format = Literal["onnx", "pt2"]


_Run = Callable[[Tensor], Sequence[Tensor]]


TOLERANCE = 1e-3
"""How far a model's outputs may be off, as a share of the largest one."""


class Exported(NamedTuple):
    """A written file, and how many images were compared with eager mode: 0 if it was not run."""

    path: Path
    verified: int


def export(
    module: nn.Module,
    path: str | os.PathLike[str],
    *,
    n: int | Sequence[int],
    format: Format | None = None,
    channels: int = 3,
    dtype: torch.dtype = torch.uint8,
    batch: int | None = None,
) -> Exported:
    """Write crop and model as one graph, from images ``[B, C, H, W]`` to their output and origins.

    The graph has one input, `images`, and these outputs: `crops` ``[B, C, kh, kw]`` for a
    `RICSCrop` alone, else `output` (or `output_0`, ...), what the modules after it return; and last
    `origins`, ``[B, 2]``, (top, left), as `locate` gives them. Nothing may precede the crop: a
    resize in another runtime rounds differently, and another crop would be chosen.

    Guarantee: on test images (`sample_images`) the written file gave the origins of eager mode, and
    without a model the pixels, bit for bit; a model's floating-point outputs were within
    `TOLERANCE`. A file that fails is not kept. The check runs on this machine's CPU; elsewhere the
    operators may differ.

    Args:
        module: a `RICSCrop`, or an `nn.Sequential` that begins with one, on the CPU; what follows
            in eval mode. For "pt2" a `RICSResizedCrop`, too.
        path: the file; an existing one is replaced.
        n: side of the images in pixels, or ``(height, width)``: fixed in the graph.
        format: "onnx": for ONNX Runtime; "pt2": for `torch.export.load`, and for AOTInductor by
            `torch._inductor.aoti_compile_and_package`. Default: what the suffix of `path` says.
        channels: C.
        dtype: of the images; floats in [0, 1] choose the same crops as uint8.
            ONNX has no bfloat16, and only uint8 of the unsigned integers.
        batch: a fixed B; None: any.

    Raises:
        TypeError: for another module, or anything but a dtype of real numbers.
        ValueError: for a suffix that names no format or contradicts `format`, a dtype that
            the format lacks, a model in training mode, or a score or model that cannot be exported.
        RuntimeError: for a file whose results differ from those of eager mode.
        ImportError: for "onnx" without the packages onnx and onnxscript.

    Warns:
        UserWarning: for "onnx" without onnxruntime, since the file could not be checked.

    Example:
        >>> folder = tempfile.TemporaryDirectory()
        >>> written = export(RICSCrop(24), folder.name + "/crop.pt2", n=32)
        >>> graph = torch.export.load(written.path).module()
        >>> crops, origins = graph(torch.zeros(5, 3, 32, 32, dtype=torch.uint8))
        >>> crops.shape, origins.shape
        (torch.Size([5, 3, 24, 24]), torch.Size([5, 2]))
        >>> folder.cleanup()
    """
    path = Path(path)
    form = _format_of(path, format)
    _check_dtype(dtype, form)
    count = None if batch is None else as_int(batch, "batch", 1)
    deployed = _Deployed(module)
    _check_resize(deployed.crop, form)
    images = sample_images(as_pair(n, "n"), as_int(channels, "channels", 1), dtype)
    batches = _fixed_batches(images, count) if count else (images[:1], images)
    with torch.no_grad(), tempfile.TemporaryDirectory(dir=path.parent) as folder:
        expected = [tree_leaves(deployed(part)) for part in batches]
        names = deployed.output_names(len(expected[0]))
        program = _trace(deployed, batches[-1] if count else images[:2], dynamic=not count)
        written = Path(folder) / path.name
        run = _WRITERS[form](program, written, names)
        if run:
            for part, wanted in zip(batches, expected, strict=True):
                _compare(names, run(part), wanted)
        os.replace(written, path)
    return Exported(path, len(images) if run else 0)


def _format_of(path: Path, format: str | None) -> str:
    """The format asked for, or else that of the suffix; they must not contradict each other."""
    if format is not None:
        require_name("format", format, _WRITERS)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"Expected the folder of `path` to exist, but got {str(path)!r}.")
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in _WRITERS and format is None:
        raise ValueError(
            f"Expected `path` to end in .onnx or .pt2, but got {str(path)!r}; rename it, or give "
            "the `format`."
        )
    if suffix in _WRITERS and format not in (None, suffix):
        raise ValueError(
            f"Expected `path` to end in .{format}, as its `format` does, but got {str(path)!r}; "
            "rename it, or leave `format` out."
        )
    return format or suffix


_LACKING = {"onnx": frozenset({torch.bfloat16, torch.uint16, torch.uint32, torch.uint64})}
"""Types of images that either a format's converter or NumPy, which feeds it, does not support."""


def _check_dtype(dtype: object, format: str) -> None:
    expected = f"Expected `dtype` to be a torch.dtype of real numbers, but got {dtype!r}."
    if not isinstance(dtype, torch.dtype) or dtype.is_complex:
        raise TypeError(expected)
    if dtype.itemsize == 1 and dtype.is_floating_point:
        raise ValueError(f"{expected} Floats of 8 bits do not hold 256 grey levels.")
    if dtype in _LACKING.get(format, ()):
        raise ValueError(
            f"Expected a `dtype` that a graph in {format} takes, but got {dtype}; use "
            "torch.uint8 or torch.float32, or format='pt2'."
        )


def _check_resize(crop: RICSCrop | RICSResizedCrop, format: str) -> None:
    if isinstance(crop, RICSResizedCrop) and format == "onnx":
        raise ValueError(
            "Expected a crop without a resize for ONNX, which rounds resized bytes differently, "
            f"but got {type(crop).__name__}; use format='pt2', or export RICSCrop(k) for the "
            "field, followed by a resize of floats."
        )


class _Deployed(nn.Module):
    """The crop, what follows it, and where the crop lies."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        crop, *rest = module if isinstance(module, nn.Sequential) and len(module) else [module]
        if not isinstance(crop, RICSCrop | RICSResizedCrop):
            raise TypeError(
                "Expected `module` to be a RICSCrop or RICSResizedCrop, or an nn.Sequential that "
                f"begins with one, but got {type(module).__name__} with {type(crop).__name__}; "
                "do what must come before, such as a resize, outside the graph."
            )
        if any(part.training for follower in rest for part in follower.modules()):
            raise ValueError(
                "Expected `module` in eval mode, but got training; call .eval() on it."
            )
        self.crop, self.rest = copy(crop), nn.Sequential(*rest)
        self.crop.return_origin = True

    def forward(self, images: Tensor) -> tuple[Any, Tensor]:
        crops, origins = self.crop(images)
        return self.rest(crops), origins

    def output_names(self, count: int) -> list[str]:
        """Names of `count` outputs, the last of which is the origins."""
        name = "output" if len(self.rest) else "crops"
        return [*([name] if count == 2 else [f"{name}_{i}" for i in range(count - 1)]), "origins"]


def _trace(module: nn.Module, images: Tensor, *, dynamic: bool) -> ExportedProgram:
    torch._dynamo.reset()  # branches traced for another batch would constrain this one
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    try:
        return torch.export.export(module, (images,), dynamic_shapes=shapes)
    except Exception as error:  # of many types, as the cause may be
        raise ValueError(
            "Expected a score and a model that torch.export can trace, without branches on values "
            f"of tensors, but got: {error}"
        ) from error


# --- the check -----------------------------------------------------------------------------------


def sample_images(n: Size, channels: int, dtype: torch.dtype) -> Tensor:
    """What every exported file is tried on, ``[B, C, *n]``.

    Noise; smooth noise, which like photographs has many nearly equal scores; and ties of every
    kind: flat, tiled and two-valued images, and halves with equal channel sums but other channels.
    """
    generator = torch.Generator().manual_seed(0)

    def noise(count: int, size: Size) -> Tensor:
        return torch.randint(0, 256, (count, channels, *size), generator=generator)

    smooth = F.interpolate(noise(12, (n[0] // 8 + 2, n[1] // 8 + 2)).float(), n, mode="bilinear")
    tiles = noise(1, (6, 8)).repeat(1, 1, n[0] // 6 + 1, n[1] // 8 + 1)[..., : n[0], : n[1]]
    half = noise(1, (n[0], -(-n[1] // 2)))
    halves = torch.cat([half, half.flip(1)], -1)[..., : n[1]]
    two_valued = (noise(1, n) // 128) * 255
    flat = torch.full_like(two_valued, 77)
    images = torch.cat([noise(12, n), smooth.round().long(), tiles, halves, two_valued, flat])
    if dtype == torch.bool:
        return images > 127
    return (images / 255).to(dtype) if dtype.is_floating_point else images.to(dtype)


def _fixed_batches(images: Tensor, batch: int) -> tuple[Tensor, ...]:
    """All images in batches of one size, some of them twice to fill the last."""
    count = -(-len(images) // batch) * batch
    return images[torch.arange(count) % len(images)].split(batch)


def _compare(names: Sequence[str], outputs: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    """Refuse outputs that differ from eager mode's."""
    for name, found, wanted in zip(names, outputs, expected, strict=True):
        if found.dtype != wanted.dtype:
            same = False
        elif name.startswith("output") and wanted.is_floating_point():
            slack = TOLERANCE * float(wanted.abs().max())
            same = torch.allclose(found, wanted, rtol=0, atol=slack, equal_nan=True)
        else:
            same = torch.equal(found, wanted)
        if not same:
            raise RuntimeError(
                f"Expected `{name}` of the exported graph to equal that of eager mode, but got "
                "another; nothing was written. The score or the model has an operator that this "
                "runtime computes differently: use another score, or another format."
            )


# --- files ---------------------------------------------------------------------------------------


def _write_pt2(program: ExportedProgram, path: Path, names: Sequence[str]) -> _Run:
    torch.export.save(program, path)
    graph = torch.export.load(path).module()
    return lambda images: tree_leaves(graph(images))


def _write_onnx(program: ExportedProgram, path: Path, names: Sequence[str]) -> _Run | None:
    _save_onnx(program, path, names)
    try:
        import onnxruntime
    except ImportError:
        warnings.warn(
            f"{path.name} was not compared with eager mode, which needs onnxruntime: "
            "pip install 'rics-transforms[export]'",
            stacklevel=3,
        )
        return None
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: [
        torch.from_numpy(array) for array in session.run(None, {"images": images.numpy()})
    ]


_WRITERS: dict[str, Callable[[ExportedProgram, Path, Sequence[str]], _Run | None]] = {
    "onnx": _write_onnx,
    "pt2": _write_pt2,
}
"""How a file of each format is written, and then run."""


def _save_onnx(program: ExportedProgram, path: Path, output_names: Sequence[str]) -> None:
    if any("fft" in str(node.target) for node in program.graph.nodes):
        raise ValueError(
            "Expected a score without Fourier transforms for ONNX, which has none in float64, but "
            "got one, as 'random' has; use format='pt2' or another score."
        )
    onnx_program = torch.onnx.export(
        program.run_decompositions(_EXACT),
        input_names=["images"],
        output_names=output_names,
        dynamo=True,
        verbose=False,
    )
    assert onnx_program is not None
    onnx_program.save(path, external_data=False)


# --- operators that are exact in ONNX Runtime -----------------------------------------------------


def _sum(x: Tensor, dims: Sequence[int], keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Integer sums as the last cumulative sum, which does not go through floating point."""
    dtype = dtype or (x.dtype if x.is_floating_point() else torch.int64)
    if dtype.is_floating_point or dtype.is_complex:
        return NotImplemented
    wide = torch.int64 if dtype == torch.int64 and x.dtype != torch.bool else torch.int32
    x = x.to(wide)
    for dim in dims:
        x = x.cumsum(dim, dtype=wide).narrow(dim, x.shape[dim] - 1, 1)
    return (x if keepdim else x.squeeze(tuple(dims))).to(dtype)


def _maximum(x: Tensor, y: Tensor) -> Tensor:
    return torch.where(x >= y, x, y) if x.dtype == torch.int64 else NotImplemented


def _max(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    if x.dtype != torch.int64:
        return NotImplemented
    place = x.argmax(dim, keepdim=True)
    largest = x.gather(dim, place)
    return (largest, place) if keepdim else (largest.squeeze(dim), place.squeeze(dim))


def _amax(x: Tensor, dims: Sequence[int], keepdim: bool = False) -> Tensor:
    if x.dtype != torch.int64:
        return NotImplemented
    for dim in dims:
        x = _max(x, dim, keepdim=True)[0]
    return x if keepdim else x.squeeze(tuple(dims))


_EXACT: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.sum.dim_IntList: _sum,
    torch.ops.aten.maximum.default: _maximum,
    torch.ops.aten.max.other: _maximum,
    torch.ops.aten.max.dim: _max,
    torch.ops.aten.amax.default: _amax,
}
"""Exact replacements for the operators that ONNX Runtime computes inexactly."""
