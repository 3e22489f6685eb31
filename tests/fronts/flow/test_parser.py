"""What a document means, and what is said about one that is wrong."""

from __future__ import annotations

import re
import textwrap
import time
from pathlib import Path

import pytest

from fronts.flow.sample_kinds import KINDS
from weft.fronts.flow.ast import Document, Element
from weft.fronts.flow.frontmatter import KEYS
from weft.fronts.flow.parser import parse_document
from weft.fronts.flow.tags import CODES, LEAVES, TAGS, Near
from weft.text.source import Diagnostic, Source, decode


def parse(text: str) -> tuple[Document | None, list[Diagnostic]]:
    return parse_document(Source("a.flow.md", text), KINDS)


def body(text: str) -> str:
    return f"<workflow>\n{text}\n</workflow>\n"


def document(text: str) -> Document:
    """The document of a text that must be right."""
    found, diagnostics = parse(text)
    assert diagnostics == []
    assert found is not None
    assert found.complete
    return found


def nodes(text: str) -> tuple[Element, ...]:
    return document(body(text)).nodes


def node(text: str) -> Element:
    (found,) = nodes(text)
    return found


def said(text: str) -> list[str]:
    """Everything reported, as `line:column code message (hint)`."""
    _, diagnostics = parse(text)
    out = []
    for d in diagnostics:
        assert d.code in CODES
        kind = "warning " if d.severity == "warning" else ""
        out.append(f"{d.line}:{d.column} {kind}{d.code} {d.message}" + (f" ({d.hint})" if d.hint else ""))
    return out


def values(element: Element) -> dict[str, str]:
    return {name: text.value for name, text in element.settings.items()}


def mistakes(name: str) -> list[tuple[str, list[str]]]:
    """The cases of a file in mistakes/: a text, then a line `=> message` for each thing that is said about it."""
    cases = []
    for block in (Path(__file__).parent / "mistakes" / f"{name}.txt").read_text().split("\n-----\n"):
        text, *messages = block.rstrip("\n").split("\n=> ")
        cases.append((text, messages))
    return cases


# -- the whole ---------------------------------------------------------------------------------


def test_a_document_is_read() -> None:
    found = document(
        textwrap.dedent("""\
        ---
        name: nightly-report
        version: 1.0
        config:
          threshold: { type: number, default: 50, description: keep above }
        secrets: [API_TOKEN]
        runtime: { timeout: 10m, jobs: 8 }
        ---
        # Nightly report
        <workflow>
          <source:file id="scores" path="a.json" format="json"/>
          <transform:filter id="good" input="scores">
            <condition>$item.score > $config.threshold</condition>
          </transform:filter>
          <parallel id="outputs">
            <branch>
              <transform:template id="text" input="good">{{ length(input) }} good</transform:template>
            </branch>
            <branch name="b">
              <sink:file id="save" input="good" path="out.json" format="json"/>
            </branch>
          </parallel>
        </workflow>
        """)
    )
    assert (found.front.name, found.front.version) == ("nightly-report", "1.0")
    assert list(found.ids) == ["scores", "good", "text", "save", "outputs"]
    assert [n.kind for n in found.nodes] == ["source:file", "transform:filter", "parallel"]
    assert values(found.ids["good"]) == {"condition": "$item.score > $config.threshold"}
    assert found.ids["good"].attributes["input"].value == "scores"
    assert [b.kind for b in found.nodes[2].children] == ["branch", "branch"]
    assert found.nodes[2].children[1].attributes["name"].value == "b"


def test_every_line_end_gives_the_same_document() -> None:
    text = '---\nname: x\n---\n<workflow>\n<command id="a">\n  make\n  all\n</command>\n</workflow>\n'
    for newline in ("\n", "\r\n", "\r"):
        source = decode("a", b"\xef\xbb\xbf" + text.replace("\n", newline).encode())
        found, diagnostics = parse_document(source, KINDS)
        assert diagnostics == []
        assert found is not None
        assert values(found.nodes[0]) == {"script": "make\nall"}
        assert source.position(found.nodes[0].start) == (5, 1)


