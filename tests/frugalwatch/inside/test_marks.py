"""The clocks at certain calls, which tell what a short stretch of work takes."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from advisor.marks import between
from frugalwatch.inside.path._frugalwatch.stop import STOPPED
from tests.frugalwatch.inside.kit import run_inside

pytest.importorskip("torch")

# Each call burns 2 ms of CPU; before and after them there is more.
CALLS = textwrap.dedent(
    """
    import subprocess, time
    import torch

    def burn(seconds):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
        def forward(self, x):
            burn(0.002)
            return x

    torch.set_num_threads(1)
    model = Model()
    burn(0.3)
    child = None
    for _ in range(50):
        model(torch.zeros(1))
    burn(0.3)
    if child:
        child.kill()
    """
)
MARKS = {"unit": "call", "at": [10, 50]}


def notes(hook: dict[str, object], tmp_path: Path, program: str = CALLS) -> tuple[list[str], int]:
    ran = run_inside(program, hook=hook, cwd=tmp_path)
    return [str(message[2]) for message in ran.told("note")], ran.returncode


def test_the_stretch_between_two_marks_is_known_to_the_millisecond(tmp_path: Path) -> None:
    said, status = notes({"marks": MARKS}, tmp_path)
    assert status == 0
    found = between(said, "call")
    assert found is not None, said
    assert found.units == 40
    assert 0.080 <= found.cpu_ns / 1e9 < 0.096  # the start and the end are not in it
    assert found.end_ns - found.begin_ns >= 0.99 * found.cpu_ns


def test_the_last_mark_is_made_before_the_program_is_ended_there(tmp_path: Path) -> None:
    stop = {"after": 50, "unit": "call"}
    said, status = notes({"marks": MARKS, "stop": stop}, tmp_path)
    assert status == STOPPED
    assert between(said, "call") is not None, said


def test_a_process_with_children_does_not_speak_for_all(tmp_path: Path) -> None:
    program = CALLS.replace("child = None", 'child = subprocess.Popen(["sleep", "10"])')
    said, _ = notes({"marks": MARKS}, tmp_path, program)
    assert [note.endswith("with children") for note in said] == [True, True]
    assert between(said, "call") is None


def test_what_cannot_be_marked_is_said(tmp_path: Path) -> None:
    said, status = notes({"marks": {"unit": "epoch", "at": [1]}}, tmp_path)
    assert status == 0
    assert said == ["marks: not applied: no clocks at one epoch"]


def test_what_a_look_takes_is_not_the_program_s(tmp_path: Path) -> None:
    # Digests of 4 MB in and 4 MB out take many times what the call does.
    program = CALLS.replace("torch.zeros(1)", "torch.zeros(1, 1_000_000)")
    folder = tmp_path / "looked"
    folder.mkdir()
    said, _ = notes({"marks": MARKS, "look": {"folder": str(folder)}}, tmp_path, program)
    assert len(list(folder.glob("outputs-*/*"))) == 50
    found = between(said, "call")
    assert found is not None, said
    # 2 ms of burning, some for making the zeros, and rounding.
    assert found.cpu_ns / found.units / 1e6 < 6
