"""Delivers notices from a process of its own, so that whoever measures never waits for a network.

The process is made with the first notice. What waits for it is bounded by the pipe and by a queue;
what has no room is counted and told. When the measuring is over it delivers what is left for a
minute at most, and then the kernel ends it, whatever it hangs in.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import time
from collections import deque
from typing import NamedTuple, NoReturn

from frugalwatch.alerts.notice import Notice
from frugalwatch.config.settings import Settings

LINGER_S = 60.0
_MOST_WAITING = 100
_LONGEST_LINE = 4096  # what a pipe takes in one piece, or not at all
_PR_SET_NAME = 15


class Routes(NamedTuple):
    """Where notices go, beside the log."""

    desktop: bool
    webhook: str | None
    command: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.desktop or self.webhook or self.command)


def routes_of(settings: Settings) -> Routes:
    """The routes that the settings ask for."""
    return Routes(settings.alert_desktop, settings.alert_webhook, settings.alert_command)


class Courier:
    """The sender's end. Nothing here waits or raises. Not for several threads."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._host = os.uname().nodename
        self._number = 0
        self._pid = 0
        self._to = self._back = -1
        self._heard = b""
        self.dropped = 0

    def send(self, notice: Notice) -> None:
        """Have it delivered, or count it as dropped."""
        if not self._routes:
            return
        self._number += 1
        line = json.dumps(notice.as_json(self._number, self._host)).encode() + b"\n"
        if self._to < 0 and not self._start():
            self.dropped += 1
            return
        try:
            if len(line) > _LONGEST_LINE:
                raise OSError("longer than a pipe takes in one piece")
            os.write(self._to, line)
        except BrokenPipeError:  # it died: the next notice gets another one
            self.dropped += 1
            self._let_go()
        except OSError:
            self.dropped += 1

    def problems(self) -> list[str]:
        """What could not be delivered since the last call, in words."""
        if self._back < 0:
            return []
        try:
            while piece := os.read(self._back, 65536):
                self._heard += piece
        except OSError:
            pass
        *lines, self._heard = self._heard.split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def close(self) -> None:
        """No more will come: the process delivers what it has, and ends. Safe twice."""
        self._let_go()

    def _start(self) -> bool:
        descriptors: list[int] = []
        try:
            descriptors += os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            descriptors += os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            pid = os.fork()
        except OSError:
            for descriptor in descriptors:
                os.close(descriptor)
            return False
        reading, self._to, self._back, telling = descriptors
        if pid == 0:
            _become_courier(self._routes, reading, telling)
        os.close(reading)
        os.close(telling)
        self._pid = pid
        return True

    def _let_go(self) -> None:
        for descriptor in (self._to, self._back):
            if descriptor >= 0:
                os.close(descriptor)
        self._to = self._back = -1
        if self._pid:
            with contextlib.suppress(OSError):
                os.waitpid(self._pid, os.WNOHANG)
            self._pid = 0


class _Waiting(NamedTuple):
    """A notice that the webhook has not taken yet."""

    due_s: float
    tries: int
    notice: dict[str, object]


class _Round:
    """The courier's own loop."""

    def __init__(self, routes: Routes, reading: int, telling: int) -> None:
        self._routes = routes
        self._reading = reading
        self._telling = telling
        self._rest = b""
        self._fresh: deque[dict[str, object]] = deque()
        self._waiting: deque[_Waiting] = deque()

    def go(self) -> None:
        """Deliver until no more can come and nothing waits."""
        while self._reading >= 0 or self._fresh or self._waiting:
            self._listen()
            if self._fresh:
                self._deliver(self._fresh.popleft())
            elif self._waiting and self._waiting[0].due_s <= time.monotonic():
                self._post(self._waiting.popleft())

    def _listen(self) -> None:
        pause_s: float | None = 0.0 if self._fresh else None
        if pause_s is None and self._waiting:
            pause_s = max(0.0, self._waiting[0].due_s - time.monotonic())
        if self._reading < 0:
            time.sleep(pause_s or 0.0)
            return
        ready, _, _ = select.select([self._reading], [], [], pause_s)
        if not ready:
            return
        data = os.read(self._reading, 65536)
        if not data:
            os.close(self._reading)
            self._reading = -1
            signal.setitimer(signal.ITIMER_REAL, LINGER_S)  # by its default action it ends us
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if len(self._fresh) + len(self._waiting) < _MOST_WAITING:
                self._fresh.append(json.loads(line))
            else:
                self._tell("too many notices wait: one was dropped")

    def _deliver(self, notice: dict[str, object]) -> None:
        if self._routes.desktop:
            from frugalwatch.alerts.sinks.desktop import show

            self._tell(show(notice))
        if self._routes.command:
            from frugalwatch.alerts.sinks.command import call

            self._tell(call(self._routes.command, notice))
        if self._routes.webhook is not None:
            self._post(_Waiting(0.0, 0, notice))

    def _post(self, waiting: _Waiting) -> None:
        from frugalwatch.alerts.sinks.webhook import PAUSES_S, post

        assert self._routes.webhook is not None
        failure = post(self._routes.webhook, waiting.notice)
        if failure is None:
            return
        tries = waiting.tries + 1
        if not failure.again or tries > len(PAUSES_S):
            self._tell(f"webhook: {failure.why}; given up after {tries} tries")
            return
        due_s = time.monotonic() + PAUSES_S[tries - 1]
        self._waiting.append(_Waiting(due_s, tries, waiting.notice))
        self._waiting = deque(sorted(self._waiting, key=lambda each: each.due_s))

    def _tell(self, problem: str) -> None:
        if problem:
            try:
                os.write(self._telling, problem[:500].replace("\n", " ").encode() + b"\n")
            except OSError:  # nobody reads it any more
                return


def _become_courier(routes: Routes, reading: int, telling: int) -> NoReturn:
    """In the child: let go of all that was inherited, deliver, end. Never returns."""
    try:
        # Ctrl-C and a batch system's signals are meant for the job; ours is a minute's work.
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        reading, telling = _moved_up(reading, telling)
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        os.closerange(telling + 1, os.sysconf("SC_OPEN_MAX"))
        os.set_blocking(reading, True)
        ctypes.CDLL(None).prctl(_PR_SET_NAME, b"fw-courier", 0, 0, 0)
        _Round(routes, reading, telling).go()
    except BaseException:  # noqa: BLE001 - the edge of a process that nobody waits for
        pass
    os._exit(0)


def _moved_up(reading: int, telling: int) -> tuple[int, int]:
    """The two descriptors as 10 and 11, wherever they were, and nothing between 2 and them."""
    import fcntl

    high = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 20) for each in (reading, telling)]
    for number, descriptor in zip((10, 11), high, strict=True):
        os.dup2(descriptor, number, inheritable=False)
    os.closerange(3, 10)
    return 10, 11
