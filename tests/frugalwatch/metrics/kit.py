"""Ledgers for the tests of metrics, and readers of what is told."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from frugalwatch.ledger.connection import memory_ledger
from frugalwatch.ledger.recording import Recording
from frugalwatch.metrics.families import Family, Sample
from frugalwatch.metrics.snapshot import Options, Snapshot
from tests.frugalwatch.ledger.kit import SECOND, device, reading, run_end, run_start

UTC_S = 1_735_689_600
CARBON = json.dumps(
    {
        "zone": "FR",
        "zone_name": "France",
        "year": 2024,
        "kind": "average-lifecycle",
        "source": "a table",
        "g_per_kwh": 36.0,
        "assumed": False,
    }
)


def recording(
    number: int, seconds: Iterable[int], watts: float = 10.0, *, ended: bool = True, **changes: Any
) -> Recording:
    """A run that looked at one device at these seconds of its boot; second 0 is UTC_S."""
    moments = list(seconds)
    begin = moments[0]
    of_device = changes.pop("device", device())
    low, high = changes.pop("band", (None, None))
    run = Recording(
        run_start(
            **{
                "run_key": f"run-{number}",
                "started_mono_ns": begin * SECOND,
                "started_utc_ns": (UTC_S + begin) * SECOND,
                "carbon": CARBON,
                **changes,
            },
        )
    )
    handle = run.add_stream(of_device, begin * SECOND)
    for second in moments:
        energy = round((second - begin) * watts * 1e6)
        bounds = {} if low is None else {"low_uj": int(energy * low), "high_uj": int(energy * high)}
        run.sample(handle, reading(second, energy)._replace(device=of_device.key, **bounds))
    if ended:
        run.end = run_end(moments[-1])
    return run


def ledger(*recordings: Recording) -> sqlite3.Connection:
    """A ledger in memory with these runs."""
    conn = memory_ledger()
    for each in recordings:
        each.write(conn)
    return conn


def told(
    conn: sqlite3.Connection, *, at_s: float = 1e6, hold_ns: int = 0, **options: Any
) -> dict[str, list[Sample]]:
    """What is told at a second of the boot, by family."""
    choice = Options(hold_ns=hold_ns, **options)
    snapshot = Snapshot(choice, utc_ns=lambda: round((UTC_S + at_s) * 1e9))
    return by_name(snapshot.read(conn))


def by_name(families: Iterable[Family]) -> dict[str, list[Sample]]:
    """The samples of each family."""
    return {family.name: list(family.samples) for family in families}
