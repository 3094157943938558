from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from frugalwatch.cli import COMMANDS, main

CHECKERS = {"bash": ["bash", "-n"], "zsh": ["zsh", "-n"], "fish": ["fish", "--no-execute"]}


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", CHECKERS)
def test_the_script_is_one_that_the_shell_accepts(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = script(shell, capsys)
    assert "_FRUGALWATCH_COMPLETE" in text
    file = tmp_path / "completion"
    file.write_text(text)
    if shutil.which(shell) is None:  # asserted above as far as that goes without the shell
        return
    subprocess.run([*CHECKERS[shell], str(file)], check=True, timeout=20)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["frugalwatch", "r"], {"run", "runs", "recover"}),
        (["frugalwatch", "show", "--j"], {"--json"}),
        (["frugalwatch", "completion", ""], {"bash", "zsh", "fish"}),
        (["frugalwatch", ""], set(COMMANDS)),
    ],
)
def test_tab_completes_in_bash(
    words: list[str], expected: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script's own function is called as bash calls it, and asks the real program."""
    text = script("bash", capsys)
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "frugalwatch"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m frugalwatch "$@"\n')
    program.chmod(0o755)
    function = next(line.split("()")[0].strip() for line in text.splitlines() if "()" in line)
    quoted = " ".join(f"'{word}'" for word in words)
    call = (
        f"{text}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n"
        f"{function} frugalwatch '{words[-1]}' '{words[-2]}'\n"
        "printf '%s\\n' \"${COMPREPLY[@]}\"\n"
    )
    repository = str(Path(__file__).parents[3])
    done = subprocess.run(
        ["bash", "--norc", "-c", call],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": repository},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert set(done.stdout.split()) == expected
