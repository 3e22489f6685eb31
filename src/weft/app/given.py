"""What a run is given: config, input, secrets, from the command line, the environment and files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from weft import event_types as events
from weft.app import arguments
from weft.app.project import Project
from weft.errors import InputError, NotFoundError
from weft.fronts.flow import Loaded

if TYPE_CHECKING:
    from weft.engine.sitting import Arguments


def arguments_of(loaded: Loaded, place: Project, sets: Sequence[str] = (), given: str | None = None) -> Arguments:
    """Config, input and secrets of a run; `sets` are `name=value`, `given` is JSON or `@file`. Raises InputError."""
    from weft.engine.sitting import Arguments

    assert loaded.document is not None
    assert loaded.program is not None
    env_file, secrets_file = (_env_file(_file(place, name)) for name in ("env-file", "secrets-file"))
    env = {**env_file, **os.environ}
    config, values, secrets = arguments.resolve(
        loaded.document.front, sets=sets, input=_input(given), env=env, secrets_from={**secrets_file, **env}
    )
    return Arguments(config, values, secrets, {name: env[name] for name in loaded.program.env if name in env})


def _file(place: Project, setting: str) -> Path | None:
    """The file that a setting names: beside `weft.toml` when that named it, else as seen from the working directory."""
    found = place.settings[setting]
    if not found.value:
        return None
    return place.folder / found.value if found.origin == "weft.toml" else Path(found.value)


def given_before(first: events.RunStarted, loaded: Loaded, place: Project) -> Arguments:
    """A resume gets what the run was given, and what the document has declared since.

    Secrets come from the environment of now, as they are kept nowhere.
    """
    from weft import values
    from weft.engine.sitting import Arguments
    from weft.redaction import Vault

    given = {"config": values.decode(first.config), "input": values.decode(first.input)}
    assert loaded.document is not None
    front = loaded.document.front
    later = msgspec.structs.replace(
        front,
        config={name: declared for name, declared in front.config.items() if name not in given["config"]},
        input={name: declared for name, declared in front.input.items() if name not in given["input"]},
    )
    document = msgspec.structs.replace(loaded.document, front=later)
    now = arguments_of(msgspec.structs.replace(loaded, document=document), place)
    if first.secrets:
        given = Vault(now.secrets).open(given, first.secrets)
    return Arguments({**now.config, **given["config"]}, {**now.input, **given["input"]}, now.secrets, now.env)


def _input(text: str | None) -> Any:
    """The value of `--input`. Raises InputError, NotFoundError."""
    from weft import values
    from weft.errors import ValidationError

    if text is None:
        return None
    try:
        return values.decode(Path(text[1:]).read_bytes() if text.startswith("@") else text.encode())
    except FileNotFoundError:
        raise NotFoundError(f"--input: there is no file {text[1:]}") from None
    except OSError as error:
        raise InputError(f"--input: {text[1:]}: {error.strerror}") from None
    except ValidationError as error:
        raise InputError(f"--input: {error}", hint="give a JSON object, or @file with one") from None


def _env_file(name: Path | None) -> dict[str, str]:
    """The NAME=value lines of a file. Raises InputError with the line, NotFoundError."""
    if name is None:
        return {}
    try:
        lines = name.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise NotFoundError(f"--env-file: there is no file {name}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--env-file: {name}: {error}") from None
    out: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        key, equals, value = text.partition("=")
        if not equals or not key.strip().isidentifier():
            raise InputError(f"{name}:{number}: not a NAME=value line")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        out[key.strip()] = value
    return out
