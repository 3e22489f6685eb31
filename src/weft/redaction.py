"""Secrets: hidden in everything that is written down, put back where a value is needed again.

An output that contains a secret is *sealed* before it is journaled: each occurrence becomes `***` in the
payload, and a mark beside it says where that was, which secret, and in which form (as it is, escaped for JSON
or a URL, base64, hex). A form is a way to compute the very same characters from the secret, so opening
restores the value exactly, and nothing that is stored can be turned back into the secret. Because marks stand
beside the payload and not in it, data can neither forge one nor be hurt by looking like one.

Base64 has no border between bytes: a secret in the middle of an encoded text shares its first and its last
character with its neighbours. Those two stay as they are (they carry at most 4 bits of it each); the
characters between depend on the secret alone and its alignment (0, 1 or 2 bytes after a group's start), and
are hidden. At the end of an encoded text the last character and the padding are computable as well (`e`,
`p`).

Logs, messages and the terminal are only *masked*: there is no way back. A message that shows a value shows
the beginning of a long one, then `…`: what touches such a cut and begins or ends a secret is hidden as well.
Secrets under six characters are refused, because hiding `a` everywhere would hide nothing and make everything
unreadable.

How it is searched: every form of every secret is known beforehand; a regular expression looks for their first
six characters, and only where one is found are the forms that begin so compared.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import quote, quote_plus

import msgspec

from weft.errors import ValidationError
from weft.event_types import SecretMark

MASK = "***"
MIN_LENGTH = 6
CUT = "…"
"""Stands where a message leaves something out: what is beside it may be a piece of a secret."""
MESSAGE = 64 * 1024
"""Characters of the longest message that is looked through for cuts; longer texts are somebody else's words."""
MIN_PIECE = 4
"""Characters of a piece of a secret that are hidden beside a cut."""
NUMBER = "number"
"""The form of a mark without a name: the sealed text stands for a number."""

_HEX = re.compile(r"%[0-9A-F]{2}")
_NUMERIC = re.compile(r"[-+0-9.eE]+\Z")

Text = TypeVar("Text", str, bytes)


def _lowered(text: str) -> str:
    return _HEX.sub(lambda match: match[0].lower(), text)


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _json_ascii(text: str) -> str:
    return json.dumps(text)[1:-1]


_URLS: dict[str, Callable[[str], str]] = {
    "url": lambda text: quote(text, safe=""),
    "url-path": lambda text: quote(text, safe="/"),
    "url-plus": quote_plus,
    "url-js": lambda text: quote(text, safe="!'()*"),
    "url-query": lambda text: quote(text, safe="!$&'()*+,;=:@/?"),
}
_FORMS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "json": _json,
    "json-ascii": _json_ascii,
    "json-slash": lambda text: _json_ascii(text).replace("/", "\\/"),
    "json-twice": lambda text: _json(_json(text)),
    "repr": lambda text: repr(text)[1:-1],
    **_URLS,
    "hex": lambda text: text.encode().hex(),
    "hex-up": lambda text: text.encode().hex().upper(),
}
_BASE64 = tuple(
    f"{alphabet}-{alignment}{end}"
    for alphabet in ("base64", "base64url")
    for alignment in (0, 1, 2)
    for end in ("", "e", "p")
)


def derived(secret: str, form: str) -> str:
    """The characters that `secret` has in the form `form`; `form@2` is that of its second line. Raises
    KeyError.
    """
    form, _, line = form.partition("@")
    if line:
        secret = _lines(secret)[int(line) - 1]
    if form.startswith("base64"):
        return _base64(secret, form)
    if form.endswith("-low"):
        return _lowered(_URLS[form.removesuffix("-low")](secret))
    return _FORMS[form](secret)


