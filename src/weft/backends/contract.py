"""What every `backend=` of a workflow must do: a suite to subclass, for Weft's own implementations and for yours.

    class TestMyBackend(BackendContract):
        @pytest.fixture
        def backend(self):
            return MyBackend(...)

Needs pytest to be run and nothing to be imported. `run` drives a coroutine; override it where time should not pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from weft.backends.base import Backend
from weft.errors import AttemptError


class Expected(Exception):
    """What a function in here raises."""


class BackendContract:
    """Subclass with a fixture `backend`."""

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        """The coroutine's result."""
        return asyncio.run(main)

    def test_the_result_of_a_function_is_that_of_the_call(self, backend: Backend) -> None:
        assert self.run(backend.call("a", 1, lambda: 7, {})) == 7

    def test_an_async_function_is_awaited(self, backend: Backend) -> None:
        async def later() -> int:
            await asyncio.sleep(0)
            return 7

        assert self.run(backend.call("a", 1, later, {})) == 7

    def test_arguments_go_by_name(self, backend: Backend) -> None:
        def list_them(*, first: int, second: str) -> list[Any]:
            return [first, second]

        assert self.run(backend.call("each[3]/a", 1, list_them, {"second": "x", "first": 1})) == [1, "x"]

    def test_nothing_is_something(self, backend: Backend) -> None:
        assert self.run(backend.call("a", 1, lambda: None, {})) is None

    def test_what_a_function_raises_is_raised(self, backend: Backend) -> None:
        async def fails_later() -> None:
            raise Expected("later")

        def fails() -> None:
            raise Expected("at once")

        for function, said in ((fails_later, "later"), (fails, "at once")):
            error = self.run(_error_of(backend, function))
            assert isinstance(error, Expected)
            assert str(error) == said

    def test_a_function_that_would_end_the_program_fails(self, backend: Backend) -> None:
        def leaves() -> None:
            raise SystemExit(3)

        error = self.run(_error_of(backend, leaves))
        assert isinstance(error, AttemptError)
        assert error.message == "the function tried to end the program (SystemExit: 3)"

    def test_a_later_attempt_is_a_call_of_its_own(self, backend: Backend) -> None:
        count = [0]

        def counts() -> int:
            count[0] += 1
            return count[0]

        async def both() -> list[Any]:
            return [await backend.call("a", attempt, counts, {}) for attempt in (1, 2)]

        assert self.run(both()) == [1, 2]

    def test_calls_do_not_wait_for_each_other(self, backend: Backend) -> None:
        async def meet() -> list[Any]:
            here, there = asyncio.Event(), asyncio.Event()

            async def one() -> str:
                here.set()
                await there.wait()
                return "one"

            async def two() -> str:
                there.set()
                await here.wait()
                return "two"

            async with asyncio.timeout(30):
                return list(await asyncio.gather(backend.call("one", 1, one, {}), backend.call("two", 1, two, {})))

        assert self.run(meet()) == ["one", "two"]

    def test_a_cancelled_call_stops_its_function_and_says_so(self, backend: Backend) -> None:
        async def cancel() -> list[Any]:
            began, stopped = asyncio.Event(), asyncio.Event()

            async def waits() -> None:
                began.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    stopped.set()

            call = asyncio.ensure_future(backend.call("a", 1, waits, {}))
            async with asyncio.timeout(30):
                await began.wait()
                call.cancel()
                await asyncio.wait([call])
            return [stopped.is_set(), call.cancelled()]

        assert self.run(cancel()) == [True, True]


async def _error_of(backend: Backend, function: Any) -> BaseException | None:
    try:
        await backend.call("a", 1, function, {})
    except Exception as error:
        return error
    return None
