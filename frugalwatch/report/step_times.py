"""How long steps (calls, requests) took: percentiles of the histograms that processes told."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from frugalwatch.report.told import Process, process_at

_GROWTH = 1.02  # of one bucket to the next


class Percentiles(NamedTuple):
    """Seconds, to one per cent, and how many durations they stand for."""

    durations: int
    p50_s: float
    p95_s: float
    p99_s: float


def durations_by_unit(
    connection: sqlite3.Connection, run_id: int, processes: Sequence[Process]
) -> dict[str, Percentiles]:
    """Percentiles over all processes, by unit."""
    rows = connection.execute(
        "SELECT pid, unit, t_mono_ns, buckets FROM unit_time WHERE run_id = ? ORDER BY t_mono_ns",
        (run_id,),
    )
    last: dict[tuple[str, int, int], list[list[int]]] = {}
    for pid, unit, t_mono_ns, buckets in rows:
        process = process_at(processes, pid, t_mono_ns)
        last[unit, pid, process.begin_ns if process else 0] = json.loads(buckets)
    merged: dict[str, dict[int, int]] = {}
    for (unit, _, _), histogram in last.items():
        found = merged.setdefault(unit, {})
        for bucket, count in histogram:
            found[bucket] = found.get(bucket, 0) + count
    return {unit: percentiles(found) for unit, found in merged.items() if sum(found.values())}


def percentiles(histogram: dict[int, int]) -> Percentiles:
    """Of durations by bucket: the middle of the bucket in which each percentile falls."""
    count = sum(histogram.values())
    return Percentiles(count, *(_at(histogram, count, part) for part in (0.5, 0.95, 0.99)))


def _at(histogram: dict[int, int], count: int, part: float) -> float:
    wanted, seen, middle_s = math.ceil(part * count), 0, 0.0
    for bucket in sorted(histogram):
        seen += histogram[bucket]
        middle_s = _GROWTH ** (bucket + 0.5) / 1e9
        if seen >= wanted:
            break
    return middle_s
