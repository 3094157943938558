"""One GPU as NVML shows it: what it is, its energy meter, and what happens when it fails."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

from collectors.base import Device, Gap, GapCause, Observation, Reading
from collectors.disagreement import Disagreement
from collectors.nvidia_meter import COUNTER_TICK_S, CounterMeter, Meter, PowerMeter
from collectors.nvidia_power import find_power_sensor
from collectors.nvidia_processes import ProcessWatch

_NS: Final = 1_000_000_000
_FIRST_RETRY_S: Final = 5.0
_LAST_RETRY_S: Final = 300.0
_DISPLAY_PAUSE_NS: Final = _NS * 9 // 10  # temperature and clock are for people

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
        self._temperature_c: float | None = None
        self._clock_mhz: float | None = None
        self._displayed_ns = -_DISPLAY_PAUSE_NS
        self._started_ns = clock_ns()

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
        self._retry_at_ns = None
        self._retry_wait_s = _FIRST_RETRY_S
        observations = [self._dressed(one) for one in look.observations]
        shares = self._processes.look(self._clock_ns())
        if shares is not None:
            observations.append(shares)
        return observations, look.disagreement

    def due_ns(self) -> int | None:
        """When `poll()` is wanted, CLOCK_MONOTONIC; None: not at all."""
        return self.meter.due_ns() if self.last_error == 0 else None

    def poll(self) -> None:
        """Look at the hardware between two looks. The next look meets the same error, if any."""
        with contextlib.suppress(self._nvml.NVMLError):
            self.meter.poll()

    def _failed(self, code: int) -> list[Observation]:
        """The gap, after what was seen before it."""
        self.last_error = code
        kept = self.meter.missed()
        now_ns = self._clock_ns()
        since_ns = self.meter.last_ns
        cause = _LOST.get(code)
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

    def _dressed(self, one: Observation) -> Observation:
        if not isinstance(one, Reading):
            return one
        if one.t_mono_ns - self._displayed_ns >= _DISPLAY_PAUSE_NS:
            self._displayed_ns = one.t_mono_ns
            nvml = self._nvml
            self._temperature_c = _number(
                nvml, nvml.nvmlDeviceGetTemperature, self._handle, nvml.NVML_TEMPERATURE_GPU
            )
            self._clock_mhz = _number(
                nvml, nvml.nvmlDeviceGetClockInfo, self._handle, nvml.NVML_CLOCK_SM
            )
        return one._replace(temperature_c=self._temperature_c, clock_mhz=self._clock_mhz)


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
