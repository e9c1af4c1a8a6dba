"""Every Python block of the documentation runs, page by page, in the order of the page."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
ELSEWHERE = {"recipes"}  # with the files that it reads: test_recipes.py
PAGES = {path.stem: path for path in sorted(DOCS.rglob("*.md")) if path.stem not in ELSEWHERE}
# Ray warns of its own settings when it reads them
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PAGES[page].read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {"__name__": page}
    for match in re.finditer(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE):
        above = text[: match.start(1)].count("\n")
        exec(compile("\n" * above + match[1], PAGES[page].name, "exec"), scope)
