"""Energy by day over runs that may overlap: every second of a device counts once.

A run that had its machine to itself counts with its stored totals. Where runs overlapped, the
union of their recordings counts (`ledger.union`), and so it does for the part of a run on each
side of midnight.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from frugalwatch.ledger.union import DeviceEnergy, energy_of_runs
from frugalwatch.report.attribution import Energy
from frugalwatch.report.devices import counted_devices, read_rows
from frugalwatch.screen.machine.days import day_of
from frugalwatch.screen.machine.records import DeviceJoules, RunPart, Tally, added, scaled

J_PER_KWH = 3.6e6


class Cluster(NamedTuple):
    """Runs of one boot of which each overlaps another, or one run alone."""

    boot: int
    runs: tuple[RunPart, ...]

    @property
    def begin_ns(self) -> int:
        """When the first one began."""
        return min(run.begin_ns for run in self.runs)

    @property
    def end_ns(self) -> int:
        """When the last one ended."""
        return max(run.end_ns for run in self.runs)

    @property
    def offset_ns(self) -> int:
        """What added to its boot's clock gives UTC."""
        return self.runs[0].offset_ns


class Piece(NamedTuple):
    """What a cluster used on one day: as a sum, and by the number of the device."""

    day: int
    seconds: float
    tally: Tally
    energies: Mapping[int, DeviceJoules]


def clusters(runs: Iterable[RunPart]) -> list[Cluster]:
    """The runs, gathered by whether they overlap in time on the same boot."""
    found: list[Cluster] = []
    by_boot: dict[int, list[RunPart]] = {}
    for run in runs:
        by_boot.setdefault(run.boot, []).append(run)
    for boot, members in by_boot.items():
        together: list[RunPart] = []
        until = 0
        for run in sorted(members, key=lambda run: (run.begin_ns, run.number)):
            if together and run.begin_ns >= until:
                found.append(Cluster(boot, tuple(together)))
                together = []
            until = max(until, run.end_ns) if together else run.end_ns
            together.append(run)
        found.append(Cluster(boot, tuple(together)))
    return found


def pieces(
    connection: sqlite3.Connection, cluster: Cluster, begins: Sequence[float]
) -> list[Piece]:
    """What a cluster used on each of these days (their beginnings in UTC seconds)."""
    spans = _days(cluster, begins)
    if len(cluster.runs) == 1 and len(spans) == 1 and spans[0][1:] == _whole(cluster):
        run = cluster.runs[0]
        return [Piece(spans[0][0], _seconds(cluster), _of_run(run), run.energies)]
    energies = [_measure(connection, cluster, begin, end) for _, begin, end in spans]
    if len(cluster.runs) == 1:
        tallies = _parts_of_one(cluster.runs[0], spans, energies)
    else:
        tallies = [
            _together(cluster, span[1:], found) for span, found in zip(spans, energies, strict=True)
        ]
    return [
        Piece(day, (end - begin) / 1e9, tally, found)
        for (day, begin, end), tally, found in zip(spans, tallies, energies, strict=True)
    ]


def _seconds(cluster: Cluster) -> float:
    return (cluster.end_ns - cluster.begin_ns) / 1e9


def _whole(cluster: Cluster) -> tuple[int, int]:
    return cluster.begin_ns, cluster.end_ns


def _days(cluster: Cluster, begins: Sequence[float]) -> list[tuple[int, int, int]]:
    """The cluster's time cut at midnights: day, from, to. What is before the first day is left."""
    edges = [round(begin * 1e9) - cluster.offset_ns for begin in begins]
    found = []
    for day, edge in enumerate(edges):
        until = edges[day + 1] if day + 1 < len(edges) else cluster.end_ns
        begin, end = max(cluster.begin_ns, edge), min(cluster.end_ns, max(until, edge))
        if begin < end:
            found.append((day, begin, end))
    return found


