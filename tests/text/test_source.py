"""Reading bytes into a Source, positions, and how a diagnostic looks."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from timing import within
from weft.errors import DeniedError, DocumentError, NotFoundError
from weft.text.source import MAX_DOCUMENT, Source, Text, decode, quoted, read_source, render


def refusal(data: bytes, limit: int = MAX_DOCUMENT) -> str:
    with pytest.raises(DocumentError) as caught:
        decode("a.flow.md", data, limit)
    (found,) = caught.value.diagnostics
    return f"{found.line}:{found.column} {found.code} {found.message}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"ab\ncd\xff", "2:3 WEFT101 the document is not UTF-8: byte 0xff at byte offset 5"),
        (b"\xef\xbb\xbfab\xc3", "1:3 WEFT101 the document is not UTF-8: byte 0xc3 at byte offset 5"),
        ("é\r\n".encode() + b"\x80", "2:1 WEFT101 the document is not UTF-8: byte 0x80 at byte offset 4"),
        ("a".encode("utf-16"), "1:1 WEFT102 the document is UTF-16 or UTF-32 (byte order mark at byte 0)"),
        (b"\xfe\xff\x00a", "1:1 WEFT102 the document is UTF-16 or UTF-32 (byte order mark at byte 0)"),
        (b"a\nb\0c", "2:2 WEFT103 the document has a NUL byte at byte offset 3"),
    ],
)
def test_bytes_that_are_no_text_are_refused_with_their_offset(data: bytes, message: str) -> None:
    assert refusal(data) == message


def test_a_document_over_the_limit_is_refused() -> None:
    assert refusal(b"x" * 11, 10) == "1:1 WEFT104 the document has 11 bytes; the limit is 10"
    assert decode("a", b"x" * 10, 10).text == "x" * 10


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.flow.md"
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    began = time.perf_counter()
    with pytest.raises(DocumentError, match="the document has 104,857,600 bytes; the limit is 2,097,152"):
        read_source(path)
    within(0.1, began)


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    source = decode("a", b"\xef\xbb\xbfabc")
    assert source.text == "abc"
    assert source.position(0) == (1, 1)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a\r\nb\r\n", "a\nb\n"),
        (b"a\rb\r", "a\nb\n"),
        (b"a\r\nb\nc", "a\r\nb\nc"),
        (b"a\r\rb\n", "a\r\rb\n"),
        ("a\u2028b\x85c".encode(), "a\u2028b\x85c"),
    ],
)
def test_uniform_line_ends_become_newlines_and_mixed_ones_stay(data: bytes, text: str) -> None:
    assert decode("a", data).text == text


@pytest.mark.parametrize("text", ["ab\ncd\nx", "ab\r\ncd\r\nx", "ab\rcd\rx", "ab\r\ncd\rx"])
def test_lines_and_columns_are_the_same_for_every_line_end(text: str) -> None:
    source = Source("a", text)
    assert source.position(text.index("b")) == (1, 2)
    assert source.position(text.index("d")) == (2, 2)
    assert source.position(text.index("x")) == (3, 1)
    assert [source.line(n) for n in (1, 2, 3)] == ["ab", "cd", "x"]


def test_unicode_line_separators_end_no_line() -> None:
    source = Source("a", "a\u2028b\x85c\x0bd\ne")
    assert source.position(source.text.index("d")) == (1, 7)
    assert source.position(source.text.index("e")) == (2, 1)


def test_the_shadow_has_the_length_of_the_text() -> None:
    source = Source("a", "a\r\nb\rc\n")
    assert source.shadow == "a \nb\nc\n"
    assert len(source.shadow) == len(source.text)


def test_offsets_beyond_the_text_are_taken_as_its_end() -> None:
    source = Source("a", "ab\n")
    assert source.position(99) == (2, 1)
    assert source.position(-5) == (1, 1)


def test_a_missing_file_is_not_found_and_its_neighbour_named(tmp_path: Path) -> None:
    (tmp_path / "report.flow.md").write_text("x")
    with pytest.raises(NotFoundError) as caught:
        read_source(tmp_path / "reprot.flow.md")
    assert caught.value.message == f"there is no file {quoted(str(tmp_path / 'reprot.flow.md'))}"
    assert caught.value.hint == f"did you mean {quoted(str(tmp_path / 'report.flow.md'))}?"


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "file.md/inside"])
def test_impossible_names_are_not_found_or_an_error_of_the_machine(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.md").write_text("x")
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which of the two depends on the system
        read_source(str(tmp_path / name))
    assert getattr(caught.value, "exit_code", 0) in (66, 74)


def test_a_folder_is_no_document(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="is a folder, not a document"):
        read_source(tmp_path)


def test_devices_and_pipes_are_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(DocumentError) as caught:
            read_source(path)
        assert caught.value.diagnostics[0].code == "WEFT105"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_denied(tmp_path: Path) -> None:
    path = tmp_path / "secret.md"
    path.write_text("x")
    path.chmod(0)
    with pytest.raises(DeniedError, match="no permission to read"):
        read_source(path)


def test_a_diagnostic_shows_file_place_code_line_caret_and_hint() -> None:
    source = Source("a.flow.md", "one\n  <prallel>\n")
    found = source.diagnostic("WEFT210", "unknown tag `<prallel>`", 6, 14, hint="did you mean `parallel`?")
    assert render(found, source) == (
        "a.flow.md:2:3: error WEFT210: unknown tag `<prallel>`\n"
        "      <prallel>\n"
        "      ^~~~~~~~\n"
        "    hint: did you mean `parallel`?"
    )


def test_control_characters_of_a_document_do_not_reach_the_terminal() -> None:
    source = Source("a", "x\x1b]8;;evil\x07\u202ey")
    shown = render(source.diagnostic("WEFT210", "m", 0, 1), source)
    assert not any(c in shown for c in "\x1b\x07\u202e")
    assert quoted("a\x1b[31m\u202eb" + "x" * 100) == "'a\ufffd[31m\ufffdb" + "x" * 51 + "…'"


def test_a_text_finds_the_way_back_to_its_place() -> None:
    text = Text("a<b", 10, 16, (0, 1, 2), (10, 11, 15))
    assert [text.at(i) for i in range(4)] == [10, 11, 15, 16]
    assert text.span(0, 3) == (10, 16)
    assert text.span(1, 2) == (11, 12)
    assert Text("abc", 5, 8).span(1, 3) == (6, 8)
    assert Text("abc", 5, 20, exact=False).span(1, 3) == (5, 20)
