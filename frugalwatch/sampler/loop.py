"""The sampler: one loop that looks at every source once a tick until the run is over."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from typing import TYPE_CHECKING

from collectors.base import Device, Probe, Resumable
from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.paths import locate
from frugalwatch.ledger.records import RunEnd
from frugalwatch.sampler.clocks import ClockWatch
from frugalwatch.sampler.context import Opening, RunContext
from frugalwatch.sampler.grid import GridWatch
from frugalwatch.sampler.job_meter import JobMeter
from frugalwatch.sampler.messages import receive
from frugalwatch.sampler.recorder import Recorder
from frugalwatch.sampler.run_start import describe_run
from frugalwatch.sampler.sources import (
    Zero,
    machine_busy_us,
    open_models,
    open_others,
    with_idle,
    without_doubles,
)
from frugalwatch.supervisor.signals import FORWARDED

if TYPE_CHECKING:  # loaded by `readers` where there is a driver to read
    from collections.abc import Iterable

    from collectors.calibration import Calibration
    from collectors.cpu_time import BusySource
    from collectors.isolated import IsolatedCollector

# A driver that does not answer may hold up the last look this long.
_LAST_LOOK_S = 0.9
_NO_EXIT_CODE = None
_NEVER_NS = 1 << 62


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
        self._notices: list[str] = list(context.warnings)
        place = locate(context.ledger_path, context.environment)
        self._journal = Journal(place.ledger, notify=self._notify, inbox=place.inbox)
        self._recorder = Recorder(self._journal)
        self._meter = JobMeter(context)
        self._clocks = ClockWatch()
        self._openings: list[Opening] = list(context.openings)
        self._isolated = readers
        self._grid = GridWatch(context)
        self._calibration: Calibration | None = None
        self._slice: BusySource | None = None
        self._slice_zero_us = 0
        self._job = _open_job(context.job_pid)
        self._interval_ns = round(context.settings.interval_s * 1e9)
        self._bad_messages = 0

    def run(self) -> None:
        """Sample until the job ends; then settle the run and send the result."""
        self._open()
        next_tick = self._context.started_mono_ns + self._interval_ns
        next_poll = time.monotonic_ns() + self._poll_ns()
        while self._end is None:
            now = time.monotonic_ns()
            if now >= next_poll:
                self._poll()
                next_poll = now + self._poll_ns()
            if now >= next_tick:
                self._tick()
                # Missed ticks are skipped, not made up for: energy is cumulative.
                late = (now - next_tick) // self._interval_ns
                next_tick += (late + 1) * self._interval_ns
                continue
            self._wait((min(next_tick, next_poll) - now) / 1e9)
        self._finish()

    # -- opening ---------------------------------------------------------------------------------

    def _open(self) -> None:
        context = self._context
        if self._replaces:
            self._journal.reopen_run(describe_run(context))
            self._journal.event(
                "sampler_restarted",
                "killed",
                t_mono_ns=time.monotonic_ns(),
                detail=f"sampler {self._replaces} of this run died and was replaced",
            )
            self._resume()
        else:
            self._journal.open_run(describe_run(context))
        self._calibration = self._journal.calibration()
        for opening in self._openings:
            self._take_in(opening)
        self._poll()
        others = without_doubles([*self._openings, *open_others(context.host, context.settings)])
        for opening in others[len(self._openings) :]:
            self._openings.append(opening)
            self._take_in(opening)
        found = [d for o in self._openings for d in o.devices]
        for opening in self._models(found):
            self._openings.append(opening)
            self._take_in(opening)
        self._watch_slice()
        self._poll()
        self._hear_the_grid()
        self._usage(time.monotonic_ns())
        self._journal.commit()
        self._save_state()

    def _add_devices(self, devices: Iterable[Device], opened_mono_ns: int) -> None:
        known = [with_idle(device, self._calibration) for device in devices]
        self._recorder.add_devices(known, opened_mono_ns)

    def _models(self, found: list[Device]) -> tuple[Opening, ...]:
        context = self._context
        zero = Zero(context.started_mono_ns, context.busy_us_at_start)
        return open_models(found, context.host, context.settings, zero, self._calibration)

    def _watch_slice(self) -> None:
        """Where the model covers a container's slice, busy time is the slice's and not the host's."""
        for opening in self._openings:
            busy = getattr(opening.collector, "busy", None)
            if busy is None or busy.scope == "machine":
                continue
            try:
                self._slice_zero_us = busy.busy_us()
            except (OSError, ValueError):
                continue
            self._slice = busy

    def _take_in(self, opening: Opening) -> None:
        opened = min((o.t_mono_ns for o in opening.first), default=self._context.started_mono_ns)
        self._add_devices(opening.devices, opened)
        self._recorder.record(opening.first, frozenset())

    def _resume(self) -> None:
        """Go on from the counters as the dead sampler last saw them."""
        states = self._context.shelf.get()
        fresh: list[Opening] = []
        for opening in self._openings:
            collector = opening.collector
            if isinstance(collector, Resumable) and collector.name in states:
                collector.resume(states[collector.name])
            fresh.append(Opening(collector, opening.devices, tuple(collector.read())))
        self._openings = fresh

    # -- every tick ------------------------------------------------------------------------------

    def _poll_ns(self) -> int:
        """How often to look between ticks so that no counter can wrap twice unseen."""
        longest = [d.max_poll_s for o in self._openings for d in o.devices if d.max_poll_s]
        if not longest or min(longest) / 2 >= self._interval_ns / 1e9:
            return _NEVER_NS
        return round(min(longest) / 2 * 1e9)

    def _poll(self) -> None:
        for opening in self._openings:
            if any(d.max_poll_s for d in opening.devices):
                self._recorder.record(opening.collector.read(), self._meter.pids)

    def _tick(self) -> None:
        now = time.monotonic_ns()
        self._look_at_clocks()
        cpu_us = self._meter.look(orphaned=self._orphaned)
        for opening in self._openings:
            self._recorder.record(opening.collector.read(), self._meter.pids)
        for reader in self._isolated:
            self._recorder.record(reader.tend(now), self._meter.pids)
            reader.request()
        self._journal.usage(now, cpu_us, self._busy_us())
        self._hear_the_job()
        self._hear_the_grid()
        self._journal.heartbeat(now)
        self._journal.commit()
        self._save_state()

    def _wait(self, seconds: float) -> None:
        """Sleep until the next tick, or handle what wakes us: control, driver, the job's end."""
        poller = select.poll()
        if not self._orphaned:
            poller.register(self._control, select.POLLIN)
        elif self._job >= 0:
            poller.register(self._job, select.POLLIN)
        for reader in self._isolated:
            if reader.fileno() >= 0:
                poller.register(reader.fileno(), select.POLLIN)
        if self._grid.fileno() >= 0:
            poller.register(self._grid.fileno(), select.POLLIN)
        for descriptor, _ in poller.poll(seconds * 1e3 + 0.5):
            if descriptor == self._control:
                self._hear_the_supervisor()
            elif descriptor == self._job:
                self._end = {}
            elif descriptor == self._grid.fileno():
                self._hear_the_grid()
            else:
                self._hear_readers()

    def _hear_readers(self) -> None:
        for reader in self._isolated:
            while (message := reader.receive()) is not None:
                if isinstance(message, Probe):
                    self._add_devices(message.devices, time.monotonic_ns())
                else:
                    self._recorder.record(message, self._meter.pids)
            for found in reader.take_disagreements():
                self._recorder.disagreement(found)

    def _hear_the_job(self) -> None:
        if self._context.api_socket is None:
            return
        messages, bad = receive(self._context.api_socket)
        self._bad_messages += bad
        self._recorder.say(messages)

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
            if "drain" in message:
                while signal.sigtimedwait(FORWARDED, 0) is not None:
                    continue
            if "end" in message:
                self._end = message["end"]

    def _look_at_clocks(self) -> None:
        change = self._clocks.look()
        if change is None:
            return
        for kind, amount_ns in (("suspended", change.slept_ns), ("clock_step", change.stepped_ns)):
            if amount_ns:
                self._journal.event(
                    kind,
                    since_mono_ns=change.since_mono_ns,
                    t_mono_ns=change.t_mono_ns,
                    detail=f"{amount_ns / 1e9:+.1f} s",
                )

    def _usage(self, now: int) -> None:
        self._journal.usage(self._context.started_mono_ns, 0, 0)
        self._journal.heartbeat(now)

    def _busy_us(self) -> int | None:
        if self._slice is not None:
            try:
                return max(0, self._slice.busy_us() - self._slice_zero_us)
            except (OSError, ValueError):
                return None
        busy = machine_busy_us(self._context.host)
        if busy is None or self._context.busy_us_at_start is None:
            return None
        return max(0, busy - self._context.busy_us_at_start)

    def _save_state(self) -> None:
        states = {
            o.collector.name: o.collector.state()
            for o in self._openings
            if isinstance(o.collector, Resumable)
        }
        for reader in self._isolated:
            state = reader.state()
            if state is not None:
                states[reader.name] = state
        self._context.shelf.put(states)

    # -- the end ---------------------------------------------------------------------------------

    def _finish(self) -> None:
        """The last look, the last rows, the totals, and the result to the supervisor."""
        end = self._end or {}
        for reader in self._isolated:
            reader.request()
        cpu_us = self._meter.look(orphaned=True) if not end else _integer(end, "cpu_us")
        for opening in self._openings:
            self._recorder.record(opening.collector.read(), self._meter.pids)
        now = time.monotonic_ns()
        ended = _integer(end, "ended_mono_ns") or now
        busy_us = self._busy_us()
        self._look_at_clocks()
        self._hear_the_job()
        self._last_look(now)
        self._recorder.close(time.monotonic_ns())
        factor, intensities, warning = self._grid.finish(ended)
        for value in intensities:
            self._journal.grid_intensity(value)
        if warning:
            self._notices.append(warning)
        self._journal.usage(max(ended, self._context.started_mono_ns + 1), cpu_us, busy_us)
        self._last_events(end)
        from frugalwatch.report.settle import settle_run

        connection = self._journal.finish(
            RunEnd(
                state=_state(end),
                ended_mono_ns=ended,
                exit_code=_integer(end, "exit_code") if end else _NO_EXIT_CODE,
                exit_signal=_integer(end, "exit_signal") if end.get("exit_signal") else None,
                suspended_ns=self._clocks.slept_ns,
                job_cpu_us=cpu_us,
                job_cpu_method=self._cpu_method(end),
                machine_busy_us=busy_us,
            )
        )
        document, totals = settle_run(
            connection, self._context.run_key, factor, self._context.settings
        )
        self._journal.store_totals(totals)
        answer: dict[str, object] = {
            "run": document,
            "notices": self._notices,
            "ledger": self._journal.where,
        }
        self._answer(answer)
        self._journal.close()
        for reader in self._isolated:
            reader.close(0.0)

    def _answer(self, answer: dict[str, object]) -> None:
        """Send the result; without a supervisor, do what it would have done at the end."""
        data = json.dumps(answer).encode() + b"\n"
        try:
            while data and not self._orphaned:
                data = data[os.write(self._result, data) :]
        except BrokenPipeError:
            self._orphaned = True
        if self._orphaned:
            self._context.clean_up()

    def _last_look(self, asked_mono_ns: int) -> None:
        """Wait for the isolated readers' answers to the last request, but not for long."""
        deadline = asked_mono_ns + round(_LAST_LOOK_S * 1e9)
        while any(r.outstanding for r in self._isolated):
            left_ms = (deadline - time.monotonic_ns()) / 1e6
            if left_ms <= 0:
                break
            poller = select.poll()
            for reader in self._isolated:
                if reader.fileno() >= 0:
                    poller.register(reader.fileno(), select.POLLIN)
            poller.poll(left_ms)
            self._hear_readers()
        for reader in self._isolated:
            self._recorder.record(reader.tend(time.monotonic_ns()), self._meter.pids)

    def _last_events(self, end: dict[str, object]) -> None:
        now = time.monotonic_ns()
        left = _integer(end, "processes_left")
        if left:
            self._journal.event(
                "processes_left",
                t_mono_ns=now,
                detail=f"{left} processes of the job outlived it; what they use now is not counted",
            )
        elsewhere = _work_elsewhere(self._context.argv)
        if elsewhere:
            self._journal.event(
                "work_elsewhere",
                elsewhere,
                t_mono_ns=now,
                detail=f"`{elsewhere}` hands over: work ran outside this process tree",
            )
        if self._bad_messages:
            self._journal.event(
                "bad_messages", t_mono_ns=now, detail=f"{self._bad_messages} could not be read"
            )
        for notice in self._notices:
            self._journal.event("notice", t_mono_ns=now, detail=notice)

    def _cpu_method(self, end: dict[str, object]) -> str:
        method = str(end.get("cpu_method", "tree-lower-bound"))
        return "tree-lower-bound" if method == "tree" and self._meter.ignores_children else method

    def _notify(self, kind: str, message: str) -> None:
        del kind
        self._notices.append(message)


# Commands whose work is done by a process that is no descendant of theirs.
_HANDS_OVER = frozenset(
    "docker podman nerdctl kubectl srun sbatch salloc ssh rsh mpirun mpiexec systemd-run at batch"
    " condor_submit qsub bsub ray".split()
)


def _work_elsewhere(argv: tuple[str, ...]) -> str | None:
    name = os.path.basename(argv[0])
    return name if name in _HANDS_OVER else None


def _open_job(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1


def _integer(values: dict[str, object], key: str) -> int:
    value = values.get(key)
    return value if isinstance(value, int) else 0


def _state(end: dict[str, object]) -> str:
    if not end:
        return "recovered"
    return "killed" if end.get("exit_signal") else "done"
