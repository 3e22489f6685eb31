"""Coding agents as data: which program, which arguments for which phase, how it is told what to do.

An agent is a template, not code: any program that works without a person at the keyboard can be one. In argument lists
PROMPT, REPO, MODEL and SANDBOX stand for values, as a whole argument or behind the `=` of one; an inner list is used
only when all it names is set, so `["--model", "MODEL"]` is left out where no model is chosen.

A prompt is given as an argument, on standard input, or in a file whose path takes the place of PROMPT. The kernel
takes 128 KiB for one argument and says E2BIG to more, so above 100 KiB an argument becomes what the agent's `large`
says; without one the task fails with a message, before anything is started.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import msgspec

from weft.errors import AttemptError, InputError, nearest
from weft.text.settings import Problem
from weft.text.source import quoted

Phase = Literal["plan", "execute", "address"]
Delivery = Literal["argument", "stdin", "file"]
Word = str | tuple[str, ...]
"""An argument, or several that are used together or not at all."""

PHASES: tuple[Phase, ...] = get_args(Phase)
DELIVERIES: tuple[Delivery, ...] = get_args(Delivery)
PLACEHOLDERS = ("PROMPT", "REPO", "MODEL", "SANDBOX")
MAX_ARGUMENT = 100 * 1024
"""Bytes of a prompt that goes as an argument."""

READ_FILE = "Read the file {path} from its first line to its last, and do what it says."


class Agent(msgspec.Struct, frozen=True):
    """One agent. `large` is how a prompt is given that is too long for an argument, None: not at all.

    `sandbox` stands for SANDBOX where no other is chosen; `origin` says where the agent is from.
    """

    name: str
    program: str
    plan: tuple[Word, ...]
    execute: tuple[Word, ...]
    address: tuple[Word, ...]
    prompt: Delivery = "argument"
    large: Delivery | None = None
    sandbox: str | None = None
    origin: str = "preset"


class Invocation(msgspec.Struct, frozen=True):
    """How an agent is started: its arguments, what it reads on standard input (None: it is closed), and the text that
    the file of the prompt must have (None: there is none).
    """

    argv: tuple[str, ...]
    stdin: str | None = None
    file: str | None = None


_MODEL = ("--model", "MODEL")
_CURSOR = ("--print", "--workspace", "REPO", "--sandbox", "SANDBOX", _MODEL, "PROMPT")
_CLAUDE = ("-p", "--output-format", "text", "--permission-mode")
_CODEX = ("exec", "--cd", "REPO", "--color", "never", "--sandbox")
_AIDER = ("--yes-always", "--no-auto-commits", "--no-check-update", "--no-pretty", "--no-stream", _MODEL)

PRESETS: dict[str, Agent] = {
    "cursor": Agent(
        "cursor",
        "agent",
        plan=("--print", "--plan", "--workspace", "REPO", "--output-format", "text", _MODEL, "PROMPT"),
        execute=_CURSOR,
        address=_CURSOR,
        large="file",
        sandbox="disabled",
    ),
    "claude": Agent(
        "claude",
        "claude",
        plan=(*_CLAUDE, "plan", _MODEL),
        execute=(*_CLAUDE, "SANDBOX", _MODEL),
        address=(*_CLAUDE, "SANDBOX", _MODEL),
        prompt="stdin",
        sandbox="acceptEdits",
    ),
    "codex": Agent(
        "codex",
        "codex",
        plan=(*_CODEX, "read-only", _MODEL, "-"),
        execute=(*_CODEX, "SANDBOX", _MODEL, "-"),
        address=(*_CODEX, "SANDBOX", _MODEL, "-"),
        prompt="stdin",
        sandbox="workspace-write",
    ),
    "gemini": Agent(
        "gemini",
        "gemini",
        plan=("--approval-mode", "default", _MODEL),
        execute=("--approval-mode", "SANDBOX", _MODEL),
        address=("--approval-mode", "SANDBOX", _MODEL),
        prompt="stdin",
        sandbox="auto_edit",
    ),
    "aider": Agent(
        "aider",
        "aider",
        plan=(*_AIDER, "--chat-mode", "ask", "--message-file", "PROMPT"),
        execute=(*_AIDER, "--message-file", "PROMPT"),
        address=(*_AIDER, "--message-file", "PROMPT"),
        prompt="file",
    ),
}


# -- starting ------------------------------------------------------------------------------------


def command_line(
    agent: Agent,
    phase: Phase,
    *,
    prompt: str,
    repo: str,
    model: str | None = None,
    sandbox: str | None = None,
    agent_cmd: str | None = None,
    prompt_file: str | None = None,
) -> Invocation:
    """How `agent` is started for a phase. `prompt_file` is the path that a file for the prompt would have.

    A prompt that begins with `-` gets a line end before it, lest it be read as an option. Raises AttemptError
    (`PromptError`) for a prompt that cannot be given, InputError for a setting that cannot be an argument.
    """
    prompt = _fit(prompt)
    values = {"REPO": repo, "MODEL": model, "SANDBOX": sandbox if sandbox is not None else agent.sandbox}
    for name, value in values.items():
        if value is not None and (not value or value.startswith("-") or "\0" in value):
            raise InputError(f"{name.lower()} is {quoted(value)}, which cannot be an argument of agent {agent.name}")
    way = _way(agent, prompt)
    file = prompt_file if way == "file" else None
    if way == "file" and file is None:
        raise _refused(f"agent {agent.name} takes its prompt from a file, and there is no place for one")
    told = {"argument": prompt, "file": file}.get(way)
    if way == "file" and agent.prompt == "argument":
        told = READ_FILE.format(path=file)
    values["PROMPT"] = told
    words = getattr(agent, phase)
    if agent.prompt == "argument" and way == "stdin":
        words = tuple(word for word in words if word != "PROMPT")
    argv = (agent_cmd or agent.program, *_filled(agent, phase, words, values))
    return Invocation(argv, prompt if way == "stdin" else None, prompt if way == "file" else None)


def _fit(prompt: str) -> str:
    if not prompt.strip():
        raise _refused("the prompt is empty")
    if "\0" in prompt:
        raise _refused(f"the prompt has a NUL character at character {prompt.index(chr(0)) + 1:,}")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise _refused(f"the prompt has half a character at character {error.start + 1:,}") from None
    return "\n" + prompt if prompt.startswith("-") else prompt


def _way(agent: Agent, prompt: str) -> Delivery:
    """How this prompt is given."""
    size = len(prompt.encode())
    if agent.prompt != "argument" or size <= MAX_ARGUMENT:
        return agent.prompt
    if agent.large is None or agent.large == "argument":
        hint = f"shorten the task, or set `large` or `prompt` of [agents.{agent.name}] to stdin or file"
        most = f"{MAX_ARGUMENT:,} bytes as an argument"
        raise _refused(f"the prompt has {size:,} bytes, and agent {agent.name} takes at most {most}", hint)
    return agent.large


def _refused(message: str, hint: str | None = None) -> AttemptError:
    return AttemptError(message, type="PromptError", hint=hint)


def _filled(agent: Agent, phase: Phase, words: tuple[Word, ...], values: Mapping[str, str | None]) -> list[str]:
    """The arguments with values in their places."""
    argv: list[str] = []
    for word in words:
        group = (word,) if isinstance(word, str) else word
        missing = [name for each in group for name in [placeholder(each)] if name and values[name] is None]
        if not missing:
            argv += [_with_value(each, values) for each in group]
        elif isinstance(word, str):
            name = missing[0]
            hint = f"set {name.lower()}, or make it an inner list in `{phase}` of [agents.{agent.name}]"
            raise InputError(f"agent {agent.name} needs a {name.lower()}", hint=hint)
    return argv


def placeholder(word: str) -> str | None:
    """The name that stands for a value in an argument: the whole of it, or all behind its first `=`."""
    name = word.partition("=")[2] if word.startswith("-") and "=" in word else word
    return name if name in PLACEHOLDERS else None


def _with_value(word: str, values: Mapping[str, str | None]) -> str:
    name = placeholder(word)
    return word if name is None else word[: len(word) - len(name)] + (values[name] or "")


# -- agents of the configuration -----------------------------------------------------------------

_KEYS = ("program", "plan", "execute", "address", "prompt", "large", "sandbox")


def read_agents(tables: object, origin: Callable[[tuple[str, ...]], str]) -> tuple[dict[str, Agent], list[Problem]]:
    """The presets, changed and added to by the tables `[agents.NAME]`; `origin` says where a key stands."""
    reader = _Reader(origin)
    agents = dict(PRESETS)
    if not isinstance(tables, dict):
        reader.refuse((), "agents is no table", "write [agents.NAME]")
        return agents, reader.problems
    for name, table in tables.items():
        if not isinstance(table, dict):
            reader.refuse((name,), f"{name} is no table", f"write [agents.{name}]")
            continue
        made = reader.agent(name, table, agents.get(name))
        if made is not None:
            agents[name] = made
    return agents, reader.problems


class _Reader:
    """Reads tables of agents and gathers what is wrong with them."""

    def __init__(self, origin: Callable[[tuple[str, ...]], str]) -> None:
        self.problems: list[Problem] = []
        self._origin = origin

    def refuse(self, path: tuple[str, ...], message: str, hint: str | None = None) -> None:
        self.problems.append(Problem(f"{self._origin(path)}: {message}", hint, "file"))

    def agent(self, name: str, table: dict[str, Any], base: Agent | None) -> Agent | None:
        before = len(self.problems)
        for key in table:
            if key not in _KEYS:
                close = nearest(key, _KEYS)
                hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(_KEYS)}"
                self.refuse((name, key), f"unknown setting {key!r} of an agent", hint)
        fields: dict[str, Any] = {"name": name, "origin": self._origin((name,))}
        for key in ("program", "sandbox"):
            if key in table:
                fields[key] = self._text(name, key, table[key])
        for key in ("prompt", "large"):
            if key in table:
                fields[key] = self._delivery(name, key, table[key])
        for phase in PHASES:
            if phase in table:
                fields[phase] = self._words(name, phase, table[phase])
        if base is None:
            base = self._new(name, fields)
        if len(self.problems) > before or base is None:
            return None
        return self._checked(msgspec.structs.replace(base, **fields))

    def _new(self, name: str, fields: dict[str, Any]) -> Agent | None:
        """An agent that is no preset: it needs arguments for `plan` and `execute`; `address` is like `execute`."""
        missing = [phase for phase in ("plan", "execute") if phase not in fields]
        if missing:
            known = ", ".join(PRESETS)
            hint = f"give it {' and '.join(missing)} as lists of arguments; known without any are {known}"
            self.refuse((name,), f"agent {name} says not how it is started", hint)
            return None
        fields.setdefault("address", fields["execute"])
        return Agent(name, name, (), (), ())

    def _checked(self, agent: Agent) -> Agent | None:
        """The agent, with PROMPT where it belongs."""
        fields: dict[str, Any] = {}
        for phase in PHASES:
            words: tuple[Word, ...] = getattr(agent, phase)
            count = sum(placeholder(each) == "PROMPT" for word in words for each in _group(word))
            if any("PROMPT" in map(placeholder, word) for word in words if not isinstance(word, str)):
                self.refuse((agent.name, phase), f"{phase}: PROMPT must not be in an inner list")
            elif agent.prompt == "stdin" and count:
                self.refuse((agent.name, phase), f"{phase} has PROMPT, and the prompt goes to standard input")
            elif count > 1:
                self.refuse((agent.name, phase), f"{phase} has PROMPT {count} times")
            elif agent.prompt == "file" and not count:
                hint = "PROMPT stands for the path of the file"
                self.refuse((agent.name, phase), f"{phase} has no PROMPT", hint)
            elif agent.prompt == "argument" and not count:
                fields[phase] = (*words, "PROMPT")
            else:
                continue
            if phase not in fields:
                return None
        return msgspec.structs.replace(agent, **fields)

    def _text(self, name: str, key: str, value: object) -> str | None:
        if isinstance(value, str) and value.strip() and "\0" not in value:
            return value
        self.refuse((name, key), f"{key} is {value!r}; it must be a text")
        return None

    def _delivery(self, name: str, key: str, value: object) -> str | None:
        if value in DELIVERIES:
            return str(value)
        self.refuse((name, key), f"{key} is {value!r}; it must be argument, stdin or file")
        return None

    def _words(self, name: str, phase: str, value: object) -> tuple[Word, ...]:
        hint = 'like ["--print", ["--model", "MODEL"], "PROMPT"]'
        if not isinstance(value, list):
            self.refuse((name, phase), f"{phase} is {value!r}; it must be a list of arguments", hint)
            return ()
        out: list[Word] = []
        for word in value:
            group = word if isinstance(word, list) else [word]
            if not group or not all(isinstance(each, str) and each and "\0" not in each for each in group):
                self.refuse((name, phase), f"{phase} has {word!r}; its items must be texts, or lists of texts", hint)
                return ()
            out.append(tuple(group) if isinstance(word, list) else word)
        return tuple(out)


def _group(word: Word) -> tuple[str, ...]:
    return (word,) if isinstance(word, str) else word
