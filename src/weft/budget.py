"""Budgets: what does not fit does not start, however much runs at once.

An attempt reserves what it is expected to use, and settles what it has used. Were every reservation counted at its
estimate, fifty attempts that each use 30 % more than expected would overshoot by fifty errors. So what runs counts at
its estimate times a factor, 2 or the worst ratio of actual to expected that was seen, and only the one that asks to
start counts at its face. Then, if no actual use is above that factor x its estimate:

    spent + sum(factor x estimate of what runs) + estimate(new) <= limit
    so   spent + sum(actual of what runs) + actual(new) <= limit + (actual(new) - estimate(new))

and the same holds after every later start: the overshoot is at most the error of one estimate. Near the end fewer run
at once, and the last runs alone, at its face: nothing that fits is left unused for the factor. Without an estimate
(zero) nothing can be promised: that starts until the budget is used up.

Rejected: a fixed reserve (it is lost to whoever does not overshoot, and too small for who does), and stopping attempts
in the middle (their use is spent all the same).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from weft.errors import BudgetExceeded, InputError
from weft.event_types import Usage

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

CAUTION = 2.0
"""What runs counts at least at this many times its estimate."""
_ROUNDING = 1e-9
"""Sums of floating-point numbers: 0.1 + 0.2 fits into 0.3."""
_WORDS = {"tokens": "{:,.0f} tokens", "cost_usd": "{:,.4f} USD"}


class Budget(msgspec.Struct, frozen=True, omit_defaults=True):
    """At most so many tokens, US dollars, and seconds of wall time; None: no limit. Raises InputError."""

    tokens: float | None = None
    cost_usd: float | None = None
    wall: float | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not (_is_amount(value) and value > 0):
                raise InputError(
                    f"the budget's {name} is {value!r}; it must be a number above 0", hint="None: no limit"
                )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Spending]:
        """Spend it without a workflow; its wall time begins now.

        async with budget.open() as spending:
            async with spending.reserve(tokens=900) as place:
                place.used(tokens=(await ask(question)).tokens)
        """
        yield Spending(self)


class Ledger:
    """A budget's account: pure and without a clock; whoever knows the time sets `elapsed` (seconds)."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.elapsed = 0.0
        self.spent = Usage()
        self._reserved: dict[Hashable, Usage] = {}
        self._limits = {name: limit for name in _WORDS if (limit := getattr(budget, name)) is not None}
        self._running = dict.fromkeys(_WORDS, 0.0)  # sums of `_reserved`
        self._factor = dict.fromkeys(_WORDS, CAUTION)

    @property
    def exhausted(self) -> bool:
        """Whether nothing more may start."""
        late = self.budget.wall is not None and self.elapsed >= self.budget.wall
        return late or any(self._used_up(name) for name in self._limits)

    def fits(self, usage: Usage) -> bool:
        """Whether an attempt with this estimate may start now."""
        return not self.exhausted and all(self._fits(name, getattr(usage, name), alone=False) for name in self._limits)

    def may_fit(self, usage: Usage) -> bool:
        """Whether it might start once what runs has ended, should that use nothing."""
        return not self.exhausted and all(self._fits(name, getattr(usage, name), alone=True) for name in self._limits)

    def reserve(self, key: Hashable, usage: Usage) -> None:
        """An attempt starts. Does not ask whether it fits: what is replayed did start. Raises InputError."""
        check(usage)
        if key in self._reserved:
            raise InputError(f"{key!r} has a reservation already", hint="settle or release it first")
        self._reserved[key] = usage
        for name in _WORDS:
            self._running[name] += getattr(usage, name)

    def settle(self, key: Hashable, usage: Usage) -> None:
        """An attempt has ended and has used this much. Raises InputError; the reservation stays then."""
        check(usage)
        estimate = self._take(key)
        for name in _WORDS:
            if expected := getattr(estimate, name):
                self._factor[name] = max(self._factor[name], getattr(usage, name) / expected)
        self.spend(usage)

    def release(self, key: Hashable) -> None:
        """An attempt has not used anything. Raises InputError."""
        self._take(key)

    def spend(self, usage: Usage) -> None:
        """So much was used, reserved or not. Raises InputError."""
        check(usage)
        self.spent = Usage(self.spent.tokens + usage.tokens, self.spent.cost_usd + usage.cost_usd)

    def lacking(self, usage: Usage) -> str:
        """Why this does not fit now: limit, spent, held by what runs, wanted. Empty when it fits."""
        found = []
        if self.budget.wall is not None and self.elapsed >= self.budget.wall:
            found.append(f"{self.budget.wall:g} s allowed, {self.elapsed:g} s passed")
        for name, limit in self._limits.items():
            wanted = getattr(usage, name)
            if self._used_up(name) or not self._fits(name, wanted, alone=False):
                say = _WORDS[name].format
                held = self._running[name] * self._factor[name]
                holding = f", {say(held)} held for what runs" if held else ""
                found.append(
                    f"{say(limit)} allowed, {say(getattr(self.spent, name))} spent{holding}, {say(wanted)} wanted"
                )
        return "; ".join(found)

    def _used_up(self, name: str) -> bool:
        return bool(getattr(self.spent, name) >= self._limits[name] * (1 - _ROUNDING))

    def _fits(self, name: str, wanted: float, *, alone: bool) -> bool:
        if not wanted:
            return True
        held = 0.0 if alone else self._running[name] * self._factor[name]
        return bool(getattr(self.spent, name) + held + wanted <= self._limits[name] * (1 + _ROUNDING))

    def _take(self, key: Hashable) -> Usage:
        if key not in self._reserved:
            raise InputError(f"{key!r} has no reservation", hint="reserve before you settle or release")
        usage = self._reserved.pop(key)
        for name in _WORDS:
            rest = self._running[name] - getattr(usage, name)
            self._running[name] = max(0.0, rest) if self._reserved else 0.0  # rounding does not pile up
        return usage


