"""All families together: explicit zeros, staleness, what may be added up, which machine."""

from __future__ import annotations

import re

from frugalwatch.ledger.connection import memory_ledger
from frugalwatch.machine import machine_key
from frugalwatch.metrics import names
from frugalwatch.metrics.snapshot import HOLD_NS, Options, Snapshot
from tests.frugalwatch.e2e.kit import REPOSITORY
from tests.frugalwatch.ledger.kit import device
from tests.frugalwatch.metrics.kit import UTC_S, ledger, recording, told


def test_an_empty_ledger_is_told_without_devices() -> None:
    figures = told(memory_ledger())
    assert figures[names.LEDGER_READABLE][0].value == 1
    assert names.ENERGY not in figures


def test_a_new_series_is_told_as_the_zero_of_its_begin_until_a_scraper_has_come() -> None:
    conn = ledger(recording(1, range(100, 111), ended=False))
    young = told(conn, at_s=130, hold_ns=HOLD_NS)
    for name in (names.ENERGY, names.ENERGY_LOW, names.ENERGY_HIGH, names.CO2E, names.RECORDED):
        (sample,) = young[name]
        assert (sample.value, sample.at_s) == (0, UTC_S + 100), name
    (grown,) = told(conn, at_s=161, hold_ns=HOLD_NS)[names.ENERGY]
    assert (grown.value, grown.at_s) == (100, None)


def test_a_device_that_only_answered_once_has_used_nothing_yet() -> None:
    (sample,) = told(ledger(recording(1, [100], ended=False)))[names.ENERGY]
    assert sample.value == 0


def test_how_old_a_figure_is_can_be_told_from_the_last_look() -> None:
    figures = told(ledger(recording(1, range(11), ended=False)))
    assert figures[names.LAST_SAMPLE][0].value == UTC_S + 10
    assert figures[names.INTERVAL][0].value == 1


def test_what_encloses_others_is_not_counted() -> None:
    board = device("rapl:psys", domain="system", boundary="board", encloses=("cpu", "ram"))
    run = recording(1, range(11), ended=False)
    run.add_stream(board, 0)
    marks = {s.labels["device"]: s.value for s in told(ledger(run))[names.COUNTED]}
    assert marks == {"rapl:package-0": 1, "rapl:psys": 0}


def test_events_begin_at_zero_so_that_the_first_one_is_an_increase() -> None:
    kinds = {s.labels["kind"]: s.value for s in told(ledger(recording(1, range(3))))[names.EVENTS]}
    assert kinds["gap"] == kinds["daemon_restarted"] == 0


def test_of_a_merged_ledger_only_this_machine_is_told() -> None:
    mine = recording(1, range(11), 1.0, machine_key=machine_key(), boot_key="mine")
    later = recording(2, range(50, 61), 7.0, machine_key="other", boot_key="other")
    figures = told(ledger(mine, later))
    assert [s.value for s in figures[names.ENERGY]] == [10]


def test_of_a_ledger_from_elsewhere_the_machine_that_wrote_last_is_told() -> None:
    first = recording(1, range(11), 1.0, machine_key="a", boot_key="a")
    later = recording(2, range(50, 61), 7.0, machine_key="b", boot_key="b")
    assert [s.value for s in told(ledger(first, later))[names.ENERGY]] == [70]


def test_device_counters_carry_no_run() -> None:
    conn = ledger(*(recording(n, range(n * 20, n * 20 + 11)) for n in range(30)))
    figures = told(conn)
    assert len(figures[names.ENERGY]) == 1
    assert set(figures[names.ENERGY][0].labels) == set(names.DEVICE_LABELS)
    assert names.RUN_ENERGY not in figures


def test_the_reference_has_each_metric_with_its_kind_and_meaning() -> None:
    page = (REPOSITORY / "docs" / "reference" / "metrics.md").read_text()
    listed = re.findall(r"^\| `(frugalwatch_\w+)` \| (\w+) \| (.*) \|$", page, re.MULTILINE)
    conn = ledger(recording(1, range(11)))
    families = Snapshot(Options(runs=True, runs_within_s=1e9)).read(conn)
    assert sorted(listed) == sorted((f.name, f.kind, f.what) for f in families)
