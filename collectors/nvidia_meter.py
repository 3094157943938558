"""A GPU's energy so far: from its own counter, or from its power where it has none."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from collectors.base import Gap, Observation, Reading
from collectors.disagreement import CrossCheck, Disagreement
from collectors.integrate import Integral, PowerIntegrator
from collectors.nvidia_power import PollPace, PowerSensor, cpu_seconds
from collectors.nvidia_tick import TickPhase

_NS: Final = 1_000_000_000
COUNTER_TICK_S: Final = 0.1  # the driver renews the counter every 100 ms
# A card that falls off the bus takes its counter along; what it had shown until then is kept.
_WATCH_EVERY_NS: Final = _NS // 10
_MEAN_NS: Final = _NS // 2  # over less, a counter with steps of a tick gives no good mean power
_UNKNOWN_POWER_W: Final = 300.0  # for the bound of one tick where the card tells no power at all


class Look(NamedTuple):
    """What one look gave: a reading unless the counter was reset, and the gaps before it."""

    observations: list[Observation]
    power_w: float | None = None
    disagreement: Disagreement | None = None


class Meter(Protocol):
    """Energy of one GPU since the first look. `look()` and `poll()` raise NVMLError."""

    @property
    def last_ns(self) -> int | None:
        """Instant of the last good look."""
        ...

    def look(self) -> Look:
        """Read the hardware once."""
        ...

    def due_ns(self) -> int | None:
        """When `poll()` is wanted, CLOCK_MONOTONIC; None: not at all."""
        ...

    def poll(self) -> None:
        """Look at the hardware between two looks."""
        ...

    def missed(self, gone_ns: int | None) -> Reading | None:
        """A look failed. What was seen between the last look and the failure, if anything was.

        `gone_ns`: when the card was first found to be gone; None if it is still there.
        """
        ...

    def state(self) -> tuple[Any, ...]:
        """What a successor in another process needs."""
        ...

    def resume(self, state: tuple[Any, ...]) -> None:
        """Continue a predecessor's figure; before the first look."""
        ...


