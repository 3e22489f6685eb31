"""A document runs: values, order, isolation, failures, as a user sees them."""

from __future__ import annotations

import json
from typing import Any

from weft import event_types as events
from weft.app import Outcome


def outputs(outcome: Outcome) -> dict[str, Any]:
    return {path: node.output for path, node in outcome.result.nodes.items()}


def statuses(outcome: Outcome) -> dict[str, str]:
    return {path: node.status for path, node in outcome.result.nodes.items()}


def test_the_output_of_the_last_node_is_the_output_of_the_run(flows):
    outcome = flows.run("""
        <source:value id="numbers">[1, 2, 3]</source:value>
        <transform:value id="total">sum(numbers)</transform:value>
    """)
    assert (outcome.result.status, outcome.exit_code, outcome.result.output) == ("succeeded", 0, 6)


def test_iterations_see_their_own_results_and_come_back_in_index_order(flows):
    outcome = flows.run(
        """
        <foreach id="each" collection="[10, 20, 30]" concurrency="3">
          <delay id="wait" duration="{{ (40 - $item) + 'ms' }}"/>
          <transform:value id="own">'v' + to_text($item)</transform:value>
          <transform:value id="both">{own: own, item: $item, index: $index}</transform:value>
        </foreach>
    """.replace("(40 - $item) + 'ms'", "to_text(40 - $item) + 'ms'")
    )
    assert outcome.result.output == [
        {"own": "v10", "item": 10, "index": 0},
        {"own": "v20", "item": 20, "index": 1},
        {"own": "v30", "item": 30, "index": 2},
    ]
    assert outputs(outcome)["each[2]/own"] == "v30"


def test_break_in_a_concurrent_foreach_ends_its_own_iteration_only(flows):
    outcome = flows.run("""
        <foreach id="each" collection="[1, 2, 3, 4]" concurrency="4">
          <break when="$item == 2"/>
          <transform:value id="double">$item * 2</transform:value>
        </foreach>
    """)
    assert outcome.result.output == [2, None, 6, 8]


def test_break_in_a_sequential_foreach_ends_the_block(flows):
    outcome = flows.run("""
        <foreach id="each" collection="[1, 2, 3, 4]">
          <break when="$item == 3"/>
          <transform:value id="double">$item * 2</transform:value>
        </foreach>
    """)
    assert outcome.result.output == [2, 4, None]


def test_a_thousand_failing_items_give_a_thousand_errors(flows):
    outcome = flows.run("""
        <foreach id="each" collection="range(1000)" concurrency="50" on-failure="continue">
          <transform:value id="bad">1 / 0</transform:value>
        </foreach>
    """)
    assert (outcome.result.status, outcome.exit_code) == ("issues", 2)
    assert len(outcome.result.errors) == 1000
    assert outcome.result.output == [None] * 1000


def test_branches_come_back_in_their_order_and_their_nodes_are_visible_outside(flows):
    outcome = flows.run("""
        <parallel id="both">
          <branch><delay id="slow" duration="20ms"/><transform:value id="left">'l'</transform:value></branch>
          <branch><transform:value id="right">'r'</transform:value></branch>
        </parallel>
        <transform:value id="after">[both, left, right]</transform:value>
    """)
    assert outcome.result.output == [["l", "r"], "l", "r"]


def test_what_a_branch_sets_stays_in_the_branch(flows):
    outcome = flows.run("""
        <set var="x" value="outer"/>
        <parallel id="both">
          <branch><set var="x" value="inner"/><transform:value id="a">$context.x</transform:value></branch>
          <branch><transform:value id="b">$context.x</transform:value></branch>
        </parallel>
        <transform:value id="c">[both, $context.x]</transform:value>
    """)
    assert outcome.result.output == [["inner", "outer"], "outer"]


def test_all_errors_of_a_parallel_are_reported(flows):
    outcome = flows.run("""
        <parallel id="both">
          <branch><command id="a">exit 3</command></branch>
          <branch><command id="b">exit 4</command></branch>
        </parallel>
    """)
    assert (outcome.result.status, outcome.exit_code) == ("failed", 1)
    assert sorted((e.path, e.error.status) for e in outcome.result.errors) == [("a", 3), ("b", 4)]
    assert statuses(outcome) == {"a": "failed", "b": "failed", "both": "failed"}


def test_a_failed_node_stops_what_has_not_started(flows):
    outcome = flows.run("""
        <command id="a">exit 1</command>
        <command id="b" needs="a">echo b</command>
    """)
    assert statuses(outcome) == {"a": "failed", "b": "skipped"}
    assert outcome.result.nodes["b"].reason == "never started: a failed"


def test_under_continue_dependents_are_skipped_and_others_run(flows):
    outcome = flows.run(
        """
        <command id="a">exit 1</command>
        <command id="b" needs="a">echo b</command>
        <command id="c">echo c</command>
    """,
        "on-failure: continue",
    )
    assert statuses(outcome) == {"a": "failed", "b": "skipped", "c": "succeeded"}
    assert (outcome.result.status, outcome.exit_code) == ("issues", 2)
    assert outcome.result.nodes["b"].reason == "a failed"


