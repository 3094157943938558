"""When did the energy counter last step?

The driver renews the counter about every 100 ms. A look in between finds it up to a tick old, at
the start of a run as at its end: 1 % of a run of ten seconds. The steps come at a steady pace, so
their phase is learned in the first half second, then checked with three looks about once a second.
A counter that keeps no steady pace is given up on, and its tick stays in the bounds.
"""

from __future__ import annotations

from typing import Final

_MS: Final = 1_000_000
_S: Final = 1_000_000_000
_LEARN_EVERY_NS: Final = 10 * _MS
_LEARN_FOR_NS: Final = 1500 * _MS
_LEARN_EDGES: Final = 4
_SHARP_NS: Final = 25 * _MS  # an edge known less well than this tells nothing
_LEAST_TICK_NS: Final = 40 * _MS  # below this the doubt is not worth the looks
_CHECK_EVERY_NS: Final = _S
_LEAST_WIDTH_NS: Final = 2 * _MS
_MISSES_ALLOWED: Final = 3
_LESSONS_ALLOWED: Final = 3


class TickPhase:
    """Learns the instants of a counter's steps from looks at it. Times are CLOCK_MONOTONIC, ns."""

    def __init__(self) -> None:
        self.zero_age_ns: int | None = None  # age of the very first look, once known
        self._first_look_ns: int | None = None
        self._last_look_ns = 0
        self._last_raw = 0
        self._learning_since_ns: int | None = None
        self._edges: list[tuple[int, int]] = []  # while learning: middle and half width
        self._origin: tuple[int, int] | None = None  # once locked: the first edge ...
        self._latest = (0, 0)  # ... the latest one ...
        self._ticks = 0  # ... and how many steps lie between
        self._plan: list[int] = []
        self._hit = False
        self._misses = 0
        self._lessons = 1
        self._given_up = False

    @property
    def locked(self) -> bool:
        """True once the steps can be told in advance."""
        return self._origin is not None

    def due_ns(self) -> int | None:
        """When the next look for the phase's sake is wanted; None: not at all."""
        if self._given_up or self._first_look_ns is None:
            return None
        if self._origin is None:
            return self._last_look_ns + _LEARN_EVERY_NS
        return self._plan[0] if self._plan else self._last_look_ns

    def seen(self, t_ns: int, raw: int) -> None:
        """Note one look at the counter, whatever it was made for."""
        if self._first_look_ns is None:
            self._first_look_ns = t_ns
        else:
            width_ns = t_ns - self._last_look_ns
            if raw != self._last_raw and width_ns <= _SHARP_NS:
                self._edge((t_ns + self._last_look_ns) // 2, width_ns // 2)
        self._last_look_ns, self._last_raw = t_ns, raw
        if self._given_up:
            return
        if self._origin is None:
            self._learn(t_ns)
        else:
            self._check(t_ns)

    def age_ns(self, t_ns: int) -> int | None:
        """How long before `t_ns` the counter stepped, or None if that is not known."""
        if self._origin is None:
            return None
        return round((t_ns - self._latest[0]) % self._tick_ns())

    def settle_ns(self, t_ns: int) -> int:
        """How long to wait so that a look is certainly before or after a step; 0 if it is."""
        age_ns = self.age_ns(t_ns)
        if age_ns is None:
            return 0
        doubt_ns = self._doubt_ns(1) + _MS
        if age_ns < doubt_ns:
            return doubt_ns - age_ns
        left_ns = round(self._tick_ns()) - age_ns
        return left_ns + doubt_ns if left_ns < doubt_ns else 0

    def forget(self) -> None:
        """The counter was reset or read by another process meanwhile: learn again."""
        self._learn_again(self._last_look_ns)

    def _tick_ns(self) -> float:
        assert self._origin is not None
        return (self._latest[0] - self._origin[0]) / self._ticks

    def _doubt_ns(self, ticks: int) -> int:
        """How far the step `ticks` after the latest known one may lie from where it is expected."""
        assert self._origin is not None
        return self._latest[1] + ticks * (self._latest[1] + self._origin[1]) // self._ticks

    def _edge(self, middle_ns: int, half_ns: int) -> None:
        if self._origin is None:
            if not self._given_up:
                self._edges.append((middle_ns, half_ns))
            return
        passed = (middle_ns - self._latest[0]) / self._tick_ns()
        ticks = round(passed)
        if ticks < 1:
            return
        off_ns = abs(passed - ticks) * self._tick_ns()
        if off_ns <= self._doubt_ns(ticks) + half_ns + _LEAST_WIDTH_NS:
            self._hit = True
            if half_ns <= self._doubt_ns(ticks):
                self._ticks += ticks
                self._latest = (middle_ns, max(half_ns, _LEAST_WIDTH_NS // 2))

    def _learn(self, t_ns: int) -> None:
        if self._learning_since_ns is None:
            self._learning_since_ns = t_ns
        if len(self._edges) < _LEARN_EDGES:
            if t_ns - self._learning_since_ns > _LEARN_FOR_NS:
                self._given_up = True
            return
        (first_ns, _), (last_ns, half_ns) = self._edges[0], self._edges[-1]
        tick_ns = (last_ns - first_ns) / (_LEARN_EDGES - 1)
        steady = all(
            abs(middle_ns - first_ns - count * tick_ns) <= _SHARP_NS / 2
            for count, (middle_ns, _) in enumerate(self._edges)
        )
        if not steady or tick_ns < _LEAST_TICK_NS:
            self._given_up = True
            return
        self._origin = self._edges[0]
        self._latest = (last_ns, half_ns)
        self._ticks = _LEARN_EDGES - 1
        if self.zero_age_ns is None and self._lessons == 1 and self._first_look_ns is not None:
            # No step was missed between the first look and the first edge.
            self.zero_age_ns = max(0, round(tick_ns) - (first_ns - self._first_look_ns))
        self._plan_check(t_ns)

    def _check(self, t_ns: int) -> None:
        while self._plan and self._plan[0] <= t_ns:
            self._plan.pop(0)
        if self._plan:
            return
        self._misses = 0 if self._hit else self._misses + 1
        if self._misses >= _MISSES_ALLOWED:
            self._learn_again(t_ns)
            return
        self._plan_check(t_ns)

    def _plan_check(self, t_ns: int) -> None:
        """Three looks around a coming step: they halve what is not known about its instant."""
        tick_ns = self._tick_ns()
        passed = int((t_ns - self._latest[0]) / tick_ns)
        # A quarter as far ahead as was looked back: further, and the doubt would grow from check
        # to check, since that of the tick's length adds up over the steps between.
        ahead = max(1, min(round(_CHECK_EVERY_NS / tick_ns), self._ticks // 4))
        ticks = passed + ahead
        width_ns = max(_LEAST_WIDTH_NS, self._doubt_ns(ticks))
        if width_ns > tick_ns / 3:
            self._learn_again(t_ns)
            return
        expected_ns = self._latest[0] + round(ticks * tick_ns)
        self._plan = [expected_ns - width_ns, expected_ns, expected_ns + width_ns]
        self._hit = False

    def _learn_again(self, t_ns: int) -> None:
        self._origin = None
        self._edges = []
        self._plan = []
        self._misses = 0
        self._learning_since_ns = t_ns
        self._lessons += 1
        self._given_up = self._lessons > _LESSONS_ALLOWED
