"""A resumed run goes on with exactly what is missing (DESIGN 3.4)."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from engine.crashes import Died, crash, crash_again, dies, done, edit
from weft import app
from weft import event_types as events
from weft.app.stories import why
from weft.errors import InputError, NotResumableError

CHAIN = """
    <command id="a">echo a >> log; echo 1</command>
    <command id="b">echo b >> log; echo "$WEFT_KEY" >> keys; echo 2</command>
    <transform:value id="c" needs="b">[a, b]</transform:value>
"""


def starts(flows: Any, path: str) -> list[events.AttemptStarted]:
    return [e for e in flows.events() if isinstance(e, events.AttemptStarted) and e.path == path]


def test_what_was_reported_as_done_does_not_run_again(flows):
    crash(flows, CHAIN, done("a"), jobs=1)
    outcome = flows.resume()
    assert outcome.result.output == ["1", "2"]
    assert flows.lines("log").count("a") == 1
    assert outcome.result.nodes["a"].reason == "new"


def test_an_attempt_that_was_lost_runs_again_under_the_same_number_and_key(flows):
    crash(flows, CHAIN, lambda e: isinstance(e, events.AttemptStarted) and e.path == "b", jobs=1)
    outcome = flows.resume()
    first, second = starts(flows, "b")
    assert (first.attempt, second.attempt) == (1, 1)
    assert (first.reason, second.reason) == ("new", "resumed: outcome unknown")
    assert len(set(flows.lines("keys"))) == 1
    assert outcome.result.nodes["b"].reason == "resumed: outcome unknown"
    assert why("last", "b").reason == "resumed: outcome unknown"


def test_every_kind_of_block_is_taken_up_where_it_was(flows):
    body = """
        <source:value id="n">3</source:value>
        <foreach id="each" collection="range(4)" concurrency="2">
          <command id="i" env='{N: "{{ $item }}"}'>echo i$N >> log; echo $N</command>
        </foreach>
        <loop id="turns" max="3" needs="each">
          <command id="t" env='{N: "{{ $iteration }}"}'>echo t$N >> log; echo $N</command>
        </loop>
        <parallel id="both" needs="turns">
          <branch><command id="l">echo l >> log; echo l</command></branch>
          <branch><command id="r">echo r >> log; echo r</command></branch>
        </parallel>
        <if id="which" condition="both[0] == 'l'">
          <then><command id="yes">echo yes >> log; echo yes</command></then>
          <else><command id="no">echo no >> log; echo no</command></else>
        </if>
        <transform:value id="all">[n, each, turns, both, which]</transform:value>
    """
    expected = [3, ["0", "1", "2", "3"], "2", ["l", "r"], "yes"]
    crash(flows, body, done("each[1]/i"))
    for path in ("each[3]/i", "turns[1]/t", "l", "yes"):
        crash_again(flows, done(path))
    outcome = flows.resume()
    assert outcome.result.output == expected
    counts = Counter(flows.lines("log"))
    assert {name: counts[name] for name in ("i1", "t1", "t0", "l", "yes")} == dict.fromkeys(
        ("i1", "t1", "t0", "l", "yes"), 1
    )


@pytest.mark.parametrize("merge", ["array", "concat", "object", "sum($branches)"])
def test_a_merge_has_its_value_after_a_resume(flows, merge):
    body = f"""
        <parallel id="both" merge="{merge}">
          <branch name="l"><command id="left" output="json">echo 1</command></branch>
          <branch name="r"><command id="right" output="json">echo 2</command></branch>
        </parallel>
        <command id="stop" needs="both">test -e ok</command>
        <transform:value id="all" needs="stop">both</transform:value>
    """
    assert flows.run(body).exit_code == 1
    (flows.folder / "ok").touch()
    expected = {"array": [1, 2], "concat": [1, 2], "object": {"l": 1, "r": 2}}.get(merge, 3)
    assert flows.resume().result.output == expected


@pytest.mark.parametrize("wait", ["any", "n(2)"])
def test_what_a_race_gave_is_the_same_after_a_resume(flows, wait):
    branches = "".join(
        f'<branch><command id="b{i}">sleep {seconds}; echo {i}</command></branch>'
        for i, seconds in enumerate((0.4, 0.05, 0.2))
    )
    body = f"""
        <parallel id="race" wait="{wait}">{branches}</parallel>
        <command id="stop" needs="race">test -e ok</command>
        <transform:value id="all" needs="stop">race</transform:value>
    """
    assert flows.run(body).exit_code == 1
    (flows.folder / "ok").touch()
    assert flows.resume().result.output == {"any": "1", "n(2)": ["1", "2"]}[wait]


def test_what_was_drawn_before_a_crash_is_drawn_again(flows):
    crash(
        flows,
        """
        <transform:value id="draw">uuid()</transform:value>
        <command id="use" env='{U: "{{ uuid() }}"}'>echo "$U" >> log; echo "$U"</command>
        <transform:value id="same">[draw, use]</transform:value>
        """,
        lambda e: isinstance(e, events.ValueDrawn) and e.path == "use",
    )
    drawn = [json.loads(bytes(e.value)) for e in flows.events() if isinstance(e, events.ValueDrawn)]
    outcome = flows.resume()
    assert outcome.result.output == drawn
    assert set(flows.lines("log")) == {drawn[1]}


# -- failed runs -------------------------------------------------------------------------------------------------------

FAILING = """
    <foreach id="each" collection="['x', 'y', 'z']" concurrency="3">
      <command id="try" env='{N: "{{ $item }}"}'>
        echo "$N $WEFT_ATTEMPT $WEFT_KEY" >> log
        test "$N" != y || test -e ok
        echo "$N"
      </command>
    </foreach>
    <command id="after" needs="each">echo after >> log; echo after</command>
    <transform:value id="all">[each, after]</transform:value>
