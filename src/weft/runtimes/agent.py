"""One invocation of an agent's program: what it is given, how it is ended, what is kept of it.

A program that ran is a result, whatever it did: its exit code, or that it was out of time, is for the caller to judge.
An error is only what kept it from running. Nothing of it lives on when this returns: its whole process group and what
left that group were ended (weft.backends).

The transcript is written as the output comes, under `NAME.partial`, and takes its name when the program has ended: a
file with that name is whole. A disk that is full loses the transcript, never the agent's work.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from weft.errors import AttemptError
from weft.runtimes.command import end_of
from weft.text.source import harmless

if TYPE_CHECKING:
    from weft.backends.children import Children
    from weft.backends.command import Captured, Completed
    from weft.redaction import StreamMasker, Vault

ARGUMENT_LIMIT = 100 * 1024
"""Bytes of a prompt that is given as an argument; the system takes 128 KiB."""
STDERR_KEPT = 32 * 1024
"""Characters of the end of standard error in a result."""
LINE_KEPT = 4096
"""Bytes of an unfinished line that are shown."""

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]?"
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
    r"|\x9b[0-?]*[ -/]*[@-~]?"
)
_LINE_END = re.compile(rb"[\r\n]+")
_BINDING = frozenset({
    "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_PREFIX", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT",
    "GIT_GRAFT_FILE", "GIT_SHALLOW_FILE", "GIT_QUARANTINE_PATH", "GIT_INTERNAL_SUPER_PREFIX",
})  # fmt: skip
"""What binds git to the repository of whoever started us (from a hook, say): an agent is in another one."""
_INPUT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "prompt_tokens")
_OUTPUT = ("output_tokens", "completion_tokens")
_COST = ("total_cost_usd", "cost_usd", "total_cost")


class Usage(msgspec.Struct, frozen=True):
    """What an invocation took, as far as the program said so. `cost` is in US dollars."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None


class Ran(msgspec.Struct, frozen=True):
    """How a program ended. Of `exit_code`, `signal` and `timed_out` one says it. `duration` is in seconds."""

    exit_code: int | None
    signal: int | None
    timed_out: bool
    stdout: str
    """What is not UTF-8 is U+FFFD; where it was too long, a line says how much is missing in the middle."""
    stderr: str
    """Its end, with secrets masked."""
    duration: float
    dropped: int = 0
    """Bytes of both streams that were too many to keep."""
    usage: Usage | None = None
    answer: str | None = None
    """The text of the answer, where standard output is JSON that has one."""
    transcript: str | None = None
    left: int = 0
    """Processes that could not be ended (another user's)."""
    limit: float | None = None
    """Seconds that it had."""

    @property
    def text(self) -> str:
        """What the agent answered; a NUL, which no later prompt could have, is U+FFFD."""
        return (self.stdout if self.answer is None else self.answer).replace("\0", "\ufffd")

    def __str__(self) -> str:
        if self.timed_out:
            return f"did not end within {self.limit:g} s"
        if self.signal is not None:
            from weft.backends.kept import signal_name

            return f"was killed by {signal_name(self.signal)}"
        return f"ended with exit code {self.exit_code}"


class Delivery(msgspec.Struct, frozen=True):
    """How a prompt reaches a program: its arguments, and what it reads from standard input."""

    argv: tuple[str, ...]
    stdin: str | None = None


def deliver(argv: Sequence[str], prompt: str, how: str, file: Path) -> Delivery:
    """Give `prompt` as the last argument (`argument`), by standard input (`stdin`), or by its file's name (`file`).

    `file` is written whole or not at all, for the owner alone, only for `file`. Raises AttemptError (`TooBig`) for an
    argument over 100 KiB.
    """
    if how == "stdin":
        return Delivery(tuple(argv), prompt)
    if how == "file":
        part = file.with_name(file.name + ".partial")
        part.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as stream:
            stream.write(prompt.encode("utf-8", "surrogateescape"))
        part.replace(file)
        return Delivery((*argv, str(file)))
    size = len(prompt.encode("utf-8", "surrogateescape"))
    if size > ARGUMENT_LIMIT:
        raise AttemptError(
            f"the prompt has {size:,} bytes, more than an argument may have ({ARGUMENT_LIMIT:,})",
            type="TooBig",
            hint="have the agent read it from standard input or a file: `prompt` of the agent in the configuration",
        )
    return Delivery((*argv, "\n" + prompt if prompt.startswith("-") else prompt))


