"""What a task may know about its attempt, and how it speaks while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from weft.event_types import Usage

if TYPE_CHECKING:
    from weft.cancellation import CancellationToken
    from weft.runtimes.base import Log


class TaskContext:
    """One attempt of a task.

    `path` addresses the instance, `attempt` counts from 1, `key` is the idempotency key: the same for every attempt,
    also after a resume. `deadline` is Unix time in seconds, None without a timeout.
    """

    __slots__ = ("_key", "_log", "_parent", "_token", "attempt", "deadline", "path", "run_id", "used")

    def __init__(
        self,
        *,
        run_id: str,
        path: str,
        attempt: int,
        key: str | Callable[[], str],
        deadline: float | None,
        log: Log,
        parent: CancellationToken | None,
    ) -> None:
        self.run_id = run_id
        self.path = path
        self.attempt = attempt
        self.deadline = deadline
        self.used: Usage | None = None
        """What the task has reported of tokens and cost so far."""
        self._key = key
        self._log = log
        self._parent = parent
        self._token: CancellationToken | None = None

    @property
    def key(self) -> str:
        """The idempotency key, 32 hex digits."""
        if not isinstance(self._key, str):
            self._key = self._key()
        return self._key

    @property
    def token(self) -> CancellationToken:
        """Cancelled when the attempt is (by its deadline, a sibling, the run). What blocks in a thread should look."""
        if self._token is None:
            from weft.cancellation import CancellationToken

            self._token = CancellationToken() if self._parent is None else self._parent.child()
        return self._token

    def log(self, *words: object) -> None:
        """A line for the log of the run."""
        self._log("log", " ".join(map(str, words)).encode("utf-8", "backslashreplace"))

    def report(self, progress: float | None = None, metrics: Mapping[str, Any] | None = None) -> None:
        """How far it is (0 to 1), and numbers worth showing; `tokens` and `cost_usd` count against the run's budget.

        Raises InputError for a use that is no amount, ValidationError for what is not JSON data.
        """
        from weft.values import encode

        given = dict(metrics or {})
        self.note(given)
        self._log("report", encode({"progress": progress, "metrics": given}))

    def note(self, metrics: Mapping[str, Any]) -> None:
        """Take what counts against a budget from reported numbers: each report replaces the one before.

        Raises InputError.
        """
        found = {name: metrics[name] for name in ("tokens", "cost_usd") if metrics.get(name) is not None}
        if found:
            from msgspec.structs import replace

            from weft.budget import check

            used = replace(self.used or Usage(), **found)
            check(used)
            self.used = used

    def stopped(self, reason: str) -> None:
        """The attempt is over, whatever the function does."""
        if self._token is not None:
            self._token.cancel(reason)
