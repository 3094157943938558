"""A GPU's energy so far: from its own counter, or from its power where it has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from collectors.base import Gap, Observation, Reading
from collectors.disagreement import CrossCheck, Disagreement
from collectors.integrate import Integral, PowerIntegrator
from collectors.nvidia_power import DEFAULT_TICK_S, PollPace, PowerSensor, cpu_seconds

_NS: Final = 1_000_000_000
COUNTER_TICK_S: Final = 0.1  # the driver renews the counter every 100 ms
_UNKNOWN_POWER_W: Final = 300.0  # for the bound of one tick where the card tells no power at all


@dataclass(frozen=True, slots=True)
class Look:
    """What one look gave: a reading unless the counter was reset, and the gaps before it."""

    observations: list[Observation]
    power_w: float | None = None
    disagreement: Disagreement | None = None


class Meter(Protocol):
    """Energy of one GPU since the first look. `look()` raises the binding's NVMLError."""

    @property
    def last_ns(self) -> int | None:
        """Instant of the last good look."""
        ...

    def look(self) -> Look:
        """Read the hardware once."""
        ...

    def missed(self) -> None:
        """A look failed."""
        ...

    def state(self) -> tuple[Any, ...]:
        """What a successor in another process needs."""
        ...

    def resume(self, state: tuple[Any, ...]) -> None:
        """Continue a predecessor's figure; before the first look."""
        ...


class CounterMeter:
    """Milli-joules since the driver was loaded (64 bits, so it cannot wrap; going back is a reset).

    The counter stands still for up to one tick and then jumps, so the energy of one tick is in
    doubt at the zero (it may belong to the time before) and now (it may not be counted yet).
    """

    def __init__(
        self,
        device: str,
        nvml: Any,
        handle: Any,
        *,
        power: PowerSensor | None,
        limit_w: float | None,
        clock_ns: Callable[[], int],
    ) -> None:
        self._device = device
        self._nvml = nvml
        self._handle = handle
        self._power = power
        self._guess_w = limit_w or _UNKNOWN_POWER_W
        self._clock_ns = clock_ns
        self._check = CrossCheck(device)
        self._last_raw_mj: int | None = None
        self._last_ns: int | None = None
        self._last_w = 0.0
        self._total_mj = 0
        self._start_doubt_uj = 0

    @property
    def last_ns(self) -> int | None:
        """Instant of the last good look."""
        return self._last_ns

    def look(self) -> Look:
        """Read counter and power once. Raises NVMLError if the counter cannot be read."""
        before_ns = self._clock_ns()
        raw_mj = int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        after_ns = self._clock_ns()
        t_ns = (before_ns + after_ns) // 2
        power_w = self._read_power()
        if self._last_raw_mj is None:
            # The zero: the tick under way belongs partly to the time before us.
            self._start_doubt_uj = self._doubt_uj(power_w, before_ns, after_ns)
            self._note(t_ns, raw_mj, power_w)
            self._compare(t_ns, power_w)
            return Look([Reading(self._device, t_ns, 0, 0, 0, power_w)], power_w)
        if raw_mj < self._last_raw_mj:
            gap = self._reset(t_ns, raw_mj)
            self._note(t_ns, raw_mj, power_w)
            return Look([gap], power_w)
        self._total_mj += raw_mj - self._last_raw_mj
        doubt_uj = self._doubt_uj(power_w, before_ns, after_ns)
        self._note(t_ns, raw_mj, power_w)
        energy_uj = self._total_mj * 1000
        low_uj = max(0, energy_uj - self._start_doubt_uj)
        reading = Reading(self._device, t_ns, energy_uj, low_uj, energy_uj + doubt_uj, power_w)
        return Look([reading], power_w, self._compare(t_ns, power_w))

    def missed(self) -> None:
        """A look failed; the cross-check's window has a hole, the counter has none."""
        self._check.restart()

    def state(self) -> tuple[Any, ...]:
        """Last raw counter, energy so far, doubt about the zero, instant."""
        return ("counter", self._last_raw_mj, self._total_mj, self._start_doubt_uj, self._last_ns)

    def resume(self, state: tuple[Any, ...]) -> None:
        """Continue from a predecessor's raw counter: what was spent meanwhile is in the counter."""
        if state[0] == "counter" and state[1] is not None:
            _, self._last_raw_mj, self._total_mj, self._start_doubt_uj, self._last_ns = state

    def _reset(self, t_ns: int, raw_mj: int) -> Gap:
        assert self._last_ns is not None
        self._check.restart()
        # What was spent between the last look and the reset, and since, is not in the figure.
        detail = f"the energy counter went back from {self._last_raw_mj} to {raw_mj} mJ"
        # The new zero has a tick in doubt of its own.
        self._start_doubt_uj += round(self._guess(self._last_w or None) * COUNTER_TICK_S * 1e6)
        return Gap(self._device, t_ns, self._last_ns, "reset", detail)

    def _read_power(self) -> float | None:
        if self._power is None:
            return None
        try:
            return self._power.read_w()
        except self._nvml.NVMLError:
            return None  # only the display and the width of the bounds depend on it

    def _guess(self, power_w: float | None) -> float:
        return max(power_w, self._last_w) if power_w is not None else self._last_w or self._guess_w

    def _doubt_uj(self, power_w: float | None, before_ns: int, after_ns: int) -> int:
        """Energy of one tick, and of half the call where the call itself took long."""
        seconds = COUNTER_TICK_S + (after_ns - before_ns) / 2 / _NS
        return round(self._guess(power_w) * seconds * 1e6)

    def _note(self, t_ns: int, raw_mj: int, power_w: float | None) -> None:
        self._last_ns = t_ns
        self._last_raw_mj = raw_mj
        if power_w is not None:
            self._last_w = power_w

    def _compare(self, t_ns: int, power_w: float | None) -> Disagreement | None:
        if power_w is None:
            self._check.restart()
            return None
        return self._check.update(t_ns, self._total_mj * 1000, power_w)


