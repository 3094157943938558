"""Advice in the ledger: each trial as soon as it is over, so that nothing found is lost."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from advisor.document import decisive_ratio
from advisor.standing import Standing
from advisor.stored_trials import details_of
from advisor.trials import Trial
from advisor.workload import Workload
from frugalwatch.ledger.connection import open_ledger, writing
from frugalwatch.ledger.paths import ledger_path, locate
from frugalwatch.ledger.statements import MACHINE
from frugalwatch.machine import boot_key, machine_key
from frugalwatch.sampler.run_start import command_hash
from frugalwatch.supervisor.run_key import new_run_key

if TYPE_CHECKING:
    from frugalwatch.config.settings import Settings

_BEGIN = """
INSERT INTO advice (advice_key, machine_id, state, command, command_hash, cwd, stdin_path, run_id,
                    cpus, seed, plan, started_utc_ns)
SELECT ?, id, 'running', ?, ?, ?, ?, (SELECT id FROM run WHERE id = ?), ?, ?, ?, ?
FROM machine WHERE machine_key = ?
"""

_TRIAL = """
INSERT INTO trial (advice_id, verification_id, stage, round, variant, change, state, exit_code,
                   started_utc_ns, wall_ns, cpu_us, energy_uj, output_sha256, metric, details)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_FINISH = """
UPDATE advice SET state = :state, unit = :unit, ended_utc_ns = :ended_utc_ns, change = :change,
    ratio = :ratio, ratio_low = :ratio_low, ratio_high = :ratio_high, resolution = :resolution,
    rounds = :rounds, spent_cpu_us = :spent_cpu_us, spent_wall_ns = :spent_wall_ns,
    spent_energy_uj = :spent_energy_uj, result = coalesce(:result, result), progress = NULL
WHERE id = :id
"""


def open_store(settings: Settings, environ: Mapping[str, str]) -> sqlite3.Connection:
    """The ledger, for writing; made if there is none. Raises LedgerError."""
    return open_ledger(locate(ledger_path(settings, environ), environ).ledger, create=True)


def begin_advice(
    conn: sqlite3.Connection,
    workload: Workload,
    *,
    cpus: int,
    seed: int,
    plan: Mapping[str, object] | None = None,
) -> int:
    """A row for an advice that is being made; its number. `plan` is what was asked for."""
    command = list(workload.masked)
    with writing(conn):
        _this_machine(conn)
        values = (
            new_run_key(),
            json.dumps(command),
            command_hash(command, workload.cwd),
            workload.cwd,
            None if workload.stdin_path == os.devnull else workload.stdin_path,
            workload.run_id,
            cpus,
            seed,
            json.dumps(dict(plan or {})),
            time.time_ns(),
            machine_key(),
        )
        return int(conn.execute(_BEGIN, values).lastrowid or 0)


def add_trial(
    conn: sqlite3.Connection, advice: int, trial: Trial, verification: int | None = None
) -> None:
    """Store one trial."""
    replay = trial.replay
    with writing(conn):
        conn.execute(
            _TRIAL,
            (
                advice,
                verification,
                trial.stage,
                trial.round,
                trial.variant,
                trial.change.as_text(),
                # The program ran, but not with the change: as a trial of it that is a failure.
                "failed" if replay.state == "not applied" else replay.state,
                replay.exit_code,
                replay.started_utc_ns,
                _scaled(replay.wall_s, 1e9),
                _scaled(replay.cpu_s, 1e6),
                _scaled(replay.energy_j, 1e6),
                replay.output_sha256,
                trial.metric,
                details_of(trial),
            ),
        )


def set_progress(conn: sqlite3.Connection, advice: int, standing: Standing) -> None:
    """Say how far an advice is that is being made, and by which process."""
    told = {**standing.as_json(), **_this_process(), "told_utc_s": time.time()}
    with writing(conn):
        conn.execute("UPDATE advice SET progress = ? WHERE id = ?", (json.dumps(told), advice))


def go_on(conn: sqlite3.Connection, advice: int, plan: Mapping[str, object]) -> None:
    """Open an advice again that was cut short; what it has found so far stays until the end."""
    with writing(conn):
        conn.execute(
            "UPDATE advice SET state = 'running', plan = ? WHERE id = ?",
            (json.dumps(dict(plan)), advice),
        )


def finish_advice(
    conn: sqlite3.Connection, advice: int, state: str, document: Mapping[str, object] | None
) -> None:
    """Close an advice with its document (frugalwatch.advice/1), or without where it failed."""
    known = dict(document or {})
    spent = _mapping(known.get("spent"))
    recommendations = known.get("recommendations")
    first = (
        _mapping(recommendations[0])
        if isinstance(recommendations, list) and recommendations
        else {}
    )
    ratio = decisive_ratio(first) if first else {}
    with writing(conn):
        conn.execute(
            _FINISH,
            {
                "id": advice,
                "state": state,
                "unit": known.get("unit"),
                "ended_utc_ns": time.time_ns(),
                "change": json.dumps(first["change"]) if first else None,
                "ratio": ratio.get("value"),
                "ratio_low": ratio.get("low"),
                "ratio_high": ratio.get("high"),
                "resolution": known.get("resolution"),
                "rounds": known.get("rounds"),
                "spent_cpu_us": _scaled(spent.get("cpu_s"), 1e6),
                "spent_wall_ns": _scaled(spent.get("wall_s"), 1e9),
                "spent_energy_uj": _scaled(spent.get("energy_j"), 1e6),
                "result": None if document is None else json.dumps(known),
            },
        )


def begin_verification(conn: sqlite3.Connection, advice: int, recommendation: int) -> int:
    """A row for a verification that is being made; its number."""
    with writing(conn):
        _this_machine(conn)
        cursor = conn.execute(
            "INSERT INTO verification (advice_id, recommendation, machine_id, started_utc_ns)"
            " SELECT ?, ?, id, ? FROM machine WHERE machine_key = ?",
            (advice, recommendation, time.time_ns(), machine_key()),
        )
        return int(cursor.lastrowid or 0)


def finish_verification(
    conn: sqlite3.Connection, verification: int, document: Mapping[str, object]
) -> None:
    """Store a verdict with its document (frugalwatch.verification/1)."""
    ratio = _mapping(document.get("ratio"))
    with writing(conn):
        conn.execute(
            "UPDATE verification SET verdict = ?, ratio = ?, ratio_low = ?, ratio_high = ?,"
            " rounds = ?, result = ? WHERE id = ?",
            (
                document["verdict"],
                ratio.get("value"),
                ratio.get("low"),
                ratio.get("high"),
                ratio.get("rounds"),
                json.dumps(document),
                verification,
            ),
        )


def _this_process() -> dict[str, object]:
    """What tells this process from all others, for whoever wants to know whether it still runs."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return {"pid": os.getpid(), "starttime": int(fields[19]), "boot": boot_key()}


def _this_machine(conn: sqlite3.Connection) -> None:
    conn.execute(
        MACHINE,
        {
            "machine_key": machine_key(),
            "hostname": os.uname().nodename,
            "cpu_model": None,
            "cpu_threads": os.cpu_count(),
            "memory_bytes": None,
        },
    )


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _scaled(value: object, factor: float) -> int | None:
    return round(value * factor) if isinstance(value, (int, float)) else None
