"""A device's counter: never falls, counts overlap once, goes on over boots, knows its bounds."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalwatch.metrics import names
from frugalwatch.metrics.counters import DeviceCounters
from tests.frugalwatch.ledger.kit import SECOND, device
from tests.frugalwatch.metrics.kit import ledger, recording, told


def energies(conn, **how) -> dict[str, float]:
    return {s.labels["device"]: s.value for s in told(conn, **how)[names.ENERGY]}


def test_a_counter_has_all_that_was_recorded_of_a_device() -> None:
    conn = ledger(recording(1, range(11)), recording(2, range(20, 31), 5.0))
    assert energies(conn) == {"rapl:package-0": 150}


def test_runs_side_by_side_count_once() -> None:
    conn = ledger(recording(1, range(11)), recording(2, range(5, 16)))
    assert energies(conn) == {"rapl:package-0": 150}


def test_a_counter_goes_on_where_the_last_boot_left_it() -> None:
    conn = ledger(
        recording(1, range(11)),
        recording(2, range(11), boot_key="boot-2", started_utc_ns=2_000_000_000 * SECOND),
    )
    assert energies(conn) == {"rapl:package-0": 200}


def joules(counters: DeviceCounters, conn: sqlite3.Connection) -> list[int]:
    return [round(counter.energy_uj / 1e6) for counter in counters.read(conn).values()]


def test_what_is_remembered_of_recordings_that_are_over_is_what_the_ledger_says() -> None:
    conn = ledger(recording(1, range(11)), recording(2, range(5, 16)))
    counters = DeviceCounters(1)
    assert joules(counters, conn) == [150]
    recording(3, range(20, 31)).write(conn)
    assert joules(counters, conn) == [250]
    recording(4, range(25, 41), ended=False).write(conn)
    assert joules(counters, conn) == [350]
    recording(5, range(6), boot_key="boot-2", ended=False).write(conn)
    assert joules(counters, conn) == [400]
    assert counters.read(conn) == DeviceCounters(1).read(conn)


def test_a_run_that_was_deleted_is_counted_no_more() -> None:
    conn = ledger(recording(1, range(11)), recording(2, range(20, 31)))
    counters = DeviceCounters(1)
    assert joules(counters, conn) == [200]
    conn.execute("DELETE FROM stream WHERE id = 2")
    assert joules(counters, conn) == [100]


def test_an_older_recording_that_turns_up_late_is_counted() -> None:
    conn = ledger(recording(1, range(20, 31)), recording(2, range(40, 51)))
    counters = DeviceCounters(1)
    assert joules(counters, conn) == [200]
    recording(3, range(11)).write(conn)
    recording(4, range(25, 36)).write(conn)
    assert joules(counters, conn) == [350]


@settings(deadline=None, max_examples=40)
@given(
    windows=st.lists(
        st.tuples(st.integers(0, 30), st.integers(1, 12), st.booleans()), min_size=1, max_size=8
    )
)
def test_however_runs_overlap_each_second_counts_once(
    windows: list[tuple[int, int, bool]],
) -> None:
    conn = ledger(recording(0, range(2)))
    counters = DeviceCounters(1)
    covered = {0}
    for number, (begin, length, ended) in enumerate(windows, 1):
        recording(number, range(begin, begin + length + 1), ended=ended).write(conn)
        covered |= set(range(begin, begin + length))
        assert joules(counters, conn) == [10 * len(covered)]
    conn.close()


def test_a_part_of_a_device_is_not_told() -> None:
    core = device("rapl:core", part_of="rapl:package-0")
    conn = ledger(recording(1, range(11)), recording(2, range(11), device=core))
    assert energies(conn) == {"rapl:package-0": 100}


def test_bounds_are_those_of_the_samples_widened_by_the_sensors_gain() -> None:
    sensor = device(origin="derived", gain_low=0.95, gain_high=1.1)
    figures = told(ledger(recording(1, range(11), device=sensor, band=(0.5, 2.0))))
    assert figures[names.ENERGY][0].value == 100
    assert figures[names.ENERGY_LOW][0].value == 47  # 100 * 0.5 * 0.95, rounded down
    assert figures[names.ENERGY_HIGH][0].value == 221  # 100 * 2 * 1.1, rounded up
    assert figures[names.ENERGY][0].labels["origin"] == "derived"


def test_a_gap_is_told_in_seconds_and_its_energy_in_no_figure() -> None:
    run = recording(1, range(31))
    run.events.add((0, "gap", "lost", 10 * SECOND, 20 * SECOND, 1, ""))
    figures = told(ledger(run))
    assert figures[names.GAPS][0].value == 10
    assert figures[names.RECORDED][0].value == 20
    assert figures[names.ENERGY][0].value == 200
    assert {s.labels["kind"]: s.value for s in figures[names.EVENTS]}["gap"] == 1


def test_a_gap_of_one_run_that_another_saw_is_none() -> None:
    run = recording(1, range(31))
    run.events.add((0, "gap", "lost", 10 * SECOND, 20 * SECOND, 1, ""))
    figures = told(ledger(run, recording(2, range(5, 26))))
    assert figures[names.GAPS][0].value == 0
    assert figures[names.ENERGY][0].value == 300


def test_carbon_is_that_of_the_factor_and_the_pue_of_its_time() -> None:
    other = recording(2, range(20, 31), carbon=None)
    figures = told(ledger(recording(1, range(3601), 1000.0, pue=1.5), other))
    (grams,) = figures[names.CO2E]
    assert grams.value == pytest.approx(36.0 * 1.5, abs=0.001)  # a kilowatt-hour
    assert grams.labels["zone"] == "FR"
    (factor,) = figures[names.CARBON_INTENSITY]
    assert factor.value == pytest.approx(1e-5)
    assert factor.labels["assumed"] == "false"


def test_the_fineness_of_the_figures_is_a_joule() -> None:
    figures = told(ledger(recording(1, range(11), 0.777)))
    assert figures[names.ENERGY][0].value == 7
    for name in (names.ENERGY_LOW, names.ENERGY_HIGH):
        assert figures[name][0].value == int(figures[name][0].value)
    assert round(figures[names.CO2E][0].value * 1e6) % 1000 == 0  # milligrams
