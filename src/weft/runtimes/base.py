"""What a node kind is given and what it may give back.

A runtime does one attempt of one leaf: it gets a context, its settings (evaluated, of their declared types)
and its input, and returns the output or raises `AttemptError`. It decides nothing about retries, limits or
order.

Results that mean more than themselves (`Output`, `FileRows`, `FileList`) are recognised by their *type*,
never by the shape of data: an object that happens to look like one is data and passes untouched. So nothing
that a server, a file or a model answers can steer the engine.

Nothing here imports asyncio at module level: `weft check` reads the declarations of the runtimes and runs no
loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, runtime_checkable

import msgspec

from weft.clock import Clock, SystemClock
from weft.event_types import Undo, Usage

if TYPE_CHECKING:
    from pathlib import Path

    from weft.backends.base import Backend, Functions
    from weft.backends.children import Children
    from weft.backends.process import WorkerPool
    from weft.cancellation import CancellationToken
    from weft.kinds import KindSpec

T = TypeVar("T")

Log = Callable[[str, bytes], None]
"""`log(stream, chunk)`: output of an attempt as it comes; streams are `stdout`, `stderr`, `log`."""


@runtime_checkable
class Runtime(Protocol):
    """What a node kind does. One instance serves a whole run and may serve several attempts at once.

    A class may set `holds_slot = False` when an attempt only waits (`delay`): it then occupies none of the
    run's jobs.
    """

    spec: ClassVar[KindSpec]

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object, /) -> object:
        """Do one attempt; `given` is the node's input. Returns a plain value or one of this module's result
        types; raises AttemptError.
        """
        ...


class Output(msgspec.Struct, frozen=True):
    """An output with what else belongs on the node's record."""

    value: object
    exit_code: int | None = None
    stderr: str | None = None
    issue: str = ""
    """It is done, but not as it should be."""
    undo: Undo | None = None
    used: Usage | None = None


class FileRows(msgspec.Struct, frozen=True):
    """Rows that stay in their file: what `source:file` returns when everything that reads it can stream.

    `path` is relative to the project folder where it lies inside it, else absolute; `digest` is the sha256
    (hex) of the whole file, `mtime_ns` only saves computing it again. `rows.open_rows` opens them; a file that
    is no longer the one that was read raises AttemptError (`ChangedFileError`).
    """

    path: str
    size: int
    digest: str
    format: str
    """`lines`, `jsonl` or `csv`."""
    count: int
    mtime_ns: int = 0


class FileEntry(msgspec.Struct, frozen=True):
    """A file found by `source:files`; `path` is relative to the document's folder."""

    path: str
    name: str
    size: int


class FileList(msgspec.Struct, frozen=True):
    """Files whose contents are read one by one: what `source:files` with a format returns when it can be
    streamed.
    """

    folder: str
    """Absolute: what the entries' paths are relative to."""
    format: str
    entries: tuple[FileEntry, ...]


Reference = FileRows | FileList
"""Lists that are not held in memory. The engine journals them as references."""


