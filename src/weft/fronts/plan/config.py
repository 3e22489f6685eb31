"""The settings of a plan run: one table, four layers, and for every value where it came from.

    --max-parallel 4        the command line         exit 64 when it is wrong
    WEFT_PLAN_MAX_PARALLEL  the environment          exit 65
    weft.toml:12 [plan]     the file                 exit 65
    default

Paths are kept as they were written: whoever opens one knows from its layer whether it is meant from the working
directory or from beside the file.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from weft.errors import ExpressionError, nearest
from weft.fronts.plan.agents import Agent, read_agents
from weft.text.durations import MAX_SECONDS, parse_duration
from weft.text.findings import REASONS, DismissPattern, check_pattern
from weft.text.settings import (
    LAYERS,
    BadValue,
    Key,
    Problem,
    Reader,
    Setting,
    from_environment,
    from_file,
    from_flags,
    refuse,
    settle,
)
from weft.text.toml import Toml

_TABLES = ("plan", "agents")
PREFIX = "WEFT_PLAN_"
TOLD = frozenset(PREFIX + name for name in ("TASK", "PHASE", "BASE", "TIP", "RUN", "EXIT_CODE"))
"""What agents, reviewers and commands after the end are told: no settings, where one of these calls us."""


class Command(msgspec.Struct, frozen=True):
    """A command of the user's: an argument list, or a text for the shell."""

    words: tuple[str, ...] = ()
    text: str | None = None

    def __str__(self) -> str:
        return shlex.join(self.words) if self.text is None else self.text


class Budget(msgspec.Struct, frozen=True):
    """What a run may use; None: as much as it takes. `wall` is in seconds."""

    tokens: int | None = None
    cost_usd: float | None = None
    wall: float | None = None

    def __str__(self) -> str:
        parts = {"tokens": self.tokens, "cost_usd": self.cost_usd, "wall": self.wall}
        return ", ".join(f"{name}={value:.15g}" for name, value in parts.items() if value is not None)


def _key(name: str, kind: str, default: Any, doc: str, *, flag: str | None = None, **more: Any) -> Key:
    flag = "--" + name.replace("_", "-") if flag is None else flag
    return Key(name, kind, doc, default=default, flag=flag, variable=PREFIX + name.upper(), **more)


