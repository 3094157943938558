"""The recordings behind a device's counter: which there are, and when they were made."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from frugalwatch.metrics.names import DEVICE_LABELS

# A recording of which nobody wrote an end may go on for ever.
_OPEN_END = 1 << 62
# The last look at a device may come a moment after the job's end.
_AFTER_END_NS = 10_000_000_000

# Sub-zones stay in the ledger: they are inside their parent, and a sum must not count them twice.
_SERIES = """
SELECT DISTINCT d.key, d.domain, d.boundary, s.origin FROM stream s
JOIN device d ON d.id = s.device_id JOIN machine m ON m.id = d.machine_id
WHERE d.part_of IS NULL AND (:machine IS NULL OR m.machine_key = :machine)
ORDER BY d.key, s.origin
"""

_STREAMS = """
SELECT s.id, b.boot_key, s.run_id, r.started_mono_ns, r.started_utc_ns
FROM stream s JOIN device d ON d.id = s.device_id JOIN machine m ON m.id = d.machine_id
JOIN boot b ON b.id = s.boot_id JOIN run r ON r.id = s.run_id
WHERE d.part_of IS NULL AND (:machine IS NULL OR m.machine_key = :machine)
AND d.key = :device AND d.domain = :domain AND d.boundary = :boundary AND s.origin = :origin
AND b.boot_key = :boot AND coalesce(r.ended_mono_ns + :after, :open) > :until
ORDER BY s.opened_mono_ns, s.id
"""

_BOOTS = """
SELECT DISTINCT b.id, b.boot_key FROM boot b JOIN machine m ON m.id = b.machine_id
WHERE :machine IS NULL OR m.machine_key = :machine ORDER BY b.id
"""


class WallClock(NamedTuple):
    """Places one recording's monotonic times on the wall clock.

    A clock that somebody set was wrong before, so its last setting holds for the whole recording;
    a sleep of the machine moves what came after it.
    """

    offset_ns: int  # before any sleep
    sleeps: tuple[tuple[int, int], ...] = ()  # (until when on the monotonic clock, how long)

    def utc_ms(self, t_mono_ns: int) -> int:
        """Unix time in milliseconds."""
        slept = sum(length for until, length in self.sleeps if until <= t_mono_ns)
        return (t_mono_ns + self.offset_ns + slept) // 1_000_000


class Stream(NamedTuple):
    """One recording of a device."""

    stream_id: int
    clock: WallClock


def device_series(conn: sqlite3.Connection, machine: str | None) -> list[dict[str, str]]:
    """Labels of every device counter of this machine (None: of every one in the ledger)."""
    rows = conn.execute(_SERIES, {"machine": machine})
    return [dict(zip(DEVICE_LABELS, row, strict=True)) for row in rows]


def boots(conn: sqlite3.Connection, machine: str | None) -> list[str]:
    """Keys of the boots in the ledger, the earliest first."""
    return [row[1] for row in conn.execute(_BOOTS, {"machine": machine})]


def streams(
    conn: sqlite3.Connection,
    labels: dict[str, str],
    boot_key: str,
    *,
    machine: str | None,
    until_mono_ns: int,
    clocks: dict[int, WallClock],
) -> list[Stream]:
    """Recordings of a device in one boot that may go beyond an instant, in order of their start.

    `clocks` keeps what was found of each run.
    """
    values = {
        **labels,
        "machine": machine,
        "boot": boot_key,
        "until": until_mono_ns,
        "after": _AFTER_END_NS,
        "open": _OPEN_END,
    }
    found = []
    for stream_id, _, run_id, mono_ns, utc_ns in conn.execute(_STREAMS, values).fetchall():
        if run_id not in clocks:
            clocks[run_id] = wall_clock(conn, run_id, utc_ns - mono_ns)
        found.append(Stream(stream_id, clocks[run_id]))
    return found


def wall_clock(conn: sqlite3.Connection, run_id: int, offset_ns: int) -> WallClock:
    """How a run's times lie on the wall clock, by its start and what it noticed of the clocks."""
    rows = conn.execute(
        "SELECT kind, t_mono_ns, detail FROM event"
        " WHERE run_id = ? AND kind IN ('clock_step', 'suspended') ORDER BY t_mono_ns",
        (run_id,),
    ).fetchall()
    steps = sum(_amount_ns(detail) for kind, _, detail in rows if kind == "clock_step")
    sleeps = tuple((t, _amount_ns(detail)) for kind, t, detail in rows if kind == "suspended")
    return WallClock(offset_ns + steps, sleeps)


def labels_text(labels: dict[str, str]) -> str:
    """The labels as the ledger keeps them."""
    return json.dumps(labels, sort_keys=True, ensure_ascii=False)


def segments(
    conn: sqlite3.Connection, found: Iterable[Stream], until_mono_ns: int | None
) -> list[tuple[int, int, Stream]]:
    """When each recording knew the device's energy, beyond an instant: (from, to, recording)."""
    from frugalwatch.ledger.union import recorded

    begin = -1 if until_mono_ns is None else until_mono_ns
    return [
        (start, end, stream)
        for stream in found
        for start, end in recorded(conn, stream.stream_id, begin, _OPEN_END)
    ]


def _amount_ns(detail: str) -> int:
    """`+12.3 s`, as the sampler writes it; 0 for anything else."""
    try:
        return round(float(detail.partition(" ")[0]) * 1e9)
    except ValueError:
        return 0
