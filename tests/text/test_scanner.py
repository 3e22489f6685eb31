"""What is a tag and what is text, and that no text takes more than linear time."""

from __future__ import annotations

import time
from typing import Any

import pytest

from weft.text.layout import attribute_text, element_text
from weft.text.scanner import Scanner, Tag
from weft.text.source import Source

NAMES = ("workflow", "if", "then", "command", "env")


class Found:
    """The tags a text has, and what was reported about it."""

    def __init__(self, text: str, *, nested: bool = True) -> None:
        self.reports: list[str] = []
        self.tags: list[Tag] = []
        source = Source("t", text)
        scanner = Scanner(source, NAMES, self._report)
        pos = 0
        while (tag := scanner.next_tag(pos, nested=nested)) is not None:
            self.tags.append(tag)
            assert text[tag.start] == "<"
            pos = tag.name_end if tag.flaw else tag.end

    def _report(self, code: str, message: str, start: int, end: int, *, hint: Any = None) -> None:
        self.reports.append(f"{start}-{end} {code}")

    @property
    def names(self) -> list[str]:
        return ["/" * tag.closing + tag.name + "/" * tag.empty for tag in self.tags]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("<if><then/></if>", ["if", "then/", "/if"]),
        ("< if> <5> <-a> a < b <> <", []),
        ("<https://example.com> <a@b.c> <mailto:x@y>", []),
        ("<source:file id='x'/>", ["source:file/"]),
        ("<ifé> <if.x> <if=3>", []),
        ("</if > </if\n>", ["/if", "/if"]),
        ("<if a='>' b=\"/>\" c='\n'>", ["if"]),
        # inline code
        ("`<if>`", []),
        ("`` <if> ` <if> ``", []),
        ("`<if> <then>", ["if", "then"]),
        ("a ` b\n\n<if> ` c", ["if"]),
        ("a ` b\n<if> ` c", ["if"]),
        ("a ` b\ntext <if> ` c", []),
        ("a ` b\n# head <if> `", ["if"]),
        ("\\`<if>`", ["if"]),
        ("\\\\`<if>`", []),
        ("\\<if> <then>", ["then"]),
        ("`a`<if>`b`", ["if"]),
        # fenced code
        ("```\n<if>\n```\n<then>", ["then"]),
        ("````x y\n```\n<if>\n````\n<then>", ["then"]),
        ("~~~\n```\n<if>\n~~~\n<then>", ["then"]),
        ("```\n<if>\n`````   \n<then>", ["then"]),
        ("```\n<if>\n``` x\n<if>\n```\n<then>", ["then"]),
        ("``` `x`\n<if>", ["if"]),
        ("- ```\n  <if>\n  ```\n<then>", ["then"]),
        ("> ```\n> <if>\n> ```\n<then>", ["then"]),
        ("1. - ~~~\n     <if>\n     ~~~\n<then>", ["then"]),
        ("      ```\n      <if>\n      ```\n<then>", ["then"]),
        ("```\n<if>\n     ```\n<if>\n```\n<then>", ["then"]),
        ("x ```\n<if>", ["if"]),
        # comments
        ("<!-- <if> --><then>", ["then"]),
        ("<!--><if>", ["if"]),
        ("<!-- ` --><if>`", ["if"]),
        ("`<!--`<if>", ["if"]),
    ],
)
def test_tags_in_code_and_comments_are_text(text: str, names: list[str]) -> None:
    assert Found(text).names == names


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_line_end_ends_a_line(newline: str) -> None:
    text = "a ` b\n\n```sh\n<if>\n```\n<then>\n".replace("\n", newline)
    assert Found(text).names == ["then"]


def test_before_the_workflow_a_deeply_indented_fence_is_none() -> None:
    assert Found("   ```\n<if>\n   ```\n<then>", nested=False).names == ["then"]
    assert Found("    ```\n\n<if>\n\n    ```\n<then>", nested=False).names == ["if", "then"]


def test_open_fences_and_comments_are_reported_and_read_over() -> None:
    found = Found("```\n<if>")
    assert (found.names, found.reports) == (["if"], ["0-3 WEFT202"])
    found = Found("<!-- a <if> <!-- <then>")
    assert (found.names, found.reports) == (["if", "then"], ["0-4 WEFT203"])


def test_after_many_open_fences_the_rest_is_code() -> None:
    found = Found("```a\n" * 100 + "<if>")
    assert (found.names, len(found.reports)) == ([], 8)


def test_declarations_are_reported() -> None:
    assert Found('<!DOCTYPE x [ <!ENTITY a "b"> ]> <!x> &a;').reports == ["0-9 WEFT204", "14-22 WEFT204"]


def test_attributes_have_exact_places() -> None:
    text = '<if a = "x > y"\n  b-c=\'"\' d e=f/>'
    (tag,) = Found(text).tags
    shown = [(a.name, text[a.start : a.end], text[a.value_start : a.value_end], a.quoted) for a in tag.attributes]
    assert shown == [
        ("a", "a", "x > y", True),
        ("b-c", "b-c", '"', True),
        ("d", "d", "", True),
        ("e", "e", "f", False),
    ]
    assert (tag.empty, tag.flaw, tag.end) == (True, None, len(text))


@pytest.mark.parametrize(
    ("text", "message", "rest"),
    [
        ('<if id="a b="x"> <then>', "the value of `id` has an opening quote and no closing one", " <then>"),
        ('<if id="a> <then>', "the value of `id` has an opening quote and no closing one", " <then>"),
        ('<if id="a"b="x"> <then>', "unexpected 'b' in the tag `<if>`", " <then>"),
        ('<if id="a" <then>', "`<if` is not ended", "<then>"),
        ("<if id=> <then>", "`id=` has no value", " <then>"),
        ("<if", "`<if` is not ended", ""),
        ("<if ; x> <then>", "unexpected ';' in the tag `<if>`", " <then>"),
        ("</if <then>", "`</if` is not ended", "<then>"),
    ],
)
def test_a_badly_written_tag_says_why_and_where_to_read_on(text: str, message: str, rest: str) -> None:
    tag = Found(text).tags[0]
    assert tag.flaw is not None
    assert (tag.flaw.message, text[tag.end :]) == (message, rest)


