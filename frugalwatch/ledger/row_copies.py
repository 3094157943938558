"""Rows that go from one ledger into another: found by their keys, given new numbers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import TypeAlias

Value: TypeAlias = int | float | str | None


def boot_in(source: sqlite3.Connection, target: sqlite3.Connection, boot_id: Value) -> int:
    """The number of that boot in `target`, put there if it is new."""
    boot = one(source, "SELECT * FROM boot WHERE id = ?", boot_id)
    if boot is None:
        raise sqlite3.IntegrityError(f"boot {boot_id} is missing")
    known = one(target, "SELECT id FROM boot WHERE boot_key = ?", boot["boot_key"])
    if known is not None:
        return row_number(known["id"])
    machine = machine_in(source, target, boot["machine_id"])
    return insert(target, "boot", {**boot, "id": None, "machine_id": machine})


def machine_in(source: sqlite3.Connection, target: sqlite3.Connection, machine_id: Value) -> int:
    """The number of that machine in `target`, put there if it is new."""
    machine = one(source, "SELECT * FROM machine WHERE id = ?", machine_id)
    if machine is None:
        raise sqlite3.IntegrityError(f"machine {machine_id} is missing")
    known = one(target, "SELECT id FROM machine WHERE machine_key = ?", machine["machine_key"])
    if known is not None:
        return row_number(known["id"])
    return insert(target, "machine", {**machine, "id": None})


def device_in(
    source: sqlite3.Connection,
    target: sqlite3.Connection,
    device_id: Value,
    seen: dict[Value, int],
) -> int:
    """The number of that device in `target`; `seen` keeps what was found."""
    if device_id in seen:
        return seen[device_id]
    device = one(source, "SELECT * FROM device WHERE id = ?", device_id)
    if device is None:
        raise sqlite3.IntegrityError(f"device {device_id} is missing")
    machine = machine_in(source, target, device["machine_id"])
    known = one(
        target,
        "SELECT id FROM device WHERE machine_id = ? AND key = ? AND source = ?",
        machine,
        device["key"],
        device["source"],
    )
    if known is None:
        seen[device_id] = insert(target, "device", {**device, "id": None, "machine_id": machine})
    else:
        seen[device_id] = row_number(known["id"])
    return seen[device_id]


def rows(conn: sqlite3.Connection, statement: str, *values: Value) -> Iterator[dict[str, Value]]:
    """The rows of one SELECT, as dicts."""
    cursor = conn.execute(statement, values)
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield dict(zip(names, row, strict=True))


def one(conn: sqlite3.Connection, statement: str, *values: Value) -> dict[str, Value] | None:
    """The first row, or None."""
    return next(rows(conn, statement, *values), None)


def row_number(value: Value) -> int:
    """A row number. Raises sqlite3.IntegrityError for what is none."""
    if not isinstance(value, int):
        raise sqlite3.IntegrityError(f"{value!r} is no row number")
    return value


def insert(conn: sqlite3.Connection, table: str, row: dict[str, Value], or_else: str = "") -> int:
    """Insert one row; its number."""
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    cursor = conn.execute(
        f"INSERT {or_else} INTO {table} ({names}) VALUES ({marks})", tuple(row.values())
    )
    return cursor.lastrowid or 0


def copy_rows(
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


def copy_shares(
    source: sqlite3.Connection, target: sqlite3.Connection, streams: Mapping[int, int]
) -> None:
    """Copy the shares of these streams (old number to new), with the workloads that they name."""
    workloads: dict[Value, Value] = {}
    for old, new in streams.items():
        for share in rows(
            source,
            "SELECT share.*, kind, name FROM share JOIN workload ON workload.id = workload_id"
            " WHERE stream_id = ?",
            old,
        ):
            kind, name = share.pop("kind"), share.pop("name")
            if share["workload_id"] not in workloads:
                insert(target, "workload", {"kind": kind, "name": name}, "OR IGNORE")
                found = one(
                    target, "SELECT id FROM workload WHERE kind = ? AND name = ?", kind, name
                )
                workloads[share["workload_id"]] = found["id"] if found is not None else None
            number = workloads[share["workload_id"]]
            insert(target, "share", {**share, "stream_id": new, "workload_id": number})
