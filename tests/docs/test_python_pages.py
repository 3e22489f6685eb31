"""The Python in the pages runs, block after block in one namespace, and prints what the `text` block after it shows.

`WEFT_BLESS=1` writes what is printed today into the pages, where that differs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from docs.pages import ROOT, Block, blocks, scripts

BLESS = bool(os.environ.get("WEFT_BLESS"))
PAGES = [ROOT / "docs" / name for name in ("pool.md", "python.md")]

MARK = "\x1e"
RUNNER = (
    "import sys\n"
    "from pathlib import Path\n"
    "names = {'__name__': '__main__'}\n"
    f"for number, text in enumerate(sys.stdin.read().split({MARK!r})):\n"
    "    exec(compile(text, f'block {number + 1}', 'exec'), names)\n"
    f"    print({MARK!r}, end='', flush=True)\n"
)


def printed(texts: list[str], folder: Path) -> list[str]:
    """What each of these blocks prints, run in order in one process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUNNER],
        input=MARK.join(texts),
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.split(MARK)[:-1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_in_a_page_prints_what_the_page_says(page: Path, tmp_path: Path) -> None:
    pairs = scripts(page)
    assert pairs
    found = printed([code.text for code, _ in pairs], tmp_path)
    if BLESS:
        bless(page, [(shown, said) for (_, shown), said in zip(pairs, found, strict=True) if shown is not None])
        pairs = scripts(page)
    for (code, shown), said in zip(pairs, found, strict=True):
        assert said == ("" if shown is None else shown.text), code.name


def bless(page: Path, found: list[tuple[Block, str]]) -> None:
    """Write into the page what was printed, the last first: offsets before it stay."""
    text = page.read_text()
    for shown, said in reversed(found):
        text = text[: shown.start] + said + text[shown.start + len(shown.text) :]
    page.write_text(text)


def test_a_page_that_shows_something_else_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\na = 1\n```\n\n```python\nprint(a)\n```\n\nprints\n\n```text\n2\n```\n")
    pairs = scripts(page)
    assert [shown.text if shown else None for _, shown in pairs] == [None, "2\n"]
    assert printed([code.text for code, _ in pairs], tmp_path) == ["", "1\n"]
    assert [block.word for block in blocks(page)] == ["python", "python", "text"]


def test_an_error_in_a_block_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="NameError"):
        printed(["b"], tmp_path)
