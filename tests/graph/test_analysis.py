"""Layers, cycles, remaining and critical paths; and what a graph refuses."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import CycleError, DuplicateTaskError, UnknownTaskError
from weft.graph.analysis import critical_path, find_cycle, layers, remaining
from weft.graph.model import Graph, Node, walk
from weft.testing import block, foreach, graph


def ids(g: Graph, found: list[list[int]]) -> list[list[str]]:
    return [[g.nodes[i].id for i in layer] for layer in found]


def test_the_layers_of_a_diamond() -> None:
    g = graph("a -> b c -> d")
    assert ids(g, layers(g)) == [["a"], ["b", "c"], ["d"]]


def test_inside_a_layer_nodes_stand_in_the_order_of_addition() -> None:
    g = Graph([Node(id="z"), Node(id="b", needs=("z",)), Node(id="y"), Node(id="a", needs=("y",))])
    assert ids(g, layers(g)) == [["z", "y"], ["b", "a"]]


def test_a_layer_is_the_longest_distance_from_a_root() -> None:
    g = graph("a -> b -> c -> d; a -> d")
    assert ids(g, layers(g)) == [["a"], ["b"], ["c"], ["d"]]


def test_a_cycle_is_named_whole_from_prerequisite_to_dependent() -> None:
    g = Graph([Node(id="x"), Node(id="a", needs=("c",)), Node(id="b", needs=("a",)), Node(id="c", needs=("b", "x"))])
    assert find_cycle(g) == ["a", "b", "c", "a"]
    with pytest.raises(CycleError) as refusal:
        layers(g)
    assert refusal.value.cycle == ["a", "b", "c", "a"]
    assert str(refusal.value) == "these wait for each other: a -> b -> c -> a"


def test_a_node_that_needs_itself_is_a_cycle() -> None:
    assert find_cycle(Graph([Node(id="a", needs=("a",))])) == ["a", "a"]


def test_there_is_no_cycle_in_what_has_none() -> None:
    assert find_cycle(graph("a -> b c -> d; a -> d")) == []


def test_remaining_and_critical_paths() -> None:
    g = graph("a -> b c -> d")
    weights = [1.0, 5.0, 2.0, 1.0]
    assert remaining(g, weights) == [7.0, 6.0, 3.0, 1.0]
    assert [g.nodes[i].id for i in critical_path(g, weights)] == ["a", "b", "d"]
    assert critical_path(graph(""), []) == []


def test_of_two_critical_paths_the_earlier_one_is_taken() -> None:
    g = graph("a -> b c -> d")
    assert [g.nodes[i].id for i in critical_path(g, [1.0] * 4)] == ["a", "b", "d"]


def test_two_nodes_with_one_id_are_refused() -> None:
    with pytest.raises(DuplicateTaskError) as refusal:
        Graph([Node(id="a"), Node(id="b"), Node(id="a")])
    assert refusal.value.id == "a"


def test_an_unknown_need_is_refused_with_suggestions() -> None:
    with pytest.raises(UnknownTaskError) as refusal:
        Graph([Node(id="extract"), Node(id="load", needs=("extrct",))])
    assert (refusal.value.id, refusal.value.suggestions) == ("extrct", ["extract"])


def test_a_chain_needs_nothing_said() -> None:
    g = graph("a b c", chain=True)
    assert (g.needs, g.roots, g.last) == ([(), (0,), (1,)], (0,), 2)


def test_a_need_that_is_named_twice_is_one_edge() -> None:
    assert Graph([Node(id="a"), Node(id="b", needs=("a", "a"))]).indegree == [0, 1]


def test_a_walk_goes_through_all_bodies_outer_first() -> None:
    inner = block("choice", "x", "y")
    g = graph(
        "a each b",
        a={"fallback": graph("f"), "compensation": graph("u")},
        each=foreach(graph("c", chain=True, c=inner)),
    )
    assert [node.id for node in walk(g)] == ["a", "f", "u", "each", "c", "x", "y", "b"]


def test_the_builder_numbers_nodes_in_document_order_over_all_nesting() -> None:
    g = graph("a each b", each=foreach("x y"))
    assert {node.id: node.order for node in walk(g)} == {"a": 0, "each": 1, "x": 2, "y": 3, "b": 4}


@given(st.lists(st.lists(st.integers(0, 30), max_size=4), min_size=1, max_size=30))
def test_every_node_stands_in_one_layer_above_all_it_needs(drawn: list[list[int]]) -> None:
    nodes = [Node(id=f"n{i}", needs=tuple({f"n{j % i}" for j in js}) if i else ()) for i, js in enumerate(drawn)]
    g = Graph(nodes)
    level = {i: number for number, layer in enumerate(layers(g)) for i in layer}
    assert sorted(level) == list(range(len(nodes)))
    for i, needs in enumerate(g.needs):
        assert level[i] == max((level[j] + 1 for j in needs), default=0)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=20))
def test_a_cycle_that_is_found_is_one(edges: list[tuple[int, int]]) -> None:
    g = Graph([Node(id=f"n{i}", needs=tuple(f"n{a}" for a, b in edges if b == i)) for i in range(9)])
    cycle = find_cycle(g)
    for before, after in itertools.pairwise(cycle):
        assert g.index[before] in g.needs[g.index[after]]
    try:
        layers(g)
    except CycleError:
        assert cycle
    else:
        assert not cycle