def agent_environment(env: Mapping[str, str]) -> dict[str, str]:
    """`env` without what would bind git to another repository than the one the agent runs in."""
    return {name: value for name, value in env.items() if name not in _BINDING}


async def run_agent(
    children: Children,
    argv: Sequence[str],
    *,
    cwd: Path | str,
    env: Mapping[str, str],
    stdin: str | None = None,
    seconds: float | None = None,
    output_limit: int | None = None,
    transcript: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    vault: Vault | None = None,
    grace: float | None = None,
    key: str = "agent_cmd",
) -> Ran:
    """Run it to its end, or for `seconds`: then TERM to all of its processes, and KILL after `grace` seconds.

    Standard input is closed when there is none. Of each stream at most `output_limit` bytes are kept (10 MiB), head
    and tail. `on_line` gets the last line of output whenever there is a new one, fit for a terminal; what it raises
    is raised at the end. `key` is the setting that names the program. Raises AttemptError when it cannot be started:
    `CommandNotFound`, `NotExecutable`, `BadFolder`, `BadArgument`, `TooBig`, `Resources`.
    """
    import asyncio

    from weft.backends.channel import Listener
    from weft.backends.command import GRACE, OUTPUT_LIMIT, Capture, run_command

    limit = OUTPUT_LIMIT if output_limit is None else output_limit
    taken = {name: Capture(limit) for name in ("stdout", "stderr")}
    listener = Listener(None if on_line is None else LastLine(on_line, vault).take)
    record = Transcript(transcript, limit, vault)
    record.begin(argv, cwd, stdin)

    def hear(stream: str, data: bytes) -> None:
        taken[stream].feed(data)
        record.take(stream, data)
        listener.hear(stream, data)

    loop = asyncio.get_running_loop()
    began = loop.time()
    done: Completed | None = None
    try:
        async with asyncio.timeout(seconds):
            done = await run_command(
                children,
                argv,
                cwd=cwd,
                env=agent_environment(env),
                stdin=None if stdin is None else stdin.encode("utf-8", "surrogateescape"),
                output_limit=0,  # kept here: what was said before a timeout counts, too
                on_output=hear,
                grace=GRACE if grace is None else grace,
            )
    except TimeoutError:
        pass
    except AttemptError as error:
        raise _explained(error, key) from None
    finally:
        results = {name: capture.result() for name, capture in taken.items()}
        written = record.end(results)
    listener.close()
    return _ran(done, results, loop.time() - began, written, vault, seconds)


def _ran(
    done: Completed | None,
    streams: Mapping[str, Captured],
    duration: float,
    written: Path | None,
    vault: Vault | None,
    seconds: float | None,
) -> Ran:
    stdout = streams["stdout"].data.decode("utf-8", "replace")
    stderr = streams["stderr"].data.decode("utf-8", "replace")
    report = final_object(stdout)
    return Ran(
        None if done is None else done.exit_code,
        None if done is None else done.signal,
        done is None,
        stdout,
        end_of(stderr if vault is None else vault.mask(stderr), STDERR_KEPT),
        duration,
        sum(stream.dropped for stream in streams.values()),
        usage_of(report),
        answer_of(report),
        None if written is None else str(written),
        0 if done is None else done.left,
        seconds,
    )


def _explained(error: AttemptError, key: str) -> AttemptError:
    """The same error, with the setting to change."""
    advice = {
        "CommandNotFound": f"install it, or set `{key}`",
        "NotExecutable": f"or set `{key}` to another program",
        "TooBig": "have it read its prompt from standard input or a file",
        "BadFolder": "something has deleted or closed the folder",
    }.get(error.type)
    if advice is None:
        return error
    hint = f"{error.hint}; {advice}" if error.hint else advice.removeprefix("or ")
    return AttemptError(error.message, type=error.type, retryable=error.retryable, hint=hint)


# -- what it says while it runs ----------------------------------------------------------------------------------------


class LastLine:
    """Hands on the last line of what a program prints, without what would steer a terminal.

    A lone CR ends a line, too: that is how progress is shown. Both streams count.
    """

    __slots__ = ("_on_line", "_rest", "_vault")

    def __init__(self, on_line: Callable[[str], None], vault: Vault | None = None) -> None:
        self._on_line = on_line
        self._rest = {"stdout": b"", "stderr": b""}
        self._vault = vault

    def take(self, stream: str, data: bytes) -> None:
        pieces = _LINE_END.split((self._rest[stream] + data)[-4 * LINE_KEPT :])
        self._rest[stream] = pieces[-1][:LINE_KEPT]
        for piece in reversed(pieces[-3:]):
            line = piece[:LINE_KEPT].decode("utf-8", "replace")
            line = visible(line if self._vault is None else self._vault.mask(line))
            if line:
                self._on_line(line)
                return


