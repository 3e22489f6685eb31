"""Pages as a test reads them: sections, the blocks in them, and what was written for the test to know.

- A block whose paragraph before ends in a file name (`` `sales.csv`: ``) is that file.
- A `markdown` block is a whole document; a `weft` block is a piece of one. `<!-- given: scores, config.top -->` before
  a piece names what it refers to and does not show.
- A `python` block is run after those before it, where its page is listed (`test_python_pages.py`); a `text` block that
  follows it is what it prints.
- A `console` block is typed in a folder that has the files of its section (`##`) so far, and those that stand before
  the first section. A line `...` stands for any
  lines. `<!-- not run: why -->` before a block leaves it out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
HOME = "/home/ada/work"
"""What the pages call the folder that a console block was typed in."""

_FENCE = re.compile(r"^(?P<fence>`{3,})(?P<word>\w*)\n(?P<text>.*?)^(?P=fence)$\n?", re.MULTILINE | re.DOTALL)
_SECTION = re.compile(r"^## (.+)$")
_FILE = re.compile(r"`([\w./-]+\.[a-z]+)`:?\s*\Z")
_COMMENT = re.compile(r"<!-- (given|not run|warns): ?(.*?) ?-->\s*\Z")
_SWAPS = (
    (re.compile(r"\d{8}-\d{6}-[0-9a-z]{6}"), "RUN"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? s\b|\b\d+m\d\ds\b"), "TOOK"),
    (re.compile(r"^ +\d+\.\d{3}(?=  )", re.MULTILINE), "AT"),
    (re.compile(r"\bpid \d+"), "pid N"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "COMMIT"),
    (re.compile(r"\b\d+ jobs|\bjobs \d+"), "N jobs"),
    (re.compile(r" +"), " "),
    (re.compile(r" +$", re.MULTILINE), ""),
)


class Block(msgspec.Struct, frozen=True):
    """A fenced block: its word, its text, where it is, and what was said about it."""

    page: Path
    section: str
    word: str
    text: str
    start: int
    """Offset of the text in the page."""
    line: int
    file: str | None
    note: tuple[str, str] | None

    @property
    def name(self) -> str:
        return f"{self.page.name}:{self.line}"


class Said(msgspec.Struct, frozen=True):
    """A command of a console block, with what the page says it prints."""

    command: str
    output: str
    start: int
    """Offset of the output in the page."""


def pages() -> list[Path]:
    """All pages that people read."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text()
    return list(_blocks(page, text))


def _blocks(page: Path, text: str) -> Iterator[Block]:
    section, at = "", 0
    for found in _FENCE.finditer(text):
        between = text[at : found.start()]
        for line in between.splitlines():
            if heading := _SECTION.match(line):
                section = heading.group(1)
        note = _COMMENT.search(between)
        before = between[: note.start()] if note else between
        file = _FILE.search(before)
        yield Block(
            page,
            section,
            found["word"],
            found["text"],
            found.start("text"),
            text.count("\n", 0, found.start()) + 1,
            file.group(1) if file else None,
            (note.group(1), note.group(2)) if note else None,
        )
        at = found.end()


def scripts(page: Path) -> list[tuple[Block, Block | None]]:
    """The Python blocks of a page that are run, each with the block that shows what it prints, if one follows."""
    found = [b for b in blocks(page) if b.word != "console"]
    following: list[Block | None] = [*found[1:], None]
    return [
        (code, shown if shown is not None and shown.word == "text" else None)
        for code, shown in zip(found, following, strict=True)
        if code.word == "python" and not (code.note is not None and code.note[0] == "not run")
    ]


def sessions(page: Path) -> dict[str, list[Block]]:
    """The sections of a page in which something is typed: their blocks."""
    found: dict[str, list[Block]] = {}
    for block in blocks(page):
        found.setdefault(block.section, []).append(block)
    common = [b for b in found.get("", []) if b.file is not None]
    sections = {name: some for name, some in found.items() if any(is_typed(b) for b in some)}
    return {name: (common if name else []) + some for name, some in sections.items()}


def is_typed(block: Block) -> bool:
    """Whether a test types the block's commands."""
    return block.word == "console" and not (block.note is not None and block.note[0] == "not run")


def typed(block: Block) -> list[Said]:
    """The commands of a console block."""
    found: list[Said] = []
    at = block.start
    command, begin = "", 0
    for line in block.text.splitlines(keepends=True):
        if line.startswith("$ "):
            if command:
                found.append(Said(command, block.text[begin - block.start : at - block.start], begin))
            command, begin = line[2:].rstrip("\n"), at + len(line)
        at += len(line)
    if command:
        found.append(Said(command, block.text[begin - block.start :], begin))
    return found


def run(command: str, folder: Path) -> tuple[int, str]:
    """The exit code of a command typed in a folder, and all it says."""
    kept = {name: os.environ[name] for name in ("LANG", "TMPDIR", "PYTHONPATH") if name in os.environ}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    env = {**kept, "PATH": path, "HOME": str(folder), "TERM": "dumb", "COLUMNS": "100"}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    text = done.stdout.decode()
    return done.returncode, text.replace(str(folder.resolve()), HOME).replace(str(folder), HOME)


def plain(text: str) -> str:
    """The text without what differs from run to run."""
    for pattern, word in _SWAPS:
        text = pattern.sub(word, text)
    return text.strip("\n")


def agrees(expected: str, said: str) -> bool:
    """Whether a page says what was said. `...` on a line of its own stands for any lines; what runs side by side may
    be told in any order."""
    if "AT " in plain(said) and sorted(plain(expected).splitlines()) == sorted(plain(said).splitlines()):
        return True
    parts = [re.escape(part.strip("\n")) for part in re.split(r"^\.\.\.$", plain(expected), flags=re.MULTILINE)]
    pattern = r"(?:.*\n)?".join(f"{part}\n?" if part else "" for part in parts)
    return re.fullmatch(pattern, plain(said) + "\n", re.DOTALL) is not None