def _base64(text: str, form: str) -> str:
    alphabet, _, variant = form.partition("-")
    alignment, end = int(variant[0]), variant[1:]
    data = text.encode()
    whole = b64encode(b"\0" * alignment + data, b"-_" if alphabet == "base64url" else None).decode()
    first = (8 * alignment + 5) // 6
    last = 8 * (alignment + len(data)) // 6
    if end == "p":
        return whole[first:]
    return whole.rstrip("=")[first:] if end == "e" else whole[first:last]


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


class _Form(msgspec.Struct, frozen=True):
    """One spelling of one secret."""

    name: str
    form: str
    text: str


class _Search(Generic[Text]):
    """Finds spellings in a text (or in bytes)."""

    __slots__ = ("_by_head", "_find", "_starts")

    def __init__(self, spelled: list[tuple[Text, _Form]]) -> None:
        by_head: dict[Text, list[tuple[Text, _Form]]] = {}
        for text, form in spelled:
            by_head.setdefault(text[:MIN_LENGTH], []).append((text, form))
        for entries in by_head.values():
            entries.sort(key=lambda entry: -len(entry[0]))
        self._by_head: dict[Text, list[tuple[Text, _Form]]] = by_head
        self._find: Callable[[Text, int], re.Match[Text] | None] = _alternation(list(by_head)).search
        self._starts: set[Text] = {head[:size] for head in by_head for size in range(1, MIN_LENGTH)}

    def spans(self, text: Text) -> Iterator[tuple[int, int, _Form]]:
        """The occurrences from left to right, the longest where several begin, none overlapping."""
        at = 0
        while found := self._find(text, at):
            start = found.start()
            at = start + 1
            for spelling, form in self._by_head[text[start : start + MIN_LENGTH]]:
                if text.startswith(spelling, start):
                    at = start + len(spelling)
                    yield start, at, form
                    break

    def occurs(self, text: Text) -> bool:
        """Whether there is one."""
        return next(self.spans(text), None) is not None

    def undecided(self, text: Text, start: int, longest: int) -> int:
        """Where the end of `text` begins that more text could turn into an occurrence; its length when none
        could.
        """
        for at in range(max(start, len(text) - longest + 1), len(text)):
            head = text[at : at + MIN_LENGTH]
            if len(head) < MIN_LENGTH:
                if head in self._starts:
                    return at
            elif head in self._by_head:
                rest = text[at:]
                if any(len(s) > len(rest) and s.startswith(rest) for s, _ in self._by_head[head]):
                    return at
        return len(text)


def _alternation(heads: list[Text]) -> re.Pattern[Text]:
    """A pattern of all heads, those with the same first character together."""
    empty = heads[0][:0]
    by_first: dict[Text, list[Text]] = {}
    for head in heads:
        by_first.setdefault(head[:1], []).append(re.escape(head[1:]))
    if isinstance(empty, str):
        groups = [re.escape(first) + "(?:" + "|".join(rest) + ")" for first, rest in by_first.items()]
        return re.compile("|".join(groups))
    parts = [re.escape(first) + b"(?:" + b"|".join(rest) + b")" for first, rest in by_first.items()]
    return re.compile(b"|".join(parts))


