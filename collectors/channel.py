"""One device being watched: from a look at its file to the observations that come of it.

Energy counters and power sensors of every source go through these two, so that a failed look, a
wrap or a long pause is reported the same way everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from collectors.base import Device, Gap, Observation, Reading
from collectors.counter import Unwrapper
from collectors.sysfs import SensorFile, gap_cause

if TYPE_CHECKING:  # RAPL needs no integrator, and its start is on every job's path
    from collectors.integrate import PowerIntegrator

_STAMP_NS = 1_000_000  # a counter is renewed about once a millisecond
_STAMP_TRIES = 2


class CounterChannel:
    """A device with a cumulative counter in micro-joules."""

    __slots__ = ("_counter", "_file", "device")

    def __init__(self, device: Device, file: SensorFile, counter: Unwrapper) -> None:
        self.device = device
        self._file = file
        self._counter = counter

    def observe(self, clock_ns: Callable[[], int]) -> list[Observation]:
        """One look: a reading, a gap, or both where more than one wrap may have happened."""
        counter, key = self._counter, self.device.key
        t_ns = clock_ns()
        try:
            raw_uj = self._file.read()
            for _ in range(_STAMP_TRIES):
                if clock_ns() - t_ns <= _STAMP_NS:
                    break
                # The processor was lost between clock and counter: 60 W for 20 ms are 1.2 J.
                t_ns = clock_ns()
                raw_uj = self._file.read()
        except OSError as error:
            since_ns = t_ns if counter.last_ns is None else counter.last_ns
            detail = f"{self._file.path}: {error.strerror}"
            # The counter itself goes on, so the next good look makes up for this one.
            return [Gap(key, t_ns, since_ns, gap_cause(error), detail, recoverable=True)]
        step = counter.update(t_ns, raw_uj)
        found: list[Observation] = []
        if step.cause is not None:
            since_ns = t_ns if step.since_ns is None else step.since_ns
            found.append(Gap(key, t_ns, since_ns, step.cause, step.detail))
        if step.cause in (None, "ambiguous"):
            hidden = counter.hidden_uj > 0
            found.append(
                Reading(
                    key,
                    t_ns,
                    counter.energy_uj,
                    low_uj=counter.energy_uj if hidden else None,
                    high_uj=counter.energy_uj + counter.hidden_uj if hidden else None,
                    power_w=counter.power_w,
                )
            )
        return found

    def state(self) -> tuple[int, ...]:
        """What a successor must know, see `Unwrapper.state`."""
        return self._counter.state()

    def resume(self, state: tuple[int, ...]) -> None:
        """Go on from a predecessor's `state()`."""
        self._counter.resume(state)

    def peek(self) -> int:
        """The counter's raw value, without taking it as a look. Raises OSError."""
        return self._file.read()

    def close(self) -> None:
        """Close the counter's file. Safe to call twice."""
        self._file.close()


class PowerChannel:
    """A device that only shows power, in watts; its energy is integrated.

    read_w: gives watts or raises OSError. integrator: had its first sample at `probe()`.
    close: gives back what `read_w` holds open.
    """

    __slots__ = ("_close", "_integrator", "_last_ns", "_read_w", "device")

    def __init__(
        self,
        device: Device,
        read_w: Callable[[], float],
        integrator: PowerIntegrator,
        close: Callable[[], None],
    ) -> None:
        self.device = device
        self._read_w = read_w
        self._integrator = integrator
        self._close = close
        self._last_ns = integrator.last_ns

    def observe(self, clock_ns: Callable[[], int]) -> list[Observation]:
        """One look: a reading, a gap, or both after a pause that was too long to be bridged."""
        key, t_ns = self.device.key, clock_ns()
        try:
            power_w = self._read_w()
        except OSError as error:
            since_ns = t_ns if self._last_ns is None else self._last_ns
            detail = str(error.strerror)
            bridged = self._integrator.bridges(t_ns)
            return [Gap(key, t_ns, since_ns, gap_cause(error), detail, recoverable=bridged)]
        integral = self._integrator.update(t_ns, power_w)
        self._last_ns = t_ns
        reading = Reading(
            key, t_ns, integral.energy_uj, integral.low_uj, integral.high_uj, power_w=power_w
        )
        if integral.gap_since_ns is None:
            return [reading]
        detail = "no look for too long to join the samples"
        return [Gap(key, t_ns, integral.gap_since_ns, "invalid", detail), reading]

    def interrupt(self) -> None:
        """The stretch ends here: what comes later is not joined to it."""
        self._integrator.restart()

    def close(self) -> None:
        """Give back the sensor. Safe to call twice."""
        self._close()
