"""The playground of the documentation, as a visitor finds and uses it in a browser."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from functools import cache
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
CONFIG = f"""
INHERIT: {DOCS.parent}/mkdocs.yml
nav: [playground.md]
hooks: []
plugins: []
"""
"""The site's, without what other pages need."""

IDLE = "document.querySelector('#rics-playground')?.ariaBusy === 'false'"

Place = tuple[float, float]


def write(folder: Path) -> Path:
    """A site in the theme of the real one with only this page, made in a new folder."""
    for part in DOCS.iterdir():
        if part.is_dir() and not list(part.rglob("*.md")):
            shutil.copytree(part, folder / "docs" / part.name)
    shutil.copy(DOCS / "playground.md", folder / "docs")
    photos, pictures = module("photos"), folder / "docs" / "playground" / "photos"
    pictures.mkdir()
    for name in photos.NAMES:
        photos.photograph(name).save(pictures / f"{name}.png", compress_level=1)
    (folder / "mkdocs.yml").write_text(CONFIG, encoding="utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict"]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    subprocess.run(command, cwd=folder, env=environment, check=True)
    return folder / "site"


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
    modules = ", ".join(f"...await import('/playground/{name}.js')" for name in names)
    listed = ", ".join(json.dumps(argument) for argument in arguments)
    return page.evaluate(
        f"(async () => {{ const m = {{{modules}}}; return ({function})({listed}) }})()"
    )


@cache
def photo(site: Path, name: str) -> Tensor:
    """A photograph of the playground, uint8 ``[3, H, W]``."""
    with PIL.Image.open(site / "playground" / "photos" / f"{name}.png") as image:
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


def fine_scene(image: Tensor, n: int, shifts: str) -> Tensor:
    """What photographs that move by half pixels are taken of: twice as many pixels."""
    if shifts == "cyclic":
        return enlarge(middle(image, n), cyclic=True)
    return enlarge(image, cyclic=False)


def shown_by_halves(scene: Tensor, place: Place, n: int, shifts: str) -> Tensor:
    """The window at a place in pixels: means of 2 x 2 pixels of a fine scene."""
    top, left = (int(2 * along) for along in place)
    if shifts == "cyclic":
        return exposed(scene.roll((-top, -left), (-2, -1)))
    return exposed(scene[:, top : top + 2 * n, left : left + 2 * n])


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
    pixels = torch.cat([image, torch.full_like(image[:1], 255)]).movedim(0, -1)
    return base64.b64encode(pixels.numpy().tobytes()).decode()


DECODE = """({ data, n }) => ({
  data: Uint8ClampedArray.from(atob(data), (c) => c.charCodeAt(0)), height: n, width: n,
})"""
ENCODE = """({ data }) => {
  let bytes = "";
  for (let i = 0; i < data.length; i += 4096) {
    bytes += String.fromCharCode(...data.subarray(i, i + 4096));
  }
  return btoa(bytes);
}"""


def reset(page: Page) -> None:
    """Everything as a visitor finds it, but for what the browser itself was told."""
    page.evaluate(
        """(() => {
          const form = document.querySelector('#rics-playground form');
          form.k.max = form.n.max;
          form.reset();
          form.photo.dispatchEvent(new Event('change'));
          form.querySelector('details').open = false;
          document.activeElement.blur();
          scrollTo(0, 0);
        })()"""
    )
    page.wait(IDLE)


def choose(page: Page, **values: str) -> None:
    """Set controls as a visitor does, who would start anew with each; tell the page once."""
    told = next((name for name in ("photo", "shifts") if name in values), next(iter(values)))
    page.evaluate(
        f"""(() => {{
          const {{ elements }} = document.querySelector('#rics-playground form');
          for (const [name, value] of Object.entries({json.dumps(values)})) {{
            if (elements[name].type === 'checkbox') elements[name].checked = value === 'on';
            else elements[name].value = value;
          }}
          const list = elements[{told!r}];
          const control = list instanceof RadioNodeList ? list[0] : list;
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
          stage.scrollIntoView({ block: 'nearest' });
          const { left, top, width } = stage.getBoundingClientRect();
          return [left + width / 2, top + width / 2, width];
        })()"""
    )
    n = int(text(page, "n"))
    return x, y, width / (n + 72)
