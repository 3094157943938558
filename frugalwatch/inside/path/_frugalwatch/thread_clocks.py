"""How much CPU time each thread used: what tells a working thread from a waiting one."""

from __future__ import annotations

import time


def thread_clock(ident: int) -> int | None:
    """The CPU clock of a thread that runs Python now (its frame was just seen), or None.

    Only for such: for a thread that has ended, pthread_getcpuclockid may crash. The clock that
    comes back is a number of the kernel's, and reading it later is safe: OSError if it has ended.
    """
    try:
        return time.pthread_getcpuclockid(ident)
    except (OSError, AttributeError, OverflowError):
        return None


def read_ns(clock: int) -> int | None:
    """What the clock shows in nanoseconds; None once its thread has ended."""
    try:
        return time.clock_gettime_ns(clock)
    except OSError:
        return None
