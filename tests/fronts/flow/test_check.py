"""What the checker knows: names, order, and that it neither repeats itself nor takes long.

Whole messages are in tests/scenarios; here are the rules behind them.
"""

from __future__ import annotations

import time

import pytest

from fronts.flow.documents import document, errors, loaded, messages
from weft.fronts.flow.check import check
from weft.fronts.flow.parser import parse_document
from weft.runtimes import registry
from weft.text.source import Source

# -- who may refer to whom -----------------------------------------------------------------------------

TREE = """
    <source:value id="top">1</source:value>
    <parallel id="p" {p}>
      <branch>
        <transform:value id="l1">{l1}</transform:value>
        <transform:value id="l2">{l2}</transform:value>
      </branch>
      <branch>
        <foreach id="each" collection="{each}">
          <transform:value id="in1">{in1}</transform:value>
          <loop id="loop" max="2" break="{loop}"><transform:value id="round">{round}</transform:value></loop>
          <transform:value id="in2">{in2}</transform:value>
        </foreach>
        <if id="cond" condition="{cond}">
          <then><transform:value id="yes">{yes}</transform:value></then>
          <else><transform:value id="no">{no}</transform:value></else>
        </if>
        <transform:value id="r">{r}</transform:value>
      </branch>
    </parallel>
    <transform:value id="end">{end}</transform:value>
"""
PLACES = ("p", "l1", "l2", "each", "in1", "loop", "round", "in2", "cond", "yes", "no", "r", "end")


def tree(place: str, text: str) -> str:
    given = dict.fromkeys(PLACES, "1") | {"p": "", "each": "[1]", place: text}
    return TREE.format(**given)


@pytest.mark.parametrize(
    ("place", "ids"),
    [
        ("l1", "top end"),
        ("l2", "top end l1"),
        ("each", "top end"),
        ("in1", "top end"),
        ("loop", "top end in1 round"),
        ("round", "top end in1"),
        ("in2", "top end in1 loop round"),
        ("cond", "top end each"),
        ("yes", "top end each"),
        ("no", "top end each"),
        ("r", "top end each cond yes no"),
        ("end", "top p l1 l2 each cond yes no r"),
    ],
)
def test_a_node_sees_what_has_surely_ended_before_it(place: str, ids: str) -> None:
    everything = ["top", "p", "l1", "l2", "each", "in1", "loop", "round", "in2", "cond", "yes", "no", "r", "end"]
    seen = [id_ for id_ in everything if not errors(tree(place, f"[{id_}]"))]
    assert seen == [id_ for id_ in everything if id_ in ids.split()]


def test_a_merge_sees_the_branches() -> None:
    assert errors(tree("p", 'merge="l1 + r"')) == []
    assert errors(tree("p", 'merge="in1"')) == ["WEFT304 `in1` is inside the foreach `each`: it has a result per item"]


def test_needs_follow_the_same_rules_as_references() -> None:
    body = """
        <foreach id="each" collection="[1]">
          <command id="a" needs="b">true</command><command id="b">true</command>
        </foreach>
        <command id="c" needs="a each c">true</command>
    """
    assert errors(body) == [
        "WEFT302 `b` comes later: nodes in here run one after the other",
        "WEFT304 `a` is inside the foreach `each`: it has a result per item",
        "WEFT305 `c` refers to itself",
    ]


def test_a_fallback_sees_what_its_node_sees_and_what_was_done_inside_it() -> None:
    body = """
        <source:value id="a">1</source:value>
        <parallel id="p">
          <on-error><fallback><transform:value id="f">[a, left, $error.message]</transform:value></fallback></on-error>
          <branch><transform:value id="left">a</transform:value></branch>
        </parallel>
        <transform:value id="end">p</transform:value>
    """
    assert messages(body) == []


def test_a_compensation_sees_its_own_node() -> None:
    body = """
        <command id="a">true<compensate><command id="u">true<env>A: "{{ a }} {{ a.status }} {{ $key }}"</env></command>
        </compensate></command>
    """
    assert messages(body) == []


def test_a_named_fallback_stands_where_its_node_stands() -> None:
    body = """
        <foreach id="each" collection="[1]">
          <command id="f">true<env>A: "{{ $error.message }} {{ later }}"</env></command>
          <command id="later">true</command>
          <command id="a">false<on-error><fallback node="f"/></on-error></command>
        </foreach>
    """
    assert messages(body) == []


