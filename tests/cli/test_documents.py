"""`weft check`, `graph` and `nodes`."""

from __future__ import annotations

import json

import pytest


def test_a_valid_document(hello):
    said = hello("check", "hello.flow.md")
    assert (said.code, said.out, said.err) == (0, "hello.flow.md: valid\n", "")


def test_every_mistake_of_every_file_with_its_line_and_a_caret(hello):
    hello.write("bad", '<transform:value id="a">1 +</transform:value>\n<transform:value id="b">zz</transform:value>')
    said = hello("check", "bad.flow.md", "hello.flow.md")
    assert (said.code, said.err) == (65, "")
    lines = said.out.splitlines()
    assert lines[0] == "bad.flow.md:4:28: error WEFT400: the expression ends too early"
    assert lines[1:3] == ['    <transform:value id="a">1 +</transform:value>', " " * 31 + "^"]
    assert lines[-2:] == ["bad.flow.md: 2 errors", "hello.flow.md: valid"]


def test_as_json_it_is_one_object_with_every_field(hello):
    hello.write("bad", '<transform:value id="a">1 +</transform:value>')
    said = hello("check", "hello.flow.md", "bad.flow.md", "--json")
    assert (said.code, said.err) == (65, "")
    assert json.loads(said.out) == {
        "schema": "weft.check/1",
        "valid": False,
        "diagnostics": [
            {
                "file": "bad.flow.md",
                "line": 4,
                "column": 28,
                "end_line": 4,
                "end_column": 29,
                "code": "WEFT400",
                "severity": "error",
                "message": "the expression ends too early",
                "hint": "a value is missing at the end",
            }
        ],
    }
    assert hello.json("check", "hello.flow.md", "--json") == {
        "schema": "weft.check/1",
        "valid": True,
        "diagnostics": [],
    }


def test_strict_makes_warnings_errors(weft):
    weft.write("warned", '<transform:value id="a">1</transform:value>\n<transform:value id="b">2</transform:value>')
    assert weft("check", "warned.flow.md").code == 0
    assert weft("check", "warned.flow.md").out.endswith("warned.flow.md: 1 warning\n")
    said = weft("check", "warned.flow.md", "--strict")
    assert (said.code, said.out.splitlines()[-1]) == (65, "warned.flow.md: 1 error")
    assert json.loads(weft("check", "warned.flow.md", "--strict", "--json").out)["valid"] is False


def test_a_missing_file_does_not_hide_the_others(hello):
    said = hello("check", "nothing.flow.md", "hello.flow.md")
    assert (said.code, said.out) == (66, "hello.flow.md: valid\n")
    assert json.loads(hello("check", "nothing.flow.md", "hello.flow.md", "--json").out)["valid"] is False


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"a\x00b", b"\xc3\x28", b"", b"x" * 3_000_000])
def test_whatever_is_in_a_file_there_is_no_traceback(weft, data):
    (weft.folder / "odd.flow.md").write_bytes(data)
    said = weft("check", "odd.flow.md")
    assert said.code == 65
    assert "error WEFT" in said.out


def test_checking_runs_nothing_and_makes_nothing(hello):
    before = sorted(hello.folder.rglob("*"))
    hello("check", "hello.flow.md")
    hello("graph", "hello.flow.md", "--format", "json")
    assert sorted(hello.folder.rglob("*")) == before


GRAPH = """
<source:value id="a">1</source:value>
<transform:value id="b">a + 1</transform:value>
<transform:value id="c">a + b</transform:value>
"""


def test_a_graph_as_json(weft):
    pytest.importorskip("weft.graph.render")
    weft.write("g", GRAPH)
    drawn = weft.json("graph", "g.flow.md", "--format", "json")
    assert drawn["waves"] == [["a"], ["b"], ["c"]]
    assert drawn["critical_path"] == ["a", "b", "c"]
    assert {node["id"]: node["needs"] for node in drawn["nodes"]} == {"a": [], "b": ["a"], "c": ["a", "b"]}


@pytest.mark.parametrize("form", ["text", "mermaid", "dot"])
def test_a_graph_is_drawn(weft, form):
    pytest.importorskip("weft.graph.render")
    weft.write("g", GRAPH)
    said = weft("graph", "g.flow.md", "--format", form)
    assert (said.code, said.err) == (0, "")
    assert all(name in said.out for name in "abc")
    assert said.out.endswith("\n")
    assert not said.out.endswith("\n\n")


def test_the_graph_of_an_invalid_document_is_its_mistakes(weft):
    weft.write("bad", '<transform:value id="a">1 +</transform:value>')
    said = weft("graph", "bad.flow.md")
    assert (said.code, said.out) == (65, "")
    assert said.err.splitlines()[-1] == "weft: bad.flow.md: 1 error"


def test_nodes_lists_every_kind_once(weft):
    names = [line.split()[0] for line in weft("nodes").out.splitlines()]
    assert len(names) == len(set(names))
    assert {"source:file", "command", "python", "foreach", "if", "break"} <= set(names)
    listed = weft.json("nodes", "--json")
    assert [kind["kind"] for kind in listed] == names


def test_nodes_says_all_about_one_kind(weft):
    said = weft("nodes", "delay")
    assert said.out == (
        "delay: Waits. A resumed run waits only for what is left.\n"
        "output: its input\n"
        "its own text is: duration\n"
        "effect: idempotent\n"
        "settings:\n"
        "  duration       duration, required: how long: 500ms, 5s, 1m, 2h\n"
    )
    kind = weft.json("nodes", "delay", "--json")
    assert kind["settings"] == [
        {
            "name": "duration",
            "type": "duration",
            "required": True,
            "default": None,
            "values": [],
            "doc": "how long: 500ms, 5s, 1m, 2h",
        }
    ]
