"""Old samples thinned to one a minute. Figures are cumulative: the totals of runs stay.

What gets coarser is a figure at an instant inside a minute, which is interpolated: the energy of a
phase (but the run object keeps the one that was worked out when the run ended) or of a span of the
day that cuts a run in two.
"""

from __future__ import annotations

import sqlite3
import time

from frugalwatch.ledger.connection import writing
from frugalwatch.ledger.thin_told import thin_told

MINUTE_NS = 60 * 1_000_000_000
# Of one transaction, so that no sampler waits long: 3600 rows at 1 Hz take 7 ms
# (bench/ledger_size.py thins 0.5 million rows a second).
_SLICE_NS = 60 * MINUTE_NS

# What stays: the last row of each minute, the first and last of all, and the neighbours of both
# ends of each gap, between which a figure at that instant is interpolated.
_DELETE = """
DELETE FROM {table} WHERE {owner} = :id AND t_mono_ns >= :begin AND t_mono_ns < :end
AND t_mono_ns NOT IN (
    SELECT max(t_mono_ns) FROM {table}
    WHERE {owner} = :id AND t_mono_ns >= :begin AND t_mono_ns < :end
    GROUP BY t_mono_ns / :minute
)
AND t_mono_ns NOT IN (SELECT t FROM temp.edge)
"""


def thin(conn: sqlite3.Connection, older_than_utc_ns: int, *, budget_s: float | None = None) -> int:
    """Thin the samples taken before that time, of runs that have ended; how many rows went.

    Runs without totals are left as they are: settle them first. Commits many short transactions,
    so that runs which are being recorded meanwhile are not held up. With `budget_s` no further run
    is begun after so many seconds; the next call goes on. Raises sqlite3.Error.
    """
    conn.execute("CREATE TEMP TABLE IF NOT EXISTS edge (t INTEGER PRIMARY KEY)")
    removed = 0
    stop_s = None if budget_s is None else time.monotonic() + budget_s
    for run_id, limit, ended in conn.execute(
        "SELECT id, started_mono_ns + (? - started_utc_ns), ended_mono_ns FROM run"
        " WHERE thinned = 0 AND state <> 'running' AND coverage IS NOT NULL"
        " AND started_utc_ns < ? ORDER BY started_utc_ns",
        (older_than_utc_ns, older_than_utc_ns),
    ).fetchall():
        if stop_s is not None and time.monotonic() > stop_s:
            break
        removed += thin_series(conn, "usage", "run_id", run_id, limit)
        removed += thin_told(conn, run_id, limit, minute_ns=MINUTE_NS, slice_ns=_SLICE_NS)
        for (stream_id,) in conn.execute(
            "SELECT id FROM stream WHERE run_id = ?", (run_id,)
        ).fetchall():
            removed += thin_series(conn, "sample", "stream_id", stream_id, limit)
            removed += thin_series(conn, "gpu_usage", "stream_id", stream_id, limit)
            removed += thin_series(conn, "condition", "stream_id", stream_id, limit)
        if ended is not None and ended < limit:
            with writing(conn):
                conn.execute("UPDATE run SET thinned = 1 WHERE id = ?", (run_id,))
    conn.execute("DROP TABLE temp.edge")
    return removed


def thin_series(
    conn: sqlite3.Connection,
    table: str,
    owner: str,
    number: int,
    limit_mono_ns: int,
    *,
    begin_mono_ns: int = 0,
    every_ns: int = MINUTE_NS,
) -> int:
    """Thin what one owner has in a table before `limit_mono_ns` to a row every `every_ns`.

    Nothing before `begin_mono_ns` is looked at. How many rows went. Needs the table temp.edge.
    """
    where = f"FROM {table} WHERE {owner} = ?"
    first, last = conn.execute(
        f"SELECT (SELECT min(t_mono_ns) {where} AND t_mono_ns >= ?),"
        f" (SELECT max(t_mono_ns) {where} AND t_mono_ns < ?)",
        (number, begin_mono_ns, number, limit_mono_ns),
    ).fetchone()
    if first is None or last is None or first >= last:
        return 0
    ends = conn.execute(
        f"SELECT (SELECT min(t_mono_ns) {where}), (SELECT max(t_mono_ns) {where})",
        (number, number),
    ).fetchone()
    _keep_edges(conn, table, owner, number, ends)
    statement = _DELETE.format(table=table, owner=owner)
    removed = 0
    slice_ns = _SLICE_NS // MINUTE_NS * every_ns
    begin = first - first % every_ns
    while begin <= last:
        end = min(begin + slice_ns, limit_mono_ns)
        values = {"id": number, "begin": begin, "end": end, "minute": every_ns}
        with writing(conn):
            removed += conn.execute(statement, values).rowcount
        begin += slice_ns
    return removed


def _keep_edges(
    conn: sqlite3.Connection, table: str, owner: str, number: int, ends: tuple[int, int]
) -> None:
    """Fill temp.edge with the instants that must stay whatever their minute."""
    conn.execute("DELETE FROM temp.edge")
    conn.executemany("INSERT OR IGNORE INTO temp.edge VALUES (?)", [(t,) for t in ends])
    if owner != "stream_id":
        return
    gaps = "SELECT DISTINCT {} FROM event WHERE stream_id = :id"
    for end in ("t_mono_ns", "coalesce(since_mono_ns, t_mono_ns)"):
        for neighbour in ("max(t_mono_ns) {} <= e.t", "min(t_mono_ns) {} >= e.t"):
            picked = neighbour.format(f"FROM {table} WHERE stream_id = :id AND t_mono_ns")
            conn.execute(
                "INSERT OR IGNORE INTO temp.edge SELECT t FROM (SELECT"
                f" (SELECT {picked}) AS t FROM ({gaps.format(end + ' AS t')}) AS e)"
                " WHERE t IS NOT NULL",
                {"id": number},
            )
