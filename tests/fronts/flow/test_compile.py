"""What a document becomes: the graph, the policies, and what the engine is to evaluate."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from fronts.flow.documents import document, leaf, loaded, needs, node, program, work
from weft.core.priority import plan
from weft.errors import AttemptError, DocumentError, ExpressionError
from weft.fronts.flow.ast import Element
from weft.fronts.flow.check import analyse
from weft.fronts.flow.compile import compile_analysis
from weft.fronts.flow.front import compare, kinds_in, load_document
from weft.fronts.flow.parser import parse_document
from weft.graph.analysis import layers
from weft.graph.model import walk
from weft.graph.work import ChoiceWork, Constant, ForeachWork, LoopWork, ParallelWork
from weft.policy import NO_RETRY, Limit, Retry
from weft.runtimes import registry
from weft.text.expressions import MappingScope
from weft.text.source import Source, Text

NOWHERE = MappingScope()


# -- the document --------------------------------------------------------------------------------------


def test_the_front_matter_says_how_a_document_runs() -> None:
    front = """
        name: report
        version: "2"
        runtime:
          timeout: 10m
          jobs: 8
          durability: process
          env: [HOME, USER]
          paths: [../shared]
          hosts: [example.com]
          interpreter: python3.13
        limits: { api: 5, slow: { rate: 10/m }, both: { concurrency: 2, rate: 1.5/2s } }
        secrets: [TOKEN]
        schedule: waves
        on-failure: continue
        rollback: none
        output: a + 1
    """
    made = program('<transform:value id="a">1</transform:value>', front)
    assert (made.name, made.version, made.timeout, made.jobs, made.durability) == ("report", "2", 600.0, 8, "process")
    assert (made.env, made.paths, made.hosts) == (("HOME", "USER"), ("../shared",), ("example.com",))
    assert (made.interpreter, made.secrets) == ("python3.13", ("TOKEN",))
    assert (made.schedule, made.on_failure, made.rollback) == ("waves", "continue", "none")
    assert made.limits == {"api": Limit(5), "slow": Limit(rate=10.0, per=60.0), "both": Limit(2, 1.5, 2.0)}
    assert made.output is not None
    assert made.output.evaluate(MappingScope({"a": 4})) == 5


def test_a_document_without_front_matter_has_the_defaults() -> None:
    text = document('<command id="a">true</command>')
    made = load_document(Source("some/folder/etl.flow.md", text), registry.specs).program
    assert made is not None
    assert (made.name, made.version, made.jobs, made.timeout, made.hosts) == ("etl", "0", None, None, None)
    assert (made.schedule, made.on_failure, made.rollback) == ("dataflow", "finish", "all")
    assert made.document == str(Path("some/folder/etl.flow.md").absolute())
    assert made.text == text.encode()


def test_a_document_with_errors_has_no_program() -> None:
    kinds = registry.all_specs()
    parsed, _ = parse_document(Source("x", document('<transform:value id="a">b</transform:value>')), kinds)
    assert parsed is not None
    with pytest.raises(DocumentError, match="nothing is called 'b' here"):
        compile_analysis(analyse(parsed, kinds))


def test_an_empty_workflow_is_a_program_without_nodes() -> None:
    made = load_document(Source("x", "<workflow/>"), registry.specs)
    assert made.program is not None
    assert len(made.program.graph) == 0


def test_only_the_kinds_that_a_document_uses_are_asked_for() -> None:
    text = """
        Prose about <b>, <https://x.example> and `<command>`.
        <workflow><source type="file" id="a" path="x"/><sink:file id="b"/><acme id="c"/><x:y id="d"/></workflow>
    """
    assert kinds_in(Source("x", text)) == ["command", "sink:file", "acme", "x:y", "source:file"]


# -- order ---------------------------------------------------------------------------------------------


def test_input_needs_and_every_reference_are_dependencies() -> None:
    made = program(
        """
        <source:value id="a">1</source:value>
        <source:value id="b-c">1</source:value>
        <source:value id="d">1</source:value>
        <source:value id="e">1</source:value>
        <source:value id="f">1</source:value>
        <source:value id="g">1</source:value>
        <source:value id="h">1</source:value>
        <command id="all" input="a" needs="d e" when="b-c > 0" cwd="{{ f }}">true
          <env>G: "{{ g.status }}"</env>
          <on-error><retry when="h"/></on-error>
        </command>
        """
    )
    assert needs(made, "all") == ["a", "b-c", "d", "e", "f", "g", "h"]


def test_what_is_inside_a_block_counts_as_the_block() -> None:
    made = program(
        """
        <source:value id="a">1</source:value>
        <if id="x" condition="true"><then>
          <parallel id="p"><branch><transform:value id="in-x">a</transform:value></branch></parallel>
        </then></if>
        <loop id="y" max="2"><command id="in-y" needs="in-x">true</command></loop>
        <transform:value id="z">in-y.status</transform:value>
        """
    )
    assert [needs(made, id_) for id_ in ("a", "x", "y", "z")] == [[], ["a"], ["x"], ["y"]]


def test_bodies_are_chains() -> None:
    made = program('<foreach id="f" collection="[1]"><command id="a">x</command><command id="b">x</command></foreach>')
    (body,) = node(made, "f").bodies
    assert body.chain
    assert [n.id for n in body.nodes] == ["a", "b"]
    assert [list(n) for n in body.needs] == [[], [0]]


def test_nodes_are_counted_over_all_nesting_and_nodes_without_an_id_over_the_document() -> None:
    made = program(
        """
        <set var="a" value="1"/>
        <if id="i" condition="true"><then><set var="b" value="1"/></then><else><set var="c" value="2"/></else></if>
        <loop id="l" max="2"><break/><set var="d" value="1"/></loop>
        """
    )
    assert [(n.id, n.order) for n in walk(made.graph)] == [
        ("set#0", 0), ("i", 1), ("set#1", 2), ("set#2", 3), ("l", 4), ("break#0", 5), ("set#3", 6),
    ]  # fmt: skip


def test_a_named_fallback_runs_inside_its_node() -> None:
    made = program(
        """
        <source:value id="x">1</source:value>
        <command id="spare">echo<env>X: "{{ x }}"</env></command>
        <command id="a">false<on-error><fallback node="spare"/></on-error></command>
        """
    )
    assert [n.id for n in made.graph.nodes] == ["x", "a"]
    assert needs(made, "a") == ["x"]
    assert node(made, "a").named_fallback
    assert [n.id for n in node(made, "a").fallback.nodes] == ["spare"]  # type: ignore[union-attr]


def test_a_nest_as_deep_as_allowed_can_be_planned() -> None:
    fallbacks = "".join(
        f'<command id="n{i}">x<on-error><fallback node="n{i + 1}"/></on-error></command>' for i in range(64)
    )
    blocks = (
        "".join(f'<loop id="l{i}" max="1">' for i in range(60)) + '<command id="inner">x</command>' + "</loop>" * 60
    )
    made = program(fallbacks + '<command id="n64">x</command>' + blocks)
    plan(made.graph)
    assert len(layers(made.graph)) == 1


# -- policies ------------------------------------------------------------------------------------------


def test_a_node_is_run_as_its_attributes_say() -> None:
    made = program(
        """
        <command id="a" timeout="1m30s" retry="2" on-failure="continue" effect="pure" limit="api"
          when="true">x</command>
        <delay id="b">1s</delay>
        <parallel id="c" on-failure="cancel" timeout="5s" concurrency="2" wait="n(2)">
          <branch><command id="d">x</command></branch><branch/>
        </parallel>
        """,
        "limits: { api: 1 }",
    )
    a, b, c = node(made, "a"), node(made, "b"), node(made, "c")
    assert (a.timeout, a.retry, a.on_failure, a.effect) == (90.0, Retry(max_attempts=3), "continue", "pure")
    assert (a.limits, a.conditional, a.holds_slot, a.label) == (("api",), True, True, "command")
    assert (b.holds_slot, b.label) == (False, "delay")
    assert (c.on_failure, c.timeout, c.concurrency, c.wait, c.kind) == ("cancel", 5.0, 2, 2, "parallel")


def test_an_effect_is_the_kinds_unless_the_node_says_otherwise() -> None:
    made = program(
        '<transform:value id="a">1</transform:value><command id="b">x</command>'
        '<command id="c" effect="once">x</command>'
    )
    assert [node(made, id_).effect for id_ in "abc"] == ["pure", "idempotent", "once"]


def test_a_retry_counts_what_comes_after_the_first_attempt() -> None:
    made = program(
        """
        <command id="a">x<on-error>
          <retry max="2" backoff="linear" base="100ms" cap="1m" jitter="none" when="$error.status == 75"/>
        </on-error></command>
        <command id="b">x</command>
        <command id="c" retry="0">x</command>
        <command id="d" effect="once">x</command>
        <foreach id="e" collection="[1]"><command id="f">x<on-error><retry/></on-error></command></foreach>
        """,
        "runtime: { retry: 5 }",
    )
    assert node(made, "a").retry == Retry(3, "linear", 0.1, 60.0, "none", conditional=True)
    assert work(made, "a").retry_when is not None
    assert [node(made, id_).retry for id_ in "bcdef"] == [
        Retry(max_attempts=6), Retry(max_attempts=1), NO_RETRY, NO_RETRY, Retry(max_attempts=4),
    ]  # fmt: skip


def test_a_break_is_a_node() -> None:
    made = program('<foreach id="f" collection="[1]"><break when="$item" all="true"/><break/></foreach>')
    first, second = node(made, "f").bodies[0].nodes
    assert (first.kind, first.conditional, first.everything) == ("break", True, True)
    assert (second.kind, second.conditional, second.everything) == ("break", False, False)


# -- blocks --------------------------------------------------------------------------------------------


def test_choices_have_a_condition_for_each_body_and_none_for_the_last() -> None:
    made = program(
        """
        <if id="a" condition="1 > 2">
          <else><command id="a2">x</command></else><then><command id="a1">x</command></then>
        </if>
        <switch id="b"><default/><case when="false"/><case when="true"><command id="b1">x</command></case></switch>
        """
    )
    for id_, bodies in (("a", [["a1"], ["a2"]]), ("b", [[], ["b1"], []])):
        found = work(made, id_)
        assert isinstance(found, ChoiceWork)
        assert [[n.id for n in body.nodes] for body in node(made, id_).bodies] == bodies
        assert [c is None for c in found.conditions] == [False] * (len(bodies) - 1) + [True]


def test_parallels_merge_as_they_are_told() -> None:
    branches = '<branch name="x"><transform:value id="a{0}">1</transform:value></branch><branch/>'
    made = program(
        f"""
        <parallel id="p">{branches.format(1)}</parallel>
        <parallel id="q" merge="object">{branches.format(2)}</parallel>
        <parallel id="r" merge="sum($branches)">{branches.format(3)}</parallel>
        <parallel id="s" wait="any">{branches.format(4)}</parallel>
        <parallel id="t" wait="n(1)">{branches.format(5)}</parallel>
        """
    )
    works = [work(made, id_) for id_ in "pqrst"]
    assert all(isinstance(w, ParallelWork) and w.names == ("x", None) for w in works)
    assert [(n.wait, n.merges) for n in made.graph.nodes] == [
        (None, False), (None, False), (None, True), (1, False), (1, True),
    ]  # fmt: skip
    assert [w.merge for w in works if isinstance(w, ParallelWork) and isinstance(w.merge, str)] == [
        "array", "object", "array",
    ]  # fmt: skip
    for found, value in ((works[2], 3), (works[4], [1, 2])):
        assert isinstance(found, ParallelWork)
        assert not isinstance(found.merge, str)
        assert found.merge.evaluate(MappingScope(specials={"branches": [1, 2]})) == value


def test_loops_have_a_max_and_what_ends_them() -> None:
    made = program(
        """
        <loop id="a"><break/></loop>
        <loop id="b" max="{{ $config.most }}" break="$iteration > 1"><command id="b1">x</command></loop>
        <while id="c" condition="$iteration < 2" max="5"><command id="c1">x</command></while>
        """,
        "config: { most: 7 }",
    )
    a, b, c = (work(made, id_) for id_ in "abc")
    assert isinstance(a, LoopWork)
    assert isinstance(b, LoopWork)
    assert isinstance(c, LoopWork)
    assert (a.max, a.before, a.after) == (Constant(1000), None, None)
    assert b.max.evaluate(MappingScope(specials={"config": {"most": 7}})) == 7
    assert b.before is None
    assert b.after is not None
    assert c.max == Constant(5)
    assert c.before is not None
    assert c.before.evaluate(MappingScope(specials={"iteration": 1})) is True


def test_a_foreach_keeps_its_list_when_somebody_may_read_it() -> None:
    body = '<foreach id="{0}" collection="[1]" item="row" index="i"><command id="c{0}">x</command></foreach>'
    made = program(
        body.format("unread") + body.format("read") + '<transform:value id="r">read</transform:value>'
        + body.format("waited") + '<command id="w" needs="waited">x</command>' + body.format("last")
    )  # fmt: skip
    works = {id_: work(made, id_) for id_ in ("unread", "read", "waited", "last")}
    assert {id_: w.kept for id_, w in works.items() if isinstance(w, ForeachWork)} == {
        "unread": False, "read": True, "waited": False, "last": True,
    }  # fmt: skip
    assert {(w.item, w.index) for w in works.values() if isinstance(w, ForeachWork)} == {("row", "i")}


# -- settings ------------------------------------------------------------------------------------------


def settings(body: str, front: str = "", id: str = "a") -> dict[str, object]:  # noqa: A002
    scope = MappingScope({"x": [1, 2]}, {"input": {"name": "n"}}, {"config": {"t": "5s", "yes": True}, "key": "k"})
    found = leaf(program(body, front), id)
    return {name: value.evaluate(scope) for name, value in found.settings.items() if name not in found.bound}


X = '<source:value id="x">[1, 2]</source:value>'


def test_settings_have_their_types_and_their_defaults() -> None:
    assert settings(f"{X}<sink:file id='a' input='x' path='out-{{{{ x }}}}.json' pretty='false'/>") == {
        "path": "out-[1,2].json", "pretty": False, "format": "auto", "append": False,
    }  # fmt: skip
    assert settings('<delay id="a" duration="1m30s"/>') == {"duration": 90.0}
    assert settings('<delay id="a" duration="{{ $config.t }}"/>', "config: { t: 5s }") == {"duration": 5.0}


def test_a_setting_that_is_one_template_keeps_its_type() -> None:
    body = "{0}<source:http id='a' url='https://x.example' body='{{{{ x }}}}' headers='{1}'/>"
    found = settings(body.format(X, '{ a: "{{ x }}", b: "{{ x }}!", c: 1, d: , e: [true, "{{ x[0] }}"] }'))
    assert found["body"] == [1, 2]
    assert found["headers"] == {"a": [1, 2], "b": "[1,2]!", "c": 1, "d": None, "e": [True, 1]}


def test_what_is_computed_must_have_the_settings_type() -> None:
    made = program(
        """
        <sink:file id="a" path="x.json" pretty="{{ input.flag }}"/>
        <delay id="b">{{ input.wait }}</delay>
        <command id="c" argv="{{ input.words }}" output="{{ input.form }}"/>
        """,
        "input: { flag: boolean, wait: string, words: array, form: string }",
    )
    scope = MappingScope(names={"input": {"flag": "yes", "wait": 5, "words": "ls", "form": "xml"}})
    said = []
    for id_, name in (("a", "pretty"), ("b", "duration"), ("c", "argv"), ("c", "output")):
        with pytest.raises(AttemptError) as raised:
            leaf(made, id_).settings[name].evaluate(scope)
        said.append((raised.value.type, str(raised.value), raised.value.place))
    assert said == [
        ("ValidationError", "setting 'pretty' is text 'yes'; it must be true or false", "test.flow.md:5:43"),
        (
            "ValidationError",
            "setting 'duration' is number 5; it must be a duration: 500ms, 5s, 1m, 2h, 1d, 1h30m, 1.5s or PT1H",
            "test.flow.md:6:17",
        ),
        ("ValidationError", "setting 'argv' is text 'ls'; it must be a list", "test.flow.md:7:25"),
        ("ValidationError", "setting 'output' is text 'xml'; it must be one of text, json, lines", "test.flow.md:7:52"),
    ]


def test_a_computed_null_is_a_setting_that_is_not_given() -> None:
    made = program(
        '<sink:file id="a" path="x" pretty="{{ input.x }}"/><delay id="b">{{ input.x }}</delay>', "input: { x: string }"
    )
    scope = MappingScope(names={"input": {"x": None}})
    assert leaf(made, "a").settings["pretty"].evaluate(scope) is True
    with pytest.raises(AttemptError, match="setting 'duration' is null; it must be a duration"):
        leaf(made, "b").settings["duration"].evaluate(scope)


def test_expressions_are_handed_over_unevaluated() -> None:
    found = leaf(program(f'{X}<transform:map id="a" input="x">$item + $index</transform:map>'), "a")
    assert found.bound == {"expression"}
    assert found.settings["expression"].evaluate(NOWHERE, {"item": 1, "index": 2}) == 3


def test_code_is_kept_as_it_is_and_a_command_may_escape_braces() -> None:
    code = 'def main():\n    return f"{{x}}", {{1: 2}.get(1)}'
    assert settings(f"<python id='a'>\n```python\n{code}\n```\n</python>")["code"] == code
    assert settings("<command id='a'>docker ps --format '\\{{ .ID }}'</command>")["command"] == (
        "docker ps --format '{{ .ID }}'"
    )


def test_an_error_of_a_run_says_where_in_the_document_it_arose() -> None:
    made = program(
        f"""
        {X}
        <transform:template id="a">
            one
            two {{{{ 1 + upper(x) }}}}
        </transform:template>
        <command id="b" when="x > 1"><env>A: "{{{{ -x }}}}"</env>true</command>
        <command id="c" cwd="&lt;{{{{ x.output + &quot;b&quot; }}}}">true</command>
        """
    )
    evaluables = [leaf(made, "a").settings["template"], leaf(made, "b").when, leaf(made, "b").settings["env"]]
    evaluables.append(leaf(made, "c").settings["cwd"])
    places = []
    for evaluable in evaluables:
        assert evaluable is not None
        with pytest.raises(ExpressionError) as raised:
            evaluable.evaluate(MappingScope({"x": [1]}))
        places.append(raised.value.place)  # type: ignore[attr-defined]  # set where it was raised
    assert places == ["test.flow.md:5:18", "test.flow.md:7:27", "test.flow.md:7:44", "test.flow.md:8:40"]


# -- inputs, names, arguments --------------------------------------------------------------------------


def test_input_is_that_of_the_nearest_node_around_that_has_one() -> None:
    made = program(
        """
        <source:value id="x">[1]</source:value>
        <source:value id="y">[1]</source:value>
        <foreach id="f" input="x" collection="input">
          <parallel id="p"><branch><transform:map id="a">$item</transform:map></branch></parallel>
          <transform:map id="b" input="y">$item</transform:map>
          <command id="c">true
            <on-error><fallback><transform:map id="d">$item</transform:map></fallback></on-error>
          </command>
          <command id="e" input="y">true
            <compensate><command id="g"><env>A: "{{ input }}"</env>true</command></compensate>
          </command>
        </foreach>
        <transform:map id="h">$item</transform:map>
        """
    )
    assert {id_: work(made, id_).input for id_ in "fpabcdegh"} == {
        "f": "x", "p": None, "a": "x", "b": "y", "c": None, "d": "x", "e": None, "g": None, "h": None,
    }  # fmt: skip


def test_the_document_looks_up_context_for_its_output() -> None:
    made = program('<set var="n" value="1"/><set var="n" value="2" when="false"/>', "output: $context.n")
    assert made.output is not None
    outputs = {"set#0": "1", "set#1": None}
    records = {"set#0": {"status": "succeeded"}, "set#1": {"status": "skipped"}}
    assert made.output.evaluate(MappingScope(outputs, records=records)) == "1"


def test_a_function_gets_what_it_asks_for_by_name() -> None:
    made = program(
        """
        <source:value id="the-rows">[1]</source:value>
        <source:value id="other">[1]</source:value>
        <foreach id="f" collection="[1]" item="row" index="i">
          <python id="a" input="other">
            <args>{ given: 1 }</args>
            def main(the_rows, row, i, title, limit, given, ctx, input, other=None, unknown=5, **rest): pass
          </python>
        </foreach>
        """,
        "config: { limit: 3, title: c }\ninput: { title: string }",
    )
    scope = MappingScope(
        {"the-rows": [1], "other": 2}, {"row": 3, "i": 4, "title": "t", "input": 5}, {"config": {"limit": 6}}
    )
    given = {name: value.evaluate(scope) for name, value in leaf(made, "a").arguments.items()}
    assert given == {"the_rows": [1], "row": 3, "i": 4, "title": "t", "limit": 6, "input": 5, "other": 2}
    assert needs(made, "f") == ["the-rows", "other"]
    assert leaf(made, "a").code_place == ("test.flow.md", 11)


def test_a_function_that_is_imported_gets_what_needs_no_dependency() -> None:
    made = program(
        '<source:value id="x">1</source:value><python id="a" call="m:f"/>', "config: { c: 1 }\ninput: { title: string }"
    )
    assert set(leaf(made, "a").arguments) == {"input", "title", "c"}
    assert needs(made, "a") == []


# -- digests -------------------------------------------------------------------------------------------

BASE = """
    <source:file id="a" path="a.json"/>
    <source:file id="b" path="b.json"/>
    <foreach id="f" collection="a" item="row">
      <transform:value id="f1">row</transform:value>
      <command id="f2">true<env>B: "{{ b }}"</env></command>
      <command id="f3">true</command>
    </foreach>
    <if id="i" condition="b"><then><command id="i1">true</command></then></if>
    <command id="z" needs="f">z</command>
    <command id="alone">true</command>
