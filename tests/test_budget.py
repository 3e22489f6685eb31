"""Budgets: the overshoot is at most the error of one estimate, and nothing that fits is left unused."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.budget import Budget, Ledger
from weft.errors import BudgetExceeded, InputError
from weft.event_types import Usage
from weft.testing import FakeClock


class Naive(Ledger):
    """The control: what runs counts at its estimate."""

    def fits(self, usage: Usage) -> bool:
        return self.spent.tokens + self._running["tokens"] + usage.tokens <= (self.budget.tokens or 0)


class Blind(Ledger):
    """The other control: what runs does not count at all."""

    def fits(self, usage: Usage) -> bool:
        return self.spent.tokens + usage.tokens <= (self.budget.tokens or 0)


def spend_all(
    ledger: Ledger, tasks: list[tuple[float, float]], concurrency: int, rng: random.Random
) -> tuple[float, float, int]:
    """Run (estimate, actual) until nothing more starts: what was spent, the largest error of one, the most at once."""
    waiting, most, worst = list(enumerate(tasks)), 0, 0.0
    running: dict[int, float] = {}
    while True:
        while waiting and len(running) < concurrency and ledger.fits(Usage(tokens=waiting[0][1][0])):
            key, (estimate, actual) = waiting.pop(0)
            ledger.reserve(key, Usage(tokens=estimate))
            running[key] = actual
            worst = max(worst, actual - estimate)
        most = max(most, len(running))
        if not running:
            return ledger.spent.tokens, worst, most
        key = rng.choice(list(running))
        ledger.settle(key, Usage(tokens=running.pop(key)))


ESTIMATES = st.lists(st.floats(1, 1000), min_size=1, max_size=120)


@settings(max_examples=150, deadline=None)
@given(ESTIMATES, st.integers(1, 50), st.floats(0.05, 1.2), st.randoms(use_true_random=False))
def test_the_overshoot_is_at_most_the_error_of_one_estimate(
    estimates: list[float], concurrency: int, share: float, rng: random.Random
) -> None:
    tasks = [(e, e * rng.uniform(0.7, 1.3)) for e in estimates]
    limit = sum(estimates) * share
    spent, worst, _ = spend_all(Ledger(Budget(tokens=limit)), tasks, concurrency, rng)
    assert spent <= limit + max(0.0, worst) + 1e-6 * limit


@pytest.mark.parametrize("ledger", [Naive, Blind])
def test_the_naive_rules_overshoot_by_many_errors(ledger: type[Ledger]) -> None:
    """The control of the test above, and its worst case for ours: all are 30 % off in the same direction."""
    tasks = [(100.0, 130.0)] * 200
    spent, worst, _ = spend_all(ledger(Budget(tokens=10_000)), tasks, 50, random.Random(1))
    assert spent > 10_000 + 10 * worst
    spent, worst, most = spend_all(Ledger(Budget(tokens=10_000)), tasks, 50, random.Random(1))
    assert spent <= 10_000 + worst
    assert most > 40


def test_estimates_that_are_worse_than_2_x_are_learned_from() -> None:
    tasks = [(100.0, 500.0)] * 200
    ledger = Ledger(Budget(tokens=50_000))
    ledger.reserve("first", Usage(tokens=100))
    ledger.settle("first", Usage(tokens=500))
    spent, worst, _ = spend_all(ledger, tasks, 50, random.Random(1))
    assert spent <= 50_000 + worst


@pytest.mark.parametrize("seed", range(5))
def test_a_thousand_small_tasks_use_nearly_all_of_the_budget(seed: int) -> None:
    rng = random.Random(seed)
    tasks = [(e, e * rng.uniform(0.7, 1.3)) for e in (rng.uniform(50, 150) for _ in range(1000))]
    limit = 60_000.0
    spent, worst, most = spend_all(Ledger(Budget(tokens=limit)), tasks, 50, rng)
    assert 0.97 * limit <= spent <= limit + worst
    assert most == 50


def test_what_runs_counts_double_and_what_asks_at_its_face() -> None:
    ledger = Ledger(Budget(tokens=100))
    assert ledger.fits(Usage(tokens=100))
    assert not ledger.fits(Usage(tokens=101))
    ledger.reserve("a", Usage(tokens=30))
    assert ledger.fits(Usage(tokens=40))
    assert not ledger.fits(Usage(tokens=41))
    assert ledger.may_fit(Usage(tokens=100))
    words = "100 tokens allowed, 0 tokens spent, 60 tokens held for what runs, 41 tokens wanted"
    assert ledger.lacking(Usage(tokens=41)) == words
    assert ledger.lacking(Usage(tokens=40)) == ""
    ledger.settle("a", Usage(tokens=35))
    assert ledger.spent == Usage(tokens=35)
    assert ledger.fits(Usage(tokens=65))
    assert not ledger.may_fit(Usage(tokens=66))


def test_without_an_estimate_it_starts_until_the_budget_is_used_up() -> None:
    ledger = Ledger(Budget(cost_usd=0.3))
    ledger.spend(Usage(cost_usd=0.1))
    assert ledger.fits(Usage())
    assert ledger.fits(Usage(cost_usd=0.2))
    ledger.spend(Usage(cost_usd=0.2))
    assert ledger.exhausted
    assert not ledger.fits(Usage())
    assert ledger.lacking(Usage()) == "0.3000 USD allowed, 0.3000 USD spent, 0.0000 USD wanted"


def test_every_limit_counts_and_what_has_none_does_not() -> None:
    ledger = Ledger(Budget(tokens=10, cost_usd=1))
    assert not ledger.fits(Usage(tokens=1, cost_usd=2))
    assert not ledger.fits(Usage(tokens=11))
    assert Ledger(Budget()).fits(Usage(tokens=1e18, cost_usd=1e9))


def test_wall_time_is_handed_in() -> None:
    ledger = Ledger(Budget(wall=60))
    ledger.elapsed = 59.9
    assert ledger.fits(Usage())
    ledger.elapsed = 60
    assert ledger.exhausted
    assert ledger.lacking(Usage()) == "60 s allowed, 60 s passed"


def test_a_release_gives_all_of_it_back() -> None:
    ledger = Ledger(Budget(tokens=10))
    ledger.reserve("a", Usage(tokens=10))
    assert not ledger.fits(Usage(tokens=1))
    ledger.release("a")
    assert ledger.fits(Usage(tokens=10))


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "3"])
@pytest.mark.parametrize("name", ["tokens", "cost_usd", "wall"])
def test_a_budget_is_checked(name: str, value: Any) -> None:
    with pytest.raises(InputError) as caught:
        Budget(**{name: value})
    assert str(caught.value) == f"the budget's {name} is {value!r}; it must be a number above 0"
    with pytest.raises(InputError):  # also as data
        msgspec.convert({name: -1}, Budget)


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_a_use_that_is_no_amount_changes_nothing(value: float) -> None:
    ledger = Ledger(Budget(tokens=10))
    ledger.reserve("a", Usage(tokens=5))
    for act in (ledger.spend, lambda usage: ledger.settle("a", usage), lambda usage: ledger.reserve("b", usage)):
        with pytest.raises(InputError, match="is no amount"):
            act(Usage(tokens=value))
    ledger.settle("a", Usage(tokens=5))
    assert ledger.spent == Usage(tokens=5)


def test_keys_are_reserved_once() -> None:
    ledger = Ledger(Budget(tokens=10))
    ledger.reserve("a", Usage(tokens=1))
    with pytest.raises(InputError, match="'a' has a reservation already"):
        ledger.reserve("a", Usage())
    with pytest.raises(InputError, match="'b' has no reservation"):
        ledger.settle("b", Usage())
    with pytest.raises(InputError, match="'b' has no reservation"):
        ledger.release("b")


def test_spending_waits_while_it_may_still_fit_and_says_when_it_cannot() -> None:
    started: list[int] = []
    refused: list[BudgetExceeded] = []

    async def main() -> float:
        async with Budget(tokens=1000).open() as spending:

            async def one(index: int) -> None:
                try:
                    async with spending.reserve(tokens=100) as place:
                        started.append(index)
                        await asyncio.sleep(1)
                        place.used(tokens=130)
                except BudgetExceeded as error:
                    refused.append(error)

            async with asyncio.TaskGroup() as group:
                for i in range(20):
                    group.create_task(one(i))
            return spending.spent.tokens

    assert FakeClock().run(main()) == 910
    assert started == list(range(7))
    words = "the budget does not suffice: 1,000 tokens allowed, 910 tokens spent, 100 tokens wanted"
    assert {str(e) for e in refused} == {words}
    assert refused[0].hint == "allow a larger budget, or want less"
    assert refused[0].exit_code == 4


def test_an_error_inside_counts_the_estimate_and_wakes_the_next() -> None:
    async def main() -> None:
        async with Budget(cost_usd=1).open() as spending:
            with pytest.raises(ValueError, match="lost"):
                async with spending.reserve(cost_usd=0.4):
                    raise ValueError("lost")
            assert spending.spent == Usage(cost_usd=0.4)
            async with spending.reserve(cost_usd=0.6):
                pass

    FakeClock().run(main())


def test_a_cancelled_wait_leaves_its_turn_to_the_next() -> None:
    async def main() -> list[str]:
        order: list[str] = []
        async with Budget(tokens=10).open() as spending:

            async def take(name: str, tokens: float) -> None:
                async with spending.reserve(tokens=tokens) as place:
                    order.append(name)
                    await asyncio.sleep(10)
                    place.used(tokens=1)

            first = asyncio.create_task(take("first", 5))
            await asyncio.sleep(1)
            second = asyncio.create_task(take("second", 5))
            third = asyncio.create_task(take("third", 3))
            await asyncio.sleep(1)
            second.cancel()
            await asyncio.gather(first, third)
            assert second.cancelled()
        return order

    assert FakeClock().run(main()) == ["first", "third"]


def test_wall_time_ends_a_wait() -> None:
    async def main() -> None:
        async with Budget(tokens=10, wall=60).open() as spending, spending.reserve(tokens=10):
            with pytest.raises(BudgetExceeded, match="60 s allowed, 60 s passed"):
                await spending.reserve(tokens=5).__aenter__()

    FakeClock().run(main())
