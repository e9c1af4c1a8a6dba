"""Compiled code for plain tensors on a CPU: bit-identical to PyTorch, and faster.

`_native.c` has the built-in scores of uint8 images, from the first byte to the best patch without
leaving the cache, the conversion of floats, and the crop. It is built if a C compiler is available
when the package is installed; without it, and for every other input (wider pixels, other devices,
graphs), the formulations in `exact`, `hashing`, `selection` and `crop` compute the same.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import pairwise
from math import prod
from typing import Any, Literal, NamedTuple, TypeGuard, TypeVar

import torch
from torch import Tensor

from rics_transforms._arguments import Size
from rics_transforms.engine import exact, hashing
from rics_transforms.engine.exact import HAT_SHAPE, HatShape
from rics_transforms.engine.tracing import is_traced

Sizes = tuple[int, ...]


_R = TypeVar("_R")


try:
    import rics_transforms.engine._native as _native
except ImportError:  # built without a compiler
    _native = None  # type: ignore[assignment]
else:
    _native.constants(hashing.ROW, hashing.COLUMN, hashing.MIX)


_LARGEST = 2**40  # pixels of an image; far below what overflows the sizes of its scratch memory

_PIXELS_PER_THREAD = 2**18  # starting a thread takes as long as scoring about this many


class Kernel(NamedTuple):
    """Which patch function, and its parameters apart from the size of the patch.

    "hash": the rolling hash; "hat", "saliency": a Mexican hat of this span and shape over channel
    sums, over their edges; "separable": ``u(y) g(x) + g(y) u(x)``, where u and g are
    `factors(length, sigma)`.
    """

    kind: Literal["hash", "hat", "saliency", "separable"]
    span: Size = (0, 0)
    shape: HatShape = HAT_SHAPE
    factors: Callable[[int, float], tuple[list[int], list[int]]] | None = None
    sigma: float = 0


def is_available() -> bool:
    """Whether the compiled code was built."""
    return _native is not None


def integer_image(images: Tensor) -> Tensor:
    """As `exact.integer_image`; float32 images of 256 grey levels in a single pass."""
    if images.dtype == torch.float32:
        if _is_dense(images):
            return _levels(images)
        channels_last = images.movedim(-3, -1)  # as images of PIL and NumPy lie in memory
        if _is_dense(channels_last):
            return _levels(channels_last).movedim(-1, -3)
    return exact.integer_image(images)


def _levels(images: Tensor) -> Tensor:
    """Grey levels of dense float32 values in any order of axes, if they are any."""
    levels = torch.empty(images.shape, dtype=torch.uint8, device="cpu")

    source = _address(images, torch.float32, images.shape)
    target = _address(levels, torch.uint8, images.shape)

    def quantise(start: int, stop: int) -> bool:
        return _native.quantise(source + 4 * start, stop - start, target + start)

    on_grid = _share(quantise, images.numel(), 1)
    return levels if all(on_grid) else exact.integer_image(images)


def copies(images: Tensor) -> bool:
    """Whether `crop` can copy from these images: contiguous ones that need no gradients."""
    return _is_dense(images) and not (images.requires_grad and torch.is_grad_enabled())


def _is_dense(tensor: Tensor) -> bool:
    """Whether the compiled code can read the values in the order in which they lie in memory."""
    return (
        _native is not None
        and tensor.is_cpu
        and not is_traced(tensor)
        and tensor.is_contiguous()
        and not tensor.is_neg()
        and not tensor.is_conj()
    )


def crop(images: Tensor, origins: Tensor, size: Size) -> Tensor:
    """Windows of images ``[B, ..., H, W]`` at origins inside, int64 ``[B, 2]``; may wrap around."""
    lead, (height, width) = images.shape[:-2], images.shape[-2:]
    crops = torch.empty((*lead, *size), dtype=images.dtype, device="cpu")
    planes, item = prod(lead[1:]), images.itemsize
    plan = array("q", [planes, height, width, *size, item]).tobytes()
    origins = origins.contiguous()
    source = _address(images, images.dtype, images.shape)
    places = _address(origins, torch.int64, (len(images), 2))
    target = _address(crops, images.dtype, (*lead, *size))

    def copy(start: int, stop: int) -> None:
        _native.crop(
            source + start * planes * height * width * item,
            plan,
            places + start * 2 * origins.itemsize,
            stop - start,
            target + start * planes * size[0] * size[1] * item,
        )

    _share(copy, len(images), size[0] * size[1] // 4)  # a pixel costs less than to score it
    return crops


def resample(images: Tensor, places: Tensor, size: Size, *, cyclic: bool, taps: bytes) -> Tensor:
    """Crops of bytes ``[B, ..., H, W]`` at places in 1/64 px, int64 ``[B, 2]``."""
    lead, (height, width) = images.shape[:-2], images.shape[-2:]
    crops = torch.empty((*lead, *size), dtype=torch.uint8, device="cpu")
    planes = prod(lead[1:])
    plan = array("q", [planes, height, width, *size, cyclic]).tobytes()
    places = places.contiguous()
    source = _address(images, torch.uint8, images.shape)
    where = _address(places, torch.int64, (len(images), 2))
    target = _address(crops, torch.uint8, (*lead, *size))

    def work(start: int, stop: int) -> None:
        _native.resample(
            source + start * planes * height * width,
            plan,
            where + start * 2 * places.itemsize,
            stop - start,
            target + start * planes * size[0] * size[1],
            taps,
        )

    _share(work, len(images), planes * size[0] * size[1])
    return crops


def applies(kernel: Kernel | None, pixels: Tensor, size: Size) -> TypeGuard[Kernel]:
    """Whether the compiled code has this kernel for patches of images ``[B, C, H, W]``."""
    return (
        kernel is not None
        and _native is not None
        and pixels.dtype == torch.uint8
        and pixels.is_cpu
        and not is_traced(pixels)
        and _fits(kernel, pixels.shape[-3], size)
    )


def patch_map(kernel: Kernel, pixels: Tensor, size: Size, *, cyclic: bool) -> Tensor:
    """Scores of all patches of uint8 images ``[B, C, H, W]``, as the level's `patch_map` gives.

    On the torus patches wrap around: there is a score for every pixel.
    """
    rows, columns = pixels.shape[-2:]
    if not cyclic:
        rows, columns = rows - size[0] + 1, columns - size[1] + 1
    dtype = torch.int64 if kernel.kind in ("hash", "separable") else torch.int32
    scores = torch.empty((len(pixels), rows, columns), dtype=dtype, device="cpu")
    _run(kernel, pixels, size, nms=False, cyclic=cyclic, maps=scores)
    return scores


def fill_best(
    best: Tensor, kernel: Kernel, pixels: Tensor, size: Size, *, nms: bool, cyclic: bool,
    subpixel: bool = False,
) -> None:  # fmt: skip
    """Fill in a best patch of each image ``[B, C, H, W]`` that has none yet.

    `best` is int64 ``[B, 5]``: row, column, how many equal it, and where its peak lies below and to
    the right of it in 1/64 px. With `nms` only local maxima away from the edge count, with
    `subpixel` as well by the heights of their peaks; where there is none, the number stays 0.
    """
    _run(kernel, pixels, size, nms=nms, cyclic=cyclic, subpixel=subpixel, best=best)


def _run(
    kernel: Kernel,
    pixels: Tensor,
    size: Size,
    *,
    nms: bool,
    cyclic: bool,
    subpixel: bool = False,
    maps: Tensor | None = None,
    best: Tensor | None = None,
) -> None:
    """Score the images, on as many threads as PyTorch would use, and fill in what is given."""
    stride, *strides = pixels.stride()
    if pixels.shape[-2] * pixels.shape[-1] > _LARGEST:
        raise MemoryError(f"Expected at most 2**40 pixels, but got {tuple(pixels.shape)}.")
    plan = _plan(kernel, tuple(pixels.shape[1:]), tuple(strides), size, nms, cyclic, subpixel)
    filters = _filters(kernel, size)
    source = _address(pixels, torch.uint8, pixels.shape, dense=False)
    scores = 0 if maps is None else _address(maps, maps.dtype, (len(pixels), *maps.shape[1:]))
    found = 0 if best is None else _address(best, torch.int64, (len(pixels), 5))

    def score(start: int, stop: int) -> None:
        _native.run(
            plan,
            filters,
            source + start * stride,
            stride,
            stop - start,
            0 if maps is None else scores + start * maps.stride(0) * maps.itemsize,
            0 if best is None else found + start * 5 * best.itemsize,
        )

    _share(score, len(pixels), pixels.shape[-2] * pixels.shape[-1])


def _address(tensor: Tensor, dtype: torch.dtype, shape: Sizes, *, dense: bool = True) -> int:
    """The address of a tensor, if it is what the compiled code expects: C does not check."""
    if (
        tensor.dtype != dtype
        or tensor.shape != shape
        or not tensor.is_cpu
        or (dense and not tensor.is_contiguous())
    ):
        raise ValueError(
            f"Expected a {'contiguous ' if dense else ''}tensor of {dtype} on a CPU with shape "
            f"{tuple(shape)}, but got {tensor.dtype} on {tensor.device} with {tuple(tensor.shape)}."
        )
    return tensor.data_ptr()


def _share(work: Callable[[int, int], _R], count: int, pixels: int) -> list[_R]:
    """Split `count` images of `pixels` each among as many threads as PyTorch would use."""
    threads = max(1, min(torch.get_num_threads(), count, count * pixels // _PIXELS_PER_THREAD))
    if threads == 1:
        return [work(0, count)]
    (first, *others) = pairwise(count * i // threads for i in range(threads + 1))
    # New threads for every call: idle ones would not survive a fork, and might wake on a busy core.
    with ThreadPoolExecutor(threads - 1) as pool:
        results = [_started(pool, work, bounds) for bounds in others]
        return [work(*first), *(result() for result in results)]


def _started(
    pool: ThreadPoolExecutor, work: Callable[[int, int], _R], bounds: tuple[int, int]
) -> Callable[[], _R]:
    """Gives the result of another thread, or of this one while the interpreter shuts down."""
    try:
        return pool.submit(work, *bounds).result
    except RuntimeError:
        return partial(work, *bounds)


@lru_cache(1024)
def _plan(
    kernel: Kernel, shape: Sizes, strides: Sizes, size: Size, nms: bool, cyclic: bool,
    subpixel: bool,
) -> bytes:  # fmt: skip
    """The `Plan` of `_native.c`, for images ``[C, H, W]`` of this shape and these strides."""
    steps: Any = ((), ())
    arms: Any = (0, 0)
    shift = 0
    if kernel.span != (0, 0):
        geometries = (exact.hat_geometry(span, kernel.shape) for span in kernel.span)
        steps, arms = zip(*geometries, strict=True)
        shift, _ = exact.hat_range(kernel.span, 0, kernel.shape)
    kind = ("hash", "hat", "saliency", "separable").index(kernel.kind)
    fields = [kind, nms, cyclic, subpixel, *shape, *strides, *size, shift, *arms, *map(len, steps)]
    return array("q", [*fields, *steps[0], *steps[1]]).tobytes()


@lru_cache(64)
def _filters(kernel: Kernel, size: Size) -> bytes:
    """The filters of a separable kernel: g and u across, u and g down; for others none."""
    if kernel.factors is None:
        return b""
    (u_y, g_y), (u_x, g_x) = (kernel.factors(length, kernel.sigma) for length in size)
    return array("i", [*g_x, *u_x, *u_y, *g_y]).tobytes()


@lru_cache(1024)
def _fits(kernel: Kernel, channels: int, size: Size) -> bool:
    """Whether 32 bits hold every sum of a hat, and every sum across of a separable kernel."""
    limit = 255 * channels
    if kernel.kind == "separable":
        taps = array("i", _filters(kernel, size))[: 2 * size[1]]
        return limit * sum(map(abs, taps)) < 2**31 and limit * 2**32 < 2**53
    if kernel.kind == "hash":
        return True
    limit *= 2 if kernel.kind == "saliency" else 1
    return exact.hat_range(kernel.span, limit, kernel.shape)[1] < 2**31
