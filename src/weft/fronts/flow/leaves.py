"""Inside a leaf: raw text, in which only its settings, `on-error` and `compensate` are tags."""

from __future__ import annotations

import msgspec

from weft.fronts.flow.opening import Frame, Openings
from weft.fronts.flow.tags import COMMON_CHILDREN, HTML, TAGS, Near
from weft.text.layout import element_text
from weft.text.notes import Notes
from weft.text.scanner import RawName, Scanner, Tag
from weft.text.source import Text


class Step(msgspec.Struct, frozen=True):
    """Where to read on in a leaf, and what was found: its end, a child to open, or that its end is missing."""

    pos: int
    ends: bool = False
    lost: bool = False
    child: Tag | None = None


class Leaves:
    """Reads the insides of the leaves of one document, and the settings of blocks."""

    def __init__(self, scanner: Scanner, notes: Notes, openings: Openings) -> None:
        self._scanner = scanner
        self._notes = notes
        self._openings = openings
        self._source = scanner.source
        self._nears: dict[str, Near] = {}

    def has_end(self, frame: Frame) -> bool:
        """Whether the leaf's end tag is there; if not, that is reported and the leaf is what its tag says."""
        tag = frame.tag
        if self._scanner.find_end(tag.name, tag.end) is not None:
            return True
        if not frame.quiet or tag.flaw is None:
            message = f"`<{tag.name}>` is never closed"
            hint = f"write `</{tag.name}>`, or end the tag with `/>`"
            self._notes.error("WEFT206", message, tag.start, tag.name_end, hint=hint)
        frame.quiet = True
        frame.segment = tag.end
        return False

    def step(self, frame: Frame, pos: int) -> Step:
        """Reads from `pos` to the next tag that means something in this leaf."""
        owner = frame.tag.name
        names = (*frame.setting_names(), *COMMON_CHILDREN)
        while (raw := self._scanner.next_raw(pos, frame.begin, owner)) is not None:
            pos = raw.start + len(raw.name) + 1
            if raw.closing:
                tag = self._scanner.tag(raw.start) if raw.name == owner else None
                if tag is not None and tag.flaw is None:
                    self._cut(frame, raw.start)
                    return Step(tag.end, ends=True)
                continue
            if raw.name in names:
                tag = self._scanner.tag(raw.start)
                if tag is not None:
                    return self._child(frame, tag)
            elif self._lost(frame, raw):
                self._cut(frame, raw.start)
                return Step(raw.start, lost=True)
            else:
                self._suspect(frame, raw, names)
        self._never_closed(frame.tag, "")
        return Step(len(self._source.text), lost=True)

    def _cut(self, frame: Frame, end: int) -> None:
        if end > frame.segment:
            frame.segments.append((frame.segment, end))
        frame.segment = end

    def _child(self, frame: Frame, tag: Tag) -> Step:
        self._cut(frame, tag.start)
        if tag.name in COMMON_CHILDREN:
            if tag.flaw is not None:
                self._notes.error("WEFT205", tag.flaw.message, tag.flaw.start, tag.flaw.end, hint=tag.flaw.hint)
            return Step(tag.end, child=tag)
        pos = self.setting(frame, tag)
        frame.segment = pos
        return Step(pos)

    # -- settings ------------------------------------------------------------------------------

    def setting(self, frame: Frame, tag: Tag, name: str | None = None) -> int:
        """Reads a setting written as a child element (as `name`, where its tag was misspelt): where to read on."""
        if tag.flaw is not None:
            self._notes.error("WEFT205", tag.flaw.message, tag.flaw.start, tag.flaw.end, hint=tag.flaw.hint)
        for a in tag.attributes:
            message = f"the setting `<{tag.name}>` takes no attributes"
            self._notes.error("WEFT220", message, a.start, a.end, hint="write its value between its tags")
        end = pos = tag.end
        if not tag.empty:
            own = self._scanner.find_end(tag.name, tag.end)
            around = self._scanner.find_end(frame.tag.name, tag.end)
            if own is None or (around is not None and around[0] < own[0]):
                end = pos = around[0] if around is not None else tag.end
                self._never_closed(tag, frame.tag.name if around is not None else "")
                frame.quiet = True
            else:
                end, pos = own
        text = element_text(self._source, self._scanner.fences, [(tag.end, end)], key=tag.start)
        self._add(frame, name or tag.name, text, tag.start, tag.name_end)
        return pos

    def _add(self, frame: Frame, name: str, text: Text, start: int, end: int) -> None:
        first = frame.settings.get(name)
        if first is None:
            frame.settings[name] = text
            return
        place = self._notes.line(first.key if first.key >= 0 else first.start)
        message = f"`{name}` of `<{frame.tag.name}>` is given twice (first in line {place})"
        self._notes.error("WEFT221", message, start, end, hint="remove one of them")

    def _never_closed(self, tag: Tag, around: str) -> None:
        message = f"`<{tag.name}>` is never closed"
        hint = f"write `</{tag.name}>`"
        if around:
            message += f": `</{around}>` comes first"
            hint += f"; to have `</{around}>` in its text, put the text in a code fence"
        self._notes.error("WEFT206", message, tag.start, tag.name_end, hint=hint)

    # -- tags that may be slips ----------------------------------------------------------------

    def _lost(self, frame: Frame, raw: RawName) -> bool:
        """Whether another node begins here, so that the leaf's end tag must be missing."""
        textless = frame.leaf is not None and frame.leaf.main is None
        if raw.name != frame.tag.name and not (textless and self._is_node(raw.name)):
            return False
        tag = self._scanner.tag(raw.start)
        if tag is None or not any(a.name == "id" for a in tag.attributes) or not self._openings.knows(tag):
            return False
        if tag.empty and not textless:
            return False
        if not frame.quiet:
            name, line = frame.tag.name, self._notes.line(raw.start)
            message = f"`<{name}>` is never closed: another node begins in line {line}"
            hint = f"write `</{name}>`, or end the tag with `/>`"
            self._notes.error("WEFT206", message, frame.tag.start, frame.tag.name_end, hint=hint)
        frame.quiet = True
        return True

    def _is_node(self, name: str) -> bool:
        spec = TAGS.get(name)
        return (spec.role == "node" or name == "branch") if spec is not None else name in self._openings.listed

    def _suspect(self, frame: Frame, raw: RawName, names: tuple[str, ...]) -> None:
        """Warns of a tag that stays text and was perhaps meant to be one."""
        if frame.leaf is None or frame.quiet:
            return
        start, end = raw.start, raw.start + len(raw.name) + 1
        near = self._near(frame, names).find(raw.name)
        textless = frame.leaf.main is None
        owner = frame.tag.name
        if near is not None and textless:
            message, hint = f"`<{raw.name}>` is no setting of `<{owner}>`", f"did you mean `{near}`?"
            self._notes.error("WEFT210", message, start, end, hint=hint)
            frame.quiet = True
        elif near is not None and raw.name.lower() not in HTML:
            message = f"`<{raw.name}>` is text here, and close to the setting `{near}` of `<{owner}>`"
            self._notes.warn("WEFT242", message, start, end, hint=f"did you mean `{near}`?")
        elif not textless and self._is_node(raw.name):
            tag = self._scanner.tag(raw.start)
            if tag is not None and any(a.name == "id" for a in tag.attributes):
                line = self._notes.line(frame.tag.start)
                message = f"`<{raw.name}>` is text here, inside the `<{owner}>` of line {line}"
                self._notes.warn("WEFT243", message, start, end, hint=f"is `</{owner}>` missing before it?")

    def _near(self, frame: Frame, names: tuple[str, ...]) -> Near:
        if frame.kind not in self._nears:
            self._nears[frame.kind] = Near(names)
        return self._nears[frame.kind]

    # -- its own text --------------------------------------------------------------------------

    def own_text(self, frame: Frame) -> Text | None:
        """The leaf's text outside its children, put under its main setting; None if there is none."""
        spans = [span for span in frame.segments if not self._is_comment(*span)]
        text = element_text(self._source, self._scanner.fences, spans)
        if not text.value.strip():
            return None
        if frame.leaf is None:
            return text
        main = frame.leaf.main
        if main is not None:
            # Its first character is where a caret for "given twice" goes.
            at = text.at(len(text.value) - len(text.value.lstrip()))
            self._add(frame, main, text, at, at + 1)
        elif not frame.quiet:
            self._no_text(frame, text)
        return text

    def _no_text(self, frame: Frame, text: Text) -> None:
        settings = ", ".join(f"<{name}>" for name in frame.setting_names())
        start, end = text.span(len(text.value) - len(text.value.lstrip()), len(text.value.rstrip()))
        message = f"`<{frame.tag.name}>` takes no text"
        self._notes.error("WEFT216", message, start, end, hint=f"its settings are {settings}" if settings else None)

    def _is_comment(self, start: int, end: int) -> bool:
        """Whether a stretch is blank but for comments."""
        shadow = self._source.shadow
        while True:
            while start < end and shadow[start] in " \t\n":
                start += 1
            if start >= end:
                return True
            close = shadow.find("-->", start + 4, end) if shadow.startswith("<!--", start) else -1
            if close < 0:
                return False
            start = close + 3
