"""Stored advice for other programs: whole documents, or a row for each recommendation."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator

from frugalwatch.ledger.advice_history import (
    Cell,
    Use,
    Verification,
    recommendation_rows,
    uses,
    verifications,
)

_STORED = "SELECT id, advice_key, state, result FROM advice ORDER BY started_utc_ns, id"


def advice_documents(conn: sqlite3.Connection) -> Iterator[dict[str, object]]:
    """frugalwatch.advice/1 of each, the oldest first, with its verifications and its runs.

    An advice that came to no end has only its key, its number and its state.
    """
    for number, key, state, found, verified, used in _stored(conn):
        yield {
            **found,
            "advice": f"A{number}",
            "advice_key": key,
            "state": state,
            "verifications": [one._asdict() for one in verified],
            "runs_with_it": [
                {"run": use.run, "run_id": use.run_key, "recommendation": use.recommendation}
                for use in used
            ],
        }


def advice_rows(conn: sqlite3.Connection) -> Iterator[dict[str, Cell]]:
    """A row for each recommendation, the oldest advice first."""
    for number, key, _, found, verified, used in _stored(conn):
        yield from recommendation_rows(f"A{number}", key, found, verified, used)


def _stored(
    conn: sqlite3.Connection,
) -> Iterator[tuple[int, str, str, dict[str, object], list[Verification], list[Use]]]:
    all_verified, all_used = verifications(conn), list(uses(conn))
    for number, key, state, text in conn.execute(_STORED).fetchall():
        found = json.loads(text) if text else {}
        verified = [one for one in all_verified if one.advice == number]
        used = [one for one in all_used if one.advice == number]
        yield number, key, state, found, verified, used
