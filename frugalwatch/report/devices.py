"""The devices of one run, each with its energy, bounds, coverage and attribution."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from frugalwatch.report.attribution import (
    Attribution,
    Energy,
    Idle,
    attribute,
    modelled_above_idle,
)
from frugalwatch.report.window import Span, StreamInfo, WindowEnergy, window_energy


class DeviceRow(NamedTuple):
    """One stream of a run with its device, as the ledger holds it."""

    device_id: int
    key: str
    domain: str
    name: str
    boundary: str
    source: str
    part_of: str | None
    encloses: tuple[str, ...]
    idle: Idle | None
    idle_origin: str
    tick_ns: int
    note: str
    stream: StreamInfo
    opened_mono_ns: int


class DeviceResult(NamedTuple):
    """One device's figures in the run's window. Joules; None is unknown."""

    row: DeviceRow
    window: WindowEnergy
    energy: Energy | None
    attribution: Attribution
    counted: bool


def read_rows(connection: sqlite3.Connection, run_id: int) -> list[DeviceRow]:
    """Every stream of a run, in the order in which its devices were found."""
    cursor = connection.execute(
        "SELECT v.id, v.key, v.domain, v.name, v.boundary, v.source, v.part_of, v.encloses,"
        " s.idle_w, s.idle_low_w, s.idle_high_w, s.idle_origin, s.tick_ns, s.note,"
        " s.id, s.origin, s.gain_low, s.gain_high, v.power_limit_w, s.opened_mono_ns"
        " FROM stream s JOIN device v ON v.id = s.device_id WHERE s.run_id = ? ORDER BY s.id",
        (run_id,),
    )
    return [
        DeviceRow(
            device_id=r[0],
            key=r[1],
            domain=r[2],
            name=r[3],
            boundary=r[4],
            source=r[5],
            part_of=r[6],
            encloses=tuple(e for e in r[7].split(",") if e),
            idle=_idle(r[8], r[9], r[10]),
            idle_origin=r[11],
            tick_ns=r[12],
            note=r[13],
            stream=StreamInfo(r[14], r[15], r[16], r[17], r[18], r[12]),
            opened_mono_ns=r[19],
        )
        for r in cursor
    ]


def missing_spans(
    connection: sqlite3.Connection, run_id: int, stream_id: int, end: int
) -> tuple[Span, ...]:
    """Gaps of a stream in which energy went uncounted; one that never ended lasts until `end`."""
    rows = connection.execute(
        "SELECT since_mono_ns, max(CASE kind WHEN 'gap_end' THEN t_mono_ns END)"
        " FROM event WHERE run_id = ? AND stream_id = ? AND kind IN ('gap', 'gap_end')"
        " AND energy_missing = 1 AND since_mono_ns IS NOT NULL GROUP BY since_mono_ns",
        (run_id, stream_id),
    ).fetchall()
    return tuple(Span(since, end if until is None else until) for since, until in rows)


def measure_devices(
    connection: sqlite3.Connection,
    run_id: int,
    window: Span,
    *,
    cpu_share: float | None,
) -> list[DeviceResult]:
    """Figures of every device of a run in a window. `cpu_share`: the job's part of busy time."""
    rows = read_rows(connection, run_id)
    figures = [
        window_energy(
            connection,
            row.stream,
            window,
            missing_spans(connection, run_id, row.stream.stream_id, window.end),
        )
        for row in rows
    ]
    counted = counted_devices(
        [row for row, f in zip(rows, figures, strict=True) if f.energy_uj is not None]
    )
    return [
        _result(connection, row, figure, window, cpu_share, counted=row.key in counted)
        for row, figure in zip(rows, figures, strict=True)
    ]


