"""What a function asks for, and what names its definition: read from the function, never by calling it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache, partial
from hashlib import sha256
from types import CodeType, FunctionType
from typing import Any

import msgspec

from weft.errors import InputError

_VARARGS, _VARKEYWORDS = 0x04, 0x08
CONTEXT = "ctx"
"""The parameter that gets the context also when nothing says so."""
_CONTEXT = "TaskContext"
_PLAIN = (str, bytes, int, float, bool, type(None))


class Asked(msgspec.Struct, frozen=True):
    """A parameter: its name, whether it has no default, whether it is annotated as the task's context."""

    name: str
    required: bool
    context: bool = False


def parameters_of(function: Callable[..., Any]) -> tuple[Asked, ...]:
    """The parameters that can be given by name; `*args` and `**kwargs` get nothing.

    A callable without a readable signature has none. Raises InputError for parameters that are positional only.
    """
    if type(function) is FunctionType and "__wrapped__" not in function.__dict__:
        return _of_code(function)
    return _of_signature(function)


def _of_code(function: FunctionType) -> tuple[Asked, ...]:
    """As inspect.signature would say, a hundred times faster: a workflow may have a hundred thousand functions."""
    code = function.__code__
    count = code.co_argcount
    if not count and not code.co_kwonlyargcount:
        return ()
    if code.co_posonlyargcount:
        raise _positional(function, code.co_varnames[0])
    names = code.co_varnames[: count + code.co_kwonlyargcount]
    without = count - len(function.__defaults__ or ())
    hints, keywords = function.__annotations__, function.__kwdefaults__ or {}
    return tuple(
        Asked(name, i < without if i < count else name not in keywords, _is_context(hints.get(name)))
        for i, name in enumerate(names)
    )


def _of_signature(function: Callable[..., Any]) -> tuple[Asked, ...]:
    import inspect

    try:
        parameters = inspect.signature(function).parameters.values()
    except Exception:  # it has none, or what it has is made by code of its own
        return ()
    if given := next((p.name for p in parameters if p.kind is p.POSITIONAL_ONLY and p.default is p.empty), None):
        raise _positional(function, given)
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return tuple(Asked(p.name, p.default is p.empty, _is_context(p.annotation)) for p in named)


def takes_by_position(function: Callable[..., Any]) -> bool:
    """Whether the first thing it gets cannot be given by name: `done.append`, `print`."""
    import inspect

    try:
        first = next(iter(inspect.signature(function).parameters.values()), None)
    except Exception:
        return False
    return first is not None and first.kind in (first.POSITIONAL_ONLY, first.VAR_POSITIONAL)


def _positional(function: Callable[..., Any], name: str) -> InputError:
    called = getattr(function, "__name__", repr(function))
    return InputError(
        f"{called}() takes {name!r} by position only",
        hint="tasks get their arguments by name: drop the /, or wrap it in a function",
    )


def _is_context(annotation: object) -> bool:
    if annotation is None:
        return False
    said = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return said.rpartition(".")[2] == _CONTEXT


def name_of(function: Callable[..., Any]) -> str:
    """The function's own name, empty when it has none that could be an id (a lambda, a partial, an object)."""
    name = getattr(function, "__name__", "")
    return name if isinstance(name, str) and name.isidentifier() else ""


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a call gives something to await."""
    while isinstance(function, partial):
        function = function.func
    code = getattr(function, "__code__", None)
    if isinstance(code, CodeType):
        if code.co_flags & 0x180:  # a coroutine, or an iterable one
            return True
        wrapped = getattr(function, "__wrapped__", None)
        return False if wrapped is None else _marked(function)
    return _marked(function) or _marked(getattr(function, "__call__", None))  # noqa: B004 - whether the call is async


def _marked(function: object) -> bool:
    from inspect import iscoroutinefunction

    return iscoroutinefunction(function)


def reference_to(function: Callable[..., Any]) -> tuple[str, str, str | None] | None:
    """Module, qualified name and file by which another process finds the function; None when it cannot."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if not isinstance(module, str) or not name or "<" in name:
        return None
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not function and getattr(found, "function", None) is not function:
        return None
    file = getattr(sys.modules[module], "__file__", None)
    return None if module == "__main__" and file is None else (module, name, file)


# -- what names a definition ------------------------------------------------------------------------------------------


def definition_of(function: Callable[..., Any]) -> str:
    """A digest (hex) of what the function does, as far as that can be read: its code, its defaults, and the plain
    values it closes over or was bound to.

    Comments, layout and decorators do not count. Another minor version of Python compiles to other code and so gives
    another digest: whoever resumes with it is told so.
    """
    return sha256(repr(_seen(function, 0)).encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _seen(function: Any, depth: int) -> Any:
    if depth > 4:
        return "..."
    if isinstance(function, partial):
        keywords = sorted((name, _value(value, depth)) for name, value in function.keywords.items())
        return ("partial", _seen(function.func, depth + 1), [_value(v, depth) for v in function.args], keywords)
    if isinstance(function, FunctionType):
        cells = [_cell(cell, depth) for cell in function.__closure__ or ()]
        defaults = [_value(value, depth) for value in function.__defaults__ or ()]
        keywords = sorted((name, _value(value, depth)) for name, value in (function.__kwdefaults__ or {}).items())
        return (_code(function.__code__), cells, defaults, keywords)
    bound = getattr(function, "__func__", None)
    if bound is not None:
        return ("method", type(function.__self__).__qualname__, _seen(bound, depth + 1))
    called = type(function).__dict__.get("__call__")
    if isinstance(called, FunctionType):
        return ("object", type(function).__qualname__, _seen(called, depth + 1))
    return ("named", getattr(function, "__module__", ""), getattr(function, "__qualname__", type(function).__name__))


def _cell(cell: Any, depth: int) -> Any:
    try:
        return _value(cell.cell_contents, depth)
    except ValueError:  # not filled yet
        return "empty"


def _value(value: object, depth: int) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, tuple | list) and len(value) <= 100:
        return [_value(item, depth) for item in value]
    if callable(value) and not isinstance(value, type):
        return _seen(value, depth + 1)
    return type(value).__qualname__


@lru_cache(maxsize=4096)
def _code(code: CodeType) -> str:
    constants = [_constant(c) for c in (code.co_consts[1:] if _has_docstring(code) else code.co_consts)]
    parts = (code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_flags & 0x1FF)
    return sha256(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()


def _constant(constant: object) -> Any:
    if isinstance(constant, CodeType):
        return _code(constant)
    if isinstance(constant, frozenset):  # its order differs from process to process
        return sorted(map(repr, constant))
    return (type(constant).__name__, repr(constant))


def _has_docstring(code: CodeType) -> bool:
    """Before 3.13 the first constant of a function is its docstring or None; since then a flag says so."""
    if sys.version_info >= (3, 13):
        return bool(code.co_flags & 0x4000000)
    first = code.co_consts[0] if code.co_consts else None
    return isinstance(first, str) and not code.co_name.startswith("<")
