"""From a request to the call of a function, with those of the arguments that it takes."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

from .channel import Channel
from .failing import Refused
from .results import encode

MAX_CODES = 256
MODULE = "__document__"
"""The name of the module that the document's code runs in."""

codes: dict[tuple[str, str, int], types.CodeType] = {}


class Context:
    """`ctx`: what the code may know about its attempt, and how it speaks while it runs."""

    def __init__(self, channel: Channel, facts: Mapping[str, Any]) -> None:
        self.__dict__.update(facts)
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        """`token`, which nobody cancels, for a process is killed: it is there for code that runs in threads, too."""
        if name != "token":
            raise AttributeError(f"ctx has no {name!r}")
        from weft.cancellation import CancellationToken

        self.token = CancellationToken()
        return self.token

    def log(self, *words: object) -> None:
        """A line for the log of the run."""
        self._channel.send(b"L", " ".join(map(str, words)).encode("utf-8", "backslashreplace"))

    def report(self, progress: float | None = None, metrics: Mapping[str, Any] | None = None) -> None:
        """How far it is (0 to 1), and numbers worth showing. Raises ValueError for a use that is no amount."""
        given = dict(metrics or {})
        for name in ("tokens", "cost_usd"):
            used = given.get(name)
            if used is not None and (isinstance(used, bool) or not isinstance(used, (int, float)) or not used >= 0):
                raise ValueError(f"a use of {used!r} {name} is no amount")
        self._channel.send(b"P", encode({"progress": progress, "metrics": given}))


def perform(request: dict[str, Any], context: Context) -> bytes:
    """The encoded result of one request. Raises Refused, or what the code raises."""
    function = from_source(request) if "source" in request else from_module(request)
    positional, named = chosen(function, request["function"], request["arguments"], context)
    result = function(*positional, **named)
    if hasattr(type(result), "__await__"):
        result = awaited(result)
    encoded = encode(result)
    if len(encoded) > request["limit"]:
        raise Refused(
            "TooBig",
            "the result has {:,} bytes; the limit is {:,}".format(len(encoded), request["limit"]),
            hint="write it to a file and return its name",
        )
    return encoded


def awaited(awaitable: Any) -> Any:
    """What it gives, on a loop of its own."""
    import asyncio

    async def finish() -> Any:
        return await awaitable

    return asyncio.run(finish())


def from_source(request: dict[str, Any]) -> Callable[..., Any]:
    """Run the document's code in a new module; the function it defines."""
    source, file, line, name = request["source"], request["file"], request["line"], request["function"]
    key = (source, file, line)
    code = codes.get(key)
    if code is None:
        if len(codes) >= MAX_CODES:
            codes.clear()
        code = codes[key] = compile("\n" * (line - 1) + source, file, "exec", dont_inherit=True)
    module = types.ModuleType(MODULE)
    module.__file__ = file
    sys.modules[MODULE] = module  # dataclasses and typing look the module of a class up by name
    exec(code, module.__dict__)  # noqa: S102 - running the document's code is what this is for
    function = module.__dict__.get(name)
    if not callable(function):
        raise Refused(
            "NoFunction",
            f"the code defines no function `{name}`",
            f"{file}:{line}",
            f"begin it with `def {name}(...):` and return the value",
        )
    return function  # type: ignore[no-any-return]


def from_module(request: dict[str, Any]) -> Callable[..., Any]:
    """Import a function. That of the main script is taken from a second run of it under another name."""
    import importlib

    name = request["module"]
    sys.path[:] = request["path"] or sys.path
    if name == "__main__" and request["file"]:
        module: Any = sys.modules.get("__mp_main__") or main_script(request["file"])
    else:
        module = importlib.import_module(name)
    found = module
    for part in request["function"].split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise Refused("NoFunction", "there is no function `{}` in `{}`".format(request["function"], name))
    return found  # type: ignore[no-any-return]


def main_script(file: str) -> types.ModuleType:
    """The script as a module, run once in this worker."""
    import runpy

    module = types.ModuleType("__mp_main__")
    module.__dict__.update(runpy.run_path(file, run_name="__mp_main__"))
    sys.modules["__mp_main__"] = module
    return module


def chosen(
    function: Callable[..., Any], name: str, given: dict[str, Any], context: Context
) -> tuple[list[Any], dict[str, Any]]:
    """Those of the given arguments that the function takes; all when it has `**kwargs`."""
    positional, named, required, everything = parameters(function)
    known = dict(given)
    if "ctx" in positional or "ctx" in named:
        known.setdefault("ctx", context)
    missing = [parameter for parameter in required if parameter not in known]
    if missing:
        raise Refused("BadArgument", missing_message(name, missing[0]), hint=missing_hint(missing[0], known))
    first: list[Any] = []
    for parameter in positional:
        if parameter not in known:
            break
        first.append(known[parameter])
    rest = known if everything else {key: known[key] for key in named if key in known}
    return first, {key: value for key, value in rest.items() if key not in positional}


def parameters(function: Callable[..., Any]) -> tuple[list[str], list[str], list[str], bool]:
    """Positional-only names, other names, required ones, and whether it takes any. `inspect` costs 8 ms."""
    code = getattr(function, "__code__", None)
    if code is None or type(function) is not types.FunctionType or hasattr(function, "__wrapped__"):
        return parameters_by_inspection(function)
    only, count, total = code.co_posonlyargcount, code.co_argcount, code.co_argcount + code.co_kwonlyargcount
    names = list(code.co_varnames[:total])
    with_default = set(names[count - len(function.__defaults__ or ()) : count]) | set(function.__kwdefaults__ or ())
    return names[:only], names[only:], [n for n in names if n not in with_default], bool(code.co_flags & 0x08)


def parameters_by_inspection(function: Callable[..., Any]) -> tuple[list[str], list[str], list[str], bool]:
    import inspect

    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return [], [], [], False
    plain = [p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return (
        [p.name for p in plain if p.kind is p.POSITIONAL_ONLY],
        [p.name for p in plain if p.kind is not p.POSITIONAL_ONLY],
        [p.name for p in plain if p.default is p.empty],
        any(p.kind is p.VAR_KEYWORD for p in found),
    )


def missing_message(name: str, parameter: str) -> str:
    return f"`{name}` takes `{parameter}`, and nothing here has that name"


def missing_hint(parameter: str, known: Mapping[str, Any]) -> str:
    import difflib

    close = difflib.get_close_matches(parameter, list(known), n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    return "it can take: {}".format(", ".join(sorted(known)) or "nothing")
