"""Every backend that calls functions, through the one contract; and that it notices those that do not do it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from weft.testing import BackendContract, Drawn, FakeClock, JournalContract, ScriptedBackend


class Virtual(BackendContract):
    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        return FakeClock().run(main)


class TestScripted(Virtual):
    @pytest.fixture
    def backend(self) -> ScriptedBackend:
        return ScriptedBackend({"other": 1})


class TestDrawn(Virtual):
    @pytest.fixture(params=[0, 1, 2])
    def backend(self, request: pytest.FixtureRequest) -> Drawn:
        return Drawn(request.param)


class TestDrawnAroundAScript(Virtual):
    @pytest.fixture
    def backend(self) -> Drawn:
        return Drawn(1, inner=ScriptedBackend())


# -- those that do not do it --------------------------------------------------------------------------------------------


class Naive:
    """Calls the function, and nothing else."""

    async def call(self, path: str, attempt: int, function: Callable[..., Any], arguments: Any) -> Any:
        answer = function(**arguments)
        return await answer if inspect.isawaitable(answer) else answer


class Awaitless(Naive):
    async def call(self, path: str, attempt: int, function: Callable[..., Any], arguments: Any) -> Any:
        return function(**arguments)


class Positional(Naive):
    async def call(self, path: str, attempt: int, function: Callable[..., Any], arguments: Any) -> Any:
        return await super().call(path, attempt, lambda: function(*arguments.values()), {})


class Silent(Naive):
    async def call(self, path: str, attempt: int, function: Callable[..., Any], arguments: Any) -> Any:
        try:
            return await super().call(path, attempt, function, arguments)
        except Exception:
            return None


class Insisting(Naive):
    async def call(self, path: str, attempt: int, function: Callable[..., Any], arguments: Any) -> Any:
        try:
            return await super().call(path, attempt, function, arguments)
        except asyncio.CancelledError:
            return None


class OneByOne(Naive):
    def __init__(self) -> None:
        self.lock = asyncio.Lock()

    async def call(self, path: str, attempt: int, function: Callable[..., Any], arguments: Any) -> Any:
        async with self.lock:
            return await super().call(path, attempt, function, arguments)


class Remembering(Naive):
    def __init__(self) -> None:
        self.known: dict[str, Any] = {}

    async def call(self, path: str, attempt: int, function: Callable[..., Any], arguments: Any) -> Any:
        if path not in self.known:
            self.known[path] = await super().call(path, attempt, function, arguments)
        return self.known[path]


@pytest.mark.parametrize(
    ("broken", "seen"),
    [
        (Naive, "test_a_function_that_would_end_the_program_fails"),
        (Awaitless, "test_an_async_function_is_awaited"),
        (Positional, "test_arguments_go_by_name"),
        (Silent, "test_what_a_function_raises_is_raised"),
        (Insisting, "test_a_cancelled_call_stops_its_function_and_says_so"),
        (OneByOne, "test_calls_do_not_wait_for_each_other"),
        (Remembering, "test_a_later_attempt_is_a_call_of_its_own"),
    ],
)
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_a_broken_backend_is_seen(broken: Callable[[], Any], seen: str) -> None:
    with pytest.raises((AssertionError, TimeoutError, TypeError, SystemExit)):
        getattr(Virtual(), seen)(broken())


def test_the_contracts_are_at_one_door() -> None:
    from weft.journal.contract import JournalContract as Journals

    assert JournalContract is Journals
