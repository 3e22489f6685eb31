"""From a Source to a Document: all of its structure, and everything wrong with it, in one pass.

The parser never gives up at the first mistake and never raises: it reports, takes the likeliest meaning, and reads on,
so that one run of `weft check` shows all there is to mend. What a mistake has spoilt is marked `quiet`, lest every
error be followed by three that come of it. `Document.complete` tells later checks that parts may be missing.

There is no recursion: open elements stand on a list, at most `MAX_NESTING` of them. Two ways of reading alternate by
what is on top of it. Among nodes, the scanner finds the next tag outside code and comments. Inside a leaf the text is
raw, and only the leaf's own settings, `on-error` and `compensate` are tags.

A leaf whose end tag is missing would swallow the nodes behind it without a word, as all of them would be its text.
So a leaf ends, with an error, where another of the same tag begins, and a setting where its leaf ends; a fence around
the text says that it is meant.
"""

from __future__ import annotations

from collections import Counter

from weft.errors import nearest
from weft.fronts.flow.ast import Document, Element, Front
from weft.fronts.flow.frontmatter import parse_front
from weft.fronts.flow.leaves import Leaves
from weft.fronts.flow.opening import Frame, Openings
from weft.fronts.flow.structure import attach, check_finished, check_place
from weft.fronts.flow.tags import HTML, MAX_NESTING, MAX_NODES, SCHEMES, Near, TagSpec
from weft.kinds import Kinds
from weft.text.notes import Notes
from weft.text.scanner import Scanner, Tag
from weft.text.source import Diagnostic, Source

_ANYTHING = TagSpec("part", body=True, supported=False)


def parse_document(source: Source, kinds: Kinds) -> tuple[Document | None, list[Diagnostic]]:
    """The document in `source`, as far as it can be read, and all diagnostics about its file and structure.

    None when there is no `<workflow>`. `kinds` are the node kinds that there are, with their settings. Never raises,
    whatever the text; takes time linear in its length.
    """
    front, body, problems = parse_front(source)
    notes = Notes(source)
    notes.extend(problems)
    document = _Parser(source, kinds, notes).parse(front, body)
    return document, notes.sorted()


