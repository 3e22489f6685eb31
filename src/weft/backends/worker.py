# ruff: noqa: PTH109, S102, S112 - few imports; and it runs the document's code, which is a program
"""The program of a worker process: runs Python code for the engine, call after call.

Self-contained, standard library only, Python 3.8 or later: the document may choose an interpreter in which Weft is not
installed. Nothing is imported that a call does not need.

Run as `python worker.py FD`. FD is a socket with frames of a 4 byte length and a body. A request is a JSON object:
`source, file, line, function` or `module, function, file`; `arguments`, `context`, `limit`. While it runs: `L` and a
log text, `P` and a report as JSON. The answer: `R` and the result as JSON, or `E` and the error as JSON; in small
letters when the call left something behind (threads, processes), so that the engine does not use this worker again.

What the user's code prints goes to the standard descriptors, not here; they are flushed before the answer. Code is
compiled once and run in a new module for each call; modules that it imports stay. Folder, environment and `sys.path`
are put back after each call.
"""

from __future__ import annotations

import json
import math
import os
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

if sys.version_info < (3, 8):  # noqa: UP036 - the interpreter is the user's choice
    sys.exit(f"Weft's workers need Python 3.8 or later, this is {sys.version.split()[0]}")

MAX_DEPTH = 100
MAX_TRACEBACK = 64 * 1024
MAX_CODES = 256
MODULE = "__document__"
"""The name of the module that the document's code runs in."""

codes: dict[tuple[str, str, int], types.CodeType] = {}


class Refused(Exception):
    """An answer that is an error of its own kind, not an exception of the user's code."""

    def __init__(self, kind: str, message: str, place: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.place = place
        self.hint = hint


class Context:
    """`ctx`: what the code may know about its attempt, and how it speaks while it runs."""

    def __init__(self, channel: Channel, facts: Mapping[str, Any]) -> None:
        self.__dict__.update(facts)
        self._channel = channel

    def log(self, *words: object) -> None:
        """A line for the log of the run."""
        self._channel.send(b"L", " ".join(map(str, words)).encode("utf-8", "backslashreplace"))

    def report(self, progress: float | None = None, metrics: Mapping[str, Any] | None = None) -> None:
        """How far it is (0 to 1), and numbers worth showing."""
        self._channel.send(b"P", encode({"progress": progress, "metrics": dict(metrics or {})}))


class Channel:
    """The engine's socket."""

    def __init__(self, fd: int) -> None:
        os.set_inheritable(fd, False)
        self.fd = fd

    def receive(self) -> bytes | None:
        """The next frame, None when the engine has closed."""
        header = self._exactly(4)
        return None if header is None else self._exactly(int.from_bytes(header, "big"))

    def send(self, kind: bytes, body: bytes) -> None:
        self._all((len(body) + 1).to_bytes(4, "big") + kind)
        self._all(body)

    def _exactly(self, size: int) -> bytes | None:
        parts: list[bytes] = []
        while size:
            part = os.read(self.fd, min(size, 1 << 20))
            if not part:
                return None
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view) :]


# -- a call ------------------------------------------------------------------------------------------------------------


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
    exec(code, module.__dict__)
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


# -- results -----------------------------------------------------------------------------------------------------------


def encode(value: Any) -> bytes:
    """Strict JSON. Raises Refused with the place of what is not: as `weft.values.encode`, and in its words."""
    try:
        if not suspicious(value):
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=plain)
            return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError, UnicodeEncodeError):
        pass
    place, reason = culprit(value, "$", 0) or ("$", "something in it is not JSON data")
    raise Refused("ValidationError", f"{reason} at {place}", place, "return JSON data")


