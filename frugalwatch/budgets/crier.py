"""The supervisor's part: it says what the sampler judged, and ends a job whose user asked for that.

Its `hear` is called whenever the supervisor wakes. The sampler wakes it with a SIGCHLD, for which
it listens anyway.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from frugalwatch.alerts.sinks.log import write_line
from frugalwatch.budgets.page import signal_job

if TYPE_CHECKING:
    from frugalwatch.budgets.page import Page

# A sampler that hangs (in a disk, in a debugger) is not dead, and nobody judges meanwhile.
_SILENT_S = 30.0


class Crier:
    """Speaks on stderr; `quiet` leaves out what is not grave. Signals the job at most once."""

    def __init__(self, page: Page, interval_s: float, *, quiet: bool) -> None:
        self._page = page
        self._quiet = quiet
        self._said = 0
        self._lost = False
        self._begun_ns = time.monotonic_ns()
        self.pause_s = _SILENT_S + 5 * interval_s

    def hear(self, job_pid: int | None, *, given_up: bool) -> None:
        """Say what is new, and send SIGTERM if that was asked for. `job_pid`: while it runs."""
        for number, grave, text in self._page.lines_after(self._said):
            self._said = number
            if grave or not self._quiet:
                write_line(text)
        if job_pid is None:
            return
        if self._page.wants_end and not self._page.signalled_mono_ns:
            write_line(signal_job(self._page, lambda: os.kill(job_pid, signal.SIGTERM)))
        self._tell_if_lost(given_up=given_up)

    def _tell_if_lost(self, *, given_up: bool) -> None:
        looked_ns = self._page.looked_mono_ns or self._begun_ns
        silent_s = (time.monotonic_ns() - looked_ns) / 1e9
        if self._lost or not (given_up or silent_s > self.pause_s):
            return
        self._lost = True
        why = "its sampler keeps dying" if given_up else f"no look for {silent_s:.0f} s"
        write_line(f"budgets and alerts of this run can't be watched any more: {why}")
