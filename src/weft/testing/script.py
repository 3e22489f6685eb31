"""What the world does in a simulated run: durations, outcomes, answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from weft.errors import ErrorData

T = TypeVar("T")


def failed(
    message: str = "boom",
    *,
    type: str = "Boom",  # noqa: A002 - the field's name
    retryable: bool = False,
    unknown: bool = False,
    retry_after: float | None = None,
) -> ErrorData:
    """An error, as the outcome of an attempt."""
    return ErrorData(type, message, retryable=retryable, unknown=unknown, retry_after=retry_after)


Outcome = ErrorData | None


class Script:
    """What the world does. Everything is looked up by path, then by the id at its end.

    durations  seconds of an attempt (else `otherwise`)
    outcomes   None (it succeeds) or an error; a list has one per attempt, and its last goes on for ever
    answers    of a `when`: bool; of a choice: the body's index; of a foreach: how many items; of a loop: how many
               rounds; an error where the evaluation fails
    undo       outcomes of compensations, likewise
    stubborn   seconds that a cancelled attempt goes on for (default 0); None: it ends as if nobody had asked
    """

    def __init__(
        self,
        durations: Mapping[str, float] | None = None,
        outcomes: Mapping[str, Outcome | Sequence[Outcome]] | None = None,
        *,
        answers: Mapping[str, Any] | None = None,
        undo: Mapping[str, Outcome | Sequence[Outcome]] | None = None,
        stubborn: Mapping[str, float | None] | None = None,
        otherwise: float = 1.0,
        draw: float = 0.0,
    ) -> None:
        self._durations = durations or {}
        self._outcomes = outcomes or {}
        self._answers = answers or {}
        self._undo = undo or {}
        self._stubborn = stubborn or {}
        self._otherwise = otherwise
        self.draw = draw
        """The random number of every retry's jitter."""

    def duration(self, path: str, attempt: int) -> float:
        """Seconds that the attempt takes."""
        return _look(self._durations, path, self._otherwise)

    def outcome(self, path: str, attempt: int) -> Outcome:
        """How it ends."""
        return _nth(_look(self._outcomes, path, None), attempt)

    def compensation(self, path: str, attempt: int) -> Outcome:
        """How its undo ends."""
        return _nth(_look(self._undo, path, None), attempt)

    def answer(self, path: str, default: Any) -> Any:
        """What an evaluation says."""
        return _look(self._answers, path, default)

    def stubbornness(self, path: str) -> float | None:
        """Seconds from a cancellation to the end."""
        return _look(self._stubborn, path, 0.0)


def _look(table: Mapping[str, T], path: str, default: T) -> T:
    if path in table:
        return table[path]
    return table.get(path.rpartition("/")[2].partition("[")[0], default)


def _nth(outcomes: Any, attempt: int) -> Outcome:
    if isinstance(outcomes, list | tuple):
        found: Outcome = outcomes[min(attempt, len(outcomes)) - 1]
        return found
    return outcomes  # type: ignore[no-any-return]
