"""Copying one run with everything that belongs to it from one ledger into another.

Used when a run's own ledger fails (the run is saved elsewhere), to publish a run as a single
file, and to merge such files. Row numbers differ between ledgers, keys do not.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from frugalwatch.ledger.connection import writing
from frugalwatch.ledger.row_copies import (
    Value,
    boot_in,
    copy_rows,
    copy_shares,
    device_in,
    insert,
    one,
    row_number,
    rows,
)

# Tables with a row per run, and tables with rows per stream of a run.
_BY_RUN = (
    *("usage", "metric", "step", "goal", "job_process"),
    *("process", "unit_count", "activity", "unit_time"),  # told by the hook inside the job
)
_BY_STREAM = ("sample", "gpu_usage", "condition", "job_process_gpu", "minute")


class Copied(NamedTuple):
    """Row numbers in the new ledger: of the run, and by row number in the old one."""

    run_id: int
    streams: dict[int, int]
    phases: dict[int, int]


def copy_run(source: sqlite3.Connection, target: sqlite3.Connection, run_key: str) -> Copied | None:
    """Copy one run, in one transaction; a run of that key in `target` is replaced.

    None if `source` has no such run. Raises sqlite3.Error; `target` is then unchanged.
    """
    run = one(source, "SELECT * FROM run WHERE run_key = ?", run_key)
    if run is None:
        return None
    old_run = run["id"]
    with writing(target):
        replayed = _advice_on(target, run_key)
        delete_run(target, run_key)
        boot = boot_in(source, target, run["boot_id"])
        run_id = insert(target, "run", {**run, "id": None, "boot_id": boot})
        devices: dict[Value, int] = {}
        streams: dict[int, int] = {}
        for stream in rows(source, "SELECT * FROM stream WHERE run_id = ? ORDER BY id", old_run):
            device = device_in(source, target, stream["device_id"], devices)
            row = {**stream, "id": None, "run_id": run_id, "boot_id": boot, "device_id": device}
            streams[row_number(stream["id"])] = insert(target, "stream", row)
        for old, new in streams.items():
            for table in _BY_STREAM:
                copy_rows(source, target, table, owner="stream_id", old=old, new=new)
        copy_shares(source, target, streams)
        for table in _BY_RUN:
            copy_rows(source, target, table, owner="run_id", old=row_number(old_run), new=run_id)
        for event in rows(source, "SELECT * FROM event WHERE run_id = ? ORDER BY id", old_run):
            stream_id = event["stream_id"]
            known = None if stream_id is None else streams.get(row_number(stream_id))
            insert(target, "event", {**event, "id": None, "run_id": run_id, "stream_id": known})
        phases: dict[int, int] = {}
        for phase in rows(source, "SELECT * FROM phase WHERE run_id = ? ORDER BY id", old_run):
            row = {**phase, "id": None, "run_id": run_id}
            phases[row_number(phase["id"])] = insert(target, "phase", row)
        for total in rows(source, "SELECT * FROM run_device WHERE run_id = ?", old_run):
            device = device_in(source, target, total["device_id"], devices)
            insert(target, "run_device", {**total, "run_id": run_id, "device_id": device})
        for advice in replayed:
            target.execute("UPDATE advice SET run_id = ? WHERE id = ?", (run_id, advice))
    return Copied(run_id, streams, phases)


def copy_grid_intensities(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Add the live grid values that `target` lacks. Raises sqlite3.Error."""
    with writing(target):
        for row in rows(source, "SELECT * FROM carbon_intensity"):
            insert(target, "carbon_intensity", row, "OR IGNORE")


def delete_run(conn: sqlite3.Connection, run_key: str) -> bool:
    """Remove one run and all that belongs to it, inside the caller's transaction.

    Advice that was made on it stays, and forgets which run that was.
    """
    found = conn.execute("SELECT id FROM run WHERE run_key = ?", (run_key,)).fetchone()
    if found is None:
        return False
    forget_details(conn, found[0])
    for table in ("run_device", "stream"):
        conn.execute(f"DELETE FROM {table} WHERE run_id = ?", found)
    conn.execute("UPDATE advice SET run_id = NULL WHERE run_id = ?", found)
    conn.execute("DELETE FROM run WHERE id = ?", found)
    return True


def forget_details(conn: sqlite3.Connection, run_id: int) -> None:
    """Remove all that was recorded of a run but its totals, inside the caller's transaction."""
    for table in (*_BY_STREAM, "share"):
        conn.execute(
            f"DELETE FROM {table} WHERE stream_id IN (SELECT id FROM stream WHERE run_id = ?)",
            (run_id,),
        )
    for table in (*_BY_RUN, "event", "phase"):
        conn.execute(f"DELETE FROM {table} WHERE run_id = ?", (run_id,))


def _advice_on(conn: sqlite3.Connection, run_key: str) -> list[int]:
    """Numbers of the advice that was made by replaying this run."""
    found = conn.execute(
        "SELECT advice.id FROM advice JOIN run ON run.id = advice.run_id WHERE run.run_key = ?",
        (run_key,),
    )
    return [row[0] for row in found]
