"""What a document would do, said without doing any of it: waves, effects, how long it may take.

Effects are listed as they are written: a template stays a template, as what it stands for is known only when it
runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from weft.app import project
from weft.app.documents import program_of
from weft.app.stores import store_of
from weft.graph.analysis import critical_path, layers
from weft.graph.model import Graph, Node, walk

if TYPE_CHECKING:
    from weft.app.documents import Loaded
    from weft.app.project import Project
    from weft.fronts.flow.ast import Element
    from weft.graph.work import Program


class Effect(msgspec.Struct, frozen=True):
    """What one node touches: `what` is `host`, `read`, `write`, `command`, `python` or `other`."""

    what: str
    node: str
    text: str


class Estimate(msgspec.Struct, frozen=True):
    """How long a run may take, from what earlier runs took; `seconds` is None when nothing is known.

    `path` is the critical path; `known` of its `leaves` (all leaves of the document) have a duration.
    """

    seconds: float | None
    path: tuple[str, ...]
    known: int
    leaves: int


class Preview(msgspec.Struct, frozen=True):
    """What would run. `waves` are the ids of top-level nodes in layers."""

    workflow: str
    document: str
    schedule: str
    jobs: int
    waves: tuple[tuple[str, ...], ...]
    effects: tuple[Effect, ...]
    secrets: tuple[str, ...]
    env: tuple[str, ...]
    hosts: tuple[str, ...] | None
    """The only hosts it may speak to; None: any."""
    paths: tuple[str, ...]
    """Folders outside the project that it may use."""
    estimate: Estimate


def preview(path: str | Path, loaded: Loaded, settings: Mapping[str, object]) -> Preview:
    """What a run of a document with these settings would do. Raises InputError, UsageError."""
    program, loaded = program_of(loaded)
    place = project.find(Path(path), settings)
    assert loaded.document is not None
    jobs = project.effective_jobs(place, program.jobs)
    graph = program.graph
    return Preview(
        workflow=program.name,
        document=str(path),
        schedule=place["schedule"] or program.schedule,
        jobs=jobs,
        waves=tuple(tuple(graph.nodes[i].id for i in layer) for layer in layers(graph)),
        effects=tuple(effect for element in _elements(loaded.document.nodes) for effect in _effects(element)),
        secrets=program.secrets,
        env=program.env,
        hosts=program.hosts,
        paths=(*program.paths, *place["allow-path"]),
        estimate=_estimate(program, place, jobs),
    )


# -- effects -----------------------------------------------------------------------------------------------------------


def _elements(nodes: tuple[Element, ...]) -> Iterator[Element]:
    """Every element, in document order, also in fallbacks and compensations."""
    for node in nodes:
        yield node
        inner = (*node.children, *(part for part in (node.on_error, node.compensate) if part is not None))
        yield from _elements(inner)


def _effects(element: Element) -> Iterator[Effect]:
    find = _EFFECTS.get(element.kind)
    if find is not None:
        for what, text in find({name: text.value.strip() for name, text in element.settings.items()}):
            yield Effect(what, element.name, text)
    elif element.leaf and element.kind.partition(":")[0] not in _HARMLESS:
        yield Effect("other", element.name, element.kind)


_HARMLESS = ("transform", "delay", "set", "context", "source", "sink")
"""Leaves that touch nothing, and families whose members are in the table."""


def _file(what: str, name: str) -> Callable[[Mapping[str, str]], Iterator[tuple[str, str]]]:
    def find(settings: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        if settings.get(name):
            yield what, settings[name]

    return find


def _http(settings: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    url = settings.get("url", "")
    try:
        host = urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        host = ""
    yield "host", host if host and "{{" not in host else url
    if settings.get("save"):
        yield "write", settings["save"]


def _command(settings: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield "command", settings.get("command") or settings.get("argv", "")


def _python(settings: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    code = settings.get("code", "")
    yield "python", settings.get("call") or f"{len(code.splitlines())} lines of code"


_EFFECTS: dict[str, Callable[[Mapping[str, str]], Iterator[tuple[str, str]]]] = {
    "source:file": _file("read", "path"),
    "source:files": _file("read", "pattern"),
    "source:http": _http,
    "sink:file": _file("write", "path"),
    "sink:http": _http,
    "command": _command,
    "python": _python,
}


# -- how long ----------------------------------------------------------------------------------------------------------


def _estimate(program: Program, place: Project, jobs: int) -> Estimate:
    """The longest chain of what earlier runs took, or all of it shared by `jobs`, whichever is longer."""
    known = _known_durations(program, place)
    leaves = [node for node in walk(program.graph) if node.kind == "leaf"]
    graph = program.graph
    weights = [_length(node, known) for node in graph.nodes]
    path = critical_path(graph, weights if any(weights) else [1.0] * len(graph))
    chain = sum(weights[i] for i in path)
    count = sum(node.weight_key in known for node in leaves)
    total = sum(known.get(node.weight_key, 0.0) for node in leaves if node.holds_slot)
    return Estimate(
        seconds=max(chain, total / jobs) if count else None,
        path=tuple(graph.nodes[i].id for i in path),
        known=count,
        leaves=len(leaves),
    )


def _length(node: Node, known: Mapping[str, float]) -> float:
    """Seconds on the longest way through a node; a body of a foreach or a loop counts once."""
    if node.weight_key in known:
        return known[node.weight_key]
    return max((_longest(body, known) for body in node.bodies), default=0.0)


def _longest(graph: Graph, known: Mapping[str, float]) -> float:
    weights = [_length(node, known) for node in graph.nodes]
    return sum(weights[i] for i in critical_path(graph, weights))


def _known_durations(program: Program, place: Project) -> dict[str, float]:
    from weft.errors import WeftError

    if place.journal is None or not place.journal.exists():
        return {}
    keys = {node.weight_key for node in walk(program.graph) if node.weight_key}
    try:
        return store_of(place, program).history.durations(keys)
    except WeftError:
        return {}