def raw_end(text: str, owner: str = "command") -> str | None:
    scanner = Scanner(Source("t", text), NAMES, lambda *a, **k: None)
    found = scanner.find_end(owner, 0)
    return None if found is None else text[: found[0]]


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("a < b && c `</command> `", "a < b && c `"),
        ("<!-- </command> -->", "<!-- "),
        ("\n```\n</command>\n```\n</command>", "\n```\n</command>\n```\n"),
        ("```sh\n</command>\n```</command>", "```sh\n</command>\n```"),
        ("\n  ~~~~\n ~~~\n</command>\n  ~~~~~\n </command >", "\n  ~~~~\n ~~~\n</command>\n  ~~~~~\n "),
        ("```\nx</command>", "```\nx"),
        ("</commands></ command>", None),
    ],
)
def test_only_a_fence_hides_an_end_tag_in_raw_text(text: str, raw: str | None) -> None:
    assert raw_end(text) == raw


def laid_out(text: str, *spans: tuple[int, int]) -> tuple[str, str | None]:
    source = Source("t", text)
    scanner = Scanner(source, NAMES, lambda *a, **k: None)
    result = element_text(source, scanner.fences, spans or [(0, len(text))])
    before = -1
    for index, char in enumerate(result.value):
        at = result.at(index)
        assert at > before
        assert text[at] == char or char == "\n"
        before = at
    return result.value, result.language


@pytest.mark.parametrize(
    ("text", "value", "language"),
    [
        ("x", "x", None),
        (" x ", "x ", None),
        ("", "", None),
        (" \n ", "", None),
        ("\n  a\n    b\n  ", "a\n  b", None),
        ("\n\n  a\n\n\n", "\na\n\n", None),
        ("a\n    b\n", "a\n    b", None),
        ("\n\ta\n\t\tb\n", "a\n\tb", None),
        ("\n\ta\n    b\n", "\ta\n    b", None),
        ("\n  a\n \n      \n  b", "a\n\n    \nb", None),
        ("\n  ```py\n  a\n    b\n  ```\n", "a\n  b", "py"),
        ("\n\n```\n\n a\n```  \n\n", "\na", ""),
        ("```sh x=1\na\n```", "a", "sh"),
        ("```\n```", "", ""),
        ("~~~~\n~~~\n~~~~\n", "~~~", ""),
        ("\n```\na\n```\nb\n", "```\na\n```\nb", None),
        ("\n```\na\n```\n```\nb\n```\n", "```\na\n```\n```\nb\n```", None),
        ("- ```\n  a\n  ```", "- ```\n  a\n  ```", None),
        ("a\r\nb\nc", "a\r\nb\nc", None),
        ("\r\n  a\r\n  b\r\n", "a\r\nb", None),
    ],
)
def test_a_text_is_trimmed_unwrapped_and_dedented(text: str, value: str, language: str | None) -> None:
    assert laid_out(text) == (value, language)


def test_texts_around_a_child_are_joined_by_a_newline() -> None:
    text = "\n  make all\n  <env/>\n  make more\n"
    assert laid_out(text, (0, 14), (20, len(text))) == ("make all\nmake more", None)
    assert laid_out("a <env/> b", (0, 2), (8, 10)) == ("a \n b", None)
    assert laid_out("\n  a\n  <env/>\n", (0, 7), (13, 14)) == ("a", None)


def test_four_entities_are_decoded_in_attributes_and_no_other() -> None:
    raw = "a&lt;b&gt;&amp;lt;&quot;&apos;&lol9;&#60;&"
    text = attribute_text(Source("t", "__" + raw), 2, len(raw) + 2, 0)
    assert text.value == 'a<b>&lt;"&apos;&lol9;&#60;&'
    assert [text.at(i) for i in range(6)] == [2, 3, 7, 8, 12, 17]


UNITS = {
    "backticks": "`", "two and one backticks": "`` ` ", "angles": "<", "brackets": "[", "quotes": '"',
    "open tags": "<a ", "open values": '<a x="', "two quotes": "<a x='\" y=\"", "open fences": "```a\n",
    "fences": "```\n", "mixed fences": "`````a\n```\n~~~\n", "comments": "<!--", "markers": "- > ", "blanks": " ",
    "end tags": "</if>", "lines": "\n", "escapes": "\\`", "equals": "<if a=", "stars": "*", "pipes": "|",
}  # fmt: skip


def seconds(text: str) -> float:
    def once() -> float:
        began = time.process_time()
        Found(text)
        scanner = Scanner(Source("t", text), NAMES, lambda *a, **k: None)
        pos: int | None = 0
        while pos is not None:
            raw = scanner.next_raw(pos, 0, "command")
            pos = None if raw is None else raw.start + 1
            scanner.find_end("command", pos or 0)
        return time.process_time() - began

    return min(once() for _ in range(3))


@pytest.mark.torture  # it measures time
@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS.keys())
def test_time_is_linear(unit: str) -> None:
    small, double, four = (seconds(unit * (n // len(unit))) for n in (25_000, 50_000, 100_000))
    # Quadratic would be 4 and 16; a floor keeps the noise of a few milliseconds out.
    assert four < 3.2 * max(double, 0.01)
    assert four < 3.2**2 * max(small, 0.005)
