"""Two ways of measuring one device that do not agree, and when that is worth saying.

A GPU has an energy counter and a power sensor. They are two figures of the same thing, so the
integral of one checks the other. Known to happen: on some cards the counter runs at half the
power sensor's pace while idle (187 J against 327 J in 5 s, ml-energy/zeus#181).
"""

from __future__ import annotations

import math
from typing import NamedTuple

_NS = 1_000_000_000
MIN_WINDOW_S = 10.0
TOLERANCE = 0.10


class Disagreement(NamedTuple):
    """A counter and the integral of a power sensor differ over one window.

    Energies in micro-joules. Neither is known to be the right one; the reading stays the counter's.
    """

    device: str
    since_mono_ns: int
    t_mono_ns: int
    counter_uj: int
    integral_uj: int

    @property
    def ratio(self) -> float:
        """Integral over counter; infinity if the counter stood still."""
        return self.integral_uj / self.counter_uj if self.counter_uj else math.inf


class CrossCheck:
    """Integrates one device's power at the looks of its counter and compares, once per device.

    A few looks at a swinging power give a poor integral, which says nothing against the counter.
    So the difference must exceed the tolerance *and* three standard errors of the mean of the
    power samples.
    """

    __slots__ = ("_count", "_device", "_integral_j", "_last", "_reported", "_since", "_squares_w2")

    def __init__(self, device: str) -> None:
        self._device = device
        self._since: tuple[int, int] | None = None  # instant, counter in uJ
        self._last: tuple[int, float] | None = None  # instant, power in W
        self._integral_j = 0.0
        self._squares_w2 = 0.0
        self._count = 0
        self._reported = False

    def restart(self) -> None:
        """Forget the window under way: the counter jumped or a look is missing."""
        self._since = self._last = None

    def update(self, t_ns: int, counter_uj: int, power_w: float) -> Disagreement | None:
        """Take one look. Answers with the disagreement the first time that it is certain."""
        if self._reported:
            return None
        if self._since is None or self._last is None:
            self._since = (t_ns, counter_uj)
            self._integral_j = self._squares_w2 = 0.0
            self._count = 0
        else:
            last_ns, last_w = self._last
            dt_s = (t_ns - last_ns) / _NS
            self._integral_j += (power_w + last_w) / 2 * dt_s
            self._squares_w2 += (power_w**2 + last_w**2) / 2 * dt_s
            self._count += 1
        self._last = (t_ns, power_w)
        return self._verdict(t_ns, counter_uj)

    def _verdict(self, t_ns: int, counter_uj: int) -> Disagreement | None:
        assert self._since is not None
        since_ns, since_uj = self._since
        window_s = (t_ns - since_ns) / _NS
        if window_s < MIN_WINDOW_S or self._count < 2:
            return None
        counter_j = (counter_uj - since_uj) / 1e6
        mean_w = self._integral_j / window_s
        variance_w2 = max(0.0, self._squares_w2 / window_s - mean_w * mean_w)
        doubt_j = 3 * math.sqrt(variance_w2 / self._count) * window_s
        difference_j = abs(self._integral_j - counter_j)
        # 0.1 J: a counter that stood still beside a sensor that reads zero agrees with it.
        if difference_j <= max(TOLERANCE * counter_j, doubt_j, 0.1):
            return None
        self._reported = True
        return Disagreement(
            device=self._device,
            since_mono_ns=since_ns,
            t_mono_ns=t_ns,
            counter_uj=counter_uj - since_uj,
            integral_uj=round(self._integral_j * 1e6),
        )
