"""When a threshold counts as crossed: once, until the figure has clearly come back.

A figure that swings about its threshold would be told with every swing. So it has to come back by a
tenth of the threshold before it can be crossed again, and one alert is told once a minute at most,
and 20 times in a run.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

BACK = 0.1
PAUSE_S = 60.0
MOST = 20

Change: TypeAlias = Literal["crossed", "back", "last"]


class Crossing:
    """Whether one figure is beyond its threshold. Nothing but arithmetic: `now_s` comes in."""

    __slots__ = ("_above", "_back", "_threshold", "beyond", "told", "told_s")

    def __init__(self, threshold: float, *, above: bool) -> None:
        self._threshold = threshold
        self._above = above
        margin = BACK * abs(threshold)
        self._back = threshold - margin if above else threshold + margin
        self.beyond = False
        self.told = 0
        self.told_s = float("-inf")

    def look(self, value: float, now_s: float) -> Change | None:
        """What this value changes; None: nothing that a person has to hear of.

        "last" is a crossing after which no further one will be told.
        """
        past = value > self._threshold if self._above else value < self._threshold
        back = value < self._back if self._above else value > self._back
        if self.beyond:
            if not back:
                return None
            self.beyond = False
            return "back"
        if not past or self.told >= MOST or now_s - self.told_s < PAUSE_S:
            return None
        self.beyond, self.told, self.told_s = True, self.told + 1, now_s
        return "last" if self.told == MOST else "crossed"

    def state(self) -> list[float]:
        """For `resume` in a process that takes over."""
        return [float(self.beyond), float(self.told), self.told_s]

    def resume(self, state: list[float]) -> None:
        """Go on from there."""
        beyond, told, self.told_s = state
        self.beyond, self.told = bool(beyond), int(told)
