"""Which class runs which node kind.

The built-in kinds are one literal table of names, so that a document imports only what it uses. Kinds of
others come by `register_runtime` or from installed packages (entry-point group `weft.runtimes`), which are
looked for only when a kind is not in the table.

A class of a user may declare its settings as a msgspec Struct (`settings_type`) instead of writing a
KindSpec:

    class Upload:
        kind = "acme:upload"
        settings_type = UploadSettings
        async def run(self, ctx, settings, input): ...

Its attempts then get an instance of the Struct; a value that does not fit is an error that names the setting.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, cast

import msgspec

from weft.errors import AttemptError, InputError, nearest
from weft.kinds import KindSpec, Setting, SettingType
from weft.values import plain

if TYPE_CHECKING:
    from weft.runtimes.base import AttemptContext, Runtime

GROUP = "weft.runtimes"

_BUILT_IN: dict[str, str] = {
    "source:file": "weft.runtimes.file:FileSource",
    "source:files": "weft.runtimes.file:FilesSource",
    "source:http": "weft.runtimes.http:HttpSource",
    "source:value": "weft.runtimes.simple:ValueSource",
    "transform:template": "weft.runtimes.transform:Template",
    "transform:value": "weft.runtimes.transform:Value",
    "transform:map": "weft.runtimes.transform:Map",
    "transform:filter": "weft.runtimes.transform:Filter",
    "transform:reduce": "weft.runtimes.transform:Reduce",
    "sink:file": "weft.runtimes.file:FileSink",
    "sink:http": "weft.runtimes.http:HttpSink",
    "command": "weft.runtimes.command:Command",
    "python": "weft.runtimes.python:Python",
    "delay": "weft.runtimes.simple:Delay",
    "set": "weft.runtimes.simple:Set",
    "context": "weft.runtimes.simple:Context",
}

_OF_PLANS: dict[str, str] = {
    "plan:head": "weft.runtimes.planned:Head",
    "plan:tree": "weft.runtimes.planned:NewTree",
    "plan:agent": "weft.runtimes.planagent:Agent",
    "plan:commit": "weft.runtimes.planned:Commit",
    "plan:fold": "weft.runtimes.planned:Fold",
    "plan:review": "weft.runtimes.planned:Review",
    "plan:value": "weft.runtimes.planned:Computed",
    "plan:sweep": "weft.runtimes.planned:Sweep",
}
"""Kinds that only plans compile to: no document may use them."""

_KIND = re.compile(r"[a-z][a-z0-9-]*(:[a-z][a-z0-9-]*)?\Z")
_registered: dict[str, type[Runtime]] = {}
_broken: dict[str, str] = {}
_searched = False


def register_runtime(cls: type[Any]) -> type[Any]:
    """Make a class the runtime of its kind; also as a decorator. Raises InputError when it cannot be one."""
    made = _adapted(cls)
    kind = made.spec.kind
    known = _registered.get(kind)
    if kind in _BUILT_IN or (known is not None and _origin(known) != _origin(made)):
        raise InputError(f"the node kind {kind!r} is already taken", hint="choose another name, like acme:upload")
    _registered[kind] = made
    return cls


def get(kind: str) -> type[Runtime]:
    """The class that runs `kind`. Raises InputError for a kind that nobody knows."""
    found = _find(kind) or _load(_OF_PLANS.get(kind))
    if found is not None:
        return found
    reason = _broken.get(kind)
    if reason is not None:
        raise InputError(f"the node kind {kind!r} cannot be loaded: {reason}")
    close = nearest(kind, [*_BUILT_IN, *_registered])
    raise InputError(
        f"no node kind is called {kind!r}",
        hint=f"did you mean {close[0]!r}?" if close else "`weft nodes` lists all kinds",
    )


def specs(kinds: Iterable[str]) -> dict[str, KindSpec]:
    """The declarations of those of `kinds` that exist."""
    found: dict[str, KindSpec] = {}
    for kind in kinds:
        runtime = _find(kind)
        if runtime is not None:
            found[kind] = runtime.spec
    return found


def all_specs() -> dict[str, KindSpec]:
    """The declarations of all kinds, also of installed packages, by kind."""
    _search()
    return specs([*_BUILT_IN, *sorted(_registered)])


def broken() -> Mapping[str, str]:
    """Kinds of installed packages that could not be loaded, and why (filled when they were looked for)."""
    return _broken


def _find(kind: str) -> type[Runtime] | None:
    where = _BUILT_IN.get(kind)
    if where is not None:
        return _load(where)
    if kind not in _registered:
        _search()
    return _registered.get(kind)


def _load(where: str | None) -> type[Runtime] | None:
    if where is None:
        return None
    module, _, name = where.partition(":")
    return cast("type[Runtime]", getattr(import_module(module), name))


def _search() -> None:
    """Load the runtimes of installed packages, once. One that fails is noted and hurts only those who use it."""
    global _searched
    if _searched:
        return
    _searched = True
    from importlib.metadata import entry_points

    for point in entry_points(group=GROUP):
        try:
            register_runtime(point.load())
        except Exception as error:  # a foreign package may raise anything while it is imported
            package = point.dist.name if point.dist is not None else point.value
            _broken[point.name] = f"{type(error).__name__}: {error} (from {package})"


# -- classes of users ----------------------------------------------------------------------------------------------


def _origin(cls: type[Any]) -> tuple[str, str]:
    made_from = getattr(cls, "made_from", cls)
    return made_from.__module__, made_from.__qualname__


def _adapted(cls: type[Any]) -> type[Runtime]:
    from inspect import iscoroutinefunction

    if not iscoroutinefunction(getattr(cls, "run", None)):
        raise InputError(
            f"{getattr(cls, '__name__', cls)} is no runtime: it has no `async def run(self, ctx, settings, input)`",
            hint="a runtime is a class with `kind` (or `spec`) and an async `run`",
        )
    spec = getattr(cls, "spec", None)
    settings_type = getattr(cls, "settings_type", None)
    if spec is None:
        spec = _declared(cls, settings_type)
    if not isinstance(spec, KindSpec) or not _KIND.match(spec.kind):
        raise InputError(f"{cls.__name__} does not say its node kind", hint='kind = "acme:upload"')
    if settings_type is None:
        if getattr(cls, "spec", None) is None:
            cls.spec = spec
        return cast("type[Runtime]", cls)
    return _converting(cls, spec, settings_type)


def _declared(cls: type[Any], settings_type: type[msgspec.Struct] | None) -> KindSpec:
    return KindSpec(
        kind=str(getattr(cls, "kind", "")),
        settings=() if settings_type is None else settings_of(settings_type),
        doc=" ".join((cls.__doc__ or "").partition("\n\n")[0].split()),
        output=getattr(cls, "output", ""),
        main=getattr(cls, "main", None),
        effect=getattr(cls, "effect", "idempotent"),
        takes_input=getattr(cls, "takes_input", True),
    )


def settings_of(struct: type[msgspec.Struct]) -> tuple[Setting, ...]:
    """The fields of a Struct as settings: their documents' names, types, defaults and descriptions."""
    info = msgspec.inspect.type_info(struct)
    if not isinstance(info, msgspec.inspect.StructType):
        raise InputError(f"{struct!r} is no msgspec.Struct", hint="settings_type is a msgspec.Struct")
    settings = []
    for field in info.fields:
        type_, values, doc = _setting_type(field.type)
        default = None if field.default is msgspec.NODEFAULT else plain(field.default)
        settings.append(Setting(field.encode_name, type_, doc, required=field.required, default=default, values=values))
    return tuple(settings)


