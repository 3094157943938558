"""Copying advice, its replays and its verifications from one ledger into another.

People name advice by its number, and numbers differ between ledgers: what refers to one (the runs
that it was applied to) is renamed with it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping

from frugalwatch.ledger.connection import writing
from frugalwatch.ledger.row_copies import Value, insert, machine_in, one, row_number, rows

# How much a state knows of the end.
_KNOWS = {"done": 2, "failed": 1, "interrupted": 1, "running": 0}
_APPLIED = "FRUGALWATCH_ADVICE"


def copy_advice(
    source: sqlite3.Connection, target: sqlite3.Connection, keys: Iterable[str] | None = None
) -> dict[int, int]:
    """Add to `target` the advice that it lacks (only that of these keys): numbers there, by ours.

    Advice that is in both is replaced where the source knows more about its end; verifications
    that `target` lacks are added. Doing it twice changes nothing. Raises sqlite3.Error; one
    advice is copied whole or not at all.
    """
    wanted = None if keys is None else set(keys)
    numbers: dict[int, int] = {}
    for advice in rows(source, "SELECT * FROM advice ORDER BY id"):
        if wanted is None or advice["advice_key"] in wanted:
            with writing(target):
                numbers[row_number(advice["id"])] = _copy_one(source, target, advice)
    return numbers


def rename_applied(
    conn: sqlite3.Connection, run_keys: Iterable[str], numbers: Mapping[int, int]
) -> None:
    """Let these runs, copied from another ledger, name the advice they used by its number here.

    `numbers` are those of `copy_advice`. A run with advice that did not come along names none.
    """
    with writing(conn):
        for key in run_keys:
            run = one(conn, "SELECT id, environment FROM run WHERE run_key = ?", key)
            environment = json.loads(str(run["environment"])) if run else {}
            named = applied_advice(environment)
            if run is None or named is None:
                continue
            number, recommendation = named
            here = numbers.get(number)
            environment[_APPLIED] = None if here is None else f"A{here}.{recommendation}"
            conn.execute(
                "UPDATE run SET environment = ? WHERE id = ?",
                (json.dumps(environment), run["id"]),
            )


def applied_advice(environment: Mapping[str, object]) -> tuple[int, int] | None:
    """Numbers of the advice and of the recommendation that a run was started with, if any."""
    name = environment.get(_APPLIED)
    if not isinstance(name, str) or not name.startswith("A"):
        return None
    advice, _, recommendation = name[1:].partition(".")
    if not (advice.isdecimal() and recommendation.isdecimal()):
        return None
    return int(advice), int(recommendation)


def applied_keys(conn: sqlite3.Connection, run_key: str) -> list[str]:
    """The key of the advice that a run was started with: one, or none."""
    run = one(conn, "SELECT environment FROM run WHERE run_key = ?", run_key)
    named = applied_advice(json.loads(str(run["environment"]))) if run else None
    found = one(conn, "SELECT advice_key FROM advice WHERE id = ?", named[0] if named else None)
    return [] if found is None else [str(found["advice_key"])]


def _copy_one(
    source: sqlite3.Connection, target: sqlite3.Connection, advice: Mapping[str, Value]
) -> int:
    old = row_number(advice["id"])
    known = one(
        target, "SELECT id, state, run_id FROM advice WHERE advice_key = ?", advice["advice_key"]
    )
    row = {
        **advice,
        "machine_id": machine_in(source, target, advice["machine_id"]),
        "run_id": _run_in(source, target, advice["run_id"]),
    }
    if known is None:
        new = insert(target, "advice", {**row, "id": None})
        _copy_trials(source, target, (old, None), (new, None))
    else:
        new = row_number(known["id"])
        if row["run_id"] is not None and known["run_id"] is None:
            target.execute("UPDATE advice SET run_id = ? WHERE id = ?", (row["run_id"], new))
        if _KNOWS[str(advice["state"])] > _KNOWS[str(known["state"])]:
            _replace(target, "advice", {**row, "id": new})
            target.execute(
                "DELETE FROM trial WHERE advice_id = ? AND verification_id IS NULL", (new,)
            )
            _copy_trials(source, target, (old, None), (new, None))
    for verification in rows(
        source, "SELECT * FROM verification WHERE advice_id = ? ORDER BY id", old
    ):
        _copy_verification(source, target, verification, new)
    return new


def _copy_verification(
    source: sqlite3.Connection,
    target: sqlite3.Connection,
    verification: Mapping[str, Value],
    advice: int,
) -> None:
    """Add a verification, or what became of it; it is known by its machine and its start."""
    machine = machine_in(source, target, verification["machine_id"])
    known = one(
        target,
        "SELECT id, verdict FROM verification WHERE advice_id = ? AND recommendation = ?"
        " AND machine_id = ? AND started_utc_ns = ?",
        *(advice, verification["recommendation"], machine, verification["started_utc_ns"]),
    )
    row = {**verification, "advice_id": advice, "machine_id": machine}
    old = row_number(verification["id"])
    if known is None:
        new = insert(target, "verification", {**row, "id": None})
    elif known["verdict"] is None and verification["verdict"] is not None:
        new = row_number(known["id"])
        _replace(target, "verification", {**row, "id": new})
        target.execute("DELETE FROM trial WHERE verification_id = ?", (new,))
    else:
        return
    owner = row_number(verification["advice_id"])
    _copy_trials(source, target, (owner, old), (advice, new))


def _copy_trials(
    source: sqlite3.Connection,
    target: sqlite3.Connection,
    old: tuple[int, int | None],
    new: tuple[int, int | None],
) -> None:
    """Copy the replays of an advice and one of its verifications (None: its own)."""
    found = rows(
        source,
        "SELECT * FROM trial WHERE advice_id = ? AND verification_id IS ? ORDER BY id",
        *old,
    )
    for trial in found:
        owners = {"advice_id": new[0], "verification_id": new[1]}
        insert(target, "trial", {**trial, "id": None, **owners})


def _run_in(source: sqlite3.Connection, target: sqlite3.Connection, run_id: Value) -> int | None:
    """The replayed run's number in `target`; None if it did not come along."""
    run = one(source, "SELECT run_key FROM run WHERE id = ?", run_id)
    if run is None:
        return None
    found = one(target, "SELECT id FROM run WHERE run_key = ?", run["run_key"])
    return None if found is None else row_number(found["id"])


def _replace(conn: sqlite3.Connection, table: str, row: Mapping[str, Value]) -> None:
    names = [name for name in row if name != "id"]
    sets = ", ".join(f"{name} = :{name}" for name in names)
    conn.execute(f"UPDATE {table} SET {sets} WHERE id = :id", dict(row))
