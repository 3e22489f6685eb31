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

import msgspec

from weft.errors import ExpressionError, InputError, UsageError, nearest
from weft.policy import default_jobs
from weft.text.durations import parse_duration

MARKS = ("weft.toml", ".git")


class SettingSpec(msgspec.Struct, frozen=True):
    """A setting: its name in `weft.toml` and, upper-cased behind `WEFT_`, in the environment."""

    name: str
    type: str
    doc: str


SETTINGS = (
    SettingSpec("journal", "text", "where runs are kept: a folder, or none (default: .weft in the project folder)"),
    SettingSpec("jobs", "integer", "running steps at most"),
    SettingSpec("schedule", "schedule", "dataflow or waves"),
    SettingSpec("timeout", "duration", "for a whole run"),
    SettingSpec("grace", "duration", "what running steps get after the first Ctrl-C"),
    SettingSpec("durability", "durability", "what an acknowledged step survives: power (default) or process"),
    SettingSpec("allow-path", "list", "more folders that documents may read and write"),
    SettingSpec("env-file", "text", "a file with NAME=value lines, for secrets and configuration"),
    SettingSpec("secrets-file", "text", "a file with NAME=value lines, for declared secrets only"),
)
_WHOLE = "it must be a whole number of 1 or more"
_WORDS = {"schedule": ("dataflow", "waves"), "durability": ("power", "process")}


class Origin(msgspec.Struct, frozen=True):
    """A value and where it came from."""

    value: Any
    origin: str


class Project:
    """One project: its folder and its settings."""

    def __init__(self, folder: Path, settings: Mapping[str, Origin]) -> None:
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


def _settle(folder: Path, given: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Origin]:
    written = _read_file(folder / "weft.toml")
    out: dict[str, Origin] = {}
    for spec in SETTINGS:
        variable = "WEFT_" + spec.name.upper().replace("-", "_")
        if given.get(spec.name) is not None:
            out[spec.name] = Origin(_value(spec, given[spec.name], f"--{spec.name}", UsageError), f"--{spec.name}")
        elif env.get(variable):
            out[spec.name] = Origin(_value(spec, env[variable], variable, InputError), variable)
        elif spec.name in written:
            out[spec.name] = Origin(_value(spec, written[spec.name], "weft.toml", InputError), "weft.toml")
        else:
            out[spec.name] = Origin(_default(spec), "default")
    return out


def _default(spec: SettingSpec) -> Any:
    match spec.name:
        case "allow-path":
            return ()
        case "grace":
            return 10.0
        case "jobs":
            return None
        case _:
            return None


def effective_jobs(project: Project, document_jobs: int | None) -> int:
    """How many steps run at once."""
    return project["jobs"] or document_jobs or default_jobs(os.cpu_count() or 1)


def _read_file(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    import tomllib  # 2 ms, for those who have a file

    try:
        data = tomllib.loads(text.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}", hint="correct the file, or move it away") from None
    known = [spec.name for spec in SETTINGS]
    for key, value in data.items():
        if key not in known and key not in ("plan", "agents"):
            close = nearest(key, known)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
            raise InputError(f"{path}: unknown setting {key!r}", hint=hint)
        if isinstance(value, dict) and key not in ("plan", "agents"):
            raise InputError(f"{path}: {key} is a table, it must be a value")
    return data


def _value(spec: SettingSpec, value: Any, origin: str, error: type[InputError | UsageError]) -> Any:
    """The setting's value in its own type. Raises `error`, naming where the value came from."""
    try:
        match spec.type:
            case "integer":
                number = int(value) if not isinstance(value, bool | float) else -1
                if number < 1:
                    raise ValueError(_WHOLE)
                return number
            case "duration":
                return parse_duration(str(value))
            case "list":
                several = value if isinstance(value, list | tuple) else str(value).split(os.pathsep)
                return tuple(str(each) for each in several)
            case "schedule" | "durability" as word:
                if value not in _WORDS[word]:
                    raise ValueError(f"it must be {' or '.join(_WORDS[word])}")
                return value
            case _:
                return str(value)
    except ExpressionError as wrong:
        raise error(f"{origin}: {spec.name} is {value!r}, which is not a duration", hint=wrong.hint) from None
    except ValueError as wrong:
        reason = _WHOLE if str(wrong).startswith("invalid literal") else str(wrong)
        raise error(f"{origin}: {spec.name} is {value!r}; {reason}") from None
