"""What a job tells of its work, as alerts look at it: over the last while, in bounded space.

Everything told is cumulative by process, so what was done in a window is a difference of two sums.
One look a tick is kept, and not every message: memory does not follow what the job says.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

GROWTH = 1.02  # of one bucket of durations to the next; docs/reference/hook-contract.md
_LOOKS = 120  # kept over the longest window
REFERENCE = 20  # values of a metric that its drift is measured from, and that it is measured by


class Work(NamedTuple):
    """Sums over all processes at an instant: done by unit, durations by unit and bucket."""

    t_mono_ns: int
    energy_j: float
    done: dict[str, int]
    buckets: dict[str, dict[int, int]]


class WorkWatch:
    """Keeps the sums, one look every `window / 120`.

    `resumed`: processes may have told of work before anybody listened here, and the first telling
    of each is where its counting begins.
    """

    def __init__(self, longest_window_s: float, *, resumed: bool = False) -> None:
        self._resumed = resumed
        self._fresh: set[int] = set()
        self._base: dict[tuple[int, str], int] = {}
        self._base_times: dict[tuple[int, str], dict[int, int]] = {}
        self._window_ns = round(longest_window_s * 1e9)
        self._spacing_ns = self._window_ns // _LOOKS
        self._looks: deque[Work] = deque()
        self._done: dict[str, dict[int, int]] = {}
        self._ended: dict[str, int] = {}
        self._times: dict[str, dict[int, dict[int, int]]] = {}
        self._ended_times: dict[str, dict[int, int]] = {}

    def began(self, pid: int) -> None:
        """A new process has this number: what the old one did is done."""
        self._fresh.add(pid)
        for unit, by_pid in self._done.items():
            self._ended[unit] = self._ended.get(unit, 0) + by_pid.pop(pid, 0)
        for unit, times in self._times.items():
            _add(self._ended_times.setdefault(unit, {}), times.pop(pid, {}))

    def counted(self, pid: int, unit: str, done: int) -> None:
        """How many of a unit a process has done since it began."""
        if self._resumed and pid not in self._fresh:
            done -= self._base.setdefault((pid, unit), done)
        self._done.setdefault(unit, {})[pid] = done

    def timed(self, pid: int, unit: str, buckets: tuple[tuple[int, int], ...]) -> None:
        """How long they took: those buckets whose count has changed."""
        counts = dict(buckets)
        if self._resumed and pid not in self._fresh:
            base = self._base_times.setdefault((pid, unit), {})
            counts = {bucket: n - base.setdefault(bucket, n) for bucket, n in buckets}
        self._times.setdefault(unit, {}).setdefault(pid, {}).update(counts)

    def look(self, now_ns: int, energy_j: float) -> Work:
        """The sums of now, kept if the last ones are a while ago."""
        done = {
            unit: sum(by_pid.values()) + self._ended.get(unit, 0)
            for unit, by_pid in self._done.items()
        }
        buckets: dict[str, dict[int, int]] = {}
        for unit, by_pid in self._times.items():
            merged = buckets[unit] = dict(self._ended_times.get(unit, {}))
            for histogram in by_pid.values():
                _add(merged, histogram)
        work = Work(now_ns, energy_j, done, buckets)
        if not self._looks or now_ns - self._looks[-1].t_mono_ns >= self._spacing_ns:
            self._looks.append(work)
        while len(self._looks) > 2 and now_ns - self._looks[1].t_mono_ns >= self._window_ns:
            self._looks.popleft()
        return work

    def first_done(self, now_ns: int, window_s: float, unit: str) -> Work:
        """As `before`, but where the window begins before the first of a unit, from that on.

        What a job did before it began (importing, loading) is in nobody's figure.
        """
        begin = self.before(now_ns, window_s)
        if begin.done.get(unit):
            return begin
        return next(
            (x for x in self._looks if x.t_mono_ns >= begin.t_mono_ns and x.done.get(unit)), begin
        )

    def before(self, now_ns: int, window_s: float) -> Work:
        """The sums as they were at the beginning of the window that ends now."""
        limit_ns = now_ns - round(window_s * 1e9)
        found = self._looks[0]
        for look in self._looks:
            if look.t_mono_ns > limit_ns:
                break
            found = look
        return found


class MetricWatch:
    """The first and the last few values of each metric that somebody asked about."""

    def __init__(self, names: set[str]) -> None:
        self._names = names
        self._first: dict[str, list[float]] = {}
        self._last: dict[str, deque[float]] = {}

    def said(self, name: str, value: float) -> None:
        """The job reached a number; NaN is no number."""
        if name not in self._names or math.isnan(value):
            return
        first = self._first.setdefault(name, [])
        if len(first) < REFERENCE:
            first.append(value)
        else:
            self._last.setdefault(name, deque(maxlen=REFERENCE)).append(value)

    def newest(self, name: str) -> float | None:
        """The last value."""
        values = self._last.get(name) or self._first.get(name)
        return values[-1] if values else None

    def drift(self, name: str) -> tuple[float, float] | None:
        """The middle of the first 20 values and of the last 20; None before there are 40."""
        last = self._last.get(name)
        if last is None or len(last) < REFERENCE:
            return None
        return middle(self._first[name]), middle(list(last))


def quantile(histogram: dict[int, int], part: float) -> tuple[float, int]:
    """Seconds below which `part` of the durations lie, to one per cent, and how many there are."""
    count = sum(histogram.values())
    seen = 0
    for bucket in sorted(histogram):
        seen += histogram[bucket]
        if seen >= part * count:
            return GROWTH ** (bucket + 0.5) / 1e9, count
    return 0.0, 0


def since(now: dict[int, int], before: dict[int, int]) -> dict[int, int]:
    """Durations that came in between."""
    return {
        bucket: n - before.get(bucket, 0) for bucket, n in now.items() if n > before.get(bucket, 0)
    }


def middle(values: list[float]) -> float:
    """The median."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _add(into: dict[int, int], histogram: dict[int, int]) -> None:
    for bucket, count in histogram.items():
        into[bucket] = into.get(bucket, 0) + count
