"""Every document in the pages is checked, and every command in them is typed and answers what the page says.

`WEFT_BLESS=1` writes what is said today into the pages, where that differs.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from docs.pages import Block, agrees, blocks, is_typed, pages, plain, run, sessions, typed
from weft.fronts.flow.front import load_document
from weft.runtimes import registry
from weft.text.source import Source, render

BLESS = bool(os.environ.get("WEFT_BLESS"))

SESSIONS = [(page, name) for page in pages() for name in sessions(page)]
DOCUMENTS = [b for page in pages() for b in blocks(page) if b.word == "markdown"]
PIECES = [b for page in pages() for b in blocks(page) if b.word == "weft"]


def said_about(name: str, text: str) -> tuple[list[str], list[str]]:
    """The errors and the warnings of a document."""
    source = Source(name, text)
    found: dict[str, list[str]] = {"error": [], "warning": []}
    for diagnostic in load_document(source, registry.specs).diagnostics:
        found[diagnostic.severity].append(render(diagnostic, source))
    return found["error"], found["warning"]


def is_wrong_on_purpose(block: Block) -> bool:
    """Its page says so by checking it and showing the errors."""
    shown = [b for b in blocks(block.page) if b.section == block.section and is_typed(b)]
    return any(block.file and f"{block.file}:" in said.output for b in shown for said in typed(b))


@pytest.mark.parametrize("block", DOCUMENTS, ids=lambda b: b.name)
def test_a_document_in_a_page_is_valid(block: Block) -> None:
    if not is_wrong_on_purpose(block):
        assert said_about(block.file or block.name, block.text) == ([], [])


def given(names: str) -> tuple[str, str]:
    """Front matter and nodes that declare what a piece refers to."""
    front: dict[str, list[str]] = {}
    nodes = []
    for name in filter(None, re.split(r"[ ,]+", names)):
        key, dot, rest = name.partition(".")
        if dot:
            front.setdefault(key, []).append(rest)
        else:
            nodes.append(f'<source:value id="{name}">[1]</source:value>')
    shapes = {"config": "{}: 1", "input": "{}: string", "limits": "{}: 2"}
    lines = [f"secrets: [{', '.join(front.pop('secrets'))}]"] if "secrets" in front else []
    lines += [f"runtime: {{ env: [{', '.join(front.pop('env'))}] }}"] if "env" in front else []
    lines += [f"{key}: {{ {', '.join(shapes[key].format(n) for n in names)} }}" for key, names in front.items()]
    return "\n".join(lines), "\n".join(nodes)


@pytest.mark.parametrize("block", PIECES, ids=lambda b: b.name)
def test_a_piece_in_a_page_is_valid(block: Block) -> None:
    front, nodes = given(block.note[1] if block.note else "")
    text = f"---\n{front}\n---\n<workflow>\n{nodes}\n{block.text}\n</workflow>\n"
    errors, _ = said_about(block.name, text)
    assert errors == []


@pytest.mark.parametrize(("page", "section"), SESSIONS, ids=lambda x: x.name if isinstance(x, Path) else x)
def test_what_a_page_types_says_what_the_page_says(page: Path, section: str, tmp_path: Path) -> None:
    for turn in range(GOES):
        try:
            _type_all(sessions(page)[section], tmp_path / str(turn))
            return
        except AssertionError:
            if turn == GOES - 1 or not _races_the_clock(sessions(page)[section]):
                raise


GOES = 3
"""A section that stops something after a time is tried again: the machine may have been busy with something else."""


def _races_the_clock(some: list[Block]) -> bool:
    return any("& sleep " in said.command for block in some if is_typed(block) for said in typed(block))


def _type_all(some: list[Block], folder: Path) -> None:
    folder.mkdir()
    moved = 0
    for block in some:
        if block.file is not None:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif is_typed(block):
            moved = _type(block, folder, moved)


def _type(block: Block, folder: Path, moved: int) -> int:
    """Types the commands of a block. Takes, and gives for what follows, how much longer the page has become."""
    for said in typed(block):
        code, output = run(said.command, folder)
        what = f"{block.name}: $ {said.command}"
        assert code == 0, f'{what}\nexit {code}; a page shows it by `; echo "exit $?"`\n{output}'
        if agrees(said.output, output):
            continue
        if BLESS:
            moved += _write(block.page, said.start + moved, said.output, output.rstrip("\n") + "\n" if output else "")
        else:
            assert plain(output) == plain(said.output), what
    return moved


def _write(page: Path, at: int, old: str, new: str) -> int:
    text = page.read_text()
    assert text[at : at + len(old)] == old
    page.write_text(text[:at] + new + text[at + len(old) :])
    return len(new) - len(old)
