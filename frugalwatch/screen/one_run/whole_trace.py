"""The power of a run, or of a stretch of it, in so many columns, however long it was.

Samples are cumulative, so that a column's exact mean power needs only the two samples around each
of its edges: a run of ten hours costs as many look-ups in the index as one of ten minutes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from frugalwatch.report.devices import DeviceRow
from frugalwatch.report.window import Span
from frugalwatch.screen.records import Point, Trace
from frugalwatch.screen.stacking import mean_power

_STEPS_JOINED = 3
_SHORTEST_GAP_NS = 2_500_000_000
_THINNED_NS = 60_000_000_000
_ALWAYS_NS = 1 << 62
# With so few samples a column they are read in one go instead.
_SAMPLES_A_COLUMN = 4

_BETWEEN = """
SELECT t_mono_ns, energy_uj FROM sample
WHERE stream_id = :stream AND t_mono_ns <= :end AND t_mono_ns >= coalesce(
    (SELECT max(t_mono_ns) FROM sample WHERE stream_id = :stream AND t_mono_ns <= :begin), :begin)
ORDER BY t_mono_ns
"""
_BEFORE = """
SELECT t_mono_ns, energy_uj FROM sample WHERE stream_id = ? AND t_mono_ns <= ?
ORDER BY t_mono_ns DESC LIMIT 1
"""
_AFTER = """
SELECT t_mono_ns, energy_uj FROM sample WHERE stream_id = ? AND t_mono_ns > ?
ORDER BY t_mono_ns LIMIT 1
"""
_GAPS = """
SELECT stream_id, since_mono_ns, max(CASE kind WHEN 'gap_end' THEN t_mono_ns END)
FROM event WHERE run_id = ? AND kind IN ('gap', 'gap_end') AND since_mono_ns IS NOT NULL
AND stream_id IS NOT NULL GROUP BY stream_id, since_mono_ns
"""


def read_gaps(connection: sqlite3.Connection, run: int, end_ns: int) -> dict[int, list[Span]]:
    """Spans in which a stream's device gave no figure, by stream; an open one lasts to the end."""
    found: dict[int, list[Span]] = {}
    for stream, since, until in connection.execute(_GAPS, (run,)):
        found.setdefault(stream, []).append(Span(since, end_ns if until is None else until))
    return found


def edges_of(window: Span, columns: int) -> list[int]:
    """The instants that part the window into so many columns."""
    count = max(1, min(columns, window.length))
    return [window.begin + window.length * place // count for place in range(count + 1)]


def read_power(
    connection: sqlite3.Connection,
    streams: Sequence[DeviceRow],
    gaps: dict[int, list[Span]],
    edges: Sequence[int],
    interval_ns: int,
    *,
    thinned: bool,
) -> dict[str, tuple[float | None, ...]]:
    """Mean watts by device in each column; None where half of it or more is unknown.

    A device that was opened again (its sampler was restarted) has several streams.
    """
    usual_ns = max(interval_ns, _THINNED_NS) if thinned and interval_ns else interval_ns
    found: dict[str, tuple[float | None, ...]] = {}
    for row in streams:
        stream = row.stream.stream_id
        trace = read_trace(connection, stream, gaps.get(stream, []), edges, usual_ns)
        power = mean_power(trace, edges)
        before = found.get(row.key)
        found[row.key] = power if before is None else _either(before, power)
    return found


def read_trace(
    connection: sqlite3.Connection,
    stream: int,
    gaps: Sequence[Span],
    edges: Sequence[int],
    usual_ns: int,
) -> Trace:
    """As much of a stream as shows its mean power between these edges.

    usual_ns: from one sample to the next; 0 for an imported run, which has its two ends only.
    """
    longest_ns = max(_STEPS_JOINED * usual_ns, _SHORTEST_GAP_NS)
    if not usual_ns:
        trace = _all_samples(connection, stream, edges, gaps, longest_ns)
        return Trace(trace.points, trace.gaps, _ALWAYS_NS)
    if (edges[-1] - edges[0]) // usual_ns <= _SAMPLES_A_COLUMN * len(edges):
        return _all_samples(connection, stream, edges, gaps, longest_ns)
    return _samples_at(connection, stream, edges, gaps, longest_ns)


def _all_samples(
    connection: sqlite3.Connection,
    stream: int,
    edges: Sequence[int],
    gaps: Sequence[Span],
    longest_ns: int,
) -> Trace:
    values = {"stream": stream, "begin": edges[0], "end": edges[-1]}
    points = [Point(t, uj / 1e6) for t, uj in connection.execute(_BETWEEN, values)]
    after = connection.execute(_AFTER, (stream, edges[-1])).fetchone()
    if after is not None:
        points.append(Point(after[0], after[1] / 1e6))
    return Trace(tuple(points), tuple(gaps), longest_ns)


def _samples_at(
    connection: sqlite3.Connection,
    stream: int,
    edges: Sequence[int],
    gaps: Sequence[Span],
    longest_ns: int,
) -> Trace:
    """The samples around each edge. What lies between two edges is joined, whatever its length."""
    points: dict[int, float] = {}
    late = []
    for edge in edges:
        before = connection.execute(_BEFORE, (stream, edge)).fetchone()
        after = connection.execute(_AFTER, (stream, edge)).fetchone()
        for row in (before, after):
            if row is not None:
                points[row[0]] = row[1] / 1e6
        if before is not None and after is not None and after[0] - before[0] > longest_ns:
            late.append(Span(before[0], after[0]))
    ordered = tuple(Point(t, points[t]) for t in sorted(points))
    return Trace(ordered, (*gaps, *late), _ALWAYS_NS)


def _either(
    first: Sequence[float | None], second: Sequence[float | None]
) -> tuple[float | None, ...]:
    return tuple(b if a is None else a for a, b in zip(first, second, strict=True))
