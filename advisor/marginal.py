"""What one more unit of work costs once a program is warm, apart from its start.

A run's counts over time (steps, calls) are laid beside its CPU seconds and its counters over time.
The first fifth of the units, and one at least, is warm-up: importing, loading, compiling and first
calls lie before its end. What the whole run used beyond `units x cost of one` is the start.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

WARM_UP_SHARE = 0.2
_LEAST_UNITS = 3
_LEAST_S = 0.3
_LEAST_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Marginal:
    """The cost of one unit, averaged over `units` units after the warm-up; joules where counted."""

    unit: str
    units: int
    cpu_s: float
    wall_s: float
    energy_j: float | None = None


def marginal(ledger: str, run_key: str, unit: str) -> Marginal | None:
    """Read it from a run's rows; None where the stretch is too short to tell.

    That is below three units, 0.3 s, or three looks at the CPU time.
    """
    with closing(sqlite3.connect(ledger)) as conn:
        found = conn.execute("SELECT id FROM run WHERE run_key = ?", (run_key,)).fetchone()
        if found is None:
            return None
        done = _done(conn, found[0], unit)
        looks = conn.execute(
            "SELECT t_mono_ns, job_cpu_us FROM usage WHERE run_id = ? AND job_cpu_us IS NOT NULL"
            " ORDER BY t_mono_ns",
            (found[0],),
        ).fetchall()
        stretch = warm_stretch(done, [t for t, _ in looks])
        if stretch is None:
            return None
        begin_ns, end_ns, units = stretch
        cpu_us = at(looks, end_ns) - at(looks, begin_ns)
        joules = _joules(conn, found[0], begin_ns, end_ns)
    if cpu_us <= 0:
        return None
    return Marginal(
        unit=unit,
        units=units,
        cpu_s=cpu_us / 1e6 / units,
        wall_s=(end_ns - begin_ns) / 1e9 / units,
        energy_j=None if joules is None else joules / units,
    )


def warm_stretch(
    done: Sequence[tuple[int, int]], looks_ns: Sequence[int]
) -> tuple[int, int, int] | None:
    """From (instant, units done) and the instants of looks: begin, end, and units between."""
    if not done:
        return None
    end_ns, total = done[-1]
    warm = max(1, WARM_UP_SHARE * total)
    begin_ns, before = next((t, n) for t, n in done if n >= warm)
    if looks_ns:  # beyond the last look nothing is known of the CPU time
        end_ns = min(end_ns, looks_ns[-1])
        begin_ns = max(begin_ns, looks_ns[0])
    inside = sum(begin_ns <= t <= end_ns for t in looks_ns)
    units = total - before
    if units < _LEAST_UNITS or (end_ns - begin_ns) / 1e9 < _LEAST_S or inside < _LEAST_LOOKS:
        return None
    return begin_ns, end_ns, units


def at(points: Sequence[tuple[int, int]], instant_ns: int) -> float:
    """A cumulative figure at an instant, between two looks in proportion."""
    place = bisect_right([t for t, _ in points], instant_ns)
    if place == 0:
        return float(points[0][1])
    if place == len(points):
        return float(points[-1][1])
    (t0, v0), (t1, v1) = points[place - 1], points[place]
    return v0 + (v1 - v0) * (instant_ns - t0) / (t1 - t0)


def _done(conn: sqlite3.Connection, run_id: int, unit: str) -> list[tuple[int, int]]:
    """Units done by instant. Ranks of one training make a step together, others are added up."""
    ranks = conn.execute(
        "SELECT max(coalesce(world_size, 1)) FROM process WHERE run_id = ?", (run_id,)
    ).fetchone()[0]
    together = max if unit == "step" and (ranks or 1) > 1 else sum
    counts: dict[int, int] = {}
    result = []
    for pid, t_ns, count in conn.execute(
        "SELECT pid, t_mono_ns, count FROM unit_count WHERE run_id = ? AND unit = ?"
        " ORDER BY t_mono_ns",
        (run_id, unit),
    ):
        counts[pid] = count
        result.append((t_ns, together(counts.values())))
    return result


def _joules(conn: sqlite3.Connection, run_id: int, begin_ns: int, end_ns: int) -> float | None:
    """What this machine's counters gained meanwhile; None without counters."""
    from frugalwatch.report.devices import measure_devices
    from frugalwatch.report.phases import span_energy
    from frugalwatch.report.window import Span

    begun, ended, beat = conn.execute(
        "SELECT started_mono_ns, ended_mono_ns, heartbeat_mono_ns FROM run WHERE id = ?", (run_id,)
    ).fetchone()
    window = Span(begun, max(ended or beat, begun + 1))
    devices = measure_devices(conn, run_id, window, cpu_share=None)
    found = span_energy(conn, run_id, devices, Span(begin_ns, end_ns), modelled=False)
    return None if found is None else found.value
