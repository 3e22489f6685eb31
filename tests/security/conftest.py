"""A fresh project for every test, and a server to talk to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hostile.project import Project
from hostile.server import Echo, echo_server


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project folder with room beside it; the working directory is inside it."""
    made = Project(tmp_path / "project")
    monkeypatch.chdir(made.folder)
    return made


@pytest.fixture
def server() -> Iterator[Echo]:
    """A server on loopback."""
    with echo_server() as echo:
        yield echo
