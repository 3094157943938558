from __future__ import annotations

import sqlite3

from hypothesis import given, settings
from hypothesis import strategies as st

from frugalwatch.ledger.connection import memory_ledger
from frugalwatch.ledger.recording import Recording
from frugalwatch.ledger.thin import thin
from frugalwatch.report.told import processes_of, steps_of_the_job, units_of_the_hook
from tests.frugalwatch.ledger.kit import SECOND, run_end, run_start

FOREVER = 2**62


def recorded(told: list[int], hellos: list[int]) -> sqlite3.Connection:
    """Two processes that count at these seconds; the second one's pid is given away anew."""
    conn = memory_ledger()
    recording = Recording(run_start(started_mono_ns=0, started_utc_ns=0))
    for hello in sorted({0, *hellos}):
        recording.inside.process((8, hello * SECOND, "3.12", "x.py", None, None, None, "[]"))
    for pid in (7, 8):
        for number, second in enumerate(told):
            t = second * SECOND
            recording.steps.add((pid, t, number))
            recording.inside.count((pid, "batch", t, number, number * 32))
            recording.inside.count((pid, "epoch", t, number, None))
            recording.inside.activity((pid, "data_wait", t, number))
    recording.end = run_end(2000)
    recording.write(conn)
    conn.execute("UPDATE run SET coverage = 1")
    return conn


@settings(deadline=None, max_examples=40)
@given(
    told=st.lists(st.integers(1, 1000), min_size=1, max_size=120, unique=True).map(sorted),
    hellos=st.lists(st.integers(1, 1000), max_size=2),
    older_than=st.integers(0, 1100),
)
def test_thinning_never_changes_what_was_done(
    told: list[int], hellos: list[int], older_than: int
) -> None:
    conn = recorded(told, hellos)
    processes = processes_of(conn, 1)
    before = units_of_the_hook(conn, 1, processes), steps_of_the_job(conn, 1, processes)
    thin(conn, older_than * SECOND)
    assert (units_of_the_hook(conn, 1, processes), steps_of_the_job(conn, 1, processes)) == before
    for table in ("step", "unit_count", "activity"):
        (recent,) = conn.execute(
            f"SELECT count(*) FROM {table} WHERE pid = 7 AND t_mono_ns >= ?",
            (older_than * SECOND,),
        ).fetchone()
        series = 2 if table == "unit_count" else 1
        assert recent == series * sum(second >= older_than for second in told)


def test_a_row_a_minute_stays_of_each_series() -> None:
    conn = recorded(list(range(1, 1001)), [500])
    thin(conn, FOREVER)
    for table, series in (("step", 1), ("unit_count", 2), ("activity", 1)):
        rows = conn.execute(f"SELECT count(*) FROM {table} WHERE pid = 7").fetchone()[0]
        assert rows == series * (1000 // 60 + 1 + 1), "one a minute, and the first"
        rows = conn.execute(f"SELECT count(*) FROM {table} WHERE pid = 8").fetchone()[0]
        assert rows == series * (1000 // 60 + 1 + 1 + 2), "and both ends of either process"
