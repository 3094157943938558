"""How much of a device's energy is the job's: three figures that are always told apart.

    device     = energy of the device in the job's window
    above_idle = device - idle power x time, where idle power is known
    job_share  = above_idle x the job's share of busy time

With idle unknown the share is taken of the whole, and its bounds run from 0 to all of it.
"""

from __future__ import annotations

from typing import NamedTuple

# From this share of busy CPU time on, the machine counts as the job's own.
OWN_MACHINE = 0.9


class Energy:
    """Joules with bounds. Written out: as a dataclass it takes 5 ms at the end of every run."""

    __slots__ = ("high", "low", "value")

    def __init__(self, value: float, low: float, high: float) -> None:
        self.value = value
        self.low = low
        self.high = high

    def __add__(self, other: Energy) -> Energy:
        return Energy(self.value + other.value, self.low + other.low, self.high + other.high)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Energy):
            return NotImplemented
        return (self.value, self.low, self.high) == (other.value, other.low, other.high)

    def __hash__(self) -> int:
        return hash((self.value, self.low, self.high))

    def __repr__(self) -> str:
        return f"Energy({self.value!r}, {self.low!r}, {self.high!r})"


class Idle(NamedTuple):
    """Idle power in watts with bounds."""

    value: float
    low: float
    high: float


class Attribution(NamedTuple):
    """What of one device's energy is above idle, and what is the job's. None is unknown."""

    above_idle: Energy | None
    job_share: Energy | None


def busy_share(job_cpu_us: int | None, busy_us: int | None) -> float | None:
    """The job's part of all busy CPU time, 0 to 1; None if either is unknown.

    The kernel counts the machine's time in ticks of 10 ms and the job's in micro-seconds, so on a
    machine of its own the ratio may come out above one, and then is one.
    """
    if job_cpu_us is None or busy_us is None:
        return None
    if busy_us <= job_cpu_us:
        return 1.0 if job_cpu_us else 0.0
    return job_cpu_us / busy_us


def attribute(
    device: Energy, *, idle: Idle | None, seconds: float, share: float | None
) -> Attribution:
    """Split one device's energy over a window of `seconds`."""
    above = None
    if idle is not None:
        above = Energy(
            max(0.0, device.value - idle.value * seconds),
            max(0.0, device.low - idle.high * seconds),
            max(0.0, device.high - idle.low * seconds),
        )
    if share is None:
        return Attribution(above, None)
    if above is None:
        return Attribution(None, Energy(device.value * share, 0.0, device.high))
    return Attribution(above, Energy(above.value * share, above.low * share, above.high * share))


def modelled_above_idle(device: Energy, idle: Idle, seconds: float) -> Energy:
    """Energy of a model above its own idle: bounds move together, so they are not crossed.

    A model that draws twice as much when busy also idles at twice the power.
    """
    values = (
        max(0.0, device.value - idle.value * seconds),
        max(0.0, device.low - idle.low * seconds),
        max(0.0, device.high - idle.high * seconds),
    )
    return Energy(values[0], min(values), max(values))
