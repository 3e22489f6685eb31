"""From a document without errors to a `Program`: the graph the core runs, and for each node what the engine does.

The nodes are made from the inside out, so that every body is a finished graph when its block is made; nesting costs no
recursion. A body is a chain; only the top level has edges, and what is inside a block counts as the block.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from weft.errors import DocumentError
from weft.fronts.flow.check import Analysis
from weft.fronts.flow.digests import Digests
from weft.fronts.flow.names import variable
from weft.fronts.flow.outline import Body, Seat
from weft.fronts.flow.placed import Branches, Result
from weft.fronts.flow.reading import Entry
from weft.fronts.flow.usage import lists_read, streamed
from weft.graph.model import Graph, Kind, Node
from weft.graph.work import (
    ChoiceWork,
    ForeachWork,
    LeafWork,
    LoopWork,
    ParallelWork,
    Program,
    Work,
)
from weft.policy import NO_RETRY, Retry
from weft.values import blob_digest

_KINDS: dict[str, Kind] = {
    "parallel": "parallel", "foreach": "foreach", "if": "choice", "switch": "choice", "loop": "loop", "while": "loop",
    "break": "break",
}  # fmt: skip


def compile_analysis(analysis: Analysis) -> Program:
    """The program of a document that has been looked at. Raises DocumentError when it has errors."""
    document = analysis.document
    if not document.complete or analysis.notes.failed:
        raise DocumentError(analysis.notes.sorted())
    front, options = document.front, analysis.options
    text = document.source.text.encode()
    return Program(
        name=front.name,
        version=front.version,
        graph=_Compiler(analysis).graph(),
        output=_output(analysis),
        limits=options.limits,
        schedule=front.schedule,  # type: ignore[arg-type]  # one of the words: the parser has seen to it
        on_failure=front.on_failure,  # type: ignore[arg-type]
        rollback=front.rollback,  # type: ignore[arg-type]
        jobs=options.jobs,
        timeout=options.timeout,
        durability=options.durability,
        hosts=options.hosts,
        paths=options.paths,
        env=options.env,
        interpreter=options.interpreter,
        secrets=tuple(front.secrets),
        document=os.path.abspath(document.source.name),  # noqa: PTH100 - Path.resolve would follow links
        text=text,
        digest=blob_digest(text),
    )


def _output(analysis: Analysis) -> Result | None:
    if analysis.output is None:
        return None
    names = analysis.output_entry.context
    context = {name: tuple(s.id for s in analysis.sets.at_end(analysis.outline, name)) for name in names}
    return Result(analysis.output, context)


class _Compiler:
    """Makes the nodes of one document."""

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        self._document = analysis.document
        self._digests = Digests(analysis.outline, analysis.entries, analysis.waits)
        self._streamed = streamed(analysis.entries, analysis.output_entry)
        self._read = lists_read(analysis.entries, analysis.output_entry)
        self._nodes: dict[Seat, Node] = {}

    def graph(self) -> Graph:
        """The graph of the top level."""
        for seat in reversed(self._analysis.outline.seats):
            self._nodes[seat] = self._node(self._analysis.entries[seat])
        return Graph(self._nodes[seat] for seat in self._analysis.outline.root.seats)

    def _node(self, entry: Entry) -> Node:
        seat = entry.seat
        needs = self._analysis.waits.get(seat, {})
        return Node(
            id=seat.id,
            kind="group" if seat.is_context else _KINDS.get(seat.kind, "leaf"),
            needs=tuple(need.id for need in sorted(needs, key=lambda need: need.order)),
            bodies=tuple(self._chain(body) for body in seat.bodies),
            conditional=entry.when is not None,
            on_failure=entry.on_failure,
            retry=self._retry(entry),
            timeout=entry.timeout,
            effect=entry.effect or "idempotent",  # type: ignore[arg-type]  # one of the words
            holds_slot=seat.kind != "delay",
            limits=entry.limits,
            concurrency=entry.concurrency,
            wait=entry.wait,
            merges=not isinstance(entry.merge, str) or _is_first_of_one(entry),
            everything=entry.everything,
            fallback=self._chain(seat.fallback) if seat.fallback is not None else None,
            named_fallback=seat.named_fallback,
            compensation=self._chain(seat.compensation) if seat.compensation is not None else None,
            label=seat.kind,
            digest=self._digests.node[seat],
            weight_key=f"{self._document.front.name}/{seat.id}/{self._digests.own[seat][:12]}",
            order=seat.order,
            work=self._work(entry),
        )

    def _chain(self, body: Body) -> Graph:
        return Graph([self._nodes[seat] for seat in body.seats], chain=True)

    def _retry(self, entry: Entry) -> Retry:
        if entry.retry is not None:
            return entry.retry
        default = self._analysis.options.retry
        return NO_RETRY if default is None or entry.spec is None or entry.effect == "once" else default

    # -- work --------------------------------------------------------------------------------------

    def _work(self, entry: Entry) -> Work:
        common = self._common(entry)
        if entry.seat.is_context:
            return Work(**common)
        match entry.seat.kind:
            case "if" | "switch":
                return ChoiceWork(conditions=tuple(entry.conditions), **common)
            case "parallel":
                return self._parallel(entry, common)
            case "foreach":
                assert entry.collection is not None
                kept = entry.seat in self._read
                return ForeachWork(collection=entry.collection, item=entry.item, index=entry.index, kept=kept, **common)
            case "loop" | "while":
                assert entry.max is not None
                return LoopWork(max=entry.max, before=entry.before, after=entry.after, **common)
            case "break":
                return Work(**common)
        return LeafWork(
            kind=entry.seat.kind,
            settings=entry.settings,
            bound=frozenset(entry.bound),
            lazy=entry.seat in self._streamed and entry.seat.kind in ("source:file", "source:files"),
            arguments=entry.arguments,
            code_place=self._code_place(entry),
            variable=variable(entry.seat),
            **common,
        )

    def _common(self, entry: Entry) -> dict[str, Any]:
        given = entry.given
        return {
            "when": entry.when,
            "retry_when": entry.retry_when,
            "input": given.id if given is not None and entry.reads_given else None,
            "context": self._context(entry),
            "place": f"{self._document.source.name}:{self._document.source.line_of(entry.seat.element.start)}",
        }

    def _context(self, entry: Entry) -> Mapping[str, tuple[str, ...]]:
        sets = self._analysis.sets
        found = {name: tuple(s.id for s in sets.before(entry.seat, name)) for name in entry.context}
        return {name: ids for name, ids in found.items() if ids}

    def _parallel(self, entry: Entry, common: dict[str, Any]) -> Work:
        names = []
        for body in entry.seat.bodies:
            name = body.part.attributes.get("name") if body.part is not None else None
            names.append(None if name is None else name.value)
        merge = Branches() if _is_first_of_one(entry) and isinstance(entry.merge, str) else entry.merge
        return ParallelWork(merge=merge, names=tuple(names), **common)

    def _code_place(self, entry: Entry) -> tuple[str, int] | None:
        code = entry.seat.element.settings.get("code") if entry.seat.kind == "python" else None
        source = self._document.source
        return None if code is None else (source.name, source.line_of(code.at(0)))


def _is_first_of_one(entry: Entry) -> bool:
    """`n(1)` is a list of one branch's value, `any` that value itself; to the core both wait for one."""
    wait = entry.seat.element.settings.get("wait")
    return entry.wait == 1 and wait is not None and wait.value.strip() != "any" and entry.merge == "array"
