"""Jobs of several processes: who used what, whoever of us is killed meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import sys
import textwrap
from typing import Any

import pytest

from tests.frugalwatch.e2e.kit import Frugalwatch, Result, RunObject, sampler_of, until
from tests.support.nvml_stub import Constant, NvmlStub, Process, StubGpu

# Two children work, 3 to 1, and wait; a file ends them and their parent.
TWO = """
    import os, sys, time
    folder, parts = sys.argv[1], [float(part) for part in sys.argv[2:]]
    def busy(seconds):
        while time.process_time() < seconds: pass
    pids = []
    for part in parts:
        pid = os.fork()
        if pid == 0:
            busy(part)
            open(f"{folder}/done-{os.getpid()}", "w").close()
            time.sleep(60)
            os._exit(0)
        pids.append(pid)
    with open(f"{folder}/pids.new", "w") as file:
        file.write(" ".join(map(str, pids)))
    os.rename(f"{folder}/pids.new", f"{folder}/pids")
    while not os.path.exists(f"{folder}/stop"):
        time.sleep(0.02)
    for pid in pids:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
"""

SHORT_LIVED = """
    import os, sys, time
    begun = time.monotonic()
    def busy(seconds):
        while time.process_time() < seconds: pass
    for _ in range(200):
        pid = os.fork()
        if pid == 0:
            busy(0.005)
            os._exit(0)
        os.waitpid(pid, 0)
    time.sleep(max(0, 1.6 - (time.monotonic() - begun)))
"""


class Job:
    """A run of two busy children that ends when it is told to."""

    def __init__(self, frugalwatch: Frugalwatch, *seconds: float) -> None:
        self.frugalwatch = frugalwatch
        self.target = frugalwatch.folder / "run.json"
        self.process = frugalwatch.start(
            *("run", "--json", str(self.target), "--", sys.executable, "-I", "-S", "-c"),
            *(textwrap.dedent(TWO), str(frugalwatch.folder), *map(str, seconds)),
        )

    def children(self) -> list[int]:
        path = self.frugalwatch.folder / "pids"
        with until(20, "the job's children") as again:
            while not path.exists() and again():
                continue
        return [int(word) for word in path.read_text().split()]

    def wait_for_work(self) -> None:
        with until(60, "the children's work") as again:
            while again():
                if all((self.frugalwatch.folder / f"done-{p}").exists() for p in self.children()):
                    return

    def wait_for(self, query: str, *values: object, what: str) -> None:
        """Until a query about the ledger is answered with something true."""
        with until(30, what) as again:
            while again():
                with contextlib.suppress(sqlite3.Error):  # it is being made
                    rows = self.frugalwatch.rows(query, *values)
                    if rows and rows[0][0]:
                        return

    def stop(self) -> None:
        (self.frugalwatch.folder / "stop").touch()

    def end(self) -> RunObject:
        self.stop()
        _, said = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, said
        run: RunObject = json.loads(self.target.read_text())
        return run


def by_pid(run: RunObject) -> dict[int, dict[str, Any]]:
    return {part["pid"]: part for part in run["processes"] if part["kind"] == "process"}


def adds_up(run: RunObject) -> None:
    """To the job's CPU time, and to its share of the devices."""
    parts = run["processes"]
    assert sum(part["cpu_s"] for part in parts) == pytest.approx(run["cpu_s"])
    for total, key in (("job_share_j", "energy_j"), ("estimated_job_share_j", "estimated_j")):
        if run[total] is not None:
            assert sum(part[key] for part in parts) == pytest.approx(run[total])


# In the ledger when it holds, of both children, what they had used when they began to wait.
_BOTH_SEEN = "SELECT count(*) = 2 FROM job_process WHERE pid IN (?, ?) AND cpu_us > 300000"
_SEEN_AGAIN = "SELECT max(t_mono_ns) > ? FROM usage"


def test_two_processes_that_work_3_to_1_share_the_energy_so(frugalwatch: Frugalwatch) -> None:
    job = Job(frugalwatch, 0.9, 0.3)
    first, second = job.children()
    job.wait_for_work()
    last = "SELECT max(t_mono_ns) FROM usage"
    job.wait_for(last, what="a look")
    seen = frugalwatch.one(last)
    job.wait_for(_SEEN_AGAIN, seen + 10**9, what="two more looks")
    run = job.end()
    adds_up(run)
    found = by_pid(run)
    assert found[first]["cpu_s"] == pytest.approx(0.9, abs=0.04)
    assert found[second]["cpu_s"] == pytest.approx(0.3, abs=0.04)
    assert found[first]["estimated_j"] == pytest.approx(3 * found[second]["estimated_j"], rel=0.2)
    assert found[first]["origin"] == "attributed"
    shown = frugalwatch("show")
    assert "By process" in shown.stdout.decode()
    assert str(first) in shown.stdout.decode()