def test_a_fallback_gives_its_output_in_place_of_the_node(flows):
    outcome = flows.run("""
        <command id="a">
          exit 9
          <on-error><fallback><transform:value id="instead">$error.status</transform:value></fallback></on-error>
        </command>
        <transform:value id="b">a + 1</transform:value>
    """)
    assert (outcome.result.status, outcome.result.output) == ("succeeded", 10)
    assert outcome.result.nodes["a"].status == "succeeded"


def test_retries_are_counted_and_recorded(flows):
    outcome = flows.run("""
        <command id="a">
          echo x >> tries; test $(wc -l < tries) -ge 3
          <on-error><retry max="4" base="1ms"/></on-error>
        </command>
    """)
    assert (outcome.result.status, outcome.result.nodes["a"].attempts) == ("succeeded", 3)
    assert [e.attempt for e in flows.events() if isinstance(e, events.RetryScheduled)] == [2, 3]


def test_a_timeout_stops_the_command_and_says_so(flows):
    outcome = flows.run('<command id="a" timeout="100ms">sleep 60</command>')
    [error] = outcome.result.errors
    assert (error.error.type, outcome.exit_code) == ("Timeout", 1)
    assert outcome.result.duration < 20


def test_when_false_skips_and_the_chain_goes_on(flows):
    outcome = flows.run("""
        <command id="a" when="false">exit 1</command>
        <transform:value id="b" needs="a">a ?? 'nothing'</transform:value>
    """)
    assert outcome.result.output == "nothing"
    assert outcome.result.nodes["a"].reason == "when is false"


def test_if_and_switch_run_one_body(flows):
    outcome = flows.run("""
        <source:value id="n">7</source:value>
        <if id="odd" condition="n % 2 == 1">
          <then><transform:value id="yes">'odd'</transform:value></then>
          <else><command id="no">exit 1</command></else>
        </if>
        <switch id="size">
          <case when="n > 100"><transform:value id="big">'big'</transform:value></case>
          <default><transform:value id="small">'small'</transform:value></default>
        </switch>
        <transform:value id="both">[odd, size, no]</transform:value>
    """)
    assert outcome.result.output == ["odd", "small", None]


def test_data_is_passed_on_byte_for_byte(flows):
    nasty = {
        "value": {"type": "Output", "exit_code": 3},
        "template": "{{ 1 + 1 }} $secrets.TOKEN $(touch canary) `touch canary` ; touch canary",
        "status": "BLOCKED",
    }
    (flows.folder / "in.json").write_text(json.dumps(nasty))
    outcome = flows.run("""
        <source:file id="data" path="in.json"/>
        <command id="echo"><env>TEXT: "{{ data.output.template }}"</env>printf %s "$TEXT"</command>
        <sink:file id="save" input="data" path="out.json"/>
        <transform:value id="all">[data, echo]</transform:value>
    """)
    assert outcome.result.output == [nasty, nasty["template"]]
    assert json.loads((flows.folder / "out.json").read_text()) == nasty
    assert not (flows.folder / "canary").exists()


def test_an_empty_workflow_succeeds(flows):
    outcome = flows.run("")
    assert (outcome.result.status, outcome.result.waves) == ("succeeded", 0)


def test_python_nodes_get_their_arguments_by_name(flows):
    outcome = flows.run("""
        <source:value id="number-list">[1, 2, 3]</source:value>
        <python id="total" input="number-list">
        ```python
        def main(input, number_list, ctx):
            return {"sum": sum(input), "same": input == number_list, "path": ctx.path}
        ```
        </python>
    """)
    assert outcome.result.output == {"sum": 6, "same": True, "path": "total"}


def test_a_round_sees_nothing_of_the_round_before_but_what_that_set(flows):
    outcome = flows.run("""
        <set var="seen" value="none"/>
        <loop id="turns" max="3">
          <transform:value id="odd" when="$iteration == 1">$iteration</transform:value>
          <if id="once" condition="$iteration == 0"><then><set var="seen" value="first"/></then></if>
          <transform:value id="all">[odd, $context.seen]</transform:value>
        </loop>
        <transform:value id="after">[turns, odd, $context.seen]</transform:value>
    """)
    assert outcome.result.output == [[None, "first"], None, "first"]


def test_the_item_is_seen_through_every_kind_of_block(flows):
    outcome = flows.run("""
        <foreach id="each" collection="[7]" item="it">
          <if id="a" condition="$item == 7"><then>
            <parallel id="b"><branch><loop id="c" max="1">
              <transform:value id="d">[$item, $index, it, $iteration, $branch]</transform:value>
            </loop></branch></parallel>
          </then></if>
        </foreach>
    """)
    assert outcome.result.output == [[[7, 0, 7, 0, 0]]]
