"""One attempt of one runtime, on a loop of its own, with what it opened closed again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from backends.conftest import anyio_backend as anyio_backend
from backends.conftest import children as children
from backends.conftest import trace as trace
from runtimes.repositories import Sandbox
from weft.backends.children import Children
from weft.errors import AttemptError
from weft.runtimes.base import AttemptContext, World
from weft.runtimes.registry import get

Attempt = Callable[..., Any]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder, with something outside of it."""
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("outside")
    return folder


@pytest.fixture
def make_world(project: Path) -> Callable[..., World]:
    def make(**changes: Any) -> World:
        return World(**{"run_id": "r1", "folder": project, **changes})

    return make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()


@pytest.fixture
def attempt(world: World) -> Attempt:
    """`attempt(kind, settings, input, world=, **context)`: its result, or the exception."""

    def run(kind: str, settings: Mapping[str, Any], given: object = None, **context: Any) -> Any:
        here = context.pop("world", world)

        async def go() -> Any:
            ctx = AttemptContext(here, context.pop("path", "n"), **context)
            try:
                return await get(kind)().run(ctx, settings, given)
            finally:
                await here.resources.aclose()

        return asyncio.run(go())

    return run


@pytest.fixture
def refused(attempt: Attempt) -> Callable[..., AttemptError]:
    """As `attempt`, for one that must fail: the error."""

    def run(*args: Any, **context: Any) -> AttemptError:
        with pytest.raises(AttemptError) as caught:
            attempt(*args, **context)
        return caught.value

    return run


@pytest.fixture
async def sandbox(tmp_path: Path, children: Children) -> AsyncIterator[Sandbox]:
    """A git repository with one commit, opened."""
    sandbox = Sandbox(tmp_path / "repository", children)
    sandbox.init({"a.txt": "one\ntwo\nthree\n", "folder/b.txt": "b\n", "c.txt": "c\n"})
    await sandbox.open()
    yield sandbox
    sandbox.close()
