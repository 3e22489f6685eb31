"""Expressions and templates of one node: read, with every name in them looked up.

What a node reads ends up in its `Entry`: the nodes it refers to (its dependencies), the `$context` names, whether it
asks for its `input`. What is wrong with a name is said here, under the name itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from weft.errors import ExpressionError, nearest
from weft.fronts.flow.ast import Document
from weft.fronts.flow.names import Sets, refusal
from weft.fronts.flow.outline import PLAIN_NAME, Outline, Seat, written_ids
from weft.fronts.flow.placed import Placed
from weft.graph.work import Constant, Evaluable
from weft.kinds import KindSpec
from weft.policy import FailurePolicy, Retry
from weft.text.expressions import AMBIGUOUS, Expression, parse
from weft.text.notes import Notes
from weft.text.source import Source, Text, quoted
from weft.text.syntax import Reference
from weft.text.templates import Template, parse_template
from weft.text.yaml import Marked, Scalar

How = Literal["input", "needs", "reads", "collection", "parameter", "context", "record"]
"""In which way a node is used. `record`: a field of it that is not its output."""


class Use:
    """One node's dependency on another, and the place of it. `target` is any node, however deep."""

    __slots__ = ("end", "how", "start", "target")

    def __init__(self, target: Seat, how: How, start: int, end: int) -> None:
        self.target = target
        self.how = how
        self.start = start
        self.end = end


class Entry:
    """A node, read: its settings and attributes as the engine will have them."""

    __slots__ = (
        "after", "arguments", "before", "bound", "collection", "collects_input", "concurrency", "conditions", "context",
        "effect", "everything", "given", "index", "input", "item", "limits", "max", "merge", "on_failure",
        "reads_input", "reads_items", "retry", "retry_when", "seat", "settings", "spec", "timeout", "uses", "wait",
        "when", "whole_context",
    )  # fmt: skip

    def __init__(self, seat: Seat, spec: KindSpec | None) -> None:
        self.seat = seat
        self.spec = spec
        self.uses: list[Use] = []
        self.context: dict[str, tuple[int, int]] = {}
        """The `$context` names it reads, each with its first place."""
        self.whole_context = False
        """It reads `$context` as an object."""
        self.reads_input = False
        self.reads_items = False
        self.collects_input = False
        """A foreach over its bare `input`."""
        self.input: Seat | None = None
        """Its own `input`; `given` is the nearest one around, its own included."""
        self.given: Seat | None = None
        self.when: Evaluable | None = None
        self.timeout: float | None = None
        self.on_failure: FailurePolicy | None = None
        self.effect: str | None = None
        self.limits: tuple[str, ...] = ()
        self.retry: Retry | None = None
        self.retry_when: Evaluable | None = None
        self.settings: dict[str, Evaluable] = {}
        self.bound: set[str] = set()
        self.arguments: dict[str, Evaluable] = {}
        self.conditions: list[Evaluable | None] = []
        self.collection: Placed | None = None
        self.item: str | None = None
        self.index: str | None = None
        self.max: Evaluable | None = None
        self.before: Evaluable | None = None
        self.after: Evaluable | None = None
        self.merge: str | Evaluable = "array"
        self.wait: int | None = None
        self.concurrency: int | None = None
        self.everything = False

    @property
    def reads_given(self) -> bool:
        """Whether what `input` means here is of any use to it."""
        if self.reads_input or self.collects_input:
            return True
        return self.spec is not None and self.spec.takes_input and self.seat.kind not in _DEAF


_DEAF = frozenset({"command", "python", "set", "context", "transform:template", "transform:value"})
"""Leaves that get their input only through what they compute."""


class Sight:
    """From where something is read: the node, and the `$` names beyond those of its body.

    `after`: it is evaluated when what is inside the node has run.
    """

    __slots__ = ("after", "entry", "more")

    def __init__(self, entry: Entry, more: frozenset[str] = frozenset(), *, after: bool = False) -> None:
        self.entry = entry
        self.more = more
        self.after = after


KEY = frozenset({"key"})
MANY = 300
"""So many names are compared to find the one that was meant."""
_MEANINGS = {
    "item": "inside a foreach, and in the expressions of map, filter and reduce",
    "index": "inside a foreach, and in the expressions of map, filter and reduce",
    "first": "in the expressions of map, filter and reduce",
    "last": "in the expressions of map, filter and reduce",
    "items": "in the expressions of map, filter and reduce",
    "acc": "in the expression of a reduce",
    "branch": "inside a parallel",
    "branches": "in the `merge` of a parallel",
    "iteration": "inside a loop or a while",
    "error": "in a fallback and in the `when` of a retry",
    "body": "in the `extract` of an HTTP node",
    "key": "in the settings of a node that does work",
}


