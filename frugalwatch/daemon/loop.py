"""The daemon's loop: the sampler's sources and journal, looked at once a tick until told to stop.

Ticks lie on whole multiples of the interval on the monotonic clock. What takes longer than a tick
may (walking all processes, thinning) follows right behind one, so that the next is not late.
"""

from __future__ import annotations

import os
import select
import signal
import sqlite3
import time
from typing import TYPE_CHECKING

from collectors.cpu_time import machine_busy_us
from frugalwatch.daemon.attribution import MINUTE_NS, Attribution
from frugalwatch.daemon.processes import ProcessWatch
from frugalwatch.daemon.session import note_stop, open_session
from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.minutes import MinuteRows
from frugalwatch.ledger.paths import locate
from frugalwatch.ledger.retention import DAY_NS, thin_to_days, thin_to_minutes
from frugalwatch.sampler.clocks import ClockWatch, note_clock_changes
from frugalwatch.sampler.panel import Panel
from frugalwatch.sampler.recorder import Audience, Recorder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collectors.base import Device, ProcessUtilization, Reading
    from collectors.isolated import IsolatedCollector
    from frugalwatch.budgets.day import DayWatch
    from frugalwatch.daemon.metrics_link import MetricsLink
    from frugalwatch.daemon.send_link import SendLink
    from frugalwatch.daemon.server_link import ServerLink
    from frugalwatch.daemon.shelf import FileShelf
    from frugalwatch.sampler.context import RunContext

# A commit costs 1 ms. What a kill loses is power detail of this time, and no energy of counters.
_COMMIT_NS = 5_000_000_000
_COMMIT_LOOKS = 5
_LAST_LOOK_S = 0.9
# 500 processes take 6 ms a walk.
_WALK_NS = 10_000_000_000
_HOUSE_NS = 3_600_000_000_000
_THINNING_S = 0.2  # of recordings of earlier boots, an hour
_THINNED = "thinned"
_STOP = (signal.SIGTERM, signal.SIGINT)
_NAMES = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "SIGINT", signal.SIGHUP: "SIGHUP"}


