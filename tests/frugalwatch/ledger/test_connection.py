from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import time
from pathlib import Path

import pytest

from frugalwatch.errors import LedgerError, LedgerNewerError
from frugalwatch.ledger import migrate
from frugalwatch.ledger.connection import open_ledger, trouble, writing
from frugalwatch.ledger.quarantine import identity, quarantine
from tests.frugalwatch.ledger.kit import (
    NOBODY,
    Notices,
    in_child,
    one,
    open_folder,
    started_journal,
    tick,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_ledger_is_private_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "state" / "frugalwatch" / "frugalwatch.db"
    before = os.umask(0)
    try:
        conn = open_ledger(str(path), create=True)
        with writing(conn):
            conn.execute("INSERT INTO machine (machine_key, hostname) VALUES ('m', 'h')")
    finally:
        os.umask(before)
    assert mode(path.parent) == 0o700
    assert {mode(file) for file in path.parent.iterdir()} == {0o600}
    assert len(list(path.parent.iterdir())) == 3, "database, -wal and -shm"
    conn.close()


def test_a_bare_file_name_is_a_file_of_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    open_ledger("bare.db", create=True).close()
    open_ledger("bare.db", create=False).close()
    assert mode(tmp_path / "bare.db") == 0o600


def test_writers_use_wal_and_normal_synchronous(tmp_path: Path) -> None:
    conn = open_ledger(str(tmp_path / "l.db"), create=True)
    assert one(conn, "PRAGMA journal_mode") == "wal"
    assert one(conn, "PRAGMA synchronous") == 1
    assert one(conn, "PRAGMA foreign_keys") == 1
    assert one(conn, "PRAGMA user_version") == migrate.newest_version()
    conn.close()


def test_without_create_a_missing_ledger_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="does not exist") as caught:
        open_ledger(str(tmp_path / "none.db"), create=False)
    assert "frugalwatch run" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_processes_that_start_at_once_make_one_schema(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "l.db"
    begin = time.monotonic() + 0.2

    def work() -> str:
        time.sleep(max(0.0, begin - time.monotonic()))
        conn = open_ledger(str(path), create=True)
        with writing(conn):
            conn.execute(
                "INSERT INTO machine (machine_key, hostname) VALUES (?, 'h')", (str(os.getpid()),)
            )
        return str(one(conn, "PRAGMA journal_mode"))

    waits = [in_child(work) for _ in range(8)]
    assert [wait() for wait in waits] == ["wal"] * 8
    assert one(path, "SELECT count(*) FROM machine") == 8
    assert one(path, "PRAGMA integrity_check") == "ok"


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    open_ledger(str(path), create=True).close()
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA user_version = 999")
    conn.close()
    before = path.read_bytes()
    with pytest.raises(LedgerNewerError, match="newer FrugalWatch") as caught:
        open_ledger(str(path), create=True)
    assert "upgrade" in caught.value.hint
    assert path.read_bytes() == before


def test_another_programs_database_is_never_written_to(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    conn = sqlite3.connect(path)
    conn.execute("CREATE TABLE experiments (id)")
    conn.commit()
    conn.close()
    with pytest.raises(LedgerError, match="another program's database"):
        open_ledger(str(path), create=True)
    assert one(path, "SELECT group_concat(name) FROM sqlite_master") == "experiments"
    assert os.listdir(tmp_path) == ["mlflow.db"]


@pytest.mark.parametrize("damage", ["garbage", "cut short", "schema overwritten"])
def test_a_corrupt_ledger_is_kept_aside_and_a_new_one_begun(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "l.db"
    if damage == "garbage":
        path.write_bytes(b"not a database at all, but some text\n" * 300)
    else:
        open_ledger(str(path), create=True).close()
        content = bytearray(path.read_bytes())
        if damage == "cut short":
            content = content[: len(content) // 2]
        else:
            content[100:4096] = b"\xff" * 3996
        path.write_bytes(content)
    damaged = path.read_bytes()
    notices = Notices()
    conn = open_ledger(str(path), create=True, notify=notices)
    assert one(conn, "SELECT count(*) FROM run") == 0
    conn.close()
    (kept,) = tmp_path.glob("l.db.corrupt-*")
    assert kept.read_bytes() == damaged
    assert notices.kinds == ["quarantined"]
    assert str(kept) in notices.said[0][1]


def test_quarantine_takes_the_log_and_shared_memory_along(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"l.db{suffix}").write_text("x" + suffix)
    moved = quarantine(str(path), identity(str(path)))
    assert moved is not None
    assert sorted(os.listdir(tmp_path)) == sorted(
        os.path.basename(moved) + suffix for suffix in ("", "-wal", "-shm")
    )


def test_quarantine_spares_the_file_that_another_process_has_begun(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    path.write_text("damaged")
    seen = identity(str(path))
    os.rename(path, tmp_path / "kept-by-the-other")
    path.write_text("new and good")
    assert quarantine(str(path), seen) is None
    assert path.read_text() == "new and good"


def test_processes_that_meet_a_corrupt_file_at_once_keep_one_copy(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    path.write_bytes(b"garbage " * 2000)
    begin = time.monotonic() + 0.2

    def work() -> int:
        time.sleep(max(0.0, begin - time.monotonic()))
        conn = open_ledger(str(path), create=True)
        with writing(conn):
            conn.execute(
                "INSERT INTO machine (machine_key, hostname) VALUES (?, 'h')", (str(os.getpid()),)
            )
        return 0

    waits = [in_child(work) for _ in range(6)]
    assert [wait() for wait in waits] == [0] * 6
    assert len(list(tmp_path.glob("*.corrupt-*"))) == 1
    assert one(path, "SELECT count(*) FROM machine") == 6


def test_a_locked_ledger_is_not_a_corrupt_one(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    path.touch()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerError, match="locked") as caught:
        open_ledger(str(path), create=True, busy_s=0.1)
    assert trouble(caught.value) == "locked"
    other.execute("ROLLBACK")
    other.close()
    open_ledger(str(path), create=True).close()
    assert list(tmp_path.glob("*.corrupt-*")) == []


def test_a_folder_that_may_not_be_written_is_said_and_nothing_is_renamed() -> None:
    with open_folder() as folder:
        path = folder / "l.db"
        journal = started_journal(path)
        tick(journal, 101)
        journal.close()
        path.chmod(0o644)

        def work() -> list[str]:
            try:
                open_ledger(str(path), create=True)
            except LedgerError as error:
                return [trouble(error), error.message]
            return ["no error"]

        kind, message = in_child(work, uid=NOBODY)()
        assert kind == "permission"
        assert str(path) in message
        assert os.listdir(folder) == ["l.db"]


def test_a_failed_migration_leaves_the_schema_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "l.db"
    open_ledger(str(path), create=True).close()
    newest = migrate.newest_version()
    scripts = tmp_path / "migrations"
    shutil.copytree(Path(migrate.__file__).parent / "migrations", scripts)
    more = scripts / f"{newest + 1:04d}_more.sql"
    more.write_text("CREATE TABLE extra (id);\nINSERT INTO missing VALUES (1);\n")
    monkeypatch.setattr(migrate, "_FOLDER", str(scripts))
    with pytest.raises(LedgerError):
        open_ledger(str(path), create=False)
    assert one(path, "PRAGMA user_version") == newest
    assert one(path, "SELECT count(*) FROM sqlite_master WHERE name = 'extra'") == 0
    more.write_text("CREATE TABLE extra (id);\n")
    open_ledger(str(path), create=False).close()
    assert one(path, "PRAGMA user_version") == newest + 1


def test_statements_are_split_at_their_ends_only() -> None:
    script = """-- a; comment
    CREATE TABLE t (a TEXT DEFAULT ';');  -- trailing; comment
    CREATE TRIGGER r AFTER INSERT ON t BEGIN
        DELETE FROM t; SELECT 1;
    END;
    -- the end;
    """
    statements = migrate.split_statements(script)
    assert len(statements) == 2
    conn = sqlite3.connect(":memory:")
    for statement in statements:
        conn.execute(statement)
    with pytest.raises(ValueError, match="inside a statement"):
        migrate.split_statements("CREATE TABLE t (a)")
