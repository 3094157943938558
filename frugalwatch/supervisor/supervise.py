"""Run a job under measurement: the wrapper's whole contract, from fork to exit status.

The order is the point. The job is started before anything slow is imported; sampling happens in
another process; whatever goes wrong on our side, the job runs once, unharmed, and its exit status
is ours.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from collectors.host import Host
from frugalwatch.config.settings import Settings
from frugalwatch.sampler.context import RunContext, Shelf
from frugalwatch.sampler.job_tree import tree_use
from frugalwatch.sampler.sources import machine_busy_us, open_quick_sources
from frugalwatch.supervisor.api_socket import open_api_socket
from frugalwatch.supervisor.cgroup import JobCgroup, make_job_cgroup
from frugalwatch.supervisor.job import ExecFailure, StartedJob, start_job
from frugalwatch.supervisor.run_key import group_key, new_run_key
from frugalwatch.supervisor.sampler_link import JobEnd, SamplerLink
from frugalwatch.supervisor.signals import FORWARDED, WATCHED, forward, reached_job_already

# A hung driver may cost the end of a run this long and no longer.
PATIENCE_S = 1.8
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Request:
    """One command to run and how. `environment` is the caller's, untouched."""

    argv: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str]
    settings: Settings
    ledger_path: str
    warnings: tuple[str, ...] = ()
    wait_descendants: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is left when the job is over: its status, and the sampler's answer if there was one."""

    exit_code: int
    end: JobEnd | None
    answer: dict[str, object] | None
    message: str = ""


def supervise(request: Request) -> Outcome:
    """Start the job, watch it, and return how it ended. Raises nothing on our own account."""
    inherited = frozenset(_open_descriptors())
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    _become_subreaper()
    host = Host.from_environment()
    run_key = new_run_key()
    channel = open_api_socket(run_key, request.environment) if request.settings.hook else None
    group = (
        make_job_cgroup(run_key, request.environment) if request.settings.cgroup == "auto" else None
    )
    openings = open_quick_sources(host, request.settings)
    busy_us = machine_busy_us(host)
    job = start_job(
        request.argv,
        job_environment(request.environment, run_key, channel[1] if channel else None),
        before_exec=group.join if group else None,
    )
    if isinstance(job, ExecFailure):
        _clean_up(channel[1] if channel else None, group)
        return Outcome(job.exit_code, None, None, job.message)
    link = SamplerLink(
        RunContext(
            run_key=run_key,
            group_key=group_key(request.environment),
            parent_run_key=request.environment.get("FRUGALWATCH_RUN_KEY"),
            argv=request.argv,
            cwd=request.cwd,
            environment=request.environment,
            settings=request.settings,
            ledger_path=request.ledger_path,
            host=host,
            supervisor_pid=os.getpid(),
            job_pid=job.pid,
            started_mono_ns=job.started_mono_ns,
            started_utc_ns=job.started_utc_ns,
            busy_us_at_start=busy_us,
            openings=openings,
            cgroup=group,
            api_socket=channel[0] if channel else None,
            warnings=request.warnings,
            shelf=Shelf(),
        ),
        inherited,
    )
    link.start()
    end = _Watch(job, link, group, wait_descendants=request.wait_descendants).until_the_end()
    answer = link.finish(end, patience_s=PATIENCE_S, interrupted=_interrupt_pending)
    _clean_up(channel[1] if channel else None, group)
    return Outcome(end.exit_code, end, answer)


def job_environment(
    environment: Mapping[str, str], run_key: str, socket_path: str | None
) -> dict[str, str]:
    """The caller's environment, plus where to tell about phases (`--no-hook`: nothing)."""
    result = dict(environment)
    if socket_path is not None:
        result["FRUGALWATCH_SOCKET"] = socket_path
        result["FRUGALWATCH_RUN_KEY"] = run_key
        result.setdefault("FRUGALWATCH_RUN_ID", run_key)
    return result


