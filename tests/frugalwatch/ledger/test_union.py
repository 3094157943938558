from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from frugalwatch.ledger.connection import memory_ledger
from frugalwatch.ledger.recording import Recording
from frugalwatch.ledger.union import add, energy_between, energy_between_utc, subtract
from tests.frugalwatch.ledger.kit import SECOND, device, reading, run_end, run_start

LAST = 30
# A device's energy in each second, and the windows in which runs recorded it.
powers = st.lists(st.integers(0, 10_000_000), min_size=LAST, max_size=LAST)
windows = st.lists(
    st.tuples(st.integers(0, LAST), st.integers(0, LAST)).map(sorted).map(tuple),
    min_size=1,
    max_size=5,
)


def record(
    conn: sqlite3.Connection,
    number: int,
    counter: list[int],
    seconds: list[int],
    gaps: tuple[tuple[int, int], ...] = (),
) -> None:
    """One run that looked at the counter at these seconds."""
    recording = Recording(
        run_start(f"run-{number}", started_mono_ns=seconds[0] * SECOND, started_utc_ns=seconds[0])
    )
    handle = recording.add_stream(device(), seconds[0] * SECOND)
    for second in seconds:
        recording.sample(handle, reading(second, counter[second] - counter[seconds[0]]))
    for begin, end in gaps:
        recording.events.add((handle, "gap", "lost", begin * SECOND, end * SECOND, 1, ""))
    recording.end = run_end(seconds[-1])
    recording.write(conn)


def truth(power: list[int], covered: set[int]) -> int:
    return sum(power[second] for second in covered)


@settings(deadline=None, max_examples=60)
@given(power=powers, runs=windows, ask=st.tuples(st.integers(0, LAST), st.integers(0, LAST)))
def test_overlapping_runs_never_add_the_same_second_twice(
    power: list[int], runs: list[tuple[int, int]], ask: tuple[int, int]
) -> None:
    counter = [0, *itertools.accumulate(power)]
    conn = memory_ledger()
    for number, (begin, end) in enumerate(runs):
        record(conn, number, counter, list(range(begin, end + 1)))
    begin, end = sorted(ask)
    covered = {s for b, e in runs for s in range(b, e) if begin <= s < end}
    found = energy_between(conn, 1, begin * SECOND, end * SECOND)
    if not covered:
        assert found == []
    else:
        (only,) = found
        assert only.energy_uj == truth(power, covered)
        assert only.covered_ns == len(covered) * SECOND
        assert only.low_uj == only.high_uj == only.energy_uj
    conn.close()


@settings(deadline=None, max_examples=30)
@given(power=powers, runs=windows, cut=st.integers(0, LAST * 10))
def test_two_halves_of_a_span_add_up_to_the_whole(
    power: list[int], runs: list[tuple[int, int]], cut: int
) -> None:
    counter = [0, *itertools.accumulate(power)]
    conn = memory_ledger()
    for number, (begin, end) in enumerate(runs):
        record(conn, number, counter, list(range(begin, end + 1)))

    def total(begin: int, end: int) -> int:
        return sum(found.energy_uj for found in energy_between(conn, 1, begin, end))

    middle = cut * SECOND // 10
    whole = total(0, LAST * SECOND)
    assert abs(total(0, middle) + total(middle, LAST * SECOND) - whole) <= 2
    conn.close()


def test_what_one_run_missed_another_one_supplies() -> None:
    power = [10] * 10
    counter = [0, *itertools.accumulate(power)]
    conn = memory_ledger()
    record(conn, 0, counter, [0, 1, 2, 6, 7, 8, 9, 10], gaps=((2, 6),))
    (alone,) = energy_between(conn, 1, 0, 10 * SECOND)
    assert (alone.energy_uj, alone.covered_ns) == (60, 6 * SECOND)
    record(conn, 1, counter, [3, 4, 5])
    (together,) = energy_between(conn, 1, 0, 10 * SECOND)
    assert (together.energy_uj, together.covered_ns) == (80, 8 * SECOND)
    conn.close()


def test_boots_are_kept_apart_and_a_day_adds_them_up() -> None:
    conn = memory_ledger()
    for number, boot in enumerate(("boot-1", "boot-2")):
        recording = Recording(
            run_start(
                f"run-{number}",
                boot_key=boot,
                started_mono_ns=5 * SECOND,
                started_utc_ns=(1000 + 100 * number) * SECOND,
            )
        )
        handle = recording.add_stream(device(), 5 * SECOND)
        recording.sample(handle, reading(5, 0))
        recording.sample(handle, reading(15, 100))
        recording.write(conn)
    day = energy_between_utc(conn, 0, 2000 * SECOND)
    assert [found.energy_uj for found in day] == [100, 100]
    assert len({found.boot_id for found in day}) == 2
    half = energy_between_utc(conn, 1005 * SECOND, 1105 * SECOND)
    assert [found.energy_uj for found in half] == [50, 50]
    conn.close()


def test_intervals_subtract_and_add() -> None:
    assert subtract((0, 10), [(2, 3), (5, 7)]) == [(0, 2), (3, 5), (7, 10)]
    assert subtract((2, 3), [(0, 10)]) == []
    assert add([(0, 2), (5, 7)], (1, 5)) == [(0, 7)]
    assert add([(5, 7)], (0, 2)) == [(0, 2), (5, 7)]


def test_a_run_without_samples_adds_nothing(tmp_path: Path) -> None:
    conn = memory_ledger()
    recording = Recording(run_start())
    recording.add_stream(device(), 0)
    recording.write(conn)
    assert energy_between(conn, 1, 0, SECOND) == []
    conn.close()
