"""The types that a user's checker sees."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("typed_program.py")


def checked(program: Path) -> str:
    """What mypy says of a user's program."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", str(program)]
    return subprocess.run(command, capture_output=True, text=True, cwd=program.parent).stdout


@pytest.mark.torture
def test_a_users_program_is_clean_under_strict_mypy(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.read_text())
    assert checked(program).startswith("Success")
    program.write_text(PROGRAM.read_text().replace("jobs=3", 'jobs="3"').replace("transform([", "transform([7, "))
    assert checked(program).count("error:") == 2