class _Watch:
    """Waits for the job, reaps what it leaves behind, and passes signals on."""

    def __init__(
        self,
        job: StartedJob,
        link: SamplerLink,
        group: JobCgroup | None,
        *,
        wait_descendants: bool,
    ) -> None:
        self._job = job
        self._link = link
        self._group = group
        self._wait_descendants = wait_descendants
        self._cpu_us = 0
        self._status: int | None = None
        self._ended_mono_ns = 0

    def until_the_end(self) -> JobEnd:
        """Wait until the job (and, if asked, every descendant) is gone."""
        while not self._over():
            self._restart_sampler_if_due()
            info = signal.sigtimedwait(WATCHED, self._timeout_s())
            if info is None:
                continue
            if info.si_signo == signal.SIGCHLD:
                self._reap()
            elif not reached_job_already(info, self._link.pid):
                forward(info.si_signo, self._job.pid)
            else:
                self._link.drain_signals()
        return self._end()

    def _over(self) -> bool:
        if self._status is None:
            return False
        return not (self._wait_descendants and self._left_behind()[0])

    def _timeout_s(self) -> float:
        due = self._link.restart_in_s
        if self._status is not None:  # waiting for descendants that may not be ours to reap
            return 0.2
        return 3600.0 if due is None else due + 0.001

    def _restart_sampler_if_due(self) -> None:
        due = self._link.restart_in_s
        if due is not None and due <= 0 and self._link.deaths:
            self._link.start()

    def _reap(self) -> None:
        while True:
            try:
                ready = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ready is None:
                return
            ours = ready.si_pid == self._link.pid or _is_our_reader(ready.si_pid)
            _, status, usage = os.wait4(ready.si_pid, 0)
            if ready.si_pid == self._link.pid:
                self._link.died()
            if ours:
                continue
            self._cpu_us += round((usage.ru_utime + usage.ru_stime) * 1e6)
            if ready.si_pid == self._job.pid:
                self._status = status
                self._ended_mono_ns = time.monotonic_ns()

    def _left_behind(self) -> tuple[int, int]:
        """Descendants that are still alive and the CPU micro-seconds they have used."""
        own = frozenset({self._link.pid} if self._link.pid else ())
        use = tree_use(os.getpid(), leave_out=own)
        return (len(use.pids), use.cpu_us) if use.pids else (0, 0)

    def _end(self) -> JobEnd:
        self._reap()
        status = self._status if self._status is not None else 0
        if os.WIFSIGNALED(status):
            number: int | None = os.WTERMSIG(status)
            exit_code = 128 + os.WTERMSIG(status)
        else:
            number, exit_code = None, os.WEXITSTATUS(status)
        left, left_us = self._left_behind()
        ended = time.monotonic_ns() if self._wait_descendants else self._ended_mono_ns
        cpu_us, method = self._cpu_us + left_us, "tree-lower-bound" if left else "tree"
        grouped_us = self._group.cpu_us() if self._group else None
        if grouped_us:  # zero means that joining the group failed
            cpu_us, method = grouped_us, "cgroup"
        return JobEnd(ended, exit_code, number, cpu_us, method, left)


def _is_our_reader(pid: int) -> bool:
    """Whether a dead child is a reader process of a sampler that died before it."""
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().startswith("fw-")
    except OSError:
        return False


def _interrupt_pending() -> bool:
    """Whether somebody wants us to stop waiting (Ctrl-C or a batch system's TERM)."""
    return signal.sigtimedwait(FORWARDED - {signal.SIGWINCH}, 0) is not None


def _become_subreaper() -> None:
    """Have orphans of the job re-parented to us, so that their CPU time is counted."""
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):  # not Linux, or a libc without prctl
        return


def _open_descriptors() -> list[int]:
    try:
        listed = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return [0, 1, 2]
    # The listing holds its own descriptor, closed by now; what we open next takes its number.
    return [descriptor for descriptor in listed if _is_open(descriptor)]


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _clean_up(socket_path: str | None, group: JobCgroup | None) -> None:
    steps: list[Callable[[], object]] = []
    if socket_path is not None:
        steps.append(lambda: os.unlink(socket_path))
    if group is not None:
        steps.append(group.remove)
    for step in steps:
        try:
            step()
        except OSError:
            continue
