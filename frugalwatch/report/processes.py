"""What each process of a job used: CPU time, GPU time, and its part of the job's energy.

    energy = the job's share of a device x the process's part of the job's busy time on it

Busy time is CPU time, on a GPU the SM time that its driver tells by process. What the sampler could
not tell apart (processes between two looks, the last moments of those that ended) has a row of its
own, so that the rows add up to the job. Nothing here is measured: it is attributed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from frugalwatch.report.attribution import Energy
from frugalwatch.report.devices import DeviceResult
from frugalwatch.report.told import Process, processes_of
from frugalwatch.report.window import Span

# User and system time are each counted in ticks of 10 ms, rounded down.
_ROUNDED_US = 20_000

_GROUPS = (
    (frozenset({"measured", "derived"}), ("energy_j", "low_j", "high_j")),
    (
        frozenset({"estimated", "attributed"}),
        ("estimated_j", "estimated_low_j", "estimated_high_j"),
    ),
)


class JobTime(NamedTuple):
    """CPU micro-seconds of the whole job (None: it goes on), and how many CPUs it could use."""

    cpu_us: int | None
    cpus: float | None


class _Part(NamedTuple):
    """One row: a process (`pid`), the sum of several, or what could not be told apart."""

    kind: str  # process, others, ended
    pid: int | None
    processes: int | None
    name: str | None
    told: Process | None
    seen: Span | None
    cpu_us: int
    cpu_low_us: int
    cpu_high_us: int
    gpu_us: dict[str, int] | None  # by device key; None: unknown


class _Rest(NamedTuple):
    """CPU micro-seconds that no row of the ledger has, and what bounds a process's part of them."""

    cpu_us: int
    end_ns: int
    cpus: float | None

    def unseen_us(self, last_ns: int, gone_ns: int | None) -> int:
        """The most that a process can have used after the last look at it."""
        if self.cpus is None:
            return self.cpu_us
        until_ns = self.end_ns if gone_ns is None else min(gone_ns, self.end_ns)
        after_us = round(max(0, until_ns - last_ns) / 1e3 * self.cpus)
        return min(self.cpu_us, after_us + _ROUNDED_US)


class _Whole(NamedTuple):
    """What the parts add up to, in micro-seconds: of CPU time, and of SM time by device key."""

    cpu_us: int
    gpu_us: dict[str, int]


def process_objects(
    connection: sqlite3.Connection,
    run_id: int,
    devices: Sequence[DeviceResult],
    window: Span,
    job: JobTime,
) -> list[dict[str, object]]:
    """The processes of a run, those that used most first, then the rest; empty if none was seen.

    Of a run that goes on: as the sampler wrote them last, up to ten seconds ago.
    """
    rows = connection.execute(
        "SELECT pid, starttime, name, processes, first_mono_ns, last_mono_ns, gone_mono_ns, cpu_us"
        " FROM job_process WHERE run_id = ? ORDER BY pid = 0, cpu_us DESC, first_mono_ns, pid",
        (run_id,),
    ).fetchall()
    if not rows:
        return []
    end = window.end
    if job.cpu_us is None:
        end = max(row[5] for row in rows)
        job = job._replace(cpu_us=_cpu_at(connection, run_id, end))
    gpu_us = _gpu_use(connection, run_id)
    rest = _Rest(max(0, (job.cpu_us or 0) - sum(row[7] for row in rows)), end, job.cpus)
    parts = _told_apart(rows, processes_of(connection, run_id), gpu_us, rest)
    if rest.cpu_us:
        parts.append(_not_told_apart(parts, rest.cpu_us))
    whole = _Whole(
        sum(part.cpu_us for part in parts),
        {key: sum(by.values()) for key, by in gpu_us.items()},
    )
    return [_object(part, devices, whole, window) for part in parts]


def _told_apart(
    rows: Sequence[tuple[int, int, str, int, int, int, int | None, int]],
    told: Sequence[Process],
    gpu_us: dict[str, dict[tuple[int, int], int]],
    rest: _Rest,
) -> list[_Part]:
    parts = []
    for pid, starttime, name, count, first, last, gone, cpu_us in rows:
        before = max((r[5] for r in rows if r[0] == pid and r[5] < first), default=0)
        parts.append(
            _Part(
                kind="process" if pid else "others",
                pid=pid or None,
                processes=count,
                name=name if pid else None,
                told=_told_by(told, pid, before, rest.end_ns if gone is None else gone)
                if pid
                else None,
                seen=Span(first, last),
                cpu_us=cpu_us,
                cpu_low_us=cpu_us,
                cpu_high_us=cpu_us + (rest.unseen_us(last, gone) if pid else rest.cpu_us),
                gpu_us={key: by.get((pid, starttime), 0) for key, by in gpu_us.items()},
            )
        )
    order = {"process": 0, "others": 1}
    return sorted(parts, key=lambda p: (order[p.kind], -sum((p.gpu_us or {}).values()) - p.cpu_us))


