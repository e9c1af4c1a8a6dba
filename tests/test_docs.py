"""The documentation: its Python blocks run, and what its pages refer to is there."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from html.parser import HTMLParser
from itertools import chain, pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

import rics_transforms
from rics_transforms import palette, theory

from . import chromium

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ELSEWHERE = {"recipes"}  # with the files that it reads: test_recipes.py
PAGES = {path.relative_to(DOCS).with_suffix("").as_posix(): path for path in DOCS.rglob("*.md")}
# Ray warns of its own settings when it reads them
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports modules of docs/figures by name."""
    monkeypatch.syspath_prepend(DOCS)

    def load(name: str) -> ModuleType:
        return importlib.import_module(f"figures.{name}")

    return load


def text_of_all() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in PAGES.values())


# --- pages ---------------------------------------------------------------------------------------


README = {"README": ROOT / "README.md"}


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({*PAGES, *README} - ELSEWHERE))
def test_python_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = {**PAGES, **README}[page]
    text = path.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {"__name__": page}
    for match in re.finditer(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE):
        above = text[: match.start(1)].count("\n")
        exec(compile("\n" * above + match[1], path.name, "exec"), scope)


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    assert set(re.findall(r"([\w/]+)\.md$", navigation, flags=re.MULTILINE)) == set(PAGES)


def test_scripts_and_tests_that_pages_name_are_there() -> None:
    text = text_of_all()
    named = set(re.findall(r"`((?:benchmarks|docs|tests)/[\w/]+\.\w+)`", text))
    assert len(named) > 5
    assert {name for name in named if not (ROOT / name).exists()} == set()
    tests = set(re.findall(r"`(tests/\w+\.py)::(\w+)`", text))
    assert len(tests) > 8
    assert {(file, name) for file, name in tests if name not in functions(ROOT / file)} == set()


def test_every_public_name_is_in_the_reference_once() -> None:
    text = text_of_all()
    blocks = re.findall(
        r"^::: (rics_transforms[\w.]+)\n((?:(?: .*)?\n)*)", text + "\n", flags=re.MULTILINE
    )
    listed = [re.findall(r"^ +- (\w+)$", options, flags=re.MULTILINE) for _, options in blocks]
    names = [[name.rsplit(".", 1)[-1]] for name, _ in blocks]
    counts = Counter(chain(*names, *listed))
    assert {name: counts[name] for name in rics_transforms.__all__} == dict.fromkeys(
        rics_transforms.__all__, 1
    )


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


