"""The live view: its picture fits any terminal, and it is taken away without a trace."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft import event_types as events
from weft.cli.live import State, picture
from weft.engine.records import Outputs
from weft.engine.report import Report
from weft.errors import ErrorData

_paths = st.text(min_size=1, max_size=60)


def state_of(*told):
    report = Report(Outputs(None, None, None))
    state = State()
    for event in told:
        report.add(event)
        state.add(report, event)
    return state


STARTED = events.RunStarted(
    at=0.0, run="r", workflow="etl", plan=(events.NodePlan("a", "command", 0), events.NodePlan("b", "command", 1))
)


@given(
    running=st.lists(_paths, max_size=30, unique=True),
    failed=st.lists(st.tuples(_paths, st.text(max_size=200)), max_size=6),
    said=st.binary(max_size=300),
    workflow=st.text(max_size=80),
    width=st.integers(0, 200),
    height=st.integers(0, 60),
)
def test_a_picture_is_lower_and_narrower_than_its_terminal(running, failed, said, workflow, width, height):
    started = events.RunStarted(at=0.0, run="r", workflow=workflow)
    told = [events.AttemptStarted(path=path, at=1.0) for path in running]
    told += [events.AttemptFailed(path=path, error=ErrorData("E", text), at=1.0) for path, text in failed]
    state = state_of(started, *told)
    state.last = ("x", said)
    lines = picture(state, 2.0, width, height)
    assert len(lines) <= max(0, height - 1)
    assert all(line.cell_len <= max(0, width - 1) for line in lines)
    assert not [c for line in lines for c in line.plain if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]


def texts(state, now, width=60, height=24):
    return [line.plain for line in picture(state, now, width, height)]


def test_a_picture_of_a_run():
    state = state_of(
        STARTED,
        events.AttemptStarted(path="a", at=1.0),
        events.ForeachExpanded(path="each", count=1000, at=1.0),
        events.AttemptStarted(path="each[3]/work", at=2.0),
        events.AttemptFailed(path="c", error=ErrorData("CommandError", "exit code 1"), at=2.0),
    )
    state.last = ("a", b"compiling\nlinking\n")
    assert texts(state, 5.5) == [
        "· etl  5.50 s  wave 1 of 2  2 running  0 done  1 failed",
        "  ▸ a  4.50 s",
        "  ▸ each[3]/work of 1,000  3.50 s",
        "  ✗ c: CommandError: exit code 1",
        "  │ a: linking",
    ]


def test_with_little_room_what_matters_most_stays():
    told = [events.AttemptStarted(path=f"n{i}", at=float(i)) for i in range(8)]
    state = state_of(STARTED, *told, events.AttemptFailed(path="bad", error=ErrorData("E", "x"), at=9.0))
    state.last = ("n1", b"words")
    assert texts(state, 10.0, height=6)[1:] == [
        "  ▸ n0  10.0 s",
        "  … and 7 more steps",
        "  ✗ bad: E: x",
        "  │ n1: words",
    ]
    assert texts(state, 10.0, height=5)[1:] == ["  … and 8 more steps", "  ✗ bad: E: x", "  │ n1: words"]
    assert len(texts(state, 10.0, height=2)) == 1
    assert texts(state, 10.0, height=1) == []


def test_retried_and_ended_attempts_run_no_more():
    failed = events.AttemptFailed(path="a", error=ErrorData("E", "x"), at=2.0)
    state = state_of(STARTED, events.AttemptStarted(path="a", at=1.0), failed)
    assert state.running == {}
    undo = events.CompensationStarted(path="a", at=3.0)
    state = state_of(STARTED, undo)
    assert list(state.running) == ["a (undo)"]
    assert state_of(STARTED, undo, events.CompensationSucceeded(path="a", at=4.0)).running == {}


# -- on a terminal -----------------------------------------------------------------------------------------------------


class Terminal:
    """A terminal of `columns` x `lines` with a command on it."""

    def __init__(self, weft, args, columns=80, lines=24, **env):
        self.primary, secondary = pty.openpty()
        self.resize(columns, lines)
        variables = {"TERM": "xterm-256color", "NO_COLOR": "", **env}
        ends = {"stdin": secondary, "stdout": secondary, "stderr": secondary}
        self.process = weft.start(*args, **ends, env=variables, start_new_session=True, preexec_fn=take_terminal)
        os.close(secondary)
        self.data = b""

    def resize(self, columns, lines):
        fcntl.ioctl(self.primary, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read_until(self, wanted, seconds=20.0):
        deadline = time.monotonic() + seconds
        while wanted not in re.sub(rb"\x1b\[[\d;]*m", b"", self.data):
            assert time.monotonic() < deadline, self.data
            self.read()

    def read(self, seconds=0.1):
        if select.select([self.primary], [], [], seconds)[0]:
            try:
                self.data += os.read(self.primary, 65536)
            except OSError:  # the other end is closed
                return False
        return True

    def finish(self):
        """Everything to the end of the process, and its code."""
        deadline = time.monotonic() + 30
        while self.read() and (self.process.poll() is None or select.select([self.primary], [], [], 0)[0]):
            assert time.monotonic() < deadline, self.data
        return self.process.wait(10)

    def close(self):
        os.close(self.primary)


def take_terminal():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def slow(weft):
    weft.write(
        "slow",
        """
        <command id="begins">echo "some words"; touch began; while ! test -e go; do sleep 0.02; done</command>
        <command id="ends" needs="begins">touch ended</command>
        """,
    )
    return weft


@pytest.fixture
def terminal(weft):
    made = []

    def make(args, *size, **env):
        one = Terminal(weft, args, *size, **env)
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


def screen(data, columns=80, lines=24):
    """What a terminal shows after this output: only what the live view uses is understood."""
    rows, at = [""], 0
    for piece in re.split(rb"(\x1b\[\d*[A-Za-z]|\x1b\[[\d;]*m|\r|\n)", data):
        if piece == b"\n":
            at += 1
            rows += [""] * (at + 1 - len(rows))
        elif found := re.fullmatch(rb"\x1b\[(\d*)A", piece):
            at = max(0, at - int(found[1] or 1))
        elif piece == b"\x1b[J":
            del rows[at:]
            rows.append("")
        elif piece and piece != b"\r" and not piece.startswith(b"\x1b["):
            rows[at] += piece.decode()
    return [row for row in rows if row]


def test_a_terminal_shows_what_runs_and_at_the_end_only_the_summary(slow, terminal):
    one = terminal(["run", "slow.flow.md"])
    one.read_until("▸ begins".encode())
    one.read_until(b"begins: some words")
    (slow.folder / "go").touch()
    assert one.finish() == 0
    assert [slow.normal(row) for row in screen(one.data)] == ["slow succeeded in N s: 2 succeeded (run RUN)"]


def test_a_short_run_draws_nothing(hello, terminal):
    one = terminal(["run", "hello.flow.md"])
    assert one.finish() == 0
    assert b"\x1b[J" not in one.data
    rows = [hello.normal(row) for row in screen(one.data)]
    assert rows == ["hello succeeded in N s: 1 succeeded (run RUN)", "output: Hello, world!"]


def test_without_colours_nothing_is_coloured(slow, terminal):
    one = terminal(["run", "slow.flow.md"], NO_COLOR="1")
    one.read_until("▸ begins".encode())
    (slow.folder / "go").touch()
    assert one.finish() == 0
    assert re.findall(rb"\x1b\[[\d;]*m", one.data) == []


def test_a_dumb_terminal_gets_lines(hello, terminal):
    one = terminal(["run", "hello.flow.md"], TERM="dumb")
    assert one.finish() == 0
    assert b"\x1b" not in one.data
    assert hello.normal(one.data.decode().replace("\r", "")).startswith("OFFSET  hello  run RUN started\n")


def test_ctrl_c_reaches_the_engine_and_not_the_steps(slow, terminal, wait_until):
    one = terminal(["run", "slow.flow.md"])
    one.read_until("▸ begins".encode())
    os.write(one.primary, b"\x03")
    time.sleep(0.2)  # long enough for a signal to have ended the step, if it had reached it
    (slow.folder / "go").touch()
    assert one.finish() == 130
    rows = [slow.normal(row) for row in screen(one.data)]
    assert rows[-2:] == ["slow interrupted: 1 succeeded (run RUN)", "interrupted; go on with: weft resume RUN"]
    assert slow.json("show", "last", "--json")["nodes"]["begins"]["status"] == "succeeded"


def test_two_ctrl_c_stop_what_runs_within_five_seconds(slow, terminal):
    one = terminal(["run", "slow.flow.md"])
    one.read_until("▸ begins".encode())
    began = time.monotonic()
    os.write(one.primary, b"\x03")
    time.sleep(0.2)
    os.write(one.primary, b"\x03")
    assert one.finish() == 130
    assert time.monotonic() - began < 5
    assert "interrupted; go on with: weft resume" in one.data.decode()


def test_three_ctrl_c_leave_at_once(slow, terminal):
    slow.write("stubborn", """<command id="s">trap '' TERM; touch began; while :; do sleep 0.05; done</command>""")
    one = terminal(["run", "stubborn.flow.md"])
    one.read_until("▸ s".encode())
    for _ in range(3):
        os.write(one.primary, b"\x03")
        time.sleep(0.15)
    assert one.finish() == 130


def test_a_terminal_that_goes_away_ends_the_run_as_a_signal_does(slow, terminal):
    one = terminal(["run", "slow.flow.md"])
    one.read_until("▸ begins".encode())
    (slow.folder / "go").touch()
    os.close(one.primary)
    one.primary = os.open("/dev/null", os.O_RDWR)
    assert one.process.wait(20) in (0, 129)  # 0 if it had ended before it was told
    assert slow.json("show", "last", "--json")["status"] in ("interrupted", "succeeded")


def test_a_terminal_that_stands_still_does_not_hold_up_the_run(slow, terminal, wait_until):
    one = terminal(["run", "slow.flow.md"])
    one.read_until("▸ begins".encode())
    os.write(one.primary, b"\x13")  # Ctrl-S
    (slow.folder / "go").touch()
    wait_until((slow.folder / "ended").exists)
    os.write(one.primary, b"\x11")
    assert one.finish() == 0


def test_while_the_terminal_is_resized_every_picture_fits(slow, terminal):
    one = terminal(["run", "slow.flow.md"])
    one.read_until("▸ begins".encode())
    for columns, lines in [(20, 5), (120, 30), (10, 3), (5, 2), (80, 5), (80, 24)]:
        one.resize(columns, lines)
        one.process.send_signal(signal.SIGWINCH)
        seen = len(one.data)
        while one.data.count(b"\x1b[J", seen) < 2:
            one.read()
    (slow.folder / "go").touch()
    assert one.finish() == 0
    assert b"Traceback" not in one.data
