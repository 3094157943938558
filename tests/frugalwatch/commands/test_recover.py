from __future__ import annotations

import contextlib
import json
import os
import signal

from tests.frugalwatch.e2e.kit import Frugalwatch, job_of, sampler_of, until


def killed_run(frugalwatch: Frugalwatch) -> None:
    """A run of which everything was killed at once, after a few samples."""
    process = frugalwatch.start("run", "--interval", "0.05", "--", "sleep", "60")
    pids = [process.pid, sampler_of(process.pid), job_of(process.pid)]
    with until(10, "samples") as again:
        while again():
            with contextlib.suppress(Exception):
                if frugalwatch.one("SELECT count(*) FROM sample") >= 5:
                    break
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)  # or one of them would still tell of the others' death
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=20)


def test_a_run_of_which_everything_was_killed_gets_its_totals(frugalwatch: Frugalwatch) -> None:
    killed_run(frugalwatch)
    assert frugalwatch.one("SELECT state FROM run") == "running"
    first = frugalwatch("recover")
    assert first.returncode == 0
    assert first.stdout.decode().startswith("run 1 (")
    assert first.stdout.decode().endswith("recovered, exit status unknown\n")
    run = json.loads(frugalwatch("show", "--json").stdout)
    assert (run["state"], run["exit_code"]) == ("recovered", None)
    assert run["estimated_j"] > 0
    assert run["cpu_method"] == "tree-lower-bound"
    assert [e["kind"] for e in run["events"]].count("recovered") == 1
    assert frugalwatch.one("SELECT estimated_uj FROM run") > 0
    assert frugalwatch.intact()

    before = frugalwatch.rows("SELECT * FROM run")
    assert frugalwatch("recover").stdout == b"nothing to recover\n"
    assert json.loads(frugalwatch("recover", "--json").stdout) == {
        "schema": "frugalwatch.recover/1",
        "runs": [],
    }
    assert frugalwatch.rows("SELECT * FROM run") == before


def test_a_run_that_goes_on_is_left_alone(frugalwatch: Frugalwatch) -> None:
    process = frugalwatch.start("run", "--", "sleep", "30")
    try:
        frugalwatch.wait_for_state("running")
        assert frugalwatch("recover").stdout == b"nothing to recover\n"
        assert frugalwatch.one("SELECT state FROM run") == "running"
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 128 + 15


def test_without_a_ledger_there_is_nothing_to_recover(frugalwatch: Frugalwatch) -> None:
    assert frugalwatch("recover").stdout == b"nothing to recover\n"
    assert not frugalwatch.ledger.exists()
