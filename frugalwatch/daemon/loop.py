"""The daemon's loop: the sampler's sources and journal, looked at once a tick until told to stop.

Ticks lie on whole multiples of the interval on the monotonic clock. What takes longer than a tick
may (walking all processes, thinning) follows right behind one, so that the next is not late.
"""

from __future__ import annotations

import os
import select
import signal
import time
from typing import TYPE_CHECKING

from frugalwatch.daemon.session import note_stop, open_session
from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.paths import locate
from frugalwatch.sampler.clocks import ClockWatch, note_clock_changes
from frugalwatch.sampler.panel import Panel
from frugalwatch.sampler.recorder import Recorder

if TYPE_CHECKING:
    from collectors.isolated import IsolatedCollector
    from frugalwatch.daemon.shelf import FileShelf
    from frugalwatch.sampler.context import RunContext

# A commit costs 1 ms. What a kill loses is power detail of this time, and no energy of counters.
_COMMIT_NS = 5_000_000_000
_LAST_LOOK_S = 0.9
_STOP = (signal.SIGTERM, signal.SIGINT)
_NAMES = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "SIGINT", signal.SIGHUP: "SIGHUP"}


class Daemon:
    """Samples a machine. `run()` returns the signal that ended it: SIGTERM, SIGINT or SIGHUP."""

    def __init__(
        self, context: RunContext, shelf: FileShelf, readers: list[IsolatedCollector]
    ) -> None:
        self._context = context
        self._shelf = shelf
        place = locate(context.plan.ledger_path, context.plan.environment)
        self._journal = Journal(place.ledger, notify=_say, lasting=True)
        self._recorder = Recorder(self._journal)
        self._panel = Panel(context, readers, self._recorder)
        self._clocks = ClockWatch()
        self._interval_ns = round(context.plan.settings.interval_s * 1e9)
        self._commit_at_ns = 0
        self._asked: int | None = None

    def run(self) -> int:
        """Sample until a signal asks for an end."""
        wake = self._listen_to_signals()
        resumed = open_session(self._journal, self._context, self._shelf)
        if resumed:
            self._recorder.go_on_from(self._journal.last_readings())
        self._panel.open(self._journal.calibration(), resume=resumed)
        self._write(time.monotonic_ns())
        poll_ns = self._panel.poll_ns(self._interval_ns)
        next_tick = self._after(time.monotonic_ns())
        next_poll = time.monotonic_ns() + poll_ns
        while self._asked is None:
            now = time.monotonic_ns()
            if now >= next_poll:
                self._panel.poll()
                self._panel.save()
                next_poll = now + poll_ns
            if now >= next_tick:
                self._tick()
                next_tick = self._after(time.monotonic_ns())
                continue
            self._wait((min(next_tick, next_poll) - now) / 1e9, wake)
        self._finish()
        return self._asked

    def _after(self, now_ns: int) -> int:
        """The next whole multiple of the interval. Missed ticks are skipped: energy adds up."""
        return (now_ns // self._interval_ns + 1) * self._interval_ns

    def _tick(self) -> None:
        now = time.monotonic_ns()
        note_clock_changes(self._clocks, self._journal)
        self._panel.look()
        self._journal.usage(now, None, self._panel.busy_us())
        if now >= self._commit_at_ns:
            self._write(now)
        else:
            self._panel.save()

    def _write(self, now_ns: int) -> None:
        self._say_what_is_missing(now_ns)
        self._panel.save()  # first: of what the ledger tells, a successor must know the counters
        self._journal.heartbeat(now_ns)
        self._journal.commit()
        self._commit_at_ns = now_ns + _COMMIT_NS

    def _wait(self, seconds: float, wake: int) -> None:
        poller = select.poll()
        poller.register(wake, select.POLLIN)
        for descriptor in self._panel.descriptors():
            poller.register(descriptor, select.POLLIN)
        for descriptor, _ in poller.poll(seconds * 1e3 + 0.5):
            if descriptor == wake:
                os.read(wake, 64)
            else:
                self._panel.hear()

    def _say_what_is_missing(self, now_ns: int) -> None:
        notices, self._panel.notices = self._panel.notices, []
        for notice in notices:
            self._journal.event("notice", t_mono_ns=now_ns, detail=notice)

    def _finish(self) -> None:
        self._panel.last_look(_LAST_LOOK_S)
        note_stop(self._journal, self._shelf, _NAMES.get(signal.Signals(self._asked or 0), ""))
        self._write(time.monotonic_ns())
        self._journal.close()
        self._panel.close()

    def _listen_to_signals(self) -> int:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (*_STOP, signal.SIGHUP):
            signal.signal(number, self._ask)
        return reader

    def _ask(self, number: int, _frame: object) -> None:
        self._asked = number


def _say(_kind: str, message: str) -> None:
    """To standard error, which is the service manager's log. Nothing else is ever said there."""
    os.write(2, f"frugalwatch daemon: {message}\n".encode(errors="replace"))
