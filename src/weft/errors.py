"""Every error Weft raises, in one tree.

    WeftError
    |- UserError                  the input is wrong; says what, where, and what to do next
    |  |- UsageError              64  the command line
    |  |- DocumentError           65  a document; carries all its diagnostics at once
    |  |- InputError              65  config, input or environment
    |  |  |- SettingsError            several settings are wrong (64 when one of them is a flag); .problems
    |  |  `- ValidationError          a value of the wrong shape; names its path
    |  |- ExpressionError         65  an expression or template; carries start and end in its text
    |  |- GraphError              65
    |  |  |- CycleError               .cycle
    |  |  |- DuplicateTaskError       .id
    |  |  |- UnknownTaskError         .id, .suggestions
    |  |  `- EmptyWorkflowError
    |  |- ChangedError            65  resume with a document that is not the one that ran
    |  |- NotFoundError           66  no such file or run
    |  `- NotResumableError       64  the run has ended for good, or the answer does not fit
    |- WorkflowFailed             1   a run ended as failed; an ExceptionGroup with one error per path
    |- AttemptError                   an attempt failed; says whether another try may help
    |  |- AttemptTimeout                 its time was up; also a TimeoutError
    |  `- TaskBlocked                    the task says that it cannot be done as planned; .result
    |- BudgetExceeded             4   what was wanted does not fit into the budget any more
    |- Cancelled                130   by a token; .reason
    |- Skip                           no error: the task says that it is not needed
    |- MachineError                   the world is wrong: disk, owner, permission
    |  |- CannotCreateError       73
    |  |- JournalError            74  (CorruptJournalError: damage is detected, never guessed away)
    |  |- OwnedError              75  the run belongs to another process
    |  `- DeniedError             77
    `- InternalError              70  a bug of ours (IllegalEvent: the core refused an event)

A subclass's docstring is its message when none is given. `hint` is the next step for the user; a traceback shows it
below the message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from weft.results import RunResult
    from weft.text.source import Diagnostic, Source

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_ISSUES = 2
EXIT_CAPPED = 3
EXIT_WAITING = 4
EXIT_CANCELLED = 130

MAX_MESSAGE = 64 * 1024
"""Characters that are kept of what somebody else's error says."""


