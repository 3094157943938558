"""The run object of a recorded run: as it was printed at its end, or worked out now."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from frugalwatch.config.settings import Settings
from frugalwatch.errors import NotFoundError


def run_document(
    connection: sqlite3.Connection, number: int, settings: Settings
) -> tuple[dict[str, Any], bool]:
    """The run object of one run, and whether it is final. Any: it is JSON.

    A run that goes on, or that nobody settled yet, is computed from what is there: final it is
    not. Raises NotFoundError, sqlite3.Error.
    """
    row = connection.execute(
        "SELECT run_key, state, result FROM run WHERE id = ?", (number,)
    ).fetchone()
    if row is None:
        raise NotFoundError(f"no run called '{number}'", hint="frugalwatch runs")
    key, state, text = row
    stored = json.loads(text) if text and state != "running" else None
    if isinstance(stored, dict):
        # A number is this ledger's own; a run that was merged in has another one here.
        return {**stored, "number": number}, True
    from frugalwatch.report.settle import settle_run
    from frugalwatch.report.started_with import started_with

    factor, own = started_with(connection, key, settings)
    document, _ = settle_run(connection, key, factor, own)
    return {**document, "number": number}, False
