"""A copy of the process that stores a module, while the job goes on untouched.

Pickling runs the program's own code (`__getstate__`), and `torch.export` imports hundreds of
modules, draws random numbers and puts hooks everywhere. In a forked copy none of it reaches the
job: not its memory, its generators, its `sys.modules`, its output. The copy is not even a child of
the job: the process between them ends at once, so the job's own `wait()` sees nothing.

Where a fork is not safe, the process itself stores weights and a pickle, and no more than that; the
program is exported from them when the job is over (capture_later.py).
"""

from __future__ import annotations

import _thread
import os
import sys

from . import calls, line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .capture_files import Files
    from .root_calls import RootCall

# The copy ends after this long, whatever it does.
LIMIT_S = 240
_PR_SET_NAME, _NAME = 15, b"fw-capture"
LOCK, LOCK_AGAIN = "storing.lock", "storing-again.lock"


def snapshot(
    files: Files,
    number: int,
    call: RootCall,
    key: str | None,
    *,
    again: bool = False,
) -> None:
    """Fork a copy that stores the module of this call and exports it; returns at once.

    With `again` it waits until the copy before it is done.
    """
    why_not = _unsafe()
    if why_not:
        if not again:
            from .capture_snapshot import store_in_place

            store_in_place(files, number, call, key, why_not)
        return
    import fcntl

    # Held by the copy as long as it works: who reads the capture knows that more is to come.
    name = LOCK_AGAIN if again else LOCK
    lock = _open(files.path(f"module-{number}", name), os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.ftruncate(lock, 0)
    thread = _thread.get_ident()
    line.copying.add(thread)
    try:
        between = os.fork()
        if between == 0:
            _leave_the_job(files, number, call, key, lock)
    finally:
        line.copying.discard(thread)
        os.close(lock)  # the copy has it still
    try:
        os.waitpid(between, 0)
    except ChildProcessError:  # the job waited for it
        return


def _unsafe() -> str:
    """Why a forked copy could do harm here, or could not work; empty if it can be made."""
    import signal
    import warnings

    torch = sys.modules["torch"]
    if torch.cuda.is_initialized():
        return "the job uses a GPU, which a copy of its process cannot (unverified on hardware)"
    if "grpc" in sys.modules:
        return "the job uses grpc, which does not like a fork"
    if callable(signal.getsignal(signal.SIGCHLD)):
        return "the job has its own handler for children that end"
    if sys.hexversion < 0x030C0000:
        return ""
    for action, message, category, module, _ in warnings.filters:
        if issubclass(DeprecationWarning, category) and message is None and module is None:
            if action == "ignore":
                return ""
            break
    return "the job shows warnings, and Python has one for a fork beside threads"


def _leave_the_job(files: Files, number: int, call: RootCall, key: str | None, lock: int) -> None:
    """In the child: become a process that can touch nothing of the job; store. Never returns."""
    status = 1
    try:
        import gc
        import signal

        if os.fork():
            os._exit(0)
        calls.registry.silence()
        _take_name()
        # No finalizer of the job's objects may run here: it could remove the job's files.
        gc.disable()
        gc.freeze()
        sys.setprofile(None)
        sys.settrace(None)
        for name in signal.Signals:
            try:
                if callable(signal.getsignal(name)):
                    signal.signal(name, signal.SIG_DFL)
            except (OSError, ValueError):
                continue
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        signal.alarm(LIMIT_S)
        os.setsid()
        _drop_descriptors(files.path(f"module-{number}", "storing.log"), lock)
        os.nice(19)
        os.write(lock, b"%d" % os.getpid())  # so that `run` can end us
        _wait_for_the_first(files.path(f"module-{number}", LOCK), lock)
        from .capture_snapshot import store

        store(files, number, call, key)
        status = 0
    except BaseException as error:  # noqa: BLE001 - it ends here, whatever it was
        try:
            files.write_json(f"module-{number}/about.json", {"why_not": repr(error)[:2000]})
        except OSError:
            status = 2
    finally:
        os._exit(status)


def _take_name() -> None:
    """A name by which the supervisor knows that this is no process of the job's."""
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_NAME, _NAME, 0, 0, 0)


def _wait_for_the_first(path: str, own: int) -> None:
    """Wait until another copy that stores the same module is done."""
    import fcntl

    first = _open(path, os.O_RDWR)
    if os.fstat(first).st_ino != os.fstat(own).st_ino:
        fcntl.flock(first, fcntl.LOCK_SH)
    os.close(first)


def _open(path: str, flags: int) -> int:
    """A descriptor above the three standard ones, which the job may have closed."""
    import fcntl

    low = os.open(path, flags | os.O_CLOEXEC, 0o600)
    if low > 2:
        return low
    high = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(low)
    return high


def _drop_descriptors(log: str, keep: int) -> None:
    """Close what the job has open: whoever waits for its end of a pipe must not wait for us."""
    output = _open(log, os.O_WRONLY | os.O_CREAT)
    nothing = _open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    most = max([int(name) for name in os.listdir("/proc/self/fd")])
    os.closerange(3, keep)
    os.closerange(keep + 1, most + 1)
    # What the job has buffered is its own: the old objects stay, and are never flushed.
    _job_streams.extend((sys.stdin, sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__))
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = os.fdopen(number, "w", 1, closefd=False)
        setattr(sys, name, stream)
        setattr(sys, "__" + name + "__", stream)
    sys.stdin = open(os.devnull, encoding="ascii")  # noqa: SIM115


_job_streams: list[object] = []
