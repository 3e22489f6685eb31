"""`python`: a function of the document, or one that can be imported.

The code of a document runs in a warm worker process (real parallelism, can be killed), an imported function
in a thread; `isolation` says otherwise. Either way the function gets its parameters by name, and only what it
asks for is computed and sent: the signature is read from the code's syntax tree before anything runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from weft.errors import AttemptError, InternalError, nearest
from weft.kinds import KindSpec, Setting
from weft.runtimes.base import AttemptContext
from weft.runtimes.failures import bad_setting
from weft.values import decode, type_name

if TYPE_CHECKING:
    import ast

    from weft.backends.process import WorkerPool

MAIN = "main"
FILE = "<python>"


class Python:
    """`python`."""

    spec: ClassVar[KindSpec] = KindSpec(
        kind="python",
        doc="Calls a Python function: `main` of its own code, or one that can be imported.",
        output="what the function returns",
        main="code",
        one_of=(("code", "call"),),
        settings=(
            Setting("code", "text", "code that defines `def main(...)` or `async def main(...)`", template=False),
            Setting("call", "text", "`package.module:function`", template=False),
            Setting("args", "object", "arguments by name, before those that are found by name"),
            Setting(
                "isolation",
                "enum",
                "where it runs; code in a process, `call` in a thread if not given",
                values=("process", "thread"),
            ),
            Setting("interpreter", "text", "another Python for the process"),
        ),
    )

    async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object) -> object:
        """The function's result. Raises AttemptError for what it raises."""
        args = settings.get("args")
        if args is not None and not isinstance(args, Mapping):
            raise bad_setting("args", f"expected an object, got a {type_name(args)}")
        known = Names(ctx.arguments or {"input": given}, args or {})
        code, call = settings.get("code"), settings.get("call")
        if code is not None:
            isolation = settings.get("isolation") or "process"
            if isolation == "process":
                return await _in_worker(ctx, code, known, settings.get("interpreter"))
            return await _in_thread(ctx, await ctx.in_thread(defined, code, ctx.place), known)
        module, function = split_call(str(call))
        if settings.get("isolation") == "process":
            return await _called_in_worker(ctx, module, function, known, settings.get("interpreter"))
        return await _in_thread(ctx, await ctx.in_thread(imported, module, function, str(ctx.folder)), known)


class Names:
    """The arguments a function may ask for: those of `args` first, then those found by name."""

    __slots__ = ("_found", "_given")

    def __init__(self, found: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        self._found = found
        self._given = given

    def __contains__(self, name: str) -> bool:
        return name in self._given or name in self._found

    def __getitem__(self, name: str) -> Any:
        return self._given[name] if name in self._given else self._found[name]

    def chosen(self, wanted: Wanted, function: str) -> dict[str, Any]:
        """The arguments for a signature. Raises AttemptError that names a parameter nobody provides."""
        for name in wanted.required:
            if name not in self and name != "ctx":
                raise self._missing(name, function)
        if wanted.everything:
            return {**{name: self[name] for name in wanted.names if name in self}, **self._given}
        for name in self._given:
            if name not in wanted.names:
                raise bad_setting("args", f"{function}() takes no {name!r}")
        return {name: self[name] for name in wanted.names if name in self}

    def all(self) -> dict[str, Any]:
        """Every argument there is."""
        return {**self._found, **self._given}

    def _missing(self, name: str, function: str) -> AttemptError:
        available = sorted({*self._found, *self._given, "ctx"})
        close = nearest(name, available)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return AttemptError(
            f"{function}() asks for {name!r}, which is not there",
            type="ValidationError",
            hint=f"{hint}available: {', '.join(available)}",
        )


class Wanted:
    """What a signature asks for: its names, those without a default, and whether it takes any (`**`)."""

    __slots__ = ("everything", "names", "required")

    def __init__(self, names: tuple[str, ...], required: tuple[str, ...], everything: bool) -> None:
        self.names = names
        self.required = required
        self.everything = everything


class CallContext:
    """`ctx` of a function in a thread, as in a worker: `deadline` is Unix time or None."""

    def __init__(self, ctx: AttemptContext) -> None:
        self.__dict__.update(facts(ctx))
        self._log = ctx.log

    def log(self, *words: object) -> None:
        """A line for the log of the run."""
        self._log("log", " ".join(map(str, words)).encode("utf-8", "backslashreplace"))

    def report(self, progress: float | None = None, metrics: Mapping[str, Any] | None = None) -> None:
        """How far it is (0 to 1), and numbers worth showing."""
        from weft.values import encode

        self._log("report", encode({"progress": progress, "metrics": dict(metrics or {})}))


def facts(ctx: AttemptContext) -> dict[str, Any]:
    """What a function may know about its attempt."""
    left = ctx.remaining()
    return {
        "run_id": ctx.run_id,
        "path": ctx.path,
        "attempt": ctx.attempt,
        "key": ctx.key,
        "deadline": None if left is None else ctx.clock.now() + left,
    }


# -- in a worker ----------------------------------------------------------------------------------------------------


async def _in_worker(ctx: AttemptContext, code: str, known: Names, interpreter: str | None) -> object:
    from weft.backends.base import Code

    wanted = signature_in(code)
    arguments = known.all() if wanted is None else known.chosen(wanted, MAIN)
    file, line = ctx.place or (FILE, 1)
    work = Code(code, file, line)
    pool = _pool(ctx, interpreter)
    return decode(await pool.call(work, arguments, context=facts(ctx), on_output=ctx.log))


async def _called_in_worker(
    ctx: AttemptContext, module: str, function: str, known: Names, interpreter: str | None
) -> object:
    from weft.backends.base import Reference

    pool = _pool(ctx, interpreter)
    work = Reference(module, function)
    return decode(await pool.call(work, known.all(), context=facts(ctx), on_output=ctx.log))


def _pool(ctx: AttemptContext, interpreter: str | None) -> WorkerPool:
    """The run's workers, or those of another interpreter, made at their first use."""
    import os

    from weft.backends.process import WorkerPool

    world = ctx.world
    if interpreter is None and world.workers is not None:
        return world.workers
    children = world.children
    if children is None:
        raise InternalError("Python code was to be run without a place for child processes")
    chosen = interpreter or world.interpreter

    def make() -> WorkerPool:
        return WorkerPool(
            children, size=max(2, os.cpu_count() or 1), interpreter=chosen, cwd=world.folder, env=world.env
        )

    return ctx.resources.obtain(f"workers {chosen} {world.folder}", make, lambda pool: pool.close())


@lru_cache(maxsize=256)
def signature_in(code: str) -> Wanted | None:
    """What `main` in `code` asks for; None where its text alone does not say (decorated, assigned, not
    Python).
    """
    import ast

    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    found: ast.FunctionDef | ast.AsyncFunctionDef | None = None
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) and statement.name == MAIN:
            found = statement
        elif found is None and MAIN in _assigned(statement):
            return None
    if found is None or found.decorator_list:
        return None
    a = found.args
    plain = [*a.posonlyargs, *a.args]
    required = [arg.arg for arg in plain[: len(plain) - len(a.defaults)]]
    required += [arg.arg for arg, default in zip(a.kwonlyargs, a.kw_defaults, strict=True) if default is None]
    names = tuple(arg.arg for arg in (*plain, *a.kwonlyargs))
    return Wanted(names, tuple(required), a.kwarg is not None)


