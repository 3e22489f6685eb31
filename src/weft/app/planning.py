"""Plans for the doors: what the user asks, the settings with their origins, the text and its tasks. Starts nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from weft.app.running import Outcome
from weft.errors import UsageError
from weft.fronts.plan import compile as compiling
from weft.fronts.plan.config import KEYS, Config, settle_config
from weft.fronts.plan.document import Plan, Read, Task, read_plan, require_plan
from weft.fronts.plan.prompts import writing_prompt
from weft.fronts.plan.segments import describe, outline, select
from weft.text.source import Source, read_source
from weft.text.toml import Toml, read_toml

__all__ = ["KEYS", "PlanOutcome", "PlanRequest", "Ready", "check", "order_of", "prepare", "settings", "writing_prompt"]

FILE = "weft.toml"
PLANS = "plans"
"""Folder of the state: a folder for each run, with what agents were asked and have answered."""


class PlanRequest(msgspec.Struct, frozen=True):
    """What the user asks; `flags` are settings of the command line, by key, None for one not given."""

    plan: str | None = None
    flags: Mapping[str, Any] = {}
    config: str | None = None
    task: int | None = None
    from_task: int | None = None
    allow_dirty: bool = False
    accept_changes: bool = False
    take_over: bool = False


class Ready(msgspec.Struct, frozen=True):
    """A plan with its settings, and where it runs."""

    plan: Plan
    source: Source
    config: Config
    repo: Path
    state: Path
    path: Path
    tasks: tuple[Task, ...]


class PlanOutcome(msgspec.Struct, frozen=True):
    """How a run of a plan ended. `nothing`: all tasks were done already. `summary` is what is written as JSON."""

    exit_code: int
    summary: dict[str, Any]
    outcome: Outcome | None = None
    nothing: bool = False


# -- reading ----------------------------------------------------------------------------------------------------------


def settings(request: PlanRequest, env: Mapping[str, str] | None = None) -> Config:
    """The settings of a plan run, each with its origin. Raises UsageError, InputError, SettingsError, NotFoundError."""
    flags = dict(request.flags)
    if request.plan is not None:
        flags["plan_path"] = request.plan
    variables = os.environ if env is None else env
    if request.config is not None:
        file = Path(request.config)
        return settle_config(flags, variables, read_toml(read_source(file)), str(file), whole_file=True)
    home = _home(Path(flags.get("repo_path") or variables.get("WEFT_PLAN_REPO_PATH") or "."))
    file = home / FILE
    return settle_config(flags, variables, read_toml(read_source(file)) if file.exists() else Toml({}, {}), FILE)


def _home(folder: Path) -> Path:
    """The nearest folder around with a `weft.toml` or a `.git`, else the folder."""
    folder = folder.absolute()
    return next((f for f in (folder, *folder.parents) if (f / FILE).exists() or (f / ".git").exists()), folder)


def plan_source(config: Config) -> Source:
    """The text of the plan. Raises UsageError when none is named, NotFoundError, DocumentError."""
    name = config["plan_path"]
    if name is None:
        raise UsageError("no plan is named", hint="weft plan run PLAN")
    return read_source(name)


def prepare(request: PlanRequest) -> Ready:
    """Read everything and check it, before anything is started. Raises WeftError."""
    from weft.runtimes.git import discover, make_state

    config = settings(request)
    source = plan_source(config)
    path = Path(os.path.realpath(config["plan_path"]))
    repo = Path(discover(Path(config["repo_path"])).top)
    state = Path(os.path.realpath(repo / config["state_dir"]))
    make_state(state)
    if config["normalize"]:
        from weft.app.normalising import normalised

        source = normalised(source, config, repo, state)
    plan = require_plan(source)
    tasks = select(plan, only=request.task, first=request.from_task)
    return Ready(plan, source, config, repo, state, path, tasks)


def check(request: PlanRequest) -> Read:
    """What came of reading a plan; runs nothing."""
    return read_plan(plan_source(settings(request)))


def order_of(plan: Plan, request: PlanRequest) -> tuple[str, list[str], list[str]]:
    """The segments of a plan: in a line, one by one, and told at length."""
    tasks = select(plan, only=request.task, first=request.from_task)
    parts = compiling.parts_of(tasks, settings(request))
    return describe(parts), [str(part) for part in parts], outline(parts)


def reviewer_of(config: Config) -> tuple[str, ...] | str | None:
    """The reviewer's command: arguments, a text for the shell, or None: nobody reviews."""
    from weft.runtimes.review import find_reviewer

    if config["reviewer"] != "command":
        return find_reviewer(config["reviewer"], os.environ)
    command = config["review_command"]
    return command.words if command.text is None else str(command.text)


def unreviewed(config: Config) -> str | None:
    """Why nobody reviews; None when somebody does."""
    if reviewer_of(config) is not None:
        return None
    if config["reviewer"] == "none":
        return "reviewer is 'none'"
    return f"the reviewer {config['reviewer']} is not installed"
