"""The live grid values that runs recorded, for the chart."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from frugalwatch.screen.machine.records import GridSeries, GridValue

_LATEST = """
SELECT zone, kind, source FROM carbon_intensity ORDER BY fetched_utc_ns DESC, valid_utc_ns DESC
LIMIT 1
"""
_VALUES = """
SELECT valid_utc_ns, g_per_kwh, estimated FROM carbon_intensity
WHERE zone = ? AND kind = ? AND source = ? AND valid_utc_ns >= ? ORDER BY valid_utc_ns
"""
# A value holds until the next one, but no longer than this: sources give one at least each hour.
_HOLDS_S = 5400.0


def read_grid(connection: sqlite3.Connection, since_utc_s: float) -> GridSeries | None:
    """The values since then, of the zone and kind that was asked for last; None without any."""
    latest = connection.execute(_LATEST).fetchone()
    if latest is None:
        return None
    rows = connection.execute(_VALUES, (*latest, round(since_utc_s * 1e9))).fetchall()
    values = tuple(GridValue(ns / 1e9, grams, bool(estimate)) for ns, grams, estimate in rows)
    zone, kind, name = latest
    return GridSeries(zone, kind, name, values)


def means(values: Sequence[GridValue], edges_s: Sequence[float]) -> list[float | None]:
    """The mean of what held in each stretch between two edges; None where nothing was recorded."""
    instants = [value.utc_s for value in values]
    found: list[float | None] = []
    for begin, end in pairwise(edges_s):
        seconds, sum_ = 0.0, 0.0
        for place in range(max(0, bisect_right(instants, begin) - 1), len(values)):
            value = values[place]
            if value.utc_s >= end:
                break
            until = value.utc_s + _HOLDS_S
            if place + 1 < len(values):
                until = min(until, values[place + 1].utc_s)
            held = min(end, until) - max(begin, value.utc_s)
            if held > 0:
                seconds, sum_ = seconds + held, sum_ + held * value.g_per_kwh
        found.append(sum_ / seconds if seconds > 0 else None)
    return found
