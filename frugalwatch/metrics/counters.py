"""A device's counter: all that the ledger ever recorded of it, overlap counted once.

Recordings of runs that went on side by side are united, and those of all boots are added up: the
figure never falls, whatever was restarted.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from frugalwatch.ledger.union import Interval, add, energy_at, recorded, subtract

_OPEN_END = 1 << 62
_UJ_PER_KWH = 3.6e12

_STREAMS = """
SELECT s.id, d.key, d.domain, d.boundary, s.origin, s.gain_low, s.gain_high, s.opened_mono_ns,
       r.started_utc_ns - r.started_mono_ns, r.carbon, r.pue
FROM stream s JOIN device d ON d.id = s.device_id JOIN run r ON r.id = s.run_id
WHERE s.boot_id = ? AND d.part_of IS NULL ORDER BY s.opened_mono_ns, s.id
"""

_BOOTS = """
SELECT boot.id, (SELECT count(*) FROM stream WHERE stream.boot_id = boot.id),
       EXISTS (SELECT 1 FROM run WHERE run.boot_id = boot.id AND state = 'running')
FROM boot WHERE machine_id = ? ORDER BY boot.id
"""


class Key(NamedTuple):
    """A device as it is told: the values of `names.DEVICE_LABELS`."""

    device: str
    domain: str
    boundary: str
    origin: str


class Place(NamedTuple):
    """Where a gram was emitted: the values of `names.CARBON_LABELS`."""

    zone: str
    kind: str


class Counter(NamedTuple):
    """Cumulative micro-joules with bounds, grams by place, and nanoseconds.

    `gap_ns` is time between first and last looks in which no recording knew the energy.
    """

    energy_uj: float = 0.0
    low_uj: float = 0.0
    high_uj: float = 0.0
    co2e_g: Mapping[Place, float] = MappingProxyType({})
    recorded_ns: int = 0
    gap_ns: int = 0
    began_utc_ns: int = _OPEN_END
    last_utc_ns: int = 0

    def plus(self, other: Counter) -> Counter:
        """Both together."""
        places = {**self.co2e_g, **other.co2e_g}
        return Counter(
            self.energy_uj + other.energy_uj,
            self.low_uj + other.low_uj,
            self.high_uj + other.high_uj,
            {p: self.co2e_g.get(p, 0.0) + other.co2e_g.get(p, 0.0) for p in places},
            self.recorded_ns + other.recorded_ns,
            self.gap_ns + other.gap_ns,
            min(self.began_utc_ns, other.began_utc_ns),
            max(self.last_utc_ns, other.last_utc_ns),
        )


class DeviceCounters:
    """Counters of one machine. What boots that are over add up to is worked out once."""

    def __init__(self, machine_id: int) -> None:
        self._machine_id = machine_id
        self._of_boots: dict[tuple[int, int], dict[Key, Counter]] = {}

    def read(self, conn: sqlite3.Connection) -> dict[Key, Counter]:
        """Every device's counter now, in order of keys. Raises sqlite3.Error."""
        found: dict[Key, Counter] = {}
        boots = conn.execute(_BOOTS, (self._machine_id,)).fetchall()
        for number, (boot_id, streams, running) in enumerate(boots):
            over = not running and number < len(boots) - 1
            kept = self._of_boots.get((boot_id, streams)) if over else None
            counted = _of_boot(conn, boot_id) if kept is None else kept
            if over:
                self._of_boots[boot_id, streams] = counted
            for key, counter in counted.items():
                found[key] = found[key].plus(counter) if key in found else counter
        return dict(sorted(found.items()))


class _Stream(NamedTuple):
    stream_id: int
    gains: tuple[float, float]
    opened_ns: int
    offset_ns: int
    place: Place
    g_per_uj: float | None  # None: none was stored


def _of_boot(conn: sqlite3.Connection, boot_id: int) -> dict[Key, Counter]:
    series: dict[Key, list[_Stream]] = {}
    for id_, *key, low, high, opened, offset, carbon, pue in conn.execute(_STREAMS, (boot_id,)):
        place, g_per_uj = _factor(carbon, pue)
        stream = _Stream(id_, (low, high), opened, offset, place, g_per_uj)
        series.setdefault(Key(*key), []).append(stream)
    return {key: _united(conn, streams) for key, streams in series.items()}


def _united(conn: sqlite3.Connection, streams: Sequence[_Stream]) -> Counter:
    """One device in one boot: each moment counts in the first recording that knew it."""
    counter = Counter(began_utc_ns=min(each.opened_ns + each.offset_ns for each in streams))
    covered: list[Interval] = []
    spans: list[Interval] = []
    for stream in streams:
        known = recorded(conn, stream.stream_id, -1, _OPEN_END)
        for interval in known:
            for begin, end in subtract(interval, covered):
                counter = counter.plus(_piece(conn, stream, begin, end))
            covered = add(covered, interval)
        spans = add(spans, (known[0][0], known[-1][1])) if known else spans
    gap_ns = _length(spans) - _length(covered)
    return counter._replace(gap_ns=gap_ns)


def _piece(conn: sqlite3.Connection, stream: _Stream, begin: int, end: int) -> Counter:
    after = energy_at(conn, stream.stream_id, end)
    before = energy_at(conn, stream.stream_id, begin)
    energy, low, high = (after[n] - before[n] for n in range(3))
    low, high = min(low, energy), max(high, energy)
    return Counter(
        energy,
        max(0.0, low * stream.gains[0]),
        high * stream.gains[1],
        {} if stream.g_per_uj is None else {stream.place: energy * stream.g_per_uj},
        end - begin,
        last_utc_ns=end + stream.offset_ns,
    )


def _factor(carbon: str | None, pue: float) -> tuple[Place, float | None]:
    """The grid factor that a recording was started with, times its PUE, in grams a micro-joule."""
    try:
        told = json.loads(carbon or "")
        place = Place(str(told["zone"]), str(told["kind"]))
        return place, float(told["g_per_kwh"]) * pue / _UJ_PER_KWH
    except (ValueError, TypeError, KeyError):
        return Place("", ""), None


def _length(intervals: Sequence[Interval]) -> int:
    return sum(end - begin for begin, end in intervals)