def visible(text: str) -> str:
    """One line for a terminal: escape sequences are taken out, other control characters replaced."""
    return harmless(_ESCAPES.sub("", text).replace("\t", " ")).strip()


class Transcript:
    """The file that keeps what was asked and answered. Bounded by `limit` bytes of each stream, head and tail."""

    def __init__(self, path: Path | None, limit: int, vault: Vault | None) -> None:
        self._path = path
        self._limit = limit
        self._vault = vault
        self._file: IO[bytes] | None = None
        self._maskers: dict[str, StreamMasker] = {}
        self._seen = {"stdout": 0, "stderr": 0}

    def begin(self, argv: Sequence[str], cwd: Path | str, stdin: str | None) -> None:
        """Open it, and say what was run. A disk that refuses means no transcript."""
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.fdopen(os.open(self._partial, flags, 0o600), "wb", buffering=0)
        except OSError:
            return
        head = msgspec.json.encode({"argv": [_printable(word) for word in argv], "cwd": _printable(str(cwd))}).decode()
        prompt = "" if stdin is None else f"--- standard input ---\n{stdin}\n"
        text = f"{head}\n{prompt}--- output ---\n"
        self._write((text if self._vault is None else self._vault.mask(text)).encode("utf-8", "surrogateescape"))

    def take(self, stream: str, data: bytes) -> None:
        room = self._limit - self._seen[stream]
        self._seen[stream] += len(data)
        if self._file is None or room <= 0:
            return
        data = data[:room]
        if self._vault is not None:
            data = self._maskers.setdefault(stream, self._vault.stream()).feed(data)
        self._write(data)

    def end(self, streams: Mapping[str, Captured]) -> Path | None:
        """Add the ends of what was too long, and give the file its name. The path, None when there is no transcript."""
        for stream, kept in streams.items():
            if stream in self._maskers:
                self._write(self._maskers[stream].flush())
            start = max(self._limit, kept.total - len(kept.tail))
            if kept.total > self._limit:
                self._write(f"\n[... {stream}: {start - self._limit:,} bytes left out ...]\n".encode())
                rest = kept.tail[start - kept.total :]
                self._write(rest if self._vault is None else self._vault.mask_bytes(rest))
        if self._file is None or self._path is None:
            return None
        try:
            self._file.close()
            self._partial.replace(self._path)
        except OSError:
            return None
        return self._path

    @property
    def _partial(self) -> Path:
        assert self._path is not None
        return self._path.with_name(self._path.name + ".partial")

    def _write(self, data: bytes) -> None:
        if self._file is None or not data:
            return
        try:
            self._file.write(data)
        except OSError:
            self._file.close()
            self._file = None


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


# -- what it reports ---------------------------------------------------------------------------------------------------


def final_object(stdout: str) -> dict[str, Any] | None:
    """The JSON object that a program ended its output with: all of it, or its last line; of a list the last element.

    Agents that are asked for JSON print one object, or one event per line of which the last sums up. Anything else is
    None: it is text.
    """
    whole = stdout.strip()
    for text in (whole, whole.rpartition("\n")[2].strip()):
        if text[:1] not in ("{", "["):
            continue
        try:
            found = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            continue
        found = found[-1] if isinstance(found, list) and found else found
        if isinstance(found, dict):
            return found
    return None


def usage_of(report: Mapping[str, Any] | None) -> Usage | None:
    """Tokens and cost in a final report: `usage` with `input_tokens`, `output_tokens` and the like, `total_cost_usd`.

    Cached input counts as input. What is no sensible number is as if it were not there; None when nothing is left.
    """
    if report is None:
        return None
    usage = report.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    cost = next((number for name in _COST if (number := _number(report.get(name))) is not None), None)
    found = Usage(_sum(usage, _INPUT), _sum(usage, _OUTPUT), cost)
    return None if found == Usage() else found


def answer_of(report: Mapping[str, Any] | None) -> str | None:
    """The answer's text in a final report: `result` or `response`."""
    for name in ("result", "response"):
        if report is not None and isinstance(report.get(name), str):
            return str(report[name])
    return None


def _sum(usage: Mapping[str, Any], names: Sequence[str]) -> int | None:
    numbers = [int(number) for name in names if (number := _number(usage.get(name))) is not None]
    return sum(numbers) if numbers else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) and 0 <= value < 2**53 else None
