"""What happens to a run when its ledger fails: nothing is lost that a counter knows."""

from __future__ import annotations

import os
import resource
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from frugalwatch.ledger.connection import open_ledger
from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.records import RunTotals
from tests.frugalwatch.ledger.kit import (
    NOBODY,
    SECOND,
    Clock,
    Notices,
    device,
    in_child,
    one,
    open_folder,
    reading,
    run_end,
    run_start,
    samples,
    started_journal,
    tick,
)


def fallback(tmp_path: Path) -> str:
    return str(tmp_path / "fallback")


def test_a_full_disk_keeps_the_run_in_memory_and_writes_it_when_there_is_room(
    tmp_path: Path,
) -> None:
    path, notices, clock = tmp_path / "l.db", Notices(), Clock()
    journal = started_journal(path, notices, clock_ns=clock)
    tick(journal, 101)
    conn = journal._conn
    assert conn is not None
    conn.execute("PRAGMA max_page_count = 1")  # SQLite takes it as "no page more than now"
    for second in range(102, 2102):
        clock.advance(1)
        tick(journal, second)
    assert notices.kinds == ["full"], "said once"
    assert len(samples(path)) < 2000
    conn.execute("PRAGMA max_page_count = 1000000")
    clock.advance(60)
    assert tick(journal, 2102)
    assert len(samples(path)) == 2002
    assert one(path, "SELECT cause FROM event WHERE kind = 'ledger_unwritable'") == "full"
    journal.finish(run_end(2103))
    assert journal.where == str(path)
    journal.close()


def older_run(path: Path) -> None:
    """A run before the one under test, so that row numbers differ between ledger and fallback."""
    journal = Journal(str(path), notify=Notices(), fallback_dirs=())
    journal.open_run(run_start("older"))
    for number in range(3):
        journal.add_stream(device(f"rapl:older-{number}"), 100 * SECOND)
    journal.phase_began(1, "older", 100 * SECOND)
    journal.finish(run_end())
    journal.close()


def test_a_disk_that_stays_full_sends_the_complete_run_to_the_fallback(tmp_path: Path) -> None:
    path, notices, clock = tmp_path / "l.db", Notices(), Clock()
    older_run(path)
    journal = started_journal(path, notices, clock_ns=clock, fallback_dirs=[fallback(tmp_path)])
    token = journal.phase_began(1, "epoch", 100 * SECOND)
    tick(journal, 101)
    tick(journal, 102)
    assert journal._conn is not None
    journal._conn.execute("PRAGMA max_page_count = 1")
    for second in range(103, 1103):
        clock.advance(1)
        tick(journal, second)
    journal.phase_ended(token, 1102 * SECOND)
    conn = journal.finish(run_end(1103))
    assert notices.kinds == ["full", "fallback"]
    assert journal.where.startswith(fallback(tmp_path))
    assert journal.where in notices.said[-1][1]
    assert [second for second, _ in samples(conn)] == list(range(101, 1103))
    assert one(conn, "SELECT state FROM run") == "done"
    assert one(conn, "SELECT ended_mono_ns FROM phase") == 1102 * SECOND
    assert one(conn, "SELECT count(*) FROM stream") == 1
    journal.close()
    assert one(journal.where, "PRAGMA integrity_check") == "ok"
    assert one(path, "SELECT group_concat(state) FROM run") == "done,running"


