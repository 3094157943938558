"""Numbered SQL migrations, applied against PRAGMA user_version, each in one transaction."""

from __future__ import annotations

import os
import sqlite3

from frugalwatch.errors import LedgerError, LedgerNewerError

# In bytes 68 to 71 of the file ("FrWt"), so that `file` and we tell it from other databases.
APPLICATION_ID = 0x46725774

_FOLDER = os.path.join(os.path.dirname(__file__), "migrations")


def migrations() -> list[tuple[int, str]]:
    """Every migration of this version: its number and its file, in order."""
    names = sorted(name for name in os.listdir(_FOLDER) if name.endswith(".sql"))
    return [(int(name.split("_", 1)[0]), os.path.join(_FOLDER, name)) for name in names]


def schema_version(conn: sqlite3.Connection) -> int:
    """The number of the last migration that this database went through, 0 for a new one."""
    return int(conn.execute("PRAGMA user_version").fetchone()[0])


def newest_version() -> int:
    """The schema that this FrugalWatch writes."""
    return migrations()[-1][0]


def refuse_other(conn: sqlite3.Connection, path: str) -> int:
    """The schema version of a database that is ours, or new and empty (0). Changes nothing.

    Raises LedgerNewerError if a newer FrugalWatch wrote it, LedgerError if another program did.
    """
    # One statement, so that another process's first migration cannot fall between the looks.
    version, application, tables = conn.execute(
        "SELECT (SELECT user_version FROM pragma_user_version),"
        " (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_master)"
    ).fetchone()
    if tables and application != APPLICATION_ID:
        raise LedgerError(
            f"{path} is another program's database",
            why="it has tables, and none of them were made by FrugalWatch",
            hint="--ledger FILE names another; frugalwatch config show",
        )
    newest = newest_version()
    if version > newest:
        raise LedgerNewerError(
            f"{path} was written by a newer FrugalWatch",
            why=f"its schema is number {version}, this FrugalWatch knows up to {newest}",
            hint="pip install --upgrade frugalwatch",
        )
    return int(version)


def migrate(conn: sqlite3.Connection, path: str) -> None:
    """Bring the database to the newest schema.

    Any number of processes may do this at once: each step takes the write lock and looks again.
    Raises LedgerNewerError, LedgerError (another program's database) or sqlite3.Error.
    """
    version = refuse_other(conn, path)
    for number, file in migrations():
        if number > version:
            _apply(conn, number, file)


def _apply(conn: sqlite3.Connection, number: int, file: str) -> None:
    with open(file, encoding="utf-8") as script:
        statements = split_statements(script.read())
    conn.execute("BEGIN IMMEDIATE")
    try:
        if schema_version(conn) < number:  # else another process was faster
            for statement in statements:
                conn.execute(statement)
            conn.execute(f"PRAGMA user_version = {number}")
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise


def split_statements(script: str) -> list[str]:
    """The statements of an SQL script, one by one.

    `executescript` would commit the transaction that makes a migration all or nothing.
    """
    statements, current = [], ""
    for line in script.splitlines(keepends=True):
        current += line
        if ";" in line and sqlite3.complete_statement(current):
            statements.append(current)
            current = ""
    if current.strip() and any(
        line.strip() and not line.strip().startswith("--") for line in current.splitlines()
    ):
        raise ValueError("the script ends inside a statement")
    return statements
