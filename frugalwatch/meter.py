"""Energy of every device over a window, for commands that measure while a person waits.

`run` has its sampler; this is the plain form of it for `calibrate` and `doctor --crosscheck`:
open the collectors, look often enough that no counter wraps unseen, subtract.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from collectors.base import Collector, Device, Gap, Observation, Probe, Reading
from collectors.host import Host
from collectors.isolated import IsolatedCollector
from collectors.registry import HARDWARE, hardware_collector

_POLL_S = 0.2
_DRIVER_OPEN_S = 15.0
_DRIVER_READ_S = 2.0


@dataclass(frozen=True, slots=True)
class DeviceEnergy:
    """One device's energy over a window, in joules; None if a look at either end failed.

    `seconds` is the time between the two looks at this device, which on a busy machine is not quite
    the window's. `missing` names causes of gaps whose energy is not in the figure.
    """

    device: Device
    energy_j: float | None
    low_j: float | None
    high_j: float | None
    seconds: float = 0.0
    missing: tuple[str, ...] = ()

    @property
    def watts(self) -> float | None:
        """Mean power between the two looks."""
        return None if self.energy_j is None or not self.seconds else self.energy_j / self.seconds


@dataclass(frozen=True, slots=True)
class WindowEnergies:
    """Every device over one window of `seconds`."""

    seconds: float
    devices: tuple[DeviceEnergy, ...]


class Patient:
    """A collector whose driver may hang, read in a process of its own with a deadline."""

    def __init__(self, name: str, factory: Callable[[], Collector]) -> None:
        self.name = name
        self.isolate = True
        self._inner = IsolatedCollector(factory, name)

    def probe(self) -> Probe:
        """What the reader process found, or that the driver did not answer."""
        return self._inner.probe_blocking(_DRIVER_OPEN_S)

    def read(self) -> Sequence[Observation]:
        """One look; a gap with cause `timeout` if the driver does not answer."""
        return self._inner.read_blocking(_DRIVER_READ_S)

    def close(self) -> None:
        """End the reader process."""
        self._inner.close()


def hardware(host: Host, sources_off: Sequence[str] = ()) -> list[Collector]:
    """A collector for every kind of hardware that is not switched off."""
    return [_hardware(name, host) for name in HARDWARE if name not in sources_off]


def _hardware(name: str, host: Host) -> Collector:
    collector = hardware_collector(name, host)
    if not collector.isolate:
        return collector
    return Patient(name, lambda: hardware_collector(name, host))


class Meter:
    """Opens collectors and measures windows. Use as a context manager."""

    def __init__(
        self,
        collectors: Sequence[Collector],
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._collectors = list(collectors)
        self._clock_ns = clock_ns
        self._sleep = sleep
        self.probes: tuple[Probe, ...] = ()
        self.devices: dict[str, Device] = {}

    def __enter__(self) -> Meter:
        self.probes = tuple(collector.probe() for collector in self._collectors)
        for probe in self.probes:
            self.devices |= {device.key: device for device in probe.devices}
        return self

    def __exit__(self, *_: object) -> None:
        for collector in self._collectors:
            collector.close()

    def add(self, collector: Collector) -> None:
        """Open one more collector: a model, once it is known what the hardware leaves out."""
        self._collectors.append(collector)
        probe = collector.probe()
        self.probes = (*self.probes, probe)
        self.devices |= {device.key: device for device in probe.devices}

    def look(self) -> tuple[dict[str, Reading], dict[str, str]]:
        """The newest reading of each device, and the causes of gaps whose energy is lost."""
        readings: dict[str, Reading] = {}
        lost: dict[str, str] = {}
        for collector in self._collectors:
            for observation in collector.read():
                if isinstance(observation, Reading):
                    readings[observation.device] = observation
                elif isinstance(observation, Gap) and not observation.recoverable:
                    lost[observation.device] = observation.cause
        return readings, lost

    def window(self, seconds: float) -> WindowEnergies:
        """Measure for this long from now."""
        begun_ns = self._clock_ns()
        first, _ = self.look()
        causes: dict[str, dict[str, None]] = {}
        last = first
        poll_s = min(
            [
                _POLL_S,
                *(d.max_poll_s / 2 for d in self.devices.values() if d.max_poll_s is not None),
            ]
        )
        while True:
            left_s = seconds - (self._clock_ns() - begun_ns) / 1e9
            if left_s > 0:
                self._sleep(min(poll_s, left_s))
            readings, lost = self.look()
            last = {**last, **readings}
            for key, cause in lost.items():
                causes.setdefault(key, {})[cause] = None
            if left_s <= poll_s:
                break
        return WindowEnergies(
            (self._clock_ns() - begun_ns) / 1e9,
            tuple(
                _energy(device, first.get(key), last.get(key), tuple(causes.get(key, ())))
                for key, device in self.devices.items()
            ),
        )


def _energy(
    device: Device, first: Reading | None, last: Reading | None, missing: tuple[str, ...]
) -> DeviceEnergy:
    if first is None or last is None:
        return DeviceEnergy(device, None, None, None, missing=missing or ("no reading",))
    return DeviceEnergy(
        device,
        (last.energy_uj - first.energy_uj) / 1e6,
        (_low(last) - _low(first)) / 1e6,
        (_high(last) - _high(first)) / 1e6,
        (last.t_mono_ns - first.t_mono_ns) / 1e9,
        missing,
    )


def _low(reading: Reading) -> int:
    return reading.energy_uj if reading.low_uj is None else reading.low_uj


def _high(reading: Reading) -> int:
    return reading.energy_uj if reading.high_uj is None else reading.high_uj
