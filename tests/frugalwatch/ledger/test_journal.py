from __future__ import annotations

import math
import sqlite3
import time
from pathlib import Path

import pytest

from collectors.base import Condition
from frugalwatch.ledger import queue
from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.records import DeviceTotal, GridIntensity, RunTotals
from tests.frugalwatch.ledger.kit import (
    SECOND,
    Notices,
    device,
    one,
    reading,
    run_end,
    run_start,
    samples,
    started_journal,
    tick,
)


def test_a_run_is_written_with_everything_that_was_said(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    journal = Journal(str(path), notify=Notices(), fallback_dirs=())
    journal.open_run(run_start(environment={"OMP_NUM_THREADS": "2", "TOKEN": None}))
    package = journal.add_stream(device(tick_s=0.001, note="fine"), 100 * SECOND)
    core = journal.add_stream(device("rapl:core", part_of="rapl:package-0"), 100 * SECOND)
    journal.sample(package, reading(101, 50, low_uj=40, high_uj=60, power_w=12.3456))
    journal.sample(core, reading(101, 20, low_uj=20, high_uj=20))
    journal.gpu_usage(core, 101 * SECOND, 5, 6)
    journal.event("gap", "vanished", t_mono_ns=5, since_mono_ns=4, handle=core, energy_missing=True)
    token = journal.phase_began(7, "epoch", 100 * SECOND, number=3, depth=1)
    journal.metric(7, 101 * SECOND, "loss", math.nan)
    journal.step(7, 101 * SECOND, 64)
    journal.goal(7, 101 * SECOND, "", 500)
    journal.goal(7, 102 * SECOND, "", 640)
    journal.condition(core, Condition("rapl:core", 101 * SECOND, 61.5, 2.1e9, None, 0.25))
    journal.grid_intensity(GridIntensity("FR", 1, 30.0, "average-lifecycle", "test", False, 2))
    assert journal.commit()
    journal.phase_ended(token, 102 * SECOND)
    conn = journal.finish(run_end())
    conn.row_factory = sqlite3.Row
    run = dict(conn.execute("SELECT * FROM run").fetchone())
    assert run["command"] == '["python", "train.py"]'
    assert run["environment"] == '{"OMP_NUM_THREADS": "2", "TOKEN": null}'
    assert (run["state"], run["exit_code"], run["ended_mono_ns"]) == ("done", 0, 110 * SECOND)
    rows = [tuple(row) for row in conn.execute("SELECT * FROM sample ORDER BY stream_id")]
    assert rows == [
        (1, 101 * SECOND, 50, 40, 60, 12346),
        (2, 101 * SECOND, 20, None, None, None),
    ]
    event = dict(conn.execute("SELECT * FROM event").fetchone())
    assert (event["stream_id"], event["energy_missing"], event["since_mono_ns"]) == (2, 1, 4)
    phase = dict(conn.execute("SELECT * FROM phase").fetchone())
    assert (phase["number"], phase["ended_mono_ns"]) == (3, 102 * SECOND)
    assert conn.execute("SELECT value FROM metric").fetchone()[0] is None
    assert one(conn, "SELECT steps FROM step") == 64
    assert tuple(conn.execute("SELECT pid, name, total FROM goal").fetchone()) == (7, "", 640)
    seen = conn.execute("SELECT * FROM condition").fetchone()
    assert tuple(seen) == (2, 101 * SECOND, 61_500, 2_100_000_000, None, 250_000)
    assert one(conn, "SELECT g_per_kwh FROM carbon_intensity") == 30.0
    assert one(conn, "SELECT tick_ns FROM stream") == 1_000_000
    assert journal.where == str(path)
    journal.close()


def test_nothing_is_written_before_the_commit(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    journal = started_journal(path)
    journal.sample(0, reading(101, 5))
    assert not path.exists()
    journal.commit()
    assert samples(path) == [(101, 5)]
    journal.close()


def test_totals_replace_earlier_ones(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    journal = started_journal(path)
    tick(journal, 101)
    journal.finish(run_end())

    def totals(energy: int) -> RunTotals:
        total = DeviceTotal(1, "measured", energy, energy - 1, energy + 1, 1.0, True)
        none = (None, None, None)
        return RunTotals(energy, 0, 9, *none, 4, 0.5, result="{}", devices=(total,))

    journal.store_totals(totals(7))
    journal.store_totals(totals(8))
    journal.close()
    assert one(path, "SELECT energy_uj FROM run") == 8
    assert one(path, "SELECT group_concat(energy_uj) FROM run_device") == "8"
    assert one(path, "SELECT energy_j FROM run_energy") == 8e-6


def test_a_replacement_sampler_goes_on_with_the_same_run(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    first = started_journal(path)
    tick(first, 101)
    second = Journal(str(path), notify=Notices(), fallback_dirs=())
    assert second.reopen_run(run_start(sampler_pid=77)) == 101 * SECOND
    last = second.last_readings()["rapl:package-0"]
    assert (last.t_mono_ns, last.energy_uj) == (101 * SECOND, 10_000_000)
    second.add_stream(device(), 103 * SECOND)
    tick(second, 104)
    second.finish(run_end())
    second.close()
    first.close()
    assert one(path, "SELECT count(*) FROM run") == 1
    assert one(path, "SELECT sampler_pid FROM run") == 77
    assert one(path, "SELECT count(*) FROM stream") == 1, "the dead one's stream goes on"
    assert samples(path) == [(101, 10_000_000), (104, 40_000_000)]
    assert one(path, "SELECT count(*) FROM device") == 1


def test_a_replacement_begins_the_run_that_nobody_wrote_yet(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "l.db"), notify=Notices(), fallback_dirs=())
    assert journal.reopen_run(run_start()) is None
    journal.add_stream(device(), 100 * SECOND)
    assert tick(journal, 101)
    assert len(samples(tmp_path / "l.db")) == 1
    journal.close()


def test_two_writers_share_one_file(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    journals = []
    for name in ("run-a", "run-b"):
        journal = Journal(str(path), notify=Notices(), fallback_dirs=())
        journal.open_run(run_start(name))
        journal.add_stream(device(), 100 * SECOND)
        journals.append(journal)
    for second in range(101, 111):
        for journal in journals:
            assert tick(journal, second)
    for journal in journals:
        journal.finish(run_end())
        journal.close()
    assert one(path, "SELECT count(*) FROM sample") == 20
    assert one(path, "SELECT count(*) FROM device") == 1, "one device, two streams"
    assert one(path, "SELECT group_concat(DISTINCT state) FROM run") == "done"


def test_a_held_lock_costs_a_commit_less_than_a_second_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    notices = Notices()
    journal = started_journal(path, notices)
    tick(journal, 101)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    assert not tick(journal, 102)
    assert time.monotonic() - began < 0.9
    began = time.monotonic()
    assert not tick(journal, 103), "and the next one does not even try"
    assert time.monotonic() - began < 0.1
    other.execute("ROLLBACK")
    other.close()
    journal.finish(run_end())
    journal.close()
    assert [second for second, _ in samples(path)] == [101, 102, 103]
    assert notices.said == [], "a short lock is nobody's business"


def test_thinning_keeps_the_ends_of_every_series() -> None:
    rows: list[queue.Row] = [(number % 3, number) for number in range(100)]
    kept = queue.every_second(rows, lambda row: row[0])
    for series in range(3):
        before = [row for row in rows if row[0] == series]
        after = [row for row in kept if row[0] == series]
        assert (after[0], after[-1]) == (before[0], before[-1])
        assert len(after) <= len(before) // 2 + 2
    assert kept == sorted(kept, key=rows.index)


def test_a_full_queue_keeps_the_first_and_last_sample_and_says_what_it_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "MAX_ROWS", 100)
    journal = started_journal(tmp_path / "l.db")
    for second in range(101, 2101):
        journal.sample(0, reading(second, second))
    assert len(journal.recording.samples.rows) <= 100
    conn = journal.finish(run_end(2101))
    stored = samples(conn)
    assert (stored[0], stored[-1]) == ((101, 101), (2100, 2100))
    assert "rows left out" in one(conn, "SELECT detail FROM event WHERE kind = 'samples_thinned'")
    journal.close()


def test_ten_thousand_events_are_summed_up_without_hiding_missing_energy(tmp_path: Path) -> None:
    journal = started_journal(tmp_path / "l.db")
    for number in range(10_000):
        journal.event(
            "gap",
            "invalid",
            t_mono_ns=number + 1,
            since_mono_ns=number,
            energy_missing=number == 9_000,
        )
    conn = journal.finish(run_end())
    assert one(conn, "SELECT count(*) FROM event") == queue.MAX_EVENTS + 1
    row = conn.execute(
        "SELECT since_mono_ns, t_mono_ns, energy_missing, detail FROM event"
        " WHERE kind = 'events_dropped'"
    ).fetchone()
    assert row[:3] == (2_000, 10_000, 1)
    assert row[3].startswith("8000 ")
    journal.close()


def test_a_row_that_no_database_takes_does_not_hold_up_the_others(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    journal = started_journal(path)
    journal.sample(0, reading(101, 2**70))
    journal.metric(1, 101 * SECOND, "name", float("inf"))
    assert tick(journal, 102)
    conn = journal.finish(run_end())
    assert [second for second, _ in samples(conn)] == [102]
    assert one(conn, "SELECT detail FROM event WHERE kind = 'rows_refused'").startswith("1 ")
    journal.close()


def test_names_that_are_no_utf8_are_spelled_out(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "l.db"), notify=Notices(), fallback_dirs=())
    journal.open_run(run_start(cwd="/tmp/\udcff", command=("cat", "\udcfe")))
    journal.phase_began(1, "\udcfd", 100 * SECOND)
    assert journal.commit()
    conn = journal.finish(run_end())
    assert one(conn, "SELECT cwd FROM run") == "/tmp/\\udcff"
    assert one(conn, "SELECT json_extract(command, '$[1]') FROM run") == "\\udcfe"
    journal.close()


def test_steps_of_the_wall_clock_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, wall_s: int) -> list[tuple[int, int]]:
        journal = started_journal(path)
        for second in range(101, 106):
            now_s = wall_s - second * 86_400
            monkeypatch.setattr(time, "time", lambda now_s=now_s: float(now_s))
            monkeypatch.setattr(time, "time_ns", lambda now_s=now_s: now_s * SECOND)
            assert tick(journal, second)
        journal.finish(run_end())
        journal.close()
        return samples(path)

    assert write(tmp_path / "a.db", 10**9) == write(tmp_path / "b.db", 2 * 10**9)


def test_the_api_never_raises_even_if_the_person_cannot_be_told(tmp_path: Path) -> None:
    def broken(kind: str, message: str) -> None:
        raise BrokenPipeError(kind, message)

    target = tmp_path / "file"
    target.write_text("")
    journal = Journal(str(target / "below-a-file" / "l.db"), notify=broken, fallback_dirs=())
    journal.open_run(run_start())
    journal.add_stream(device(), 100 * SECOND)
    assert not tick(journal, 101)
    conn = journal.finish(run_end())
    assert samples(conn) == [(101, 10_000_000)]
    assert journal.where == ":memory:"
    journal.close()
    journal.close()
