"""The account of a job's processes on its way into the database, and back for a new sampler.

A run has one account: writing the next takes the place of the last. It stays in memory, so that a
run whose database is lost begins again with it. Loaded when the first account comes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from frugalwatch.ledger.queue import Row, clean

Many = Callable[[str, Sequence[Row]], None]
# pid, starttime, name, processes, first, last and gone in CLOCK_MONOTONIC, cpu_us: as in the table
ProcessRow = tuple[int, int, str, int, int, int, int | None, int]
# A stream's handle, pid, starttime, busy_us
GpuRow = tuple[int, int, int, int]

_NO_MORE = "DELETE FROM job_process WHERE run_id = ?"
_NO_MORE_GPU = "DELETE FROM job_process_gpu WHERE stream_id = ?"

_PROCESS = """
INSERT INTO job_process (
    run_id, pid, starttime, name, processes, first_mono_ns, last_mono_ns, gone_mono_ns, cpu_us
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_GPU = "INSERT INTO job_process_gpu (stream_id, pid, starttime, busy_us) VALUES (?, ?, ?, ?)"

_LAST = """
SELECT pid, starttime, name, processes, first_mono_ns, last_mono_ns, gone_mono_ns, cpu_us
FROM job_process JOIN run ON run.id = job_process.run_id WHERE run_key = ?
"""

_LAST_GPU = """
SELECT device.key, pid, starttime, busy_us
FROM job_process_gpu g JOIN stream ON stream.id = g.stream_id
JOIN device ON device.id = stream.device_id JOIN run ON run.id = stream.run_id
WHERE run_key = ?
"""


class ProcessRows:
    """The last account of one run. `waits`: the database has an older one, or none."""

    def __init__(self) -> None:
        self._processes: list[Row] = []
        self._gpus: list[Row] = []
        self.waits = False

    def put(self, processes: Sequence[ProcessRow], gpus: Sequence[GpuRow]) -> None:
        """Take the place of the account before."""
        self._processes = [(*row[:2], clean(row[2]), *row[3:]) for row in processes]
        self._gpus = list(gpus)
        self.waits = True

    def write(self, run_id: int, streams: Sequence[int | None], many: Many) -> None:
        """Put the account into the database: `many(statement, rows)` of the caller."""
        if not self.waits:
            return
        many(_NO_MORE, [(run_id,)])
        many(_NO_MORE_GPU, [(stream,) for stream in streams])
        many(_PROCESS, [(run_id, *row) for row in self._processes])
        many(_GPU, [(streams[int(row[0] or 0)], *row[1:]) for row in self._gpus])

    def all_written(self) -> None:
        """What `write` put there was committed."""
        self.waits = False

    def begin_again(self) -> None:
        """Nothing was taken over from the database before."""
        self.waits = True


def last_account(
    conn: sqlite3.Connection, run_key: str
) -> tuple[list[ProcessRow], list[tuple[str, int, int, int]]]:
    """What a sampler that died wrote last; its GPU rows begin with the device's key."""
    return (
        conn.execute(_LAST, (run_key,)).fetchall(),
        conn.execute(_LAST_GPU, (run_key,)).fetchall(),
    )
