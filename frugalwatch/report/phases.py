"""Energy by phase, and per step: the run's energy split along time.

A split by time is `attributed`: the counters tick every millisecond to every hundred, and a GPU
works behind the program's back. A phase that lasted fewer than ten ticks of a device's sensor in
all gets no figure.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from frugalwatch.report.attribution import Energy
from frugalwatch.report.devices import DeviceResult, missing_spans
from frugalwatch.report.window import Span, highest_power, window_energy

_TICKS_NEEDED = 10
# The last and first report of each process, by jumps over the index: a run of a day has a million.
_STEPS_BY_PROCESS = """
WITH RECURSIVE process(pid) AS (
    SELECT min(pid) FROM step WHERE run_id = :run
    UNION ALL
    SELECT (SELECT min(pid) FROM step WHERE run_id = :run AND pid > process.pid)
    FROM process WHERE process.pid IS NOT NULL
)
SELECT p.pid, l.steps, f.t_mono_ns, l.t_mono_ns, f.steps FROM process p
JOIN step l ON l.run_id = :run AND l.pid = p.pid AND l.t_mono_ns =
    (SELECT max(t_mono_ns) FROM step WHERE run_id = :run AND pid = p.pid)
JOIN step f ON f.run_id = :run AND f.pid = p.pid AND f.t_mono_ns =
    (SELECT min(t_mono_ns) FROM step WHERE run_id = :run AND pid = p.pid)
ORDER BY l.steps DESC, p.pid
"""
# Phases of one name are added up; a name with more spans than this is measured as a whole.
_MOST_SPANS = 2000


def phase_objects(
    connection: sqlite3.Connection, run_id: int, devices: Sequence[DeviceResult], window: Span
) -> list[dict[str, object]]:
    """One object per phase name and number, in order of first appearance.

    Phases of several processes that overlap in time share the device's energy of that time: each
    shows all of it, as each was going on.
    """
    rows = connection.execute(
        "SELECT name, number, depth, began_mono_ns, ended_mono_ns FROM phase WHERE run_id = ?"
        " ORDER BY began_mono_ns, id",
        (run_id,),
    ).fetchall()
    spans: dict[tuple[str, int | None, int], list[Span]] = {}
    open_ones: set[tuple[str, int | None, int]] = set()
    for name, number, depth, began, ended in rows:
        key = (name, number, depth)
        if ended is None:
            open_ones.add(key)
        spans.setdefault(key, []).append(
            Span(max(window.begin, began), min(window.end, ended or window.end))
        )
    return [
        {
            "name": name,
            "number": number,
            "depth": depth,
            "count": len(found),
            "began_s": (found[0].begin - window.begin) / 1e9,
            "duration_s": sum(s.length for s in found) / 1e9,
            "unfinished": (name, number, depth) in open_ones,
            "origin": "attributed",
            **_phase_energy(connection, run_id, devices, found),
        }
        for (name, number, depth), found in spans.items()
    ]


class ProcessSteps(NamedTuple):
    """What one process reported: steps so far, when first and when last, steps at the first."""

    pid: int
    steps: int
    first_ns: int
    last_ns: int
    at_first: int


def steps_by_process(connection: sqlite3.Connection, run_id: int) -> list[ProcessSteps]:
    """The processes that reported steps; the one with most of them first."""
    rows = connection.execute(_STEPS_BY_PROCESS, {"run": run_id})
    return [ProcessSteps._make(row) for row in rows]


def span_energy(
    connection: sqlite3.Connection,
    run_id: int,
    devices: Sequence[DeviceResult],
    span: Span,
    *,
    modelled: bool,
) -> Energy | None:
    """Joules of the counted devices in a stretch of the run: of sensors, or of models.

    None without such a device, where one of them cannot tell, or for less than ten sensor ticks.
    """
    wanted = ("estimated",) if modelled else ("measured", "derived")
    chosen = [d for d in devices if d.counted and d.row.stream.origin in wanted]
    return _summed(connection, run_id, chosen, [span])


def _phase_energy(
    connection: sqlite3.Connection,
    run_id: int,
    devices: Sequence[DeviceResult],
    spans: Sequence[Span],
) -> dict[str, float | None]:
    if len(spans) > _MOST_SPANS:
        spans = [Span(spans[0].begin, max(s.end for s in spans))]
    result: dict[str, float | None] = {}
    for prefix, wanted in (("", ("measured", "derived")), ("estimated_", ("estimated",))):
        chosen = [d for d in devices if d.counted and d.row.stream.origin in wanted]
        energy = _summed(connection, run_id, chosen, spans)
        result[f"{prefix}energy_j" if not prefix else f"{prefix}j"] = _part(energy, "value")
        result[f"{prefix}low_j"] = _part(energy, "low")
        result[f"{prefix}high_j"] = _part(energy, "high")
    return result


def _part(energy: Energy | None, name: str) -> float | None:
    return None if energy is None else float(getattr(energy, name))


def _summed(
    connection: sqlite3.Connection,
    run_id: int,
    devices: Sequence[DeviceResult],
    spans: Sequence[Span],
) -> Energy | None:
    """The energy of these devices together; None without any, or if one of them cannot tell."""
    lasted = sum(s.length for s in spans)
    total: Energy | None = None
    for device in devices:
        if lasted < _TICKS_NEEDED * device.row.tick_ns:
            return None
        part = _device_energy(connection, run_id, device, spans)
        if part is None:
            return None
        total = part if total is None else total + part
    return total


def _device_energy(
    connection: sqlite3.Connection, run_id: int, device: DeviceResult, spans: Sequence[Span]
) -> Energy | None:
    """None if nothing was read in any span. A span without a figure raises the upper bound."""
    stream = device.row.stream
    missing = missing_spans(connection, run_id, stream.stream_id, max(s.end for s in spans))
    figures = [window_energy(connection, stream, span, missing) for span in spans]
    if all(f.energy_uj is None for f in figures):
        return None
    unread_ns = sum(s.length for s, f in zip(spans, figures, strict=True) if f.energy_uj is None)
    unread_uj = unread_ns * highest_power(connection, stream) if unread_ns else 0.0
    return Energy(
        sum(f.energy_uj or 0 for f in figures) / 1e6,
        sum(f.low_uj or 0 for f in figures) / 1e6,
        (sum(f.high_uj or 0 for f in figures) + unread_uj) / 1e6,
    )
