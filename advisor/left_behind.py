"""Reads what a replay left in its private folder."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing


def launch_s(ledger: str, run: dict[str, object], launch: dict[str, object]) -> float:
    """Seconds between the start of the run and the moment when the command itself began."""
    began_ns = number(launch.get("exec_mono_ns"))
    with closing(sqlite3.connect(ledger)) as conn:
        row = conn.execute(
            "SELECT started_mono_ns FROM run WHERE run_key = ?", (run.get("run_id"),)
        ).fetchone()
    return 0.0 if row is None or began_ns is None else max(0.0, (began_ns - row[0]) / 1e9)


def notes_of(run: dict[str, object]) -> list[str]:
    """The hook's notes in a run object."""
    inside = run.get("inside")
    found = inside.get("notes") if isinstance(inside, dict) else None
    return [str(note) for note in found] if isinstance(found, list) else []


def digest(path: str) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def number(value: object) -> float | None:
    """A number out of JSON; None for anything else."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
