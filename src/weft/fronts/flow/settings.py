"""The settings of a leaf, each read as its kind declares it.

A text is a template, a list or object is YAML whose scalars are templates, a number or word is itself or one `{{ }}`.
What is written out is held against its declared type here; what is computed, when it has been (`placed.Typed`).
"""

from __future__ import annotations

import re
from typing import Any

from weft.errors import DocumentError, ExpressionError, nearest
from weft.fronts.flow.placed import ListOf, ObjectOf, Placed, Typed, described, is_constant
from weft.fronts.flow.reading import KEY, Entry, Reader, Sight, is_short
from weft.graph.work import Constant, Evaluable
from weft.kinds import Setting
from weft.text.durations import GRAMMAR, parse_duration
from weft.text.source import Text, quoted
from weft.text.templates import Template
from weft.text.yaml import Items, Mapping, Marked, Scalar, load

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_BOOLEANS = {"true": True, "false": False, "True": True, "False": False}
_OPENING = re.compile(r"(\\?)\{\{")
_NEVER_BLANK = frozenset({"url", "command", "code", "call", "var"})


def read_settings(reader: Reader, entry: Entry) -> None:
    """Reads all settings of a leaf into its entry, and adds the declared defaults. Reports what is wrong."""
    spec = entry.spec
    assert spec is not None
    written = entry.seat.element.settings
    _check_given(reader, entry)
    for setting in spec.settings:
        text = written.get(setting.name)
        if text is None:
            if setting.default is not None:
                entry.settings[setting.name] = Constant(setting.default)
            continue
        value = read_setting(reader, entry, setting, text)
        if value is not None:
            entry.settings[setting.name] = value
        if setting.type == "expression":
            entry.bound.add(setting.name)


def _check_given(reader: Reader, entry: Entry) -> None:
    """Reports settings that are missing, and those of which only one may be given."""
    spec, element = entry.spec, entry.seat.element
    if spec is None or element.damaged:
        return
    written = element.settings
    for setting in spec.settings:
        if setting.required and setting.name not in written:
            how = _how_to_give(entry, setting)
            message = f"`<{element.tag}>` needs `{setting.name}`: {setting.doc}" if setting.doc else ""
            message = message or f"`<{element.tag}>` needs `{setting.name}`"
            reader.notes.error("WEFT501", message, element.start, element.head, hint=how)
    for group in spec.one_of:
        names = " or ".join(f"`{name}`" for name in group)
        given = [name for name in group if name in written]
        if not given:
            one = spec.setting(group[0])
            hint = _how_to_give(entry, one) if one is not None else None
            reader.notes.error("WEFT501", f"`<{element.tag}>` needs {names}", element.start, element.head, hint=hint)
        elif len(given) > 1:
            first = written[given[0]]
            line = reader.notes.line(first.key if first.key >= 0 else first.start)
            message = f"`<{element.tag}>` takes {names}, not both (`{given[0]}` is in line {line})"
            reader.error("WEFT502", message, written[given[1]], "remove one of them")


def _how_to_give(entry: Entry, setting: Setting) -> str:
    spec, tag = entry.spec, entry.seat.element.tag
    hint = f'write <{tag} {setting.name}="…"'
    if spec is not None and spec.main == setting.name and setting.type in ("text", "expression", "any"):
        hint += f", or put it between `<{tag}>` and `</{tag}>`"
    return hint


def read_setting(reader: Reader, entry: Entry, setting: Setting, text: Text) -> Evaluable | None:
    """One setting, by its declared type; None when it cannot be read, which is reported."""
    if _is_blank(reader, setting, text):
        return None
    sight = Sight(entry, KEY)
    match setting.type:
        case "expression":
            return reader.expression(text, Sight(entry, KEY.union(setting.local_names)))
        case "text" | "path":
            return reader.template(text, sight) if setting.template else _literal_text(reader, entry, setting, text)
        case "list" | "object" | "any":
            return _structure(reader, entry, setting, text)
    trimmed = _trimmed(text)
    if "{{" in trimmed.value:
        return _computed(reader, entry, setting, trimmed)
    return _literal(reader, setting, trimmed)


