"""Days and weeks as people count them: in local time, from midnight and from Monday."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Sequence

from frugalwatch.screen.machine.records import DAYS


def midnights(now_utc_s: float, days: int = DAYS) -> list[float]:
    """The beginnings of the last days, the oldest first; the last one is today's."""
    today = time.localtime(now_utc_s)
    found = []
    for back in range(days - 1, -1, -1):
        # mktime takes a day before the first, and knows when clocks were changed.
        day = (today.tm_year, today.tm_mon, today.tm_mday - back, 0, 0, 0, 0, 0, -1)
        found.append(time.mktime(day))
    return found


def monday(now_utc_s: float) -> float:
    """The beginning of this week."""
    today = time.localtime(now_utc_s)
    day = (today.tm_year, today.tm_mon, today.tm_mday - today.tm_wday, 0, 0, 0, 0, 0, -1)
    return time.mktime(day)


def day_of(utc_s: float, begins: Sequence[float]) -> int:
    """The place of the day that an instant lies in; -1 before the first."""
    return bisect_right(begins, utc_s) - 1
