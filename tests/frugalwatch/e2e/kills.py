"""One `kill -9` at a random moment of a run, and whether everything that was promised held."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from tests.frugalwatch.e2e.kit import Frugalwatch, alive, children, name_of, until
from tests.support.fake_sysfs import PowercapTree, Square, Zone

Victim: TypeAlias = Literal["sampler", "supervisor", "job", "sampler and supervisor"]
VICTIMS: tuple[Victim, ...] = ("sampler", "supervisor", "job", "sampler and supervisor")

ZONE = Zone("package-0", Square(20.0, 60.0, 0.7), range_j=150.0)  # wraps every few seconds
JOB_S = 1.2
# Of a run of about a second: two ticks of the simulated counter (3 ms at 60 W) and busy machines.
_TOLERANCE_J = 0.8
_TOLERANCE = 0.01
_LATE_NS = 300_000_000
_LATE_J = 0.3 * 40.0 / 4  # a swing of 40 W, known before and after 0.3 s only


@dataclass(frozen=True)
class Trial:
    """What was killed when, and what was wrong afterwards (nothing: an empty text)."""

    victim: Victim
    after_s: float
    hit: bool
    wrong: str


@dataclass(frozen=True)
class _Killed:
    """A run after somebody was killed, or came too early or too late for that (`hit` False)."""

    victim: Victim
    hit: bool
    had_sampler: bool
    job: int | None
    over: Path
    returncode: int
    said: str
    at_ns: int


def kill_once(
    frugalwatch: Frugalwatch, tree: PowercapTree, victim: Victim, after_s: float, number: int
) -> Trial:
    """Run a job, kill one of our processes or the job after a time, and look at what is left."""
    begun, over = frugalwatch.folder / f"begun-{number}", frugalwatch.folder / f"over-{number}"
    script = f"echo $$ > {begun}; sleep {JOB_S}; echo over > {over}"
    if victim == "job":
        script = f"echo $$ > {begun}; exec sleep {JOB_S}"
    process = frugalwatch.start(
        *("run", "--interval", "0.2", "--summary", "none", "--", "sh", "-c", script)
    )
    time.sleep(after_s)
    had_sampler = any(name_of(p) == "fw-sampler" for p in children(process.pid))
    job = _pid_in(begun)
    at_ns = time.monotonic_ns()
    hit = _kill(victim, process.pid, job)
    _, err = process.communicate(timeout=30)
    killed = _Killed(victim, hit, had_sampler, job, over, process.returncode, err.decode(), at_ns)
    try:
        wrong = _wrong_with_job(killed) or _wrong_with_run(frugalwatch, tree, killed)
    except (sqlite3.Error, AssertionError) as error:
        wrong = repr(error)
    return Trial(victim, after_s, hit, wrong)


def kill_many(
    frugalwatch: Frugalwatch, victims: Sequence[Victim], seed: int, at_once: int = 4
) -> list[Trial]:
    """A trial for each of `victims` at a random moment, several at once on one ledger."""
    dice = random.Random(seed)
    moments = [(victim, dice.uniform(0.0, JOB_S + 0.3)) for victim in victims]
    with PowercapTree(frugalwatch.folder, [ZONE]) as tree:
        frugalwatch.environment["FRUGALWATCH_SYSFS"] = tree.sysfs
        tree.start()

        def trial(numbered: tuple[int, tuple[Victim, float]]) -> Trial:
            number, (victim, after_s) = numbered
            return kill_once(frugalwatch, tree, victim, after_s, number)

        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(trial, enumerate(moments)))


def _kill(victim: Victim, supervisor: int, job: int | None) -> bool:
    sampler = next((p for p in children(supervisor) if name_of(p) == "fw-sampler"), None)
    targets = {
        "sampler": [sampler],
        "supervisor": [supervisor],
        "job": [job],
        "sampler and supervisor": [sampler, supervisor],
    }[victim]
    if not all(pid is not None and alive(pid) for pid in targets):
        return False
    for pid in targets:
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    return True


def _wrong_with_job(killed: _Killed) -> str:
    """What happened to the job, or to its status, that must not; empty if all is well."""
    expected = {"sampler": 0, "job": 137}.get(killed.victim, -9) if killed.hit else 0
    if killed.returncode != expected:
        return f"exit {killed.returncode}: {killed.said}"
    if killed.job is not None and killed.victim != "job":
        with until(10, "the job's own end") as again:
            while not killed.over.exists() and again():
                continue
    return ""


def _wrong_with_run(frugalwatch: Frugalwatch, tree: PowercapTree, killed: _Killed) -> str:
    """What is wrong with what was recorded; empty if nothing is."""
    if killed.job is None:  # the job had not begun: there is nothing to be found by its pid
        return ""
    row = _settled(frugalwatch, killed.job)
    if not frugalwatch.ledger.exists() or not frugalwatch.intact():
        return "" if not killed.had_sampler else "integrity_check"
    both = killed.hit and killed.victim == "sampler and supervisor"
    if row is None:
        # Nothing is promised where nobody was there yet to record anything.
        return "" if both or not killed.had_sampler else "no run was recorded"
    if both:  # settled by `recover`, or by a later run on the same ledger
        return "" if row.state in ("running", "recovered", "done") else f"state {row.state}"
    states = {"supervisor": ("recovered", "done"), "job": ("killed",)}
    expected = states.get(killed.victim, ("done",)) if killed.hit else ("done",)
    if row.state not in expected:
        return f"state {row.state}"
    seconds = (row.ended_ns - row.began_ns) / 1e9
    if killed.victim != "job" and seconds < JOB_S - 0.05:
        return f"closed after {seconds:.2f} s, before the job's end"
    if row.energy_j is None or row.low_j is None or row.high_j is None:
        return "no energy"
    truth = tree.true_energy_j("package-0", row.began_ns, row.ended_ns)
    margin = _TOLERANCE_J + _TOLERANCE * truth
    if killed.hit and killed.at_ns > row.ended_ns - _LATE_NS:
        # Nobody looked for a moment around the job's end: which side of it the energy of an
        # interval fell on is the detail that a kill may cost.
        margin += _LATE_J
    if abs(row.energy_j - truth) > margin:
        return f"{row.energy_j:.2f} J, truth {truth:.2f} J in {seconds:.2f} s"
    if not row.low_j - margin <= truth <= row.high_j + margin:
        return f"truth {truth:.2f} J outside of {row.low_j:.2f} to {row.high_j:.2f} J"
    return ""


class _Row(NamedTuple):
    state: str
    began_ns: int
    ended_ns: int
    energy_j: float | None
    low_j: float | None
    high_j: float | None
    settled: int


def _settled(frugalwatch: Frugalwatch, job: int) -> _Row | None:
    """The run of a job once it is settled, or as it is after 5 s; None if there is none."""
    deadline = time.monotonic() + 5
    row = None
    while time.monotonic() < deadline and (row is None or not row.settled):
        time.sleep(0.05)
        with contextlib.suppress(sqlite3.Error):
            rows = frugalwatch.rows(
                "SELECT state, started_mono_ns, ended_mono_ns, energy_uj / 1e6,"
                " energy_low_uj / 1e6,"
                " energy_high_uj / 1e6, result IS NOT NULL FROM run WHERE job_pid = ?"
                " ORDER BY id DESC LIMIT 1",
                job,
            )
            row = _Row(*rows[0]) if rows else None
    return row


def _pid_in(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