"""


def changed_by(old: str, new: str) -> set[str]:
    assert old in BASE
    before, after = program(BASE), program(BASE.replace(old, new))
    assert [n.id for n in walk(before.graph)] == [n.id for n in walk(after.graph)]
    pairs = zip(walk(before.graph), walk(after.graph), strict=True)
    return {a.id for a, b in pairs if a.digest != b.digest}


@pytest.mark.parametrize(
    ("old", "new", "ids"),
    [
        ("a.json", "c.json", "a f f1 f2 f3 z"),
        ("b.json", "c.json", "b f2 f3 z i i1"),
        (">row<", ">row + 1<", "f1 f2 f3 z"),
        ('<command id="f3">true', '<command id="f3">false', "f3 z"),
        ('collection="a"', 'collection="[...a]"', "f z"),
        ('condition="b"', 'condition="not b"', "i"),
        (">z<", ">y<", "z"),
        ('id="z" needs="f"', 'id="z" needs="f i"', "z"),
        ('id="z" needs="f"', 'id="z" needs="f" timeout="5s" retry="2" on-failure="continue" description="d"', ""),
        ('item="row"', 'item="row" concurrency="5"', ""),
        ('<foreach id="f"', '\n\n  Prose.\n\n  <foreach id="f"', ""),
        ('<command id="f3">true', '<command id="f3">true<compensate><command id="u">x</command></compensate>', None),
    ],
)
def test_a_digest_changes_with_what_decides_the_value_and_nothing_else(old: str, new: str, ids: str | None) -> None:
    if ids is None:
        before, after = program(BASE), program(BASE.replace(old, new))
        assert [n.digest for n in before.graph.nodes] == [n.digest for n in after.graph.nodes]
    else:
        assert changed_by(old, new) == set(ids.split())


def test_a_change_is_told_with_its_reason() -> None:
    before = loaded(BASE)
    changed, lines = compare(before, loaded(BASE.replace("a.json", "c.json").replace(">z<", ">y<")))
    assert changed["a"] == "changed: path"
    assert changed["f"] == "upstream a ran again"
    assert changed["z"] == "changed: command"
    assert lines[:2] == ["~ a (source:file): path is different", "~ z (command): command is different"]
    assert compare(before, loaded(BASE)) == ({}, [])


def test_a_weight_key_does_not_depend_on_what_a_node_needs() -> None:
    before, after = program(BASE), program(BASE.replace("a.json", "c.json"))
    keys = [{n.id: n.weight_key for n in walk(made.graph)} for made in (before, after)]
    assert keys[0]["f1"] == keys[1]["f1"]
    assert keys[0]["a"] != keys[1]["a"]
    assert keys[0]["a"].startswith("test/a/")


def test_a_context_is_a_set_for_each_value_and_the_object_of_them() -> None:
    body = '<context id="c"><values>{}</values></context><transform:value id="r">[$context.b, c]</transform:value>'
    kinds = registry.all_specs()
    parsed, _ = parse_document(Source("x", document(body)), kinds)
    assert parsed is not None

    def of(key: str, **more: str) -> Element:
        settings = {name: Text(value, 0, 1) for name, value in {"key": key, **more}.items()}
        return Element("set", "set", 0, 4, 9, settings=settings)

    children = (of("a", value="1"), of("b", expression="$context.a + 'x'"))
    element = structs.replace(parsed.nodes[0], children=children, settings={})
    made = compile_analysis(analyse(structs.replace(parsed, nodes=(element, parsed.nodes[1])), kinds))
    group = node(made, "c")
    assert (group.kind, group.label) == ("group", "context")
    assert [n.id for n in group.bodies[0].nodes] == ["set#0", "set#1", "context#0"]
    assert needs(made, "r") == ["c"]
    assert work(made, "r").context == {"b": ("set#1",)}
    assert work(made, "set#1").context == {"a": ("set#0",)}
    values = leaf(made, "context#0").settings["values"]
    assert values.evaluate(MappingScope({"set#0": "1", "set#1": "1x"})) == {"a": "1", "b": "1x"}
