"""A repository, a plan, and a scripted agent and reviewer, with the real `weft` as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agents.scripted import AGENT, REVIEWER, Scripted, Span, Steps, git_environment

WEFT = (sys.executable, "-m", "weft")

USUAL: dict[str, Steps] = {
    "plan": [["print", "the plan of task {task}: it is written down, and then it is done"]],
    "execute": [["write", "task-{task}.txt", "made by task {task}\n"], ["print", "task {task} is done"]],
    "address": [["write", "task-{task}.fixed", "fixed\n"]],
}
"""An agent that plans, makes a file, and fixes what the reviewer finds in it once."""

ONE_BLOCK = "1p 2p 3p 4p"
AROUND_A_BLOCK = "1 2p 3p 4"


class Said(msgspec.Struct, frozen=True):
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


def written(tasks: str, texts: dict[int, str] | None = None) -> str:
    """A plan in short: `1 2p 3p 4`."""
    lines = []
    for word in tasks.split():
        number = int(word.rstrip("p"))
        mark = " (parallel)" if word.endswith("p") else ""
        text = (texts or {}).get(number, f"Make the file of Task {number}.")
        lines.append(f"## Task {number}{mark}\n{text}\n")
    return "\n".join(lines)


class Ground:
    """Everything that a plan needs, in a folder."""

    def __init__(self, folder: Path, script: dict[str, Steps] | None = None, bytecode: Path | None = None) -> None:
        self.folder = folder
        self.repo = folder / "repo"
        self.plan = folder / "plan.md"
        self.config = folder / "plan.toml"
        self.agents = Scripted(folder / "agents", {**USUAL, **(script or {})})
        kept = {name: os.environ[name] for name in ("TMPDIR", "PYTHONPATH") if name in os.environ}
        self.env = {**self.agents.env, **kept}
        if bytecode is not None:
            self.env["PYTHONPYCACHEPREFIX"] = str(bytecode)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.repo.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "Owner")
        self.git("config", "user.email", "owner@example.org")
        (self.repo / "README").write_text("one\ntwo\nthree\n")
        self.git("add", ".")
        self.git("commit", "-q", "-m", "begin")
        self.begin = self.git("rev-parse", "HEAD").strip()
        self.write(AROUND_A_BLOCK)
        self.settle()

    def write(self, tasks: str, texts: dict[int, str] | None = None) -> None:
        self.plan.write_text(written(tasks, texts))

    def settle(self, reviewer: str | Sequence[str] | None = "json", prompt: str = "stdin", **settings: Any) -> None:
        """Write the configuration: a mode of the scripted reviewer (None: nobody reviews), and settings."""
        command = [*REVIEWER, reviewer] if isinstance(reviewer, str) else reviewer
        given = {"agent": "scripted", "parallel": True, "phase_timeout_sec": 30, **settings}
        if command is None:
            given["reviewer"] = "none"
        else:
            given["review_command"] = list(command)
        lines = ["[plan]", *(f"{name} = {json.dumps(value)}" for name, value in given.items())]
        lines += ["[agents.scripted]", f"program = {json.dumps(AGENT[0])}", f'prompt = "{prompt}"']
        file = ["--prompt-file", "PROMPT", "REPO"] if prompt == "file" else []
        lines += [f"{phase} = {json.dumps([*AGENT[1:], phase, *file])}" for phase in ("plan", "execute", "address")]
        self.config.write_text("\n".join(lines) + "\n")

    # -- the command ---------------------------------------------------------------------------------------------------

    def start(self, *words: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [*WEFT, *words], cwd=self.folder, env={**self.env, **(env or {})}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def weft(self, *words: str, env: dict[str, str] | None = None, seconds: float = 90) -> Said:
        process = self.start(*words, env=env)
        out, err = process.communicate(timeout=seconds)
        said = Said(process.returncode, out.decode(), err.decode())
        assert "Traceback" not in said.all, said.all
        return said

    def where(self) -> tuple[str, ...]:
        return ("--repo", str(self.repo), "--config", str(self.config))

    def run(self, *words: str, env: dict[str, str] | None = None, seconds: float = 90) -> Said:
        return self.weft("plan", "run", str(self.plan), *self.where(), *words, env=env, seconds=seconds)

    def start_run(self, *words: str) -> subprocess.Popen[bytes]:
        return self.start("plan", "run", str(self.plan), *self.where(), *words)

    def end(self) -> None:
        """End what a test has left running."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait(10)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()

    # -- what came of it -----------------------------------------------------------------------------------------------

    def git(self, *words: str) -> str:
        done = subprocess.run(["git", *words], cwd=self.repo, env=git_environment(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def history(self) -> list[str]:
        """The subjects of the commits on main since the beginning, oldest first."""
        return self.git("log", "--reverse", "--format=%s", f"{self.begin}..main").splitlines()

    def files(self) -> dict[str, str]:
        """What is committed on main."""
        names = self.git("ls-tree", "-r", "--name-only", "main").splitlines()
        return {name: self.git("show", f"main:{name}") for name in names}

    def branches(self) -> list[str]:
        return self.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split()

    def worktrees(self) -> list[str]:
        lines = self.git("worktree", "list", "--porcelain").splitlines()
        return [line.removeprefix("worktree ") for line in lines if line.startswith("worktree ")][1:]

    def spans(self, *phases: str) -> list[Span]:
        return [span for span in self.agents.spans() if not phases or span.phase in phases]

    def calls(self) -> list[tuple[str, int]]:
        """Phase and task of each invocation of the agent, in the order of their starts."""
        return [(span.phase, int(span.task)) for span in self.agents.spans()]

    def runs(self) -> list[Path]:
        return sorted(folder for folder in (self.repo / ".weft/plans").iterdir() if folder.is_dir())

    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.runs()[-1] / "summary.json").read_text())
        return found

    def tidy(self) -> bool:
        """Whether everything is committed, and nothing of the tasks' own is left."""
        left = (self.git("status", "--porcelain"), self.worktrees(), self.branches())
        return left == ("", [], ["main"])


def processes_with(mark: str) -> list[int]:
    """The processes that have a text in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if mark.encode() in words and state != "Z" and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


def until(condition: Any, seconds: float = 30) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.005)


def usual_history(numbers: Sequence[int], rounds: int = 1) -> list[str]:
    """One commit per task, then one per round of its review, each kind in task order as they come in blocks of one."""
    return list(_usual(numbers, rounds))


def _usual(numbers: Sequence[int], rounds: int) -> Iterator[str]:
    for number in numbers:
        yield f"Task {number}: Make the file of Task {number}."
        for round_ in range(rounds):
            yield f"Task {number}: review, round {round_ + 1}"
