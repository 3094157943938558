"""The screen's one way to the ledger: looks at it again and again, and survives what befalls it.

A look is one short read transaction, so its figures belong together and no writer waits for it.
Nothing here loads Textual: `top --plain` is made of the same looks.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, cast

from frugalwatch.carbon.grid import GridFactor
from frugalwatch.config.settings import Settings
from frugalwatch.errors import FrugalWatchError, NotFoundError
from frugalwatch.ledger.connection import explain, trouble
from frugalwatch.ledger.database import Cell
from frugalwatch.ledger.queries import RunRow, find_run, list_runs
from frugalwatch.ledger.reading import open_reader
from frugalwatch.report.started_with import started_with
from frugalwatch.screen.chosen import ChosenRun
from frugalwatch.screen.figures import figures_so_far, read_record, with_energy
from frugalwatch.screen.records import Look, RunNow, Trouble

if TYPE_CHECKING:
    from sqlite_utils.db import Database

# A lock is held for milliseconds; whoever holds it longer is reported, and tried again.
_BUSY_S = 0.2
# Finding runs that are going on takes all rows of the table `run`; new ones show up in the list.
_RUNNING_EVERY_S = 30.0
# So many runs that are going on get their energy in the list.
_MOST_SUMMED = 8
# A copy in memory (of a file of an older schema that may not be written) is made again at most so
# often, when the file has changed.
_COPY_EVERY_S = 10.0

_FAILURES = (FrugalWatchError, sqlite3.Error, OSError, ValueError, TypeError, LookupError)


class Source(NamedTuple):
    """What a `Part` reads from, inside one read transaction."""

    connection: sqlite3.Connection
    settings: Settings
    utc_ns: Callable[[], int]


class Part(Protocol):
    """Reads what one view shows beside the runs. It may keep what it learnt between two looks:
    when the ledger is opened anew, so is the part.
    """

    def look(self, source: Source, question: Any) -> object:
        """A frozen record for the view. Any: each view has questions of its own."""


PartFactory: TypeAlias = Callable[[], Part]


class LedgerWatch:
    """Looks at one ledger. Use it from one thread; `close()` it in that thread, too."""

    def __init__(
        self,
        path: str,
        settings: Settings,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        utc_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.path = path
        self._settings = settings
        self._clock_ns = clock_ns
        self.utc_ns = utc_ns
        self._connection: sqlite3.Connection | None = None
        self._seen: tuple[object, ...] = ()
        self._opened_ns = 0
        self._running: set[int] = set()
        self._running_due_ns = 0
        self._chosen: ChosenRun | None = None
        self._parts: dict[PartFactory, Part] = {}

    def look(
        self,
        number: int | None = None,
        *,
        text: str = "",
        limit: int = 20,
        part: PartFactory | None = None,
        question: object = None,
    ) -> Look:
        """The runs with `text` in their command, and run `number` (None: the newest that runs).

        `Look.part` is what the `part` of a view answers to its `question`. Never raises for what
        is wrong with the ledger: that is `Look.trouble`.
        """
        try:
            connection = self._open()
            connection.execute("BEGIN")
            try:
                look = self._look(connection, number, text, limit)
                if part is None:
                    return look
                if part not in self._parts:
                    self._parts[part] = part()
                source = Source(connection, self._settings, self.utc_ns)
                return replace(look, part=self._parts[part].look(source, question))
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except _FAILURES as error:
            return Look(self.path, trouble=self._failed(error))

    def find(self, name: str) -> int:
        """The number of the run that a person means. Raises FrugalWatchError."""
        try:
            return find_run(_database(self._open()), name).number
        except (sqlite3.Error, OSError) as error:
            raise explain(error, self.path) from error

    def close(self) -> None:
        """Close the database. Safe twice."""
        connection, self._connection = self._connection, None
        self._chosen = None
        self._parts = {}
        if connection is not None:
            connection.close()

    # -- the connection ----------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        """The open ledger; opened anew where the file was replaced, or a copy has grown old."""
        if self._connection is not None and not self._is_stale():
            return self._connection
        self.close()
        self._seen = self._state_of_file()
        self._opened_ns = self._clock_ns()
        self._running_due_ns = 0
        self._connection = open_reader(self.path, busy_s=_BUSY_S)
        return self._connection

    def _is_stale(self) -> bool:
        now = self._state_of_file()
        if now[0] != self._seen[0]:
            return True
        waited_s = (self._clock_ns() - self._opened_ns) / 1e9
        return now != self._seen and waited_s > _COPY_EVERY_S and self._is_copy()

    def _state_of_file(self) -> tuple[object, ...]:
        """Which file it is, and when it and its write-ahead log last changed."""
        try:
            main = os.stat(self.path)
        except OSError:
            return (None,)
        try:
            log = os.stat(self.path + "-wal")
        except OSError:
            return ((main.st_dev, main.st_ino), main.st_mtime_ns, 0)
        return ((main.st_dev, main.st_ino), main.st_mtime_ns, log.st_mtime_ns)

    def _is_copy(self) -> bool:
        """Whether the connection does not see what is written: in memory, or opened immutable."""
        assert self._connection is not None
        file = self._connection.execute("PRAGMA database_list").fetchone()[2]
        return not file or not os.path.exists(self.path + "-shm")

    def _failed(self, error: BaseException) -> Trouble:
        kind = trouble(error)
        if kind != "locked":
            self.close()
        if isinstance(error, sqlite3.Error | OSError):
            error = explain(error, self.path)
        if isinstance(error, FrugalWatchError):
            return Trouble(kind, error.message, error.hint)
        return Trouble("corrupt", f"the ledger holds what cannot be read: {error}", "")

    # -- one look ----------------------------------------------------------------------------------

    def _look(
        self, connection: sqlite3.Connection, number: int | None, text: str, limit: int
    ) -> Look:
        rows = _database(connection)
        runs = self._runs(rows, text, limit)
        run = self._choose(connection, rows, runs, number)
        return Look(self.path, tuple(self._summed(connection, runs, run)), run)

    def _runs(self, rows: Database, text: str, limit: int) -> list[RunRow]:
        """The latest runs, and before them those that are going on and began long ago."""
        runs = list_runs(rows, text=text or None, limit=limit)
        now = self._clock_ns()
        if now >= self._running_due_ns:
            self._running_due_ns = now + round(_RUNNING_EVERY_S * 1e9)
            self._running = {r.number for r in list_runs(rows, state="running", limit=limit)}
        if text:
            return runs
        listed = {run.number for run in runs}
        older = [find_run(rows, str(n)) for n in sorted(self._running - listed, reverse=True)]
        return [*(run for run in older if run.state == "running"), *runs]

    def _choose(
        self,
        connection: sqlite3.Connection,
        rows: Database,
        runs: list[RunRow],
        number: int | None,
    ) -> RunNow | None:
        row = next((run for run in runs if run.number == number), None)
        if row is None and number is not None:
            try:
                row = find_run(rows, str(number))
            except NotFoundError:  # another file is in its place now
                row = None
        if row is None:
            row = next((run for run in runs if run.state == "running"), runs[0] if runs else None)
        if row is None:
            return None
        if self._chosen is None or self._chosen.number != row.number:
            self._chosen = ChosenRun(row.number, self._clock_ns, self.utc_ns)
        return self._chosen.look(connection, rows, row, *self._started_with(connection, row))

    def _summed(
        self, connection: sqlite3.Connection, runs: list[RunRow], chosen: RunNow | None
    ) -> Iterator[RunRow]:
        """The runs; those that are going on with their energy so far."""
        budget = _MOST_SUMMED
        for run in runs:
            if chosen is not None and run.number == chosen.row.number:
                yield chosen.row
            elif run.state != "running" or budget == 0:
                yield run
            else:
                budget -= 1
                record = read_record(connection, run.number)
                assert record is not None
                found = figures_so_far(connection, record, *self._started_with(connection, run))
                yield with_energy(run, found.measured, found.estimated, found.carbon["co2e_g"])

    def _started_with(
        self, connection: sqlite3.Connection, run: RunRow
    ) -> tuple[GridFactor, Settings]:
        return started_with(connection, run.run_key, self._settings)


class _Rows:
    """What `ledger.queries` asks of a sqlite-utils database, without loading that: rows as dicts.

    sqlite-utils takes 100 ms of CPU and 25 MiB to load, half of what the whole screen may have.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def query(self, sql: str, params: Any = ()) -> Iterator[dict[str, Cell]]:
        """The rows of one SELECT. Any: what sqlite3 itself takes as parameters."""
        cursor = self._connection.execute(sql, params)
        names = [column[0] for column in cursor.description]
        for row in cursor:
            yield dict(zip(names, row, strict=True))


def _database(connection: sqlite3.Connection) -> Database:
    return cast("Database", _Rows(connection))
