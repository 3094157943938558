"""A live grid value without ever waiting for the network: a short-lived process asks for us.

The sampler's loop calls `start()` when `due()`, watches `fileno()`, and calls `poll()`. Name
resolution, a server that drips one byte a second, a hung cache folder: all of that happens in
the child, which a timer of the kernel ends after three seconds whatever it hangs in. The child
holds none of our files, so it cannot keep a pipe open that somebody waits on.

Imported only where a live source is configured.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import NoReturn

from frugalwatch.carbon import cloud
from frugalwatch.carbon.live_value import LiveFailure, LiveValue, from_record
from frugalwatch.carbon.table import read_grid
from frugalwatch.config.settings import Settings
from frugalwatch.errors import NotFoundError

DEADLINE_S = 3.0
_FIRST_RETRY_S = 60.0
_LAST_RETRY_S = 900.0


def fetch(settings: Settings, environ: Mapping[str, str]) -> LiveValue | LiveFailure:
    """The value that holds now, from the cache or the service. Blocks, three seconds at most."""
    grid = LiveGrid(settings, environ)
    try:
        grid.start()
        return grid.wait(DEADLINE_S + 0.2) or LiveFailure(f"no answer within {DEADLINE_S:g} s")
    finally:
        grid.close()


class LiveGrid:
    """Asks the configured service now and then, from a process of its own.

    Not for several threads. `close()` must be called; it never waits for the network.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = dict(environ)
        self._unreaped: list[int] = []
        self._pipe = -1
        self._answer = b""
        self._failures = 0
        self._deadline_s = 0.0
        self._next_s: float | None = 0.0  # monotonic; None: asking again cannot help
        self.latest: LiveValue | None = None

    def due(self) -> bool:
        """True if nothing is under way and it is time to ask (again)."""
        return self._pipe < 0 and self._next_s is not None and time.monotonic() >= self._next_s

    def fileno(self) -> int:
        """The descriptor that turns readable when `poll()` has something, or -1 between questions.

        Ask anew after each `start()`: every question has its own.
        """
        return self._pipe

    def start(self) -> None:
        """Begin one question unless one is under way. Costs a fork; never waits."""
        if self._pipe >= 0:
            return
        self._reap()
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            pid = os.fork()
        except OSError:
            os.close(reading)
            os.close(writing)
            self._plan(LiveFailure("no process could be started"))
            return
        if pid == 0:
            _child(self._settings, self._environ, writing)
        os.close(writing)
        self._unreaped.append(pid)
        self._pipe, self._answer = reading, b""
        self._deadline_s = time.monotonic() + DEADLINE_S + 0.1

    def poll(self) -> LiveValue | LiveFailure | None:
        """The answer, once, when it is there; None while it is not. Never waits."""
        if self._pipe < 0:
            return None
        try:
            while piece := os.read(self._pipe, 65536):
                self._answer += piece
        except BlockingIOError:
            if time.monotonic() < self._deadline_s:
                return None
        except OSError:
            pass  # as if the child had died: whatever it wrote so far is looked at below
        answer = self._read_answer()
        self._drop()
        self._plan(answer)
        if isinstance(answer, LiveValue):
            self.latest = answer
        return answer

    def wait(self, timeout_s: float) -> LiveValue | LiveFailure | None:
        """As `poll`, but gives the answer up to `timeout_s` seconds to arrive."""
        end_s = time.monotonic() + timeout_s
        while self._pipe >= 0:
            answer = self.poll()
            left_s = end_s - time.monotonic()
            if answer is not None or left_s <= 0:
                return answer
            select.select([self._pipe], [], [], min(left_s, 0.1))
        return None

    def close(self) -> None:
        """End a question that is under way. Safe to call twice."""
        self._drop()
        self._next_s = None

    def _read_answer(self) -> LiveValue | LiveFailure:
        if not self._answer:
            return LiveFailure(f"no answer within {DEADLINE_S:g} s")
        try:
            record = json.loads(self._answer)
            return from_record(record if isinstance(record, dict) else {})
        except ValueError as error:
            return LiveFailure(f"the asking process broke off: {error}")

    def _plan(self, answer: LiveValue | LiveFailure) -> None:
        """When to ask again: as the value or the service says, else with doubling pauses."""
        now_s = time.monotonic()
        if isinstance(answer, LiveValue):
            self._failures = 0
            self._next_s = now_s + max(1.0, (answer.until_utc_ns - time.time_ns()) / 1e9)
        elif answer.final:
            self._next_s = None
        else:
            pause_s = min(_FIRST_RETRY_S * 2.0 ** min(self._failures, 10), _LAST_RETRY_S)
            self._failures += 1
            self._next_s = now_s + max(pause_s, answer.retry_after_s or 0.0)

    def _drop(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        self._reap()
        for pid in self._unreaped:  # not reaped, so the number is still theirs
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._reap()

    def _reap(self) -> None:
        """Take in ended children. Never waits: one that hangs in the kernel can't be killed yet."""
        running: list[int] = []
        for pid in self._unreaped:
            with contextlib.suppress(ChildProcessError):  # somebody's wait(-1) had it already
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    running.append(pid)
        self._unreaped = running


def zone_to_ask(settings: Settings) -> str | LiveFailure:
    """The zone for the service's question, or why the chosen place does not fit the service."""
    zone = settings.zone
    if zone is None and settings.cloud_region:
        try:
            zone = cloud.find(settings.cloud_region).zone
        except NotFoundError as error:
            return LiveFailure(error.message, error.hint, final=True)
    if settings.live_grid == "uk-carbon-intensity":
        row = read_grid().find(zone) if zone else None
        if zone is None or (row is not None and row.zone == "GB"):
            return "GB"
        return LiveFailure(f"UK Carbon Intensity covers GB, not {zone}", final=True)
    if zone is None:
        why = "Electricity Maps needs a zone, and a place is never guessed"
        return LiveFailure(why, "set zone, for example FR", final=True)
    row = read_grid().find(zone)
    return row.zone if row is not None else zone.strip()


def _child(settings: Settings, environ: Mapping[str, str], writing: int) -> NoReturn:
    """Ask, write the answer as JSON, end. Everything inherited is let go of first."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        # The kernel ends this process even inside name resolution, and even without a parent.
        signal.setitimer(signal.ITIMER_REAL, DEADLINE_S)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.dup2(writing, 3)  # first: where the parent had no stdin, the pipe may be number 0
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        answer = _ask_or_recall(settings, environ)
        os.write(3, json.dumps(asdict(answer)).encode())  # under 4 kB: in one piece
        status = 0
    except BaseException:  # noqa: BLE001 - the edge of a process; the parent sees no answer
        pass
    os._exit(status)


def _ask_or_recall(settings: Settings, environ: Mapping[str, str]) -> LiveValue | LiveFailure:
    zone = zone_to_ask(settings)
    if isinstance(zone, LiveFailure):
        return zone
    from frugalwatch.carbon import live_cache

    path = live_cache.cache_path(settings, zone, environ)
    kept = live_cache.recall(path, time.time_ns())
    if kept is not None:
        return kept
    from frugalwatch.carbon import live_fetch

    answer = live_fetch.ask(settings, zone, environ, DEADLINE_S - 0.5)
    if isinstance(answer, LiveValue):
        live_cache.keep(path, answer)
    return answer
