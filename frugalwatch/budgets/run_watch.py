"""Watches the budgets and alerts of one run, inside its sampler. Loaded where any were asked for.

It hears every reading and every message of the job that the sampler hears, judges once a tick, and
puts what is to be said or done on a page that the supervisor reads. What happened becomes events of
the run, and goes to the sinks that the user set up, through a process of its own.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from collectors.base import Device, ProcessUtilization, Reading
from frugalwatch.alerts.courier import Courier, routes_of
from frugalwatch.alerts.notice import Notice
from frugalwatch.budgets.grammar import Budget, parse_budget
from frugalwatch.budgets.judge import Figure, Rate, Verdict, rate, used, verdict
from frugalwatch.budgets.page import NOT_PERMITTED, Page, State, signal_job
from frugalwatch.budgets.run_energy import RunEnergy
from frugalwatch.budgets.words import judged_by, used_words
from frugalwatch.report.attribution import busy_share
from frugalwatch.report.format import duration

if TYPE_CHECKING:
    from frugalwatch.alerts.judge import AlertJudge, Judged
    from frugalwatch.carbon.grid import GridFactor
    from frugalwatch.ledger.journal import Journal
    from frugalwatch.sampler.context import RunContext
    from frugalwatch.sampler.grid import GridWatch
    from frugalwatch.sampler.messages import Message

_GRACE_NS = 10_000_000_000  # after that a job that is still there is said to go on
_UNWATCHED_NS = 10_000_000_000
_MOST_PROBLEMS = 10
_NEVER_JUDGED = {
    "latency": "the job told of too few durations: `frugalwatch run --help` on --count, --no-hook",
    "energy": "the job told of too few of these units, or the run was shorter than 5 s",
    "metric": "the job reported no such metric",
    "drift": "the job reported fewer than 40 values of this metric, or they begin at 0",
}
_RANK: dict[Verdict, int] = {"kept": 0, "passed": 1, "exceeded": 2}


class RunWatch:
    """Budgets and alerts of one run. `job`: a pidfd, for the case that the supervisor is gone."""

    def __init__(
        self, context: RunContext, journal: Journal, grid: GridWatch, job: int, *, replaces: int
    ) -> None:
        plan = context.plan
        assert plan.page is not None
        self._page: Page = plan.page
        self._plan = plan
        self._start_ns = context.start.mono_ns
        self._journal = journal
        self._grid = grid
        self._job = job
        self._ends_job = plan.settings.on_exceed == "term"
        self._budgets = {parse_budget(text): 0 for text in plan.settings.budget}
        self._alerts = _alert_judge(plan.settings.alerts, resumed=replaces > 0)
        self._courier = Courier(routes_of(plan.settings))
        self._energy = RunEnergy(context.start.mono_ns)
        self._signal_told = self._going_on_told = False
        self._problems: set[str] = set()
        self._replaces = replaces
        # The job's part of a GPU's SM time so far, by the recorder's account.
        self.gpu_share: Callable[[str], float | None] = _unknown

    def open(self) -> None:
        """Write down what was asked for; after a sampler's death, go on from what it left."""
        looked_ns = self._page.looked_mono_ns
        if self._replaces:
            self._resume(self._page.go_on())
            now = time.monotonic_ns()
            if looked_ns is not None and now - looked_ns > _UNWATCHED_NS:
                self._journal.event(
                    "budget_unwatched",
                    "killed",
                    since_mono_ns=looked_ns,
                    t_mono_ns=now,
                    detail="nobody judged budgets and alerts meanwhile",
                )
            if looked_ns is not None:
                return
        for budget in self._budgets:
            self._journal.event(
                "budget_term" if self._ends_job else "budget",
                budget.text,
                t_mono_ns=self._start_ns,
                detail=judged_by(self._rate(budget), ends_job=self._ends_job),
            )
        for text in self._plan.settings.alerts:
            self._journal.event("alert_set", text, t_mono_ns=self._start_ns)

    # -- what the recorder tells -------------------------------------------------------------------

    def reading(self, device: Device, handle: int, reading: Reading) -> None:
        """One reading of a device."""
        self._energy.take(device, handle, reading)

    def utilization(self, device: Device, handle: int, seen: ProcessUtilization) -> None:
        """Who kept a GPU busy: the recorder adds that up, see `gpu_share`."""

    def hear(self, messages: Iterable[Message]) -> None:
        """What the job's processes said."""
        if self._alerts is not None:
            take(self._alerts, messages)

    # -- judging -----------------------------------------------------------------------------------

    def look(
        self, now_ns: int, cpu_us: int, busy_us: int | None, *, orphaned: bool = False
    ) -> None:
        """Judge everything once. CPU time of the job and of the machine decide what is the job's.

        `orphaned`: the supervisor is gone.
        """
        energy, modelled = self._energy.until(now_ns, busy_share(cpu_us, busy_us), self.gpu_share)
        said = self._judge_budgets(now_ns, energy, modelled=modelled)
        if self._alerts is not None:
            for found in self._alerts.look(now_ns, energy.value, modelled=modelled):
                self._tell_alert(found, now_ns)
                said = True
        self._follow_signal(now_ns, orphaned=orphaned)
        self._hear_the_courier(now_ns)
        self._page.put(now_ns, self._state())
        if said and not orphaned:
            self._wake_supervisor()

    def close(self, ended_mono_ns: int, cpu_us: int, busy_us: int | None) -> None:
        """The job is over: judge for the last time."""
        self._going_on_told = True
        self._ends_job = False
        self.look(ended_mono_ns, cpu_us, busy_us)
        for alert in [] if self._alerts is None else self._alerts.never_judged():
            self._journal.event(
                "alert_unjudged",
                alert.text,
                t_mono_ns=ended_mono_ns,
                detail=_NEVER_JUDGED[alert.kind],
            )
        if self._courier.dropped:
            self._journal.event(
                "alert_undelivered",
                t_mono_ns=ended_mono_ns,
                detail=f"{self._courier.dropped} notices had no room and were dropped",
            )
        self._courier.close()

    def _judge_budgets(self, now_ns: int, energy: Figure, *, modelled: bool) -> bool:
        said = False
        for budget, told in self._budgets.items():
            figure = used(energy, self._rate(budget))
            found = verdict(budget, figure)
            # What a model may have got wrong ends no job, and is told once.
            if _RANK[found] <= told or (told and not self._ends_job):
                continue
            self._budgets[budget] = _RANK[found]
            ends = found == "exceeded" and self._ends_job and not self._page.signalled_mono_ns
            self._tell_budget(budget, found, figure, now_ns, modelled=modelled, ends=ends)
            if ends:
                self._page.ask_for_the_end()
            said = True
        return said

    def _tell_budget(
        self,
        budget: Budget,
        found: Verdict,
        figure: Figure,
        now_ns: int,
        *,
        modelled: bool,
        ends: bool,
    ) -> None:
        words = used_words(budget, figure, modelled=modelled)
        after = duration((now_ns - self._start_ns) / 1e9)
        kind = f"budget_{found}"
        detail = f"{words} after {after}; judged by {self._rate(budget).words}"
        self._journal.event(kind, budget.text, t_mono_ns=now_ns, detail=detail)
        text = f"budget {budget.text} is {found}: {words} after {after}"
        if found == "passed" and self._ends_job:
            text += "; the job goes on until even the lowest figure is above it"
        self._page.say(text, grave=ends)
        self._send(
            kind, budget.text, text, value=figure.value, limit=budget.amount, unit=budget.unit
        )

    def _tell_alert(self, found: Judged, now_ns: int) -> None:
        alert = found.alert
        if found.change == "back":
            kind, text = "alert_over", f"alert {alert.text} is over: {found.words}"
        else:
            kind, text = "alert", f"alert {alert.text}: {found.words}"
            if found.change == "last":
                text += "; it has been told so often that it will not be again"
        self._journal.event(kind, alert.text, t_mono_ns=now_ns, detail=text.partition(": ")[2])
        self._page.say(text)
        unit = {"latency": "s", "energy": "J"}.get(alert.kind, "")
        self._send(kind, alert.text, text, value=found.value, limit=alert.threshold, unit=unit)

    # -- ending the job ----------------------------------------------------------------------------

    def _follow_signal(self, now_ns: int, *, orphaned: bool) -> None:
        if orphaned and self._page.wants_end and not self._page.signalled_mono_ns:
            self._end_it_ourselves()
        signalled_ns = self._page.signalled_mono_ns
        if not signalled_ns:
            return
        if signalled_ns == NOT_PERMITTED:
            self._tell_not_permitted(now_ns)
            return
        if not self._signal_told:
            self._signal_told = True
            text = "SIGTERM was sent to the job, as `--on-exceed term` asks"
            self._journal.event("job_signalled", "SIGTERM", t_mono_ns=signalled_ns, detail=text)
            self._send("job_signalled", "SIGTERM", text)
        if now_ns - signalled_ns > _GRACE_NS and not self._going_on_told and not self._is_over():
            self._going_on_told = True
            text = (
                f"the job has not ended {_GRACE_NS // 1_000_000_000} s after SIGTERM;"
                " nothing more is done to it"
            )
            self._journal.event("job_goes_on", t_mono_ns=now_ns, detail=text)
            self._page.say(text, grave=True)
            self._send("job_goes_on", "SIGTERM", text)
            self._wake_supervisor()

    def _tell_not_permitted(self, now_ns: int) -> None:
        if not self._signal_told:
            self._signal_told = True
            text = "SIGTERM could not be sent to the job, which is another user's by now"
            self._journal.event("job_goes_on", "permission", t_mono_ns=now_ns, detail=text)
            self._send("job_goes_on", "SIGTERM", text)

    def _end_it_ourselves(self) -> None:
        """The supervisor was killed, and what its user asked for still holds."""
        if self._job >= 0 and not self._is_over():
            signal_job(self._page, lambda: signal.pidfd_send_signal(self._job, signal.SIGTERM))

    def _is_over(self) -> bool:
        if self._job < 0:
            return False
        poller = select.poll()
        poller.register(self._job, select.POLLIN)
        return bool(poller.poll(0))

    def _wake_supervisor(self) -> None:
        """It listens for SIGCHLD anyway, and looks at the page whenever it wakes."""
        self._page.put(time.monotonic_ns(), self._state())
        if os.getppid() != self._plan.supervisor_pid:
            return
        try:
            os.kill(self._plan.supervisor_pid, signal.SIGCHLD)
        except OSError:
            return

    # -- inside ------------------------------------------------------------------------------------

    def _rate(self, budget: Budget) -> Rate:
        return rate(budget, self._factor(), self._plan.settings)

    def _factor(self) -> GridFactor:
        return self._grid.so_far(time.monotonic_ns())

    def _send(
        self,
        kind: str,
        subject: str,
        text: str,
        *,
        value: float | None = None,
        limit: float | None = None,
        unit: str = "",
    ) -> None:
        self._courier.send(Notice(kind, subject, text, self._plan.run_key, value, limit, unit))

    def _hear_the_courier(self, now_ns: int) -> None:
        for problem in self._courier.problems():
            if problem not in self._problems and len(self._problems) < _MOST_PROBLEMS:
                self._problems.add(problem)
                self._journal.event("alert_undelivered", t_mono_ns=now_ns, detail=problem)

    def _state(self) -> State:
        state: State = {f"budget {b.text}": [float(told)] for b, told in self._budgets.items()}
        state["signal"] = [float(self._signal_told), float(self._going_on_told)]
        if self._alerts is not None:
            state |= {f"alert {name}": value for name, value in self._alerts.state().items()}
        return state

    def _resume(self, state: State) -> None:
        for budget in self._budgets:
            self._budgets[budget] = int(state.get(f"budget {budget.text}", [0.0])[0])
        signal_told, going_on_told = state.get("signal", [0.0, 0.0])
        self._signal_told, self._going_on_told = bool(signal_told), bool(going_on_told)
        if self._alerts is not None:
            prefix = "alert "
            self._alerts.resume(
                {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            )


def _unknown(_device: str) -> float | None:
    return None


def take(alerts: AlertJudge, messages: Iterable[Message]) -> None:
    """Hand the job's messages to whoever keeps account of its work."""
    from frugalwatch.sampler import inside_messages as inside
    from frugalwatch.sampler.messages import MetricSaid, StepsSaid

    for message in messages:
        if isinstance(message, MetricSaid):
            alerts.metrics.said(message.name, message.value)
        elif isinstance(message, StepsSaid):
            alerts.work.counted(message.pid, "step", message.steps)
        elif isinstance(message, inside.CountSaid):
            alerts.work.counted(message.pid, message.unit, message.done)
        elif isinstance(message, inside.TimesSaid):
            alerts.work.timed(message.pid, message.unit, message.buckets)
        elif isinstance(message, inside.HelloSaid):
            alerts.work.began(message.pid)


def _alert_judge(texts: tuple[str, ...], *, resumed: bool) -> AlertJudge | None:
    if not texts:
        return None
    from frugalwatch.alerts.grammar import parse_alert
    from frugalwatch.alerts.judge import AlertJudge

    return AlertJudge([parse_alert(text) for text in texts], resumed=resumed)
