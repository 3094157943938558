"""A power source that follows a script, with the truth at hand: for demos and for tests.

The scripted power goes through the same unwrapping and integration as a real counter's or sensor's,
so what a demo shows is what the product does.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal, Protocol

from collectors.base import Condition, Device, Domain, Gap, GapCause, Observation, Probe, Reading
from collectors.counter import Unwrapper
from collectors.host import Host
from collectors.integrate import PowerIntegrator

_NS = 1_000_000_000
_PLAUSIBLE_W = 2000.0
_COOL_C = 32.0  # of a scripted device without load
_WARMING_S = 40.0  # it shows the mean power of so many seconds


class Trace(Protocol):
    """A scripted power over time, with its integral. Times are seconds since the script's start."""

    def power_w(self, t_s: float) -> float:
        """Watts at an instant."""
        ...

    def energy_j(self, t_s: float) -> float:
        """Joules from the start to an instant: the exact integral of `power_w`."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """The same power all the time."""

    level_w: float

    def power_w(self, t_s: float) -> float:
        return self.level_w

    def energy_j(self, t_s: float) -> float:
        return self.level_w * t_s


@dataclass(frozen=True, slots=True)
class Square:
    """`low_w` and `high_w` in turn, beginning low; `duty` is the high part of each period."""

    low_w: float
    high_w: float
    period_s: float
    duty: float = 0.5

    def power_w(self, t_s: float) -> float:
        return self.low_w if t_s % self.period_s < self._low_s() else self.high_w

    def energy_j(self, t_s: float) -> float:
        periods = math.floor(t_s / self.period_s)
        rest_s = t_s - periods * self.period_s
        low_s = self._low_s()
        period_j = self.low_w * low_s + self.high_w * (self.period_s - low_s)
        rest_j = self.low_w * min(rest_s, low_s) + self.high_w * max(0.0, rest_s - low_s)
        return periods * period_j + rest_j

    def _low_s(self) -> float:
        return self.period_s * (1.0 - self.duty)


@dataclass(frozen=True, slots=True)
class Ramp:
    """From `start_w` to `end_w` in `duration_s`, then `end_w` for good."""

    start_w: float
    end_w: float
    duration_s: float

    def power_w(self, t_s: float) -> float:
        share = min(1.0, max(0.0, t_s / self.duration_s))
        return self.start_w + (self.end_w - self.start_w) * share

    def energy_j(self, t_s: float) -> float:
        rising_s = min(t_s, self.duration_s)
        rising_j = self.start_w * rising_s
        rising_j += (self.end_w - self.start_w) * rising_s * rising_s / self.duration_s / 2
        return rising_j + self.end_w * max(0.0, t_s - self.duration_s)


@dataclass(frozen=True, slots=True)
class Levels:
    """One power after the other, each for some seconds: (seconds, watts). The last one stays."""

    levels: tuple[tuple[float, float], ...]
    _ends_s: tuple[float, ...] = field(init=False, repr=False)
    _sums_j: tuple[float, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        ends = tuple(accumulate(seconds for seconds, _ in self.levels))
        sums = tuple(accumulate(seconds * watts for seconds, watts in self.levels))
        object.__setattr__(self, "_ends_s", ends)
        object.__setattr__(self, "_sums_j", sums)

    def power_w(self, t_s: float) -> float:
        return self.levels[self._place(t_s)][1]

    def energy_j(self, t_s: float) -> float:
        place = self._place(t_s)
        before_s = self._ends_s[place - 1] if place else 0.0
        before_j = self._sums_j[place - 1] if place else 0.0
        return before_j + (t_s - before_s) * self.levels[place][1]

    def _place(self, t_s: float) -> int:
        return min(bisect_right(self._ends_s, t_s), len(self.levels) - 1)


@dataclass(frozen=True, slots=True)
class FakeDevice:
    """One scripted device.

    kind: `counter` shows cumulative energy (wrapping at `range_j` if given), `power` shows watts.
    failures: (from_s, to_s, cause) spans in which every look fails.
    lost_after_s: from here on the device is gone for good (`lost`).
    warms_c_per_w, clock_hz: what it tells of its condition, None: nothing.
    """

    name: str
    trace: Trace
    domain: Domain = "cpu"
    kind: Literal["counter", "power"] = "counter"
    range_j: float | None = None
    failures: tuple[tuple[float, float, GapCause], ...] = ()
    lost_after_s: float | None = None
    warms_c_per_w: float | None = None
    clock_hz: float | None = None

    @property
    def key(self) -> str:
        """The device's key: `fake:<name>`."""
        return f"fake:{self.name}"


# What a demo shows: a processor with a training loop's rhythm, memory, and a GPU that warms up.
DEMO_DEVICES = (
    FakeDevice("cpu", Square(38.0, 92.0, 6.0, duty=0.7), range_j=65_536.0),
    FakeDevice("ram", Constant(9.0), "ram"),
    FakeDevice("gpu", Ramp(45.0, 240.0, 20.0), "gpu", "power"),
)