class Reader:
    """Reads the expressions and templates of one document."""

    def __init__(self, document: Document, made: Outline, notes: Notes) -> None:
        self.document = document
        self.source: Source = document.source
        self.outline = made
        self.notes = notes
        self.ids = made.names
        self.sets = Sets(made)
        self.env = _names_in(document.front.runtime.get("env"))
        self._lost = written_ids(document)
        self.hyphenated: dict[str, list[str]] = {}
        """Ids with a hyphen, by the name a Python parameter has for them."""
        for id in made.ids:  # noqa: A001 - the language's word
            if "-" in id:
                self.hyphenated.setdefault(id.replace("-", "_"), []).append(id)

    def is_lost(self, word: str) -> bool:
        """Whether a node of that id may have been lost with a mistake in the document's structure."""
        return word in self._lost or word.replace("_", "-") in self._lost

    # -- reading -----------------------------------------------------------------------------------

    def expression(self, text: Text, sight: Sight) -> Placed | None:
        """The expression that a text is; None when it cannot be read, which is reported."""
        if text.value.lstrip().startswith("{{"):
            inner = text.value.strip().removeprefix("{{").removesuffix("}}").strip()
            hint = f"write {inner}" if is_short(inner) and "{{" not in inner else "leave the braces out"
            self.error("WEFT413", "an expression stands here, without {{ }} around it", text, hint)
            return None
        try:
            parsed = parse(text.value, nodes=self.ids, names=sight.entry.seat.body.names)
        except ExpressionError as error:
            self.fault(error, text)
            return None
        return self._placed(parsed, text, sight)

    def template(self, text: Text, sight: Sight) -> Evaluable | None:
        """The template that a text is: a Constant when nothing is to be filled in."""
        if "{{" not in text.value:
            return Constant(text.value)
        try:
            parsed = parse_template(text.value, nodes=self.ids, names=sight.entry.seat.body.names)
        except ExpressionError as error:
            self.fault(error, text)
            return None
        if not parsed.expressions:
            return Constant(parsed.evaluate(_NOTHING))
        return self._placed(parsed, text, sight)

    def _placed(self, parsed: Expression | Template, text: Text, sight: Sight) -> Placed | None:
        fine = True
        for reference in parsed.references:
            fine = self._look_up(reference, text, sight) and fine
        for start, end, message, hint in parsed.warnings:
            self.notes.warn(AMBIGUOUS, message, *text.span(start, end), hint=hint)
        return Placed(parsed, text, self.source) if fine else None

    def fault(self, error: ExpressionError, text: Text) -> None:
        """Reports an error of an expression or template where it stands."""
        start, end = text.span(error.start, error.end)
        self.notes.error(error.code, error.message, start, end, hint=error.hint)

    def error(self, code: str, message: str, text: Text, hint: str | None = None) -> None:
        """Reports an error about the whole of a text."""
        start, end = text.span(0, len(text.value)) if text.value else (text.start, text.start + 1)
        self.notes.error(code, message, start, end, hint=hint)

    # -- names -------------------------------------------------------------------------------------

    def _look_up(self, reference: Reference, text: Text, sight: Sight) -> bool:
        start, end = text.span(reference.start, reference.end)
        match reference.kind:
            case "node":
                whole = reference.field in (None, "output")
                return self.use(sight, reference.name, start, end, how="reads" if whole else "record")
            case "name":
                if reference.name == "input":
                    sight.entry.reads_input = True
                elif reference.name not in sight.entry.seat.body.names:
                    self._unknown_name(reference.name, start, end, sight)
                    return False
                return True
            case _:
                return self._special(reference, start, end, sight)

    def use(self, sight: Sight, id: str, start: int, end: int, *, how: How) -> bool:  # noqa: A002 - as in the language
        """Notes that a node refers to another; False, and reported, when it cannot."""
        target = self.outline.ids.get(id)
        if target is None:
            self.unknown_node(id, start, end, sight.entry.seat)
            return False
        refused = refusal(sight.entry.seat, target, after=sight.after)
        if refused is not None:
            self.notes.error(refused.code, refused.message, start, end, hint=refused.hint)
            return False
        sight.entry.uses.append(Use(target, how, start, end))
        return True

    def unknown_node(self, word: str, start: int, end: int, seat: Seat) -> None:
        """Reports an id that no node has."""
        if word in self._lost:
            return
        if (part := self.outline.parts.get(word)) is not None:
            last = part.children[-1].id if part.children else None
            hint = f"refer to `{last.value}`, the last node in it" if last is not None else None
            self.notes.error("WEFT307", f"`{word}` is a `<{part.tag}>`, which has no output", start, end, hint=hint)
            return
        close = self._nearest(word, seat)
        hint = f"did you mean `{close[0]}`?" if close else None
        if hint is None and word == "input":
            hint = "leave the attribute out: `input` is then that of the node around, or the document's"
        elif hint is None and not self.ids:
            hint = "no node of the document has an id"
        self.notes.error("WEFT301", f"there is no node {quoted(word)}", start, end, hint=hint)

    def _nearest(self, word: str, seat: Seat, *more: str) -> list[str]:
        """The id that was perhaps meant; in a long document only among those that look alike at a glance."""
        known = [each for each in self.outline.ids if each != seat.id]
        if len(known) > MANY:
            known = [each for each in known if abs(len(each) - len(word)) <= 2]
            known = [each for each in known if each[0] == word[:1] or each[-1] == word[-1:]][:MANY]
        return nearest(word, [*more, *known])

    def _unknown_name(self, word: str, start: int, end: int, sight: Sight) -> None:
        if word in self._lost:
            return
        seat = sight.entry.seat
        front = self.document.front
        hint: str | None
        if (owner := self.outline.item_names.get(word)) is not None:
            hint = f"it is an item or index of the foreach {owner.name}, and known only inside that"
        elif word in self.outline.parts:
            self.unknown_node(word, start, end, seat)
            return
        elif word in front.config:
            hint = f"write $config.{word}"
        elif word in front.secrets:
            hint = f"write $secrets.{word}"
        elif word in self.sets.names:
            hint = f"write $context.{word}"
        elif word in _MEANINGS or word in ("config", "context", "secrets", "env", "run"):
            hint = f"did you mean ${word}?"
        else:
            close = self._nearest(word, seat, *seat.body.names)
            hint = f"did you mean `{close[0]}`?" if close else f'if it is a text, put it in quotes: "{word}"'
        self.notes.error("WEFT301", f"nothing is called {quoted(word)} here", start, end, hint=hint)

    def _special(self, reference: Reference, start: int, end: int, sight: Sight) -> bool:
        name = reference.name
        if name not in sight.more and name not in sight.entry.seat.body.specials:
            hint = f"it is known {_MEANINGS[name]}"
            self.notes.error("WEFT412", f"${name} means nothing here", start, end, hint=hint)
            return False
        sight.entry.reads_items = sight.entry.reads_items or name == "items"
        if name == "context":
            return self._context(reference.field, start, end, sight)
        if reference.field is None or name not in ("config", "secrets", "env"):
            return True
        return self._declared(name, reference.field, start, end)

    def _context(self, field: str | None, start: int, end: int, sight: Sight) -> bool:
        if field is None:
            sight.entry.whole_context = True
            for each in sorted(self.sets.names):
                sight.entry.context.setdefault(each, (start, end))
            return True
        if field not in self.sets.names:
            close = nearest(field, sorted(self.sets.names))
            hint = f'write <set var="{field}" value="…"/> before it' if PLAIN_NAME.fullmatch(field) else None
            hint = f"did you mean $context.{close[0]}?" if close else hint
            self.notes.error("WEFT334", f"nothing sets $context.{quoted(field)[1:-1]}", start, end, hint=hint)
            return False
        sight.entry.context.setdefault(field, (start, end))
        return True

    def _declared(self, name: str, field: str, start: int, end: int) -> bool:
        front = self.document.front
        declared: dict[str, Mapping[str, Any]] = {"config": front.config, "secrets": front.secrets, "env": self.env}
        known = declared[name]
        if field in known or self._is_lost(name, field):
            return True
        code, key, sample = _DECLARATIONS[name]
        close = nearest(field, list(known))
        hint = f"declare it in the front matter: {sample(field)}" if PLAIN_NAME.fullmatch(field) else None
        hint = f"did you mean ${name}.{close[0]}?" if close else hint
        self.notes.error(code, f"{quoted(field)} is not declared in `{key}`", start, end, hint=hint)
        return False

    def _is_lost(self, name: str, field: str) -> bool:
        """Whether a declaration may have been lost with a mistake in the front matter."""
        document = self.document
        if document.complete:
            return False
        if not document.front.values:
            return document.source.shadow.startswith("---")
        written = document.front.values.get({"env": "runtime"}.get(name, name))
        return written is not None and field in document.source.text[written.start : written.end]


_DECLARATIONS: dict[str, tuple[str, str, Any]] = {
    "config": ("WEFT331", "config", lambda field: f"config: {{ {field}: … }}"),
    "secrets": ("WEFT330", "secrets", lambda field: f"secrets: [{field}]"),
    "env": ("WEFT332", "runtime.env", lambda field: f"runtime: {{ env: [{field}] }}"),
}


def is_short(text: str) -> bool:
    """Whether a text of the document can be shown in a hint as it stands."""
    return 0 < len(text) <= 60 and text.isprintable()


class _Nothing:
    """A scope without anything in it."""


_NOTHING: Any = _Nothing()


def _names_in(value: Marked | None) -> dict[str, Scalar]:
    items = getattr(value, "items", ())
    return {item.text: item for item in items if isinstance(item, Scalar)}
