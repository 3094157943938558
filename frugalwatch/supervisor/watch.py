"""Waits for the job, reaps what it leaves behind, and passes signals on."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from collectors.cpu_time import machine_busy_us
from collectors.host import Host
from frugalwatch.sampler.cgroup import JobCgroup
from frugalwatch.sampler.job_tree import OUR_NAMES, ProcessUse, process_use, tree_use
from frugalwatch.supervisor.job import StartedJob
from frugalwatch.supervisor.sampler_link import JobEnd, SamplerLink
from frugalwatch.supervisor.signals import ENDING, WATCHED, forward, reached_job_already

if TYPE_CHECKING:  # loaded where a budget or an alert was asked for
    from frugalwatch.budgets.crier import Crier

_IDLE_S = 3600.0
_MOST_NAMES = 5
# Helpers of a job (a resource tracker, a logger at the end of a pipe) end a moment after it does.
_GRACE_S = 0.05
_DESCENDANTS_S = 0.2  # how often to look for descendants, which may not be ours to reap


class Watch:
    """One job from its start to its end. `status` is its wait status once it is known."""

    def __init__(
        self,
        job: StartedJob,
        link: SamplerLink,
        group: JobCgroup | None,
        host: Host,
        *,
        wait_descendants: bool,
        crier: Crier | None = None,
    ) -> None:
        self.status: int | None = None
        self._job = job
        self._link = link
        self._group = group
        self._host = host
        self._wait_descendants = wait_descendants
        self._crier = crier
        self._cpu_us = 0
        self._own: ProcessUse | None = None
        self._ended_mono_ns = 0

    def until_the_end(self) -> JobEnd:
        """Wait until the job (and, if asked, every descendant) is gone."""
        while not self._over():
            if self._link.restart_in_s == 0:
                self._link.start()
            info = signal.sigtimedwait(WATCHED, self._timeout_s())
            if self._crier is not None:
                running = self._job.pid if self.status is None else None
                self._crier.hear(running, given_up=self._link.given_up)
            if info is None:
                continue
            if info.si_signo == signal.SIGCHLD:
                self._reap()
            elif self.status is not None:
                # The job's pid may be somebody else's by now. Who signals us wants an end.
                self._wait_descendants &= info.si_signo not in ENDING
            elif reached_job_already(info, self._link.pid):
                self._link.drain_signals()
            else:
                forward(info.si_signo, self._job.pid)
        return self._end()

    def _over(self) -> bool:
        if self.status is None:
            return False
        return not (self._wait_descendants and self._left_behind()[0])

    def _timeout_s(self) -> float:
        due = self._link.restart_in_s
        if self.status is not None:
            return _DESCENDANTS_S
        if due is not None:
            return due + 0.001
        return _IDLE_S if self._crier is None else self._crier.pause_s

    def _reap(self) -> None:
        while True:
            try:
                ready = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ready is None:
                return
            pid = ready.si_pid
            # Its name is there until it is reaped.
            ours = pid == self._link.pid or (pid != self._job.pid and _is_ours(pid))
            if pid == self._job.pid:
                self._own = process_use(pid)
            _, status, usage = os.wait4(pid, 0)
            if pid == self._link.pid:
                self._link.died()
            if ours:
                continue
            self._cpu_us += round((usage.ru_utime + usage.ru_stime) * 1e6)
            if pid == self._job.pid:
                self.status = status
                self._ended_mono_ns = time.monotonic_ns()

    def _left_behind(self) -> tuple[frozenset[int], int]:
        """Descendants that are still alive and the CPU micro-seconds they have used."""
        own = frozenset({self._link.pid} if self._link.pid else ())
        use = tree_use(os.getpid(), leave_out=own)
        return use.pids, use.cpu_us

    def _left_after_a_moment(self) -> tuple[frozenset[int], int]:
        """What is still there when helpers had time to notice that the job is over."""
        deadline = time.monotonic() + _GRACE_S
        left, left_us = self._left_behind()
        while left and (patience_s := deadline - time.monotonic()) > 0:
            if signal.sigtimedwait({signal.SIGCHLD}, patience_s) is not None:
                self._reap()
                left, left_us = self._left_behind()
        return left, left_us

    def _end(self) -> JobEnd:
        # Before anything else: of a short job, our own work after it is most of the machine's.
        busy_us = machine_busy_us(self._host)
        self._reap()
        status = self.status if self.status is not None else 0
        left, left_us = self._left_after_a_moment()
        waited = self._wait_descendants
        ended = time.monotonic_ns() if waited else self._ended_mono_ns
        cpu_us, method = self._cpu_us + left_us, "tree-lower-bound" if left else "tree"
        grouped_us = self._group.cpu_us() if self._group else None
        if grouped_us:  # zero means that joining the group failed
            cpu_us, method = grouped_us, "cgroup"
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        names = _names(left) if left else ()
        code = exit_code(status)
        own_us = None if self._own is None else self._own.own_us
        return JobEnd(ended, code, number, cpu_us, method, len(left), names, busy_us, own_us)


def exit_code(status: int) -> int:
    """What a shell makes of a wait status: 128+N for signal N."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def wait_plainly(pid: int) -> int:
    """The job's exit code without any of our help: for when our own code failed."""
    while True:
        try:
            reaped, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return 0
        if reaped:
            return exit_code(status)
        info = signal.sigtimedwait(WATCHED, 1.0)
        if info is None or info.si_signo == signal.SIGCHLD:
            continue
        if not reached_job_already(info, None):
            forward(info.si_signo, pid)


def _is_ours(pid: int) -> bool:
    """Whether a dead child is a reader process of a sampler that died before it."""
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip() in OUR_NAMES
    except OSError:
        return False


def _names(pids: frozenset[int]) -> tuple[str, ...]:
    """What the processes are called, each name once; the few first of many."""
    import psutil  # 30 ms that only a run which leaves something behind has to spend

    found: list[str] = []
    for pid in sorted(pids):
        try:
            name = psutil.Process(pid).name()
        except psutil.Error:
            continue
        if name not in found:
            found.append(name)
    return tuple(found[:_MOST_NAMES])
