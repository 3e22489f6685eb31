"""Paths stay inside the project folder, whoever names them and however; `--allow-path` and `runtime.paths` open one
folder.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hostile.project import Project, outputs
from hostile.server import Echo

READ = '<source:value id="p">PATH</source:value><source:file id="n" path="{{ p }}" format="text"/>'
FILES = '<source:value id="p">PATH</source:value><source:files id="n" pattern="{{ p }}" format="text"/>'
WRITE = '<source:value id="p">PATH</source:value><sink:file id="n" path="{{ p }}" input="p" format="text"/>'
CWD = '<source:value id="p">PATH</source:value><command id="n" cwd="{{ p }}">touch was-here; cat canary</command>'
CONTENT = "what must not be read"


@pytest.fixture
def outside(project: Project) -> Path:
    """A folder beside the project, with a file in it."""
    folder = project.folder.parent / "outside"
    folder.mkdir()
    (folder / "canary").write_text(CONTENT)
    return folder


def attempt(project: Project, shape: str, path: str, front: str = "", **request: Any) -> tuple[str, str]:
    """Status of the node, and its error message or its output."""
    import json

    outcome = project.run(shape.replace("PATH", json.dumps(path)), front, **request)
    node = outcome.result.nodes["n"]
    return node.status, str(node.output) if node.error is None else node.error.message


def untouched(outside: Path) -> bool:
    return [path.name for path in outside.iterdir()] == ["canary"] and (outside / "canary").read_text() == CONTENT


SPELLINGS = (
    "../outside/canary",
    "sub/../../outside/canary",
    "./.././outside//canary",
    "OUTSIDE/canary",
    "link/canary",
    "sub/link/canary",
    "filelink",
    "sub/chain/canary",
    "dangling/../../outside/canary",
    "%2e%2e/outside/canary",
    "..%2foutside/canary",
    "~/canary",
    "~root/canary",
    "\\\\outside\\canary",
    "C:\\outside\\canary",
    "../outside/canary\u0000.txt",
    "../outside/canary\n",
    " ../outside/canary",
    "/proc/self/root/OUTSIDE/canary",
    "/proc/self/cwd/../outside/canary",
    "/dev/stdin",
    "a" * 5000,
    "a/" * 2000 + "b",
    "",
    ".",
    "..",
    "/",
)


@pytest.mark.parametrize("shape", [READ, FILES, WRITE, CWD], ids=["source:file", "source:files", "sink:file", "cwd"])
@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda text: ascii(text[:30]))
def test_no_spelling_leads_outside(project: Project, outside: Path, shape: str, spelling: str) -> None:
    links(project.folder, outside)
    status, said = attempt(project, shape, spelling.replace("OUTSIDE", str(outside)), journal="none")
    assert CONTENT not in said
    assert untouched(outside)
    if spelling != "." and shape is not FILES:
        assert status == "failed", said
        assert len(said) < 600


def links(folder: Path, outside: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "sub" / "link").symlink_to("../../outside")
    (folder / "filelink").symlink_to(outside / "canary")
    (folder / "sub" / "chain").symlink_to("../link")
    (folder / "dangling").symlink_to("nowhere")


def test_a_save_of_an_answer_stays_inside_too(project: Project, outside: Path, server: Echo) -> None:
    links(project.folder, outside)
    for path in ("../outside/new", "link/new", "filelink"):
        outcome = project.run(f'<source:http id="n" url="{server.url}/echo" save="{path}"/>', journal="none")
        assert outcome.result.nodes["n"].status == "failed"
    assert untouched(outside)


@pytest.mark.parametrize(("shape", "path"), [(READ, "../outside/canary"), (WRITE, "link/new"), (CWD, "../outside")])
def test_the_error_names_the_flag_that_would_allow_it(project: Project, outside: Path, shape: str, path: str) -> None:
    links(project.folder, outside)
    status, said = attempt(project, shape, path)
    assert status == "failed"
    assert f"(allow its folder: --allow-path '{outside}')" in said
    assert "leads outside the project folder" in said


def test_an_allowed_folder_is_open_and_nothing_beside_it(project: Project, outside: Path) -> None:
    (project.folder.parent / "outside2").mkdir()
    (project.folder.parent / "outside2" / "canary").write_text(CONTENT)
    (outside / "sideways").symlink_to("../outside2")
    for options in ({"allow_path": (str(outside),)}, {"allow_path": (str(outside), str(outside / "canary"))}):
        assert attempt(project, READ, "../outside/canary", **options) == ("succeeded", CONTENT)
        assert attempt(project, WRITE, "../outside/new", **options)[0] == "succeeded"
        assert attempt(project, CWD, "../outside", **options) == ("succeeded", CONTENT)
        for beside in (
            "../outside2/canary",
            "../outside/../outside2/canary",
            "../outside/sideways/canary",
            "../canary",
        ):
            assert attempt(project, READ, beside, **options)[0] == "failed"
            assert attempt(project, WRITE, beside, **options)[0] == "failed"
        assert (project.folder.parent / "outside2" / "canary").read_text() == CONTENT


@pytest.mark.parametrize("made", ["fifo", "folder", "socket", "device"])
def test_what_is_no_regular_file_is_refused_and_nothing_hangs(project: Project, made: str) -> None:
    place = project.folder / "odd"
    if made == "fifo":
        os.mkfifo(place)
    elif made == "folder":
        place.mkdir()
    elif made == "socket":
        import socket

        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind("odd")
    else:
        try:
            os.mknod(place, 0o600 | 0o020000, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("making a device needs more rights")
    words = {"fifo": "a named pipe", "folder": "a folder", "socket": "a socket", "device": "a device"}
    for shape in (READ, WRITE):
        assert attempt(project, shape, "odd") == ("failed", f"'odd' is {words[made]}, not a file")
    status, found = attempt(project, FILES, "o*")
    assert (status, found) == (
        "succeeded",
        f"FileList(folder='{project.folder}', format='text', entries=())",
    ) or found == "[]"


def test_links_inside_the_project_are_followed(project: Project) -> None:
    (project.folder / "data").mkdir()
    (project.folder / "data" / "real").write_text("real")
    (project.folder / "there").symlink_to("data")
    (project.folder / "abs").symlink_to(project.folder / "data" / "real")
    assert attempt(project, READ, "there/real") == ("succeeded", "real")
    assert attempt(project, READ, "abs") == ("succeeded", "real")
    assert attempt(project, WRITE, "there/new")[0] == "succeeded"
    assert (project.folder / "data" / "new").read_text().startswith("there/new")


@pytest.mark.parametrize(
    "path", [".git/hooks/pre-commit", ".weft/runs/x", "sub/.git/config", "gitlink/hooks/pre-commit"]
)
def test_nothing_is_written_where_it_would_be_obeyed(project: Project, path: str) -> None:
    (project.folder / ".git" / "hooks").mkdir(parents=True)
    (project.folder / "sub" / ".git").mkdir(parents=True)
    (project.folder / "gitlink").symlink_to(".git")
    status, said = attempt(project, WRITE, path, journal="none")
    assert status == "failed", said
    assert not (project.folder / path).exists()


@contextmanager
def flipping(link: Path, targets: tuple[Path, Path]) -> Iterator[None]:
    """Meanwhile somebody lets `link` lead to the one and to the other, as fast as can be."""
    over = threading.Event()

    def flip() -> None:
        beside = link.with_name("beside")
        number = 0
        while not over.is_set():
            beside.symlink_to(targets[number % 2])
            beside.rename(link)
            number += 1

    thread = threading.Thread(target=flip, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_link_that_is_swapped_while_the_run_reads_and_writes_never_leads_out(
    project: Project, outside: Path, what: str
) -> None:
    inside = project.folder / "inside"
    inside.mkdir()
    (inside / "canary").write_text("fine")
    link = project.folder / "link"
    targets = (inside, outside) if what == "folder" else (inside / "canary", outside / "canary")
    link.symlink_to(targets[0])
    name = "link/canary" if what == "folder" else "link"
    with flipping(link, targets):
        outcome = project.run(
            f"""
            <foreach id="reads" collection="range(300)" concurrency="8" on-failure="continue">
              <source:file id="read" path="{name}" format="text"/>
            </foreach>
            <foreach id="writes" collection="range(100)" concurrency="8" on-failure="continue">
              <sink:file id="write" path="{name}" input="reads" format="json"/>
            </foreach>
            """,
            journal="none",
        )
    read = outputs(outcome)["reads"]
    assert CONTENT not in str(read)
    assert any(read), "not one came through: the test shows nothing"
    assert None in read, "the link was never seen outside: the test shows nothing"
    assert untouched(outside)
