"""A cancelled run ends for good: nothing new starts, what runs is stopped, what was done is rolled back."""

from __future__ import annotations

from typing import Any

import pytest

from engine.crashes import Died, crash, crash_again, dies, done
from weft import app
from weft import event_types as events
from weft.errors import NotResumableError

BODY = """
    <command id="booked">echo booked >> log; echo 1
      <compensate><command id="unbook" env='{WHAT: "{{ input }}"}'>echo "unbook ${WHAT-}" >> log</command></compensate>
    </command>
    <command id="half" needs="booked">echo half >> log; sleep 20
      <compensate><command id="unhalf" env='{WHAT: "{{ input }}"}'>echo "unhalf${WHAT-}" >> log</command></compensate>
    </command>
    <command id="after" needs="half">echo after >> log</command>
"""


def half_started(event: events.Event) -> bool:
    return isinstance(event, events.AttemptStarted) and event.path == "half"


def test_a_running_run_is_cancelled_by_its_owner(flows):
    said: list[str] = []

    def watch(report: object, event: events.Event) -> None:
        if half_started(event):
            said.append(app.cancel("last", reason="enough"))
            said.append(app.cancel("last", reason="twice"))

    outcome = app.run(flows.write(BODY), app.Request(), audience=app.Audience(watch=watch))
    assert said == ["requested", "requested"]
    assert (outcome.result.status, outcome.exit_code) == ("cancelled", 130)
    requests = [e for e in flows.events() if isinstance(e, events.CancelRequested)]
    assert {e.reason for e in requests} == {"enough", "twice"}
    assert all(e.by for e in requests)
    rolled_back(flows, outcome)


def rolled_back(flows: Any, outcome: app.Outcome | None) -> None:
    log = [line for line in flows.lines("log") if line != "half"]
    assert log == ["booked", "unhalf", "unbook 1"]
    if outcome is not None:
        assert outcome.result.rollback is not None
        assert outcome.result.rollback.rolled_back == ("half", "booked")
        assert outcome.result.nodes["half"].status == "cancelled"


def test_a_run_without_an_owner_is_cancelled_on_the_spot(flows):
    crash(flows, BODY, half_started)
    assert app.cancel("last", reason="enough") == "cancelled"
    assert isinstance(flows.events()[-1], events.RunFinished)
    assert flows.events()[-1].status == "cancelled"
    rolled_back(flows, None)


def test_cancelling_twice_is_harmless_and_a_cancelled_run_is_final(flows):
    crash(flows, BODY, half_started)
    app.cancel("last")
    before = flows.events()
    assert app.cancel("last") == "cancelled"
    assert flows.events() == before
    with pytest.raises(NotResumableError, match="has ended as cancelled"):
        flows.resume()


def test_a_run_that_has_ended_cannot_be_cancelled(flows):
    flows.run("<transform:value id='v'>1</transform:value>")
    with pytest.raises(NotResumableError, match="has ended as succeeded"):
        app.cancel("last")


@pytest.mark.parametrize(
    "at",
    [
        lambda e: isinstance(e, events.RunResumed),
        lambda e: isinstance(e, events.AttemptFailed) and e.path == "half",
        lambda e: isinstance(e, events.CompensationStarted) and e.path == "half",
        lambda e: isinstance(e, events.CompensationSucceeded) and e.path == "half",
        lambda e: isinstance(e, events.CompensationStarted) and e.path == "booked",
    ],
    ids=["requested", "stopped", "first undo", "first undone", "second undo"],
)
def test_a_cancellation_survives_a_crash_at_any_point(flows, at):
    """A node that was started and never completed is undone, also when the engine dies after it was stopped."""
    body = BODY.replace("sleep 20", "while ! test -e never; do sleep 0.02; done")
    crash(flows, body, half_started)
    with pytest.raises(Died):
        app.cancel("last", audience=app.Audience(watch=dies(at)))
    outcome = flows.resume()
    assert (outcome.result.status, outcome.exit_code) == ("cancelled", 130)
    undone = [line for line in flows.lines("log") if line.startswith("un")]
    assert list(dict.fromkeys(undone)) == ["unhalf", "unbook 1"]
    assert undone.count("unbook 1") <= 2
    assert outcome.result.rollback is not None
    assert outcome.result.rollback.rolled_back == ("half", "booked")


