"""What a second of CPU time cost in joules, at any moment of a run.

Energy above idle over all busy CPU time of the machine: what attribution does for a whole run
(docs/explanation/attribution.md), done for each second of it. GPUs are left out: what a GPU does
is not what the CPU does at that moment.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from frugalwatch.report.attribution import Energy, busy_share
from frugalwatch.report.devices import DeviceResult, measure_devices
from frugalwatch.report.window import Span

_MEASURED = frozenset({"measured", "derived"})


class Rate(NamedTuple):
    """Joules a CPU second; None where nothing of that kind was recorded."""

    measured: float | None
    estimated: float | None


class Series(NamedTuple):
    """A cumulative figure at rising instants."""

    t_mono_ns: Sequence[int]
    values: Sequence[float]

    def at(self, t: float) -> float:
        """The figure at `t`, interpolated; held beyond both ends."""
        right = bisect_right(self.t_mono_ns, t)
        if right == 0:
            return self.values[0]
        if right == len(self.values):
            return self.values[-1]
        left_t, right_t = self.t_mono_ns[right - 1], self.t_mono_ns[right]
        part = (t - left_t) / (right_t - left_t)
        return self.values[right - 1] + part * (self.values[right] - self.values[right - 1])

    def around(self, span: Span) -> Span:
        """The span widened to the instants that enclose it: between two, nothing is known."""
        first = max(0, bisect_right(self.t_mono_ns, span.begin) - 1)
        last = min(len(self.t_mono_ns) - 1, bisect_left(self.t_mono_ns, span.end))
        return Span(self.t_mono_ns[first], self.t_mono_ns[max(last, first)])


@dataclass(frozen=True, slots=True)
class _Device:
    series: Series
    idle_w: float
    is_measured: bool


@dataclass(frozen=True, slots=True)
class Power:
    """The power trace of one run, and what of it is the job's in all.

    `job_measured` and `job_estimated` are the job's share of the CPU's, memory's and other devices'
    energy; their bounds are the energy's own, before any split inside the job.
    """

    window: Span
    devices: tuple[_Device, ...]
    busy: Series | None
    job_cpu_s: float | None
    job_measured: Energy | None
    job_estimated: Energy | None
    device_measured_j: float | None
    device_estimated_j: float | None
    gpu: Energy | None
    idle_known: bool

    def rate(self, span: Span) -> Rate:
        """What a CPU second cost in this stretch of time."""
        result: dict[bool, float | None] = {True: None, False: None}
        if self.busy is None:
            return Rate(None, None)
        for device in self.devices:
            wide = device.series.around(span)
            busy_s = self.busy.at(wide.end) - self.busy.at(wide.begin)
            if wide.length == 0 or busy_s <= 0:
                wide = Span(device.series.t_mono_ns[0], device.series.t_mono_ns[-1])
                busy_s = self.busy.at(wide.end) - self.busy.at(wide.begin)
                if wide.length == 0 or busy_s <= 0:
                    continue
            energy_j = device.series.at(wide.end) - device.series.at(wide.begin)
            above_j = max(0.0, energy_j - device.idle_w * wide.length / 1e9)
            before = result[device.is_measured]
            result[device.is_measured] = (before or 0.0) + above_j / busy_s
        return Rate(result[True], result[False])


def read_power(connection: sqlite3.Connection, run_id: int) -> Power:
    """The power trace of a run, as far as it is recorded."""
    row = connection.execute(
        "SELECT started_mono_ns, coalesce(ended_mono_ns, heartbeat_mono_ns), job_cpu_us,"
        " machine_busy_us FROM run WHERE id = ?",
        (run_id,),
    ).fetchone()
    window = Span(row[0], max(row[1], row[0] + 1))
    devices = measure_devices(connection, run_id, window, cpu_share=busy_share(row[2], row[3]))
    counted = [d for d in devices if d.counted and d.energy is not None]
    others = [d for d in counted if d.row.domain != "gpu"]
    measured = [d for d in others if d.row.stream.origin in _MEASURED]
    modelled = [d for d in others if d.row.stream.origin not in _MEASURED]
    return Power(
        window=window,
        devices=tuple(_traces(connection, others)),
        busy=_busy(connection, run_id, window, row[2], row[3]),
        job_cpu_s=None if row[2] is None else row[2] / 1e6,
        job_measured=_share(measured),
        job_estimated=_share(modelled),
        device_measured_j=_drawn(measured),
        device_estimated_j=_drawn(modelled),
        gpu=_share([d for d in counted if d.row.domain == "gpu"]),
        idle_known=all(d.row.idle is not None for d in others),
    )


def _traces(connection: sqlite3.Connection, devices: Sequence[DeviceResult]) -> list[_Device]:
    traces = []
    for device in devices:
        rows = connection.execute(
            "SELECT t_mono_ns, energy_uj FROM sample WHERE stream_id = ? ORDER BY t_mono_ns",
            (device.row.stream.stream_id,),
        ).fetchall()
        if len(rows) > 1:
            series = Series([r[0] for r in rows], [r[1] / 1e6 for r in rows])
            idle_w = device.row.idle.value if device.row.idle else 0.0
            traces.append(_Device(series, idle_w, device.row.stream.origin in _MEASURED))
    return traces


def _busy(
    connection: sqlite3.Connection,
    run_id: int,
    window: Span,
    job_cpu_us: int | None,
    machine_busy_us: int | None,
) -> Series | None:
    """Busy CPU seconds of the machine, or of the job where that is more or all that is known."""
    points = {window.begin: 0.0}
    rows = connection.execute(
        "SELECT t_mono_ns, job_cpu_us, machine_busy_us FROM usage WHERE run_id = ?"
        " ORDER BY t_mono_ns",
        (run_id,),
    ).fetchall()
    for t, job, busy in [*rows, (window.end, job_cpu_us, machine_busy_us)]:
        if job is not None or busy is not None:
            points[t] = max(job or 0, busy or 0) / 1e6
    if len(points) < 2:
        return None
    instants = sorted(points)
    values, highest = [], 0.0
    for t in instants:
        highest = max(highest, points[t])
        values.append(highest)
    return Series(instants, values)


def _share(devices: Sequence[DeviceResult]) -> Energy | None:
    """The job's share of these devices' energy; where nobody can tell, from none to all of it."""
    total: Energy | None = None
    for device in devices:
        if device.energy is None:
            continue
        part = device.attribution.job_share or Energy(device.energy.value, 0.0, device.energy.high)
        total = part if total is None else total + part
    return total


def _drawn(devices: Sequence[DeviceResult]) -> float | None:
    energies = [d.energy.value for d in devices if d.energy is not None]
    return sum(energies) if energies else None
