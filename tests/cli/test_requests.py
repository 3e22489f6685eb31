"""`weft decide` and `weft cancel`: what a person wants of a run, with and without a process that works on it."""

from __future__ import annotations

import asyncio

import pytest

import weft as library


@pytest.fixture
def slow(weft):
    """A document with a step that lasts until a file is there, and whose effect may happen only once."""
    weft.write(
        "pay",
        """
        <command id="pay" effect="once">touch began; while ! test -e go; do sleep 0.02; done; echo paid
          <compensate><command id="refund">touch refunded</command></compensate>
        </command>
        <transform:template id="receipt" input="pay">receipt: {{ input }}</transform:template>
        <sink:file id="kept" input="receipt" path="receipt.txt"/>
        """,
    )
    return weft


@pytest.fixture
def going_on(slow, wait_until):
    """Its run goes on."""
    slow.start("run", "pay.flow.md")
    wait_until((slow.folder / "began").exists)
    return slow


@pytest.fixture
def waiting(going_on):
    """Its process was killed in the middle of the step, and a resume has asked."""
    going_on.processes[0].kill()
    going_on.processes[0].wait(10)
    said = going_on("resume", "last", "--no-progress")
    assert said.code == 4
    return going_on


def test_a_step_of_unknown_outcome_makes_the_run_wait_and_says_how_to_settle_it(going_on):
    going_on.processes[0].kill()
    going_on.processes[0].wait(10)
    said = going_on("resume", "last", "--no-progress")
    assert said.code == 4
    assert said.out.startswith("pay waiting in N s: 1 waiting")
    lines = said.err.splitlines()
    assert lines[0].startswith("waiting: pay: ")
    assert lines[1:] == [
        "  settle it with: weft decide RUN pay done|retry|fail",
        "then go on with: weft resume RUN",
    ]


def test_a_decision_settles_it(waiting):
    said = waiting("decide", "last", "pay", "done", "--value", '"by hand"')
    assert (said.code, said.err) == (0, "")
    assert said.out == "pay is decided: done; go on with: weft resume RUN\n"
    result = waiting.json("resume", "last", "--json")
    assert result["nodes"]["receipt"]["output"] == "receipt: by hand"


def test_decided_to_be_tried_again_it_is(waiting):
    (waiting.folder / "go").touch()
    assert waiting("decide", "last", "pay", "retry").code == 0
    assert waiting.json("resume", "last", "--json")["nodes"]["receipt"]["output"] == "receipt: paid"


def test_decided_as_failed_the_run_fails(waiting):
    assert waiting("decide", "last", "pay", "fail").code == 0
    assert waiting("resume", "last", "--json").code == 1


def test_only_what_waits_can_be_decided(waiting):
    said = waiting("decide", "last", "receipt", "retry")
    assert (said.code, said.out) == (64, "")
    assert said.err.splitlines()[1] == "hint: waiting: pay"


def test_the_output_of_a_decision_is_json(waiting):
    said = waiting("decide", "last", "pay", "done", "--value", "paid")
    assert said.code == 64
    assert said.err.splitlines()[1] == "hint: write JSON, for a text with its quotes: --value '\"ok\"'"


def test_a_run_that_goes_on_is_cancelled_by_its_own_process(going_on):
    said = going_on("cancel", "last", "--reason", "too \x1b[2J slow")
    assert (said.code, said.out) == (0, "told the process that works on run RUN\n")
    out, err = going_on.processes[0].communicate(timeout=60)
    assert going_on.processes[0].returncode in (4, 130)
    assert b"\x1b" not in out + err
    assert "is to be cancelled by" in out.decode()


def test_a_run_without_a_process_is_cancelled_and_rolled_back_here(weft):
    weft.write(
        "saga",
        """
        <command id="make">touch made
          <compensate><command id="unmake">rm made</command></compensate>
        </command>
        <command id="hangs" needs="make">touch began; sleep 60</command>
        """,
    )
    process = weft.start("run", "saga.flow.md")
    import time

    while not (weft.folder / "began").exists():
        time.sleep(0.01)
    process.kill()
    process.wait(10)
    said = weft("cancel", "last")
    assert (said.code, said.out, said.err) == (0, "run RUN is cancelled\n", "")
    assert not (weft.folder / "made").exists()
    assert weft.json("show", "last", "--json")["status"] == "cancelled"
    assert weft("cancel", "last").out == "run RUN is cancelled\n"


def test_a_run_that_has_ended_cannot_be_cancelled(hello):
    hello("run", "hello.flow.md")
    said = hello("cancel", "last")
    assert (said.code, said.err) == (64, "weft: run RUN has ended as succeeded\n")


def test_a_run_in_which_nothing_is_left_to_cancel_ends_as_what_it_is(weft):
    weft.write("one", '<command id="pay" effect="once" timeout="50ms">sleep 5</command>')
    assert weft("run", "one.flow.md").code == 4
    assert weft("decide", "last", "pay", "done").code == 0
    said = weft("cancel", "last")
    assert said.out == "run RUN has ended as succeeded, not as cancelled: all of it was over\n"


async def lost(quick: int) -> None:
    await asyncio.sleep(60)


def python_flow() -> library.Workflow:
    flow = library.Workflow("kept")
    flow.add_task(lambda: 1, id="quick")
    flow.add_task(lost, effect="once", timeout=0.01)
    flow.add_task(lambda lost: lost, id="last")
    return flow


def test_a_run_of_python_code_says_that_its_program_goes_on_with_it(weft):
    kept = weft.folder / ".weft"
    assert python_flow().run(journal=kept).status == "waiting"
    call = "weft.resume_sync('RUN', workflow, journal=...) in its program"
    assert weft("show", "last").out.endswith(f"then go on with: {call}\n")
    assert weft("decide", "last", "lost", "done").out == f"lost is decided: done; go on with: {call}\n"
    said = weft("cancel", "last")
    assert (said.code, said.out) == (0, f"run RUN is to be cancelled; its end comes with: {call}\n")
    assert library.resume_sync("last", python_flow(), journal=kept).status == "cancelled"
    assert weft("show", "last").out.startswith("kept cancelled")