def test_what_was_undone_after_a_failure_runs_again_under_another_key(flows):
    body = """
        <command id="booked">echo "booked $WEFT_KEY" >> log; echo "$WEFT_ATTEMPT"
          <compensate><command id="unbook">echo "unbook $WEFT_KEY" >> log</command></compensate>
        </command>
        <command id="kept" needs="booked">echo kept >> log; echo kept</command>
        <command id="bad" needs="kept">test -e ok</command>
        <transform:value id="all" needs="bad">[booked, kept]</transform:value>
    """
    assert flows.run(body).exit_code == 1
    assert flows.resume().exit_code == 1
    (flows.folder / "ok").touch()
    outcome = flows.resume()
    assert (outcome.exit_code, outcome.result.output) == (0, ["3", "kept"])
    lines = [line.split() for line in flows.lines("log")]
    assert [words[0] for words in lines] == ["booked", "kept", "unbook", "booked", "unbook", "booked"]
    keys = [words[1] for words in lines if words[0] == "booked"]
    assert len(set(keys)) == 3
    assert [words[1] for words in lines if words[0] == "unbook"] == keys[:2]
    assert outcome.result.nodes["booked"].reason == "resumed: it was undone"


def test_a_rollback_that_was_cut_off_goes_on_and_repeats_nothing_that_is_undone(flows):
    body = """
        <command id="a">echo a >> log
          <compensate><command id="ua">echo ua >> log</command></compensate></command>
        <command id="b" needs="a">echo b >> log
          <compensate><command id="ub">echo ub >> log</command></compensate></command>
        <command id="c" needs="b">echo c >> log
          <compensate><command id="uc">echo uc >> log</command></compensate></command>
        <command id="bad" needs="c">exit 1</command>
    """
    crash(flows, body, lambda e: isinstance(e, events.CompensationSucceeded) and e.path == "c")
    crash_again(flows, lambda e: isinstance(e, events.CompensationSucceeded) and e.path == "b")
    outcome = flows.resume()
    assert (outcome.result.status, outcome.exit_code) == ("failed", 1)
    assert flows.lines("log") == ["a", "b", "c", "uc", "ub", "ua"]
    assert outcome.result.rollback is not None
    assert outcome.result.rollback.rolled_back == ("c", "b", "a")


def test_a_compensation_that_fails_is_tried_again_then_reported_and_stops_nobody(flows):
    body = """
        <command id="a">echo a<compensate><command id="ua">echo ua >> log</command></compensate></command>
        <command id="b" needs="a">echo b
          <compensate><command id="ub">echo ub >> log; exit 1</command></compensate></command>
        <command id="bad" needs="b">exit 1</command>
    """
    crash(flows, body, lambda e: isinstance(e, events.CompensationFailed) and e.attempt == 1)
    outcome = flows.resume()
    assert outcome.exit_code == 1
    assert outcome.result.rollback is not None
    assert (outcome.result.rollback.rolled_back, outcome.result.rollback.failed) == (("a",), ("b",))
    assert flows.lines("log") == ["ub", "ub", "ub", "ua"]


def test_a_cancelled_loop_of_waiting_retries_ends_at_once(flows):
    body = """
        <command id="try">
          <on-error><retry max="5" backoff="fixed" base="1m" jitter="none" cap="1m"/></on-error>
          echo try >> log; exit 1
        </command>
    """

    def watch(report: object, event: events.Event) -> None:
        if isinstance(event, events.RetryScheduled):
            app.cancel("last")

    outcome = app.run(flows.write(body), app.Request(), audience=app.Audience(watch=watch))
    assert outcome.exit_code == 130
    assert flows.lines("log") == ["try"]


def test_a_crash_after_the_last_success_leaves_only_the_end_to_write(flows):
    crash(flows, "<command id='a'>echo a >> log</command><command id='b' needs='a'>echo b >> log</command>", done("a"))
    assert flows.resume().exit_code == 0
    assert flows.lines("log") == ["a", "b"]
