"""Every power source of one run, opened, looked at and closed together."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

from collectors.base import CONDITION_PAUSE_NS, Conditioned, Probe, Reading, Resumable
from frugalwatch.sampler.context import Opening, RunContext, Zeros
from frugalwatch.sampler.sources import (
    Zero,
    machine_busy_us,
    open_daemon,
    open_models,
    open_others,
    open_quick,
    readings_of,
    with_idle,
    without_doubles,
)

if TYPE_CHECKING:  # loaded by `readers` where there is a driver to read
    from collections.abc import Iterable

    from collectors.base import Device
    from collectors.calibration import Calibration
    from collectors.conditions import CpuConditions
    from collectors.cpu_time import BusySource
    from collectors.isolated import IsolatedCollector
    from frugalwatch.sampler.recorder import Recorder

_NEVER_NS = 1 << 62
# Conditions are for people who watch; nobody watches a job this short.
_FIRST_CONDITIONS_NS = 1_000_000_000


class Panel:
    """The sources of a run: those read here, and those read in a process of their own."""

    def __init__(
        self, context: RunContext, readers: list[IsolatedCollector], recorder: Recorder
    ) -> None:
        self._context = context
        self._readers = readers
        self._recorder = recorder
        self._openings: list[Opening] = []
        self._resumable: list[tuple[str, Resumable]] = []
        self._calibration: Calibration | None = None
        self._slice: BusySource | None = None
        self._slice_zero_us = 0
        self._conditions_at_ns = context.start.mono_ns + _FIRST_CONDITIONS_NS
        self._cpu_conditions: CpuConditions | None = None
        self.job_pids: frozenset[int] = frozenset()
        self.notices: list[str] = []  # sources that are here and could not be read

    # -- opening and closing ---------------------------------------------------------------------

    def open(self, calibration: Calibration | None, *, resume: bool) -> None:
        """Open the quick sources, whose zero was taken before the job, the others, and models.

        `resume`: a sampler of this run died; go on from the counters as it last saw them.
        """
        plan, start = self._context
        self._calibration = calibration
        states = plan.shelf.get()  # of the quick sources from before the job, in any case
        quick = [_resumed(o, states, start.zeros) for o in open_quick(plan.host, plan.settings)]
        for opening in quick:
            self._take_in(opening)
        self.poll()
        others = without_doubles([*quick, *open_others(plan.host, plan.settings)])
        for opening in others[len(quick) :]:
            self._take_in(_resumed(opening, states) if resume else opening)
        found = [device for opening in self._openings for device in opening.devices]
        for opening in open_daemon(found, plan.host, plan.settings, plan.environment):
            self._take_in(_resumed(opening, states) if resume else opening)
            found += opening.devices
        zero = Zero(start.mono_ns, start.busy_us)
        for opening in open_models(found, plan.host, plan.settings, zero, calibration):
            zeros = tuple(z for z in readings_of(opening) if z[1] == zero.mono_ns)
            self._take_in(_resumed(opening, states, zeros) if resume else opening)
        self._watch_slice()
        self.poll()

    def save(self) -> None:
        """Leave what a replacement must know where it survives this process."""
        states = {name: collector.state() for name, collector in self._resumable}
        for reader in self._readers:
            state = reader.state()
            if state is not None:
                states[reader.name] = state
        self._context.plan.shelf.put(states)

    def close(self) -> None:
        """Leave the readers to end by themselves; the process ends next."""
        for reader in self._readers:
            reader.close(0.0)

    # -- looking ---------------------------------------------------------------------------------

    def poll_ns(self, interval_ns: int) -> int:
        """How often to look between ticks so that no counter can wrap twice unseen."""
        longest = [d.max_poll_s for o in self._openings for d in o.devices if d.max_poll_s]
        if not longest or min(longest) / 2 >= interval_ns / 1e9:
            return _NEVER_NS
        return round(min(longest) / 2 * 1e9)

    def poll(self) -> None:
        """Look at the counters that can wrap."""
        for opening in self._openings:
            if any(d.max_poll_s for d in opening.devices):
                self._recorder.record(opening.collector.read(), self.job_pids)

    def look(self) -> None:
        """Look at everything once; the readers' answers come through `hear`."""
        now = time.monotonic_ns()
        for reader in self._readers:
            self._recorder.record(reader.tend(now), self.job_pids)
            reader.request()
        for opening in self._openings:
            self._recorder.record(opening.collector.read(), self.job_pids)
        if now >= self._conditions_at_ns:
            self._conditions_at_ns = now + CONDITION_PAUSE_NS
            self._look_at_conditions()

    def descriptors(self) -> list[int]:
        """What turns readable when a reader has answered."""
        return [reader.fileno() for reader in self._readers if reader.fileno() >= 0]

    def hear(self) -> None:
        """Take the answers that have come."""
        for reader in self._readers:
            while (message := reader.receive()) is not None:
                if isinstance(message, Probe):
                    self._add(message.devices, time.monotonic_ns())
                    self._say_what_is_missing(message)
                else:
                    self._recorder.record(message, self.job_pids)
            for found in reader.take_disagreements():
                self._recorder.disagreement(found)

    def last_look(self, patience_s: float) -> None:
        """Look at everything, and wait for the readers' answers, but not for long."""
        deadline = time.monotonic() + patience_s
        self.look()
        while any(reader.outstanding for reader in self._readers):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            poller = select.poll()
            for descriptor in self.descriptors():
                poller.register(descriptor, select.POLLIN)
            poller.poll(left_s * 1e3)
            self.hear()
        for reader in self._readers:
            now = time.monotonic_ns()
            self._recorder.record(reader.tend(now), self.job_pids)
            self._recorder.record(reader.unanswered(now), self.job_pids)
            if reader.probe is None:
                self._say(reader.name, "the driver gave no answer while the job ran")

    def busy_us(self, machine_us: object = None) -> int | None:
        """Busy CPU micro-seconds since the job began, of what the CPU's figure covers.

        `machine_us`: the machine's since boot as somebody saw it at the right moment, if an int.
        """
        if self._slice is not None:
            try:
                return max(0, self._slice.busy_us() - self._slice_zero_us)
            except (OSError, ValueError):
                return None
        busy = (
            machine_us if isinstance(machine_us, int) else machine_busy_us(self._context.plan.host)
        )
        if busy is None or self._context.start.busy_us is None:
            return None
        return max(0, busy - self._context.start.busy_us)

    # -- inside ----------------------------------------------------------------------------------

    def _take_in(self, opening: Opening) -> None:
        self._openings.append(opening)
        # Asked once: looking at a protocol takes 60 us, as long as reading a counter.
        if isinstance(opening.collector, Resumable):
            self._resumable.append((opening.collector.name, opening.collector))
        opened = min((o.t_mono_ns for o in opening.first), default=self._context.start.mono_ns)
        self._add(opening.devices, opened)
        self._recorder.record(opening.first, self.job_pids)

    def _add(self, devices: Iterable[Device], opened_mono_ns: int) -> None:
        known = [with_idle(device, self._calibration) for device in devices]
        self._recorder.add_devices(known, opened_mono_ns)

    def _look_at_conditions(self) -> None:
        if self._cpu_conditions is None:
            from collectors.conditions import CpuConditions

            devices = [device for opening in self._openings for device in opening.devices]
            self._cpu_conditions = CpuConditions(self._context.plan.host, devices)
        self._recorder.record(self._cpu_conditions.conditions(), self.job_pids)
        for opening in self._openings:
            if isinstance(opening.collector, Conditioned):
                self._recorder.record(opening.collector.conditions(), self.job_pids)

    def _say_what_is_missing(self, found: Probe) -> None:
        """A driver that is here and cannot be read: without a word, its cards would seem idle."""
        from collectors.nvidia_presence import NOTHING_TO_USE

        if found.reason and found.reason not in NOTHING_TO_USE:
            hint = f" (hint: {found.remedy})" if found.remedy else ""
            self._say(found.name, f"{found.reason}{hint}")

    def _say(self, source: str, what: str) -> None:
        notice = f"{source}: {what}; its energy is in no figure"
        if notice not in self.notices:
            self.notices.append(notice)

    def _watch_slice(self) -> None:
        """Where the model covers a container's slice, busy time is the slice's, not the host's."""
        for opening in self._openings:
            busy = getattr(opening.collector, "busy", None)
            if busy is None or busy.scope == "machine":
                continue
            try:
                self._slice_zero_us = busy.busy_us()
            except (OSError, ValueError):
                continue
            self._slice = busy


def _resumed(
    opening: Opening,
    states: dict[str, dict[str, tuple[int, ...]]],
    zeros: Zeros = (),
) -> Opening:
    """A source that goes on where the supervisor or a dead sampler left it, if it can.

    `zeros` are readings from before that; they are told again, since a sampler may have died
    before it wrote them.
    """
    collector = opening.collector
    if isinstance(collector, Resumable) and collector.name in states:
        collector.resume(states[collector.name])
    known = {device.key for device in opening.devices}
    first = (Reading(*zero) for zero in zeros if zero[0] in known)
    return opening._replace(first=(*first, *collector.read()))
