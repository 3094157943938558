"""The power of a whole run by column, from the few samples around each column's edges."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugalwatch.ledger.reading import open_reader
from frugalwatch.report.devices import read_rows
from frugalwatch.report.window import Span
from frugalwatch.screen.one_run.whole_trace import edges_of, read_gaps, read_power
from tests.frugalwatch.ledger.kit import SECOND
from tests.frugalwatch.screen.kit import CPU, LiveRun, World

COLUMNS = 50


def power(path: Path, begin_s: float, end_s: float, columns: int = COLUMNS) -> list[float | None]:
    window = Span(round(begin_s * SECOND), round(end_s * SECOND))
    connection = open_reader(str(path))
    try:
        found = read_power(
            connection,
            read_rows(connection, 1),
            read_gaps(connection, 1, window.end),
            edges_of(window, columns),
            SECOND,
            thinned=False,
        )
    finally:
        connection.close()
    return list(found[CPU.key])


@pytest.mark.parametrize("columns", [50, 400])  # by samples at the edges, and by all of them
def test_a_silence_that_no_event_tells_of_is_a_hole_and_no_bridge(
    tmp_path: Path, columns: int
) -> None:
    world = World(0)
    run = LiveRun(tmp_path / "l.db", world)
    run.go(400, {CPU.key: 60.0})
    world.second += 200
    run.go(400, {CPU.key: 30.0})
    found = power(tmp_path / "l.db", 0, 1000, columns)
    part = columns // 10
    assert found[: 4 * part - 1] == pytest.approx([60.0] * (4 * part - 1))
    assert found[4 * part + 1 : 6 * part - 1] == [None] * (2 * part - 2)
    assert found[6 * part + 1 :] == pytest.approx([30.0] * (4 * part - 1))


def test_columns_are_exact_means_and_add_up_to_the_energy(tmp_path: Path) -> None:
    world = World(0)
    run = LiveRun(tmp_path / "l.db", world)
    for second in range(600):
        run.go(1, {CPU.key: 10.0 + second % 7})
    found = power(tmp_path / "l.db", 0, 600)
    assert None not in found
    total_j = sum(watts * 600 / COLUMNS for watts in found if watts is not None)
    assert total_j == pytest.approx(run.energy_uj[CPU.key] / 1e6, abs=0.01)


def test_a_stretch_of_the_run_has_the_power_of_that_stretch(tmp_path: Path) -> None:
    world = World(0)
    run = LiveRun(tmp_path / "l.db", world)
    run.go(300, {CPU.key: 60.0})
    run.go(300, {CPU.key: 30.0})
    assert power(tmp_path / "l.db", 310, 590) == pytest.approx([30.0] * COLUMNS)


def test_more_columns_than_nanoseconds_are_not_made() -> None:
    assert edges_of(Span(5, 8), 100) == [5, 6, 7, 8]
