"""A workflow without its world: what each call answers, how long it takes, and what it was asked.

backend = ScriptedBackend({"load": [Fail("503"), 7], "report": Takes(3600, "sent")})
result = FakeClock().run(flow.execute(backend=backend))
backend.calls                      what was called, in order
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from weft.backends.base import interrupted
from weft.errors import AttemptError, InputError, nearest

_UNSAID = ("ScriptedError", True, None, None, False)


class Fail:
    """The outcome of a call that fails: with a message, or with an exception as it is.

    `type` is the error's type in the run, `retryable` whether a retry may help, `retry_after` the seconds that the
    other side asks to wait, `status` an HTTP status or exit code; `unknown`: it may have taken effect all the same. An
    exception says all of that itself: with one they are refused, by InputError.
    """

    def __init__(
        self,
        error: str | BaseException | type[BaseException],
        *,
        type: str = "ScriptedError",  # noqa: A002 - the field's name in ErrorData
        retryable: bool = True,
        retry_after: float | None = None,
        status: int | None = None,
        unknown: bool = False,
    ) -> None:
        said = (type, retryable, retry_after, status, unknown)
        if not isinstance(error, str):
            if not _is_exception(error):
                raise InputError(f"{error!r} is no way to fail", hint="pass a message or an exception")
            if said != _UNSAID:
                raise InputError(f"{error!r} says itself how it fails", hint="pass a message instead")
        self._error = error
        self._said = dict(zip(("type", "retryable", "retry_after", "status", "unknown"), said, strict=True))

    def exception(self) -> BaseException:
        """What the call raises: with a message a new AttemptError each time."""
        error = self._error
        if isinstance(error, str):
            return AttemptError(error, **self._said)  # type: ignore[arg-type]
        return error() if isinstance(error, type) else error.with_traceback(None)

    def __repr__(self) -> str:
        return f"Fail({self._error!r})"


class Takes(NamedTuple):
    """An outcome after some seconds, in the time of the loop: with a FakeClock they do not really pass."""

    seconds: float
    outcome: Any = None


class Called(NamedTuple):
    """One call of a task's function. `attempt` counts from 1; `arguments` are by name, a context among them."""

    path: str
    attempt: int
    arguments: Mapping[str, Any]


class ScriptedBackend:
    """The `backend=` of a run in which tasks do what a script says. `calls` are those made so far, in order.

    `script` maps paths or ids of tasks (the path is looked for first) to outcomes:

    a list           one outcome per call that this entry answers; the last goes on for ever
    an exception     raised, as is a Fail
    Takes            an outcome after some seconds
    a function       called with those of the task's arguments that it takes; what it returns is returned
    anything else    returned: for a list as a value, a list with it inside

    What is not in the script calls its real function, in the loop, also one that blocks; with `strict` it fails with an
    error that names it. Raises InputError for an empty list, which has no outcome.
    """

    def __init__(self, script: Mapping[str, Any] | None = None, *, strict: bool = False) -> None:
        self._script = dict(script or {})
        self._strict = strict
        self._counts = dict.fromkeys(self._script, 0)
        self.calls: list[Called] = []
        for name, outcome in self._script.items():
            if isinstance(outcome, list) and not outcome:
                raise InputError(f"the script has no outcome for {name!r}: its list is empty", hint="[[]] returns []")

    @property
    def unused(self) -> list[str]:
        """The names in the script that no call has met: perhaps misspelt."""
        return [name for name, count in self._counts.items() if not count]

    async def call(self, path: str, attempt: int, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """The outcome. Raises what it says."""
        self.calls.append(Called(path, attempt, dict(arguments)))
        name = path if path in self._script else id_of(path)
        if name not in self._script:
            if self._strict:
                raise self._unknown(path)
            return await call_in_loop(function, arguments)
        self._counts[name] += 1
        outcome = self._script[name]
        if isinstance(outcome, list):
            outcome = outcome[min(self._counts[name], len(outcome)) - 1]
        return await _perform(outcome, arguments)

    def _unknown(self, path: str) -> InputError:
        close = nearest(id_of(path), list(self._script))
        known = f"it has {close[0]!r}; " if close else ""
        return InputError(f"the script has no outcome for {path!r}", hint=f"{known}add it, or drop strict=True")


def id_of(path: str) -> str:
    """The id at the end of a path: `load` of `each[3]/load`."""
    return path.rpartition("/")[2].partition("[")[0]


async def call_in_loop(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """The function's result, called here and now, also where it blocks. Raises what it raises; AttemptError for
    SystemExit and KeyboardInterrupt.
    """
    try:
        answer = function(**arguments)
        return await answer if inspect.isawaitable(answer) else answer
    except (SystemExit, KeyboardInterrupt) as error:  # asyncio would end the whole loop
        raise interrupted(error) from error


async def _perform(outcome: Any, arguments: Mapping[str, Any]) -> Any:
    while isinstance(outcome, Takes):
        await asyncio.sleep(outcome.seconds)
        outcome = outcome.outcome
    if isinstance(outcome, Fail):
        raise outcome.exception()
    if _is_exception(outcome):
        raise Fail(outcome).exception()
    return await call_in_loop(outcome, _taken(outcome, arguments)) if callable(outcome) else outcome


def _taken(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return arguments
    return {name: value for name, value in arguments.items() if name in parameters}


def _is_exception(value: object) -> bool:
    return isinstance(value, BaseException) or (isinstance(value, type) and issubclass(value, BaseException))