class Daemon:
    """Samples a machine. `run()` returns the signal that ended it: SIGTERM, SIGINT or SIGHUP."""

    def __init__(
        self,
        context: RunContext,
        shelf: FileShelf,
        readers: list[IsolatedCollector],
        link: ServerLink | None,
        *,
        metrics: MetricsLink | None = None,
        sending: SendLink | None = None,
    ) -> None:
        self._context = context
        self._shelf = shelf
        place = locate(context.plan.ledger_path, context.plan.environment)
        self._journal = Journal(place.ledger, notify=_say, lasting=True)
        self._minutes = MinuteRows()
        settings = context.plan.settings
        processes = ProcessWatch(context.plan.host.procfs, by_user=settings.by_user)
        self._attribution = Attribution(self._minutes, processes)
        self._link = link
        self._metrics = metrics
        self._sending = sending
        audience: list[Audience] = [self._attribution]
        if link is not None:
            audience.append(link.publisher)
        self._recorder = Recorder(self._journal, _Everybody(audience))
        self._panel = Panel(context, readers, self._recorder)
        self._clocks = ClockWatch()
        self._interval_ns = round(context.plan.settings.interval_s * 1e9)
        self._commit_at_ns = 0
        self._walk_at_ns = self._minute_at_ns = self._house_at_ns = 0
        self._asked: int | None = None
        self._days: DayWatch | None = None

    def run(self) -> int:
        """Sample until a signal asks for an end."""
        wake = self._listen_to_signals()
        resumed = open_session(self._journal, self._context, self._shelf)
        self._journal.recording.minutes = self._minutes
        if resumed:
            self._recorder.go_on_from(self._journal.last_readings())
        if self._metrics is not None:
            address = self._metrics.address
            self._journal.event("metrics_served", t_mono_ns=time.monotonic_ns(), detail=address)
        if self._context.plan.settings.daemon_budgets:
            from frugalwatch.budgets.day import DayWatch

            settings = self._context.plan.settings
            self._days = DayWatch(settings, self._journal, lambda text: _say("budget", text))
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
                self._between_ticks()
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
        if self._link is not None:
            self._link.publisher.publish()
        self._journal.usage(now, None, self._panel.busy_us())
        if now >= self._commit_at_ns:
            self._write(now)
        else:
            self._panel.save()

    def _between_ticks(self) -> None:
        """What may take a while: right behind a tick, and long before the next one."""
        self._attribute()
        self._keep_house()
        if self._days is not None:
            self._days.tend(time.monotonic_ns())
        ended = self._link.tend() if self._link is not None else None
        if ended is not None:
            self._journal.event("socket_lost", t_mono_ns=time.monotonic_ns(), detail=ended)
        ended = self._metrics.tend() if self._metrics is not None else None
        if ended is not None:
            self._journal.event("metrics_lost", t_mono_ns=time.monotonic_ns(), detail=ended)
        ended = self._sending.tend() if self._sending is not None else None
        if ended is not None:
            self._journal.event("sending_lost", t_mono_ns=time.monotonic_ns(), detail=ended)

    def _attribute(self) -> None:
        now = time.monotonic_ns()
        if now >= self._minute_at_ns:
            self._attribution.close_minute(machine_busy_us(self._context.plan.host))
            self._minute_at_ns = (now // MINUTE_NS + 1) * MINUTE_NS
            self._walk_at_ns = now + _WALK_NS
        elif now >= self._walk_at_ns:
            self._attribution.walk()
            self._walk_at_ns = now + _WALK_NS

    def _keep_house(self) -> None:
        """Thin what is old, an hour's worth each hour, and tell of what no ledger could take."""
        now = time.monotonic_ns()
        if now < self._house_at_ns:
            return
        self._house_at_ns = now + _HOUSE_NS
        settings = self._context.plan.settings
        limit_ns = now - round(settings.raw_sample_days * DAY_NS)
        begin_ns = self._shelf.own.get(_THINNED, (0,))[0]
        days_before_utc_ns = time.time_ns() - round(settings.minute_days * DAY_NS)

        def work(connection: sqlite3.Connection) -> None:
            if limit_ns > begin_ns and self._journal.run_id is not None:
                thin_to_minutes(connection, self._journal.run_id, begin_ns, limit_ns)
                self._shelf.put_own(_THINNED, (limit_ns,))
            thin_to_days(connection, days_before_utc_ns)

        self._journal.attend(work)
        raw_before_utc_ns = time.time_ns() - round(settings.raw_sample_days * DAY_NS)
        self._journal.thin(raw_before_utc_ns, budget_s=_THINNING_S)

    def _write(self, now_ns: int) -> None:
        self._say_what_is_missing(now_ns)
        self._panel.save()  # first: of what the ledger tells, a successor must know the counters
        self._journal.heartbeat(now_ns)
        self._journal.commit()
        self._commit_at_ns = now_ns + min(_COMMIT_NS, _COMMIT_LOOKS * self._interval_ns)

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
        self._attribution.close_minute(machine_busy_us(self._context.plan.host))
        note_stop(self._journal, self._shelf, _NAMES.get(signal.Signals(self._asked or 0), ""))
        self._write(time.monotonic_ns())
        if self._days is not None:
            self._days.close()
        self._journal.close()
        self._panel.close()
        if self._link is not None:
            self._link.close()
        if self._metrics is not None:
            self._metrics.close()
        if self._sending is not None:
            self._sending.close()

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


class _Everybody:
    """Tells each of several listeners."""

    def __init__(self, listeners: Sequence[Audience]) -> None:
        self._listeners = listeners

    def reading(self, device: Device, handle: int, reading: Reading) -> None:
        for listener in self._listeners:
            listener.reading(device, handle, reading)

    def utilization(self, device: Device, handle: int, seen: ProcessUtilization) -> None:
        for listener in self._listeners:
            listener.utilization(device, handle, seen)


def _say(_kind: str, message: str) -> None:
    """To standard error, which is the service manager's log. Nothing else is ever said there."""
    os.write(2, f"frugalwatch daemon: {message}\n".encode(errors="replace"))
