"""Copying one run with everything that belongs to it from one ledger into another.

Used when a run's own ledger fails (the run is saved elsewhere), to publish a run as a single
file, and to merge such files. Row numbers differ between ledgers, keys do not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from frugalwatch.ledger.connection import writing

Value = int | float | str | None

# Tables with a row per run, and tables with rows per stream of a run.
_BY_RUN = (
    *("usage", "metric", "step", "goal"),
    *("process", "unit_count", "activity", "unit_time"),  # told by the hook inside the job
)
_BY_STREAM = ("sample", "gpu_usage", "condition")


class Copied(NamedTuple):
    """Row numbers in the new ledger: of the run, and by row number in the old one."""

    run_id: int
    streams: dict[int, int]
    phases: dict[int, int]


def copy_run(source: sqlite3.Connection, target: sqlite3.Connection, run_key: str) -> Copied | None:
    """Copy one run, in one transaction; a run of that key in `target` is replaced.

    None if `source` has no such run. Raises sqlite3.Error; `target` is then unchanged.
    """
    run = _one(source, "SELECT * FROM run WHERE run_key = ?", run_key)
    if run is None:
        return None
    old_run = run["id"]
    with writing(target):
        delete_run(target, run_key)
        boot = _boot(source, target, run["boot_id"])
        run_id = _insert(target, "run", {**run, "id": None, "boot_id": boot})
        devices: dict[Value, int] = {}
        streams: dict[int, int] = {}
        for stream in _rows(source, "SELECT * FROM stream WHERE run_id = ? ORDER BY id", old_run):
            device = _device(source, target, stream["device_id"], devices)
            row = {**stream, "id": None, "run_id": run_id, "boot_id": boot, "device_id": device}
            streams[_number(stream["id"])] = _insert(target, "stream", row)
        for old, new in streams.items():
            for table in _BY_STREAM:
                _copy_rows(source, target, table, owner="stream_id", old=old, new=new)
        for table in _BY_RUN:
            _copy_rows(source, target, table, owner="run_id", old=_number(old_run), new=run_id)
        for event in _rows(source, "SELECT * FROM event WHERE run_id = ? ORDER BY id", old_run):
            stream_id = event["stream_id"]
            known = None if stream_id is None else streams.get(_number(stream_id))
            _insert(target, "event", {**event, "id": None, "run_id": run_id, "stream_id": known})
        phases: dict[int, int] = {}
        for phase in _rows(source, "SELECT * FROM phase WHERE run_id = ? ORDER BY id", old_run):
            row = {**phase, "id": None, "run_id": run_id}
            phases[_number(phase["id"])] = _insert(target, "phase", row)
        for total in _rows(source, "SELECT * FROM run_device WHERE run_id = ?", old_run):
            device = _device(source, target, total["device_id"], devices)
            _insert(target, "run_device", {**total, "run_id": run_id, "device_id": device})
    return Copied(run_id, streams, phases)


def copy_grid_intensities(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Add the live grid values that `target` lacks. Raises sqlite3.Error."""
    with writing(target):
        for row in _rows(source, "SELECT * FROM carbon_intensity"):
            _insert(target, "carbon_intensity", row, "OR IGNORE")


def delete_run(conn: sqlite3.Connection, run_key: str) -> bool:
    """Remove one run and all that belongs to it, inside the caller's transaction."""
    found = conn.execute("SELECT id FROM run WHERE run_key = ?", (run_key,)).fetchone()
    if found is None:
        return False
    for table in _BY_STREAM:
        conn.execute(
            f"DELETE FROM {table} WHERE stream_id IN (SELECT id FROM stream WHERE run_id = ?)",
            found,
        )
    for table in (*_BY_RUN, "event", "phase", "run_device", "stream"):
        conn.execute(f"DELETE FROM {table} WHERE run_id = ?", found)
    conn.execute("DELETE FROM run WHERE id = ?", found)
    return True


def _boot(source: sqlite3.Connection, target: sqlite3.Connection, boot_id: Value) -> int:
    boot = _one(source, "SELECT * FROM boot WHERE id = ?", boot_id)
    if boot is None:
        raise sqlite3.IntegrityError(f"boot {boot_id} is missing")
    known = _one(target, "SELECT id FROM boot WHERE boot_key = ?", boot["boot_key"])
    if known is not None:
        return _number(known["id"])
    machine = _machine(source, target, boot["machine_id"])
    return _insert(target, "boot", {**boot, "id": None, "machine_id": machine})


def _machine(source: sqlite3.Connection, target: sqlite3.Connection, machine_id: Value) -> int:
    machine = _one(source, "SELECT * FROM machine WHERE id = ?", machine_id)
    if machine is None:
        raise sqlite3.IntegrityError(f"machine {machine_id} is missing")
    known = _one(target, "SELECT id FROM machine WHERE machine_key = ?", machine["machine_key"])
    if known is not None:
        return _number(known["id"])
    return _insert(target, "machine", {**machine, "id": None})


def _device(
    source: sqlite3.Connection,
    target: sqlite3.Connection,
    device_id: Value,
    seen: dict[Value, int],
) -> int:
    if device_id in seen:
        return seen[device_id]
    device = _one(source, "SELECT * FROM device WHERE id = ?", device_id)
    if device is None:
        raise sqlite3.IntegrityError(f"device {device_id} is missing")
    machine = _machine(source, target, device["machine_id"])
    known = _one(
        target,
        "SELECT id FROM device WHERE machine_id = ? AND key = ? AND source = ?",
        machine,
        device["key"],
        device["source"],
    )
    if known is None:
        seen[device_id] = _insert(target, "device", {**device, "id": None, "machine_id": machine})
    else:
        seen[device_id] = _number(known["id"])
    return seen[device_id]


def _rows(conn: sqlite3.Connection, statement: str, *values: Value) -> Iterator[dict[str, Value]]:
    cursor = conn.execute(statement, values)
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield dict(zip(names, row, strict=True))


def _one(conn: sqlite3.Connection, statement: str, *values: Value) -> dict[str, Value] | None:
    return next(_rows(conn, statement, *values), None)


def _number(value: Value) -> int:
    if not isinstance(value, int):
        raise sqlite3.IntegrityError(f"{value!r} is no row number")
    return value


def _insert(conn: sqlite3.Connection, table: str, row: dict[str, Value], or_else: str = "") -> int:
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    cursor = conn.execute(
        f"INSERT {or_else} INTO {table} ({names}) VALUES ({marks})", tuple(row.values())
    )
    return cursor.lastrowid or 0


def _copy_rows(
    source: sqlite3.Connection,
    target: sqlite3.Connection,
    table: str,
    *,
    owner: str,
    old: int,
    new: int,
) -> None:
    """Copy many rows that differ only in their owner's number, without holding them in memory."""
    names = [column[1] for column in source.execute(f"PRAGMA table_info({table})")]
    others = [name for name in names if name not in (owner, "id")]
    rows = source.execute(f"SELECT {', '.join(others)} FROM {table} WHERE {owner} = ?", (old,))
    target.executemany(
        f"INSERT INTO {table} ({owner}, {', '.join(others)}) VALUES (?{', ?' * len(others)})",
        ((new, *row) for row in rows),
    )
