"""The run that the screen shows in full, from one look to the next."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from frugalwatch.carbon.grid import GridFactor
from frugalwatch.config.settings import Settings
from frugalwatch.ledger.queries import RunRow, stored_result
from frugalwatch.report.attribution import Energy
from frugalwatch.report.devices import DeviceRow, read_rows
from frugalwatch.report.format import duration
from frugalwatch.screen.conditions import condition_now, condition_of_run
from frugalwatch.screen.figures import (
    Figures,
    RunRecord,
    figures_so_far,
    read_record,
    with_energy,
)
from frugalwatch.screen.peaks import Peak, PeakScan
from frugalwatch.screen.projection import Projection, project
from frugalwatch.screen.records import Condition, DeviceNow, Document, RunNow, Trace
from frugalwatch.screen.traces import RunTraces

if TYPE_CHECKING:
    from sqlite_utils.db import Database

# Where figures take long (a gap in a run of weeks: the highest power seen is looked for in all of
# its samples), they are worked out less often, so that they never take more than 1/50 of a core.
_SHARE_OF_TIME = 50
_QUICK_NS = 20_000_000
# Where a job is heading changes slowly.
_PROJECTED_EVERY_NS = 5_000_000_000


class ChosenRun:
    """Follows one run. Looks cost what is new since the last one, or little once it has ended."""

    def __init__(self, number: int, clock_ns: Callable[[], int], utc_ns: Callable[[], int]) -> None:
        self.number = number
        self._clock_ns = clock_ns
        self._utc_ns = utc_ns
        self._traces = RunTraces(number)
        self._figures: Figures | None = None
        self._figures_due_ns = 0
        self._record: RunRecord | None = None
        self._settled: dict[str, object] | None = None
        self._heartbeat_ns = -1
        self._alive_ns = 0
        self._peaks: dict[int, PeakScan] = {}
        self._last_conditions: dict[int, Condition | None] = {}  # of a run that is over
        self._projection: Projection | None = None
        self._projection_due_ns = 0

    def look(
        self,
        connection: sqlite3.Connection,
        rows: Database,
        row: RunRow,
        factor: GridFactor,
        settings: Settings,
    ) -> RunNow:
        """The run as it is now."""
        record = read_record(connection, self.number)
        assert record is not None, "the caller has just read this run"
        self._traces.follow_events(connection)
        if row.state != "running" and self._settled is None:
            self._settled = stored_result(rows, self.number)
        streams = read_rows(connection, self.number)
        if self._settled is None:
            figures = self._work_out(connection, record, factor, settings)
            return self._now(connection, record, row, streams, figures)
        return self._ended(connection, record, row, streams, self._settled)

    def _work_out(
        self,
        connection: sqlite3.Connection,
        record: RunRecord,
        factor: GridFactor,
        settings: Settings,
    ) -> Figures:
        """The figures so far; the last ones where nothing was written since, or it takes long."""
        began, used = self._clock_ns(), time.thread_time_ns()
        if self._figures is not None and self._record is not None:
            waits = began < self._figures_due_ns and record.ended_ns == self._record.ended_ns
            if waits or record == self._record:
                return self._figures
        loads_modules = self._figures is None  # the first time, which tells nothing of later ones
        self._record = record
        self._figures = figures_so_far(connection, record, factor, settings)
        # Of the processor, not of the clock: on a busy machine figures are no rarer for that.
        took = time.thread_time_ns() - used
        is_quick = loads_modules or took <= _QUICK_NS
        self._figures_due_ns = began + (0 if is_quick else _SHARE_OF_TIME * took)
        return self._figures

    # -- a run without its final figures -----------------------------------------------------------

    def _now(
        self,
        connection: sqlite3.Connection,
        record: RunRecord,
        row: RunRow,
        streams: list[DeviceRow],
        figures: Figures,
    ) -> RunNow:
        end = record.window.end
        by_stream = {device.row.stream.stream_id: device for device in figures.devices}
        age_s = self._age_s(record) if row.state == "running" else None
        devices = []
        for stream in streams:
            stream_id = stream.stream.stream_id
            found = by_stream.get(stream_id)
            trace = self._trace(connection, stream, record)
            peak = self._peak(connection, stream_id)
            silent = self._silent(stream, trace, end)
            devices.append(
                DeviceNow(
                    key=stream.key,
                    domain=stream.domain,
                    name=stream.name,
                    origin=stream.stream.origin,
                    source=stream.source,
                    counted=found is not None and found.counted,
                    energy=found.energy if found else None,
                    coverage=found.window.coverage if found else 0.0,
                    power_w=None if silent or age_s is None else _power_w(trace),
                    power_limit_w=stream.stream.power_limit_w,
                    silent=silent if age_s is not None else None,
                    trace=trace,
                    peak_w=peak.power_w if peak else None,
                    peak_known=peak is None or peak.complete,
                    condition=condition_now(connection, stream_id, end) if not silent else None,
                )
            )
        co2e_g = figures.carbon["co2e_g"]
        now = RunNow(
            row=with_energy(row, figures.measured, figures.estimated, co2e_g),
            host=record.host,
            interval_s=record.interval_ns / 1e9,
            begin_ns=record.started_ns,
            end_ns=end,
            devices=tuple(devices),
            measured=figures.measured,
            estimated=figures.estimated,
            carbon=figures.carbon,
            coverage=figures.coverage,
            steps=figures.steps,
            age_s=age_s,
            settled=False,
            notices=self._notices(devices),
            projection=(None if age_s is None else self._heading_for(connection, record, figures)),
        )
        return now if not now.is_silent else _without_power(now)

    def _peak(self, connection: sqlite3.Connection, stream_id: int) -> Peak | None:
        return self._peaks.setdefault(stream_id, PeakScan()).look(connection, stream_id)

    def _heading_for(
        self, connection: sqlite3.Connection, record: RunRecord, figures: Figures
    ) -> Projection | None:
        """Where the run is heading; every few seconds, or less often where that takes long."""
        began, used = self._clock_ns(), time.thread_time_ns()
        if began >= self._projection_due_ns:
            self._projection = project(connection, record, figures)
            took = time.thread_time_ns() - used
            self._projection_due_ns = began + max(_PROJECTED_EVERY_NS, _SHARE_OF_TIME * took)
        return self._projection

    def _age_s(self, record: RunRecord) -> float:
        """Seconds since the last sign of life: by our own clock as soon as we saw one come."""
        now = self._clock_ns()
        if record.heartbeat_ns != self._heartbeat_ns:
            first, self._heartbeat_ns = self._heartbeat_ns < 0, record.heartbeat_ns
            self._alive_ns = now
            if first:
                alive_utc_ns = record.started_utc_ns + record.heartbeat_ns - record.started_ns
                self._alive_ns -= max(0, self._utc_ns() - alive_utc_ns)
        return (now - self._alive_ns) / 1e9

    def _trace(self, connection: sqlite3.Connection, stream: DeviceRow, record: RunRecord) -> Trace:
        stream_id = stream.stream.stream_id
        if record.ended_ns is not None:
            return self._traces.whole_stream(
                connection, stream_id, record.window, record.interval_ns
            )
        return self._traces.follow_stream(
            connection, stream_id, record.window.end, record.interval_ns
        )

    def _silent(self, stream: DeviceRow, trace: Trace, end_ns: int) -> str | None:
        """Why a device gives no figure now, and since when."""
        gap = self._traces.open_gap(stream.stream.stream_id)
        last = trace.points[-1].t_mono_ns if trace.points else stream.opened_mono_ns
        if gap is None and end_ns - last <= trace.longest_step_ns:
            return None
        since, cause = gap if gap is not None else (last, "no answer")
        return f"{cause} for {duration(max(0, end_ns - since) / 1e9)}"

    def _notices(self, devices: list[DeviceNow]) -> tuple[str, ...]:
        silent = [f"{d.key}: {d.silent}" for d in devices if d.silent and d.counted]
        return (*silent, *self._traces.notices)

    # -- a run that has ended ----------------------------------------------------------------------

    def _ended(
        self,
        connection: sqlite3.Connection,
        record: RunRecord,
        row: RunRow,
        streams: list[DeviceRow],
        document: dict[str, Any],
    ) -> RunNow:
        """From the stored object; an imported run's may hold less than our own."""
        by_key = {stream.key: stream for stream in streams}
        devices = []
        for found in document.get("devices", []):
            stream = by_key.get(found["device"])
            peak = condition = None
            if stream is not None:
                peak = self._peak(connection, stream.stream.stream_id)
                condition = self._condition_of_run(connection, stream.stream.stream_id)
            devices.append(
                DeviceNow(
                    key=found["device"],
                    domain=found.get("domain", "other"),
                    name=found.get("name", found["device"]),
                    origin=found.get("origin", "measured"),
                    source=found.get("source", ""),
                    counted=bool(found.get("counted")),
                    energy=_energy(found, "energy_j", "low_j", "high_j"),
                    coverage=found.get("coverage", 0.0),
                    power_w=None,
                    power_limit_w=found.get("power_limit_w"),
                    silent=None,
                    trace=Trace() if stream is None else self._trace(connection, stream, record),
                    peak_w=peak.power_w if peak else None,
                    peak_known=peak is None or peak.complete,
                    condition=condition,
                )
            )
        return RunNow(
            row=row,
            host=record.host,
            interval_s=record.interval_ns / 1e9,
            begin_ns=record.started_ns,
            end_ns=record.window.end,
            devices=tuple(devices),
            measured=_totals(row.energy_j, row.energy_low_j, row.energy_high_j),
            estimated=_totals(row.estimated_j, row.estimated_low_j, row.estimated_high_j),
            carbon={"co2e_g": row.co2e_g, **_carbon_of(document)},
            coverage=row.coverage,
            steps=document.get("steps"),
            age_s=None,
            settled=True,
            notices=self._traces.notices,
        )

    def _condition_of_run(self, connection: sqlite3.Connection, stream_id: int) -> Condition | None:
        if stream_id not in self._last_conditions:
            self._last_conditions[stream_id] = condition_of_run(connection, stream_id)
        return self._last_conditions[stream_id]


def _carbon_of(document: Document) -> dict[str, object]:
    keys = ("co2e_low_g", "co2e_high_g", "co2e_origin", "carbon", "cost")
    return {key: document.get(key) for key in keys}


def _energy(found: Document, value: str, low: str, high: str) -> Energy | None:
    return _totals(found.get(value), found.get(low), found.get(high))


def _totals(value: float | None, low: float | None, high: float | None) -> Energy | None:
    if value is None:
        return None
    return Energy(value, value if low is None else low, value if high is None else high)


def _power_w(trace: Trace) -> float | None:
    """Mean power between the last two samples."""
    if len(trace.points) < 2:
        return None
    before, last = trace.points[-2:]
    return (last.energy_j - before.energy_j) / ((last.t_mono_ns - before.t_mono_ns) / 1e9)


def _without_power(run: RunNow) -> RunNow:
    """A run of which nothing has been heard: what its devices drew last is not what they draw."""
    devices = tuple(replace(device, power_w=None) for device in run.devices)
    return replace(run, devices=devices)