class FakeCollector:
    """Plays a script on the host's clock; the script starts with the first `probe()`."""

    name = "fake"
    isolate = False

    def __init__(self, host: Host, devices: Sequence[FakeDevice] = DEMO_DEVICES) -> None:
        self._host = host
        self._scripts = {device.key: device for device in devices}
        self._start_ns: int | None = None
        self._counters: dict[str, Unwrapper] = {}
        self._integrators: dict[str, PowerIntegrator] = {}
        self._last_good_ns: dict[str, int] = {}

    def probe(self) -> Probe:
        """Every scripted device. The first call starts the script and sets the zero."""
        if self._start_ns is None:
            self._start_ns = self._host.clock_ns()
            for key, script in self._scripts.items():
                if script.kind == "power":
                    self._integrators[key] = PowerIntegrator()
                    self._integrators[key].update(self._start_ns, script.trace.power_w(0.0))
                else:
                    self._counters[key] = Unwrapper(_range_uj(script), _PLAUSIBLE_W)
                    self._counters[key].update(self._start_ns, 0)
                self._last_good_ns[key] = self._start_ns
        return Probe(
            "fake",
            devices=tuple(self._device(script) for script in self._scripts.values()),
            reason="a script, no hardware",
            verified=False,
        )

    def read(self) -> Sequence[Observation]:
        """What the script shows now. Nothing before the first `probe()`."""
        if self._start_ns is None:
            return []
        found: list[Observation] = []
        for key, script in self._scripts.items():
            t_ns = self._host.clock_ns()
            t_s = (t_ns - self._start_ns) / _NS
            cause = _failure(script, t_s)
            if cause is not None:
                since_ns = self._last_good_ns[key]
                recoverable = cause != "lost" and script.kind == "counter"
                found.append(Gap(key, t_ns, since_ns, cause, "scripted", recoverable))
            else:
                found += self._look(key, script, t_ns, t_s)
                self._last_good_ns[key] = t_ns
        return found

    def conditions(self) -> list[Condition]:
        """What the scripted devices are like now: warmer after much power, slower without any."""
        if self._start_ns is None:
            return []
        t_ns = self._host.clock_ns()
        t_s = (t_ns - self._start_ns) / _NS
        seen = (
            _condition(script, t_ns, t_s)
            for script in self._scripts.values()
            if _failure(script, t_s) is None
        )
        return [one for one in seen if one.known]

    def close(self) -> None:
        """Nothing to give back."""

    def true_energy_j(self, key: str, t0_mono_ns: int, t1_mono_ns: int) -> float:
        """The script's exact energy of one device between two instants of the host's clock."""
        start_ns = self._start_ns or 0
        trace = self._scripts[key].trace
        return trace.energy_j((t1_mono_ns - start_ns) / _NS) - trace.energy_j(
            (t0_mono_ns - start_ns) / _NS
        )

    def _device(self, script: FakeDevice) -> Device:
        power = script.kind == "power"
        counter = self._counters.get(script.key)
        return Device(
            key=script.key,
            domain=script.domain,
            name=f"scripted {script.name}",
            origin="derived" if power else "measured",
            boundary="board" if script.domain in ("gpu", "system") else "die",
            source="fake",
            max_poll_s=counter.max_poll_s if counter else None,
            note="scripted, no hardware",
        )

    def _look(self, key: str, script: FakeDevice, t_ns: int, t_s: float) -> list[Observation]:
        power_w = script.trace.power_w(t_s)
        if script.kind == "power":
            integral = self._integrators[key].update(t_ns, power_w)
            found: list[Observation] = []
            if integral.gap_since_ns is not None:
                found.append(Gap(key, t_ns, integral.gap_since_ns, "invalid", "no look in time"))
            bounds = (integral.low_uj, integral.high_uj)
            return [*found, Reading(key, t_ns, integral.energy_uj, *bounds, power_w=power_w)]
        raw_uj = round(script.trace.energy_j(t_s) * 1e6)
        counter = self._counters[key]
        step = counter.update(t_ns, raw_uj % (_range_uj(script) or raw_uj + 1))
        if step.cause is None:
            return [Reading(key, t_ns, counter.energy_uj, power_w=power_w)]
        gap = Gap(key, t_ns, t_ns if step.since_ns is None else step.since_ns, step.cause)
        high_uj = counter.energy_uj + counter.hidden_uj
        return [gap, Reading(key, t_ns, counter.energy_uj, counter.energy_uj, high_uj)]


def _range_uj(script: FakeDevice) -> int | None:
    return None if script.range_j is None else round(script.range_j * 1e6)


def _failure(script: FakeDevice, t_s: float) -> GapCause | None:
    if script.lost_after_s is not None and t_s >= script.lost_after_s:
        return "lost"
    for from_s, to_s, cause in script.failures:
        if from_s <= t_s < to_s:
            return cause
    return None


def _condition(script: FakeDevice, t_ns: int, t_s: float) -> Condition:
    begin_s = max(0.0, t_s - _WARMING_S)
    power_w = script.trace.power_w(t_s)
    if t_s > begin_s:
        power_w = (script.trace.energy_j(t_s) - script.trace.energy_j(begin_s)) / (t_s - begin_s)
    celsius = None
    if script.warms_c_per_w is not None:
        celsius = round(_COOL_C + script.warms_c_per_w * power_w, 1)
    return Condition(script.key, t_ns, temperature_c=celsius, clock_hz=script.clock_hz)
