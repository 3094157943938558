"""A recording without an end is thinned to minutes and days, and its totals stay."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.minutes import Minute, MinuteRows, Share
from frugalwatch.ledger.retention import DAY_NS, thin_to_days, thin_to_minutes
from tests.frugalwatch.ledger.kit import SECOND, Notices, device, reading, run_start

MINUTE = 60 * SECOND


@pytest.fixture
def ledger(tmp_path: Path) -> sqlite3.Connection:
    """Two hours at 10 s, then three days of minutes with a share each."""
    journal = Journal(str(tmp_path / "l.db"), notify=Notices(), fallback_dirs=(), lasting=True)
    journal.open_run(run_start("daemon-x"))
    handle = journal.add_stream(device(), 0)
    for step in range(720):
        journal.sample(handle, reading(100 + step * 10, step * 1_000_000))
    rows = journal.recording.minutes = MinuteRows()
    for number in range(3 * 24 * 60):
        end = (number + 1) * MINUTE
        unknown = number == 100  # on the first day
        share = None if unknown else 7
        rows.add(
            [Minute(handle, end, end - MINUTE, 10, 8, 12, None if unknown else 9, None, 5)],
            [Share(handle, end, "process", "train", 4, share, 6, 8)],
        )
    assert journal.commit()
    journal.close()
    conn = sqlite3.connect(tmp_path / "l.db", isolation_level=None)
    yield conn
    conn.close()


def test_looks_before_the_limit_become_minutes_while_the_run_goes_on(
    ledger: sqlite3.Connection,
) -> None:
    before = ledger.execute("SELECT max(energy_uj) FROM sample").fetchone()
    limit = 100 * SECOND + 3600 * SECOND
    assert thin_to_minutes(ledger, 1, 0, limit) > 250
    old, new = ledger.execute(
        "SELECT sum(t_mono_ns < ?1), sum(t_mono_ns >= ?1) FROM sample", (limit,)
    ).fetchone()
    assert (old <= 62, new) == (True, 360)
    assert ledger.execute("SELECT max(energy_uj) FROM sample").fetchone() == before
    assert thin_to_minutes(ledger, 1, limit, limit) == 0


def _sums(conn: sqlite3.Connection) -> list[tuple[object, ...]]:
    return [
        *conn.execute("SELECT sum(energy_uj), sum(low_uj), sum(high_uj), sum(busy_us) FROM minute"),
        *conn.execute("SELECT sum(busy_us), sum(low_uj), sum(high_uj) FROM share"),
    ]


def test_minutes_become_days_and_their_sums_stay(ledger: sqlite3.Connection) -> None:
    before = _sums(ledger)
    started_utc, started_mono = ledger.execute(
        "SELECT started_utc_ns, started_mono_ns FROM run"
    ).fetchone()
    limit_utc = started_utc - started_mono + 2 * DAY_NS + 5 * MINUTE
    thin_to_days(ledger, limit_utc)
    assert _sums(ledger) == before
    days = ledger.execute("SELECT count(*) FROM minute WHERE t_mono_ns < ?", (2 * DAY_NS,))
    assert days.fetchone() == (2,)
    # The day with a minute of which nobody knew the share has none either; its bounds stay.
    shares = ledger.execute("SELECT energy_uj, low_uj FROM share ORDER BY t_mono_ns LIMIT 2")
    assert shares.fetchall() == [(None, 6 * 1439), (7 * 1440, 6 * 1440)]
    thin_to_days(ledger, limit_utc)
    assert _sums(ledger) == before


def test_events_of_a_lasting_recording_do_not_pile_up_in_memory(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "l.db"), notify=Notices(), fallback_dirs=(), lasting=True)
    journal.open_run(run_start("daemon-x"))
    for number in range(3_000):
        journal.event("gap", t_mono_ns=number)
        if number % 500 == 0:
            assert journal.commit()
    assert journal.commit()
    assert journal.recording.events.kept == []
    journal.close()
    conn = sqlite3.connect(tmp_path / "l.db")
    assert conn.execute("SELECT count(*) FROM event").fetchone() == (3_000,)
    conn.close()


def test_minutes_and_shares_come_along_when_ledgers_are_merged(
    ledger: sqlite3.Connection, tmp_path: Path
) -> None:
    from frugalwatch.ledger.connection import open_ledger
    from frugalwatch.ledger.transfer import copy_run, delete_run

    target = open_ledger(str(tmp_path / "other.db"), create=True)
    target.execute("INSERT INTO workload (kind, name) VALUES ('process', 'other')")
    for _ in range(2):  # a second copy takes the place of the first
        assert copy_run(ledger, target, "daemon-x") is not None
    assert _sums(target) == _sums(ledger)
    assert target.execute(
        "SELECT DISTINCT kind, name FROM share JOIN workload ON workload.id = workload_id"
    ).fetchall() == [("process", "train")]
    target.execute("BEGIN")
    assert delete_run(target, "daemon-x")
    assert target.execute(
        "SELECT (SELECT count(*) FROM share), (SELECT count(*) FROM minute)"
    ).fetchone() == (0, 0)
    target.close()
