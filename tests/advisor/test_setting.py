"""What is said of the host and of the search: neighbours, and one line of progress."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from advisor.setting import Progress, busiest_programs, noisy_neighbours, private_folder
from advisor.standing import Standing, confirmation_trials, screening_trials

STANDING = Standing(17, 60, 185.0, 62.0, 41.2, None, "confirming round 3, one thread")


def test_a_busy_program_is_named() -> None:
    """Tried until it shows: on a crowded machine it may get no CPU in a third of a second."""
    spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if any("python" in name for name in busiest_programs(most=50)):
                break
        else:
            pytest.fail("it was never named")
    finally:
        spinning.kill()
        spinning.wait()


def test_a_noisy_host_is_said_even_where_nobody_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advisor.setting.busiest_programs", list)
    monkeypatch.setattr("os.getloadavg", lambda: (0.1, 0.1, 0.1))
    assert noisy_neighbours() == ""
    assert "no busy program can be seen" in noisy_neighbours(sure=True)


def test_folders_of_a_killed_advise_are_removed_and_those_in_use_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "from advisor.setting import private_folder\n"
        "with private_folder() as folder:\n"
        "    print(folder, flush=True)\n"
        "    input()"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    words = [sys.executable, "-c", code]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    killed, used = (subprocess.Popen(words, env=environment, **pipes) for _ in range(2))
    try:
        left, in_use = (p.stdout.readline().strip() for p in (killed, used))
        killed.kill()
        killed.communicate()
        assert Path(left).is_dir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        with private_folder() as mine:
            assert not Path(left).exists()
            assert Path(in_use).is_dir()
            assert Path(mine).stat().st_mode & 0o777 == 0o700
        assert not Path(mine).exists()
    finally:
        used.communicate("\n")
    assert not Path(in_use).exists()


def test_progress_says_trial_time_and_what_was_spent() -> None:
    text = str(STANDING)
    assert text == (
        "trial 17 of about 60, 3 min 05 s left, 41.2 CPU-s spent: confirming round 3, one thread"
    )
    joules = Standing(2, None, None, 1.0, 1.0, 7200.0, "look 1, as written")
    assert str(joules) == "trial 2, 2.00 Wh spent: look 1, as written"


def test_progress_in_a_pipe_is_a_line_at_most_every_half_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = Progress(quiet=False)
    for second in (0, 10, 29, 31, 32):
        now[0] = 100.0 + second
        progress(STANDING)
    progress.clear()
    assert errors.getvalue() == f"{STANDING}\n" * 2
    Progress(quiet=True)(STANDING)
    assert errors.getvalue().count("\n") == 2


def test_a_reader_of_stderr_who_is_gone_stops_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    Progress(quiet=False)(STANDING)


@pytest.mark.parametrize(
    ("entrants", "trials"), [(0, 0), (1, 2 * 3), (3, 2 * 5), (5, 3 * 7 + 2 * 5), (8, 58)]
)
def test_trials_ahead_are_counted_as_the_search_makes_them(entrants: int, trials: int) -> None:
    # Eight: three rounds of ten, then of the better four three of six, then two of five.
    assert screening_trials(entrants, 3, 3) == trials


def test_trials_of_a_confirmation_hold_the_program_twice_and_the_combination() -> None:
    assert confirmation_trials(0, 8) == 0
    assert confirmation_trials(1, 8) == 8 * 4
    assert confirmation_trials(3, 8) == 8 * 7
