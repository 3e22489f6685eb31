"""At most one process works on a run (P4), and nothing that a run started outlives it (P6): real processes.

A takeover starts nothing while a child of the old owner lives; children are found by a word in their environment.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from torture.rig import WEFT, Rig, alive, wait_until
from weft import event_types as events
from weft.journal.lock import owner_of

RESUMERS = 8

SLOW = """# Owned

<workflow>
<command id="first">
  echo "start $WEFT_PATH $WEFT_ATTEMPT $WEFT_KEY" >> "$SINK"; touch running; test -e go || sleep 60
</command>
<command id="second" needs="first">
  echo "start $WEFT_PATH $WEFT_ATTEMPT $WEFT_KEY" >> "$SINK"; i=0; until test -e over || test $i -ge 1200; do i=$((i+1)); sleep 0.05; done; echo two
</command>
</workflow>
"""
WRITER = """# Owned

<workflow>
<command id="writer">trap '' TERM; touch running; if test -e go; then date +%s.%N >> taken; else
  while true; do date +%s.%N >> ticks; sleep 0.005; done; fi</command>
</workflow>
"""
ORPHANS = """# Orphans

<workflow>
<command id="stubborn">trap '' TERM; touch one; while true; do sleep 1; done</command>
<command id="forked">(setsid sh -c "trap '' TERM; touch two; sleep 600" &) ; sleep 600</command>
<command id="holder">(sleep 600 &) ; (nohup sleep 600 > /dev/null 2>&1 &) ; touch three; echo held</command>
<python id="code">
```python
import os, subprocess, time

def main():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    open("four", "w").close()
    time.sleep(600)
```
</python>
</workflow>
"""
MARKS = ("one", "two", "three", "four")


def killed(folder: Path, text: str) -> Rig:
    """A run whose engine was killed while its first step ran."""
    rig = Rig(folder, text, MARK=str(folder))
    process = rig.start("run", "doc.flow.md")
    wait_until((folder / "running").exists)
    rig.kill(process)
    (folder / "go").touch()
    return rig


def ticks(folder: Path) -> list[float]:
    """When the child wrote."""
    file = folder / "ticks"
    return [float(word) for word in file.read_text().split()] if file.exists() else []


def race(folder: Path) -> None:
    """Start many resumes of one run at once: one works, the others say who does."""
    rig = killed(folder, SLOW)
    before = len(rig.lines())
    started = []
    for number in range(RESUMERS):
        with (folder / f".said{number}").open("wb") as out:
            started.append(subprocess.Popen([WEFT, "resume", "last"], cwd=folder, env=rig.env, stdout=out, stderr=out))
    wait_until(lambda: sum(process.poll() is None for process in started) <= 1, 60)
    (folder / "over").touch()  # no sooner: who comes after the winner has ended is told that the run has ended
    assert sorted(process.wait(60) for process in started) == [0] + [75] * (RESUMERS - 1)
    winner = next(process.pid for process in started if process.returncode == 0)
    for number, process in enumerate(started):
        if process.returncode:
            assert f"belongs to process {winner} on " in (folder / f".said{number}").read_text()
    assert [line.path for line in rig.lines()[before:]] == ["first", "second"]


def test_of_eight_resumes_at_once_one_works_and_the_others_name_it(tmp_path):
    race(tmp_path)


@pytest.mark.torture
def test_of_eight_resumes_at_once_one_works_each_of_many_times(tmp_path):
    for number in range(25):
        race(tmp_path / str(number))


def test_a_stopped_owner_refuses_the_second_and_is_ended_by_a_takeover(tmp_path):
    rig = Rig(tmp_path, WRITER, MARK=str(tmp_path))
    process = rig.start("run", "doc.flow.md")
    try:
        wait_until(lambda: len(ticks(tmp_path)) > 3)
        process.send_signal(signal.SIGSTOP)
        (tmp_path / "go").touch()
        refused = rig.ended(rig.start("resume", "last"))
        assert refused.code == 75
        assert f"belongs to process {process.pid} on " in refused.err
        assert "--take-over" in refused.err
        taken = rig.ended(rig.start("resume", "last", "--take-over", "--json"))
        assert taken.code == 0
        assert process.wait(5) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
    first = float((tmp_path / "taken").read_text())
    assert ticks(tmp_path)[-1] < first, "a child of the old owner wrote after the takeover had started its own"
    assert alive(f"MARK={tmp_path}") == []
    began = [e for e in rig.events() if isinstance(e, events.AttemptStarted)]
    assert [(e.attempt, e.reason) for e in began] == [(1, "new"), (1, "resumed: outcome unknown")]


def test_a_resume_right_after_a_kill_starts_nothing_beside_old_children(tmp_path):
    rig = Rig(tmp_path, WRITER, MARK=str(tmp_path))
    process = rig.start("run", "doc.flow.md")
    wait_until(lambda: ticks(tmp_path))
    process.kill()
    (tmp_path / "go").touch()
    taken = rig.ended(rig.start("resume", "last", "--json"))
    process.wait()
    assert taken.code == 0
    assert ticks(tmp_path)[-1] < float((tmp_path / "taken").read_text())


def test_a_resume_waits_for_old_children_also_when_their_keeper_was_killed(tmp_path):
    rig = Rig(tmp_path, WRITER, MARK=str(tmp_path))
    process = rig.start("run", "doc.flow.md")
    wait_until(lambda: ticks(tmp_path))
    run = next((tmp_path / ".weft" / "runs").iterdir())
    keeper = int((run / "children.lock").read_text().split()[0])
    owner = owner_of(run)
    assert owner is not None
    assert owner.pid == process.pid
    os.kill(keeper, signal.SIGKILL)
    process.kill()
    process.wait()
    (tmp_path / "go").touch()
    taken = rig.ended(rig.start("resume", "last", "--json"))
    assert taken.code == 0, taken.err
    assert ticks(tmp_path)[-1] < float((tmp_path / "taken").read_text())
    assert alive(f"MARK={tmp_path}") == []


LONG = [pytest.param(how, marks=pytest.mark.torture) for how in ("interrupted twice", "timeout", "cancelled")]


@pytest.mark.parametrize("how", ["killed", *LONG])
def test_nothing_that_a_run_started_outlives_it(tmp_path, how):
    rig = Rig(tmp_path, ORPHANS, MARK=str(tmp_path))
    words = ["--timeout", "3s"] if how == "timeout" else []
    process = rig.start("run", "doc.flow.md", *words)
    wait_until(lambda: all((tmp_path / mark).exists() for mark in MARKS))
    began = time.monotonic()
    if how == "killed":
        process.kill()
        process.wait()
    elif how == "interrupted twice":
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert (rig.ended(process).code, time.monotonic() - began < 5) == (130, True)
    elif how == "cancelled":
        assert rig.ended(rig.start("cancel", "last")).code == 0
        assert process.wait(10) == 130
    else:
        assert process.wait(15) == 1
    wait_until(lambda: alive(f"MARK={tmp_path}") == [], 5)


@pytest.mark.torture
def test_nothing_outlives_a_kill_at_any_moment(tmp_path):
    for number in range(20):
        folder = tmp_path / str(number)
        rig = Rig(folder, ORPHANS, MARK=str(folder))
        process = rig.start("run", "doc.flow.md")
        time.sleep(0.05 + number * 0.03)
        process.kill()
        process.wait()
        began = time.monotonic()
        wait_until(lambda: alive(f"MARK={folder}") == [], 5)  # noqa: B023 - used at once
        assert time.monotonic() - began < 5
