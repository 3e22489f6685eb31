from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtimes.support import listing
from weft.errors import AttemptError
from weft.runtimes.base import World
from weft.runtimes.paths import folder_path, locate, open_file

SCALE = int(os.environ.get("WEFT_FUZZ_SCALE", "1"))


def content(world: World, text: str) -> str:
    descriptor, _ = open_file(world, text)
    with os.fdopen(descriptor) as file:
        return file.read()


def refusal(world: World, text: str) -> AttemptError:
    with pytest.raises(AttemptError) as caught:
        open_file(world, text)
    return caught.value


def test_a_path_is_relative_to_the_folder_of_the_document(make_world: Any, project: Path) -> None:
    (project / "flows").mkdir()
    (project / "a.txt").write_text("top")
    (project / "flows" / "a.txt").write_text("inner")
    world = make_world(folder=project / "flows", project=project)
    assert content(world, "a.txt") == "inner"
    assert content(world, "./a.txt") == "inner"
    assert content(world, "../a.txt") == "top"
    assert content(world, "nowhere/../a.txt") == "inner"
    assert content(world, str(project / "a.txt")) == "top"


@pytest.mark.parametrize(
    "text",
    [
        "../outside/secret.txt",
        "../../etc/passwd",
        "/etc/passwd",
        "a/../../outside/secret.txt",
        "..",
        "/",
        "//etc/passwd",
    ],
)
def test_what_lies_outside_is_refused_and_the_error_names_the_flag(world: World, text: str) -> None:
    error = refusal(world, text)
    assert error.type == "PathError"
    assert error.message == f"the path {text!r} leads outside the project folder"
    assert error.hint is not None
    assert error.hint.startswith("allow its folder: --allow-path '/")


def test_an_allowed_folder_is_read(make_world: Any, tmp_path: Path) -> None:
    world = make_world(allowed_paths=(tmp_path / "outside",))
    assert content(world, "../outside/secret.txt") == "outside"
    assert content(world, str(tmp_path / "outside" / "secret.txt")) == "outside"


def test_a_folder_whose_name_begins_alike_is_not_allowed(world: World, project: Path) -> None:
    beside = project.with_name("project-2")
    beside.mkdir()
    (beside / "a.txt").write_text("x")
    assert refusal(world, "../project-2/a.txt").type == "PathError"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        (" ", "is empty"),
        ("a\0b", "has a control character in it"),
        ("a\nb", "has a control character in it"),
        ("a.txt ", "begins or ends with a space"),
        ("~/a", "begins with '~', which is not expanded: write the folder out"),
        ("C:\\a", "is a Windows path"),
        ("\\\\host\\share", "is a Windows path"),
        ("a/%2e%2e/b", "has an encoded '..' in it"),
        ("a/.%2E/b", "has an encoded '..' in it"),
        ("a" * 5000, "is longer than 4096 characters"),
        ("a\udcff", "is not text"),
    ],
)
def test_malformed_paths_are_refused(world: World, text: str, reason: str) -> None:
    error = refusal(world, text)
    assert error.type == "PathError"
    assert error.message.endswith(reason)
    assert len(error.message) < 200


def test_links_are_followed_inside_and_refused_outside(world: World, project: Path, tmp_path: Path) -> None:
    (project / "data").mkdir()
    (project / "data" / "a.txt").write_text("inside")
    (project / "file").symlink_to("data/a.txt")
    (project / "folder").symlink_to("data")
    (project / "absolute").symlink_to(project / "data" / "a.txt")
    (project / "data" / "up").symlink_to("../folder/a.txt")
    (project / "out").symlink_to("../outside/secret.txt")
    (project / "outfolder").symlink_to(tmp_path / "outside")
    for name in ("file", "folder/a.txt", "absolute", "data/up"):
        assert content(world, name) == "inside"
    assert refusal(world, "out").message == (
        f"the path 'out' leads outside the project folder through the symbolic link {str(project / 'out')!r}"
    )
    assert refusal(world, "outfolder/secret.txt").type == "PathError"


def test_a_link_to_an_allowed_folder_is_followed(make_world: Any, project: Path, tmp_path: Path) -> None:
    (project / "out").symlink_to("../outside")
    world = make_world(allowed_paths=(tmp_path / "outside",))
    assert content(world, "out/secret.txt") == "outside"