def test_mixed_line_ends_are_kept_byte_for_byte() -> None:
    text = body('<command id="a">\n\tcat <<E\r\n\tx\n\tE\n</command>')
    found, _ = parse_document(decode("a", text.encode()), KINDS)
    assert found is not None
    assert values(found.nodes[0]) == {"script": "cat <<E\r\nx\nE"}


def test_the_name_defaults_to_the_stem_of_the_file() -> None:
    for name, stem in (("x/etl.flow.md", "etl"), ("etl.md", "etl"), ("etl", "etl"), (".flow.md", ".flow")):
        found, _ = parse_document(Source(name, body("<delay id='d' duration='1s'/>")), KINDS)
        assert found is not None
        assert found.front.name == stem


def test_prose_is_what_stands_around_the_nodes() -> None:
    text = "---\nname: x\n---\nbefore <workflow>a<delay id='d' duration='1s'/>b</workflow> after"
    found = document(text)
    assert [text[start:end] for start, end in found.prose] == ["\nbefore ", "a", "b</workflow> after"]


# -- where tags count --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '`<command id="n">`',
        '```\n<command id="n">\n```',
        '~~~~ x\n```\n<command id="n">\n~~~~',
        '    ```\n    <command id="n">\n    ```',
        '<!-- <command id="n"> -->',
        "a < b, AT&T, <b>bold</b> <br/> <i class='x'> <https://example.com> x<y> <5 <= 6",
        "</b> </p> \\<command> <mailto:a>",
    ],
)
def test_prose_among_nodes_is_prose(text: str) -> None:
    assert [n.name for n in nodes(f"{text}\n\n<delay id='d' duration='1s'/>\n{text}\n")] == ["d"]


def test_outside_the_workflow_everything_is_prose() -> None:
    text = (
        '<command id="a"> </if> <x-y> <prallel>\n```\n<workflow>\n```\n'
        + body("<set var='a' value='1'/>")
        + "</if> ```\n"
    )
    assert [n.kind for n in document(text).nodes] == ["set"]


def test_inline_code_ends_with_its_paragraph() -> None:
    assert [n.name for n in nodes("a ` b\n\n<delay id='d' duration='1s'/> ` c")] == ["d"]
    assert [n.name for n in nodes("a ` b\n<command id='d'>echo `date`</command>")] == ["d"]


# -- leaves ------------------------------------------------------------------------------------


def test_both_spellings_are_the_same() -> None:
    one = node('<source:file id="a" path="x"/>')
    two = node('<source type="file" id="a" path="x"></source>')
    assert (
        (one.kind, values(one), one.leaf) == (two.kind, values(two), two.leaf) == ("source:file", {"path": "x"}, True)
    )
    assert node('<vendor type="thing" id="a" url="x"/>').kind == node('<vendor:thing id="a" url="x"/>').kind


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('<source:file id="a" path="a&lt;b &amp; &copy;"/>', {"path": "a<b & &copy;"}),
        ('<source:file id="a"><path>a&lt;b</path></source:file>', {"path": "a&lt;b"}),
        ('<source:file id="a"><path/></source:file>', {"path": ""}),
        ('<command id="a">make all</command>', {"script": "make all"}),
        ('<command id="a"><script>make all</script></command>', {"script": "make all"}),
        ('<command id="a" script="make"/>', {"script": "make"}),
        ("<command id='a'>\n  a < b && `c` \"d' </b>\n    e\n</command>", {"script": "a < b && `c` \"d' </b>\n  e"}),
        ("<command id='a'>\n  one\n  <env>A: 1</env>\n  two\n</command>", {"env": "A: 1", "script": "one\ntwo"}),
        ("<command id='a'><env>\n  A: 1\n  B:\n    - 2\n</env></command>", {"env": "A: 1\nB:\n  - 2"}),
        ("<command id='a'>x <!-- <env>A</env> --> y</command>", {"script": "x <!-- <env>A</env> --> y"}),
        ("<command id='a'><!-- run it -->\n <argv>[ls]</argv></command>", {"argv": "[ls]"}),
        ("<command id='a'>\n```sh\n</command>\n```\n</command>", {"script": "</command>"}),
        ("<command id='a'>```sh\nx\n```</command>", {"script": "x"}),
        ("<command id='a'>\nx\n```\n</command>\n```\n</command>", {"script": "x\n```\n</command>\n```"}),
        ("<command id='a'><timeout>x</timeout></command>", {"script": "<timeout>x</timeout>"}),
        ("<source:http id='a' url='x'><timeout>5s</timeout></source:http>", {"url": "x", "timeout": "5s"}),
        ("<source:http id='a'><extract>$body.a < 3 && b</extract></source:http>", {"extract": "$body.a < 3 && b"}),
        ("<source:value id='a'>\n  - 1\n  - b: 2\n</source:value>", {"value": "- 1\n- b: 2"}),
        ("<source:file id='a' path='x'>\n\n</source:file>", {"path": "x"}),
    ],
)  # fmt: skip
def test_settings_are_attributes_children_or_the_text(text: str, found: dict[str, str]) -> None:
    assert values(node(text)) == found


