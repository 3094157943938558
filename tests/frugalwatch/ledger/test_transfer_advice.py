"""Advice that goes from one ledger into another, and what refers to it by its number."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from frugalwatch.ledger.advice import find_advice, list_advice
from frugalwatch.ledger.connection import open_ledger
from frugalwatch.ledger.inbox import publish
from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.merge import merge_ledgers
from frugalwatch.ledger.transfer import copy_run
from tests.frugalwatch.ledger.advice_kit import add_advice, add_trial, add_verification
from tests.frugalwatch.ledger.kit import Notices, one, run_end, run_start


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "here.db"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there.db"


def opened(path: Path) -> sqlite3.Connection:
    return open_ledger(str(path), create=True)


def run_with(path: Path, key: str, advice: str | None = None) -> None:
    """A finished run, started with that advice."""
    journal = Journal(str(path), notify=Notices(), fallback_dirs=())
    environment = {} if advice is None else {"FRUGALWATCH_ADVICE": advice}
    journal.open_run(run_start(key, environment=environment))
    journal.finish(run_end(101))
    journal.close()


def applied(path: Path, key: str) -> str | None:
    environment = one(path, f"SELECT environment FROM run WHERE run_key = '{key}'")
    found: str | None = json.loads(environment)["FRUGALWATCH_ADVICE"]
    return found


def test_advice_arrives_with_its_replays_and_verifications(here: Path, there: Path) -> None:
    source = opened(there)
    number = add_advice(source, "20250101-aaaa")
    add_verification(source, number)
    source.close()
    merge_ledgers(str(here), [str(there)])
    assert one(here, "SELECT count(*) FROM trial WHERE verification_id IS NULL") == 1
    assert one(here, "SELECT count(*) FROM trial WHERE verification_id IS NOT NULL") == 1
    assert one(here, "SELECT verdict FROM verification") == "held"


def test_merging_twice_changes_nothing(here: Path, there: Path) -> None:
    source = opened(there)
    add_verification(source, add_advice(source, "20250101-aaaa"))
    source.close()
    before = None
    for _ in range(2):
        merge_ledgers(str(here), [str(there)])
        conn = sqlite3.connect(here)
        now = [conn.execute(f"SELECT * FROM {table} ORDER BY id").fetchall() for table in
               ("advice", "verification", "trial")]  # fmt: skip
        conn.close()
        assert before in (None, now)
        before = now


def test_advice_is_called_by_its_number_here(here: Path, there: Path) -> None:
    target = opened(here)
    add_advice(target, "20250101-aaaa")
    target.close()
    source = opened(there)
    add_advice(source, "20250102-bbbb")
    source.close()
    merge_ledgers(str(here), [str(there)])
    conn = opened(here)
    found, _ = find_advice(conn, "20250102-b")
    assert (found.name, found.result["advice"]) == ("A2", "A2")
    assert [advice.name for advice in list_advice(conn)] == ["A2", "A1"]
    conn.close()


def test_runs_that_used_an_advice_name_it_by_its_number_here(here: Path, there: Path) -> None:
    target = opened(here)
    add_advice(target, "20250101-aaaa")
    target.close()
    source = opened(there)
    add_advice(source, "20250102-bbbb")
    source.close()
    run_with(there, "run-1", "A1.2")
    run_with(here, "run-2", "A1.1")
    merge_ledgers(str(here), [str(there)])
    assert applied(here, "run-1") == "A2.2"
    assert applied(here, "run-2") == "A1.1"


def test_a_run_of_advice_that_did_not_come_along_names_none(here: Path, there: Path) -> None:
    run_with(there, "run-1", "A7.1")
    opened(here).close()
    merge_ledgers(str(here), [str(there)])
    assert applied(here, "run-1") is None


def test_a_finished_advice_replaces_one_that_was_still_being_made(here: Path, there: Path) -> None:
    target = opened(here)
    number = add_advice(target, "20250101-aaaa", {}, state="running")
    add_verification(target, number, None)
    target.close()
    source = opened(there)
    number = add_advice(source, "20250101-aaaa")
    add_trial(source, number)
    add_verification(source, number, "not_held")
    source.close()
    merge_ledgers(str(here), [str(there)])
    assert one(here, "SELECT state FROM advice") == "done"
    assert one(here, "SELECT count(*) FROM trial WHERE verification_id IS NULL") == 2
    assert one(here, "SELECT verdict FROM verification") == "not_held"
    assert one(here, "SELECT count(*) FROM verification") == 1
    # And not the other way round.
    merge_ledgers(str(there), [str(here)])
    assert one(there, "SELECT count(*) FROM trial") == 3


def test_the_run_that_was_replayed_is_found_again(here: Path, there: Path) -> None:
    run_with(there, "run-9")
    source = opened(there)
    run = one(source, "SELECT id FROM run")
    add_advice(source, "20250101-aaaa", run_id=run)
    source.close()
    run_with(here, "run-1")
    merge_ledgers(str(here), [str(there)])
    key = one(here, "SELECT run_key FROM advice JOIN run ON run.id = advice.run_id")
    assert key == "run-9"


def test_replacing_a_run_keeps_the_advice_made_on_it(here: Path, there: Path) -> None:
    """It refers to the run: replacing that must neither fail nor lose it."""
    run_with(here, run_start().run_key)
    target = opened(here)
    add_advice(target, "20250101-aaaa", run_id=one(target, "SELECT id FROM run"))
    target.execute("UPDATE run SET state = 'running'")
    target.close()
    run_with(there, run_start().run_key)
    assert merge_ledgers(str(here), [str(there)]).replaced == (run_start().run_key,)
    state = one(here, "SELECT run.state FROM advice JOIN run ON run.id = advice.run_id")
    assert state == "done"


def test_a_run_is_published_with_the_advice_it_used(tmp_path: Path, there: Path) -> None:
    source = opened(there)
    add_advice(source, "20250101-aaaa")
    add_advice(source, "20250102-bbbb")
    source.close()
    run_with(there, "run-1", "A2.1")
    conn = opened(there)
    file = publish(conn, "run-1", str(tmp_path / "inbox"))
    conn.close()
    assert one(file, "SELECT advice_key FROM advice") == "20250102-bbbb"
    assert applied(Path(file), "run-1") == "A1.1"


def test_a_run_alone_can_be_copied_without_advice(here: Path, there: Path) -> None:
    run_with(there, "run-1", "A2.1")
    source, target = opened(there), opened(here)
    assert copy_run(source, target, "run-1")
    source.close()
    target.close()
