"""The log: standard error, which is a service's journal. Never waits for whoever reads it."""

from __future__ import annotations

import os
import select


def write_line(text: str, *, descriptor: int = 2) -> bool:
    """Write one line, unless its reader is stuck or gone; whether it was written.

    A line is shorter than a pipe's atomic write, so where there is room for any of it there is
    room for all of it.
    """
    poller = select.poll()
    try:
        poller.register(descriptor, select.POLLOUT)
        ready = poller.poll(0)
        if not ready or not ready[0][1] & select.POLLOUT:
            return False
        os.write(descriptor, f"frugalwatch: {text}\n".encode(errors="replace")[:4000])
    except OSError:
        return False
    return True
