"""The reader process: a fork that looks at one collector when asked, and ends when its pipe does.

It is forked and not spawned, since a fresh interpreter costs 20 to 60 ms of CPU and its own memory
where a fork shares both. The caller must have one thread only.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, Protocol, runtime_checkable

from collectors.base import Collector
from collectors.disagreement import Disagreement
from collectors.isolated_wire import encode_crashed, encode_found, encode_looked

_REQUEST = b"r"
_NAME_BYTES = 15  # the kernel cuts a process name there
_UNCHANGEABLE = (signal.SIGKILL, signal.SIGSTOP)
_KEPT_DEFAULT = (
    signal.SIGCHLD,
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGABRT,
)


@runtime_checkable
class Resumable(Protocol):
    """A collector whose cumulative figures can go on in another process.

    `state()` is built-in types only (it is marshalled) and belongs to the last `read()`; `resume()`
    is called before the first `probe()`.
    """

    def state(self) -> object:
        """What the successor needs: last raw counters and the energy counted so far."""
        ...

    def resume(self, state: object) -> None:
        """Continue from what `state()` returned in a process that is gone."""
        ...


@runtime_checkable
class Polled(Protocol):
    """A collector that must look at its hardware more often than it is read."""

    def background_interval_s(self) -> float | None:
        """Seconds until `background()` wants to be called; None: not at all."""
        ...

    def background(self) -> None:
        """Look at the hardware and keep what was seen for the next `read()`."""
        ...


@runtime_checkable
class CrossChecked(Protocol):
    """A collector that measures a device in two ways and says when they differ."""

    def take_disagreements(self) -> Sequence[Disagreement]:
        """Disagreements found since the last call."""
        ...


@dataclass(slots=True)
class Worker:
    """The parent's handle of a reader process. `asked_ns` is None while nothing is outstanding."""

    pid: int
    request_fd: int
    reply_fd: int
    started_ns: int
    asked_ns: int | None
    ready: bool = False
    buffer: bytearray = field(default_factory=bytearray)

    def ask(self, now_ns: int) -> bool:
        """Send a request. False if the process is gone (its pipe then reads as ended)."""
        try:
            os.write(self.request_fd, _REQUEST)
        except (BrokenPipeError, BlockingIOError):
            return False
        self.asked_ns = now_ns
        return True

    def hang_up(self) -> None:
        """Close both pipes: the process ends once it is out of the driver. Safe to call twice."""
        for fd in (self.request_fd, self.reply_fd):
            if fd >= 0:
                os.close(fd)
        self.request_fd = self.reply_fd = -1

    def reap(self) -> int | None:
        """Its wait status if it has ended, else None. -1 if somebody else reaped it."""
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return -1
        return status if pid else None

    def nudge(self) -> None:
        """Interrupt a driver call that can be interrupted (see `_settle_signals`)."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)


def start_worker(
    factory: Callable[[], Collector], name: str, state: object, clock_ns: Callable[[], int]
) -> Worker:
    """Fork a reader, which probes and reads once without being asked. Raises OSError."""
    request_read, request_write = os.pipe()
    try:
        reply_read, reply_write = os.pipe()
    except OSError:
        os.close(request_read)
        os.close(request_write)
        raise
    # Signals wait until the child has let go of the parent's handlers and wake-up pipe.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        started_ns = clock_ns()
        pid = os.fork()
        if pid == 0:
            _child(factory, name, state, request_read, reply_write)
    except OSError:
        os.close(request_write)
        os.close(reply_read)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.close(request_read)
        os.close(reply_write)
    os.set_blocking(reply_read, False)
    os.set_blocking(request_write, False)
    return Worker(pid, request_write, reply_read, started_ns, asked_ns=started_ns)


def _child(
    factory: Callable[[], Collector], name: str, state: object, request_fd: int, reply_fd: int
) -> NoReturn:
    status = 70  # EX_SOFTWARE
    try:
        # Inherited objects stay where they are: a collection would write to every shared page.
        gc.freeze()
        _settle_signals()
        request_fd, reply_fd = _settle_files(request_fd, reply_fd)
        _set_name(f"fw-{name}")
        try:
            collector = factory()
            try:
                _serve(collector, state, request_fd, reply_fd)
            finally:
                collector.close()
            status = 0
        except (BrokenPipeError, ConnectionError):
            status = 0  # the parent is gone or has given us up
        except BaseException:  # noqa: BLE001 - a process's edge: the traceback goes to the parent
            import traceback

            _send(reply_fd, encode_crashed(traceback.format_exc()))
    except BaseException:  # noqa: BLE001 - nothing may escape into the parent's code
        pass
    finally:
        os._exit(status)


def _settle_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if number in _KEPT_DEFAULT:
            signal.signal(number, signal.SIG_DFL)
        elif number not in _UNCHANGEABLE and number < signal.SIGRTMIN:
            # A scheduler or a terminal signals every process; the last look comes after that.
            signal.signal(number, signal.SIG_IGN)
    # SIGTERM is caught and does nothing but interrupt a system call, so that a driver call that
    # can be interrupted comes back and we end in good order. Its default action would end us inside
    # the driver, as SIGKILL does, and that has frozen cards (NVIDIA/dcgm-exporter#84).
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _settle_files(request_fd: int, reply_fd: int) -> tuple[int, int]:
    import fcntl

    # Above 2 even if the parent ran with its standard files closed.
    request_fd = fcntl.fcntl(request_fd, fcntl.F_DUPFD_CLOEXEC, 3)
    reply_fd = fcntl.fcntl(reply_fd, fcntl.F_DUPFD_CLOEXEC, 3)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    # Listing beats closerange(): where libc lacks close_range() that walks to the limit.
    for entry in os.listdir("/proc/self/fd"):
        fd = int(entry)
        if fd > 2 and fd not in (request_fd, reply_fd):
            with contextlib.suppress(OSError):  # the descriptor of the listing itself
                os.close(fd)
    return request_fd, reply_fd


def _set_name(name: str) -> None:
    try:
        with open("/proc/self/comm", "w", encoding="utf-8") as comm:
            comm.write(name[:_NAME_BYTES])
    except OSError:
        pass  # a name for `ps`, nothing more


def _send(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _serve(collector: Collector, state: object, request_fd: int, reply_fd: int) -> None:
    resumable = collector if isinstance(collector, Resumable) else None
    polled = collector if isinstance(collector, Polled) else None
    checked = collector if isinstance(collector, CrossChecked) else None
    if resumable is not None and state is not None:
        resumable.resume(state)
    _send(reply_fd, encode_found(collector.probe()))
    poller = select.poll()
    poller.register(request_fd, select.POLLIN)
    while True:
        observations = collector.read()
        _send(
            reply_fd,
            encode_looked(
                observations,
                resumable.state() if resumable is not None else None,
                checked.take_disagreements() if checked is not None else (),
            ),
        )
        if not _wait_for_request(poller, request_fd, polled):
            return


def _wait_for_request(poller: select.poll, request_fd: int, polled: Polled | None) -> bool:
    """True once asked, False once the parent hung up; calls `background()` when it is due."""
    while True:
        interval_s = polled.background_interval_s() if polled is not None else None
        due_s = None if interval_s is None else time.monotonic() + interval_s
        while True:
            left_ms = None if due_s is None else max(0.0, (due_s - time.monotonic()) * 1e3)
            if poller.poll(left_ms):
                return bool(os.read(request_fd, 4096))
            if due_s is not None and time.monotonic() >= due_s:
                break
        if polled is not None:
            polled.background()
