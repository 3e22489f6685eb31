"""What may be said of a combinator and of its parts: ids, needs, settings, how deep they nest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import weft


def one_more() -> None:
    pass


@pytest.mark.parametrize(
    ("wrap", "label"),
    [
        (weft.Sequence, "sequence"),
        (weft.ParallelTasks, "parallel"),
        (lambda task: weft.Conditional(one_more, task), "conditional"),
        (lambda task: weft.TryCatch(task, one_more), "try"),
        (lambda task: weft.Retrying(task, 2), "retrying"),
        (lambda task: weft.Timeout(task, 60), "timeout"),
    ],
)
def test_combinators_nest_64_levels_deep_and_no_further(wrap: Callable[[Any], weft.Task], label: str) -> None:
    task = weft.task(one_more)
    for _ in range(64):
        task = wrap(task)
    flow = weft.Workflow("test")
    flow.add_task(task, id="deep")
    assert flow.run().status == "succeeded"
    with pytest.raises(weft.InputError) as raised:
        wrap(task)
    assert (str(raised.value), raised.value.hint) == (
        f"a {label} is nested more than 64 levels deep",
        "split the workflow",
    )


class Vague:
    """Neither true nor false."""

    def __bool__(self) -> bool:
        raise ValueError("which of them?")


def test_a_condition_that_is_neither_true_nor_false_fails_its_task() -> None:
    flow = weft.Workflow("test")
    flow.add_task(weft.Conditional(lambda: Vague(), one_more), id="way")
    result = flow.run(check=False)
    (error,) = result.errors
    assert (result.status, error.path) == ("failed", "way/if")
    assert (error.error.type, error.error.message) == (
        "ValueError",
        "condition gave Vague, which is neither true nor false: which of them? (return True or False)",
    )


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"retry": 3}, "weft.Retrying(sequence, policy)"),
        ({"retry_on": OSError}, "say it at the functions inside: weft.task(function, retry_on=...)"),
        ({"effect": "once"}, "say it at the functions inside: weft.task(function, effect=...)"),
        ({"isolation": "process"}, "say it at the functions inside: weft.task(function, isolation=...)"),
        ({"limit": "api"}, "say it at the functions inside: weft.task(function, limit=...)"),
        ({"mutex": ["db"]}, "say it at the functions inside: weft.task(function, mutex=...)"),
        ({"estimate": {"tokens": 1}}, "say it at the functions inside: weft.task(function, estimate=...)"),
        ({"verify_writes": True}, "say it at the functions inside: weft.task(function, verify_writes=...)"),
    ],
)
def test_what_only_a_function_can_have_is_refused_for_others(settings: dict[str, Any], hint: str) -> None:
    flow = weft.Workflow("test", limits={"api": 1})
    flow.add_task(weft.Sequence(one_more), id="several", **settings)
    with pytest.raises(weft.InputError) as raised:
        flow.check()
    name = next(iter(settings))
    assert (str(raised.value), raised.value.hint) == (
        f"several: {name} is for functions, and this is a sequence",
        hint,
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda once: weft.Retrying(once, 3), 'effect="once" and Retrying exclude each other'),
        (lambda once: weft.Retrying(weft.Sequence(once), 3), 'effect="once" and Retrying exclude each other'),
        (
            lambda once: weft.Workflow("test").add_task(once, retry=3),
            'effect="once" and retry exclude each other',
        ),
    ],
)
def test_what_may_not_run_twice_is_not_retried_however_that_is_said(
    make: Callable[[weft.Task], object], message: str
) -> None:
    with pytest.raises(weft.InputError) as raised:
        make(weft.task(one_more, effect="once"))
    assert (str(raised.value), raised.value.hint) == (message, "a task that may not run twice is not retried")


def named(id: str) -> weft.Task:  # noqa: A002 - the API's name
    return weft.task(one_more, id=id)


@pytest.mark.parametrize(
    ("make", "twice"),
    [
        (lambda: weft.ParallelTasks(named("a"), named("a")), "a"),
        (lambda: weft.ParallelTasks(named("1"), lambda: 2), "1"),
        (lambda: weft.Conditional(named("then"), lambda: 2), "then"),
        (lambda: weft.Conditional(named("if"), lambda: 2), "if"),
        (lambda: weft.TryCatch(named("handler"), lambda error: 2), "handler"),
    ],
)
def test_two_parts_never_have_the_same_id_whoever_gave_it(make: Callable[[], weft.Task], twice: str) -> None:
    with pytest.raises(weft.InputError) as raised:
        weft.Workflow("test").add_task(make(), id="several")
    assert f"have the id {twice!r}" in str(raised.value)
    assert raised.value.hint == "give one of them another id"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda task: weft.Sequence(task),
        lambda task: weft.ParallelTasks(weft.Timeout(task, 60)),
        lambda task: weft.Conditional(lambda: True, task),
    ],
)
@pytest.mark.parametrize("need", ["one_more", one_more])
def test_what_is_needed_inside_is_waited_for(wrap: Callable[[weft.Task], weft.Task], need: Any) -> None:
    flow = weft.Workflow("test")
    flow.add_task(wrap(weft.task(lambda: 1, id="inner", needs=[need])), id="outer")
    flow.map_task(weft.task(lambda item: 1, id="inner", needs=[need]), over=[1], id="each")
    flow.add_task(one_more)
    assert flow.execution_layers() == [["one_more"], ["outer", "each"]]
    assert flow.run().status == "succeeded"


def test_what_is_needed_inside_and_is_nowhere_is_an_error_before_anything_runs() -> None:
    flow = weft.Workflow("test")
    flow.add_task(weft.ParallelTasks(named("a"), weft.task(one_more, id="b", needs=["a"])), id="both")
    with pytest.raises(weft.UnknownTaskError) as raised:
        flow.check()
    assert (str(raised.value), raised.value.hint) == (
        "no task has the id 'a'",
        "both/b can need tasks around it, and those before it",
    )
