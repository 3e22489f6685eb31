"""One node after the other: its attributes and settings, its bodies' conditions, its part in retries and fallbacks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from weft.errors import nearest
from weft.fronts.flow.ast import Element
from weft.fronts.flow.names import variable
from weft.fronts.flow.outline import Seat, default_names, is_name
from weft.fronts.flow.parameters import read_parameters
from weft.fronts.flow.placed import NodeOutput, ObjectOf
from weft.fronts.flow.reading import Entry, Reader, Sight, Use, is_short
from weft.fronts.flow.settings import duration, piece, read_settings
from weft.fronts.flow.tags import RESERVED_IDS
from weft.graph.work import Constant, Evaluable
from weft.kinds import Kinds
from weft.policy import Retry
from weft.text.source import Text, quoted

LOOP_MAX = 1000
MAX_COUNT = 1_000_000
"""The largest number that an attribute which counts may have."""

_WHOLE = re.compile(r"[0-9]{1,15}")
_WORD = re.compile(r"[^\s]+")
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_OF = re.compile(r"n\(\s*([0-9]{1,9})\s*\)")
_TEXT_LITERAL = re.compile(r"""\s*(?:"[^"\\]*"|'[^'\\]*')\s*""")
_MERGES = ("array", "concat", "object")
_WORDS = {
    "on-failure": ("finish", "cancel", "continue"),
    "effect": ("pure", "idempotent", "once"),
    "backoff": ("exponential", "linear", "fixed"),
    "jitter": ("full", "none"),
    "all": ("true", "false"),
    "cache": ("inputs",),
}


