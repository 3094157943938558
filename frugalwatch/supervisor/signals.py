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

_SI_KERNEL = 0x80
# The kernel walks a process group in a loop; a sender that signals processes one by one (a batch
# system walking a cgroup) may need a moment between two of them.
_GROUP_SPREAD_S = 0.005


def reached_job_already(info: signal.struct_siginfo, sentinel_pid: int | None) -> bool:
    """True if the terminal made the signal or its sender addressed the whole group."""
    if info.si_code == _SI_KERNEL:
        return True
    if sentinel_pid is None:
        return False
    if _pending(sentinel_pid, info.si_signo):
        return True
    time.sleep(_GROUP_SPREAD_S)
    return _pending(sentinel_pid, info.si_signo)


def forward(number: int, pid: int) -> None:
    """Send a signal to the job; a job that just ended is no error."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
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
