"""Drawings of a graph: Mermaid, DOT, indented text, JSON. Nothing is run and nothing is opened for them.

Ids are unique in a document, but drawing languages have reserved words (`end`, `graph`) and a body may be used
twice, so drawn nodes are numbered and carry their id as an escaped label. A block is a box around its bodies;
an edge to a block goes to its box.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from weft.errors import UsageError
from weft.graph.analysis import critical_path, layers
from weft.graph.model import Graph, Node

Format = Literal["mermaid", "dot", "text", "json"]
FORMATS: tuple[Format, ...] = ("mermaid", "dot", "text", "json")


def render(graph: Graph, format: str) -> str:  # noqa: A002 - the option's name
    """The graph in one of `FORMATS`. Raises UsageError for another, CycleError when the top level has a cycle."""
    match format:
        case "mermaid":
            return mermaid(graph)
        case "dot":
            return dot(graph)
        case "text":
            return text(graph)
        case "json":
            import msgspec

            return msgspec.json.format(msgspec.json.encode(as_json(graph)), indent=2).decode() + "\n"
    raise UsageError(f"there is no format {format!r}", hint=f"use one of {', '.join(FORMATS)}")


def as_json(graph: Graph) -> dict[str, Any]:
    """What machines read: the top level, with the layer of each node and the longest path, each node weighing 1."""
    waves = layers(graph)
    wave_of = {i: number for number, layer in enumerate(waves) for i in layer}
    ids = [node.id for node in graph.nodes]
    return {
        "nodes": [
            {
                "id": node.id,
                "kind": node.label or node.kind,
                "wave": wave_of[i],
                "needs": [ids[j] for j in graph.needs[i]],
            }
            for i, node in enumerate(graph.nodes)
        ],
        "waves": [[ids[i] for i in layer] for layer in waves],
        "critical_path": [ids[i] for i in critical_path(graph, [1.0] * len(graph))],
    }


# -- bodies by name -------------------------------------------------------------------------------------------------


def _bodies(node: Node) -> Iterator[tuple[str, Graph]]:
    """The graphs inside a node, each with a word for what it is; empty for the only body of its node."""
    words = {"choice": "case", "parallel": "branch"}
    for number, body in enumerate(node.bodies):
        yield (f"{words[node.kind]} {number}" if node.kind in words else ""), body
    if node.fallback is not None:
        yield "fallback", node.fallback
    if node.compensation is not None:
        yield "compensate", node.compensation


def _label(node: Node) -> str:
    kind = node.label or node.kind
    return node.id if kind in ("leaf", node.id) else f"{node.id} ({kind})"


# -- text -------------------------------------------------------------------------------------------------------------


def text(graph: Graph) -> str:
    """Layers one below the other, what is inside a block indented below it."""
    lines: list[str] = []
    for number, layer in enumerate(layers(graph)):
        lines.append(f"wave {number}")
        for i in layer:
            needs = [graph.nodes[j].id for j in graph.needs[i]]
            lines.append(f"  {_label(graph.nodes[i])}" + (f" <- {', '.join(needs)}" if needs else ""))
            lines += _inside_as_text(graph.nodes[i], "    ")
    return "".join(f"{_plain(line)}\n" for line in lines)


def _inside_as_text(node: Node, indent: str) -> list[str]:
    lines: list[str] = []
    for word, body in _bodies(node):
        deeper = indent
        if word:
            lines.append(f"{indent}[{word}]")
            deeper += "  "
        for inner in body.nodes:
            lines.append(f"{deeper}{_label(inner)}")
            lines += _inside_as_text(inner, deeper + "  ")
    return lines


def _plain(line: str) -> str:
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in line)


# -- Mermaid ----------------------------------------------------------------------------------------------------------


def mermaid(graph: Graph) -> str:
    """A Mermaid flowchart."""
    lines = ["flowchart TD"]
    _draw_mermaid(graph, lines, "  ", _Numbers())
    return "\n".join(lines) + "\n"


class _Numbers:
    """Names for what is drawn."""

    def __init__(self) -> None:
        self._count = 0

    def next(self, letter: str) -> str:
        name = f"{letter}{self._count}"
        self._count += 1
        return name


def _draw_mermaid(graph: Graph, lines: list[str], indent: str, numbers: _Numbers) -> None:
    names = []
    for node in graph.nodes:
        bodies = list(_bodies(node))
        name = numbers.next("b" if bodies else "n")
        names.append(name)
        label = _mermaid_label(_label(node))
        if not bodies:
            lines.append(f'{indent}{name}["{label}"]')
            continue
        lines.append(f'{indent}subgraph {name}["{label}"]')
        for word, body in bodies:
            deeper = indent + "  "
            if word:
                lines.append(f'{deeper}subgraph {numbers.next("s")}["{_mermaid_label(word)}"]')
                deeper += "  "
            _draw_mermaid(body, lines, deeper, numbers)
            if word:
                lines.append(f"{indent}  end")
        lines.append(f"{indent}end")
    lines += [f"{indent}{names[j]} --> {names[i]}" for i, needs in enumerate(graph.needs) for j in needs]


def _mermaid_label(label: str) -> str:
    """Mermaid has no escapes but entities: what is not a letter, a digit or a harmless mark becomes one."""
    return "".join(c if c.isalnum() or c in " -_.:/()[]," else f"#{ord(c)};" for c in label)


# -- HTML -------------------------------------------------------------------------------------------------------------


def html(name: str, graph: Graph) -> str:
    """A table of layers, for a notebook. Every text is escaped."""
    from html import escape

    def row(number: int, layer: list[int]) -> str:
        cells = []
        for i in layer:
            node = graph.nodes[i]
            needs = ", ".join(graph.nodes[j].id for j in graph.needs[i])
            cells.append(f'<code title="{escape(needs)}">{escape(_plain(_label(node)))}</code>')
        return f"<tr><td>{number}</td><td>{' '.join(cells)}</td></tr>"

    rows = "".join(row(number, layer) for number, layer in enumerate(layers(graph)))
    head = f"<caption>{escape(_plain(name))}: {len(graph)} tasks</caption>"
    return f"<table>{head}<thead><tr><th>wave</th><th>tasks</th></tr></thead><tbody>{rows}</tbody></table>"


# -- DOT --------------------------------------------------------------------------------------------------------------


def dot(graph: Graph) -> str:
    """A Graphviz digraph. Edges of a block end at the border of its cluster."""
    lines = ["digraph workflow {", "  compound=true;", "  node [shape=box];"]
    _draw_dot(graph, lines, "  ", _Numbers())
    return "\n".join([*lines, "}"]) + "\n"


def _draw_dot(graph: Graph, lines: list[str], indent: str, numbers: _Numbers) -> None:
    ends: list[tuple[str, str]] = []
    for node in graph.nodes:
        bodies = list(_bodies(node))
        name = numbers.next("n")
        label = _dot_label(_label(node))
        if not bodies:
            lines.append(f"{indent}{name} [label={label}];")
            ends.append((name, ""))
            continue
        cluster = f"cluster_{name}"
        lines.append(f"{indent}subgraph {cluster} {{")
        lines.append(f"{indent}  label={label};")
        lines.append(f"{indent}  {name} [shape=point, style=invis];")
        for word, body in bodies:
            deeper = indent + "  "
            if word:
                lines.append(f"{deeper}subgraph cluster_{numbers.next('s')} {{")
                deeper += "  "
                lines.append(f"{deeper}label={_dot_label(word)};")
            _draw_dot(body, lines, deeper, numbers)
            if word:
                lines.append(f"{indent}  }}")
        lines.append(f"{indent}}}")
        ends.append((name, cluster))
    for i, needs in enumerate(graph.needs):
        name, head = ends[i]
        lines += [f"{indent}{ends[j][0]} -> {name}{_dot_borders(ends[j][1], head)};" for j in needs]


def _dot_borders(tail: str, head: str) -> str:
    borders = [f"{name}={cluster}" for name, cluster in (("ltail", tail), ("lhead", head)) if cluster]
    return f" [{', '.join(borders)}]" if borders else ""


def _dot_label(label: str) -> str:
    escaped = _plain(label.replace("\\", "\\\\").replace('"', '\\"'))
    return f'"{escaped}"'
