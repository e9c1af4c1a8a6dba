"""Networks of which it is known how they fare under cyclic shifts, with random weights.

Four of them are one architecture in float64, whose convolutions wrap around and have the same
weights; they differ in how they lower the resolution, twice by two:

| network | says the same after cyclic shifts by | because |
|---|---|---|
| `stride_free` | whole pixels | it keeps the resolution, and the mean does not care where |
| `polyphase` | whole pixels | of four ways to subsample it takes that of the largest norm |
| `alias_free` | any fraction of a pixel | every layer keeps to the sampling theorem |
| `strided` | multiples of 4 pixels only | it subsamples as a convolution with a stride does |

`resnet` is timm's, strided or with BlurPool.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

CLASSES = 10
CHANNELS = (3, 8, 12, 12)


def stride_free() -> nn.Sequential:
    return _network(nn.ReLU, nn.Identity)


def polyphase() -> nn.Sequential:
    return _network(nn.ReLU, Polyphase)


def alias_free() -> nn.Sequential:
    return _network(Polynomial, LowPass)


def strided() -> nn.Sequential:
    return _network(nn.ReLU, Subsample)


def _network(activation: Callable[[], nn.Module], down: Callable[[], nn.Module]) -> nn.Sequential:
    """The last feature maps are called "features", the last layer "classes"."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        one, two, three = (
            nn.Conv2d(before, after, 3, padding=1, padding_mode="circular")
            for before, after in pairwise(CHANNELS)
        )
        classes = nn.Linear(CHANNELS[-1], CLASSES)
    layers = {
        "centred": Centred(),
        "features": nn.Sequential(
            one, activation(), down(), two, activation(), down(), three, activation()
        ),
        "mean": nn.AdaptiveAvgPool2d(1),
        "flat": nn.Flatten(),
        "classes": classes,
    }
    return nn.Sequential(OrderedDict(layers)).double()


def resnet(seed: int, blur: bool) -> nn.Module:
    """A narrow ResNet-10, with BlurPool or without: the weights are the same."""
    import timm
    from timm.layers import BlurPool2d

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = timm.create_model(
            "resnet10t",
            num_classes=CLASSES,
            stem_width=8,
            channels=(16, 24, 32, 48),
            zero_init_last=False,  # or the blocks would do nothing before training
            aa_layer=BlurPool2d if blur else None,
        )
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.padding_mode = "circular"
        elif isinstance(module, BlurPool2d):
            module.pad_mode = "circular"
    return nn.Sequential(OrderedDict(centred=Centred(), net=net.double()))


@torch.no_grad()
def balance(net: nn.Module, classes: nn.Linear, images: Tensor) -> None:
    """Let the scores of every class have mean 0 on these images, and all together deviation 1.

    Random weights favour one class, whatever they are shown, and nothing changes it.
    """
    logits = net.eval()(images)
    mean = logits.mean(0)
    deviation = (logits - mean).std()
    classes.bias.sub_(mean).div_(deviation)
    classes.weight.div_(deviation)


# --- layers --------------------------------------------------------------------------------------


class Centred(nn.Module):
    """uint8, or floats in [0, 1], as float64 in [-1, 1]."""

    def forward(self, images: Tensor) -> Tensor:
        return 2 * images.double() / (1 if images.is_floating_point() else 255) - 1


class Subsample(nn.Module):
    """Every second pixel of every second row."""

    def forward(self, x: Tensor) -> Tensor:
        return x[..., ::2, ::2]


class Polyphase(nn.Module):
    """Of the four ways to subsample that of the largest norm (Chaman & Dokmanic 2021).

    A shift by whole pixels permutes the four and rolls each.
    """

    def forward(self, x: Tensor) -> Tensor:
        phases = torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)], 1)
        largest = phases.flatten(2).norm(dim=2).argmax(1)
        return phases[torch.arange(len(x)), largest]


class LowPass(nn.Module):
    """Half the resolution, without what it cannot show (Michaeli et al. 2023)."""

    def forward(self, x: Tensor) -> Tensor:
        return resample(x, x.shape[-1] // 2)


class Polynomial(nn.Module):
    """0.2 + x + 0.5 x^2, without what the resolution cannot show (Michaeli et al. 2023).

    A square has twice the bandwidth, for which there is room at twice the resolution.
    """

    def forward(self, x: Tensor) -> Tensor:
        fine = resample(x, 2 * x.shape[-1])
        return resample(0.2 + fine + 0.5 * fine**2, x.shape[-1])


def resample(x: Tensor, side: int) -> Tensor:
    """The trigonometric polynomial through ``[..., n, n]``, at ``[..., side, side]`` places.

    Only the frequencies below the Nyquist frequency of both grids are kept.
    """
    n = x.shape[-1]
    most = (min(n, side) - 1) // 2
    wave = torch.arange(-most, most + 1)
    spectrum = x.new_zeros(*x.shape[:-2], side, side, dtype=torch.complex128)
    kept = torch.fft.fft2(x)[..., wave[:, None] % n, wave % n]
    spectrum[..., wave[:, None] % side, wave % side] = kept
    return torch.fft.ifft2(spectrum).real * (side / n) ** 2
