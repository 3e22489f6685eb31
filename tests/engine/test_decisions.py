"""A `once` node is started at most once; where its outcome is unknown, a person is asked (promise P2)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.crashes import crash, done, edit
from weft import app
from weft import event_types as events
from weft.errors import UsageError

PAY = """
    <command id="before">echo before >> log; echo b</command>
    <command id="pay" effect="once" needs="before">echo "pay $WEFT_ATTEMPT" >> log; WAIT; echo paid</command>
    <command id="beside">echo beside >> log; echo x</command>
    <transform:value id="all">[pay, beside]</transform:value>
"""
SLOW = PAY.replace("WAIT", "test -e ok || sleep 20")
QUESTION = "did attempt 1 of pay take effect? (the engine went away before it ended)"


def is_started(path: str) -> Any:
    return lambda event: isinstance(event, events.AttemptStarted) and event.path == path


def lost(flows: Any, body: str = SLOW) -> app.Outcome:
    """A run whose engine died while `pay` ran, resumed: it waits."""
    crash(flows, body, is_started("pay"))
    (flows.folder / "ok").touch()
    outcome = flows.resume()
    assert (outcome.result.status, outcome.exit_code) == ("waiting", 4)
    return outcome


def pays(flows: Any) -> list[str]:
    return [line for line in flows.lines("log") if line.startswith("pay")]


def test_a_once_node_that_was_lost_is_asked_about_and_everything_else_goes_on(flows):
    outcome = lost(flows)
    assert outcome.questions == {"pay": QUESTION}
    assert outcome.result.nodes["pay"].status == "waiting"
    assert outcome.result.nodes["beside"].output == "x"
    assert len(pays(flows)) <= 1


def test_resuming_without_an_answer_asks_again_and_starts_nothing(flows):
    lost(flows)
    again = flows.resume()
    assert (again.exit_code, again.questions) == (4, {"pay": QUESTION})
    assert len([e for e in flows.events() if isinstance(e, events.DecisionNeeded)]) == 1
    assert len([e for e in flows.events() if is_started("pay")(e)]) == 1


def test_done_gives_the_output(flows):
    lost(flows)
    assert app.decide("last", "pay", "done", '{"receipt": 7}') == "decided"
    outcome = flows.resume()
    assert outcome.result.output == [{"receipt": 7}, "x"]
    assert outcome.result.nodes["pay"].reason == "decided: done"
    assert len(pays(flows)) <= 1


def test_done_without_a_value_is_null(flows):
    lost(flows)
    app.decide("last", "pay", "done")
    assert flows.resume().result.output == [None, "x"]


def test_retry_starts_it_again_as_the_next_attempt(flows):
    lost(flows)
    app.decide("last", "pay", "retry")
    outcome = flows.resume()
    assert outcome.result.output == ["paid", "x"]
    assert pays(flows)[-1] == "pay 2"
    started = [(e.attempt, e.reason) for e in flows.events() if is_started("pay")(e)]
    assert started == [(1, "new"), (2, "decided: retry")]


def test_a_retry_that_is_lost_is_asked_about_again(flows):
    from engine.crashes import crash_again

    lost(flows)
    app.decide("last", "pay", "retry")
    crash_again(flows, lambda e: is_started("pay")(e) and e.attempt == 2)
    outcome = flows.resume()
    assert outcome.questions == {"pay": QUESTION.replace("attempt 1", "attempt 2")}
    app.decide("last", "pay", "done", '"two"')
    assert flows.resume().result.output == ["two", "x"]


def test_fail_fails_the_run_and_the_next_resume_asks_before_it_starts_again(flows):
    lost(flows)
    app.decide("last", "pay", "fail")
    failed = flows.resume()
    assert (failed.result.status, failed.exit_code) == ("failed", 1)
    assert [(e.path, e.error.message) for e in failed.result.errors] == [("pay", "decided: the attempt failed")]
    again = flows.resume()
    assert (again.exit_code, list(again.questions)) == (4, ["pay"])
    assert flows.resume().exit_code == 4
    app.decide("last", "pay", "retry")
    assert flows.resume().result.output == ["paid", "x"]


def test_a_once_node_that_failed_for_sure_is_asked_about_before_it_starts_again(flows):
    body = PAY.replace("WAIT", "test -e ok")
    failed = flows.run(body)
    assert failed.exit_code == 1
    assert pays(flows) == ["pay 1"]
    waiting = flows.resume()
    assert waiting.exit_code == 4
    assert waiting.questions == {"pay": "attempt 1 of pay failed: did it take effect?"}
    assert flows.resume().questions == waiting.questions
    assert pays(flows) == ["pay 1"]
    (flows.folder / "ok").touch()
    app.decide("last", "pay", "retry")
    assert flows.resume().result.output == ["paid", "x"]
    assert pays(flows) == ["pay 1", "pay 2"]


def test_a_timeout_of_a_once_node_leaves_it_waiting(flows):
    outcome = flows.run(SLOW.replace('effect="once"', 'effect="once" timeout="300ms"'))
    assert (outcome.result.status, outcome.exit_code) == ("waiting", 4)
    assert outcome.questions == {"pay": "did attempt 1 of pay take effect? (took longer than 0.3 s and was stopped)"}
    app.decide("last", "pay", "done", "1")
    assert flows.resume().result.output == [1, "x"]
    assert pays(flows) == ["pay 1"]


def test_a_once_node_that_a_failure_beside_it_cut_off_is_asked_about(flows):
    body = """
        <parallel id="both" on-failure="cancel">
          <branch><command id="pay" effect="once">echo pay >> log; sleep 20; echo paid</command></branch>
          <branch><command id="bad">while ! test -e log; do sleep 0.01; done; test -e ok; echo b</command></branch>
        </parallel>
    """
    outcome = flows.run(body)
    assert (outcome.exit_code, list(outcome.questions)) == (4, ["pay"])
    (flows.folder / "ok").touch()
    app.decide("last", "pay", "done", '"paid"')
    assert flows.resume().result.output == ["paid", "b"]
    assert flows.lines("log") == ["pay"]


def test_waiting_wins_over_failed_and_rollback_comes_after_the_decision(flows):
    body = """
        <command id="booked">echo booked >> log; echo 1
          <compensate><command id="unbook">echo unbook >> log</command></compensate>
        </command>
        <command id="pay" effect="once" timeout="300ms" needs="booked">echo pay >> log; sleep 20</command>
        <command id="bad" needs="booked">exit 1</command>
    """
    outcome = flows.run(body)
    assert (outcome.result.status, outcome.exit_code) == ("waiting", 4)
    assert flows.lines("log") == ["booked", "pay"]
    app.decide("last", "pay", "fail")
    failed = flows.resume()
    assert (failed.result.status, failed.exit_code) == ("failed", 1)
    assert flows.lines("log") == ["booked", "pay", "unbook"]


def test_a_decision_reaches_the_owner_of_a_run_that_goes_on(flows):
    body = """
        <command id="pay" effect="once" timeout="200ms">echo pay >> log; sleep 20</command>
        <command id="long">while ! test -e go; do sleep 0.02; done; echo long</command>
        <transform:value id="after">[pay, 'after']</transform:value>
        <transform:value id="all" needs="long">after</transform:value>
    """
    said: list[str] = []

    def watch(report: object, event: events.Event) -> None:
        if isinstance(event, events.DecisionNeeded):
            said.append(app.decide("last", "pay", "done", '"yes"'))
        if isinstance(event, events.AttemptSucceeded) and event.path == "after":
            (flows.folder / "go").touch()

    outcome = app.run(flows.write(body), app.Request(), audience=app.Audience(watch=watch))
    assert said == ["requested"]
    assert (outcome.exit_code, outcome.result.output) == (0, ["yes", "after"])
    assert flows.lines("log") == ["pay"]
    assert list(next((flows.folder / ".weft" / "runs").glob("*/inbox")).iterdir()) == []


def test_in_a_fan_out_only_what_is_unknown_waits(flows):
    body = """
        <foreach id="each" collection="[1, 2, 3]" concurrency="3">
          <command id="pay" effect="once" timeout="500ms" env='{N: "{{ $item }}"}'>
            echo "pay $N" >> log; test "$N" != 2 || sleep 20; echo "p$N"
          </command>
          <command id="receipt" env='{P: "{{ pay }}"}'>echo "receipt $P" >> log; echo "$P!"</command>
        </foreach>
        <transform:value id="all">each</transform:value>
    """
    outcome = flows.run(body)
    assert (outcome.exit_code, list(outcome.questions)) == (4, ["each[1]/pay"])
    app.decide("last", "each[1]/pay", "done", '"p2"')
    assert flows.resume().result.output == ["p1!", "p2!", "p3!"]
    assert sorted(line for line in flows.lines("log") if line.startswith("pay")) == ["pay 1", "pay 2", "pay 3"]


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("beside", "beside: there is nothing to decide (the node is succeeded)", "waiting: pay"),
        ("nobody", "nobody: there is nothing to decide (no such node)", "waiting: pay"),
    ],
)
def test_deciding_on_another_node_is_refused(flows, path, message, hint):
    lost(flows)
    before = flows.events()
    with pytest.raises(UsageError) as refused:
        app.decide("last", path, "done")
    assert (refused.value.exit_code, refused.value.message, refused.value.hint) == (64, message, hint)
    assert flows.events() == before


@pytest.mark.parametrize(
    ("answer", "value", "message"),
    [
        ("maybe", None, "'maybe' is not an answer"),
        ("retry", "1", "--value goes with done"),
        ("done", "{", "--value: not JSON: Input data was truncated"),
    ],
)
def test_a_wrong_answer_is_refused(flows, answer, value, message):
    lost(flows)
    with pytest.raises(UsageError) as refused:
        app.decide("last", "pay", answer, value)
    assert (refused.value.exit_code, refused.value.message) == (64, message)


def test_of_two_answers_the_first_holds(flows):
    lost(flows)
    app.decide("last", "pay", "done", "1")
    with pytest.raises(UsageError, match="there is nothing to decide"):
        app.decide("last", "pay", "retry")
    assert flows.resume().result.output == [1, "x"]


def test_a_once_node_that_succeeded_is_never_asked_about(flows):
    crash(flows, PAY.replace("WAIT", "true"), done("pay"))
    outcome = flows.resume()
    assert outcome.result.output == ["paid", "x"]
    assert pays(flows) == ["pay 1"]


def test_an_edit_beside_it_does_not_touch_a_waiting_node(flows):
    lost(flows)
    edit(flows, "echo x", "echo y")
    outcome = flows.resume(accept_changes=True)
    assert (outcome.exit_code, outcome.questions) == (4, {"pay": QUESTION})
    app.decide("last", "pay", "done", "1")
    assert flows.resume().result.output == [1, "y"]
