"""Streams that go away or stand still, and text that would fool a terminal."""

from __future__ import annotations

import contextlib
import io
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.cli.json import encode
from weft.cli.terminal import WAITING, Out, harmless, log_text, one_line

DANGEROUS = {"Cc", "Cs", "Zl", "Zp"}
BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def is_dangerous(c: str) -> bool:
    return unicodedata.category(c) in DANGEROUS or c in BIDI or c in "\u200b\ufeff\U000e0041"


@given(st.text())
def test_harmless_text_has_no_control_and_no_bidi_characters_but_line_ends_and_tabs(text):
    assert [c for c in harmless(text) if is_dangerous(c) and c not in "\n\t"] == []


@given(st.text())
def test_one_line_is_one_line(text):
    assert [c for c in one_line(text) if is_dangerous(c)] == []


@given(st.text(alphabet=st.characters(min_codepoint=32, exclude_categories=["Cc", "Cf", "Cn", "Cs", "Zl", "Zp"])))
def test_ordinary_text_is_left_alone(text):
    assert harmless(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]8;;http://evil\x07click\x1b]8;;\x07", "\\e]8;;http://evil\\x07click\\e]8;;\\x07"),
        ("\x1b]52;c;ZXZpbA==\x07", "\\e]52;c;ZXZpbA==\\x07"),
        ("\x1b[2J\x1b[1;1H", "\\e[2J\\e[1;1H"),
        ("\x9b31m", "\\x9b31m"),
        ("user\u202etxt.exe", "user\\u202etxt.exe"),
        ("a\u2066b\u2069", "a\\u2066b\\u2069"),
        ("bell\a back\b", "bell\\x07 back\\x08"),
        ("a\rb", "a\\rb"),
        ("\ud800", "\\ud800"),
        ("été 漢字 🎉 a\u00a0b", "été 漢字 🎉 a\u00a0b"),
        ("line\n\ttab", "line\n\ttab"),
    ],
)
def test_what_is_written_out(text, shown):
    assert harmless(text) == shown


def test_of_a_programs_output_colours_are_dropped_and_carriage_returns_begin_lines():
    assert log_text("\x1b[1;31mred\x1b[0m\r\n10%\r20%\x1b[2K\n") == "red\n10%\n20%\\e[2K\n"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_json_is_harmless_and_reads_back_as_it_was(text):
    import msgspec

    written = encode({"x": text}).decode()
    assert [c for c in written if is_dangerous(c)] == []
    assert msgspec.json.decode(written) == {"x": text}


def test_a_name_that_is_not_utf8_still_makes_json():
    assert encode({"file\udcff": "a\udcff"}) == b'{"file\\\\udcff":"a\\\\udcff"}'


# -- streams -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pipe():
    read, write = os.pipe()
    stream = os.fdopen(write, "w")
    ends = {"read": read}
    yield ends, stream
    if ends["read"] >= 0:
        os.close(ends["read"])
    with contextlib.suppress(BrokenPipeError):
        stream.close()


def test_a_reader_that_has_gone_turns_a_stream_deaf(pipe):
    ends, stream = pipe
    out = Out(stream)
    out.line("one")
    os.close(ends["read"])
    ends["read"] = -1
    out.line("two")
    out.line("three")
    assert (out.gone, out.trouble, out.drain(0)) == (True, "", True)


def test_a_closed_stream_takes_everything_and_says_nothing():
    out = Out(None)
    out.line("x")
    out.send(b"y")
    assert (out.gone, out.drain(0), out.size()) == (True, True, (80, 24))


def test_a_full_disk_is_remembered():
    with Path("/dev/full").open("w") as stream:
        out = Out(stream)
        out.line("x")
        assert (out.gone, out.trouble) == (True, os.strerror(28))


def test_a_reader_that_does_not_read_holds_nobody_up_and_gets_everything_in_the_end(pipe):
    ends, stream = pipe
    out = Out(stream)
    sent = "".join(f"line {number} {'x' * 100}\n" for number in range(5000))
    for line in sent.splitlines(keepends=True):
        out.write(line)  # would block for ever: nobody has read yet
    assert not out.drain(0)
    assert not out.ready()
    got = b""
    while len(got) < len(sent):
        got += os.read(ends["read"], 65536)
    assert got.decode() == sent
    assert out.drain(5)
    assert out.dropped == 0


def test_for_a_reader_that_never_reads_only_so_much_is_kept(pipe):
    ends, stream = pipe
    out = Out(stream)
    piece = b"x" * (1024 * 1024)
    for _ in range(12):
        out.write_bytes(piece)
    assert out.dropped > 0
    assert out._size <= WAITING
    os.close(ends["read"])
    ends["read"] = -1
    assert out.drain(5)  # what waits is dropped with its reader
    assert out.gone


def test_results_are_waited_for_and_come_after_what_was_waiting(pipe):
    ends, stream = pipe
    out = Out(stream)
    from threading import Thread

    got: list[bytes] = []

    def read() -> None:
        while data := os.read(ends["read"], 65536):
            got.append(data)

    reader = Thread(target=read)
    out.write("a" * 200_000)
    reader.start()
    out.send(b"b" * 200_000)
    stream.close()
    reader.join(10)
    assert b"".join(got) == b"a" * 200_000 + b"b" * 200_000


def test_what_an_encoding_lacks_is_written_out():
    class Latin(io.StringIO):
        encoding = "latin-1"

    stream = Latin()
    Out(stream).line("é → ✗")
    assert stream.getvalue() == "é \\u2192 \\u2717\n"


def test_colours_only_where_a_terminal_takes_them(monkeypatch):
    import pty

    primary, secondary = pty.openpty()
    with os.fdopen(primary, "rb"), os.fdopen(secondary, "w") as stream:
        for term, no_color, moves, colours in [
            ("xterm", "", True, True),
            ("xterm", "1", True, False),
            ("dumb", "", False, False),
            ("", "", False, False),
        ]:
            monkeypatch.setenv("TERM", term)
            monkeypatch.setenv("NO_COLOR", no_color)
            out = Out(stream)
            assert (out.is_terminal, out.moves, out.colours) == (True, moves, colours)
