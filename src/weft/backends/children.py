"""Processes that do not outlive the engine.

`Children` starts one keeper (its package says why) when the first child is needed and asks it for all others. A `Child`
is a job of the keeper: a main process in a session of its own, its group, and every stray that came from it. After the
death of a keeper the next spawn starts a new one.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from weft.backends.finishing import through_cancellation
from weft.backends.kept import KEEPER, Child, Keeper
from weft.backends.refusals import checked_arguments, checked_environment, explain, refuse_nul
from weft.backends.room import Room
from weft.errors import AttemptError, InternalError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Children:
    """Processes that are gone at the latest 5 s after the engine, by whatever cause it ends.

    `lock_path` is a file that stays locked (flock) for as long as one of them may live; its content names the keeper
    and its token. `marker` is added to the environment of each child. `program` is what starts the keeper (tests give
    others). Use it on one loop; `await close()` at the end.
    """

    def __init__(
        self, *, lock_path: Path | None = None, marker: Mapping[str, str] | None = None, program: Path = KEEPER
    ) -> None:
        self._lock_path = lock_path
        self._marker = dict(marker or {})
        self._program = program
        self._keeper: Keeper | None = None
        self._next = 0
        self._closed = False
        self.room = Room()

    @property
    def keeper_pid(self) -> int | None:
        """The keeper's process, when one lives."""
        return self._keeper.pid if self._keeper is not None and self._keeper.alive else None

    @property
    def token(self) -> str | None:
        """What the children of the living keeper carry in `WEFT_JOB`."""
        return self._keeper.token if self._keeper is not None else None

    async def start(self) -> None:
        """Start the keeper now, so that its 15 ms pass beside other work."""
        await self._ready()

    async def spawn(
        self, argv: Sequence[str | bytes], *, cwd: Path | str, env: Mapping[str, str], descriptors: Mapping[int, int]
    ) -> Child:
        """Run a program. `descriptors` says which of ours becomes which of its own; they stay ours to close.

        `env` is its whole environment (the marker and `WEFT_JOB` are added). The program is searched in the PATH of
        `env`. Raises AttemptError: `CommandNotFound`, `NotExecutable`, `BadArgument`, `TooBig`, `Resources`
        (retryable), `ChildLost`.
        """
        words = checked_arguments(argv)
        environment = checked_environment({**env, **self._marker})
        folder = os.fsencode(cwd)
        refuse_nul(folder, "the folder to run in")
        keeper = await self._ready()
        child = Child(self._next, keeper)
        self._next += 1
        keeper.jobs[child.id] = child
        targets = ",".join(map(str, descriptors))
        fields = ("spawn", child.id, folder, targets, len(words), *words, *environment)
        keeper.send(*fields, descriptors=list(descriptors.values()))
        try:
            await child.started()
        except asyncio.CancelledError:
            await through_cancellation(child.end())
            raise
        except AttemptError as error:
            raise explain(error, words, environment, cwd, env) from None
        return child

    async def close(self) -> None:
        """End every child and the keeper. Idempotent."""
        self._closed = True
        if self._keeper is not None:
            await through_cancellation(self._keeper.close())

    async def _ready(self) -> Keeper:
        if self._closed:
            raise InternalError("a process was to be started after the children were closed")
        if self._keeper is not None and not self._keeper.alive:
            await self._keeper.close()  # until what it left behind is gone
        if self._keeper is None or not self._keeper.alive:
            self._keeper = Keeper(self._program, self._lock_path)
        return self._keeper
