"""From a tag to the element it opens: what it means, its id, its attributes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from weft.errors import nearest
from weft.fronts.flow.ast import Element
from weft.fronts.flow.tags import (
    COMMON,
    COMMON_CHILDREN,
    LEAF_ONLY,
    LEAVES,
    NO_ID_NEEDED,
    PREFIXES,
    RESERVED_IDS,
    TAGS,
    TagSpec,
)
from weft.kinds import Kinds, KindSpec
from weft.text.layout import attribute_text
from weft.text.notes import Notes
from weft.text.scanner import Tag
from weft.text.source import Text, quoted

_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
MAX_ID = 64


class Frame:
    """An element that is being read. `spec` is None for a leaf, `leaf` for everything else.

    A leaf that this version lacks has neither. `quiet` is set once an error has been reported that explains whatever
    else seems wrong with the element.
    """

    __slots__ = (
        "attributes", "begin", "children", "compensate", "id", "kind", "leaf", "on_error", "quiet", "segment",
        "segments", "settings", "spec", "tag",
    )  # fmt: skip

    def __init__(self, tag: Tag, kind: str, spec: TagSpec | None = None, leaf: KindSpec | None = None) -> None:
        self.tag = tag
        self.kind = kind
        self.spec = spec
        self.leaf = leaf
        self.id: Text | None = None
        self.attributes: dict[str, Text] = {}
        self.settings: dict[str, Text] = {}
        self.children: list[Element] = []
        self.on_error: Element | None = None
        self.compensate: Element | None = None
        self.begin = self.segment = tag.end
        self.segments: list[tuple[int, int]] = []
        self.quiet = False

    @property
    def is_leaf(self) -> bool:
        return self.spec is None

    @property
    def is_node(self) -> bool:
        return self.spec is None or self.spec.role == "node"

    @property
    def anything_goes(self) -> bool:
        """Nothing is known about what may stand in it."""
        return self.spec is not None and not self.spec.supported

    def setting_names(self) -> tuple[str, ...]:
        """What may be written as a child element with a raw text."""
        if self.spec is not None:
            return self.spec.settings
        return tuple(s.name for s in self.leaf.settings) if self.leaf is not None else ()

    def element(self, end: int, text: Text | None) -> Element:
        """The finished record."""
        tag = self.tag
        return Element(
            self.kind, tag.name, tag.start, tag.name_end, end, self.id, self.attributes, self.settings, text,
            tuple(self.children), self.on_error, self.compensate, self.spec is None, self.quiet,
        )  # fmt: skip


class Openings:
    """Reads the opening tags of one document."""

    def __init__(self, kinds: Kinds, notes: Notes) -> None:
        self._kinds = kinds
        self._notes = notes
        self._ids: dict[str, int] = {}
        self._prefixes = {kind.partition(":")[0] for kind in kinds if ":" in kind} | set(PREFIXES)
        self.listed = tuple(dict.fromkeys((*TAGS, *LEAVES, *kinds, *PREFIXES)))
        self._listed = frozenset(self.listed)

    def knows(self, tag: Tag) -> bool:
        """Whether the tag is one of the language, or of a plug-in."""
        if tag.name in self._listed:
            return True
        return tag.name in self._prefixes and any(a.name == "type" for a in tag.attributes)

    def open(self, tag: Tag, parent: Frame) -> Frame:
        """The frame of a known tag, with its attributes read and everything wrong with them reported."""
        if tag.name == "branch" and parent.kind != "parallel":
            frame = Frame(tag, "switch", TAGS["switch"])
        elif tag.name in TAGS:
            frame = Frame(tag, tag.name, TAGS[tag.name])
        else:
            frame = self._leaf(tag)
        self._read_attributes(frame)
        self._check_id(frame)
        return frame

    def _leaf(self, tag: Tag) -> Frame:
        kind = tag.name
        if kind not in self._kinds and kind in self._prefixes:
            written = next((a for a in tag.attributes if a.name == "type" and a.value_start >= 0), None)
            value = "" if written is None else self._notes.source.text[written.value_start : written.value_end]
            kind = f"{tag.name}:{value}"
            if kind not in self._kinds and kind not in LEAVES:
                self._wrong_type(tag, value)
                frame = Frame(tag, kind)
                frame.quiet = True
                return frame
        frame = Frame(tag, kind, leaf=self._kinds.get(kind))
        if frame.leaf is None:
            self.unsupported(frame)
        return frame

    def _wrong_type(self, tag: Tag, value: str) -> None:
        known = [k.partition(":")[2] for k in (*self._kinds, *LEAVES) if k.startswith(f"{tag.name}:")]
        known = list(dict.fromkeys(known))
        close = nearest(value, known) if value else []
        hint = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(known)}"
        message = f"`<{tag.name}>` needs a type" if not value else f"there is no {tag.name} of type {quoted(value)}"
        self._notes.error("WEFT215", message, tag.start, tag.name_end, hint=hint)

    def unsupported(self, frame: Frame) -> None:
        """Says that a tag is part of the language and not of this version."""
        message = f"`<{frame.kind}>` is part of the language but not supported by this version of Weft yet"
        self._notes.error("WEFT211", message, frame.tag.start, frame.tag.name_end)
        frame.quiet = True

    # -- attributes ----------------------------------------------------------------------------

    def _read_attributes(self, frame: Frame) -> None:
        allowed = self._allowed(frame)
        source = self._notes.source
        first: dict[str, int] = {}
        settings = set(frame.setting_names())
        for a in frame.tag.attributes:
            if a.name in first:
                message = f"`{a.name}` is there twice (first in line {self._notes.line(first[a.name])})"
                self._notes.error("WEFT221", message, a.start, a.end, hint="remove one of them")
                continue
            first[a.name] = a.start
            if allowed is not None and a.name not in allowed:
                self._unknown_attribute(frame, a.name, a.start, a.end, allowed)
                continue
            if a.value_start < 0 or not a.quoted:
                if frame.tag.flaw is None:
                    self._unquoted(a.name, a.start, a.value_start, a.value_end, a.end)
                if a.value_start < 0:
                    continue
            text = attribute_text(source, a.value_start, a.value_end, a.start)
            if a.name == "id":
                frame.id = text
            elif a.name != "type" or "type" in settings:
                frame.attributes[a.name] = text
                if a.name in settings:
                    frame.settings[a.name] = text

    def _allowed(self, frame: Frame) -> tuple[str, ...] | None:
        """The attributes an element takes, or None where they are not known."""
        spec = frame.spec
        if spec is None:
            if frame.leaf is None:
                return None
            kind = ("type",) if frame.tag.name != frame.kind else ()
            return ("id", *kind, *frame.setting_names(), *COMMON)
        if not spec.supported:
            return None
        own = (*spec.settings, *spec.attributes)
        if spec.takes_id:
            own = ("id", *own)
        if spec.role == "node" and frame.kind != "break":
            own = (*own, *(name for name in COMMON if name not in LEAF_ONLY))
        return own

    def _unknown_attribute(self, frame: Frame, name: str, start: int, end: int, allowed: Iterable[str]) -> None:
        known = tuple(allowed)
        what = f"<{frame.tag.name}>"
        if name in LEAF_ONLY and frame.is_node:
            message = f"`{name}` is for nodes that do work, not for a block like `{what}`"
            self._notes.error("WEFT220", message, start, end, hint="give it to the nodes inside")
            return
        if frame.kind == "workflow":
            hint: str | None = "name, config and the like belong in the front matter"
        else:
            close = nearest(name, known)
            listing = f"it takes {', '.join(known)}" if known else "it takes none"
            hint = f"did you mean `{close[0]}`?" if close else listing
        if name in COMMON_CHILDREN and frame.is_node:
            hint = f"`{name}` is a child element: `<{name}>…</{name}>`"
        self._notes.error("WEFT220", f"`{what}` has no attribute {quoted(name)}", start, end, hint=hint)

    def _unquoted(self, name: str, start: int, value_start: int, value_end: int, end: int) -> None:
        if value_start < 0:
            message, hint, stop = f"`{name}` has no value", f'write {name}="…"', end
        else:
            value = self._notes.source.text[value_start : min(value_end, value_start + 40)]
            message, hint, stop = f"the value of `{name}` needs quotes", f'write {name}="{value}"', value_end
        self._notes.error("WEFT223", message, start, stop, hint=hint)

    # -- ids -----------------------------------------------------------------------------------

    def _check_id(self, frame: Frame) -> None:
        tag = frame.tag
        written = frame.id
        if written is None:
            needs = frame.spec.needs_id if frame.spec is not None else frame.kind not in NO_ID_NEEDED
            given = any(a.name == "id" for a in tag.attributes)
            if needs and not given and not frame.quiet and not frame.anything_goes:
                hint = f'write <{tag.name} id="a-name"'
                self._notes.error("WEFT230", f"`<{tag.name}>` needs an id", tag.start, tag.name_end, hint=hint)
            return
        end = max(written.end, written.start + 1)
        problem = _wrong_id(written.value)
        if problem is not None:
            message, hint = problem
            self._notes.error("WEFT231", message, written.start, end, hint=hint)
        elif written.value in self._ids:
            first = self._notes.line(self._ids[written.value])
            message = f"the id `{written.value}` is taken (first in line {first})"
            self._notes.error("WEFT232", message, written.start, end, hint="ids are unique in a document")
        else:
            self._ids[written.value] = written.start


def _wrong_id(value: str) -> tuple[str, str] | None:
    rule = "an id is a letter, then letters, digits, `_` or `-`"
    if not value:
        return "the id is empty", rule
    if value in RESERVED_IDS:
        return f"`{value}` is a word of expressions and cannot be an id", "choose another id"
    if not _ID.fullmatch(value):
        fixed = re.sub(r"[^A-Za-z0-9_-]+", "-", value).strip("-_0123456789")
        more = f"; write `{fixed}`" if _ID.fullmatch(fixed) and len(fixed) <= MAX_ID else ""
        return f"{quoted(value)} cannot be an id", rule + more
    if len(value) > MAX_ID:
        return f"the id {quoted(value, 30)} has {len(value)} characters; at most {MAX_ID} are allowed", "shorten it"
    return None
