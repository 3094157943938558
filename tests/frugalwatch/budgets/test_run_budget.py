"""`run --budget`: said once; it ends a job only where that was asked for, and harms none."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.frugalwatch.e2e.kit import Frugalwatch, alive, events, job_of, sampler_of, until

# Busy, so that even the lowest figure of the model grows; tells how often it got SIGTERM. Ends a
# second after the first one, or after the given time.
COUNTER = """
import signal, sys, time
got = []
signal.signal(signal.SIGTERM, lambda *_: got.append(time.monotonic()))
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < (got[0] + 1 if got else end):
    pass
print("TERM", len(got))
"""
SPIN = "import time\nend = time.monotonic() + {}\nwhile time.monotonic() < end: pass"
QUICK = ("--interval", "0.1", "--no-hook")


def python(code: str, *arguments: str) -> tuple[str, ...]:
    return ("--", sys.executable, "-I", "-S", "-c", code, *arguments)


@pytest.fixture
def frugalwatch(tmp_path: Path) -> Frugalwatch:
    return Frugalwatch(tmp_path)


def test_a_job_over_its_budget_is_told_of_once_and_runs_to_its_end(
    frugalwatch: Frugalwatch,
) -> None:
    run, result = frugalwatch.measure("--budget", "0.2J", *QUICK, *python(COUNTER, "1.5"))
    assert (result.returncode, result.stdout) == (0, b"TERM 0\n")
    assert result.said.count("budget 0.2J is ") == 1
    (budget,) = run["budgets"]
    assert budget["verdict"] in ("passed", "exceeded")
    assert budget["used"] == pytest.approx(run["estimated_j"])
    assert 0 < budget["passed_s"] < run["duration_s"] + 1
    assert events(run, "job_signalled") == []
    shown = frugalwatch("show").stdout.decode()
    assert "Budget       0.2J " in shown


def test_a_job_within_its_budget_is_told_nothing_but_that(frugalwatch: Frugalwatch) -> None:
    run, result = frugalwatch.measure(
        *("--budget", "50kWh", "--on-exceed", "term"), *QUICK, *python(COUNTER, "0.5")
    )
    assert (result.returncode, result.stdout) == (0, b"TERM 0\n")
    assert "budget" not in result.said
    assert run["budgets"][0]["verdict"] == "kept"


def test_term_reaches_the_job_once_and_its_own_status_is_ours(frugalwatch: Frugalwatch) -> None:
    run, result = frugalwatch.measure(
        *("--budget", "0.05J", "--budget", "0.06J", "--on-exceed", "term"),
        *QUICK,
        *python(COUNTER, "60"),
    )
    assert (result.returncode, result.stdout) == (0, b"TERM 1\n")
    assert result.said.count("SIGTERM was sent to the job") == 1
    (told,) = events(run, "job_signalled")
    assert run["budgets"][0]["signalled_s"] == pytest.approx(told["t_s"])
    assert [budget["verdict"] for budget in run["budgets"]] == ["exceeded", "exceeded"]


def test_a_job_that_dies_of_it_has_a_signals_status(frugalwatch: Frugalwatch) -> None:
    run, result = frugalwatch.measure(
        *("-q", "--budget", "0.05J", "--on-exceed", "term"), *QUICK, *python(SPIN.format(60))
    )
    assert (result.returncode, run["state"], run["exit_signal"]) == (143, "killed", signal.SIGTERM)
    assert "SIGTERM was sent to the job" in result.said, "said however quiet we shall be"


def test_what_a_sampler_that_was_killed_had_told_is_not_told_again(
    frugalwatch: Frugalwatch,
) -> None:
    target = frugalwatch.folder / "out.json"
    process = frugalwatch.start(
        *("run", "--json", str(target), "--budget", "0.05J", "--on-exceed", "term"),
        *QUICK,
        *python(COUNTER.replace("+ 1 if", "+ 3 if"), "60"),
    )
    with until(40, "SIGTERM to be noted") as again:
        while again():
            with contextlib.suppress(sqlite3.Error):  # there is no ledger yet
                if frugalwatch.rows("SELECT 1 FROM event WHERE kind = 'job_signalled'"):
                    break
    os.kill(sampler_of(process.pid), signal.SIGKILL)
    out, err = process.communicate(timeout=40)
    assert (process.returncode, out) == (0, b"TERM 1\n"), err
    run = json.loads(target.read_text())
    assert len(events(run, "sampler_restarted")) == 1
    assert len(events(run, "job_signalled")) == 1
    assert err.decode().count("SIGTERM was sent") == 1
    assert err.decode().count("is exceeded") == 1


def test_the_budget_still_holds_when_the_supervisor_was_killed(frugalwatch: Frugalwatch) -> None:
    process = frugalwatch.start(
        *("run", "--budget", "0.3J", "--on-exceed", "term"),
        *QUICK,
        *python(SPIN.format(100)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    job = job_of(process.pid)
    frugalwatch.wait_for_look()
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=20)
    with until(60, "the job to be ended by the sampler") as again:
        while again():
            if not alive(job):
                break
    frugalwatch.wait_for_state("recovered")
    assert frugalwatch.one("SELECT count(*) FROM event WHERE kind = 'job_signalled'") == 1


def test_a_budget_that_cannot_be_judged_starts_nothing(frugalwatch: Frugalwatch) -> None:
    ran = frugalwatch.folder / "ran"
    for options, hint in (
        (("--budget", "1gCO2e"), "--zone"),
        (("--budget", "1EUR"), "--price"),
        (("--budget", "1EUR", "--price", "1", "--currency", "USD"), "USD"),
        (("--budget", "1kwh"), "did you mean 1kWh?"),
        (("--on-exceed", "term"), "--budget"),
        (("--alert", "p95>200"), "200ms"),
        (("--alert", "p95>1s", "--no-hook"), "hook"),
    ):
        result = frugalwatch("run", *options, "--", "touch", str(ran))
        assert (result.returncode, ran.exists()) == (2, False), options
        assert hint in result.said


def test_a_configured_budget_that_cannot_be_judged_stops_no_job(frugalwatch: Frugalwatch) -> None:
    frugalwatch.environment["FRUGALWATCH_BUDGET"] = "1EUR,5kWh"
    run, result = frugalwatch.measure("--", "true")
    assert result.returncode == 0
    assert "budget 1EUR: no price of a kWh is set: left out" in result.said
    assert [budget["budget"] for budget in run["budgets"]] == ["5kWh"]


def test_a_project_cannot_have_jobs_ended(frugalwatch: Frugalwatch) -> None:
    project = frugalwatch.folder / "project"
    project.mkdir()
    (project / "frugalwatch.toml").write_text('budget = ["0.01J"]\non_exceed = "term"\n')
    result = frugalwatch("run", *QUICK, *python(COUNTER, "1"), cwd=str(project))
    assert (result.returncode, result.stdout) == (0, b"TERM 0\n")
    assert "on_exceed: not taken from a project" in result.said


def test_a_job_that_spams_metrics_is_told_of_a_few_times(frugalwatch: Frugalwatch) -> None:
    job = """