def test_the_language_of_a_fence_is_kept() -> None:
    found = node("<python id='p'>\n  ```python\n  def main():\n      return '</python>'\n  ```\n</python>")
    assert values(found) == {"code": "def main():\n    return '</python>'"}
    assert found.settings["code"].language == "python"
    assert node("<python id='p'>x</python>").settings["code"].language is None


def test_a_character_of_a_setting_leads_back_to_its_place() -> None:
    text = body("<transform:template id='t'>\n    Hi {{ x }}\n      {{ y }}\n</transform:template>")
    setting = document(text).nodes[0].settings["template"]
    assert setting.value == "Hi {{ x }}\n  {{ y }}"
    for name in "xy":
        assert setting.at(setting.value.index(name)) == text.index(f"{{{{ {name}") + 3


def test_common_children_of_a_leaf_hold_nodes() -> None:
    found = node(
        "<command id='a'>x\n<on-error><retry max='3' when='$error.status > 1'/><fallback><command id='b'>y</command>"
        "</fallback></on-error><compensate><command id='c'>z</command></compensate></command>"
    )
    assert found.on_error is not None
    assert found.compensate is not None
    retry, fallback = found.on_error.children
    assert {k: t.value for k, t in retry.attributes.items()} == {"max": "3", "when": "$error.status > 1"}
    assert [n.name for n in fallback.children] == ["b"]
    assert [n.name for n in found.compensate.children] == ["c"]
    assert values(found) == {"script": "x"}


# -- blocks ------------------------------------------------------------------------------------


def test_branch_outside_a_parallel_is_a_switch() -> None:
    found = node("<branch id='s'><case when='a'/><default><set var='x' value='1'/></default></branch>")
    assert (found.kind, [part.kind for part in found.children]) == ("switch", ["case", "default"])
    inner = node("<parallel id='p'><branch><branch id='s'><case when='a'/></branch></branch></parallel>")
    assert inner.children[0].children[0].kind == "switch"


def test_settings_of_blocks_may_be_children_too() -> None:
    found = node("<if id='i'><condition>a < b && c</condition><then/></if>")
    assert values(found) == {"condition": "a < b && c"}


def test_loops_sets_and_breaks_need_no_more_than_the_language_asks() -> None:
    found = nodes(
        "<loop id='l' max='3' break='done'><set var='a' value='1'/><set var='a' value='2'/><break when='x'/></loop>"
        "<while id='w' condition='x' max='5'><break all='true'/></while>"
        "<foreach id='f' collection='xs' item='x' index='i' concurrency='4' on-failure='continue'><break/></foreach>"
    )
    assert [n.kind for n in found] == ["loop", "while", "foreach"]
    assert [n.kind for n in found[0].children] == ["set", "set", "break"]


# -- front matter ------------------------------------------------------------------------------


