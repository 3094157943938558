"""Turns power samples into cumulative energy with bounds, for sensors that have no energy counter.

A sensor that reports watts is looked at now and then; what it did in between is not known. This
file holds the one place where that gap is bridged (trapezoid), where an averaging sensor's delay
is taken out, and where the doubt is put into bounds.

How the bounds are made. An interval of `dt` seconds is wrong by at most `dt * band / 2`, where the
band is how far the power may have swung unseen: the step between the interval's two samples, or,
where samples near by are off the line through their neighbours, twice the largest such deviation
(a steady ramp hides nothing, a signal that jumps at every look hides as much as it jumps), but no
more than the highest less the lowest sample near by. Near means four looks before and after.
Errors of single intervals have no common sign, so they are added as a root of squares and doubled
(two standard deviations for a signal that knows two levels only), but never above their plain sum.
A sensor which lags adds what the last, not yet seen stretch may hide. What no bound can
cover: power that swings in step with the looks (a period that divides the interval), since the
samples then look constant. The sensor's gain error is not in here either: it is published in
`Device.gain_low` and `gain_high`, and the consumer applies it.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

_NS = 1_000_000_000
_BAND_LOOKS = 4  # looks before and after an interval that define the band of its power
_COVERAGE = 2.0  # standard deviations of the summed interval errors

DEFAULT_MAX_GAP_S = 10.0


class Integral(NamedTuple):
    """Energy in micro-joules since the integrator's first sample, with bounds.

    `gap_since_ns` is set when this sample came too late to be joined to the one before it: the
    energy from that instant to now is missing from the figure, and the caller reports a `Gap`.
    """

    energy_uj: int
    low_uj: int
    high_uj: int
    gap_since_ns: int | None = None


class PowerIntegrator:
    """Cumulative energy of one device from its power samples.

    window_s: length of the average that the sensor reports (0: an instantaneous reading). A mean
        over the last second describes the middle of that second, so it is placed there.
    tick_s: how often the sensor renews its value; on average a value is half a tick old.
    max_gap_s: two samples further apart than this are not joined; see `Integral.gap_since_ns`.

    A failed read needs no call: the next `update()` within `max_gap_s` bridges it (with wider
    bounds, since they grow with the pause), a later one reports the gap. Not thread-safe.
    """

    __slots__ = (
        "_base_j",
        "_earlier_swing_w",
        "_energy_j",
        "_lag_error_j",
        "_lag_ns",
        "_last_ns",
        "_last_w",
        "_linear_error_j",
        "_max_gap_ns",
        "_pending",
        "_recent_w",
        "_settled_j",
        "_squared_error_j2",
        "_start_error_j",
        "_start_ns",
        "_swing_since_ns",
        "_swing_w",
        "_window_s",
    )

    def __init__(
        self,
        *,
        window_s: float = 0.0,
        tick_s: float = 0.0,
        max_gap_s: float = DEFAULT_MAX_GAP_S,
    ) -> None:
        self._window_s = window_s
        self._lag_ns = int((window_s + tick_s) / 2 * _NS)
        self._max_gap_ns = int(max_gap_s * _NS)
        self._energy_j = 0.0  # what callers were told; never falls
        self._base_j = 0.0  # energy of the segments before the last gap
        self._settled_j = 0.0  # this segment's energy up to its last sample less the lag
        self._start_ns = 0
        self._last_ns: int | None = None
        self._last_w = 0.0
        self._swing_w = self._earlier_swing_w = (0.0, 0.0)
        self._swing_since_ns = 0
        self._linear_error_j = 0.0
        self._squared_error_j2 = 0.0
        self._start_error_j = 0.0
        self._lag_error_j = 0.0
        self._recent_w: deque[float] = deque(maxlen=2 * _BAND_LOOKS + 1)
        # (seconds, step in watts) of the intervals whose later looks are still to come.
        self._pending: deque[tuple[float, float]] = deque()

    @property
    def last_ns(self) -> int | None:
        """Instant of the last sample, or None before the first one."""
        return self._last_ns

    def bridges(self, t_ns: int) -> bool:
        """True if a sample at `t_ns` would still be joined to the last one."""
        return self._last_ns is not None and t_ns - self._last_ns <= self._max_gap_ns

    def update(self, t_ns: int, power_w: float) -> Integral:
        """Take one sample: `power_w` watts at CLOCK_MONOTONIC `t_ns`. Returns the energy so far.

        The first sample sets the zero. A negative power (noise around zero) counts as zero, and a
        sample that is not later than the last one changes nothing. Raises ValueError for a power
        that is not finite: an unreadable value is a gap, and never a number.
        """
        if not math.isfinite(power_w):
            raise ValueError(f"power is not a finite number: {power_w}")
        power_w = max(0.0, power_w)
        last_ns = self._last_ns
        if last_ns is None:
            self._begin(t_ns, power_w)
            return self._integral(None)
        if t_ns <= last_ns:
            return self._integral(None)
        if t_ns - last_ns > self._max_gap_ns:
            self.restart()
            self._begin(t_ns, power_w)
            return self._integral(last_ns)
        self._extend(last_ns, t_ns, power_w)
        return self._integral(None)

    def restart(self) -> None:
        """Close this stretch: the next sample continues the figure without joining to the last one.

        For a caller that knows of a break (a device was lost and came back).
        """
        self._commit_pending(keep=0)
        self._base_j = self._energy_j
        # Errors of lag belong to each segment's ends, so they go into the sum once it is closed.
        for error_j in (self._start_error_j, self._lag_error_j):
            self._linear_error_j += error_j
            self._squared_error_j2 += error_j * error_j
        self._start_error_j = self._lag_error_j = 0.0
        self._last_ns = None

    def _begin(self, t_ns: int, power_w: float) -> None:
        self._start_ns = self._last_ns = t_ns
        self._last_w = power_w
        self._settled_j = 0.0
        # The sensor's swing over one to two delays: lowest and highest, in this span and the last.
        self._swing_w = self._earlier_swing_w = (power_w, power_w)
        self._swing_since_ns = t_ns
        self._recent_w.clear()
        self._recent_w.append(power_w)

    def _extend(self, last_ns: int, t_ns: int, power_w: float) -> None:
        start_ns = self._start_ns
        # A lagging sensor's sample describes an earlier instant.
        from_ns, to_ns = last_ns - self._lag_ns, t_ns - self._lag_ns
        if to_ns > start_ns:
            from_w = self._last_w
            if from_ns < start_ns:
                share = (start_ns - from_ns) / (to_ns - from_ns)
                from_w += (power_w - from_w) * share
                from_ns = start_ns
            self._settled_j += (from_w + power_w) / 2 * (to_ns - from_ns) / _NS
        else:
            to_ns = start_ns
        unseen_s = (t_ns - to_ns) / _NS
        # The unseen stretch is held at the last value and corrected by later samples. A fall of
        # power can make that correction negative; the figure then waits for the truth to catch up.
        self._energy_j = max(self._energy_j, self._base_j + self._settled_j + unseen_s * power_w)

        self._recent_w.append(power_w)
        self._pending.append(((t_ns - last_ns) / _NS, abs(power_w - self._last_w)))
        self._commit_pending(keep=_BAND_LOOKS)
        if self._lag_ns:
            self._bound_lag(t_ns, power_w)
        self._last_ns = t_ns
        self._last_w = power_w

    def _bound_lag(self, t_ns: int, power_w: float) -> None:
        """What the sensor's delay may hide at both ends: the delay times the swing around it."""
        span_ns = 2 * self._lag_ns
        if t_ns - self._swing_since_ns > span_ns:
            self._earlier_swing_w = self._swing_w
            self._swing_w = (self._last_w, self._last_w)
            self._swing_since_ns = t_ns
        low_w, high_w = self._swing_w
        self._swing_w = (min(low_w, power_w), max(high_w, power_w))
        low_w = min(self._swing_w[0], self._earlier_swing_w[0])
        high_w = max(self._swing_w[1], self._earlier_swing_w[1])
        self._lag_error_j = self._lag_ns / _NS * (high_w - low_w)
        if len(self._recent_w) == 2 or t_ns - self._start_ns <= span_ns:
            self._start_error_j = self._lag_error_j

    def _range_w(self) -> float:
        return max(self._recent_w) - min(self._recent_w)

    def _deviation_w(self) -> float:
        """The largest distance of a recent sample from the line through its two neighbours."""
        recent_w = list(self._recent_w)
        return max(
            (
                abs(middle_w - (before_w + after_w) / 2)
                for before_w, middle_w, after_w in zip(
                    recent_w, recent_w[1:], recent_w[2:], strict=False
                )
            ),
            default=0.0,
        )

    def _interval_error_j(self, dt_s: float, step_w: float) -> float:
        band_w = min(self._range_w(), max(step_w, 2 * self._deviation_w()))
        # An average over longer than the pause cannot hide a swing between two looks.
        hidden = min(1.0, dt_s / self._window_s) if self._window_s else 1.0
        return dt_s * band_w / 2 * hidden

    def _commit_pending(self, keep: int) -> None:
        while len(self._pending) > keep:
            error_j = self._interval_error_j(*self._pending.popleft())
            self._linear_error_j += error_j
            self._squared_error_j2 += error_j * error_j

    def _integral(self, gap_since_ns: int | None) -> Integral:
        linear_j = self._linear_error_j + self._start_error_j + self._lag_error_j
        squared_j2 = self._squared_error_j2 + self._start_error_j**2 + self._lag_error_j**2
        for dt_s, step_w in self._pending:
            error_j = self._interval_error_j(dt_s, step_w)
            linear_j += error_j
            squared_j2 += error_j * error_j
        error_j = min(linear_j, _COVERAGE * math.sqrt(squared_j2))
        return Integral(
            energy_uj=round(self._energy_j * 1e6),
            low_uj=max(0, math.floor((self._energy_j - error_j) * 1e6)),
            high_uj=math.ceil((self._energy_j + error_j) * 1e6),
            gap_since_ns=gap_since_ns,
        )
