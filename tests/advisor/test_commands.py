"""advise, run --with, verify: the whole line, on programs whose saving is known and huge."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.advisor.test_sandbox import needs_namespaces
from tests.support.fake_sysfs import Constant, PowercapTree, Zone

# A host on which others work may take ten times as long.
pytestmark = [needs_namespaces, pytest.mark.timeout(900)]

# Burns CPU unless it is told to use one thread; a sleeping thread makes it look like a pool.
BURNER = """
import os, sys, threading, time
stop = threading.Event()
threading.Thread(target=stop.wait, daemon=True).start()
quick = os.environ.get("OMP_NUM_THREADS") == "1"
until = time.process_time() + (0.03 if quick else 0.4)
while time.process_time() < until:
    sum(range(1000))
time.sleep(0.02)
print("answer 42.0")
print(os.environ.get("FRUGALWATCH_ADVICE", ""), file=sys.stderr)
open("written", "w").write("x")
"""

needs_two_cpus = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="one thread or two are the same on one CPU"
)


def frugalwatch(
    folder: Path, *words: str, text: str | None = None, sysfs: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run our own command line with a ledger in `folder`; stdin is /dev/null unless given."""
    name, *rest = words
    return subprocess.run(
        [sys.executable, "-P", "-m", "frugalwatch", name, "--ledger", str(folder / "l.db"), *rest],
        cwd=folder,
        env=_environment() | ({"FRUGALWATCH_SYSFS": sysfs} if sysfs else {}),
        stdin=subprocess.DEVNULL if text is None else None,
        input=text,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def _environment() -> dict[str, str]:
    numbers = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LD_PRELOAD")
    return {k: v for k, v in os.environ.items() if k not in numbers}


def one(folder: Path, sql: str) -> Any:  # whatever SQLite holds
    with sqlite3.connect(folder / "l.db") as conn:
        return conn.execute(sql).fetchone()[0]


@needs_two_cpus
def test_advise_apply_verify_is_one_line(tmp_path: Path) -> None:
    script = tmp_path / "burner.py"
    script.write_text(BURNER)
    program = (sys.executable, str(script))

    advised = frugalwatch(tmp_path, "advise", "--rounds", "3", "--json", "--", *program)
    assert advised.returncode == 0, advised.stderr
    document = json.loads(advised.stdout)
    first = document["recommendations"][0]
    assert "one thread" in first["name"]
    assert first["ratio"]["value"] < 0.5
    assert first["ratio"]["high"] < 1  # one disturbed round widens it, and never hides the saving
    assert first["quality"]["finding"] == "identical"
    assert document["rounds"] == 3
    assert [b["name"] for b in document["baselines"]] == ["as written", "one thread"]
    assert document["spent"]["cpu_s"] > 2
    assert first["pay_back_runs"] > 1
    assert not first["saves_energy"]  # a change of threads claims CPU time only
    assert not (tmp_path / "written").exists()  # every replay wrote it, and none of them here
    assert one(tmp_path, "SELECT count(*) FROM trial") == document["trials"]
    assert one(tmp_path, "SELECT ratio_high FROM advice") == first["ratio"]["high"]

    applied = frugalwatch(tmp_path, "run", "--with", "A1", "-q", "--", *program)
    assert (applied.returncode, applied.stdout) == (0, "answer 42.0\n")
    assert applied.stderr == "A1.1\n"
    assert one(tmp_path, "SELECT job_cpu_us FROM run") < 0.3e6
    environment = json.loads(one(tmp_path, "SELECT environment FROM run"))
    assert environment["FRUGALWATCH_ADVICE"] == "A1.1"
    assert environment["OMP_NUM_THREADS"] == "1"

    verified = frugalwatch(tmp_path, "verify", "--rounds", "3", "--json", "A1")
    assert verified.returncode in (0, 1), verified.stdout  # 1: the cautious end was a close one
    verdict = json.loads(verified.stdout)
    assert verdict["ratio"]["value"] < 0.5
    assert verdict["ratio"]["high"] < 1
    assert verdict["promised"] == first["ratio"]
    assert one(tmp_path, "SELECT verdict FROM verification") == verdict["verdict"]

    script.write_text(BURNER.replace("0.03 if quick", "0.25 if quick"))
    broken = frugalwatch(tmp_path, "verify", "--rounds", "3", "A1", "--", *program)
    assert broken.returncode == 3, broken.stdout
    assert "did NOT hold" in broken.stdout

    shown = frugalwatch(tmp_path, "advice", "A1")
    assert "frugalwatch run --with A1" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "one thread" in frugalwatch(tmp_path, "advice").stdout
    listed = json.loads(frugalwatch(tmp_path, "advice", "--json").stdout)
    assert listed["schema"] == "frugalwatch.advice-list/1"
    assert [one["schema"] for one in listed["advice"]] == ["frugalwatch.advice/1"]


def test_unknown_advice_is_refused_before_the_job_starts(tmp_path: Path) -> None:
    frugalwatch(tmp_path, "run", "-q", "--", "true")
    done = frugalwatch(tmp_path, "run", "--with", "A7", "--", "touch", "started")
    assert done.returncode == 2
    assert "A7" in done.stderr
    assert not (tmp_path / "started").exists()


def test_an_option_after_the_advice_is_refused_before_any_ledger_is_opened(tmp_path: Path) -> None:
    ledger = tmp_path / "late.db"
    done = frugalwatch(tmp_path, "verify", "A1", "--ledger", str(ledger))
    assert done.returncode == 2
    assert "options go before the advice" in done.stderr
    assert not ledger.exists()


def test_a_program_of_one_thread_has_nothing_worth_doing(tmp_path: Path) -> None:
    code = "import time\nwhile time.process_time() < 1: pass\nprint(1)"
    done = frugalwatch(tmp_path, "advise", "--", sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    assert "Nothing worth doing" in done.stdout
    assert "no process had more than one thread" in " ".join(done.stdout.split())


def test_a_program_that_is_over_at_once_is_said_to_be_too_short(tmp_path: Path) -> None:
    done = frugalwatch(tmp_path, "advise", "--", "true")
    assert done.returncode == 0
    assert "too short to save anything on" in " ".join(done.stdout.split())
    assert one(tmp_path, "SELECT count(*) FROM trial") == 1


def test_a_command_that_fails_is_shown_with_its_last_words(tmp_path: Path) -> None:
    done = frugalwatch(tmp_path, "advise", "--", "sh", "-c", "echo broken pipe dream >&2; exit 9")
    assert done.returncode == 1
    assert "status 9" in done.stderr
    assert "broken pipe dream" in done.stderr
    assert one(tmp_path, "SELECT state FROM advice") == "failed"


def test_a_command_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = frugalwatch(tmp_path, "advise", "--", "no-such-command-here")
    assert done.returncode == 1
    assert "status 127" in done.stderr


def test_piped_input_is_refused_and_a_file_is_read_by_every_replay(tmp_path: Path) -> None:
    refused = frugalwatch(tmp_path, "advise", "--", "cat", text="data")
    assert refused.returncode == 2
    assert "--stdin FILE" in refused.stderr
    (tmp_path / "input").write_text("data")
    check = "test $(cat) = data"
    read = frugalwatch(tmp_path, "advise", "--stdin", "input", "--", "sh", "-c", check, text="x")
    assert read.returncode == 0, read.stderr


def test_a_recorded_run_is_replayed_unless_its_command_was_masked(tmp_path: Path) -> None:
    frugalwatch(tmp_path, "run", "-q", "--", "sh", "-c", "exit 0")
    assert "sh -c 'exit 0'" in frugalwatch(tmp_path, "advise", "1").stdout
    assert one(tmp_path, "SELECT run_id FROM advice") == 1
    frugalwatch(tmp_path, "run", "-q", "--", "sh", "-c", "exit 0", "--api-key", "s3cret")
    refused = frugalwatch(tmp_path, "advise", "last")
    assert refused.returncode == 2
    assert "looks like a secret" in refused.stderr


def test_replay_in_place_is_the_users_choice(tmp_path: Path) -> None:
    done = frugalwatch(
        tmp_path, "advise", "--replay-in-place", "--json", "--", "sh", "-c", "echo x >> log"
    )
    assert (tmp_path / "log").read_text() == "x\n"
    assert "your files" in json.loads(done.stdout)["isolation"]


@needs_two_cpus
def test_a_metric_beyond_the_limit_rejects_the_change(tmp_path: Path) -> None:
    script = tmp_path / "worse.py"
    answer = 'print("time", time.time(), "accuracy:", 0.80 if quick else 0.90)'
    script.write_text(BURNER.replace('print("answer 42.0")', answer))
    done = frugalwatch(
        tmp_path,
        *("advise", "--rounds", "3", "--json", "--metric", r"accuracy: (\S+)"),
        *("--tolerance", "0.01", "--", sys.executable, str(script)),
    )
    assert done.returncode == 0, done.stderr
    rejected = {row["name"]: row for row in json.loads(done.stdout)["not_recommended"]}
    assert rejected["one thread"]["verdict"] == "changes the answers"
    assert rejected["one thread"]["quality"]["drift"] == pytest.approx(-0.1)


@needs_two_cpus
def test_interrupt_reports_what_is_known_and_ends_the_replay(tmp_path: Path) -> None:
    script = tmp_path / "burner.py"
    script.write_text(BURNER)
    words = ["advise", "--ledger", str(tmp_path / "l.db"), "--rounds", "50", "--json", "--"]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "frugalwatch", *words, sys.executable, str(script)],
        cwd=tmp_path,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and _trials(tmp_path) < 17:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    document = json.loads(out)
    assert process.returncode == 130
    assert document["state"] == "interrupted"
    assert document["rounds"] >= 3
    assert document["recommendations"]
    assert one(tmp_path, "SELECT state FROM advice") == "interrupted"


def _trials(folder: Path) -> int:
    try:
        return int(one(folder, "SELECT count(*) FROM trial"))
    except sqlite3.OperationalError:  # not made yet
        return 0


def test_what_a_replay_leaves_running_ends_with_it(tmp_path: Path) -> None:
    marker = f"86{os.getpid()}"
    frugalwatch(tmp_path, "advise", "--", "sh", "-c", f"sleep {marker} & exit 0")
    left = subprocess.run(["pgrep", "-f", f"sleep {marker}"], capture_output=True, check=False)
    assert left.returncode == 1


@needs_two_cpus
def test_with_an_energy_counter_joules_are_compared(tmp_path: Path) -> None:
    script = tmp_path / "burner.py"
    script.write_text(BURNER)
    with PowercapTree(tmp_path, [Zone("package-0", Constant(40.0))]) as tree:
        tree.start()
        words = ("advise", "--rounds", "3", "--json", "--", sys.executable, str(script))
        done = frugalwatch(tmp_path, *words, sysfs=tree.sysfs)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    base = document["baselines"][0]
    assert document["unit"] == "energy_j"
    # 40 W all the time; the counter also runs while the launcher makes its layers.
    assert base["energy_j"] >= 40 * base["wall_s"] * 0.9
    assert document["spent"]["energy_j"] > base["energy_j"]
    judged = [*document["recommendations"], *document["not_recommended"]][0]
    assert judged["name"] == "one thread"
    assert judged["ratio"]["value"] < 0.9
