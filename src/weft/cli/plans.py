"""`weft plan`: run plans of coding tasks, look at them, help to write them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from weft.cli.options import json_option, output_options
from weft.cli.terminal import Streams, streams
from weft.errors import UsageError

if TYPE_CHECKING:
    from weft.app.planning import PlanOutcome, PlanRequest
    from weft.cli.views import Guarded

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def plan() -> None:
    """Run a plan of coding tasks with coding agents, on one git repository."""


def _settings(command: Decorated) -> Decorated:
    """A flag for each setting of a plan, by the one table of them."""
    from weft.app.planning import KEYS

    for key in reversed(KEYS):
        if key.name == "plan_path":
            continue
        flag = key.flag
        if key.kind == "boolean":
            option = click.option(f"{flag}/--no-{flag[2:]}", key.name, default=None, help=key.doc)
        elif key.name in ("dismiss_patterns", "post_run_commands"):
            option = click.option(flag, key.name, multiple=True, metavar="TEXT", help=key.doc)
        else:
            option = click.option(flag, key.name, metavar=key.kind.upper(), help=key.doc)
        command = option(command)
    command = click.option("--config", "config_file", metavar="FILE", help="Settings from this file.")(command)
    return click.argument("plan_file", metavar="PLAN", required=False)(command)


def _request(plan_file: str | None, config_file: str | None, given: dict[str, Any], **more: Any) -> PlanRequest:
    from weft.app.planning import KEYS, PlanRequest

    names = {key.name for key in KEYS}
    flags = {name: (list(v) if isinstance(v, tuple) else v) for name, v in given.items() if name in names}
    flags = {name: value for name, value in flags.items() if value is not None and value != []}
    return PlanRequest(plan=plan_file, flags=flags, config=config_file, **more)


@plan.command()
@_settings
@click.option("--task", type=click.IntRange(min=1), metavar="N", help="Only this task.")
@click.option("--from-task", type=click.IntRange(min=1), metavar="N", help="From this task on.")
@click.option("--allow-dirty", is_flag=True, help="Begin although not everything is committed.")
@click.option("--accept-changes", is_flag=True, help="Tasks were edited: run them again.")
@click.option("--take-over", is_flag=True, help="End the process that runs a plan here, and go on.")
@output_options
def run(
    plan_file: str | None,
    config_file: str | None,
    task: int | None,
    from_task: int | None,
    allow_dirty: bool,
    accept_changes: bool,
    take_over: bool,
    as_json: bool,
    events: bool,
    no_progress: bool,
    **given: Any,
) -> int:
    """Run PLAN, or go on with it.

    Exit codes: 0 everything is done, 1 something failed, 2 finished with issues, 3 too many failures in a row, 4 the
    budget is used up, 75 another plan runs on this repository.
    """
    from weft.app import plans
    from weft.cli.running import SWITCH, audience_of

    request = _request(
        plan_file,
        config_file,
        given,
        task=task,
        from_task=from_task,
        allow_dirty=allow_dirty,
        accept_changes=accept_changes,
        take_over=take_over,
    )
    now = streams()
    sys.setswitchinterval(SWITCH)
    view = _logged(_view(now, as_json=as_json, events=events, progress=not no_progress), request)
    try:
        done = plans.run(request, audience=audience_of(view, now))
    finally:
        view.close()
    if as_json and not events:
        from weft.cli.json import write_object

        write_object(now.out.send, done.summary)
    elif not as_json:
        _show_end(done, now)
    return done.exit_code


def _view(now: Streams, *, as_json: bool, events: bool, progress: bool) -> Guarded:
    """The view of a plan where people look on; with `--events`, that of all its steps."""
    from weft.cli.views import Guarded, view_for

    if as_json or events or not progress:
        return view_for(now, as_json=as_json, events=events, progress=progress)
    from weft.cli.planview import PlanLines, PlanState

    if now.out.moves:
        from weft.cli.live import Live

        return Guarded(Live(now.out, PlanState()))
    return Guarded(PlanLines(now.out))


def _logged(view: Guarded, request: PlanRequest) -> Guarded:
    """The view, with the file besides that `log_file` names."""
    from weft.app.planning import settings
    from weft.cli.planview import LoggedView
    from weft.cli.views import Guarded

    config = settings(request)
    file = config["log_file"]
    return view if file is None else Guarded(LoggedView(view, file, config["log_level"]))


def _show_end(done: PlanOutcome, now: Streams) -> None:
    from weft.cli.terminal import one_line

    if done.nothing:
        now.out.line("nothing to do: every task is done")
        return
    _show_tasks(done.summary, now)
    for each in done.summary.get("post_run", ()):
        if each["failed"]:
            now.out.line(f"after the run: `{one_line(each['command'], 200)}`: {one_line(each['failed'], 500)}")
    status = done.summary["status"]
    if status == "waiting" and done.outcome is not None and not done.outcome.questions:
        now.out.line("the budget is used up: run the same command with a larger --budget to go on from here")
    elif status not in ("succeeded", "issues"):
        now.out.line("run the same command again to go on from here")
    elif done.summary["failed"]:
        now.out.line("run the same command again for what has failed")


def _show_tasks(summary: dict[str, Any], now: Streams) -> None:
    from weft.cli.terminal import one_line

    for task in summary["tasks"]:
        title = f": {one_line(task['title'])}" if task.get("title") else ""
        edited = " (its text was edited since)" if task.get("edited") else ""
        now.out.line(f"task {task['task']}{title}  {task['status']}{edited}")
        for error in task.get("errors", ()):
            now.out.line(f"  {error['type']}: {one_line(error['message'], 500)}")
        if task.get("review_failed"):
            now.out.line(f"  not reviewed: {one_line(task['review_failed'], 500)}")
        for finding in task.get("findings", ()):
            now.out.line(f"  left: {one_line(finding['message'], 200)}")
        if task.get("worktree"):
            now.out.line(f"  its work tree is kept: {one_line(task['worktree'])} (branch {task['branch']})")
    for tree in summary.get("orphans", ()):
        now.out.line(f"left by another run: {one_line(tree['worktree'])} (branch {tree['branch']})")
    if summary.get("review_skipped"):
        now.out.line(f"nobody reviewed: {one_line(summary['review_skipped'])}")
    if summary.get("run"):
        now.out.line(f"plan {summary['status']} (run {summary['run']})")


@plan.command()
@_settings
@json_option
def check(plan_file: str | None, config_file: str | None, as_json: bool, **given: Any) -> int:
    """Read PLAN and say what is wrong with it, and in which order it would run; runs nothing."""
    from weft.app import planning
    from weft.cli.diagnostics import check_object, show
    from weft.cli.terminal import one_line

    request = _request(plan_file, config_file, given)
    read = planning.check(request)
    line, parts, told = ("", [], []) if read.plan is None else planning.order_of(read.plan, request)
    now = streams()
    if as_json:
        from weft.cli.json import write_object

        write_object(now.out.send, {**check_object(read.diagnostics), "segments": parts})
    else:
        show(read.diagnostics, read.source, now.err)
        for each in [line, *(f"  {words}" for words in told)] if line else ():
            now.out.line(one_line(each))
    return 0 if read.plan is not None else 65


@plan.command()
@_settings
@json_option
def status(plan_file: str | None, config_file: str | None, as_json: bool, **given: Any) -> int:
    """Say what of PLAN is done, running, failed."""
    from weft.app import plans

    summary = plans.status(_request(plan_file, config_file, given))
    now = streams()
    if as_json:
        from weft.cli.json import write_object

        write_object(now.out.send, summary)
    else:
        _show_tasks(summary, now)
    return 0


@plan.command()
@click.argument("goal", required=False)
def prompt(goal: str | None) -> int:
    """Print a prompt that makes a model write a plan, for GOAL."""
    from weft.app.planning import writing_prompt

    streams().out.send(writing_prompt(goal).encode())
    return 0


@plan.command()
@_settings
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(plan_file: str | None, config_file: str | None, yes: bool, **given: Any) -> int:
    """Forget what is on record of PLAN."""
    from weft.app import plans
    from weft.cli.terminal import one_line

    request = _request(plan_file, config_file, given)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("this forgets what is done, and nobody can be asked", hint="--yes if you mean it")
        click.confirm("Forget what is on record of this plan?", abort=True)
    removed, left = plans.reset(request)
    word = "run" if len(removed) == 1 else "runs"
    out = streams().out
    out.line(f"{len(removed)} {word} forgotten")
    for path, branch in left:
        out.line(f"left by {'it' if len(removed) == 1 else 'them'}: {one_line(path)} (branch {branch})")
    return 0