def _measure(
    connection: sqlite3.Connection, cluster: Cluster, begin: int, end: int
) -> dict[int, DeviceJoules]:
    inside = [run for run in cluster.runs if run.begin_ns < end and run.end_ns > begin]
    numbers = [run.number for run in inside]
    rows = [row for number in numbers for row in read_rows(connection, number)]
    found = energy_of_runs(connection, cluster.boot, numbers, begin, end)
    counted = counted_devices({row.key: row for row in rows}.values())
    energies: dict[int, DeviceJoules] = {}
    for device in found:
        before = energies.get(device.device_id)
        energy = _joules(device) + before.energy if before else _joules(device)
        is_measured = device.origin in ("measured", "derived")
        energies[device.device_id] = DeviceJoules(energy, is_measured, device.device in counted)
    return energies


def _joules(device: DeviceEnergy) -> Energy:
    return Energy(device.energy_uj / 1e6, device.low_uj / 1e6, device.high_uj / 1e6)


def _parts_of_one(
    run: RunPart,
    spans: Sequence[tuple[int, int, int]],
    found: Sequence[Mapping[int, DeviceJoules]],
) -> list[Tally]:
    """The days of one run; together they are its stored total, whatever the samples add up to.

    What lay before the first of the days is not among them, so a run that began earlier counts
    with the sums of its samples.
    """
    shares = [_total_j(energies) for energies in found]
    whole = sum(shares)
    complete = bool(spans) and spans[0][1] == run.begin_ns
    parts = []
    for (_, begin, _), energies, share in zip(spans, found, shares, strict=True):
        tally = _of_energies(energies)
        if complete and whole > 0:
            part = share / whole
            tally = _of_run(run, part)
        elif run.total_j > 0:
            tally = _with_carbon(tally, [run], share / run.total_j)
        parts.append(tally._replace(runs=int(begin == run.begin_ns)))
    return parts


def _together(
    cluster: Cluster, span: tuple[int, int], energies: Mapping[int, DeviceJoules]
) -> Tally:
    """One day of runs that overlapped: what their devices used, once."""
    everything = sum(run.total_j for run in cluster.runs)
    part = _total_j(energies) / everything if everything else 0.0
    tally = _with_carbon(_of_energies(energies), cluster.runs, part)
    began = [run for run in cluster.runs if span[0] <= run.begin_ns < span[1]]
    unknown = sum(_is_unknown(run) for run in began)
    return tally._replace(runs=len(began), overlapping=len(began), unknown=unknown)


def _of_run(run: RunPart, part: float = 1.0) -> Tally:
    measured, estimated = scaled(run.measured, part), scaled(run.estimated, part)
    tally = Tally(1, int(_is_unknown(run)), 0, measured, estimated)
    return _with_carbon(tally, [run], part)


def run_tally(run: RunPart, *, overlaps: bool) -> Tally:
    """One run by itself: with all that its devices used, also while others ran."""
    return _of_run(run)._replace(overlapping=int(overlaps))


def _of_energies(energies: Mapping[int, DeviceJoules]) -> Tally:
    measured: Energy | None = None
    estimated: Energy | None = None
    for device in energies.values():
        if device.counted and device.is_measured:
            measured = added(measured, device.energy)
        elif device.counted:
            estimated = added(estimated, device.energy)
    return Tally(measured=measured, estimated=estimated)


def _with_carbon(tally: Tally, runs: Sequence[RunPart], part: float) -> Tally:
    """The tally with a part of what these runs emitted and cost."""
    grams = [run.co2e_g for run in runs if run.co2e_g is not None]
    cost: dict[str, float] = {}
    for run in runs:
        if run.price_per_kwh is not None and run.currency and run.total_j:
            amount = run.total_j / J_PER_KWH * run.pue * run.price_per_kwh * part
            cost[run.currency] = cost.get(run.currency, 0.0) + amount
    return tally._replace(co2e_g=sum(grams) * part if grams else None, cost=cost)


def _is_unknown(run: RunPart) -> bool:
    return run.measured is None and run.estimated is None


def _total_j(energies: Mapping[int, DeviceJoules]) -> float:
    return sum(device.energy.value for device in energies.values() if device.counted)


def day_of_run(run: RunPart, begins: Sequence[float]) -> int:
    """The day on which a run began; -1 before the first."""
    return day_of((run.begin_ns + run.offset_ns) / 1e9, begins)
