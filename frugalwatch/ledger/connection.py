"""Opening the ledger to write (WAL, migrated, private), and saying why that failed."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from frugalwatch.errors import LedgerError, LedgerNewerError
from frugalwatch.ledger.migrate import migrate, refuse_other
from frugalwatch.ledger.quarantine import (
    FileIdentity,
    create_private_file,
    identity,
    quarantine,
)

Notify: TypeAlias = Callable[[str, str], None]

Trouble: TypeAlias = Literal[
    "locked", "full", "readonly", "permission", "corrupt", "newer", "foreign", "missing", "other"
]

_BY_CODE: dict[int, Trouble] = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_PROTOCOL: "locked",  # WAL locking starved, worth another try
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_READONLY: "readonly",
    sqlite3.SQLITE_PERM: "permission",
    sqlite3.SQLITE_AUTH: "permission",
    sqlite3.SQLITE_CANTOPEN: "permission",
    sqlite3.SQLITE_CORRUPT: "corrupt",
    sqlite3.SQLITE_NOTADB: "corrupt",
}

_BY_ERRNO: dict[int, Trouble] = {
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EROFS: "readonly",
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EAGAIN: "locked",
    errno.ENOENT: "missing",
}

_WORDS: dict[Trouble, str] = {
    "locked": "another program holds it locked",
    "full": "the disk is full",
    "readonly": "it is on a read-only medium or may not be written by this user",
    "permission": "this user may not open it",
    "corrupt": "it is damaged",
    "newer": "a newer FrugalWatch wrote it",
    "foreign": "it is another program's database",
    "missing": "it does not exist",
    "other": "the database reported an error",
}


def trouble(error: BaseException) -> Trouble:
    """What kind of failure an exception from sqlite3, the system or `open_ledger` stands for."""
    if isinstance(error, LedgerNewerError):
        return "newer"
    if isinstance(error, LedgerError):
        return "foreign" if error.__cause__ is None else trouble(error.__cause__)
    if isinstance(error, sqlite3.Error):
        # Errors of Python's own binding ("Cannot operate on a closed database") have no code.
        code = getattr(error, "sqlite_errorcode", None)
        return "other" if code is None else _BY_CODE.get(code & 0xFF, "other")
    if isinstance(error, OSError):
        return _BY_ERRNO.get(error.errno or 0, "other")
    return "other"


def open_ledger(
    path: str, *, create: bool, notify: Notify | None = None, busy_s: float = 5.0
) -> sqlite3.Connection:
    """A connection that may write: WAL, synchronous=NORMAL, newest schema, autocommit.

    With `create`, folder (0700) and file (0600) are made where missing, and a corrupt file is
    renamed to `*.corrupt-<utc>` with its -wal and -shm; `notify("quarantined", ...)` then says so.
    `busy_s` bounds each wait for another process's lock. Write inside `writing(conn)`.

    Raises LedgerNewerError, or LedgerError whose `__cause__` is the sqlite3.Error or OSError.
    """
    seen: FileIdentity | None = None
    moved: str | None = None
    path = os.path.abspath(path)
    try:
        if create:
            _make_room(path)
        seen = identity(path)
        try:
            return _open_to_write(path, busy_s)
        except sqlite3.DatabaseError as error:
            if not (create and trouble(error) == "corrupt"):
                raise
        moved = quarantine(path, seen)
        create_private_file(path)
        conn = _open_to_write(path, busy_s)
    except (sqlite3.Error, OSError) as error:
        raise explain(error, path) from error
    if notify is not None and moved is not None:
        notify("quarantined", quarantine_notice(path, moved))
    return conn


def memory_ledger() -> sqlite3.Connection:
    """An empty ledger that lives as long as this connection."""
    conn = sqlite3.connect(":memory:", isolation_level=None)
    migrate(conn, ":memory:")
    return conn


def quarantine_notice(path: str, moved: str) -> str:
    """The sentence that tells a person where the damaged ledger went."""
    return f"the ledger {path} was damaged; it was kept as {moved} and a new one was begun"


def explain(error: BaseException, path: str) -> LedgerError:
    """The error that a command prints for a failure with the ledger at `path`."""
    kind = trouble(error)
    hints: dict[Trouble, str] = {
        "full": "make room on that disk; --ledger FILE names another; frugalwatch config show",
        "locked": "wait for the other program, or see who it is: fuser -v " + path,
        "missing": "frugalwatch run -- COMMAND makes it",
        "corrupt": f"keep a copy, then try: sqlite3 {path} .recover",
    }
    return LedgerError(
        f"the ledger {path} cannot be used: {_WORDS[kind]}",
        why=str(error),
        hint=hints.get(kind, "--ledger FILE names another; frugalwatch config show"),
    )


@contextmanager
def writing(conn: sqlite3.Connection) -> Iterator[None]:
    """One short write transaction: all of the block is committed, or none of it."""
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield
        conn.execute("COMMIT")
    except BaseException:
        # SQLite has already rolled back after some errors (disk full, I/O).
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise


def _make_room(path: str) -> None:
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        create_private_file(path)


def _open_to_write(path: str, busy_s: float) -> sqlite3.Connection:
    # SQLite opens a file that it may not write read-only and without a word: look first.
    # WAL also needs new files beside it. access() answers for a read-only mount, even to root.
    if not os.path.exists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    for name in (path, os.path.dirname(path)):
        if not os.access(name, os.W_OK):
            raise OSError(errno.EACCES, "not writable", name)
    conn = sqlite3.connect(
        file_uri(path, "mode=rw"), timeout=busy_s, isolation_level=None, uri=True
    )
    try:
        # Before anything is changed, even the journal mode. It parses the whole schema: a file
        # that is no database, or is cut short, fails here.
        refuse_other(conn, path)
        _use_write_ahead_log(conn, busy_s)
        conn.execute("PRAGMA synchronous = NORMAL")
        migrate(conn, path)
        conn.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        conn.close()
        raise
    return conn


def _use_write_ahead_log(conn: sqlite3.Connection, busy_s: float) -> None:
    """Switch to WAL unless it is on. The busy handler is not called for this, so wait by hand."""
    deadline = time.monotonic() + busy_s
    while conn.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            conn.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if trouble(error) != "locked" or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def file_uri(path: str, query: str) -> str:
    """`path` as an SQLite URI. Only ?, # and % have a meaning there."""
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return f"file:{quoted}?{query}"
