"""Hazards: what clashes, what is ordered, and that the order is enough."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Iterable, Sequence

import pytest

from timing import within
from weft.errors import DuplicateTaskError, ValidationError
from weft.globs import exact, meet, parse
from weft.graph.analysis import find_cycle
from weft.graph.hazards import Access, Hazard, hazard_edges, hazards, mutex_keys
from weft.graph.model import Graph, Node

SCALE = int(os.environ.get("WEFT_FUZZ_SCALE", "1"))
LISTS = 300 * SCALE
"""Random task lists; the long proof draws 10,200."""
THINGS = ("x", "y", "z", "d/a", "d/b", "d/e/c")
NAMES = (*THINGS, *THINGS, "d/*", "d/**", "d/e/", "?", "**/c")

Edges = Iterable[tuple[str, str]]


def task(name: str, reads: Sequence[str] = (), writes: Sequence[str] = (), mutexes: Sequence[str] = ()) -> Access:
    return Access(name, list(reads), list(writes), list(mutexes))


def lines(found: list[Hazard]) -> list[str]:
    return [f"{h.kind} {h.first} {h.second}: {' '.join(h.on)}" for h in found]


# ---- what clashes


def test_who_reads_what_an_earlier_task_wrote_waits_for_it() -> None:
    tasks = [task("make", writes=["users"]), task("use", reads=["users"])]
    assert lines(hazards(tasks)) == ["RAW make use: users"]
    assert hazard_edges(tasks) == [("make", "use")]


def test_who_overwrites_what_an_earlier_task_reads_waits_for_it() -> None:
    tasks = [task("use", reads=["users"]), task("make", writes=["users"])]
    assert lines(hazards(tasks)) == ["WAR use make: users"]
    assert hazard_edges(tasks) == [("use", "make")]


def test_the_last_writer_stays_the_last() -> None:
    tasks = [task("a", writes=["users"]), task("b", writes=["users"])]
    assert lines(hazards(tasks)) == ["WAW a b: users"]
    assert hazard_edges(tasks) == [("a", "b")]


def test_tasks_with_nothing_in_common_and_two_readers_run_at_once() -> None:
    tasks = [task("a", ["x"], ["y"]), task("b", ["x"], ["z"]), task("c", ["v"])]
    assert (hazards(tasks), hazard_edges(tasks)) == ([], [])


def test_two_that_read_and_write_one_thing_run_one_after_the_other() -> None:
    tasks = [task("a", ["n"], ["n"]), task("b", ["n"], ["n"])]
    assert lines(hazards(tasks)) == ["RAW a b: n", "WAR a b: n", "WAW a b: n"]
    assert hazard_edges(tasks) == [("a", "b")]


def test_a_read_between_two_writes_stays_between_them() -> None:
    tasks = [task("first", writes=["n"]), task("look", reads=["n"]), task("second", writes=["n"])]
    assert lines(hazards(tasks)) == ["RAW first look: n", "WAW first second: n", "WAR look second: n"]
    assert hazard_edges(tasks) == [("first", "look"), ("look", "second")]


def test_a_mutex_is_no_edge_even_against_the_flow_of_data() -> None:
    tasks = [task("a", ["x"], ["y"], ["db"]), task("b", ["z"], ["x"], ["db"]), task("c", mutexes=["db"])]
    assert lines(hazards(tasks)) == ["WAR a b: x", "MUTEX a b: db", "MUTEX a c: db", "MUTEX b c: db"]
    assert hazard_edges(tasks) == [("a", "b")]
    assert mutex_keys(tasks) == {"a": ("db",), "b": ("db",), "c": ("db",)}


def test_a_folder_clashes_with_what_is_in_it() -> None:
    tasks = [
        task("format", ["src/"], ["src/"]),
        task("edit", writes=["src/a.py"]),
        task("docs", writes=["docs/a.md"]),
        task("count", reads=["**/*.py"]),
    ]
    assert lines(hazards(tasks)) == [
        "WAR format edit: src/** src/a.py",
        "WAW format edit: src/** src/a.py",
        "RAW format count: src/** **/*.py",
        "RAW edit count: src/a.py **/*.py",
    ]
    assert hazard_edges(tasks) == [("format", "edit"), ("format", "count"), ("edit", "count")]


def test_a_star_does_not_cross_a_slash() -> None:
    tasks = [task("a", writes=["src/*"]), task("b", writes=["src/a/b.py"]), task("c", writes=["src/*.py"])]
    assert lines(hazards(tasks)) == ["WAW a c: src/* src/*.py"]
    assert hazard_edges(tasks) == [("a", "c")]


def test_one_name_in_two_spellings_is_one_name() -> None:
    tasks = [task("a", writes=["./src//a.py"]), task("b", reads=["src/a.py", "src/./a.py"])]
    assert lines(hazards(tasks)) == ["RAW a b: src/a.py"]
    assert tasks[1].reads == ("src/a.py",)


# ---- what is refused


@pytest.mark.parametrize(
    ("field", "value", "message", "hint", "path"),
    [
        ("reads", "db", "task 't': reads is the text 'db', not a list of names", "write reads=['db']", "$.reads"),
        ("writes", 3, "task 't': writes is int, not a list of names", 'write writes=["name"]', "$.writes"),
        ("mutexes", {"a"}, "task 't': mutexes is set, not a list of names", 'write mutexes=["name"]', "$.mutexes"),
        ("reads", ["a", 3], "task 't': reads[1] is int, not a name", "a name is a text", "$.reads[1]"),
        (
            "writes",
            ["a", ""],
            "task 't': writes[1]: a name is empty",
            "leave it out, or name what is meant",
            "$.writes[1]",
        ),
        (
            "writes",
            ["../a"],
            "task 't': writes[0]: the name '../a' has '..' in it",
            "name it from the folder in which the tasks run",
            "$.writes[0]",
        ),
    ],
)
def test_what_is_no_list_of_names_is_refused(field: str, value: object, message: str, hint: str, path: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        Access("t", **{field: value})  # type: ignore[arg-type]
    assert (str(refusal.value), refusal.value.hint, refusal.value.path) == (message, hint, path)


def test_two_tasks_with_one_id_are_refused() -> None:
    for find in (hazards, hazard_edges, mutex_keys):
        with pytest.raises(DuplicateTaskError):
            find([task("a"), task("a")])


# ---- locks


def test_two_share_a_lock_exactly_if_their_mutexes_meet() -> None:
    names = ["db", "db:a", "db:b", "db:*", "*:a", "x*", "disk", "d*"]
    tasks = [task(f"{n} {name}", mutexes=[name]) for n, name in enumerate(names * 2)]
    keys = mutex_keys(tasks)
    for one in tasks:
        for other in tasks:
            shared = set(keys[one.id]) & set(keys[other.id])
            assert bool(shared) == meet(parse(one.mutexes[0]), parse(other.mutexes[0])), (one, other)
        assert list(keys[one.id]) == sorted(keys[one.id])


def test_a_task_without_a_mutex_holds_no_lock() -> None:
    assert mutex_keys([task("a", ["x"], ["x"]), task("b", mutexes=["two", "one"])]) == {"b": ("one", "two")}


# ---- the order is enough: real reads and writes of shared things


def drawn(draw: random.Random) -> list[Access]:
    def some(most: int) -> list[str]:
        return draw.sample(NAMES, draw.choice(range(most + 1)))

    return [task(f"t{i}", some(2), some(2), some(1)) for i in range(draw.randint(1, 12))]


def things(names: Sequence[str]) -> list[str]:
    """What of all that there is the names mean."""
    return [thing for thing in THINGS if any(meet(parse(name), exact(thing)) for name in names)]


def played(tasks: Sequence[Access], edges: Edges, draw: random.Random) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Start and end tasks in any order that `edges` allow: what is there at the end, and what each task saw.

    A task reads when it starts and writes when it ends; between them others start and end.
    """
    waits: dict[str, set[str]] = {t.id: set() for t in tasks}
    for before, after in edges:
        waits[after].add(before)
    shared = dict.fromkeys(THINGS, "nothing")
    saw: dict[str, list[str]] = {}
    open_: list[Access] = list(tasks)
    running: list[Access] = []
    ended: set[str] = set()
    while open_ or running:
        ready = [t for t in open_ if waits[t.id] <= ended]
        assert ready or running, "the tasks wait for each other"
        chosen = draw.choice([*ready, *running])
        if chosen in running:
            running.remove(chosen)
            ended.add(chosen.id)
            shared.update(
                {thing: f"{chosen.id} after {hash(tuple(saw[chosen.id]))}" for thing in things(chosen.writes)}
            )
        else:
            open_.remove(chosen)
            running.append(chosen)
            saw[chosen.id] = [shared[thing] for thing in things(chosen.reads)]
    return shared, saw


