"""Documents in a line, for tests of the flow front: node kinds are the real ones."""

from __future__ import annotations

from textwrap import dedent, indent

from weft.fronts.flow.front import Loaded, load_document
from weft.graph.model import Node, walk
from weft.graph.work import LeafWork, Program, Work
from weft.runtimes import registry
from weft.text.source import Source, render


def document(body: str, front: str = "") -> str:
    head = f"---\n{dedent(front).strip()}\n---\n" if front else ""
    return f"{head}<workflow>\n{indent(dedent(body).strip(), '  ')}\n</workflow>\n"


def loaded(body: str, front: str = "") -> Loaded:
    return load_document(Source("test.flow.md", document(body, front)), registry.specs)


def messages(body: str, front: str = "") -> list[str]:
    """`CODE message` of every diagnostic."""
    return [f"{d.code} {d.message}" for d in loaded(body, front).diagnostics]


def errors(body: str, front: str = "") -> list[str]:
    return [f"{d.code} {d.message}" for d in loaded(body, front).diagnostics if d.severity == "error"]


def program(body: str, front: str = "") -> Program:
    """The program of a document without errors."""
    made = loaded(body, front)
    said = "\n".join(render(d, made.source) for d in made.diagnostics if d.severity == "error")
    assert made.program is not None, said
    return made.program


def node(made: Program, id: str) -> Node:  # noqa: A002 - the language's word
    return next(n for n in walk(made.graph) if n.id == id)


def needs(made: Program, id: str) -> list[str]:  # noqa: A002
    """The ids that a top-level node waits for."""
    at = made.graph.index[id]
    return [made.graph.nodes[i].id for i in made.graph.needs[at]]


def work(made: Program, id: str) -> Work:  # noqa: A002
    found = node(made, id).work
    assert isinstance(found, Work)
    return found


def leaf(made: Program, id: str) -> LeafWork:  # noqa: A002
    found = node(made, id).work
    assert isinstance(found, LeafWork)
    return found
