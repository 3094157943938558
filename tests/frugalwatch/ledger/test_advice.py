"""Finding stored advice by the names that people type."""

from __future__ import annotations

import json
import sqlite3

import pytest

from frugalwatch.errors import NotFoundError, UsageError
from frugalwatch.ledger.advice import find_advice, list_advice, recommended
from frugalwatch.ledger.connection import memory_ledger


@pytest.fixture
def ledger() -> sqlite3.Connection:
    conn = memory_ledger()
    conn.execute("INSERT INTO machine (id, machine_key, hostname) VALUES (1, 'm', 'h')")
    changes = [
        {"number": 1, "name": "both", "change": {"set": {"A": "1", "B": "2"}, "unset": ["C"]}},
        {"number": 2, "name": "one", "change": {"set": {"A": "1"}, "unset": []}},
    ]
    for number, (key, result) in enumerate(
        [
            ("20260101-000000-aaaa", json.dumps({"recommendations": changes})),
            ("20260102-000000-bbbb", json.dumps({"recommendations": []})),
            ("20260102-000001-cccc", None),
        ],
        start=1,
    ):
        conn.execute(
            "INSERT INTO advice (id, advice_key, machine_id, state, command, command_hash, cwd,"
            " seed, started_utc_ns, result) VALUES (?, ?, 1, 'done', '[\"x\"]', '', '/', 0, ?, ?)",
            (number, key, number, result),
        )
    return conn


@pytest.mark.parametrize(("name", "number"), [("A1", 1), ("a1", 1), ("1", 1), ("last", 3)])
def test_names_of_advice(ledger: sqlite3.Connection, name: str, number: int) -> None:
    assert find_advice(ledger, name)[0].id == number


def test_a_part_is_named_after_a_dot(ledger: sqlite3.Connection) -> None:
    advice, part = find_advice(ledger, "A1.2")
    assert recommended(advice, part).name == "one"
    assert recommended(advice, None).name == "both"


def test_key_prefix_must_be_the_only_one(ledger: sqlite3.Connection) -> None:
    assert find_advice(ledger, "20260101-")[0].id == 1
    with pytest.raises(UsageError, match="several"):
        find_advice(ledger, "20260102-")


@pytest.mark.parametrize("name", ["A9", "x", "nothing", "A1.2.3", "A1.x"])
def test_unknown_names_are_refused(ledger: sqlite3.Connection, name: str) -> None:
    with pytest.raises((NotFoundError, UsageError)):
        find_advice(ledger, name)


@pytest.mark.parametrize("name", ["A1.3", "A2", "A3"])
def test_what_was_not_recommended_cannot_be_applied(ledger: sqlite3.Connection, name: str) -> None:
    advice, part = find_advice(ledger, name)
    with pytest.raises(NotFoundError):
        recommended(advice, part)


def test_a_change_sets_and_removes(ledger: sqlite3.Connection) -> None:
    change = recommended(*find_advice(ledger, "A1"))
    assert change.applied_to({"A": "0", "C": "3", "D": "4"}) == {"A": "1", "B": "2", "D": "4"}


def test_latest_advice_is_listed_first(ledger: sqlite3.Connection) -> None:
    assert [a.name for a in list_advice(ledger)] == ["A3", "A2", "A1"]
