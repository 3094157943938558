"""Taking runs and advice of other ledgers into one. Doing it twice changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from frugalwatch.ledger.connection import open_ledger, writing
from frugalwatch.ledger.database import database
from frugalwatch.ledger.reading import open_reader
from frugalwatch.ledger.transfer import copy_grid_intensities, copy_run
from frugalwatch.ledger.transfer_advice import copy_advice, rename_applied

# How much a state knows of the end: the sampler wrote it, it was worked out later, it is not known.
_KNOWS = {"done": 2, "killed": 2, "interrupted": 1, "recovered": 1, "running": 0}


@dataclass(frozen=True, slots=True)
class Merged:
    """Run keys by what was done with them."""

    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def merge_ledgers(target: str, sources: Sequence[str]) -> Merged:
    """Take the runs and the advice of the database files `sources` into the ledger `target`.

    A run that is in both is replaced only where the source knows more about its end. Raises
    LedgerError for a file that cannot be used; what was merged until then stays.
    """
    conn = open_ledger(target, create=True)
    try:
        total = Merged()
        for source in sources:
            reader = open_reader(source)
            try:
                one = merge_connection(conn, reader)
            finally:
                reader.close()
            total = Merged(
                total.added + one.added, total.replaced + one.replaced, total.kept + one.kept
            )
        return total
    finally:
        conn.close()


def merge_connection(target: sqlite3.Connection, source: sqlite3.Connection) -> Merged:
    """`merge_ledgers` for databases that are open. Raises sqlite3.Error."""
    known = _runs(target)
    added: list[str] = []
    replaced: list[str] = []
    kept: list[str] = []
    for run_key, found in _runs(source).items():
        mine = known.get(run_key)
        if mine is not None and found <= mine:
            kept.append(run_key)
            continue
        copy_run(source, target, run_key)
        (added if mine is None else replaced).append(run_key)
    copy_grid_intensities(source, target)
    rename_applied(target, (*added, *replaced), copy_advice(source, target))
    _merge_calibrations(target, source)
    return Merged(tuple(added), tuple(replaced), tuple(kept))


def _runs(conn: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """What each run's row knows: the rank of its state, then its last sign of life."""
    rows = database(conn).query("SELECT run_key, state, heartbeat_mono_ns FROM run ORDER BY id")
    return {row["run_key"]: (_KNOWS[row["state"]], row["heartbeat_mono_ns"]) for row in rows}


def _merge_calibrations(target: sqlite3.Connection, source: sqlite3.Connection) -> None:
    machines = {
        row["machine_key"]: row["id"]
        for row in database(target).query("SELECT id, machine_key FROM machine")
    }
    rows = list(
        database(source).query(
            "SELECT machine_key, device_key, kind, value, origin, made_utc_ns"
            " FROM calibration JOIN machine ON machine.id = calibration.machine_id"
        )
    )
    with writing(target):
        for row in rows:
            machine = machines.get(row["machine_key"])
            if machine is None:
                continue  # no run of that machine came along, so nothing could use it
            values = (machine, *(row[name] for name in row if name != "machine_key"))
            target.execute(
                "INSERT INTO calibration (machine_id, device_key, kind, value, origin, made_utc_ns)"
                " SELECT ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM calibration"
                " WHERE machine_id = ? AND device_key = ? AND kind = ? AND made_utc_ns = ?)",
                (*values, values[0], values[1], values[2], values[5]),
            )
