"""What each device draws when nothing runs: measured with its counter, in a quiet moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from collectors.band import Band
from collectors.base import Device
from collectors.host import Host
from frugalwatch.meter import Meter

# Above this share of the machine's CPUs, what was measured was not idleness.
BUSY_LIMIT = 0.05
_PARTS = 5


@dataclass(frozen=True, slots=True)
class IdlePower:
    """Mean watts of one device while the machine was quiet, with the lowest and highest part."""

    device: Device
    idle_w: Band


@dataclass(frozen=True, slots=True)
class IdleResult:
    """What was found in `seconds`; `busy_share` is the busy part of all CPUs, None if unknown."""

    seconds: float
    busy_share: float | None
    devices: tuple[IdlePower, ...]
    left_out: tuple[str, ...]

    @property
    def quiet(self) -> bool:
        """True if the machine was idle enough for the figure to mean it."""
        return self.busy_share is not None and self.busy_share <= BUSY_LIMIT


def measure_idle(
    meter: Meter,
    host: Host,
    seconds: float,
    threads: int,
    progress: Callable[[str], None] = lambda _text: None,
) -> IdleResult:
    """Watch the devices of an open meter for `seconds`, in parts whose spread gives the bounds.

    Only measured and derived devices count: a model's idle power is no measurement. A device with a
    gap is left out, and named.
    """
    from collectors.cpu_time import machine_busy_us

    watched = {
        key: device
        for key, device in meter.devices.items()
        if device.origin in ("measured", "derived")
    }
    watts: dict[str, list[float]] = {key: [] for key in watched}
    broken: dict[str, str] = {}
    busy_before, elapsed_s = machine_busy_us(host), 0.0
    for part in range(_PARTS):
        progress(f"idle, part {part + 1} of {_PARTS}")
        window = meter.window(seconds / _PARTS)
        elapsed_s += window.seconds
        for energy in window.devices:
            key = energy.device.key
            if key not in watched:
                continue
            mean_w = energy.watts
            if mean_w is None or energy.missing:
                broken[key] = ", ".join(energy.missing) or "no reading"
                continue
            watts[key].append(mean_w)
    busy_after = machine_busy_us(host)
    busy_share = None
    if busy_before is not None and busy_after is not None:
        busy_share = (busy_after - busy_before) / 1e6 / (elapsed_s * threads)
    return IdleResult(
        seconds=elapsed_s,
        busy_share=busy_share,
        devices=tuple(
            IdlePower(device, Band(fmean(watts[key]), min(watts[key]), max(watts[key])))
            for key, device in watched.items()
            if key not in broken
        ),
        left_out=tuple(f"{key}: {why}" for key, why in broken.items()),
    )
