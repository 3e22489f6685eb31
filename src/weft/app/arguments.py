"""What a document is given: config values, arguments and secrets, held against their declarations.

A config value is that of `--set name=value`, else of the environment's `WEFT_CONFIG_NAME`, else its default. Everything
that is wrong is found before it is said, and each value is named with where it came from. Secrets are never shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from weft import values
from weft.errors import InputError, UsageError, ValidationError, nearest
from weft.fronts.flow.ast import Declared, Front
from weft.text.yaml import Mapping as MarkedMapping

_TYPES = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
}


class Problem(NamedTuple):
    """One thing that is wrong, and what to do."""

    message: str
    hint: str | None = None


def resolve(
    front: Front,
    *,
    sets: Sequence[str] = (),
    input: object = None,  # noqa: A002 - the language's word
    env: Mapping[str, str],
    secrets_from: Mapping[str, str],
) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    """Config, input and secrets of a run, by name.

    `sets` are the texts of `--set`, `input` is the value of `--input` (None: not given), `secrets_from` the environment
    with the files that hold secrets. Raises UsageError for a `--set` that is no `name=value`, and InputError with
    everything else that is wrong.
    """
    given = _split(sets)
    problems: list[Problem] = []
    config = _config(front, given, env, problems)
    arguments = _input(front, input, problems)
    secrets = _secrets(front, secrets_from, problems)
    if problems:
        raise _error(problems)
    return config, arguments, secrets


def _error(problems: list[Problem]) -> InputError:
    if len(problems) == 1:
        return InputError(problems[0].message, hint=problems[0].hint)
    lines = [f"  {p.message}" + (f" ({p.hint})" if p.hint else "") for p in problems]
    return InputError("\n".join([f"{len(problems)} things are wrong with what the document is given:", *lines]))


def _split(sets: Sequence[str]) -> dict[str, str]:
    """The texts of `--set` by name, the last of a name first. Raises UsageError."""
    given: dict[str, str] = {}
    for text in sets:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {_shown(text)} is not name=value", hint="for example --set threshold=50")
        given[name.strip()] = value
    return given


# -- config ------------------------------------------------------------------------------------------


def _config(front: Front, given: Mapping[str, str], env: Mapping[str, str], problems: list[Problem]) -> dict[str, Any]:
    known = list(front.config)
    problems += [_unknown(f"--set {name}", "config value", name, known) for name in given if name not in known]
    config: dict[str, Any] = {}
    for name, declared in front.config.items():
        variable = f"WEFT_CONFIG_{name.upper()}"
        if name in given:
            config[name] = _from_text(declared, given[name], f"--set {name}", problems)
        elif env.get(variable):
            config[name] = _from_text(declared, env[variable], variable, problems)
        elif declared.has_default:
            config[name] = declared.default
        elif declared.required:
            problems.append(
                Problem(f"the config value `{name}` is required", f"give it by --set {name}=… or {variable}")
            )
        else:
            config[name] = None
    return config


def _from_text(declared: Declared, text: str, origin: str, problems: list[Problem]) -> Any:
    """The value of a text: JSON if it is JSON, else the text itself; a declared text is one whatever it looks like."""
    try:
        value = values.decode(text)
    except ValidationError:
        value = text
    if declared.type == "string" and not isinstance(value, str):
        value = text
    return _checked(declared, value, origin, problems)


def _checked(declared: Declared, value: Any, origin: str, problems: list[Problem]) -> Any:
    if declared.type is not None and value is not None and not _fits(value, declared.type):
        wanted = _TYPES[declared.type]
        what = f"{values.type_name(value)} {_shown(value)}"
        hint = "write true or false" if declared.type == "boolean" and isinstance(value, str) else None
        problems.append(Problem(f"{origin} must be {wanted}, not {what}", hint))
    elif value is None and declared.required:
        problems.append(Problem(f"{origin} is null, and a value is required"))
    elif declared.enum is not None and value is not None and not any(_same(value, one) for one in declared.enum):
        known = ", ".join(_shown(one) for one in declared.enum)
        close = nearest(value, [one for one in declared.enum if isinstance(one, str)]) if isinstance(value, str) else []
        hint = f"did you mean {_shown(close[0])}?" if close else None
        problems.append(Problem(f"{origin} must be one of {known}, not {_shown(value)}", hint))
    return value


# -- input -------------------------------------------------------------------------------------------


def _input(front: Front, given: object, problems: list[Problem]) -> dict[str, Any]:
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        what = values.type_name(given)
        problems.append(Problem(f"--input must be a JSON object, not {what} {_shown(given)}", _sample(front)))
        return {}
    known = list(front.input)
    problems += [_unknown(f"--input: {name}", "argument", name, known) for name in given if name not in known]
    arguments: dict[str, Any] = {}
    for name, declared in front.input.items():
        if name in given:
            arguments[name] = _checked(declared, given[name], f"--input: {name}", problems)
        elif declared.has_default:
            arguments[name] = declared.default
        elif _is_optional(declared):
            arguments[name] = None
        else:
            problems.append(Problem(f"the argument `{name}` is missing", _sample(front)))
    return arguments


def _is_optional(declared: Declared) -> bool:
    """It is declared with `required: false`; without a word, an argument without a default is required."""
    place = declared.place
    return isinstance(place, MarkedMapping) and "required" in place.entries and not declared.required


def _sample(front: Front) -> str | None:
    names = [name for name, declared in front.input.items() if not declared.has_default] or list(front.input)
    if not names:
        return "the document takes no input"
    return "give it by --input '{" + ", ".join(f'"{name}": …' for name in names[:3]) + "}'"


# -- secrets -----------------------------------------------------------------------------------------


def _secrets(front: Front, source: Mapping[str, str], problems: list[Problem]) -> dict[str, str]:
    secrets: dict[str, str] = {}
    if not front.secrets:
        return secrets
    from weft.redaction.forms import MIN_LENGTH

    for name in front.secrets:
        value = source.get(name)
        if not value:
            what = "is empty" if value == "" else "is not there"
            hint = "set it in the environment, or in a file named by --env-file"
            problems.append(Problem(f"the secret {name} {what}", hint))
        elif len(value) < MIN_LENGTH:
            message = f"the secret {name} has fewer than {MIN_LENGTH} characters"
            problems.append(Problem(message, "hiding so short a text would hide ordinary text, too"))
        else:
            secrets[name] = value
    return secrets


# -- words -------------------------------------------------------------------------------------------


def _unknown(origin: str, what: str, name: str, known: list[str]) -> Problem:
    close = nearest(name, known)
    if close:
        hint = f"did you mean `{close[0]}`?"
    elif known:
        hint = f"declared are {', '.join(known[:20])}"
    else:
        hint = f"the document declares no {what}s"
    return Problem(f"{origin}: the document has no {what} {_shown(name)}", hint)


def _fits(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    match kind:
        case "string":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int)
        case "number":
            return isinstance(value, int | float)
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case _:
            return False


def _same(a: Any, b: Any) -> bool:
    return isinstance(a, bool) is isinstance(b, bool) and bool(a == b)


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else values.encode(value).decode()
    text = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return text if len(text) <= 60 else text[:59] + "…"
