"""Turns what collectors and the job say into rows of the journal."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from collectors.base import (
    Condition,
    Device,
    Gap,
    Observation,
    ProcessUtilization,
    Reading,
)
from collectors.disagreement import Disagreement
from frugalwatch.ledger.journal import Journal
from frugalwatch.sampler.messages import (
    GoalSaid,
    Message,
    MetricSaid,
    PhaseBegan,
    PhaseEnded,
    StepsSaid,
)

if TYPE_CHECKING:  # loaded when the first process tells something, or is looked at
    from frugalwatch.sampler.inside import InsideRecorder
    from frugalwatch.sampler.job_processes import ProcessAccount

# A stretch of this length before the end of a run is filled with the run's mean (report.window).
_FILLED_NS = 250_000_000


class _GpuUse:
    __slots__ = ("all_us", "job_us")

    def __init__(self) -> None:
        self.job_us = 0
        self.all_us = 0


class Audience(Protocol):
    """Whoever wants to hear of readings and process shares as they are recorded."""

    def reading(self, device: Device, handle: int, reading: Reading) -> None:
        """One reading, as it was written; `handle` is the journal's, of its stream."""
        ...

    def utilization(self, device: Device, handle: int, seen: ProcessUtilization) -> None:
        """Which processes kept a GPU busy since the last look."""
        ...


