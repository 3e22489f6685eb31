from __future__ import annotations

import subprocess
import sys
from typing import Annotated, Any, Literal

import msgspec
import pytest

from weft.errors import AttemptError, InputError
from weft.kinds import KindSpec, Setting
from weft.runtimes import registry
from weft.runtimes.base import Runtime
from weft.runtimes.registry import all_specs, get, register_runtime, specs


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(registry, "_broken", {})
    monkeypatch.setattr(registry, "_searched", True)


class UploadSettings(msgspec.Struct, rename="kebab"):
    bucket: Annotated[str, msgspec.Meta(description="where to")]
    max_parts: int = 4
    mode: Literal["fast", "safe"] = "safe"
    tags: list[str] = []
    wait: Annotated[float, msgspec.Meta(extra={"setting": "duration"})] = 1.5
    note: str | None = None
    extra: dict[str, int] | list[int] = msgspec.field(default_factory=dict)


class Upload:
    """Puts a file
    somewhere.

    More.
    """

    kind = "acme:upload"
    main = "bucket"
    effect = "once"
    settings_type = UploadSettings

    async def run(self, ctx: Any, settings: UploadSettings, input: object) -> object:  # noqa: A002 - as users write it
        return [settings.bucket, settings.max_parts, settings.mode, settings.tags, input]


def test_every_built_in_kind_has_a_class_that_is_a_runtime() -> None:
    for kind, spec in all_specs().items():
        runtime = get(kind)
        assert runtime.spec is spec
        assert spec.kind == kind
        assert isinstance(runtime(), Runtime)
        assert spec.doc.endswith(".")
        assert spec.output
        names = [setting.name for setting in spec.settings]
        assert len(set(names)) == len(names)
        assert spec.main is None or spec.main in names
        assert {name for group in spec.one_of for name in group} <= set(names)
        for setting in spec.settings:
            assert setting.doc
            assert (setting.type == "enum") == bool(setting.values)
            assert setting.default is None or not setting.values or setting.default in setting.values


def test_an_unknown_kind_is_refused_with_a_suggestion() -> None:
    with pytest.raises(InputError) as caught:
        get("source:fil")
    assert caught.value.message == "no node kind is called 'source:fil'"
    assert caught.value.hint == "did you mean 'source:file'?"
    assert specs(["source:fil", "command"]) == {"command": get("command").spec}


def test_a_struct_declares_the_settings() -> None:
    assert register_runtime(Upload) is Upload
    assert get("acme:upload").spec == KindSpec(
        kind="acme:upload",
        doc="Puts a file somewhere.",
        main="bucket",
        effect="once",
        settings=(
            Setting("bucket", "text", "where to", required=True),
            Setting("max-parts", "integer", default=4),
            Setting("mode", "enum", default="safe", values=("fast", "safe")),
            Setting("tags", "list"),
            Setting("wait", "duration", default=1.5),
            Setting("note", "text"),
            Setting("extra", "any"),
        ),
    )
    assert "acme:upload" in all_specs()


def test_settings_arrive_converted(attempt: Any) -> None:
    register_runtime(Upload)
    assert attempt("acme:upload", {"bucket": "b", "max-parts": 2}, "in") == ["b", 2, "safe", [], "in"]
    assert attempt("acme:upload", {"bucket": "b", "tags": None}) == ["b", 4, "safe", [], None]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bucket": "b", "max-parts": "x"}, "setting 'max-parts': expected `int`, got `str`"),
        ({"bucket": "b", "tags": ["a", 1]}, "setting 'tags' at [1]: expected `str`, got `int`"),
        ({"bucket": "b", "mode": "slow"}, "setting 'mode': invalid enum value 'slow'"),
        ({}, "the settings: object missing required field `bucket`"),
    ],
)
def test_a_value_that_does_not_fit_names_the_setting(refused: Any, settings: Any, message: str) -> None:
    register_runtime(Upload)
    error: AttemptError = refused("acme:upload", settings)
    assert error.message == message
    assert error.type == "ValidationError"
    assert not error.retryable


def test_a_class_with_a_spec_of_its_own_is_taken_as_it_is(attempt: Any) -> None:
    class Plain:
        spec = KindSpec(kind="plain", settings=(Setting("a", "text"),))

        async def run(self, ctx: Any, settings: Any, given: object) -> object:
            return settings["a"]

    register_runtime(Plain)
    assert get("plain") is Plain
    assert attempt("plain", {"a": "x"}) == "x"


def test_what_is_no_runtime_is_refused() -> None:
    class NoRun:
        kind = "no:run"

    class NoKind:
        async def run(self, ctx: Any, settings: Any, given: object) -> object: ...

    class Taken(NoKind):
        kind = "command"

    class BadName(NoKind):
        kind = "Not A Kind"

    for cls, message in (
        (NoRun, "NoRun is no runtime: it has no `async def run(self, ctx, settings, input)`"),
        (NoKind, "NoKind does not say its node kind"),
        (BadName, "BadName does not say its node kind"),
        (Taken, "the node kind 'command' is already taken"),
    ):
        with pytest.raises(InputError) as caught:
            register_runtime(cls)
        assert caught.value.message == message


def test_registering_the_same_class_again_is_fine_and_another_is_not() -> None:
    register_runtime(Upload)
    register_runtime(Upload)
    other = type("Other", (Upload,), {})
    with pytest.raises(InputError, match="'acme:upload' is already taken"):
        register_runtime(other)


class Point:
    """An entry point as importlib.metadata gives it."""

    def __init__(self, name: str, loaded: Any) -> None:
        self.name = name
        self.value = "acme_package:X"
        self.dist = None
        self._loaded = loaded

    def load(self) -> Any:
        if isinstance(self._loaded, Exception):
            raise self._loaded
        return self._loaded


def test_installed_packages_are_searched_only_for_unknown_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def entry_points(*, group: str) -> list[Point]:
        asked.append(group)
        return [Point("upload", Upload), Point("acme:broken", ImportError("no module named x"))]

    monkeypatch.setattr(registry, "_searched", False)
    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    get("command")
    specs(["set", "python"])
    assert asked == []
    assert get("acme:upload").spec.main == "bucket"
    assert "acme:upload" in specs(["acme:upload"])
    with pytest.raises(InputError) as caught:
        get("acme:broken")
    assert caught.value.message == (
        "the node kind 'acme:broken' cannot be loaded: ImportError: no module named x (from acme_package:X)"
    )
    assert asked == ["weft.runtimes"]


def test_only_a_class_can_be_registered() -> None:
    with pytest.raises(InputError, match="3 is no runtime"):
        register_runtime(3)  # type: ignore[arg-type]


def test_declarations_cost_no_heavy_import() -> None:
    code = (
        "import sys; from weft.runtimes.registry import _BUILT_IN, specs; specs(['command'])\n"
        "assert 'weft.runtimes.http' not in sys.modules\n"
        "specs(_BUILT_IN)\n"
        "heavy = ('asyncio', 'httpx2', 'httpcore2', 'ssl', 'yaml', 'sqlite3', 'importlib.metadata')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