class ErrorData(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as data: what the journal keeps and what `$error` shows.

    `type` is a short name (`CommandError`), `place` a position inside a value or a document,
    `cause` the message of what lay beneath, `status` an HTTP status or exit code.
    """

    type: str
    message: str
    place: str | None = None
    retryable: bool = False
    cause: str | None = None
    status: int | None = None
    retry_after: float | None = None
    """Seconds the other side asked us to wait."""
    unknown: bool = False
    """The effect may or may not have happened (a timeout, a lost connection)."""


class WeftError(Exception):
    """Something went wrong."""

    exit_code = 70

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        self.message = message or (self.__doc__ or "").strip().splitlines()[0]
        self.hint = hint
        super().__init__(self.message)
        if hint:
            self.add_note(f"hint: {hint}")

    def __str__(self) -> str:
        return self.message


class UserError(WeftError):
    """The input is wrong."""

    exit_code = 65


class UsageError(UserError):
    """The command line is wrong."""

    exit_code = 64


class DocumentError(UserError):
    """The document has errors. `source` is the text they point into, where it could be read."""

    def __init__(self, diagnostics: Sequence[Diagnostic], source: Source | None = None) -> None:
        self.diagnostics = tuple(diagnostics)
        self.source = source
        errors = [d for d in self.diagnostics if d.severity == "error"]
        first = errors[0].message if errors else "no details"
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"{first}{more}")


class InputError(UserError):
    """A config value, an input or the environment is wrong."""


class SettingsError(InputError):
    """Several settings are wrong.

    `problems` has a message and a hint (or None) for each; with `usage` one of them is of the command line.
    """

    def __init__(self, problems: Sequence[tuple[str, str | None]], *, usage: bool = False) -> None:
        self.problems = tuple(problems)
        if usage:
            self.exit_code = UsageError.exit_code
        lines = [f"  {message}" + (f" ({hint})" if hint else "") for message, hint in self.problems]
        super().__init__("\n".join([f"{len(lines)} settings are wrong:", *lines]))


class ValidationError(InputError):
    """A value does not have the shape it must have."""

    def __init__(self, message: str, *, path: str = "$", hint: str | None = None) -> None:
        self.path = path
        super().__init__(message, hint=hint)


class ExpressionError(UserError):
    """An expression is wrong.

    `start` and `end` are offsets into the expression's (or template's) own text, in characters; `place` is where that
    stands in a document (`file:line:col`), where it stands in one.
    """

    place: str | None = None

    def __init__(
        self, message: str, start: int = 0, end: int | None = None, *, code: str = "WEFT400", hint: str | None = None
    ) -> None:
        self.start = start
        self.end = start + 1 if end is None else end
        self.code = code
        super().__init__(message, hint=hint)


class GraphError(UserError):
    """The graph is wrong."""


class CycleError(GraphError):
    """The tasks form a cycle.

    `cycle` has the ids from prerequisite to dependent, the first repeated last: `["a", "b", "a"]`.
    """

    def __init__(self, cycle: Sequence[str]) -> None:
        self.cycle = list(cycle)
        super().__init__(
            "these wait for each other: " + " -> ".join(self.cycle), hint="remove one of these dependencies"
        )


class DuplicateTaskError(GraphError):
    """Two tasks have the same id."""

    def __init__(self, id: str) -> None:  # noqa: A002 - the contract names this field `id`
        self.id = id
        super().__init__(f"there are two tasks with the id {id!r}", hint="give one of them another id")


class UnknownTaskError(GraphError, KeyError):
    """No task has this id."""

    def __init__(self, id: str, suggestions: Sequence[str] = (), *, hint: str | None = None) -> None:  # noqa: A002
        self.id = id
        self.suggestions = list(suggestions)
        meant = f"did you mean {', '.join(map(repr, self.suggestions))}?" if self.suggestions else None
        super().__init__(f"no task has the id {id!r}", hint=meant or hint)


class EmptyWorkflowError(GraphError):
    """The workflow has no tasks."""


class ChangedError(UserError):
    """The document is not the one that ran.

    `changes` lists what differs, one line each.
    """

    def __init__(self, message: str, changes: Sequence[str] = (), *, hint: str | None = None) -> None:
        self.changes = list(changes)
        super().__init__(message, hint=hint)


class NotFoundError(UserError):
    """No such file or run."""

    exit_code = 66


class NotResumableError(UserError):
    """The run cannot go on."""

    exit_code = 64


class AttemptError(WeftError):
    """An attempt failed.

    Raised by runtimes and backends; becomes an `ErrorData`. `retryable` says whether another try may help,
    `unknown` that the effect may have happened all the same.
    """

    exit_code = 1
    classes: Sequence[str] = ()
    """Of an exception that was raised in another process: the names of its class and of all above it."""

    def __init__(
        self,
        message: str,
        *,
        type: str = "AttemptError",  # noqa: A002 - the field's name in ErrorData
        retryable: bool = False,
        place: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        unknown: bool = False,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.type = type
        self.retryable = retryable
        self.place = place
        self.status = status
        self.retry_after = retry_after
        self.unknown = unknown


class AttemptTimeout(AttemptError, TimeoutError):
    """The attempt took longer than it may."""

    def __init__(self, message: str) -> None:
        super().__init__(message, type="Timeout", retryable=True, unknown=True)


class TaskBlocked(AttemptError):
    """A task answered BLOCKED or NEEDS_REPLAN: it failed, and would again. `result` is its answer."""

    def __init__(self, result: Any, used: Any = None) -> None:
        self.result = result
        self.used = used
        kind = "Blocked" if result.status == "BLOCKED" else "NeedsReplan"
        words = "the task is blocked" if kind == "Blocked" else "the task needs another plan"
        super().__init__(result.error or words, type=kind)


class Skip(WeftError):
    """The task is not needed.

    Raised (or returned) by a task: it counts as done, and what depends on it gets None; with `skip_dependents` they are
    skipped, too.
    """

    exit_code = 0

    def __init__(self, reason: str = "", *, skip_dependents: bool = False) -> None:
        self.skip_dependents = skip_dependents
        super().__init__(reason or "not needed")


class BudgetExceeded(WeftError):
    """The budget does not suffice. The message has the limit, what was spent of it, and what was wanted."""

    exit_code = EXIT_WAITING

    def __init__(self, lacking: str) -> None:
        super().__init__(f"the budget does not suffice: {lacking}", hint="allow a larger budget, or want less")


class Cancelled(WeftError):
    """It was cancelled. `reason` is what was said of it, None when nothing was."""

    exit_code = EXIT_CANCELLED

    def __init__(self, reason: str | None = None) -> None:
        self.reason = reason
        super().__init__(f"cancelled: {reason}" if reason else "cancelled")


class NodeFailed(WeftError):
    """One node of a run failed: the error of one path, as raised inside `WorkflowFailed`."""

    exit_code = 1

    def __init__(self, path: str, error: ErrorData, attempt: int = 1) -> None:
        self.path = path
        self.error = error
        self.attempt = attempt
        super().__init__(f"{path}: {error.message}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.error, self.attempt)


class WorkflowFailed(WeftError, ExceptionGroup[Exception]):
    """A run ended as failed.

    `exceptions` has one `NodeFailed` per failed path; `result` is the `RunResult`. One error reads as that error.
    """

    exit_code = 1
    result: RunResult

    if TYPE_CHECKING:

        @property
        def exceptions(self) -> tuple[NodeFailed, ...]: ...

    def __new__(cls, errors: Sequence[NodeFailed], result: Any = None) -> WorkflowFailed:
        return super().__new__(cls, _first_of(errors), list(errors))

    def __init__(self, errors: Sequence[NodeFailed], result: Any = None) -> None:
        self.result = result  # the message is that of the group, which nobody may set
        self.hint = getattr(result, "hint", "") or None
        if self.hint:
            self.add_note(f"hint: {self.hint}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process gets the errors, not the result: that reads from what this one holds."""
        return type(self), (list(self.exceptions),)

    def derive(self, excs: Sequence[Any]) -> WorkflowFailed:  # type: ignore[override]  # narrower on purpose
        return WorkflowFailed([e for e in excs if isinstance(e, NodeFailed)], self.result)