def _is_blank(reader: Reader, setting: Setting, text: Text) -> bool:
    """Reports a setting that must say something and does not."""
    if text.value.strip() or setting.type in ("expression", "list", "object", "any"):
        return False
    if setting.type == "text" and setting.name not in _NEVER_BLANK:
        return False
    start = text.key if text.key >= 0 else text.start
    end = text.end if text.end > start else start + 1
    reader.notes.error("WEFT503", f"`{setting.name}` is empty", start, end, hint=setting.doc or described(setting))
    return True


# -- one value ---------------------------------------------------------------------------------------


def _literal(reader: Reader, setting: Setting, text: Text) -> Evaluable | None:
    """A number, a word or a duration as it is written."""
    if setting.type == "duration":
        seconds = duration(reader, setting.name, text)
        return None if seconds is None else Constant(seconds)
    value = scalar(setting, text.value)
    if value is not None:
        return Constant(value)
    code, hint = "WEFT503", None
    if setting.type == "enum":
        code = "WEFT504"
        close = nearest(text.value, setting.values)
        hint = f"did you mean `{close[0]}`?" if close else None
    message = f"`{setting.name}` is {quoted(text.value, 40)}; it must be {described(setting)}"
    reader.error(code, message, text, hint)
    return None


def scalar(setting: Setting, written: str) -> Any:
    """The value of a literal; None when it is none of the setting's type."""
    match setting.type:
        case "boolean":
            return _BOOLEANS.get(written)
        case "enum":
            return written if written in setting.values else None
    if _INTEGER.fullmatch(written) and -(2**63) <= int(written) < 2**63:
        return int(written)
    if setting.type == "number" and _NUMBER.fullmatch(written):
        number = float(written)
        return number if number - number == 0 else None
    return None


def duration(reader: Reader, name: str, text: Text) -> float | None:
    """The seconds of a duration; None when it is none, which is reported with the grammar."""
    if "{{" in text.value:
        reader.error("WEFT506", f"`{name}` takes no template", text, f"write a duration: {GRAMMAR}")
        return None
    try:
        return parse_duration(text.value)
    except ExpressionError as error:
        reader.error("WEFT505", f"`{name}`: {error.message}", text, error.hint)
        return None


def _computed(reader: Reader, entry: Entry, setting: Setting, text: Text) -> Evaluable | None:
    """A setting that is one `{{ }}`."""
    made = reader.template(text, Sight(entry, KEY))
    if made is None:
        return None
    if not isinstance(made, Placed) or not isinstance(made.parsed, Template) or not made.parsed.is_single:
        hint = "write one {{ }} and nothing around it"
        if setting.type in ("list", "object", "any"):
            hint += "; a text with templates in it needs quotes"
        reader.error("WEFT506", f"`{setting.name}` mixes a template with other text", text, hint)
        return None
    return Typed(made, setting, place_of(reader, text))


def place_of(reader: Reader, text: Text) -> str:
    """Where a text stands, as messages of a run show it."""
    line, column = reader.source.position(text.at(0))
    return f"{reader.source.name}:{line}:{column}"


def _trimmed(text: Text) -> Text:
    """The text without the white space around it."""
    value = text.value.strip()
    if value == text.value or not value:
        return text
    return piece(text, text.value.index(value[0]), len(value))


def piece(text: Text, at: int, length: int) -> Text:
    """The characters of a text from `at` on, with their places."""
    value = text.value[at : at + length]
    if not text.exact:
        return Text(value, text.start, text.end, key=text.key, exact=False)
    if not text.starts:
        return Text(value, text.start + at, text.start + at + length, key=text.key)
    starts = [0, *(s - at for s in text.starts if at < s < at + length)]
    places = [text.at(at + s) for s in starts]
    return Text(value, text.start, text.end, tuple(starts), tuple(places), text.key)


# -- text that is not filled in ----------------------------------------------------------------------


def _literal_text(reader: Reader, entry: Entry, setting: Setting, text: Text) -> Evaluable | None:
    """A text in which `{{ }}` is no template: code is as it is, elsewhere it is an error."""
    value = text.value
    if setting.name == "code" or "{{" not in value:
        return Constant(value)
    fine = True
    for found in _OPENING.finditer(value):
        if not found[1]:
            fine = False
            _refuse_template(reader, entry, setting, text, found.start())
    return Constant(value.replace("\\{{", "{{")) if fine else None


