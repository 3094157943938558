"""What is known about a machine's watts, through the ledger and back."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator

import pytest

from collectors.band import Band
from collectors.calibration import ToldPower
from frugalwatch.ledger.calibrations import (
    MACHINE_DEVICE,
    clear_calibration,
    ensure_machine,
    load_calibration,
    machine_id,
    save_calibration,
    workloads_from,
)
from frugalwatch.ledger.connection import memory_ledger

WORKLOADS: dict[str, object] = {
    "schema": "frugalwatch.workload-calibration/1",
    "cpu": {"family_key": "Ice Lake", "name": "Xeon 8380", "threads": 160},
    "boundary": "die",
    "encloses": ["cpu", "ram"],
    "idle_w": 160.0,
    "work": {"scalar": 2.0, "memory": 2.6},
}


@pytest.fixture
def ledger() -> Iterator[sqlite3.Connection]:
    connection = memory_ledger()
    yield connection
    connection.close()


def save(
    connection: sqlite3.Connection,
    device: str,
    kind: str,
    value: dict[str, object],
    origin: str,
    *,
    at: int = 1,
) -> None:
    machine = ensure_machine(connection, "key", "host")
    save_calibration(
        connection,
        machine,
        device,
        kind=kind,  # type: ignore[arg-type]
        value=value,
        origin=origin,  # type: ignore[arg-type]
        made_utc_ns=at,
    )


def load(connection: sqlite3.Connection):  # type: ignore[no-untyped-def]
    return load_calibration(connection, machine_id(connection, "key"))


def test_nothing_known_is_none(ledger: sqlite3.Connection) -> None:
    assert load(ledger) is None
    ensure_machine(ledger, "key", "host")
    assert load(ledger) is None


def test_each_kind_comes_back(ledger: sqlite3.Connection) -> None:
    save(ledger, MACHINE_DEVICE, "idle", {"idle_w": 38.0}, "told")
    save(ledger, MACHINE_DEVICE, "full_load", {"full_w": 145.0}, "told")
    save(
        ledger, "rapl:package-0", "idle", {"idle_w": 9.0, "low_w": 8.0, "high_w": 11.0}, "measured"
    )
    save(ledger, MACHINE_DEVICE, "workloads", WORKLOADS, "imported")
    known = load(ledger)
    assert known.told == ToldPower(38.0, 145.0)
    assert known.idle_w == {"rapl:package-0": Band(9.0, 8.0, 11.0)}
    assert known.workloads == workloads_from(WORKLOADS)


def test_the_newest_of_each_kind_counts(ledger: sqlite3.Connection) -> None:
    save(ledger, MACHINE_DEVICE, "idle", {"idle_w": 50.0}, "told", at=2)
    save(ledger, MACHINE_DEVICE, "idle", {"idle_w": 38.0}, "told", at=1)
    assert load(ledger).told == ToldPower(50.0, None)


def test_another_machine_is_another_matter(ledger: sqlite3.Connection) -> None:
    save(ledger, MACHINE_DEVICE, "idle", {"idle_w": 50.0}, "told")
    other = ensure_machine(ledger, "other", "host2")
    assert load_calibration(ledger, other) is None
    assert clear_calibration(ledger, other) == 0
    assert clear_calibration(ledger, machine_id(ledger, "key") or 0) == 1
    assert load(ledger) is None


@pytest.mark.parametrize(
    "value",
    [
        "junk",
        "{}",
        "[]",
        "null",
        '{"idle_w": "38"}',
        '{"idle_w": -1}',
        '{"idle_w": true}',
        '{"idle_w": NaN}',
    ],
)
def test_a_row_that_cannot_be_understood_is_left_out(
    ledger: sqlite3.Connection, value: str
) -> None:
    save(ledger, MACHINE_DEVICE, "full_load", {"full_w": 145.0}, "told")
    save(ledger, MACHINE_DEVICE, "idle", {"idle_w": 1.0}, "told")
    ledger.execute("UPDATE calibration SET value = ? WHERE kind = 'idle'", (value,))
    assert load(ledger).told == ToldPower(None, 145.0)


@pytest.mark.parametrize(
    "change",
    [
        {"work": {}},
        {"work": []},
        {"work": {"scalar": "2"}},
        {"idle_w": -1.0},
        {"boundary": "moon"},
        {"cpu": {"family_key": "x", "name": "y", "threads": 0}},
        {"cpu": {"name": "y", "threads": 4}},
        {"encloses": "cpu"},
    ],
)
def test_a_damaged_workload_file_is_refused(change: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        workloads_from(WORKLOADS | change)


def test_reading_it_loads_nothing_heavy() -> None:
    program = (
        "import sys, frugalwatch.ledger.calibrations, collectors.cpu_model, collectors.ram_model\n"
        "print(sorted({'sqlite_utils', 'textual', 'rich', 'jinja2', 'numpy', 'torch', 'csv',"
        " 'subprocess', 'pathlib', 'importlib.metadata', 'logging', 'json'} & set(sys.modules)))"
    )
    loaded = subprocess.run(
        [sys.executable, "-S", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": "."},
    )
    assert loaded.stdout.strip() == "[]"
