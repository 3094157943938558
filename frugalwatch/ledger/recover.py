"""Runs that nobody finished: the machine went down, or everything that watched them was killed."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from typing import NamedTuple

from frugalwatch.ledger.connection import writing
from frugalwatch.machine import boot_key, machine_key, pid_namespace

# Where the process ids of a run mean nothing here (another container), only its heartbeat speaks.
_SILENT_NS = 60 * 1_000_000_000


class Here(NamedTuple):
    """The machine, boot and pid namespace that this process is in, and its monotonic now."""

    machine_key: str
    boot_key: str
    pid_namespace: int | None
    now_mono_ns: int
    procfs: str = "/proc"


def here() -> Here:
    """Where this process is."""
    return Here(machine_key(), boot_key(), pid_namespace(), time.monotonic_ns())


class Recovered(NamedTuple):
    """A run that was given an end. `state` is interrupted (reboot) or recovered."""

    run_id: int
    run_key: str
    state: str
    ended_mono_ns: int


def recover(
    conn: sqlite3.Connection,
    place: Here,
    settle: Callable[[sqlite3.Connection, str], None],
    *,
    every_machine: bool = False,
) -> list[Recovered]:
    """Give an end to every run whose boot is over, or whose processes are all gone.

    The end is the last heartbeat: nothing is known of the time after it, and no counter is
    compared across boots. The exit status stays unknown. `settle(conn, run_key)` then works out
    and stores the totals. Runs of other machines are left alone, unless `every_machine`: then
    those of another machine and another boot are closed too. Raises sqlite3.Error.
    """
    found = []
    for run in _unfinished(conn):
        state = _verdict(run, place, every_machine=every_machine)
        if state is not None and _close(conn, run, state):
            settle(conn, run.run_key)
            found.append(Recovered(run.run_id, run.run_key, state, run.heartbeat_mono_ns))
    return found


class _Unfinished(NamedTuple):
    run_id: int
    run_key: str
    machine_key: str
    boot_key: str
    interval_ns: int
    heartbeat_mono_ns: int
    pid_namespace: int | None
    supervisor: tuple[int | None, int | None]
    sampler: tuple[int | None, int | None]
    job: tuple[int | None, int | None]


def _unfinished(conn: sqlite3.Connection) -> list[_Unfinished]:
    rows = conn.execute(
        "SELECT run.id, run_key, machine_key, boot_key, interval_ns, heartbeat_mono_ns,"
        " pid_namespace, supervisor_pid, supervisor_starttime, sampler_pid, sampler_starttime,"
        " job_pid, job_starttime"
        " FROM run JOIN boot ON boot.id = run.boot_id JOIN machine ON machine.id = boot.machine_id"
        " WHERE state = 'running' ORDER BY run.id"
    )
    return [
        _Unfinished._make((*row[:7], row[7:9], row[9:11], row[11:13])) for row in rows.fetchall()
    ]


def _verdict(run: _Unfinished, place: Here, *, every_machine: bool) -> str | None:
    """The state that this run is in, or None if it may well be alive."""
    if run.boot_key != place.boot_key:
        ours = run.machine_key == place.machine_key
        return "interrupted" if ours or every_machine else None
    if run.pid_namespace is not None and run.pid_namespace != place.pid_namespace:
        silence_ns = place.now_mono_ns - run.heartbeat_mono_ns
        return "recovered" if silence_ns > _SILENT_NS + 10 * run.interval_ns else None
    processes = (run.supervisor, run.sampler, run.job)
    if any(is_alive(place.procfs, pid, starttime) for pid, starttime in processes):
        return None
    return "recovered"


def is_alive(procfs: str, pid: int | None, starttime: int | None) -> bool:
    """True if that very process is there: the pid with that start time (field 22 of its stat).

    A zombie is gone, though its pid is not. With no start time the pid alone decides.
    """
    if pid is None:
        return False
    try:
        with open(os.path.join(procfs, str(pid), "stat"), "rb") as file:
            stat = file.read()
    except OSError:
        return False
    # The name in parentheses may hold spaces and parentheses of its own.
    fields = stat[stat.rindex(b")") + 2 :].split()
    if fields[0] in (b"Z", b"X"):
        return False
    return starttime is None or int(fields[19]) == starttime


def _close(conn: sqlite3.Connection, run: _Unfinished, state: str) -> bool:
    """Write the end. False if another process did so first, or the run came back to life."""
    reason = {
        "interrupted": "the machine was restarted",
        "recovered": "the processes that watched this run were killed",
    }[state]
    with writing(conn):
        changed = conn.execute(
            """
            UPDATE run SET state = :state, ended_mono_ns = heartbeat_mono_ns,
                job_cpu_us = coalesce(job_cpu_us, (SELECT job_cpu_us FROM usage
                    WHERE run_id = :id ORDER BY t_mono_ns DESC LIMIT 1)),
                machine_busy_us = coalesce(machine_busy_us, (SELECT machine_busy_us FROM usage
                    WHERE run_id = :id ORDER BY t_mono_ns DESC LIMIT 1)),
                job_cpu_method = coalesce(job_cpu_method, 'tree-lower-bound')
            WHERE id = :id AND state = 'running' AND heartbeat_mono_ns = :heartbeat
            """,
            {"state": state, "id": run.run_id, "heartbeat": run.heartbeat_mono_ns},
        ).rowcount
        if not changed:
            return False
        conn.execute(
            "INSERT INTO event (run_id, kind, cause, t_mono_ns, detail) VALUES (?, ?, ?, ?, ?)",
            (
                run.run_id,
                "recovered",
                state,
                run.heartbeat_mono_ns,
                f"{reason}; its figures end with the last sign of life, its exit status is unknown",
            ),
        )
    return True
