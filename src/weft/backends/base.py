"""Where an attempt runs: three places, and what each of them guarantees.

loop     `async` functions: the engine awaits them itself. A cancellation is raised inside the function, which may clean
         up. Values by reference. A crash of it is the engine's.
thread   blocking functions, in a bounded pool. A cancellation fails the attempt at once; the thread cannot be stopped,
         its late result is dropped and counted. Values by reference. A crash of it is the engine's.
process  code and functions in warm workers, and commands. A cancellation kills the worker or the command, its group and
         its strays, and returns when they are gone. Values as JSON. A crash of it is one failed attempt.

Threads are a `ThreadPool` (thread.py), processes a `WorkerPool` (process.py); commands have `run_command` (command.py).
All processes are children of the keeper: they are gone at the latest 5 s after the engine, by whatever cause it ends.

Nothing in here decides: no retry, no timeout, no limit. A deadline is the cancellation of the awaiting task; every
place turns that into an end of the work, as far as the table says, before it raises CancelledError.

What fails in a place is raised as it is by loop and thread (the exception of the function) and as AttemptError by
process. `interrupted`, `end_fork` and `is_retryable` are what they agree on.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from weft.errors import AttemptError, said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

RESPONSE_LIMIT = 64 * 1024 * 1024
"""Bytes of a value that come back from a worker."""

PERMANENT = frozenset(
    {
        "ArithmeticError",
        "AssertionError",
        "AttributeError",
        "ImportError",
        "LookupError",
        "NameError",
        "NotImplementedError",
        "RecursionError",
        "SyntaxError",
        "TypeError",
        "ValueError",
    }
)
"""Exceptions, with their subclasses, that say the code or its data is wrong: another try gives the same."""


class Code(msgspec.Struct, frozen=True):
    """Python text of a document: run anew for each call, then `function` is called.

    `file` and `line` (from 1) say where its first line stands, for tracebacks.
    """

    source: str
    file: str
    line: int = 1
    function: str = "main"


class Reference(msgspec.Struct, frozen=True):
    """A function that can be imported: `function` is its qualified name in `module`.

    For a function of the script that runs (`__main__`), `file` is the script's path; it is run once in each worker
    under the name `__mp_main__`, as multiprocessing does. `path` is the `sys.path` on which the module is found; empty:
    that of the worker.
    """

    module: str
    function: str
    file: str | None = None
    path: tuple[str, ...] = ()


class Functions(Protocol):
    """A place that shares our memory."""

    async def call(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """The function's result. Raises what it raises; AttemptError for SystemExit and KeyboardInterrupt."""
        ...


class Backend(Protocol):
    """Where the functions of a workflow are called, when somebody else than the engine says so."""

    async def call(self, path: str, attempt: int, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """The function's result. Raises what it raises."""
        ...


def interrupted(error: BaseException) -> AttemptError:
    """What the code of one step may not do to the engine: leave by SystemExit, KeyboardInterrupt or the like."""
    name = type(error).__name__
    words = said(error)
    told = f"{name}: {words}" if words else name
    return AttemptError(f"the function tried to end the program ({told})", type=name)


def end_fork(engine: int) -> None:
    """A function has forked, and its child comes back from it, too: it ends here, for the run is its parent's.

    `engine` is the process id of the engine. Else both would work on the run, and write to one journal.
    """
    if os.getpid() != engine:
        os.write(2, b"weft: a task has forked and its child came back: it ends here (let it end with os._exit)\n")
        os._exit(70)


def is_retryable(names: Iterable[str]) -> bool:
    """Whether another try may help, by the names of an exception's classes (the whole `__mro__`)."""
    return PERMANENT.isdisjoint(names)
