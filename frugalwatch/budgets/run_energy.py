"""The energy that a run's budgets are judged by, kept up to date as readings come."""

from __future__ import annotations

from collections.abc import Callable

from collectors.base import Device, Reading
from frugalwatch.budgets.judge import Figure
from frugalwatch.report.attribution import (
    OWN_MACHINE,
    Energy,
    Idle,
    attribute,
    modelled_above_idle,
)
from frugalwatch.report.devices import DeviceRow, counted_devices
from frugalwatch.report.window import StreamInfo


class RunEnergy:
    """The last reading of each device, and which of them may be added up."""

    def __init__(self, started_mono_ns: int) -> None:
        self._started_ns = started_mono_ns
        self._devices: dict[int, Device] = {}
        self._latest: dict[int, Reading] = {}
        self._counted: frozenset[int] = frozenset()

    def take(self, device: Device, handle: int, reading: Reading) -> None:
        """One reading, cumulative since the run began. `handle` stands for its stream."""
        self._latest[handle] = reading
        if handle not in self._devices:
            self._devices[handle] = device
            counted = counted_devices(map(_as_row, self._devices.values()))
            self._counted = frozenset(h for h, d in self._devices.items() if d.key in counted)

    def until(
        self,
        now_ns: int,
        cpu_share: float | None,
        gpu_share: Callable[[str], float | None],
    ) -> tuple[Figure, bool]:
        """Joules of all devices that count, and whether a model's are among them.

        Where the job had a smaller part of the busy CPU time than makes a machine its own, the
        lower bound is the job's.
        """
        total = Figure(0.0, 0.0, 0.0)
        modelled = False
        seconds = (now_ns - self._started_ns) / 1e9
        for handle in self._counted:
            device = self._devices[handle]
            energy = _joules(device, self._latest[handle])
            low = energy.low
            if cpu_share is not None and cpu_share < OWN_MACHINE:
                share = gpu_share(device.key) if device.domain == "gpu" else cpu_share
                low = lowest_of_the_job(device, energy, seconds, share)
            total = Figure(total.value + energy.value, total.low + low, total.high + energy.high)
            modelled = modelled or device.origin == "estimated"
        return total, modelled


def lowest_of_the_job(device: Device, energy: Energy, seconds: float, share: float | None) -> float:
    """The lower bound of the job's part of a device that others used too, by `report`'s formulas.

    Where nobody says whose the work on a GPU was, all of it counts as the job's.
    """
    if share is None:
        return energy.low
    idle = None
    if device.idle_w is not None:
        low_w = device.idle_w if device.idle_low_w is None else device.idle_low_w
        high_w = device.idle_w if device.idle_high_w is None else device.idle_high_w
        idle = Idle(device.idle_w, low_w, high_w)
    if device.origin == "estimated" and idle is not None:
        return modelled_above_idle(energy, idle, seconds).low * share
    part = attribute(energy, idle=idle, seconds=seconds, share=share).job_share
    return 0.0 if part is None else part.low


def _joules(device: Device, reading: Reading) -> Energy:
    low_uj = reading.energy_uj if reading.low_uj is None else reading.low_uj
    high_uj = reading.energy_uj if reading.high_uj is None else reading.high_uj
    value = reading.energy_uj / 1e6
    low, high = low_uj * device.gain_low / 1e6, high_uj * device.gain_high / 1e6
    return Energy(value, min(low, value), max(high, value))


def _as_row(device: Device) -> DeviceRow:
    """What `counted_devices` looks at, of a device that may not be in the ledger yet."""
    stream = StreamInfo(0, device.origin, device.gain_low, device.gain_high, device.power_limit_w)
    return DeviceRow(
        device_id=0,
        key=device.key,
        domain=device.domain,
        name=device.name,
        boundary=device.boundary,
        source=device.source,
        part_of=device.part_of,
        encloses=device.encloses,
        idle=None,
        idle_origin="",
        tick_ns=0,
        note="",
        stream=stream,
        opened_mono_ns=0,
    )
