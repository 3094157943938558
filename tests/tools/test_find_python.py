"""`make` must find a usable interpreter, or say which one is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FIND_PYTHON = Path(__file__).parents[2] / "tools" / "find-python"


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def find_python(path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(FIND_PYTHON)],
        env={"PATH": str(path), **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_name_that_starts_nothing_and_an_old_version_are_passed_over(tmp_path: Path) -> None:
    program(tmp_path, "python3", "exit 1")  # too old: the version check fails
    program(tmp_path, "python3.13", "exit 127")  # a version manager's name without a program
    program(tmp_path, "python3.12", f'exec {sys.executable} "$@"')
    result = find_python(tmp_path)
    assert result.stdout.strip() == os.fspath(tmp_path / "python3.12")
    assert result.returncode == 0


def test_the_chosen_interpreter_wins(tmp_path: Path) -> None:
    program(tmp_path, "python3", f'exec {sys.executable} "$@"')
    program(tmp_path, "mine", f'exec {sys.executable} "$@"')
    result = find_python(tmp_path, PYTHON="mine")
    assert result.stdout.strip() == os.fspath(tmp_path / "mine")


def test_without_a_usable_interpreter_it_says_what_is_needed(tmp_path: Path) -> None:
    program(tmp_path, "python3", "exit 1")
    result = find_python(Path("/nonexistent"), PYTHON=os.fspath(tmp_path / "python3"))
    assert result.returncode == 1
    assert result.stdout == ""
    assert "3.11 or newer" in result.stderr
    assert "hint: make PYTHON=" in result.stderr
