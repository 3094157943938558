"""The highest power of a stream, found in portions."""

from __future__ import annotations

import sqlite3

from frugalwatch.ledger.connection import memory_ledger
from frugalwatch.screen.conditions import condition_now, condition_of_run
from frugalwatch.screen.peaks import Peak, PeakScan

SECOND = 1_000_000_000


def stream(powers_w: list[float]) -> sqlite3.Connection:
    """Samples a second apart of stream 1, whose mean power is as given."""
    conn = memory_ledger()
    energy = 0
    rows = [(1, 0, 0)]
    for second, watts in enumerate(powers_w, start=1):
        energy += round(watts * 1e6)
        rows.append((1, second * SECOND, energy))
    conn.executemany("INSERT INTO sample VALUES (?, ?, ?, NULL, NULL, NULL)", rows)
    return conn


def test_a_long_history_is_gone_through_in_portions_and_says_so() -> None:
    conn = stream([10.0] * 50 + [99.0] + [20.0] * 49)
    scan = PeakScan()
    looks = [scan.look(conn, 1, rows=30) for _ in range(4)]
    assert [(round(p.power_w), p.complete) for p in looks if p] == [
        (10, False),
        (99, False),
        (99, False),
        (99, True),
    ]


def test_a_peak_between_two_portions_is_not_missed() -> None:
    powers = [5.0] * 9 + [80.0] + [5.0] * 10
    for rows in range(2, 15):
        scan, conn = PeakScan(), stream(powers)
        found = [scan.look(conn, 1, rows=rows) for _ in range(25)]
        assert found[-1] == Peak(80.0, complete=True)


def test_nothing_is_a_peak_before_there_are_two_samples() -> None:
    assert PeakScan().look(stream([]), 1) is None
    assert PeakScan().look(stream([]), 2) is None


def test_two_samples_of_one_tick_are_no_peak() -> None:
    conn = stream([10.0])
    conn.execute("INSERT INTO sample VALUES (1, ?, 11000000, NULL, NULL, NULL)", (SECOND + 10,))
    assert PeakScan().look(conn, 1) == Peak(10.0, complete=True)


def test_old_conditions_are_not_those_of_now_and_a_whole_run_shows_the_hottest() -> None:
    conn = memory_ledger()
    rows = [(1, 5 * n * SECOND, 40_000 + n, 10**9 * n, None, None) for n in range(1, 4)]
    conn.executemany("INSERT INTO condition VALUES (?, ?, ?, ?, ?, ?)", rows)
    now = condition_now(conn, 1, 16 * SECOND)
    assert now is not None
    assert (now.temperature_c, now.clock_hz, now.fan_share) == (40.003, 3e9, None)
    assert condition_now(conn, 1, 60 * SECOND) is None
    whole = condition_of_run(conn, 1)
    assert whole is not None
    assert (whole.temperature_c, whole.clock_hz) == (40.003, 2e9)
    assert condition_of_run(conn, 2) is None
