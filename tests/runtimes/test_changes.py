"""What changed in a folder: real files, and the declared writes held against them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from weft.errors import AttemptError, ValidationError
from weft.runtimes.changes import changed, snapshot, undeclared, undeclared_error


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small project."""
    for name in ("a.txt", "src/a.py", "src/deep/b.py", ".git/config", "src/__pycache__/a.pyc"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one\n")
    (tmp_path / "link").symlink_to("src")
    return tmp_path


def after(folder: Path, act: Callable[[], object]) -> list[str]:
    """What `act` changes."""
    before = snapshot(folder)
    act()
    return changed(before, snapshot(folder))


def test_nothing_done_is_nothing_changed(folder: Path) -> None:
    assert sorted(snapshot(folder).files) == ["a.txt", "link", "src/a.py", "src/deep/b.py"]
    assert after(folder, lambda: (folder / "a.txt").read_text()) == []


def test_added_modified_and_removed_files_are_named_in_order(folder: Path) -> None:
    def act() -> None:
        (folder / "src/deep/b.py").unlink()
        (folder / "a.txt").write_text("two\n")
        (folder / "src/new").mkdir()
        (folder / "src/new/c.py").write_text("")

    assert after(folder, act) == ["a.txt", "src/deep/b.py", "src/new/c.py"]


def test_a_change_of_the_same_size_right_after_is_seen_every_time(folder: Path) -> None:
    for text in ("two\n", "six\n", "ten\n") * 5:
        assert after(folder, lambda text=text: (folder / "a.txt").write_text(text)) == ["a.txt"]  # type: ignore[misc]


def test_a_change_is_seen_although_its_time_is_put_back(folder: Path) -> None:
    was = (folder / "a.txt").stat()

    def act() -> None:
        (folder / "a.txt").write_text("two\n")
        os.utime(folder / "a.txt", ns=(was.st_atime_ns, was.st_mtime_ns))

    assert after(folder, act) == ["a.txt"]


def test_a_mode_a_replaced_file_and_a_turned_link_are_changes(folder: Path) -> None:
    def act() -> None:
        (folder / "a.txt").chmod(0o700)
        (folder / "src/other").write_text("one\n")
        (folder / "src/other").replace(folder / "src/a.py")
        (folder / "link").unlink()
        (folder / "link").symlink_to(".git")

    assert after(folder, act) == ["a.txt", "link", "src/a.py"]


def test_a_file_in_place_of_a_folder_is_both_removed_and_added(folder: Path) -> None:
    def act() -> None:
        (folder / "src/deep/b.py").unlink()
        (folder / "src/deep").rmdir()
        (folder / "src/deep").write_text("now a file")

    assert after(folder, act) == ["src/deep", "src/deep/b.py"]


def test_what_is_ignored_may_change(folder: Path) -> None:
    def act() -> None:
        (folder / ".git/config").write_text("[core]")
        (folder / "src/__pycache__/a.pyc").unlink()

    assert after(folder, act) == []
    before = snapshot(folder, ignore=["*.txt", "src"])
    assert sorted(before.files) == [".git/config", "link"]


def test_an_empty_folder_is_nothing(folder: Path) -> None:
    assert after(folder, lambda: (folder / "empty").mkdir()) == []


def test_a_link_to_a_folder_outside_is_not_entered(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (folder / "out").symlink_to(outside)
    assert after(folder, lambda: (outside / "x").write_text("x")) == []


def test_what_a_real_process_changes_is_found(folder: Path) -> None:
    argv = ["sh", "-c", "echo two >> a.txt; mv src/a.py src/z.py; printf x > 'odd *name'"]
    changes = after(folder, lambda: subprocess.run(argv, cwd=folder, check=True))
    assert changes == ["a.txt", "odd *name", "src/a.py", "src/z.py"]
    assert undeclared(changes, ["a.txt", "src/"]) == ["odd *name"]


def test_more_files_than_allowed_are_refused(folder: Path) -> None:
    assert len(snapshot(folder, most=4).files) == 4
    with pytest.raises(AttemptError) as refusal:
        snapshot(folder, most=3)
    assert str(refusal.value) == f"there are more than 3 files in {str(folder)!r}: too many to compare"
    assert (refusal.value.type, refusal.value.hint) == (
        "SizeError",
        "run in a smaller folder, or have the large ones ignored",
    )


def test_a_tree_that_is_too_deep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "/".join(["d"] * 70)).mkdir(parents=True)
    with pytest.raises(AttemptError, match="is nested deeper than 64 folders"):
        snapshot(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AttemptError) as refusal:
        snapshot(tmp_path / "no")
    assert str(refusal.value) == f"{str(tmp_path / 'no')!r} is not a folder"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_refused(folder: Path) -> None:
    (folder / "src/deep").chmod(0)
    try:
        with pytest.raises(AttemptError, match=r"cannot read 'deep': permission denied"):
            snapshot(folder)
    finally:
        (folder / "src/deep").chmod(0o700)


def test_what_no_declared_write_covers_is_left() -> None:
    changes = ["a.txt", "docs/a.md", "src/a.py", "src/deep/.b", "src[1]"]
    assert undeclared(changes, []) == changes
    assert undeclared(changes, ["src/**", "./a.txt"]) == ["docs/a.md", "src[1]"]
    assert undeclared(changes, ["*/*"]) == ["a.txt", "src/deep/.b", "src[1]"]
    assert undeclared(changes, ["src"]) == changes
    assert undeclared(changes, ["."]) == []


def test_a_write_that_is_no_name_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"the name '\.\./x' has '\.\.' in it"):
        undeclared(["a"], ["../x"])


def test_the_failure_names_the_files() -> None:
    error = undeclared_error(["a.txt", "b\n.txt", os.fsdecode(b"\xff")], ["src/"])
    assert str(error) == "changed outside of what it declared ('src/'): 'a.txt', 'b\\n.txt', '\\\\xff'"
    assert (error.type, error.retryable) == ("UndeclaredWriteError", False)
    many = undeclared_error([f"f{i}" for i in range(1_234)], [])
    assert str(many).startswith("changed outside of what it declared (nothing): 'f0', 'f1'")
    assert str(many).endswith("'f19' and 1,214 more")