class _Parser:
    def __init__(self, source: Source, kinds: Kinds, notes: Notes) -> None:
        self._source = source
        self._notes = notes
        self._openings = Openings(kinds, notes)
        self._scanner = Scanner(source, self._openings.listed, notes.error)
        self._near = Near(self._openings.listed)
        self._leaves = Leaves(self._scanner, notes, self._openings)
        self._stack: list[Frame] = []
        self._pos = 0
        self._nodes = 0
        self._ids: dict[str, Element] = {}
        self._forgiven: Counter[str] = Counter()
        """End tags that will turn up behind an element that has been closed for them."""

    def parse(self, front: Front, body: int) -> Document | None:
        tag = self._find_workflow(body)
        if tag is None:
            return None
        root = self._openings.open(tag, Frame(tag, ""))
        self._stack.append(root)
        self._pos = tag.end
        if tag.empty:
            self._stack.pop()
        while self._stack and not self._notes.full:
            if self._stack[-1].is_leaf:
                self._in_leaf(self._stack[-1])
            elif not self._among_nodes():
                break
        self._close_all()
        end = self._pos
        if not root.children and not self._notes.failed:
            hint = "put nodes between `<workflow>` and `</workflow>`"
            self._notes.warn("WEFT240", "the workflow has no nodes", tag.start, tag.name_end, hint=hint)
        self._look_behind(end)
        return self._document(front, body, root, end)

    def _document(self, front: Front, body: int, root: Frame, end: int) -> Document:
        prose: list[tuple[int, int]] = []
        edge = body
        stops = [(root.tag.start, root.tag.end), *((n.start, n.end) for n in root.children)]
        for start, behind in (*stops, (len(self._source.text),) * 2):
            if start > edge:
                prose.append((edge, start))
            edge = behind
        nodes = tuple(root.children)
        complete = not self._notes.failed
        return Document(self._source, front, nodes, self._ids, root.tag.start, end, tuple(prose), complete)

    # -- around the workflow -------------------------------------------------------------------

    def _find_workflow(self, body: int) -> Tag | None:
        pos, near = body, -1
        while (tag := self._scanner.next_tag(pos, nested=False)) is not None:
            if tag.name == "workflow" and not tag.closing:
                self._report_flaw(tag)
                return tag
            if near < 0 and not tag.closing and self._near.find(tag.name) == "workflow":
                near = tag.start
            pos = tag.name_end if tag.flaw is not None else tag.end
        hidden = self._source.shadow.find("<workflow", body)
        hint = "put the nodes between `<workflow>` and `</workflow>`"
        if near >= 0:
            hint = f"did you mean `<workflow>` in line {self._notes.line(near)}?"
        elif hidden >= 0:
            hint = f"the one in line {self._notes.line(hidden)} is in code or a comment, which makes it text"
        at = near if near >= 0 else min(body, len(self._source.text))
        self._notes.error("WEFT201", "the document has no `<workflow>`", at, at + 1, hint=hint)
        return None

    def _look_behind(self, pos: int) -> None:
        """Warns of a second workflow, which is prose."""
        if self._notes.full or self._source.shadow.find("<workflow", pos) < 0:
            return
        self._notes.muted = True
        while (tag := self._scanner.next_tag(pos, nested=False)) is not None:
            if tag.name == "workflow" and not tag.closing:
                break
            pos = tag.name_end if tag.flaw is not None else tag.end
        self._notes.muted = False
        if tag is not None:
            message = "only the first `<workflow>` of a document runs; this one is prose"
            hint = "put it in a document of its own"
            self._notes.warn("WEFT241", message, tag.start, tag.name_end, hint=hint)

    # -- among nodes ---------------------------------------------------------------------------

    def _among_nodes(self) -> bool:
        """Reads up to and with the next tag. False at the end of the document."""
        tag = self._scanner.next_tag(self._pos, nested=True)
        if tag is None:
            return False
        if tag.closing:
            self._end_tag(tag)
        elif tag.name in self._stack[-1].setting_names():
            self._pos = self._leaves.setting(self._stack[-1], tag)
        elif self._openings.knows(tag):
            self._report_flaw(tag)
            self._open(tag, tag)
        else:
            self._unknown(tag)
        return True

    def _report_flaw(self, tag: Tag) -> None:
        if tag.flaw is not None:
            flaw = tag.flaw
            self._notes.error("WEFT205", flaw.message, flaw.start, flaw.end, hint=flaw.hint)

    def _open(self, tag: Tag, meaning: Tag) -> None:
        """Opens the element of `tag`, read as if it were written like `meaning`."""
        parent = self._stack[-1]
        frame = self._openings.open(meaning, parent)
        frame.tag = tag
        if tag is not meaning or tag.flaw is not None:
            frame.quiet = True
        if frame.anything_goes and not parent.anything_goes:
            self._openings.unsupported(frame)
        check_place(frame, parent, self._notes)
        self._push(frame)

    def _push(self, frame: Frame) -> None:
        tag = frame.tag
        self._pos = tag.end
        if frame.is_node:
            self._nodes += 1
            if self._nodes == MAX_NODES + 1:
                message = f"the document has more than {MAX_NODES:,} nodes"
                self._stop("WEFT217", message, tag, "use a foreach, or several documents")
                return
        if len(self._stack) > MAX_NESTING:
            message = f"elements are nested more than {MAX_NESTING} deep"
            self._stop("WEFT209", message, tag, "is an end tag missing?")
            return
        self._stack.append(frame)
        if tag.empty or (frame.is_leaf and not self._leaves.has_end(frame)):
            self._finish(tag.end)

    def _stop(self, code: str, message: str, tag: Tag, hint: str) -> None:
        """Reads no further: what is left would only repeat the error."""
        self._notes.error(code, message, tag.start, tag.name_end, hint=hint)
        for frame in self._stack:
            frame.quiet = True
        self._pos = len(self._source.text)

    def _unknown(self, tag: Tag) -> None:
        name = tag.name
        near = None if name.lower() in HTML else self._near.find(name) or self._near_setting(name)
        odd = ("-" in name or ":" in name) and name.partition(":")[0].lower() not in SCHEMES
        if near is None and not odd and not any(a.name == "id" for a in tag.attributes):
            self._pos = tag.name_end if tag.flaw is not None else tag.end
            return
        guess = near or next(iter(nearest(name, self._openings.listed)), None)
        hint = f"did you mean `{guess}`?" if guess else f"as text, write it as code: `<{name}>`"
        self._notes.error("WEFT210", f"unknown tag `<{name}>`", tag.start, tag.name_end, hint=hint)
        meaning = Tag(guess, tag.start, tag.name_end, tag.end, tag.closing, tag.empty, tag.attributes) if guess else tag
        if near is not None and near in self._stack[-1].setting_names():
            self._pos = self._leaves.setting(self._stack[-1], tag, near)
        elif guess is not None and self._openings.knows(meaning):
            self._open(tag, meaning)
        elif not tag.empty and self._source.shadow.find(f"</{name}", tag.end) >= 0:
            self._push(Frame(tag, "unknown", _ANYTHING))
        else:
            self._pos = tag.end

    def _near_setting(self, name: str) -> str | None:
        settings = self._stack[-1].setting_names()
        return Near(settings).find(name) if settings else None

    # -- end tags ------------------------------------------------------------------------------

    def _end_tag(self, tag: Tag) -> None:
        name = tag.name
        top = self._stack[-1]
        index = next((i for i in range(len(self._stack) - 1, -1, -1) if self._stack[i].tag.name == name), -1)
        self._pos = tag.end
        if index >= 0:
            self._report_flaw(tag)
            for frame in self._stack[:index:-1]:
                self._never_closed(frame, tag)
                self._forgiven[frame.tag.name] += 1
                self._finish(tag.start)
            self._finish(tag.end)
        elif self._forgiven[name] > 0:
            self._forgiven[name] -= 1
        elif name.lower() in HTML and not self._openings.knows(tag):
            self._pos = tag.name_end if tag.flaw is not None else tag.end
        elif self._near.find(name) == top.tag.name:
            message, hint = f"unknown end tag `</{name}>`", f"did you mean `</{top.tag.name}>`?"
            self._notes.error("WEFT208", message, tag.start, tag.name_end, hint=hint)
            self._finish(tag.end)
        elif self._openings.knows(tag) or "-" in name or self._near.find(name) is not None:
            place = f"the element open here is `<{top.tag.name}>` from line {self._notes.line(top.tag.start)}"
            message = f"`</{name}>` ends nothing: no `<{name}>` is open"
            self._notes.error("WEFT208", message, tag.start, tag.name_end, hint=place)

    def _never_closed(self, frame: Frame, by: Tag | None = None) -> None:
        if frame.quiet:
            return
        name, tag = frame.tag.name, frame.tag
        message = f"`<{name}>` is never closed"
        if by is not None:
            message += f": `</{by.name}>` in line {self._notes.line(by.start)} comes first"
        hint = f"write `</{name}>`, or end the tag with `/>`"
        hidden = self._source.shadow.find(f"</{name}>", tag.end, by.start if by is not None else None)
        if hidden >= 0:
            line = self._notes.line(hidden)
            hint = f"the `</{name}>` in line {line} is in code, a comment or another node's text, which makes it text"
        self._notes.error("WEFT206", message, tag.start, tag.name_end, hint=hint)
        frame.quiet = True

    def _close_all(self) -> None:
        """At the end of the document: what is still open was never closed."""
        while self._stack:
            if not self._notes.full:
                self._never_closed(self._stack[-1])
            self._stack[-1].quiet = True
            self._pos = len(self._source.text)
            self._finish(self._pos)

    # -- finishing -----------------------------------------------------------------------------

    def _finish(self, end: int) -> None:
        """Takes the innermost element off the stack and gives it to the one around it."""
        frame = self._stack.pop()
        text = self._leaves.own_text(frame) if frame.is_leaf else None
        check_finished(frame, self._notes)
        if not self._stack:
            return
        parent = self._stack[-1]
        element = frame.element(end, text)
        attach(frame, element, parent, self._notes)
        if element.id is not None:
            self._ids.setdefault(element.id.value, element)
        if parent.is_leaf:
            parent.segment = end

    def _in_leaf(self, frame: Frame) -> None:
        """Reads up to and with the next tag that is one inside this leaf."""
        step = self._leaves.step(frame, self._pos)
        self._pos = step.pos
        if step.child is not None:
            self._open(step.child, step.child)
        elif step.ends:
            self._finish(step.pos)
        elif step.lost:
            frame.quiet = True
            self._finish(step.pos)
