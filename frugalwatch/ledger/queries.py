"""What commands ask the ledger: which runs there are, and which one a person means."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from frugalwatch.errors import NotFoundError, UsageError
from frugalwatch.ledger.database import Cell

if TYPE_CHECKING:
    from sqlite_utils.db import Database

STATES = ("running", "done", "killed", "interrupted", "recovered")

_SHORTEST_PREFIX = 4

# What `run_row` needs of table run.
RUN_COLUMNS = """
       run.id, run_key, state, exit_code, command, started_utc_ns,
       coalesce(ended_mono_ns, heartbeat_mono_ns) - started_mono_ns AS duration_ns,
       energy_uj, energy_low_uj, energy_high_uj,
       estimated_uj, estimated_low_uj, estimated_high_uj,
       co2e_ug, job_cpu_us, coverage
"""
_RUN = f"SELECT {RUN_COLUMNS} FROM run"


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run in a list. None is unknown; a running run has no energy yet.

    `energy_j` is measured and derived energy; `estimated_j`, modelled energy, is no part of it.
    """

    number: int
    run_key: str
    state: str
    exit_code: int | None
    command: tuple[str, ...]
    started_utc_s: float
    duration_s: float
    energy_j: float | None
    energy_low_j: float | None
    energy_high_j: float | None
    estimated_j: float | None
    estimated_low_j: float | None
    estimated_high_j: float | None
    co2e_g: float | None
    cpu_s: float | None
    coverage: float | None


def list_runs(
    db: Database,
    *,
    state: str | None = None,
    text: str | None = None,
    since_utc_s: float | None = None,
    limit: int | None = None,
) -> list[RunRow]:
    """Runs, the latest first: in that state, with that text in the command, started since then."""
    wheres, values = ["1"], dict[str, Cell]()
    if state is not None:
        wheres.append("state = :state")
        values["state"] = state
    if text:
        # Against the words as they were typed, not against their JSON with its quotes.
        wheres.append(
            "(SELECT group_concat(value, ' ') FROM json_each(run.command)) LIKE :text ESCAPE '\\'"
        )
        values["text"] = f"%{_literal(text)}%"
    if since_utc_s is not None:
        wheres.append("started_utc_ns >= :since")
        values["since"] = round(since_utc_s * 1e9)
    values["limit"] = -1 if limit is None else limit
    where = " AND ".join(wheres)
    sql = f"{_RUN} WHERE {where} ORDER BY started_utc_ns DESC, id DESC LIMIT :limit"
    return [run_row(row) for row in db.query(sql, values)]


def find_run(db: Database, name: str) -> RunRow:
    """The run that a person means: a number, the beginning of its key, `last`, -1 or -2.

    Raises NotFoundError, or UsageError if several keys begin so.
    """
    if name == "last" or _is_negative(name):
        offset = 0 if name == "last" else -int(name) - 1
        order = "ORDER BY started_utc_ns DESC, id DESC LIMIT 1 OFFSET ?"
        rows = list(db.query(f"{_RUN} {order}", [offset]))
    elif name.isascii() and name.isdigit() and len(name) < 19:
        rows = list(db.query(f"{_RUN} WHERE id = ?", [int(name)]))
        rows = rows or _by_prefix(db, name)
    else:
        rows = _by_prefix(db, name)
    if not rows:
        raise NotFoundError(f"no run called {name!r}", hint="frugalwatch runs")
    if len(rows) > 1:
        keys = ", ".join(str(row["run_key"]) for row in rows[:3])
        raise UsageError(
            f"{name!r} is the beginning of several runs", why=keys, hint="type more of the key"
        )
    return run_row(rows[0])


def earlier_runs(db: Database, run_number: int, limit: int = 20) -> list[RunRow]:
    """Finished runs of the same command and folder that began before this one, the latest first."""
    sql = f"""{_RUN} WHERE state = 'done'
        AND command_hash = (SELECT command_hash FROM run WHERE id = :number)
        AND started_utc_ns < (SELECT started_utc_ns FROM run WHERE id = :number)
        ORDER BY started_utc_ns DESC LIMIT :limit"""
    return [run_row(row) for row in db.query(sql, {"number": run_number, "limit": limit})]


def stored_result(db: Database, run_number: int) -> dict[str, object] | None:
    """The run object as it was printed when the run ended; None for a run that was not settled."""
    for row in db.query("SELECT result FROM run WHERE id = ?", [run_number]):
        if row["result"]:
            result = json.loads(row["result"])
            return result if isinstance(result, dict) else None
    return None


def leading_units(db: Database, run_numbers: Iterable[int]) -> dict[int, dict[str, object]]:
    """What each of these runs leads with: the first of its `units`, where it has any."""
    found = {}
    for number in run_numbers:
        query = "SELECT json_extract(result, '$.units[0]') AS unit FROM run WHERE id = ?"
        for row in db.query(query, [number]):
            if row["unit"]:
                found[number] = json.loads(row["unit"])
    return found


def _by_prefix(db: Database, name: str) -> list[dict[str, Cell]]:
    if len(name) < _SHORTEST_PREFIX:
        return []
    sql = f"{_RUN} WHERE run_key LIKE ? ESCAPE '\\' ORDER BY run_key LIMIT 4"
    return list(db.query(sql, [_literal(name) + "%"]))


def _literal(text: str) -> str:
    """`text` for LIKE, where % and _ stand for themselves."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _is_negative(name: str) -> bool:
    return name.startswith("-") and name[1:].isascii() and name[1:].isdigit() and int(name) < 0


def run_row(row: dict[str, Cell]) -> RunRow:
    """The record of a row that holds RUN_COLUMNS."""
    command = json.loads(str(row["command"]))
    return RunRow(
        number=int(row["id"] or 0),
        run_key=str(row["run_key"]),
        state=str(row["state"]),
        exit_code=None if row["exit_code"] is None else int(row["exit_code"]),
        command=tuple(map(str, command)),
        started_utc_s=float(row["started_utc_ns"] or 0) / 1e9,
        duration_s=float(row["duration_ns"] or 0) / 1e9,
        energy_j=_scaled(row["energy_uj"]),
        energy_low_j=_scaled(row["energy_low_uj"]),
        energy_high_j=_scaled(row["energy_high_uj"]),
        estimated_j=_scaled(row["estimated_uj"]),
        estimated_low_j=_scaled(row["estimated_low_uj"]),
        estimated_high_j=_scaled(row["estimated_high_uj"]),
        co2e_g=_scaled(row["co2e_ug"]),
        cpu_s=_scaled(row["job_cpu_us"]),
        coverage=None if row["coverage"] is None else float(row["coverage"]),
    )


def _scaled(micro: Cell) -> float | None:
    return None if micro is None else float(micro) / 1e6