def test_every_key_of_the_front_matter_is_read() -> None:
    text = textwrap.dedent("""\
        ---
        name: n
        version: 2
        description: d
        config: {a: 5, b: {type: string, required: true, enum: [x, y]}, c: {host: h}, d: {default: [1]}}
        input: {title: string, n: {type: integer, default: 3}}
        output: a + 'b'
        secrets: [A, B_2]
        runtime: {timeout: 1m, jobs: 2, retry: 0, backend: b, durability: process, env: [HOME], paths: [/x],
          hosts: [h], interpreter: p}
        limits: {api: 5, db: {concurrency: 2, rate: 10/s}}
        budget: {usd: 5}
        schedule: waves
        on-failure: continue
        rollback: none
        trigger: {schedule: "0 3 * * *"}
        tests: []
        x-team: [a]
        ---
        """)
    front = document(text + body("<set var='a' value='1'/>")).front
    assert (front.name, front.version, front.description) == ("n", "2", "d")
    assert (front.schedule, front.on_failure, front.rollback) == ("waves", "continue", "none")
    config = front.config
    assert [(d.type, d.has_default, d.default, d.required, d.enum) for d in config.values()] == [
        (None, True, 5, False, None),
        ("string", False, None, True, ("x", "y")),
        (None, True, {"host": "h"}, False, None),
        (None, True, [1], False, None),
    ]
    assert [(d.name, d.type, d.default) for d in front.input.values()] == [
        ("title", "string", None),
        ("n", "integer", 3),
    ]
    assert front.output is not None
    assert front.output.value == "a + 'b'"
    assert text[front.output.at(4)] == "'"
    assert (list(front.secrets), list(front.runtime)[:2], list(front.limits)) == (
        ["A", "B_2"],
        ["timeout", "jobs"],
        ["api", "db"],
    )
    assert front.extra == {"x-team": ["a"]}
    assert set(KEYS) < set(front.values)


@pytest.mark.parametrize(("text", "messages"), mistakes("frontmatter"))
def test_front_matter_of_the_wrong_shape_is_reported(text: str, messages: list[str]) -> None:
    assert said(f"---\n{text}\n---\n" + body("<set var='a' value='1'/>")) == messages


def test_front_matter_must_begin_at_the_top_and_end() -> None:
    end = body("<set var='a' value='1'/>")
    assert said("\n---\nname: x\n---\n" + end) == [
        "2:1 WEFT110 front matter must begin on the first line of the document (remove what stands before the ---)"
    ]
    assert said("---\nname: x\n" + end) == [
        "1:1 WEFT110 the front matter is never closed (end it with a line that is just ---)"
    ]
    assert said("\n---\nprose\n---\n" + end) == []


# -- what is wrong -----------------------------------------------------------------------------

TAKES_COMMON = "input, needs, when, timeout, on-failure, description"


@pytest.mark.parametrize(("text", "messages"), mistakes("body"))
def test_each_mistake_is_said_once_with_its_place(text: str, messages: list[str]) -> None:
    assert said(body(text)) == messages


@pytest.mark.parametrize(("text", "messages"), mistakes("whole"))
def test_a_document_has_one_workflow(text: str, messages: list[str]) -> None:
    assert said(text) == messages


@pytest.mark.parametrize(
    "text",
    [
        '<checkpoint id="c" prompt="ok?"><action id="y" label="yes"/></checkpoint>',
        '<phase name="x"><delay id="d" duration="1s"/></phase>',
        '<timeout id="t" duration="1s"><delay id="d" duration="1s"/><on-timeout/></timeout>',
        '<include id="i" workflow="x"><bind key="a" value="b"/></include>',
        '<call id="i" workflow="x" extra="1"/>',
        '<finally when="always"><delay id="d" duration="1s"/></finally>',
        '<source:database id="s" connection="x"><query>select 1 < 2</query></source:database>',
        '<sink type="database" id="s" table="t"/>',
        '<transform:ai id="s" model="m"><user>hi</user></transform:ai>',
    ],
)
def test_what_this_version_lacks_is_said_to_be_of_the_language(text: str) -> None:
    (message,) = said(body(text))
    assert message.startswith("2:1 WEFT211 ")
    assert message.endswith("is part of the language but not supported by this version of Weft yet")


def test_all_mistakes_are_reported_in_one_run() -> None:
    text = "---\nnmae: x\n---\n" + body("<prallel id='p'><branch/></prallel>\n<delay/>\n</if>\n<set vra='x'/>")
    assert [line.split()[1] for line in said(text)] == ["WEFT120", "WEFT210", "WEFT230", "WEFT208", "WEFT220"]


def test_the_list_of_mistakes_has_an_end() -> None:
    messages = said(body("</if>\n" * 1000))
    assert len(messages) == 101
    assert messages[-1].endswith("WEFT299 there are more than 100 problems; the rest is not listed")