def counted_devices(rows: Iterable[DeviceRow]) -> frozenset[str]:
    """Keys of the devices whose energies may be added up: none contains another of them.

    Sub-zones are inside their parent. A figure for the whole machine (psys, a battery, a server's
    power supply) encloses the others, so it counts only where no finer one is measured.
    """
    tops = [row for row in rows if row.part_of is None]
    finer = [row for row in tops if row.domain != "system"]
    if any(is_measured(row) for row in finer):
        return frozenset(row.key for row in finer if not _overlaps(row, finer))
    # Of several figures for the whole machine the most complete: a battery has a GPU inside, too.
    whole = sorted((r for r in tops if r.domain == "system"), key=lambda r: -len(r.encloses))[:1]
    enclosed = {domain for row in whole for domain in row.encloses}
    return frozenset(row.key for row in [*finer, *whole] if row.domain not in enclosed)


def is_measured(row: DeviceRow) -> bool:
    """Whether the figure comes from hardware: a counter, or power samples integrated."""
    return row.stream.origin in ("measured", "derived")


def _overlaps(row: DeviceRow, others: Sequence[DeviceRow]) -> bool:
    """Whether a device gives way to another one that shows part of the same energy.

    Between two sensors the finer one stays: a processor's graphics whose figure is the whole
    socket's gives way to the package counter. A model gives way to a sensor of its own domain.
    Where it has a second domain inside (a server's CPU model contains the memory), a sensor of
    only that one gives way: without the model the first domain would be missing.
    """
    sensors = [other for other in others if is_measured(other) and other.key != row.key]
    if not is_measured(row):
        return any(row.domain in (sensor.domain, *sensor.encloses) for sensor in sensors)
    if any(s.domain in row.encloses and s.domain != row.domain for s in sensors):
        return True
    measured = {row.domain, *(sensor.domain for sensor in sensors)}
    return any(
        row.domain in model.encloses and model.domain not in measured
        for model in others
        if not is_measured(model)
    )


def gpu_share(connection: sqlite3.Connection, stream_id: int, window: Span) -> float | None:
    """The job's part of all SM time on a GPU in the window; None if nobody said."""
    row = connection.execute(
        "SELECT max(job_busy_us) - min(job_busy_us), max(all_busy_us) - min(all_busy_us)"
        " FROM gpu_usage WHERE stream_id = ? AND t_mono_ns BETWEEN ? AND ?",
        (stream_id, window.begin, window.end),
    ).fetchone()
    if row is None or not row[1]:
        return None
    return float(min(1.0, row[0] / row[1]))


def total(devices: Sequence[DeviceResult], origins: frozenset[str]) -> Energy | None:
    """Sum over the counted devices of these origins; None if there is none with a figure."""
    energies = [
        d.energy for d in devices if d.counted and d.row.stream.origin in origins and d.energy
    ]
    if not energies:
        return None
    result = energies[0]
    for energy in energies[1:]:
        result += energy
    return result


def _result(
    connection: sqlite3.Connection,
    row: DeviceRow,
    figure: WindowEnergy,
    window: Span,
    cpu_share: float | None,
    *,
    counted: bool,
) -> DeviceResult:
    if figure.energy_uj is None or figure.low_uj is None or figure.high_uj is None:
        return DeviceResult(row, figure, None, Attribution(None, None), counted=False)
    energy = Energy(figure.energy_uj / 1e6, figure.low_uj / 1e6, figure.high_uj / 1e6)
    seconds = window.length / 1e9 * figure.coverage
    if row.domain == "gpu":
        share = gpu_share(connection, row.stream.stream_id, window)
    else:
        share = cpu_share
    attribution = attribute(energy, idle=row.idle, seconds=seconds, share=share)
    if row.stream.origin == "estimated" and row.idle is not None:
        above = modelled_above_idle(energy, row.idle, seconds)
        part = share or 0.0
        shared = Energy(above.value * part, above.low * part, above.high * part)
        attribution = Attribution(above, shared if share is not None else None)
    return DeviceResult(row, figure, energy, attribution, counted)


def _idle(value: float | None, low: float | None, high: float | None) -> Idle | None:
    if value is None:
        return None
    return Idle(value, value if low is None else low, value if high is None else high)
