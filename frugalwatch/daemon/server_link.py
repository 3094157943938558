"""The sampler's end of the socket's process: starts it, wakes it, starts another when it died."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import struct
import time
from typing import NoReturn

from frugalwatch.daemon.publish import Publisher
from frugalwatch.sampler.context import Shelf

_FIRST_PAUSE_NS = 1_000_000_000
_LONGEST_PAUSE_NS = 60_000_000_000
_SETTLED_NS = 60_000_000_000
_NOBODY = 65534
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _CLEAR_ALL = 47, 4
_CAPABILITY_VERSION_3 = 0x20080522
_CANNOT_SERVE = 69  # EX_UNAVAILABLE


class ServerLink:
    """Must be started while the caller has one thread."""

    def __init__(self, path: str, group: str) -> None:
        self.path = path
        self._group = group
        self._page = Shelf()
        self._wake_read, wake = os.pipe()
        os.set_blocking(wake, False)
        self._wake = wake
        self.publisher = Publisher(self._page, wake)
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

    def close(self) -> None:
        """Let the process end, and take its socket away."""
        os.close(self._wake)
        os.close(self._wake_read)
        if self._pid:
            deadline = time.monotonic() + 1.0
            while os.waitpid(self._pid, os.WNOHANG)[0] == 0:
                if time.monotonic() > deadline:
                    os.kill(self._pid, signal.SIGKILL)
                    os.waitpid(self._pid, 0)
                    break
                time.sleep(0.005)
            try:
                os.unlink(self.path)
            except OSError:
                return

    def _start(self, now_ns: int) -> None:
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = os.fork()
            if pid == 0:
                _become_server(self.path, self._group, self._page, self._wake_read)
        except OSError:  # no process to be had now
            self._start_at_ns = now_ns + _LONGEST_PAUSE_NS
            return
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        self._pid, self._started_ns = pid, now_ns


def _become_server(path: str, group: str, page: Shelf, wake: int) -> NoReturn:
    status = 70  # EX_SOFTWARE
    try:
        gc.freeze()
        _settle(wake)
        from frugalwatch.daemon.peers import Door, group_number, open_socket
        from frugalwatch.daemon.server import Server

        gid = group_number(group)
        uid = os.getuid()
        try:
            listener = open_socket(path, gid)
        except PermissionError:
            # Not a member of that group, or may not give files to it: then for this user alone.
            listener = open_socket(path, None)
            gid = None
        _drop_rights(gid)
        Server(listener, Door(uid, gid), page, wake).serve()
        status = 0
    except OSError as error:
        status = _CANNOT_SERVE
        os.write(2, f"frugalwatch daemon: nobody is served on {path}: {error}\n".encode())
    except BaseException:  # noqa: BLE001 - a process's edge: say where, and be replaced
        import traceback

        os.write(2, traceback.format_exc().encode(errors="replace"))
    finally:
        os._exit(status)


def _settle(wake: int) -> None:
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
            comm.write("fw-socket")
    except OSError:
        return


def _drop_rights(gid: int | None) -> None:
    """From root to nobody, and no capability in any case: what is open already is enough."""
    if os.getuid() == 0:
        group = _NOBODY if gid is None else gid
        try:
            os.setgroups([])
            os.setresgid(group, group, group)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        except PermissionError:  # a service manager has left it no such right, nor others
            pass
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    libc.capset(header, bytes(24))  # effective, permitted and inheritable, two words each
