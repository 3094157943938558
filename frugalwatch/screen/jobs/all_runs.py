"""Every run of the ledger, kept up to date at the price of what changed.

The whole table is read once; later looks read the runs that are new and those that were going on.
Once a minute all of it is read again: a run may have been settled, or removed, by somebody else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace

from frugalwatch.ledger.database import Cell
from frugalwatch.ledger.queries import RUN_COLUMNS, RunRow, run_row
from frugalwatch.report.format import command_line
from frugalwatch.screen.words import state_text

_ALL_EVERY_NS = 60_000_000_000
# So many runs that are going on get their energy in the list.
_MOST_SUMMED = 8
# Working out the energy of a run that goes on never takes more than this part of a core.
_SHARE_OF_TIME = 50

_ENTRIES = f"""
SELECT {RUN_COLUMNS}, machine.id AS machine, hostname, command_hash, cwd, git_commit, group_key,
       CASE WHEN json_valid(carbon) THEN coalesce(json_extract(carbon, '$.zone'), '') ELSE '' END
       AS zone, result IS NOT NULL AS settled
FROM run JOIN boot ON boot.id = run.boot_id JOIN machine ON machine.id = boot.machine_id
"""


@dataclass(frozen=True, slots=True)
class RunEntry:
    """One line of the list, and what it can be found by. `zone` is empty where none is stored."""

    row: RunRow
    machine: int
    host: str
    zone: str
    folder: str
    commit: str
    group: str
    command_hash: str
    command: str
    settled: bool

    @property
    def number(self) -> int:
        """The run's number in this ledger."""
        return self.row.number

    @property
    def is_running(self) -> bool:
        """Whether nobody has written its end yet."""
        return self.row.state == "running"

    @property
    def has_failed(self) -> bool:
        """Whether it ended otherwise than well; of an imported run nobody knows."""
        if self.row.state == "done":
            return bool(self.row.exit_code)
        return not self.is_running

    @property
    def state(self) -> str:
        """`running`, `done`, `exit 1`, `signal 9`, `recovered`."""
        return state_text(self.row)


class AllRuns:
    """The runs of one ledger, from look to look."""

    def __init__(self) -> None:
        self._entries: dict[int, RunEntry] = {}
        self._all_due_ns = 0
        self._summed: dict[int, tuple[int, RunRow]] = {}

    def look(
        self,
        connection: sqlite3.Connection,
        so_far: Callable[[RunRow], RunRow],
        clock_ns: Callable[[], int],
    ) -> tuple[RunEntry, ...]:
        """Every run, in the order in which they were recorded. Raises sqlite3.Error, ValueError.

        `so_far` gives a run that goes on its energy until now.
        """
        now = clock_ns()
        if now >= self._all_due_ns:
            self._entries = {}
            self._all_due_ns = now + _ALL_EVERY_NS
        for entry in self._changed(connection):
            self._entries[entry.number] = entry
        self._sum(so_far, clock_ns)
        return tuple(self._entries.values())

    def _changed(self, connection: sqlite3.Connection) -> list[RunEntry]:
        newest = max(self._entries, default=0)
        open_ones = [e.number for e in self._entries.values() if e.is_running or not e.settled]
        rows = _entries(connection, "run.id > ?", [newest])
        for first in range(0, len(open_ones), 500):
            some = open_ones[first : first + 500]
            rows += _entries(connection, f"run.id IN ({','.join('?' * len(some))})", some)
        return rows

    def _sum(self, so_far: Callable[[RunRow], RunRow], clock_ns: Callable[[], int]) -> None:
        """Give the newest runs that are going on their energy so far."""
        running = [entry for entry in self._entries.values() if entry.is_running]
        for entry in running[-_MOST_SUMMED:]:
            due_ns, row = self._summed.get(entry.number, (0, entry.row))
            began = clock_ns()
            if began >= due_ns:
                row = so_far(entry.row)
                took = clock_ns() - began
                self._summed[entry.number] = (began + _SHARE_OF_TIME * took, row)
            else:
                row = _with_time(row, entry.row)
            self._entries[entry.number] = replace(entry, row=row)
        self._summed = {e.number: self._summed[e.number] for e in running[-_MOST_SUMMED:]}


def _with_time(summed: RunRow, now: RunRow) -> RunRow:
    """Energy as it was worked out last, and the time as it is now."""
    return replace(summed, duration_s=now.duration_s, cpu_s=now.cpu_s)


def _entries(connection: sqlite3.Connection, where: str, values: list[int]) -> list[RunEntry]:
    cursor = connection.execute(f"{_ENTRIES} WHERE {where} ORDER BY run.id", values)
    names = [column[0] for column in cursor.description]
    return [_entry(dict(zip(names, row, strict=True))) for row in cursor]


def _entry(row: dict[str, Cell]) -> RunEntry:
    record = run_row(row)
    return RunEntry(
        row=record,
        machine=int(row["machine"] or 0),
        host=str(row["hostname"]),
        zone=str(row["zone"]),
        folder=str(row["cwd"]),
        commit=str(row["git_commit"] or ""),
        group=str(row["group_key"] or ""),
        command_hash=str(row["command_hash"]),
        command=command_line(list(record.command), 10_000),
        settled=bool(row["settled"]),
    )
