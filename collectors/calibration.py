"""What is known about *this* machine's watts, and the model that follows from it.

Three kinds: idle watts per device, measured here with a counter; idle and full-load watts of the
whole machine, told by somebody with a meter at the wall; and watts per CPU second by kind of
work, measured on a machine with counters and carried to one of the same family without.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from collectors.band import Band
from collectors.base import Boundary, Domain
from collectors.cpu_power_model import CpuPowerModel

# Bounds as factors on a figure. Judgements, not measurements; docs/explanation/modelled-energy.md
# gives the reasons.
_TOLD_IDLE = (0.9, 1.1)  # the meter, and what "idle" was that minute
_TOLD_FULL = (0.7, 1.4)  # the kind of work, and a curve that is no straight line
_TOLD_OTHER = (0.5, 2.0)  # the end that was not told
_IMPORTED_IDLE = (0.7, 1.4)  # another machine: its core count and firmware settings
_IMPORTED_ACTIVE = (0.85, 1.15)  # on top of the spread between kinds of work


class ToldPower(NamedTuple):
    """Watts of the whole machine at its plug, as a person read them; None is not told."""

    idle_w: float | None = None
    full_w: float | None = None


class WorkPower(NamedTuple):
    """Watts that one busy CPU adds to idle under one kind of work: joules per CPU second."""

    kind: str
    watts_per_cpu: float


class WorkloadCalibration(NamedTuple):
    """What `calibrate --workloads` measured on a machine with energy counters.

    `key` is the row of the CPU table that the machine belongs to, `cpu` its name, `threads` its
    hardware threads, `idle_w` the idle watts of the counters that were summed. `encloses` says what
    those counters contain.
    """

    key: str
    cpu: str
    threads: int
    idle_w: float
    boundary: Boundary
    encloses: tuple[Domain, ...]
    work: tuple[WorkPower, ...]


class Calibration(NamedTuple):
    """Everything known about one machine. `idle_w` is by device key, measured here."""

    idle_w: Mapping[str, Band] = MappingProxyType({})
    told: ToldPower | None = None
    workloads: WorkloadCalibration | None = None


def calibrated_model(
    model: CpuPowerModel, calibration: Calibration | None, family: str
) -> CpuPowerModel:
    """The model of the table, improved by what is known; the same model if nothing is.

    `family` is this machine's row of the CPU table: a file of another family is not used, and the
    note says so. What the user told wins over a file from another machine.
    """
    if calibration is None:
        return model
    if calibration.told is not None:
        return _told_model(model, calibration.told)
    if calibration.workloads is not None:
        if calibration.workloads.key == family:
            return _workload_model(model, calibration.workloads)
        unused = f"a calibration of {calibration.workloads.key} is not used on {family}"
        return model._replace(note="; ".join(part for part in (model.note, unused) if part))
    return model


def _told_model(model: CpuPowerModel, told: ToldPower) -> CpuPowerModel:
    share = model.threads / model.visible_threads
    idle, full = model.idle_w, model.full_w
    if told.idle_w is not None and told.full_w is not None:
        idle = _band(told.idle_w * share, _TOLD_IDLE)
        full = _band(told.full_w * share, _TOLD_FULL)
        source = f"model: told {told.idle_w:g} W idle, {told.full_w:g} W under full load"
    elif told.idle_w is not None:
        idle = _band(told.idle_w * share, _TOLD_IDLE)
        active = model.full_w.value - model.idle_w.value
        full = _band(idle.value + active, _TOLD_OTHER)
        source = f"model: told {told.idle_w:g} W idle, the rest from the table"
    elif told.full_w is not None:
        full = _band(told.full_w * share, _TOLD_FULL)
        idle = _band(full.value * model.idle_w.value / model.full_w.value, _TOLD_OTHER)
        source = f"model: told {told.full_w:g} W under full load, idle from the table's ratio"
    else:
        return model
    # Low never above high at either end, so that energy never falls while the load rises.
    full = Band(full.value, max(full.low, idle.low), max(full.high, idle.high))
    return model._replace(
        idle_w=idle,
        full_w=full,
        source=f"{source} (wall meter)",
        note="",
        idle_origin="calibration",
    )


def _workload_model(model: CpuPowerModel, measured: WorkloadCalibration) -> CpuPowerModel:
    watts = sorted(work.watts_per_cpu for work in measured.work)
    active = Band(
        watts[len(watts) // 2] if len(watts) % 2 else sum(watts[len(watts) // 2 - 1 :][:2]) / 2,
        watts[0] * _IMPORTED_ACTIVE[0],
        watts[-1] * _IMPORTED_ACTIVE[1],
    ).times(model.threads)
    idle = _band(measured.idle_w * model.threads / measured.threads, _IMPORTED_IDLE)
    return CpuPowerModel(
        idle_w=idle,
        full_w=Band(idle.value + active.value, idle.low + active.low, idle.high + active.high),
        threads=model.threads,
        visible_threads=model.visible_threads,
        boundary=measured.boundary,
        encloses=measured.encloses,
        source=f"model: {len(watts)} kinds of work measured on {measured.cpu}",
        note="fans, power supply and the rest of the server are not inside",
        idle_origin="calibration",
    )


def _band(value: float, factors: tuple[float, float]) -> Band:
    return Band(value, value * factors[0], value * factors[1])
