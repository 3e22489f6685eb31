"""Files in a repository that tell agents and editors what to run, and what they may do.

Those that are there when a task begins come from whoever runs the plan. What an agent changes in them would decide what
the next one may: so a task may only if its `writes:` names the file. Prose (AGENTS.md and its like) is not among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from weft.errors import AttemptError
from weft.runtimes.changes import undeclared
from weft.runtimes.gitstate import named
from weft.runtimes.planted import Kept, keep, put_back

_NAMES = (
    ".claude/settings.json", ".claude/settings.local.json", ".claude/hooks", ".mcp.json", ".cursor", ".codex",
    ".gemini", ".aider.conf.yml", ".vscode/settings.json", ".vscode/tasks.json", ".envrc",
)  # fmt: skip


def steering_files(folder: Path) -> dict[str, Kept]:
    """Those in a work tree, also where git ignores them; folders file by file. Blocking."""
    found = {}
    for file in _candidates(folder):
        if (kept := keep(file)) is not None:
            found[file.relative_to(folder).as_posix()] = kept
    return found


def _candidates(folder: Path) -> Iterator[Path]:
    for name in _NAMES:
        path = folder / name
        if path.is_symlink() or not path.is_dir():
            yield path
        else:
            yield from sorted(file for file in path.rglob("*") if file.is_symlink() or not file.is_dir())


def refuse_steering(folder: Path, before: Mapping[str, Kept], writes: Sequence[str] | None) -> None:
    """Raise AttemptError (`SteeringWrite`) for files that are not as `before`, and that no declared write covers."""
    strays = undeclared(_changed(before, steering_files(folder)), writes or ())
    if strays:
        message = f"the agent changed what tells agents and editors what to run: {named(tuple(strays))}"
        hint = "look at it; a task that is to change such a file names it in its `writes:`"
        raise AttemptError(message, type="SteeringWrite", hint=hint)


def restore_steering(folder: Path, before: Mapping[str, Kept]) -> None:
    """Put them back to how they were, as far as that can be. Blocking."""
    for name in _changed(before, steering_files(folder)):
        with suppress(OSError):
            put_back(folder / name, before.get(name))


def _changed(before: Mapping[str, Kept], now: Mapping[str, Kept]) -> list[str]:
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