@pytest.mark.parametrize("option", ["--cgroup", "--no-cgroup"])
def test_children_too_short_to_be_seen_are_told_as_such(
    frugalwatch: Frugalwatch, option: str
) -> None:
    run, _ = frugalwatch.measure(
        *(option, "--", sys.executable, "-I", "-S", "-c", textwrap.dedent(SHORT_LIVED))
    )
    adds_up(run)
    (ended,) = [part for part in run["processes"] if part["kind"] == "ended"]
    assert ended["cpu_s"] > 0.7, "of the second that the children worked"
    assert len(by_pid(run)) < 40, "of two hundred"


def test_sm_time_by_process_survives_the_death_of_the_sampler(frugalwatch: Frugalwatch) -> None:
    stub = NvmlStub(frugalwatch.folder, [StubGpu(trace=Constant(250.0))])
    frugalwatch.environment |= stub.environment()
    job = Job(frugalwatch, 0.02, 0.01)
    first, second = job.children()
    stub.change(0, processes=(Process(first, 60), Process(second, 20)))
    busy = "SELECT busy_us FROM job_process_gpu WHERE pid = ?"
    job.wait_for(busy, second, what="SM time of both in the ledger")
    before = frugalwatch.one(busy, first)
    sampler = sampler_of(job.process.pid)
    os.kill(sampler, signal.SIGKILL)
    job.wait_for(f"{busy} AND busy_us > ?", first, before + 500_000, what="a new sampler's account")
    run = job.end()
    adds_up(run)
    found = by_pid(run)
    (gpu,) = [d["device"] for d in run["devices"] if d["domain"] == "gpu"]
    used = {pid: found[pid]["gpus"] for pid in (first, second)}
    assert [one["device"] for one in used[first] + used[second]] == [gpu, gpu]
    assert used[first][0]["busy_s"] >= before / 1e6 + 0.5
    assert used[first][0]["busy_s"] == pytest.approx(3 * used[second][0]["busy_s"], rel=0.01)
    assert found[first]["energy_j"] == pytest.approx(run["job_share_j"] * 0.75, rel=0.01)
    job_us, fell = frugalwatch.rows(
        "SELECT max(job_busy_us), sum(fell) FROM (SELECT job_busy_us, job_busy_us <"
        " lag(job_busy_us) OVER (ORDER BY t_mono_ns) AS fell FROM gpu_usage)"
    )[0]
    assert fell == 0, "cumulative figures go on where the dead sampler left them"
    whole_s = used[first][0]["busy_s"] + used[second][0]["busy_s"]
    assert job_us / 1e6 == pytest.approx(whole_s, rel=0.05, abs=0.9)
    restarted = [event for event in run["events"] if event["kind"] == "sampler_restarted"]
    assert len(restarted) == 1


def test_what_was_written_of_the_processes_survives_the_death_of_all_of_us(
    frugalwatch: Frugalwatch,
) -> None:
    job = Job(frugalwatch, 0.4, 0.4)
    job.wait_for(_BOTH_SEEN, *job.children(), what="both children in the ledger")
    sampler = sampler_of(job.process.pid)
    for pid in (sampler, job.process.pid):
        os.kill(pid, signal.SIGKILL)
    job.stop()
    job.process.communicate(timeout=30)
    with until(20, "the job's end") as again:
        while _settled(frugalwatch).returncode != 0 and again():
            continue
    run = json.loads(frugalwatch("show", "--json").stdout)
    assert run["state"] == "recovered"
    adds_up(run)
    found = by_pid(run)
    for pid in job.children():
        assert found[pid]["cpu_s"] == pytest.approx(0.4, abs=0.1)


def _settled(frugalwatch: Frugalwatch) -> Result:
    """`recover` leaves a run alone for as long as its job is there."""
    result = frugalwatch("recover")
    state = frugalwatch.one("SELECT state FROM run")
    result.returncode = 0 if state == "recovered" else 1
    return result
