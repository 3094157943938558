"""The account of a job's processes reaches the database whole, whatever happens to that."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from frugalwatch.ledger.job_processes import GpuRow, ProcessRow
from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.transfer import delete_run
from tests.frugalwatch.ledger.kit import SECOND, Notices, run_start, started_journal, tick

MAIN: ProcessRow = (10, 500, "python", 1, 101 * SECOND, 102 * SECOND, None, 1_000_000)
WORKER: ProcessRow = (11, 700, "worker", 1, 101 * SECOND, 101 * SECOND, 102 * SECOND, 5)
OTHERS: ProcessRow = (0, 0, "", 7, 101 * SECOND, 102 * SECOND, None, 90)
GPU: list[GpuRow] = [(0, 10, 500, 400), (0, 11, 700, 3)]


def rows(path: Path, table: str) -> list[tuple[Any, ...]]:
    conn = sqlite3.connect(path)
    try:
        return conn.execute(f"SELECT * FROM {table} ORDER BY pid DESC").fetchall()
    finally:
        conn.close()


def test_the_next_account_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    journal = started_journal(path)
    journal.processes([MAIN, WORKER], GPU)
    tick(journal, 102)
    assert [row[1:] for row in rows(path, "job_process")] == [WORKER, MAIN]
    assert [row[1:] for row in rows(path, "job_process_gpu")] == [(11, 700, 3), (10, 500, 400)]
    later: ProcessRow = (*MAIN[:5], 103 * SECOND, None, 1_900_000)
    journal.processes([later, OTHERS], [(0, 10, 500, 800), (0, 0, 0, 3)])
    tick(journal, 103)
    tick(journal, 104)
    assert [row[1:] for row in rows(path, "job_process")] == [later, OTHERS]
    assert [row[1:] for row in rows(path, "job_process_gpu")] == [(10, 500, 800), (0, 0, 3)]
    journal.close()


def test_a_run_whose_database_was_lost_begins_again_with_its_account(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    journal = started_journal(path)
    journal.processes([MAIN], GPU[:1])
    tick(journal, 102)
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"l.db{suffix}").unlink()
        (tmp_path / f"l.db{suffix}").write_bytes(b"not a database" * 500)
    tick(journal, 103)
    tick(journal, 104)
    assert [row[1:] for row in rows(path, "job_process")] == [MAIN]
    assert [row[1:] for row in rows(path, "job_process_gpu")] == [(10, 500, 400)]
    journal.close()


def test_a_ledger_that_was_moved_away_takes_its_account_along(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    journal = started_journal(path)
    journal.processes([MAIN, WORKER], GPU)
    tick(journal, 102)
    path.rename(tmp_path / "moved.db")
    tick(journal, 103)
    assert [row[1:] for row in rows(path, "job_process")] == [WORKER, MAIN]
    assert len(rows(path, "job_process_gpu")) == 2
    journal.close()


def test_a_sampler_that_replaces_a_dead_one_is_told_the_last_account(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    journal = started_journal(path)
    journal.processes([MAIN, WORKER], GPU)
    tick(journal, 102)
    journal.close()
    successor = Journal(str(path), notify=Notices(), fallback_dirs=())
    successor.reopen_run(run_start())
    processes, gpus = successor.last_processes()
    assert sorted(processes) == [MAIN, WORKER]
    assert {(pid, busy_us) for _, pid, _, busy_us in gpus} == {(10, 400), (11, 3)}
    assert {key for key, *_ in gpus} == {"rapl:package-0"}
    successor.close()


def test_a_name_that_is_no_utf_8_holds_up_nothing(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    journal = started_journal(path)
    journal.processes([(*MAIN[:2], "odd\udcff", *MAIN[3:])], [])
    assert tick(journal, 102)
    assert rows(path, "job_process")[0][3] == "odd\\udcff"
    journal.close()


def test_a_run_that_is_removed_takes_its_processes_along(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    journal = started_journal(path)
    journal.processes([MAIN], GPU[:1])
    tick(journal, 102)
    run_key = journal.recording.start.run_key
    journal.close()
    conn = sqlite3.connect(path, isolation_level=None)
    assert delete_run(conn, run_key)
    conn.close()
    assert rows(path, "job_process") == rows(path, "job_process_gpu") == []
