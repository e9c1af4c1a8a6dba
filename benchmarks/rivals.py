"""The obvious ways to find the best of all crops: a random filter, correlated with the image.

Each takes one image, float32 [n, n] (the sum of the channels), and a filter [k, k], and returns the
score of every crop. None of them is exact: sums of floating-point numbers depend on where a crop
lies, in which batch, and on how many threads.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import scipy.signal
import torch
import torch.nn.functional as F
from torch import Tensor


def unfold(field: Tensor, taps: Tensor) -> Tensor:
    """Every crop written out, then one matrix product."""
    k, m = taps.shape[-1], field.shape[-1] - taps.shape[-1] + 1
    return (taps.flatten() @ F.unfold(field[None, None], k)[0]).view(m, m)


def conv2d(field: Tensor, taps: Tensor) -> Tensor:
    """One convolution with a filter as large as the crop."""
    return F.conv2d(field[None, None], taps[None, None])[0, 0]


def filter2d(field: Tensor, taps: Tensor) -> Tensor:
    """OpenCV: also a Fourier transform, and scores for crops that reach beyond the border, too."""
    m = field.shape[-1] - taps.shape[-1] + 1
    whole = cv2.filter2D(field.numpy(), -1, taps.numpy(), anchor=(0, 0))
    return torch.from_numpy(whole[:m, :m])


def fftconvolve(field: Tensor, taps: Tensor) -> Tensor:
    """SciPy: a Fourier transform of image and filter each time."""
    flipped = taps.flip(0, 1).numpy()
    return torch.from_numpy(scipy.signal.fftconvolve(field.numpy(), flipped, mode="valid"))


Rival = Callable[[Tensor, Tensor], Tensor]
RIVALS: dict[str, Rival] = {
    "unfold + matmul": unfold,
    "`F.conv2d`": conv2d,
    "`cv2.filter2D`": filter2d,
    "`scipy.signal.fftconvolve`": fftconvolve,
}


def crop(images: Tensor, taps: Tensor, rival: Rival) -> Tensor:
    """The best crop of each image [B, C, n, n], as a rival finds it."""
    k = taps.shape[-1]
    crops = []
    for image in images:
        scores = rival(image.sum(0, dtype=torch.float32), taps)
        top, left = divmod(int(scores.argmax()), scores.shape[-1])
        crops.append(image[:, top : top + k, left : left + k])
    return torch.stack(crops)
