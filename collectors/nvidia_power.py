"""How a GPU's power reading is to be understood, and how often it has to be looked at.

`nvmlDeviceGetPowerUsage` is an instantaneous reading up to Turing and on GA100, and an average over
one second on other Ampere cards and everything newer, since driver 530 (nvml.h, and Yang et al.,
arXiv 2312.02741, table 2: RTX 3090 and H100 rise within a second of a step of power). Newer drivers
offer both under names of their own, the field values POWER_INSTANT and POWER_AVERAGE; where
POWER_INSTANT answers it is used.
"""

from __future__ import annotations

import time
from typing import Any, Final, NamedTuple

_AVERAGING_SINCE_DRIVER: Final = 530
_GA100_DEVICE_IDS: Final = range(0x2080, 0x2100)  # A100, A30, A800, CMP 170HX

_FAST_POLL_S: Final = 0.02
_LEARNING_POLLS: Final = 250
_CHANGES_WANTED: Final = 12
_CPU_SHARE: Final = 0.01  # of a core, at most, spent on background polling


class Character(NamedTuple):
    """A reading is the mean over `window_s` and is renewed every `tick_s` (table 2 ibidem)."""

    window_s: float
    tick_s: float


_AVERAGE: Final = Character(window_s=1.0, tick_s=0.1)
_UP_TO_PASCAL: Final = Character(window_s=0.01, tick_s=0.02)
_DATA_CENTRE: Final = Character(window_s=0.025, tick_s=0.1)  # GA100, Hopper and newer
_OTHER: Final = Character(window_s=0.1, tick_s=0.1)  # Turing, GeForce Ampere


class PowerSensor(NamedTuple):
    """A card's power reading: which call gives it and what it means."""

    # The pynvml module (untyped) or a stand-in, and its opaque handle.
    nvml: Any
    handle: Any
    instant_field: bool
    character: Character

    @property
    def description(self) -> str:
        """For `Device.source`."""
        if self.character is _AVERAGE:
            return "NVML power, 1 s average"
        return "NVML power, instantaneous"

    def read_w(self) -> float:
        """Watts. Raises the binding's NVMLError."""
        if self.instant_field:
            return _instant_mw(self.nvml, self.handle) / 1e3
        return int(self.nvml.nvmlDeviceGetPowerUsage(self.handle)) / 1e3


def find_power_sensor(nvml: Any, handle: Any) -> PowerSensor | None:
    """The card's best power reading, or None if it has none."""
    try:
        _instant_mw(nvml, handle)
        character = _character(nvml, handle, instant_field=True)
        return PowerSensor(nvml, handle, instant_field=True, character=character)
    except nvml.NVMLError:
        pass
    try:
        nvml.nvmlDeviceGetPowerUsage(handle)
    except nvml.NVMLError as error:
        if int(error.value) != nvml.NVML_ERROR_UNKNOWN:  # a passing failure does not decide this
            return None
    character = _character(nvml, handle, instant_field=False)
    return PowerSensor(nvml, handle, instant_field=False, character=character)


def _instant_mw(nvml: Any, handle: Any) -> int:
    value = nvml.nvmlDeviceGetFieldValues(handle, [nvml.NVML_FI_DEV_POWER_INSTANT])[0]
    if value.nvmlReturn != nvml.NVML_SUCCESS:
        raise nvml.NVMLError(value.nvmlReturn)
    return int(value.value.uiVal)


def _character(nvml: Any, handle: Any, *, instant_field: bool) -> Character:
    try:
        architecture = int(nvml.nvmlDeviceGetArchitecture(handle))
        device_id = int(nvml.nvmlDeviceGetPciInfo(handle).pciDeviceId) >> 16
        driver = int(str(nvml.nvmlSystemGetDriverVersion()).split(".", maxsplit=1)[0])
    except (nvml.NVMLError, ValueError):
        return _OTHER
    if architecture == nvml.NVML_DEVICE_ARCH_UNKNOWN:
        return _OTHER
    if architecture <= nvml.NVML_DEVICE_ARCH_PASCAL:
        return _UP_TO_PASCAL
    if architecture == nvml.NVML_DEVICE_ARCH_AMPERE and device_id in _GA100_DEVICE_IDS:
        return _DATA_CENTRE
    hopper = architecture >= nvml.NVML_DEVICE_ARCH_HOPPER
    # Hopper's driver averaged from its first release on.
    averages = hopper or (
        architecture >= nvml.NVML_DEVICE_ARCH_AMPERE and driver >= _AVERAGING_SINCE_DRIVER
    )
    if averages and not instant_field:
        return _AVERAGE
    return _DATA_CENTRE if hopper else _OTHER


class PollPace:
    """How long to wait between two looks at a power sensor of unknown update period.

    Starts fast, learns the period from the moments at which the value changes, then looks twice
    per period. A load that stays on a level hides updates, so a period that seems longer than the
    usual one is not believed. The pauses differ by up to a quarter so that they do not keep step
    with a load that repeats, and are stretched where looks would cost more than 1 % of a core.
    """

    __slots__ = (
        "_changes",
        "_cost_s",
        "_count",
        "_last_change_ns",
        "_last_w",
        "_period_s",
        "_spacings",
        "_usual_period_s",
    )

    def __init__(self, usual_period_s: float) -> None:
        self._usual_period_s = usual_period_s
        self._count = 0
        self._changes = 0
        self._last_w: float | None = None
        self._last_change_ns: int | None = None
        self._spacings: list[float] = []
        self._period_s: float | None = None
        self._cost_s = 0.0

    @property
    def period_s(self) -> float | None:
        """The sensor's update period once it is known."""
        return self._period_s

    def seen(self, t_ns: int, power_w: float, cost_s: float) -> None:
        """Note one look: its value, and the CPU seconds that it took."""
        self._count += 1
        self._cost_s += (cost_s - self._cost_s) / min(self._count, 50)
        if self._period_s is not None:
            return
        if self._last_w is not None and power_w != self._last_w:
            if self._last_change_ns is not None:
                self._spacings.append((t_ns - self._last_change_ns) / 1e9)
            self._last_change_ns = t_ns
        self._last_w = power_w
        if len(self._spacings) >= _CHANGES_WANTED:
            # A value may stay the same over an update, so the shorter spacings tell the period.
            middle_of_lower_half = sorted(self._spacings)[len(self._spacings) // 4]
            self._period_s = min(self._usual_period_s, middle_of_lower_half)
        elif self._count >= _LEARNING_POLLS:
            self._period_s = self._usual_period_s

    def interval_s(self) -> float:
        """Seconds to wait before the next look."""
        wanted_s = max(_FAST_POLL_S, self._period_s / 2 if self._period_s is not None else 0.0)
        # Multiples of the golden ratio spread evenly without a random generator's import.
        jitter = 0.75 + 0.5 * (self._count * 0.6180339887 % 1.0)
        return max(wanted_s * jitter, self._cost_s / _CPU_SHARE)


def cpu_seconds() -> float:
    """CPU time of this thread, to price a look."""
    return time.thread_time()
