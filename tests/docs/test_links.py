"""What the pages point to is there: other pages, places in them, files, tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.pages import ROOT, pages

_LINK = re.compile(r"!?\[[^]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_FENCE = re.compile(r"^(`{3,}).*?^\1$", re.MULTILINE | re.DOTALL)
_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
_FILE = re.compile(r"`((?:src/weft|tests|docs|examples|bench)/[\w./-]+)`")
_SOURCE = re.compile(r"`((?:core|engine|journal|backends|fronts|text|runtimes|cli)/[\w./]+\.py)`")


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The places of a page that can be linked to, as Git hosts name them."""
    headings = _HEADING.findall(prose(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda p: p.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(prose(page)):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", pages(), ids=lambda p: p.name)
def test_every_test_and_file_that_a_page_names_is_there(page: Path) -> None:
    missing = [path for path in _FILE.findall(prose(page)) if not (ROOT / path).exists()]
    missing += [path for path in _SOURCE.findall(prose(page)) if not (ROOT / "src/weft" / path).exists()]
    for path, test in _TEST.findall(prose(page)):
        file = ROOT / path
        if not file.exists() or (test and f"def {test}(" not in file.read_text()):
            missing.append(f"{path}::{test}")
    assert missing == []


def test_every_page_is_reached_from_the_readme() -> None:
    linked = {(ROOT / link).resolve() for link in _LINK.findall(prose(ROOT / "README.md")) if "://" not in link}
    assert [page.name for page in pages() if page.name != "README.md" and page.resolve() not in linked] == []


def test_the_readme_can_be_read_in_one_go() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 200