class NodeReader:
    """Reads the nodes of one document into entries."""

    def __init__(self, reader: Reader, kinds: Kinds) -> None:
        self.reader = reader
        self.notes = reader.notes
        self._kinds = kinds
        self._blocks: dict[str, Callable[[Entry], None]] = {
            "parallel": self._parallel,
            "foreach": self._foreach,
            "if": self._if,
            "switch": self._switch,
            "loop": self._loop,
            "while": self._while,
            "break": self._break,
            "context": lambda entry: None,
        }

    def read(self, seat: Seat) -> Entry:
        """The entry of one node. Reports everything wrong with it."""
        element = seat.element
        entry = Entry(seat, self._kinds.get(element.kind) if element.leaf and not seat.is_context else None)
        if entry.spec is None and element.kind not in self._blocks:
            return entry  # the parser has said that this version does not know it
        self._common(entry)
        if element.kind == "context" and seat.body.owner is not None and seat.body.owner.is_context:
            self._together(entry)
        elif entry.spec is not None:
            read_settings(self.reader, entry)
            if element.kind == "set":
                self._variable(entry)
            elif element.kind == "python":
                read_parameters(self.reader, entry)
        else:
            self._blocks[element.kind](entry)
        self._on_error(entry)
        if seat.body.kind == "compensation":
            self._check_compensation(entry)
        return entry

    # -- attributes --------------------------------------------------------------------------------

    def _common(self, entry: Entry) -> None:
        attributes = dict(entry.seat.element.attributes)
        if entry.spec is not None:
            for setting in entry.spec.settings:
                attributes.pop(setting.name, None)
        if (text := attributes.get("input")) is not None:
            entry.input = self._one_node(entry, text)
        if (text := attributes.get("needs")) is not None:
            self._needs(entry, text)
        if entry.seat.kind != "break" and (text := attributes.get("when")) is not None:
            entry.when = self.reader.expression(text, Sight(entry))
        if (text := attributes.get("timeout")) is not None:
            entry.timeout = duration(self.reader, "timeout", text)
        if (text := attributes.get("on-failure")) is not None:
            entry.on_failure = self._word("on-failure", text)  # type: ignore[assignment]  # one of the words
        self._effect_and_retry(entry, attributes)
        if (text := attributes.get("limit")) is not None:
            self._limit(entry, text)
        if (text := attributes.get("cache")) is not None and self._word("cache", text) is not None:
            hint = "the node does its work in every run"
            start, end = text.span(0, len(text.value))
            self.notes.warn("WEFT342", "`cache` is not supported by this version of Weft yet", start, end, hint=hint)

    def _one_node(self, entry: Entry, text: Text) -> Seat | None:
        word = text.value.strip()
        if not _ID.fullmatch(word):
            found = re.search(r"[A-Za-z][A-Za-z0-9_-]*", word)
            known = found is not None and found[0] in self.reader.ids
            hint = f'write input="{found[0]}"' if found and known else "it takes the id of one node"
            self.reader.error("WEFT503", f"`input` is {quoted(word, 40)}, which is no id", text, hint)
            return None
        at = text.value.index(word)
        start, end = text.span(at, at + len(word))
        fine = self.reader.use(Sight(entry), word, start, end, how="input")
        return self.reader.outline.ids[word] if fine else None

    def _needs(self, entry: Entry, text: Text) -> None:
        for found in _WORD.finditer(text.value):
            word = found[0]
            start, end = text.span(found.start(), found.end())
            if word.strip(",;") != word:
                hint = 'ids are separated by spaces: needs="a b"'
                self.notes.error("WEFT503", f"{quoted(word, 40)} is no id", start, end, hint=hint)
            else:
                self.reader.use(Sight(entry), word, start, end, how="needs")

    def _effect_and_retry(self, entry: Entry, attributes: dict[str, Text]) -> None:
        if entry.spec is None:
            return
        effect = attributes.get("effect")
        entry.effect = self._word("effect", effect) if effect is not None else None
        entry.effect = entry.effect or entry.spec.effect
        retry = attributes.get("retry")
        count = self.count("retry", retry, 0) if retry is not None else None
        if retry is not None and count is not None:
            entry.retry = Retry(max_attempts=count + 1)
            if count:
                self._check_once(entry, retry.key if retry.key >= 0 else retry.start, retry.end)

    def _check_once(self, entry: Entry, start: int, end: int) -> None:
        if entry.effect == "once":
            message = f'{entry.seat.name} has effect "once" and cannot be tried again'
            hint = "remove the retry; or make the node idempotent by its key (WEFT_KEY, $key)"
            self.notes.error("WEFT340", message, start, end, hint=hint)

    def _limit(self, entry: Entry, text: Text) -> None:
        limits = self.reader.document.front.limits
        word = text.value.strip()
        if word in limits:
            entry.limits = (word,)
            return
        written = self.reader.document.front.values.get("limits")
        if not self.reader.document.complete and (written is None or word in getattr(written, "entries", {})):
            return
        close = nearest(word, list(limits))
        hint = f"declare it in the front matter: limits: {{ {word}: 5 }}" if is_short(word) else None
        hint = f"did you mean `{close[0]}`?" if close else hint
        self.reader.error("WEFT333", f"there is no limit {quoted(word, 40)}", text, hint)

    def _word(self, name: str, text: Text) -> str | None:
        words = _WORDS[name]
        value = text.value.strip()
        if value in words:
            return value
        close = nearest(value, words)
        hint = f"did you mean `{close[0]}`?" if close else None
        message = f"`{name}` is {quoted(value, 40)}; it must be {_either(words)}"
        self.reader.error("WEFT504", message, text, hint)
        return None

    def count(self, name: str, text: Text, least: int, code: str = "WEFT503") -> int | None:
        """The whole number of an attribute; None when it is none or too small, which is reported."""
        value = text.value.strip()
        if "{{" in value:
            message = f"`{name}` takes no template"
            self.reader.error("WEFT506", message, text, f"write a whole number from {least} on")
            return None
        if value.isascii() and _WHOLE.fullmatch(value) and least <= int(value) <= MAX_COUNT:
            return int(value)
        most = f" to {MAX_COUNT:,}" if len(value) > 5 else " on"
        message = f"`{name}` is {quoted(value, 40)}; it must be a whole number from {least}{most}"
        self.reader.error(code, message, text)
        return None

    # -- failures ----------------------------------------------------------------------------------

    def _on_error(self, entry: Entry) -> None:
        on_error = entry.seat.element.on_error
        retry = on_error.part("retry") if on_error is not None else None
        if retry is None or retry.damaged:
            return
        if not entry.seat.element.leaf:
            message = "`<retry>` is for nodes that do work, not for a block"
            hint = "give it to the nodes inside"
            self.notes.error("WEFT341", message, retry.start, retry.head, hint=hint)
            return
        if entry.retry is not None:
            message = f"{entry.seat.name} has the attribute `retry` and a `<retry>`"
            self.notes.error("WEFT341", message, retry.start, retry.head, hint="remove one of the two")
        entry.retry = self._retry(entry, retry)
        if entry.retry.max_attempts > 1:
            self._check_once(entry, retry.start, retry.head)

    def _retry(self, entry: Entry, element: Element) -> Retry:
        attributes = element.attributes
        more: dict[str, Any] = {}
        for name in ("backoff", "jitter"):
            if name in attributes and (word := self._word(name, attributes[name])) is not None:
                more[name] = word
        for name in ("base", "cap"):
            if name in attributes and (seconds := duration(self.reader, name, attributes[name])) is not None:
                more[name] = seconds
        times = self.count("max", attributes["max"], 0) if "max" in attributes else 3
        if (when := attributes.get("when")) is not None:
            entry.retry_when = self.reader.expression(when, Sight(entry, frozenset({"error"})))
        return Retry(max_attempts=(times or 0) + 1, conditional=when is not None, **more)

    def _check_compensation(self, entry: Entry) -> None:
        """Undoing is a plain list of steps: what has a course of its own cannot be in it."""
        element = entry.seat.element
        hint = "let a command or python node decide for itself"
        if not element.leaf:
            message = f"`<{element.tag}>` cannot stand in a `<compensate>`, which takes nodes that do work"
            self.notes.error("WEFT343", message, element.start, element.head, hint=hint)
        for name in ("when", "retry", "timeout", "on-failure", "limit"):
            if (text := element.attributes.get(name)) is not None:
                message = f"`{name}` has no meaning in a `<compensate>`: it is run to its end, three times at most"
                self.notes.error("WEFT343", message, max(text.key, 0), text.end, hint="remove it")
        for part in (element.on_error, element.compensate):
            if part is not None:
                message = f"`<{part.kind}>` has no meaning in a `<compensate>`"
                self.notes.error("WEFT343", message, part.start, part.head, hint="remove it")

    # -- blocks ------------------------------------------------------------------------------------

    def _parallel(self, entry: Entry) -> None:
        settings = entry.seat.element.settings
        self._check_branch_names(entry)
        if (text := settings.get("wait")) is not None:
            self._wait(entry, text)
        if (text := settings.get("concurrency")) is not None:
            entry.concurrency = self.count("concurrency", text, 1, "WEFT323")
        if (text := settings.get("merge")) is None:
            return
        word = text.value.strip()
        if entry.wait == 1 and settings["wait"].value.strip() == "any":
            hint = "its output is that of the first branch to succeed"
            self.reader.error("WEFT324", '`merge` has no meaning with wait="any"', text, hint)
        elif word in _MERGES:
            entry.merge = word
        else:
            made = self.reader.expression(text, Sight(entry, frozenset({"branches"}), after=True))
            entry.merge = made if made is not None else "array"

    def _check_branch_names(self, entry: Entry) -> None:
        first: dict[str, int] = {}
        for body in entry.seat.bodies:
            name = body.part.attributes.get("name") if body.part is not None else None
            if name is None:
                continue
            if name.value in first:
                message = f"another branch is called {quoted(name.value, 40)} (in line {first[name.value]})"
                self.reader.error("WEFT325", message, name, "give one of them another name")
            first.setdefault(name.value, self.notes.line(name.start))

    def _wait(self, entry: Entry, text: Text) -> None:
        word = text.value.strip()
        branches = len(entry.seat.bodies)
        found = _OF.fullmatch(word)
        if found is not None:
            entry.wait = int(found[1])
            if entry.wait < 1 or (entry.wait > branches and not entry.seat.element.damaged):
                there = f"there are {branches}" if branches != 1 else "there is one"
                message = f"`wait` is for {found[1]} branches, and {there}"
                counts = f"n(1) to n({branches})" if branches > 1 else "n(1)"
                self.reader.error("WEFT324", message, text, f"write {counts}, any or all")
        elif word == "any":
            entry.wait = 1
        elif word != "all":
            hint = f"write n({word})" if word.isascii() and _WHOLE.fullmatch(word) else None
            message = f"`wait` is {quoted(word, 40)}; it must be all, any or n(k)"
            self.reader.error("WEFT504", message, text, hint)

    def _foreach(self, entry: Entry) -> None:
        when_reads = entry.reads_input
        settings = entry.seat.element.settings
        if (text := settings.get("collection")) is not None:
            if _TEXT_LITERAL.fullmatch(text.value):
                hint = 'write ["a", "b"] for a list; split(x, ",") or lines(x) make one of a text'
                self.reader.error("WEFT322", "a foreach goes over a list, this is a text", text, hint)
            else:
                entry.collection = self.reader.expression(text, Sight(entry))
                self._note_collection(entry, text.value.strip())
                entry.reads_input = when_reads or (entry.reads_input and not entry.collects_input)
        if (text := settings.get("concurrency")) is not None:
            entry.concurrency = self.count("concurrency", text, 1, "WEFT323")
        default = default_names(self.reader.outline, entry.seat)
        entry.item = self._name(entry, "item", settings.get("item")) or ("item" if "item" in default else None)
        entry.index = self._name(entry, "index", settings.get("index")) or ("index" if "index" in default else None)
        if entry.item is not None and entry.item == entry.index:
            message = f"the item and the index are both called `{entry.item}`"
            self.reader.error("WEFT325", message, settings["index"], "give one of them another name")

    def _note_collection(self, entry: Entry, written: str) -> None:
        """A collection that is a bare id, or `input`, reads item by item."""
        if written == "input":
            entry.collects_input = True
        elif len(entry.uses) and entry.collection is not None:
            use = entry.uses[-1]
            if written in (use.target.id, f"{use.target.id}.output"):
                use.how = "collection"

    def _name(self, entry: Entry, what: str, text: Text | None) -> str | None:
        if text is None:
            return None
        word = text.value.strip()
        if is_name(word):
            return word
        self._no_name(text, word.lstrip("$"), f"an {what}")
        return None

    def _no_name(self, text: Text, bare: str, what: str) -> None:
        fixed = re.sub(r"[^A-Za-z0-9_]", "_", bare)
        hint = "a name is a letter, then letters, digits and underscores"
        if bare in RESERVED_IDS:
            hint = "it is a word of expressions"
        elif is_name(fixed):
            hint = f"write `{fixed}`"
        written = quoted(text.value.strip(), 40)
        self.reader.error("WEFT326", f"{written} cannot be the name of {what}", text, hint)

    def _if(self, entry: Entry) -> None:
        text = entry.seat.element.settings.get("condition")
        condition = self.reader.expression(text, Sight(entry)) if text is not None else None
        bodies = entry.seat.bodies
        entry.conditions = [condition if b.part is not None and b.part.kind != "else" else None for b in bodies]

    def _switch(self, entry: Entry) -> None:
        for body in entry.seat.bodies:
            text = body.part.attributes.get("when") if body.part is not None else None
            entry.conditions.append(self.reader.expression(text, Sight(entry)) if text is not None else None)

    def _loop(self, entry: Entry) -> None:
        element = entry.seat.element
        self._max(entry)
        if (text := element.attributes.get("break")) is not None:
            entry.after = self.reader.expression(text, Sight(entry, frozenset({"iteration"}), after=True))

    def _while(self, entry: Entry) -> None:
        self._max(entry)
        if (text := entry.seat.element.settings.get("condition")) is not None:
            entry.before = self.reader.expression(text, Sight(entry, frozenset({"iteration"}), after=True))

    def _max(self, entry: Entry) -> None:
        text = entry.seat.element.settings.get("max")
        if text is None:
            entry.max = Constant(LOOP_MAX)
        elif "{{" in text.value:
            trimmed = text.value.strip()
            part = piece(text, text.value.index(trimmed), len(trimmed))
            entry.max = self._one_template(entry, "max", part)
        elif (most := self.count("max", text, 1)) is not None:
            entry.max = Constant(most)

    def _one_template(self, entry: Entry, name: str, text: Text) -> Evaluable | None:
        made = self.reader.template(text, Sight(entry))
        parsed = getattr(made, "parsed", None)
        if made is not None and (parsed is None or not parsed.is_single):
            hint = "write one {{ }} and nothing around it"
            self.reader.error("WEFT506", f"`{name}` mixes a template with other text", text, hint)
            return None
        return made

    def _break(self, entry: Entry) -> None:
        element = entry.seat.element
        if (text := element.attributes.get("when")) is not None:
            entry.when = self.reader.expression(text, Sight(entry))
        if (text := element.attributes.get("all")) is not None:
            entry.everything = self._word("all", text) == "true"
        body = entry.seat.body
        while body.kind in ("case", "fallback") and body.owner is not None:
            body = body.owner.body
        if body.kind in ("iteration", "round"):
            return
        if body.kind == "branch" and body.owner is not None:
            message = f"a `<break>` cannot leave a branch of {body.owner.name}"
            hint = "branches run at once: put the break before or after the parallel, or a loop into the branch"
        else:
            message = "a `<break>` belongs in a foreach, a loop or a while"
            hint = "to leave out what follows, give it a `when`"
        self.notes.error("WEFT321", message, element.start, element.head, hint=hint)

    def _together(self, entry: Entry) -> None:
        """The object of the values that the nodes before it have set."""
        sets = [(variable(seat), seat) for seat in entry.seat.body.seats[:-1]]
        entry.settings["values"] = ObjectOf([(name, NodeOutput(seat.id)) for name, seat in sets if name])
        entry.uses += [Use(seat, "reads", seat.element.start, seat.element.head) for _, seat in sets]

    # -- set ---------------------------------------------------------------------------------------

    def _variable(self, entry: Entry) -> None:
        text = entry.seat.element.settings.get("var")
        word = text.value.strip() if text is not None else ""
        if text is not None and word and "{{" not in word and not is_name(word):
            self._no_name(text, word.removeprefix("$context.").lstrip("$"), "a value")


def _either(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
