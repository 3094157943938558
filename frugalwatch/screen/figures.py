"""Figures of one run as they stand now, by the very functions that settle it when it ends.

What is left out, against the whole run object, is what costs time and the screen does not show at
every look: phases, metrics, attribution.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import NamedTuple

from frugalwatch.carbon.grid import GridFactor
from frugalwatch.config.settings import Settings
from frugalwatch.ledger.queries import RunRow
from frugalwatch.report.attribution import Attribution, Energy
from frugalwatch.report.devices import (
    DeviceResult,
    DeviceRow,
    counted_devices,
    missing_spans,
    read_rows,
    total,
)
from frugalwatch.report.run_object import carbon_and_cost, coverage_of
from frugalwatch.report.units import step_object
from frugalwatch.report.window import Span, window_energy
from frugalwatch.screen.records import Document

_UNSHARED = Attribution(None, None)
_SENSORS = frozenset({"measured", "derived"})
_MODELS = frozenset({"estimated", "attributed"})


class RunRecord(NamedTuple):
    """The columns of a run that its figures need. Times are CLOCK_MONOTONIC unless named utc."""

    number: int
    host: str
    interval_ns: int
    started_utc_ns: int
    started_ns: int
    ended_ns: int | None
    heartbeat_ns: int

    @property
    def window(self) -> Span:
        """From its start to its end, or to its last sign of life."""
        end = self.heartbeat_ns if self.ended_ns is None else self.ended_ns
        return Span(self.started_ns, max(end, self.started_ns + 1))


class Figures(NamedTuple):
    """Energy of a run so far. Joules; None is unknown."""

    devices: tuple[DeviceResult, ...]
    measured: Energy | None
    estimated: Energy | None
    carbon: Document
    coverage: float | None
    steps: Document | None


def read_record(connection: sqlite3.Connection, number: int) -> RunRecord | None:
    """One run's record; None if there is no such run."""
    row = connection.execute(
        "SELECT run.id, machine.hostname, interval_ns, started_utc_ns, started_mono_ns,"
        " ended_mono_ns, heartbeat_mono_ns FROM run"
        " JOIN boot ON boot.id = run.boot_id JOIN machine ON machine.id = boot.machine_id"
        " WHERE run.id = ?",
        (number,),
    ).fetchone()
    return None if row is None else RunRecord._make(row)


def figures_so_far(
    connection: sqlite3.Connection, record: RunRecord, factor: GridFactor, settings: Settings
) -> Figures:
    """The run's figures from its start to its last sign of life."""
    devices = _devices(connection, record)
    measured, estimated = total(devices, _SENSORS), total(devices, _MODELS)
    return Figures(
        tuple(devices),
        measured,
        estimated,
        carbon_and_cost(measured, estimated, factor, settings),
        coverage_of(devices),
        step_object(connection, record.number, devices, record.window),
    )


def _devices(connection: sqlite3.Connection, record: RunRecord) -> list[DeviceResult]:
    """As `report.devices.measure_devices`, without the split of GPU time, which reads every row."""
    window = record.window
    rows = read_rows(connection, record.number)
    found: list[DeviceResult] = []
    for row in rows:
        missing = missing_spans(connection, record.number, row.stream.stream_id, window.end)
        figure = window_energy(connection, row.stream, window, missing)
        energy = None
        if (
            figure.energy_uj is not None
            and figure.low_uj is not None
            and figure.high_uj is not None
        ):
            energy = Energy(figure.energy_uj / 1e6, figure.low_uj / 1e6, figure.high_uj / 1e6)
        found.append(DeviceResult(row, figure, energy, _UNSHARED, counted=False))
    counted = counted_devices(_with_figure(found))
    return [
        device._replace(counted=device.energy is not None and device.row.key in counted)
        for device in found
    ]


def _with_figure(devices: list[DeviceResult]) -> list[DeviceRow]:
    return [device.row for device in devices if device.energy is not None]


def with_energy(
    run: RunRow, measured: Energy | None, estimated: Energy | None, co2e_g: float | None
) -> RunRow:
    """A run of the list with figures that the ledger will only hold when it has ended."""
    return replace(
        run,
        energy_j=measured.value if measured else None,
        energy_low_j=measured.low if measured else None,
        energy_high_j=measured.high if measured else None,
        estimated_j=estimated.value if estimated else None,
        estimated_low_j=estimated.low if estimated else None,
        estimated_high_j=estimated.high if estimated else None,
        co2e_g=co2e_g,
    )
