"""The ledger as a person expects to see it: with the runs that wait in an inbox taken in."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from frugalwatch.errors import FrugalWatchError, LedgerError
from frugalwatch.ledger.connection import Notify, memory_ledger, open_ledger, trouble
from frugalwatch.ledger.database import database
from frugalwatch.ledger.merge import merge_connection
from frugalwatch.ledger.paths import (
    Location,
    fallback_directories,
    fallback_inbox,
    ledger_path,
    locate,
)
from frugalwatch.ledger.reading import open_reader
from frugalwatch.ledger.rescue import remove_ledger

if TYPE_CHECKING:
    from sqlite_utils.db import Database

    from frugalwatch.config.settings import Settings

_LARGEST_IN_MEMORY_BYTES = 256 * 1024 * 1024


def open_current(
    location: Location,
    environ: Mapping[str, str],
    *,
    notify: Notify,
    fallback_dirs: Sequence[str] | None = None,
) -> sqlite3.Connection:
    """A connection for reading that shows every run of this ledger, wherever it was saved.

    Runs from a fallback folder move into the ledger; those in a network inbox are copied from it.
    Where the ledger cannot be written they are shown all the same. `notify(kind, message)` says
    what could not be shown. Raises LedgerError if there is nothing to read.
    """
    directories = fallback_directories(environ) if fallback_dirs is None else fallback_dirs
    saved = _files([fallback_inbox(directory, location.ledger) for directory in directories])
    published = _files([location.inbox]) if location.inbox is not None else []
    if not saved and not published:
        return open_reader(location.ledger)
    try:
        conn = open_ledger(location.ledger, create=True, notify=notify, busy_s=1.0)
    except LedgerError:
        return _in_memory(location.ledger, [*saved, *published], notify)
    try:
        for file in _take_in(conn, saved, notify):
            remove_ledger(file)
        _take_in(conn, _unknown(conn, published), notify)
    except sqlite3.Error as error:
        notify("inbox", f"runs saved elsewhere could not be taken in: {error}")
    finally:
        conn.close()
    return open_reader(location.ledger)


@contextmanager
def open_database(settings: Settings, environ: Mapping[str, str]) -> Iterator[Database]:
    """The ledger that the settings name, for reading, with the runs of its inboxes.

    What cannot be shown is said on stderr. Raises LedgerError.
    """
    location = locate(ledger_path(settings, environ), environ)
    conn = open_current(location, environ, notify=_warn)
    try:
        yield database(conn)
    finally:
        conn.close()


def _warn(_kind: str, message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _take_in(conn: sqlite3.Connection, files: Sequence[str], notify: Notify) -> list[str]:
    """Merge these files; the ones that went well."""
    done = []
    for file in files:
        try:
            source = open_reader(file)
        except FrugalWatchError as error:
            if trouble(error) != "missing":  # else another reader has just taken it in
                notify("inbox", error.message)
            continue
        try:
            merge_connection(conn, source)
        finally:
            source.close()
        done.append(file)
    return done


def _unknown(conn: sqlite3.Connection, files: Sequence[str]) -> list[str]:
    """Published files of runs that this ledger does not have in full."""
    rows = conn.execute("SELECT run_key FROM run WHERE state IN ('done', 'killed')")
    known = {row[0] for row in rows}
    return [file for file in files if os.path.basename(file).removesuffix(".db") not in known]


def _in_memory(path: str, files: Sequence[str], notify: Notify) -> sqlite3.Connection:
    """The ledger and the waiting runs together, without writing anything."""
    conn = memory_ledger()
    if os.path.exists(path):
        if os.stat(path).st_size > _LARGEST_IN_MEMORY_BYTES:
            folders = ", ".join(sorted({os.path.dirname(file) for file in files}))
            notify("inbox", f"{len(files)} runs are not shown, they wait in {folders}")
            conn.close()
            return open_reader(path)
        reader = open_reader(path)
        try:
            reader.backup(conn)
        finally:
            reader.close()
    _take_in(conn, files, notify)
    conn.execute("PRAGMA query_only = ON")
    return conn


def _files(folders: Sequence[str]) -> list[str]:
    """Database files in those of the folders that nobody else can write to."""
    found = []
    for folder in folders:
        try:
            state = os.lstat(folder)
            names = os.listdir(folder)
        except OSError:
            continue
        if state.st_uid == os.getuid() and not state.st_mode & 0o022:
            found += [
                os.path.join(folder, name)
                for name in sorted(names)
                if name.endswith(".db") and not name.startswith(".")
            ]
    return found
