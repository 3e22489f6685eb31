"""A changed document is never guessed at (promise P8)."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest

from engine.crashes import crash, crash_again, done, edit
from weft import event_types as events
from weft.app.stories import why
from weft.errors import ChangedError

FIVE = """
    <command id="a">echo "a $WEFT_KEY" >> log; echo 1</command>
    <command id="b">echo "b $WEFT_KEY" >> log; echo 2</command>
    <command id="c" needs="a" env='{A: "{{ a }}"}'>echo "c $WEFT_KEY" >> log; echo "$A!"</command>
    <command id="d" env='{C: "{{ c }}"}'>echo "d $WEFT_KEY" >> log; echo "$C?"</command>
    <command id="e" env='{B: "{{ b }}"}'>echo "e $WEFT_KEY" >> log; echo "$B."</command>
    <command id="stop" needs="d e">echo "stop $WEFT_KEY" >> log; test -e ok; echo ok</command>
    <transform:value id="all" needs="stop">[a, b, c, d, e]</transform:value>
"""


def log(flows: Any) -> dict[str, list[str]]:
    """The keys under which each node ran."""
    found: dict[str, list[str]] = {}
    for line in flows.lines("log"):
        name, key = line.split()
        found.setdefault(name, []).append(key)
    return found


def fail(flows: Any, body: str = FIVE) -> None:
    assert flows.run(body).exit_code == 1
    (flows.folder / "ok").touch()


def refusal(flows: Any, **options: Any) -> ChangedError:
    before = flows.events()
    with pytest.raises(ChangedError) as refused:
        flows.resume(**options)
    assert flows.events() == before, "a refusal writes nothing"
    assert refused.value.exit_code == 65
    return refused.value


def test_a_changed_document_is_refused_and_the_difference_is_shown(flows):
    fail(flows)
    path = edit(flows, 'echo "$A!"', 'echo "$A!!"')
    error = refusal(flows)
    assert error.message == f"{path} is not the document that ran"
    assert error.changes == [
        "~ c (command): command is different",
        "  and what depends on that: d, stop, all",
    ]
    assert error.hint == "--accept-changes runs what changed and what depends on it again; or restore the document"


def test_a_restored_document_is_resumed(flows):
    fail(flows)
    edit(flows, 'echo "$A!"', 'echo "$A!!"')
    refusal(flows)
    edit(flows, 'echo "$A!!"', 'echo "$A!"')
    assert flows.resume().result.output == ["1", "2", "1!", "1!?", "2."]


def test_exactly_what_was_changed_and_what_depends_on_it_runs_again_under_new_keys(flows):
    fail(flows)
    edit(flows, 'echo "$A!"', 'echo "$A!!"')
    outcome = flows.resume(accept_changes=True)
    assert outcome.result.output == ["1", "2", "1!!", "1!!?", "2."]
    keys = log(flows)
    assert {name: len(found) for name, found in keys.items()} == {"a": 1, "b": 1, "e": 1, "c": 2, "d": 2, "stop": 2}
    assert all(len(set(found)) == len(found) for found in keys.values())
    reasons = {path: node.reason for path, node in outcome.result.nodes.items()}
    assert reasons == {
        "a": "new",
        "b": "new",
        "c": "changed: command",
        "d": "upstream c ran again",
        "e": "new",
        "stop": "upstream d ran again",
        "all": "new",
    }
    assert why("last", "d").reason == "upstream c ran again"


def test_attempts_of_a_changed_node_count_on(flows):
    fail(flows)
    edit(flows, 'echo "$A!"', 'echo "$A!!"')
    flows.resume(accept_changes=True)
    numbers = [e.attempt for e in flows.events() if isinstance(e, events.AttemptStarted) and e.path == "c"]
    assert numbers == [1, 2]


def test_after_accepted_changes_a_second_resume_knows_what_holds(flows):
    crash(flows, FIVE, lambda e: isinstance(e, events.AttemptStarted) and e.path == "stop")
    edit(flows, 'echo "$A!"', 'echo "$A!!"')
    crash_again(flows, done("c"), accept_changes=True)
    crash_again(flows, done("d"))
    (flows.folder / "ok").touch()
    outcome = flows.resume()
    assert outcome.result.output == ["1", "2", "1!!", "1!!?", "2."]
    ran = {name: len(found) for name, found in log(flows).items() if name in "abce"}
    assert ran == {"a": 1, "b": 1, "c": 2, "e": 1}


def test_after_accepted_changes_the_next_edit_is_compared_with_what_ran_last(flows):
    fail(flows)
    (flows.folder / "ok").unlink()
    edit(flows, 'echo "$A!"', 'echo "$A!!"')
    assert flows.resume(accept_changes=True).exit_code == 1
    (flows.folder / "ok").touch()
    edit(flows, 'echo "$B."', 'echo "$B:"')
    assert refusal(flows).changes == ["~ e (command): command is different", "  and what depends on that: stop, all"]
    outcome = flows.resume(accept_changes=True)
    assert outcome.result.output == ["1", "2", "1!!", "1!!?", "2:"]
    assert {name: len(found) for name, found in log(flows).items()} == {
        "a": 1, "b": 1, "c": 2, "d": 2, "e": 2, "stop": 3,
    }  # fmt: skip


def test_changing_back_runs_it_again_under_a_third_key(flows):
    fail(flows)
    (flows.folder / "ok").unlink()
    edit(flows, 'echo "$A!"', 'echo "$A!!"')
    flows.resume(accept_changes=True)
    edit(flows, 'echo "$A!!"', 'echo "$A!"')
    (flows.folder / "ok").touch()
    outcome = flows.resume(accept_changes=True)
    assert outcome.result.output == ["1", "2", "1!", "1!?", "2."]
    assert len(set(log(flows)["c"])) == 3


def test_a_crash_before_the_change_is_journaled_leaves_it_unaccepted(flows):
    """The copy of the document in the run's folder must not run ahead of the journal."""
    fail(flows)
    edit(flows, 'echo "$A!"', 'echo "$A!!"')
    saved = next((flows.folder / ".weft" / "runs").glob("*/document.flow.md"))
    before = saved.read_bytes()
    real = flows.store.open(flows.store.resolve("last"))
    kind = type(real)
    real.close()
    append = kind.append

    def dies(self: object, batch: object) -> None:
        raise KeyboardInterrupt

    kind.append = dies  # the process is gone at its first commit
    try:
        with pytest.raises(KeyboardInterrupt):
            flows.resume(accept_changes=True)
    finally:
        kind.append = append
    assert saved.read_bytes() == before
    assert refusal(flows).changes
    assert flows.resume(accept_changes=True).result.output == ["1", "2", "1!!", "1!!?", "2."]


