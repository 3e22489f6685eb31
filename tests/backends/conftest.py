"""Real processes: a `Children` per test, engines to kill, and a look into /proc for who is still alive."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from weft.backends.children import Children
from weft.backends.kept import KEEPER

SOURCES = str(Path(__file__).parents[2] / "src")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def children() -> AsyncIterator[Children]:
    """Closed after the test; nothing of it may be left."""
    children = Children()
    yield children
    await children.close()


@pytest.fixture
def env() -> dict[str, str]:
    return {"PATH": os.environ["PATH"]}


class Trace:
    """A word that processes carry in their command line, by which the living ones are found."""

    def __init__(self) -> None:
        self.word = f"6{secrets.randbelow(10**9):09d}"

    @property
    def sleep(self) -> str:
        """A shell command that sleeps for good and carries the word."""
        return f"sleep {self.word}"

    def living(self) -> list[int]:
        return [pid for pid in all_processes() if self.word.encode() in command_line(pid) and is_alive(pid)]

    def sleepers(self) -> list[int]:
        """Those that are here to stay; shells on their way to become one are not."""
        return [pid for pid in self.living() if command_line(pid) == b"sleep\0%s\0" % self.word.encode()]

    def wait_sleepers(self, count: int) -> list[int]:
        assert eventually(lambda: len(self.sleepers()) == count), f"{self.sleepers()} are not {count}"
        return self.sleepers()

    def wait_gone(self, seconds: float = 5.0) -> list[int]:
        """Who is left after so many seconds."""
        eventually(lambda: not self.living(), seconds)
        return self.living()


@pytest.fixture
def trace() -> Iterator[Trace]:
    trace = Trace()
    yield trace
    for pid in trace.living():
        os.kill(pid, signal.SIGKILL)


Engine = subprocess.Popen[str]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Callable[[str], Engine]]:
    """Starts a Python program with `weft` on its path, in a session of its own; killed after the test."""
    started: list[Engine] = []

    def start(program: str, **options: object) -> Engine:
        file = tmp_path / f"engine{len(started)}.py"
        file.write_text(f"import sys; sys.path.insert(0, {SOURCES!r})\n{program}")
        process = subprocess.Popen(
            [sys.executable, str(file)], stdout=subprocess.PIPE, text=True, start_new_session=True, **options
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether it becomes true in time; looks every 5 ms, since nobody tells us about processes that are not ours."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def all_processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def is_alive(pid: int) -> bool:
    """Exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.fixture
def variant(tmp_path: Path) -> Callable[[str, str], Path]:
    """A keeper with one piece of its text replaced, for what cannot be made to happen and for negative controls."""

    def make(old: str, new: str) -> Path:
        folder = tmp_path / "variant"
        shutil.copytree(KEEPER.parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (file,) = [file for file in folder.iterdir() if old in file.read_text()]
        text = file.read_text()
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))
        return folder / KEEPER.name

    return make
