"""Whatever the document, checking and compiling it end: no exception, no hang, every place inside the text."""

from __future__ import annotations

import os
import random
import re
import time
from pathlib import Path

import pytest

from fronts.flow.test_fuzz_documents import generated, mutated
from weft.core.priority import plan
from weft.fronts.flow.front import load_document, merged
from weft.graph.analysis import layers
from weft.graph.model import walk
from weft.graph.work import LeafWork
from weft.runtimes import registry
from weft.text.source import Source, render

SCALE = int(os.environ.get("WEFT_FUZZ_SCALE", "1"))
COUNT = 300 * SCALE
FOLDER = Path(__file__).parents[2] / "scenarios"
TEXTS = [p.read_text(errors="replace") for p in sorted((*FOLDER.glob("*.flow.md"), *FOLDER.glob("valid/*.flow.md")))]
VALID = [p.read_text() for p in sorted(FOLDER.glob("valid/*.flow.md"))]
WORDS = sorted({word for text in TEXTS for word in re.findall(r"[\w$.-]+|\"[^\"\n]{1,30}\"|<[^<>\n]{1,60}>", text)})


def shuffled(rng: random.Random) -> str:
    """A document of real ones' parts: what it says is readable, and seldom sensible."""
    text = rng.choice(VALID if rng.random() < 0.7 else TEXTS)
    for _ in range(rng.randint(1, 6)):
        found = list(re.finditer(r"[\w$.-]+|\"[^\"\n]{1,30}\"|<[^<>\n]{1,60}>", text))
        if not found:
            break
        one, other = rng.choice(found), rng.choice(found)
        match rng.randrange(4):
            case 0:
                text = text[: one.start()] + rng.choice(WORDS) + text[one.end() :]
            case 1:
                text = text[: one.start()] + other.group() + text[one.end() :]
            case 2:
                text = text[: one.start()] + text[one.end() :]
            case _:
                lines = text.splitlines(keepends=True)
                a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
                lines[a], lines[b] = lines[b], lines[a]
                text = "".join(lines)
    return text


def check(text: str) -> bool:
    source = Source("fuzz.flow.md", text)
    began = time.perf_counter()
    made = load_document(source, registry.specs)
    assert time.perf_counter() - began < 1.0
    last = source.position(len(text))
    for diagnostic in made.diagnostics:
        assert (1, 1) <= (diagnostic.line, diagnostic.column) <= last
        assert (diagnostic.line, diagnostic.column) <= (diagnostic.end_line, diagnostic.end_column)
        assert diagnostic.message.isprintable()
        assert diagnostic.code < "WEFT3" or (diagnostic.hint or "").isprintable()
        render(diagnostic, source)
    assert merged(list(made.diagnostics)) == list(made.diagnostics)
    assert (made.program is None) is any(d.severity == "error" for d in made.diagnostics)
    if made.program is not None:
        graph = made.program.graph
        layers(graph)
        plan(graph)
        ids = [node.id for node in walk(graph)]
        assert len(set(ids)) == len(ids)
        for node in walk(graph):
            assert node.digest
            if isinstance(node.work, LeafWork):
                assert node.work.input is None or node.work.input in ids
                assert all(id_ in ids for several in node.work.context.values() for id_ in several)
    return made.program is not None


@pytest.mark.parametrize("block", range(10))
def test_no_document_makes_the_front_fail(block: int) -> None:
    rng = random.Random(block)
    for number in range(COUNT // 10):
        text = (shuffled, shuffled, mutated, generated)[number % 4](rng)
        try:
            check(text)
        except Exception:
            print(repr(text))
            raise


def test_some_of_them_are_compiled() -> None:
    rng = random.Random(99)
    assert sum(check(shuffled(rng)) for _ in range(200)) >= 10