class Rows(Protocol):
    """An opened reference: a read-only list. Blocking; going forward is cheap, going back is a short scan."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...

    def close(self) -> None: ...


class Evaluable(Protocol):
    """A compiled expression (`weft.text.expressions.Expression`)."""

    def evaluate(self, scope: Any, local: Mapping[str, Any] | None = None, /) -> Any: ...


class Bound:
    """An expression bound to its node's scope, evaluated when the runtime asks, any number of times.

    `bound(item=3)` and `bound.evaluate({"item": 3})` give `$item`; each evaluation has its own fuel. Raises
    ExpressionError. It must not keep the mapping it is given.
    """

    __slots__ = ("_evaluate", "_scope")

    def __init__(self, expression: Evaluable, scope: Any) -> None:
        self._evaluate = expression.evaluate
        self._scope = scope

    def __call__(self, **names: Any) -> Any:
        return self._evaluate(self._scope, names)

    def evaluate(self, names: Mapping[str, Any]) -> Any:
        """The value with these `$`-names (without the `$`)."""
        return self._evaluate(self._scope, names)


class Resources:
    """What the attempts of one run share and somebody must close: HTTP clients, database connections.

    Lives on the event loop; `obtain` is not to be called from threads.
    """

    __slots__ = ("_closers", "_held")

    def __init__(self) -> None:
        self._held: dict[str, Any] = {}
        self._closers: list[Callable[[], Awaitable[None]]] = []

    def obtain(self, name: str, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> T:
        """The resource called `name`, made at the first call; `close` is awaited when the run ends."""
        if name not in self._held:
            made = make()
            self._held[name] = made
            self._closers.append(lambda: close(made))
        held: T = self._held[name]
        return held

    async def aclose(self) -> None:
        """Close everything, the newest first; the first error is raised after all were tried."""
        errors: list[Exception] = []
        self._held.clear()
        while self._closers:
            try:
                await self._closers.pop()()
            except Exception as error:  # one that fails must not keep the others open
                errors.append(error)
        if errors:
            raise errors[0]


class World:
    """What all attempts of one document's run share. `folder` is the document's; a called document has its
    own World.

    `env` is what children inherit: without declared secrets and `WEFT_*`. `hosts` (from `runtime.hosts`) are
    the only hosts HTTP may speak to, None means any. `children` and `workers` come from weft.backends,
    `threads` is where blocking calls go (a ThreadPool; None: the loop's own executor), `mask` hides secrets
    in text.
    """

    __slots__ = (
        "allowed_paths",
        "backend",
        "blobs",
        "children",
        "clock",
        "env",
        "folder",
        "hosts",
        "interpreter",
        "mask",
        "project",
        "resources",
        "run_id",
        "threads",
        "token",
        "workers",
    )

    def __init__(
        self,
        *,
        run_id: str,
        folder: Path,
        project: Path | None = None,
        allowed_paths: tuple[Path, ...] = (),
        hosts: tuple[str, ...] | None = None,
        env: Mapping[str, str] | None = None,
        children: Children | None = None,
        workers: WorkerPool | None = None,
        threads: Functions | None = None,
        blobs: Any = None,
        clock: Clock | None = None,
        resources: Resources | None = None,
        mask: Callable[[str], str] | None = None,
        interpreter: str | None = None,
    ) -> None:
        self.run_id = run_id
        self.folder = folder
        self.project = project or folder
        self.allowed_paths = allowed_paths
        self.hosts = hosts
        self.env: Mapping[str, str] = {} if env is None else env
        self.children = children
        self.workers = workers
        self.threads = threads
        self.blobs = blobs
        self.clock: Clock = clock or SystemClock()
        self.resources = resources or Resources()
        self.mask: Callable[[str], str] = mask or _unmasked
        self.interpreter = interpreter
        self.token: CancellationToken | None = None
        """Cancelled when the run is."""
        self.backend: Backend | None = None
        """Where functions are called instead of here: for tests."""


class AttemptContext:
    """One attempt. `path` addresses the node instance, `attempt` counts from 1, `key` is the idempotency key.

    `deadline` is a time of `clock.monotonic()`, None without a timeout; `started_at` is Unix time of the
    first start of this attempt, also after a resume. `arguments` has every name a Python function may ask
    for; `lazy` says that a reference may be returned instead of a list; `scope` is where the node's
    expressions are evaluated.
    """

    __slots__ = (
        "_key",
        "arguments",
        "attempt",
        "deadline",
        "lazy",
        "log",
        "path",
        "place",
        "scope",
        "started_at",
        "world",
    )

    def __init__(
        self,
        world: World,
        path: str,
        *,
        attempt: int = 1,
        key: str | Callable[[], str] = "",
        deadline: float | None = None,
        started_at: float | None = None,
        log: Log | None = None,
        scope: Any = None,
        arguments: Mapping[str, Any] | None = None,
        lazy: bool = False,
        place: tuple[str, int] | None = None,
    ) -> None:
        self.world = world
        self.path = path
        self.attempt = attempt
        self._key = key
        self.deadline = deadline
        self.started_at = started_at
        self.log: Log = log or _unlogged
        self.scope = scope
        self.arguments = arguments
        self.lazy = lazy
        self.place = place

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.world.run_id

    @property
    def key(self) -> str:
        """The idempotency key; computed when somebody wants it, as most attempts never do."""
        if not isinstance(self._key, str):
            self._key = self._key()
        return self._key

    @property
    def folder(self) -> Path:
        """The document's folder: what paths are relative to."""
        return self.world.folder

    @property
    def project(self) -> Path:
        """The project folder: what paths must stay inside."""
        return self.world.project

    @property
    def env(self) -> Mapping[str, str]:
        """The environment that children inherit."""
        return self.world.env

    @property
    def clock(self) -> Clock:
        """The run's clock."""
        return self.world.clock

    @property
    def resources(self) -> Resources:
        """What the attempts of the run share."""
        return self.world.resources

    def remaining(self) -> float | None:
        """Seconds until the deadline, never negative; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - self.world.clock.monotonic())

    async def in_thread(self, function: Callable[..., T], *args: object) -> T:
        """`function(*args)` outside the event loop. A cancelled wait leaves the thread to end by itself."""
        import asyncio
        from functools import partial

        if self.world.threads is None:
            return await asyncio.to_thread(function, *args)
        done: T = await self.world.threads.call(partial(function, *args), {})
        return done


def _unlogged(stream: str, chunk: bytes) -> None:
    """Nobody listens."""


def _unmasked(text: str) -> str:
    return text
