"""Small steps of saving a run when its ledger fails. None of them raises."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

from frugalwatch.ledger.paths import fallback_inbox, private_directory

if TYPE_CHECKING:
    from frugalwatch.ledger.transfer import Copied


def fallback_file(directory: str, path: str, run_key: str) -> str | None:
    """Where in a fallback folder a run of the ledger `path` is saved.

    None if the folder is not this user's alone.
    """
    inbox = fallback_inbox(directory, path)
    if private_directory(directory) and private_directory(inbox):
        return os.path.join(inbox, f"{run_key}.db")
    return None


def try_copy(
    old: sqlite3.Connection | None, conn: sqlite3.Connection, run_key: str
) -> Copied | None:
    """What was already written, taken over from the ledger that failed, if it can still be read."""
    if old is None:
        return None
    from frugalwatch.ledger.transfer import copy_run

    try:
        return copy_run(old, conn, run_key)
    except sqlite3.Error:
        return None


def try_read(path: str) -> sqlite3.Connection | None:
    """A connection that reads what a failing ledger already has, or None."""
    from frugalwatch.ledger.reading import open_reader

    try:
        return open_reader(path, busy_s=0.2)
    except Exception:  # noqa: BLE001 - it is a second choice already
        return None


def close_quietly(conn: sqlite3.Connection) -> None:
    """Close a connection whose database may be broken."""
    try:
        conn.close()
    except sqlite3.Error:
        return


def remove_ledger(path: str) -> None:
    """Delete a database file and what SQLite put beside it, as far as possible."""
    for suffix in ("", "-wal", "-shm"):
        try:
            os.unlink(path + suffix)
        except OSError:
            continue