def _not_told_apart(parts: Sequence[_Part], rest_us: int) -> _Part:
    """The rest: at least what those that were seen cannot have used after they were seen."""
    unseen_us = sum(part.cpu_high_us - part.cpu_us for part in parts)
    low_us = max(0, rest_us - unseen_us)
    return _Part("ended", None, None, None, None, None, rest_us, low_us, rest_us, None)


def _told_by(told: Sequence[Process], pid: int, after: int, until: int) -> Process | None:
    """What the hook in this process said it is; the last word, since a program may become another.

    `after`: the last look at a process that had the same pid before.
    """
    mine = [p for p in told if p.pid == pid and after < p.begin_ns <= until]
    return mine[-1] if mine else None


def _cpu_at(connection: sqlite3.Connection, run_id: int, t_mono_ns: int) -> int | None:
    row = connection.execute(
        "SELECT job_cpu_us FROM usage WHERE run_id = ? AND t_mono_ns <= ?"
        " ORDER BY t_mono_ns DESC LIMIT 1",
        (run_id, t_mono_ns),
    ).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def _gpu_use(connection: sqlite3.Connection, run_id: int) -> dict[str, dict[tuple[int, int], int]]:
    """SM micro-seconds by device key, and there by pid and start time."""
    found: dict[str, dict[tuple[int, int], int]] = {}
    for key, pid, starttime, busy_us in connection.execute(
        "SELECT v.key, g.pid, g.starttime, g.busy_us FROM stream s"
        " JOIN device v ON v.id = s.device_id JOIN job_process_gpu g ON g.stream_id = s.id"
        " WHERE s.run_id = ? ORDER BY s.id",
        (run_id,),
    ):
        found.setdefault(key, {})[pid, starttime] = busy_us
    return found


def _object(
    part: _Part, devices: Sequence[DeviceResult], whole: _Whole, window: Span
) -> dict[str, object]:
    told = part.told
    result: dict[str, object] = {
        "kind": part.kind,
        "pid": part.pid,
        "count": part.processes,
        "name": part.name,
        "program": told.program if told else None,
        "rank": told.rank if told else None,
        "world_size": told.world_size if told else None,
        "seen_from_s": part.seen and max(0, part.seen.begin - window.begin) / 1e9,
        "seen_until_s": part.seen and max(0, part.seen.end - window.begin) / 1e9,
        "cpu_s": part.cpu_us / 1e6,
        "cpu_low_s": part.cpu_low_us / 1e6,
        "cpu_high_s": part.cpu_high_us / 1e6,
        "gpus": [
            {"device": key, "busy_s": busy_us / 1e6} for key, busy_us in (part.gpu_us or {}).items()
        ],
        "origin": "attributed",
    }
    for origins, keys in _GROUPS:
        chosen = [d for d in devices if d.counted and d.row.stream.origin in origins]
        shares = [_share(device, part, whole) for device in chosen]
        known = [share for share in shares if share is not None]
        total = None
        if known and len(known) == len(shares):
            total = known[0]
            for share in known[1:]:
                total += share
        values = (None, None, None) if total is None else (total.value, total.low, total.high)
        result |= zip(keys, values, strict=True)
    return result


def _share(device: DeviceResult, part: _Part, whole: _Whole) -> Energy | None:
    """The part's energy on one device; None where the job's share of it, or whose it is, is not
    known.
    """
    job = device.attribution.job_share
    if job is None:
        return None
    if device.row.domain == "gpu":
        all_us = whole.gpu_us.get(device.row.key, 0)
        busy_us = (part.gpu_us or {}).get(device.row.key, 0)
        low_us = high_us = busy_us
    else:
        all_us = whole.cpu_us
        busy_us, low_us, high_us = part.cpu_us, part.cpu_low_us, part.cpu_high_us
    if not all_us:
        return Energy(0.0, 0.0, 0.0) if job.high == 0 else None
    return Energy(
        job.value * busy_us / all_us,
        job.low * low_us / all_us,
        job.high * min(1.0, high_us / all_us),
    )
