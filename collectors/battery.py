"""The whole machine's power while it runs on its battery.

The battery's gauge sees everything that the machine draws, screen included, but only while it is
discharged: on mains power the gauge says nothing about use, and this source has no figure.

Unverified on hardware: this reader ran on simulated trees only. Names and units follow
`Documentation/ABI/testing/sysfs-class-power`.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from collectors.base import Device, Observation, Probe
from collectors.channel import PowerChannel
from collectors.host import Host
from collectors.integrate import PowerIntegrator
from collectors.sysfs import list_names, read_int, read_text

_KEY = "battery:system"
# Gauges renew their value every few seconds; none says how often.
_TICK_S = 2.0
_MAX_GAP_S = 60.0
_ON_MAINS = "on mains power: a battery shows the machine's use only while it is discharged"


class BatteryCollector:
    """Reads all batteries of the machine as one device: two share the load, or take turns."""

    name = "battery"
    isolate = False

    def __init__(self, host: Host) -> None:
        self._host = host
        self._root = host.sys("class", "power_supply")
        self._channel: PowerChannel | None = None

    def probe(self) -> Probe:
        """The one device, or why there is none."""
        if self._channel is None:
            if not self._batteries():
                return Probe("battery", reason="this machine has no battery", verified=False)
            try:
                power_w = self._read_w()
            except OSError as error:
                remedy = "unplug the charger while the job runs" if self._on_mains() else ""
                reason = str(error.strerror)
                return Probe("battery", reason=reason, remedy=remedy, verified=False)
            integrator = PowerIntegrator(tick_s=_TICK_S, max_gap_s=_MAX_GAP_S)
            integrator.update(self._host.clock_ns(), power_w)
            self._channel = PowerChannel(_DEVICE, self._read_w, integrator, lambda: None)
        return Probe("battery", devices=(_DEVICE,), verified=False)

    def read(self) -> Sequence[Observation]:
        """One look. On mains power it is a gap, and what comes after is not joined to before."""
        if self._channel is None:
            return []
        if self._on_mains():
            self._channel.interrupt()
        return self._channel.observe(self._host.clock_ns)

    def close(self) -> None:
        """Nothing to give back."""

    def _batteries(self) -> list[str]:
        """Folders of the machine's own batteries, without those of mice and headsets."""
        return [
            folder
            for folder in (f"{self._root}/{name}" for name in list_names(self._root))
            if read_text(f"{folder}/type") == "Battery" and read_text(f"{folder}/scope") != "Device"
        ]

    def _on_mains(self) -> bool:
        for name in list_names(self._root):
            folder = f"{self._root}/{name}"
            if read_text(f"{folder}/type") in ("Mains", "USB") and read_int(f"{folder}/online"):
                return True
        states = [read_text(f"{folder}/status") for folder in self._batteries()]
        return "Discharging" not in states or "Charging" in states

    def _read_w(self) -> float:
        """Watts drawn from all batteries together. Raises OSError with the reason."""
        batteries = self._batteries()
        if not batteries:
            raise OSError(errno.ENODEV, "the battery was taken out")
        if self._on_mains():
            raise OSError(errno.EINVAL, _ON_MAINS)
        powers_w = [_battery_w(f) for f in batteries if read_text(f"{f}/status") == "Discharging"]
        known_w = [power_w for power_w in powers_w if power_w is not None]
        if len(known_w) < len(powers_w):
            raise OSError(errno.ENODATA, "the battery's gauge shows neither power nor current")
        return sum(known_w)


_DEVICE = Device(
    key=_KEY,
    domain="system",
    name="battery",
    origin="derived",
    boundary="board",
    source="power_supply",
    encloses=("cpu", "gpu", "ram", "other"),
    tick_s=_TICK_S,
    max_poll_s=_MAX_GAP_S,
    note="screen included; unverified on hardware",
)


def _battery_w(folder: str) -> float | None:
    """Power from power_now, else from current and voltage; some drivers give them a sign."""
    power_uw = read_int(f"{folder}/power_now")
    if power_uw is not None:
        return abs(power_uw) / 1e6
    current_ua = read_int(f"{folder}/current_now")
    voltage_uv = read_int(f"{folder}/voltage_now")
    if current_ua is None or voltage_uv is None:
        return None
    return abs(current_ua) * voltage_uv / 1e12
