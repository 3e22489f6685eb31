"""A budget on a run: what does not fit does not start, and a stopped run goes on with a larger one."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import weft
from weft.event_types import AttemptSucceeded, BudgetExhausted
from weft.testing import FakeClock


def spending(uses: list[float], estimate: float, concurrency: int) -> weft.Workflow:
    """A map of tasks that use so many tokens each, all expected to use the estimate."""
    flow = weft.Workflow("spend")

    async def use(item: float, ctx: weft.TaskContext) -> float:
        import asyncio

        await asyncio.sleep(item / 1000)
        ctx.report(metrics={"tokens": item})
        return item

    flow.map_task(use, over=list(uses), concurrency=concurrency, id="all", estimate={"tokens": estimate})
    return flow


def spent(result: weft.RunResult) -> float:
    return sum(e.used.tokens for e in result.events if isinstance(e, AttemptSucceeded) and e.used is not None)


@pytest.mark.parametrize("seed", range(5))
def test_fifty_at_once_with_estimates_30_percent_off_overshoot_by_at_most_one_error(seed: int) -> None:
    rng = random.Random(seed)
    uses = [100 * rng.uniform(0.7, 1.3) for _ in range(300)]
    flow = spending(uses, 100.0, 50)
    for tokens in (150.0, 4_000.0, 10_000.0):
        result = FakeClock().run(flow.execute(jobs=50, budget=weft.Budget(tokens=tokens)))
        assert result.status == "waiting"
        assert tokens - 130 <= spent(result) <= tokens + 30
        assert "tokens allowed" in result.lacking


def test_a_stopped_run_goes_on_with_a_larger_budget_and_repeats_nothing(tmp_path: Path) -> None:
    flow = spending([100.0] * 30, 100.0, 5)
    place = tmp_path / ".weft"
    first = flow.run(check=False, journal=place, budget=weft.Budget(tokens=1_000))
    assert (first.status, spent(first)) == ("waiting", 1_000)
    again = weft.resume_sync(first.run_id, flow, journal=place, budget=weft.Budget(tokens=1_000))
    assert (again.status, spent(again)) == ("waiting", 1_000)
    last = weft.resume_sync(first.run_id, flow, journal=place, budget=weft.Budget(tokens=10_000))
    assert (last.status, spent(last), len(last["all"].output)) == ("succeeded", 3_000, 30)
    starts = [e.path for e in last.events if isinstance(e, AttemptSucceeded)]
    assert len(starts) == len(set(starts)) == 30


def test_a_stop_is_on_record_with_what_is_lacking(tmp_path: Path) -> None:
    result = spending([10.0] * 5, 10.0, 1).run(check=False, budget=weft.Budget(tokens=35))
    said = [e for e in result.events if isinstance(e, BudgetExhausted)]
    assert [e.path for e in said] == ["all[3]/use"]
    assert result.lacking == "all[3]/use: 35 tokens allowed, 30 tokens spent, 10 tokens wanted"
    assert result.rollback is None


def test_a_task_without_an_estimate_does_not_start_once_the_budget_is_spent() -> None:
    flow = weft.Workflow("spend")

    @flow.task
    def first(ctx: weft.TaskContext) -> None:
        ctx.report(metrics={"cost_usd": 2.0})

    @flow.task(needs=["first"])
    def second() -> None: ...

    result = flow.run(check=False, budget=weft.Budget(cost_usd=1.0))
    assert (result.status, list(result.outputs)) == ("waiting", ["first"])


def test_a_task_result_settles_what_it_used() -> None:
    flow = weft.Workflow("spend")

    def work() -> Any:
        return weft.TaskResult("COMPLETE", metrics=weft.TaskResultMetrics(tokens_used=70, cost_usd=0.5))

    flow.add_task(work)
    result = flow.run(budget=weft.Budget(tokens=100))
    assert spent(result) == 70


def test_wall_time_keeps_what_comes_later_from_starting_also_after_a_resume(tmp_path: Path) -> None:
    import asyncio

    flow = weft.Workflow("slow")

    async def wait(item: int) -> int:
        await asyncio.sleep(10)
        return item

    flow.map_task(wait, over=list(range(10)), concurrency=1, id="all")
    clock = FakeClock()
    result = clock.run(flow.execute(budget=weft.Budget(wall=25)))
    assert (result.status, result.counts["succeeded"]) == ("waiting", 3)
    assert result.lacking == "all[3]/wait: 25 s allowed, 30 s passed"


@pytest.mark.parametrize("budget", [100, {"tokens": 3}, "tokens=3"])
def test_what_is_no_budget_is_refused(budget: Any) -> None:
    with pytest.raises(weft.InputError) as raised:
        spending([1.0], 1.0, 1).run(budget=budget)
    assert str(raised.value) == f"budget is {budget!r}; it must be a weft.Budget"