import time, frugalwatch
end = time.monotonic() + 2
n = 0
while time.monotonic() < end:
    frugalwatch.metric("x", n % 2 * 10.0)
    n += 1
    if n % 4 == 0:
        time.sleep(0.001)
"""
    run, result = frugalwatch.measure(
        *("--interval", "0.1", "--alert", "metric(x)>5", "--", sys.executable, "-c", job)
    )
    assert result.returncode == 0
    assert len(events(run, "alert")) <= 1
    assert result.said.count("alert metric(x)>5") <= 2, "once crossed, once back"
    (alert,) = run["alerts"]
    assert alert["judged"]


def test_an_alert_that_nothing_was_told_of_is_said_not_to_be_judged(
    frugalwatch: Frugalwatch,
) -> None:
    run, _ = frugalwatch.measure("--alert", "p95>1ms", "--", "true")
    assert run["alerts"] == [
        {"alert": "p95>1ms", "crossings": 0, "first_s": None, "last": None, "judged": False}
    ]


def test_a_stuck_reader_of_stderr_holds_up_nobody(frugalwatch: Frugalwatch) -> None:
    """Who reads our stderr may never do: the job ends when it ends, and so do we."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writer, True)
    try:
        begun = time.monotonic()
        process = frugalwatch.start(
            *("run", "--summary", "none", "--budget", "0.01J"),
            *QUICK,
            *python(COUNTER, "1"),
            stdout=subprocess.DEVNULL,
            stderr=writer,
        )
        assert process.wait(timeout=60) == 0
        assert time.monotonic() - begun < 50
    finally:
        os.close(writer)
        os.close(reader)


def test_who_is_told_is_no_part_of_the_job_and_is_not_waited_for(frugalwatch: Frugalwatch) -> None:
    told = frugalwatch.folder / "told"
    config = frugalwatch.folder / "config" / "frugalwatch"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(
        f"""alert_command = ["sh", "-c", "cat > {told}; sleep 8"]\nbudget = ["0.01J"]\n"""
    )
    run, result = frugalwatch.measure(
        *("--wait-descendants", "--interval", "0.1", "--no-hook", "--", "sleep", "1")
    )
    assert result.returncode == 0
    assert run["duration_s"] < 7, "the command that goes on is none of the job's processes"
    assert events(run, "processes_left") == []
    with until(30, "the command to be told") as again:
        while again():
            if told.exists() and told.read_text().endswith("}"):
                break
    document = json.loads(told.read_text())
    assert (document["schema"], document["run_id"]) == ("frugalwatch.alert/1", run["run_id"])
    assert "sleep" not in told.read_text(), "the command line stays here"


def test_a_sink_that_fails_is_an_event_of_the_run(frugalwatch: Frugalwatch) -> None:
    frugalwatch.environment["FRUGALWATCH_ALERT_COMMAND"] = "/nonexistent/pager"
    run, _ = frugalwatch.measure(
        *("--budget", "0.01J", "--interval", "0.1", "--no-hook", "--", "sleep", "3")
    )
    (event,) = events(run, "alert_undelivered")
    assert "pager: No such file" in event["detail"]
