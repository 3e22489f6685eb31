"""Which tasks run side by side."""

from __future__ import annotations

import pytest

from weft.errors import UsageError
from weft.fronts.plan.document import Plan, require_plan
from weft.fronts.plan.segments import describe, is_concurrent, layers, outline, segments, select
from weft.text.source import Source


def plan(words: str) -> Plan:
    """`1, 2p, 3p<2`: numbers, `p` for the mark, `<` before what is needed."""
    parts = []
    for word in words.replace(",", " ").split():
        name, _, needs = word.partition("<")
        mark = " (parallel)" if name.endswith("p") else ""
        parts.append(f"## Task {name.rstrip('p')}{mark}\n" + (f"needs: {needs}\n" if needs else "") + "Do it.\n")
    return require_plan(Source("plan.md", "\n".join(parts)))


TABLE = [
    ("1", "S1"),
    ("1p", "S1"),
    ("1, 2", "S1, S2"),
    ("1p, 2p", "P[1,2]"),
    ("1, 2p", "S1, S2"),
    ("1p, 2", "S1, S2"),
    ("1p, 2, 3p", "S1, S2, S3"),
    ("1, 2p, 3p, 4", "S1, P[2,3], S4"),
    ("1, 2p, 3p, 4, 5p, 6p, 7p", "S1, P[2,3], S4, P[5,6,7]"),
    ("3p, 1, 2p", "S1, P[2,3]"),
    ("10p, 30p, 20p", "P[10,20,30]"),
    ("1p, 2p, 3p<1, 4p", "P[1,2], P[3,4]"),
    ("1p, 2p<1, 3p<2", "S1, S2, S3"),
    ("1, 2p<1, 3p<1", "S1, P[2,3]"),
]


@pytest.mark.parametrize(("words", "expected"), TABLE)
def test_a_run_of_marked_tasks_is_a_block(words: str, expected: str) -> None:
    assert describe(segments(plan(words).tasks)) == expected


@pytest.mark.parametrize(("words", "expected"), TABLE)
def test_every_task_is_in_one_segment_in_order(words: str, expected: str) -> None:
    read = plan(words)
    assert tuple(task for part in segments(read.tasks) for task in part.tasks) == read.tasks
    assert all(part.parallel == (len(part.tasks) > 1) for part in segments(read.tasks))


def test_without_concurrency_every_task_is_a_segment() -> None:
    assert describe(segments(plan("1, 2p, 3p").tasks, concurrent=False)) == "S1, S2, S3"


@pytest.mark.parametrize(
    ("parallel", "max_parallel", "expected"),
    [(False, 4, False), (True, 0, False), (True, 1, False), (True, 2, True), (False, 1, False)],
)
def test_blocks_run_side_by_side_only_where_two_may(parallel: bool, max_parallel: int, expected: bool) -> None:
    assert is_concurrent(parallel=parallel, max_parallel=max_parallel) is expected


@pytest.mark.parametrize(
    ("only", "first", "expected"),
    [
        (None, None, "S1, P[2,3], S4, P[5,6,7]"),
        (3, None, "S3"),
        (None, 1, "S1, P[2,3], S4, P[5,6,7]"),
        (None, 3, "S3, S4, P[5,6,7]"),
        (None, 6, "P[6,7]"),
        (None, 7, "S7"),
    ],
)
def test_segments_are_those_of_what_is_to_run(only: int | None, first: int | None, expected: str) -> None:
    tasks = select(plan("1, 2p, 3p, 4, 5p, 6p, 7p"), only=only, first=first)
    assert describe(segments(tasks)) == expected


def test_an_unknown_number_lists_those_that_are_there() -> None:
    for chosen, flag in (({"only": 5}, "--task"), ({"first": 5}, "--from-task")):
        with pytest.raises(UsageError) as caught:
            select(plan("1, 2, 3, 7, 9, 10"), **chosen)
        assert caught.value.message == f"{flag}: there is no task 5 in plan.md"
        assert caught.value.hint == "available are 1-3, 7, 9, 10"
        assert caught.value.exit_code == 64


def test_one_task_and_a_first_one_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="--task and --from-task exclude each other"):
        select(plan("1, 2"), only=1, first=2)


def test_layers_follow_what_waits_for_what_whether_marked_or_not() -> None:
    tasks = plan("1, 2, 3, 4, 5").tasks
    assert describe(layers(tasks, {})) == "P[1,2,3,4,5]"
    assert describe(layers(tasks, {2: [1], 4: [2, 3], 5: [9]})) == "P[1,3,5], S2, S4"
    assert describe(layers(tasks[2:], {3: [1], 5: [3]})) == "P[3,4], S5"
    assert describe(layers(tasks, {n: [n - 1] for n in range(2, 6)})) == "S1, S2, S3, S4, S5"


def test_the_outline_says_what_runs_beside_what_and_what_is_declared() -> None:
    read = require_plan(
        Source(
            "plan.md",
            "## Task 1\nwrites: none\nx\n## Task 2: A (parallel)\nreads: a, b/**\nx\n"
            "## Task 3 (parallel)\nneeds: 1\nverify: make\nx\n",
        )
    )
    assert outline(segments(read.tasks)) == [
        "task 1; writes nothing",
        "side by side (2):",
        "  task 2: A; reads a, b/**",
        "  task 3; needs 1; verified by `make`",
    ]
