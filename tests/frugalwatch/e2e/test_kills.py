"""`kill -9` at random moments: what it may cost, and what it must not."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from tests.frugalwatch.e2e.kills import VICTIMS, kill_many
from tests.frugalwatch.e2e.kit import (
    Frugalwatch,
    RunObject,
    alive,
    children,
    events,
    job_of,
    sampler_of,
    until,
)
from tests.support.fake_sysfs import Constant, PowercapTree, Ramp, Zone


@pytest.mark.slow
def test_twenty_random_kills_lose_no_energy_and_harm_no_job(frugalwatch: Frugalwatch) -> None:
    trials = kill_many(frugalwatch, VICTIMS * 5, seed=20261122)
    assert [t for t in trials if t.wrong] == []
    assert sum(t.hit for t in trials) >= 10, "most came at a moment when there was a victim"
    assert frugalwatch.intact()


def test_a_sampler_killed_again_and_again_loses_no_energy(frugalwatch: Frugalwatch) -> None:
    """Across wraps: the last raw counter is kept where `kill -9` does not reach."""
    # Where the maximum power is known, a late replacement still knows a wrap from a reset.
    zone = Zone("package-0", Ramp(20.0, 90.0, 6.0), range_j=250.0, max_power_w=90.0)
    with PowercapTree(frugalwatch.folder, [zone]) as tree:
        frugalwatch.environment["FRUGALWATCH_SYSFS"] = tree.sysfs
        tree.start()
        target = frugalwatch.folder / "out.json"
        process = frugalwatch.start("run", "--json", str(target), "--", "sleep", "6")
        for _ in range(4):
            time.sleep(0.7)
            os.kill(sampler_of(process.pid), signal.SIGKILL)
        process.communicate(timeout=30)
        truth = tree.true_energy_j("package-0", *frugalwatch.window())
    run = json.loads(target.read_text())
    assert process.returncode == 0
    assert run["energy_j"] == pytest.approx(truth, rel=0.005)
    assert len(events(run, "sampler_restarted")) == 4
    assert run["coverage"] > 0.99


def test_a_sampler_killed_again_and_again_inflates_no_model(frugalwatch: Frugalwatch) -> None:
    """Wall time and CPU time are known across its death, so nothing is missing or counted twice."""
    target = frugalwatch.folder / "out.json"
    process = frugalwatch.start("run", "--json", str(target), "--", "sleep", "5")
    for _ in range(3):
        time.sleep(1.2)
        os.kill(sampler_of(process.pid), signal.SIGKILL)
    process.communicate(timeout=30)
    killed = json.loads(target.read_text())
    quiet, _ = frugalwatch.measure("--", "sleep", "2")

    def watts_of_a_busy_cpu(run: RunObject) -> float:
        idle_w = next(d["idle_w"] for d in run["devices"] if d["device"] == "model:cpu")
        return float((run["estimated_j"] - idle_w * run["wall_s"]) / run["machine_busy_cpu_s"])

    assert len(events(killed, "sampler_restarted")) == 3
    assert events(killed, "gap") == []
    assert killed["coverage"] > 0.99
    assert watts_of_a_busy_cpu(killed) == pytest.approx(watts_of_a_busy_cpu(quiet), rel=0.1)


def test_a_sampler_killed_before_it_wrote_anything_costs_a_model_nothing(
    frugalwatch: Frugalwatch,
) -> None:
    target = frugalwatch.folder / "out.json"
    process = frugalwatch.start("run", "--json", str(target), "--", "sleep", "1.5")
    os.kill(sampler_of(process.pid), signal.SIGKILL)
    process.communicate(timeout=30)
    run = json.loads(target.read_text())
    assert events(run, "gap") == []
    assert run["coverage"] > 0.99, "from the start of the job on"


def test_a_supervisor_that_was_killed_leaves_the_job_and_its_measurement(
    frugalwatch: Frugalwatch,
) -> None:
    with PowercapTree(frugalwatch.folder, [Zone("package-0", Constant(50.0))]) as tree:
        frugalwatch.environment["FRUGALWATCH_SYSFS"] = tree.sysfs
        tree.start()
        process = frugalwatch.start("run", "--", "sh", "-c", "sleep 2; echo over > over")
        sampler = sampler_of(process.pid)
        job = job_of(process.pid)
        frugalwatch.wait_for_look()
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=10)
        assert frugalwatch.wait_for_state("recovered", "done") == "recovered"
        with until(20, "the totals") as again:  # they are written after the end
            while frugalwatch.one("SELECT result FROM run") is None and again():
                continue
        truth = tree.true_energy_j("package-0", *frugalwatch.window())
    assert (frugalwatch.folder / "over").exists(), "the job ran to its end"
    assert frugalwatch.one("SELECT energy_uj FROM run") / 1e6 == pytest.approx(truth, rel=0.01)
    assert frugalwatch.rows("SELECT exit_code, exit_signal FROM run") == [(None, None)]
    run = json.loads(frugalwatch.one("SELECT result FROM run"))
    assert len(events(run, "supervisor_lost")) == 1
    begin, end = frugalwatch.window()
    assert (end - begin) / 1e9 == pytest.approx(2.0, abs=0.3)
    time.sleep(0.2)
    assert not alive(sampler)
    assert not alive(job)
    assert list((frugalwatch.folder / "runtime" / "frugalwatch").glob("*.sock")) == []


def test_a_sampler_that_dies_at_once_every_time_is_not_started_without_end(
    frugalwatch: Frugalwatch,
) -> None:
    process = frugalwatch.start("run", "--", "sleep", "6")
    job = job_of(process.pid)
    killed = set()
    while process.poll() is None:
        for pid in children(process.pid):
            if pid != job and pid not in killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        time.sleep(0.005)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert 3 <= len(killed) <= 10, "pauses grow"
    assert b"gave no result" in err
