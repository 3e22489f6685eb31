"""Running small documents for real: a project in a temporary folder, a SQLite journal, real processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from weft import app
from weft.event_types import Event
from weft.journal.sqlite import SqliteStore


class Flows:
    """A project folder in which documents are written and run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "weft.toml").write_text("")

    def write(self, body: str, front: str = "", name: str = "doc") -> Path:
        """A document with this `<workflow>` body."""
        path = self.folder / f"{name}.flow.md"
        head = f"---\n{dedent(front).strip()}\n---\n" if front else ""
        path.write_text(f"{head}# A test\n\n<workflow>\n{dedent(body)}\n</workflow>\n")
        return path

    def run(self, body: str, front: str = "", **request: object) -> app.Outcome:
        """Write it and run it to its end."""
        return app.run(self.write(body, front), app.Request(**request))  # type: ignore[arg-type]

    def resume(self, run: str = "last", **options: object) -> app.Outcome:
        """Go on with a run of this project."""
        return app.resume(run, app.Request(journal=str(self.folder / ".weft")), **options)  # type: ignore[arg-type]

    @property
    def store(self) -> SqliteStore:
        """The project's runs."""
        return SqliteStore(self.folder / ".weft")

    def events(self, run: str = "last") -> list[Event]:
        """What the journal of a run says."""
        store = self.store
        reader = store.reader(store.resolve(run))
        try:
            return [event for batch in reader.read() for event in batch]
        finally:
            reader.close()

    def lines(self, name: str) -> list[str]:
        """The lines of a file in the project."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flows:
    """A fresh project; the working directory is inside it."""
    monkeypatch.chdir(tmp_path)
    return Flows(tmp_path)


Run = Callable[..., app.Outcome]
