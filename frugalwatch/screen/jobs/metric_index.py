"""What each run reported, by name: last, least and largest value, read once and in pieces.

Rows of table `metric` are only ever added, so reading on from the last id keeps this up to date.
A look reads at most so many rows that it takes some milliseconds; `share` says how far it is.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

# 20 000 rows take about 25 ms on an old core.
_ROWS_A_LOOK = 20_000
_NEXT = """
SELECT id, run_id, name, value FROM metric WHERE id > ? ORDER BY id LIMIT ?
"""


class Reported(NamedTuple):
    """One metric of one run; None where the job only ever said `not a number`."""

    last: float | None
    least: float | None
    most: float | None


class MetricIndex:
    """Metrics by run, as far as they were read."""

    def __init__(self) -> None:
        self._by_run: dict[int, dict[str, Reported]] = {}
        self._read_to = 0
        self._newest = 0

    def advance(self, connection: sqlite3.Connection, rows: int = _ROWS_A_LOOK) -> bool:
        """Read on; whether all is read."""
        newest = connection.execute("SELECT max(id) FROM metric").fetchone()[0] or 0
        if newest < self._read_to:  # another file is in its place, or runs were removed
            self._by_run, self._read_to = {}, 0
        self._newest = newest
        for id_, run, name, value in connection.execute(_NEXT, (self._read_to, rows)):
            self._read_to = id_
            metrics = self._by_run.setdefault(run, {})
            metrics[name] = _with(metrics.get(name), value)
        return self._read_to >= newest

    @property
    def share(self) -> float:
        """How much is read, 0 to 1."""
        return 1.0 if not self._newest else min(1.0, self._read_to / self._newest)

    def of(self, run: int) -> dict[str, Reported]:
        """The metrics of one run."""
        return self._by_run.get(run, {})


def _with(before: Reported | None, value: float | None) -> Reported:
    if before is None or before.least is None or before.most is None:
        return Reported(value, value, value)
    if value is None:
        return before._replace(last=None)
    return Reported(value, min(before.least, value), max(before.most, value))
