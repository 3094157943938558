"""Energy of a day, from the minutes in the daemon's ledger."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from frugalwatch.budgets.judge import Figure
from frugalwatch.report.devices import counted_devices, is_measured, read_rows

_J = 1e-6


class DaySum(NamedTuple):
    """Joules of a day, and whether a model's are among them."""

    figure: Figure
    modelled: bool


# Minutes of this boot lie on its own clock; those of an earlier one on that of its recording.
_BEGIN = """
CASE WHEN boot.boot_key = :boot THEN :begin
ELSE run.started_mono_ns + (:midnight - run.started_utc_ns) END
"""

_RECORDINGS = """
SELECT run.id FROM run WHERE EXISTS (
    SELECT 1 FROM stream JOIN minute ON minute.stream_id = stream.id WHERE stream.run_id = run.id
) AND coalesce(run.ended_mono_ns, run.heartbeat_mono_ns) - run.started_mono_ns
    + run.started_utc_ns >= :midnight - 86400000000000
"""

_MACHINE = f"""
SELECT stream.device_id, sum(minute.energy_uj), sum(minute.low_uj), sum(minute.high_uj)
FROM run JOIN boot ON boot.id = run.boot_id JOIN stream ON stream.run_id = run.id
JOIN minute ON minute.stream_id = stream.id AND minute.t_mono_ns > {_BEGIN}
WHERE run.id = :run GROUP BY stream.device_id
"""

# A part whose figure is unknown counts with its lower bound: that is all that is known of it.
_USERS = f"""
SELECT workload.name, stream.device_id, sum(coalesce(share.energy_uj, share.low_uj)),
    sum(share.low_uj), sum(share.high_uj)
FROM run JOIN boot ON boot.id = run.boot_id JOIN stream ON stream.run_id = run.id
JOIN share ON share.stream_id = stream.id AND share.t_mono_ns > {_BEGIN}
JOIN workload ON workload.id = share.workload_id AND workload.kind = 'user'
WHERE run.id = :run GROUP BY workload.name, stream.device_id
"""


def machine_today(
    connection: sqlite3.Connection, midnight_utc_ns: int, boot_key: str, begin_mono_ns: int
) -> DaySum | None:
    """Joules of all devices that count since midnight; None if there are no minutes yet."""
    total: DaySum | None = None
    values = {"midnight": midnight_utc_ns, "boot": boot_key, "begin": begin_mono_ns}
    for run_id in _recordings(connection, midnight_utc_ns):
        counted = _counted(connection, run_id)
        for device, *sums in connection.execute(_MACHINE, {**values, "run": run_id}):
            if device in counted:
                total = _plus(total, sums, modelled=counted[device])
    return total


def users_today(
    connection: sqlite3.Connection, midnight_utc_ns: int, boot_key: str, begin_mono_ns: int
) -> dict[str, DaySum]:
    """Joules above idle that are attributed to each user since midnight."""
    found: dict[str, DaySum] = {}
    values = {"midnight": midnight_utc_ns, "boot": boot_key, "begin": begin_mono_ns}
    for run_id in _recordings(connection, midnight_utc_ns):
        counted = _counted(connection, run_id)
        for user, device, *sums in connection.execute(_USERS, {**values, "run": run_id}):
            if device in counted and not user.startswith("("):
                found[user] = _plus(found.get(user), sums, modelled=counted[device])
    return found


def _recordings(connection: sqlite3.Connection, midnight_utc_ns: int) -> list[int]:
    rows = connection.execute(_RECORDINGS, {"midnight": midnight_utc_ns})
    return [row[0] for row in rows.fetchall()]


def _counted(connection: sqlite3.Connection, run_id: int) -> dict[int, bool]:
    """Rows of devices that are no part of one another, and whether each is a model."""
    rows = read_rows(connection, run_id)
    keys = counted_devices(rows)
    return {row.device_id: not is_measured(row) for row in rows if row.key in keys}


def _plus(before: DaySum | None, sums_uj: list[int], *, modelled: bool) -> DaySum:
    first = Figure(0.0, 0.0, 0.0) if before is None else before.figure
    value, low, high = (
        joules + more_uj * _J for joules, more_uj in zip(first, sums_uj, strict=True)
    )
    already = before is not None and before.modelled
    return DaySum(Figure(value, low, high), modelled or already)
