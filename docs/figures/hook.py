"""What MkDocs does to the pages: figures, tables and formulas are made while the site is built.

- A line ``[[table: name]]`` or ``[[chart: name]]`` becomes what that function of `tables` or
  `charts` returns.
- On pages with ``fold: true`` in their front matter, tables fold under their headings.
- Links to ``figures/NAME`` lead to the picture that `pictures` draws.
- Pictures in SVG, drawn or stored, become part of the page, whose colours they take on.
- Formulas become MathML, which browsers show without any script.
- A page without a description in its front matter is described by its first paragraph.
- Long names of tests may be broken at their underscores, intervals in tables may not.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from html import escape, unescape
from io import BytesIO
from pathlib import Path
from textwrap import shorten
from typing import Any

import PIL.Image
from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

sys.path.append(str(Path(__file__).parents[1]))
from figures import card, charts, pictures, tables
from playground import photos

from rics_transforms.palette import BLUE

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', flags=re.DOTALL)
TABLE = re.compile(r"^\[\[table: (\w+)\]\]$", flags=re.MULTILINE)
FOLD = re.compile(r"^### (.*)\n\n(?:<!-- \w+ -->\n)?((?:\|.*\n)+)", flags=re.MULTILINE)
FOLDED = '<details markdown="1"><summary markdown="span">{}</summary>\n\n{}\n</details>\n'
CHART = re.compile(r"<p>\[\[chart: (\w+)\]\]</p>")
DRAWING = re.compile(r'<img alt="([^"]*)" src="[^"]*?((?:figures|images)/\w+\.svg)" />')
TEST = re.compile(r"(?<=<code>)tests/[\w/.:]+(?=</code>)")
PARAGRAPH, TAG = re.compile("<p>(.*?)</p>", flags=re.DOTALL), re.compile("<[^>]*>")
INTERVAL = re.compile(r"(?<=<td>)([\d.]+) (\([\d.-]+\))(?=</td>)")
BAR = "<mo>&#x0007C;</mo>"


def on_files(files: Files, config: Any) -> Files:
    """Add the pictures, and the photographs of the playground."""
    drawn: dict[str, str | bytes] = {f"figures/{name}": _drawn(name) for name in pictures.DRAWN}
    drawn["assets/card.jpg"] = card.draw()
    for name, content in (drawn | _photographs()).items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **kwargs: Any) -> str:
    """Fill in the tables, and fold them."""
    if page.meta.get("fold"):
        markdown = FOLD.sub(lambda found: FOLDED.format(*found.groups()), markdown)
    return TABLE.sub(lambda found: getattr(tables, found[1])(), markdown)


def on_page_content(html: str, page: Any, **kwargs: Any) -> str:
    """Draw the charts, turn formulas into MathML, and say where lines may be broken."""
    if words := description(html):
        page.meta.setdefault("description", words)
    html = CHART.sub(lambda found: getattr(charts, found[1])(), html)
    html = DRAWING.sub(lambda found: drawing(found[2], found[1]), html)
    html = html.replace(f": {BLUE}", ": var(--rics-blue)")  # too dark for the dark scheme
    html = INTERVAL.sub(r'\1 <span class="interval">\2</span>', html)
    html = TEST.sub(lambda found: re.sub("(::|_)", r"\1<wbr>", found[0]), html)
    return FORMULA.sub(lambda found: mathml(found[2], found[1]), html)


def description(html: str) -> str:
    """The first paragraph of a page that says something, without its tags, shortened."""
    texts = (unescape(TAG.sub("", found[1])) for found in PARAGRAPH.finditer(html))
    words = next((text for text in texts if len(text) > 40), "")
    return escape(shorten(words, 160, placeholder=" ..."))


def drawing(path: str, words: str) -> str:
    """A picture as an element of the page, with these words for those who do not see it."""
    folder, name = path.split("/")
    stored = Path(__file__).parents[1] / path
    svg = _drawn(name) if folder == "figures" else stored.read_text(encoding="utf-8")
    return re.sub(r'^<svg( role="img")?', f'<svg role="img" aria-label="{words}"', svg)


def mathml(latex: str, tag: str) -> str:
    """A formula as MathML: in the line (span), or in a block of its own (div)."""
    plain = latex.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    formula: str = convert(plain, display="block" if tag == "div" else "inline")
    formula = formula.replace(
        BAR, BAR.replace("<mo>", '<mo lspace="0" rspace="0" stretchy="false">')
    )
    return f'<{tag} class="formula">{formula}</{tag}>'


@cache
def _drawn(name: str) -> str:
    return pictures.DRAWN[name]()


def _photographs() -> dict[str, bytes]:
    """Those of the playground, by place on the site."""
    return {f"playground/photos/{name}.png": _png(photos.photograph(name)) for name in photos.NAMES}


def _png(image: PIL.Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()
