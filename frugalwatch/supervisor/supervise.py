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
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from collectors.host import Host
from frugalwatch.config.settings import Settings
from frugalwatch.descriptors import STDERR, STDOUT, inherited_descriptors, let_go, reserve_standard
from frugalwatch.sampler.api_pipe import open_api_pipe
from frugalwatch.sampler.cgroup import make_job_cgroup
from frugalwatch.sampler.context import JobStart, Plan, Shelf, Zeros
from frugalwatch.supervisor.environment import job_environment
from frugalwatch.supervisor.job import ExecFailure, StartedJob, start_job
from frugalwatch.supervisor.run_key import group_key, new_run_key
from frugalwatch.supervisor.sampler_link import JobEnd, SamplerLink
from frugalwatch.supervisor.signals import ENDING, CallersSignals, take_over
from frugalwatch.supervisor.watch import Watch, exit_code, wait_plainly

if TYPE_CHECKING:
    from frugalwatch.budgets.crier import Crier

# A hung driver may cost the end of a run this long and no longer.
PATIENCE_S = 1.8
# A batch system that signals processes one by one may end the job before it comes to us.
_SAME_SWEEP_NS = 500_000_000
_PR_SET_CHILD_SUBREAPER = 36

_T = TypeVar("_T")


class Request(NamedTuple):
    """One command to run and how. `environment` is the caller's, untouched.

    `keep_stdout`: our own output goes there when the job is over, so it is not given up before.
    `hook`: what the hook inside the job shall do beyond what it always does.
    """

    argv: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str]
    settings: Settings
    ledger_path: str
    warnings: tuple[str, ...] = ()
    wait_descendants: bool = False
    keep_stdout: bool = True
    hook: Mapping[str, object] = MappingProxyType({})
    quiet: bool = False


class Outcome(NamedTuple):
    """What is left when the job is over: its status, and the sampler's answer if there was one.

    `sampler_pid`: the sampler that answered and is closing the ledger, see `see_off`.
    """

    exit_code: int
    end: JobEnd | None
    answer: dict[str, object] | None
    message: str = ""
    sampler_pid: int | None = None


class _Attempts:
    """Does what may fail without hurting the job, and keeps what went wrong as warnings."""

    def __init__(self, warnings: tuple[str, ...]) -> None:
        self.warnings = list(warnings)

    def __call__(self, what: str, function: Callable[[], _T], otherwise: _T) -> _T:
        try:
            return function()
        except Exception as error:  # noqa: BLE001 - whatever it is, the job starts without it
            self.warnings.append(f"{what}: {error!r}")
            return otherwise


def supervise(request: Request) -> Outcome:
    """Start the job, watch it, and return how it ended. Raises nothing on our own account.

    Takes this process over: its signals stay blocked and inherited descriptors are given up.
    """
    inherited = inherited_descriptors()
    reserve_standard()
    signals = take_over()
    _become_subreaper()
    attempt = _Attempts(request.warnings)
    plan = _plan(request, attempt)
    link = SamplerLink(plan)
    attempt("sampler", lambda: link.prepare(inherited), None)
    zeros, busy_us = _look(plan, attempt)
    job = _start(plan, link, signals, request.hook)
    if isinstance(job, ExecFailure):
        link.abandon()
        plan.clean_up()
        return Outcome(job.exit_code, None, None, job.message)
    start = JobStart(
        job.pid, job.started_mono_ns, job.started_utc_ns, busy_us, zeros, tuple(attempt.warnings)
    )
    # First of all: we may be killed at any moment.
    attempt("sampler", lambda: link.begin(start, inherited), None)
    let_go(inherited, keep=(STDOUT, STDERR) if request.keep_stdout else (STDERR,))
    crier = None if plan.page is None else attempt("budget", lambda: _crier(request, plan), None)
    watch = Watch(
        job, link, plan.cgroup, plan.host, wait_descendants=request.wait_descendants, crier=crier
    )
    try:
        outcome = _watch(link, watch)
    except Exception as error:  # noqa: BLE001 - the job is running, and its status is still owed
        code = exit_code(watch.status) if watch.status is not None else wait_plainly(job.pid)
        outcome = Outcome(code, None, None, f"energy unknown: {error!r}")
    plan.clean_up()
    if crier is not None:
        attempt("budget", lambda: crier.hear(None, given_up=False), None)
    return outcome


def _crier(request: Request, plan: Plan) -> Crier | None:
    """Who says what budgets and alerts came to; loaded where there are any."""
    from frugalwatch.budgets.crier import Crier

    assert plan.page is not None
    return Crier(plan.page, request.settings.interval_s, quiet=request.quiet)


def _plan(request: Request, attempt: _Attempts) -> Plan:
    settings, environment = request.settings, request.environment
    run_key = new_run_key()
    pipe = group = None
    if settings.hook:
        pipe = attempt("job pipe", lambda: open_api_pipe(run_key, environment), None)
    if settings.cgroup == "auto":
        group = attempt("control group", lambda: make_job_cgroup(run_key, environment), None)
    page = None
    if settings.budget or settings.alerts:
        from frugalwatch.budgets.page import Page

        page = Page()
    return Plan(
        run_key=run_key,
        group_key=group_key(environment),
        parent_run_key=environment.get("FRUGALWATCH_RUN_KEY"),
        argv=request.argv,
        cwd=request.cwd,
        environment=environment,
        settings=settings,
        ledger_path=request.ledger_path,
        host=Host.from_environment(),
        supervisor_pid=os.getpid(),
        cgroup=group,
        api_pipe=pipe,
        shelf=Shelf(),
        page=page,
    )


def _look(plan: Plan, attempt: _Attempts) -> tuple[Zeros, int | None]:
    """Read what can be read at once, so that the run's zero is exact: readings, busy CPU time.

    The sampler goes on from there: what it must know of the counters is left on the shelf.
    """
    from frugalwatch.sampler.sources import machine_busy_us, take_zeros

    none: Zeros = ()
    zeros = attempt("energy counters", lambda: take_zeros(plan), none)
    return zeros, attempt("machine's CPU time", lambda: machine_busy_us(plan.host), None)


def _start(
    plan: Plan, link: SamplerLink, signals: CallersSignals, hook: Mapping[str, object]
) -> StartedJob | ExecFailure:
    environment = job_environment(
        plan.environment, plan.run_key, plan.api_pipe.path if plan.api_pipe else None, hook
    )

    def start() -> StartedJob | ExecFailure:
        before_exec = plan.cgroup.join if plan.cgroup else None
        return start_job(plan.argv, environment, signals=signals, before_exec=before_exec)

    job = start()
    if isinstance(job, ExecFailure) and job.for_want_of_room and link.pid is not None:
        link.abandon()  # the job comes first: it may need the room that our sampler takes
        job = start()
    return job


def _watch(link: SamplerLink, watch: Watch) -> Outcome:
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