def _first_of(errors: Sequence[NodeFailed]) -> str:
    return str(errors[0]) if len(errors) == 1 else f"{len(errors)} nodes failed; first: {errors[0]}"


class MachineError(WeftError):
    """The machine refuses."""

    exit_code = 74


class CannotCreateError(MachineError):
    """A file or folder cannot be made."""

    exit_code = 73


class JournalError(MachineError):
    """The journal cannot be read or written."""

    exit_code = 74


class CorruptJournalError(JournalError):
    """The journal is damaged."""


class FencedError(JournalError):
    """Another process has taken over this run; nothing more can be written to it from here."""

    exit_code = 75


class OwnedError(MachineError):
    """The run belongs to another process.

    `owner` describes it: pid, host, since when.
    """

    exit_code = 75

    def __init__(self, message: str, owner: str = "", *, hint: str | None = None) -> None:
        self.owner = owner
        super().__init__(message, hint=hint)


class DeniedError(MachineError):
    """Permission denied."""

    exit_code = 77


class InternalError(WeftError):
    """A bug of ours."""

    exit_code = 70


class IllegalEvent(InternalError):
    """The core refused an event; its state is unchanged."""


def said(thing: object) -> str:
    """What an error (or anything else) says, whatever its class makes of that: a text that can be written down."""
    try:
        return writable(str(thing))
    except Exception:
        return "(its text could not be made)"


def writable(text: str) -> str:
    """A text of somebody else's as UTF-8 can hold it, and of bounded length."""
    more = len(text) - MAX_MESSAGE
    kept = text if more <= 0 else f"{text[:MAX_MESSAGE]}... ({more:,} more characters)"
    return kept.encode("utf-8", "backslashreplace").decode()


def nearest(word: str, known: Sequence[str], *, count: int = 1) -> list[str]:
    """The names close enough to `word` to be worth a "did you mean", best first."""
    from difflib import get_close_matches

    lower = {name.lower(): name for name in known}
    return [lower[match] for match in get_close_matches(word.lower(), list(lower), n=count, cutoff=0.6)]
