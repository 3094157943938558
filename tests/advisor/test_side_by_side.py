"""Copies of a command side by side: what a piece of work costs then, and when it is not tried."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from advisor import copies
from advisor.inside import Inside, Root
from advisor.replay import Isolation, Replay
from advisor.side_by_side import NAME, SideBySide, _found, applies, side_by_side
from advisor.techniques.base import Facts
from advisor.workload import Workload
from tests.advisor.test_sandbox import needs_namespaces

FACTS = Facts({}, 2, 2, 2, frozenset(), Inside((Root("Net", {"evaluation no_grad": 9}),)))


def launched(count: int, text: str, given: str = "") -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-I", "-S", "-B", copies.__file__, str(count)]
    with open(given or os.devnull, "rb") as source:
        return subprocess.run(
            [*words, sys.executable, "-c", text],
            stdin=source,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def test_each_copy_runs_reads_all_of_stdin_and_one_is_heard(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("words")
    text = f"import os, sys; open({str(tmp_path)!r} + '/' + str(os.getpid()), 'w')"
    done = launched(3, f"{text}.write(sys.stdin.read()); print('here')", str(tmp_path / "in"))
    assert (done.returncode, done.stdout) == (0, "here\n")
    found = [p.read_text() for p in tmp_path.iterdir() if p.name != "in"]
    assert found == ["words"] * 3


def test_a_copy_that_fails_is_not_hidden_by_the_others(tmp_path: Path) -> None:
    place = str(tmp_path / "one")
    text = f"import os; os.mkdir({place!r})"  # which only the first of them can
    done = launched(2, text)
    assert done.returncode == 1
    assert "FileExistsError" in done.stderr
    assert launched(2, "import os; os.kill(os.getpid(), 9)").returncode == 137


def test_work_that_cannot_be_shared_out_is_refused_with_the_reason() -> None:
    assert applies(FACTS, "inference").yes
    assert "it trains" in applies(FACTS, "training").reason
    assert applies(replace(FACTS, cpus=1), "inference").reason == "only one CPU can be used"
    assert "no requests" in applies(FACTS, "unknown").reason
    assert applies(replace(FACTS, included=frozenset({NAME})), "unknown").yes
    assert applies(replace(FACTS, excluded=frozenset({NAME})), "inference").reason == (
        "you excluded it"
    )
    on_gpu = Inside((Root("Net", {}, devices=("cuda",)),))
    assert "one GPU" in applies(replace(FACTS, inside=on_gpu), "inference").reason


def used(cpu: float, wall: float) -> Replay:
    return Replay("ok", 0, 0, wall, cpu, None, "", "", "")


def test_figures_are_of_one_piece_of_work() -> None:
    rounds = [
        {
            "together": used(8.4 * scale, 2.2 * scale),
            "alone": used(2.0 * scale, 2.0 * scale),
            "written": used(4.0 * scale, 1.6 * scale),
        }
        for scale in (1.0, 1.1, 0.9, 1.05)
    ]
    found = _found(rounds, 4, seed=1)
    assert found.cpu is not None
    assert found.wall is not None
    assert found.cpu.value == pytest.approx(1.05)
    assert found.wall.value == pytest.approx(0.275)
    assert found.energy is None
    written = found.written["cpu_ratio"]
    assert written is not None
    assert written.value == pytest.approx(0.525)
    (sentence,) = found.in_words()
    assert "4 one-thread processes side by side" in sentence
    assert "your work has to be shared out" in sentence
    assert "not tried: x" in SideBySide(2, 0, why_not="x").in_words()[0]


@needs_namespaces
@pytest.mark.timeout(300)
def test_copies_of_a_command_are_measured_and_leave_nothing(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir()
    text = "open('left', 'w'); sum(range(3_000_000)); print('done')"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FRUGALWATCH", "PYTHON"))}
    (tmp_path / "work").mkdir()
    work = Workload((sys.executable, "-c", text), str(tmp_path / "work"), kept)
    said: list[str] = []
    found = side_by_side(work, Isolation(), str(private), 2, time_s=0.0, seed=1, tell=said.append)
    assert found.why_not == ""
    assert found.rounds == 3
    assert found.cpu is not None
    assert 0.3 < found.cpu.value < 3  # of one copy's work, however busy the machine
    assert os.listdir(tmp_path / "work") == []
    assert said[0] == "2 processes side by side, round 1"
    failing = replace(work, argv=(sys.executable, "-c", "raise SystemExit('no more')"))
    failed = side_by_side(
        failing, Isolation(), str(private), 2, time_s=0.0, seed=1, tell=said.append
    )
    assert "status 1: no more" in failed.why_not