KEYS: tuple[Key, ...] = (
    _key("plan_path", "text", None, "the plan", flag="PLAN"),
    _key("repo_path", "text", ".", "the repository", flag="--repo"),
    _key("agent", "text", "cursor", "the coding agent: a preset, or one of [agents.NAME]"),
    _key("agent_cmd", "text", None, "the agent's program, where it is another than the template's"),
    _key("model", "text", None, "the model that the agent is told to use"),
    _key("sandbox", "text", None, "what the agent is told to allow itself (default: the template's)"),
    _key("parallel", "boolean", False, "run the tasks of a block side by side"),
    _key("max_parallel", "integer", 4, "tasks at once; given, above 1 turns parallel on, 0 or 1 off", most=256),
    _key("continue_with_remaining_tasks", "boolean", False, "go on after a failed task"),
    _key(
        "isolation",
        "word",
        "worktree",
        "a worktree for each task, or one tree",
        words=("worktree", "shared"),
    ),
    _key(
        "schedule",
        "word",
        "segments",
        "side by side by marks, or by paths",
        words=("segments", "hazards"),
    ),
    _key("phase_timeout_sec", "seconds", 1800.0, "for one call of the agent"),
    _key("phase_retry_count", "integer", 0, "more tries of a failed phase", most=100),
    _key("phase_3_retry_count", "integer", 0, "more tries of a failed phase 3", most=2),
    _key("reviewer", "word", "stet", "who reviews; command: review_command", words=("stet", "none", "command")),
    _key("review_command", "command", None, "a command that prints findings"),
    _key("max_address_rounds", "integer", 5, "rounds of fixing what the reviewer found", most=1000),
    _key("on_findings_remaining", "word", "fail", "when findings are left after them", words=("fail", "warn")),
    _key("on_review_fail", "word", "fail", "when the reviewer itself fails", words=("fail", "retry_once", "skip")),
    _key("dismiss", "word", "none", "who dismisses findings", words=("none", "patterns", "agent")),
    _key(
        "dismiss_patterns",
        "patterns",
        (),
        "REASON: REGULAR EXPRESSION, for findings; turns dismiss on",
        flag="--dismiss-pattern",
    ),
    _key("validate_plan_text", "boolean", False, "whether the text of phase 1 must have a length"),
    _key("min_plan_text_len", "integer", 50, "that length, in characters", most=1_000_000),
    _key("commit", "boolean", True, "commit what tasks change"),
    _key("normalize", "boolean", False, "let the agent bring the plan into its form first"),
    _key("normalize_retry_count", "integer", 1, "more tries when its answer is not a plan", most=100),
    _key("normalize_prompt_path", "text", None, "a file with words of your own for that"),
    _key("max_consecutive_task_failures", "integer", 0, "stop after so many in a row (0: never)", most=1_000_000),
    _key("post_run_commands", "commands", (), "commands after every end", flag="--post-run-command"),
    _key("post_run_timeout_sec", "seconds", 600.0, "for each of them"),
    _key("post_run_required", "boolean", False, "whether their failure is the run's"),
    _key("run_summary_path", "text", None, "where the summary is written, as JSON"),
    _key("state_dir", "text", ".weft", "the folder for state, in the repository"),
    _key("log_level", "word", "info", "what is logged", words=("debug", "info", "warning", "error")),
    _key("log_file", "text", None, "where it is logged"),
    _key("budget", "budget", None, "tokens=N, cost_usd=N, wall=DURATION"),
)


class Config(msgspec.Struct, frozen=True):
    """The settings of a run, by name, and the agents that there are."""

    settings: Mapping[str, Setting]
    agents: Mapping[str, Agent]

    def __getitem__(self, name: str) -> Any:
        return self.settings[name].value

    @property
    def agent(self) -> Agent:
        """The agent of this run."""
        return self.agents[self["agent"]]


def settle_config(
    flags: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    file: Toml | None = None,
    file_name: str = "weft.toml",
    *,
    whole_file: bool = False,
) -> Config:
    """The settings of the four layers. `flags` are those of the command line by key, None for one not given.

    The file's are in its table `[plan]`; with `whole_file` (`--config`) a file without that table is one. Raises
    UsageError (a flag), InputError, or SettingsError with all that is wrong.
    """
    file = file or Toml({}, {})
    table, path, problems = _table(file, file_name, whole_file=whole_file)
    written, strange = from_file(KEYS, table, lambda name: _place(file, file_name, (*path, name), path))
    said = {name: value for name, value in (env or {}).items() if name not in TOLD}
    exported, foreign = from_environment(KEYS, said, PREFIX)
    settled, wrong = settle(KEYS, [from_flags(KEYS, flags or {}), exported, written], _READERS)
    agents, bad_agents = read_agents(file.data.get("agents", {}), _origin_of_agents(file, file_name))
    problems += [*foreign, *strange, *wrong, *bad_agents]
    settled = _derived(settled)
    problems += _contradictions(settled, agents, file.data.get("agents", {}), wrong)
    refuse(problems)
    return Config(settled, agents)


def _table(file: Toml, name: str, *, whole_file: bool) -> tuple[Mapping[str, Any], tuple[str, ...], list[Problem]]:
    """The table with a plan's settings, its path, and a problem when it is none."""
    if whole_file and "plan" not in file.data:
        return {key: value for key, value in file.data.items() if key != "agents"}, (), []
    table = file.data.get("plan", {})
    if isinstance(table, dict):
        slips = [(key, close[0]) for key in file.data if key not in _TABLES and (close := nearest(key, _TABLES))]
        return (
            table,
            ("plan",),
            [
                Problem(
                    f"{_place(file, name, (key,), ())}: there is no table {key!r}", f"did you mean [{close}]?", "file"
                )
                for key, close in slips
                if isinstance(file.data[key], dict)
            ],
        )
    place = _place(file, name, ("plan",), ())
    return {}, ("plan",), [Problem(f"{place}: plan is no table", "write [plan]", "file")]


