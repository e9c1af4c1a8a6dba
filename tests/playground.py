"""The playground of the documentation, as a visitor finds and uses it in a browser."""

from __future__ import annotations

import base64
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from .chromium import Page

DOCS = Path(__file__).parent.parent / "docs"
SHELL = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Playground</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>:root {{ color-scheme: light dark; font-family: sans-serif }}
body {{ margin: 1rem auto; max-width: 60rem; padding: 0 0.75rem }}</style></head>
<body><h1 id="playground">Playground</h1>{}</body></html>"""
"""What a site puts around the page, at the least."""

IDLE = "document.querySelector('#rics-playground')?.ariaBusy === 'false'"

Place = tuple[int, int]


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
    names = ("hashing", "image", "scores", "selection", "theory")
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
    return image[:, place[0] : place[0] + n, place[1] : place[1] + n]


def shown(image: Tensor, place: Place, n: int, shifts: str) -> Tensor:
    """The window of n x n at a place; a cyclic one is the photograph's middle, turned."""
    if shifts != "cyclic":
        return cut(image, place, n)
    top, left = ((side - n) // 2 for side in image.shape[1:])
    return cut(image, (top, left), n).roll((-place[0], -place[1]), (-2, -1))


def as_rgba(image: Tensor) -> str:
    """The bytes of `ImageData`, in base64."""
    opaque = torch.cat([image, torch.full_like(image[:1], 255)]).movedim(0, -1)
    return base64.b64encode(opaque.contiguous().numpy().tobytes()).decode()


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