def _assigned(statement: ast.stmt) -> list[str]:
    import ast

    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


# -- in a thread ----------------------------------------------------------------------------------------------------


def split_call(text: str) -> tuple[str, str]:
    """Module and function of `package.module:function`."""
    module, colon, function = text.strip().partition(":")
    words = [*module.split("."), *function.split(".")]
    if not colon or not all(word.isidentifier() for word in words):
        raise bad_setting("call", f"{text!r} is not `package.module:function`")
    return module, function


def imported(module: str, function: str, folder: str) -> Callable[..., Any]:
    """The function, looked for beside the document, too. Raises AttemptError."""
    import sys
    from importlib import import_module

    if folder not in sys.path:
        sys.path.append(folder)  # last, so that it hides nothing; for good, so that later imports find it as well
    try:
        found: Any = import_module(module)
    except ModuleNotFoundError as error:
        raise AttemptError(
            f"cannot import {module!r}: {error}", type="ImportError", hint=f"looked for in {folder}, too"
        ) from None
    for part in function.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise AttemptError(f"there is no function {function!r} in {module!r}", type="NoFunction")
    called: Callable[..., Any] = found
    return called


def defined(code: str, place: tuple[str, int] | None) -> Callable[..., Any]:
    """`main` of the document's code, run in a namespace of its own. Raises AttemptError."""
    file, line = place or (FILE, 1)
    try:
        compiled = compile("\n" * (line - 1) + code, file, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise AttemptError(str(error.msg), type="SyntaxError", place=f"{file}:{error.lineno}") from None
    namespace: dict[str, Any] = {"__name__": "__document__", "__file__": file}
    try:
        exec(compiled, namespace)  # noqa: S102 - the document's own program, no data
    except Exception as error:
        raise failure_of(error, file) from None
    found = namespace.get(MAIN)
    if not callable(found):
        raise AttemptError(
            "the code defines no function `main`", type="NoFunction", hint="begin it with `def main(...):`"
        )
    called: Callable[..., Any] = found
    return called


async def _in_thread(ctx: AttemptContext, function: Callable[..., Any], known: Names) -> object:
    """Call `function` with what it asks for: on the loop when it is async, else in a thread."""
    from inspect import iscoroutinefunction

    wanted = signature_of(function)
    arguments = known.chosen(wanted, getattr(function, "__name__", "the function"))
    if "ctx" in wanted.names and "ctx" not in arguments:
        arguments["ctx"] = CallContext(ctx)
    code = getattr(function, "__code__", None)
    try:
        if iscoroutinefunction(function):
            return await function(**arguments)
        return await ctx.in_thread(lambda: function(**arguments))
    except AttemptError:
        raise
    except Exception as error:
        _tell(ctx, error)
        raise failure_of(error, code.co_filename if code is not None else None) from error


def signature_of(function: Callable[..., Any]) -> Wanted:
    """What a function asks for; without a readable signature: nothing."""
    import inspect

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return Wanted((), (), False)
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return Wanted(
        tuple(p.name for p in named),
        tuple(p.name for p in named if p.default is p.empty),
        any(p.kind == p.VAR_KEYWORD for p in parameters),
    )


def failure_of(error: Exception, file: str | None) -> AttemptError:
    """An exception of the user's function as ours; the place is its last line in `file`."""
    from traceback import extract_tb

    from weft.backends.base import is_retryable

    frames = [frame for frame in extract_tb(error.__traceback__) if file is None or frame.filename == file]
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None
    name = type(error).__name__
    retryable = is_retryable(cls.__name__ for cls in type(error).__mro__)
    return AttemptError(str(error) or name, type=name, place=place, retryable=retryable)


def _tell(ctx: AttemptContext, error: Exception) -> None:
    from traceback import format_exception

    ctx.log("stderr", "".join(format_exception(error)).encode("utf-8", "backslashreplace"))
