"""Which repositories tasks can run in, and what our own calls of git must never run."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.scripted import git_environment
from runtimes.repositories import Sandbox
from weft.backends.children import Children
from weft.errors import CannotCreateError
from weft.runtimes.commits import commit_all, fold
from weft.runtimes.failures import GitError
from weft.runtimes.git import checked_branch, checked_commit, discover, make_state, open_repository
from weft.runtimes.gitstate import current_branch, dirty_files, head, ready, unfinished
from weft.runtimes.worktrees import add_worktree, remove_worktree, reset_worktree, save_patch

pytestmark = pytest.mark.anyio


def refused_with(caught: pytest.ExceptionInfo[GitError]) -> tuple[str, str, str | None]:
    return caught.value.type, caught.value.message, caught.value.hint


# -- where it can run --------------------------------------------------------------------------------------------------


async def test_a_repository_is_found_from_any_folder_in_it(sandbox: Sandbox) -> None:
    assert discover(sandbox.top / "folder").top == str(sandbox.top)
    (sandbox.top.parent / "link").symlink_to(sandbox.top / "folder")
    assert discover(sandbox.top.parent / "link").top == str(sandbox.top)
    standing = await ready(sandbox.repository)
    assert (standing.branch, standing.head, standing.dirty) == ("main", sandbox.commit(), ())


async def test_a_work_tree_of_the_users_own_is_a_repository_too(sandbox: Sandbox) -> None:
    sandbox.git("worktree", "add", "-q", "-b", "other", str(sandbox.top.parent / "other"))
    repository = await sandbox.open(sandbox.top.parent / "other")
    assert (await ready(repository)).branch == "other"
    assert not repository.place.main


def no_folder(top: Path, git: Callable[..., str]) -> None:
    pass


def no_repository(top: Path, git: Callable[..., str]) -> None:
    top.mkdir()


def bare(top: Path, git: Callable[..., str]) -> None:
    top.mkdir()
    git("init", "-q", "--bare")


def dead_link(top: Path, git: Callable[..., str]) -> None:
    top.mkdir()
    (top / ".git").write_text("gitdir: /nowhere\n")


def no_objects(top: Path, git: Callable[..., str]) -> None:
    top.mkdir()
    (top / ".git").mkdir()
    (top / ".git" / "HEAD").write_text("ref: refs/heads/main\n")


def other_hash(top: Path, git: Callable[..., str]) -> None:
    top.mkdir()
    git("init", "-q", "--object-format=sha256")


def sparse(top: Path, git: Callable[..., str]) -> None:
    top.mkdir()
    git("init", "-q")
    git("config", "core.sparseCheckout", "true")


def partial(top: Path, git: Callable[..., str]) -> None:
    top.mkdir()
    git("init", "-q")
    git("config", "core.repositoryFormatVersion", "1")
    git("config", "extensions.partialClone", "origin")


def own_filter(top: Path, git: Callable[..., str]) -> None:
    top.mkdir()
    git("init", "-q")
    git("config", "filter.crypt.clean", "crypt")


@pytest.mark.parametrize(
    ("make", "kind", "message", "hint"),
    [
        (no_folder, "NotARepository", "there is no folder {top!r}", "check `repo_path`"),
        (no_repository, "NotARepository", "{top} is not a git repository",
         "run `git init` there and commit what is in it"),
        (bare, "Unsupported", "{top} is a bare repository, which has no files to work on", "clone it, and give the clone"),
        (dead_link, "NotARepository", "{top}/.git does not lead to a repository", "`git worktree repair`"),
        (no_objects, "NotARepository", "{top}/.git is not a whole git repository: there is no objects",
         "clone it anew, or run `git init` to make one"),
        (other_hash, "Unsupported", "{top} names its objects by sha256, which is not supported",
         "use a full, ordinary clone"),
        (sparse, "Unsupported", "{top} has a sparse checkout, which is not supported", "run `git sparse-checkout disable`"),
        (partial, "Unsupported", "{top} is a partial clone, whose missing objects would have to be fetched",
         "use a full, ordinary clone"),
        (own_filter, "Unsupported", "{top} configures a program for itself: filter.crypt.clean",
         "if it is yours, set it with `git config --global`; else `git config --unset-all filter.crypt.clean`"),
    ],
)  # fmt: skip
async def test_where_no_task_can_run_says_why_and_what_to_do(
    tmp_path: Path, children: Children, make: Callable[..., None], kind: str, message: str, hint: str
) -> None:
    top = tmp_path / "r"
    make(top, lambda *words: subprocess.run(["git", *words], cwd=top, env=git_environment(), check=True))
    with pytest.raises(GitError) as caught:
        await open_repository(children, top, env=git_environment())
    assert refused_with(caught) == (kind, message.format(top=os.fspath(top) if "!r" in message else top), hint)


async def test_without_git_or_with_an_old_one(tmp_path: Path, sandbox: Sandbox) -> None:
    with pytest.raises(GitError) as caught:
        await sandbox.open(PATH=str(tmp_path))
    assert refused_with(caught) == ("GitError", "there is no program `git`", "install git 2.39 or later")
    old = tmp_path / "git"
    old.write_text("#!/bin/sh\necho git version 2.30.2\n")
    old.chmod(0o755)
    with pytest.raises(GitError) as caught:
        await sandbox.open(PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert refused_with(caught) == ("GitError", "git version 2.30.2 is too old", "install git 2.39 or later")


async def test_no_commit_no_branch_and_half_done_work(sandbox: Sandbox, tmp_path: Path, children: Children) -> None:
    sandbox.git("switch", "-q", "--detach")
    with pytest.raises(GitError) as caught:
        await ready(sandbox.repository)
    assert refused_with(caught) == (
        "Detached",
        f"{sandbox.top} is on no branch (its HEAD is detached)",
        "`git switch BRANCH`, or `git switch -c NEW` to make one here",
    )
    sandbox.git("switch", "-q", "-c", "side")
    sandbox.write({"a.txt": "side\n"})
    sandbox.git("commit", "-qam", "side")
    sandbox.git("switch", "-q", "main")
    sandbox.write({"a.txt": "main\n"})
    sandbox.git("commit", "-qam", "main")
    sandbox.git("merge", "side", check=False)
    assert unfinished(sandbox.repository.tree) == "merge"
    with pytest.raises(GitError) as caught:
        await ready(sandbox.repository)
    assert refused_with(caught) == (
        "Unfinished",
        f"{sandbox.top} is in the middle of a merge",
        "finish it, or `git merge --abort`",
    )
    sandbox.git("merge", "--abort")
    sandbox.git("rebase", "side", check=False)
    assert unfinished(sandbox.repository.tree) == "rebase"

    empty = Sandbox(tmp_path / "empty", children)
    empty.top.mkdir()
    empty.git("init", "-q")
    repository = await empty.open()
    with pytest.raises(GitError) as caught:
        await ready(repository)
    assert refused_with(caught) == (
        "NoCommits",
        f"{empty.top} has no commit yet to start from",
        "`git add -A` and `git commit` first",
    )
    empty.close()


async def test_nobody_to_commit_as(sandbox: Sandbox) -> None:
    nobody = {f"GIT_{role}_{what}": "" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    repository = await sandbox.open(**nobody)
    with pytest.raises(GitError) as caught:
        await ready(repository)
    assert refused_with(caught) == (
        "NoIdentity",
        "git does not know who commits here",
        "`git config --global user.name NAME` and `git config --global user.email ADDRESS`",
    )


async def test_what_is_not_committed_is_named_and_the_state_folder_does_not_count(sandbox: Sandbox) -> None:
    sandbox.write({".weft/.gitignore": "", ".weft/state/x": "x"})
    assert not await dirty_files(sandbox.repository)
    sandbox.write({"a.txt": "changed\n", "new file.txt": "new\n", "staged.txt": "s\n", ".weftx": "other\n"})
    sandbox.git("add", "staged.txt")
    (sandbox.top / "c.txt").unlink()
    dirty = (".weftx", "a.txt", "c.txt", "new file.txt", "staged.txt")
    assert await dirty_files(sandbox.repository) == dirty
    with pytest.raises(GitError) as caught:
        await ready(sandbox.repository)
    assert caught.value.files == dirty
    assert refused_with(caught) == (
        "DirtyTree",
        f"{sandbox.top} has changes that are not committed: .weftx, a.txt, c.txt, new file.txt, staged.txt",
        "commit or stash them, or give --allow-dirty",
    )
    assert (await ready(sandbox.repository, allow_dirty=True)).dirty == dirty


async def test_the_state_folder_ignores_itself_and_leads_nowhere(sandbox: Sandbox) -> None:
    state = sandbox.top / "runs" / "state"
    place = sandbox.repository.place
    make_state(state, place)
    make_state(state, place)
    (state / "journal").write_text("j")
    assert sandbox.status() == []
    for name in ("journal", ".gitignore"):
        (state / name).unlink()
    (state / "plans").mkdir()
    make_state(state, place)
    assert (state / ".gitignore").read_text() == "*\n"
    (sandbox.top / "link").symlink_to(sandbox.top.parent)
    with pytest.raises(GitError) as caught:
        make_state(sandbox.top / "link", place)
    assert refused_with(caught) == (
        "Unsupported",
        f"{sandbox.top}/link is a symbolic link",
        "give the folder it leads to as `state_dir`",
    )
    with pytest.raises(CannotCreateError, match=r"cannot make .*: not a directory") as refused:
        make_state(sandbox.top / "a.txt" / "x", place)
    assert refused.value.hint == "let it be written, or give another folder as `state_dir`"
    hint = "give a folder of its own as `state_dir`, like .weft"
    (sandbox.top / "src").mkdir()
    (sandbox.top / "src/a.py").write_text("a\n")
    for folder, message in (
        (sandbox.top, f"the repository is in {sandbox.top}, which cannot be its state folder"),
        (sandbox.top.parent, f"the repository is in {sandbox.top.parent}, which cannot be its state folder"),
        (sandbox.top / ".git/weft", f"{sandbox.top}/.git/weft is git's own, and cannot be the state folder"),
        (sandbox.top / "src", f"{sandbox.top}/src has other files in it, and cannot be the state folder"),
    ):
        with pytest.raises(GitError) as caught:
            make_state(folder, place)
        assert (caught.value.message, caught.value.hint) == (message, hint)
        assert not (folder / ".gitignore").exists()


async def test_file_names_of_any_bytes(sandbox: Sandbox) -> None:
    names = [
        b"new\nline",
        b"tab\t",
        b'quote"',
        b"back\\slash",
        b"\xff\xfe",
        b" space ",
        b"-dash",
        b":(top)x",
        "ä".encode(),
    ]
    for name in names:
        (sandbox.top / os.fsdecode(name)).write_bytes(b"x")
    assert set(await dirty_files(sandbox.repository)) == {os.fsdecode(name) for name in names}
    base = sandbox.commit()
    tip = await commit_all(sandbox.repository, sandbox.repository.tree, "names", base=base)
    assert tip == sandbox.commit()
    assert not await dirty_files(sandbox.repository)


def test_names_that_git_could_take_for_something_else_are_refused() -> None:
    for commit in ("HEAD", "-x", "a" * 39, "A" * 40, "a" * 40 + "\n", "--output=x"):
        with pytest.raises(GitError):
            checked_commit(commit)
    for name in (
        "-b",
        "--x",
        "a..b",
        "a b",
        "a\nb",
        "x.lock",
        "a/.b",
        "/a",
        "a/",
        "a//b",
        "@",
        "HEAD",
        "a@{1}",
        "a:b",
        "a*",
        "",
    ):
        with pytest.raises(GitError):
            checked_branch(name)
    assert checked_branch("weft/20260101-abc/task-1") == "weft/20260101-abc/task-1"


async def test_a_repository_that_is_deleted_meanwhile_is_said(sandbox: Sandbox) -> None:
    (sandbox.top / ".git").rename(sandbox.top.parent / "gone")
    with pytest.raises(GitError) as caught:
        await head(sandbox.repository)
    assert refused_with(caught) == (
        "Missing",
        f"{sandbox.top}/.git is gone: something has deleted the repository",
        "restore it from a clone or a backup; the files of the work tree are untouched by us",
    )


async def test_a_damaged_configuration_is_an_error_of_the_user(sandbox: Sandbox) -> None:
    with (sandbox.top / ".git" / "config").open("a") as file:
        file.write("[broken\n")
    with pytest.raises(GitError, match="git config failed: bad config line"):
        await sandbox.open()


# -- what is planted ---------------------------------------------------------------------------------------------------


def plant_settings(sandbox: Sandbox, *pairs: tuple[str, str]) -> None:
    for key, value in pairs:
        sandbox.git("config", key, value)


def fsmonitor(sandbox: Sandbox, program: str) -> None:
    plant_settings(sandbox, ("core.fsmonitor", program))


def hooks(sandbox: Sandbox, program: str) -> None:
    for name in (
        "post-checkout", "post-index-change", "reference-transaction", "pre-commit", "post-commit", "commit-msg",
        "post-merge", "post-rewrite", "pre-auto-gc", "fsmonitor-watchman",
    ):  # fmt: skip
        (sandbox.top / ".git/hooks").mkdir(exist_ok=True)
        (sandbox.top / f".git/hooks/{name}").write_bytes(Path(program).read_bytes())
        (sandbox.top / f".git/hooks/{name}").chmod(0o755)


def hooks_path(sandbox: Sandbox, program: str) -> None:
    hooks(sandbox, program)
    (sandbox.top / ".git/hooks").rename(sandbox.top.parent / "elsewhere")
    plant_settings(sandbox, ("core.hooksPath", str(sandbox.top.parent / "elsewhere")))


def filters(sandbox: Sandbox, program: str) -> None:
    plant_settings(
        sandbox, ("filter.x.clean", program), ("filter.x.smudge", program), ("filter.y.process", program),
        ("filter.y.required", "true"),
    )  # fmt: skip
    (sandbox.top / ".git/info").mkdir(exist_ok=True)
    (sandbox.top / ".git/info/attributes").write_text("a.txt filter=x\nc.txt filter=y\n")


def filters_in_the_tree(sandbox: Sandbox, program: str) -> None:
    plant_settings(sandbox, ("filter.x.clean", program), ("filter.x.smudge", program))
    for folder in (sandbox.top, *(sandbox.state / "worktrees").glob("*")):
        (folder / ".gitattributes").write_text("* filter=x\n")


def drivers(sandbox: Sandbox, program: str) -> None:
    plant_settings(
        sandbox, ("merge.m.driver", f"{program} %A"), ("merge.default", "m"), ("diff.d.command", program),
        ("diff.d.textconv", program), ("diff.external", program),
    )  # fmt: skip
    (sandbox.top / ".git/info").mkdir(exist_ok=True)
    (sandbox.top / ".git/info/attributes").write_text("* merge=m diff=d\n")


def programs(sandbox: Sandbox, program: str) -> None:
    plant_settings(
        sandbox, ("core.editor", program), ("core.pager", program), ("pager.status", program), ("gpg.program", program),
        ("commit.gpgSign", "true"), ("user.signingKey", "x"), ("core.sshCommand", program), ("core.askPass", program),
        ("credential.helper", program), ("alias.status", f"!{program}"), ("sequence.editor", program),
        ("log.showSignature", "true"), ("gc.auto", "1"), ("trace2.eventTarget", str(sandbox.canary)),
    )  # fmt: skip


def included(sandbox: Sandbox, program: str) -> None:
    (sandbox.top / "more").write_text(f"[core]\n\tfsmonitor = {program}\n")
    plant_settings(sandbox, ("include.path", str(sandbox.top / "more")))


def moved(sandbox: Sandbox, program: str) -> None:
    """Our calls must not be led to another folder or configuration."""
    victim = sandbox.top.parent / "victim"
    victim.mkdir()
    plant_settings(sandbox, ("extensions.worktreeConfig", "true"), ("core.worktree", str(victim)))
    for folder in (sandbox.top / ".git", *(sandbox.top / ".git/worktrees").glob("*")):
        (folder / "config.worktree").write_text(f"[core]\n\tfsmonitor = {program}\n")


def submodule(sandbox: Sandbox, program: str) -> None:
    """A repository inside, known to git as a submodule, whose own configuration is another place for it all."""
    inner = sandbox.top / "inner"
    inner.mkdir()
    sandbox.git("init", "-q", cwd=inner)
    sandbox.git("commit", "-q", "--allow-empty", "-m", "x", cwd=inner)
    sandbox.git("add", "inner")
    sandbox.git("commit", "-q", "-m", "a submodule")
    (inner / "f").write_text("f")
    sandbox.git("config", "core.fsmonitor", program, cwd=inner)


PLANTS = (fsmonitor, hooks, hooks_path, filters, filters_in_the_tree, drivers, programs, included, moved, submodule)


async def everything(sandbox: Sandbox, plant: Callable[[], None]) -> None:
    """Every operation of ours, after something was planted in the middle of it."""
    repository = sandbox.repository
    base = sandbox.commit()
    first = await sandbox.task(1, base, {"a.txt": "changed\ntwo\nthree\n", "new.txt": "n\n"})
    second = await sandbox.task(2, base, {"a.txt": "one\ntwo\nchanged\n"})
    plant()
    at = sandbox.commit()
    third = await sandbox.task(3, base, {"c.txt": "changed\n"})
    await dirty_files(repository)
    await current_branch(repository)
    await save_patch(repository, third, base, sandbox.state / "patch")
    await reset_worktree(repository, third, base)
    for tree in (first, second):
        tip = await commit_all(repository, tree, "task", base=base)
        assert tip is not None
        await fold(repository, "main", base, tip)
    sandbox.write({"c.txt": "in the main tree\n"})
    await commit_all(repository, repository.tree, "sequential", base=at)
    for tree in (first, second, third):
        await remove_worktree(repository, tree, tip=base)


@pytest.mark.parametrize("plant", PLANTS)
async def test_nothing_that_is_planted_is_run_by_our_calls(sandbox: Sandbox, plant: Callable[..., None]) -> None:
    program = str(sandbox.program())

    def now() -> None:
        plant(sandbox, program)
        sandbox.canary.unlink(missing_ok=True)

    await everything(sandbox, now)
    assert not sandbox.canary.exists(), sandbox.canary.read_text()
    assert (sandbox.top / "new.txt").read_text() == "n\n"
    assert (sandbox.top / "a.txt").read_text() == "changed\ntwo\nchanged\n"


CONTROLS: dict[Callable[..., None], tuple[tuple[str, ...], ...]] = {
    fsmonitor: (("status",),),
    hooks: (("commit", "-qam", "x"),),
    hooks_path: (("commit", "-qam", "x"),),
    filters: (("add", "-A"),),
    filters_in_the_tree: (("add", "-A"),),
    drivers: (("diff",),),
    programs: (("commit", "-am", "x"),),
    included: (("status",),),
    moved: (("-c", f"core.worktree={os.curdir}", "status"),),
    submodule: (("status",),),
}


@pytest.mark.parametrize("plant", CONTROLS)
async def test_an_ordinary_git_runs_what_is_planted(sandbox: Sandbox, plant: Callable[..., None]) -> None:
    """The control: without our precautions the same plants leave the canary."""
    sandbox.write({"a.txt": "changed\n", "c.txt": "changed\n"})
    plant(sandbox, str(sandbox.program()))
    sandbox.canary.unlink(missing_ok=True)
    if plant is moved:
        sandbox.git("config", "core.worktree", str(sandbox.top))
    for words in CONTROLS[plant]:
        sandbox.git(*words, check=False)
    assert sandbox.canary.exists()


async def test_a_filter_of_the_users_own_configuration_is_used(sandbox: Sandbox) -> None:
    mine = sandbox.top.parent / "gitconfig"
    mine.write_text('[filter "up"]\n\tclean = "tr a-z A-Z"\n\tsmudge = "tr A-Z a-z"\n\trequired = true\n')
    repository = await sandbox.open(GIT_CONFIG_GLOBAL=str(mine))
    sandbox.write({".gitattributes": "*.up filter=up\n", "x.up": "text\n"})
    await commit_all(repository, repository.tree, "filtered", base=sandbox.commit())
    assert sandbox.git("cat-file", "blob", "HEAD:x.up") == "TEXT"
    tree = await sandbox.task(1)
    assert (Path(tree.path) / "x.up").read_text() == "text\n"


async def test_our_view_of_the_repository_is_checked_before_each_call(sandbox: Sandbox) -> None:
    with sandbox.repository.scratch() as path:
        view = Path(path).parent
    config = (view / "config").read_text()
    (view / "config").write_text(config + "[core]\n\tfsmonitor = /bin/true\n")
    with pytest.raises(GitError, match="somebody has changed the private view"):
        await dirty_files(sandbox.repository)
    (view / "config").write_text(config)
    (view / "hooks").mkdir()
    with pytest.raises(GitError, match="somebody has written into the private view"):
        await dirty_files(sandbox.repository)


async def test_variables_of_git_do_not_reach_our_calls(sandbox: Sandbox, tmp_path: Path) -> None:
    repository = await sandbox.open(
        GIT_DIR="/nowhere", GIT_INDEX_FILE="/nowhere", GIT_EXTERNAL_DIFF="false", GIT_TRACE=str(tmp_path / "trace")
    )
    assert not await dirty_files(repository)
    assert not (tmp_path / "trace").exists()


async def test_closing_removes_the_view_and_nothing_of_the_repository(sandbox: Sandbox) -> None:
    with sandbox.repository.scratch() as path:
        view = Path(path).parent
    sandbox.repository.close()
    assert not view.exists()
    assert sandbox.git("fsck") == ""
    assert sandbox.status() == []


# -- many at once ------------------------------------------------------------------------------------------------------


async def test_fifty_work_trees_at_once_are_made_without_a_failure(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    trees = await asyncio.gather(*(sandbox.task(number, base) for number in range(50)))
    assert len({tree.gitdir for tree in trees}) == 50
    assert len(sandbox.git("worktree", "list").splitlines()) == 51
    assert all((Path(tree.path) / "folder/b.txt").read_text() == "b\n" for tree in trees)
    assert sandbox.status(trees[49].path) == []
    await asyncio.gather(*(remove_worktree(sandbox.repository, tree, tip=base) for tree in trees))
    assert len(sandbox.git("worktree", "list").splitlines()) == 1
    assert sandbox.git("branch", "--format=%(refname:short)") == "main"


async def test_work_trees_beside_gits_of_others_that_hold_locks(sandbox: Sandbox) -> None:
    """`packed-refs.lock` is held for a moment, as `git pack-refs` of an agent does."""
    lock = sandbox.top / ".git" / "packed-refs.lock"
    base = sandbox.commit()
    sandbox.git("pack-refs", "--all")
    lock.write_text("")
    tree = asyncio.ensure_future(add_worktree(sandbox.repository, sandbox.state / "w", "weft/r/task-1", base))
    await asyncio.sleep(0.02)
    lock.unlink()
    assert Path((await tree).path).is_dir()
