"""Advice as `advise` and `verify` leave it in a ledger."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

SECOND = 1_000_000_000
START_UTC_NS = 1_735_689_600 * SECOND
RATIO = {"value": 0.52, "low": 0.5, "high": 0.54, "rounds": 8}


def judgement(name: str = "one thread", **changes: Any) -> dict[str, Any]:
    """One change that was tried, as it stands in the document."""
    found: dict[str, Any] = {
        "name": name,
        "technique": "threads",
        "change": {"set": {"OMP_NUM_THREADS": "1"}, "unset": []},
        "verdict": "no clear saving",
        "reason": "the difference is within the noise",
        "ratio": RATIO,
        "wall_ratio": {**RATIO, "value": 0.97},
        "modelled_energy_ratios": [],
        "versus_one_thread": None,
        "quality": {"finding": "same", "reason": "", "metric": None, "drift": None},
    }
    return {**found, **changes}


def recommendation(number: int = 1, name: str = "one thread", **changes: Any) -> dict[str, Any]:
    """One change that is recommended."""
    found = {
        "number": number,
        **judgement(name, verdict="recommended", reason=""),
        "saves_energy": True,
        "saved_per_run": {"value": 1.97, "low": 1.9, "high": 2.1},
        "pay_back_runs": 51,
        "needs": [],
        "one_off": "",
        "risk": "a single request may take longer",
        "for_good": "set these variables where the job is started",
        "shell": "export OMP_NUM_THREADS=1",
    }
    return {**found, **changes}


def document(
    recommendations: Sequence[dict[str, Any]] = (), number: int = 1, **changes: Any
) -> dict[str, Any]:
    """frugalwatch.advice/1."""
    found: dict[str, Any] = {
        "schema": "frugalwatch.advice/1",
        "advice": f"A{number}",
        "state": "done",
        "command": ["python", "infer.py"],
        "cwd": "/home/user",
        "stdin": None,
        "run": None,
        "host": "node7",
        "unit": "cpu_s",
        "kind": "replayed in program",
        "isolation": "layers, no network",
        "rounds": 8,
        "screening_rounds": 3,
        "trials": 41,
        "against_itself": None,
        "resolution": 0.031,
        "baselines": [{"name": "as written", "cpu_s": 4.1, "wall_s": 2.2, "energy_j": None}],
        "metric": None,
        "metric_pattern": None,
        "tolerance": None,
        "recommendations": list(recommendations),
        "not_recommended": [],
        "not_tried": [],
        "spent": {"cpu_s": 96.0, "wall_s": 112.0, "energy_j": None},
        "notes": [],
    }
    return {**found, **changes}


def add_advice(
    conn: sqlite3.Connection,
    key: str,
    found: dict[str, Any] | None = None,
    *,
    machine_key: str = "machine-1",
    **columns: Any,
) -> int:
    """A row in `advice` with one replay; its number."""
    found = document([recommendation()]) if found is None else found
    conn.execute(
        "INSERT OR IGNORE INTO machine (machine_key, hostname) VALUES (?, 'node7')", (machine_key,)
    )
    machine = conn.execute("SELECT id FROM machine WHERE machine_key = ?", (machine_key,))
    row = {
        "advice_key": key,
        "machine_id": machine.fetchone()[0],
        "state": "done",
        "command": json.dumps(found.get("command", ["python", "infer.py"])),
        "command_hash": "hash-1",
        "cwd": "/home/user",
        "seed": 0,
        "started_utc_ns": START_UTC_NS,
        "result": json.dumps(found) if found else None,
        **columns,
    }
    names = ", ".join(row)
    marks = ", ".join("?" * len(row))
    number = conn.execute(
        f"INSERT INTO advice ({names}) VALUES ({marks})", tuple(row.values())
    ).lastrowid
    assert number
    add_trial(conn, number)
    return number


def add_trial(conn: sqlite3.Connection, advice: int, verification: int | None = None) -> None:
    """One replay."""
    conn.execute(
        "INSERT INTO trial (advice_id, verification_id, stage, round, variant, change, state,"
        " started_utc_ns, cpu_us) VALUES (?, ?, 'confirmation', 1, 'as written', '{}', 'ok', ?, ?)",
        (advice, verification, START_UTC_NS, 4_100_000),
    )


def add_verification(
    conn: sqlite3.Connection, advice: int, verdict: str | None = "held", *, second: int = 3600
) -> int:
    """A row in `verification` with one replay; its number."""
    found = {
        "schema": "frugalwatch.verification/1",
        "advice": f"A{advice}",
        "recommendation": 1,
        "name": "one thread",
        "command": ["python", "infer.py"],
        "host": "node7",
        "promised_on": "node7",
        "unit": "cpu_s",
        "verdict": verdict,
        "reason": "Half of it and more was measured again.",
        "promised": RATIO,
        "ratio": {**RATIO, "value": 0.55, "low": 0.53, "high": 0.57},
        "wall_ratio": None,
        "resolution": 0.02,
        "rounds": 8,
        "quality": {"finding": "same", "reason": ""},
        "isolation": "layers, no network",
        "notes": [],
    }
    number = conn.execute(
        "INSERT INTO verification (advice_id, recommendation, machine_id, started_utc_ns, verdict,"
        " ratio, ratio_low, ratio_high, rounds, result)"
        " SELECT ?, 1, machine_id, ?, ?, 0.55, 0.53, 0.57, 8, ? FROM advice WHERE id = ?",
        (
            advice,
            START_UTC_NS + second * SECOND,
            verdict,
            json.dumps(found) if verdict else None,
            advice,
        ),
    ).lastrowid
    assert number
    add_trial(conn, advice, number)
    return number
