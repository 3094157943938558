"""A process beside the sampler: started by it, ended with it, replaced with pauses when it died.

What listens to others lives in such a process, without a right that its clients lack. Whatever they
do to it, the sampler notices nothing.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import struct
import time
from collections.abc import Callable, Mapping
from typing import NoReturn, TypeAlias

# Starts the process and says its number. Gets the descriptor that becomes readable, and then empty,
# when the sampler is gone. Raises OSError if there is no process to be had.
Start: TypeAlias = Callable[[int], int]

_FIRST_PAUSE_NS = 1_000_000_000
_LONGEST_PAUSE_NS = 60_000_000_000
_SETTLED_NS = 60_000_000_000
_NOBODY = 65534
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _CLEAR_ALL = 47, 4
_CAPABILITY_VERSION_3 = 0x20080522
CANNOT_SERVE = 69  # EX_UNAVAILABLE
_SOFTWARE = 70  # EX_SOFTWARE


class Child:
    """At most one process at a time, of those that `start` starts."""

    def __init__(self, start: Start) -> None:
        self._start_one = start
        self._wake_read, wake = os.pipe()
        os.set_blocking(wake, False)
        self.wake = wake
        self._pid = 0
        self._started_ns = 0
        self._pause_ns = _FIRST_PAUSE_NS
        self._start_at_ns = 0

    def tend(self) -> str | None:
        """Start the process if there is none, once its pause is over; why the last one ended."""
        now = time.monotonic_ns()
        ended: str | None = None
        if self._pid:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if not pid:
                return None
            self._pid = 0
            if now - self._started_ns > _SETTLED_NS:
                self._pause_ns = _FIRST_PAUSE_NS
            self._start_at_ns = now + self._pause_ns
            self._pause_ns = min(_LONGEST_PAUSE_NS, 2 * self._pause_ns)
            ended = f"wait status {status}"
        if now >= self._start_at_ns:
            self._start(now)
        return ended

    def close(self) -> bool:
        """Let the process end within a second; whether there was one."""
        os.close(self.wake)
        os.close(self._wake_read)
        if not self._pid:
            return False
        deadline = time.monotonic() + 1.0
        while os.waitpid(self._pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
                break
            time.sleep(0.005)
        return True

    def _start(self, now_ns: int) -> None:
        try:
            self._pid = self._start_one(self._wake_read)
        except OSError:
            self._start_at_ns = now_ns + _LONGEST_PAUSE_NS
            return
        self._started_ns = now_ns


class News:
    """Which of the reasons why processes ended are new: the same one is not said twice in a row."""

    def __init__(self) -> None:
        self._said: str | None = None

    def of(self, ended: str | None) -> str | None:
        """The reason, if it is to be said."""
        if ended is None or ended == self._said:
            return None
        self._said = ended
        return ended


def forked(name: str, place: str, work: Callable[[int], None]) -> Start:
    """A fork that does `work`, called `name` in `ps`; for a caller that has one thread.

    It must not touch SQLite: the library's state would be the sampler's.
    """

    def start(wake: int) -> int:
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = os.fork()
            if pid == 0:
                _become(name, place, work, wake)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        return pid

    return start


def spawned(argv: tuple[str, ...], environ: Mapping[str, str]) -> Start:
    """A program of its own. Its standard input ends when the sampler does."""

    def start(wake: int) -> int:
        return os.posix_spawn(
            argv[0],
            argv,
            environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, wake, 0)],
            setsigmask=(),
            setsigdef=(signal.SIGTERM, signal.SIGHUP),
            setpgroup=0,  # a Ctrl-C is the daemon's
        )

    return start


def drop_rights(gid: int | None) -> None:
    """From root to nobody, and no capability in any case: what is open already is enough."""
    if os.getuid() == 0:
        group = _NOBODY if gid is None else gid
        try:
            os.setgroups([])
            os.setresgid(group, group, group)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        except PermissionError:  # a service manager has left it no such right, nor others
            pass
    drop_capabilities()


def drop_capabilities() -> None:
    """Keep the user, and no capability; no program that is started later gets any."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    libc.capset(header, bytes(24))  # effective, permitted and inheritable, two words each


def _become(name: str, place: str, work: Callable[[int], None], wake: int) -> NoReturn:
    status = _SOFTWARE
    try:
        gc.freeze()
        _settle(name, wake)
        work(wake)
        status = 0
    except OSError as error:
        status = CANNOT_SERVE
        os.write(2, f"frugalwatch daemon: nobody is served on {place}: {error}\n".encode())
    except BaseException:  # noqa: BLE001 - a process's edge: say where, and be replaced
        import traceback

        os.write(2, traceback.format_exc().encode(errors="replace"))
    finally:
        os._exit(status)


def _settle(name: str, wake: int) -> None:
    """Own no signal handler and no file of the sampler's; end when the sampler does."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)  # the sampler ends this process, by the pipe
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for entry in os.listdir("/proc/self/fd"):
        descriptor = int(entry)
        if descriptor > 2 and descriptor != wake:
            try:
                os.close(descriptor)
            except OSError:  # the descriptor of the listing itself
                continue
    try:
        with open("/proc/self/comm", "w", encoding="ascii") as comm:
            comm.write(name)
    except OSError:
        return
