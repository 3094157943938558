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
from typing import NamedTuple, TypeVar

from collectors.host import Host
from frugalwatch.config.settings import Settings
from frugalwatch.sampler.api_pipe import ApiPipe, open_api_pipe
from frugalwatch.sampler.cgroup import JobCgroup, make_job_cgroup
from frugalwatch.sampler.context import Opening, RunContext, Shelf
from frugalwatch.sampler.sources import machine_busy_us, open_quick_sources
from frugalwatch.supervisor.descriptors import (
    STDERR,
    STDOUT,
    inherited_descriptors,
    let_go,
    reserve_standard,
)
from frugalwatch.supervisor.environment import job_environment
from frugalwatch.supervisor.job import ExecFailure, StartedJob, start_job
from frugalwatch.supervisor.run_key import group_key, new_run_key
from frugalwatch.supervisor.sampler_link import JobEnd, SamplerLink
from frugalwatch.supervisor.signals import ENDING, take_over
from frugalwatch.supervisor.watch import Watch, exit_code, wait_plainly

# A hung driver may cost the end of a run this long and no longer.
PATIENCE_S = 1.8
# A batch system that signals processes one by one may end the job before it comes to us.
_SAME_SWEEP_NS = 500_000_000
_PR_SET_CHILD_SUBREAPER = 36

_T = TypeVar("_T")


class Request(NamedTuple):
    """One command to run and how. `environment` is the caller's, untouched.

    `keep_stdout`: our own output goes there when the job is over, so it is not given up before.
    """

    argv: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str]
    settings: Settings
    ledger_path: str
    warnings: tuple[str, ...] = ()
    wait_descendants: bool = False
    keep_stdout: bool = True


class Outcome(NamedTuple):
    """What is left when the job is over: its status, and the sampler's answer if there was one.

    `sampler_pid`: the sampler that answered and is closing the ledger, see `see_off`.
    """

    exit_code: int
    end: JobEnd | None
    answer: dict[str, object] | None
    message: str = ""
    sampler_pid: int | None = None


class _Prepared(NamedTuple):
    """What was set up before the job; each part may be missing without hurting it."""

    host: Host
    run_key: str
    pipe: ApiPipe | None
    group: JobCgroup | None
    openings: tuple[Opening, ...]
    busy_us: int | None
    warnings: tuple[str, ...]

    @property
    def pipe_path(self) -> str | None:
        return self.pipe.path if self.pipe else None


def supervise(request: Request) -> Outcome:
    """Start the job, watch it, and return how it ended. Raises nothing on our own account.

    Takes this process over: its signals stay blocked and inherited descriptors are given up.
    """
    inherited = inherited_descriptors()
    reserve_standard()
    signals = take_over()
    _become_subreaper()
    prepared = _prepare(request)
    job = start_job(
        request.argv,
        job_environment(request.environment, prepared.run_key, prepared.pipe_path),
        signals=signals,
        before_exec=prepared.group.join if prepared.group else None,
    )
    if isinstance(job, ExecFailure):
        _clean_up(prepared)
        return Outcome(job.exit_code, None, None, job.message)
    let_go(inherited, keep=(STDOUT, STDERR) if request.keep_stdout else (STDERR,))
    watches: list[Watch] = []
    try:
        outcome = _watch(request, prepared, job, watches)
    except Exception as error:  # noqa: BLE001 - the job is running, and its status is still owed
        status = watches[0].status if watches else None
        code = exit_code(status) if status is not None else wait_plainly(job.pid)
        outcome = Outcome(code, None, None, f"energy unknown: {error!r}")
    _clean_up(prepared)
    return outcome


def _prepare(request: Request) -> _Prepared:
    settings, environment = request.settings, request.environment
    warnings = list(request.warnings)

    def attempt(what: str, function: Callable[[], _T], otherwise: _T) -> _T:
        try:
            return function()
        except Exception as error:  # noqa: BLE001 - whatever it is, the job starts without it
            warnings.append(f"{what}: {error!r}")
            return otherwise

    host, run_key = Host.from_environment(), new_run_key()
    pipe = group = None
    if settings.hook:
        pipe = attempt("job pipe", lambda: open_api_pipe(run_key, environment), None)
    if settings.cgroup == "auto":
        group = attempt("control group", lambda: make_job_cgroup(run_key, environment), None)
    openings: tuple[Opening, ...] = ()
    openings = attempt("energy counters", lambda: open_quick_sources(host, settings), openings)
    busy_us = attempt("machine's CPU time", lambda: machine_busy_us(host), None)
    return _Prepared(host, run_key, pipe, group, openings, busy_us, tuple(warnings))


def _watch(request: Request, prepared: _Prepared, job: StartedJob, watches: list[Watch]) -> Outcome:
    link = SamplerLink(
        RunContext(
            run_key=prepared.run_key,
            group_key=group_key(request.environment),
            parent_run_key=request.environment.get("FRUGALWATCH_RUN_KEY"),
            argv=request.argv,
            cwd=request.cwd,
            environment=request.environment,
            settings=request.settings,
            ledger_path=request.ledger_path,
            host=prepared.host,
            supervisor_pid=os.getpid(),
            job_pid=job.pid,
            started_mono_ns=job.started_mono_ns,
            started_utc_ns=job.started_utc_ns,
            busy_us_at_start=prepared.busy_us,
            openings=prepared.openings,
            cgroup=prepared.group,
            api_pipe=prepared.pipe,
            warnings=prepared.warnings,
            shelf=Shelf(),
        )
    )
    link.start()
    watch = Watch(
        job, link, prepared.group, prepared.host, wait_descendants=request.wait_descendants
    )
    watches.append(watch)
    end = watch.until_the_end()
    answer = link.finish(end, patience_s=PATIENCE_S, interrupted=_Impatience())
    return Outcome(end.exit_code, end, answer, sampler_pid=link.pid if answer else None)


class _Impatience:
    """Whether somebody wants us to stop waiting: Ctrl-C, or a batch system's TERM."""

    def __init__(self) -> None:
        self._since_ns = time.monotonic_ns()

    def __call__(self) -> bool:
        asked = signal.sigtimedwait(ENDING, 0) is not None
        return asked and time.monotonic_ns() - self._since_ns > _SAME_SWEEP_NS


def _become_subreaper() -> None:
    """Have orphans of the job re-parented to us, so that their CPU time is counted."""
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):  # not Linux, or a libc without prctl
        return


def _clean_up(prepared: _Prepared) -> None:
    if prepared.pipe is not None:
        prepared.pipe.remove()
    if prepared.group is not None:
        prepared.group.remove()