def test_a_fallback_of_a_fallback_is_fine_and_64_of_them_are_too_many() -> None:
    def chain(count: int) -> str:
        nodes = [
            f'<command id="n{i}">x<on-error><fallback node="n{i + 1}"/></on-error></command>' for i in range(count)
        ]
        return "".join([*nodes, f'<command id="n{count}">x</command>', '<command id="end">x</command>'])

    assert errors(chain(64)) == []
    assert errors(chain(70)) == ["WEFT320 this is the fallback of a fallback more than 64 times over"]


# -- $context ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "fine"),
    [
        ('<set var="x" value="1"/>{read}', True),
        ('{read}<set var="x" value="1"/>', False),
        ('<if id="i" condition="true"><then><set var="x" value="1"/></then></if>{read}', True),
        ('<if id="i" condition="true"><then><set var="x" value="1"/></then><else>{read}</else></if>', False),
        ('<loop id="l" max="2">{read}<set var="x" value="1"/></loop>', True),
        ('<loop id="l" max="2" break="$context.x"><set var="x" value="1"/></loop>', True),
        ('<while id="l" condition="$context.x"><set var="x" value="1"/></while>', True),
        ('<if id="i" condition="$context.x"><then><set var="x" value="1"/></then></if>', False),
        (
            '<loop id="l" max="2"><if id="i" condition="1">'
            '<then><set var="x" value="1"/></then><else>{read}</else></if></loop>',
            True,
        ),
        ('<parallel id="p"><branch><set var="x" value="1"/></branch></parallel>{read}', False),
        ('<parallel id="p"><branch><set var="x" value="1"/>{read}</branch></parallel>', True),
        ('<parallel id="p"><branch><set var="x" value="1"/></branch><branch>{read}</branch></parallel>', False),
        ('<foreach id="f" collection="[1]"><set var="x" value="1"/></foreach>{read}', False),
        ('<foreach id="f" collection="[1]">{read}<set var="x" value="1"/></foreach>', False),
        ('<set var="x" value="1"/><foreach id="f" collection="[1]">{read}</foreach>', True),
        ('<set var="x" expression="$context.x"/>', False),
        ('<loop id="l" max="2"><set var="x" expression="$context.x ?? 0"/></loop>', True),
        ('<command id="c">x<on-error><fallback><set var="x" value="1"/></fallback></on-error></command>{read}', True),
        ('<command id="c">x<compensate><set var="x" value="1"/></compensate></command>{read}', False),
        ('<command id="c">x<compensate><set var="x" value="1"/>{read}</compensate></command>', True),
    ],
)  # fmt: skip
def test_what_a_node_reads_must_have_been_set_where_it_can_see_it(body: str, fine: bool) -> None:
    read = '<transform:value id="read">$context.x</transform:value>'
    assert [e[:7] for e in errors(body.replace("{read}", read))] == ([] if fine else ["WEFT334"])


def test_at_most_100_nodes_may_have_set_what_one_reads() -> None:
    def body(count: int) -> str:
        sets = '<set var="x" when="$run.id" value="1"/>\n' * count
        return f'{sets}<transform:value id="a">$context.x</transform:value>'

    assert errors(body(100)) == []
    assert errors(body(101)) == ["WEFT335 more than 100 nodes may have set $context.x"]
    assert errors('<set var="x" value="1"/>\n' * 500 + '<transform:value id="a">$context.x</transform:value>') == []


# -- all at once, once each, in order ------------------------------------------------------------------


def test_all_is_said_in_the_order_of_the_document_and_nothing_twice() -> None:
    body = """
        <transform:value id="a">[nobody, nobody, $config.x, $config.x]</transform:value>
        <foreach id="each" collection="'text'" concurrency="0"><break all="x"/></foreach>
        <command id="c" needs="zzz">true</command>
    """
    made = loaded(body, "runtime: { timeout: soon }")
    places = [(d.line, d.column) for d in made.diagnostics]
    assert places == sorted(places)
    assert len({(p, d.message) for p, d in zip(places, made.diagnostics, strict=True)}) == len(places)
    assert [d.code for d in made.diagnostics] == [
        "WEFT505", "WEFT301", "WEFT301", "WEFT331", "WEFT331", "WEFT322", "WEFT323", "WEFT504", "WEFT301",
    ]  # fmt: skip


def test_more_than_100_errors_are_not_listed() -> None:
    body = "".join(f'<transform:value id="n{i}">nobody{i}</transform:value>' for i in range(300))
    made = loaded(body)
    assert [d.code for d in made.diagnostics[-2:]] == ["WEFT301", "WEFT299"]
    assert len(made.diagnostics) == 101


