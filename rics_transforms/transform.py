"""`RICSCrop` and its functions: find the best crop of an image and cut it out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from rics_transforms import theory
from rics_transforms._arguments import Size, as_int, as_pair
from rics_transforms.engine.cutting import crop_tensor
from rics_transforms.engine.geometry import UNIT, Geometry
from rics_transforms.engine.images import (
    Images,
    as_pixels,
    as_tensor,
    check_crop,
    to_array,
)
from rics_transforms.engine.maps import patch_map
from rics_transforms.engine.scores import Score, complete_levels, get_score, require_smooth
from rics_transforms.engine.selection import select
from rics_transforms.engine.windows import select_windows
from rics_transforms.samples import SampleCrop, Shifts, is_cyclic

if TYPE_CHECKING:
    from rics_transforms.certificates import Certificate


@overload
def locate(
    images: Tensor | PIL.Image.Image,
    k: int | Sequence[int],
    *,
    score: str | Score = ...,
    shifts: Shifts = ...,
    subpixel: bool = ...,
) -> Tensor: ...
@overload
def locate(
    images: np.ndarray,
    k: int | Sequence[int],
    *,
    score: str | Score = ...,
    shifts: Shifts = ...,
    subpixel: bool = ...,
) -> np.ndarray: ...
def locate(
    images: Images,
    k: int | Sequence[int],
    *,
    score: str | Score = "lattice",
    shifts: Shifts = "realistic",
    subpixel: bool = False,
) -> Tensor | np.ndarray:
    """Origin of the crop that RICS selects in each image (Algorithm 1 of Shifman & Weiss 2024).

    The origin depends on the pixels alone: bit-identical in any batch, dtype (uint8, or float in
    [0, 1] holding the same grey levels), memory layout, number of threads, and on any device.

    Args:
        images: ``[..., C, H, W]`` of any real dtype and number of channels, a PIL image, or a NumPy
            array ``[..., H, W, C]`` (``[H, W]`` for a grey one). A `tv_tensors.Video`
            ``[..., T, C, H, W]`` has one crop per clip: the frames' scores are added.
        k: side of the crop in pixels, or ``(height, width)``.
        score: a name (`list_scores`), with options as in "lattice:order=2", or a `Score`.
        shifts: "realistic": crops inside the image, for scenes that move under the camera;
            "cyclic": crops that wrap around, for which every integer cyclic shift of the image
            leads to the same crop (Theorem 2).
        subpixel: follow what moves by fractions of a pixel, see `RICSCrop`.

    Returns:
        int64 ``[..., 2]``: (top, left); an array for an array. With `subpixel` float64, in pixels,
        multiples of 1/64: from -1/2 to below m - 1/2, cyclic from 0 to below n.

    Raises:
        TypeError: for complex images, or a `k` that is not an int or pair of ints.
        ValueError: for a `k` larger than the image or below 1, an unknown score, NaN or infinity,
            or `subpixel` with a score that is not smooth.

    Example:
        The crop moves with the image; on the torus, always:

        >>> image = torch.rand(3, 32, 32)
        >>> moved = image.roll((5, -3), dims=(-2, -1))
        >>> (locate(moved, 24, shifts="cyclic") - locate(image, 24, shifts="cyclic")) % 32
        tensor([ 5, 29])
    """
    rule = require_smooth(get_score(score), subpixel)
    origins = _locate(images, as_pair(k, "k"), rule, is_cyclic(shifts), subpixel)
    return origins.numpy() if isinstance(images, np.ndarray) else origins


@overload
def rics_crop(
    images: Tensor | PIL.Image.Image,
    k: int | Sequence[int],
    *,
    score: str | Score = ...,
    shifts: Shifts = ...,
    subpixel: bool = ...,
) -> Tensor: ...
@overload
def rics_crop(
    images: np.ndarray,
    k: int | Sequence[int],
    *,
    score: str | Score = ...,
    shifts: Shifts = ...,
    subpixel: bool = ...,
) -> np.ndarray: ...
def rics_crop(
    images: Images,
    k: int | Sequence[int],
    *,
    score: str | Score = "lattice",
    shifts: Shifts = "realistic",
    subpixel: bool = False,
) -> Tensor | np.ndarray:
    """The crop that RICS selects in each image: ``[..., C, H, W]`` to ``[..., C, kh, kw]``.

    Arguments and errors are those of `locate`; dtype and device are those of the input, an array
    gives an array ``[..., kh, kw, C]``. Pixels are copied unchanged, and gradients flow through
    them.

    Example:
        >>> rics_crop(torch.rand(2, 3, 64, 64), (48, 56)).shape
        torch.Size([2, 3, 48, 56])
    """
    tensor = as_tensor(images)
    size, cyclic = as_pair(k, "k"), is_cyclic(shifts)
    origins = _locate(tensor, size, require_smooth(get_score(score), subpixel), cyclic, subpixel)
    crops = crop_tensor(tensor, origins, size, cyclic, selected=True)
    return to_array(crops, images) if isinstance(images, np.ndarray) else crops


def score_map(
    images: Images,
    k: int | Sequence[int],
    score: str | Score = "lattice",
    *,
    level: int = 0,
    shifts: Shifts = "realistic",
) -> Tensor:
    """The integer score of every crop, before non-maximum suppression.

    For the lattice score a crop has the score of the best of its patches.

    Args:
        level: which level of a score with fallbacks, 0 being the first; the last is the hash.

    The other arguments and the errors are those of `locate`.

    Returns:
        int64 ``[..., H - kh + 1, W - kw + 1]``, or ``[..., H, W]`` on the torus.

    Example:
        >>> score_map(torch.zeros(3, 10, 12), (6, 8), score="hash").shape
        torch.Size([5, 5])
    """
    pixels, lead = as_pixels(images)
    size, cyclic = as_pair(k, "k"), is_cyclic(shifts)
    check_crop(size, pixels)
    n = pixels.shape[-2], pixels.shape[-1]
    geometry = Geometry.of(n, size, get_score(score), cyclic)
    levels = complete_levels(get_score(score), geometry.t)
    chosen = levels[as_int(level, "level", 0, len(levels) - 1)]
    patches = patch_map(pixels, geometry.t, chosen, cyclic).to(torch.int64)
    return geometry.fold(patches).reshape(*lead, *geometry.crops)


class RICSCrop(SampleCrop):
    """Crop every image at a place its content determines: a shifted window gives the same crop.

    Robust Inference by Crop Selection (Shifman & Weiss, ECCV 2024) as a torchvision v2 transform:
    deterministic, one crop per image of a batch, on any device. Images (tensors with any leading
    dimensions, `tv_tensors.Image`, PIL), videos (one crop per clip), masks, bounding boxes and
    keypoints of a sample are cropped together; the first image or video decides where.

    **Guarantee.** Let the window be n x n, m = n - k + 1, and let it move over the scene by at most
    D pixels per axis. For a pseudo-random score (Definition 1: its maximum is equally likely at any
    position) the same k x k pixels are returned for every such move with probability at least
    ``((m - 2D) / (m + 2D))^2`` for a score of whole crops (Theorem 1), and ``(j (m - 2D) / (j m +
    2D))^2`` for the lattice score of order j (Theorem 3, `robustness_bound`). The default score
    is not pseudo-random: it came within three percentage points on 200 ImageNet photographs
    (`benchmarks/guarantee.py`); ``score=Lattice(patch="hash")`` is. With
    ``shifts="cyclic"`` every integer cyclic shift gives the same pixels (Theorem 2).

    Args:
        k: side of the crop in pixels, or ``(height, width)``; at most the image's.
        score: a name (`list_scores`), with options as in "lattice:order=2", or a `Score`.
        shifts: "realistic" or "cyclic", see `locate`.
        subpixel: place crops between the pixels: a scene that moves by a fraction of a pixel, as
            in front of any real camera, gives nearly the same crop. Needs a smooth score: "lattice"
            with a smooth patch, "mexican_hat" or "saliency".
        return_origin: give ``(output, origins)``, the latter as `locate` does. The transforms that
            follow in a chain leave origins alone; with them, `uncrop` maps annotations back.

    **Between the pixels** (``subpixel=True``). A quadratic surface through the 3 x 3 scores around
    every local maximum tells where its peak lies, in 1/64 px, and how high; the highest peak
    wins, and the crop is resampled at its place by ten Lanczos taps per axis, on a torus by 32. All
    of it is integer arithmetic for uint8 images, so crops are bit-identical wherever the same
    pixels are seen. After a shift by whole pixels the same peak wins at the same place as often as
    without `subpixel`, and the crop has the same pixels where it stays 5 px from the border of the
    window: nearer the border the taps would reach beyond it, so they repeat it, and up to 5 outer
    rows and columns can differ. Under fractional shifts nothing is promised for single images: the
    documentation says how often the peak is found again, and how far off. Floats (which are not
    rounded) have gradients through the taps. Masks are cut at the nearest whole pixel, as are boxes
    of integers and PIL images with a palette, one bit, or fewer bands than the image that decides;
    other boxes and keypoints move by the fraction. A PIL image that decides loses its palette.

    As in every v2 transform, the second of two plain tensors passes through uncropped, and a plain
    label tensor must not come before the image: wrap inputs in `tv_tensors` when in doubt. A mask
    given as a PIL image must come after its image, or be wrapped in `tv_tensors.Mask`. A list is a
    sample, too, whose first image decides for all: pass images that need their own crops one by
    one, or as a batch. A NumPy array ``[..., H, W, C]`` is an image when it comes alone, and gives
    an array; elsewhere it passes through.

    Warns:
        UserWarning: for several images of one size in a list or tuple without annotations, which
            may be meant as a batch. Images that belong together can come in a dict.

    Example:
        >>> transform = RICSCrop(48)
        >>> images = torch.rand(8, 3, 64, 64)
        >>> transform(images).shape
        torch.Size([8, 3, 48, 48])
        >>> transform.locate(images).shape
        torch.Size([8, 2])
    """

    def __init__(
        self,
        k: int | Sequence[int],
        *,
        score: str | Score = "lattice",
        shifts: Shifts = "realistic",
        subpixel: bool = False,
        return_origin: bool = False,
    ) -> None:
        super().__init__(score, shifts, subpixel, return_origin)
        self.k = as_pair(k, "k")

    @overload
    def locate(self, images: Tensor | PIL.Image.Image) -> Tensor: ...
    @overload
    def locate(self, images: np.ndarray) -> np.ndarray: ...
    def locate(self, images: Images) -> Tensor | np.ndarray:
        """Origins of the crops, ``[..., 2]`` (top, left); see `rics_transforms.locate`."""
        origins = _locate(images, self.k, self.score, self.shifts == "cyclic", self.subpixel)
        return origins.numpy() if isinstance(images, np.ndarray) else origins

    def locate_windows(self, scenes: Images, n: int | Sequence[int]) -> Tensor:
        """The crop that every n x n window of a larger scene selects, at about the cost of one.

        Equal, bit for bit, to `locate` of each window plus the window's place.

        Args:
            scenes: ``[..., C, H, W]``, as `locate` takes images.
            n: side of the windows in pixels, or ``(height, width)``.

        Returns:
            int64 ``[..., H - nh + 1, W - nw + 1, 2]``: (top, left) in the scene, one per window,
            so that windows that select the same crop of the scene have equal entries. With
            `subpixel` float64.

        Raises:
            ValueError: for windows smaller than `k` or larger than the scene, or shifts="cyclic".

        Example:
            >>> RICSCrop(20).locate_windows(torch.rand(3, 34, 36), 32).shape
            torch.Size([3, 5, 2])
        """
        if self.shifts == "cyclic":
            raise ValueError("Expected `shifts` to be 'realistic' for windows, but got 'cyclic'.")
        window = as_pair(n, "n")
        theory.crop_positions(window, self.k)
        pixels, lead = as_pixels(scenes)
        if window[0] > pixels.shape[-2] or window[1] > pixels.shape[-1]:
            raise ValueError(
                f"Expected `n` to be at most the scene size {tuple(pixels.shape[-2:])}, "
                f"but got {window}."
            )
        origins = select_windows(pixels, window, self.k, self.score, subpixel=self.subpixel)
        return _in_pixels(origins.reshape(*lead, *origins.shape[1:]), self.subpixel)

    def _params(self, guide: Any) -> dict[str, Any]:
        """The origins, and the image that chose them, in which they need no check."""
        return {"origins": self.locate(guide), "guide": guide}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._cut(inpt, params["origins"], self.k, params.get("guide"))

    def extra_repr(self) -> str:
        subpixel = ", subpixel=True" if self.subpixel else ""
        return f"k={self.k}, score={self.score!r}, shifts={self.shifts!r}{subpixel}"

    def certify(
        self,
        scene: Images,
        delta: int,
        *,
        n: int | Sequence[int] | None = None,
    ) -> Certificate:
        """Whether any shift within delta changes the crop; see `rics_transforms.certify`.

        Args:
            scene: one image ``[C, H, W]``: the middle window and at least delta pixels around it.
            delta: largest shift in pixels along either axis.
            n: side of the windows, or ``(height, width)``. Default: the scene less delta on each
                side.

        Raises:
            ValueError: with shifts="cyclic", and as the function does.

        Example:
            >>> scene = torch.zeros(3, 40, 40)
            >>> scene[:, 20, 21] = 1
            >>> RICSCrop(24).certify(scene, 2).certified
            True
        """
        from rics_transforms.certificates import certify

        if self.shifts == "cyclic":
            raise ValueError(
                "Expected `shifts` to be 'realistic' for a certificate, but got 'cyclic': cyclic "
                "crops survive every shift (Theorem 2)."
            )
        return certify(scene, self.k, delta, n=n, score=self.score, subpixel=self.subpixel)

    def stability(self, images: Images, delta: int) -> Tensor:
        """The probability that no shift within delta changes the crop, from the images alone.

        See `rics_transforms.certificates.stability`; 1 with shifts="cyclic" (Theorem 2).

        Args:
            images: ``[..., C, H, W]`` as `locate` takes them.
            delta: largest shift in pixels along either axis.

        Returns:
            float64 ``[...]``.

        Raises:
            ValueError: with `subpixel`, for shifts that are not cyclic, and as the function does.

        Example:
            >>> RICSCrop(24, shifts="cyclic").stability(torch.rand(3, 32, 32), 5)
            tensor(1., dtype=torch.float64)
        """
        from rics_transforms.certificates import stability

        if self.shifts == "cyclic":
            return torch.ones_like(self.locate(as_tensor(images))[..., 0], dtype=torch.float64)
        if self.subpixel:
            raise ValueError(
                "Expected `subpixel` to be False for `stability`, whose coefficients were fitted "
                "to crops at whole pixels; `certify` decides for a scene that is known."
            )
        return stability(images, self.k, delta, score=self.score)


def _locate(images: Images, size: Size, score: Score, cyclic: bool, subpixel: bool) -> Tensor:
    pixels, lead = as_pixels(images)
    check_crop(size, pixels)
    origins = select(pixels, size, score, cyclic=cyclic, subpixel=subpixel)
    return _in_pixels(origins.reshape(*lead, 2), subpixel)


def _in_pixels(origins: Tensor, subpixel: bool) -> Tensor:
    return origins.to(torch.float64) / UNIT if subpixel else origins