def _refuse_template(reader: Reader, entry: Entry, setting: Setting, text: Text, at: int) -> None:
    close = text.value.find("}}", at)
    end = close + 2 if close >= 0 else at + 2
    written = text.value[at:end]
    start, stop = text.span(at, end)
    if entry.seat.kind != "command":
        message = f"`{setting.name}` takes no template"
        hint = "write it out; \\{{ stands for the two braces themselves"
        reader.notes.error("WEFT506", message, start, stop, hint=hint)
        return
    if not re.match(r"\{\{-?\s*[\w$(\[\"'!-]", written) or close < 0:
        hint = f"write \\{written} for the two braces themselves" if is_short(written) else "write \\{{"
        reader.notes.error("WEFT506", "a command's text takes no template", start, stop, hint=hint)
        return
    name = _variable_for(written)
    shown = written.replace('"', "'") if is_short(written) else "{{ … }}"
    message = "a value never becomes part of a command's text"
    hint = f'write <env>{name}: "{shown}"</env> and "${name}" in the text; \\{{{{ stands for the braces themselves'
    reader.notes.error("WEFT506", message, start, stop, hint=hint)


def _variable_for(template: str) -> str:
    """A name for the environment variable that carries what a template computes."""
    words = re.findall(r"[A-Za-z][A-Za-z0-9]*", template)
    words = [w for w in words if w not in ("output", "config", "context", "secrets", "env")][-1:]
    return words[0].upper() if words else "VALUE"


# -- lists and objects -------------------------------------------------------------------------------


def _structure(reader: Reader, entry: Entry, setting: Setting, text: Text) -> Evaluable | None:
    """YAML with templates in its scalars, or one `{{ }}`."""
    if text.value.lstrip().startswith("{{"):
        return _computed(reader, entry, setting, _trimmed(text))
    try:
        root = load(text.value, source=reader.source, offset=text.at, templates=True)
    except DocumentError as error:
        reader.notes.extend(error.diagnostics)
        return None
    wanted = {"list": Items, "object": Mapping}.get(setting.type)
    if isinstance(root, Scalar) and root.value is None and not setting.required:
        return Constant(None)
    made = _Tree(reader, Sight(entry, KEY)).read(root)
    if wanted is not None and not isinstance(root, wanted):
        if isinstance(root, Scalar) and made is not None and not is_constant(made):
            return Typed(made, setting, place_of(reader, text))
        hint = {"list": "write [a, b], or one `- a` per line", "object": "write one `name: value` per line"}
        message = f"`{setting.name}` must be {described(setting)}"
        reader.notes.error("WEFT503", message, root.start, max(root.end, root.start + 1), hint=hint[setting.type])
        return None
    return made


class _Tree:
    """Marked YAML made evaluable. Its depth is bounded by the YAML reader."""

    def __init__(self, reader: Reader, sight: Sight) -> None:
        self._reader = reader
        self._sight = sight
        self._fine = True

    def read(self, root: Marked) -> Evaluable | None:
        """The evaluable; None when a template in it cannot be read."""
        made = self._value(root)
        return made if self._fine else None

    def _value(self, marked: Marked) -> Evaluable:
        if isinstance(marked, Scalar):
            return self._scalar(marked)
        if isinstance(marked, Items):
            items = [self._value(item) for item in marked.items]
            constants = [item.value for item in items if isinstance(item, Constant)]
            return Constant(constants) if len(constants) == len(items) else ListOf(items)
        entries = []
        for key, value in marked.entries.items():
            if "{{" in key:
                self._refuse_key(marked.keys[key])
            entries.append((key, self._value(value)))
        if all(is_constant(value) for _, value in entries):
            return Constant(_plain(entries))
        return ObjectOf(entries)

    def _scalar(self, scalar: Scalar) -> Evaluable:
        if not isinstance(scalar.value, str) or "{{" not in scalar.value:
            return Constant(scalar.value)
        made = self._reader.template(scalar.within(self._reader.source), self._sight)
        if made is None:
            self._fine = False
            return Constant(None)
        return made

    def _refuse_key(self, key: Scalar) -> None:
        self._fine = False
        hint = 'compute the whole object: "{{ from_entries([[key, value]]) }}"'
        self._reader.notes.error("WEFT506", "a key cannot be a template", key.start, key.end, hint=hint)


def _plain(entries: list[tuple[str, Evaluable]]) -> dict[str, Any]:
    return {key: value.value for key, value in entries if isinstance(value, Constant)}
