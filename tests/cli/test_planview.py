"""What people see of a plan: its tasks, and not the steps between."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from pathlib import Path

import msgspec

from plans.ground import WEFT, Ground
from weft import event_types as events
from weft.cli.live import picture
from weft.cli.planview import PlanState, task_and_phase, told
from weft.engine.records import Outputs
from weft.engine.report import Report
from weft.errors import ErrorData


def ended(path: str, output: bytes = b"null") -> events.AttemptSucceeded:
    return events.AttemptSucceeded(path=path, at=1.0, duration=0.5, output=msgspec.Raw(output))


def test_a_line_per_running_task_has_its_phase_its_time_and_its_last_words():
    report, state = Report(Outputs(None, None, None)), PlanState()
    for event in (
        events.RunStarted(at=0.0, run="r", workflow="plan.md"),
        events.AttemptStarted(path="task-1/place", at=1.0),
        events.AttemptStarted(path="task-1/execute", at=1.0),
        events.AttemptStarted(path="task-2/plan", at=2.0),
        events.BlockSucceeded(path="review-3", at=2.0),
        events.BlockFailed(path="task-4", cause="task-4/plan", at=2.0),
        events.AttemptFailed(path="task-4/plan", error=ErrorData("AgentFailed", "no idea"), at=2.0),
        events.AttemptFailed(path="gate-4", error=ErrorData("TaskFailed", "task 4 failed"), at=2.0),
    ):
        report.add(event)
        state.add(report, event)
    state.heard("task-1/execute", b"first\n\x1b[31mcompiling\n")
    assert [line.plain for line in picture(state, 5.5, 80, 24)] == [
        "· plan.md  5.50 s  2 running  1 done  1 failed",
        "  ▸ task 1: execute  4.50 s  compiling",
        "  ▸ task 2: plan  3.50 s",
        "  ✗ task-4/plan: AgentFailed: no idea",
        "  ✗ gate-4: TaskFailed: task 4 failed",
    ]
    assert [line.plain for line in picture(state, 5.5, 30, 3)] == [
        "· plan.md  5.50 s  2 running…",
        "  ✗ gate-4: TaskFailed: task…",
    ]


def test_what_came_of_the_steps_between_is_told_where_it_matters():
    head = "review-2/phase[0]/rounds[1]"
    lines = {
        "task-2/place": None,
        "task-2/commit": "committed 0123456789ab",
        "review-2/onto": None,
        "review-2/fold": None,
        f"{head}/at": None,
        f"{head}/review": "review, round 2 ended  0.500 s",
        f"{head}/findings": None,
        f"{head}/address": "address, round 2 ended  0.500 s",
        "review-2/sweep": None,
        "gate-2": None,
        "block-2": None,
    }
    outputs = {"task-2/commit": b'{"tip":"0123456789abcdef","base":"f"}'}
    for path, words in lines.items():
        assert told(ended(path, outputs.get(path, b"null"))) == (None if words is None else ("task 2", words)), path
    nothing = b'{"tip":"f","base":"f"}'
    assert told(ended("task-2/commit", nothing)) == ("task 2", "changed nothing")
    folded = b'{"tip":"0123456789abcdef","commits":["x"],"how":"picked"}'
    assert told(ended("review-2/fold", folded)) == ("task 2", "folded (picked): now at 0123456789ab")
    left = b'{"findings":[1,2],"dismissed":[1],"unlisted":0,"failed":null}'
    assert told(ended(f"{head}/left", left)) == ("task 2", "2 findings (1 dismissed)")
    failed = b'{"findings":[],"dismissed":[],"unlisted":0,"failed":"exit code 3"}'
    assert told(ended(f"{head}/left", failed)) == ("task 2", "was not reviewed: exit code 3")
    assert task_and_phase("task-12/plan") == ("task 12", "plan")
    assert task_and_phase("greet") is None


def test_on_a_terminal_the_tasks_are_drawn_and_taken_away(tmp_path: Path) -> None:
    ground = Ground(tmp_path, {"plan": [["print", "thinking hard"], ["hold", 1.5], ["print", "the plan"]]})
    ground.write("1p 2p")
    ground.settle(reviewer=None)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    words = [*WEFT, "plan", "run", str(ground.plan), *ground.where()]
    env = {**ground.env, "TERM": "xterm-256color"}
    process = subprocess.Popen(words, cwd=tmp_path, env=env, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    said, deadline = b"", time.monotonic() + 40
    while process.poll() is None and time.monotonic() < deadline:
        if select.select([master], [], [], 0.1)[0]:
            try:
                said += os.read(master, 65536)
            except OSError:
                break
    assert process.wait(10) == 0
    text = said.decode(errors="replace")
    assert "task 1: plan" in text
    assert "task 2: plan" in text
    assert "thinking hard" in text
    assert "place" not in text
    assert text.splitlines()[-1].startswith("plan succeeded (run ")
    os.close(master)
