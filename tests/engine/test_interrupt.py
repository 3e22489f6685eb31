"""Ctrl-C, SIGTERM and SIGHUP of a real `weft run`: nothing new starts, what runs has its grace, and the run goes on
when it is resumed (FAULTS F31 to F37)."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from torture.rig import Rig, alive, wait_until
from weft import event_types as events

CHAIN = """# Interrupted

<workflow>
<command id="first">echo first >> "$SINK"; touch running; sleep 0.6; echo one</command>
<command id="second" needs="first">echo second >> "$SINK"; echo two</command>
<transform:value id="all" needs="second">[first, second]</transform:value>
</workflow>
"""
STUBBORN = """# Interrupted

<workflow>
<command id="first">trap '' TERM; (setsid sleep 300 &) ; touch running; sleep 300</command>
<command id="second" needs="first">echo never</command>
</workflow>
"""
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def interrupted(rig: Rig, *signals: signal.Signals, gap: float = 0.0) -> tuple[Any, float]:
    """Start the run, send signals while `first` runs; how it ended, and how long after the first signal."""
    process = rig.start("run", "doc.flow.md")
    wait_until((rig.folder / "running").exists)
    began = time.monotonic()
    for number in signals:
        process.send_signal(number)
        time.sleep(gap)
    ended = rig.ended(process)
    return ended, time.monotonic() - began


def names(rig: Rig) -> list[str]:
    return [type(event).__name__ for event in rig.events()]


@pytest.mark.parametrize("number", CODES, ids=lambda n: n.name)
def test_once_lets_what_runs_end_starts_nothing_and_says_how_to_go_on(tmp_path, number):
    rig = Rig(tmp_path, CHAIN)
    ended, _ = interrupted(rig, number)
    assert ended.code == CODES[number]
    assert rig.sink.read_text() == "first\n"
    assert names(rig) == ["RunStarted", "AttemptStarted", "AttemptSucceeded"]
    run = rig.events()[0].run
    assert f"go on with: weft resume {run}" in ended.err
    second = rig.ended(rig.start("resume", "last", "--json"))
    assert (second.code, second.result["output"]) == (0, ["one", "two"])
    assert rig.sink.read_text() == "first\nsecond\n"


def test_what_outlasts_the_grace_is_stopped_and_repeated(tmp_path):
    rig = Rig(tmp_path, CHAIN.replace("sleep 0.6", "test -e ok || sleep 60"))
    (tmp_path / "weft.toml").write_text('grace = "300ms"\n')
    ended, took = interrupted(rig, signal.SIGINT)
    assert (ended.code, took < 3) == (130, True)
    assert names(rig) == ["RunStarted", "AttemptStarted"]
    (tmp_path / "ok").touch()
    second = rig.ended(rig.start("resume", "last", "--json"))
    assert (second.code, second.result["output"]) == (0, ["one", "two"])
    assert second.result["nodes"]["first"]["reason"] == "resumed: outcome unknown"


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.torture)])
def test_twice_ends_within_five_seconds_and_leaves_no_process(tmp_path, number):
    rig = Rig(tmp_path, STUBBORN, MARK=str(tmp_path))
    ended, took = interrupted(rig, number, number, gap=0.05)
    assert (ended.code, took < 5) == (CODES[number], True), took
    assert names(rig) == ["RunStarted", "AttemptStarted"]
    assert alive(f"MARK={tmp_path}") == []


def test_three_times_leaves_on_the_spot(tmp_path):
    rig = Rig(tmp_path, STUBBORN, MARK=str(tmp_path))
    ended, took = interrupted(rig, signal.SIGINT, signal.SIGINT, signal.SIGINT, gap=0.05)
    assert (ended.code, took < 2) == (130, True), took
    wait_until(lambda: alive(f"MARK={tmp_path}") == [], 5)


def test_a_function_that_blocks_in_a_thread_does_not_keep_the_process(tmp_path):
    text = CHAIN.replace(
        '<command id="first">echo first >> "$SINK"; touch running; sleep 0.6; echo one</command>',
        '<python id="first" isolation="thread">\n```python\nimport pathlib, time\ndef main():\n'
        '    pathlib.Path("running").touch()\n    time.sleep(30)\n```\n</python>',
    )
    ended, took = interrupted(Rig(tmp_path, text), signal.SIGINT, signal.SIGINT, gap=0.05)
    assert (ended.code, took < 5) == (130, True), took


def test_a_compensation_that_runs_has_its_grace_and_is_not_repeated(tmp_path):
    text = """# Interrupted

