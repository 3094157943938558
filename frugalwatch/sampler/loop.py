"""The sampler: one loop that looks at every source once a tick until the run is over."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from typing import TYPE_CHECKING

from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.paths import locate
from frugalwatch.sampler.clocks import ClockWatch, note_clock_changes
from frugalwatch.sampler.context import RunContext
from frugalwatch.sampler.ending import close_run, said_by_supervisor
from frugalwatch.sampler.grid import GridWatch
from frugalwatch.sampler.job_meter import JobMeter
from frugalwatch.sampler.messages import Listener
from frugalwatch.sampler.panel import Panel
from frugalwatch.sampler.python_watch import PythonWatch
from frugalwatch.sampler.recorder import Recorder
from frugalwatch.sampler.run_start import describe_run

if TYPE_CHECKING:  # loaded by `readers` where there is a driver to read
    from collectors.isolated import IsolatedCollector
    from frugalwatch.budgets.run_watch import RunWatch

# A driver that does not answer may hold up the last look this long.
_LAST_LOOK_S = 0.9
# What the job says is listened to once a second; in the first ones more often.
_HEAR_NS = 1_000_000_000
_HEAR_EARLY = 16
_DAY_NS = 86_400_000_000_000
# An hour of eight devices at 1 Hz takes 60 ms.
_THINNING_S = 1.0


class Sampler:
    """Samples one run. `run()` returns when the job is over and everything is written."""

    def __init__(
        self,
        context: RunContext,
        readers: list[IsolatedCollector],
        *,
        control: int,
        result: int,
        replaces: int,
    ) -> None:
        self._context = context
        self._control = control
        self._result = result
        self._replaces = replaces
        self._control_buffer = b""
        self._end: dict[str, object] | None = None
        self._orphaned = False
        self._notices: list[str] = list(context.start.warnings)
        place = locate(context.plan.ledger_path, context.plan.environment)
        self._journal = Journal(place.ledger, notify=self._notify, inbox=place.inbox)
        self._grid = GridWatch(context)
        self._job = _open_job(context.start.job_pid)
        self._watch = self._watch_budgets()
        mask = context.plan.settings.mask
        self._recorder = Recorder(self._journal, self._watch, mask=mask)
        if self._watch is not None:
            self._watch.gpu_share = self._recorder.gpu_share
        self._panel = Panel(context, readers, self._recorder)
        self._meter = JobMeter(context)
        self._python = PythonWatch(hook=context.plan.settings.hook)
        self._clocks = ClockWatch()
        self._interval_ns = round(context.plan.settings.interval_s * 1e9)
        self._hear_next_ns = 0
        pipe = context.plan.api_pipe
        self._listener = Listener(pipe.descriptor) if pipe else None

    def run(self) -> None:
        """Sample until the job ends; then settle the run and send the result."""
        self._open()
        poll_ns = self._panel.poll_ns(self._interval_ns)
        next_tick = self._context.start.mono_ns + self._interval_ns
        next_poll = time.monotonic_ns() + poll_ns
        while self._end is None:
            now = time.monotonic_ns()
            if now >= next_poll:
                self._panel.poll()
                self._panel.save()  # a replacement must not have to guess at wraps in between
                next_poll = now + poll_ns
            if now >= next_tick:
                self._tick()
                # Missed ticks are skipped, not made up for: energy is cumulative.
                late = (now - next_tick) // self._interval_ns
                next_tick += (late + 1) * self._interval_ns
                continue
            self._wait((min(next_tick, next_poll) - now) / 1e9)
        self._finish(self._end)

    def _watch_budgets(self) -> RunWatch | None:
        if self._context.plan.page is None:
            return None
        from frugalwatch.budgets.run_watch import RunWatch

        return RunWatch(
            self._context, self._journal, self._grid, self._job, replaces=self._replaces
        )

    def _open(self) -> None:
        start = describe_run(self._context)
        if self._replaces:
            self._journal.reopen_run(start)
            self._journal.event(
                "sampler_restarted",
                "killed",
                t_mono_ns=time.monotonic_ns(),
                detail=f"sampler {self._replaces} of this run died and was replaced",
            )
            gpu_use = self._journal.last_gpu_use()
            self._recorder.go_on_from(self._journal.last_readings(), gpu_use)
            rows, gpus = self._journal.last_processes()
            if rows:
                self._meter.processes.go_on_from(rows, gpus)
        else:
            self._journal.open_run(start)
            self._journal.usage(self._context.start.mono_ns, 0, 0)
        if self._watch is not None:
            self._watch.open()
        self._panel.open(self._journal.calibration(), resume=self._replaces > 0)
        self._hear_the_grid()
        self._write(time.monotonic_ns())

    def _tick(self) -> None:
        now = time.monotonic_ns()
        note_clock_changes(self._clocks, self._journal)
        cpu_us = self._meter.look(orphaned=self._orphaned)
        self._panel.job_pids = self._meter.pids
        self._recorder.processes = self._meter.processes
        self._panel.look()
        busy_us = self._panel.busy_us()
        self._journal.usage(now, cpu_us, busy_us)
        if now >= self._hear_next_ns:
            self._hear_the_job()
            # The pipe holds what is said meanwhile, and of most of it the last word is enough.
            elapsed_ns = now - self._context.start.mono_ns
            self._hear_next_ns = now + min(_HEAR_NS, elapsed_ns // _HEAR_EARLY)
        if not self._recorder.heard_inside:
            self._python.look(self._meter.pids, now)
        self._hear_the_grid()
        if self._meter.processes.is_due(now, self._context.start.mono_ns, cpu_us):
            self._recorder.tell_processes()
            self._meter.processes.told(now, cpu_us)
        if self._watch is not None:
            self._watch.look(now, cpu_us, busy_us, orphaned=self._orphaned)
        self._write(now)

    def _write(self, now: int) -> None:
        self._journal.heartbeat(now)
        self._journal.commit()
        self._panel.save()

    # -- what wakes it ---------------------------------------------------------------------------

    def _wait(self, seconds: float) -> None:
        """Sleep until the next tick, or handle what wakes us: control, driver, the job's end."""
        poller = select.poll()
        if not self._orphaned:
            poller.register(self._control, select.POLLIN)
        elif self._job >= 0:
            poller.register(self._job, select.POLLIN)
        for descriptor in [*self._panel.descriptors(), self._grid.fileno()]:
            if descriptor >= 0:
                poller.register(descriptor, select.POLLIN)
        for descriptor, _ in poller.poll(seconds * 1e3 + 0.5):
            if descriptor == self._control:
                self._hear_the_supervisor()
            elif descriptor == self._job:
                self._end = {}
            elif descriptor == self._grid.fileno():
                self._hear_the_grid()
            else:
                self._panel.hear()

    def _hear_the_job(self) -> None:
        if self._listener is not None:
            messages = self._listener.receive()
            self._recorder.say(messages)
            if self._watch is not None:
                self._watch.hear(messages)

    def _hear_the_grid(self) -> None:
        value = self._grid.tend()
        if value is not None:
            self._journal.grid_intensity(value)

    def _hear_the_supervisor(self) -> None:
        data = os.read(self._control, 65536)
        if not data:  # killed: nobody will tell us how the job ends, so watch it ourselves
            self._orphaned = True
            self._journal.event(
                "supervisor_lost",
                "killed",
                t_mono_ns=time.monotonic_ns(),
                detail="the supervisor died; the job goes on and its exit code will be unknown",
            )
            if self._job < 0:
                self._end = {}
            return
        self._control_buffer += data
        *lines, self._control_buffer = self._control_buffer.split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "forget" in message:  # signals that are kept pending for the supervisor to see
                while signal.sigtimedwait(message["forget"], 0) is not None:
                    continue
            if "end" in message:
                self._end = message["end"]

    # -- the end ---------------------------------------------------------------------------------

    def _finish(self, message: dict[str, object]) -> None:
        """The last look, the last rows, the totals, and the result to the supervisor."""
        cpu_us = self._meter.look(orphaned=True) if not message else 0
        busy_us = self._panel.busy_us(message.get("machine_busy_us"))
        note_clock_changes(self._clocks, self._journal)
        self._hear_the_job()
        self._panel.last_look(_LAST_LOOK_S)
        now = time.monotonic_ns()
        self._notices += self._panel.notices
        ending = said_by_supervisor(
            message,
            now_ns=now,
            cpu_us=cpu_us,
            ignores_children=self._meter.ignores_children,
            busy_us=busy_us,
            slept_ns=self._clocks.slept_ns,
            bad_messages=self._listener.bad if self._listener else 0,
        )
        if self._recorder.processes is not None:
            own_us = message.get("job_own_us")
            if isinstance(own_us, int):
                job_pid = self._context.start.job_pid
                self._recorder.processes.job_ended(job_pid, own_us, ending.ended_mono_ns)
            self._recorder.tell_processes()
        self._recorder.close(ending.ended_mono_ns)
        if self._watch is not None:
            self._watch.close(ending.ended_mono_ns, ending.cpu_us, ending.busy_us)
        if not self._recorder.heard_inside:
            plan = self._context.plan
            self._python.tell(self._journal, plan.argv, plan.environment, ending.ended_mono_ns)
        factor, intensities, warning = self._grid.finish(ending.ended_mono_ns)
        for value in intensities:
            self._journal.grid_intensity(value)
        if warning:
            self._notices.append(warning)
        self._answer(close_run(self._journal, self._context, ending, factor, self._notices))
        self._thin_old_samples()
        self._journal.close()
        self._panel.close()

    def _thin_old_samples(self) -> None:
        """Nobody waits any more: a good moment to make old runs' samples fewer."""
        oldest_utc_ns = time.time_ns() - round(
            self._context.plan.settings.raw_sample_days * _DAY_NS
        )
        self._journal.thin(oldest_utc_ns, budget_s=_THINNING_S)

    def _answer(self, answer: dict[str, object]) -> None:
        """Send the result; without a supervisor, do what it would have done at the end."""
        data = json.dumps(answer).encode() + b"\n"
        try:
            while data and not self._orphaned:
                data = data[os.write(self._result, data) :]
        except BrokenPipeError:
            self._orphaned = True
        if self._orphaned:
            self._context.plan.clean_up()

    def _notify(self, kind: str, message: str) -> None:
        del kind
        self._notices.append(message)


def _open_job(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1
