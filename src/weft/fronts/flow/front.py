"""The door to the flow front: a document's text in, a program or everything that is wrong out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import msgspec

from weft.fronts.flow.ast import Document
from weft.fronts.flow.check import analyse
from weft.fronts.flow.compare import compare as differences
from weft.fronts.flow.compile import compile_analysis
from weft.fronts.flow.parser import parse_document
from weft.fronts.flow.tags import HTML, LEAVES, PREFIXES, SCHEMES, TAGS
from weft.graph.work import Program
from weft.kinds import Kinds
from weft.text.source import Diagnostic, Source

_UNKNOWN_TAG = "WEFT210"
_TAG = re.compile(r"<([a-z][a-z0-9-]*+(?::[a-z][a-z0-9-]*+)?)")
_TYPED = re.compile(r"""<([a-z][a-z0-9-]*+)\b[^<>]{0,2000}?\btype\s*=\s*["']([a-z][a-z0-9-]*)["']""")


class Loaded(msgspec.Struct, frozen=True):
    """A document, read, checked and compiled. Without a program there is at least one error among the diagnostics.

    `source` is None when the file could not be read as text.
    """

    program: Program | None
    document: Document | None
    source: Source | None
    diagnostics: Sequence[Diagnostic] = ()


def load_document(source: Source, kinds_of: Callable[[Iterable[str]], Kinds]) -> Loaded:
    """The program of a document, the document itself, and all errors and warnings in the document's order.

    `kinds_of` is asked for the kinds that the document seems to use, so that nothing else has to be imported; it leaves
    out those it does not know. With errors it is asked for all of the language's: what a misspelt tag was meant to be
    is among them. Never raises.
    """
    kinds = kinds_of(kinds_in(source))
    document, found = parse_document(source, kinds)
    if any(d.code == _UNKNOWN_TAG for d in found):
        kinds = kinds_of([*kinds_in(source), *LEAVES])
        document, found = parse_document(source, kinds)
    if document is None or _is_full(found):
        return Loaded(None, document, source, found)
    analysis = analyse(document, kinds)
    diagnostics = merged(found, analysis.notes.sorted())
    if any(d.severity == "error" for d in diagnostics):
        return Loaded(None, document, source, diagnostics)
    return Loaded(compile_analysis(analysis), document, source, diagnostics)


def compare(old: Loaded, new: Loaded) -> tuple[dict[str, str], list[str]]:
    """What is different in a document: ids whose results no longer hold with the reason, and a line per difference.

    Both must have been compiled.
    """
    assert old.program is not None
    assert old.document is not None
    assert new.program is not None
    assert new.document is not None
    return differences((old.program.graph, old.document), (new.program.graph, new.document))


def kinds_in(source: Source) -> list[str]:
    """The node kinds that a document may use: every tag that is none of the language's or of HTML's."""
    names = dict.fromkeys(_TAG.findall(source.shadow))
    known = (name for name in names if name not in TAGS and (name not in HTML or name in PREFIXES))
    found = [name for name in known if name.partition(":")[0] not in SCHEMES]
    prefixes = {name.partition(":")[0] for name in found} | set(PREFIXES)
    typed = [f"{name}:{kind}" for name, kind in _TYPED.findall(source.shadow) if name in prefixes]
    return [name for name in dict.fromkeys((*found, *typed)) if name not in PREFIXES]


def merged(*lists: list[Diagnostic]) -> list[Diagnostic]:
    """All diagnostics by place, none twice; what says that there are more stays last."""
    unique = {(d.line, d.column, d.code, d.message): d for found in lists for d in found}
    return sorted(unique.values(), key=lambda d: (d.code == "WEFT299", d.line, d.column))


def _is_full(found: list[Diagnostic]) -> bool:
    return any(d.code == "WEFT299" for d in found)
