"""What came of a plan: the summary that is written as JSON after every end, and how each task stands."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.app.planning import PlanOutcome, Ready, unreviewed
from weft.errors import EXIT_CAPPED, EXIT_FAILED, MachineError, NotFoundError
from weft.fronts.plan.config import Command
from weft.results import RunResult
from weft.runtimes.failures import GitError

if TYPE_CHECKING:
    from weft.app.running import Outcome
    from weft.journal.base import Store


def nothing_to_do(ready: Ready, store: Store, run_id: str) -> PlanOutcome:
    """All tasks were done already: the summary says what came of them."""
    summary = {**standing_of(ready, store, run_id), **used(store, run_id), "status": "succeeded", "exit_code": 0}
    _write(_place_of(ready, run_id), summary)
    return PlanOutcome(0, summary, nothing=True)


def summed_up(ready: Ready, store: Store, run_id: str, outcome: Outcome) -> PlanOutcome:
    """Write the summary, run what is to run after the end, and settle the exit code."""
    summary = {**summary_of(ready, run_id, outcome.result), **used(store, run_id)}
    if outcome.interrupted:
        summary["status"] = "interrupted"
    code = summary["exit_code"] = exit_code_of(outcome)
    place = _place_of(ready, run_id)
    _write(place, summary)
    if ready.config["post_run_commands"]:
        afterwards = summary["post_run"] = _afterwards(ready, summary, code)
        if code == 0 and ready.config["post_run_required"] and any(each["failed"] for each in afterwards):
            code = summary["exit_code"] = EXIT_FAILED
        _write(place, summary)
    return PlanOutcome(code, summary, outcome)


def _place_of(ready: Ready, run_id: str) -> Path:
    return Path(ready.config["run_summary_path"] or ready.state / "plans" / run_id / "summary.json")


def exit_code_of(outcome: Outcome) -> int:
    """0 all clean, 1 failed, 2 issues, 3 the failure cap; or the engine's own."""
    if outcome.result.status == "failed" and any(e.error.type == "FailureCap" for e in outcome.result.errors):
        return EXIT_CAPPED
    return outcome.exit_code


def summary_of(ready: Ready, run_id: str, result: RunResult) -> dict[str, Any]:
    """The summary as data: each task with its commits, findings, errors; what is left; what it cost."""
    tasks = [_task(ready, result, task.number, task.title) for task in ready.tasks]
    by = {state: [t["task"] for t in tasks if t["status"] == state] for state in ("done", "failed", "not started")}
    return {
        "schema": "weft.plan/1",
        "run": run_id,
        "plan": str(ready.path),
        "repository": str(ready.repo),
        "status": result.status,
        "tasks": tasks,
        "completed": by["done"],
        "failed": by["failed"],
        "not_started": by["not started"],
        "conflicts": [t["task"] for t in tasks if any(e["type"] == "Conflict" for e in t["errors"])],
        "remaining_findings": {str(t["task"]): t["findings"] for t in tasks if t["findings"]},
        "review_skipped": unreviewed(ready.config),
        "orphans": orphans(ready, run_id),
        "duration": result.duration,
    }


def _task(ready: Ready, result: RunResult, number: int, title: str | None) -> dict[str, Any]:
    work, review = result.nodes.get(f"task-{number}"), result.nodes.get(f"review-{number}")
    done = work is not None and review is not None and work.status == review.status == "succeeded"
    errors = [
        {"path": e.path, "type": e.error.type, "message": e.error.message, "attempt": e.attempt}
        for e in result.errors
        if e.path.split("/")[0] in (f"task-{number}", f"review-{number}")
    ]
    output = _output(work)
    place = output.get("place") or _output(result.nodes.get(f"task-{number}/place"))
    last = _output(review).get("review") or _output(_last_rounds(result, number))
    state = "done" if done else _state(work, review, errors)
    kept = state != "done" and place.get("path") is not None and Path(place["path"]).is_dir()
    return {
        "task": number,
        "title": title,
        "status": state,
        "files": output.get("files", []),
        "commits": _commits(result, number),
        "worktree": place["path"] if kept else None,
        "branch": place["branch"] if kept else None,
        "reviewed": bool(last) and last.get("failed") is None,
        "review_failed": last.get("failed"),
        "findings": last.get("findings", []),
        "dismissed": last.get("dismissed", []),
        "rounds": sum(p.startswith(f"review-{number}/") and p.endswith("/address") for p in result.nodes),
        "errors": errors,
        "duration": sum(n.duration or 0 for n in (work, review) if n is not None),
    }


def _state(work: Any, review: Any, errors: list[Any]) -> str:
    if errors or (work is not None and work.status == "failed") or (review is not None and review.status == "failed"):
        return "failed"
    if work is None or work.status in ("pending", "skipped"):
        return "not started"
    return "unfinished"