def _setting_type(type_: msgspec.inspect.Type) -> tuple[SettingType, tuple[str, ...], str]:
    """A setting's type, its accepted words, and its description."""
    match type_:
        case msgspec.inspect.Metadata():
            inner, values, _ = _setting_type(type_.type)
            extra = (type_.extra or {}).get("setting")
            doc = (type_.extra_json_schema or {}).get("description", "")
            return cast("SettingType", extra or inner), values, doc
        case msgspec.inspect.UnionType():
            others = [t for t in type_.types if not isinstance(t, msgspec.inspect.NoneType)]
            return _setting_type(others[0]) if len(others) == 1 else ("any", (), "")
        case msgspec.inspect.LiteralType() if all(isinstance(v, str) for v in type_.values):
            return "enum", tuple(str(v) for v in type_.values), ""
        case msgspec.inspect.EnumType():
            return "enum", tuple(str(member.value) for member in type_.cls), ""
    for class_, name in _TYPES:
        if isinstance(type_, class_):
            return name, (), ""
    return "any", (), ""


_TYPES: tuple[tuple[Any, SettingType], ...] = (
    (msgspec.inspect.StrType, "text"),
    (msgspec.inspect.BoolType, "boolean"),
    (msgspec.inspect.IntType, "integer"),
    (msgspec.inspect.FloatType, "number"),
    (msgspec.inspect.CollectionType, "list"),
    (msgspec.inspect.TupleType, "list"),
    (msgspec.inspect.DictType, "object"),
    (msgspec.inspect.StructType, "object"),
)


def _converting(cls: type[Any], kind_spec: KindSpec, settings_type: type[msgspec.Struct]) -> type[Runtime]:
    class Converting(cls):  # type: ignore[misc]
        spec: ClassVar[KindSpec] = kind_spec
        made_from: ClassVar[type[Any]] = cls

        async def run(self, ctx: AttemptContext, settings: Mapping[str, Any], given: object, /) -> object:
            return await super().run(ctx, convert(settings, settings_type), given)

    Converting.__name__ = cls.__name__
    Converting.__qualname__ = cls.__qualname__
    Converting.__module__ = cls.__module__
    return cast("type[Runtime]", Converting)


def convert(settings: Mapping[str, Any], settings_type: type[msgspec.Struct]) -> msgspec.Struct:
    """The settings as the Struct. Raises AttemptError (`ValidationError`) that names the setting."""
    given = {name: value for name, value in settings.items() if value is not None}
    try:
        return msgspec.convert(given, settings_type)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        name, rest = re.match(r"\.?([^.\[`]*)([^`]*)", place).groups()  # type: ignore[union-attr]
        where = f"setting {name!r}" + (f" at {rest}" if rest else "") if name else "the settings"
        message = f"{where}: {reason[:1].lower()}{reason[1:]}"
        raise AttemptError(message, type="ValidationError") from None
