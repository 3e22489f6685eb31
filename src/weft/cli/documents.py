"""`weft check`, `graph` and `nodes`: documents and what they may be made of. Nothing in here runs anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from weft.cli.options import json_option
from weft.cli.terminal import Out, harmless, one_line, streams, styled
from weft.errors import NotFoundError, WeftError, nearest

if TYPE_CHECKING:
    from weft.kinds import KindSpec, Setting


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@json_option
@click.option("--strict", is_flag=True, help="Warnings are errors.")
def check(files: tuple[str, ...], as_json: bool, strict: bool) -> int:
    """Find every mistake in documents; runs nothing.

    Exit 0 when all are valid, 65 when one is not, 66 when one is not there.
    """
    from weft.app.documents import load
    from weft.cli import diagnostics as shown
    from weft.cli.failures import report

    now = streams()
    found = []
    code = 0
    for file in files:
        try:
            loaded = load(file)
        except WeftError as error:
            code = max(code, report(error, now.err))
            continue
        listed = shown.strict(loaded.diagnostics) if strict else list(loaded.diagnostics)
        found += listed
        if not as_json:
            shown.show(listed, loaded.source, now.out)
            now.out.line(f"{one_line(file)}: {shown.summary(listed)}")
    if as_json:
        from weft.cli.json import write_object

        write_object(now.out.send, {**shown.check_object(found), **({"valid": False} if code else {})})
    return code or (0 if shown.is_valid(found) else 65)


@click.command()
@click.argument("file", metavar="FILE")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "mermaid", "dot", "json"]),
    default="text",
    show_default=True,
    help="How it is drawn.",
)
def graph(file: str, form: str) -> int:
    """Draw the document FILE; runs nothing."""
    from weft.app.documents import program_of

    program, _ = program_of(file)
    from weft.graph import render

    out = streams().out
    if form == "json":
        from weft.cli.json import write_object

        write_object(out.send, render.as_json(program.graph))
        return 0
    drawn = {"text": render.text, "mermaid": render.mermaid, "dot": render.dot}[form](program.graph)
    out.send((harmless(drawn).rstrip("\n") + "\n").encode(out.encoding, "backslashreplace"))
    return 0


@click.command()
@click.argument("kind", metavar="[KIND]", required=False)
@json_option
def nodes(kind: str | None, as_json: bool) -> int:
    """List the kinds of nodes, or say all about one."""
    from weft.app.documents import kinds

    known = kinds()
    out = streams().out
    if kind is not None and kind not in known:
        close = nearest(kind, list(known), count=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "`weft nodes` lists all kinds"
        raise NotFoundError(f"no node kind is called {kind!r}", hint=hint)
    listed = list(known.values()) if kind is None else [known[kind]]
    if as_json:
        from weft.cli.json import write_object

        objects = [_kind_object(spec) for spec in listed]
        write_object(out.send, objects if kind is None else objects[0])
    elif kind is None:
        for spec in listed:
            out.line(f"{spec.kind:<20} {one_line(spec.doc)}".rstrip())
    else:
        _tell(listed[0], out)
    return 0


def _kind_object(spec: KindSpec) -> dict[str, Any]:
    settings = [
        {
            "name": one.name,
            "type": one.type,
            "required": one.required,
            "default": one.default,
            "values": list(one.values),
            "doc": one.doc,
        }
        for one in spec.settings
    ]
    return {
        "kind": spec.kind,
        "doc": spec.doc,
        "output": spec.output,
        "main": spec.main,
        "effect": spec.effect,
        "settings": settings,
    }


def _tell(spec: KindSpec, out: Out) -> None:
    out.line(f"{styled(spec.kind, 'bold', out)}: {one_line(spec.doc)}")
    if spec.output:
        out.line(f"output: {one_line(spec.output)}")
    if spec.main:
        out.line(f"its own text is: {spec.main}")
    out.line(f"effect: {spec.effect}")
    for group in spec.one_of:
        out.line(f"exactly one of: {', '.join(group)}")
    if spec.settings:
        out.line("settings:")
    for setting in spec.settings:
        out.line(f"  {setting.name:<14} {_setting_words(setting)}")


def _setting_words(setting: Setting) -> str:
    kind = "|".join(setting.values) if setting.values else setting.type
    if setting.required:
        kind += ", required"
    elif setting.default is not None:
        from weft.cli.json import encode

        kind += f", default {setting.default if isinstance(setting.default, str) else encode(setting.default).decode()}"
    return f"{kind}: {one_line(setting.doc)}" if setting.doc else kind
