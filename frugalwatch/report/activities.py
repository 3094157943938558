"""Energy by what the program was doing: waiting for data, forward, backward, optimizer, other.

Between two looks at a device, its energy is split by the time that the processes spent in each
activity, so the figure is `attributed`. Which activity drew how much inside such an interval nobody
saw: the bounds say that each may have drawn anything from idle power up, as long as the sum is what
was read. A GPU works behind the program's back, so its energy is not split by what the host did.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from frugalwatch.report.devices import DeviceResult
from frugalwatch.report.told import Process, lives_of_activities, processes_of
from frugalwatch.report.window import Span

OTHER = "other"
_TICKS_NEEDED = 10
# A run is cut into so many intervals at most: fewer where many series have to be read off.
_MOST_INTERVALS = 1_000
_FEWEST_INTERVALS = 100
_MOST_LOOKS = 10_000
_MOST_PROCESSES = 64
# A model has no sensor: it goes by CPU time, which the kernel counts in ticks of 10 ms.
_MODELS_TICK_NS = 10_000_000
_SENSORS = ("measured", "derived")

_SPENT_AT = """
SELECT t_mono_ns, spent_ns FROM activity
WHERE run_id = ? AND pid = ? AND activity = ? AND t_mono_ns {} ? AND t_mono_ns BETWEEN ? AND ?
ORDER BY t_mono_ns {} LIMIT 1
"""
_ENERGY_AT = """
SELECT t_mono_ns, energy_uj FROM sample WHERE stream_id = ? AND t_mono_ns {} ?
ORDER BY t_mono_ns {} LIMIT 1
"""


class _Doing(NamedTuple):
    """One process that told of activities: since when, until when, and what it did."""

    pid: int
    begin_ns: int
    end_ns: int
    activities: tuple[str, ...]
    spent_ns: int


class _Part:
    """One activity's time and energy, summed interval by interval."""

    __slots__ = ("high_uj", "lasted_ns", "low_uj", "value_uj")

    def __init__(self) -> None:
        self.lasted_ns = 0.0  # of the run's own time: two ranks at once count once
        self.value_uj = [0.0, 0.0]  # of sensors, of models
        self.low_uj = [0.0, 0.0]
        self.high_uj = [0.0, 0.0]


def activities_object(
    connection: sqlite3.Connection,
    run_id: int,
    devices: Sequence[DeviceResult],
    window: Span,
) -> dict[str, object] | None:
    """The run's energy by activity, parts that add up to it; None if no process told of any."""
    doing = _doing(connection, run_id, window)
    if not doing:
        return None
    counted = [d for d in devices if d.counted and d.energy is not None]
    split = [d for d in counted if not _has_gpu(d)]
    unsplit = [d for d in counted if _has_gpu(d)]
    edges = _edges(connection, split, window, sum(len(d.activities) for d in doing))
    shares = _shares(connection, run_id, doing, edges)
    parts = {name: _Part() for name in (*sorted({n for s in shares for n in s}), OTHER)}
    for place, share in enumerate(shares):
        for name, part in share.items():
            parts[name].lasted_ns += part * (edges[place + 1] - edges[place])
    for device in split:
        _give_out(connection, device, edges, shares, parts)
    needed_ns = _TICKS_NEEDED * max((_tick_ns(d) for d in split), default=0)
    told = sorted(parts.keys() - {OTHER}, key=lambda name: -parts[name].lasted_ns)
    return {
        "processes": len(doing),
        "parts": [
            {
                "activity": name,
                "duration_s": parts[name].lasted_ns / 1e9,
                "share": parts[name].lasted_ns / window.length,
                "origin": "attributed",
                **_figures(parts[name], split, enough=parts[name].lasted_ns >= needed_ns),
            }
            for name in (*told, OTHER)
        ],
        "unsplit_devices": [d.row.key for d in unsplit],
        "unsplit_j": sum(d.energy.value for d in unsplit if d.energy) if unsplit else None,
    }


def _figures(
    part: _Part, devices: Iterable[DeviceResult], *, enough: bool
) -> dict[str, float | None]:
    there = {_side(device) for device in devices}
    result: dict[str, float | None] = {}
    for side, prefix in enumerate(("", "estimated_")):
        known = enough and side in there
        result[f"{prefix or 'energy_'}j"] = part.value_uj[side] / 1e6 if known else None
        result[f"{prefix}low_j"] = part.low_uj[side] / 1e6 if known else None
        result[f"{prefix}high_j"] = part.high_uj[side] / 1e6 if known else None
    return result


def _has_gpu(device: DeviceResult) -> bool:
    return device.row.domain == "gpu" or "gpu" in device.row.encloses


def _tick_ns(device: DeviceResult) -> int:
    return max(device.row.tick_ns, _MODELS_TICK_NS if _side(device) else 0)


def _side(device: DeviceResult) -> int:
    return 0 if device.row.stream.origin in _SENSORS else 1


# -- when what was done ----------------------------------------------------------------------------


