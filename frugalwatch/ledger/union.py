"""Energy over several runs at once, where overlap is never added twice.

Two runs at the same time each record the whole device. What a device used is the energy over the
*union* of their windows: one recording counts for the time that it covers, the next one only for
what is left.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Interval: TypeAlias = tuple[int, int]  # from, to, in CLOCK_MONOTONIC nanoseconds of one boot
Figures: TypeAlias = tuple[float, float, float]  # energy, low, high, in micro-joules


_STREAMS = """
SELECT s.device_id, s.origin, s.id, d.machine_id, d.key, d.domain, d.boundary, d.part_of,
       d.encloses, s.opened_mono_ns
FROM stream s JOIN device d ON d.id = s.device_id
"""
_IN_ORDER = "ORDER BY d.key, s.origin, s.opened_mono_ns"


@dataclass(frozen=True, slots=True)
class DeviceEnergy:
    """What one device used in the part of a window that any recording covers."""

    machine_id: int
    boot_id: int
    device_id: int
    device: str
    domain: str
    boundary: str
    part_of: str | None
    encloses: tuple[str, ...]
    origin: str
    energy_uj: int
    low_uj: int
    high_uj: int
    covered_ns: int


def energy_between(
    conn: sqlite3.Connection, boot_id: int, from_mono_ns: int, to_mono_ns: int
) -> list[DeviceEnergy]:
    """Energy of every device (and origin) in one boot's window, overlap counted once.

    Devices may contain each other (`part_of`, `encloses`): adding them up is the caller's decision.
    """
    streams = conn.execute(
        f"{_STREAMS} WHERE s.boot_id = ? AND s.opened_mono_ns < ? {_IN_ORDER}",
        (boot_id, to_mono_ns),
    ).fetchall()
    return _united(conn, boot_id, streams, from_mono_ns, to_mono_ns)


def energy_of_runs(
    conn: sqlite3.Connection,
    boot_id: int,
    run_ids: Sequence[int],
    from_mono_ns: int,
    to_mono_ns: int,
) -> list[DeviceEnergy]:
    """`energy_between` from the recordings of these runs alone (all of one boot).

    Costs a few look-ups a stream, however many samples there are.
    """
    streams = [
        stream
        for run_id in run_ids
        for stream in conn.execute(f"{_STREAMS} WHERE s.run_id = ?", (run_id,))
    ]
    streams.sort(key=lambda stream: (stream[4], stream[1], stream[9]))
    return _united(conn, boot_id, streams, from_mono_ns, to_mono_ns)


def _united(
    conn: sqlite3.Connection,
    boot_id: int,
    streams: Sequence[tuple[Any, ...]],  # Any: the columns of _STREAMS
    from_mono_ns: int,
    to_mono_ns: int,
) -> list[DeviceEnergy]:
    groups: dict[tuple[int, str], list[tuple[Any, ...]]] = {}
    for stream in streams:
        groups.setdefault((stream[0], stream[1]), []).append(stream)
    found = []
    for (device_id, origin), members in groups.items():
        covered: list[Interval] = []
        total = (0.0, 0.0, 0.0)
        for member in members:
            for interval in recorded(conn, member[2], from_mono_ns, to_mono_ns):
                for begin, end in subtract(interval, covered):
                    total = _plus(total, _difference(conn, member[2], begin, end))
                covered = add(covered, interval)
        if not covered:
            continue
        machine_id, key, domain, boundary, part_of, encloses = members[0][3:9]
        found.append(
            DeviceEnergy(
                machine_id=machine_id,
                boot_id=boot_id,
                device_id=device_id,
                device=str(key),
                domain=str(domain),
                boundary=str(boundary),
                part_of=None if part_of is None else str(part_of),
                encloses=tuple(str(encloses).split(",")) if encloses else (),
                origin=origin,
                energy_uj=round(total[0]),
                low_uj=round(total[1]),
                high_uj=round(total[2]),
                covered_ns=sum(end - begin for begin, end in covered),
            )
        )
    return found


def energy_between_utc(
    conn: sqlite3.Connection, from_utc_ns: int, to_utc_ns: int
) -> list[DeviceEnergy]:
    """`energy_between` for a span of the wall clock ("today"), over every boot in it.

    Each boot's clock is placed by its run that started nearest before the end of the span, so a
    clock that was set between runs moves only what was recorded before.
    """
    boots = conn.execute(
        "SELECT boot_id, max(started_utc_ns), started_utc_ns - started_mono_ns FROM run"
        " WHERE started_utc_ns < ? GROUP BY boot_id ORDER BY boot_id",
        (to_utc_ns,),
    ).fetchall()
    found = []
    for boot_id, _, offset_ns in boots:
        found += energy_between(conn, boot_id, from_utc_ns - offset_ns, to_utc_ns - offset_ns)
    return found


def subtract(interval: Interval, covered: list[Interval]) -> list[Interval]:
    """The parts of `interval` outside `covered` (sorted, not overlapping)."""
    begin, end = interval
    parts = []
    for other_begin, other_end in covered:
        if other_end <= begin or other_begin >= end:
            continue
        if other_begin > begin:
            parts.append((begin, other_begin))
        begin = other_end
    if begin < end:
        parts.append((begin, end))
    return parts


def add(covered: list[Interval], interval: Interval) -> list[Interval]:
    """`covered` with one more interval: sorted, not overlapping."""
    merged: list[Interval] = []
    for begin, end in sorted([*covered, interval]):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def recorded(conn: sqlite3.Connection, stream_id: int, begin: int, end: int) -> list[Interval]:
    """When this stream knew the device's energy: first to last sample, without its gaps."""
    first, last = conn.execute(
        "SELECT (SELECT min(t_mono_ns) FROM sample WHERE stream_id = :id),"
        " (SELECT max(t_mono_ns) FROM sample WHERE stream_id = :id)",
        {"id": stream_id},
    ).fetchone()
    if first is None:
        return []
    begin, end = max(begin, first), min(end, last)
    if begin >= end:
        return []
    gaps: list[Interval] = []
    for gap in conn.execute(
        # By the run, too: the index of the events goes by that.
        "SELECT since_mono_ns, t_mono_ns FROM event"
        " WHERE run_id IS (SELECT run_id FROM stream WHERE id = :id)"
        " AND stream_id = :id AND energy_missing AND since_mono_ns < t_mono_ns",
        {"id": stream_id},
    ):
        gaps = add(gaps, gap)
    return subtract((begin, end), gaps)