def test_a_removed_node_and_its_results_are_gone(flows):
    fail(flows)
    edit(flows, '<command id="e" env=\'{B: "{{ b }}"}\'>echo "e $WEFT_KEY" >> log; echo "$B."</command>', "")
    edit(flows, 'needs="d e"', 'needs="d"')
    edit(flows, "[a, b, c, d, e]", "[a, b, c, d]")
    error = refusal(flows)
    assert "- e (command) is gone" in error.changes
    outcome = flows.resume(accept_changes=True)
    assert outcome.result.output == ["1", "2", "1!", "1!?"]
    assert "e" not in outcome.result.nodes
    assert {name: len(found) for name, found in log(flows).items()} == {
        "a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "stop": 2,
    }  # fmt: skip


def test_only_a_removal_or_an_addition_is_a_change_too(flows):
    fail(flows)
    more = '<command id="more">echo "more $WEFT_KEY" >> log; echo more</command>'
    edit(flows, '<command id="stop"', f'{more}\n<command id="stop"')
    error = refusal(flows)
    assert error.changes == ["+ more (command) is new"]
    outcome = flows.resume(accept_changes=True)
    assert outcome.result.output == ["1", "2", "1!", "1!?", "2."]
    assert outcome.result.nodes["more"].output == "more"
    assert {name: len(found) for name, found in log(flows).items()} == {
        "a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "stop": 2, "more": 1,
    }  # fmt: skip


