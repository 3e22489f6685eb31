"""Plans run by the real command, with scripted agents on a real repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents.scripted import Steps
from plans.ground import Ground


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where processes keep compiled modules."""
    return tmp_path_factory.mktemp("bytecode")


Make = Callable[..., Ground]


@pytest.fixture
def make(tmp_path: Path, bytecode: Path) -> Iterator[Make]:
    """Makes grounds, each in a folder of its own."""
    made: list[Ground] = []

    def one(script: dict[str, Steps] | None = None) -> Ground:
        made.append(Ground(tmp_path / f"ground-{len(made)}", script, bytecode))
        return made[-1]

    yield one
    for ground in made:
        ground.end()


@pytest.fixture
def ground(make: Make) -> Ground:
    return make()
