"""Turns a hardware energy counter that wraps, stops and restarts into energy that only grows.

The rules, for a counter with range R that showed `previous` and now, `dt` seconds later, `current`:

1. Forward: the energy is the difference. A difference that would need more than the plausible
   maximum power P is no energy but a jump (`invalid`).
2. Backward: a wrap if `R - previous + current` needs no more than P, else a `reset`; nothing is
   added then, since what the counter lost is unknown. The process that holds this object cannot
   outlive a boot, so "same boot" is always true here.
3. More wraps than one cannot be seen. If further whole ranges would fit under the power that this
   counter can have had in `dt`, the interval is `ambiguous`: the least consistent energy is added,
   and the upper bound takes all the ranges that fit. The power it can have had is P; or, if this
   interval looks like the last eight (its least power is within four times theirs), four times
   their highest.

P is the caller's (three times the published maximum, or 2 kW a socket). For rule 3 it is capped at
R / 0.5 s: a counter that is full twice a second is no hardware (real ranges last minutes), but
simulations use small ranges, and the cap keeps every interval of up to half a second exact there.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from collectors.base import GapCause

_NS = 1_000_000_000
# Between the clock's look and the counter's the reader may lose the processor.
_SLACK_NS = 100_000_000
_SHORTEST_WRAP_S = 0.5
_LEARN_FACTOR = 4.0
_LEARN_INTERVALS = 8
# A counter with a 1 ms tick shows any power from zero to several times the truth over less.
_LEARN_LEAST_NS = 10_000_000


class Step(NamedTuple):  # a frozen dataclass costs every job's start 1.3 ms more
    """What one look added: micro-joules, how many more may hide, and a cause if it is not exact.

    cause is None (exact), `ambiguous` (the figure is the least, `hidden_uj` more may be missing),
    `reset` or `invalid` (nothing was added: the interval's energy is unknown). `since_ns` is the
    look before, None for the first.
    """

    delta_uj: int
    hidden_uj: int = 0
    cause: GapCause | None = None
    detail: str = ""
    since_ns: int | None = None


class Unwrapper:
    """The growing figure of one wrapping counter, fed with raw values in micro-joules.

    range_uj: the value after which the counter starts at 0 again; None if it cannot wrap.
    plausible_max_w: more power than this the counter can not have had.
    """

    __slots__ = (
        "_last_ns",
        "_last_uj",
        "_plausible_max_w",
        "_range_uj",
        "_recent_w",
        "energy_uj",
        "hidden_uj",
        "power_w",
    )

    def __init__(self, range_uj: int | None, plausible_max_w: float) -> None:
        self._range_uj = range_uj if range_uj and range_uj > 0 else None
        self._plausible_max_w = plausible_max_w
        self._last_uj: int | None = None
        self._last_ns = 0
        self._recent_w: deque[float] = deque(maxlen=_LEARN_INTERVALS)
        self.energy_uj = 0  # since the first look
        self.hidden_uj = 0  # what ambiguous intervals may have hidden, in total
        self.power_w: float | None = None  # mean of the last exact interval

    @property
    def last_ns(self) -> int | None:
        """Instant of the last good look, None before the first."""
        return None if self._last_uj is None else self._last_ns

    @property
    def max_poll_s(self) -> float | None:
        """The longest pause between two looks that cannot hide a wrap; None if it cannot wrap."""
        if self._range_uj is None:
            return None
        return self._range_uj / 1e6 / self._ceiling_w()

    def update(self, t_ns: int, raw_uj: int) -> Step:
        """Take one look: the counter showed `raw_uj` at CLOCK_MONOTONIC `t_ns`."""
        previous_uj, since_ns = self._last_uj, self._last_ns
        self._last_uj, self._last_ns = raw_uj, t_ns
        if previous_uj is None:
            return Step(0)
        dt_ns = max(0, t_ns - since_ns)
        delta_uj = raw_uj - previous_uj
        backward = delta_uj < 0
        if backward:
            delta_uj += self._range_uj or 0
        most_uj = self._plausible_max_w * (dt_ns + _SLACK_NS) / 1e3
        if delta_uj < 0 or delta_uj > most_uj:
            self.power_w = None
            return Step(
                0,
                cause="reset" if backward else "invalid",
                detail=f"the counter went from {previous_uj} to {raw_uj} uJ in {dt_ns / _NS:.3g} s",
                since_ns=since_ns,
            )
        hidden_uj = self._hidden_uj(dt_ns, delta_uj)
        self.energy_uj += delta_uj
        self.hidden_uj += hidden_uj
        if hidden_uj:
            self.power_w = None
            return Step(
                delta_uj,
                hidden_uj,
                "ambiguous",
                f"{dt_ns / _NS:.3g} s without a look may have hidden a full turn of the counter",
                since_ns,
            )
        self._learn(dt_ns, delta_uj)
        return Step(delta_uj, since_ns=since_ns)

    def state(self) -> tuple[int, ...]:
        """The last look, the figures so far and recent powers (mW); empty before the first look."""
        if self._last_uj is None:
            return ()
        recent_mw = (round(power_w * 1e3) for power_w in self._recent_w)
        return (self._last_uj, self._last_ns, self.energy_uj, self.hidden_uj, *recent_mw)

    def resume(self, state: tuple[int, ...]) -> None:
        """Go on from a predecessor's `state()`: its last look is taken for the one before."""
        if state:
            self._last_uj, self._last_ns, self.energy_uj, self.hidden_uj, *recent_mw = state
            self._recent_w.extend(power_mw / 1e3 for power_mw in recent_mw)

    def _ceiling_w(self) -> float:
        """The power that rule 3 reckons with while nothing was seen."""
        if self._range_uj is None:
            return self._plausible_max_w
        return min(self._plausible_max_w, self._range_uj / 1e6 / _SHORTEST_WRAP_S)

    def _hidden_uj(self, dt_ns: int, delta_uj: int) -> int:
        if self._range_uj is None:
            return 0
        bound_w = self._ceiling_w()
        if dt_ns and self._like_before(delta_uj * 1e3 / dt_ns):
            bound_w = min(bound_w, _LEARN_FACTOR * max(self._recent_w))
        room_uj = int(bound_w * dt_ns / 1e3) - delta_uj
        return max(0, room_uj // self._range_uj) * self._range_uj

    def _like_before(self, power_w: float) -> bool:
        if not self._recent_w:
            return False
        low_w, high_w = min(self._recent_w), max(self._recent_w)
        return low_w / _LEARN_FACTOR <= power_w <= high_w * _LEARN_FACTOR

    def _learn(self, dt_ns: int, delta_uj: int) -> None:
        if dt_ns >= _LEARN_LEAST_NS:
            self.power_w = delta_uj * 1e3 / dt_ns
            self._recent_w.append(self.power_w)