def test_a_renamed_node_is_a_new_one_and_the_old_one_is_gone(flows):
    fail(flows)
    edit(flows, '<command id="b">', '<command id="bee">')
    edit(flows, "{{ b }}", "{{ bee }}")
    edit(flows, "[a, b, c, d, e]", "[a, bee, c, d, e]")
    error = refusal(flows)
    assert {"+ bee (command) is new", "- b (command) is gone"} <= set(error.changes)
    outcome = flows.resume(accept_changes=True)
    assert outcome.result.output == ["1", "2", "1!", "1!?", "2."]
    assert {name: len(found) for name, found in log(flows).items()} == {
        "a": 1, "b": 2, "c": 1, "d": 1, "e": 2, "stop": 2,
    }  # fmt: skip
    assert log(flows)["b"][0] != log(flows)["b"][1]


EACH = """
    <source:value id="items">['x', 'y']</source:value>
    <foreach id="each" collection="items" concurrency="2">
      <command id="one" env='{I: "{{ $item }}"}'>echo "one-$I $WEFT_KEY" >> log; echo "1$I"</command>
      <command id="two" env='{I: "{{ one }}"}'>echo "two-$I $WEFT_KEY" >> log; echo "2$I"</command>
      <command id="three" env='{I: "{{ two }}"}'>echo "three-$I $WEFT_KEY" >> log; echo "3$I"</command>
    </foreach>
    <command id="beside">echo "beside $WEFT_KEY" >> log; echo b</command>
    <command id="stop" needs="each beside">test -e ok</command>
    <transform:value id="all" needs="stop">[each, beside]</transform:value>
"""


def test_an_edit_inside_a_foreach_keeps_what_came_before_it_in_each_iteration(flows):
    fail(flows, EACH)
    edit(flows, 'echo "2$I"', 'echo "22$I"')
    outcome = flows.resume(accept_changes=True)
    assert outcome.result.output == [["3221x", "3221y"], "b"]
    counts = Counter(line.split()[0] for line in flows.lines("log"))
    assert counts == {
        "one-x": 1, "one-y": 1, "two-1x": 2, "two-1y": 2, "beside": 1,
        "three-21x": 1, "three-21y": 1, "three-221x": 1, "three-221y": 1,
    }  # fmt: skip


def test_another_collection_runs_everything_inside_again_under_new_keys(flows):
    fail(flows, EACH)
    edit(flows, "['x', 'y']", "['x', 'z']")
    outcome = flows.resume(accept_changes=True)
    assert outcome.result.output == [["321x", "321z"], "b"]
    keys = log(flows)
    assert len(set(keys["one-x"])) == 2
    assert keys["one-z"][0] not in keys["one-y"], "another item at the same path is no repetition"
    assert len(keys["beside"]) == 1


def test_a_collection_changed_in_place_runs_everything_inside_again_under_new_keys(flows):
    fail(flows, EACH)
    edit(flows, 'collection="items"', "collection=\"['x', 'z']\"")
    outcome = flows.resume(accept_changes=True)
    assert outcome.result.output == [["321x", "321z"], "b"]
    keys = log(flows)
    assert len(set(keys["one-x"])) == 2
    assert keys["one-z"][0] not in keys["one-y"]


def test_a_changed_condition_is_asked_again_and_the_bodies_keep_their_results(flows):
    body = """
        <command id="a">echo a >> log; echo 1</command>
        <if id="which" condition="a == '1'">
          <then><command id="yes">echo yes >> log; echo yes</command></then>
          <else><command id="no">echo no >> log; echo no</command></else>
        </if>
        <command id="stop" needs="which">test -e ok</command>
        <transform:value id="all" needs="stop">[a, which]</transform:value>
    """
    fail(flows, body)
    edit(flows, "a == '1'", "a == '2'")
    outcome = flows.resume(accept_changes=True)
    assert outcome.result.output == ["1", "no"]
    assert Counter(flows.lines("log")) == {"a": 1, "yes": 1, "no": 1}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# A test", "# Another title\n\nWith prose."),
        ('<command id="c"', '<command id="c" timeout="2m"'),
        ('<command id="c"', '<command id="c" retry="4"'),
        ('<command id="c"', '<command id="c" description="said"'),
        ('<command id="c"', '<command id="c" on-failure="cancel"'),
        ('<command id="c"', '<command id="c" effect="idempotent"'),
    ],
)
def test_how_a_node_is_run_is_no_change(flows, old, new):
    fail(flows)
    edit(flows, old, new)
    assert flows.resume().result.output == ["1", "2", "1!", "1!?", "2."]
    assert {name: len(found) for name, found in log(flows).items()} == {
        "a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "stop": 2,
    }  # fmt: skip


