"""P11: data is data. What is read, computed or answered goes through every kind of node byte for byte; nothing obeys
it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import Any

import pytest

from hostile.corpus import CANARY, LOOKALIKES, TEXTS, VALUES
from hostile.project import WEFT, Project, clean_environment, outputs
from hostile.server import Echo

NO_NUL = [text for text in TEXTS if "\0" not in text]

THROUGH = """
<source:file id="file" path="in.json" format="json"/> <transform:map id="mapped" input="file">$item</transform:map>
<transform:filter id="kept" input="mapped"><condition>true or $item</condition></transform:filter> <transform:reduce
id="folded" input="kept"><expression>[...$acc, $item]</expression><initial>[]</initial></transform:reduce>
<transform:value id="valued">folded</transform:value> <set var="variable" value="{{ valued }}"/> <context
id="context"><set key="other" value="{{ $context.variable }}"/></context> <transform:value
id="back">json_decode(json_encode($context.other))</transform:value> <transform:template id="text" input="back"
format="json">{{ input }}</transform:template> <foreach id="each" collection="text" concurrency="4">
  <transform:value id="wrapped">{item: $item, list: [$item]}</transform:value> <if id="choice"
  condition="true"><then><transform:value id="unwrapped">wrapped.output.item</transform:value></then></if>
</foreach>
<parallel id="branches" merge="concat">
  <branch><transform:value id="left">each</transform:value></branch>
  <branch><transform:value id="right">[]</transform:value></branch>
