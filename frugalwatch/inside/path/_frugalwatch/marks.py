"""Reads the clocks at certain calls or requests: what lies between two of them is known exactly.

    {"marks": {"unit": "call", "at": [144, 719]}}

Counts are told a few times a second and the job is looked at as often, which says little of a
hundred calls that take half a second together. What a look at the program takes is not in them. A
process that has children says so, since the clock is its own only.
"""

from __future__ import annotations

import os
import time

from . import own_work
from .tallies import tallies_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .line import Line
    from .tallies import Tally

UNITS = ("call", "request", "generate", "predict")


class Marker:
    """Stands in front of what counts a unit, and notes each of the marks once."""

    def __init__(self, unit: str, at: list[int], line: Line) -> None:
        self._unit = unit
        self._ahead = sorted(at, reverse=True)
        self._line = line

    def watch_tally(self, tally: Tally) -> None:
        """Note the marks of this tally."""
        add = tally.add

        def count(now_ns: int, count: int = 1, samples: int | None = None) -> None:
            add(now_ns, count, samples)
            if self._ahead:
                self._reached(tally.count())

        tally.add = count  # type: ignore[method-assign]

    def _reached(self, done: int) -> None:
        if done < self._ahead[-1]:
            return
        while self._ahead and done >= self._ahead[-1]:
            self._ahead.pop()
        cpu_ns, wall_ns = time.process_time_ns() - own_work.cpu_ns(), time.monotonic_ns()
        clocks = f"mark: {done} {self._unit} at {wall_ns} ns, {cpu_ns} ns of CPU"
        self._line.tell("note", f"{clocks}, with children" if _has_children() else clocks)


def _has_children() -> bool:
    """Whether other processes may work for this one; yes where nobody can tell."""
    try:
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/children", encoding="ascii") as file:
                if file.read().strip():
                    return True
    except OSError:
        return True
    return False


def start(options: dict[str, Any], line: Line) -> None:
    """Note the clocks when `options["at"]` of `options["unit"]` are done in this process."""
    unit, at = str(options["unit"]), [int(each) for each in options["at"]]
    if unit not in UNITS:
        line.tell("note", f"marks: not applied: no clocks at one {unit}")
        return
    Marker(unit, at, line).watch_tally(tallies_of(line).tally(unit))
    if unit == "call":
        from . import calls

        calls.start(["calls"], line)
