"""Who used the machine, a minute at a time: energy above idle, split by busy time.

One formula, that of `run`: share = (energy - idle power x time) x busy time of the workload / busy
time of all. Idle power comes from calibration or the model, else from the lowest mean power of a
minute in which next to nothing ran; where that is unknown too, a share has bounds and no figure.
Energy that no workload can be named for stays with nobody. Nothing here is measured: shares are
`attributed`, and the minutes that they are parts of say where their energy is from.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from collectors.base import Device, ProcessUtilization, Reading
from frugalwatch.daemon.processes import ProcessWatch
from frugalwatch.daemon.workloads import Workload
from frugalwatch.ledger.minutes import Minute, MinuteRows, Share

MINUTE_NS = 60_000_000_000
# Smaller ones are summed up: they are many, and their energy is within anybody's error.
_LEAST_PART = 0.01
_MOST_NAMED = 20
_SUMMED_UP = ("process", "cgroup")
_OTHERS, _NOT_SEEN = "(others)", "(not seen)"
_QUIET = 0.05
# What was seen as idle had something running. No published figure: a wide guess, kept as bounds.
_QUIET_LOW = 0.7


class Figures(NamedTuple):
    """Energy with bounds in micro-joules."""

    energy_uj: int
    low_uj: int
    high_uj: int


class _Series:
    """One stream: its cumulative figures at the minute's begin and now."""

    __slots__ = ("all_us", "begin", "device", "idle_uj", "last", "looked_uj", "quiet_w", "used")

    def __init__(self, device: Device, first: Reading) -> None:
        self.device = device
        self.begin = self.last = first
        self.quiet_w: float | None = None
        self.begin_minute()
        self.looked_uj: int | None = None

    def begin_minute(self) -> None:
        self.begin = self.last
        self.used: dict[Workload, int] = {}
        self.all_us: int | None = None
        self.idle_uj: int | None = None


class Attribution:
    """Hears of readings and processes, and turns each minute into rows."""

    def __init__(self, rows: MinuteRows, processes: ProcessWatch) -> None:
        self._rows = rows
        self._processes = processes
        self._series: dict[int, _Series] = {}
        self._busy_us: int | None = None
        self._threads = os.cpu_count() or 1

    # -- what the recorder tells -------------------------------------------------------------------

    def reading(self, device: Device, handle: int, reading: Reading) -> None:
        """One reading of a device."""
        if device.part_of is not None or device.domain == "other":
            return
        series = self._series.get(handle)
        if series is None:
            self._series[handle] = _Series(device, reading)
        else:
            series.last = reading

    def utilization(self, device: Device, handle: int, seen: ProcessUtilization) -> None:
        """Which processes kept a GPU busy; where none did, its energy was spent on nothing."""
        series = self._series.get(handle)
        if series is None:
            return
        window_us = max(0, seen.t_mono_ns - seen.since_mono_ns) // 1000
        series.all_us = series.all_us or 0
        series.idle_uj = series.idle_uj or 0
        working = {pid: share for pid, share in seen.share_by_pid.items() if share > 0}
        for pid, share in working.items():
            busy_us = round(share * window_us)
            series.all_us += busy_us
            for workload in self._processes.workloads(pid):
                series.used[workload] = series.used.get(workload, 0) + busy_us
        now_uj = series.last.energy_uj
        if not working and series.looked_uj is not None:
            series.idle_uj += now_uj - series.looked_uj
        series.looked_uj = now_uj

    # -- what the loop asks for --------------------------------------------------------------------

    def walk(self) -> None:
        """Look at every process."""
        self._processes.walk()

    def close_minute(self, busy_us: int | None) -> None:
        """Queue the rows of the time since the last call. `busy_us`: of all CPUs, cumulative."""
        self._processes.walk()
        used, seen_us = self._processes.take()
        before, self._busy_us = self._busy_us, busy_us
        of_cpus_us = None
        if before is not None and busy_us is not None:
            # Two clocks of the kernel, in ticks: the sum over processes may be the larger one.
            of_cpus_us = max(busy_us - before, seen_us)
            used["process", _NOT_SEEN] = of_cpus_us - seen_us
        minutes: list[Minute] = []
        shares: list[Share] = []
        for handle, series in self._series.items():
            gpu = series.device.domain == "gpu"
            all_us = series.all_us if gpu else of_cpus_us
            closed = _minute(handle, series, all_us, self._threads)
            if closed is not None:
                minute, above = closed
                minutes.append(minute)
                shares += _shares(minute, above, series.used if gpu else used)
            series.begin_minute()
        if before is not None:  # else: it began somewhere in the minute, and nobody was walked
            self._rows.add(minutes, shares)


