"""Scripted agents for tests: writes the script, gives the arguments and the environment, reads the stamps."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
AGENT = (sys.executable, "-S", "-E", str(HERE / "agent.py"))
REVIEWER = (sys.executable, "-S", "-E", str(HERE / "reviewer.py"))

Steps = list[list[Any]]


class Span(NamedTuple):
    """One invocation from its start to its end, in monotonic seconds; `end` is None when it was killed."""

    phase: str
    task: str
    start: float
    end: float | None
    cwd: str
    prompt: int


class Scripted:
    """A script in a folder of its own. `env` is what agents and reviewers are to inherit."""

    def __init__(self, folder: Path, script: dict[str, Steps] | None = None, **more: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.script = folder / "script.json"
        self.log = folder / "agents.log"
        self.reviews = folder / "reviews.log"
        self.env = {
            **git_environment(), "AGENT_SCRIPT": str(self.script), "AGENT_LOG": str(self.log),
            "REVIEW_LOG": str(self.reviews), **more,
        }  # fmt: skip
        self.set(script or {})

    def set(self, script: dict[str, Steps]) -> None:
        """Replace the script; agents that run have read theirs."""
        part = self.script.with_suffix(".part")
        part.write_text(json.dumps(script))
        part.replace(self.script)

    def argv(self, phase: str) -> list[str]:
        """The arguments of an invocation, but for the prompt."""
        return [*AGENT, phase]

    def stamps(self) -> list[dict[str, Any]]:
        return _lines(self.log)

    def spans(self) -> list[Span]:
        """Every invocation, in the order of their starts."""
        found: dict[tuple[Any, ...], list[Any]] = {}
        for line in self.stamps():
            key = (line["pid"], line["phase"], line["task"])
            if line["event"] == "start":
                found[(*key, line["at"])] = [line, None]
            else:
                open_ = [k for k, pair in found.items() if k[:3] == key and pair[1] is None]
                found[open_[-1]][1] = line["at"]
        spans = [
            Span(a["phase"], a["task"], a["at"], end, a["cwd"], a["prompt"]) for a, end in found.values()
        ]  # fmt: skip
        return sorted(spans, key=lambda span: span.start)

    def review_stamps(self) -> list[dict[str, Any]]:
        return _lines(self.reviews)


def most_at_once(spans: list[Span]) -> int:
    """How many invocations ran at the same time at most."""
    edges = [(span.start, 1) for span in spans] + [(span.end, -1) for span in spans if span.end is not None]
    running = most = 0
    for _, step in sorted(edges):
        running += step
        most = max(most, running)
    return most


def git_environment() -> dict[str, str]:
    """For git in tests: nothing of the machine's own configuration, and somebody who commits."""
    return {
        "PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull, "GIT_AUTHOR_NAME": "Agent", "GIT_AUTHOR_EMAIL": "agent@example.org",
        "GIT_COMMITTER_NAME": "Agent", "GIT_COMMITTER_EMAIL": "agent@example.org",
    }  # fmt: skip


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