class Vault:
    """The secrets of a run, by name. Immutable. Without secrets everything in here costs one comparison.

    Raises ValidationError for a secret that is too short or is not text.
    """

    __slots__ = ("_bytes", "_encoded", "_forms", "_longest", "_numeric", "_secrets", "_text")

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self._secrets = dict(secrets or {})
        for name, text in self._secrets.items():
            _check(name, text)
        self._numeric = any(_NUMERIC.match(text) for text in self._secrets.values())
        self._forms: list[_Form] | None = None
        self._longest = 0
        self._text: _Search[str] | None = None
        self._bytes: _Search[bytes] | None = None
        self._encoded: _Search[bytes] | None = None

    def __bool__(self) -> bool:
        return bool(self._secrets)

    def __repr__(self) -> str:
        return f"Vault({', '.join(self._secrets)})"

    # -- masking: no way back ----------------------------------------------------------------------------------

    def mask(self, text: str) -> str:
        """`text` with every occurrence hidden, and every piece of one that a cut has left."""
        if not self._secrets:
            return text
        out: list[str] = []
        at = 0
        for start, end, _ in self._in_text().spans(text):
            out += (text[at:start], MASK)
            at = end
        masked = "".join(out) + text[at:] if out else text
        return self._mask_pieces(masked) if CUT in masked and len(masked) <= MESSAGE else masked

    def mask_bytes(self, data: bytes) -> bytes:
        """As `mask`, for UTF-8 (or any bytes around it)."""
        if not self._secrets:
            return data
        masker = self.stream()
        return masker.feed(data) + masker.flush()

    def stream(self) -> StreamMasker:
        """A masker for output that comes in pieces."""
        return StreamMasker(self._in_bytes() if self._secrets else None, self._longest)

    # -- sealing: and opening again ----------------------------------------------------------------------------

    def seal(self, value: Any) -> tuple[Any, tuple[SecretMark, ...]]:
        """`value` (JSON data, left as it is) with every occurrence hidden, and the marks that bring them
        back.
        """
        if not self._secrets:
            return value, ()
        marks: list[SecretMark] = []
        sealed = self._sealed(value, (), marks)
        return sealed, tuple(marks)

    def open(self, value: Any, marks: tuple[SecretMark, ...] | list[SecretMark]) -> Any:
        """What was sealed. Raises ValidationError when a secret is not there or a mark does not fit."""
        if not marks:
            return value
        by_place: dict[tuple[str | int, ...], list[SecretMark]] = {}
        inside: set[tuple[str | int, ...]] = set()
        for mark in marks:
            by_place.setdefault(mark.place, []).append(mark)
            inside.update(mark.place[:length] for length in range(len(mark.place)))
        return self._opened(value, (), by_place, inside)

    def seal_encoded(self, data: bytes) -> tuple[bytes, tuple[SecretMark, ...]]:
        """As `seal`, for a value encoded as JSON; decoded only when a secret is in it."""
        if not self._secrets or not self._in_encoded().occurs(data):
            return data, ()
        sealed, marks = self.seal(msgspec.json.decode(data))
        return (msgspec.json.encode(sealed), marks) if marks else (data, ())

    def open_encoded(self, data: bytes, marks: tuple[SecretMark, ...] | list[SecretMark]) -> bytes:
        """As `open`, for a value encoded as JSON."""
        if not marks:
            return data
        return msgspec.json.encode(self.open(msgspec.json.decode(data), marks))

    # -- inside -------------------------------------------------------------------------------------------------

    def _mask_pieces(self, text: str) -> str:
        """`text` without what stands before a cut and begins a form, or behind one and ends it."""
        parts = text.split(CUT)
        for number, part in enumerate(parts):
            before = self._piece(part, at_end=True) if number < len(parts) - 1 else 0
            if before:
                part = part[:-before] + MASK
            behind = self._piece(part, at_end=False) if number else 0
            parts[number] = MASK + part[behind:] if behind else part
        return CUT.join(parts)

    def _piece(self, part: str, *, at_end: bool) -> int:
        """The length of the longest piece at that end of `part`: what begins a form, or at the start ends one."""
        longest = 0
        for form in (each.text for each in self._all_forms()):
            room = min(len(form) - 1, len(part))
            if at_end:
                at = part.find(form[:MIN_PIECE], len(part) - room)
                while at >= 0 and not form.startswith(part[at:]):
                    at = part.find(form[:MIN_PIECE], at + 1)
                size = len(part) - at if at >= 0 else 0
            else:
                at = part.rfind(form[-MIN_PIECE:], 0, room)
                while at >= 0 and not form.endswith(part[: at + MIN_PIECE]):
                    at = part.rfind(form[-MIN_PIECE:], 0, at + MIN_PIECE - 1)
                size = at + MIN_PIECE if at >= 0 else 0
            longest = max(longest, size)
        return longest

    def _sealed(self, value: Any, place: tuple[str | int, ...], marks: list[SecretMark]) -> Any:
        if isinstance(value, str):
            return self._sealed_text(value, place, marks, key=False)
        if isinstance(value, dict):
            return self._sealed_object(value, place, marks)
        if isinstance(value, list | tuple):
            before = len(marks)
            items = [self._sealed(item, (*place, index), marks) for index, item in enumerate(value)]
            return items if len(marks) > before else value
        if self._numeric and type(value) in (int, float):
            sealed = self._sealed_text(json.dumps(value), place, marks, key=False)
            if MASK in sealed:
                marks.append(SecretMark(place, 0, "", NUMBER))
                return sealed
        return value

    def _sealed_object(self, value: dict[str, Any], place: tuple[str | int, ...], marks: list[SecretMark]) -> Any:
        before = len(marks)
        keys = {key: self._mask_key(key) for key in value}
        hidden = any(sealed is not key for key, sealed in keys.items())
        taken = {key for key, sealed in keys.items() if sealed is key} if hidden else set()
        sealed: dict[str, Any] = {}
        for key, item in value.items():
            name = keys[key]
            if name is not key:
                name = self._sealed_key(key, place, marks, taken)
                taken.add(name)
            sealed[name] = self._sealed(item, (*place, name), marks)
        return sealed if len(marks) > before else value

    def _mask_key(self, key: str) -> str:
        return self._sealed_text(key, (), [], key=True)

    def _sealed_key(self, key: str, place: tuple[str | int, ...], marks: list[SecretMark], taken: set[str]) -> str:
        """The key hidden, made different from its neighbours by more asterisks; the last mark counts them
        (`+2`).
        """
        found: list[SecretMark] = []
        sealed = self._sealed_text(key, (), found, key=True)
        last = found[-1]
        at = last.start + len(MASK)
        extra = 0
        while (name := sealed[:at] + "*" * extra + sealed[at:]) in taken:
            extra += 1
        form = f"{last.form}+{extra}" if extra else last.form
        where = (*place, name)
        marks += [SecretMark(where, mark.start, mark.name, mark.form, key=True) for mark in found[:-1]]
        marks.append(SecretMark(where, last.start, last.name, form, key=True))
        return name

    def _sealed_text(self, text: str, place: tuple[str | int, ...], marks: list[SecretMark], *, key: bool) -> str:
        out: list[str] = []
        at = length = 0
        for start, end, form in self._in_text().spans(text):
            out += (text[at:start], MASK)
            length += start - at
            marks.append(SecretMark(place, length, form.name, form.form, key))
            length += len(MASK)
            at = end
        return "".join(out) + text[at:] if out else text

    def _opened(
        self,
        value: Any,
        place: tuple[str | int, ...],
        by_place: dict[tuple[str | int, ...], list[SecretMark]],
        inside: set[tuple[str | int, ...]],
    ) -> Any:
        own = [mark for mark in by_place.get(place, ()) if not mark.key]
        if own:
            return self._opened_text(value, own)
        if place not in inside:
            return value
        if isinstance(value, list):
            return [self._opened(item, (*place, index), by_place, inside) for index, item in enumerate(value)]
        if not isinstance(value, dict):
            raise _misfit(place)
        opened: dict[str, Any] = {}
        for key, item in value.items():
            where = (*place, key)
            of_key = [mark for mark in by_place.get(where, ()) if mark.key]
            name = self._opened_text(key, of_key) if of_key else key
            opened[name] = self._opened(item, where, by_place, inside)
        return opened

    def _opened_text(self, text: Any, marks: list[SecretMark]) -> Any:
        out: list[str] = []
        at = 0
        for mark in marks:
            if mark.form == NUMBER and not mark.name:
                return json.loads("".join(out) + text[at:])
            form, _, extra = mark.form.partition("+")
            end = mark.start + len(MASK)
            if not isinstance(text, str) or mark.start < at or text[mark.start : end] != MASK:
                raise _misfit(mark.place)
            out += (text[at : mark.start], self._derived(mark.name, form))
            at = end + int(extra or 0)
        return "".join(out) + text[at:]

    def _derived(self, name: str, form: str) -> str:
        secret = self._secrets.get(name)
        if secret is None:
            raise ValidationError(
                f"the secret {name!r} is needed to read what was journaled", hint="set it as for the first run"
            )
        try:
            return derived(secret, form)
        except (KeyError, IndexError, ValueError):
            raise ValidationError(
                f"the secret {name!r} has changed its shape: it has no form {form!r} any more"
            ) from None

    def _all_forms(self) -> list[_Form]:
        if self._forms is None:
            found: dict[str, _Form] = {}
            for name, secret in self._secrets.items():
                for form, text in _forms_of(secret):
                    found.setdefault(text, _Form(name, form, text))
            self._forms = list(found.values())
            self._longest = max(len(form.text.encode()) for form in self._forms)
        return self._forms

    def _in_text(self) -> _Search[str]:
        if self._text is None:
            self._text = _Search([(form.text, form) for form in self._all_forms()])
        return self._text

    def _in_bytes(self) -> _Search[bytes]:
        if self._bytes is None:
            self._bytes = _Search([(form.text.encode(), form) for form in self._all_forms()])
        return self._bytes

    def _in_encoded(self) -> _Search[bytes]:
        if self._encoded is None:
            self._encoded = _Search([(msgspec.json.encode(f.text)[1:-1], f) for f in self._all_forms()])
        return self._encoded


