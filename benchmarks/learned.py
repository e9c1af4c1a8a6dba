"""A learned score: the kernel trained with a consistency loss, as Shifman & Weiss (2024) suggest.

Windows of 224 px, crops of 140. A kernel of 9 x 9 knots, enlarged to the patches of the lattice or
to whole crops, rates them by a dot product. It starts as a Mexican hat and is trained so that the
windows at the four corners of all shifts within 9 px select one crop: the loss is -log of the
probability that two of them do, each drawing a local maximum by the softmax of its scores. Then it
is rounded to integers. Trained on scenes of every second photograph and on tiles of those in
scikit-image, tested on the others; and again with the halves exchanged. Tables: what training does
to the scenes it sees; crops kept under all shifts, and with the companions of a shift; each with
the difference to the default score, and its 95 % interval by a bootstrap of photographs, as each
gives scenes at three scales. Prints Markdown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations, product
from typing import NamedTuple

import companions
import numpy as np
import scenes
import torch
import torch.nn.functional as F
from guarantee import DELTAS
from tables import heading, print_head, print_row
from torch import Tensor
from torchvision.transforms.v2.functional import center_crop

from rics_transforms import Lattice, RICSCrop, Score, get_score
from rics_transforms._arguments import Size
from rics_transforms.data import photos
from rics_transforms.engine import exact
from rics_transforms.engine.scores import Level
from rics_transforms.theory import crop_positions, lattice_order, patch_size

N, K = 224, 140
D = max(DELTAS)
REACH = N + 2 * D  # side of a scene
SIDES = (256, 288, 320)  # short sides of the photographs
APART = 39  # pixels between the scenes to train on
TILES = 1000  # of the photographs in scikit-image
KNOTS = 9
LARGEST = 2**10  # of the taps, as integers
STEPS, BATCH, RATE = 600, 16, 0.02
PEAKS = 48  # of a scene, the highest ones: others are hardly ever drawn
SHARPNESS = (4.0, 16.0)  # of the softmax, first and last; scores have a standard deviation of 1
DRAWS = 10_000
DEFAULT = "lattice"


def main() -> None:
    options = scenes.parser(__doc__).parse_args()
    torch.set_num_threads(1)
    images = [scenes.load(options, side) for side in SIDES]
    tiles = torch.stack([tile for _, tile in photos.scenes(REACH, minimum=TILES)])
    heading("Scenes seen in training whose four corner windows select one crop, %")
    print_head("kernel", "photographs", "scenes", "before", "after", words=2)
    rules: dict[str, list[Score]] = {
        name: [get_score(name)] * 2
        for name in (DEFAULT, "lattice:patch=saliency", "mexican_hat", "random")
    }
    for name, plan in PLANS.items():
        rules[name] = []
        for half in (1, 0):
            seen = torch.cat([*(all_scenes(photo[half::2]) for photo in images), tiles])
            score, before, after = plan.learn(seen)
            shares = (f"{100 * share:.1f}" for share in (before, after))
            print_row(name, ("even", "odd")[half], str(len(seen)), *shares)
            rules[name].append(score)
    print_tests(torch.stack([center_crop(photo, [REACH, REACH]) for photo in images], 1), rules)


def all_scenes(images: Tensor) -> Tensor:
    """Scenes that overlap, uint8 [B * scenes, 3, REACH, REACH]."""
    cut = images.unfold(-2, REACH, APART).unfold(-2, REACH, APART)
    return cut.movedim(1, 3).flatten(0, 2)


# --- the score -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Learned(Lattice):
    """Patches, or whole crops, rated by a kernel."""

    taps: tuple[tuple[int, ...], ...] = field(default=(), repr=False)

    def levels(self, size: Size) -> tuple[Level, ...]:
        return (Level(partial(_map, taps=torch.tensor(self.taps).double()), nms=True),)


def _map(pixels: Tensor, size: Size, *, taps: Tensor) -> Tensor:
    def spectrum(padded: Size) -> Tensor:
        return torch.fft.rfft2(taps, s=padded).conj_physical()

    grey, limit = exact.channel_sum(pixels), exact.channel_limit(pixels)
    return exact.correlate(grey, size, spectrum, limit=limit, norm=taps.norm().item())


# --- training ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What a kernel rates, patches of a lattice of this order, and whether it must be symmetric."""

    order: int
    symmetric: bool = True

    def learn(self, images: Tensor) -> tuple[Learned, float, float]:
        """The score of a kernel trained on scenes, uint8 [B, 3, REACH, REACH].

        And the share of them whose corner windows select one crop, before and after.
        """
        grey = exact.channel_sum(images).float()
        spectra = torch.fft.rfft2(grey - grey.mean((1, 2), keepdim=True))
        before, after = self.kernel(hat()), self.trained(spectra)
        taps = (after * (LARGEST / after.abs().max())).round().long()
        score = Learned(order=self.order, taps=tuple(map(tuple, taps.tolist())))
        return score, self.agreement(spectra, before), self.agreement(spectra, after)

    def trained(self, spectra: Tensor) -> Tensor:
        """A kernel for scenes, by their Fourier transforms [B, H, W]."""
        generator, knots = torch.Generator().manual_seed(0), hat().requires_grad_()
        optimiser = torch.optim.Adam([knots], RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
        for sharpness in torch.linspace(*SHARPNESS, STEPS).tolist():
            batch = spectra[torch.randint(len(spectra), (BATCH,), generator=generator)]
            peaks = self.peaks(batch, self.kernel(knots))
            loss = disagreement([*self.choices(peaks, sharpness)])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        return self.kernel(knots).detach()

    def kernel(self, knots: Tensor) -> Tensor:
        """The knots enlarged to a patch, less their mean: a flat patch is rated 0."""
        if self.symmetric:
            turned = torch.stack([knots.rot90(turns) for turns in range(4)])
            knots = (turned + turned.mT).mean(0) / 2
        kernel = F.interpolate(knots[None, None], patch_size(N, K, self.order), mode="bicubic")
        return kernel[0, 0] - kernel.mean()

    def peaks(self, spectra: Tensor, kernel: Tensor) -> Peaks:
        """The highest local maxima of the score in each scene."""
        positions = self.order * crop_positions(N, K)[0] + 2 * D
        products = spectra * torch.fft.rfft2(kernel, s=(REACH, REACH)).conj()
        scores = torch.fft.irfft2(products, s=(REACH, REACH))[:, :positions, :positions]
        scores = scores / scores.std((1, 2), keepdim=True)
        best = inner_maxima(scores.detach()).flatten(1).topk(PEAKS).indices
        places = torch.stack([best // (positions - 2), best % (positions - 2)], -1) + 1
        at = places[..., 0] * positions + places[..., 1]
        return Peaks(scores.flatten(1).gather(1, at), places)

    def choices(self, peaks: Peaks, sharpness: float) -> Iterator[Choice]:
        """What the windows at the four corners of all shifts choose."""
        m = crop_positions(N, K)[0]
        for corner in map(torch.tensor, product((0, 2 * D), repeat=2)):
            inside = peaks.places - corner
            seen = ((inside >= 1) & (inside <= self.order * m - 2)).all(-1)
            chances = (sharpness * peaks.heights).where(seen, -1e9).softmax(-1)
            yield Choice(chances, corner + inside % m)

    def agreement(self, spectra: Tensor, kernel: Tensor) -> float:
        """The share of scenes, of every fourth, whose corner windows select one crop."""
        same: list[bool] = []
        for batch in spectra[::4].split(BATCH):
            choices = self.choices(self.peaks(batch, kernel), 1)
            crops = torch.stack([c.crops[range(len(batch)), c.chances.argmax(1)] for c in choices])
            same += (crops == crops[0]).all(-1).all(0).tolist()
        return sum(same) / len(same)


class Peaks(NamedTuple):
    """Local maxima of scores: their heights [B, PEAKS] and places [B, PEAKS, 2]."""

    heights: Tensor
    places: Tensor


class Choice(NamedTuple):
    """With which probability a window draws each peak [B, PEAKS], and its crop [B, PEAKS, 2]."""

    chances: Tensor
    crops: Tensor


def hat() -> Tensor:
    """A Mexican hat that the knots just hold."""
    squares = (torch.arange(KNOTS) - KNOTS // 2).square() / 1.35**2 / 2
    squares = squares[:, None] + squares
    return (1 - squares) * (-squares).exp()


def inner_maxima(scores: Tensor) -> Tensor:
    """Local maxima [B, H - 2, W - 2] of [B, H, W], minus infinity elsewhere."""
    rows = torch.maximum(torch.maximum(scores[:, :-2], scores[:, 1:-1]), scores[:, 2:])
    largest = torch.maximum(torch.maximum(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:])
    inner = scores[:, 1:-1, 1:-1]
    return inner.where(inner >= largest, -torch.inf)


def disagreement(choices: list[Choice]) -> Tensor:
    """-log of the probability that two windows select one crop, the mean over all pairs."""
    losses = []
    for first, second in combinations(choices, 2):
        same = (first.crops[:, :, None] == second.crops[:, None]).all(-1)
        agreement = (first.chances[:, :, None] * second.chances[:, None] * same).sum((1, 2))
        losses.append(-(agreement + 1e-6).log().mean())
    return torch.stack(losses).mean()


PLANS = {
    "learned, patches": Plan(lattice_order(N, K)[0], symmetric=False),
    "learned, patches, symmetric": Plan(lattice_order(N, K)[0]),
    "learned, whole crops, symmetric": Plan(1),
}


# --- testing -------------------------------------------------------------------------------------

Found = dict[str, np.ndarray]
"""For each column of a table one value per photograph and scale: [photographs, scales]."""


def print_tests(images: Tensor, rules: dict[str, list[Score]]) -> None:
    """All tables, of photographs at several scales [B, scales, 3, REACH, REACH].

    The first score of a rule is for photographs of even number, the second for the others.
    """
    halves = [images[half::2].flatten(0, 1) for half in (0, 1)]
    views = [companions.windows(half, N) for half in halves]
    moves = partial(companions.moves, k=K)
    lost = {rule: joined(map(changes, halves, scores)) for rule, scores in rules.items()}
    moved = {
        rule: joined(moves(view, score=score) for view, score in zip(views, scores, strict=True))
        for rule, scores in rules.items()
    }
    heading(f"Crop kept under every shift within D, %: {len(images)} photographs at {len(SIDES)} "
            f"scales, n {N}, k {K}")  # fmt: skip
    print_shares(lost, 0)
    heading("Crop kept with the companions of a shift, %")
    print_shares(moved, 0)
    heading("Crop moved by at most 2 px with the companions of a shift, %")
    print_shares(moved, 2)


def changes(scenes: Tensor, score: Score) -> dict[str, Tensor]:
    """How many shifts within D lead to another crop, for each D: [scenes]."""
    places = torch.stack([RICSCrop(K, score=score).locate_windows(scene, N) for scene in scenes])
    other = (places != places[:, D : D + 1, D : D + 1]).any(-1)
    return {f"D = {d}": other[:, D - d : D + d + 1, D - d : D + d + 1].sum((1, 2)) for d in DELTAS}


def joined(halves: Iterable[dict[str, Tensor]]) -> Found:
    """What was found of the photographs in both halves."""
    first, second = halves
    return {
        column: torch.cat([first[column], second[column]]).view(-1, len(SIDES)).numpy()
        for column in first
    }


def print_shares(found: dict[str, Found], most: int) -> None:
    """The share of values up to `most`; of learned scores also the difference to the default."""
    shares = {
        rule: {column: (values <= most).mean(1) for column, values in columns.items()}
        for rule, columns in found.items()
    }
    default = shares[DEFAULT]
    print_head("score", *default)
    for rule, columns in shares.items():
        print_row(rule, *(f"{100 * share.mean():.1f}" for share in columns.values()))
        if rule in PLANS:
            print_row("less the default", *(difference(columns[c], default[c]) for c in default))


def difference(shares: np.ndarray, default: np.ndarray) -> str:
    """The mean difference in points, with its interval."""
    more = 100 * (shares - default)
    drawn = np.random.default_rng(0).integers(len(more), size=(DRAWS, len(more)))
    low, high = np.quantile(more[drawn].mean(1), (0.025, 0.975))
    return f"{more.mean():+.1f} ({low:+.0f} to {high:+.0f})"


if __name__ == "__main__":
    main()