def _place(file: Toml, name: str, key: tuple[str, ...], table: tuple[str, ...]) -> str:
    """`weft.toml:12 [plan]`; the line of the table, for a key that has none of its own."""
    line = file.lines.get(key) or next(
        (file.lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in file.lines), 0
    )
    return name + (f":{line}" if line else "") + (f" [{'.'.join(table)}]" if table else "")


def _origin_of_agents(file: Toml, name: str) -> Callable[[tuple[str, ...]], str]:
    return lambda path: _place(file, name, ("agents", *path), ("agents", *path[:1]))


# -- what follows from what ----------------------------------------------------------------------


def _derived(settled: Mapping[str, Setting]) -> dict[str, Setting]:
    """Values that follow from others which were given by a stronger layer."""
    out = dict(settled)
    most = settled["max_parallel"]
    if _is_stronger(most, settled["parallel"]):
        out["parallel"] = Setting(most.value > 1, most.origin, most.layer)
    review = settled["review_command"]
    if _is_stronger(review, settled["reviewer"]):
        out["reviewer"] = Setting("command", review.origin, review.layer)
    patterns = settled["dismiss_patterns"]
    if patterns.value and settled["dismiss"].layer == "default":
        out["dismiss"] = Setting("patterns", patterns.origin, patterns.layer)
    return out


def _is_stronger(one: Setting, other: Setting) -> bool:
    return LAYERS.index(one.layer) < LAYERS.index(other.layer)


def _contradictions(
    settled: Mapping[str, Setting], agents: Mapping[str, Agent], tables: object, wrong: list[Problem]
) -> list[Problem]:
    """Values that are fine alone and mean nothing together."""
    problems: list[Problem] = []
    agent = settled["agent"]
    named = tables if isinstance(tables, dict) else {}
    if agent.value not in agents and agent.value not in named:
        close = nearest(agent.value, list(agents))
        hint = (
            f"did you mean {close[0]!r}?"
            if close
            else f"known are {', '.join(agents)}; or write [agents.{agent.value}]"
        )
        problems.append(Problem(f"{agent.origin}: there is no agent {agent.value!r}", hint, agent.layer))
    reviewer, dismiss = settled["reviewer"], settled["dismiss"]
    if reviewer.value == "command" and settled["review_command"].value is None and not wrong:
        message = f"{reviewer.origin}: reviewer is 'command', and there is no review_command"
        problems.append(Problem(message, "set review_command", reviewer.layer))
    if dismiss.value == "patterns" and not settled["dismiss_patterns"].value and not wrong:
        message = f"{dismiss.origin}: dismiss is 'patterns', and there are no dismiss_patterns"
        problems.append(
            Problem(message, "set dismiss_patterns, or let the agent judge: dismiss = 'agent'", dismiss.layer)
        )
    return problems


# -- readers of values ---------------------------------------------------------------------------


def _seconds(key: Key, value: Any) -> float:
    """Seconds above 0: a number, or a duration."""
    told, hint = "; it must be a number of seconds above 0, or a duration", "like 1800 or 30m"
    number: float | None = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value) if abs(value) < 1e15 else None
    elif isinstance(value, str):
        try:
            number = parse_duration(value.strip() + "s" if _is_number(value) else value)
        except ExpressionError:
            number = None
    if number is None or not 0 < number <= MAX_SECONDS or not math.isfinite(number):
        raise BadValue(told, hint)
    return number


def _is_number(text: str) -> bool:
    return text.strip().replace(".", "", 1).isdecimal() and text.isascii()