def test_a_mistake_in_the_text_is_not_followed_by_errors_that_come_of_it() -> None:
    assert messages('<transfrom:value id="a">1</transfrom:value><transform:value id="b">a</transform:value>') == [
        "WEFT210 unknown tag `<transfrom:value>`"
    ]
    assert (
        messages('<command id="c">{{x<transform:value id="b">$config.x</transform:value>', "config: [1")[0][:7]
        == "WEFT111"
    )
    assert messages(
        '<command id="c" limit="a"><argv>[$secrets.X]</argv></command>', "limits: { a: x }\nsecrets: X"
    ) == [
        "WEFT121 `limits.a` must be a whole number from 1 on or {concurrency, rate}",
        "WEFT121 `secrets` must be a list of names",
    ]


# -- warnings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        '<source:file id="a" path="x"/>',
        '<source:file id="a" path="x"/><command id="b" needs="a">true</command>',
        '<source:file id="a" path="x"/><transform:value id="b">a.status</transform:value>',
        '<source:file id="a" path="x"/><python id="b">def main(a): return a</python>',
        '<source:file id="a" path="x"/>'
        '<if id="i" input="a" condition="true"><then><sink:file id="s" path="y"/></then></if>',
        '<command id="a">true</command><python id="b">def main(): return 1</python><command id="c">true</command>',
        '<sink:http id="s" url="https://x.example"><body>text</body></sink:http>',
        '<parallel id="p"><branch><source:file id="a" path="x"/></branch></parallel><command id="b">true</command>',
        '<source:http id="a" url="https://x.example" save="x.zip"/><command id="b">true</command>',
        '<loop id="l"><if id="i" condition="true"><then><break/></then></if></loop>',
    ],
)
def test_what_is_meant_is_not_warned_about(body: str) -> None:
    assert messages(body) == []


def test_a_sink_of_a_document_with_arguments_writes_those() -> None:
    assert messages('<sink:file id="s" path="x.json"/>', "input: { a: string }") == []
    assert messages('<sink:file id="s" path="x.json"/>') == ["WEFT350 `s` has no input to work on"]


def test_an_output_that_only_the_documents_output_reads_is_read() -> None:
    body = '<source:file id="a" path="x"/><command id="b">true</command>'
    assert messages(body, "output: a") == []
    assert messages(body) == ["WEFT351 nobody reads the output of `a`"]


# -- time ----------------------------------------------------------------------------------------------


def cost(text: str) -> float:
    source = Source("test.flow.md", text)
    kinds = registry.all_specs()
    parsed, _ = parse_document(source, kinds)
    assert parsed is not None
    began = time.process_time()
    check(parsed, kinds)
    return time.process_time() - began


FRAMES = {
    "a chain": lambda n: "".join(
        f'<transform:value id="n{i}">n{max(i - 1, 0)} + 1</transform:value>' for i in range(1, n)
    )
    + '<transform:value id="n0">1</transform:value>',
    "a ring": lambda n: "".join(f'<transform:value id="n{i}">n{(i + 1) % n}</transform:value>' for i in range(n)),
    "everybody reads one": lambda n: '<source:value id="a">1</source:value>'
    + "".join(f'<transform:value id="n{i}">a + 1</transform:value>' for i in range(n)),
    "one reads everybody": lambda n: "".join(f'<source:value id="n{i}">1</source:value>' for i in range(n))
    + f'<transform:value id="a">[{", ".join(f"n{i}" for i in range(min(n, 10_000)))}]</transform:value>',
    "sets and readers": lambda n: "".join(
        f'<set var="x" value="1" when="$run.id"/><transform:value id="n{i}">$context.x ?? 1</transform:value>'
        for i in range(min(n, 150))
    )
    + '<set var="x" value="1"/><transform:value id="r">$context.x</transform:value>' * (n // 100),
    "a deep nest": lambda n: "".join(
        '<if id="a{0}" condition="true"><then>'.replace("{0}", f"{j}-{i}")
        for i in [0]
        for j in range(25)
    )
    + "".join(f'<transform:value id="n{i}">n{i - 1 if i else "0.status"}</transform:value>' for i in range(1, n))
    + "</then></if>" * 25,
    "one sequence": lambda n: '<foreach id="f" collection="[1]">'
    + '<command id="n0">true</command>'
    + "".join(f'<command id="n{i}" needs="n{i - 1}">true</command>' for i in range(1, n))
    + "</foreach>",
}  # fmt: skip


@pytest.mark.torture  # it measures time
@pytest.mark.parametrize("name", FRAMES)
def test_checking_takes_linear_time(name: str) -> None:
    """Eight times the length takes about eight times as long; it would be 64 times if it were quadratic."""
    short, long = (min(cost(document(FRAMES[name](n))) for _ in range(3)) for n in (300, 2400))
    assert long < 20 * max(short, 0.004)
