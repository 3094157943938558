from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from frugalwatch.errors import LedgerError, LedgerNewerError
from frugalwatch.ledger import migrate
from frugalwatch.ledger.migrate import APPLICATION_ID
from frugalwatch.ledger.reading import open_reader
from tests.frugalwatch.ledger.kit import (
    NOBODY,
    in_child,
    one,
    open_folder,
    run_end,
    samples,
    started_journal,
    tick,
)


def test_a_reader_sees_what_a_living_writer_committed(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    journal = started_journal(path)
    tick(journal, 101)
    reader = open_reader(str(path))
    assert samples(reader) == [(101, 10_000_000)]
    tick(journal, 102)
    assert samples(reader) == [(101, 10_000_000), (102, 20_000_000)]
    reader.close()
    journal.close()


def test_a_reader_can_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    journal = started_journal(path)
    tick(journal, 101)
    reader = open_reader(str(path))
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM run")
    reader.close()
    journal.close()


def test_a_slow_reader_does_not_hold_up_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    journal = started_journal(path)
    tick(journal, 101)
    reader = open_reader(str(path))
    reader.execute("BEGIN")
    assert samples(reader) == [(101, 10_000_000)]
    assert tick(journal, 102), "committed at once"
    assert samples(reader) == [(101, 10_000_000)], "its own snapshot"
    reader.close()
    journal.close()


@pytest.mark.parametrize("name", ["a b.db", "50%25.db", "what?.db", "no#1.db"])
def test_any_file_name_works(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    journal = started_journal(path)
    tick(journal, 101)
    journal.close()
    reader = open_reader(str(path))
    assert len(samples(reader)) == 1
    reader.close()
    assert {file.removesuffix("-wal").removesuffix("-shm") for file in os.listdir(tmp_path)} == {
        name
    }


def test_a_closed_ledger_is_read_from_a_folder_where_nothing_can_be_made() -> None:
    with open_folder() as folder:
        path = folder / "l.db"
        journal = started_journal(path)
        tick(journal, 101)
        journal.finish(run_end())
        journal.close()
        path.chmod(0o444)

        def work() -> list[tuple[int, int]]:
            return samples(open_reader(str(path)))

        assert in_child(work, uid=NOBODY)() == [[101, 10_000_000]]
        assert os.listdir(folder) == ["l.db"]


def test_a_copy_with_an_unfinished_log_is_read_with_it_where_nothing_can_be_made() -> None:
    with open_folder() as folder:
        path = folder / "l.db"
        journal = started_journal(folder / "living.db")
        tick(journal, 101)
        tick(journal, 102)
        shutil.copy(folder / "living.db", path)
        shutil.copy(folder / "living.db-wal", f"{path}-wal")
        path.chmod(0o444)
        os.chmod(f"{path}-wal", 0o444)
        assert os.path.getsize(f"{path}-wal") > 0

        def work() -> list[tuple[int, int]]:
            return samples(open_reader(str(path)))

        assert in_child(work, uid=NOBODY)() == [[101, 10_000_000], [102, 20_000_000]]
        assert not os.path.exists(f"{path}-shm")
        journal.close()


def test_newer_missing_and_damaged_ledgers_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    with pytest.raises(LedgerError, match="does not exist"):
        open_reader(str(path))
    path.write_bytes(b"garbage " * 1000)
    with pytest.raises(LedgerError, match="damaged"):
        open_reader(str(path))
    path.unlink()
    conn = sqlite3.connect(path)
    conn.execute("CREATE TABLE run (id)")
    conn.commit()
    with pytest.raises(LedgerError, match="another program"):
        open_reader(str(path))
    conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    conn.execute("PRAGMA user_version = 999")
    with pytest.raises(LedgerNewerError):
        open_reader(str(path))
    assert one(conn, "SELECT count(*) FROM run") == 0
    conn.close()


def _first_schema(path: Path) -> None:
    """A ledger as the first release made it, with one machine in it."""
    first = migrate.migrations()[0][1]
    conn = sqlite3.connect(path)
    conn.executescript(Path(first).read_text())
    conn.execute(f"PRAGMA application_id = {migrate.APPLICATION_ID}")
    conn.execute("PRAGMA user_version = 1")
    conn.execute("INSERT INTO machine (machine_key, hostname) VALUES ('k', 'h')")
    conn.commit()
    conn.close()


def test_reading_an_older_ledger_brings_it_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    _first_schema(path)
    with closing(open_reader(str(path))) as conn:
        assert one(conn, "SELECT hostname FROM machine") == "h"
        assert migrate.schema_version(conn) == migrate.newest_version()
    assert one(path, "PRAGMA user_version") == migrate.newest_version()


def test_an_older_ledger_that_may_not_be_written_is_read_from_memory() -> None:
    with open_folder() as folder:
        path = folder / "l.db"
        _first_schema(path)
        path.chmod(0o444)

        def work() -> list[object]:
            with closing(open_reader(str(path))) as conn:
                return [one(conn, "SELECT hostname FROM machine"), migrate.schema_version(conn)]

        assert in_child(work, uid=NOBODY)() == ["h", migrate.newest_version()]
        assert one(path, "PRAGMA user_version") == 1