def test_a_file_size_limit_is_a_full_disk_too(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    open_ledger(str(path), create=True).close()

    def work() -> list[Any]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        notices, clock = Notices(), Clock()
        journal = started_journal(path, notices, clock_ns=clock)
        for second in range(101, 1101):
            clock.advance(1)
            for step in range(40):
                journal.sample(0, reading(second + step / 50, second))
            tick(journal, second)
        conn = journal.finish(run_end(1101))
        stored = samples(conn)
        answer = [stored[0][0], stored[-1][0], len(stored) > 6_000, notices.kinds, journal.where]
        journal.close()
        return answer

    first, last, many, kinds, where = in_child(work)()
    assert (first, last, many, where) == (101, 1100, True, ":memory:")
    assert kinds[0] in ("full", "other")
    assert kinds[-1] == "fallback"
    assert one(path, "PRAGMA integrity_check") == "ok"


def test_totals_follow_the_run_to_the_fallback_when_the_disk_fills_at_the_very_end(
    tmp_path: Path,
) -> None:
    path, notices = tmp_path / "l.db", Notices()
    journal = started_journal(path, notices, fallback_dirs=[fallback(tmp_path)])
    tick(journal, 101)
    conn = journal.finish(run_end())
    assert journal.where == str(path)
    conn.execute("PRAGMA max_page_count = 1")
    nothing = (None,) * 6
    journal.store_totals(RunTotals(7, 7, 7, *nothing[:3], None, 1.0, result="x" * 100_000))
    assert notices.kinds == ["full", "fallback"]
    assert one(journal.where, "SELECT energy_uj FROM run") == 7
    assert samples(journal.where) == [(101, 10_000_000)]
    journal.close()


def test_a_folder_that_is_read_only_for_this_user_sends_the_run_to_the_fallback() -> None:
    with open_folder() as folder:
        home = folder / "home"
        home.mkdir(mode=0o755)
        shared = folder / "tmp"
        shared.mkdir()
        shared.chmod(0o777)
        path = home / "state" / "l.db"

        def work() -> list[Any]:
            notices = Notices()
            journal = started_journal(path, notices, fallback_dirs=[str(shared / "mine")])
            committed = tick(journal, 101)
            conn = journal.finish(run_end())
            answer = [committed, notices.kinds, len(samples(conn)), journal.where]
            journal.close()
            return answer

        committed, kinds, count, where = in_child(work, uid=NOBODY)()
        assert (committed, count) == (False, 1)
        assert kinds == ["permission", "fallback"]
        assert where.startswith(str(shared))
        assert one(where, "SELECT state FROM run") == "done"
        assert os.listdir(home) == []


def test_a_fallback_folder_of_somebody_else_is_not_used() -> None:
    with open_folder() as folder:
        shared = folder / "tmp"
        shared.mkdir()
        shared.chmod(0o777)
        (shared / "theirs").mkdir(mode=0o777)
        (shared / "theirs").chmod(0o777)
        (shared / "link").symlink_to(shared / "theirs")

        def work() -> list[Any]:
            directories = [str(shared / "theirs"), str(shared / "link"), str(shared / "mine")]
            journal = started_journal(folder / "no" / "l.db", fallback_dirs=directories)
            journal.finish(run_end())
            answer = [journal.where, os.stat(shared / "mine").st_mode & 0o777]
            journal.close()
            return answer

        where, mode = in_child(work, uid=NOBODY)()
        assert where.startswith(str(shared / "mine") + "/")
        assert mode == 0o700
        assert os.listdir(shared / "theirs") == []


def test_a_permission_that_is_revoked_mid_run_loses_nothing() -> None:
    with open_folder() as folder:
        folder.chmod(0o777)
        path = folder / "state" / "l.db"

        def work() -> list[Any]:
            notices, clock = Notices(), Clock()
            journal = started_journal(
                path, notices, clock_ns=clock, fallback_dirs=[str(folder / "fallback")]
            )
            tick(journal, 101)
            assert journal._conn is not None
            journal._conn.close()  # as after an error that broke the connection
            journal._conn = None
            path.chmod(0o400)
            for second in range(102, 110):
                clock.advance(1)
                tick(journal, second)
            conn = journal.finish(run_end())
            answer = [[second for second, _ in samples(conn)], notices.kinds]
            journal.close()
            return answer

        seconds, kinds = in_child(work, uid=NOBODY)()
        assert seconds == list(range(101, 110)), "what was written before was taken over"
        assert kinds == ["permission", "fallback"]


def test_a_corrupt_ledger_at_the_start_is_quarantined_and_the_run_recorded(tmp_path: Path) -> None:
    path, notices = tmp_path / "l.db", Notices()
    path.write_bytes(b"garbage " * 1000)
    journal = started_journal(path, notices)
    assert tick(journal, 101)
    journal.finish(run_end())
    journal.close()
    assert notices.kinds == ["quarantined"]
    assert samples(path) == [(101, 10_000_000)]


def test_a_ledger_that_is_overwritten_mid_run_is_begun_again_from_memory(tmp_path: Path) -> None:
    path, notices = tmp_path / "l.db", Notices()
    journal = started_journal(path, notices, clock_ns=Clock())
    journal.event("gap", "invalid", t_mono_ns=101 * SECOND)
    for second in range(101, 106):
        tick(journal, second)
    assert journal._conn is not None
    journal._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:  # same file, other content
        file.write(os.urandom(path.stat().st_size))
    journal._conn.execute("PRAGMA shrink_memory")  # forget the good pages
    for second in range(106, 111):
        tick(journal, second)
    journal.finish(run_end())
    journal.close()
    assert "quarantined" in notices.kinds
    assert len(list(tmp_path.glob("l.db.corrupt-*"))) >= 1
    stored = samples(path)
    assert (stored[0], stored[-1]) == ((101, 10_000_000), (110, 100_000_000))
    assert one(path, "SELECT count(*) FROM event WHERE kind = 'gap'") == 1
    assert one(path, "SELECT state FROM run") == "done"
    assert one(path, "PRAGMA integrity_check") == "ok"


def test_a_ledger_that_is_deleted_mid_run_is_made_again_with_the_whole_run(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    journal = started_journal(path)
    for second in range(101, 106):
        tick(journal, second)
    for file in tmp_path.glob("l.db*"):
        file.unlink()
    for second in range(106, 111):
        assert tick(journal, second)
    journal.finish(run_end())
    journal.close()
    assert [second for second, _ in samples(path)] == list(range(101, 111))
    assert one(path, "SELECT count(*) FROM stream") == 1


def test_a_run_is_not_torn_when_another_writer_quarantines_the_file(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    journal = started_journal(path)
    tick(journal, 101)
    os.rename(path, tmp_path / "kept")
    for suffix in ("-wal", "-shm"):
        os.rename(f"{path}{suffix}", tmp_path / f"kept{suffix}")
    open_ledger(str(path), create=True).close()
    assert tick(journal, 102)
    journal.finish(run_end())
    journal.close()
    assert [second for second, _ in samples(path)] == [101, 102]
    assert one(path, "PRAGMA integrity_check") == "ok"


def test_a_newer_ledger_is_left_alone_and_the_run_saved_beside(tmp_path: Path) -> None:
    path, notices = tmp_path / "l.db", Notices()
    open_ledger(str(path), create=True).close()
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA user_version = 999")
    conn.close()
    before = path.read_bytes()
    journal = started_journal(path, notices, fallback_dirs=[fallback(tmp_path)])
    tick(journal, 101)
    conn = journal.finish(run_end())
    assert samples(conn) == [(101, 10_000_000)]
    assert notices.kinds == ["newer", "fallback"]
    assert path.read_bytes() == before
    journal.close()


def test_a_fallback_that_fills_up_passes_the_run_on_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, clock = tmp_path / "l.db", Clock()
    older_run(path)
    directories = [str(tmp_path / "one"), str(tmp_path / "two")]
    journal = started_journal(path, clock_ns=clock, fallback_dirs=directories)
    journal.add_stream(device("nvidia:GPU-1", domain="gpu"), 100 * SECOND)
    journal.sample(1, reading(101, 5))
    token = journal.phase_began(1, "epoch", 100 * SECOND)
    tick(journal, 101)
    assert journal._conn is not None
    journal._conn.execute("PRAGMA max_page_count = 1")
    for second in range(102, 1102):
        clock.advance(1)
        tick(journal, second)
    journal.phase_ended(token, 1101 * SECOND)
    real = journal.recording.write
    calls: list[int] = []

    def write(conn: sqlite3.Connection) -> None:
        calls.append(1)
        if "one" in one(conn, "SELECT file FROM pragma_database_list WHERE name = 'main'"):
            conn.execute("PRAGMA max_page_count = 1")
        real(conn)

    monkeypatch.setattr(journal.recording, "write", write)
    conn = journal.finish(run_end(1103))
    assert journal.where.startswith(str(tmp_path / "two"))
    assert len(calls) == 3
    seconds = [second for second, _ in samples(conn)]
    assert seconds == sorted([101, *range(101, 1102)])
    assert one(conn, "SELECT count(*) FROM stream") == 2
    phases = conn.execute("SELECT ended_mono_ns FROM phase").fetchall()
    assert phases == [(1101 * SECOND,)]
    assert [files for _, _, files in os.walk(tmp_path / "one")] == [[], []], "tidied up"
    journal.close()
