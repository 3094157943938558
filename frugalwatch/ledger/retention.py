"""What a recording without an end keeps: every look for a week, minutes for a year, then days.

Figures of streams are cumulative, and minutes and shares are summed up, so totals never change.
"""

from __future__ import annotations

import sqlite3

from frugalwatch.ledger.connection import writing
from frugalwatch.ledger.thin import MINUTE_NS, thin_series

DAY_NS = 86_400_000_000_000
_BY_STREAM = ("sample", "gpu_usage", "condition")

_DAYS = """
SELECT t_mono_ns / :day, max(t_mono_ns), count(*) FROM minute
WHERE stream_id = :id AND t_mono_ns < :limit GROUP BY 1 HAVING count(*) > 1
"""

# With one of its minutes unknown a day's figure is unknown; its bounds are the sums in any case.
_SUM_SHARES = """
CREATE TEMP TABLE day_share AS
SELECT workload_id, sum(busy_us) AS busy_us,
       CASE WHEN count(energy_uj) = count(*) THEN sum(energy_uj) END AS energy_uj,
       sum(low_uj) AS low_uj, sum(high_uj) AS high_uj
FROM share WHERE stream_id = :id AND t_mono_ns / :day = :number GROUP BY workload_id
"""

_SUM_MINUTES = """
CREATE TEMP TABLE day_minute AS
SELECT min(since_mono_ns) AS since_mono_ns, sum(energy_uj) AS energy_uj, sum(low_uj) AS low_uj,
       sum(high_uj) AS high_uj,
       CASE WHEN count(above_idle_uj) = count(*) THEN sum(above_idle_uj) END AS above_idle_uj,
       sum(idle_uj) AS idle_uj, sum(busy_us) AS busy_us
FROM minute WHERE stream_id = :id AND t_mono_ns / :day = :number
"""


def thin_to_minutes(
    conn: sqlite3.Connection, run_id: int, begin_mono_ns: int, limit_mono_ns: int
) -> int:
    """Thin one recording's looks in this stretch of its clock to one a minute; how many rows went.

    Short transactions. Raises sqlite3.Error.
    """
    return _thin(conn, run_id, begin_mono_ns, limit_mono_ns, MINUTE_NS)


def thin_to_days(conn: sqlite3.Connection, older_than_utc_ns: int) -> int:
    """Thin minutes from before that time to days, in every recording that has minutes.

    Raises sqlite3.Error. How many rows went.
    """
    removed = 0
    for run_id, limit_ns in conn.execute(
        "SELECT id, started_mono_ns + (? - started_utc_ns) FROM run WHERE started_utc_ns < ?"
        " AND EXISTS (SELECT 1 FROM stream JOIN minute ON minute.stream_id = stream.id"
        " WHERE stream.run_id = run.id)",
        (older_than_utc_ns, older_than_utc_ns),
    ).fetchall():
        removed += _thin(conn, run_id, 0, limit_ns, DAY_NS)
        for stream_id in _streams(conn, run_id):
            removed += _sum_days(conn, stream_id, limit_ns)
    return removed


def _thin(
    conn: sqlite3.Connection, run_id: int, begin_ns: int, limit_ns: int, every_ns: int
) -> int:
    conn.execute("CREATE TEMP TABLE IF NOT EXISTS edge (t INTEGER PRIMARY KEY)")
    owners = [("usage", "run_id", run_id)]
    owners += [(table, "stream_id", id_) for id_ in _streams(conn, run_id) for table in _BY_STREAM]
    return sum(
        thin_series(conn, *owner, limit_ns, begin_mono_ns=begin_ns, every_ns=every_ns)
        for owner in owners
    )


def _sum_days(conn: sqlite3.Connection, stream_id: int, limit_ns: int) -> int:
    """Only whole days: the last one may still be short of minutes that are to come."""
    whole_ns = limit_ns - limit_ns % DAY_NS
    removed = 0
    days = {"id": stream_id, "day": DAY_NS, "limit": whole_ns}
    for number, last_ns, count in conn.execute(_DAYS, days).fetchall():
        values = {"id": stream_id, "day": DAY_NS, "number": number, "last": last_ns}
        with writing(conn):
            for table, summed in (("share", _SUM_SHARES), ("minute", _SUM_MINUTES)):
                conn.execute(f"DROP TABLE IF EXISTS temp.day_{table}")
                conn.execute(summed, values)
                conn.execute(
                    f"DELETE FROM {table} WHERE stream_id = :id AND t_mono_ns / :day = :number",
                    values,
                )
            conn.execute(
                "INSERT INTO minute SELECT :id, :last, since_mono_ns, energy_uj, low_uj, high_uj,"
                " above_idle_uj, idle_uj, busy_us FROM temp.day_minute",
                values,
            )
            conn.execute(
                "INSERT INTO share SELECT :id, :last, workload_id, busy_us, energy_uj, low_uj,"
                " high_uj FROM temp.day_share",
                values,
            )
        removed += count - 1
    return removed


def _streams(conn: sqlite3.Connection, run_id: int) -> list[int]:
    found = conn.execute("SELECT id FROM stream WHERE run_id = ?", (run_id,))
    return [row[0] for row in found.fetchall()]
