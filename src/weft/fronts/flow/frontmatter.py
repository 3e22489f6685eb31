"""The front matter: found, read as YAML, and every key of it held against its shape.

Nothing here knows what a duration or an expression is; those stay texts with their places. A wrong value is reported
and left at its default, so that one mistake does not hide the next.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, get_args

import msgspec

from weft.errors import DocumentError, nearest
from weft.fronts.flow.ast import ConfigType, Declared, Front
from weft.fronts.flow.tags import RESERVED_IDS
from weft.text.source import Diagnostic, Source, quoted
from weft.text.yaml import Items, Mapping, Marked, Scalar, load

KEYS = (
    "name", "version", "description", "config", "input", "output", "secrets", "runtime", "limits", "budget",
    "schedule", "on-failure", "rollback", "trigger", "tests",
)  # fmt: skip
WORDS: dict[str, tuple[str, ...]] = {
    "schedule": ("dataflow", "waves"),
    "on-failure": ("finish", "cancel", "continue"),
    "rollback": ("all", "dependencies", "none"),
}
TYPES: tuple[str, ...] = get_args(ConfigType)
TRIGGERS = ("manual", "schedule", "webhook", "watch")

_DECLARATION = ("type", "default", "required", "enum", "description")
_TYPE_SLIPS = {
    "text": "string", "str": "string", "int": "integer", "float": "number", "double": "number", "bool": "boolean",
    "list": "array", "dict": "object", "map": "object", "mapping": "object",
}  # fmt: skip
_RUNTIME: dict[str, str] = {
    "timeout": "scalar", "jobs": "positive", "retry": "count", "backend": "scalar", "durability": "scalar",
    "env": "names", "paths": "texts", "hosts": "texts", "interpreter": "scalar",
}  # fmt: skip
_LIMIT: dict[str, str] = {"concurrency": "positive", "rate": "scalar"}
_SHAPES = {
    "scalar": "a text",
    "positive": "a whole number from 1 on",
    "count": "a whole number from 0 on",
    "names": "a list of names",
    "texts": "a list of texts",
}

_OPEN = re.compile(r"\A---[ \t]*+\n")
_CLOSE = re.compile(r"^---[ \t]*+$", re.MULTILINE)
_LATE = re.compile(rf"\A[ \t\n]++---[ \t]*+\n[ \t]*+(?:{'|'.join(KEYS)}|x-[a-z-]++)[ \t]*+:")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def parse_front(source: Source) -> tuple[Front, int, list[Diagnostic]]:
    """The front matter, the offset where the body begins, and what is wrong. Never raises."""
    front = Front(_stem(source.name))
    opened = _OPEN.match(source.shadow)
    if opened is None:
        late = _LATE.match(source.shadow)
        if late is None:
            return front, 0, []
        at = source.shadow.index("---")
        message = "front matter must begin on the first line of the document"
        hint = "remove what stands before the ---"
        return front, 0, [source.diagnostic("WEFT110", message, at, at + 3, hint=hint)]
    closed = _CLOSE.search(source.shadow, opened.end())
    if closed is None:
        message = "the front matter is never closed"
        hint = "end it with a line that is just ---"
        return front, opened.end(), [source.diagnostic("WEFT110", message, 0, 3, hint=hint)]
    start, end = opened.end(), closed.start()
    front = msgspec.structs.replace(front, start=start, end=end)
    try:
        root = load(source.text[start:end], source=source, offset=start)
    except DocumentError as error:
        return front, closed.end(), list(error.diagnostics)
    reader = _FrontReader(source)
    return reader.read(root, front), closed.end(), reader.diagnostics


def _stem(name: str) -> str:
    stem = PurePath(name).name
    for suffix in (".flow.md", ".md"):
        if stem.endswith(suffix) and stem != suffix:
            return stem[: -len(suffix)]
    return stem or "workflow"


class _FrontReader:
    def __init__(self, source: Source) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._source = source

    def read(self, root: Marked, front: Front) -> Front:
        if isinstance(root, Scalar) and root.value is None:
            return front
        if not isinstance(root, Mapping):
            self._error("WEFT121", "the front matter must be an object: `key: value` lines", root)
            return front
        fields: dict[str, Any] = {"values": root.entries, "keys": root.keys}
        readers: dict[str, tuple[str, Callable[[str, Marked], Any]]] = {
            "name": ("name", self._text),
            "version": ("version", self._text),
            "description": ("description", self._text),
            "config": ("config", self._config),
            "input": ("input", self._input),
            "output": ("output", self._output),
            "secrets": ("secrets", self._secrets),
            "runtime": ("runtime", self._runtime),
            "limits": ("limits", self._limits),
            "schedule": ("schedule", self._word),
            "on-failure": ("on_failure", self._word),
            "rollback": ("rollback", self._word),
            "trigger": ("", self._trigger),
            "tests": ("", self._tests),
            "budget": ("", lambda key, value: None),
        }
        for key, value in root.entries.items():
            if key in readers:
                field, read = readers[key]
                result = None if isinstance(value, Scalar) and value.value is None else read(key, value)
                if field and result is not None:
                    fields[field] = result
            elif not key.startswith("x-"):
                self._unknown("WEFT120", "front matter key", key, KEYS, root.keys[key])
        return msgspec.structs.replace(front, **fields)

    # -- one key each --------------------------------------------------------------------------

    def _text(self, key: str, value: Marked) -> str | None:
        if isinstance(value, Scalar) and value.text.strip():
            return value.text.strip()
        self._error("WEFT121", f"`{key}` must be a text", value)
        return None

    def _word(self, key: str, value: Marked) -> str | None:
        words = WORDS[key]
        if isinstance(value, Scalar) and value.text in words:
            return value.text
        written = value.text if isinstance(value, Scalar) else ""
        close = nearest(written, words)
        hint = f"did you mean `{close[0]}`?" if close else None
        self._error("WEFT122", f"`{key}` must be one of {', '.join(words)}", value, hint)
        return None

    def _output(self, key: str, value: Marked) -> Any:
        if isinstance(value, Scalar):
            return value.within(self._source)
        hint = "an expression that begins with { or [ needs quotes"
        self._error("WEFT121", "`output` must be an expression", value, hint)
        return None

    def _secrets(self, key: str, value: Marked) -> dict[str, Scalar]:
        return {name.text: name for name in self._names(key, value)}

    def _names(self, key: str, value: Marked) -> list[Scalar]:
        """A list of names of environment variables, none twice."""
        if not isinstance(value, Items):
            hint = f"write `{key}: [{value.text}]`" if isinstance(value, Scalar) else None
            self._error("WEFT121", f"`{key}` must be a list of names", value, hint)
            return []
        names: dict[str, Scalar] = {}
        for item in value.items:
            if not isinstance(item, Scalar) or not _PLAIN_NAME.fullmatch(item.text):
                hint = "names are letters, digits and underscores"
                self._error("WEFT123", f"`{key}` must be a list of names of environment variables", item, hint)
            elif item.text in names:
                first = self._source.line_of(names[item.text].start)
                self._error("WEFT121", f"`{item.text}` is there twice (first in line {first})", item)
            else:
                names[item.text] = item
        return list(names.values())

    def _runtime(self, key: str, value: Marked) -> dict[str, Marked]:
        return self._fields("runtime", value, _RUNTIME)

    def _limits(self, key: str, value: Marked) -> dict[str, Marked]:
        if not isinstance(value, Mapping):
            self._error("WEFT121", "`limits` must be an object: `name: 5`", value)
            return {}
        kept: dict[str, Marked] = {}
        for name, limit in value.entries.items():
            if isinstance(limit, Mapping):
                self._fields(f"limits.{name}", limit, _LIMIT)
                kept[name] = limit
            elif self._has_shape(f"limits.{name}", limit, "positive", " or {concurrency, rate}"):
                kept[name] = limit
        return kept

    def _trigger(self, key: str, value: Marked) -> None:
        if isinstance(value, Scalar):
            if value.text not in TRIGGERS:
                self._error("WEFT122", f"`trigger` must be one of {', '.join(TRIGGERS)}", value)
        elif isinstance(value, Mapping):
            for name, place in value.keys.items():
                if name not in (*TRIGGERS, "type", "cron"):
                    self._unknown("WEFT120", "trigger", name, TRIGGERS, place)
        else:
            for item in value.items:
                self._trigger(key, item)

    def _tests(self, key: str, value: Marked) -> None:
        if isinstance(value, Scalar):
            self._error("WEFT121", "`tests` must be a list", value)

    # -- config and input ----------------------------------------------------------------------

    def _config(self, key: str, value: Marked) -> dict[str, Declared]:
        return self._declarations(value, "config", lambda name, entry: self._short_value(name, entry))

    def _input(self, key: str, value: Marked) -> dict[str, Declared]:
        return self._declarations(value, "input", lambda name, entry: self._short_type(name, entry))

    def _declarations(
        self, value: Marked, key: str, short: Callable[[Scalar, Marked], Declared]
    ) -> dict[str, Declared]:
        if not isinstance(value, Mapping):
            self._error("WEFT121", f"`{key}` must be an object: one `name: …` per value", value)
            return {}
        declared: dict[str, Declared] = {}
        for text, entry in value.entries.items():
            name = value.keys[text]
            if not _PLAIN_NAME.fullmatch(text) or (key == "input" and text in RESERVED_IDS):
                fixed = re.sub(r"[^A-Za-z0-9_]", "_", text)
                hint = f"write `{fixed}`" if _PLAIN_NAME.fullmatch(fixed) and fixed != text else None
                message = f"{quoted(text)} cannot be a name of `{key}`: letters, digits and underscores"
                if text in RESERVED_IDS:
                    message, hint = f"`{text}` is a word of expressions and cannot be a name of `{key}`", None
                self._error("WEFT123", message, name, hint)
            elif isinstance(entry, Mapping) and _is_declaration(entry, key):
                declared[text] = self._declaration(name, entry, f"{key}.{text}")
            else:
                declared[text] = short(name, entry)
        return declared

    def _short_value(self, name: Scalar, entry: Marked) -> Declared:
        return Declared(name.text, name, has_default=True, default=entry.value, place=entry)

    def _short_type(self, name: Scalar, entry: Marked) -> Declared:
        return Declared(name.text, name, type=self._type(f"input.{name.text}", entry), place=entry)

    def _declaration(self, name: Scalar, entry: Mapping, path: str) -> Declared:
        parts = entry.entries
        for key, place in entry.keys.items():
            if key not in _DECLARATION:
                self._unknown("WEFT120", f"key in `{path}`", key, _DECLARATION, place)
        kind = self._type(f"{path}.type", parts["type"]) if "type" in parts else None
        required = parts.get("required")
        if required is not None and not isinstance(required.value, bool):
            self._error("WEFT121", f"`{path}.required` must be true or false", required)
        enum = self._enum(path, parts.get("enum"), kind)
        description = parts.get("description")
        default = parts.get("default")
        if default is not None and default.value is not None:
            self._check_default(path, default, kind, enum)
        return Declared(
            name.text,
            name,
            kind,
            default is not None,
            None if default is None else default.value,
            required is not None and required.value is True,
            enum,
            description.text if isinstance(description, Scalar) else None,
            default or entry,
        )

    def _check_default(self, path: str, default: Marked, kind: ConfigType | None, enum: tuple[Any, ...] | None) -> None:
        if kind is not None and not fits(default.value, kind):
            message = f"the default of `{path}` is {_type_of(default.value)}, not {kind}"
            self._error("WEFT121", message, default)
        elif enum is not None and not any(_same(default.value, value) for value in enum):
            message = f"the default of `{path}` is none of its `enum`"
            self._error("WEFT121", message, default)

    def _enum(self, path: str, value: Marked | None, kind: ConfigType | None) -> tuple[Any, ...] | None:
        if value is None:
            return None
        if not isinstance(value, Items) or not value.items:
            self._error("WEFT121", f"`{path}.enum` must be a list of values", value)
            return None
        for item in value.items:
            if kind is not None and not fits(item.value, kind):
                message = f"a value of `{path}.enum` is {_type_of(item.value)}, not {kind}"
                self._error("WEFT121", message, item)
        return tuple(item.value for item in value.items)

    def _type(self, path: str, value: Marked) -> ConfigType | None:
        written = value.text if isinstance(value, Scalar) else ""
        if written in TYPES:
            return written  # type: ignore[return-value]  # the words of TYPES are those of ConfigType
        guess = _TYPE_SLIPS.get(written.lower()) or next(iter(nearest(written, TYPES)), None)
        hint = f"did you mean `{guess}`?" if guess else None
        self._error("WEFT122", f"`{path}` must be one of {', '.join(TYPES)}", value, hint)
        return None

    # -- shapes --------------------------------------------------------------------------------

    def _fields(self, path: str, value: Marked, shapes: dict[str, str]) -> dict[str, Marked]:
        """The entries of an object that have the shapes they must have."""
        if not isinstance(value, Mapping):
            self._error("WEFT121", f"`{path}` must be an object", value)
            return {}
        kept: dict[str, Marked] = {}
        for key, entry in value.entries.items():
            if key not in shapes:
                self._unknown("WEFT120", f"key in `{path}`", key, tuple(shapes), value.keys[key])
            elif shapes[key] == "names":
                self._names(f"{path}.{key}", entry)
                kept[key] = entry
            elif self._has_shape(f"{path}.{key}", entry, shapes[key]):
                kept[key] = entry
        return kept

    def _has_shape(self, path: str, value: Marked, shape: str, more: str = "") -> bool:
        data = value.value
        if shape == "texts":
            fine = isinstance(value, Items) and all(isinstance(i, Scalar) and i.text for i in value.items)
        elif shape == "scalar":
            fine = isinstance(value, Scalar) and bool(value.text)
        else:
            least = 1 if shape == "positive" else 0
            fine = isinstance(data, int) and not isinstance(data, bool) and data >= least
        if not fine:
            self._error("WEFT121", f"`{path}` must be {_SHAPES[shape]}{more}", value)
        return fine

    def _unknown(self, code: str, what: str, word: str, known: tuple[str, ...], place: Scalar) -> None:
        close = nearest(word, known)
        hint = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(known)}"
        self._error(code, f"unknown {what} {quoted(word)}", place, hint)

    def _error(self, code: str, message: str, place: Marked, hint: str | None = None) -> None:
        self.diagnostics.append(self._source.diagnostic(code, message, place.start, place.end, hint=hint))


def _is_declaration(entry: Mapping, key: str) -> bool:
    """An object that says how a value is declared, and is not itself the value (the short form of `config`)."""
    if key == "input":
        return True
    names = set(entry.entries)
    return bool(names) and (names <= set(_DECLARATION) or bool(names & {"type", "default", "required", "enum"}))


def fits(value: Any, kind: ConfigType) -> bool:
    """Whether a JSON value is of a declared type."""
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, int):
        return kind in ("integer", "number")
    return _type_of(value) == kind


def _type_of(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _same(a: Any, b: Any) -> bool:
    return isinstance(a, bool) is isinstance(b, bool) and bool(a == b)
