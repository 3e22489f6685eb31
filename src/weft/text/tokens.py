"""The words of the expression language.

Hyphens are the one delicate matter: `fetch-all` is a node where a node has that id, else a subtraction. The
tokenizer is told the ids and takes the longest one that ends at a token border; it never looks for one
after a dot or a `$`, where names have no hyphens.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal, NoReturn

import msgspec

from weft.errors import ExpressionError
from weft.text.data import INT_MAX, show

MAX_LENGTH = 65_536
"""Characters of one expression."""

MAX_NAME = 128
"""Characters of one name."""


class Token(msgspec.Struct):
    """`text` is what stands there; `value` a number or the meaning of a quoted text."""

    kind: Literal["number", "text", "name", "special", "operator", "end"]
    text: str
    start: int
    end: int
    value: object = None


_TOKEN = re.compile(
    r"""(?P<space>[\s\ufeff]+)
    | (?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
    | (?P<special>\$[^\W\d]\w*)
    | (?P<name>[^\W\d]\w*)
    | (?P<quote>["'])
    | (?P<operator>===|!==|\.\.\.|==|!=|<=|>=|=>|&&|\|\||\?\?|\?\.(?![0-9])|[-+*/%<>!?:.,()\[\]{}|])
    """,
    re.VERBOSE,
)
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_PLAIN = re.compile(r"""[^"'\\\n\r]*""")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "'": "'", "/": "/", "0": "\0"}

_FOREIGN = {
    "=": ("`=` does not compare", "write == (nothing can be assigned here)"),
    "&": ("there is no operator `&`", "write `and` or &&"),
    "^": ("there is no operator `^`", "write pow(a, b)"),
    "~": ("there is no operator `~`", "write + to join texts"),
    "`": ("a text stands in ' or \"", 'join texts with +: "Hello " + name'),
    ";": ("an expression is a single value", "remove the `;`"),
    "#": ("there are no comments in expressions", None),
    "@": ("there is no operator `@`", None),
    "$": ("a name belongs after `$`", "for example $item or $config.name"),
    "\\": ("a backslash only stands inside a text", None),
    **dict.fromkeys("\u2018\u2019\u201c\u201d", ("a text stands in straight quotes", "write ' or \"")),
}


def tokenize(text: str, start: int, end: int, hyphenated: Collection[str]) -> list[Token]:
    """The tokens of `text[start:end]`, an `end` token last. `hyphenated`: the ids with a `-` in them.

    Linear in the length. Raises ExpressionError.
    """
    if end - start > MAX_LENGTH:
        raise ExpressionError(
            f"the expression has {end - start:,} characters, more than {MAX_LENGTH:,}",
            start,
            end,
            code="WEFT403",
        )
    tokens: list[Token] = []
    at = start
    after_dot = False
    while at < end:
        match = _TOKEN.match(text, at, end)
        if match is None:
            _foreign(text, at)
        kind = match.lastgroup
        stop = match.end()
        if kind == "space":
            at = stop
            continue
        if kind == "quote":
            token = _text(text, at, end)
        elif kind == "number":
            token = _number(text, at, stop, end)
        else:
            if stop - at > MAX_NAME:
                raise ExpressionError(
                    f"a name has at most {MAX_NAME} characters, this one has {stop - at:,}", at, stop, code="WEFT405"
                )
            if kind == "name" and hyphenated and not after_dot:
                stop = _longest_id(text, at, stop, end, hyphenated)
            token = Token(kind, text[at:stop], at, stop)  # type: ignore[arg-type]
        tokens.append(token)
        at = token.end
        after_dot = token.kind == "operator" and token.text in (".", "?.")
    tokens.append(Token("end", "", end, end))
    return tokens


def _foreign(text: str, at: int) -> NoReturn:
    c = text[at]
    message, hint = _FOREIGN.get(c, (f"{show(c)} means nothing in an expression", None))
    raise ExpressionError(message, at, at + 1, code="WEFT400", hint=hint)


def _longest_id(text: str, at: int, stop: int, end: int, hyphenated: Collection[str]) -> int:
    """Where the longest hyphenated id that stands at `at` ends, else `stop`."""
    match = _ID.match(text, at, end)
    if match is None:
        return stop
    cut = match.end()
    while cut > stop:
        if (cut == end or text[cut] not in _WORD) and text[at:cut] in hyphenated:
            return cut
        cut -= 1
    return stop


def _number(text: str, at: int, stop: int, end: int) -> Token:
    if stop < end and (text[stop].isalnum() or text[stop] == "_"):
        _ill_number(text, at, stop, end)
    written = text[at:stop]
    if len(written) > 1 and written[0] == "0" and written[1].isdigit():
        raise ExpressionError(
            "a number has no leading zero",
            at,
            stop,
            code="WEFT405",
            hint=f"write {written.lstrip('0') or '0'}",
        )
    if written.isdigit():
        if len(written) > 19 or int(written) > INT_MAX + 1:
            raise ExpressionError(
                f"{show(written)[1:-1]} does not fit into 64 bits",
                at,
                stop,
                code="WEFT405",
                hint="write it as a text",
            )
        return Token("number", written, at, stop, int(written))
    value = float(written)
    if value == float("inf"):
        raise ExpressionError("the number is too large", at, stop, code="WEFT405", hint="at most about 1.8e308")
    return Token("number", written, at, stop, value)


def _ill_number(text: str, at: int, stop: int, end: int) -> NoReturn:
    while stop < end and (text[stop].isalnum() or text[stop] == "_"):
        stop += 1
    raise ExpressionError(
        f"{show(text[at:stop], 40)[1:-1]} is not a number",
        at,
        stop,
        code="WEFT405",
        hint='numbers are 1, 2.5 or 1e3; a duration is a text: "5m"',
    )


def _text(text: str, at: int, end: int) -> Token:
    """A quoted text. It ends in its line, so that a forgotten quote is reported where it stands."""
    quote = text[at]
    parts: list[str] = []
    place = at + 1
    while True:
        match = _PLAIN.match(text, place, end)
        assert match is not None
        parts.append(match.group())
        place = match.end()
        if place >= end or text[place] in "\r\n":
            raise ExpressionError(
                f"this text is not closed: {show(text[at:place], 40)[1:-1]}",
                at,
                place,
                code="WEFT402",
                hint=f"end it with {quote} on the same line; \\n stands for a new line",
            )
        c = text[place]
        if c == quote:
            return Token("text", text[at : place + 1], at, place + 1, "".join(parts))
        if c == "\\":
            piece, place = _escape(text, place, end)
            parts.append(piece)
        else:
            parts.append(c)
            place += 1


_UNICODE = re.compile(r"\\u([0-9A-Fa-f]{4})")


def _escape(text: str, at: int, end: int) -> tuple[str, int]:
    c = text[at + 1 : at + 2] if at + 1 < end else ""
    if c in _ESCAPES:
        return _ESCAPES[c], at + 2
    match = _UNICODE.match(text, at, end)
    if match is None:
        raise ExpressionError(
            f"there is no escape \\{show(c)[1:-1]}",
            at,
            min(at + 2, end),
            code="WEFT405",
            hint=f"write \\\\{c} for a backslash" if c.isprintable() and c else None,
        )
    code = int(match.group(1), 16)
    stop = match.end()
    if 0xD800 <= code < 0xDC00 and (low := _UNICODE.match(text, stop, end)) is not None:
        second = int(low.group(1), 16)
        if 0xDC00 <= second < 0xE000:
            return chr(0x10000 + ((code - 0xD800) << 10) + (second - 0xDC00)), low.end()
    if 0xD800 <= code < 0xE000:
        raise ExpressionError("half of a surrogate pair is no character", at, stop, code="WEFT405")
    return chr(code), stop
