"""Four layers of settings: the whole chain for every key, and a source for everything that is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from weft.errors import InputError, SettingsError, UsageError, UserError
from weft.fronts.plan.config import KEYS, Budget, Command, Config, settle_config
from weft.text.findings import DismissPattern
from weft.text.settings import Key
from weft.text.source import Source
from weft.text.toml import Toml, read_toml

CONTRACT = [
    "plan_path",
    "repo_path",
    "agent",
    "agent_cmd",
    "model",
    "sandbox",
    "parallel",
    "max_parallel",
    "continue_with_remaining_tasks",
    "isolation",
    "schedule",
    "phase_timeout_sec",
    "phase_retry_count",
    "phase_3_retry_count",
    "reviewer",
    "review_command",
    "max_address_rounds",
    "on_findings_remaining",
    "on_review_fail",
    "dismiss",
    "dismiss_patterns",
    "validate_plan_text",
    "min_plan_text_len",
    "commit",
    "normalize",
    "normalize_retry_count",
    "normalize_prompt_path",
    "max_consecutive_task_failures",
    "post_run_commands",
    "post_run_timeout_sec",
    "post_run_required",
    "run_summary_path",
    "state_dir",
    "log_level",
    "log_file",
    "budget",
]

OTHERS = 'review_command = "x"\ndismiss_patterns = ["out_of_scope: x"]\n'
"""What some values of other keys need beside them."""


def toml(text: str) -> Toml:
    return read_toml(Source("weft.toml", text))


def config(flags: dict[str, Any] | None = None, env: dict[str, str] | None = None, file: str = "") -> Config:
    return settle_config(flags, env, toml(file))


def values(key: Key) -> list[tuple[str, Any, str, Any]]:
    """Three values of a key that are not its default: as text, on the command line, in TOML, and what they mean."""
    match key.kind:
        case "boolean":
            other = not key.default
            word = str(other).lower()
            return [(word, other, word, other)] * 3
        case "integer":
            most = min(key.most or 10, 10)
            numbers = [n for n in range(most, key.least - 1, -1) if n != key.default][:3]
            numbers += numbers[:1] * (3 - len(numbers))
            return [(str(n), n, str(n), n) for n in numbers]
        case "seconds":
            return [("7", 7, "7", 7.0), ("8", "8s", '"8s"', 8.0), ("1.5", 1.5, "1.5", 1.5)]
        case "word":
            words = [word for word in key.words if word != key.default]
            return [(w, w, f'"{w}"', w) for w in (words * 3)[:3]]
        case "command":
            return [("a b", "a b", '["a", "b"]', None), ("c", "c", '"c"', Command(text="c"))] * 2
        case "commands":
            one = ("a b", ("a b",), '["a b"]', (Command(text="a b"),))
            return [one, ("c", ("c",), '["c"]', (Command(text="c"),)), one]
        case "patterns":
            texts = ["false_positive: a", "out_of_scope: b", "already_correct: c"]
            found = [DismissPattern("a", "false_positive"), DismissPattern("b", "out_of_scope")]
            found.append(DismissPattern("c", "already_correct"))
            return [(t, (t,), f'["{t}"]', (f,)) for t, f in zip(texts, found, strict=True)]
        case "budget":
            return [(f"tokens={n}", f"tokens={n}", f"{{tokens = {n}}}", Budget(tokens=n)) for n in (1, 2, 3)]
    names = ["claude", "codex", "aider"] if key.name == "agent" else ["a", "b", "c"]
    return [(n, n, f'"{n}"', n) for n in names]


def test_the_table_has_the_keys_of_the_contract_each_with_names_and_a_word() -> None:
    assert [key.name for key in KEYS] == CONTRACT
    assert all(key.variable == "WEFT_PLAN_" + key.name.upper() and key.doc for key in KEYS)
    assert all(key.flag.startswith("--") for key in KEYS if key.name != "plan_path")
    assert len({key.flag for key in KEYS}) == len(KEYS)


def test_without_anything_there_are_the_defaults() -> None:
    made = config()
    assert {name: s.origin for name, s in made.settings.items()} == dict.fromkeys(CONTRACT, "default")
    known = {"parallel": False, "max_parallel": 4, "isolation": "worktree", "schedule": "segments", "commit": True}
    known |= {"phase_timeout_sec": 1800.0, "max_address_rounds": 5, "min_plan_text_len": 50, "dismiss": "none"}
    known |= {"validate_plan_text": False, "continue_with_remaining_tasks": False, "state_dir": ".weft"}
    assert {name: made[name] for name in known} == known
    assert made.agent.name == "cursor"


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_the_command_line_beats_the_environment_the_file_and_the_default(key: Key) -> None:
    first, second, third = values(key)[:3]
    beside = "".join(line + "\n" for line in OTHERS.splitlines() if not line.startswith(key.name + " "))
    file = f"\n[plan]\n{beside}{key.name} = {third[2]}\n"
    line = file.count("\n")
    flags, env = {key.name: first[1]}, {key.variable: second[0]}
    meant = [v[3] if v[3] is not None else Command(text="a b") for v in (first, second)]
    chain = [
        (config(flags, env, file), meant[0], key.flag),
        (config(None, env, file), meant[1], key.variable),
        (config(None, None, file), third[3] if third[3] is not None else Command(("a", "b")), None),
    ]
    for made, value, origin in chain:
        setting = made.settings[key.name]
        assert (setting.value, setting.origin) == (value, origin or f"weft.toml:{line} [plan]")
    assert config().settings[key.name].value == key.default
    assert config({key.name: None}, {key.variable: ""}).settings[key.name].origin == "default"


BAD: dict[str, list[tuple[Any, str]]] = {
    "boolean": [("maybe", "; it must be true or false (or 1, 0, yes, no)"), (2, "; it must be true or false (or 1, 0, yes, no)")],
    "integer": [("x", "; it must be a whole number "), (-1, "; it must be a whole number "), (1.5, "; it must be a whole number "),
                (True, "; it must be a whole number "), ("\u0663", "; it must be a whole number "), (10**9, "; it must be a whole number ")],
    "seconds": [("soon", "; it must be a number of seconds above 0, or a duration"), (0, "; it must be a number of seconds"),
                (True, "; it must be a number of seconds"), ([1], "; it must be a number of seconds")],
    "word": [("wrong", "; it must be "), (1, "; it must be ")],
    "text": [("", "; it must not be empty"), (" ", "; it must not be empty"), (3, "; it must be a text"), (["a"], "; it must be a text")],
    "command": [("", "; it must be a text for the shell, or a list of arguments"), ([], "; it must be a text for the shell"),
                ([1], "; it must be a text for the shell"), (3, "; it must be a text for the shell")],
    "commands": [(3, "; it must be a list of commands"), ([3], "; it must be a text for the shell"), ([[]], "; it must be a text for the shell")],
    "patterns": [("x", "; a reason must be false_positive, already_correct, wrong_suggestion or out_of_scope"),
                 (["false_positive: ("], '; the pattern "(" cannot be used'), (["false_positive:"], "; a pattern must be a text"),
                 ([{"reason": "x"}], "; each pattern must be a text"), (3, "; it must be a list of patterns")],
    "budget": [("much", "; it must say tokens, cost_usd or wall"), ("tokens=-1", "; its tokens must be a number above 0"),
               ({"cost_usd": "nan"}, "; its cost_usd must be"), ({"wall": "x"}, "; its wall must be"), (5, "; it must say")],
}  # fmt: skip


def refusal(*layers: Any) -> UserError:
    with pytest.raises(UserError) as caught:
        settle_config(*layers)
    return caught.value


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_every_bad_value_names_its_source(key: Key) -> None:
    for value, told in BAD[key.kind]:
        error = refusal({key.name: value})
        assert isinstance(error, UsageError)
        assert error.exit_code == 64
        assert error.message.startswith(f"{key.flag}: {key.name} is {value!r}"), error.message
        assert told in error.message
        error = refusal(None, None, Toml({"plan": {key.name: value}}, {("plan", key.name): 7}))
        assert isinstance(error, InputError)
        assert error.exit_code == 65
        assert error.message.startswith(f"weft.toml:7 [plan]: {key.name} is {value!r}"), error.message
        if isinstance(value, str) and value:
            error = refusal(None, {key.variable: value})
            assert isinstance(error, InputError)
            assert error.message.startswith(f"{key.variable}: {key.name} is {value!r}"), error.message


@pytest.mark.parametrize(
    ("flags", "env", "file", "message", "hint"),
    [
        ({}, {"WEFT_PLAN_MAX_PARALEL": "3"}, "", "unknown variable 'WEFT_PLAN_MAX_PARALEL'", "did you mean 'WEFT_PLAN_MAX_PARALLEL'?"),
        ({}, {}, "[plan]\nmodle = 'x'", "weft.toml:2 [plan]: unknown setting 'modle'", "did you mean 'model'?"),
        ({}, {}, "[plan]\nmax-parallel = 3", "weft.toml:2 [plan]: unknown setting 'max-parallel'", "did you mean 'max_parallel'?"),
        ({}, {}, "[plan.agent]\nx = 1", "weft.toml:1 [plan]: agent is {'x': 1}; it must be a text", None),
        ({}, {}, "plan = 3", "weft.toml:1: plan is no table", "write [plan]"),
        ({}, {}, "[plans]\nx = 3", "weft.toml:1: there is no table 'plans'", "did you mean [plan]?"),
        ({"agent": "cluade"}, {}, "", "--agent: there is no agent 'cluade'", "did you mean 'claude'?"),
        ({}, {"WEFT_PLAN_AGENT": "zzz"}, "", "WEFT_PLAN_AGENT: there is no agent 'zzz'",
         "known are cursor, claude, codex, gemini, aider; or write [agents.zzz]"),
        ({"schedule": "hazard"}, {}, "", "--schedule: schedule is 'hazard'; it must be segments or hazards", None),
        ({"on_review_fail": "retry"}, {}, "", "--on-review-fail: on_review_fail is 'retry'; it must be fail, retry_once or skip",
         "did you mean 'retry_once'?"),
        ({"reviewer": "command"}, {}, "", "--reviewer: reviewer is 'command', and there is no review_command", "set review_command"),
        ({}, {}, "[plan]\ndismiss = 'patterns'", "weft.toml:2 [plan]: dismiss is 'patterns', and there are no dismiss_patterns",
         "set dismiss_patterns, or let the agent judge: dismiss = 'agent'"),
        ({"phase_3_retry_count": 3}, {}, "", "--phase-3-retry-count: phase_3_retry_count is 3; it must be a whole number from 0 to 2", None),
    ],
)  # fmt: skip
def test_what_is_wrong_comes_with_the_next_step(flags, env, file, message, hint) -> None:
    error = refusal(flags, env, toml(file))
    assert (error.message, error.hint) == (message, hint)


def test_all_problems_are_told_at_once() -> None:
    file = toml("[plan]\nmodle = 'x'\n\nisolation = 'wortree'\n[agents.mine]\nplna = []\n")
    error = refusal({}, {"WEFT_PLAN_COMMIT": "maybe"}, file)
    assert isinstance(error, SettingsError)
    assert error.exit_code == 65
    assert error.message.splitlines() == [
        "5 settings are wrong:",
        "  weft.toml:2 [plan]: unknown setting 'modle' (did you mean 'model'?)",
        "  weft.toml:4 [plan]: isolation is 'wortree'; it must be worktree or shared",
        "  WEFT_PLAN_COMMIT: commit is 'maybe'; it must be true or false (or 1, 0, yes, no)",
        "  weft.toml:6 [agents.mine]: unknown setting 'plna' of an agent (did you mean 'plan'?)",
        "  weft.toml:5 [agents.mine]: agent mine says not how it is started (give it plan and execute as lists of "
        "arguments; known without any are cursor, claude, codex, gemini, aider)",
    ]


def test_what_agents_and_reviewers_are_told_is_no_setting() -> None:
    names = ("TASK", "PHASE", "BASE", "TIP", "RUN", "EXIT_CODE")
    config(None, {f"WEFT_PLAN_{name}": "1" for name in names})
    assert not {f"WEFT_PLAN_{name}" for name in names} & {key.variable for key in KEYS}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("", ("none", "default")),
        ("dismiss_patterns = ['out_of_scope: x']", ("patterns", "weft.toml:2 [plan]")),
        ("dismiss = 'none'\ndismiss_patterns = ['out_of_scope: x']", ("none", "weft.toml:2 [plan]")),
        ("dismiss = 'agent'\ndismiss_patterns = ['out_of_scope: x']", ("agent", "weft.toml:2 [plan]")),
    ],
)
def test_patterns_turn_dismissal_on_where_nothing_else_is_said(file: str, expected: tuple[str, str]) -> None:
    made = config(None, None, f"[plan]\n{file}\n").settings["dismiss"]
    assert (made.value, made.origin) == expected


def test_a_wrong_flag_among_others_makes_it_the_command_lines_fault() -> None:
    assert refusal({"log_level": "loud"}, {"WEFT_PLAN_COMMIT": "maybe"}, None).exit_code == 64


def test_a_stronger_layer_gets_past_a_wrong_value() -> None:
    assert config({"log_level": "debug"}, {"WEFT_PLAN_LOG_LEVEL": "loud"})["log_level"] == "debug"


@pytest.mark.parametrize("word", ["true", "1", "yes", "TRUE", " Yes "])
def test_true_in_all_its_spellings(word: str) -> None:
    assert config(None, {"WEFT_PLAN_NORMALIZE": word})["normalize"] is True


@pytest.mark.parametrize("word", ["false", "0", "no", "False"])
def test_false_in_all_its_spellings(word: str) -> None:
    assert config(None, {"WEFT_PLAN_COMMIT": word})["commit"] is False


@pytest.mark.parametrize(
    ("flags", "env", "file", "expected"),
    [
        ({}, {}, "", (False, "default")),
        ({"max_parallel": 3}, {}, "", (True, "--max-parallel")),
        ({"max_parallel": 2}, {}, "", (True, "--max-parallel")),
        ({"max_parallel": 1}, {}, "", (False, "--max-parallel")),
        ({"max_parallel": 0}, {}, "", (False, "--max-parallel")),
        ({}, {"WEFT_PLAN_MAX_PARALLEL": "3"}, "", (True, "WEFT_PLAN_MAX_PARALLEL")),
        ({}, {}, "max_parallel = 3", (True, "weft.toml:2 [plan]")),
        ({}, {}, "max_parallel = 1", (False, "weft.toml:2 [plan]")),
        ({"max_parallel": 3}, {}, "parallel = false", (True, "--max-parallel")),
        ({"max_parallel": 1}, {}, "parallel = true", (False, "--max-parallel")),
        ({"parallel": False}, {}, "max_parallel = 3", (False, "--parallel")),
        ({"parallel": True}, {}, "max_parallel = 3", (True, "--parallel")),
        ({"parallel": False, "max_parallel": 3}, {}, "", (False, "--parallel")),
        ({}, {}, "max_parallel = 3\nparallel = false", (False, "weft.toml:3 [plan]")),
    ],
)
def test_a_number_of_tasks_at_once_turns_parallel_on_or_off(flags, env, file, expected) -> None:
    setting = config(flags, env, f"[plan]\n{file}").settings["parallel"]
    assert (setting.value, setting.origin) == expected


def test_a_review_command_makes_the_reviewer_a_command() -> None:
    assert config({"review_command": "lint"})["reviewer"] == "command"
    assert config({"review_command": "lint"}).settings["reviewer"].origin == "--review-command"
    assert config({"reviewer": "none"}, None, '[plan]\nreview_command = "lint"')["reviewer"] == "none"


def test_commands_are_argument_lists_or_texts_for_the_shell() -> None:
    assert config({"review_command": '["a b", "c"]'})["review_command"] == Command(("a b", "c"))
    assert config({"review_command": "[ -f x ] && y"})["review_command"] == Command(text="[ -f x ] && y")
    made = config(None, {"WEFT_PLAN_POST_RUN_COMMANDS": 'a\n\n["b", "c d"]\n'})
    assert made["post_run_commands"] == (Command(text="a"), Command(("b", "c d")))
    assert config({"post_run_commands": ()}, None, '[plan]\npost_run_commands = [["a"]]')["post_run_commands"] == (
        Command(("a",)),
    )


def test_patterns_are_tables_or_texts() -> None:
    file = '[plan]\ndismiss = "patterns"\n[[plan.dismiss_patterns]]\nreason = "out_of_scope"\npattern = "^docs/"\n'
    assert config(None, None, file)["dismiss_patterns"] == (DismissPattern("^docs/", "out_of_scope"),)


def test_budgets_and_seconds_take_durations() -> None:
    assert config({"budget": "tokens=1000, cost_usd=2.5, wall=2h"})["budget"] == Budget(1000, 2.5, 7200.0)
    assert config({"phase_timeout_sec": "30m"})["phase_timeout_sec"] == 1800.0


def test_a_file_of_its_own_needs_no_table() -> None:
    own = settle_config(
        None, None, toml('\nmodel = "m"\n[agents.mine]\nplan = []\nexecute = []\n'), "my.toml", whole_file=True
    )
    assert (own["model"], own.settings["model"].origin) == ("m", "my.toml:2")
    assert "mine" in own.agents
    both = settle_config(None, None, toml('[plan]\nmodel = "m"'), "my.toml", whole_file=True)
    assert both.settings["model"].origin == "my.toml:2 [plan]"
    assert refusal(None, None, toml("[plan]\nx = 1"), "my.toml").message == "my.toml:2 [plan]: unknown setting 'x'"


def test_settings_of_the_project_are_left_alone() -> None:
    assert config(None, {"WEFT_JOBS": "x"}, "jobs = 3\n[plan]\nmodel = 'm'")["model"] == "m"
