"""Energy of one stream between two instants, with bounds and coverage.

Cumulative figures are read off at both ends by interpolation between the two neighbouring
samples. Where the stream begins after the window does (a driver that took a moment to load), a
short lead-in is filled with the stream's early mean power; the fill is inside the bounds and
counts as not covered. Whatever else is missing is not filled: it lowers the coverage and raises
the upper bound.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

# A driver loads in well under two seconds with persistence mode. A short lead-in is filled with the
# power that the sensor showed at the first look, since nothing is nearer; a longer one with the
# mean over the first seconds, which averages a training step's swing.
_LONGEST_FILL_NS = 2_000_000_000
_SHORT_FILL_NS = 300_000_000
_EARLY_NS = 3_000_000_000
# The last look comes a few milliseconds before or after the end of the job.
_TAIL_NS = 250_000_000


class Span(NamedTuple):
    """A stretch of CLOCK_MONOTONIC in nanoseconds."""

    begin: int
    end: int

    @property
    def length(self) -> int:
        return max(0, self.end - self.begin)


class StreamInfo(NamedTuple):
    """The facts about a stream that its figures need."""

    stream_id: int
    origin: str
    gain_low: float
    gain_high: float
    power_limit_w: float | None
    tick_ns: int = 0


class WindowEnergy(NamedTuple):
    """Energy in a window in micro-joules; None if nothing was read. `coverage` is 0 to 1."""

    energy_uj: int | None
    low_uj: int | None
    high_uj: int | None
    coverage: float


_NOTHING = WindowEnergy(None, None, None, 0.0)


class _Point(NamedTuple):
    t: int
    energy: float
    low: float
    high: float


def window_energy(
    connection: sqlite3.Connection, stream: StreamInfo, window: Span, missing: tuple[Span, ...]
) -> WindowEnergy:
    """Energy of a stream in a window; `missing` are its gaps whose energy nobody counted."""
    first = _edge(connection, stream.stream_id, "min")
    last = _edge(connection, stream.stream_id, "max")
    if first is None or last is None or first.t >= last.t or window.length == 0:
        return _NOTHING
    if last.t <= window.begin or first.t >= window.end:
        return _NOTHING
    at_begin = _at(connection, stream.stream_id, max(window.begin, first.t))
    at_end = _at(connection, stream.stream_id, min(window.end, last.t))
    energy = at_end.energy - at_begin.energy
    low, high = _bounds(stream, at_begin, at_end)
    lead = Span(window.begin, max(window.begin, first.t))
    tail = Span(min(window.end, last.t), window.end)
    gaps = [_overlap(window, gap) for gap in missing]
    filled = 0.0
    lost = list(gaps)
    if lead.length > min(_LONGEST_FILL_NS, window.length / 2) or _touches(lead, gaps):
        lost.append(lead)
    elif lead.length:
        filled += _power_before(connection, stream.stream_id, lead, first, last) * lead.length
    if tail.length <= _longest_tail_ns(stream, window) and not _touches(tail, gaps):
        filled += energy / (at_end.t - at_begin.t) * tail.length
    else:
        lost.append(tail)
    energy += filled
    high += 2 * filled
    lost_ns = _total(lost)
    if lost_ns:
        high += lost_ns * highest_power(connection, stream)
    covered = 1 - _total([*gaps, lead, tail]) / window.length
    return WindowEnergy(
        round(energy), round(max(0.0, min(low, energy))), round(max(high, energy)), covered
    )


def _longest_tail_ns(stream: StreamInfo, window: Span) -> int:
    """A source with a slow tick (a daemon, once a second) may have had nothing new to say."""
    return max(_TAIL_NS, min(stream.tick_ns + _TAIL_NS, _LONGEST_FILL_NS, window.length // 2))


def _bounds(stream: StreamInfo, begin: _Point, end: _Point) -> tuple[float, float]:
    """Bounds of the difference of two points, the sensor's gain included.

    A counter's uncertainty is one tick at either end. A model's or an integral's grows along the
    way, and what it was before the window does not matter.
    """
    energy = end.energy - begin.energy
    if stream.origin == "measured":
        low = energy - (end.energy - end.low) - (begin.high - begin.energy)
        high = energy + (end.high - end.energy) + (begin.energy - begin.low)
    else:
        low, high = end.low - begin.low, end.high - begin.high
    low, high = min(low, energy), max(high, energy)
    return max(0.0, low * stream.gain_low), high * stream.gain_high


def _at(connection: sqlite3.Connection, stream_id: int, t: int) -> _Point:
    """The cumulative figures at `t`, interpolated; `t` lies between the first and last sample."""
    before = connection.execute(
        "SELECT t_mono_ns, energy_uj, low_uj, high_uj FROM sample"
        " WHERE stream_id = ? AND t_mono_ns <= ? ORDER BY t_mono_ns DESC LIMIT 1",
        (stream_id, t),
    ).fetchone()
    left = _point(before)
    if left.t == t:
        return left
    right = _point(
        connection.execute(
            "SELECT t_mono_ns, energy_uj, low_uj, high_uj FROM sample"
            " WHERE stream_id = ? AND t_mono_ns > ? ORDER BY t_mono_ns LIMIT 1",
            (stream_id, t),
        ).fetchone()
    )
    part = (t - left.t) / (right.t - left.t)
    return _Point(
        t,
        left.energy + part * (right.energy - left.energy),
        left.low + part * (right.low - left.low),
        left.high + part * (right.high - left.high),
    )


def _edge(connection: sqlite3.Connection, stream_id: int, which: str) -> _Point | None:
    order = "" if which == "min" else " DESC"
    row = connection.execute(
        "SELECT t_mono_ns, energy_uj, low_uj, high_uj FROM sample WHERE stream_id = ?"
        f" ORDER BY t_mono_ns{order} LIMIT 1",
        (stream_id,),
    ).fetchone()
    return None if row is None else _point(row)


def _point(row: tuple[int, int, int | None, int | None]) -> _Point:
    t, energy, low, high = row
    return _Point(t, energy, energy if low is None else low, energy if high is None else high)


def _power_before(
    connection: sqlite3.Connection, stream_id: int, lead: Span, first: _Point, last: _Point
) -> float:
    """What the device drew just before its first sample, in micro-joules per nanosecond."""
    shown = connection.execute(
        "SELECT power_mw FROM sample WHERE stream_id = ? AND t_mono_ns = ?", (stream_id, first.t)
    ).fetchone()[0]
    if shown is not None and lead.length <= _SHORT_FILL_NS:
        return float(shown) / 1e6
    early = _at(connection, stream_id, min(last.t, first.t + _EARLY_NS))
    return (early.energy - first.energy) / (early.t - first.t)


def highest_power(connection: sqlite3.Connection, stream: StreamInfo) -> float:
    """The most that a device can have drawn, in micro-joules per nanosecond: limit or peak seen."""
    if stream.power_limit_w is not None:
        return stream.power_limit_w / 1e3
    peak = connection.execute(
        "SELECT max((energy_uj - before) * 1.0 / (t_mono_ns - t))"
        " FROM (SELECT energy_uj, t_mono_ns, lag(energy_uj) OVER w AS before,"
        " lag(t_mono_ns) OVER w AS t FROM sample"
        " WHERE stream_id = ? WINDOW w AS (ORDER BY t_mono_ns))",
        (stream.stream_id,),
    ).fetchone()[0]
    return float(peak or 0.0)


def _total(spans: Sequence[Span]) -> int:
    """Nanoseconds inside any of the spans, however they overlap."""
    total, reached = 0, None
    for span in sorted(spans, key=lambda s: s.begin):
        begin = span.begin if reached is None else max(span.begin, reached)
        total += max(0, span.end - begin)
        reached = span.end if reached is None else max(span.end, reached)
    return total


def _touches(span: Span, others: Sequence[Span]) -> bool:
    return any(_overlap(span, other).length for other in others)


def _overlap(window: Span, span: Span) -> Span:
    return Span(max(window.begin, span.begin), min(window.end, span.end))