def _difference(conn: sqlite3.Connection, stream_id: int, begin: int, end: int) -> Figures:
    after, before = energy_at(conn, stream_id, end), energy_at(conn, stream_id, begin)
    return after[0] - before[0], after[1] - before[1], after[2] - before[2]


def energy_at(conn: sqlite3.Connection, stream_id: int, t_mono_ns: int) -> Figures:
    """The cumulative figures at an instant, between two samples in proportion to the time."""
    columns = "t_mono_ns, energy_uj, coalesce(low_uj, energy_uj), coalesce(high_uj, energy_uj)"
    where = f"SELECT {columns} FROM sample WHERE stream_id = ? AND t_mono_ns"
    values = (stream_id, t_mono_ns)
    before = conn.execute(f"{where} <= ? ORDER BY t_mono_ns DESC LIMIT 1", values).fetchone()
    after = conn.execute(f"{where} >= ? ORDER BY t_mono_ns LIMIT 1", values).fetchone()
    before, after = before or after, after or before
    span = after[0] - before[0]
    part = (t_mono_ns - before[0]) / span if span else 0.0
    energy, low, high = (before[n] + (after[n] - before[n]) * part for n in (1, 2, 3))
    return energy, low, high


def _plus(one: Figures, other: Figures) -> Figures:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]
