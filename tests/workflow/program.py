"""A program that is killed: `program.py SCENARIO`. It starts a run of a workflow, or goes on with the one there is.

Each step says to the file SINK when it begins and when it has ended: word, path, attempt, key. JOURNAL is the folder of
the journal. The last line is the result as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import weft

SECONDS = float(os.environ.get("STEP_SECONDS", "0.01"))


def note(word: str, ctx: weft.TaskContext) -> None:
    """One line, in one write."""
    line = f"{word} {ctx.path} {ctx.attempt} {ctx.key}\n"
    file = os.open(os.environ["SINK"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)


def step(answer: Any, *, fails: bool = False) -> Callable[..., Any]:
    """A function that tells the world of itself."""

    def work(ctx: weft.TaskContext) -> Any:
        note("start", ctx)
        time.sleep(SECONDS)
        if fails:
            raise OSError("it fails")
        note("end", ctx)
        return answer

    return work


def undo(output: Any, ctx: weft.TaskContext) -> None:
    """The same, for a compensation."""
    note("start", ctx)
    time.sleep(SECONDS)
    note("end", ctx)


def add(first: int, ctx: weft.TaskContext) -> int:
    """Needs the output of an earlier sitting."""
    note("start", ctx)
    note("end", ctx)
    return first + 1


def square(item: int, ctx: weft.TaskContext) -> int:
    """For each item."""
    note("start", ctx)
    time.sleep(SECONDS)
    note("end", ctx)
    return item * item


def diamond() -> weft.Workflow:
    """first -> (add, right) -> last."""
    flow = weft.Workflow("diamond")
    flow.add_task(step(41), id="first")
    flow.add_task(add)
    flow.add_task(step("right"), id="right", needs=["first"])
    flow.add_task(step("last"), id="last", needs=["add", "right"])
    return flow


def nested() -> weft.Workflow:
    """Combinators and maps."""
    flow = weft.Workflow("nested")

    def flaky(ctx: weft.TaskContext) -> str:
        note("start", ctx)
        if ctx.attempt < 2:
            raise OSError("once more")
        note("end", ctx)
        return "done"

    def handled(error: BaseException, ctx: weft.TaskContext) -> str:
        note("start", ctx)
        note("end", ctx)
        return str(error).rpartition(": ")[2]  # after a resume it is a NodeFailed: what was written down of it

    def item(index: int) -> Any:
        return weft.task(step(index), id=f"s{index}")

    flow.add_task(step([3, 4, 5]), id="items")
    flow.map_task(square, over="items", id="squares", concurrency=2)
    flow.map_task(square, over=iter(range(4)), id="streamed", concurrency=1, needs=["squares"])
    flow.add_task(weft.ParallelTasks(weft.Sequence(item(0), item(1)), weft.Timeout(item(2), 60)), id="both")
    again = weft.Retry(max_attempts=3, base=0.01)
    flow.add_task(weft.Retrying(flaky, again), id="again", needs=["both"])
    flow.add_task(weft.TryCatch(weft.task(step(0, fails=True), id="bad"), handled), id="saved", needs=["both"])
    flow.add_task(weft.Conditional(lambda: True, item(4), item(5)), id="choice", needs=["items"])
    flow.add_task(step("end"), id="end", needs=["streamed", "again", "saved", "choice"])
    return flow


def saga() -> weft.Workflow:
    """Four that are undone, of which two are items, and one that fails."""
    flow = weft.Workflow("saga")
    flow.add_task(step("a"), id="a", compensate=undo)
    flow.map_task(weft.task(square, compensate=undo), [1, 2], id="each", concurrency=1, needs=["a"])
    flow.add_task(step("c"), id="c", needs=["each"], compensate=undo)
    flow.add_task(step(0, fails=True), id="bad", needs=["c"])
    return flow


def once() -> weft.Workflow:
    """A step that must not run twice."""
    flow = weft.Workflow("once")
    flow.add_task(step("before"), id="before")
    flow.add_task(step("paid"), id="pay", needs=["before"], effect="once")
    flow.add_task(lambda pay: f"after {pay}", id="after")
    return flow


def main(scenario: str) -> None:
    """Run it, or go on."""
    flow = {"diamond": diamond, "nested": nested, "saga": saga, "once": once}[scenario]()
    journal = os.environ["JOURNAL"]
    try:
        result = weft.resume_sync("last", flow, journal=journal)
    except weft.NotFoundError:
        result = flow.run(journal=journal, check=False)
    report = result.rollback and {name: sorted(getattr(result.rollback, name)) for name in ("rolled_back", "failed")}
    nodes = {path: (node.status, node.output) for path, node in sorted(result.nodes.items())}
    told = {"status": result.status, "outputs": result.outputs, "rollback": report, "nodes": nodes}
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
