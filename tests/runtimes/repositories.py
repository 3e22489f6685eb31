"""Real git repositories for the tests, and git as its user calls it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from agents.scripted import git_environment
from weft.backends.children import Children
from weft.runtimes.commits import Folded, commit_all, fold
from weft.runtimes.git import Repository, Tree, open_repository
from weft.runtimes.worktrees import add_worktree


class Sandbox:
    """A repository at `top`. `git` is the user's git: it obeys the repository's own configuration."""

    def __init__(self, top: Path, children: Children) -> None:
        self.top = top
        self.state = top / ".weft"
        self.children = children
        self.canary = top.parent / "canary"
        self.repository: Repository
        self._open: list[Repository] = []

    def init(self, files: dict[str, str]) -> str:
        """The repository with one commit, on `main`; the state folder ignores itself. The commit."""
        self.top.mkdir()
        self.git("init", "-q", "-b", "main")
        self.write(files)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "first")
        self.state.mkdir()
        (self.state / ".gitignore").write_text("*\n")
        return self.commit()

    def write(self, files: dict[str, str], top: Path | None = None) -> None:
        for name, text in files.items():
            path = (top or self.top) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    async def open(self, folder: Path | None = None, **env: str) -> Repository:
        self.repository = await open_repository(
            self.children, folder or self.top, env={**git_environment(), **env}, state=self.state
        )
        self._open.append(self.repository)
        return self.repository

    def close(self) -> None:
        for repository in self._open:
            repository.close()

    def git(self, *words: str, cwd: Path | str | None = None, check: bool = True) -> str:
        done = subprocess.run(
            ["git", *words], cwd=cwd or self.top, env=git_environment(), capture_output=True, text=True, check=False
        )
        assert not check or not done.returncode, done.stderr
        return done.stdout.removesuffix("\n")

    def commit(self, name: str = "HEAD") -> str:
        return self.git("rev-parse", name)

    def subjects(self, name: str = "main") -> list[str]:
        """The messages of the first parents, oldest first."""
        return self.git("log", "--reverse", "--first-parent", "--format=%s", name).splitlines()

    def status(self, cwd: Path | str | None = None) -> list[str]:
        return self.git("status", "--porcelain", cwd=cwd).splitlines()

    def program(self, name: str = "canary.sh") -> Path:
        """A program that leaves a canary, and passes on what it reads."""
        file = self.top.parent / name
        file.write_text(f'#!/bin/sh\necho "$0 $@" >> {self.canary}\ncat\n')
        file.chmod(0o755)
        return file

    async def task(self, number: int, base: str | None = None, files: dict[str, str] | None = None) -> Tree:
        """The work tree of a task, in which it has written `files`."""
        tree = await add_worktree(
            self.repository, self.state / f"worktrees/task-{number}", f"weft/r1/task-{number}", base or self.commit()
        )
        self.write(files or {}, Path(tree.path))
        return tree

    async def finish(self, tree: Tree, base: str, **options: Any) -> Folded:
        """Commit what the task did and fold it into `main`."""
        tip = await commit_all(self.repository, tree, f"{Path(tree.path).name}", base=base)
        assert tip is not None
        return await fold(self.repository, "main", base, tip, **options)
