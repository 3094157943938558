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
SELECT d.key, d.domain, d.boundary, s.origin, s.id, s.gain_low, s.gain_high, s.opened_mono_ns,
       r.started_utc_ns - r.started_mono_ns, r.state = 'running', r.carbon, r.pue
FROM stream s JOIN device d ON d.id = s.device_id JOIN run r ON r.id = s.run_id
WHERE s.boot_id = ? AND d.part_of IS NULL ORDER BY s.opened_mono_ns, s.id
"""

_BOOTS = "SELECT id FROM boot WHERE machine_id = ? ORDER BY id"


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
    """Counters of one machine. What recordings that are over add up to is worked out once."""

    def __init__(self, machine_id: int) -> None:
        self._machine_id = machine_id
        self._series: dict[tuple[int, Key], _Series] = {}

    def read(self, conn: sqlite3.Connection) -> dict[Key, Counter]:
        """Every device's counter now, in order of keys. Raises sqlite3.Error."""
        found: dict[Key, Counter] = {}
        for (boot_id,) in conn.execute(_BOOTS, (self._machine_id,)).fetchall():
            streams: dict[Key, list[_Stream]] = {}
            for row in conn.execute(_STREAMS, (boot_id,)):
                streams.setdefault(Key(*row[:4]), []).append(_Stream(*row[4:]))
            for key, of_device in streams.items():
                series = self._series.setdefault((boot_id, key), _Series())
                counter = series.read(conn, of_device)
                found[key] = found[key].plus(counter) if key in found else counter
        return dict(sorted(found.items()))


class _Stream(NamedTuple):
    stream_id: int
    gain_low: float
    gain_high: float
    opened_ns: int
    offset_ns: int  # from its monotonic clock to Unix time
    running: bool
    carbon: str | None
    pue: float


class _Series:
    """One device in one boot: each moment counts in the first recording that knew it.

    Recordings that ended before all later ones began cannot change: their sum is kept. Should an
    older recording turn up after all (a ledger merged in), the beginning is worked out anew.
    """

    def __init__(self) -> None:
        self._settled: list[int] = []
        self._until_ns = 0
        self._sum = Counter()

    def read(self, conn: sqlite3.Connection, streams: Sequence[_Stream]) -> Counter:
        """The counter over these recordings, which come in order of their begin."""
        done = len(self._settled)
        known_ones = [stream.stream_id for stream in streams[:done]]
        rest = streams[done:]
        if known_ones != self._settled or not rest or rest[0].opened_ns < self._until_ns:
            self._until_ns, self._sum, done = 0, Counter(), 0
        counter = self._sum
        covered: list[Interval] = []
        spans: list[Interval] = []
        open_ones = False
        for number, stream in enumerate(streams[done:], done):
            if all(end <= stream.opened_ns for _, end in spans):
                # What came before overlaps with nothing that is still to come.
                counter = _closed(counter, spans, covered)
                if not open_ones:
                    self._sum, done = counter, number
                    self._until_ns = max([self._until_ns, *(end for _, end in spans)])
                covered, spans = [], []
            open_ones = open_ones or stream.running
            began_ns = stream.opened_ns + stream.offset_ns
            counter = counter._replace(began_utc_ns=min(counter.began_utc_ns, began_ns))
            known = recorded(conn, stream.stream_id, -1, _OPEN_END)
            for interval in known:
                for begin, end in subtract(interval, covered):
                    counter = counter.plus(_piece(conn, stream, begin, end))
                covered = add(covered, interval)
            spans = add(spans, (known[0][0], known[-1][1])) if known else spans
        self._settled = [stream.stream_id for stream in streams[:done]]
        return _closed(counter, spans, covered)


def _closed(counter: Counter, spans: list[Interval], covered: list[Interval]) -> Counter:
    """With the time inside of recordings that no one of them knew."""
    return counter._replace(gap_ns=counter.gap_ns + _length(spans) - _length(covered))


def _piece(conn: sqlite3.Connection, stream: _Stream, begin: int, end: int) -> Counter:
    after = energy_at(conn, stream.stream_id, end)
    before = energy_at(conn, stream.stream_id, begin)
    energy, low, high = (after[n] - before[n] for n in range(3))
    low, high = min(low, energy), max(high, energy)
    place, g_per_uj = _factor(stream.carbon, stream.pue)
    return Counter(
        energy,
        max(0.0, low * stream.gain_low),
        high * stream.gain_high,
        {} if g_per_uj is None else {place: energy * g_per_uj},
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