class PowerMeter:
    """Integrated power of a card without an energy counter. `poll()` wants to be called often."""

    def __init__(
        self, device: str, nvml: Any, sensor: PowerSensor, clock_ns: Callable[[], int]
    ) -> None:
        self._device = device
        self._nvml = nvml
        self._sensor = sensor
        self._clock_ns = clock_ns
        self._integrator = PowerIntegrator(window_s=sensor.window_s, tick_s=DEFAULT_TICK_S)
        self._pace = PollPace()
        self._gaps: list[Gap] = []
        self._base = Integral(0, 0, 0)  # a predecessor's figure
        self._now = Integral(0, 0, 0)
        self._resumed_ns: int | None = None

    @property
    def last_ns(self) -> int | None:
        """Instant of the last good look."""
        return self._integrator.last_ns or self._resumed_ns

    def interval_s(self) -> float:
        """Seconds until `poll()` should be called again."""
        return self._pace.interval_s()

    def poll(self) -> tuple[int, float]:
        """Take one power sample: its instant and watts. Raises NVMLError."""
        cpu_before_s = cpu_seconds()
        before_ns = self._clock_ns()
        power_w = self._sensor.read_w()
        t_ns = (before_ns + self._clock_ns()) // 2
        if self._integrator.last_ns is None and self._resumed_ns is not None:
            since_ns, self._resumed_ns = self._resumed_ns, None
            self._gaps.append(self._gap(t_ns, since_ns, "its reader was restarted"))
        self._now = self._integrator.update(t_ns, power_w)
        if self._now.gap_since_ns is not None:
            self._gaps.append(self._gap(t_ns, self._now.gap_since_ns, "no power sample meanwhile"))
        self._pace.seen(t_ns, power_w, cpu_seconds() - cpu_before_s)
        return t_ns, power_w

    def look(self) -> Look:
        """Take one power sample and say what has been integrated so far. Raises NVMLError."""
        t_ns, power_w = self.poll()
        gaps, self._gaps = self._gaps, []
        total = self._total()
        reading = Reading(self._device, t_ns, total.energy_uj, total.low_uj, total.high_uj, power_w)
        return Look([*gaps, reading], power_w)

    def missed(self) -> None:
        """A look failed; the integrator bridges it, or reports the gap, at the next sample."""

    def state(self) -> tuple[Any, ...]:
        """Energy so far with its bounds, instant."""
        total = self._total()
        return ("power", total.energy_uj, total.low_uj, total.high_uj, self.last_ns)

    def resume(self, state: tuple[Any, ...]) -> None:
        """Continue a predecessor's figure; what was spent meanwhile is a gap."""
        if state[0] == "power" and state[4] is not None:
            self._base = Integral(state[1], state[2], state[3])
            self._resumed_ns = state[4]

    def _total(self) -> Integral:
        base, now = self._base, self._now
        return Integral(
            base.energy_uj + now.energy_uj, base.low_uj + now.low_uj, base.high_uj + now.high_uj
        )

    def _gap(self, t_ns: int, since_ns: int, detail: str) -> Gap:
        return Gap(self._device, t_ns, since_ns, "timeout", detail)
