"""The daemon's rows of minutes and shares on their way into the database, in bounded space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from frugalwatch.ledger.queue import Row, clean

# A day of 20 devices; of shares, a day of 14 workloads on two devices.
_MOST_MINUTES = 28_800
_MOST_SHARES = 40_320

_WORKLOAD = "INSERT INTO workload (kind, name) VALUES (?, ?) ON CONFLICT (kind, name) DO NOTHING"

_MINUTE = """
INSERT INTO minute (
    stream_id, t_mono_ns, since_mono_ns, energy_uj, low_uj, high_uj, above_idle_uj, idle_uj, busy_us
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (stream_id, t_mono_ns) DO NOTHING
"""

_SHARE = """
INSERT INTO share (stream_id, t_mono_ns, workload_id, busy_us, energy_uj, low_uj, high_uj)
SELECT ?1, ?2, id, ?5, ?6, ?7, ?8 FROM workload WHERE kind = ?3 AND name = ?4
ON CONFLICT (stream_id, t_mono_ns, workload_id) DO NOTHING
"""


class Minute(NamedTuple):
    """Energy of one stream over a minute, in micro-joules. `handle` is the journal's."""

    handle: int
    t_mono_ns: int
    since_mono_ns: int
    energy_uj: int
    low_uj: int
    high_uj: int
    above_idle_uj: int | None
    idle_uj: int | None
    busy_us: int | None


class Share(NamedTuple):
    """A workload's part of a stream's minute. `energy_uj` None: idle power is unknown."""

    handle: int
    t_mono_ns: int
    kind: str
    name: str
    busy_us: int
    energy_uj: int | None
    low_uj: int
    high_uj: int


class MinuteRows:
    """What no database has yet. When full, the oldest go and are counted in `dropped`."""

    def __init__(self) -> None:
        self._minutes: list[Minute] = []
        self._shares: list[Share] = []
        self.dropped = 0

    def add(self, minutes: Sequence[Minute], shares: Sequence[Share]) -> None:
        """Queue the rows of one minute."""
        self._minutes += minutes
        self._shares += (share._replace(name=clean(share.name)) for share in shares)
        for rows, most in ((self._minutes, _MOST_MINUTES), (self._shares, _MOST_SHARES)):
            surplus = len(rows) - most
            if surplus > 0:
                del rows[:surplus]
                self.dropped += surplus

    def write(
        self, stream_ids: Sequence[int | None], many: Callable[[str, Sequence[Row]], None]
    ) -> None:
        """Put what is queued into the database: `many(statement, rows)` of the caller."""
        many(_WORKLOAD, sorted({(share.kind, share.name) for share in self._shares}))
        many(_MINUTE, [(stream_ids[row.handle], *row[1:]) for row in self._minutes])
        many(_SHARE, [(stream_ids[row.handle], *row[1:]) for row in self._shares])

    def all_written(self) -> None:
        """What `write` put there was committed."""
        self._minutes.clear()
        self._shares.clear()
