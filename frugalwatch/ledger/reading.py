"""Opening the ledger to read: while others write, on a copied file, on a read-only medium."""

from __future__ import annotations

import errno
import os
import sqlite3

from frugalwatch.errors import LedgerError
from frugalwatch.ledger.connection import explain, file_uri, open_ledger, trouble
from frugalwatch.ledger.migrate import migrate, newest_version, refuse_other


def open_reader(path: str, busy_s: float = 5.0) -> sqlite3.Connection:
    """A read-only connection to a ledger of the newest schema.

    Nothing is created or changed beside SQLite's own -shm and -wal, but for one thing: a file of
    an older schema is brought up to date, as a run would do. Where it may not be written, a copy
    in memory is. Raises LedgerNewerError or LedgerError (no such file, damaged).
    """
    try:
        conn = _open(path, busy_s)
        try:
            if refuse_other(conn, path) < newest_version():
                return _newer(conn, path, busy_s)
        except BaseException:
            conn.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise explain(error, path) from error
    return conn


def _newer(conn: sqlite3.Connection, path: str, busy_s: float) -> sqlite3.Connection:
    """The ledger with its missing migrations: in the file if that can be, else in memory."""
    try:
        open_ledger(path, create=False, busy_s=busy_s).close()
    except LedgerError:
        copy = sqlite3.connect(":memory:", isolation_level=None)
        conn.backup(copy)
        conn.close()
        migrate(copy, path)
        copy.execute("PRAGMA query_only = ON")
        return copy
    conn.close()
    return _open(path, busy_s)


def _open(path: str, busy_s: float) -> sqlite3.Connection:
    if not os.path.exists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    try:
        return _connect(path, "mode=ro", busy_s)
    except sqlite3.OperationalError as error:
        # A WAL database needs a -shm beside it, and here none can be made.
        if trouble(error) not in ("permission", "readonly") or not os.access(path, os.R_OK):
            raise
    if _size(path + "-wal") == 0:
        # No unfinished work and nobody who could write: the file alone is the whole truth.
        return _connect(path, "mode=ro&immutable=1", busy_s)
    return _copy(path, busy_s)


def _connect(path: str, query: str, busy_s: float) -> sqlite3.Connection:
    conn = sqlite3.connect(file_uri(path, query), timeout=busy_s, isolation_level=None, uri=True)
    try:
        conn.execute("SELECT count(*) FROM sqlite_master").fetchone()
        conn.execute("PRAGMA query_only = ON")
    except BaseException:
        conn.close()
        raise
    return conn


def _copy(path: str, busy_s: float) -> sqlite3.Connection:
    """A copy with its write-ahead log, where -shm can be made; `immutable` would hide that log."""
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory(prefix="frugalwatch-read-") as folder:
        copy = os.path.join(folder, "ledger.db")
        shutil.copyfile(path, copy)
        shutil.copyfile(path + "-wal", copy + "-wal")
        # Into memory, so that nothing is left behind when the folder goes.
        source = _connect(copy, "mode=rw", busy_s)
        try:
            conn = sqlite3.connect(":memory:", isolation_level=None)
            source.backup(conn)
        finally:
            source.close()
    conn.execute("PRAGMA query_only = ON")
    return conn


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