def _json_list(value: Any) -> Any:
    """A text that is a JSON list, as that list; anything else as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _command(key: Key, value: Any) -> Command:
    """A text for the shell, or a list of arguments (as JSON, where only a text can be given)."""
    told, hint = "; it must be a text for the shell, or a list of arguments", 'like "make lint" or ["make", "lint"]'
    value = _json_list(value)
    if isinstance(value, str) and value.strip() and "\0" not in value:
        return Command(text=value.strip())
    if not isinstance(value, list) or not value or not value[0]:
        raise BadValue(told, hint)
    if not all(isinstance(word, str) and "\0" not in word for word in value):
        raise BadValue(told, hint)
    return Command(tuple(value))


def _commands(key: Key, value: Any) -> tuple[Command, ...]:
    """Several commands; in a text, one to a line."""
    several = _json_list(value)
    if isinstance(several, str):
        several = [line for line in several.splitlines() if line.strip()]
    if not isinstance(several, list | tuple):
        raise BadValue("; it must be a list of commands", 'like ["make lint", ["git", "status"]]')
    return tuple(_command(key, each) for each in several)


def _patterns(key: Key, value: Any) -> tuple[DismissPattern, ...]:
    """Patterns with their reasons: tables, or texts `reason: pattern`; in a text, one to a line."""
    several = _json_list(value)
    if isinstance(several, str):
        several = [line for line in several.splitlines() if line.strip()]
    if not isinstance(several, list | tuple):
        raise BadValue("; it must be a list of patterns", 'like ["false_positive: ^docs/"]')
    return tuple(_pattern(each) for each in several)


def _pattern(value: Any) -> DismissPattern:
    reason: Any
    pattern: Any
    if isinstance(value, str):
        reason, _, pattern = (part.strip() for part in value.partition(":"))
    elif isinstance(value, dict) and set(value) == {"reason", "pattern"}:
        reason, pattern = value["reason"], value["pattern"]
    else:
        raise BadValue('; each pattern must be a text "reason: pattern" or have just reason and pattern')
    if reason not in REASONS:
        close = nearest(reason, REASONS) if isinstance(reason, str) else []
        hint = f"did you mean {close[0]!r}?" if close else None
        raise BadValue(f"; a reason must be {', '.join(REASONS[:-1])} or {REASONS[-1]}", hint)
    if not isinstance(pattern, str) or not pattern:
        raise BadValue("; a pattern must be a text that is not empty")
    try:
        check_pattern(pattern)
    except ExpressionError as wrong:
        raise BadValue(f"; {wrong.message}", wrong.hint) from None
    return DismissPattern(pattern, reason)


_PARTS = {"tokens": "integer", "cost_usd": "amount", "wall": "seconds"}


def _budget(key: Key, value: Any) -> Budget:
    """A table, or a text `tokens=N, cost_usd=N, wall=DURATION` with some of them."""
    told, hint = "; it must say tokens, cost_usd or wall", "like tokens=200000, cost_usd=5, wall=2h"
    parts = value
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        parts = {name.strip(): amount.strip() for name, _, amount in pairs}
    if not isinstance(parts, dict) or not parts or not set(parts) <= set(_PARTS):
        raise BadValue(told, hint)
    found: dict[str, Any] = {}
    for name, amount in parts.items():
        number = _amount(key, _PARTS[name], amount)
        if number is None:
            raise BadValue(f"; its {name} must be a number above 0", hint)
        found[name] = number
    return Budget(**found)


def _amount(key: Key, kind: str, value: Any) -> float | int | None:
    """A part of a budget; None when it is not one."""
    try:
        if kind == "seconds":
            return _seconds(key, value)
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (BadValue, ValueError, OverflowError):
        return None
    if not math.isfinite(number) or number <= 0 or number > 1e15:
        return None
    if kind == "integer":
        return int(number) if number == int(number) else None
    return number


_READERS: dict[str, Reader] = {
    "seconds": _seconds,
    "command": _command,
    "commands": _commands,
    "patterns": _patterns,
    "budget": _budget,
}
