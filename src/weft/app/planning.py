"""Plans for the doors: what the user asks, the settings with their origins, the text and its tasks. Starts nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from weft.app.running import Outcome
from weft.errors import InputError, UsageError
from weft.fronts.plan import compile as compiling
from weft.fronts.plan.config import KEYS, Config, settle_config
from weft.fronts.plan.document import Plan, Read, Task, read_plan, require_plan
from weft.fronts.plan.prompts import writing_prompt
from weft.fronts.plan.segments import describe, outline, select
from weft.text.source import Source, read_source
from weft.text.toml import Toml, read_toml

if TYPE_CHECKING:
    from weft.runtimes.git import Place

__all__ = ["KEYS", "PlanOutcome", "PlanRequest", "Ready", "check", "order_of", "prepare", "settings", "writing_prompt"]

FILE = "weft.toml"
_PATHS = ("plan_path", "repo_path", "normalize_prompt_path", "run_summary_path", "log_file")
"""Settings that are paths from where one is; `state_dir` is one in the repository."""
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
        found = settle_config(flags, variables, read_toml(read_source(file)), str(file), whole_file=True)
        return _from_there(found, file.parent)
    home = _home(Path(flags.get("repo_path") or variables.get("WEFT_PLAN_REPO_PATH") or "."))
    file = home / FILE
    table = read_toml(read_source(file)) if file.exists() else Toml({}, {})
    return _from_there(settle_config(flags, variables, table, FILE), home)


def _from_there(config: Config, folder: Path) -> Config:
    """The settings, with the paths that a file gives meant from beside that file."""
    if folder.absolute() == Path.cwd():
        return config
    moved = {
        name: msgspec.structs.replace(each, value=str(folder / each.value))
        for name, each in config.settings.items()
        if name in _PATHS and each.layer == "file"
    }
    return msgspec.structs.replace(config, settings={**config.settings, **moved})


def _home(folder: Path) -> Path:
    """The nearest folder around with a `weft.toml` or a `.git`, else the folder."""
    folder = folder.absolute()
    return next((f for f in (folder, *folder.parents) if (f / FILE).exists() or (f / ".git").exists()), folder)


def plan_source(config: Config) -> Source:
    """The text of the plan. Raises UsageError when none is named, NotFoundError, DocumentError."""
    name = config["plan_path"]
    if name is None:
        raise _unnamed()
    return read_source(name)


def prepare(request: PlanRequest, *, starts: bool = True) -> Ready:
    """Read everything and check it, before anything is started. Without `starts` nothing is made and nobody asked.
    Raises WeftError.
    """
    from weft.runtimes.git import make_state

    config = settings(request)
    source = plan_source(config)
    place, state, path = places(config)
    if starts:
        make_state(state, place)
        _refuse_summary(config["run_summary_path"])
    repo = Path(place.top)
    if config["normalize"]:
        from weft.app.normalising import normalised

        source = normalised(source, config, repo, state, asks=starts)
    plan = require_plan(source)
    tasks = select(plan, only=request.task, first=request.from_task)
    return Ready(plan, source, config, repo, Path(os.path.realpath(state)), path, tasks)


def places(config: Config) -> tuple[Place, Path, Path]:
    """The repository, the state folder (which need not exist), and the real path of the plan."""
    from weft.runtimes.git import discover

    if config["plan_path"] is None:
        raise _unnamed()
    place = discover(Path(config["repo_path"]))
    state = Path(os.path.normpath(Path(place.top) / Path(config["state_dir"]).expanduser()))
    return place, state, Path(os.path.realpath(config["plan_path"]))


def own_files(config: Config) -> tuple[str, ...]:
    """Files outside of the state folder that a run writes."""
    return tuple(
        os.path.realpath(name) for key in ("log_file", "run_summary_path") if (name := config[key]) is not None
    )


def _unnamed() -> UsageError:
    return UsageError("no plan is named", hint="weft plan run PLAN")


def _refuse_summary(name: str | None) -> None:
    """Raise InputError for a summary that could not be written at the end."""
    if name is None:
        return
    path = Path(name)
    home = next(folder for folder in path.absolute().parents if folder.exists())
    if path.is_dir() or name.endswith("/"):
        raise InputError(f"run_summary_path: {name} is a folder", hint="name a file in it")
    if not home.is_dir() or not os.access(home, os.W_OK):
        raise InputError(f"run_summary_path: {name} cannot be made: {home} is no folder that can be written")


def check(request: PlanRequest) -> Read:
    """What came of reading a plan; runs nothing."""
    return read_plan(plan_source(settings(request)))


def order_of(plan: Plan, request: PlanRequest) -> tuple[str, list[str], list[str]]:
    """The segments of a plan: in a line, one by one, and told at length."""
    config = settings(request)
    tasks = select(plan, only=request.task, first=request.from_task)
    parts = compiling.parts_of(tasks, config)
    told = outline(parts)
    marked = compiling.parts_of(tasks, config, concurrent=True)
    if len(marked) < len(parts):
        told.append(f"with --parallel: {describe(marked)}")
    return describe(parts), [str(part) for part in parts], told


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