class CounterMeter:
    """Milli-joules since the driver was loaded (64 bits, so it cannot wrap; going back is a reset).

    The counter stands still for a tick and then jumps. Where the instants of its steps are known
    (`TickPhase`), the energy since the last one is added at the present power; the bounds leave the
    whole of it in doubt, at the zero and now.
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
        self._phase = TickPhase()
        self._last_raw_mj: int | None = None
        self._last_ns: int | None = None
        self._last_w: float | None = None
        self._zero_w: float | None = None  # power at the zero
        self._total_mj = 0
        self._told_uj = 0
        self._ahead_uj = 0  # energy before the zero that the counter shows after it
        self._start_doubt_uj = 0
        self._polled: tuple[int, int, int] | None = None  # newest look between two looks

    @property
    def last_ns(self) -> int | None:
        """Instant of the last good look."""
        return self._last_ns

    def due_ns(self) -> int | None:
        """When a look is wanted for the phase of the counter's steps, or just to have one."""
        if self._last_ns is None:
            return None
        newest_ns = self._polled[0] if self._polled is not None else self._last_ns
        watch_ns = max(newest_ns, self._last_ns) + _WATCH_EVERY_NS
        phase_ns = self._phase.due_ns()
        return watch_ns if phase_ns is None else min(watch_ns, phase_ns)

    def poll(self) -> None:
        """Look at the counter between two looks. Raises NVMLError."""
        self._polled = t_ns, _, raw_mj = self._read()
        self._phase.seen(t_ns, raw_mj)

    def look(self) -> Look:
        """Read counter and power once. Raises NVMLError if the counter cannot be read."""
        wait_ns = self._phase.settle_ns(self._clock_ns())
        if wait_ns:
            time.sleep(wait_ns / _NS)
        t_ns, took_ns, raw_mj = self._read()
        self._phase.seen(t_ns, raw_mj)
        power_w = self._read_power()
        last_raw_mj, last_ns, last_w = self._last_raw_mj, self._last_ns, self._last_w
        self._last_raw_mj, self._last_ns = raw_mj, t_ns
        if power_w is not None:
            self._last_w = power_w
        if last_raw_mj is None or last_ns is None:
            self._begin(power_w)
            self._compare(t_ns, power_w)
            return Look([Reading(self._device, t_ns, 0, 0, 0, power_w)], power_w)
        if raw_mj < last_raw_mj:
            return Look([self._reset(t_ns, last_ns, last_raw_mj)], power_w)
        self._total_mj += raw_mj - last_raw_mj
        highest_w = max((w for w in (power_w, last_w) if w is not None), default=self._guess_w)
        reading = self._reading(t_ns, took_ns, power_w, highest_w)
        return Look([reading], power_w, self._compare(t_ns, power_w))

    def missed(self, gone_ns: int | None) -> Reading | None:
        """A look failed. The counter as it was polled last: of a lost card, all there will be.

        A card that was there at the last poll and gone at the next one went at some moment between
        them: the middle is taken, at the mean power since the last look, and the bounds take either
        end.
        """
        self._check.restart()
        polled, self._polled = self._polled, None
        if polled is None or self._last_raw_mj is None or self._last_ns is None:
            return None
        t_ns, took_ns, raw_mj = polled
        if t_ns <= self._last_ns or raw_mj < self._last_raw_mj:
            return None
        power_w, since_ns = self._last_w, t_ns - self._last_ns
        if since_ns >= _MEAN_NS:
            power_w = (raw_mj - self._last_raw_mj) * 1e6 / since_ns
        self._total_mj += raw_mj - self._last_raw_mj
        self._last_raw_mj, self._last_ns = raw_mj, t_ns
        highest_w = self._guess_w if self._last_w is None else self._last_w
        reading = self._reading(t_ns, took_ns, power_w, highest_w)
        if gone_ns is None or power_w is None or gone_ns - t_ns > 2 * _WATCH_EVERY_NS:
            return reading
        half_ns = (gone_ns - t_ns) // 2
        self._last_ns += half_ns
        self._told_uj += round(power_w * half_ns / 1e3)
        return reading._replace(
            t_mono_ns=self._last_ns,
            energy_uj=self._told_uj,
            high_uj=(reading.high_uj or reading.energy_uj) + round(highest_w * 2 * half_ns / 1e3),
        )

    def state(self) -> tuple[Any, ...]:
        """Last raw counter, energy so far, what was told, doubt about the zero, instant."""
        return (
            "counter",
            self._last_raw_mj,
            self._total_mj,
            self._told_uj,
            self._ahead_uj,
            self._start_doubt_uj,
            self._last_ns,
        )

    def resume(self, state: tuple[Any, ...]) -> None:
        """Continue from a predecessor's raw counter: what was spent meanwhile is in the counter."""
        if state[0] != "counter" or state[1] is None:
            return
        _, self._last_raw_mj, self._total_mj, self._told_uj = state[:4]
        self._ahead_uj, self._start_doubt_uj, self._last_ns = state[4:]

    def _read(self) -> tuple[int, int, int]:
        """Instant, nanoseconds that the call took, and milli-joules."""
        before_ns = self._clock_ns()
        raw_mj = int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        after_ns = self._clock_ns()
        return (before_ns + after_ns) // 2, after_ns - before_ns, raw_mj

    def _read_power(self) -> float | None:
        if self._power is None:
            return None
        try:
            return self._power.read_w()
        except self._nvml.NVMLError:
            return None  # only the display, the tick under way and the bounds depend on it

    def _begin(self, power_w: float | None) -> None:
        self._zero_w = power_w
        guess_w = self._guess_w if power_w is None else power_w
        self._start_doubt_uj = round(guess_w * COUNTER_TICK_S * 1e6)

    def _reset(self, t_ns: int, last_ns: int, last_raw_mj: int) -> Gap:
        """What was spent between the last look and now is not in the figure."""
        self._check.restart()
        self._phase.forget()
        # The new zero has a tick in doubt of its own.
        guess_w = self._guess_w if self._last_w is None else self._last_w
        self._start_doubt_uj += round(guess_w * COUNTER_TICK_S * 1e6)
        detail = f"the energy counter went back from {last_raw_mj} to {self._last_raw_mj} mJ"
        return Gap(self._device, t_ns, last_ns, "reset", detail)

    def _reading(self, t_ns: int, took_ns: int, power_w: float | None, highest_w: float) -> Reading:
        if self._zero_w is not None and self._phase.zero_age_ns is not None:
            self._ahead_uj = round(self._zero_w * self._phase.zero_age_ns / 1e3)
            self._zero_w = None
        counted_uj = self._total_mj * 1000
        age_ns = self._phase.age_ns(t_ns)
        behind_uj = 0 if age_ns is None or power_w is None else round(power_w * age_ns / 1e3)
        # A step of power within the tick makes the addition too large; the figure then waits.
        self._told_uj = max(self._told_uj, counted_uj - self._ahead_uj + behind_uj)
        # A call that took long may have looked at any moment of it.
        doubt_s = COUNTER_TICK_S + took_ns / 2 / _NS
        return Reading(
            self._device,
            t_ns,
            self._told_uj,
            low_uj=min(self._told_uj, max(0, counted_uj - self._start_doubt_uj)),
            high_uj=max(self._told_uj, counted_uj + round(highest_w * doubt_s * 1e6)),
            power_w=power_w,
        )

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
        self._integrator = PowerIntegrator(
            window_s=sensor.character.window_s, tick_s=sensor.character.tick_s
        )
        self._pace = PollPace(sensor.character.tick_s)
        self._gaps: list[Gap] = []
        self._base = Integral(0, 0, 0)  # a predecessor's figure
        self._now = Integral(0, 0, 0)
        self._resumed_ns: int | None = None

    @property
    def last_ns(self) -> int | None:
        """Instant of the last good look."""
        return self._integrator.last_ns or self._resumed_ns

    def due_ns(self) -> int | None:
        """When the next power sample is wanted."""
        last_ns = self._integrator.last_ns
        return None if last_ns is None else last_ns + int(self._pace.interval_s() * _NS)

    def poll(self) -> None:
        """Take one power sample. Raises NVMLError."""
        self._sample()

    def _sample(self) -> tuple[int, float]:
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
        t_ns, power_w = self._sample()
        gaps, self._gaps = self._gaps, []
        total = self._total()
        reading = Reading(self._device, t_ns, total.energy_uj, total.low_uj, total.high_uj, power_w)
        return Look([*gaps, reading], power_w)

    def missed(self, gone_ns: int | None) -> Reading | None:
        """A look failed. What has been integrated since the last one, up to the last sample."""
        del gone_ns  # the samples follow each other closely
        t_ns = self._integrator.last_ns
        if t_ns is None:
            return None
        total = self._total()
        return Reading(self._device, t_ns, total.energy_uj, total.low_uj, total.high_uj)

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
