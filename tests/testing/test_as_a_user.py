"""How the tests of somebody's workflow look, from end to end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import weft
from weft.testing import Fail, FakeClock, ScriptedBackend, Takes, run_deterministic, simulate
from weft.testing.plugin import WeftRun


def orders(store: dict[str, Any] | None = None, **together: Any) -> weft.Workflow:
    """Loads orders from somewhere, counts them in two ways in one store, and reports."""
    flow = weft.Workflow("orders")
    kept: dict[str, Any] = {} if store is None else store

    @flow.task(retry=weft.Retry(max_attempts=5, base=2, jitter="none"), timeout=30)
    async def load(day: str) -> list[int]:
        raise AssertionError("no test reaches the real shop")

    async def add(name: str, number: int) -> None:
        seen = dict(kept)
        await asyncio.sleep(0.1)  # writes the whole store, as a file would be
        kept.clear()
        kept.update({**seen, name: number})

    @flow.task(**together)
    async def count(load: list[int]) -> None:
        await add("count", len(load))

    @flow.task(**together)
    async def total(load: list[int]) -> None:
        await add("total", sum(load))

    @flow.task(needs=["count", "total"])
    def report() -> dict[str, Any]:
        return dict(kept)

    return flow


@pytest.fixture
def shop() -> ScriptedBackend:
    return ScriptedBackend({"load": [Fail("503", status=503), Takes(20, [5, 7])]})


def test_orders_are_counted_although_the_shop_is_busy_at_first(weft_run: WeftRun, shop: ScriptedBackend) -> None:
    flow = orders(writes=["store"])
    result = weft_run(flow, arguments={"day": "monday"}, backend=shop, clock=FakeClock())
    assert result["report"].output == {"count": 2, "total": 12}
    assert [call for call in shop.calls if call.path == "load"] == [
        ("load", 1, {"day": "monday"}),
        ("load", 2, {"day": "monday"}),
    ]
    assert result["load"].attempts == 2


def test_a_shop_that_hangs_is_given_up(weft_run: WeftRun) -> None:
    backend = ScriptedBackend({"load": Takes(31)})
    result = weft_run(orders(), arguments={"day": "monday"}, backend=backend, clock=FakeClock(), expect="failed")
    assert (result["load"].attempts, result["report"].status) == (5, "skipped")
    assert result.duration == 5 * 30 + 2 + 4 + 8 + 16


def test_what_was_loaded_is_not_loaded_again_after_a_failure(weft_run: WeftRun, shop: ScriptedBackend) -> None:
    broken = ScriptedBackend({"load": [[5, 7]], "total": Fail("disk full", retryable=False)})
    first = weft_run(orders(), arguments={"day": "monday"}, backend=broken, journal=True, expect="failed")
    again = weft.resume_sync(first.run_id, orders({}), journal=weft_run.journal, backend=shop)
    assert again.status == "succeeded"
    assert "load" not in [call.path for call in shop.calls]


def reports(**together: Any) -> list[dict[str, Any]]:
    """By 50 seeds."""
    backends = [ScriptedBackend({"load": [[5, 7]]}) for _ in range(50)]
    runs = [
        run_deterministic(orders(**together), seed, arguments={"day": "monday"}, backend=backend)
        for seed, backend in enumerate(backends)
    ]
    return [run["report"].output for run in runs]


def test_the_two_counters_share_a_store_and_must_say_so() -> None:
    assert any(len(report) < 2 for report in reports())
    assert all(report == {"count": 2, "total": 12} for report in reports(writes=["store"]))


def test_how_long_it_would_take(tmp_path: Path) -> None:
    seconds = {"load": 20, "count": 4, "total": 6, "report": 1}
    assert simulate(orders(), seconds, jobs=4).makespan == 27
    assert simulate(orders(writes=["store"]), seconds, jobs=4).makespan == 31
