"""A job's parts from one ledger: what its recordings say, overlap counted once."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from frugalwatch.fleet.figures import DeviceFigure, Part
from frugalwatch.ledger.union import Interval, add, energy_at, recorded, subtract
from frugalwatch.report.devices import counted_devices, missing_spans, read_rows
from frugalwatch.report.window import Span, window_energy

DAEMON_PREFIX = "daemon-"

_RUNS = """
SELECT r.id, r.run_key, r.state, r.started_mono_ns,
       coalesce(r.ended_mono_ns, r.heartbeat_mono_ns) AS ended_mono_ns, r.started_utc_ns,
       r.coverage, r.co2e_ug, r.result IS NOT NULL AS settled, b.boot_key, m.hostname, m.machine_key
FROM run r JOIN boot b ON b.id = r.boot_id JOIN machine m ON m.id = b.machine_id
WHERE coalesce(r.group_key, r.run_key) = :group AND r.run_key NOT LIKE 'daemon-%'
AND (:machine IS NULL OR m.machine_key = :machine) AND (:boot IS NULL OR b.boot_key = :boot)
ORDER BY r.started_mono_ns, ended_mono_ns DESC, r.run_key
"""

_GROUPS = """
SELECT DISTINCT coalesce(r.group_key, r.run_key), r.group_key IS NOT NULL FROM run r
WHERE r.run_key NOT LIKE 'daemon-%' ORDER BY r.started_utc_ns DESC
"""

_DEVICES = """
SELECT v.key, v.domain, v.boundary, d.origin, d.energy_uj, d.low_uj, d.high_uj
FROM run_device d JOIN device v ON v.id = d.device_id
WHERE d.run_id = ? AND d.counted AND d.energy_uj IS NOT NULL ORDER BY v.key, d.origin
"""


class _Run(NamedTuple):
    run_id: int
    run_key: str
    state: str
    started_mono_ns: int
    ended_mono_ns: int
    started_utc_ns: int
    coverage: float | None
    co2e_ug: int | None
    settled: bool
    boot_key: str
    hostname: str
    machine_key: str

    @property
    def window(self) -> Interval:
        return self.started_mono_ns, max(self.ended_mono_ns, self.started_mono_ns + 1)


def groups(conn: sqlite3.Connection) -> list[tuple[str, bool]]:
    """Names of the jobs in a ledger, the latest first, and whether nodes share them."""
    return [(str(name), bool(shared)) for name, shared in conn.execute(_GROUPS)]


def parts(
    conn: sqlite3.Connection,
    run_group: str,
    *,
    machine: str | None = None,
    boot_key: str | None = None,
    ledger_key: str = "",
    node: str | None = None,
) -> list[Part]:
    """What this ledger knows of a job, a part a boot. `node` is the name to give, in place of the
    host's.

    Runs that lie beside each other (ranks of one training) are united per device; one that nobody
    settled counts up to its last sign of life, and has not ended.
    """
    values = {"group": run_group, "machine": machine, "boot": boot_key}
    by_boot: dict[str, list[_Run]] = {}
    for row in conn.execute(_RUNS, values):
        run = _Run(*row)
        by_boot.setdefault(run.boot_key, []).append(run)
    return [_part(conn, runs, ledger_key, node) for runs in by_boot.values()]


def _part(
    conn: sqlite3.Connection, runs: Sequence[_Run], ledger_key: str, node: str | None
) -> Part:
    covered: list[Interval] = []
    figures: dict[tuple[str, str, str, str], DeviceFigure] = {}
    weighted, length = 0.0, 0
    grams: list[int | None] = []
    for run in runs:
        alone = subtract(run.window, covered)
        covered = add(covered, run.window)
        left = sum(end - begin for begin, end in alone)
        whole = alone == [run.window]
        for one in _whole(conn, run) if whole and run.settled else _inside(conn, run, alone):
            known = figures.get(one[:4])
            figures[one[:4]] = one if known is None else _plus(known, one)
        if run.coverage is not None:
            weighted += run.coverage * left
            length += left
        share = left / (run.window[1] - run.window[0])
        grams.append(None if run.co2e_ug is None else round(run.co2e_ug * share))
    first = runs[0]
    ended = all(run.settled and run.state != "running" for run in runs)
    offset = max(runs, key=lambda r: r.started_mono_ns)
    offset_ns = offset.started_utc_ns - offset.started_mono_ns
    last_ns = max(run.ended_mono_ns for run in runs)
    return Part(
        node=node or first.hostname,
        boot_key=first.boot_key,
        ledger_key=ledger_key,
        recordings=len(runs),
        ended=ended,
        began_utc_ms=min(run.started_utc_ns for run in runs) // 1_000_000,
        ended_utc_ms=(last_ns + offset_ns) // 1_000_000 if ended else None,
        coverage=weighted / length if length else None,
        co2e_ug=None if None in grams else sum(g for g in grams if g is not None),
        devices=tuple(figures[key] for key in sorted(figures)),
    )


def _whole(conn: sqlite3.Connection, run: _Run) -> list[DeviceFigure]:
    """The run's own totals, as they were settled."""
    found = []
    for key, domain, boundary, origin, energy, low, high in conn.execute(_DEVICES, (run.run_id,)):
        bounds = (energy if low is None else low, energy if high is None else high)
        found.append(DeviceFigure(key, domain, boundary, origin, energy, *bounds))
    return found


def _inside(conn: sqlite3.Connection, run: _Run, spans: Sequence[Interval]) -> list[DeviceFigure]:
    """What a run's recordings say of these stretches of its window.

    Of a run that goes on only what was seen: a figure that grows must never have been too high.
    """
    rows = read_rows(conn, run.run_id)
    settled = {row[0] for row in conn.execute(_DEVICES, (run.run_id,))}
    counted = settled if run.settled else counted_devices(rows)
    found = []
    for row in rows:
        if row.key not in counted:
            continue
        stream = row.stream
        key = (row.key, row.domain, row.boundary, stream.origin)
        gaps = missing_spans(conn, run.run_id, stream.stream_id, run.window[1])
        for begin, end in spans:
            if not run.settled:
                seen = round(_seen_uj(conn, stream.stream_id, begin, end))
                found.append(DeviceFigure(*key, seen, seen, seen))
                continue
            energy = window_energy(conn, stream, Span(begin, end), gaps)
            if energy.energy_uj is not None:
                low, high = energy.low_uj or 0, energy.high_uj or energy.energy_uj
                found.append(DeviceFigure(*key, energy.energy_uj, low, high))
    return found


def _seen_uj(conn: sqlite3.Connection, stream_id: int, begin: int, end: int) -> float:
    """What one recording saw in a window, without its gaps and with nothing filled in."""
    return sum(
        energy_at(conn, stream_id, stop)[0] - energy_at(conn, stream_id, start)[0]
        for start, stop in recorded(conn, stream_id, begin, end)
    )


def _plus(one: DeviceFigure, other: DeviceFigure) -> DeviceFigure:
    return one._replace(
        energy_uj=one.energy_uj + other.energy_uj,
        low_uj=one.low_uj + other.low_uj,
        high_uj=one.high_uj + other.high_uj,
    )
