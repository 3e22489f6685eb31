"""What may stand where, and what must be there: the rules of `TAGS`, applied."""

from __future__ import annotations

from weft.fronts.flow.ast import Element
from weft.fronts.flow.opening import Frame
from weft.fronts.flow.tags import COMMON_CHILDREN
from weft.text.notes import Notes

_ONLY_ONCE = frozenset({"then", "else", "default", "retry", "fallback"})
_NEEDS_PART = {"parallel": "branch", "if": "then", "switch": "case"}
_HOLDS_NODES = frozenset({"foreach", "loop", "while", "compensate"})


def check_place(frame: Frame, parent: Frame, notes: Notes) -> None:
    """Reports an element that cannot stand in `parent`."""
    if parent.anything_goes:
        return
    spec = frame.spec
    tag = frame.tag
    message = f"`<{tag.name}>` cannot stand in `<{parent.tag.name}>`"
    if spec is None or spec.role == "node":
        if parent.spec is not None and parent.spec.body:
            return
        parts = parent.spec.parts if parent.spec is not None else ()
        parts = tuple(part for part in parts if part != "retry")
        hint = f"put it in {_either(parts)}" if parts else None
        notes.error("WEFT212", message, tag.start, tag.name_end, hint=hint)
        parent.quiet = True
        return
    if parent.kind in spec.inside or ("node" in spec.inside and parent.is_node):
        return
    if frame.kind == "workflow":
        hint = "a document has one `<workflow>`; others are run with `call`"
    elif "node" in spec.inside:
        hint = f"`<{frame.kind}>` belongs in the node it is for"
    else:
        hint = f"`<{frame.kind}>` belongs in {_either(spec.inside)}"
    notes.error("WEFT212", message, tag.start, tag.name_end, hint=hint)


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(f"`<{name}>`" for name in names)


def attach(frame: Frame, element: Element, parent: Frame, notes: Notes) -> None:
    """Gives a finished element to the one around it."""
    kind = frame.kind
    if kind in COMMON_CHILDREN:
        first = parent.on_error if kind == "on-error" else parent.compensate
        if first is not None:
            _twice(frame, parent, first, notes)
        elif kind == "on-error":
            parent.on_error = element
        else:
            parent.compensate = element
        return
    if kind in _ONLY_ONCE:
        first = next((child for child in parent.children if child.kind == kind), None)
        if first is not None:
            _twice(frame, parent, first, notes)
            return
    parent.children.append(element)


def _twice(frame: Frame, parent: Frame, first: Element, notes: Notes) -> None:
    line = notes.line(first.start)
    message = f"`<{parent.tag.name}>` has a second `<{frame.kind}>` (first in line {line})"
    notes.error("WEFT214", message, frame.tag.start, frame.tag.name_end, hint="remove one of them")


def check_finished(frame: Frame, notes: Notes) -> None:
    """Reports what is missing in an element that has been read to its end."""
    spec = frame.spec
    if frame.quiet or spec is None or not spec.supported:
        return
    start, end = frame.tag.start, frame.tag.name_end
    for name in spec.required:
        given = any(a.name == name for a in frame.tag.attributes)
        if name not in frame.settings and not given:
            hint = f'write <{frame.tag.name} {name}="…"'
            notes.error("WEFT222", f"`<{frame.tag.name}>` needs `{name}`", start, end, hint=hint)
    part = _NEEDS_PART.get(frame.kind)
    if part is not None and not any(child.kind == part for child in frame.children):
        notes.error("WEFT213", f"`<{frame.tag.name}>` has no `<{part}>`", start, end)
    if frame.kind == "on-error" and not frame.children:
        notes.error("WEFT213", "`<on-error>` has neither `<retry>` nor `<fallback>`", start, end)
    if frame.kind == "fallback":
        _check_fallback(frame, notes)
    if frame.kind in _HOLDS_NODES and not frame.children:
        notes.warn("WEFT240", f"`<{frame.tag.name}>` has no nodes", start, end)


def _check_fallback(frame: Frame, notes: Notes) -> None:
    named = "node" in frame.attributes
    if named and frame.children:
        message = "`<fallback>` names a node and has nodes of its own"
        notes.error("WEFT221", message, frame.tag.start, frame.tag.name_end, hint="remove one of the two")
    elif not named and not frame.children:
        hint = 'write <fallback node="id"/>, or put nodes in it'
        message = "`<fallback>` has no node"
        notes.error("WEFT213", message, frame.tag.start, frame.tag.name_end, hint=hint)
