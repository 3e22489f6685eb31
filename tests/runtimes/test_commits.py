"""What a task changed becomes commits, and they come onto the target branch: whole, in order, or not at all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from msgspec import structs

from agents.scripted import git_environment
from runtimes.repositories import Sandbox
from weft.errors import InternalError
from weft.runtimes import commits
from weft.runtimes.commits import commit_all, fold, touching
from weft.runtimes.failures import GitError
from weft.runtimes.git import Tree
from weft.runtimes.gitstate import contents, dirty_files

pytestmark = pytest.mark.anyio


class Died(InternalError):
    """The crash of a test."""


def then_die(function):
    async def call(*given):
        await function(*given)
        raise Died

    return call


async def committed(sandbox: Sandbox, tree: Tree, base: str, message: str = "the task") -> str:
    tip = await commit_all(sandbox.repository, tree, message, base=base)
    assert tip is not None
    return tip


# -- committing --------------------------------------------------------------------------------------------------------


async def test_everything_that_changed_is_one_commit(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    tree = await sandbox.task(1, base, {"a.txt": "changed\n", "new/deep.txt": "n\n"})
    (Path(tree.path) / "c.txt").unlink()
    (Path(tree.path) / "folder/b.txt").chmod(0o755)
    tip = await commit_all(
        sandbox.repository, tree, "the task\n\nmore\n", base=base, author=("Ann", "ann@example.org"), when=1_700_000_000
    )
    assert sandbox.git("rev-parse", "weft/r1/task-1") == tip
    assert sandbox.git("show", "--summary", "--name-status", "--format=%an %ae %at %cn%n%B", "weft/r1/task-1").split("\n") == [
        "Ann ann@example.org 1700000000 Agent", "the task", "", "more", "", "",
        "M\ta.txt", "D\tc.txt", "M\tfolder/b.txt", "A\tnew/deep.txt",
    ]  # fmt: skip
    assert sandbox.git("rev-list", "--count", f"{base}..weft/r1/task-1") == "1"
    assert sandbox.status(tree.path) == []


async def test_no_change_is_no_commit(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    tree = await sandbox.task(1, base, {"a.txt": "one\ntwo\nthree\n"})
    assert await commit_all(sandbox.repository, tree, "nothing", base=base) is None
    assert sandbox.git("rev-parse", "weft/r1/task-1") == base
    assert await commit_all(sandbox.repository, sandbox.repository.tree, "nothing", base=base) is None


async def test_commits_that_an_agent_made_stay_and_the_rest_follows(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    tree = await sandbox.task(1, base, {"a.txt": "first\n"})
    sandbox.git("commit", "-qam", "by itself", cwd=tree.path)
    sandbox.write({"new.txt": "n\n"}, Path(tree.path))
    await committed(sandbox, tree, base, "the rest")
    assert sandbox.subjects("weft/r1/task-1") == ["first", "by itself", "the rest"]
    assert await commit_all(sandbox.repository, tree, "again", base=base) == sandbox.commit("weft/r1/task-1")
    assert sandbox.subjects("weft/r1/task-1") == ["first", "by itself", "the rest"]


@pytest.mark.parametrize("switch", [("switch", "-q", "-c", "elsewhere"), ("switch", "-q", "--detach")])
async def test_commits_made_elsewhere_in_the_repositorys_own_tree_come_onto_its_branch(
    sandbox: Sandbox, switch: tuple[str, ...]
) -> None:
    base = sandbox.commit()
    own = structs.replace(sandbox.repository.tree, branch="main")
    sandbox.git(*switch)
    sandbox.write({"a.txt": "first\n"})
    sandbox.git("commit", "-qam", "by itself")
    sandbox.write({"new.txt": "n\n"})
    await committed(sandbox, own, base, "the rest")
    assert sandbox.subjects("main") == ["first", "by itself", "the rest"]
    assert (sandbox.git("branch", "--show-current"), sandbox.status()) == ("main", [])


async def test_nothing_that_was_there_before_goes_from_the_repositorys_own_branch(sandbox: Sandbox) -> None:
    sandbox.git("branch", "old")
    sandbox.write({"a.txt": "mine\n"})
    sandbox.git("commit", "-qam", "mine")
    base = sandbox.commit()
    own = structs.replace(sandbox.repository.tree, branch="main")
    sandbox.write({"a.txt": "the task's\n"})
    sandbox.git("commit", "-qa", "--amend", "-m", "rewritten")
    await committed(sandbox, own, base, "the task")
    assert sandbox.subjects("main") == ["first", "mine", "the task"]
    assert (sandbox.top / "a.txt").read_text() == "the task's\n"
    assert sandbox.status() == []
    base = sandbox.commit()
    sandbox.git("switch", "-q", "old")
    with pytest.raises(GitError) as caught:
        await commit_all(sandbox.repository, own, "the task", base=base)
    assert (caught.value.type, caught.value.message, caught.value.hint) == (
        "OtherBranch",
        "the agent has left branch main for old, which does not go on from there",
        "look at it; what is to stay of it must come onto main",
    )
    assert (sandbox.commit("main"), sandbox.subjects("old")) == (base, ["first"])


@pytest.mark.parametrize("switch", [("switch", "-q", "-c", "elsewhere"), ("switch", "-q", "--detach")])
async def test_commits_made_elsewhere_come_onto_the_tasks_branch(sandbox: Sandbox, switch: tuple[str, ...]) -> None:
    base = sandbox.commit()
    tree = await sandbox.task(1, base, {"a.txt": "first\n"})
    sandbox.git(*switch, cwd=tree.path)
    sandbox.git("commit", "-qam", "by itself", cwd=tree.path)
    await committed(sandbox, tree, base)
    assert sandbox.subjects("weft/r1/task-1") == ["first", "by itself"]
    assert sandbox.git("status", "-b", "--porcelain", cwd=tree.path) == "## weft/r1/task-1"


async def test_what_an_agent_hides_in_its_index_is_committed_all_the_same(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    tree = await sandbox.task(1, base)
    sandbox.git("update-index", "--assume-unchanged", "a.txt", cwd=tree.path)
    sandbox.git("update-index", "--skip-worktree", "c.txt", cwd=tree.path)
    sandbox.write({"a.txt": "changed\n", "c.txt": "changed\n"}, Path(tree.path))
    await committed(sandbox, tree, base)
    assert sandbox.git("diff", "--name-only", base, "weft/r1/task-1") == "a.txt\nc.txt"


async def test_a_locked_or_damaged_index_and_a_deleted_git_file_do_not_matter(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    tree = await sandbox.task(1, base, {"a.txt": "changed\n"})
    (Path(tree.gitdir) / "index.lock").write_text("")
    (Path(tree.gitdir) / "index").write_text("rubbish")
    (Path(tree.path) / ".git").unlink()
    await committed(sandbox, tree, base)
    assert sandbox.git("diff", "--name-only", base, "weft/r1/task-1") == "a.txt"


async def test_ignored_files_and_the_state_folder_are_not_committed(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    sandbox.write({".gitignore": "*.log\n", "x.log": "log\n", ".weft/.gitignore": "", ".weft/journal": "j\n"})
    await committed(sandbox, sandbox.repository.tree, base)
    assert sandbox.git("diff", "--name-only", base, "main") == ".gitignore"


async def test_a_repository_among_the_new_files_is_refused(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    tree = await sandbox.task(1, base)
    subprocess.run(["git", "init", "-q", "vendor/lib"], cwd=tree.path, env=git_environment(), check=True)
    sandbox.write({"vendor/lib/x.c": "x\n"}, Path(tree.path))
    with pytest.raises(GitError) as caught:
        await commit_all(sandbox.repository, tree, "nested", base=base)
    assert (caught.value.type, caught.value.files) == ("Nested", ("vendor/lib/",))
    assert caught.value.message == "there is another git repository among the new files: vendor/lib/"
    assert caught.value.hint == "delete its .git folder to commit the files, or add it to .gitignore"


async def test_in_a_dirty_tree_only_what_the_task_changed_is_committed(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    sandbox.write({"a.txt": "mine\n", "mine.txt": "mine\n", "staged.txt": "staged\n"})
    sandbox.git("add", "staged.txt")
    before = await contents(sandbox.repository)
    sandbox.write({"c.txt": "of the task\n", "task.txt": "of the task\n"})
    tip = await commit_all(sandbox.repository, sandbox.repository.tree, "t", base=base, before=before)
    assert tip == sandbox.commit()
    assert sandbox.git("diff", "--name-only", base, "HEAD") == "c.txt\ntask.txt"
    assert sandbox.status() == [" M a.txt", "A  staged.txt", "?? mine.txt"]

    before = await contents(sandbox.repository)
    sandbox.write({"a.txt": "mine and the task's\n"})
    with pytest.raises(GitError) as caught:
        await commit_all(sandbox.repository, sandbox.repository.tree, "t", base=tip, before=before)
    assert caught.value.message == "the task changed files that had changes of their own before: a.txt"
    assert (caught.value.type, caught.value.files) == ("DirtyTree", ("a.txt",))
    assert sandbox.commit() == tip


@pytest.mark.parametrize("dirty", [False, True])
async def test_a_commit_that_died_before_its_index_was_written_is_finished_by_the_same_call(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, dirty: bool
) -> None:
    base, tree = sandbox.commit(), sandbox.repository.tree
    sandbox.write({"mine.txt": "mine\n"} if dirty else {})
    before = await contents(sandbox.repository) if dirty else None
    sandbox.write({"a.txt": "changed\n", "new.txt": "n\n"})
    monkeypatch.setattr(commits, "_point", then_die(commits._point))
    with pytest.raises(Died):
        await commit_all(sandbox.repository, tree, "t", base=base, before=before)
    monkeypatch.undo()
    mine = ["?? mine.txt"] if dirty else []
    assert sandbox.status() != mine
    assert await commit_all(sandbox.repository, tree, "t", base=base, before=before) == sandbox.commit()
    assert sandbox.subjects() == ["first", "t"]
    assert sandbox.status() == mine
    with sandbox.repository.scratch() as path:
        assert not list(Path(path).parent.glob("scratch*"))


# -- folding -----------------------------------------------------------------------------------------------------------


async def test_the_first_comes_as_it_is_and_the_others_are_picked_in_order(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    trees = [await sandbox.task(n, base, {f"task-{n}.txt": f"{n}\n"}) for n in (1, 2, 3)]
    folds = [await sandbox.finish(tree, base) for tree in trees]
    assert [each.how for each in folds] == ["fast-forward", "picked", "picked"]
    assert sandbox.subjects() == ["first", "task-1", "task-2", "task-3"]
    assert [each.commits for each in folds] == [(sandbox.commit(f"HEAD~{n}"),) for n in (2, 1, 0)]
    assert folds[2].tip == sandbox.commit()
    assert sandbox.status() == []
    assert sorted(path.name for path in sandbox.top.glob("task-*")) == ["task-1.txt", "task-2.txt", "task-3.txt"]
    assert not await dirty_files(sandbox.repository)


async def test_changes_at_different_places_of_one_file_are_joined(sandbox: Sandbox) -> None:
    sandbox.write({"long.txt": "".join(f"{n}\n" for n in range(50))})
    sandbox.git("add", "-A")
    sandbox.git("commit", "-qm", "long")
    base = sandbox.commit()
    text = (sandbox.top / "long.txt").read_text()
    first = await sandbox.task(1, base, {"long.txt": text.replace("3\n4\n", "3\nfirst\n4\n", 1)})
    second = await sandbox.task(2, base, {"long.txt": text + "second\n"})
    await sandbox.finish(first, base)
    await sandbox.finish(second, base)
    assert (sandbox.top / "long.txt").read_text() == text.replace("3\n4\n", "3\nfirst\n4\n", 1) + "second\n"


async def test_a_conflict_names_the_files_and_changes_nothing(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    first = await sandbox.task(1, base, {"a.txt": "first\ntwo\nthree\n", "c.txt": "first\n"})
    second = await sandbox.task(2, base, {"a.txt": "second\ntwo\nthree\n", "c.txt": "second\n", "free.txt": "x\n"})
    folded = await sandbox.finish(first, base)
    tip = await committed(sandbox, second, base)
    with pytest.raises(GitError) as caught:
        await fold(sandbox.repository, "main", base, tip)
    error = caught.value
    assert (error.type, error.files) == ("Conflict", ("a.txt", "c.txt"))
    assert error.message == f"{tip[:12]} and {folded.tip[:12]} changed the same places: a.txt, c.txt"
    assert error.hint == f"`git cherry-pick {tip[:12]}` and resolve it by hand"
    assert (sandbox.commit(), sandbox.status()) == (folded.tip, [])
    assert not (sandbox.top / "free.txt").exists()
    assert (sandbox.commit("weft/r1/task-2"), sandbox.status(second.path)) == (tip, [])
    assert await touching(sandbox.repository, base, folded.tip, error.files) == (folded.tip,)
    assert await touching(sandbox.repository, base, folded.tip, ["folder/b.txt"]) == ()


@pytest.mark.parametrize(
    ("first", "second", "files"),
    [
        ({"a.txt": None}, {"a.txt": "changed\n"}, ("a.txt",)),
        ({"new": "1\n"}, {"new": "2\n"}, ("new",)),
        ({"new": "file\n"}, {"new/deep": "in a folder\n"}, None),
    ],
    ids=["deleted and changed", "both new", "file and folder"],
)
async def test_conflicts_of_every_kind_leave_the_tree_clean(sandbox: Sandbox, first, second, files) -> None:
    base = sandbox.commit()
    trees = []
    for number, edits in ((1, first), (2, second)):
        tree = await sandbox.task(number, base, {k: v for k, v in edits.items() if v is not None})
        for name in (k for k, v in edits.items() if v is None):
            (Path(tree.path) / name).unlink()
        trees.append(tree)
    await sandbox.finish(trees[0], base)
    at = sandbox.commit()
    with pytest.raises(GitError) as caught:
        await sandbox.finish(trees[1], base)
    assert caught.value.type == "Conflict"
    assert files is None or caught.value.files == files
    assert caught.value.files
    assert (sandbox.commit(), sandbox.status()) == (at, [])


async def test_the_second_of_several_commits_conflicts_and_none_is_applied(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    await sandbox.finish(await sandbox.task(1, base, {"a.txt": "first\n"}), base)
    at = sandbox.commit()
    tree = await sandbox.task(2, base, {"new.txt": "n\n"})
    sandbox.git("add", "-A", cwd=tree.path)
    sandbox.git("commit", "-qm", "fine", cwd=tree.path)
    sandbox.write({"a.txt": "second\n"}, Path(tree.path))
    with pytest.raises(GitError) as caught:
        await sandbox.finish(tree, base)
    assert caught.value.files == ("a.txt",)
    assert (sandbox.commit(), sandbox.status()) == (at, [])


async def test_a_change_that_is_there_already_makes_no_commit(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    first = await sandbox.task(1, base, {"a.txt": "same\n"})
    second = await sandbox.task(2, base, {"a.txt": "same\n"})
    await sandbox.finish(first, base)
    folded = await sandbox.finish(second, base)
    assert (folded.how, folded.commits, folded.tip) == ("nothing", (), sandbox.commit())
    assert sandbox.subjects() == ["first", "task-1"]


async def test_authors_dates_and_messages_survive_picking(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    await sandbox.finish(await sandbox.task(1, base, {"x": "x\n"}), base)
    tree = await sandbox.task(2, base, {"y": "y\n"})
    sandbox.git("add", "-A", cwd=tree.path)
    message = "über\n\n-- not an option\n# not a comment\n\nSigned-off-by: X <x@example.org>"
    sandbox.git(
        "commit", "-q", "--cleanup=verbatim", "--author=Zoë <zoe@example.org>", "--date=@1600000000 +0530", "-m", message,
        cwd=tree.path,
    )  # fmt: skip
    await sandbox.finish(tree, base)
    assert sandbox.git("log", "-1", "--format=%an|%ae|%ad|%cn|%B", "--date=raw") == (
        f"Zoë|zoe@example.org|1600000000 +0530|Agent|{message}\n"
    )


async def test_a_merge_that_an_agent_made_is_picked_as_what_it_brought(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    await sandbox.finish(await sandbox.task(1, base, {"x": "x\n"}), base)
    tree = await sandbox.task(2, base, {"y": "y\n"})
    sandbox.git("switch", "-q", "-c", "side", cwd=tree.path)
    sandbox.git("add", "-A", cwd=tree.path)
    sandbox.git("commit", "-qm", "on the side", cwd=tree.path)
    sandbox.git("switch", "-q", "weft/r1/task-2", cwd=tree.path)
    sandbox.git("merge", "-q", "--no-ff", "-m", "merged", "side", cwd=tree.path)
    await sandbox.finish(tree, base)
    assert sandbox.subjects() == ["first", "task-1", "merged"]
    assert (sandbox.top / "y").exists()


async def test_a_rewritten_past_comes_as_one_commit_of_what_changed(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    tree = await sandbox.task(1, base, {"a.txt": "changed\n"})
    sandbox.git("commit", "-qa", "--amend", "-m", "rewritten", cwd=tree.path)
    folded = await sandbox.finish(tree, base)
    assert folded.how == "squashed"
    assert sandbox.subjects() == ["first", "rewritten"]
    assert sandbox.git("rev-parse", "main~1") == base


async def test_changes_of_the_user_in_the_way_are_named_and_untouched(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    tree = await sandbox.task(1, base, {"a.txt": "task\n", "new.txt": "task\n"})
    tip = await committed(sandbox, tree, base)
    sandbox.write({"a.txt": "mine\n", "new.txt": "mine\n", "c.txt": "also mine\n"})
    with pytest.raises(GitError) as caught:
        await fold(sandbox.repository, "main", base, tip)
    assert (caught.value.type, caught.value.files) == ("DirtyTree", ("a.txt", "new.txt"))
    assert caught.value.message == f"{sandbox.top} has changes where the task has some: a.txt, new.txt"
    assert caught.value.hint == "commit or stash them; the task's branch is kept"
    assert sandbox.commit() == base
    assert sandbox.status() == [" M a.txt", " M c.txt", "?? new.txt"]

    sandbox.git("checkout", "-q", "a.txt")
    (sandbox.top / "new.txt").unlink()
    await fold(sandbox.repository, "main", base, tip)  # a change elsewhere is not in the way
    assert (sandbox.top / "c.txt").read_text() == "also mine\n"
    assert sandbox.status() == [" M c.txt"]


async def test_a_target_that_was_left_or_has_moved_is_said(sandbox: Sandbox) -> None:
    base = sandbox.commit()
    tip = await committed(sandbox, await sandbox.task(1, base, {"x": "x\n"}), base)
    sandbox.git("switch", "-q", "-c", "other")
    with pytest.raises(GitError) as caught:
        await fold(sandbox.repository, "main", base, tip)
    assert caught.value.message == f"{sandbox.top} is no longer on the branch main"
    assert caught.value.hint == "`git switch main`, then run again"
    sandbox.git("switch", "-q", "main")
    sandbox.git("commit", "-q", "--allow-empty", "-m", "somebody else")
    with pytest.raises(GitError) as caught:
        await fold(sandbox.repository, "main", base, tip, onto=base)
    assert caught.value.message == f"the branch main has moved from {base[:12]} to {sandbox.commit()[:12]}"
    with pytest.raises(GitError, match="there is no branch gone any more"):
        await fold(sandbox.repository, "gone", base, tip)


@pytest.mark.parametrize(
    "dies_at", ["read-tree", "after read-tree", "update-ref", "after update-ref", "half the files"]
)
@pytest.mark.parametrize("how", ["fast-forward", "picked"])
async def test_a_fold_that_died_anywhere_is_finished_by_the_same_call(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, dies_at: str, how: str
) -> None:
    base = sandbox.commit()
    if how == "picked":
        await sandbox.finish(await sandbox.task(1, base, {"x": "x\n"}), base)
    start = sandbox.commit()
    tree = await sandbox.task(2, base, {"a.txt": "changed\n", "new.txt": "n\n"})
    tip = await committed(sandbox, tree, base)
    repository = sandbox.repository
    result = repository.result

    async def dying(*words: str, **options):
        at = dies_at.removeprefix("after ")
        here = words[0] == at and (at != "read-tree" or words[1] == "-m")
        if dies_at == "half the files" and words[:2] == ("read-tree", "-m"):
            (sandbox.top / "new.txt").write_text("n\n")
            raise Died
        if here and dies_at == at:
            raise Died
        done = await result(*words, **options)
        if here:
            raise Died
        return done

    monkeypatch.setattr(type(repository), "result", lambda self, *words, **options: dying(*words, **options))
    with pytest.raises(Died):
        await fold(repository, "main", base, tip, onto=start)
    monkeypatch.undo()
    folded = await fold(repository, "main", base, tip, onto=start)
    assert folded.how == how
    assert (sandbox.commit(), sandbox.status()) == (folded.tip, [])
    assert sandbox.subjects()[-2:] == (["task-1", "the task"] if how == "picked" else ["first", "the task"])
    again = await fold(repository, "main", base, tip, onto=start)
    assert again == folded
    assert sandbox.status() == []


async def test_folding_twice_gives_the_same_names_because_dates_are_kept(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = sandbox.commit()
    await sandbox.finish(await sandbox.task(1, base, {"x": "x\n"}), base)
    start = sandbox.commit()
    tip = await committed(sandbox, await sandbox.task(2, base, {"y": "y\n"}), base)
    first = await fold(sandbox.repository, "main", base, tip, onto=start)
    sandbox.git("reset", "-q", "--hard", start)
    assert await fold(sandbox.repository, "main", base, tip, onto=start) == first

    authorship = commits._authorship  # the control: without the dates, the name follows the clock

    async def undated(repository, commit):
        env, message = await authorship(repository, commit)
        return {**env, "GIT_COMMITTER_DATE": "@1 +0000"}, message

    sandbox.git("reset", "-q", "--hard", start)
    monkeypatch.setattr(commits, "_authorship", undated)
    assert (await fold(sandbox.repository, "main", base, tip, onto=start)).tip != first.tip
