"""Node kinds for tests of the flow front, as the runtimes would declare them."""

from __future__ import annotations

from weft.kinds import KindSpec, Setting


def _kind(kind: str, *settings: str, main: str | None = None) -> KindSpec:
    return KindSpec(kind, tuple(Setting(name, "text") for name in settings), main=main)


KINDS = {
    spec.kind: spec
    for spec in (
        _kind("source:file", "path", "format"),
        _kind("source:http", "url", "method", "headers", "params", "body", "json", "extract", "timeout"),
        _kind("source:value", "value", main="value"),
        _kind("transform:template", "template", "format", main="template"),
        _kind("transform:filter", "condition", main="condition"),
        _kind("transform:map", "expression", main="expression"),
        _kind("sink:file", "path", "format", "append", "pretty"),
        _kind("command", "script", "argv", "cwd", "env", "stdin", "output", "expect", main="script"),
        _kind("python", "code", "call", "args", "isolation", main="code"),
        _kind("delay", "duration", main="duration"),
        _kind("set", "var", "value", "expression"),
        _kind("vendor:thing", "url"),
    )
}