def test_a_wrong_document_is_not_complete() -> None:
    found, _ = parse(body("<delay id='d' duration='1s'/></if>"))
    assert found is not None
    assert not found.complete
    assert [n.name for n in found.nodes] == ["d"]


def test_elements_with_errors_are_damaged() -> None:
    found, _ = parse(body('<source:file id="a path="x"/><source:file id="b" path="y"/>'))
    assert found is not None
    assert [n.damaged for n in found.nodes] == [True, False]


# -- limits ------------------------------------------------------------------------------------


def test_nesting_has_a_limit_and_needs_no_recursion() -> None:
    deep = "".join(f"<if id='i{n}' condition='x'><then>" for n in range(10_000))
    messages = said(body(deep))
    assert messages == ["2:1047 WEFT209 elements are nested more than 64 deep (is an end tag missing?)"]
    fine = "".join(f"<if id='i{n}' condition='x'><then>" for n in range(32)) + "</then></if>" * 32
    assert said(body(fine)) == []


def test_ids_have_a_length() -> None:
    assert said(body(f"<delay id='{'x' * 64}' duration='1s'/>")) == []
    (message,) = said(body(f"<delay id='{'x' * 65}' duration='1s'/>"))
    assert message.startswith(
        "2:12 WEFT231 the id 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxx…' has 65 characters; at most 64 are allowed"
    )


def test_nodes_have_a_limit() -> None:
    (message,) = said(body("<break/>" * 100_001))
    assert "WEFT217 the document has more than 100,000 nodes" in message


UNITS = {
    "backticks": "`", "angles": "<", "brackets": "[", "quotes": '"', "open values": '<if a="', "open tags": "<if ",
    "fences": "```\n", "open fences": "`````a\n```\n", "comments": "<!--", "nodes": "<set var='a' value='b'/>\n",
    "open leaves": '<command id="a">', "open settings": "<command id='a'><env>", "open blocks": "<loop id='a'>",
    "unknown": "<abcdef>", "entities": "&lt;", "hidden ends": "<command id='a'><env>\n```\n</env>\n```\n",
    "end tags": "</if>", "blanks": " ",
}  # fmt: skip


def cost(text: str) -> float:
    began = time.process_time()
    parse(text)
    return time.process_time() - began


@pytest.mark.torture  # it measures time
@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS.keys())
@pytest.mark.parametrize(
    "frame", ["<workflow>{}</workflow>", "<workflow><command id='c'>{}</command></workflow>", "---\na: {}\n---"]
)
def test_time_is_linear(unit: str, frame: str) -> None:
    small, double, four = (
        min(cost(frame.replace("{}", unit * (n // len(unit)))) for _ in range(2)) for n in (25_000, 50_000, 100_000)
    )
    assert four < 3.2 * max(double, 0.01)
    assert four < 3.2**2 * max(small, 0.005)


# -- the tables --------------------------------------------------------------------------------


def test_the_tables_fit_together() -> None:
    for name, spec in TAGS.items():
        assert name not in LEAVES
        for part in spec.parts:
            assert name in TAGS[part].inside
        for parent in spec.inside:
            assert parent == "node" or name in TAGS[parent].parts
        assert set(spec.required) <= {*spec.settings, *spec.attributes}


def test_every_code_is_in_the_table() -> None:
    import weft.fronts.flow.parser

    folder = Path(weft.fronts.flow.parser.__file__).parent
    files = [*folder.glob("*.py"), *(folder.parent.parent / "text").glob("*.py")]
    used = {code for file in files for code in re.findall(r'"(WEFT[12]\d\d)"', file.read_text())}
    assert used == set(CODES)


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("parrallel", "parallel"), ("parlel", "parallel"), ("parll", None), ("BREAK", "break"), ("braek", "break"),
        ("brk", None), ("ifs", "if"), ("iff", "if"), ("iffy", None), ("lopo", "loop"), ("workflows", "workflow"),
    ],
)  # fmt: skip
def test_a_slip_is_one_edit_and_two_from_six_letters_on(word: str, near: str | None) -> None:
    assert Near(("if", "loop", "break", "parallel", "workflow")).find(word) == near
