"""The command line, in this process where that is enough; as a real one where signals, pipes or terminals matter."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from weft.cli.main import cli

_TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_RUNS = re.compile(r"\d{8}-\d{6}-[0-9a-z]{6}")
_OFFSETS = re.compile(r"^ +\d+\.\d{3}(?=  )", re.MULTILINE)
_SECONDS = re.compile(r"\b\d+(\.\d+)? s\b|\b\d+m\d\ds\b")


class Said(msgspec.Struct, frozen=True):
    """What a command said, its times and run ids replaced by words, and its exit code."""

    code: int
    out: str
    err: str
    raw: str


class Weft:
    """A project folder with documents, and the command `weft` in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env: dict[str, str] = {}
        self.processes: list[subprocess.Popen[bytes]] = []
        (folder / "weft.toml").write_text("")

    def write(self, name: str, body: str, front: str = "") -> Path:
        """A document of that name with this `<workflow>` body."""
        path = self.folder / f"{name}.flow.md"
        head = f"---\n{dedent(front).strip()}\n---\n" if front else ""
        path.write_text(f"{head}# {name}\n\n<workflow>\n{dedent(body).strip()}\n</workflow>\n")
        return path

    def __call__(self, *args: str) -> Said:
        """Run a command in this process."""
        result = CliRunner().invoke(cli, list(args))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Said(result.exit_code, self.normal(result.stdout), self.normal(result.stderr), result.stdout)

    def json(self, *args: str, code: int = 0) -> Any:
        """Run a command in this process and decode what it printed."""
        said = self(*args)
        assert (said.code, said.err) == (code, "")
        return msgspec.json.decode(said.raw)

    def start(self, *args: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a command as a process of its own."""
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        env = {**os.environ, **self.env, **options.pop("env", {})}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-m", "weft", *args]
        process = subprocess.Popen(command, cwd=self.folder, env=env, **options)
        self.processes.append(process)
        return process

    def process(self, *args: str, **options: Any) -> Said:
        """Run a command as a process of its own, to its end."""
        process = self.start(*args, **options)
        out, err = process.communicate(timeout=60)
        text = (out or b"").decode()
        return Said(process.returncode, self.normal(text), self.normal((err or b"").decode()), text)

    def normal(self, text: str) -> str:
        """The text without what differs from run to run."""
        text = text.replace(str(self.folder), "PROJECT")
        text = _RUNS.sub("RUN", _TIMES.sub("TIME", text))
        return _SECONDS.sub("N s", _OFFSETS.sub("OFFSET", text))

    def end(self) -> None:
        """End what a test has left running."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait(10)
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where processes keep compiled modules, so that not each of them compiles all of Weft."""
    return tmp_path_factory.mktemp("bytecode")


@pytest.fixture
def weft(tmp_path: Path, bytecode: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Weft]:
    """A fresh project; the working directory is inside it."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("WEFT_")]:
        monkeypatch.delenv(name)
    made = Weft(tmp_path)
    made.env["PYTHONPYCACHEPREFIX"] = str(bytecode)
    yield made
    made.end()


@pytest.fixture
def hello(weft: Weft) -> Weft:
    """A project with a document that says hello."""
    weft.write("hello", '<command id="greet">echo "Hello, world!"</command>')
    return weft


@pytest.fixture
def failing(weft: Weft) -> Weft:
    """A project with a document of which three nodes fail, one of them twice, and one is never started."""
    weft.write(
        "failing",
        """
        <source:value id="numbers">[1, 2, 3]</source:value>
        <foreach id="each" collection="numbers">
          <command id="work"><env>N: "{{ $item }}"</env>echo "line $N"
    test "$N" != 2 || { touch second; exit 1; }</command>
        </foreach>
        <command id="flaky">echo "to the log"; until test -e second; do sleep 0.01; done; exit 7
          <on-error><retry max="1" base="1ms"/></on-error>
        </command>
        <transform:template id="after" input="each">never</transform:template>
        <sink:file id="kept" input="after" path="out.txt"/>
        """,
    )
    return weft


Wait = Callable[[Callable[[], bool]], None]


@pytest.fixture
def wait_until() -> Wait:
    """Wait for something to become true; fails after 20 s."""
    import time

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "it did not become true"
            time.sleep(0.01)

    return wait
