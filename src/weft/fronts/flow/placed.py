"""What a document computes, with its place: expressions and templates as the engine evaluates them.

Each is an `Evaluable` of `graph/work.py`. An error that comes out of one says where in the document it arose
(`error.place`, `file:line:column`); the way there and back costs nothing while nothing fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from weft.errors import AttemptError, ExpressionError
from weft.graph.work import Constant, Evaluable
from weft.kinds import Setting
from weft.text.durations import GRAMMAR, parse_duration
from weft.text.expressions import Expression
from weft.text.source import Source, Text
from weft.text.templates import Template
from weft.values import type_name


class Placed:
    """An expression or a template of the document."""

    __slots__ = ("_evaluate", "_source", "_text", "parsed")

    def __init__(self, parsed: Expression | Template, text: Text, source: Source) -> None:
        self.parsed = parsed
        self._evaluate: Callable[..., Any] = parsed.evaluate
        self._text = text
        self._source = source

    def evaluate(self, scope: Any, local: Mapping[str, Any] | None = None, /) -> Any:
        """The value. Raises ExpressionError with its place."""
        try:
            return self._evaluate(scope, local)
        except ExpressionError as error:
            if getattr(error, "place", None) is None:
                line, column = self._source.position(self._text.at(error.start))
                error.place = f"{self._source.name}:{line}:{column}"
            raise


class ListOf:
    """A list some of whose elements are computed."""

    __slots__ = ("_items",)

    def __init__(self, items: list[Evaluable]) -> None:
        self._items = items

    def evaluate(self, scope: Any, local: Mapping[str, Any] | None = None, /) -> Any:
        """A new list."""
        return [item.evaluate(scope, local) for item in self._items]


class ObjectOf:
    """An object some of whose values are computed."""

    __slots__ = ("_entries",)

    def __init__(self, entries: list[tuple[str, Evaluable]]) -> None:
        self._entries = entries

    def evaluate(self, scope: Any, local: Mapping[str, Any] | None = None, /) -> Any:
        """A new object."""
        return {key: value.evaluate(scope, local) for key, value in self._entries}


class Name:
    """A name that a Python function asks for: its input, an item, an argument of the document."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def evaluate(self, scope: Any, local: Mapping[str, Any] | None = None, /) -> Any:
        """The value."""
        return scope.name(self._name)


class NodeOutput:
    """The output of a node that a Python function asks for."""

    __slots__ = ("_id",)

    def __init__(self, id: str) -> None:  # noqa: A002 - the language's word
        self._id = id

    def evaluate(self, scope: Any, local: Mapping[str, Any] | None = None, /) -> Any:
        """The value; null when the node did not run."""
        return scope.node(self._id, "output")


class ConfigValue:
    """A config value that a Python function asks for."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def evaluate(self, scope: Any, local: Mapping[str, Any] | None = None, /) -> Any:
        """The value; null when there is none."""
        return scope.special("config").get(self._name)


class Branches:
    """The values of a parallel's branches, as they are."""

    __slots__ = ()

    def evaluate(self, scope: Any, local: Mapping[str, Any] | None = None, /) -> Any:
        """The list."""
        return scope.special("branches")


class Result:
    """The document's `output`, which belongs to no node: it looks up the `$context` names it reads by itself."""

    __slots__ = ("_context", "_evaluable")

    def __init__(self, evaluable: Evaluable, context: Mapping[str, tuple[str, ...]]) -> None:
        self._evaluable = evaluable
        self._context = context

    def evaluate(self, scope: Any, local: Mapping[str, Any] | None = None, /) -> Any:
        """The value."""
        known = {name: self._last(scope, ids) for name, ids in self._context.items()}
        return self._evaluable.evaluate(scope, {"context": known, **(local or {})})

    def _last(self, scope: Any, ids: tuple[str, ...]) -> Any:
        for id in ids:  # noqa: A001 - the language's word
            if scope.node(id, "status") == "succeeded":
                return scope.node(id, "output")
        return None


class Typed:
    """A computed setting that must have its declared type."""

    __slots__ = ("_evaluable", "_place", "_setting")

    def __init__(self, evaluable: Evaluable, setting: Setting, place: str) -> None:
        self._evaluable = evaluable
        self._setting = setting
        self._place = place

    def evaluate(self, scope: Any, local: Mapping[str, Any] | None = None, /) -> Any:
        """The value, a duration in seconds; null where the setting may be left out. Raises AttemptError."""
        value = self._evaluable.evaluate(scope, local)
        setting = self._setting
        if value is None and not setting.required:
            return setting.default
        if setting.type == "duration":
            return self._seconds(value)
        if fits(value, setting):
            return value
        raise self._refused(value, f"it must be {described(setting)}")

    def _seconds(self, value: Any) -> float:
        if isinstance(value, str):
            try:
                return parse_duration(value)
            except ExpressionError:
                pass
        raise self._refused(value, f"it must be a duration: {GRAMMAR}")

    def _refused(self, value: Any, why: str) -> AttemptError:
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:59] + "…"
        what = "null" if value is None else f"{type_name(value)} {shown}"
        message = f"setting {self._setting.name!r} is {what}; {why}"
        return AttemptError(message, type="ValidationError", place=self._place)


def fits(value: Any, setting: Setting) -> bool:
    """Whether a value has the type of a setting."""
    match setting.type:
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "list":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
        case "enum":
            return value in setting.values
        case _:
            return True


def described(setting: Setting) -> str:
    """What a setting's value must be."""
    words = {
        "number": "a number",
        "integer": "a whole number",
        "boolean": "true or false",
        "list": "a list",
        "object": "an object",
        "duration": f"a duration: {GRAMMAR}",
    }
    if setting.type == "enum":
        return f"one of {', '.join(setting.values)}"
    return words.get(setting.type, "a text")


def is_constant(evaluable: Evaluable) -> bool:
    """Whether the value is the same in every scope."""
    return type(evaluable) is Constant
