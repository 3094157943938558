from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from collectors.base import Condition
from frugalwatch.errors import LedgerError
from frugalwatch.ledger.current import open_current
from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.merge import merge_ledgers
from frugalwatch.ledger.paths import Location
from frugalwatch.ledger.records import GridIntensity
from tests.frugalwatch.ledger.kit import (
    NOBODY,
    SECOND,
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


def recorded(
    path: Path, run_key: str, *, until: int = 103, finish: bool = True, **start: Any
) -> None:
    """A run with two devices and one row of everything."""
    journal = Journal(str(path), notify=Notices(), fallback_dirs=())
    journal.open_run(run_start(run_key, **start))
    journal.add_stream(device(), 100 * SECOND)
    gpu = journal.add_stream(device("nvidia:GPU-1", domain="gpu"), 100 * SECOND)
    journal.sample(gpu, reading(101, 77))
    journal.gpu_usage(gpu, 101 * SECOND, 1, 2)
    journal.event("gap", "lost", t_mono_ns=102 * SECOND, handle=gpu)
    journal.phase_began(1, "epoch", 101 * SECOND)
    journal.metric(1, 101 * SECOND, "loss", 0.5)
    journal.step(1, 101 * SECOND, 10)
    inside = journal.recording.inside
    inside.process((1, 100 * SECOND, "3.12.1", "train.py", 0, 0, 2, "[]"))
    inside.count((1, "batch", 101 * SECOND, 10, 320))
    inside.activity((1, "data_wait", 101 * SECOND, 77))
    inside.times((1, "step", 101 * SECOND, "[[700, 10]]"))
    journal.goal(1, 101 * SECOND, "", 100)
    seen = (101 * SECOND, 102 * SECOND, None)
    journal.processes([(1, 77, "python", 1, *seen, 5000)], [(gpu, 1, 77, 1)])
    journal.condition(gpu, Condition("nvidia:GPU-1", 101 * SECOND, 61.5))
    journal.grid_intensity(GridIntensity("FR", 1, 30.0, "average-direct", "test", False, 2))
    for second in range(101, until):
        tick(journal, second)
    if finish:
        journal.finish(run_end(until))
    journal.close()


def content(path: Path) -> dict[str, list[Any]]:
    """Every row of a ledger, with keys in place of row numbers."""
    conn = sqlite3.connect(path)
    runs = "(SELECT run_key FROM run WHERE id = x.run_id)"
    stream = (
        "(SELECT run_key || v.key FROM stream s JOIN device v ON v.id = s.device_id"
        " JOIN run ON run.id = s.run_id WHERE s.id = x.stream_id)"
    )
    machine = "(SELECT machine_key FROM machine WHERE id = machine_id)"
    asked = {
        "run": "SELECT run_key, state, exit_code, command FROM run x",
        "boot": f"SELECT boot_key, {machine} FROM boot",
        "device": f"SELECT key, source, domain, {machine} FROM device",
        "sample": f"SELECT {stream}, t_mono_ns, energy_uj FROM sample x",
        "gpu_usage": f"SELECT {stream}, t_mono_ns, job_busy_us FROM gpu_usage x",
        "usage": f"SELECT {runs}, t_mono_ns, job_cpu_us FROM usage x",
        "event": f"SELECT {runs}, {stream}, kind FROM event x",
        "phase": f"SELECT {runs}, name, began_mono_ns FROM phase x",
        "metric": f"SELECT {runs}, name, value FROM metric x",
        "step": f"SELECT {runs}, steps FROM step x",
        "process": f"SELECT {runs}, program, rank, world_size FROM process x",
        "unit_count": f"SELECT {runs}, unit, t_mono_ns, count, samples FROM unit_count x",
        "activity": f"SELECT {runs}, activity, t_mono_ns, spent_ns FROM activity x",
        "unit_time": f"SELECT {runs}, unit, buckets FROM unit_time x",
        "job_process": f"SELECT {runs}, pid, name, cpu_us FROM job_process x",
        "job_process_gpu": f"SELECT {stream}, pid, busy_us FROM job_process_gpu x",
        "goal": f"SELECT {runs}, name, total FROM goal x",
        "condition": f"SELECT {stream}, t_mono_ns, temperature_mdegc FROM condition x",
        "carbon_intensity": "SELECT * FROM carbon_intensity",
    }
    return {table: sorted(conn.execute(sql), key=repr) for table, sql in asked.items()}


def test_merging_brings_every_row_under_its_own_run_and_device(tmp_path: Path) -> None:
    # Different order of creation, so that every row number differs.
    recorded(tmp_path / "a.db", "run-a", machine_key="machine-a", boot_key="boot-a")
    recorded(tmp_path / "b.db", "run-0", machine_key="machine-b", boot_key="boot-0")
    recorded(tmp_path / "b.db", "run-b", machine_key="machine-b", boot_key="boot-b")
    both = tmp_path / "both.db"
    merged = merge_ledgers(str(both), [str(tmp_path / "b.db"), str(tmp_path / "a.db")])
    assert merged.added == ("run-0", "run-b", "run-a")
    left, right, together = (content(tmp_path / n) for n in ("a.db", "b.db", "both.db"))
    for table, rows in together.items():
        assert rows == sorted({*left[table], *right[table]}, key=repr) != []
    assert sqlite3.connect(both).execute("PRAGMA foreign_key_check").fetchall() == []


def test_merging_again_changes_nothing(tmp_path: Path) -> None:
    recorded(tmp_path / "a.db", "run-a")
    both = tmp_path / "both.db"
    merge_ledgers(str(both), [str(tmp_path / "a.db")])
    before = content(both)
    again = merge_ledgers(str(both), [str(tmp_path / "a.db")] * 2)
    assert again.kept == ("run-a", "run-a")
    assert content(both) == before


def test_the_copy_that_knows_more_of_the_end_wins(tmp_path: Path) -> None:
    recorded(tmp_path / "early.db", "run-a", until=102, finish=False)
    recorded(tmp_path / "late.db", "run-a", until=110)
    merged = merge_ledgers(str(tmp_path / "early.db"), [str(tmp_path / "late.db")])
    assert merged.replaced == ("run-a",)
    assert content(tmp_path / "early.db") == content(tmp_path / "late.db")
    recorded(tmp_path / "other.db", "run-a", until=102, finish=False)
    merged = merge_ledgers(str(tmp_path / "late.db"), [str(tmp_path / "other.db")])
    assert merged.kept == ("run-a",)
    assert one(tmp_path / "late.db", "SELECT state FROM run") == "done"


def test_calibrations_come_along_once(tmp_path: Path) -> None:
    recorded(tmp_path / "a.db", "run-a")
    conn = sqlite3.connect(tmp_path / "a.db")
    conn.execute(
        "INSERT INTO calibration (machine_id, device_key, kind, value, origin, made_utc_ns)"
        " VALUES (1, 'rapl:package-0', 'idle', '{}', 'measured', 5)"
    )
    conn.commit()
    conn.close()
    for _ in range(2):
        merge_ledgers(str(tmp_path / "both.db"), [str(tmp_path / "a.db")])
    assert one(tmp_path / "both.db", "SELECT count(*) FROM calibration") == 1


def test_a_finished_run_is_published_as_one_file_and_read_on_another_node(tmp_path: Path) -> None:
    inbox = tmp_path / "nfs" / "inbox"
    notices = Notices()
    journal = started_journal(tmp_path / "node1.db", notices, inbox=str(inbox))
    tick(journal, 101)
    journal.finish(run_end())
    assert not inbox.exists()
    journal.close()
    assert notices.said == []
    (published,) = inbox.iterdir()
    assert published.name == f"{run_start().run_key}.db"
    assert published.stat().st_mode & 0o777 == 0o600
    assert one(published, "PRAGMA integrity_check") == "ok"
    location = Location(str(tmp_path / "node2.db"), str(inbox), "nfs")
    for _ in range(2):
        conn = open_current(location, {}, notify=notices, fallback_dirs=())
        assert samples(conn) == [(101, 10_000_000)]
        assert one(conn, "SELECT state FROM run") == "done"
        conn.close()
    assert published.exists(), "other nodes want it too"
    assert notices.said == []


def test_a_run_that_cannot_be_published_stays_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    notices = Notices()
    journal = started_journal(tmp_path / "l.db", notices, inbox=str(tmp_path / "file" / "inbox"))
    tick(journal, 101)
    journal.finish(run_end())
    journal.close()
    assert notices.kinds == ["unpublished"]
    assert one(tmp_path / "l.db", "SELECT state FROM run") == "done"


def test_a_run_in_a_fallback_folder_moves_into_the_ledger_once_it_can(tmp_path: Path) -> None:
    path, fallback = tmp_path / "l.db", str(tmp_path / "fallback")
    journal = started_journal(path, fallback_dirs=[fallback])
    tick(journal, 101)
    assert journal._conn is not None
    journal._conn.execute("PRAGMA max_page_count = 1")
    for second in range(102, 602):
        journal.sample(0, reading(second, second))
    journal.finish(run_end(602))
    saved = journal.where
    assert saved != str(path)
    journal.close()
    assert one(path, "SELECT state FROM run") == "running"
    other = Location(str(tmp_path / "other.db"))
    with pytest.raises(LedgerError, match="does not exist"):
        open_current(other, {}, notify=Notices(), fallback_dirs=[fallback])
    conn = open_current(Location(str(path)), {}, notify=Notices(), fallback_dirs=[fallback])
    assert one(conn, "SELECT state FROM run") == "done"
    assert len(samples(conn)) == 501
    conn.close()
    assert not os.path.exists(saved)


def test_where_the_ledger_cannot_be_written_saved_runs_are_shown_all_the_same() -> None:
    with open_folder() as folder:
        path, tmp = folder / "l.db", folder / "tmp"
        recorded(path, "old-run")
        path.chmod(0o644)
        tmp.mkdir()
        tmp.chmod(0o777)

        def work() -> list[Any]:
            fallback = [str(tmp / "mine")]
            journal = Journal(str(path), notify=Notices(), fallback_dirs=fallback)
            journal.open_run(run_start("new-run"))
            journal.finish(run_end())
            journal.close()
            notices = Notices()
            conn = open_current(Location(str(path)), {}, notify=notices, fallback_dirs=fallback)
            runs = [row[0] for row in conn.execute("SELECT run_key FROM run ORDER BY id")]
            return [runs, notices.said, os.path.exists(journal.where)]

        assert in_child(work, uid=NOBODY)() == [["old-run", "new-run"], [], True]


def test_an_inbox_that_others_can_write_to_is_not_trusted(tmp_path: Path) -> None:
    recorded(tmp_path / "l.db", "mine")
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    recorded(inbox / "theirs.db", "theirs")
    inbox.chmod(0o777)
    location = Location(str(tmp_path / "l.db"), str(inbox), "nfs")
    conn = open_current(location, {}, notify=Notices(), fallback_dirs=())
    assert one(conn, "SELECT group_concat(run_key) FROM run") == "mine"
    conn.close()


def test_a_damaged_file_in_the_inbox_is_named_and_the_others_are_shown(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir(mode=0o700)
    (inbox / "bad.db").write_bytes(b"garbage " * 1000)
    recorded(inbox / "good.db", "good")
    notices = Notices()
    location = Location(str(tmp_path / "l.db"), str(inbox), "nfs")
    conn = open_current(location, {}, notify=notices, fallback_dirs=())
    assert one(conn, "SELECT group_concat(run_key) FROM run") == "good"
    conn.close()
    assert notices.kinds == ["inbox"]
    assert "bad.db" in notices.said[0][1]
