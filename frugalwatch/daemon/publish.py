"""What the daemon lets others know: whole joules on whole seconds, on a page of shared memory.

The sampler writes the page and goes on, whoever reads it or not. The socket's process has nothing
but this page: what it does not know, nobody can get out of it.
"""

from __future__ import annotations

import json
import os
from typing import TypeAlias

from collectors.base import Device, ProcessUtilization, Reading
from collectors.daemon_wire import PERIOD_NS, QUANTUM_UJ
from frugalwatch.sampler.context import Shelf

# Instant in nanoseconds; energy, low and high in joules.
Told: TypeAlias = tuple[int, int, int, int]

_SERVED = ("measured", "derived")


class Publisher:
    """Hears of readings and publishes them coarsely. `page` and `wake` are the socket process's."""

    def __init__(self, page: Shelf, wake: int) -> None:
        self._page = page
        self._wake = wake
        self._devices: dict[str, Device] = {}
        self._last: dict[str, Reading] = {}
        self._told: dict[str, Told] = {}
        self._news = False

    def reading(self, device: Device, handle: int, reading: Reading) -> None:
        """One reading. Parts of a device are not served: the finer, the more they give away."""
        if device.part_of is not None or device.origin not in _SERVED:
            return
        before = self._last.get(device.key)
        self._last[device.key] = reading
        self._devices[device.key] = device
        if before is not None:
            told = coarse(before, reading)
            if told is not None:
                self._told[device.key] = told
                self._news = True

    def utilization(self, device: Device, handle: int, seen: ProcessUtilization) -> None:
        """Nobody is told of others' processes."""

    def publish(self) -> None:
        """Put what is new on the page and wake the socket's process; never waits for it."""
        if not self._news:
            return
        self._news = False
        devices = {key: facts(self._devices[key]) for key in self._told}
        self._page.put_bytes(json.dumps({"devices": devices, "energy_j": self._told}).encode())
        try:
            os.write(self._wake, b"n")
        except OSError:  # it is gone, or asleep with a full pipe
            return


def coarse(before: Reading, now: Reading) -> Told | None:
    """The figure at the last whole period between two readings, None if there is none.

    Interpolated, with what was interpolated as a bound, and rounded down to the quantum.
    """
    instant_ns = now.t_mono_ns // PERIOD_NS * PERIOD_NS
    if instant_ns <= before.t_mono_ns:
        return None
    part = (now.t_mono_ns - instant_ns) / (now.t_mono_ns - before.t_mono_ns)
    since_uj = round(part * (now.energy_uj - before.energy_uj))
    energy_uj = now.energy_uj - since_uj
    low_uj = energy_uj - since_uj - (now.energy_uj - _or(now.low_uj, now.energy_uj))
    high_uj = energy_uj + since_uj + (_or(now.high_uj, now.energy_uj) - now.energy_uj)
    return (
        instant_ns,
        energy_uj // QUANTUM_UJ,
        low_uj // QUANTUM_UJ,
        high_uj // QUANTUM_UJ + 1,
    )


def facts(device: Device) -> dict[str, object]:
    """What others are told of a device."""
    return {
        "domain": device.domain,
        "name": device.name,
        "origin": device.origin,
        "boundary": device.boundary,
        "source": device.source,
        "encloses": list(device.encloses),
        "power_limit_w": device.power_limit_w,
        "gain_low": device.gain_low,
        "gain_high": device.gain_high,
        "idle_w": device.idle_w,
        "idle_low_w": device.idle_low_w,
        "idle_high_w": device.idle_high_w,
        "idle_origin": device.idle_origin,
        "note": device.note,
    }


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value
