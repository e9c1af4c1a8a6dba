"""The playground of the documentation, as a visitor finds and uses it in a browser."""

from __future__ import annotations

import base64
import importlib.util
import json
import shutil
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from rics_transforms.engine.resampling import resample

from .chromium import Page

DOCS = Path(__file__).parent.parent / "docs"
SHELL = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Playground</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>:root {{ color-scheme: light dark; font-family: sans-serif }}
body {{ margin: 1rem auto; max-width: 60rem; padding: 0 0.75rem }}</style></head>
<body><h1 id="playground">Playground</h1>{}</body></html>"""
"""What a site puts around the page, at the least."""

IDLE = "document.querySelector('#rics-playground')?.ariaBusy === 'false'"

Place = tuple[float, float]


def write(folder: Path) -> Path:
    """The playground as a site holds it: `index.html` beside the scripts and the photographs."""
    shutil.copytree(DOCS / "playground", folder, dirs_exist_ok=True)
    module("photos").write(folder / "photos")
    text = (DOCS / "playground.md").read_text(encoding="utf-8")
    html = text[text.index("<link") : text.index("</script>") + len("</script>")]
    (folder / "index.html").write_text(SHELL.format(html), encoding="utf-8")
    return folder


def module(name: str) -> Any:
    """A Python file of the playground's folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "playground" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(page: Page, function: str, *arguments: Any) -> Any:
    """Call an async function in the page, after loading the playground's modules."""
    names = ("camera", "hashing", "image", "peaks", "resampling", "scores", "selection", "theory")
    modules = ", ".join(f"...await import('/{name}.js')" for name in names)
    listed = ", ".join(json.dumps(argument) for argument in arguments)
    return page.evaluate(
        f"(async () => {{ const m = {{{modules}}}; return ({function})({listed}) }})()"
    )


def photo(site: Path, name: str) -> Tensor:
    """A photograph of the playground, uint8 ``[3, H, W]``."""
    with PIL.Image.open(site / "photos" / f"{name}.png") as image:
        return torch.from_numpy(np.array(image)).movedim(-1, 0)


def cut(image: Tensor, place: Place, n: int) -> Tensor:
    top, left = map(int, place)
    return image[:, top : top + n, left : left + n]


def shown(image: Tensor, place: Place, n: int, shifts: str) -> Tensor:
    """The window of n x n at a place; a cyclic one is the photograph's middle, turned."""
    if shifts != "cyclic":
        return cut(image, place, n)
    top, left = map(int, place)
    return middle(image, n).roll((-top, -left), (-2, -1))


def middle(image: Tensor, n: int) -> Tensor:
    top, left = ((side - n) // 2 for side in image.shape[1:])
    return cut(image, (top, left), n)


def shown_by_halves(image: Tensor, place: Place, n: int, shifts: str) -> Tensor:
    """The window where photographs move by half pixels: means of 2 x 2 of twice as many pixels."""
    if shifts == "cyclic":
        scene = enlarge(middle(image, n), cyclic=True)
        down, right = (-int(2 * along) for along in place)
        view = scene.roll((down, right), (-2, -1))
    else:
        top, left = (int(2 * along) for along in place)
        scene = enlarge(image, cyclic=False)
        view = scene[:, top : top + 2 * n, left : left + 2 * n]
    return exposed(view)


def exposed(scene: Tensor) -> Tensor:
    """The means of 2 x 2 pixels, rounded, halves up."""
    height, width = (side // 2 for side in scene.shape[1:])
    total = scene[:, : 2 * height, : 2 * width].reshape(-1, height, 2, width, 2).int().sum((2, 4))
    return ((total + 2) >> 2).to(torch.uint8)


def enlarge(image: Tensor, *, cyclic: bool) -> Tensor:
    """Twice as many rows and columns, a quarter of a pixel to both sides of the old ones."""
    large = image.new_empty((len(image), 2 * image.shape[1], 2 * image.shape[2]))
    for y, x in product((0, 1), repeat=2):
        place = torch.tensor([[32 * y - 16, 32 * x - 16]])
        size = (image.shape[1], image.shape[2])
        large[:, y::2, x::2] = resample(image[None], place, size, cyclic=cyclic)[0]
    return large


def as_rgba(image: Tensor) -> str:
    """The bytes of `ImageData`, in base64."""
    return base64.b64encode(bytes(opaque(image))).decode()


def opaque(image: Tensor) -> list[int]:
    """The bytes of `ImageData`."""
    pixels = torch.cat([image, torch.full_like(image[:1], 255)]).movedim(0, -1)
    values: list[int] = pixels.flatten().tolist()
    return values


DECODE = """({ data, n }) => ({
  data: Uint8ClampedArray.from(atob(data), (c) => c.charCodeAt(0)), height: n, width: n,
})"""


def choose(page: Page, **values: str) -> None:
    """Set controls as a visitor does."""
    for name, value in values.items():
        page.evaluate(
            f"""(() => {{
              const form = document.querySelector('#rics-playground form');
              const list = form.elements[{name!r}];
              const control = list instanceof RadioNodeList
                ? [...list].find((one) => one.value === {value!r}) : list;
              if (control.type === 'radio') return control.click();
              if (control.type === 'checkbox') return control.checked === ({value!r} === 'on')
                || control.click();
              control.value = {value!r};
              for (const kind of ['input', 'change']) control.dispatchEvent(new Event(kind));
            }})()"""
        )
    page.wait(IDLE)


def text(page: Page, part: str) -> str:
    content: str = page.evaluate(f"document.querySelector('[data-part={part}]').textContent")
    return content


def pair(page: Page, name: str) -> Place:
    y, x = page.evaluate(
        f"document.querySelector('#rics-playground').dataset.{name}.split(',').map(Number)"
    )
    return y, x


def stage_box(page: Page) -> tuple[float, float, float]:
    """Middle of the stage, and the pixels of the screen that one of the photograph takes."""
    x, y, width = page.evaluate(
        """(() => {
          const stage = document.querySelector('[data-part=stage]');
          stage.scrollIntoView({ block: 'center' });
          const { left, top, width } = stage.getBoundingClientRect();
          return [left + width / 2, top + width / 2, width];
        })()"""
    )
    n = int(text(page, "n"))
    return x, y, width / (n + 72)
