"""Documents for the doors: reading, checking, compiling, and the copies that a run keeps. Runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from weft.errors import DocumentError, JournalError
from weft.event_types import Event, RunResumed
from weft.fronts.flow import Loaded, load_document
from weft.graph.work import Program
from weft.kinds import KindSpec, Setting, SettingType
from weft.runtimes import registry
from weft.text.source import Diagnostic, Source, read_source, render

__all__ = [
    "SAVED", "Diagnostic", "Loaded", "Source", "check", "keep", "kept_files", "kinds", "load", "load_source",
    "program_of", "render", "show_as_running", "that_ran",
]  # fmt: skip

SAVED = "document.flow.md"
"""The copy of the document that a run keeps in its folder."""


def load(path: str | Path) -> Loaded:
    """Read, check and compile a document. Raises NotFoundError, DeniedError."""
    try:
        source = read_source(path)
    except DocumentError as error:
        return Loaded(None, None, None, error.diagnostics)
    return load_source(source)


def load_source(source: Source) -> Loaded:
    """Check and compile a document that has been read."""
    return load_document(source, registry.specs)


def check(paths: Iterable[str | Path]) -> list[tuple[Source | None, Sequence[Diagnostic]]]:
    """All diagnostics of each document, with the text they point into."""
    found = [load(path) for path in paths]
    return [(one.source, one.diagnostics) for one in found]


def program_of(document: str | Path | Loaded) -> tuple[Program, Loaded]:
    """The compiled document. Raises DocumentError with every diagnostic when it has errors."""
    loaded = document if isinstance(document, Loaded) else load(document)
    if loaded.program is None:
        raise DocumentError(loaded.diagnostics, loaded.source)
    return loaded.program, loaded


# -- the documents a run keeps -----------------------------------------------------------------------------------------

EARLIER = "documents"
"""Folder of a run: the documents that it was resumed with, each named by its digest."""


def that_ran(folder: Path, digest: str | None, name: str) -> Source:
    """The run's copy of the document that its last sitting ran. Raises NotFoundError."""
    kept = folder / EARLIER / f"{digest}.flow.md"
    return Source(name, read_source(kept if kept.exists() else folder / SAVED).text)


def kept_files(program: Program) -> dict[str, bytes]:
    """The files that a run begins with: its document, when it has one."""
    return {} if program.text is None else {SAVED: program.text}


def keep(folder: Path | None, program: Program) -> None:
    """Keep the text under its digest, durably: the journal is about to name it. Raises JournalError."""
    if folder is not None and program.text is not None:
        (folder / EARLIER).mkdir(exist_ok=True, mode=0o700)
        _replace(folder / EARLIER / f"{program.digest}.flow.md", program.text)


def show_as_running(folder: Path | None, program: Program, event: Event) -> None:
    """Once the journal says that it is the document that runs, it is the one that readers of the run see."""
    if folder is not None and program.text is not None and isinstance(event, RunResumed):
        _replace(folder / SAVED, program.text)


def _replace(path: Path, data: bytes) -> None:
    from weft.journal.folder import write_file

    try:
        write_file(path, data)
    except OSError as error:
        message = f"cannot keep the document: {error.strerror}: {path}"
        raise JournalError(message, hint="see to the disk, then resume") from error


# -- what documents may be made of -------------------------------------------------------------------------------------

_BLOCKS: dict[str, tuple[str, str]] = {
    "parallel": ("Runs its branches at once.", "a list of the branches' outputs; `wait` and `merge` change that"),
    "foreach": ("Runs its body for each item of a list.", "a list of the iterations' outputs"),
    "if": ("Runs `<then>` or `<else>`.", "the last output of the body that ran"),
    "switch": ("Runs the first `<case>` whose condition is true, else `<default>`.", "the last output of that body"),
    "loop": ("Runs its body again and again, at most `max` times.", "the last output of the last round"),
    "while": ("Runs its body as long as a condition holds.", "the last output of the last round"),
    "break": ("Ends the iteration or the loop around it.", ""),
}
_TYPES: dict[str, SettingType] = {
    "collection": "expression",
    "condition": "expression",
    "when": "expression",
    "break": "expression",
    "concurrency": "integer",
    "max": "integer",
    "all": "boolean",
}


def kinds() -> dict[str, KindSpec]:
    """Everything a document may be made of, by kind: leaves (also of installed packages), then blocks."""
    from weft.fronts.flow.tags import TAGS

    found = registry.all_specs()
    for kind, (doc, output) in _BLOCKS.items():
        tag = TAGS[kind]
        names = (*tag.settings, *tag.attributes)
        settings = tuple(Setting(name, _TYPES.get(name, "text"), required=name in tag.required) for name in names)
        found[kind] = KindSpec(kind=kind, settings=settings, doc=doc, output=output, effect="pure")
    return found
