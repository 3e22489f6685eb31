"""A free-form document in the form of a plan, made by one call of the agent and kept: a resume uses what was kept."""

from __future__ import annotations

import os
import uuid
from hashlib import sha256
from pathlib import Path

from weft.errors import AttemptError, InputError
from weft.fronts.plan.agents import Invocation, command_line
from weft.fronts.plan.config import Config
from weft.fronts.plan.normalise import read_normalised
from weft.fronts.plan.prompts import draw_boundary, normalise_prompt
from weft.text.source import Source, read_source


def normalised(source: Source, config: Config, repo: Path, state: Path, *, asks: bool = True) -> Source:
    """The plan that the agent makes of a document; the one that was kept, if there is one for this text.

    Raises InputError when every answer was no plan, or none was kept and the agent is not to be asked.
    """
    name = sha256(source.text.encode()).hexdigest()[:16]
    kept = state / "plans" / f"normalized-{name}.md"
    if kept.exists():
        return Source(source.name, read_source(kept).text)
    if not asks:
        raise InputError(f"{source.name} was not brought into the form of a plan yet", hint="`weft plan run` does that")
    words = None
    if config["normalize_prompt_path"] is not None:
        words = read_source(config["normalize_prompt_path"]).text
    complaint: str | None = None
    hint: str | None = None
    for attempt in range(config["normalize_retry_count"] + 1):
        try:
            call = _call(source, config, repo, kept.with_suffix(".prompt.md"), words, complaint)
            answer = _answer(call, config, repo, kept.with_suffix(f".{attempt + 1}.log"))
            found = read_normalised(answer, source.name)
        except AttemptError as error:
            complaint, hint = error.message, error.hint
            if not error.retryable:
                break
            continue
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_name(f".{kept.name}.partial")
        part.write_text(found.text, encoding="utf-8")
        part.replace(kept)
        return Source(source.name, found.text)
    raise InputError(f"{source.name}: {complaint}", hint=hint)


def _call(
    source: Source, config: Config, repo: Path, file: Path, words: str | None, complaint: str | None
) -> Invocation:
    """How the agent is asked for a plan; `file` is written where it reads its prompt from one."""
    boundary = draw_boundary([source.text, words or ""], lambda: uuid.uuid4().hex)
    call = command_line(
        config.agent,
        "plan",
        prompt=normalise_prompt(source.text, boundary=boundary, words=words, complaint=complaint),
        repo=str(repo),
        model=config["model"],
        sandbox=config["sandbox"],
        agent_cmd=config["agent_cmd"],
        prompt_file=str(file),
    )
    if call.file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(call.file, encoding="utf-8")
    return call


def _answer(call: Invocation, config: Config, repo: Path, transcript: Path) -> str:
    """What the agent says. Raises AttemptError."""
    import asyncio

    from weft.backends.children import Children
    from weft.runtimes.agent import run_agent

    env = {name: value for name, value in os.environ.items() if not name.startswith("WEFT_")}

    async def work() -> str:
        children = Children()
        await children.start()
        try:
            ran = await run_agent(
                children,
                call.argv,
                cwd=repo,
                env={**env, "WEFT_PLAN_PHASE": "normalize"},
                stdin=call.stdin,
                seconds=config["phase_timeout_sec"],
                transcript=transcript,
            )
        finally:
            await children.close()
        if ran.exit_code != 0:
            raise AttemptError(
                f"the agent {ran}", type="AgentFailed", retryable=True, hint=ran.transcript and f"see {ran.transcript}"
            )
        return ran.text

    return asyncio.run(work())
