"""One run as the sampler sees it: what is queued, what is written, and how it is written.

`Recording` holds in memory what no database has yet, and enough of what was written (run, streams,
first and last sample of each, events) to begin again in another database if the first one is
lost. When to write, and where, is decided in `journal`.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from collectors.base import Device, Reading
from frugalwatch.ledger import statements as sql
from frugalwatch.ledger.connection import writing
from frugalwatch.ledger.queue import MAX_ROWS, Events, Row, Rows, clean
from frugalwatch.ledger.records import RunEnd, RunStart

if TYPE_CHECKING:
    from frugalwatch.ledger.inside import InsideRows
    from frugalwatch.ledger.job_processes import ProcessRows
    from frugalwatch.ledger.minutes import MinuteRows
    from frugalwatch.ledger.transfer import Copied

# Row numbers: of the run, of its streams, of its phases, and how many events were written.
Places = tuple[int | None, list[int | None], dict[int, int | None], int]

# What a row that no database will ever take raises (wrong type, too large, not UTF-8, constraint).
_ROW_ERRORS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, ValueError, OverflowError)


class Stream:
    """One device of this run. `row_id` is None until it is in the database."""

    __slots__ = ("device", "first", "last", "opened_mono_ns", "row_id")

    def __init__(self, device: Device, opened_mono_ns: int) -> None:
        self.device = device
        self.opened_mono_ns = opened_mono_ns
        self.row_id: int | None = None
        self.first: Row | None = None
        self.last: Row | None = None


class Phase:
    """A span that the job named. `row_id` is None until it is in the database."""

    __slots__ = ("began_mono_ns", "depth", "ended_mono_ns", "name", "number", "pid", "row_id")

    def __init__(
        self, pid: int, name: str, began_mono_ns: int, *, number: int | None, depth: int
    ) -> None:
        self.pid = pid
        self.name = clean(name)
        self.number = number
        self.depth = depth
        self.began_mono_ns = began_mono_ns
        self.ended_mono_ns: int | None = None
        self.row_id: int | None = None


class Recording:
    """The queues of one run. Not thread-safe; only `write` does more than touch memory."""

    def __init__(self, start: RunStart) -> None:
        self.start = start
        self.end: RunEnd | None = None
        self.run_id: int | None = None
        self.heartbeat_mono_ns = start.started_mono_ns
        self.streams: list[Stream] = []
        self.events = Events()
        self.samples = Rows(lambda row: row[0])
        self.usage = Rows(lambda _row: 0)
        self.gpu_usage = Rows(lambda row: row[0])
        self.metrics = Rows(lambda row: (row[0], row[2]))
        self.steps = Rows(lambda row: row[0])
        self.conditions = Rows(lambda row: row[0])
        self.goals = Rows(lambda row: (row[0], row[1]))
        self.intensities = Rows(lambda row: (row[0], row[3], row[4]))
        self._inside: InsideRows | None = None
        self.minutes: MinuteRows | None = None  # of the daemon
        self._processes: ProcessRows | None = None
        self.rows_refused = 0  # that the database would never take
        self._phases: dict[int, Phase] = {}  # open ones, and those not written yet
        self._changed_phases: dict[int, Phase] = {}
        self._phases_begun = 0
        self._phases_dropped = 0

    @property
    def inside(self) -> InsideRows:
        """The queues of what the hook inside the job tells."""
        if self._inside is None:
            from frugalwatch.ledger.inside import InsideRows

            self._inside = InsideRows()
        return self._inside

    @property
    def processes(self) -> ProcessRows:
        """The account of the job's processes."""
        if self._processes is None:
            from frugalwatch.ledger.job_processes import ProcessRows

            self._processes = ProcessRows()
        return self._processes

    def _queues(self) -> tuple[Rows, ...]:
        return (
            self.samples,
            self.usage,
            self.gpu_usage,
            self.metrics,
            self.steps,
            self.conditions,
            self.goals,
            self.intensities,
        )

    def rows_thinned(self) -> int:
        """How many rows were left out because a queue was full."""
        inside = self._inside.thinned if self._inside else 0
        return inside + self._phases_dropped + sum(queue.thinned for queue in self._queues())

    def rows_queued(self) -> int:
        """How many rows no database has yet."""
        rows = sum(len(queue.rows) for queue in self._queues())
        rows += self._inside.queued() if self._inside else 0
        rows += 1 if self._processes is not None and self._processes.waits else 0
        return rows + len(self._changed_phases) + len(self.events.new(last=True))

    # -- what happened ---------------------------------------------------------------------

    def add_stream(self, device: Device, opened_mono_ns: int) -> int:
        """A handle for one device's readings."""
        self.streams.append(Stream(device, opened_mono_ns))
        return len(self.streams) - 1

    def sample(self, handle: int, reading: Reading) -> None:
        """Queue one reading. Bounds equal to the figure are stored as NULL."""
        energy, low, high = reading.energy_uj, reading.low_uj, reading.high_uj
        power = reading.power_w
        row = (
            handle,
            reading.t_mono_ns,
            energy,
            None if low == energy else low,
            None if high == energy else high,
            None if power is None or not math.isfinite(power) else round(power * 1000),
        )
        stream = self.streams[handle]
        if stream.first is None:
            stream.first = row
        stream.last = row
        self.samples.add(row)

    def phase_began(self, phase: Phase) -> int:
        """Queue the beginning of a phase; the token is for `phase_ended`."""
        token = self._phases_begun
        self._phases_begun += 1
        if len(self._phases) < MAX_ROWS:
            self._phases[token] = self._changed_phases[token] = phase
        else:
            self._phases_dropped += 1
        return token

    def phase_ended(self, token: int, t_mono_ns: int) -> None:
        """Queue the end of a phase. An unknown token is ignored."""
        phase = self._phases.get(token)
        if phase is not None:
            phase.ended_mono_ns = t_mono_ns
            self._changed_phases[token] = phase

    # -- writing it down -------------------------------------------------------------------

    def write(self, conn: sqlite3.Connection) -> None:
        """Put everything queued into the database, in one transaction. Raises sqlite3.Error.

        A row that no database would take is left out and counted, so that it cannot hold up the
        others for ever.
        """
        try:
            self._write(conn, careful=False)
        except _ROW_ERRORS:
            self._write(conn, careful=True)

    def _write(self, conn: sqlite3.Connection, *, careful: bool) -> None:
        refused = 0

        def many(statement: str, rows: Sequence[Row]) -> None:
            nonlocal refused
            if not rows:
                return
            if not careful:
                conn.executemany(statement, rows)
                return
            for row in rows:
                try:
                    conn.execute(statement, row)
                except _ROW_ERRORS:
                    refused += 1

        with writing(conn):
            run_id = self.run_id
            if run_id is None:
                run_id = self._insert_run(conn)
            ids = [
                self._insert_stream(conn, run_id, stream, careful=careful)
                if stream.row_id is None
                else stream.row_id
                for stream in self.streams
            ]
            many(sql.SAMPLE, [(ids[int(r[0] or 0)], *r[1:]) for r in self.samples.rows])
            many(sql.USAGE, [(run_id, *r) for r in self.usage.rows])
            many(sql.GPU_USAGE, [(ids[int(r[0] or 0)], *r[1:]) for r in self.gpu_usage.rows])
            many(
                sql.EVENT,
                [
                    (run_id, None if r[0] is None else ids[int(r[0])], *r[1:])
                    for r in self.events.new(last=self.end is not None)
                ],
            )
            many(sql.CONDITION, [(ids[int(r[0] or 0)], *r[1:]) for r in self.conditions.rows])
            many(sql.GOAL, [(run_id, *r) for r in self.goals.rows])
            many(sql.METRIC, [(run_id, *r) for r in self.metrics.rows])
            many(sql.STEP, [(run_id, *r) for r in self.steps.rows])
            many(sql.INTENSITY, self.intensities.rows)
            if self._inside is not None:
                self._inside.write(run_id, many)
            if self._processes is not None:
                self._processes.write(run_id, ids, many)
            if self.minutes is not None:
                self.minutes.write(ids, many)
            phase_ids = self._write_phases(conn, run_id)
            if self.end is None:
                conn.execute(sql.HEARTBEAT, (self.heartbeat_mono_ns, run_id))
            else:
                conn.execute(sql.RUN_END, {**self.end._asdict(), "id": run_id})
        self.run_id = run_id
        for stream, row_id in zip(self.streams, ids, strict=True):
            stream.row_id = row_id
        for token, row_id in phase_ids.items():
            self._phase_written(token, row_id)
        self._changed_phases.clear()
        self.events.all_written(last=self.end is not None)
        for queue in self._queues():
            queue.rows.clear()
        if self._inside is not None:
            self._inside.all_written()
        if self.minutes is not None:
            self.minutes.all_written()
        if self._processes is not None:
            self._processes.all_written()
        self.rows_refused += refused

    def _insert_run(self, conn: sqlite3.Connection) -> int:
        values = self.start._asdict()
        for name, value in values.items():
            if isinstance(value, str):
                values[name] = clean(value)
        # Each text by itself: a lone surrogate escaped in JSON would be broken text to SQLite.
        command = [clean(argument) for argument in self.start.command]
        environment = {
            clean(name): None if value is None else clean(value)
            for name, value in self.start.environment.items()
        }
        values["command"] = json.dumps(command, ensure_ascii=False)
        values["environment"] = json.dumps(environment, ensure_ascii=False)
        values["heartbeat_mono_ns"] = self.heartbeat_mono_ns
        conn.execute(sql.MACHINE, values)
        conn.execute(sql.BOOT, values)
        conn.execute(sql.RUN_START, values)
        return int(conn.execute(sql.RUN_ID, (values["run_key"],)).fetchone()[0])

    def _insert_stream(
        self, conn: sqlite3.Connection, run_id: int, stream: Stream, *, careful: bool
    ) -> int | None:
        device = stream.device
        try:
            conn.execute(
                sql.DEVICE,
                {
                    "run_id": run_id,
                    "key": clean(device.key),
                    "domain": device.domain,
                    "name": clean(device.name),
                    "boundary": device.boundary,
                    "source": clean(device.source),
                    "part_of": device.part_of,
                    "encloses": ",".join(device.encloses),
                    "power_limit_w": device.power_limit_w,
                },
            )
            place = {
                "run_id": run_id,
                "key": clean(device.key),
                "source": clean(device.source),
                "origin": device.origin,
            }
            found = conn.execute(sql.STREAM_OF_RUN, place).fetchone()
            if found is not None:
                return int(found[0])
            cursor = conn.execute(
                sql.STREAM,
                {
                    **place,
                    "tick_ns": round(device.tick_s * 1e9),
                    "gain_low": device.gain_low,
                    "gain_high": device.gain_high,
                    "idle_w": device.idle_w,
                    "idle_low_w": device.idle_low_w,
                    "idle_high_w": device.idle_high_w,
                    "idle_origin": clean(device.idle_origin),
                    "opened_mono_ns": stream.opened_mono_ns,
                    "note": clean(device.note),
                },
            )
        except _ROW_ERRORS:
            if careful:
                return None  # its samples are refused one by one below; the others go on
            raise
        return cursor.lastrowid

    def _write_phases(self, conn: sqlite3.Connection, run_id: int) -> dict[int, int | None]:
        written: dict[int, int | None] = {}
        for token, phase in self._changed_phases.items():
            if phase.row_id is None:
                cursor = conn.execute(
                    sql.PHASE,
                    (
                        run_id,
                        phase.pid,
                        phase.name,
                        phase.number,
                        phase.depth,
                        phase.began_mono_ns,
                        phase.ended_mono_ns,
                    ),
                )
                written[token] = cursor.lastrowid
            else:
                conn.execute(sql.PHASE_END, (phase.ended_mono_ns, phase.row_id))
                written[token] = phase.row_id
        return written

    def _phase_written(self, token: int, row_id: int | None) -> None:
        phase = self._phases[token]
        phase.row_id = row_id
        if phase.ended_mono_ns is not None:
            del self._phases[token]

    # -- moving to another database --------------------------------------------------------

    def places(self) -> Places:
        """The row numbers of now, for `back_to` after a move that failed."""
        phases = {token: phase.row_id for token, phase in self._phases.items()}
        rows = [stream.row_id for stream in self.streams]
        return self.run_id, rows, phases, self.events.written

    def back_to(self, places: Places) -> None:
        """Undo `begin_again`; what it queued a second time does no harm."""
        self.run_id, streams, phases, self.events.written = places
        for stream, row_id in zip(self.streams, streams, strict=True):
            stream.row_id = row_id
        for token, row_id in phases.items():
            self._phases[token].row_id = row_id

    def begin_again(self, copied: Copied | None) -> None:
        """From now on write to another database, into which `copied` was taken over, or nothing.

        With nothing taken over, the run, its streams, the first and last sample of each, its
        events and its open phases are written again from memory.
        """
        if copied is not None:
            self.run_id = copied.run_id
            for stream in self.streams:
                stream.row_id = copied.streams.get(stream.row_id or 0)
            for phase in self._phases.values():
                phase.row_id = copied.phases.get(phase.row_id or 0)
            return
        self.run_id = None
        self.events.written = 0
        if self._inside is not None:
            self._inside.begin_again()
        if self._processes is not None:
            self._processes.begin_again()
        ends: list[Row] = []
        for stream in self.streams:
            stream.row_id = None
            ends += [row for row in (stream.first, stream.last) if row is not None]
        self.samples.rows[:0] = ends
        for phase in self._phases.values():
            phase.row_id = None
        self._changed_phases.update(self._phases)
