"""Draw docs/images/moving.svg: a window that moves over a photograph, its crops, and the answers.

    python docs/figures/moving.py

Needs the extra `demo`. The picture moves by CSS alone, and not for who asked for less motion.
"""

from __future__ import annotations

import base64
from collections.abc import Hashable, Sequence
from html import escape
from io import BytesIO
from itertools import groupby
from pathlib import Path

import PIL.Image
import skimage.data
import torch
from torch import Tensor
from torchvision.models import EfficientNet_B0_Weights
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import pil_to_tensor

from rics_transforms import RICSCrop
from rics_transforms.models.efficientnet import lite0
from rics_transforms.palette import BLUE, VERMILION

N, K, REACH = 256, 224, 6
SIDE = N + 2 * REACH
PATH = Path(__file__).parents[1] / "images" / "moving.svg"
RATE = 5
"""Pixels per second."""
RULES = {
    "centre": ("Centre crop", VERMILION, v2.CenterCrop(K)),
    "rics": ("RICS", BLUE, RICSCrop(K)),
}


def main() -> None:
    """Draw it."""
    PATH.write_text(draw(), encoding="utf-8")


def draw() -> str:
    """The picture."""
    image = scene()
    shifts = loop()
    windows = [image[:, y : y + N, x : x + N] for y, x in shifts]
    tracks, panes = [_track("window", shifts)], []
    for number, (name, (title, colour, rule)) in enumerate(RULES.items()):
        places = _origins(name, shifts, windows)
        answers = _answers([rule(window) for window in windows])
        tracks += [_track(name, places), _track(f"{name}-crop", [(-y, -x) for y, x in places])]
        tracks += [_turns(f"{name}-{i}", answers, a) for i, a in enumerate(dict.fromkeys(answers))]
        panes.append(_pane(name, title, colour, 162 * number, list(dict.fromkeys(answers))))
    return TEMPLATE.format(
        side=SIDE, n=N, k=K, blue=BLUE, vermilion=VERMILION,
        photograph=_base64(image), tracks="\n".join(tracks), panes="\n".join(panes),
    )  # fmt: skip


def scene() -> Tensor:
    """A part of a photograph of scikit-image, in which the window has room to move."""
    photograph = PIL.Image.fromarray(skimage.data.chelsea()).resize((433, 288))
    return pil_to_tensor(photograph)[:, :SIDE, 96 : 96 + SIDE]


def loop() -> list[tuple[int, int]]:
    """Where the window lies: from the middle to an edge, around, and back, pixel by pixel."""
    out = [(0, x) for x in range(REACH)]
    down = [(y, REACH) for y in range(REACH)]
    around = [(REACH, x) for x in range(REACH, -REACH, -1)]
    up = [(y, -REACH) for y in range(REACH, -REACH, -1)]
    over = [(-REACH, x) for x in range(-REACH, REACH)]
    home = [(y, REACH) for y in range(-REACH, 0)]
    shifts = out + down + around + up + over + home + [(0, x) for x in range(REACH, 0, -1)]
    return [(REACH + y, REACH + x) for y, x in shifts]


def _origins(
    name: str, shifts: Sequence[tuple[int, int]], windows: Sequence[Tensor]
) -> list[tuple[int, int]]:
    """Where a rule's crops lie in the scene."""
    if name == "centre":
        return [(y + (N - K) // 2, x + (N - K) // 2) for y, x in shifts]
    found = (RICSCrop(K).locate(window).tolist() for window in windows)
    return [(y + top, x + left) for (y, x), (top, left) in zip(shifts, found, strict=True)]


def _answers(crops: Sequence[Tensor]) -> list[str]:
    names = EfficientNet_B0_Weights.DEFAULT.meta["categories"]
    logits = lite0()(torch.stack(list(crops))).logits
    assert logits is not None
    return [names[i] for i in logits.argmax(1).tolist()]


def _track(name: str, places: Sequence[tuple[int, int]]) -> str:
    """The style of what moves: its first place, and a key frame wherever it moves on."""
    return _animation(name, [f"transform: translate({x}px, {y}px)" for y, x in places])


def _turns(name: str, answers: Sequence[str], answer: str) -> str:
    """The style of an answer, which is seen while it is given."""
    return _animation(name, [f"opacity: {int(given == answer)}" for given in answers])


def _animation(name: str, states: Sequence[Hashable]) -> str:
    runs, frames = 0, []
    for state, run in groupby(states):
        frames.append(f"{100 * runs / len(states):.2f}% {{ {state} }}")
        runs += len(list(run))
    still = f".moving-{name} {{ {states[0]} }}"
    if len(frames) == 1:
        return still
    move = f"animation: moving-{name} {len(states) / RATE:g}s step-end infinite"
    return f"{still[:-2]}; {move} }}\n@keyframes moving-{name} {{ {' '.join(frames)} }}"


def _pane(name: str, title: str, colour: str, top: int, answers: Sequence[str]) -> str:
    """A crop as the network gets it, and what it answers."""
    texts = "".join(
        f'<text class="moving-{name}-{i}{" other" if i else ""}" x="306" y="{top + 153}">'
        f"{escape(answer)}</text>"
        for i, answer in enumerate(answers)
    )
    return f"""<path d="M306 {top + 2}h12v12h-12z" fill="{colour}"/>
<text x="324" y="{top + 13}">{title}</text>
<svg x="306" y="{top + 19}" width="118" height="118" viewBox="0 0 {K} {K}">
<use href="#moving-scene" class="moving-{name}-crop"/></svg>
{texts}"""


def _base64(image: Tensor) -> str:
    file = BytesIO()
    photograph = PIL.Image.fromarray(image.movedim(0, -1).numpy())
    photograph.save(file, "JPEG", quality=80, optimize=True)
    return base64.b64encode(file.getvalue()).decode()


TEMPLATE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 440 320" class="moving" fill="currentColor">
<style>
.moving text {{ font-size: 14px }}
.moving .other {{ font-weight: 700 }}
.moving rect {{ fill: none; stroke-width: 2.5 }}
{tracks}
@media (prefers-reduced-motion: reduce) {{ .moving * {{ animation: none !important }} }}
</style>
<defs><image id="moving-scene" width="{side}" height="{side}"
 href="data:image/jpeg;base64,{photograph}"/></defs>
<text x="0" y="13">The window moves over a scene</text>
<svg y="19" width="290" height="290" viewBox="0 0 {side} {side}">
<use href="#moving-scene"/>
<path class="moving-window" fill="#000" fill-opacity=".45" fill-rule="evenodd"
 d="M-99-99H999V999H-99ZM0 0H{n}V{n}H0Z"/>
<rect class="moving-window" width="{n}" height="{n}" stroke="#fff"/>
<rect class="moving-centre" width="{k}" height="{k}" stroke="{vermilion}"/>
<rect class="moving-rics" width="{k}" height="{k}" stroke="{blue}"/>
</svg>
{panes}
</svg>
"""


if __name__ == "__main__":
    main()