class StreamMasker:
    """Masks bytes that come in pieces, also where a secret is split between two. One per stream.

    `feed` gives back what is settled; it holds back only an end that may be the beginning of a secret.
    """

    __slots__ = ("_held", "_longest", "_search")

    def __init__(self, search: _Search[bytes] | None, longest: int) -> None:
        self._search = search
        self._longest = longest
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """What can be shown now."""
        if self._search is None:
            return chunk
        data = self._held + chunk
        out: list[bytes] = []
        at = 0
        limit = self._search.undecided(data, 0, self._longest)
        for start, end, _ in self._search.spans(data):
            if start >= limit:
                break
            out += (data[at:start], MASK.encode())
            at = end
            if at > limit:
                limit = self._search.undecided(data, at, self._longest)
        self._held = data[limit:]
        out.append(data[at:limit])
        return b"".join(out)

    def flush(self) -> bytes:
        """The rest, when nothing more will come."""
        data, self._held = self._held, b""
        if self._search is None or not data:
            return data
        out: list[bytes] = []
        at = 0
        for start, end, _ in self._search.spans(data):
            out += (data[at:start], MASK.encode())
            at = end
        return b"".join(out) + data[at:]


def _forms_of(secret: str) -> Iterator[tuple[str, str]]:
    """Every form of a secret and, when it has several lines, of each line that is long enough."""
    names = (*_FORMS, *(f"{name}-low" for name in _URLS), *_BASE64)
    parts = [("", secret)]
    lines = _lines(secret)
    if lines != [secret]:
        parts += [(f"@{number}", line) for number, line in enumerate(lines, 1) if len(line) >= MIN_LENGTH]
    for suffix, part in parts:
        for name in names:
            text = derived(part, name)
            if len(text) >= MIN_LENGTH:
                yield name + suffix, text


def _check(name: str, text: str) -> None:
    if len(text) < MIN_LENGTH or not text.strip():
        raise ValidationError(
            f"the secret {name!r} is shorter than {MIN_LENGTH} characters",
            path=f"$.secrets.{name}",
            hint="hiding so short a text would hide ordinary words: make it a config value, or longer",
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValidationError(f"the secret {name!r} is not text", path=f"$.secrets.{name}") from None


def _misfit(place: tuple[str | int, ...]) -> ValidationError:
    path = "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return ValidationError(f"the mark of a secret does not fit at {path}", path=path)
