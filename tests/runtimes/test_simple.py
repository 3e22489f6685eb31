from __future__ import annotations

import asyncio
import selectors
from typing import Any

import pytest

from runtimes.support import bound
from weft.runtimes.base import AttemptContext, Output, Resources, World
from weft.runtimes.simple import Delay


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        self._ahead = 0.0
        super().__init__(_Impatient(self))

    def time(self) -> float:
        return self._ahead

    def jump(self, seconds: float) -> None:
        self._ahead += seconds


class _Impatient(selectors.SelectSelector):
    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout:
            self._loop.jump(timeout)
        return super().select(0)


class At:
    """A clock that shows what it was given."""

    def __init__(self, now: float) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return 0.0


def waited(world: World, duration: float, started_at: float | None) -> float:
    loop = JumpingLoop()
    try:
        ctx = AttemptContext(world, "n", started_at=started_at)
        assert loop.run_until_complete(Delay().run(ctx, {"duration": duration}, "input")) == "input"
        return loop.time()
    finally:
        loop.close()


@pytest.mark.parametrize(
    ("now", "started_at", "seconds"),
    [
        (1000.0, 1000.0, 3600.0),
        (1000.0, None, 3600.0),
        (1600.0, 1000.0, 3000.0),
        (9000.0, 1000.0, 0.0),
        (500.0, 1000.0, 3600.0),
    ],
)
def test_a_delay_waits_for_what_is_left(make_world: Any, now: float, started_at: float | None, seconds: float) -> None:
    assert waited(make_world(clock=At(now)), 3600.0, started_at) == pytest.approx(seconds)


def test_a_delay_holds_no_slot() -> None:
    assert Delay.holds_slot is False


def test_values_are_passed(attempt: Any) -> None:
    assert attempt("source:value", {"value": [1, {"a": None}]}) == [1, {"a": None}]
    assert attempt("set", {"var": "x", "value": "{{ kept }}"}) == "{{ kept }}"
    assert attempt("set", {"var": "x", "expression": bound("1 + 1")}) == 2
    assert attempt("context", {"values": {"a": 1, "b": 2}}) == {"a": 1, "b": 2}


def test_data_that_looks_like_a_result_is_data(attempt: Any) -> None:
    data = {"value": 1, "exit_code": 0, "stderr": None, "type": "Output", "sha256": "x", "size": 1}
    for kind, settings in (("source:value", {"value": data}), ("transform:value", {"expression": bound("x", x=data)})):
        result = attempt(kind, settings)
        assert result == data
        assert not isinstance(result, Output)


def test_resources_are_made_once_and_closed_in_reverse() -> None:
    closed: list[str] = []

    async def close(name: str) -> None:
        closed.append(name)
        if name == "b":
            raise RuntimeError("broken")

    async def main() -> None:
        resources = Resources()
        assert resources.obtain("a", lambda: "a", close) == "a"
        assert resources.obtain("b", lambda: "b", close) == "b"
        assert resources.obtain("a", lambda: "other", close) == "a"
        with pytest.raises(RuntimeError, match="broken"):
            await resources.aclose()
        await resources.aclose()

    asyncio.run(main())
    assert closed == ["b", "a"]


def test_a_context_knows_what_is_left(make_world: Any) -> None:
    world = make_world(clock=At(5.0))
    assert AttemptContext(world, "n").remaining() is None
    assert AttemptContext(world, "n", deadline=2.5).remaining() == 2.5
    assert AttemptContext(world, "n", deadline=-1.0).remaining() == 0.0
