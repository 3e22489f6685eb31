"""`weft run --dry-run`: waves, effects and the estimated time, for people and for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.cli.terminal import Out, Streams, harmless, one_line, styled
from weft.cli.words import counted, seconds

if TYPE_CHECKING:
    from weft.app import Request
    from weft.app.documents import Loaded
    from weft.app.preview import Estimate, Preview

SCHEMA = "weft.app.preview/1"
_TITLES = {
    "host": "speaks to",
    "read": "reads",
    "write": "writes",
    "command": "runs commands",
    "python": "runs Python",
    "other": "does what its kind does",
}
_NAMES = 12
"""Nodes of a wave that are named."""


def show_preview(file: str, loaded: Loaded, request: Request, now: Streams, *, as_json: bool) -> int:
    """Say what a run would do."""
    from weft.app.preview import preview

    found = preview(file, loaded, request.settings())
    if as_json:
        from weft.cli.json import write_object

        fields = {name: getattr(found, name) for name in found.__struct_fields__}
        write_object(now.out.send, {"schema": SCHEMA, **fields})
    else:
        _tell(found, now.out)
    return 0


def _tell(found: Preview, out: Out) -> None:
    nodes = sum(len(wave) for wave in found.waves)
    title = f"{counted(nodes, 'node')} in {counted(len(found.waves), 'wave')}"
    how = f"{found.schedule}, {counted(found.jobs, 'job')} at once"
    out.line(f"{one_line(found.workflow)}: {title}, {how}; nothing is run")
    for number, wave in enumerate(found.waves):
        more = f" and {len(wave) - _NAMES:,} more" if len(wave) > _NAMES else ""
        out.line(f"  wave {number}: {', '.join(wave[:_NAMES])}{more}")
    _tell_effects(found, out)
    out.line(f"time: {_time(found.estimate)}")


def _tell_effects(found: Preview, out: Out) -> None:
    for what, title in _TITLES.items():
        effects = [effect for effect in found.effects if effect.what == what]
        if not effects:
            continue
        out.line(styled(f"{title}:", "bold", out))
        for effect in effects:
            _tell_text(effect.node, effect.text, out)
    for title, names in (("secrets", found.secrets), ("environment", found.env), ("more folders", found.paths)):
        if names:
            out.line(f"{styled(title + ':', 'bold', out)} {', '.join(map(one_line, names))}")
    if found.hosts is not None:
        out.line(f"{styled('only these hosts:', 'bold', out)} {', '.join(map(one_line, found.hosts)) or 'none'}")
    if not found.effects:
        out.line("touches nothing outside")


def _tell_text(node: str, text: str, out: Out) -> None:
    """A text of the document: all of a command is shown, as it is what would be run."""
    lines = harmless(text).splitlines() or [""]
    out.line(f"  {one_line(node)}: {lines[0]}")
    for line in lines[1:]:
        out.line(f"  {' ' * len(node)}  {line}")


def _time(estimate: Estimate) -> str:
    if estimate.seconds is None:
        return "unknown, as it has not run yet"
    path = " -> ".join(estimate.path[:_NAMES]) + (" -> …" if len(estimate.path) > _NAMES else "")
    known = f"{estimate.known} of {counted(estimate.leaves, 'duration')} known"
    return f"about {seconds(estimate.seconds)}, along {path} ({known})"