class Recorder:
    """Keeps the streams of one run and writes every observation once.

    A gap that lasts over several looks becomes one event: it is written when it begins, and its
    end when the device answers again or the run ends. `audience` hears of what is written.
    """

    def __init__(
        self, journal: Journal, audience: Audience | None = None, *, mask: Sequence[str] = ()
    ) -> None:
        self._journal = journal
        self._audience = audience
        self._mask = mask
        self._streams: dict[str, int] = {}
        self._open_gaps: dict[str, Gap] = {}
        self._gpu_use: dict[str, _GpuUse] = {}
        self._last: dict[str, Reading] = {}
        self._shift: dict[str, Reading] = {}
        self._phases: dict[tuple[int, int], int] = {}
        self._depth: dict[int, int] = {}
        self._inside: InsideRecorder | None = None
        self.devices: dict[str, Device] = {}
        self.processes: ProcessAccount | None = None

    @property
    def heard_inside(self) -> bool:
        """Whether the hook in any process of the job said hello."""
        return self._inside is not None and self._inside.heard

    def go_on_from(
        self, last: dict[str, Reading], gpu_use: dict[str, tuple[int, int]] | None = None
    ) -> None:
        """What a sampler that died wrote last: readings, and SM time of the job and of all.

        Figures go on from there and never fall.
        """
        self._last = dict(last)
        for device, (job_us, all_us) in (gpu_use or {}).items():
            use = self._gpu_use.setdefault(device, _GpuUse())
            use.job_us, use.all_us = job_us, all_us

    def add_devices(self, devices: Iterable[Device], opened_mono_ns: int) -> None:
        """Open a stream for every device that has none yet."""
        for device in devices:
            if device.key not in self._streams:
                self._streams[device.key] = self._journal.add_stream(device, opened_mono_ns)
                self.devices[device.key] = device

    def record(self, observations: Iterable[Observation], job_pids: frozenset[int]) -> None:
        """Write readings, gaps and process shares."""
        for observation in observations:
            if observation.device not in self._streams:
                continue
            if isinstance(observation, Reading):
                self._reading(observation)
            elif isinstance(observation, Gap):
                self._gap(observation)
            elif isinstance(observation, Condition):
                self._journal.condition(self._streams[observation.device], observation)
            else:
                self._gpu(observation, job_pids)

    def disagreement(self, found: Disagreement) -> None:
        """Write that a counter and a power sensor of one device do not agree."""
        self._journal.event(
            "disagreement",
            "counter_vs_power",
            since_mono_ns=found.since_mono_ns,
            t_mono_ns=found.t_mono_ns,
            detail=(
                f"{found.device}: counter {found.counter_uj / 1e6:.1f} J,"
                f" integrated power {found.integral_uj / 1e6:.1f} J (ratio {found.ratio:.2f})"
            ),
            handle=self._streams.get(found.device),
        )

    def say(self, messages: Iterable[Message]) -> None:
        """Write what the job told about itself, and what it told before and is due now."""
        for message in messages:
            if isinstance(message, PhaseBegan):
                self._phase_began(message)
            elif isinstance(message, PhaseEnded):
                self._phase_ended(message)
            elif isinstance(message, MetricSaid):
                self._journal.metric(message.pid, message.t_mono_ns, message.name, message.value)
            elif isinstance(message, GoalSaid):
                self._journal.goal(message.pid, message.t_mono_ns, message.name, message.total)
            elif isinstance(message, StepsSaid):
                self._from_inside().steps(message)
            else:
                self._from_inside().take(message)
        if self._inside is not None:
            self._inside.look(time.monotonic_ns())

    def gpu_share(self, device: str) -> float | None:
        """The job's part of all SM time on a GPU so far; None if nobody told."""
        use = self._gpu_use.get(device)
        return None if use is None or not use.all_us else min(1.0, use.job_us / use.all_us)

    def tell_processes(self) -> None:
        """Write down what each process of the job used until now."""
        if self.processes is None:
            return
        rows, gpus = self.processes.rows()
        by_stream = [
            (self._streams[device], pid, starttime, busy_us)
            for device, pid, starttime, busy_us in gpus
            if device in self._streams
        ]
        self._journal.processes(rows, by_stream)

    def close(self, ended_mono_ns: int) -> None:
        """The job is over: gaps that are still open end here. Phases stay as the job left them.

        No later look can make good what such a gap hides; what is too short to matter is filled.
        """
        for key, gap in list(self._open_gaps.items()):
            if gap.recoverable and ended_mono_ns - gap.since_mono_ns > _FILLED_NS:
                self._open_gaps[key] = gap._replace(t_mono_ns=ended_mono_ns, recoverable=False)
            self._close_gap(key, ended_mono_ns)
        if self._inside is not None:
            self._inside.close(ended_mono_ns)

    def _from_inside(self) -> InsideRecorder:
        if self._inside is None:
            from frugalwatch.sampler.inside import InsideRecorder

            self._inside = InsideRecorder(self._journal, self._mask)
        return self._inside

    def _reading(self, reading: Reading) -> None:
        key = reading.device
        before = self._last.get(key)
        if before is not None and reading.t_mono_ns <= before.t_mono_ns:
            return  # the sampler that died had seen more
        self._last.pop(key, None)
        if before is not None and reading.energy_uj < before.energy_uj:
            # The dead sampler's figure could not be taken over: what lies between is unknown.
            self._shift[key] = before
            self._write_gap(
                Gap(key, reading.t_mono_ns, before.t_mono_ns, "vanished", "its sampler died"),
                "gap",
            )
        if key in self._shift:
            reading = _shifted(reading, self._shift[key])
        self._close_gap(key, reading.t_mono_ns)
        self._journal.sample(self._streams[key], reading)
        if self._audience is not None:
            self._audience.reading(self.devices[key], self._streams[key], reading)

    def _gap(self, gap: Gap) -> None:
        before = self._open_gaps.get(gap.device)
        if before is not None and before.cause == gap.cause:
            missing = before.recoverable and gap.recoverable
            self._open_gaps[gap.device] = before._replace(
                t_mono_ns=gap.t_mono_ns, recoverable=missing
            )
            return
        if before is not None:
            self._close_gap(gap.device, gap.since_mono_ns)
        self._open_gaps[gap.device] = gap
        self._write_gap(gap, "gap")

    def _close_gap(self, key: str, t_mono_ns: int) -> None:
        """A gap with missing energy ends where the collector said; others with the next reading."""
        gap = self._open_gaps.pop(key, None)
        if gap is not None:
            until = t_mono_ns if gap.recoverable else gap.t_mono_ns
            self._write_gap(gap._replace(t_mono_ns=until), "gap_end")

    def _write_gap(self, gap: Gap, kind: str) -> None:
        self._journal.event(
            kind,
            gap.cause,
            since_mono_ns=gap.since_mono_ns,
            t_mono_ns=gap.t_mono_ns,
            detail=f"{gap.device}: {gap.detail}" if gap.detail else gap.device,
            handle=self._streams.get(gap.device),
            energy_missing=not gap.recoverable,
        )

    def _gpu(self, seen: ProcessUtilization, job_pids: frozenset[int]) -> None:
        if seen.share_by_pid and not any(map(_is_here, seen.share_by_pid)):
            return  # the driver names processes of the host, which mean nothing in a container
        use = self._gpu_use.setdefault(seen.device, _GpuUse())
        window_us = max(0, seen.t_mono_ns - seen.since_mono_ns) // 1000
        for pid, share in seen.share_by_pid.items():
            busy_us = round(share * window_us)
            use.all_us += busy_us
            if pid in job_pids:
                use.job_us += busy_us
                if self.processes is not None and busy_us:
                    self.processes.gpu(seen.device, pid, busy_us)
        self._journal.gpu_usage(self._streams[seen.device], seen.t_mono_ns, use.job_us, use.all_us)
        if self._audience is not None:
            handle = self._streams[seen.device]
            self._audience.utilization(self.devices[seen.device], handle, seen)

    def _phase_began(self, message: PhaseBegan) -> None:
        self._settle_steps(message.pid)
        depth = self._depth.get(message.pid, 0)
        self._depth[message.pid] = depth + 1
        self._phases[message.pid, message.token] = self._journal.phase_began(
            message.pid, message.name, message.token, number=message.number, depth=depth
        )

    def _phase_ended(self, message: PhaseEnded) -> None:
        self._settle_steps(message.pid)
        handle = self._phases.pop((message.pid, message.token), None)
        if handle is not None:
            self._depth[message.pid] = max(0, self._depth.get(message.pid, 1) - 1)
            self._journal.phase_ended(handle, message.t_mono_ns)

    def _settle_steps(self, pid: int) -> None:
        if self._inside is not None:
            self._inside.settle_steps(pid)


def _is_here(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def _shifted(reading: Reading, by: Reading) -> Reading:
    """The reading on top of an earlier cumulative figure, bounds included."""
    low, high = reading.low_uj, reading.high_uj
    return reading._replace(
        energy_uj=reading.energy_uj + by.energy_uj,
        low_uj=(reading.energy_uj if low is None else low)
        + (by.energy_uj if by.low_uj is None else by.low_uj),
        high_uj=(reading.energy_uj if high is None else high)
        + (by.energy_uj if by.high_uj is None else by.high_uj),
    )
