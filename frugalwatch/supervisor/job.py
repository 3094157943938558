"""Start the job, once, exactly as a shell would have started it."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, NoReturn

from frugalwatch.supervisor.signals import ENDING, CallersSignals

NOT_EXECUTABLE = 126
NOT_FOUND = 127
_NO_ROOM = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


class StartedJob(NamedTuple):
    """A job that is running. Times were taken just before the fork."""

    pid: int
    started_mono_ns: int
    started_utc_ns: int


class ExecFailure(NamedTuple):
    """The command was not started; `exit_code` is 126 or 127, as `env` and `time` give it.

    Or 128 and the number of the signal that came before.

    `for_want_of_room`: it was a limit on processes, memory or descriptors.
    """

    exit_code: int
    message: str
    for_want_of_room: bool = False


def start_job(
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    signals: CallersSignals,
    before_exec: Callable[[], None] | None = None,
) -> StartedJob | ExecFailure:
    """Fork and exec `argv`; returns once the exec has succeeded or failed.

    Where somebody asked for an end by then, by one of the blocked signals, there will be no job.

    The child keeps the process group, the working folder, the umask and every inherited file
    descriptor; its signals are as our caller had them. `before_exec` runs in the child (to join a
    cgroup); its failure is ignored, since the job comes first.
    """
    try:
        report, announce = os.pipe()  # both close on exec: end of file means that exec succeeded
        started_mono_ns = time.monotonic_ns()
        started_utc_ns = time.time_ns()
        # Right before the fork: what comes later for the process group reaches the child, too.
        stopped = signal.sigtimedwait(ENDING, 0)
        if stopped is not None:
            os.close(report)
            os.close(announce)
            return ExecFailure(128 + stopped.si_signo, "stopped before the job was started")
        pid = os.fork()
    except (
        OSError
    ) as problem:  # no descriptor or no process left: a shell could not start it either
        return _failure(argv[0], problem.errno or errno.EAGAIN)
    if pid == 0:
        _become(argv, environment, signals, before_exec, announce)
    os.close(announce)
    answer = os.read(report, 16)
    os.close(report)
    if answer:
        os.waitpid(pid, 0)
        return _failure(argv[0], int(answer))
    return StartedJob(pid, started_mono_ns, started_utc_ns)


def _become(
    argv: Sequence[str],
    environment: Mapping[str, str],
    signals: CallersSignals,
    before_exec: Callable[[], None] | None,
    announce: int,
) -> NoReturn:
    """In the child: turn into the job, or say through `announce` why not. Never returns."""
    error = errno.ENOENT
    try:
        if before_exec is not None:
            before_exec()
        signals.restore()
        error = _exec(argv, environment)
    except OSError as problem:
        error = problem.errno or errno.ENOENT
    except ValueError:  # an embedded null byte
        error = errno.EINVAL
    finally:
        os.write(announce, str(error).encode())
        os._exit(NOT_FOUND)


def _exec(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Try every folder of PATH as execvp(3) does; returns the errno that explains the failure."""
    name = argv[0]
    if not name:
        return errno.ENOENT
    if "/" in name:
        candidates = [name]
    else:
        path = environment.get("PATH", os.defpath)
        candidates = [os.path.join(folder or ".", name) for folder in path.split(os.pathsep)]
    found_but = 0
    for candidate in candidates:
        try:
            os.execve(candidate, list(argv), environment)
        except OSError as problem:
            if problem.errno == errno.ENOEXEC:  # a script without `#!`: execvp(3) gives it to sh
                os.execve("/bin/sh", ["sh", candidate, *argv[1:]], environment)
            if problem.errno not in (errno.ENOENT, errno.ENOTDIR):
                found_but = found_but or problem.errno or errno.EACCES
    return found_but or errno.ENOENT


def _failure(name: str, error: int) -> ExecFailure:
    if error in (errno.ENOENT, errno.ENOTDIR):
        return ExecFailure(NOT_FOUND, f"{name}: command not found")
    message = f"{name}: cannot be executed: {os.strerror(error)}"
    return ExecFailure(NOT_EXECUTABLE, message, error in _NO_ROOM)