def _minute(
    handle: int, series: _Series, all_us: int | None, threads: int
) -> tuple[Minute, Figures | None] | None:
    """The row of a stream's minute, and its energy above idle; None if nobody looked twice."""
    begin, last = series.begin, series.last
    span_ns = last.t_mono_ns - begin.t_mono_ns
    if span_ns <= 0:
        return None
    energy = _between(begin, last)
    gpu = series.device.domain == "gpu"
    if all_us is not None and all_us < _QUIET * span_ns / 1000 * (1 if gpu else threads):
        power_w = energy.energy_uj * 1e3 / span_ns
        series.quiet_w = min(power_w, series.quiet_w or power_w)
    above = above_idle(series.device, series.quiet_w, energy, span_ns)
    above_uj = None if above is None else above.energy_uj
    idle_uj = series.idle_uj if gpu else None
    spans = (last.t_mono_ns, begin.t_mono_ns)
    return Minute(handle, *spans, *energy, above_uj, idle_uj, all_us), above


def _shares(minute: Minute, above: Figures | None, used: dict[Workload, int]) -> list[Share]:
    all_us = minute.busy_us or 0
    whole = Figures(minute.energy_uj, minute.low_uj, minute.high_uj)
    return [
        Share(
            minute.handle,
            minute.t_mono_ns,
            kind,
            name,
            busy_us,
            *_part(above, whole, busy_us / all_us if all_us else 0.0),
        )
        for (kind, name), busy_us in named(used, all_us).items()
    ]


def above_idle(
    device: Device, quiet_w: float | None, energy: Figures, span_ns: int
) -> Figures | None:
    """Energy beyond what the device draws without work; None if nobody knows what that is."""
    idle_w, low_w, high_w = device.idle_w, device.idle_low_w, device.idle_high_w
    if idle_w is None:
        if quiet_w is None:
            return None
        idle_w, low_w, high_w = quiet_w, quiet_w * _QUIET_LOW, quiet_w
    low_w = idle_w if low_w is None else low_w
    high_w = idle_w if high_w is None else high_w
    seconds = span_ns / 1e9
    return Figures(
        max(0, energy.energy_uj - round(idle_w * seconds * 1e6)),
        max(0, energy.low_uj - round(high_w * seconds * 1e6)),
        max(0, energy.high_uj - round(low_w * seconds * 1e6)),
    )


def named(used: dict[Workload, int], all_us: int) -> dict[Workload, int]:
    """The largest workloads of each kind; of processes and control groups the rest in one."""
    kept: dict[Workload, int] = {}
    counts: dict[str, int] = {}
    for workload, busy_us in sorted(used.items(), key=lambda item: -item[1]):
        kind = workload[0]
        if busy_us <= 0:
            continue
        small = busy_us < _LEAST_PART * all_us or counts.get(kind, 0) >= _MOST_NAMED
        if small and kind in _SUMMED_UP:
            kept[kind, _OTHERS] = kept.get((kind, _OTHERS), 0) + busy_us
        elif not small:
            counts[kind] = counts.get(kind, 0) + 1
            kept[workload] = busy_us
    return kept


def _part(above: Figures | None, whole: Figures, part: float) -> tuple[int | None, int, int]:
    if above is None:
        return None, 0, round(whole.high_uj * part)
    return round(above.energy_uj * part), round(above.low_uj * part), round(above.high_uj * part)


def _between(begin: Reading, end: Reading) -> Figures:
    low = _low(end) - _low(begin)
    high = _high(end) - _high(begin)
    energy = end.energy_uj - begin.energy_uj
    return Figures(energy, max(0, min(low, energy)), max(high, energy))


def _low(reading: Reading) -> int:
    return reading.energy_uj if reading.low_uj is None else reading.low_uj


def _high(reading: Reading) -> int:
    return reading.energy_uj if reading.high_uj is None else reading.high_uj