def in_order(tasks: Sequence[Access]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """One after the other, in program order."""
    chain = [(a.id, b.id) for a, b in itertools.pairwise(tasks)]
    return played(tasks, chain, random.Random(0))


def test_a_fuzz_of_task_lists_in_any_order_that_the_edges_allow_does_what_the_program_order_does() -> None:
    draw = random.Random(3)
    for _ in range(LISTS):
        tasks = drawn(draw)
        edges = hazard_edges(tasks)
        needs: dict[str, list[str]] = {t.id: [] for t in tasks}
        for before, after in edges:
            needs[after].append(before)
        assert find_cycle(Graph([Node(id=name, needs=tuple(n)) for name, n in needs.items()])) == []
        expected = in_order(tasks)
        for _ in range(5):
            assert played(tasks, edges, draw) == expected, tasks


@pytest.mark.parametrize("dropped", ["RAW", "WAR", "WAW"])
def test_without_one_kind_of_edge_the_same_check_fails(dropped: str) -> None:
    draw = random.Random(3)
    failures = 0
    for _ in range(100):
        tasks = drawn(draw)
        edges = {(h.first, h.second) for h in hazards(tasks) if h.kind not in (dropped, "MUTEX")}
        failures += any(played(tasks, edges, draw) != in_order(tasks) for _ in range(5))
    assert failures > 5


def test_a_fuzz_of_edges_orders_exactly_the_pairs_that_clash() -> None:
    """Every clashing pair is ordered, and there is no edge between two that do not clash."""
    draw = random.Random(8)
    for _ in range(LISTS):
        tasks = drawn(draw)
        place = {t.id: i for i, t in enumerate(tasks)}
        pairs = {(place[h.first], place[h.second]) for h in hazards(tasks) if h.kind != "MUTEX"}
        edges = {(place[a], place[b]) for a, b in hazard_edges(tasks)}
        assert edges <= pairs
        reach: list[set[int]] = [set() for _ in tasks]
        for i in reversed(range(len(tasks))):
            for a, b in edges:
                if a == i:
                    reach[i] |= {b} | reach[b]
        assert all(j in reach[i] for i, j in pairs), tasks


def test_the_pairs_are_what_comparing_all_with_all_finds() -> None:
    draw = random.Random(4)
    fields = (
        ("RAW", "writes", "reads"),
        ("WAR", "reads", "writes"),
        ("WAW",) + ("writes",) * 2,
        ("MUTEX",) + ("mutexes",) * 2,
    )
    for _ in range(100 * SCALE):
        tasks = drawn(draw)
        expected = [
            (kind, a.id, b.id)
            for i, a in enumerate(tasks)
            for b in tasks[i + 1 :]
            for kind, one, other in fields
            if any(meet(parse(x), parse(y)) for x in getattr(a, one) for y in getattr(b, other))
        ]
        assert [(h.kind, h.first, h.second) for h in hazards(tasks)] == expected


# ---- size


def test_the_edges_of_many_tasks_are_about_as_many_as_their_accesses() -> None:
    draw = random.Random(1)
    names = [f"n{i}" for i in range(100)]
    tasks = [task(f"t{i}", draw.sample(names, 3), draw.sample(names, 2)) for i in range(10_000)]
    began = time.perf_counter()
    edges = hazard_edges(tasks)
    within(1.0, began)
    assert len(edges) <= 2 * 5 * len(tasks)


def test_many_readers_of_a_folder_and_many_writers_in_it_make_no_square() -> None:
    tasks = []
    for i in range(2_000):
        tasks += [task(f"look{i}", reads=["src/**"]), task(f"edit{i}", writes=[f"src/{i % 10}.py"])]
    assert len(hazard_edges(tasks)) <= 30 * len(tasks)


def test_thousands_of_folders_are_not_compared_with_each_other() -> None:
    tasks = [task(f"t{i}", reads=[f"src/m{i}/**"], writes=[f"out/m{i}/**", f"src/m{i}/done"]) for i in range(10_000)]
    began = time.perf_counter()
    assert hazard_edges(tasks) == []
    within(3.0, began)
