"""Whatever the text, the parser returns: no exception, no hang, and every place lies in the document."""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress

import pytest

from fronts.flow.sample_kinds import KINDS
from weft.errors import DocumentError
from weft.fronts.flow.ast import Element
from weft.fronts.flow.parser import parse_document
from weft.text.source import Source, Text, decode, render

SCALE = int(os.environ.get("WEFT_FUZZ_SCALE", "1"))
COUNT = 300 * SCALE

SEED = """---
name: nightly
version: "1.0"
config: { threshold: { type: number, default: 50 }, mode: fast }
input: { title: string }
secrets: [API_TOKEN]
runtime: { timeout: 10m, jobs: 8 }
---
# Nightly `<command id="no">`

<!-- <command id="no"> -->
<workflow>
  <source:file id="scores" path="a.json" format="json"/>
  <source type="http" id="h" url="http://x/?a=1&amp;b=2" headers="{A: b}"><extract>$body < 3</extract></source>
  <foreach id="each" collection="scores" concurrency="2">
    <transform:template id="t">
      Hello {{ $item.name }} a < b
      ```
      </transform:template>
      ```
    </transform:template>
    <break when="$item > 3"/>
  </foreach>
  ~~~
  <command id="no">
  ~~~
  <parallel id="p"><branch name="x"><command id="c">make `all` <env>A: "{{ t }}"</env>
    <on-error><retry max="3"/><fallback><delay id="d" duration="1s"/></fallback></on-error>
  </command></branch></parallel>
  <if id="i" condition="scores"><then><set var="a" value="b"/></then><else/></if>
  <python id="py">
    ```python
    def main(scores):
        return scores
    ```
  </python>
</workflow>
after
"""

TOKENS = [
    "<workflow>", "</workflow>", "<if id='i' condition=\"a<b\">", "</if>", "<then>", "</then>", "<else/>",
    "<parallel id='p'>", "</parallel>", "<branch>", "</branch>", "<foreach id='f' collection='x'>", "</foreach>",
    "<command id='c'>", "</command>", "<env>", "</env>", "<argv/>", "<on-error>", "</on-error>", "<retry max='1'/>",
    "<fallback>", "</fallback>", "<compensate>", "</compensate>", "<source:file id='s' path='x'/>",
    "<source type='file'",
    "<checkpoint id='k'>", "</checkpoint>", "<phase name='x'>", "</phase>", "<python id='y'>", "</python>",
    "<prallel id='q'>", "</prallel>", "<x-y>", "<b>", "</b>", "<https://x>", "<!--", "-->", "<!DOCTYPE x>", "```",
    "```sh", "~~~", "````", "`", "``", "\n", "\n\n", "    ", "\t", "\r\n", "\r", "\u2028", "\x85", "\ufeff", "é", "😀",
    "<", ">", "/>", "\"", "'", "=", "&lt;", "&lol;", "{{ x }}", "---\n", "name: x\n", "a: [1", "&a *a", "\\", "-", "- ",
    "> ", "# ",
    "text", "<condition>", "</condition>", "<break/>", "<set var='a'/>", "<loop id='l' max='2'>", "</loop>",
    "<uri>", " id='z' ",
]  # fmt: skip


def mutated(rng: random.Random) -> str:
    text = SEED
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(text) + 1)
        size = rng.choice((0, 1, 1, 2, 5, 20, 200))
        match rng.randrange(4):
            case 0:
                text = text[:at] + text[at + size :]
            case 1:
                text = text[:at] + rng.choice(TOKENS) + text[at:]
            case 2:
                other = rng.randrange(len(text) + 1)
                text = text[:at] + text[other : other + size] + text[at:]
            case _:
                char = rng.choice(' <"`\n\r\u2028😀')
                text = text[:at] + char + text[at + size :]
    return text


def generated(rng: random.Random) -> str:
    body = "".join(rng.choice(TOKENS) for _ in range(rng.randint(1, 120)))
    return rng.choice(("", "---\nname: x\n---\n")) + rng.choice(("<workflow>\n", "")) + body


def check(text: str) -> None:
    source = Source("fuzz.flow.md", text)
    began = time.perf_counter()
    document, diagnostics = parse_document(source, KINDS)
    assert time.perf_counter() - began < 1.0
    if document is None:
        assert any(d.severity == "error" for d in diagnostics)
    for diagnostic in diagnostics:
        assert 1 <= diagnostic.line <= source.position(len(text))[0]
        assert (diagnostic.end_line, diagnostic.end_column) >= (diagnostic.line, diagnostic.column)
        assert diagnostic.column >= 1
        assert "\n" not in diagnostic.message
        render(diagnostic, source)
    if document is not None:
        assert document.complete is not any(d.severity == "error" for d in diagnostics)
        for node in document.nodes:
            check_element(source, node, document.start, document.end)


def check_element(source: Source, element: Element, start: int, end: int) -> None:
    assert start <= element.start < element.head <= element.end <= end
    for text in (*element.attributes.values(), *element.settings.values()):
        check_text(source, text, element)
    for child in (*element.children, element.on_error, element.compensate):
        if child is not None:
            check_element(source, child, element.start, element.end)


def check_text(source: Source, text: Text, element: Element) -> None:
    before = -1
    for index, char in enumerate(text.value):
        at = text.at(index)
        assert before < at < element.end
        before = at
        # An entity stands for its character, the end of a child element for the newline between two texts.
        assert char == source.text[at] or source.text[at] == "&" or char == "\n"


@pytest.mark.parametrize("block", range(10))
def test_no_document_makes_the_parser_fail(block: int) -> None:
    rng = random.Random(block)
    for number in range(COUNT // 10):
        text = mutated(rng) if number % 2 else generated(rng)
        try:
            check(text)
        except Exception:
            print(repr(text))
            raise


def test_no_bytes_make_the_decoder_fail() -> None:
    rng = random.Random(1)
    for _ in range(COUNT):
        data = bytearray(SEED.encode())
        for _ in range(rng.randint(1, 5)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        data = data[: rng.randrange(len(data) + 1)] if rng.random() < 0.2 else data
        with suppress(DocumentError):
            parse_document(decode("fuzz.flow.md", bytes(data)), KINDS)
