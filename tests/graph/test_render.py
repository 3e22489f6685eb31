"""Drawings: what is drawn, nested, and that no label can break out of its drawing."""

from __future__ import annotations

import json

import pytest

from weft.errors import CycleError, UsageError
from weft.graph.model import Graph, Node
from weft.graph.render import FORMATS, as_json, dot, mermaid, render, text
from weft.testing import block, foreach, graph, parallel

DIAMOND = graph("a -> b c -> d")
NESTED = graph(
    "a -> p -> each",
    a={"label": "source:file", "fallback": graph("f", chain=True)},
    p=parallel("x", "y z"),
    each=foreach(graph("maybe", chain=True, maybe=block("choice", "u", "v"))),
)


def test_as_json() -> None:
    assert as_json(DIAMOND) == {
        "nodes": [
            {"id": "a", "kind": "leaf", "wave": 0, "needs": []},
            {"id": "b", "kind": "leaf", "wave": 1, "needs": ["a"]},
            {"id": "c", "kind": "leaf", "wave": 1, "needs": ["a"]},
            {"id": "d", "kind": "leaf", "wave": 2, "needs": ["b", "c"]},
        ],
        "waves": [["a"], ["b", "c"], ["d"]],
        "critical_path": ["a", "b", "d"],
    }
    assert json.loads(render(DIAMOND, "json")) == as_json(DIAMOND)


def test_nothing_is_drawn_of_an_empty_graph() -> None:
    assert as_json(graph("")) == {"nodes": [], "waves": [], "critical_path": []}
    assert text(graph("")) == ""
    assert mermaid(graph("")) == "flowchart TD\n"


def test_as_text() -> None:
    assert text(NESTED) == (
        "wave 0\n"
        "  a (source:file)\n"
        "    [fallback]\n"
        "      f\n"
        "wave 1\n"
        "  p (parallel) <- a\n"
        "    [branch 0]\n"
        "      x\n"
        "    [branch 1]\n"
        "      y\n"
        "      z\n"
        "wave 2\n"
        "  each (foreach) <- p\n"
        "    maybe (choice)\n"
        "      [case 0]\n"
        "        u\n"
        "      [case 1]\n"
        "        v\n"
    )


def test_as_mermaid() -> None:
    g = graph("a -> p", p=parallel("x", "y z"))
    assert mermaid(g) == (
        "flowchart TD\n"
        '  n0["a"]\n'
        '  subgraph b1["p (parallel)"]\n'
        '    subgraph s2["branch 0"]\n'
        '      n3["x"]\n'
        "    end\n"
        '    subgraph s4["branch 1"]\n'
        '      n5["y"]\n'
        '      n6["z"]\n'
        "      n5 --> n6\n"
        "    end\n"
        "  end\n"
        "  n0 --> b1\n"
    )


def test_as_dot() -> None:
    g = graph("a -> each -> z", each=foreach("x y"))
    assert dot(g) == (
        "digraph workflow {\n"
        "  compound=true;\n"
        "  node [shape=box];\n"
        '  n0 [label="a"];\n'
        "  subgraph cluster_n1 {\n"
        '    label="each (foreach)";\n'
        "    n1 [shape=point, style=invis];\n"
        '    n2 [label="x"];\n'
        '    n3 [label="y"];\n'
        "    n2 -> n3;\n"
        "  }\n"
        '  n4 [label="z"];\n'
        "  n0 -> n1 [lhead=cluster_n1];\n"
        "  n1 -> n4 [ltail=cluster_n1];\n"
        "}\n"
    )


@pytest.mark.parametrize("evil", ['x"]; end', "a\nb", "<script>", "\\", "a#b;c", "\x1b[31m", "`%%{init}%%`", "end"])
def test_no_label_breaks_out(evil: str) -> None:
    g = Graph([Node(id="a", label=evil)])
    (line,) = [x for x in mermaid(g).splitlines() if "n0[" in x]
    assert line.startswith('  n0["')
    assert line.endswith('"]')
    assert not set('"\n<>`\\%{}\x1b') & set(line[6:-2])
    (line,) = [x for x in dot(g).splitlines() if "n0 [" in x]
    inner = line.removeprefix('  n0 [label="').removesuffix('"];')
    assert '"' not in inner.replace("\\\\", "").replace('\\"', "")
    assert len(text(g).splitlines()) == 2
    assert "\x1b" not in text(g)


def test_every_format_is_rendered_and_no_other() -> None:
    for name in FORMATS:
        assert render(NESTED, name)
    with pytest.raises(UsageError) as refusal:
        render(NESTED, "png")
    assert str(refusal.value) == "there is no format 'png'"
    assert refusal.value.hint == "use one of mermaid, dot, text, json"


def test_a_cycle_is_named() -> None:
    with pytest.raises(CycleError) as refusal:
        render(Graph([Node(id="a", needs=("b",)), Node(id="b", needs=("a",))]), "text")
    assert refusal.value.cycle == ["a", "b", "a"]
