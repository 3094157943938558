"""What the hook told reaches the database once, whatever happens to the database."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from frugalwatch.ledger.inside import MAX_PROCESSES
from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.transfer import delete_run
from tests.frugalwatch.ledger.kit import SECOND, Notices, run_start, started_journal, tick

HELLO = (7, 100 * SECOND, "3.12.1", "train.py", None, None, None, "[]")


def rows(path: Path, table: str) -> list[tuple[Any, ...]]:
    conn = sqlite3.connect(path)
    try:
        return conn.execute(f"SELECT * FROM {table} ORDER BY pid, t_mono_ns").fetchall()
    finally:
        conn.close()


def told(journal: Journal, second: int, count: int) -> None:
    inside = journal.recording.inside
    inside.count((7, "batch", second * SECOND, count, None))
    inside.activity((7, "data_wait", second * SECOND, count))
    inside.times((7, "step", second * SECOND, f"[[700, {count}]]"))
    tick(journal, second)


def test_the_last_histogram_of_a_process_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    journal = started_journal(tmp_path / "l.db")
    journal.recording.inside.process(HELLO)
    told(journal, 101, 1)
    told(journal, 102, 5)
    assert [r[-1] for r in rows(tmp_path / "l.db", "unit_time")] == ["[[700, 5]]"]
    assert [r[-2] for r in rows(tmp_path / "l.db", "unit_count")] == [1, 5]


def test_another_process_of_the_same_pid_keeps_its_own_histogram(tmp_path: Path) -> None:
    """A program that execs another one, or a number that the kernel gave out again."""
    journal = started_journal(tmp_path / "l.db")
    journal.recording.inside.process(HELLO)
    told(journal, 101, 1)
    journal.recording.inside.process((7, 102 * SECOND, *HELLO[2:]))
    told(journal, 103, 2)
    told(journal, 104, 3)
    assert [r[-1] for r in rows(tmp_path / "l.db", "unit_time")] == ["[[700, 1]]", "[[700, 3]]"]


def test_a_rank_that_is_known_later_belongs_to_the_process_of_now(tmp_path: Path) -> None:
    journal = started_journal(tmp_path / "l.db")
    inside = journal.recording.inside
    inside.process(HELLO)
    inside.process((7, 105 * SECOND, *HELLO[2:]))
    inside.rank((7, 106 * SECOND, 1, 0, 2))
    tick(journal, 107)
    found = [row[5:8] for row in rows(tmp_path / "l.db", "process")]
    assert found == [(None, None, None), (1, 0, 2)]


def test_a_lost_database_begins_again_with_every_total(tmp_path: Path) -> None:
    journal = started_journal(tmp_path / "l.db")
    journal.recording.inside.process(HELLO)
    for second in (101, 102, 103):
        told(journal, second, second)
    journal.recording.begin_again(None)
    with sqlite3.connect(tmp_path / "other.db") as other:
        from frugalwatch.ledger.migrate import migrate

        migrate(other, "other.db")
        other.isolation_level = None
        journal.recording.write(other)
    assert [r[-2] for r in rows(tmp_path / "other.db", "unit_count")] == [101, 103]
    assert [r[-1] for r in rows(tmp_path / "other.db", "activity")] == [101, 103]
    assert [r[-1] for r in rows(tmp_path / "other.db", "unit_time")] == ["[[700, 103]]"]
    assert len(rows(tmp_path / "other.db", "process")) == 1


def test_thousands_of_interpreters_are_not_kept_whole(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "l.db"), notify=Notices(), fallback_dirs=())
    journal.open_run(run_start())
    taken = [journal.recording.inside.process((n, n, *HELLO[2:])) for n in range(MAX_PROCESSES + 5)]
    assert taken.count(False) == 5


def test_deleting_a_run_takes_what_was_told_along(tmp_path: Path) -> None:
    journal = started_journal(tmp_path / "l.db")
    journal.recording.inside.process(HELLO)
    told(journal, 101, 1)
    conn = sqlite3.connect(tmp_path / "l.db")
    delete_run(conn, run_start().run_key)
    for table in ("process", "unit_count", "activity", "unit_time"):
        assert conn.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
