"""A device's counter, read from the ledger: cumulative over its boots, overlap counted once.

Each step of a counter is a look that some recording took, thinned to one an interval. Where several
recordings overlap (runs beside each other, a run beside the daemon), one carries the counter until
it ends, then the next one goes on from there. So a counter never falls, and what it grew by is the
union of the recordings. Nothing is held in memory beyond one request's worth.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from frugalwatch.ledger.union import add, energy_at, subtract
from frugalwatch.remote.streams import Stream, WallClock, boots, segments, streams

# Looks are committed every five seconds at most.
_SETTLED_MS = 6_000


class Counted(NamedTuple):
    """How far one boot's recordings were counted."""

    energy_uj: int
    covered_ns: int
    until_mono_ns: int | None  # None: not at all yet


class Step(NamedTuple):
    """The counter at one instant, and how far its boot was counted then."""

    t_ms: int
    total_uj: int
    boot_key: str
    counted: Counted


class Spool:
    """Reads counters of one machine from one ledger. `machine` None: of every machine in it."""

    def __init__(self, conn: sqlite3.Connection, machine: str | None, *, every_ms: int) -> None:
        self._conn = conn
        self._machine = machine
        self._every_ms = every_ms
        self._clocks: dict[int, WallClock] = {}

    def steps(
        self,
        labels: dict[str, str],
        counted: dict[str, Counted],
        *,
        started: bool,
        now_ms: int,
        most: int,
        everything: bool = False,
    ) -> list[Step]:
        """The counter's next steps in order of their recording, at most about `most`.

        `started`: whether the counter's first value, an explicit 0, was sent. The interval that
        is not over yet is left for later, unless `everything`.
        """
        before_ms = 1 << 62 if everything else now_ms - _SETTLED_MS
        found: list[Step] = []
        for step in self._all(labels, dict(counted), started=started):
            bucket_ends_ms = (step.t_ms // self._every_ms + 1) * self._every_ms
            if bucket_ends_ms > before_ms and not (not started and not found):
                break
            found.append(step)
            if len(found) >= most:
                break
        return found

    def recount(self, labels: dict[str, str], boot_key: str, before: Counted) -> Counted | None:
        """A boot counted anew, where recordings came late into what was counted already.

        None if nothing is missing. What was counted never gets less.
        """
        until = before.until_mono_ns
        if until is None:
            return None
        found = self._streams(labels, boot_key, -1)
        covered: list[tuple[int, int]] = []
        energy = 0.0
        for begin, end, stream in sorted(segments(self._conn, found, None), key=lambda s: s[:2]):
            span = (begin, min(end, until))
            if span[0] >= span[1]:
                continue
            for start, stop in subtract(span, covered):
                after = energy_at(self._conn, stream.stream_id, stop)
                energy += after[0] - energy_at(self._conn, stream.stream_id, start)[0]
            covered = add(covered, span)
        covered_ns = sum(end - begin for begin, end in covered)
        if covered_ns <= before.covered_ns or round(energy) <= before.energy_uj:
            return None
        return Counted(round(energy), covered_ns, until)

    def _all(
        self, labels: dict[str, str], counted: dict[str, Counted], *, started: bool
    ) -> Iterator[Step]:
        self._clocks.clear()  # clocks may have been set since
        for boot_key in boots(self._conn, self._machine):
            before = counted.get(boot_key, Counted(0, 0, None))
            others_uj = sum(c.energy_uj for key, c in counted.items() if key != boot_key)
            for t_ms, now in self._boot(labels, boot_key, before):
                if before.until_mono_ns is None and now.energy_uj == 0 and started:
                    continue  # a later boot goes on; only the very first begins with a 0
                started = True
                counted[boot_key] = now
                yield Step(t_ms, others_uj + now.energy_uj, boot_key, now)

    def _boot(
        self, labels: dict[str, str], boot_key: str, before: Counted
    ) -> Iterator[tuple[int, Counted]]:
        until = -1 if before.until_mono_ns is None else before.until_mono_ns
        found = self._streams(labels, boot_key, until)
        at = before
        for begin, end, stream in _chain(segments(self._conn, found, until), until):
            if begin != at.until_mono_ns:  # nobody looked in between, or ever before
                at = at._replace(until_mono_ns=begin)
                yield stream.clock.utc_ms(begin), at
            for t_ms, step in self._along(stream, begin, end, at):
                at = step
                yield t_ms, at

    def _streams(self, labels: dict[str, str], boot_key: str, until_mono_ns: int) -> list[Stream]:
        return streams(
            self._conn,
            labels,
            boot_key,
            machine=self._machine,
            until_mono_ns=until_mono_ns,
            clocks=self._clocks,
        )

    def _along(
        self, stream: Stream, begin: int, end: int, at: Counted
    ) -> Iterator[tuple[int, Counted]]:
        """The counter over one recording, an interval at a time, up to `end` exactly."""
        base_uj = round(energy_at(self._conn, stream.stream_id, begin)[0])
        start = at
        for t_mono_ns, energy_uj in self._looks(stream, begin, end):
            at = Counted(
                start.energy_uj + max(0, energy_uj - base_uj),
                start.covered_ns + t_mono_ns - begin,
                t_mono_ns,
            )
            yield stream.clock.utc_ms(t_mono_ns), at
        if at.until_mono_ns != end:  # a gap's edge lies between two looks
            last_uj = round(energy_at(self._conn, stream.stream_id, end)[0])
            at = Counted(
                start.energy_uj + max(0, last_uj - base_uj), start.covered_ns + end - begin, end
            )
            yield stream.clock.utc_ms(end), at

    def _looks(self, stream: Stream, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """The last look of each interval in (begin, end], read a stretch at a time."""
        every_ns = self._every_ms * 1_000_000
        stretch_ns = 200 * every_ns
        offset = stream.clock.offset_ns
        while begin < end:
            stop = min(end, begin + stretch_ns)
            rows = self._conn.execute(
                "SELECT max(t_mono_ns), energy_uj FROM sample WHERE stream_id = ?"
                " AND t_mono_ns > ? AND t_mono_ns <= ? GROUP BY (t_mono_ns + ?) / ?"
                " ORDER BY 1",
                (stream.stream_id, begin, stop, offset, every_ns),
            ).fetchall()
            yield from rows
            begin = stop


def _chain(
    found: list[tuple[int, int, Stream]], until_mono_ns: int
) -> Iterator[tuple[int, int, Stream]]:
    """Which recording carries the counter from when to when, without overlap, in order.

    Of those that know an instant the one that lasts longest; where none does, the next to begin.
    """
    waiting = sorted(enumerate(found), key=lambda each: each[1][0], reverse=True)
    known: list[tuple[int, int, Stream]] = []
    until = until_mono_ns
    while waiting or known:
        while waiting and waiting[-1][1][0] <= until:
            number, (_, end, stream) = waiting.pop()
            heapq.heappush(known, (-end, number, stream))
        while known and -known[0][0] <= until:
            heapq.heappop(known)
        if known:
            end, _, stream = known[0]
            yield until, -end, stream
            until = -end
        elif waiting:
            until = waiting[-1][1][0]