"""


def test_of_a_failed_run_the_failed_items_run_again_with_the_next_number(flows):
    failed = flows.run(FAILING)
    assert (failed.result.status, failed.exit_code) == ("failed", 1)
    (flows.folder / "ok").touch()
    outcome = flows.resume()
    assert (outcome.result.status, outcome.exit_code) == ("succeeded", 0)
    assert outcome.result.output == [["x", "y", "z"], "after"]
    lines = [line.split() for line in flows.lines("log")]
    assert [(n, a) for n, a, *_ in (line for line in lines if len(line) == 3)].count(("y", "2")) == 1
    assert sorted((line[0], line[1]) for line in lines if len(line) == 3) == [
        ("x", "1"), ("y", "1"), ("y", "2"), ("z", "1"),
    ]  # fmt: skip
    assert len({line[2] for line in lines if line[0] == "y"}) == 1
    assert outcome.result.errors == []
    assert {node.status for node in outcome.result.nodes.values()} == {"succeeded"}
    assert outcome.result.nodes["each"].error is None
    assert outcome.result.nodes["each[1]/try"].attempts == 2
    assert outcome.result.nodes["each[1]/try"].reason == "resumed: attempt 1 failed"


def test_a_run_may_fail_and_be_resumed_many_times(flows):
    flows.run(FAILING)
    assert flows.resume().exit_code == 1
    outcome = flows.resume()
    assert outcome.exit_code == 1
    assert [error.attempt for error in outcome.result.errors] == [3]
    (flows.folder / "ok").touch()
    assert flows.resume().result.output == [["x", "y", "z"], "after"]
    assert [e.attempt for e in starts(flows, "each[1]/try")] == [1, 2, 3, 4]


def test_a_resumed_node_has_all_its_retries_again(flows):
    body = """
        <command id="try">
          <on-error><retry max="1" base="1ms" jitter="none"/></on-error>
          echo "$WEFT_ATTEMPT" >> log; test -e ok
        </command>
    """
    flows.run(body)
    assert flows.lines("log") == ["1", "2"]
    flows.resume()
    assert flows.lines("log") == ["1", "2", "3", "4"]
    assert [(e.attempt, e.reason) for e in starts(flows, "try")] == [
        (1, "new"),
        (2, "retry 1 of 1"),
        (3, "resumed: attempt 2 failed"),
        (4, "retry 1 of 1"),
    ]


def test_failures_that_were_contained_stay_and_their_nodes_do_not_run_again(flows):
    body = """
        <foreach id="each" collection="['x', 'y', 'z']" on-failure="continue">
          <command id="try" env='{N: "{{ $item }}"}'>echo "$N" >> log; test "$N" != y; echo "$N"</command>
        </foreach>
        <command id="saved">
          <on-error><fallback><command id="instead">echo instead >> log; echo instead</command></fallback></on-error>
          echo saved >> log; exit 1
        </command>
        <command id="odd" on-failure="continue">echo odd >> log; exit 1</command>
        <command id="stop" needs="each saved odd">echo stop >> log; test -e ok</command>
        <transform:value id="all" needs="stop">[each, saved, odd]</transform:value>
    """
    first = flows.run(body)
    assert first.exit_code == 1
    (flows.folder / "ok").touch()
    outcome = flows.resume()
    assert (outcome.result.status, outcome.exit_code) == ("issues", 2)
    assert outcome.result.output == [["x", None, "z"], "instead", None]
    assert Counter(flows.lines("log")) == {"x": 1, "y": 1, "z": 1, "saved": 1, "instead": 1, "odd": 1, "stop": 2}
    assert sorted(error.path for error in outcome.result.errors) == ["each[1]/try", "odd"]


def test_siblings_that_a_failure_cancelled_run_again(flows):
    body = """
        <parallel id="both" on-failure="cancel">
          <branch><command id="long">echo long >> log; test -e ok || sleep 20; echo l</command></branch>
          <branch><command id="bad">while ! test -e log; do sleep 0.01; done; test -e ok; echo b</command></branch>
        </parallel>
    """
    assert flows.run(body).exit_code == 1
    (flows.folder / "ok").touch()
    outcome = flows.resume()
    assert outcome.result.output == ["l", "b"]
    assert [e.reason for e in starts(flows, "long")] == ["new", "resumed: attempt 1 was cancelled"]


def test_losers_of_a_race_stay_lost(flows):
    body = """
        <parallel id="race" wait="any">
          <branch><command id="slow">echo slow >> log; sleep 20; echo slow</command></branch>
          <branch><command id="fast">while ! test -e log; do sleep 0.01; done; echo fast</command></branch>
        </parallel>
        <command id="after" needs="race">test -e ok; echo after</command>
        <transform:value id="all" needs="after">race</transform:value>
    """
    assert flows.run(body).exit_code == 1
    (flows.folder / "ok").touch()
    outcome = flows.resume()
    assert outcome.result.output == "fast"
    assert flows.lines("log") == ["slow"]
    assert outcome.result.nodes["slow"].status == "cancelled"


@pytest.mark.parametrize("at", ["fast", "slow"])
def test_a_race_that_is_decided_when_the_engine_dies_has_one_winner(flows, at):
    body = """
        <parallel id="race" wait="any">
          <branch><command id="slow">echo slow >> log; sleep 20; echo slow</command></branch>
          <branch><command id="fast">while ! test -e log; do sleep 0.01; done; echo fast</command></branch>
        </parallel>
        <transform:value id="all">race</transform:value>
    """
    crash(flows, body, lambda e: isinstance(e, events.AttemptSucceeded | events.AttemptFailed) and e.path == at)
    outcome = flows.resume()
    assert (outcome.result.status, outcome.result.output) == ("succeeded", "fast")
    assert flows.lines("log") == ["slow"]


def test_a_failed_evaluation_is_tried_again(flows):
    body = """
        <source:file id="data" path="data.json" format="json"/>
        <foreach id="each" collection="data"><transform:value id="v">$item</transform:value></foreach>
        <transform:value id="all">each</transform:value>
    """
    (flows.folder / "data.json").write_text('{"no": "list"}')
    assert flows.run(body).exit_code == 1
    assert [e.path for e in flows.resume().result.errors] == ["each"]


def test_a_block_whose_time_was_up_goes_on_with_what_is_missing(flows):
    body = """
        <foreach id="each" collection="[1, 2, 3]" timeout="500ms">
          <command id="c" env='{N: "{{ $item }}"}'>
            echo $N >> log; test "$N" != 2 || test -e ok || sleep 20; echo $N
          </command>
        </foreach>
        <transform:value id="all">each</transform:value>
    """
    failed = flows.run(body)
    assert failed.exit_code == 1
    assert [(e.path, e.error.type, e.error.message) for e in failed.result.errors] == [
        ("each", "Timeout", "took longer than 0.5 s and was stopped")
    ]
    (flows.folder / "ok").touch()
    outcome = flows.resume()
    assert outcome.result.output == ["1", "2", "3"]
    assert Counter(flows.lines("log")) == {"1": 1, "2": 2, "3": 1}


def test_a_run_whose_time_was_up_can_be_resumed(flows):
    body = """
        <command id="a">echo a >> log; echo a</command>
        <command id="b" needs="a">echo b >> log; test -e ok || sleep 20; echo b</command>
    """
    failed = flows.run(body, timeout="600ms")
    assert (failed.result.status, failed.exit_code) == ("failed", 1)
    (flows.folder / "ok").touch()
    outcome = flows.resume()
    assert (outcome.exit_code, outcome.result.output) == (0, "b")
    assert Counter(flows.lines("log")) == {"a": 1, "b": 2}


# -- time --------------------------------------------------------------------------------------------------------------


def test_a_retry_waits_only_for_what_is_left(flows):
    body = """
        <command id="try">
          <on-error><retry max="1" backoff="fixed" base="600ms" jitter="none"/></on-error>
          date +%s.%N >> log; test "$WEFT_ATTEMPT" -eq 2
        </command>
    """
    crash(flows, body, lambda e: isinstance(e, events.RetryScheduled))
    outcome = flows.resume()
    assert outcome.exit_code == 0
    first, second = map(float, flows.lines("log"))
    assert 0.55 < second - first < 1.1
    assert [e.reason for e in starts(flows, "try")] == ["new", "retry 1 of 1"]


def test_a_delay_waits_only_for_what_is_left(flows):
    body = '<delay id="wait" duration="900ms"/>'
    crash(flows, body, lambda e: isinstance(e, events.AttemptStarted))
    outcome = flows.resume()
    first, _ = starts(flows, "wait")
    ended = next(e for e in flows.events() if isinstance(e, events.AttemptSucceeded))
    assert outcome.exit_code == 0
    assert 0.85 < ended.at - first.at < 1.3
    assert ended.duration < 0.9


# -- what can be resumed, and with what --------------------------------------------------------------------------------


def test_a_run_that_succeeded_is_not_resumable(flows):
    flows.run("<transform:value id='v'>1</transform:value>")
    with pytest.raises(NotResumableError) as refused:
        flows.resume()
    assert (refused.value.exit_code, refused.value.message.partition(" has ")[2]) == (64, "ended as succeeded")


def test_a_run_with_issues_is_not_resumable(flows):
    flows.run("<transform:value id='v' on-failure='continue'>1 / 0</transform:value>")
    with pytest.raises(NotResumableError, match="has ended as issues"):
        flows.resume()


def test_a_resume_needs_none_of_the_arguments_again(flows, monkeypatch, tmp_path):
    front = """
        config: {level: 1}
        input: {title: string, size: {type: integer, default: 7}}
        secrets: [TOKEN]
    """
    body = """
        <command id="a" env='{T: "{{ $secrets.TOKEN }}"}'>echo "$T"</command>
        <command id="b" needs="a">test -e ok</command>
        <transform:value id="all" needs="b">
          [$config.level, title == 'T ' + $secrets.TOKEN, size, a == $secrets.TOKEN]
        </transform:value>
    """
    monkeypatch.setenv("TOKEN", "s3cret-token")
    flows.run(body, front, sets=("level=5",), input='{"title": "T s3cret-token"}')
    (flows.folder / "ok").touch()
    elsewhere = tmp_path / "else" / "where"
    elsewhere.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    outcome = flows.resume()
    assert outcome.result.output == [5, True, 7, True]
    for file in (flows.folder / ".weft").rglob("*"):
        assert not file.is_file() or b"s3cret-token" not in file.read_bytes(), file


def test_a_resume_without_a_secret_refuses_before_anything_runs(flows, monkeypatch):
    monkeypatch.setenv("TOKEN", "s3cret-token")
    flows.run('<command id="a" env=\'{T: "{{ $secrets.TOKEN }}"}\'>exit 1</command>', "secrets: [TOKEN]")
    monkeypatch.delenv("TOKEN")
    before = flows.events()
    with pytest.raises(InputError):
        flows.resume()
    assert flows.events() == before


def test_a_foreach_that_finds_other_items_is_refused_like_a_changed_document(flows, monkeypatch):
    from weft.errors import ChangedError

    body = """
        <foreach id="each" collection="split($env.ITEMS, ',')">
          <command id="c" env='{N: "{{ $item }}"}'>echo $N >> log; echo $N</command>
        </foreach>
        <transform:value id="all">each</transform:value>
    """
    monkeypatch.setenv("ITEMS", "a,b,c")
    crash(flows, body, done("each[0]/c"), "runtime: {env: [ITEMS]}")
    before = len(flows.events())
    monkeypatch.setenv("ITEMS", "a,B,c")
    with pytest.raises(ChangedError) as refused:
        flows.resume()
    assert refused.value.exit_code == 65
    assert refused.value.message == "the items of each are not those it began with"
    assert len(flows.events()) == before
    monkeypatch.setenv("ITEMS", "a,b,c")
    outcome = flows.resume()
    assert outcome.result.output == ["a", "b", "c"]
    assert flows.lines("log").count("a") == 1


def test_a_resume_never_depends_on_jobs(flows):
    body = """
        <foreach id="each" collection="range(30)" concurrency="10">
          <command id="c" env='{N: "{{ $item }}"}'>echo $N >> log; echo $N</command>
        </foreach>
        <transform:value id="all">length(each)</transform:value>
    """
    seen = 0

    def tenth(event: events.Event) -> bool:
        nonlocal seen
        seen += isinstance(event, events.AttemptSucceeded)
        return seen == 10

    crash(flows, body, tenth, jobs=10)
    finished = {e.path for e in flows.events() if isinstance(e, events.AttemptSucceeded)}
    outcome = app.resume("last", app.Request(jobs=1))
    assert outcome.result.output == 30
    again = [e.path for e in flows.events() if isinstance(e, events.AttemptStarted)]
    assert all(again.count(path) == 1 for path in finished)


def test_the_report_of_a_resumed_run_tells_of_the_whole_run(flows):
    crash(flows, CHAIN, done("a"), jobs=1)
    outcome = flows.resume()
    began = next(e.at for e in flows.events() if isinstance(e, events.RunStarted))
    assert outcome.result.started_at == began
    assert {path: node.status for path, node in outcome.result.nodes.items()} == {
        "a": "succeeded", "b": "succeeded", "c": "succeeded",
    }  # fmt: skip
    assert outcome.result.current_wave == 1


def test_waves_are_taken_up_where_they_were(flows):
    body = """
        <command id="a">echo a >> log; echo a</command>
        <command id="b">echo b >> log; echo b</command>
        <command id="c" needs="a">echo c >> log; echo c</command>
        <command id="d" needs="b">echo d >> log; echo d</command>
    """
    crash(flows, body, done("a"), "schedule: waves", jobs=1)
    crash_again(flows, lambda e: isinstance(e, events.AttemptStarted) and e.path == "c")
    outcome = flows.resume()
    assert outcome.exit_code == 0
    told = [e for e in flows.events() if isinstance(e, events.WaveStarted | events.WaveCompleted)]
    waves = [(type(e).__name__, e.wave) for e in told]
    assert waves == [("WaveStarted", 0), ("WaveCompleted", 0), ("WaveStarted", 1), ("WaveCompleted", 1)]


def test_a_crash_before_anything_ran_costs_nothing(flows):
    with pytest.raises(Died):
        app.run(
            flows.write(CHAIN),
            app.Request(),
            audience=app.Audience(watch=dies(lambda e: isinstance(e, events.RunStarted))),
        )
    assert flows.resume().result.output == ["1", "2"]


def test_a_document_that_is_gone_is_said_to_be(flows):
    from weft.errors import NotFoundError

    crash(flows, CHAIN, done("a"))
    (flows.folder / "doc.flow.md").unlink()
    with pytest.raises(NotFoundError):
        flows.resume()


def test_an_edit_of_how_nodes_run_needs_no_leave(flows):
    crash(flows, CHAIN, done("a"), jobs=1)
    edit(flows, "# A test", "# A test\n\nSome prose.")
    edit(flows, '<command id="b">', '<command id="b" timeout="1m" retry="3" description="x">')
    assert flows.resume().result.output == ["1", "2"]
    assert flows.lines("log").count("a") == 1
