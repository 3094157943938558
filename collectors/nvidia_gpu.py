"""One GPU as NVML shows it: what it is, its energy meter, and what happens when it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from collectors.base import CONDITION_PAUSE_NS, Condition, Device, Gap, GapCause, Observation
from collectors.disagreement import Disagreement
from collectors.nvidia_meter import COUNTER_TICK_S, CounterMeter, Meter, PowerMeter
from collectors.nvidia_power import find_power_sensor
from collectors.nvidia_processes import ProcessWatch

_NS: Final = 1_000_000_000
_FIRST_RETRY_S: Final = 5.0
_LAST_RETRY_S: Final = 300.0

# Slope of NVML against an external meter over more than 70 cards: 0.94 to 1.06 per card
# (Yang, Adámek and Armour, SC24, arXiv 2312.02741).
GAIN_LOW: Final = 0.94
GAIN_HIGH: Final = 1.06

# NVML return codes (nvml.h) by what they mean for a card that answered before.
_LOST: Final[dict[int, GapCause]] = {
    1: "vanished",  # uninitialized: the driver went away beneath us
    3: "vanished",  # not supported any more: the card was put into another mode
    4: "permission",
    9: "vanished",  # driver not loaded
    15: "lost",  # fell off the bus
    16: "lost",  # needs a reset
    28: "lost",  # not found
}
_TIMEOUT: Final = 10
DRIVER_GONE: Final = (1, 9)


class Gpu:
    """A GPU and its energy since the first look. Never raises for hardware."""

    def __init__(
        self, nvml: Any, handle: Any, device: Device, meter: Meter, clock_ns: Callable[[], int]
    ) -> None:
        self.device = device
        self.meter = meter
        self.last_error = 0  # NVML's code for the last look, 0 for a good one
        self._nvml = nvml
        self._handle = handle
        self._clock_ns = clock_ns
        self._processes = ProcessWatch(nvml, handle, device.key)
        self._retry_wait_s = _FIRST_RETRY_S
        self._retry_at_ns: int | None = None  # set while the card is gone
        self._conditions_at_ns: int | None = None  # None: not before the second look
        self._started_ns = clock_ns()
        self._silent_ns: int | None = None  # the first poll that failed since the last good look

    def look(self) -> tuple[list[Observation], Disagreement | None]:
        """Reading, gaps and process shares. Nothing while a card is gone and not yet retried."""
        now_ns = self._clock_ns()
        if self._retry_at_ns is not None and now_ns < self._retry_at_ns:
            return [], None
        try:
            look = self.meter.look()
        except self._nvml.NVMLError as error:
            return self._failed(int(error.value)), None
        self.last_error = 0
        self._silent_ns = None
        self._retry_at_ns = None
        self._retry_wait_s = _FIRST_RETRY_S
        observations = list(look.observations)
        shares = self._processes.look(self._clock_ns())
        if shares is not None:
            observations.append(shares)
        observations += self._conditions()
        return observations, look.disagreement

    def due_ns(self) -> int | None:
        """When `poll()` is wanted, CLOCK_MONOTONIC; None: not at all."""
        return self.meter.due_ns() if self.last_error == 0 else None

    def poll(self) -> None:
        """Look at the hardware between two looks. The next look meets the same error, if any."""
        try:
            self.meter.poll()
        except self._nvml.NVMLError:
            self._silent_ns = self._silent_ns or self._clock_ns()
        else:
            self._silent_ns = None

    def _failed(self, code: int) -> list[Observation]:
        """The gap, after what was seen before it."""
        self.last_error = code
        cause = _LOST.get(code)
        now_ns = self._clock_ns()
        kept = self.meter.missed(None if cause is None else self._silent_ns or now_ns)
        since_ns = self.meter.last_ns
        detail = f"NVML: {_text(self._nvml, code)} ({code})"
        if cause is not None:
            self._retry_at_ns = now_ns + int(self._retry_wait_s * _NS)
            self._retry_wait_s = min(_LAST_RETRY_S, self._retry_wait_s * 2)
        gap = Gap(
            device=self.device.key,
            t_mono_ns=now_ns,
            since_mono_ns=self._started_ns if since_ns is None else since_ns,
            cause=cause or ("timeout" if code == _TIMEOUT else "invalid"),
            detail=detail,
            # A passing failure is made good by the next look: the counter kept counting, and the
            # integrator bridges a pause (or reports it, if it is long).
            recoverable=cause is None,
        )
        return [gap] if kept is None else [kept, gap]

    def _conditions(self) -> list[Condition]:
        """Temperature and the like, at times and never with the first look: a job may wait."""
        now_ns = self._clock_ns()
        if self._conditions_at_ns is None:
            self._conditions_at_ns = now_ns
            return []
        if now_ns < self._conditions_at_ns:
            return []
        self._conditions_at_ns = now_ns + CONDITION_PAUSE_NS
        nvml, handle = self._nvml, self._handle
        celsius = _number(nvml, nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU)
        clock_mhz = _number(nvml, nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_SM)
        fan_percent = _number(nvml, nvml.nvmlDeviceGetFanSpeed, handle)
        try:
            busy_percent = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        except nvml.NVMLError:
            busy_percent = None
        seen = Condition(
            self.device.key,
            now_ns,
            temperature_c=celsius,
            clock_hz=None if clock_mhz is None else clock_mhz * 1e6,
            fan_share=None if fan_percent is None else fan_percent / 100,
            busy_share=None if busy_percent is None else busy_percent / 100,
        )
        return [seen] if seen.known else []


def open_gpu(nvml: Any, handle: Any, clock_ns: Callable[[], int]) -> Gpu | str:
    """The GPU behind a handle, or in words why its energy cannot be had. Raises NVMLError."""
    uuid = str(nvml.nvmlDeviceGetUUID(handle))
    name = str(nvml.nvmlDeviceGetName(handle))
    limit_mw = _number(nvml, nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    limit_w = None if limit_mw is None else limit_mw / 1e3
    sensor = find_power_sensor(nvml, handle)
    device = Device(
        key=f"nvidia:{uuid}",
        domain="gpu",
        name=name,
        origin="measured",
        boundary="board",
        source="NVML energy counter",
        tick_s=COUNTER_TICK_S,
        power_limit_w=limit_w,
        gain_low=GAIN_LOW,
        gain_high=GAIN_HIGH,
        note=_note(nvml, handle),
    )
    meter: Meter
    if _has_counter(nvml, handle):
        meter = CounterMeter(
            device.key, nvml, handle, power=sensor, limit_w=limit_w, clock_ns=clock_ns
        )
    elif sensor is not None:
        tick_s = sensor.character.tick_s
        device = device._replace(origin="derived", source=sensor.description, tick_s=tick_s)
        meter = PowerMeter(device.key, nvml, sensor, clock_ns)
    else:
        return f"{name} has neither an energy counter nor a power reading"
    return Gpu(nvml, handle, device, meter, clock_ns)


def _has_counter(nvml: Any, handle: Any) -> bool:
    for _ in range(2):
        try:
            nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
            return True
        except nvml.NVMLError as error:
            if int(error.value) != nvml.NVML_ERROR_UNKNOWN:
                return False
    return True  # fails without saying that there is none: the looks will tell


def _note(nvml: Any, handle: Any) -> str:
    try:
        mig_on = nvml.nvmlDeviceGetMigMode(handle)[0] == 1
    except nvml.NVMLError:
        mig_on = False
    return "MIG is on: the figure is the whole card's, all its instances together" if mig_on else ""


def _number(nvml: Any, call: Callable[..., Any], *arguments: Any) -> float | None:
    try:
        return float(call(*arguments))
    except nvml.NVMLError:
        return None


def _text(nvml: Any, code: int) -> str:
    try:
        return str(nvml.NVMLError(code)).lower()
    except nvml.NVMLError:
        return "unknown error"