RETRIED = """
    <command id="try">
      <on-error><retry max="3" base="1ms" jitter="none"/></on-error>
      echo "$WEFT_ATTEMPT" >> log; test "$WEFT_ATTEMPT" -ge 3; echo done
    </command>
    <command id="stop" needs="try">test -e ok</command>
    <transform:value id="all" needs="stop">try</transform:value>
"""


@pytest.mark.parametrize("most", ["1", "2", "9"])
def test_another_number_of_retries_does_not_touch_what_was_retried(flows, most):
    fail(flows, RETRIED)
    edit(flows, 'max="3"', f'max="{most}"')
    assert flows.resume().result.output == "done"
    assert flows.lines("log") == ["1", "2", "3"]


def test_fewer_retries_than_were_used_start_the_node_afresh(flows):
    crash(flows, RETRIED, lambda e: isinstance(e, events.RetryScheduled) and e.attempt == 3)
    edit(flows, 'max="3"', 'max="1"')
    (flows.folder / "ok").touch()
    assert flows.resume().result.output == "done"
    assert flows.lines("log") == ["1", "2", "3"]


def test_a_contained_failure_stays_when_there_are_more_retries_now(flows):
    body = """
        <foreach id="each" collection="[1]" on-failure="continue">
          <command id="try">
            <on-error><retry max="1" base="1ms" jitter="none"/></on-error>
            echo t >> log; exit 1
          </command>
        </foreach>
        <command id="stop" needs="each">test -e ok</command>
    """
    fail(flows, body)
    edit(flows, 'max="1"', 'max="5"')
    assert flows.resume().exit_code == 2
    assert flows.lines("log") == ["t", "t"]


def test_a_policy_may_be_changed(flows):
    body = """
        <foreach id="each" collection="['x', 'y', 'z']">
          <command id="try" env='{N: "{{ $item }}"}'>echo "$N" >> log; test "$N" != y; echo "$N"</command>
        </foreach>
        <transform:value id="all">each</transform:value>
    """
    assert flows.run(body).exit_code == 1
    edit(flows, '<foreach id="each"', '<foreach id="each" on-failure="continue"')
    outcome = flows.resume()
    assert (outcome.exit_code, outcome.result.output) == (2, ["x", None, "z"])
    assert Counter(flows.lines("log")) == {"x": 1, "y": 1, "z": 1}


def test_another_need_is_a_change(flows):
    fail(flows)
    edit(flows, '<command id="c" needs="a"', '<command id="c" needs="b a"')
    assert refusal(flows).changes == ["~ c (command): needs is different", "  and what depends on that: d, stop, all"]
    assert flows.resume(accept_changes=True).result.nodes["c"].reason == "changed: needs"


def test_a_new_config_value_has_its_default(flows):
    body = "<command id='a'>echo 1</command><command id='stop' needs='a'>exit 1</command>"
    crash(flows, body, done("a"), "config: {one: 1}")
    edit(flows, "config: {one: 1}", "config: {one: 2, two: 2}")
    edit(
        flows,
        "<command id='stop' needs='a'>exit 1</command>",
        "<transform:value id='b'>[a, $config.one, $config.two]</transform:value>",
    )
    assert flows.resume(accept_changes=True).result.output == ["1", 1, 2]


def test_cancelling_a_run_does_not_need_its_document(flows):
    from weft import app

    crash(flows, FIVE, done("a"))
    os.unlink(flows.folder / "doc.flow.md")  # noqa: PTH108 - nothing else of it is used
    assert app.cancel("last") == "cancelled"
    assert [type(e).__name__ for e in flows.events()][-1] == "RunFinished"