class Place:
    """One reservation. What it has used is what it was told last; not told, its estimate counts."""

    def __init__(self, estimate: Usage) -> None:
        self.usage = estimate

    def used(self, *, tokens: float = 0.0, cost_usd: float = 0.0) -> None:
        """What was used in the end. Raises InputError."""
        usage = Usage(tokens, cost_usd)
        check(usage)
        self.usage = usage


class Spending:
    """A budget being spent in one event loop: first come, first served. Made by `Budget.open`."""

    def __init__(self, budget: Budget) -> None:
        import asyncio

        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._ledger = Ledger(budget)
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    @property
    def spent(self) -> Usage:
        """What was used so far."""
        return self._ledger.spent

    def reserve(self, *, tokens: float = 0.0, cost_usd: float = 0.0) -> AbstractAsyncContextManager[Place]:
        """Enter when it fits, waiting for what runs; leave, and what was used counts, also after an error.

        Raises BudgetExceeded when it cannot fit any more, InputError for an amount that is none. Whoever holds a place
        must not ask for another: it may be waiting for itself.
        """
        usage = Usage(tokens, cost_usd)
        check(usage)
        return self._reserve(usage)

    @asynccontextmanager
    async def _reserve(self, usage: Usage) -> AsyncIterator[Place]:
        place = Place(usage)
        async with self._turn:  # fair: a large one is not starved by small ones
            while not self._fits(usage):
                await self._wait()
            self._ledger.reserve(place, usage)
        try:
            yield place
        finally:
            self._ledger.settle(place, place.usage)
            self._changed.set()

    def _fits(self, usage: Usage) -> bool:
        self._ledger.elapsed = self._loop.time() - self._began
        if not self._ledger.may_fit(usage):
            raise BudgetExceeded(self._ledger.lacking(usage))
        return self._ledger.fits(usage)

    async def _wait(self) -> None:
        """Until something was settled, or the time is up."""
        import asyncio
        from contextlib import suppress

        wall = self._ledger.budget.wall
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(None if wall is None else self._began + wall):
                await self._changed.wait()


def _is_amount(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and 0 <= value < float("inf")


def check(usage: Usage) -> None:
    """Raise InputError for a use that is no amount."""
    for name in _WORDS:
        value = getattr(usage, name)
        if not _is_amount(value):
            raise InputError(f"a use of {value!r} {name} is no amount", hint="a finite number of 0 or more")
