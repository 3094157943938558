"""`kill -9` in the middle of advise, and `advise --resume`: nothing that was measured is lost."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.advisor.test_commands import _environment, frugalwatch, needs_two_cpus, one
from tests.advisor.test_sandbox import needs_namespaces

pytestmark = [needs_namespaces, needs_two_cpus, pytest.mark.timeout(900)]

BURNER = """
import os, threading, time
threading.Thread(target=threading.Event().wait, daemon=True).start()
until = time.process_time() + (0.05 if os.environ.get("OMP_NUM_THREADS") == "1" else 0.35)
while time.process_time() < until:
    sum(range(1000))
print("answer 42.0")
os._exit(0)
"""
PATIENCE_S = 600


def counted(folder: Path, stage: str) -> int:
    try:
        return int(one(folder, f"SELECT count(*) FROM trial WHERE stage = '{stage}'"))
    except sqlite3.Error:
        return 0  # there is no ledger yet


def wait_for_trials(folder: Path, process: subprocess.Popen[str], at_least: int) -> None:
    until = time.monotonic() + PATIENCE_S
    while counted(folder, "confirmation") < at_least:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.02)


def test_an_advise_that_was_killed_goes_on_with_its_trials(tmp_path: Path) -> None:
    program = tmp_path / "burner.py"
    program.write_text(BURNER)
    words = ["--ledger", str(tmp_path / "l.db"), "--rounds", "4", "-q"]
    words += ["--max-memory-mib", "4096", "--", sys.executable, str(program)]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "frugalwatch", "advise", *words],
        cwd=tmp_path,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_trials(tmp_path, process, 6)  # of three or four in a round: in the second one
    running = frugalwatch(tmp_path, "advise", "--resume", "A1")
    assert running.returncode == 2
    assert f"by process {process.pid}" in running.stderr
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert one(tmp_path, "SELECT state FROM advice") == "running"
    assert "--resume A1" in frugalwatch(tmp_path, "advice", "A1").stdout
    stored = {row[0] for row in rows(tmp_path, "SELECT id FROM trial WHERE stage != 'probe'")}

    other = frugalwatch(tmp_path, "advise", "--resume", "A1", "--", "true")
    assert other.returncode == 2
    assert "about another command" in other.stderr

    resumed = frugalwatch(tmp_path, "advise", "--resume", "A1", "--json")
    assert resumed.returncode == 0, resumed.stderr
    document = json.loads(resumed.stdout)
    assert document["state"] == one(tmp_path, "SELECT state FROM advice") == "done"
    assert document["rounds"] == 4
    assert document["limits"]["memory_bytes"] == 4096 * 2**20
    assert "one thread" in document["recommendations"][0]["name"]
    # Whole rounds of the first part were not replayed, and the cut one was, from its beginning.
    twice = "SELECT count(*) FROM trial WHERE stage = ? AND variant = 'as written' AND round = ?"
    with sqlite3.connect(tmp_path / "l.db") as conn:
        assert conn.execute(twice, ("screening", 0)).fetchone()[0] == 1
        assert conn.execute(twice, ("confirmation", 0)).fetchone()[0] == 1
    assert stored <= {row[0] for row in rows(tmp_path, "SELECT id FROM trial")}
    # What was spent is all of it, that of cut rounds and of both looks too.
    assert document["trials"] == one(tmp_path, "SELECT count(*) FROM trial")
    assert len(document["timeline"]) == document["trials"]
    used_s = one(tmp_path, "SELECT sum(cpu_us) FROM trial") / 1e6
    assert document["spent"]["cpu_s"] == pytest.approx(used_s)
    assert one(tmp_path, "SELECT count(*) FROM advice") == 1

    done = frugalwatch(tmp_path, "advise", "--resume", "A1")
    assert done.returncode == 2
    assert "is done" in done.stderr

    with sqlite3.connect(tmp_path / "l.db") as conn:
        conn.execute("UPDATE machine SET machine_key = 'another', hostname = 'node9'")
        conn.execute("UPDATE advice SET state = 'interrupted'")
    elsewhere = frugalwatch(tmp_path, "advise", "--resume", "A1")
    assert elsewhere.returncode == 2
    assert "was begun on node9" in elsewhere.stderr


def rows(folder: Path, sql: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(folder / "l.db") as conn:
        return conn.execute(sql).fetchall()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_replay_outlives_its_advise(tmp_path: Path, number: signal.Signals) -> None:
    token = f"{tmp_path}/never-ends"
    words = ["--ledger", str(tmp_path / "l.db"), "-q", "--", "sh", "-c", "sleep 600", token]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "frugalwatch", "advise", *words],
        cwd=tmp_path,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + PATIENCE_S
    while not any(line.startswith("sh\0-c") for line in _commands_with(token)):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(number)
    status = process.wait(60)
    assert status == (-number if number == signal.SIGKILL else 130)
    while _commands_with(token):
        assert time.monotonic() < until
        time.sleep(0.05)


def _commands_with(token: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = entry.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if token in text and "advise" not in text:
            found.append(text)
    return found