<workflow>
<command id="a">echo a<compensate><command id="ua">echo ua >> "$SINK"</command></compensate></command>
<command id="b" needs="a">echo b
  <compensate><command id="ub">echo ub >> "$SINK"; touch running; sleep 0.5</command></compensate></command>
<command id="bad" needs="b">exit 1</command>
</workflow>
"""
    rig = Rig(tmp_path, text)
    ended, _ = interrupted(rig, signal.SIGINT)
    assert ended.code == 130
    assert names(rig)[-2:] == ["CompensationStarted", "CompensationSucceeded"]
    second = rig.ended(rig.start("resume", "last", "--json"))
    assert second.code == 1
    assert second.result["rollback"] == {"rolled_back": ["b", "a"], "skipped": [], "failed": []}
    assert rig.sink.read_text() == "ub\nua\n"


def test_a_run_that_waits_for_a_retry_leaves_at_once(tmp_path):
    text = """# Interrupted

<workflow>
<command id="try">
  <on-error><retry max="1" backoff="fixed" base="20s" cap="20s" jitter="none"/></on-error>
  touch running; exit 1
</command>
</workflow>
"""
    rig = Rig(tmp_path, text)
    process = rig.start("run", "doc.flow.md")
    wait_until(lambda: "RetryScheduled" in names(rig))
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert (rig.ended(process).code, time.monotonic() - began < 2) == (130, True)


@pytest.mark.torture
def test_a_storm_of_other_signals_changes_nothing(tmp_path):
    """SIGHUP, SIGINT and SIGTERM ten thousand times a second: it ends, and the journal is whole (F37)."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        rig = Rig(tmp_path / number.name, STUBBORN, MARK=str(tmp_path))
        process = rig.start("run", "doc.flow.md")
        wait_until((rig.folder / "running").exists)
        stop = time.monotonic() + 5
        while process.poll() is None and time.monotonic() < stop:
            process.send_signal(number)
            time.sleep(0.0001)
        assert rig.ended(process).code == CODES[number]
        assert names(rig) == ["RunStarted", "AttemptStarted"]
    wait_until(lambda: alive(f"MARK={tmp_path}") == [], 5)


@pytest.mark.torture
def test_a_storm_of_harmless_signals_during_commits_loses_nothing(tmp_path):
    """A signal that only wakes the process, thousands of times a second, while it commits."""
    body = "\n".join(f'<command id="c{i}">echo {i}</command>' for i in range(40))
    rig = Rig(tmp_path, f"# Storm\n\n<workflow>\n{body}\n</workflow>\n")
    process = rig.start("run", "doc.flow.md", "--json")
    stop = threading.Event()

    def storm() -> None:
        while not stop.is_set() and process.poll() is None:
            process.send_signal(signal.SIGWINCH)
            time.sleep(0.0001)

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        ended = rig.ended(process)
    finally:
        stop.set()
        thread.join()
    assert (ended.code, len([e for e in rig.events() if isinstance(e, events.AttemptSucceeded)])) == (0, 40)


def test_a_reader_that_goes_away_does_not_stop_the_run(tmp_path):
    """`weft run ... | head -1`: the run goes on (F36)."""
    import subprocess

    from torture.rig import WEFT

    body = "\n".join(f'<command id="c{i}">echo {i}; sleep 0.01</command>' for i in range(20))
    rig = Rig(tmp_path, f"# Pipe\n\n<workflow>\n{body}\n</workflow>\n")
    subprocess.run(
        f"{WEFT} run doc.flow.md --events 2>/dev/null | head -1", shell=True, cwd=tmp_path, env=rig.env, check=True,
        stdout=subprocess.DEVNULL, timeout=30,
    )  # fmt: skip
    wait_until(lambda: names(rig)[-1:] == ["RunFinished"])
    assert rig.events()[-1].status == "succeeded"
    assert Path(tmp_path, ".weft").is_dir()
