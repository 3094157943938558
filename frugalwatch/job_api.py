"""What a job may tell its sampler: phases, steps and metrics.

Standard library only, and safe to leave in code that runs without FrugalWatch: outside
`frugalwatch run` every call returns after one comparison. Inside, a message is one datagram to a
local socket that the sampler reads; the job never waits for it, and a sampler that is gone or
slow costs the job nothing.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import time
from types import TracebackType

SOCKET_VARIABLE = "FRUGALWATCH_SOCKET"
# Steps are counted here and told at most this often, so that a step costs an addition.
_STEP_PERIOD_NS = 100_000_000
_QUEUE_LIMIT = 1000


class _Line:
    """The way to the sampler from one process; a forked child opens its own."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._open_for(os.getpid())

    def _open_for(self, pid: int) -> None:
        self.pid = pid
        self.steps = 0
        self._told_ns = 0
        self._told_steps = 0
        self._queue: list[bytes] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def tell(self, kind: str, *fields: object) -> None:
        """Send one message, after those that found the socket full before."""
        if os.getpid() != self.pid:
            self._open_for(os.getpid())
        message = json.dumps([kind, self.pid, time.monotonic_ns(), *fields]).encode()
        if len(self._queue) < _QUEUE_LIMIT:
            self._queue.append(message)
        while self._queue:
            try:
                self._socket.sendto(self._queue[0], self._path)
            except BlockingIOError:
                return
            except OSError:  # the run is over, or its socket was removed
                self._queue.clear()
                return
            del self._queue[0]

    def count_steps(self, count: int) -> None:
        """Add to the number of steps, and say it if that was not done for a while."""
        if os.getpid() != self.pid:
            self._open_for(os.getpid())
        self.steps += count
        now = time.monotonic_ns()
        if now - self._told_ns >= _STEP_PERIOD_NS:
            self._told_ns = now
            self.flush_steps()

    def flush_steps(self) -> None:
        """Say how many steps there were, unless that was said already."""
        if os.getpid() == self.pid and self.steps != self._told_steps:
            self._told_steps = self.steps
            self.tell("step", self.steps)

    def close(self) -> None:
        """At the end of the process: say what is left to say."""
        self.flush_steps()
        if os.getpid() == self.pid and self._queue:
            self.tell("bye")


def _find_line() -> _Line | None:
    path = os.environ.get(SOCKET_VARIABLE)
    if not path:
        return None
    line = _Line(path)
    atexit.register(line.close)
    return line


_line: _Line | None = _find_line()


class phase:  # noqa: N801 - used as a verb, `with frugalwatch.phase("epoch", 3):`
    """A named stretch of the job's time, whose energy `frugalwatch show` reports.

    `with frugalwatch.phase("epoch", 3):` Phases may nest and may overlap between processes.
    Outside `frugalwatch run` this does nothing.
    """

    __slots__ = ("_name", "_number", "_token")

    def __init__(self, name: str, number: int | None = None) -> None:
        self._name = name
        self._number = number
        self._token = 0

    def __enter__(self) -> phase:
        if _line is not None:
            self._token = time.monotonic_ns()
            number = None if self._number is None else int(self._number)
            _line.tell("begin", self._token, str(self._name), number)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if _line is not None:
            _line.tell("end", self._token)


def metric(name: str, value: float) -> None:
    """Record a number that the job reached, such as its accuracy. Does nothing outside a run."""
    if _line is not None:
        _line.tell("metric", str(name), float(value))


def step(count: int = 1) -> None:
    """Say that `count` more steps (batches, requests) are done. Does nothing outside a run."""
    if _line is not None:
        _line.count_steps(count)