def _doing(connection: sqlite3.Connection, run_id: int, window: Span) -> list[_Doing]:
    """The processes that told of activities, those with most time in them first."""
    found: dict[tuple[int, Process | None], _Doing] = {}
    processes = processes_of(connection, run_id)
    for activity, life in lives_of_activities(connection, run_id, processes):
        begin = life.process.begin_ns if life.process else window.begin
        known = found.get((life.pid, life.process))
        before = known or _Doing(life.pid, max(begin, window.begin), window.begin, (), 0)
        found[life.pid, life.process] = before._replace(
            end_ns=max(before.end_ns, life.last.t_mono_ns),
            activities=(*before.activities, activity),
            spent_ns=before.spent_ns + life.last.done,
        )
    return sorted(found.values(), key=lambda d: -d.spent_ns)[:_MOST_PROCESSES]


def _edges(
    connection: sqlite3.Connection, devices: Sequence[DeviceResult], window: Span, series: int
) -> list[int]:
    """Instants that cut the run, at looks at the first device where there are any."""
    number = max(_FEWEST_INTERVALS, min(_MOST_INTERVALS, _MOST_LOOKS // series))
    even = [window.begin + window.length * k // number for k in range(1, number)]
    if devices:
        query = _ENERGY_AT.format("<=", "DESC")
        stream = devices[0].row.stream.stream_id
        looks = (connection.execute(query, (stream, t)).fetchone() for t in even)
        even = [look[0] for look in looks if look is not None]
    inside = {t for t in even if window.begin < t < window.end}
    return [window.begin, *sorted(inside), window.end]


def _shares(
    connection: sqlite3.Connection, run_id: int, doing: Sequence[_Doing], edges: Sequence[int]
) -> list[dict[str, float]]:
    """Parts of each interval by activity, which with `other` add up to 1.

    Processes at work at the same time share it equally.
    """
    spent: list[dict[str, float]] = [{} for _ in edges[1:]]
    alive = [0.0 for _ in edges[1:]]
    for process in doing:
        mine = [0.0 for _ in edges[1:]]
        for name in process.activities:
            curve = [_spent_at(connection, run_id, process, name, t) for t in edges]
            for place, (before, after) in enumerate(pairwise(curve)):
                spent[place][name] = spent[place].get(name, 0.0) + after - before
                mine[place] += after - before
        for place, (begin, end) in enumerate(pairwise(edges)):
            there = min(end, process.end_ns) - max(begin, process.begin_ns)
            alive[place] += max(mine[place], there, 0)  # two threads may be in two at once
    result = []
    for place, found in enumerate(spent):
        whole = max(alive[place], edges[place + 1] - edges[place])
        share = {name: part / whole for name, part in found.items() if part > 0}
        result.append({**share, OTHER: max(0.0, 1.0 - sum(share.values()))})
    return result


def _spent_at(
    connection: sqlite3.Connection, run_id: int, process: _Doing, name: str, instant: int
) -> float:
    """Cumulative nanoseconds in an activity, interpolated between two tellings."""
    owner, life = (run_id, process.pid, name), (process.begin_ns, process.end_ns)
    before = (process.begin_ns, 0)
    if instant >= process.begin_ns:
        query = _SPENT_AT.format("<=", "DESC")
        before = connection.execute(query, (*owner, instant, *life)).fetchone() or before
    if instant <= before[0]:
        return float(before[1])
    query = _SPENT_AT.format(">", "")
    after = connection.execute(query, (*owner, instant, *life)).fetchone()
    if after is None:
        return float(before[1])
    return float(
        before[1] + (after[1] - before[1]) * (instant - before[0]) / (after[0] - before[0])
    )


# -- what the devices used meanwhile ---------------------------------------------------------------


def _give_out(
    connection: sqlite3.Connection,
    device: DeviceResult,
    edges: Sequence[int],
    shares: Sequence[dict[str, float]],
    parts: dict[str, _Part],
) -> None:
    """Split one device's energy interval by interval; idle power is drawn whatever is done.

    The parts add up to the device's figure, whose own bounds scale those of each part.
    """
    if device.energy is None:
        return
    curve = [_energy_at(connection, device.row.stream.stream_id, t) for t in edges]
    used = [max(0.0, after - before) for before, after in pairwise(curve)]
    if not sum(used):
        return
    total, side = device.energy, _side(device)
    scale = total.value * 1e6 / sum(used)
    less, more = (bound / total.value if total.value else 1.0 for bound in (total.low, total.high))
    idle_w = device.row.idle.low if device.row.idle else 0.0
    for place, share in enumerate(shares):
        energy = used[place] * scale
        idle = min(energy, idle_w * (edges[place + 1] - edges[place]) / 1e3)
        for name, mine in share.items():
            if mine <= 0:
                continue
            part = parts[name]
            part.value_uj[side] += mine * energy
            part.low_uj[side] += less * (energy if mine > 1 - 1e-9 else mine * idle)
            part.high_uj[side] += more * (energy - (1 - mine) * idle)


def _energy_at(connection: sqlite3.Connection, stream_id: int, instant: int) -> float:
    """Cumulative micro-joules, interpolated; before the first look and after the last, as there."""
    before = connection.execute(_ENERGY_AT.format("<=", "DESC"), (stream_id, instant)).fetchone()
    after = connection.execute(_ENERGY_AT.format(">=", ""), (stream_id, instant)).fetchone()
    before, after = before or after, after or before
    span = after[0] - before[0]
    return float(before[1] + (after[1] - before[1]) * ((instant - before[0]) / span if span else 0))
