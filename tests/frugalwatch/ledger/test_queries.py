from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_utils.db import Database

from frugalwatch.errors import NotFoundError, UsageError
from frugalwatch.ledger.connection import memory_ledger
from frugalwatch.ledger.database import database
from frugalwatch.ledger.queries import earlier_runs, find_run, list_runs, stored_result
from frugalwatch.ledger.recording import Recording
from tests.frugalwatch.ledger.kit import REPOSITORY, SECOND, run_end, run_start


@pytest.fixture
def db() -> Iterator[Database]:
    """Runs 1 to 5, an hour apart; the third still goes on, the fifth died of a signal."""
    conn = memory_ledger()
    for number in range(1, 6):
        recording = Recording(
            run_start(
                f"2025010{number}T0000-{'abcde'[number - 1]}",
                command=("python", "train.py" if number % 2 else "50%_off.py", f"--seed={number}"),
                command_hash=f"hash-{number % 2}",
                started_utc_ns=number * 3600 * SECOND,
            )
        )
        if number == 5:
            recording.end = run_end(state="killed", exit_code=137, exit_signal=9)
        elif number != 3:
            recording.end = run_end(100 + number)
        recording.write(conn)
    conn.execute("UPDATE run SET energy_uj = 1500000, result = '{\"number\": 7}' WHERE id = 1")
    yield database(conn)
    conn.close()


def numbers(rows: list[object]) -> list[int]:
    return [row.number for row in rows]  # type: ignore[attr-defined]


def test_runs_come_latest_first_with_units_converted(db: Database) -> None:
    rows = list_runs(db)
    assert numbers(rows) == [5, 4, 3, 2, 1]
    assert rows[-1].energy_j == 1.5
    assert rows[-1].duration_s == 1.0
    assert rows[0].energy_j is None
    assert rows[0].exit_code == 137
    assert rows[0].command == ("python", "train.py", "--seed=5")


def test_filters_narrow_the_list(db: Database) -> None:
    assert numbers(list_runs(db, state="done")) == [4, 2, 1]
    assert numbers(list_runs(db, text="train.py --seed")) == [5, 3, 1]
    assert numbers(list_runs(db, text="50%_off")) == [4, 2]
    assert numbers(list_runs(db, text="50__off")) == [], "_ and % stand for themselves"
    assert numbers(list_runs(db, limit=2)) == [5, 4]
    assert numbers(list_runs(db, since_utc_s=4 * 3600)) == [5, 4]


def test_a_run_is_found_by_number_key_or_place_from_the_end(db: Database) -> None:
    assert find_run(db, "2").number == 2
    assert find_run(db, "last").number == 5
    assert find_run(db, "-1").number == 5
    assert find_run(db, "-5").number == 1
    assert find_run(db, "20250104").number == 4
    assert find_run(db, "20250104T0000-d").number == 4


@pytest.mark.parametrize("name", ["6", "-6", "-0", "nothing", "", "%%%%", "2025x", "9" * 30, "202"])
def test_a_run_that_is_not_there_says_where_to_look(db: Database, name: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        find_run(db, name)
    assert caught.value.hint == "frugalwatch runs"


def test_a_beginning_of_several_keys_is_refused(db: Database) -> None:
    with pytest.raises(UsageError, match="several runs"):
        find_run(db, "2025")


def test_earlier_runs_are_finished_ones_of_the_same_command(db: Database) -> None:
    assert numbers(earlier_runs(db, 5)) == [1]
    assert numbers(earlier_runs(db, 4)) == [2]
    assert earlier_runs(db, 1) == []


def test_the_stored_result_is_what_was_printed(db: Database) -> None:
    assert stored_result(db, 1) == {"number": 7}
    assert stored_result(db, 2) is None


def test_reading_loads_neither_numpy_nor_pandas_and_does_not_spoil_them(tmp_path: Path) -> None:
    script = (
        "import sqlite3, sys\n"
        "from frugalwatch.ledger.database import database\n"
        "database(sqlite3.connect(':memory:'))\n"
        "assert 'sqlite_utils' in sys.modules\n"
        "assert not {'numpy', 'pandas'} & set(sys.modules), 'hidden'\n"
        "import importlib.util\n"
        "print(importlib.util.find_spec('numpy') is None)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_writing_side_loads_none_of_sqlite_utils() -> None:
    script = (
        "import sys\n"
        "import frugalwatch.ledger.journal, frugalwatch.ledger.recover\n"
        "heavy = {'sqlite_utils', 'numpy', 'click', 'pathlib', 'logging', 'tempfile', 'shutil'}\n"
        "print(heavy & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"
