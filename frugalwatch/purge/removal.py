"""Making what was found go: from the ledger, with nothing of it left in the file, and from disk."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3

from frugalwatch.ledger.connection import writing
from frugalwatch.ledger.transfer import delete_run, forget_details
from frugalwatch.privacy import MASK
from frugalwatch.purge.found import Found, FoundAdvice, FoundFiles

# Of a run object whose run keeps its totals: what else was told of the job.
_LISTS = ("phases", "processes", "units", "metrics", "events", "budgets", "alerts")
_OBJECTS = ("git_commit", "group", "parent_run_id", "steps", "activities", "inside", "comparison")


def remove(connection: sqlite3.Connection, found: Found, *, keep_totals: bool) -> list[str]:
    """Delete all of it; what could not be, in words. Raises sqlite3.Error.

    Runs go one by one in transactions of their own, so that no sampler waits long. Deleted rows are
    overwritten, in the log too where nobody else has the ledger open.
    """
    connection.execute("PRAGMA secure_delete = ON")
    for run in found.runs:
        with writing(connection):
            if keep_totals:
                _strip_run(connection, run.number)
            else:
                delete_run(connection, run.run_id)
    for advice in found.advice:
        with writing(connection):
            _delete_advice(connection, advice)
    with writing(connection):
        connection.execute(
            "DELETE FROM workload WHERE NOT EXISTS"
            " (SELECT 1 FROM share WHERE share.workload_id = workload.id)"
        )
        connection.execute(  # what a server was told of runs; counters of devices name no run
            "DELETE FROM remote_run WHERE NOT EXISTS (SELECT 1 FROM run"
            " WHERE coalesce(run.group_key, run.run_key) = remote_run.run_group)"
        )
    problems = [problem for files in found.files if (problem := _delete_files(files))]
    return problems + _tidy(connection)


def _strip_run(connection: sqlite3.Connection, run_id: int) -> None:
    """Leave a run its totals, and nothing about its command, folder, environment or work."""
    forget_details(connection, run_id)
    (result,) = connection.execute("SELECT result FROM run WHERE id = ?", (run_id,)).fetchone()
    connection.execute(
        "UPDATE run SET command = ?, command_hash = ?, cwd = ?, git_commit = NULL,"
        " environment = '{}', group_key = NULL, parent_run_key = NULL, thinned = 1, result = ?"
        " WHERE id = ?",
        (json.dumps([MASK]), f"purged-{run_id}", MASK, _stripped(result), run_id),
    )
    connection.execute(
        "INSERT INTO event (run_id, kind, t_mono_ns, detail)"
        " SELECT id, 'purged', coalesce(ended_mono_ns, heartbeat_mono_ns),"
        " 'only totals were kept' FROM run WHERE id = ?",
        (run_id,),
    )


def _stripped(result: str | None) -> str | None:
    if result is None:
        return None
    document = json.loads(result)
    document |= {"command": [MASK], "cwd": MASK}
    document |= {key: [] for key in _LISTS if key in document}
    document |= {key: None for key in _OBJECTS if key in document}
    if "events" in document:
        purged = {"kind": "purged", "cause": None, "device": None, "since_s": None}
        told = {"t_s": document["duration_s"], "energy_missing": False}
        document["events"] = [{**purged, **told, "detail": "only totals were kept"}]
    return json.dumps(document)


def _delete_advice(connection: sqlite3.Connection, advice: FoundAdvice) -> None:
    connection.execute("DELETE FROM trial WHERE advice_id = ?", (advice.number,))
    connection.execute("DELETE FROM verification WHERE advice_id = ?", (advice.number,))
    connection.execute("DELETE FROM advice WHERE id = ?", (advice.number,))


def _delete_files(files: FoundFiles) -> str:
    try:
        if os.path.isdir(files.path) and not os.path.islink(files.path):
            shutil.rmtree(files.path)
        else:
            os.unlink(files.path)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{files.path} could not be deleted: {error.strerror}"
    return ""


def _tidy(connection: sqlite3.Connection) -> list[str]:
    """Empty the log, which may still hold what was deleted, and give space back."""
    try:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        free, pages = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("freelist_count", "page_count")
        )
        if not busy and free * 4 > pages:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        return [f"the ledger's log could not be emptied now: {error}"]
    if busy:
        return ["somebody else has the ledger open: its log is emptied when they are done"]
    return []