def test_links_in_a_circle_end(world: World, project: Path) -> None:
    (project / "a").symlink_to("b")
    (project / "b").symlink_to("a")
    assert refusal(world, "a").message == "the path 'a' has too many symbolic links"


def test_a_project_behind_a_link_works_by_both_names(tmp_path: Path, make_world: Any, project: Path) -> None:
    (project / "a.txt").write_text("x")
    (tmp_path / "alias").symlink_to(project)
    world = make_world(folder=tmp_path / "alias", project=tmp_path / "alias")
    assert content(world, "a.txt") == "x"
    assert content(world, str(tmp_path / "alias" / "a.txt")) == "x"
    assert content(world, str(project / "a.txt")) == "x"


def test_only_regular_files_are_opened_and_nothing_blocks(world: World, project: Path) -> None:
    os.mkfifo(project / "pipe")
    (project / "folder").mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(project / "socket"))
    try:
        assert refusal(world, "pipe").message == "'pipe' is a named pipe, not a file"
        assert refusal(world, "folder").message == "'folder' is a folder, not a file"
        assert refusal(world, "socket").message == "'socket' is a socket, not a file"
        assert refusal(world, ".").message == "'.' is a folder, not a file"
    finally:
        listener.close()


def test_devices_are_refused(make_world: Any) -> None:
    world = make_world(allowed_paths=(Path("/dev"),))
    assert refusal(world, "/dev/zero").message == "'/dev/zero' is a device, not a file"


def test_a_missing_file_is_named(world: World) -> None:
    error = refusal(world, "a/b.txt")
    assert error.type == "NotFoundError"
    assert error.message == "cannot read 'a/b.txt': no such file or directory"
    assert not error.retryable


def test_no_descriptor_is_left_open(world: World, project: Path) -> None:
    (project / "a").mkdir()
    (project / "a" / "b").symlink_to("../../outside")
    (project / "a" / "f").write_text("")
    before = len(listing("/proc/self/fd"))
    for text in ("a/b/secret.txt", "a/none", "a", "../x", "a/f/g"):
        refusal(world, text)
    assert content(world, "a/f") == ""
    assert len(listing("/proc/self/fd")) == before


def test_folders_are_resolved_alike(world: World, project: Path) -> None:
    (project / "a" / "b").mkdir(parents=True)
    (project / "l").symlink_to("a")
    assert folder_path(world, "l/b/") == str(project / "a" / "b")
    assert folder_path(world, ".") == str(project)
    with pytest.raises(AttemptError, match="leads outside"):
        folder_path(world, "..")
    with pytest.raises(AttemptError, match="cannot use 'x': no such file"):
        folder_path(world, "x")


class Flipper:
    """Somebody who swaps a name between a folder and a link to the outside, as fast as possible."""

    def __init__(self, swap: Callable[[], None]) -> None:
        self._swap = swap
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        while not self._stop.is_set():
            self._swap()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_link_swapped_while_it_is_opened_never_leads_outside(
    world: World, project: Path, tmp_path: Path, what: str
) -> None:
    inside = project / "d"
    inside.mkdir()
    (inside / "secret.txt").write_text("inside")
    target = inside if what == "folder" else inside / "secret.txt"
    spare, link = project / "spare", project / "link"
    link.symlink_to(tmp_path / "outside" if what == "folder" else tmp_path / "outside" / "secret.txt")

    def swap() -> None:
        target.rename(spare)
        link.rename(target)
        target.rename(link)
        spare.rename(target)

    seen = set()
    with Flipper(swap):
        for _ in range(500 * SCALE):
            try:
                seen.add(content(world, "d/secret.txt"))
            except AttemptError as error:
                seen.add(error.type)
    assert seen <= {"inside", "PathError", "NotFoundError", "FileError"}
    assert "inside" in seen


def test_writing_through_a_swapped_folder_never_leads_outside(world: World, project: Path, tmp_path: Path) -> None:
    inside, spare, link = project / "d", project / "spare", project / "link"
    inside.mkdir()
    link.symlink_to(tmp_path / "outside")

    def swap() -> None:
        inside.rename(spare)
        link.rename(inside)
        inside.rename(link)
        spare.rename(inside)

    with Flipper(swap):
        for number in range(300 * SCALE):
            try:
                with locate(world, f"d/{number}") as place:
                    os.close(os.open(place.name, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, dir_fd=place.folder))
            except (AttemptError, OSError):
                continue
    assert listing(tmp_path / "outside") == ["secret.txt"]
