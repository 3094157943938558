"""The grid factor and the prices that a run was started with, whoever asks for it later."""

from __future__ import annotations

import json
import sqlite3

from frugalwatch.carbon.grid import GridFactor, from_json, resolve_or_world
from frugalwatch.config.settings import Settings


def started_with(
    connection: sqlite3.Connection, run_key: str, settings: Settings
) -> tuple[GridFactor, Settings]:
    """The run's own factor, and `settings` with its PUE and price; today's where none is stored."""
    row = connection.execute(
        "SELECT carbon, pue, price_per_kwh, currency FROM run WHERE run_key = ?", (run_key,)
    ).fetchone()
    if row is None:
        return resolve_or_world(settings)[0], settings
    carbon, pue, price, currency = row
    own = settings._replace(
        pue=pue, price_per_kwh=price, currency=settings.currency if currency is None else currency
    )
    try:
        return from_json(json.loads(carbon)), own
    except (TypeError, ValueError, KeyError):  # none stored, or by an older FrugalWatch
        return resolve_or_world(settings)[0], own
