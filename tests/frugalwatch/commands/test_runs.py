from __future__ import annotations

import fcntl
import json
import os
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from frugalwatch.cli import main
from frugalwatch.ledger.connection import open_ledger
from tests.frugalwatch.ledger.kit import REPOSITORY
from tests.frugalwatch.ledger.runs import fill


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "frugalwatch" / "frugalwatch.db"
    fill(path)
    return path


def test_the_table_is_plain_and_whole_in_a_pipe(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs"]) == 0
    shown = capsys.readouterr()
    assert shown.out == (
        "Run  State        Started       Time     Energy     CO2e  Command\n"
        "  6  interrupted  2025-01-01  10.0 s          -        -  python train.py\n"
        "  5  signal 9     2025-01-01  10.0 s          -        -  python train.py\n"
        "  4  running      2025-01-01     0 s          -        -  sleep 1000\n"
        "  3  exit 1       2025-01-01  10.0 s   0.42 Wh~  0.20 g~  python train.py"
        " --a-very-long-option=with/a/very/long/value --and-another-one=42\n"
        "  2  done         2025-01-01  10.0 s  0.417 Wh+  0.20 g~  python train.py\n"
        "  1  done         2025-01-01  10.0 s   0.417 Wh   0.20 g  python train.py\n"
    )
    assert "~ estimated, not measured" in shown.err
    assert "\x1b" not in shown.out


def test_the_table_fits_eighty_columns_of_a_terminal(ledger: Path) -> None:
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = subprocess.run(
        [sys.executable, "-m", "frugalwatch", "runs", "--ledger", str(ledger)],
        stdout=follower,
        stderr=subprocess.PIPE,
        cwd=REPOSITORY,
        env=environ,
        check=True,
    )
    os.close(follower)
    lines = os.read(leader, 65536).decode().splitlines()
    os.close(leader)
    assert len(lines) == 7
    assert max(map(len, lines)) <= 80
    assert lines[4].endswith("...")
    assert b"estimated" in done.stderr


def test_json_has_units_in_its_names_and_null_for_unknown(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", "--json", "--limit", "3", "train"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "frugalwatch.runs/1"
    assert [run["number"] for run in document["runs"]] == [6, 5, 3]
    assert document["runs"][2] == {
        "number": 3,
        "run_id": "run-3",
        "state": "done",
        "exit_code": 1,
        "command": [
            "python",
            "train.py",
            "--a-very-long-option=with/a/very/long/value",
            "--and-another-one=42",
        ],
        "started_utc": "2025-01-01T00:03:00Z",
        "duration_s": 10.0,
        "energy_j": None,
        "energy_low_j": None,
        "energy_high_j": None,
        "estimated_j": 1500.0,
        "estimated_low_j": 750.0,
        "estimated_high_j": 3000.0,
        "co2e_g": 0.2,
        "cpu_s": 5.0,
        "coverage": 1.0,
        "unit": None,
    }


def test_a_limit_says_that_there_are_more(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--limit", "2"]) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 3
    assert "--all" in shown.err
    assert main(["runs", "--all", "--state", "done"]) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 4
    assert "--all" not in shown.err


def test_no_ledger_is_no_runs_and_names_the_next_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = ["--ledger", str(tmp_path / "none.db")]
    assert main(["runs", *missing]) == 0
    shown = capsys.readouterr()
    assert (shown.out, "hint: frugalwatch run" in shown.err) == ("", True)
    assert main(["runs", "--json", *missing]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == []
    assert os.listdir(tmp_path) == []


def test_a_newer_ledger_is_an_error_with_a_hint(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conn = open_ledger(str(ledger), create=False)
    conn.execute("PRAGMA user_version = 999")
    conn.close()
    assert main(["runs"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "hint: pip install --upgrade frugalwatch" in shown.err
