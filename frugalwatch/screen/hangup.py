"""Ends the screen when its terminal is gone: a closed window, a lost connection.

There is nothing left to restore then, and nobody to show anything to. Left alone, the program would
go on reading the end of a terminal that no longer exists, at the cost of most of a core.
"""

from __future__ import annotations

import os
import select
import signal
import threading

_EXIT = 128 + signal.SIGHUP


def end_when_terminal_goes(descriptor: int) -> None:
    """Watch the terminal on `descriptor` from a thread that sleeps; nothing if it is no terminal.

    The process ends at once, without waiting for threads that write to the terminal: they may wait
    for ever.
    """
    if os.isatty(descriptor):
        threading.Thread(target=_wait, args=(descriptor,), name="hangup", daemon=True).start()


def _wait(descriptor: int) -> None:
    poller = select.poll()
    poller.register(descriptor, 0)  # no events asked for: a hang-up is told in any case
    poller.poll()
    os._exit(_EXIT)
