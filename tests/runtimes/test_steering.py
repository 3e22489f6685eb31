"""What tells agents and editors what to run is changed by nobody who did not say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.errors import AttemptError
from weft.runtimes.steering import refuse_steering, restore_steering, steering_files


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude/settings.json").write_text("{}")
    (tmp_path / ".cursor/rules").mkdir(parents=True)
    (tmp_path / ".cursor/rules/a.mdc").write_text("a")
    (tmp_path / ".mcp.json").symlink_to("/nowhere")
    (tmp_path / "README.md").write_text("x")
    (tmp_path / "AGENTS.md").write_text("x")
    return tmp_path


def test_files_that_steer_are_found_in_folders_too(tree: Path) -> None:
    assert sorted(steering_files(tree)) == [".claude/settings.json", ".cursor/rules/a.mdc", ".mcp.json"]


def test_a_change_that_is_not_declared_is_refused_and_taken_back(tree: Path) -> None:
    before = steering_files(tree)
    (tree / ".claude/settings.json").write_text('{"hooks": {}}')
    (tree / ".cursor/mcp.json").write_text("{}")
    (tree / ".cursor/rules/a.mdc").unlink()
    (tree / "AGENTS.md").write_text("y")
    message = (
        "the agent changed what tells agents and editors what to run: "
        ".claude/settings.json, .cursor/mcp.json, .cursor/rules/a.mdc"
    )
    with pytest.raises(AttemptError) as raised:
        refuse_steering(tree, before, None)
    assert (str(raised.value), raised.value.type) == (message, "SteeringWrite")
    with pytest.raises(AttemptError, match=r"run: \.claude/settings\.json\n"):
        refuse_steering(tree, before, [".cursor/"])
    refuse_steering(tree, before, [".cursor/", ".claude/"])
    restore_steering(tree, before)
    assert steering_files(tree) == before
    refuse_steering(tree, before, None)