def suspicious(value: Any) -> bool:
    """Whether plain containers hold what `json` would let pass: NaN, keys that are not text, huge integers, depth."""
    stack: list[tuple[Any, int]] = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        kind = type(item)
        if kind is float:
            if not math.isfinite(item):
                return True
        elif kind is int:
            if not -(1 << 63) <= item < 1 << 64:
                return True
        elif depth > MAX_DEPTH:
            return True
        else:
            if kind is dict and not {str}.issuperset(map(type, item)):
                return True
            inner = item.values() if kind is dict else item
            stack.extend([(x, depth + 1) for x in inner if type(x) in INSPECTED]) if kind in CONTAINERS else None
    return False


CONTAINERS: set[type] = {dict, list, tuple}
INSPECTED: set[type] = {dict, list, tuple, float, int}


def plain(value: Any) -> Any:
    """The JSON form of what is not JSON itself; what it holds is converted in turn. Raises TypeError."""
    found = opened(value)
    if suspicious(found):
        raise TypeError("not JSON data")
    return found


def opened(value: Any) -> Any:
    """One layer of a value in plain types. Modules are asked for only if the value's class can come from them."""
    kind = type(value)
    if hasattr(kind, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in kind.__dataclass_fields__}
    if hasattr(kind, "__struct_fields__"):
        return {name: getattr(value, name) for name in kind.__struct_fields__}
    if hasattr(kind, "__attrs_attrs__"):
        return {field.name: getattr(value, field.name) for field in kind.__attrs_attrs__}
    if hasattr(kind, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, (set, frozenset)):
        return sorted(value) if len(set(map(type, value))) == 1 else list(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        import base64

        return base64.b64encode(value).decode("ascii")
    return opened_by_module(value)


def opened_by_module(value: Any) -> Any:
    modules = sys.modules
    if "enum" in modules and isinstance(value, modules["enum"].Enum):
        return value.value
    if "datetime" in modules:
        known = modules["datetime"]
        if isinstance(value, known.datetime):
            text = value.isoformat()
            return text[:-6] + "Z" if text.endswith("+00:00") else text
        if isinstance(value, (known.date, known.time)):
            return value.isoformat()
        if isinstance(value, known.timedelta):
            return duration(value)
    if "uuid" in modules and isinstance(value, modules["uuid"].UUID):
        return str(value)
    if "decimal" in modules and isinstance(value, modules["decimal"].Decimal):
        return str(value)
    raise TypeError("not JSON data")


def duration(value: Any) -> str:
    """ISO 8601, as msgspec writes it: `P1DT3.5S`."""
    sign = "-" if value.days < 0 else ""
    value = abs(value)
    text = sign + "P" + (f"{value.days}D" if value.days or not value else "")
    if value.seconds or value.microseconds:
        fraction = f".{value.microseconds:06d}".rstrip("0") if value.microseconds else ""
        text += f"T{value.seconds}{fraction}S"
    return text


def culprit(value: Any, place: str, depth: int) -> tuple[str, str] | None:
    """The first place that cannot be encoded, and why."""
    if depth > MAX_DEPTH:
        return place, f"nested deeper than {MAX_DEPTH} levels"
    if value is None or isinstance(value, (str, float, int)):
        return scalar_culprit(value, place)
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                return place, f"the key {key!r} is not text"
            inside = f"{place}.{key}" if str(key).isprintable() else f"{place}[{key!a}]"
            found = scalar_culprit(key, inside) or culprit(item, inside, depth + 1)
            if found:
                return found
        return None
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            found = culprit(item, f"{place}[{index}]", depth + 1)
            if found:
                return found
        return None
    try:
        return culprit(opened(value), place, depth + 1)
    except Exception:
        return place, f"a {type(value).__name__} is not JSON data"


def scalar_culprit(value: Any, place: str) -> tuple[str, str] | None:
    if isinstance(value, float) and not math.isfinite(value):
        return place, f"{value} is not JSON"
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return place, "an integer beyond 64 bits"
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return place, "a lone surrogate is not text"
    return None


# -- errors ------------------------------------------------------------------------------------------------------------


def described(error: BaseException, request: dict[str, Any]) -> dict[str, Any]:
    """An exception as data: the user's frames only, in the document's lines."""
    if isinstance(error, Refused):
        return {"type": error.kind, "message": str(error), "place": error.place, "hint": error.hint, "classes": None}
    file = request["file"] or ""
    try:
        message = str(error)
    except Exception:
        message = "(its text could not be made)"
    return {
        "type": type(error).__name__,
        "message": message[:MAX_TRACEBACK],
        "place": place_of(error, file),
        "hint": None,
        "classes": [kind.__name__ for kind in type(error).__mro__],
        "traceback": traceback_of(error, file, request),
        "interrupted": not isinstance(error, Exception),
    }


def place_of(error: BaseException, file: str) -> str | None:
    """`file:line` of the innermost frame in the user's code."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return f"{file}:{error.lineno}"
    found = None
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == file:
            found = f"{file}:{step.tb_lineno}"
        step = step.tb_next
    return found


def traceback_of(error: BaseException, file: str, request: dict[str, Any]) -> str:
    import linecache
    import traceback

    if "source" in request:
        lines = [""] * (request["line"] - 1) + request["source"].splitlines()
        linecache.cache[file] = (0, None, [line + "\n" for line in lines], file)
    whole = traceback.TracebackException.from_exception(error, limit=-200)
    todo, seen = [whole], set()
    while todo:
        part = todo.pop()
        seen.add(id(part))
        part.stack[:] = users_frames(part.stack, file)
        inner = [part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ())]
        todo += [x for x in inner if x is not None and id(x) not in seen]
    try:
        return "".join(whole.format())[-MAX_TRACEBACK:]
    finally:
        linecache.cache.pop(file, None)


def users_frames(frames: Any, file: str) -> list[Any]:
    """From the first frame in the user's file on; without one, all that are not ours."""
    for index, frame in enumerate(frames):
        if frame.filename == file:
            return list(frames[index:])
    return [frame for frame in frames if frame.filename != __file__ and "importlib" not in frame.filename]


# -- the loop ----------------------------------------------------------------------------------------------------------


class Surroundings:
    """What a call may change for the next one, and is put back."""

    def __init__(self) -> None:
        self.folder = os.getcwd()
        self.environment = dict(os.environ)
        self.path = list(sys.path)

    def restore(self) -> None:
        if self.environment != os.environ:
            os.environ.clear()
            os.environ.update(self.environment)
        sys.path[:] = self.path
        try:
            if os.getcwd() == self.folder:
                return
        except OSError:
            pass
        os.chdir(self.folder)


def left_behind() -> bool:
    """Whether threads or child processes of the call are still there."""
    threading = sys.modules.get("threading")
    if threading is not None and threading.active_count() > 1:
        return True
    try:
        os.waitpid(-1, os.WNOHANG) if not hasattr(os, "waitid") else os.waitid(
            os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT
        )
    except OSError:
        return False
    return True


def answer(request: dict[str, Any], channel: Channel) -> tuple[bytes, bytes]:
    try:
        return b"R", perform(request, Context(channel, request["context"]))
    except BaseException as error:
        return b"E", json.dumps(described(error, request)).encode("ascii")


def flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # closed or replaced by the user's code
            continue


def main() -> None:
    channel = Channel(int(sys.argv[1]))
    sys.path[0] = os.getcwd()  # not the folder of this file: what stands beside the document can be imported
    sys.argv[1:] = []
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    surroundings = Surroundings()
    while True:
        frame = channel.receive()
        if frame is None:
            os._exit(0)
        kind, body = answer(json.loads(frame), channel)
        flush()
        sys.modules.pop(MODULE, None)
        try:
            surroundings.restore()
            dirty = left_behind()
        except OSError:
            dirty = True
        channel.send(kind.lower() if dirty else kind, body)


if __name__ == "__main__":
    main()