</parallel>
<loop id="rounds" max="2"><transform:value id="again">branches</transform:value></loop>
<command id="cat" output="json"><stdin>{{ rounds }}</stdin>cat</command>
<python id="code" input="cat">
```python
def main(input, each):
    assert input == each
    return input
```
</python>
<sink:http id="sent" input="code" url="URL/echo"/>
<source:http id="asked" url="URL/echo" method="PUT"><json>"{{ sent.output.body }}"</json></source:http>
<source:http id="asked_as_text" url="URL/text" needs="asked"/>
<sink:file id="out" input="asked" path="out.json"/>
<sink:file id="lines" input="asked" path="out.jsonl" format="jsonl"/>
<source:file id="reread" path="out.jsonl" format="jsonl" needs="lines"/>
<transform:map id="streamed" input="reread">$item</transform:map>
"""
SAME = [
    "file",
    "mapped",
    "kept",
    "folded",
    "valued",
    "context",
    "back",
    "text",
    "each",
    "branches",
    "rounds",
    "cat",
    "code",
    "asked",
    "streamed",
]


def nothing_was_obeyed(project: Project) -> None:
    made = [os.path.join(where, name) for where, _, names in os.walk(project.folder.parent) for name in names]  # noqa: PTH118
    assert [path for path in made if CANARY in path] == []


@pytest.mark.parametrize("kept", [True, False], ids=["journaled", "in memory"])
def test_every_kind_of_node_hands_data_on_as_it_is(project: Project, server: Echo, kept: bool) -> None:
    (project.folder / "in.json").write_text(json.dumps(VALUES))
    server.answers["text"] = json.dumps(VALUES, ensure_ascii=False).encode()
    outcome = project.run(THROUGH.replace("URL", server.url), journal=None if kept else "none")
    assert not outcome.result.errors
    found = outputs(outcome)
    for node in SAME:
        got = found[node]["other"] if node == "context" else found[node]
        assert got == VALUES, node
    assert found["asked_as_text"] == json.dumps(VALUES, ensure_ascii=False)
    assert json.loads(server.asked[0].body) == VALUES
    assert json.loads((project.folder / "out.json").read_text()) == VALUES
    lines = (project.folder / "out.jsonl").read_bytes().split(b"\n")
    assert [json.loads(line) for line in lines[:-1]] == VALUES
    nothing_was_obeyed(project)


def test_a_command_gets_every_text_as_an_argument_and_as_a_variable(project: Project) -> None:
    (project.folder / "in.json").write_text(json.dumps(NO_NUL))
    outcome = project.run("""
        <source:file id="texts" path="in.json"/>
        <foreach id="each" collection="chunk(texts, 100)" concurrency="2">
          <transform:value id="part">$item</transform:value>
          <command id="argv" output="json">
            <argv>["python3", "-c", "import json, sys; json.dump(sys.argv[1:], sys.stdout)", "{{ part[0] }}", "{{ part[1] }}", "{{ part[-1] }}"]</argv>
          </command>
        </foreach>
        <foreach id="all" collection="texts" concurrency="8">
          <command id="env"><env>X: "{{ $item }}"</env>printf '%s.' "$X"</command>
        </foreach>
    """)
    assert not outcome.result.errors
    groups = [NO_NUL[start : start + 100] for start in range(0, len(NO_NUL), 100)]
    assert outputs(outcome)["each"] == [[group[0], group[1], group[-1]] for group in groups]
    assert outputs(outcome)["all"] == [f"{text}." for text in NO_NUL]
    nothing_was_obeyed(project)


def test_a_text_with_nul_is_refused_as_an_argument_or_a_variable(project: Project) -> None:
    outcome = project.run(
        """
        <source:value id="nul">"a\\0b"</source:value>
        <command id="argv"><argv>["echo", "{{ nul }}"]</argv></command>
        <command id="env"><env>X: "{{ nul }}"</env>echo "$X"</command>
        <command id="stdin"><stdin>{{ nul }}</stdin>od -An -c | tr -d ' '</command>
    """,
        "on-failure: continue",
    )
    assert {path: node.status for path, node in outcome.result.nodes.items()} == {
        "nul": "succeeded", "argv": "failed", "env": "failed", "stdin": "succeeded",
    }  # fmt: skip
    assert outputs(outcome)["stdin"] == "a\\0b"
    assert all("NUL" in error.error.message.upper() for error in outcome.result.errors), outcome.result.errors


def test_data_comes_through_the_journal_of_a_killed_run_as_it_is(project: Project) -> None:
    (project.folder / "in.json").write_text(json.dumps(VALUES))
    body = """
        <source:file id="file" path="in.json" format="json"/>
        <transform:value id="large">[...file, repeat('x', 70000)]</transform:value>
        <foreach id="each" collection="file"><transform:value id="one">$item</transform:value></foreach>
        <command id="gate" needs="each large">touch here; until test -e open; do sleep 0.02; done</command>
        <transform:value id="after" needs="gate">{file: file, each: each, large: large, one: each[3]}</transform:value>
        <sink:file id="out" input="after" path="out.json"/>
    """
    process = subprocess.Popen(
        [*WEFT, "run", str(project.write(body)), "--no-progress"],
        env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (project.folder / "here").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    (project.folder / "open").touch()
    (project.folder / "in.json").write_text("[]")  # what was read is not read again
    outcome = project.resume()
    assert outcome.result.status == "succeeded"
    got = json.loads((project.folder / "out.json").read_text())
    assert got == {"file": VALUES, "each": VALUES, "large": [*VALUES, "x" * 70000], "one": VALUES[3]}
    nothing_was_obeyed(project)


@pytest.mark.parametrize("number", range(len(LOOKALIKES)))
def test_no_answer_of_a_step_can_pass_for_one_of_the_engines_own(project: Project, number: int) -> None:
    value: Any = LOOKALIKES[number]
    (project.folder / "in.json").write_text(json.dumps(value))
    outcome = project.run("""
        <source:file id="file" path="in.json" format="json"/>
        <python id="code">
        ```python
        def main(file):
            return file
        ```
        </python>
        <command id="printed" output="json"><stdin>{{ json_encode(code) }}</stdin>cat</command>
        <transform:value id="same">[file, code, printed]</transform:value>
    """)
    assert outcome.result.status == "succeeded"
    assert outcome.result.output == [value] * 3


def test_nothing_in_the_data_reaches_the_terminal_as_a_command_of_the_terminal(project: Project) -> None:
    texts = [
        text for text in TEXTS if any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u202e\u2066\u2069" for c in text)
    ]
    (project.folder / "in.json").write_text(json.dumps(texts))
    document = project.write("""
        <source:file id="file" path="in.json" format="json"/>
        <foreach id="each" collection="file" on-failure="continue">
          <command id="fails"><stdin>{{ $item }}</stdin>cat; cat >&2; exit 3</command>
        </foreach>
        <transform:value id="shown">join(file, ' ')</transform:value>
    """)
    said = [project.cli("run", str(document)), project.cli("show", "last"), project.cli("show", "last", "--events")]
    said += [project.cli("logs", "last"), project.cli("why", "last", "each[0]/fails")]
    for one in said:
        shown = (one.out + one.err).decode()
        bad = {
            c
            for c in shown
            if (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 or c in "\u202e\u2066\u2069\u200f"
        }
        assert bad == set()


def test_the_corpus_bites_whoever_lets_a_shell_read_it(project: Project) -> None:
    """The negative control: the same texts as shell text."""
    for text in NO_NUL[:60]:
        (project.folder / CANARY).unlink(missing_ok=True)
        subprocess.run(
            ["sh", "-c", f"echo {text}"], capture_output=True, timeout=10, check=False, stdin=subprocess.DEVNULL
        )
        if (project.folder / CANARY).exists():
            break
    with pytest.raises(AssertionError):
        nothing_was_obeyed(project)
