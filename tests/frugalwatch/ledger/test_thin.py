from __future__ import annotations

import sqlite3

from hypothesis import given, settings
from hypothesis import strategies as st

from frugalwatch.ledger.connection import memory_ledger
from frugalwatch.ledger.recording import Recording
from frugalwatch.ledger.thin import MINUTE_NS, thin
from frugalwatch.ledger.union import energy_between
from tests.frugalwatch.ledger.kit import SECOND, device, reading, run_end, run_start

FOREVER = 2**62


def recorded(
    seconds: list[int], gaps: list[tuple[int, int]], *, settled: bool = True
) -> sqlite3.Connection:
    """A run with one device, power that rises, and events over the given gaps."""
    conn = memory_ledger()
    recording = Recording(run_start(started_mono_ns=0, started_utc_ns=0))
    handle = recording.add_stream(device(), 0)
    for second in seconds:
        recording.sample(handle, reading(second, second * second))
        recording.usage.add((second * SECOND, second, second))
        recording.gpu_usage.add((handle, second * SECOND, second, second))
        recording.conditions.add((handle, second * SECOND, second, None, None, None))
    for begin, end in gaps:
        recording.events.add((handle, "gap", "lost", begin * SECOND, end * SECOND, 1, ""))
    recording.end = run_end(seconds[-1])
    recording.write(conn)
    if settled:
        conn.execute("UPDATE run SET coverage = 1")
    return conn


def instants(conn: sqlite3.Connection, table: str = "sample") -> list[int]:
    return [t // SECOND for (t,) in conn.execute(f"SELECT t_mono_ns FROM {table} ORDER BY 1")]


@settings(deadline=None, max_examples=60)
@given(
    seconds=st.lists(st.integers(0, 1000), min_size=2, max_size=300, unique=True).map(sorted),
    gaps=st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 100)), max_size=3),
    older_than=st.integers(0, 1100),
)
def test_thinning_never_changes_a_total(
    seconds: list[int], gaps: list[tuple[int, int]], older_than: int
) -> None:
    conn = recorded(seconds, [(begin, begin + length) for begin, length in gaps])
    before = energy_between(conn, 1, 0, FOREVER)
    thin(conn, older_than * SECOND)
    assert energy_between(conn, 1, 0, FOREVER) == before
    left = instants(conn)
    assert (left[0], left[-1]) == (seconds[0], seconds[-1])
    assert [s for s in left if s >= older_than] == [s for s in seconds if s >= older_than]
    assert set(left) <= set(seconds)
    for minute in {second // 60 for second in seconds if second < older_than}:
        kept = [s for s in left if s // 60 == minute]
        assert max(s for s in seconds if s // 60 == minute and s < older_than) in kept
    again = thin(conn, older_than * SECOND)
    assert again == 0
    conn.close()


def test_an_hour_at_one_hertz_leaves_about_one_row_a_minute_in_every_table() -> None:
    conn = recorded(list(range(3600)), [(1000, 1030)])
    removed = thin(conn, 10_000 * SECOND)
    assert instants(conn, "usage") == [0, *range(59, 3600, 60)]
    assert instants(conn, "gpu_usage") == sorted({0, 1000, 1030, *range(59, 3600, 60)})
    assert instants(conn) == instants(conn, "gpu_usage") == instants(conn, "condition")
    assert removed == 4 * 3600 - 61 - 3 * 63
    assert MINUTE_NS == 60 * SECOND
    conn.close()


def test_a_run_that_is_not_settled_keeps_its_detail() -> None:
    conn = recorded(list(range(300)), [], settled=False)
    assert thin(conn, 10_000 * SECOND) == 0
    conn.execute("UPDATE run SET coverage = 1, state = 'running'")
    assert thin(conn, 10_000 * SECOND) == 0
    conn.execute("UPDATE run SET state = 'done'")
    assert thin(conn, 10_000 * SECOND) > 0
    conn.close()


def test_a_run_that_is_all_old_is_thinned_once() -> None:
    conn = recorded([0, 10, 20, 100], [])
    thin(conn, 50 * SECOND)
    assert conn.execute("SELECT thinned FROM run").fetchone() == (0,)  # its end is younger
    thin(conn, 200 * SECOND)
    assert conn.execute("SELECT thinned FROM run").fetchone() == (1,)
    assert thin(conn, 200 * SECOND) == 0


def test_a_budget_leaves_the_rest_for_the_next_call() -> None:
    conn = recorded([0, 10, 20, 30, 100], [])
    assert thin(conn, 200 * SECOND, budget_s=-1.0) == 0
    assert instants(conn) == [0, 10, 20, 30, 100]
    assert thin(conn, 200 * SECOND, budget_s=60.0) > 0