# --- the site ------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """What a page loads, what it links to, and the places in it."""

    LOADING = ("link", "script", "img", "source", "iframe", "video", "object")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.places: set[str] = {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.places |= {found[name] for name in ("id", "name") if name in found}
        targets = [found[name] for name in ("href", "src", "data") if name in found]
        if tag == "a":
            self.links += targets
        elif tag in self.LOADING and found.get("rel") != "canonical":  # which only names the page
            self.loads += targets


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    for module in ("mkdocs", "material", "mkdocstrings_handlers", "latex2mathml"):
        pytest.importorskip(module)
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_site_needs_nothing_from_outside(site: Path) -> None:
    pages = [Tags(path) for path in site.rglob("*.html")]
    assert len(pages) > len(PAGES)
    assert [url for page in pages for url in page.loads if re.match(r"(https?:)?//", url)] == []
    for path in site.rglob("*.css"):
        styles = path.read_text(encoding="utf-8")
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", styles)


@pytest.mark.slow
def test_every_link_within_the_site_leads_somewhere(site: Path) -> None:
    pages = {path.resolve(): Tags(path) for path in site.rglob("index.html")}
    lost = []
    for path, page in pages.items():
        for link in page.links:
            url, _, place = link.partition("#")
            if re.match(r"\w+:", url):
                continue
            target = (path.parent / url).resolve() if url else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (target in pages and place not in pages[target].places):
                lost.append(f"{path.parent.name}: {link}")
    assert lost == []


@pytest.mark.slow
def test_the_reference_shows_signatures_with_types(site: Path) -> None:
    html = (site / "api" / "crop" / "index.html").read_text(encoding="utf-8")
    text = re.sub("<[^>]*>", "", html)
    for line in ("k: int | Sequence[int],", 'shifts: Shifts = "realistic",'):
        assert re.search(rf"RICSCrop\([^)]*{re.escape(line)}", text), line
    assert "rics_crop(" in text and ") -&gt; Tensor" in text


def meta(html: str, name: str) -> list[str]:
    return re.findall(f'<meta {name} content="([^"]+)">', html)


@pytest.mark.slow
def test_every_page_says_what_it_is_where_it_is_linked(site: Path) -> None:
    kinds = ("title", "description", "url", "image")
    for path in site.rglob("index.html"):
        html = path.read_text(encoding="utf-8")
        found = {kind: meta(html, f'property="og:{kind}"') for kind in kinds}
        assert all(len(values) == 1 for values in found.values()), path
        assert found["description"] == meta(html, 'name="description"')
        assert found["image"][0].endswith("/assets/card.jpg")
    with PIL.Image.open(site / "assets" / "card.jpg") as card:
        assert card.size == (1200, 630)


@pytest.mark.slow
def test_every_page_is_sound_in_a_browser(site: Path, browser: chromium.Page) -> None:
    """No errors, nothing from elsewhere, no overflow on a phone, texts that can be read."""
    wrong = []
    with chromium.serve(site) as (url, _), browser.watched():
        for path in sorted(site.rglob("index.html")):
            page = path.parent.relative_to(site).as_posix()
            browser.resize(420, 800)
            browser.call("Page.navigate", url=f"{url}{page}/")
            browser.wait("window.faults && document.readyState === 'complete'")
            browser.next_frame()
            root = "document.documentElement"
            wide = browser.evaluate(f"{root}.scrollWidth - {root}.clientWidth")
            away = browser.evaluate(
                "performance.getEntriesByType('resource').map((entry) => entry.name)"
                f".filter((name) => !name.startsWith('{url}') && !name.startsWith('blob:'))"
            )
            browser.resize(1280, 800)
            faint = [text for scheme in ("default", "slate") for text in fainter(browser, scheme)]
            faults = browser.evaluate("faults")
            wrong += [
                (page, *found) for found in (faults, away, faint, [wide] * (wide > 0)) if found
            ]
    assert wrong == []


def fainter(page: chromium.Page, scheme: str) -> list[str]:
    page.evaluate(f"document.body.setAttribute('data-md-color-scheme', '{scheme}')")
    return page.faint()


def test_faint_texts_are_found(browser: chromium.Page, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        """<!doctype html><title>Faint</title><style>p { color: #777; background: #fff }</style>
        <p id="below">4.48<p id="above" style="color: #767676">4.54<p id="clear"
        style="color: #0009; background: #666">2.1<p id="large" style="font-size: 30px">4.48"""
    )
    with chromium.serve(tmp_path) as (url, _):
        browser.call("Page.navigate", url=url)
        browser.wait("document.readyState === 'complete'")
        found = browser.faint()
    assert [re.findall(r'id="(\w+)"', element) for element in found] == [["below"], ["clear"]]


# --- figures and tables --------------------------------------------------------------------------


def test_every_table_and_chart_can_be_made(figures: Any) -> None:
    places = re.findall(r"^\[\[(table|chart): (\w+)\]\]$", text_of_all(), flags=re.MULTILINE)
    assert {kind for kind, _ in places} == {"table", "chart"}
    for kind, name in places:
        made = getattr(figures(f"{kind}s"), name)()
        assert made.startswith("<svg") if kind == "chart" else made


def test_the_summary_of_speed_fits_its_tables(figures: Any) -> None:
    measured = figures("measured")
    titles = ("Overhead of RICS: ms per image, 200", "Overhead of RICS: ms per image, 216")
    rows = [row for title in titles for row in measured.table("speed", title).items()]
    text = " ".join(PAGES["speed"].read_text(encoding="utf-8").split())
    for kind, words in (("PIL", "with PIL images"), ("tensor", "with tensors")):
        shares = [measured.number(cells[-1]) for name, cells in rows if name.startswith(kind)]
        assert len(shares) == 4
        assert f" {min(shares)} to {max(shares)} % {words}" in text
    default = measured.table("speed", "n = 256, k = 224, uint8")["lattice"]
    assert all(0.09 <= measured.number(cell) <= 0.21 for cell in default[:4])


def test_the_summary_of_the_reproduction_fits_its_tables(figures: Any) -> None:
    charts, measured = figures("charts"), figures("measured")
    ours = measured.table("reproduction", "Adversarial robustness by neighbour")
    theorem = [float(cell) for cell in ours["*Theorem 1, Eq. 4*"][-5:-1]]
    tops = {
        name: [float(charts._ends(cell)[1]) for cell in cells[-5:-1]]
        for name, cells in ours.items()
        if name and not name.startswith(("*Theorem", "---"))
    }
    centre = tops.pop("centre crop")
    assert [top < bound for top, bound in zip(centre, theorem, strict=True)] == [1, 1, 0, 0]
    assert all(a >= b for top in tops.values() for a, b in zip(top, theorem, strict=True))
    row, theirs, _ = charts.CURVES["RICS-MH"]
    for cell, value in zip(ours[row][-5:-1], theirs, strict=True):
        least, most = map(float, charts._ends(cell))
        assert least <= value <= most


def test_tables_fold_where_a_page_says_so(figures: Any) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("latex2mathml")
    text = "### A `b`\n\n<!-- marks -->\n| a |\n|---|\n| 1 |\n<!-- /marks -->\n"
    page = SimpleNamespace(meta={})
    assert figures("hook").on_page_markdown(text, page=page) == text
    page.meta["fold"] = True
    assert figures("hook").on_page_markdown(text, page=page) == (
        '<details markdown="1"><summary markdown="span">A `b`</summary>\n\n'
        "| a |\n|---|\n| 1 |\n\n</details>\n<!-- /marks -->\n"
    )


def test_every_picture_is_drawn(figures: Any) -> None:
    drawn = figures("pictures").DRAWN
    assert set(re.findall(r"\]\(figures/([\w.]+)\)", text_of_all())) == set(drawn)
    for draw in drawn.values():
        content = draw()
        assert content.startswith("<svg ") and "image/png" not in content
        assert len(content) < 200_000


def test_the_crop_that_the_picture_shows_stays(figures: Any) -> None:
    pictures = figures("pictures")
    scene = pictures.photograph("coffee", pictures.N + 2 * pictures.SHIFT)
    size, shift = pictures.N, pictures.SHIFT
    windows = [scene.crop((s, s, s + size, s + size)) for s in (shift, 2 * shift)]
    before, after = (
        torch.tensor(pictures.decide(window, pictures.K, "lattice").origin) for window in windows
    )
    assert torch.equal(before, after + shift)


def test_the_crop_of_the_moving_picture_stays(figures: Any) -> None:
    moving = figures("moving")
    scene, shifts = moving.scene(), moving.loop()
    assert all(abs(y - b) + abs(x - a) == 1 for (y, x), (b, a) in pairwise([*shifts, shifts[0]]))
    assert rics_transforms.certify(scene, moving.K, moving.REACH).certified
    y, x = moving.RULES["rics"][2].locate(scene[:, : moving.N, : moving.N]).tolist()
    assert f".moving-rics {{ transform: translate({x}px, {y}px) }}" in moving.PATH.read_text()


def test_the_moving_picture_stands_still_for_those_who_ask(
    browser: chromium.Page, tmp_path: Path
) -> None:
    picture = (DOCS / "images" / "moving.svg").read_text(encoding="utf-8")
    (tmp_path / "index.html").write_text(f"<!doctype html><title>Moving</title>{picture}")
    moving = "document.getAnimations().length"
    with chromium.serve(tmp_path) as (url, _):
        browser.call("Page.navigate", url=url)
        browser.wait(f"{moving} > 0")
        reduced = {"name": "prefers-reduced-motion", "value": "reduce"}
        browser.call("Emulation.setEmulatedMedia", features=[reduced])
        browser.wait(f"{moving} === 0")
        browser.call("Emulation.setEmulatedMedia", features=[])


def test_the_result_of_the_demo_is_the_same_on_all_pages(figures: Any) -> None:
    centre, scenes, rics = figures("tables").demo()
    text = " ".join(PAGES["start"].read_text(encoding="utf-8").replace(">", "").split())
    assert f"changes for {centre} of {scenes} images when" in text
    assert f"with RICS, for {rics}." in text


def test_the_home_page_promises_what_was_measured() -> None:
    promise = PAGES["index"].read_text(encoding="utf-8").partition("## What it promises")[2]
    numbers = set(re.findall(r"\b\d+\.\d\b", promise))
    assert numbers == {"86.2", "80.9", "90.5", "86.7", "16.5"}
    measured = PAGES["choose"].read_text(encoding="utf-8").partition("the crop survived every")[2]
    assert numbers <= set(re.findall(r"\d+\.\d", measured))


def test_every_stored_picture_has_its_script() -> None:
    scripts = "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("figures/*.py"))
    stored = {path.name for path in DOCS.glob("images/*")}
    assert stored == set(re.findall(r"Draw docs/images/([\w.]+)", scripts))
    readme = README["README"].read_text(encoding="utf-8")
    assert stored <= set(re.findall(r"\]\((?:docs/)?images/([\w.]+)\)", text_of_all() + readme))


def test_the_script_of_the_first_picture_draws_it(figures: Any, tmp_path: Path) -> None:
    figures("same_crop").draw().savefig(tmp_path / "drawn.png", dpi=90)
    with (
        PIL.Image.open(tmp_path / "drawn.png") as drawn,
        PIL.Image.open(DOCS / "images" / "same_crop.jpg") as stored,
    ):
        assert drawn.size == stored.size
        pair = [np.asarray(image.convert("L"), dtype=float) for image in (drawn, stored)]
    assert abs(pair[0] - pair[1]).mean() < 5  # JPEG, and another font


def test_the_table_of_guarantees(figures: Any) -> None:
    rows = figures("tables").guarantee().replace("\N{NO-BREAK SPACE}", " ").splitlines()
    assert "| 256, 224 | 33 | 7, 26 | 78.4 / 86.7 / 88.2 | 47.9 / 63.6 / 66.9 |" in rows[3]


def test_the_table_of_headroom(figures: Any) -> None:
    rows = figures("tables").headroom().replace("\N{NO-BREAK SPACE}", " ").splitlines()
    first = "| 256, 224 | 33 | 231 | 86.7 / 88.2 | 53.6 / 57.4 | 17.8 / 20.7 | 3.9 at D = 5 |"
    assert rows[2] == first
    for n, k, delta in ((256, 224, 5), (224, 140, 9), (256, 128, 17)):
        m, (order, _) = n - k + 1, theory.lattice_order(n, k)
        share = Fraction(order * m, order * m + 2 * delta) ** 2  # as the page says
        assert theory.robustness_bound(n, k, delta) == share * theory.robustness_limit(n, k, delta)


def test_formulas_become_mathml(figures: Any) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("latex2mathml")
    html = '<p><span class="arithmatex">\\(a &lt; b\\)</span></p>'
    assert "<mo>&#x0003C;</mo>" in figures("hook").on_page_content(
        html, page=SimpleNamespace(meta={})
    )


def test_doctests_are_fenced(figures: Any) -> None:
    pytest.importorskip("griffe")
    text = "Text.\n\n    >>> 1 + 1\n    2\n\nMore.\n>>> 3\n3"
    fenced = (
        "Text.\n\n    ```pycon\n    >>> 1 + 1\n    2\n    ```\n\nMore.\n```pycon\n>>> 3\n3\n```"
    )
    assert figures("doctests").fence(text) == fenced


def test_types_of_results_have_no_marks_of_code(figures: Any) -> None:
    pytest.importorskip("griffe")
    text = "Returns:\n    int64 ``[..., 2]``: of ``x``.\n\nRaises:\n    ValueError: for ``x``.\n"
    cleared = text.replace("``[..., 2]``", "[..., 2]")
    assert figures("doctests").plain(text) == cleared


GROUNDS = {"default": "#ffffff", "slate": "#1e2129"}
"""What charts are drawn on, by colour scheme."""


@pytest.mark.parametrize("scheme", GROUNDS)
def test_the_colours_of_charts_stand_out(scheme: str, figures: Any) -> None:
    styles = (DOCS / "assets" / "site.css").read_text(encoding="utf-8")
    blues = re.findall(r"--rics-blue: (#\w{6})", styles)
    assert blues[0] == palette.BLUE
    charts = {palette.VERMILION, palette.GREEN, palette.GREY, blues[scheme == "slate"]}
    assert {ink for ink in charts if contrast(ink, GROUNDS[scheme]) < 3} == set()


def contrast(*colours: str) -> float:
    """As WCAG 2 defines it."""
    low, high = sorted(map(luminance, colours))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


# --- the calculator ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def calculator(
    browser: chromium.Page, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[chromium.Page]:
    """The calculator and its scripts, where the site has them."""
    folder = tmp_path_factory.mktemp("site")
    for part in ("assets", "playground"):
        shutil.copytree(DOCS / part, folder / part)
    text = PAGES["choose"].read_text(encoding="utf-8")
    html = text[text.index("<section") : text.index("</script>")] + "</script>"
    (folder / "choose").mkdir()
    (folder / "choose" / "index.html").write_text(
        f'<!doctype html><meta charset="utf-8"><title>Calculator</title>{html}', encoding="utf-8"
    )
    with chromium.serve(folder) as (url, _):
        browser.call("Page.navigate", url=f"{url}choose/")
        browser.wait("document.querySelector('[data-part=m]')?.textContent === '33'")
        yield browser


def shown(page: chromium.Page, **fields: float) -> dict[str, str]:
    """What the calculator says after these numbers were typed in."""
    found: dict[str, str] = page.evaluate(
        f"""(() => {{
          const form = document.querySelector(".calculator form");
          for (const [name, value] of Object.entries({fields})) form[name].value = value;
          form.dispatchEvent(new Event("input"));
          const parts = [...document.querySelectorAll("[data-part]")];
          return Object.fromEntries(parts.map((p) => [p.dataset.part, p.textContent]));
        }})()"""
    )
    return found


def percent(share: Fraction) -> float:
    return 100 * float(share)


@pytest.mark.parametrize(
    ("n", "k", "delta", "target"),
    [(256, 224, 1, 90), (224, 140, 9, 40), (300, 80, 3, 99.5), (64, 60, 5, 10), (40, 40, 0, 100)],
)
def test_calculator_agrees_with_theory(
    calculator: chromium.Page, n: int, k: int, delta: int, target: float
) -> None:
    found = shown(calculator, n=n, k=k, delta=delta, target=target)
    order = theory.lattice_order(n, k)
    expected = {
        "paper": theory.robustness_bound(n, k, delta, order=1),
        "lattice": theory.robustness_bound(n, k, delta, order),
        "limit": theory.robustness_limit(n, k, delta),
        "paper-one": theory.shift_consistency(n, k, delta, order=1),
        "lattice-one": theory.shift_consistency(n, k, delta, order),
    }
    for name, share in expected.items():
        assert float(found[name].removesuffix(" %")) == pytest.approx(percent(share), abs=0.051)
    assert (found["m"], found["order"]) == (f"{n - k + 1}", f"{order[0]}")
    assert found["patch"] == f"{theory.patch_size(n, k, order)[0]}"
    for name, asked in (("paper-size", 1), ("lattice-size", None)):
        assert found[name] == largest(n, delta, target, asked)
    assert not found["error"]


def largest(n: int, delta: int, target: float, order: int | None) -> str:
    try:
        return f"{theory.crop_size_for(n, delta, Fraction(str(target)) / 100, order)} px"
    except ValueError:
        return "none"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"n": 100, "k": 101, "delta": 1}, "Expected k to be at most 100, but got 101."),
        ({"n": 100, "k": 1.5, "delta": 1}, "Expected whole numbers within the ranges"),
        ({"n": 100, "k": 50, "delta": -1}, "Expected whole numbers within the ranges"),
    ],
)
def test_calculator_refuses(
    calculator: chromium.Page, fields: dict[str, float], words: str
) -> None:
    found = shown(calculator, **fields)
    assert words in found.pop("error")
    assert set(found.values()) == {""}  # nothing of the numbers before
