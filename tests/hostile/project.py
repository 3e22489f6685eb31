"""A project folder, documents in it, and `weft` as a process of its own, measured.

The peak memory of a child begins with that of whoever started it, so a small launcher stands between the tests and
`weft`: what it reports is the peak of `weft` and of everything `weft` has waited for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import msgspec

from weft import app
from weft.journal.sqlite import SqliteStore

WEFT = (sys.executable, "-m", "weft")

_LAUNCHER = """
import os, subprocess, sys, time
began = time.monotonic()
child = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(child.pid, 0)
with open(sys.argv[1], "w") as report:
    print(os.waitstatus_to_exitcode(status), usage.ru_maxrss, time.monotonic() - began, file=report)
"""


class Said(msgspec.Struct, frozen=True):
    """What a command said, how it ended, and what it took."""

    code: int
    out: bytes
    err: bytes
    megabytes: float
    seconds: float

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)

    @property
    def text(self) -> str:
        """Standard error, for people."""
        return self.err.decode("utf-8", "replace")


def clean_environment(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """The environment of the tests without `WEFT_*`; None takes a name out."""
    env: dict[str, str | None] = {name: value for name, value in os.environ.items() if not name.startswith("WEFT_")}
    env.update(changes or {})
    return {name: value for name, value in env.items() if value is not None}


def weft(
    *args: str,
    cwd: Path,
    env: Mapping[str, str | None] | None = None,
    stdin: Any = subprocess.DEVNULL,
    prefix: tuple[str, ...] = (),
    timeout: float = 120,
) -> Said:
    """Run a command to its end. `prefix` are words in front of it."""
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        report = Path(scratch) / "report"
        command = [sys.executable, "-S", "-E", "-c", _LAUNCHER, str(report), *prefix, *WEFT, *args]
        subprocess.run(
            command,
            cwd=cwd,
            env=clean_environment(env),
            stdin=stdin,
            stdout=out,
            stderr=err,
            timeout=timeout,
            check=False,
        )
        code, kilobytes, seconds = report.read_text().split()
        out.seek(0)
        err.seek(0)
        return Said(int(code), out.read(), err.read(), int(kilobytes) / 1024, float(seconds))


class Project:
    """A project folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "weft.toml").write_text("")

    def write(self, body: str, front: str = "", name: str = "doc") -> Path:
        """A document with this `<workflow>` body."""
        path = self.folder / f"{name}.flow.md"
        head = f"---\n{dedent(front).strip()}\n---\n" if front else ""
        path.write_text(f"{head}# A test\n\n<workflow>\n{dedent(body)}\n</workflow>\n", encoding="utf-8")
        return path

    def run(self, body: str, front: str = "", **request: Any) -> app.Outcome:
        """Run a document in this process."""
        return app.run(self.write(body, front), app.Request(**request))

    def resume(self, **request: Any) -> app.Outcome:
        """Go on with the last run, in this process."""
        return app.resume("last", app.Request(journal=str(self.folder / ".weft"), **request))

    def cli(self, *args: str, **options: Any) -> Said:
        """Run `weft` as a process, in the project folder."""
        options.setdefault("cwd", self.folder)
        return weft(*args, **options)

    def cli_run(self, body: str, front: str = "", *args: str, **options: Any) -> Said:
        """Write a document and run it as a process, with `--json`."""
        return self.cli("run", str(self.write(body, front)), "--json", *args, **options)

    def events(self) -> list[Any]:
        """What the journal of the last run says."""
        store = SqliteStore(self.folder / ".weft")
        reader = store.reader(store.resolve("last"))
        try:
            return [event for batch in reader.read() for event in batch]
        finally:
            reader.close()


def outputs(outcome: app.Outcome) -> dict[str, Any]:
    """The outputs of a run's nodes, by path."""
    return {path: node.output for path, node in outcome.result.nodes.items()}
