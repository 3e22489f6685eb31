"""Where things are: the project folder, its settings, its journal.

The project folder is the nearest ancestor of the document with a `weft.toml` or `.git`, else the document's own
folder. Every setting has one value and knows where it came from: command line, then environment, then `weft.toml`,
then default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weft.errors import InputError
from weft.policy import default_jobs
from weft.text.settings import (
    Given,
    Key,
    Problem,
    Setting,
    from_environment,
    from_file,
    from_flags,
    refuse,
    settle,
)
from weft.text.source import Source
from weft.text.toml import read_toml

MARKS = ("weft.toml", ".git")


def _key(name: str, kind: str, doc: str, **more: Any) -> Key:
    return Key(name, kind, doc, flag=f"--{name}", variable="WEFT_" + name.upper().replace("-", "_"), **more)


SETTINGS = (
    _key("journal", "text", "where runs are kept: a folder, or none (default: .weft in the project folder)"),
    _key("jobs", "integer", "running steps at most", least=1),
    _key("schedule", "word", "dataflow or waves", words=("dataflow", "waves")),
    _key("timeout", "duration", "for a whole run"),
    _key("grace", "duration", "what running steps get after the first Ctrl-C", default=10.0),
    _key(
        "durability",
        "word",
        "what an acknowledged step survives: power (default) or process",
        words=("power", "process"),
    ),
    _key("allow-path", "list", "more folders that documents may read and write", default=()),
    _key("env-file", "text", "a file with NAME=value lines, for secrets and configuration"),
    _key("secrets-file", "text", "a file with NAME=value lines, for declared secrets only"),
)
_TABLES = ("plan", "agents")
"""Tables of `weft.toml` that are not the project's."""
_NAMES = frozenset(key.name for key in SETTINGS)


class Project:
    """One project: its folder and its settings."""

    def __init__(self, folder: Path, settings: Mapping[str, Setting]) -> None:
        self.folder = folder
        self.settings = settings

    def __getitem__(self, name: str) -> Any:
        return self.settings[name].value

    @property
    def journal(self) -> Path | None:
        """The folder with the runs; None when nothing is to be kept."""
        value = self["journal"]
        if value is None:
            return self.folder / ".weft"
        return None if value == "none" else self.folder / Path(value).expanduser()


def find(start: Path, given: Mapping[str, Any] | None = None, env: Mapping[str, str] | None = None) -> Project:
    """The project that `start` (a document or a folder) belongs to.

    `given` are settings of the command line, by name; None means not given. Raises InputError, UsageError.
    """
    start = start.absolute()
    folder = start if start.is_dir() else start.parent
    home = next((f for f in (folder, *folder.parents) if any((f / mark).exists() for mark in MARKS)), folder)
    return Project(home, _settle(home, given or {}, os.environ if env is None else env))


def _settle(folder: Path, given: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Setting]:
    written, problems = _written(folder / "weft.toml")
    exported, _ = from_environment(SETTINGS, env)
    settled, wrong = settle(SETTINGS, [from_flags(SETTINGS, given), exported, written])
    refuse([*problems, *wrong])
    return settled


def effective_jobs(project: Project, document_jobs: int | None) -> int:
    """How many steps run at once."""
    return project["jobs"] or document_jobs or default_jobs(os.cpu_count() or 1)


def _written(path: Path) -> tuple[dict[str, Given], list[Problem]]:
    """What `weft.toml` says, without the tables of others."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    data = read_toml(_source(path, text)).data
    table = {name: value for name, value in data.items() if name not in _TABLES}
    found, problems = from_file(SETTINGS, table, lambda name: "weft.toml" if name in _NAMES else str(path))
    for name, one in list(found.items()):
        if isinstance(one.value, dict):
            problems.append(Problem(f"{path}: {name} is a table, it must be a value", None, "file"))
            del found[name]
    return found, problems


def _source(path: Path, data: bytes) -> Source:
    try:
        return Source(str(path), data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: {error}", hint="correct the file, or move it away") from None
