"""What a user's type checker sees of Weft: read by mypy, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, assert_type

import weft

flow = weft.Workflow("etl", limits={"api": 2, "mail": "10/s", "disk": weft.Limit(concurrency=3)})


@flow.task
async def extract() -> list[dict[str, int]]:
    return [{"score": 1}]


@flow.task(retry=weft.Retry(max_attempts=4, backoff="exponential"), timeout=30)
def transform(extract: list[dict[str, int]]) -> list[int]:
    return [row["score"] for row in extract]


@weft.task(retry=2)
def alone() -> int:
    return 1


@weft.task
def other(ctx: weft.TaskContext) -> weft.TaskResult:
    ctx.report(progress=0.5, metrics={"tokens": 3})
    ctx.token.raise_if_cancelled()
    return weft.TaskResult(status="COMPLETE", metrics=weft.TaskResultMetrics(tokens_used=3))


assert_type(transform([{"score": 2}]), list[int])
assert_type(alone, weft.Task)
assert_type(other, weft.Task)

both = flow.add_task(weft.Sequence(alone, weft.ParallelTasks(other, lambda: 3, concurrency=2)), id="both")
flow.add_task(weft.Conditional(lambda transform: len(transform) > 3, alone, otherwise=other), id="chosen")
flow.add_task(weft.TryCatch(weft.Timeout(alone, 3.5), lambda error: str(error)), id="caught")
flow.add_task(weft.Retrying(alone, weft.Retry(max_attempts=2)), id="again", compensate=weft.undo.restore_file("plan"))
flow.map_task(lambda item: item, over=range(3), concurrency=3, id="mapped")
flow.add_dependency("caught", both)

assert_type(flow.execution_layers(), list[list[str]])


async def numbers() -> AsyncIterator[int]:
    yield 1


async def double(number: int) -> int:
    return 2 * number


def triple(number: int) -> str:
    return str(3 * number)


async def main() -> None:
    token = weft.CancellationToken()
    budget = weft.Budget(tokens=3, cost_usd=1.0)
    result = await flow.execute(arguments={"day": 1}, schedule="waves", jobs=3, token=token.child(), budget=budget)
    result = await flow.execute_parallel(journal=".weft", timeout=3)
    result = await weft.resume(result.run_id, flow, journal=".weft", budget=budget)
    assert_type(result["load"], weft.NodeResult)
    assert_type(result.tasks, dict[str, weft.NodeResult])
    assert_type(result.errors, list[weft.NodeFailed])
    assert_type(result.outputs, dict[str, Any])
    assert_type(result.duration, float | None)
    assert_type(result.rollback, weft.RollbackReport | None)
    try:
        flow.run(check=True, jobs=2)
    except weft.WorkflowFailed as failed:
        assert_type(failed.exceptions, tuple[weft.NodeFailed, ...])
        assert_type(failed.result, weft.RunResult)
    assert_type(await weft.run_with_concurrency([1, 2], double, 2, token=token), list[int])
    assert_type(await weft.run_with_concurrency(numbers(), triple, 2, on_error=print, timeout=3), list[str])
    async for index, item, outcome in weft.iter_concurrently([1, 2], triple, 2):
        assert_type((index, item, outcome.value), tuple[int, int, str | None])
