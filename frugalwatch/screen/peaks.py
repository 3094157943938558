"""The highest power that a stream showed, looked for in small portions: a month has millions.

Cumulative samples are read once each. Until a long run's beginning has been gone through, the
figure is the least that the peak can be, and says so.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

# Of one look and stream: 2 ms, and a run of ten hours is gone through in half a minute.
_ROWS = 1_500
# Two looks closer to each other than this show the ticks of a counter and no power.
_SHORTEST_NS = 20_000_000

_HIGHEST = """
SELECT max((energy_uj - before) * 1.0 / (t_mono_ns - t)), max(t_mono_ns), count(*) FROM (
    SELECT t_mono_ns, energy_uj, lag(energy_uj) OVER w AS before, lag(t_mono_ns) OVER w AS t
    FROM (SELECT t_mono_ns, energy_uj FROM sample WHERE stream_id = :stream
          AND t_mono_ns >= :since ORDER BY t_mono_ns LIMIT :rows)
    WINDOW w AS (ORDER BY t_mono_ns)
) WHERE t IS NULL OR t_mono_ns - t >= :shortest
"""


class Peak(NamedTuple):
    """The highest mean power between two neighbouring samples, in watts.

    `complete` is False while older samples wait to be looked through.
    """

    power_w: float
    complete: bool


class PeakScan:
    """Follows one stream's peak."""

    def __init__(self) -> None:
        self._highest = 0.0  # micro-joules a nanosecond, which are kilowatts
        self._since_ns = 0
        self._seen = False

    def look(
        self, connection: sqlite3.Connection, stream_id: int, rows: int = _ROWS
    ) -> Peak | None:
        """Go on where the last look ended; None before there are two samples."""
        values = {
            "stream": stream_id,
            "since": self._since_ns,
            "rows": rows,
            "shortest": _SHORTEST_NS,
        }
        highest, last_ns, count = connection.execute(_HIGHEST, values).fetchone()
        if highest is not None:
            self._highest, self._seen = max(self._highest, highest), True
        if last_ns is not None:
            self._since_ns = last_ns
        return Peak(self._highest * 1e3, complete=count < rows) if self._seen else None