def _last_rounds(result: RunResult, number: int) -> Any:
    """The rounds of the last attempt of phase 3, whether or not it succeeded."""
    head = f"review-{number}/phase["
    found = [node for path, node in result.nodes.items() if path.startswith(head) and path.endswith("]/rounds")]
    return max(found, key=lambda node: node.started_at or 0, default=None)


def _commits(result: RunResult, number: int) -> list[str]:
    """The task's commits on the target branch, oldest first: its work, then what its review led to."""
    head = f"review-{number}/"
    work, folded = _output(result.nodes.get(f"task-{number}")), _output(result.nodes.get(f"{head}fold"))
    own = folded if "base" in folded else work if (work.get("place") or {}).get("path") is None else {}
    commits = list(folded.get("commits") or ())
    if own and own["tip"] != own["base"]:
        commits.append(own["tip"])
    for path, node in result.nodes.items():
        if path.startswith(head) and path.endswith("/commit"):
            made = _output(node)
            commits += [made["tip"]] if made and made["tip"] != made["base"] else []
    return commits


def _output(node: Any) -> Mapping[str, Any]:
    found = None if node is None else node.output
    return found if isinstance(found, dict) else {}


def orphans(ready: Ready, run_id: str | None) -> list[dict[str, Any]]:
    """Work trees of other runs, which nobody goes on with. They are never removed without being asked for."""
    from weft.runtimes.git import discover
    from weft.runtimes.worktrees import worktrees_at

    try:
        trees = worktrees_at(discover(ready.repo))
    except GitError:  # an agent has deleted the repository
        return []
    own = f"weft/{run_id}/"
    return [{"worktree": t.path, "branch": t.branch} for t in trees if not (t.branch or "").startswith(own)]


def used(store: Store, run_id: str) -> dict[str, Any]:
    """Tokens and cost in all sittings, as far as agents report them; None where none did."""
    tokens = cost = 0.0
    try:
        reader = store.reader(run_id)
    except NotFoundError:  # an agent has deleted the state folder
        return {"tokens": None, "cost_usd": None}
    try:
        for batch in reader.read():
            for event in batch:
                took = getattr(event, "used", None)
                if took is not None:
                    tokens, cost = tokens + took.tokens, cost + took.cost_usd
    finally:
        reader.close()
    return {"tokens": int(tokens) or None, "cost_usd": round(cost, 6) or None}


def _write(path: Path, summary: Mapping[str, Any]) -> None:
    """Whole or not at all, also where it was written before. Raises MachineError."""
    import json

    part = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", "utf-8", "backslashreplace")
        part.replace(path)
    except OSError as error:
        message = f"cannot write the summary {path}: {(error.strerror or str(error)).lower()}"
        raise MachineError(message, hint="the run has ended, and nothing of it is lost: `weft plan status`") from None


def _afterwards(ready: Ready, summary: Mapping[str, Any], code: int) -> list[dict[str, Any]]:
    import asyncio

    from weft.backends.children import Children
    from weft.runtimes.review import run_afterwards

    def words(command: Command) -> Any:
        return command.text if command.text is not None else command.words

    async def work() -> list[dict[str, Any]]:
        children = Children()
        await children.start()
        try:
            done = await run_afterwards(
                children,
                [words(command) for command in ready.config["post_run_commands"]],
                cwd=ready.repo,
                env={**os.environ, "WEFT_PLAN_RUN": summary["run"], "WEFT_PLAN_EXIT_CODE": str(code)},
                seconds=ready.config["post_run_timeout_sec"],
            )
        finally:
            await children.close()
        return [{"command": d.command, "exit_code": d.exit_code, "failed": d.failed} for d in done]

    return asyncio.run(work())


def standing_of(ready: Ready, store: Store, run_id: str | None) -> dict[str, Any]:
    """How each task stands, also while the run goes on."""
    if run_id is None:
        tasks = [{"task": task.number, "title": task.title, "status": "not started"} for task in ready.tasks]
        return {"run": None, "status": "never ran", "tasks": tasks, "orphans": orphans(ready, None)}
    from weft.app.inspection import Inspection

    seen = Inspection(store, run_id)
    try:
        seen.refresh()
        summary = summary_of(ready, run_id, seen.report.result())
        summary["status"] = seen.standing()
    finally:
        seen.close()
    for task in summary["tasks"]:
        running = [p for p, n in seen.report.nodes.items() if n.status == "running" and _of(p, task["task"])]
        if task["status"] == "unfinished" and running:
            word = "running" if summary["status"] == "running" else "interrupted"
            task["status"] = f"{word}: {running[-1].rpartition('/')[2]}"
    return summary


def _of(path: str, number: int) -> bool:
    return path.split("/")[0] in (f"task-{number}", f"review-{number}") and "/" in path
