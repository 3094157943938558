"""What the job's processes told of their work, read back from the ledger, process by process.

Only the first and the last row of each series are read, by jumps over the index: everything told
is cumulative, and a long run has many rows.
"""

from __future__ import annotations

import bisect
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

_END = (1 << 63) - 1
# Of these the ranks of one training do one together; of all others each rank does its own.
TOGETHER = frozenset({"step", "epoch"})


class Process(NamedTuple):
    """A process in which the hook worked, from its hello until its pid said hello again."""

    pid: int
    begin_ns: int
    until_ns: int
    python: str
    program: str
    rank: int | None
    local_rank: int | None
    world_size: int | None
    features: tuple[str, ...]


class Told(NamedTuple):
    """One telling: when, how many, and how many samples inside them."""

    t_mono_ns: int
    done: int
    samples: int | None


class Life(NamedTuple):
    """What one process told of one unit, first and last."""

    pid: int
    process: Process | None
    first: Told
    last: Told

    @property
    def rank(self) -> int | None:
        """Its place among several ranks; None for a process by itself."""
        process = self.process
        if process is None or not process.world_size or process.world_size < 2:
            return None
        return process.rank


class Work(NamedTuple):
    """A unit over all processes. `between` of them were done from `begin_ns` to `end_ns`."""

    done: int
    samples: int | None
    between: int
    samples_between: int | None
    begin_ns: int
    end_ns: int
    lives: tuple[Life, ...]


def processes_of(connection: sqlite3.Connection, run_id: int) -> list[Process]:
    """The processes in which the hook worked, in order of their hello."""
    rows = connection.execute(
        "SELECT pid, t_mono_ns, lead(t_mono_ns, 1, ?) OVER (PARTITION BY pid ORDER BY t_mono_ns),"
        " python, program, rank, local_rank, world_size, features"
        " FROM process WHERE run_id = ? ORDER BY t_mono_ns, pid",
        (_END, run_id),
    )
    return [Process._make((*row[:8], tuple(map(str, json.loads(row[8]))))) for row in rows]


def steps_of_the_job(
    connection: sqlite3.Connection, run_id: int, processes: Sequence[Process]
) -> Work | None:
    """Steps that the program itself reported by `frugalwatch.step()`; None without any."""
    query = (
        "SELECT t_mono_ns, steps, NULL FROM step"
        " WHERE run_id = ? AND pid = ? AND t_mono_ns >= ? AND t_mono_ns < ?"
    )
    lives = [
        life
        for pid in _pids(connection, run_id, "step")
        for life in _lives(connection, query, (run_id, pid), pid, processes)
    ]
    return _together(lives, together=True)


def units_of_the_hook(
    connection: sqlite3.Connection, run_id: int, processes: Sequence[Process]
) -> dict[str, Work]:
    """What the hook counted, by unit."""
    query = (
        "SELECT t_mono_ns, count, samples FROM unit_count"
        " WHERE run_id = ? AND pid = ? AND unit = ? AND t_mono_ns >= ? AND t_mono_ns < ?"
    )
    lives: dict[str, list[Life]] = {}
    for pid, unit in _series(connection, run_id, "unit_count", "unit"):
        found = _lives(connection, query, (run_id, pid, unit), pid, processes)
        lives.setdefault(unit, []).extend(found)
    works = {unit: _together(found, together=unit in TOGETHER) for unit, found in lives.items()}
    return {unit: work for unit, work in works.items() if work is not None}


def lives_of_activities(
    connection: sqlite3.Connection, run_id: int, processes: Sequence[Process]
) -> Iterator[tuple[str, Life]]:
    """Each activity of each process, with the nanoseconds that it took as `done`."""
    query = (
        "SELECT t_mono_ns, spent_ns, NULL FROM activity"
        " WHERE run_id = ? AND pid = ? AND activity = ? AND t_mono_ns >= ? AND t_mono_ns < ?"
    )
    for pid, name in _series(connection, run_id, "activity", "activity"):
        for life in _lives(connection, query, (run_id, pid, name), pid, processes):
            yield name, life


def _pids(connection: sqlite3.Connection, run_id: int, table: str) -> Iterator[int]:
    """Who told something, each found by one look into the index."""
    query = f"SELECT min(pid) FROM {table} WHERE run_id = ? AND pid > ?"
    pid: int | None = -_END
    while (pid := connection.execute(query, (run_id, pid)).fetchone()[0]) is not None:
        yield pid


def _series(
    connection: sqlite3.Connection, run_id: int, table: str, name: str
) -> Iterator[tuple[int, str]]:
    """Who told of what, each found by one look into the index."""
    query = f"SELECT min({name}) FROM {table} WHERE run_id = ? AND pid = ? AND {name} > ?"
    for pid in _pids(connection, run_id, table):
        what = ""
        while what := connection.execute(query, (run_id, pid, what)).fetchone()[0]:
            yield pid, what


def _lives(
    connection: sqlite3.Connection,
    query: str,
    owner: tuple[int | str, ...],
    pid: int,
    processes: Sequence[Process],
) -> Iterator[Life]:
    """The series of one pid, cut where its number was given to another process."""
    mine = [p for p in processes if p.pid == pid]
    begins = [-_END, *(p.begin_ns for p in mine)]
    for index, begin in enumerate(begins):
        until = begins[index + 1] if index + 1 < len(begins) else _END
        values = (*owner, begin, until)
        first = connection.execute(f"{query} ORDER BY t_mono_ns LIMIT 1", values).fetchone()
        if first is None:
            continue
        last = connection.execute(f"{query} ORDER BY t_mono_ns DESC LIMIT 1", values).fetchone()
        yield Life(pid, mine[index - 1] if index else None, Told(*first), Told(*last))


def _together(lives: Sequence[Life], *, together: bool) -> Work | None:
    """All processes' work as one. With `together`, the rank that did most stands for all."""
    if not lives or not any(life.last.done for life in lives):
        return None
    begin = min(life.first.t_mono_ns for life in lives)
    end = max(life.last.t_mono_ns for life in lives)
    before = [life._replace(last=life.first) for life in lives if life.first.t_mono_ns == begin]
    done = _added(lives, together=together)
    samples, samples_before = _samples(lives), _samples(before)
    between = done - _added(before, together=together)
    return Work(
        done,
        samples,
        between,
        None if samples is None else samples - (samples_before or 0),
        begin,
        end,
        tuple(lives),
    )


def _added(lives: Iterable[Life], *, together: bool) -> int:
    alone = 0
    by_rank: dict[int, int] = {}
    for life in lives:
        if together and life.rank is not None:
            by_rank[life.rank] = by_rank.get(life.rank, 0) + life.last.done
        else:
            alone += life.last.done
    return alone + max(by_rank.values(), default=0)


def _samples(lives: Iterable[Life]) -> int | None:
    known = [life.last.samples for life in lives if life.last.samples is not None]
    return sum(known) if known else None


def process_at(processes: Sequence[Process], pid: int, t_mono_ns: int) -> Process | None:
    """The process that `pid` was at an instant; None if the hook was not in it."""
    mine = [p for p in processes if p.pid == pid]
    place = bisect.bisect_right([p.begin_ns for p in mine], t_mono_ns)
    return mine[place - 1] if place else None
