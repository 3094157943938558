"""What a job's processes told, thinned to one row a minute of each series of each process.

All of it is cumulative, and the first and the last row of each process stay, so what a step cost
stays; where in the run an activity was gets coarser.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import TypeAlias

from frugalwatch.ledger.connection import writing

# The column that names a series beside its process; steps of the job's own have none.
_NAMED = {"step": None, "unit_count": "unit", "activity": "activity"}

_Series: TypeAlias = dict[str, int | str | None]  # run, pid, name

_DELETE = """
DELETE FROM {table} WHERE {where} AND t_mono_ns >= :begin AND t_mono_ns < :end
AND t_mono_ns NOT IN (
    SELECT max(t_mono_ns) FROM {table}
    WHERE {where} AND t_mono_ns >= :begin AND t_mono_ns < :end GROUP BY t_mono_ns / :minute
    UNION ALL SELECT t FROM temp.end_told
)
"""

# Around each hello: the pid was given to another process, or the program became another one.
_ENDS = """
SELECT min(t_mono_ns) FROM {table} WHERE {where} AND t_mono_ns >= :hello
UNION SELECT max(t_mono_ns) FROM {table} WHERE {where} AND t_mono_ns < :hello
"""


def thin_told(
    conn: sqlite3.Connection, run_id: int, limit_mono_ns: int, *, minute_ns: int, slice_ns: int
) -> int:
    """Thin what was told before an instant, in many short transactions; how many rows went."""
    conn.execute("CREATE TEMP TABLE IF NOT EXISTS end_told (t INTEGER PRIMARY KEY)")
    removed = 0
    for table, name in _NAMED.items():
        where = "run_id = :run AND pid = :pid" + (f" AND {name} = :name" if name else "")
        for series in list(_all_series(conn, table, name, run_id)):
            first, last = conn.execute(
                f"SELECT min(t_mono_ns), max(t_mono_ns) FROM {table} WHERE {where}", series
            ).fetchone()
            _keep_ends(conn, table, where, series, first)
            begin = first - first % minute_ns
            while begin <= min(last, limit_mono_ns):
                end = min(begin + slice_ns, limit_mono_ns)
                values = {**series, "begin": begin, "end": end, "minute": minute_ns}
                with writing(conn):
                    statement = _DELETE.format(table=table, where=where)
                    removed += conn.execute(statement, values).rowcount
                begin += slice_ns
    conn.execute("DROP TABLE temp.end_told")
    return removed


def _all_series(
    conn: sqlite3.Connection, table: str, name: str | None, run_id: int
) -> Iterator[_Series]:
    rows = conn.execute(
        f"SELECT DISTINCT pid, {name or 'NULL'} FROM {table} WHERE run_id = ?", (run_id,)
    )
    for pid, what in rows:
        yield {"run": run_id, "pid": pid, "name": what}


def _keep_ends(
    conn: sqlite3.Connection, table: str, where: str, series: _Series, first: int
) -> None:
    """Fill temp.end_told with what each process that had this pid told first and last."""
    conn.execute("DELETE FROM temp.end_told")
    hellos = conn.execute(
        "SELECT t_mono_ns FROM process WHERE run_id = :run AND pid = :pid", series
    ).fetchall()
    for hello in [first, *(t for (t,) in hellos)]:
        ends = conn.execute(_ENDS.format(table=table, where=where), {**series, "hello": hello})
        conn.executemany(
            "INSERT OR IGNORE INTO temp.end_told VALUES (?)",
            [end for end in ends.fetchall() if end[0] is not None],
        )
