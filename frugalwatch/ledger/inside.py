"""Rows of what the hook inside the job told, on their way into the database.

The first and the last row of each series stay in memory, so that a run whose database is lost
begins again with every total. Loaded when the first such row comes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from frugalwatch.ledger.queue import Row, Rows, Value

# A job that starts thousands of interpreters (a build, a test suite) is told of, not kept whole.
MAX_PROCESSES = 1_000
_MAX_SERIES = 20_000

Many = Callable[[str, Sequence[Row]], None]

_PROCESS = """
INSERT INTO process (
    run_id, pid, t_mono_ns, python, program, rank, local_rank, world_size, features
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id, pid, t_mono_ns) DO NOTHING
"""

# A rank that became known later belongs to the process that the pid is now.
_RANK = """
UPDATE process SET rank = ?4, local_rank = coalesce(?5, local_rank), world_size = ?6
WHERE run_id = ?1 AND pid = ?2 AND t_mono_ns =
    (SELECT max(t_mono_ns) FROM process WHERE run_id = ?1 AND pid = ?2 AND t_mono_ns <= ?3)
"""

_COUNT = """
INSERT INTO unit_count (run_id, pid, unit, t_mono_ns, count, samples) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (run_id, pid, unit, t_mono_ns) DO UPDATE SET
    count = max(count, excluded.count), samples = coalesce(excluded.samples, samples)
"""

_ACTIVITY = """
INSERT INTO activity (run_id, pid, activity, t_mono_ns, spent_ns) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (run_id, pid, activity, t_mono_ns) DO NOTHING
"""

# The same process's earlier histogram is inside this one; another process's of that pid is not.
_TIMES_BEFORE = """
DELETE FROM unit_time WHERE run_id = ?1 AND pid = ?2 AND unit = ?3 AND t_mono_ns <= ?4
AND t_mono_ns >= coalesce((SELECT max(t_mono_ns) FROM process
    WHERE run_id = ?1 AND pid = ?2 AND t_mono_ns <= ?4), ?4 - 9223372036854775807)
"""

_TIMES = """
INSERT INTO unit_time (run_id, pid, unit, t_mono_ns, buckets) VALUES (?1, ?2, ?3, ?4, ?5)
"""


class InsideRows:
    """The queues of the four tables. Rows are without the run's number, which `write` adds."""

    def __init__(self) -> None:
        self._processes: list[Row] = []
        self._ranks: list[Row] = []
        self._written = (0, 0)
        self._counts = Rows(lambda row: row[:2])
        self._activities = Rows(lambda row: row[:2])
        self._times: list[Row] = []
        self._ends: dict[tuple[int, Value, Value], tuple[Row, Row]] = {}
        self._told_times: dict[tuple[Value, Value], Row] = {}

    @property
    def thinned(self) -> int:
        """How many rows were left out because a queue was full."""
        return self._counts.thinned + self._activities.thinned

    def queued(self) -> int:
        """How many rows no database has yet."""
        heads = len(self._processes) + len(self._ranks) - sum(self._written)
        return heads + len(self._counts.rows) + len(self._activities.rows) + len(self._times)

    def process(self, row: Row) -> bool:
        """Queue (pid, t, python, program, rank, local_rank, world_size, features); False: full."""
        if len(self._processes) >= MAX_PROCESSES:
            return False
        self._processes.append(row)
        return True

    def rank(self, row: Row) -> None:
        """Queue (pid, t, rank, local_rank, world_size) of a process that is known already."""
        if len(self._ranks) < MAX_PROCESSES:
            self._ranks.append(row)

    def count(self, row: Row) -> None:
        """Queue (pid, unit, t, count, samples)."""
        self._counts.add(row)
        self._keep(0, row)

    def activity(self, row: Row) -> None:
        """Queue (pid, activity, t, spent_ns)."""
        self._activities.add(row)
        self._keep(1, row)

    def times(self, row: Row) -> None:
        """Queue (pid, unit, t, buckets as JSON), which takes the place of the one before."""
        key = (row[0], row[1])
        self._times.append(row)
        if key in self._told_times or len(self._told_times) < _MAX_SERIES:
            self._told_times[key] = row

    def _keep(self, table: int, row: Row) -> None:
        key = (table, row[0], row[1])
        ends = self._ends.get(key)
        if ends is not None:
            self._ends[key] = (ends[0], row)
        elif len(self._ends) < _MAX_SERIES:
            self._ends[key] = (row, row)

    def write(self, run_id: int, many: Many) -> None:
        """Put what is queued into the database: `many(statement, rows)` of the caller."""
        processes, ranks = self._written
        many(_PROCESS, [(run_id, *row) for row in self._processes[processes:]])
        many(_RANK, [(run_id, *row) for row in self._ranks[ranks:]])
        many(_COUNT, [(run_id, *row) for row in self._counts.rows])
        many(_ACTIVITY, [(run_id, *row) for row in self._activities.rows])
        for pid, unit, t_mono_ns, buckets in self._times:
            many(_TIMES_BEFORE, [(run_id, pid, unit, t_mono_ns)])
            many(_TIMES, [(run_id, pid, unit, t_mono_ns, buckets)])

    def all_written(self) -> None:
        """What `write` put there was committed."""
        self._written = (len(self._processes), len(self._ranks))
        self._counts.rows.clear()
        self._activities.rows.clear()
        self._times.clear()

    def begin_again(self) -> None:
        """Nothing was taken over from the database before: queue what its totals need."""
        self._written = (0, 0)
        for table, queue in enumerate((self._counts, self._activities)):
            ends = [pair for (number, _, _), pair in self._ends.items() if number == table]
            queue.rows[:0] = [row for pair in ends for row in dict.fromkeys(pair)]
        self._times[:0] = self._told_times.values()
