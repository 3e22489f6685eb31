"""How agents are started, and what the configuration may say of them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from weft.errors import AttemptError, InputError
from weft.fronts.plan.agents import MAX_ARGUMENT, PHASES, PRESETS, Agent, Invocation, command_line, read_agents

GIVEN: dict[str, Any] = {"prompt": "Do it.", "repo": "/r", "prompt_file": "/s/prompt.md"}


@pytest.mark.parametrize(
    ("agent", "phase", "model", "sandbox", "expected"),
    [
        ("cursor", "plan", None, None, Invocation(
            ("agent", "--print", "--plan", "--workspace", "/r", "--output-format", "text", "Do it."))),
        ("cursor", "plan", "m", None, Invocation(
            ("agent", "--print", "--plan", "--workspace", "/r", "--output-format", "text", "--model", "m", "Do it."))),
        ("cursor", "execute", None, None, Invocation(
            ("agent", "--print", "--workspace", "/r", "--sandbox", "disabled", "Do it."))),
        ("cursor", "address", "m", "enabled", Invocation(
            ("agent", "--print", "--workspace", "/r", "--sandbox", "enabled", "--model", "m", "Do it."))),
        ("claude", "plan", None, None, Invocation(
            ("claude", "-p", "--output-format", "text", "--permission-mode", "plan"), stdin="Do it.")),
        ("claude", "execute", "m", None, Invocation(
            ("claude", "-p", "--output-format", "text", "--permission-mode", "acceptEdits", "--model", "m"), stdin="Do it.")),
        ("codex", "plan", None, None, Invocation(
            ("codex", "exec", "--cd", "/r", "--color", "never", "--sandbox", "read-only", "-"), stdin="Do it.")),
        ("codex", "execute", None, None, Invocation(
            ("codex", "exec", "--cd", "/r", "--color", "never", "--sandbox", "workspace-write", "-"), stdin="Do it.")),
        ("gemini", "execute", "m", None, Invocation(
            ("gemini", "--approval-mode", "auto_edit", "--model", "m"), stdin="Do it.")),
        ("aider", "plan", None, None, Invocation(
            ("aider", "--yes-always", "--no-auto-commits", "--no-check-update", "--no-pretty", "--no-stream",
             "--chat-mode", "ask", "--message-file", "/s/prompt.md"), file="Do it.")),
        ("aider", "execute", "m", None, Invocation(
            ("aider", "--yes-always", "--no-auto-commits", "--no-check-update", "--no-pretty", "--no-stream",
             "--model", "m", "--message-file", "/s/prompt.md"), file="Do it.")),
    ],
)  # fmt: skip
def test_presets_are_started_like_this(agent, phase, model, sandbox, expected) -> None:
    assert command_line(PRESETS[agent], phase, model=model, sandbox=sandbox, **GIVEN) == expected


def test_another_program_takes_the_place_of_the_presets() -> None:
    made = command_line(PRESETS["cursor"], "plan", agent_cmd="/opt/my agent", **GIVEN)
    assert made.argv[:2] == ("/opt/my agent", "--print")


@pytest.mark.parametrize("agent", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize("phase", PHASES)
def test_no_prompt_begins_with_a_dash_however_it_is_given(agent: Agent, phase: Any) -> None:
    made = command_line(agent, phase, **(GIVEN | {"prompt": "--help me"}))
    told = made.stdin or made.file or made.argv[-1]
    assert told == "\n--help me"


@pytest.mark.parametrize("agent", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize("phase", PHASES)
def test_no_argument_is_ever_too_long(agent: Agent, phase: Any) -> None:
    """The kernel takes 128 KiB; a real process is started with what came out."""
    for size in (MAX_ARGUMENT, MAX_ARGUMENT + 1, 131_072, 1_000_000):
        prompt = "\N{LATIN SMALL LETTER E WITH ACUTE}" * (size // 2) + "x" * (size % 2)
        made = command_line(agent, phase, **(GIVEN | {"prompt": prompt}))
        assert (made.stdin or made.file or made.argv[-1]) == prompt
        assert all(len(word.encode()) <= MAX_ARGUMENT for word in made.argv)
        subprocess.run([sys.executable, "-S", "-c", "pass", *made.argv[1:]], check=True)


def test_a_long_prompt_of_the_first_preset_goes_by_a_file_that_it_is_told_to_read() -> None:
    made = command_line(PRESETS["cursor"], "execute", **(GIVEN | {"prompt": "x" * 200_000}))
    assert made.argv[-1] == "Read the file /s/prompt.md from its first line to its last, and do what it says."
    assert (made.stdin, made.file) == (None, "x" * 200_000)


def agent(**fields: Any) -> Agent:
    words = ("--run", "PROMPT")
    return Agent(**({"name": "mine", "program": "mine", "plan": words, "execute": words, "address": words} | fields))


def test_an_agent_that_takes_arguments_only_refuses_a_long_prompt() -> None:
    with pytest.raises(AttemptError) as caught:
        command_line(agent(), "plan", **(GIVEN | {"prompt": "x" * (MAX_ARGUMENT + 1)}))
    assert caught.value.message == (
        "the prompt has 102,401 bytes, and agent mine takes at most 102,400 bytes as an argument"
    )
    assert caught.value.hint == "shorten the task, or set `large` or `prompt` of [agents.mine] to stdin or file"
    assert (caught.value.type, caught.value.retryable) == ("PromptError", False)


def test_a_long_prompt_may_go_to_standard_input_instead() -> None:
    made = command_line(agent(large="stdin"), "plan", **(GIVEN | {"prompt": "x" * 200_000}))
    assert made == Invocation(("mine", "--run"), stdin="x" * 200_000)
    assert command_line(agent(large="stdin"), "plan", **GIVEN) == Invocation(("mine", "--run", "Do it."))


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "the prompt is empty"),
        (" \n", "the prompt is empty"),
        ("a\0b", "the prompt has a NUL character at character 2"),
        ("ab\ud800", "the prompt has half a character at character 3"),
    ],
)
def test_a_prompt_that_cannot_be_given_is_refused(prompt: str, message: str) -> None:
    with pytest.raises(AttemptError) as caught:
        command_line(PRESETS["claude"], "plan", **(GIVEN | {"prompt": prompt}))
    assert (caught.value.message, caught.value.type) == (message, "PromptError")


def test_values_that_would_be_options_are_refused() -> None:
    for name in ("repo", "model", "sandbox"):
        with pytest.raises(InputError) as caught:
            command_line(PRESETS["cursor"], "execute", **(GIVEN | {name: "--yolo"}))
        assert caught.value.message == f"{name} is '--yolo', which cannot be an argument of agent cursor"


def test_a_value_that_is_needed_and_not_set_is_an_error() -> None:
    with pytest.raises(InputError) as caught:
        command_line(agent(plan=("--model=MODEL", "PROMPT")), "plan", **GIVEN)
    assert caught.value.message == "agent mine needs a model"
    assert caught.value.hint == "set model, or make it an inner list in `plan` of [agents.mine]"
    made = command_line(agent(plan=("--model=MODEL", "A_MODEL", "PROMPT")), "plan", model="m", **GIVEN)
    assert made.argv == ("mine", "--model=m", "A_MODEL", "Do it.")


def test_a_file_needs_a_place() -> None:
    with pytest.raises(AttemptError, match="agent aider takes its prompt from a file, and there is no place for one"):
        command_line(PRESETS["aider"], "plan", prompt="x", repo="/r")


# -- of the configuration -----------------------------------------------------------------------------------------


def read(tables: object) -> tuple[dict[str, Agent], list[str]]:
    agents, problems = read_agents(tables, lambda path: ".".join(("agents", *path)))
    return agents, [f"{p.message} | {p.hint}" for p in problems]


def test_an_agent_of_ones_own() -> None:
    agents, problems = read({"mine": {"plan": ["--ask"], "execute": ["--do", ["-m", "MODEL"], "PROMPT"]}})
    assert problems == []
    assert agents["mine"] == Agent(
        "mine", "mine", ("--ask", "PROMPT"), ("--do", ("-m", "MODEL"), "PROMPT"), ("--do", ("-m", "MODEL"), "PROMPT"),
        origin="agents.mine",
    )  # fmt: skip
    assert set(agents) == {*PRESETS, "mine"}


def test_a_preset_may_be_changed_in_part() -> None:
    agents, problems = read({"cursor": {"program": "cursor-agent", "sandbox": "enabled", "large": "stdin"}})
    assert problems == []
    changed, preset = agents["cursor"], PRESETS["cursor"]
    assert (changed.program, changed.sandbox, changed.large) == ("cursor-agent", "enabled", "stdin")
    assert (changed.plan, changed.execute) == (preset.plan, preset.execute)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (3, "agents: agents is no table | write [agents.NAME]"),
        ({"mine": 3}, "agents.mine: mine is no table | write [agents.mine]"),
        ({"mine": {"plan": []}}, "agents.mine: agent mine says not how it is started | give it execute as lists of arguments;"
         " known without any are cursor, claude, codex, gemini, aider"),
        ({"claude": {"programm": "x"}}, "agents.claude.programm: unknown setting 'programm' of an agent | did you mean 'program'?"),
        ({"claude": {"zzz": "x"}}, "agents.claude.zzz: unknown setting 'zzz' of an agent |"
         " known are program, plan, execute, address, prompt, large, sandbox"),
        ({"claude": {"program": ""}}, "agents.claude.program: program is ''; it must be a text | None"),
        ({"claude": {"prompt": "pipe"}}, "agents.claude.prompt: prompt is 'pipe'; it must be argument, stdin or file | None"),
        ({"claude": {"prompt": []}}, "agents.claude.prompt: prompt is []; it must be argument, stdin or file | None"),
        ({"claude": {"plan": "-p"}}, "agents.claude.plan: plan is '-p'; it must be a list of arguments |"
         ' like ["--print", ["--model", "MODEL"], "PROMPT"]'),
        ({"claude": {"plan": [1]}}, "agents.claude.plan: plan has 1; its items must be texts, or lists of texts |"
         ' like ["--print", ["--model", "MODEL"], "PROMPT"]'),
        ({"claude": {"plan": ["PROMPT"]}}, "agents.claude.plan: plan has PROMPT, and the prompt goes to standard input | None"),
        ({"cursor": {"plan": ["PROMPT", "PROMPT"]}}, "agents.cursor.plan: plan has PROMPT 2 times | None"),
        ({"cursor": {"plan": [["PROMPT"]]}}, "agents.cursor.plan: plan: PROMPT must not be in an inner list | None"),
        ({"aider": {"plan": ["-f"]}}, "agents.aider.plan: plan has no PROMPT | PROMPT stands for the path of the file"),
    ],
)  # fmt: skip
def test_a_wrong_agent_names_its_source(tables: object, message: str) -> None:
    agents, problems = read(tables)
    assert problems == [message]
    assert agents == PRESETS


def test_all_of_the_presets_are_as_the_configuration_would_have_them() -> None:
    """A preset written out in the configuration is the same agent."""
    for name, preset in PRESETS.items():
        table = {phase: [list(w) if isinstance(w, tuple) else w for w in getattr(preset, phase)] for phase in PHASES}
        table |= {"program": preset.program, "prompt": preset.prompt}
        agents, problems = read({name: table})
        assert problems == []
        assert agents[name].plan == preset.plan
