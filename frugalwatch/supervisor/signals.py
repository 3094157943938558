"""Which signals reach the job through us, and which it got already.

The supervisor stays in the job's process group, so that Ctrl-C, Ctrl-Z and a hang-up from the
terminal reach the job directly and once. A signal sent to the supervisor alone is forwarded. To
tell `kill PID` from `kill -- -PGID` (or a batch system that signals every process), the sampler
sits in the same group with these signals blocked: if it has the signal pending too, the sender
addressed the group, and the job has it already.
"""

from __future__ import annotations

import os
import signal
import time
from typing import NamedTuple

FORWARDED = frozenset(
    {
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
    }
)
WATCHED = FORWARDED | {signal.SIGCHLD}
# Those by which somebody asks us, too, to come to an end.
ENDING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})

_SI_KERNEL = 0x80
# The kernel signals a process group in one loop that nothing interrupts. A sender that signals
# processes one by one (a batch system walking a cgroup) may lose the processor between two of
# them for some time slices; a forwarded signal can wait that long.
_GROUP_SPREAD_S = 0.05
_LOOK_AGAIN_S = 0.005


class CallersSignals(NamedTuple):
    """What the job inherits from our caller: blocked signals, and whether SIGCHLD is ignored."""

    mask: frozenset[int]
    ignores_children: bool

    def restore(self) -> None:
        """Give it back; called in the job's process before its exec."""
        # Python ignores these two for itself; what they were before is not known any more.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        # A Ctrl-C that waits until here is the job's: Python's handler would take it for ours.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        if self.ignores_children:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)


def take_over() -> CallersSignals:
    """Block what is watched, and make sure that the end of children is reported to us."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    ignores_children = signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN
    if ignores_children:  # then no child could be waited for, and its status would be lost
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return CallersSignals(frozenset(mask), ignores_children)


def reached_job_already(info: signal.struct_siginfo, sentinel_pid: int | None) -> bool:
    """True if the terminal made the signal or its sender addressed the whole group."""
    # A terminal's keys address the foreground group. Its end is told to the session's leader only,
    # which is us where a terminal was opened to run us.
    if info.si_code == _SI_KERNEL and info.si_signo != signal.SIGHUP:
        return True
    if sentinel_pid is None:
        return False
    deadline = time.monotonic() + _GROUP_SPREAD_S
    while not _pending(sentinel_pid, info.si_signo):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_AGAIN_S)
    return True


def forward(number: int, pid: int) -> None:
    """Send a signal to the job; a job that just ended, or became another user's, is no error."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _pending(pid: int, number: int) -> bool:
    try:
        with open(f"/proc/{pid}/status") as file:
            for line in file:
                if line.startswith(("ShdPnd:", "SigPnd:")) and int(line[7:], 16) >> number - 1 & 1:
                    return True
    except (OSError, ValueError):
        return False
    return False
