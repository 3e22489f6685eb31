"""Secrets taken out of a value for the journal, and put back: what `Vault.seal` and `Vault.open` do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from weft.errors import ValidationError
from weft.event_types import SecretMark
from weft.redaction.forms import Form
from weft.redaction.masking import MASK
from weft.redaction.search import Search

NUMBER = "number"
"""The form of a mark without a name: the sealed text stands for a number."""

Place = tuple[str | int, ...]


class Sealing:
    """One value being sealed. `numbers`: whether a number may spell a secret."""

    __slots__ = ("_numbers", "_search", "marks")

    def __init__(self, search: Search[str], *, numbers: bool) -> None:
        self.marks: list[SecretMark] = []
        self._search = search
        self._numbers = numbers

    def sealed(self, value: Any, place: Place = ()) -> Any:
        """`value` without its secrets, whose marks were added; the very same object when there are none."""
        if isinstance(value, str):
            return self._text(value, place)
        if isinstance(value, dict):
            return self._object(value, place)
        if isinstance(value, list | tuple):
            before = len(self.marks)
            items = [self.sealed(item, (*place, index)) for index, item in enumerate(value)]
            return items if len(self.marks) > before else value
        if self._numbers and type(value) in (int, float) and self._search.occurs(text := json.dumps(value)):
            sealed = self._text(text, place)
            self.marks.append(SecretMark(place, 0, "", NUMBER))
            return sealed
        return value

    def _text(self, text: str, place: Place) -> str:
        sealed, spots = self._hidden(text)
        self.marks += [SecretMark(place, start, form.name, form.form) for start, form in spots]
        return sealed

    def _object(self, value: dict[str, Any], place: Place) -> Any:
        before = len(self.marks)
        secret = {key for key in value if self._search.occurs(key)}
        taken = value.keys() - secret if secret else set()
        sealed: dict[str, Any] = {}
        for key, item in value.items():
            name = self._key(key, place, taken) if key in secret else key
            sealed[name] = self.sealed(item, (*place, name))
        return sealed if len(self.marks) > before else value

    def _key(self, key: str, place: Place, taken: set[str]) -> str:
        """The key hidden, made different from those `taken` by more asterisks; the last mark counts them (`+2`)."""
        sealed, spots = self._hidden(key)
        at = spots[-1][0] + len(MASK)
        extra = 0
        while (name := sealed[:at] + "*" * extra + sealed[at:]) in taken:
            extra += 1
        taken.add(name)
        marks = [SecretMark((*place, name), start, form.name, form.form, key=True) for start, form in spots]
        if extra:
            marks[-1] = msgspec.structs.replace(marks[-1], form=f"{marks[-1].form}+{extra}")
        self.marks += marks
        return name

    def _hidden(self, text: str) -> tuple[str, list[tuple[int, Form]]]:
        """`text` with each occurrence hidden, and where the masks begin in it."""
        out: list[str] = []
        spots: list[tuple[int, Form]] = []
        at = length = 0
        for start, end, form in self._search.spans(text):
            out += (text[at:start], MASK)
            length += start - at
            spots.append((length, form))
            length += len(MASK)
            at = end
        return "".join(out) + text[at:] if out else text, spots


class Opening:
    """One value being opened. `spell` gives the characters of a secret, by its name, in a form."""

    __slots__ = ("_by_place", "_inside", "_spell")

    def __init__(self, marks: Iterable[SecretMark], spell: Callable[[str, str], str]) -> None:
        self._by_place: dict[Place, list[SecretMark]] = {}
        self._inside: set[Place] = set()
        for mark in marks:
            self._by_place.setdefault(mark.place, []).append(mark)
            self._inside.update(mark.place[:length] for length in range(len(mark.place)))
        self._spell = spell

    def opened(self, value: Any, place: Place = ()) -> Any:
        """What was sealed. Raises ValidationError when a mark does not fit."""
        own = [mark for mark in self._by_place.get(place, ()) if not mark.key]
        if own:
            return self._text(value, own)
        if place not in self._inside:
            return value
        if isinstance(value, list):
            return [self.opened(item, (*place, index)) for index, item in enumerate(value)]
        if not isinstance(value, dict):
            raise _misfit(place)
        opened: dict[str, Any] = {}
        for key, item in value.items():
            where = (*place, key)
            of_key = [mark for mark in self._by_place.get(where, ()) if mark.key]
            name = self._text(key, of_key) if of_key else key
            opened[name] = self.opened(item, where)
        return opened

    def _text(self, text: Any, marks: list[SecretMark]) -> Any:
        out: list[str] = []
        at = 0
        for mark in marks:
            if mark.form == NUMBER and not mark.name:
                return json.loads("".join(out) + text[at:])
            form, _, extra = mark.form.partition("+")
            end = mark.start + len(MASK)
            if not isinstance(text, str) or mark.start < at or text[mark.start : end] != MASK:
                raise _misfit(mark.place)
            out += (text[at : mark.start], self._spell(mark.name, form))
            at = end + int(extra or 0)
        return "".join(out) + text[at:]


def _misfit(place: Place) -> ValidationError:
    path = "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return ValidationError(f"the mark of a secret does not fit at {path}", path=path)
