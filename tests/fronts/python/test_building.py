"""Building a workflow: every mistake is an error where it is made, and leaves the workflow as it was."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import weft
from weft.graph.order import Order


def nothing() -> None:
    """Does nothing."""


def flow_of(*ids: str) -> weft.Workflow:
    flow = weft.Workflow("test")
    for name in ids:
        flow.add_task(nothing, id=name)
    return flow


def shape(flow: weft.Workflow) -> Any:
    return list(flow.tasks), flow.execution_layers()


# -- order ------------------------------------------------------------------------------------------------------------


def test_a_diamond_has_three_layers() -> None:
    flow = flow_of("a", "b", "c", "d")
    for first, second in (("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")):
        flow.add_dependency(first, second)
    assert flow.execution_layers() == [["a"], ["b", "c"], ["d"]]
    assert flow.execution_order() == ["a", "b", "c", "d"]
    assert flow.critical_path() == ["a", "b", "d"]
    assert flow.critical_path({"c": 5.0}) == ["a", "c", "d"]


def test_inside_a_layer_the_order_is_that_of_addition() -> None:
    flow = flow_of("z", "y", "x")
    flow.add_dependency("z", "x")
    assert flow.execution_layers() == [["z", "y"], ["x"]]


def test_a_parameter_named_as_a_task_is_a_dependency_also_on_a_later_one() -> None:
    flow = weft.Workflow("test")

    @flow.task
    def last(first: int, other: int = 0) -> None: ...

    @flow.task
    def first() -> int:
        return 1

    assert flow.execution_layers() == [["first"], ["last"]]


def test_tasks_are_named_by_id_by_function_and_by_task() -> None:
    flow = weft.Workflow("test")
    first = flow.add_task(nothing, id="first")

    @flow.task(needs=[first])
    def second() -> None: ...

    flow.add_task(lambda: None, id="third", needs=second)
    flow.add_dependency(first, "third")
    assert flow.execution_layers() == [["first"], ["second"], ["third"]]


def test_an_empty_workflow_has_no_order() -> None:
    with pytest.raises(weft.EmptyWorkflowError, match=r"the workflow 'test' has no tasks"):
        weft.Workflow("test").execution_order()
    with pytest.raises(weft.EmptyWorkflowError):
        weft.Workflow("test").run()


# -- cycles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_cycle_is_told_whole_and_in_order_and_changes_nothing(length: int) -> None:
    ids = [f"t{i}" for i in range(length)]
    flow = flow_of(*ids)
    for first, second in itertools.pairwise(ids):
        flow.add_dependency(first, second)
    before = shape(flow)
    with pytest.raises(weft.CycleError) as raised:
        flow.add_dependency(ids[-1], ids[0])
    assert raised.value.cycle == [*ids, ids[0]]
    assert str(raised.value) == "these wait for each other: " + " -> ".join([*ids, ids[0]])
    assert shape(flow) == before


def test_a_cycle_in_a_thousand_tasks_is_told_without_the_others() -> None:
    flow = flow_of(*[f"n{i}" for i in range(1000)])
    for i in range(999):
        if i != 500:
            flow.add_dependency(f"n{i}", f"n{i + 1}")
    flow.add_dependency("n501", "n20")  # runs n501.. before n20..
    before = shape(flow)
    with pytest.raises(weft.CycleError) as raised:
        flow.add_dependency("n500", "n501")
    cycle = raised.value.cycle
    assert cycle[0] == cycle[-1]
    assert cycle[:-1] == [f"n{i}" for i in range(20, 501)] + ["n501"]
    assert shape(flow) == before


def test_a_task_that_would_close_a_cycle_by_its_parameters_is_not_added() -> None:
    flow = weft.Workflow("test")

    @flow.task
    def a(c: int) -> None: ...

    @flow.task
    def b(a: int) -> None: ...

    before = list(flow.tasks)

    def c(b: int) -> None: ...

    with pytest.raises(weft.CycleError) as raised:
        flow.add_task(c)
    assert raised.value.cycle == ["a", "b", "c", "a"]
    assert list(flow.tasks) == before
    flow.add_task(nothing, id="c")  # another one may have the name
    assert flow.execution_layers() == [["c"], ["a"], ["b"]]


def test_a_task_that_asks_for_itself_is_a_cycle_of_one() -> None:
    flow = weft.Workflow("test")

    def own(own: int) -> None: ...

    with pytest.raises(weft.CycleError) as raised:
        flow.add_task(own)
    assert raised.value.cycle == ["own", "own"]
    assert flow.tasks == {}


def test_a_task_that_needs_itself_is_a_cycle_of_one() -> None:
    flow = weft.Workflow("test")
    with pytest.raises(weft.CycleError) as raised:
        flow.add_task(nothing, id="own", needs=["own"])
    assert raised.value.cycle == ["own", "own"]
    assert flow.tasks == {}


def test_the_order_refuses_exactly_the_edges_that_close_a_cycle() -> None:
    """Against a search of the whole graph, for random edges."""
    import random

    for seed in range(60):
        rng = random.Random(seed)
        count = rng.randint(2, 12)
        order = Order()
        for _ in range(count):
            order.add()
        edges: set[tuple[int, int]] = set()

        def reaches(start: int, goal: int, edges: set[tuple[int, int]] = edges) -> bool:
            stack, seen = [start], {start}
            while stack:
                node = stack.pop()
                if node == goal:
                    return True
                new = [b for a, b in edges if a == node and b not in seen]
                seen.update(new)
                stack += new
            return False

        for _ in range(40):
            a, b = rng.randrange(count), rng.randrange(count)
            closes = (a, b) not in edges and reaches(b, a)
            cycle = order.connect(a, b)
            assert bool(cycle) == closes
            if cycle:
                assert (cycle[0], cycle[-1]) == (b, a)
                assert all((x, y) in edges for x, y in itertools.pairwise(cycle))
            else:
                edges.add((a, b))
            assert all(order.place(x) < order.place(y) for x, y in edges)


# -- names ------------------------------------------------------------------------------------------------------------


def test_a_callable_that_cannot_be_compared_is_a_task_like_others() -> None:
    class Odd:
        """Refuses to be compared."""

        __name__ = "odd"
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no")

        def __call__(self) -> int:
            return 4

    flow = weft.Workflow("test")
    odd = Odd()
    flow.add_task(odd)
    flow.add_task(nothing, id="after", needs=[odd])
    assert flow.execution_layers() == [["odd"], ["after"]]


def test_an_id_is_taken_once() -> None:
    flow = flow_of("a")
    with pytest.raises(weft.DuplicateTaskError) as raised:
        flow.add_task(nothing, id="a")
    assert raised.value.id == "a"
    assert list(flow.tasks) == ["a"]


def test_an_unknown_id_is_told_with_what_was_probably_meant() -> None:
    flow = flow_of("extract", "transform")
    for make in (
        lambda: flow.add_dependency("extrct", "transform"),
        lambda: flow.add_task(nothing, id="new", needs=["extrct"]),
    ):
        with pytest.raises(weft.UnknownTaskError) as raised:
            make()
        assert raised.value.id == "extrct"
        assert raised.value.suggestions == ["extract"]
        assert raised.value.hint == "did you mean 'extract'?"
    with pytest.raises(weft.UnknownTaskError) as raised:
        flow.add_task(nothing, id="new", needs=["audit"])
    assert raised.value.hint == "add the task 'audit' first"
    assert list(flow.tasks) == ["extract", "transform"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "the id is ''; it must be a text that is not empty"),
        (3, "the id is 3; it must be a text that is not empty"),
        ("a/b", "the id 'a/b' has '/' in it"),
        ("a[0]", "the id 'a[0]' has '[' in it"),
        ("a\nb", "the id 'a\\nb' has '\\n' in it"),
        ("x" * 201, f"the id '{'x' * 40}'... has 201 characters; 200 are allowed"),
    ],
)
def test_an_id_that_no_path_can_have_is_refused(name: Any, message: str) -> None:
    with pytest.raises(weft.InputError) as raised:
        weft.Workflow("test").add_task(nothing, id=name)
    assert str(raised.value) == message
    if name:  # inside a combinator, too
        with pytest.raises(weft.InputError) as raised:
            weft.Sequence(weft.task(nothing, id=name))
        assert str(raised.value) == message


def test_no_task_is_called_as_the_context_is() -> None:
    """Who asked for its output would get the context."""
    with pytest.raises(weft.InputError) as raised:
        weft.Workflow("test").add_task(nothing, id="ctx")
    assert str(raised.value) == "the id 'ctx' is taken: a parameter of that name gets the task's context"
    assert raised.value.hint == "choose another id"


def test_a_function_added_twice_is_no_name_for_either() -> None:
    flow = flow_of("a", "b")
    with pytest.raises(weft.InputError, match="nothing was added more than once"):
        flow.add_dependency(nothing, "a")


def test_what_has_no_name_needs_an_id() -> None:
    flow = weft.Workflow("test")
    for thing in (lambda: None, partial(nothing)):
        with pytest.raises(weft.InputError, match="has no name"):
            flow.add_task(thing)


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"retrys": 3}, "there is no setting 'retrys' for a task"),
        ({"retry": -1}, "retry is -1; it must be a weft.Retry, or how many times to try again"),
        ({"retry": "3"}, "retry is '3'; it must be a weft.Retry, or how many times to try again"),
        ({"timeout": 0}, "timeout is 0; it must be a number of seconds above 0"),
        ({"timeout": float("nan")}, "timeout is nan; it must be a number of seconds above 0"),
        ({"timeout": "5s"}, "timeout is '5s'; it must be a number of seconds above 0"),
        ({"effect": "onec"}, "effect is 'onec'; it must be pure, idempotent or once"),
        ({"effect": "once", "retry": 2}, 'effect="once" and retry exclude each other'),
        ({"isolation": "proces"}, "isolation is 'proces'; it must be loop, thread or process"),
        ({"reads": "users"}, "reads is the text 'users'; it must be a list of names"),
        ({"writes": [""]}, "writes has '' in it; names are texts that are not empty"),
        ({"on_failure": "ignore"}, "on_failure is 'ignore'; it must be finish, cancel or continue"),
        ({"estimate": {"token": 3}}, "estimate is {'token': 3}; it must be a dict with tokens, cost_usd or both"),
        ({"estimate": {"tokens": -3}}, "estimate has tokens -3; it must be a number of 0 or more"),
        (
            {"retry_on": "OSError"},
            "retry_on is 'OSError'; it must be exception classes, or a function of the exception",
        ),
        (
            {"retry_on": [int]},
            "retry_on is (<class 'int'>,); it must be exception classes, or a function of the exception",
        ),
        ({"compensate": "undo"}, "compensate is 'undo'; it must be a function, a task, or one of weft.undo"),
        ({"mutex": 3}, "mutex is 3; it must be a list of names"),
        ({"writes": 3}, "writes is 3; it must be a list of names"),
        ({"needs": 3}, "3 is no task"),
        ({"verify_writes": "no"}, "verify_writes is 'no'; it must be True or False"),
        ({"description": 3}, "description is 3; it must be a text"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_what_can(settings: dict[str, Any], message: str) -> None:
    flow = weft.Workflow("test")
    with pytest.raises(weft.InputError) as raised:
        flow.add_task(nothing, id="a", **settings)
    assert str(raised.value) == message
    assert flow.tasks == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, "the name is ''; it must be a text that is not empty"),
        ({"name": "x", "on_failure": "stop"}, "on_failure is 'stop'; it must be finish, cancel or continue"),
        ({"name": "x", "rollback": "al"}, "rollback is 'al'; it must be all, dependencies or none"),
        (
            {"name": "x", "limits": {"api": 0}},
            "limits: api is 0; it must be how many at once, a rate like '10/s', or a weft.Limit",
        ),
        ({"name": "x", "limits": ["api"]}, "limits is ['api']; it must be a dict"),
    ],
)
def test_a_workflow_that_cannot_be_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(weft.InputError) as raised:
        weft.Workflow(**arguments)
    assert str(raised.value) == message


def test_only_functions_and_tasks_can_be_added() -> None:
    with pytest.raises(weft.InputError) as raised:
        weft.Workflow("test").add_task(nothing(), id="a")  # type: ignore[func-returns-value]
    assert str(raised.value) == "None is neither a function nor a task"
    assert raised.value.hint == "pass the function itself, without calling it"
    with pytest.raises(weft.InputError) as raised:
        weft.ParallelTasks([nothing, nothing])
    assert raised.value.hint == "pass them one by one: *tasks"


async def waits() -> None: ...


@pytest.mark.filterwarnings("error")
def test_a_coroutine_that_was_added_by_mistake_is_not_complained_of_twice() -> None:
    with pytest.raises(weft.InputError, match="is neither a function nor a task"):
        weft.Workflow("test").add_task(waits(), id="a")
    gc.collect()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arguments": [1]}, "arguments is [1]; it must be a dict"),
        ({"arguments": {1: 2}}, "arguments has the key 1; the names of arguments are texts"),
        ({"on_event": waits}, "on_event is async, and nobody would await it"),
        ({"token": 3}, "token is 3; it must be a weft.CancellationToken"),
        ({"on_event": 3}, "on_event is 3; it must be a function of an event"),
        ({"backend": 3}, "backend is 3; it must have `call`"),
        ({"journal": True}, "journal is True; it must be a folder"),
        ({"jobs": "4"}, "jobs is '4'; it must be a whole number of 1 or more"),
        ({"timeout": "30s"}, "timeout is '30s'; it must be a number of seconds above 0"),
    ],
)
def test_an_option_of_a_run_that_cannot_be_is_refused_before_anything_runs(
    options: dict[str, Any], message: str
) -> None:
    ran: list[int] = []
    flow = weft.Workflow("test")
    flow.add_task(lambda: ran.append(1), id="a")
    with pytest.raises(weft.InputError) as raised:
        flow.run(**options)
    assert (str(raised.value), ran) == (message, [])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: weft.Retry(max_attempts=0), "Retry: max_attempts is 0; it must be a whole number of 1 or more"),
        (lambda: weft.Retry(backoff="exp"), "Retry: backoff is 'exp'; it must be fixed, linear or exponential"),
        (lambda: weft.Retry(base=-1), "Retry: base is -1; it must be a number of seconds, 0 or more"),
        (lambda: weft.Retry(cap=float("nan")), "Retry: cap is nan; it must be a number of seconds, 0 or more"),
        (lambda: weft.Limit(concurrency=-1), "Limit: concurrency is -1; it must be a whole number of 1 or more"),
        (lambda: weft.Limit(rate=0), "Limit: rate is 0; it must be a number above 0"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_where_it_is_made(make: Callable[[], object], message: str) -> None:
    with pytest.raises(weft.InputError) as raised:
        make()
    assert str(raised.value) == message


# -- before anything runs ---------------------------------------------------------------------------------------------


def test_a_parameter_that_nobody_provides_is_an_error_before_anything_runs() -> None:
    ran: list[str] = []
    flow = weft.Workflow("test")
    flow.add_task(lambda: ran.append("first"), id="extract")

    def load(extrct: int) -> None:
        ran.append("load")

    flow.add_task(load)
    with pytest.raises(weft.InputError) as raised:
        flow.run()
    assert str(raised.value) == "load: parameter 'extrct' is neither a task, an argument, nor has a default"
    assert raised.value.hint == "did you mean 'extract'?"
    with pytest.raises(weft.InputError):
        flow.check()
    assert ran == []


def test_an_argument_that_nobody_asks_for_is_an_error() -> None:
    flow = weft.Workflow("test")
    flow.add_task(lambda day: day, id="load")
    with pytest.raises(weft.InputError) as raised:
        flow.run(arguments={"day": 1, "dya": 2})
    assert str(raised.value) == "no task asks for the argument 'dya'"
    assert raised.value.hint == "did you mean 'day'?"


def test_a_positional_only_parameter_is_refused_where_the_task_is_added() -> None:
    def f(x: int, /) -> None: ...

    with pytest.raises(weft.InputError, match=r"f\(\) takes 'x' by position only") as raised:
        weft.Workflow("test").add_task(f)
    assert raised.value.hint == "tasks get their arguments by name: drop the /, or wrap it in a function"


def test_isolation_that_cannot_be_is_an_error_before_anything_runs() -> None:
    flow = weft.Workflow("test")
    flow.add_task(lambda: 1, id="inner", isolation="process")
    with pytest.raises(weft.InputError) as raised:
        flow.run()
    assert str(raised.value) == 'inner: isolation="process" needs a function that can be imported'

    async def waits() -> None: ...

    flow = weft.Workflow("test")
    flow.add_task(waits, isolation="thread")
    with pytest.raises(weft.InputError, match="waits is async, so it runs in the loop, not in a thread"):
        flow.check()


def test_an_unknown_limit_is_an_error_before_anything_runs() -> None:
    flow = weft.Workflow("test", limits={"api": 2})
    flow.add_task(nothing, limit="apis")
    with pytest.raises(weft.InputError) as raised:
        flow.check()
    assert str(raised.value) == "nothing: there is no limit 'apis'"
    assert raised.value.hint == "did you mean 'api'?"


@pytest.mark.parametrize("over", ["abc", {"a": 1}, 3])
def test_what_cannot_be_mapped_over_is_refused(over: Any) -> None:
    flow = weft.Workflow("test")
    flow.map_task(lambda x: x, over="rows", id="m")
    with pytest.raises(weft.InputError, match="is nothing to map over"):
        flow.run(arguments={"rows": over})


def test_what_is_neither_items_nor_a_task_is_refused_where_it_is_said() -> None:
    with pytest.raises(weft.InputError) as raised:
        weft.Workflow("test").map_task(nothing, over=3)
    assert str(raised.value) == "over is 3; it must be a task, the name of an argument, or items to go over"


def test_mapping_over_an_unknown_name_is_told() -> None:
    flow = weft.Workflow("test")
    flow.add_task(lambda: [1], id="rows")
    flow.map_task(lambda x: x, over="row", id="m")
    with pytest.raises(weft.InputError) as raised:
        flow.check()
    assert str(raised.value) == "m: 'row' is neither a task nor an argument to map over"
    assert raised.value.hint == "did you mean 'rows'?"


# -- size -------------------------------------------------------------------------------------------------------------


@pytest.mark.torture
def test_building_and_layering_is_linear() -> None:
    """Twice the tasks take about twice the time: nothing looks at all of them for each. (The figure is in the bench.)"""

    def work(count: int) -> float:
        began = time.process_time()
        flow = weft.Workflow("many")
        for i in range(count):
            flow.add_task(nothing, id=f"n{i}", needs=[f"n{j}" for j in range(max(0, i - 3), i)])
        assert len(flow.execution_layers()) == count
        return time.process_time() - began

    work(2_000)
    small, large = min(work(4_000) for _ in range(3)), min(work(16_000) for _ in range(3))
    assert large < 4 * 3 * small


def test_a_drawing_needs_no_arguments() -> None:
    flow = weft.Workflow("<b>")
    flow.add_task(lambda day: day, id="load")
    flow.map_task(lambda row: row, over="rows", id="each")
    assert "load" in flow.to_mermaid()
    assert "&lt;b&gt;" in flow._repr_html_()
    assert "<b>" not in flow._repr_html_()
