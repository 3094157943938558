"""What a job may tell its sampler: phases, steps and metrics.

Standard library only, and safe to leave in code that runs without FrugalWatch: outside
`frugalwatch run` every call returns after one comparison. Inside, a message is one short write to a
named pipe that the sampler reads; the job never waits for it, and a sampler that is gone or slow
costs the job nothing. No call raises on our account: a value that cannot be told is left out.
"""

from __future__ import annotations

import _thread
import atexit
import json
import os
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

PIPE_VARIABLE = "FRUGALWATCH_PIPE"
# Steps are counted here and told at most this often, so that a step costs an addition.
_STEP_PERIOD_NS = 100_000_000
# Messages that wait for a full pipe, or for a thread that is writing: about a megabyte.
_QUEUE_LIMIT = 10_000
_NAME_LENGTH = 200
_ATOMIC = 4096  # PIPE_BUF: a write of up to this many bytes is never mixed with another one


class _Line:
    """The way to the sampler from one process; a forked child begins its own.

    Threads and signal handlers may call it at any time, so nothing here waits for a lock: who
    finds it taken leaves the message in the queue, and the holder sends it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = _thread.allocate_lock()
        self._queue: deque[bytes] = deque()
        self._steps: dict[int, int] = {}  # by thread: adding to a common figure is not atomic
        self._told_ns = 0
        self._told_steps = 0
        self._told_goals: dict[str, int] = {}
        self._descriptor = -1
        self._identity = (-1, -1)

    def tell(self, kind: str, *fields: object) -> None:
        """Send one message, after those that found the pipe full before."""
        if os.getpid() != self._pid:
            self._begin()
        if kind != "step":
            # Every phase has its own steps, also in a child that ends by os._exit, without atexit.
            self._tell_steps()
        message = json.dumps([kind, self._pid, time.monotonic_ns(), *fields]).encode() + b"\n"
        if len(message) <= _ATOMIC and len(self._queue) < _QUEUE_LIMIT:
            self._queue.append(message)
        self._flush()

    def count_steps(self, count: int) -> None:
        """Add to the number of steps, and say it if that was not done for a while."""
        if os.getpid() != self._pid:
            self._begin()
        thread = _thread.get_ident()
        self._steps[thread] = self._steps.get(thread, 0) + count
        now = time.monotonic_ns()
        if now - self._told_ns >= _STEP_PERIOD_NS:
            self._told_ns = now
            self._tell_steps()

    def tell_goal(self, name: str, total: int) -> None:
        """Say how many steps (`name` ""), or phases of a name, there will be, unless it was said."""
        if os.getpid() != self._pid:
            self._begin()
        if total > 0 and self._told_goals.get(name) != total:
            self._told_goals[name] = total
            self.tell("goal", name, total)

    def close(self) -> None:
        """At the end of the process: say what is left to say."""
        if os.getpid() == self._pid:
            self._tell_steps()
            self._flush()

    def _tell_steps(self) -> None:
        steps = sum(list(self._steps.values()))
        if steps != self._told_steps:
            self._told_steps = steps
            self.tell("step", steps)

    def _flush(self) -> None:
        while self._queue and self._lock.acquire(False):
            try:
                while self._queue:
                    if not self._write_some():
                        return
            finally:
                self._lock.release()

    def _write_some(self) -> bool:
        """Write as many messages as one write may hold; False if the pipe is full."""
        queue, data, count = self._queue, self._queue[0], 1
        while count < len(queue) and len(data) + len(queue[count]) <= _ATOMIC:
            data += queue[count]
            count += 1
        if not self._write(data):
            return False
        for _ in range(count):
            queue.popleft()
        return True

    def _write(self, data: bytes) -> bool:
        """False if the pipe is full. Once the run is over, messages go nowhere."""
        try:
            if not self._is_open():
                # Reading too: a pipe without any reader would send us SIGPIPE.
                flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC
                self._descriptor = os.open(self._path, flags)
                found = os.fstat(self._descriptor)
                self._identity = (found.st_dev, found.st_ino)
            os.write(self._descriptor, data)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def _is_open(self) -> bool:
        """Whether our descriptor is still our pipe: a daemon closes what it did not open."""
        try:
            found = os.fstat(self._descriptor)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity


def _find_line() -> _Line | None:
    path = os.environ.get(PIPE_VARIABLE)
    if not path:
        return None
    line = _Line(path)
    atexit.register(line.close)
    return line


_line: _Line | None = _find_line()


def _quietly(function: Callable[[_Line], None]) -> None:
    """Call it with the line if there is one; whatever goes wrong then is no matter of the job's."""
    if _line is not None:
        try:
            function(_line)
        except Exception:  # noqa: BLE001 - float() of a user's object may raise anything
            return


class phase:  # noqa: N801 - used as a verb, `with frugalwatch.phase("epoch", 3):`
    """A named stretch of the job's time, whose energy `frugalwatch show` reports.

    `with frugalwatch.phase("epoch", 3, of=10):` Phases may nest and may overlap between processes.
    With `of`, the number of phases of this name that there will be in all, `frugalwatch top` shows
    what the job will have used at its end. Outside `frugalwatch run` this does nothing.
    """

    __slots__ = ("_name", "_number", "_of", "_token")

    def __init__(self, name: str, number: int | None = None, *, of: int | None = None) -> None:
        self._name = name
        self._number = number
        self._of = of
        self._token = 0

    def __enter__(self) -> phase:
        if _line is not None:
            self._token = time.monotonic_ns()
            _quietly(self._begin)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if _line is not None:
            _quietly(self._end)

    def _begin(self, line: _Line) -> None:
        number = None if self._number is None else int(self._number)
        name = str(self._name)[:_NAME_LENGTH]
        line.tell("begin", self._token, name, number)
        if self._of is not None and name:
            line.tell_goal(name, int(self._of))

    def _end(self, line: _Line) -> None:
        line.tell("end", self._token)


def metric(name: str, value: float) -> None:
    """Record a number that the job reached, such as its accuracy. Does nothing outside a run."""
    if _line is not None:
        _quietly(lambda line: line.tell("metric", str(name)[:_NAME_LENGTH], float(value)))


def step(count: int = 1, *, total: int | None = None) -> None:
    """Say that `count` more steps (batches, requests) are done. Does nothing outside a run.

    `total`: how many there will be in all, so that `frugalwatch top` shows what the job will have
    used at its end; `step(0, total=4000)` says that before the first one.
    """
    if _line is not None:
        _quietly(lambda line: _count(line, int(count), total))


def _count(line: _Line, count: int, total: int | None) -> None:
    line.count_steps(count)
    if total is not None:
        line.tell_goal("", int(total))
