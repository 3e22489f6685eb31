"""Owners of runs as real processes, driven line by line. Run as a script, this file is such a process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


class Process:
    """A process with a store on `root`. `ask` sends a line and waits for the answer."""

    def __init__(self, root: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid

    def send(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def ask(self, line: str) -> str:
        self.send(line)
        return self.answer()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        return self._process.wait(timeout=20)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def processes(root: Path, count: int = 1) -> Iterator[list[Process]]:
    started = [Process(root) for _ in range(count)]
    try:
        yield started
    finally:
        for process in started:
            process.end()


def fork_sleeper() -> int:
    """A forked child that does nothing until it is killed."""
    pid = os.fork()
    if pid == 0:
        os.closerange(0, 3)
        signal.pause()
    return pid


def main(root: str) -> None:
    from weft.errors import WeftError
    from weft.journal.contract import begin, ended
    from weft.journal.sqlite import SqliteStore

    store = SqliteStore(Path(root), patience=0.2)
    journal = None
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        try:
            if command == "create":
                journal = begin(store, argument)
            elif command == "open":
                journal = store.open(argument)
            elif command == "take":
                journal = store.open(argument, take_over=True)
            elif command == "append":
                journal.append([ended(argument)])
            elif command == "close":
                journal.close()
            elif command == "fork":
                print(fork_sleeper(), flush=True)
                continue
            print(f"ok {journal.epoch if journal else ''}", flush=True)
        except WeftError as error:
            print(f"{type(error).__name__} {error.exit_code} {error}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
