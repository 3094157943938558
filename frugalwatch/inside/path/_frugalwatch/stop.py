"""Ends the program after so many steps, calls or requests: for replays, which need no more.

    {"stop": {"after": 50, "unit": "step"}}    user_step: calls of frugalwatch.step()

It ends at once, by os._exit with a status of its own: an exception could be swallowed by a bare
`except:`, and would run the program's `finally:` and `atexit`, which may write a checkpoint of a
half-trained model over a good one. What was printed is flushed, what was counted is told, and
children that multiprocessing started (DataLoader's workers) are ended first. A note says what
happened; with launchers such as torchrun, whose own status comes out, it is the only sign.
"""

from __future__ import annotations

import _thread
import os
import sys

from .tallies import tallies_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .line import Line
    from .tallies import Tally

# No status that a shell, a signal, Python or FrugalWatch itself uses.
STOPPED = 113
UNITS = ("step", "user_step", "batch", "call", "request", "generate", "fit", "predict")


class Stopper:
    """Stands in front of what counts a unit, and ends the process when that has counted enough."""

    def __init__(self, unit: str, after: int, line: Line) -> None:
        self._unit = unit
        self._after = after
        self._line = line
        self._ending = _thread.allocate_lock()

    def watch_tally(self, tally: Tally) -> None:
        """End after so many of this tally."""
        add = tally.add

        def count(now_ns: int, count: int = 1, samples: int | None = None) -> None:
            add(now_ns, count, samples)
            self._reached(tally.count())

        tally.add = count  # type: ignore[method-assign]

    def watch_user_steps(self) -> None:
        """End after so many calls of `frugalwatch.step()`."""
        count_steps, counted = self._line.count_steps, [0]

        def count(count: int) -> None:
            count_steps(count)
            counted[0] += count
            self._reached(counted[0])

        self._line.count_steps = count  # type: ignore[method-assign]

    def _reached(self, done: int) -> None:
        if done >= self._after and self._ending.acquire(False):
            unit = self._unit.replace("_", " ") + ("" if done == 1 else "s")
            finish(self._line, f"stopped after {done} {unit}, as asked")


def finish(line: Line, note: str) -> None:
    """Say it, flush what was printed, end the children, and end."""
    try:
        line.tell("note", note)
        switches = sys.modules.get(__name__.rpartition(".")[0] + ".switches")
        if switches is not None:
            switches.report()
        _end_children()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:  # noqa: BLE001 - a closed stream has nothing to lose
                continue
        line.close()
    finally:
        os._exit(STOPPED)


def _end_children() -> None:
    """End what multiprocessing started, so that nobody waits for it and it leaves nothing."""
    process = sys.modules.get("multiprocessing.process")
    for child in list(getattr(process, "_children", ())):
        try:
            child.terminate()
        except Exception:  # noqa: BLE001 - it has ended
            continue


def start(options: dict[str, Any], line: Line) -> None:
    """End this process after `options["after"]` of `options["unit"]`."""
    unit, after = str(options.get("unit", "step")), int(options["after"])
    if unit not in UNITS or after < 1:
        line.tell("note", f"stop: not applied: cannot stop after {after} {unit}")
        return
    stopper = Stopper(unit, after, line)
    if unit == "user_step":
        stopper.watch_user_steps()
    else:
        stopper.watch_tally(tallies_of(line).tally(unit))
    if unit == "call":
        from . import calls

        calls.start(["calls"], line)
