"""One run as the sampler sees it: what is queued, what is written, and how it is written.

`Recording` holds in memory what no database has yet, in bounded space, and enough of what was
written (run, streams, first and last sample of each, events) to begin again in another database
if the first one is lost. When to write, and where, is decided in `journal`.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict

from collectors.base import Device, Reading
from frugalwatch.ledger import statements as sql
from frugalwatch.ledger.connection import writing
from frugalwatch.ledger.records import GridIntensity, RunEnd, RunStart
from frugalwatch.ledger.transfer import Copied

Value = int | float | str | None
Row = tuple[Value, ...]
Places = tuple[int | None, list[int | None], dict[int, int | None]]

MAX_ROWS = 16_000  # queued rows of one kind, about 4 MiB of samples
MAX_EVENTS = 2_000
_INT64 = 2**63 - 1

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

    def __init__(self, pid: int, name: str, number: int | None, depth: int, began: int) -> None:
        self.pid = pid
        self.name = name
        self.number = number
        self.depth = depth
        self.began_mono_ns = began
        self.ended_mono_ns: int | None = None
        self.row_id: int | None = None


class Recording:
    """The queue of one run. Not thread-safe; every method but `write` only touches memory."""

    def __init__(self, start: RunStart) -> None:
        self.start = start
        self.end: RunEnd | None = None
        self.run_id: int | None = None
        self.heartbeat_mono_ns = start.started_mono_ns
        self.streams: list[Stream] = []
        self.phases: dict[int, Phase] = {}
        self.events: list[Row] = []
        self.rows_thinned = 0  # rows left out because the queue was full
        self.rows_refused = 0  # rows that the database would never take
        self._changed_phases: dict[int, Phase] = {}
        self._next_phase = 0
        self._events_written = 0
        self._events_lost: list[Row] = []
        self._samples: list[Row] = []
        self._usage: list[Row] = []
        self._gpu_usage: list[Row] = []
        self._metrics: list[Row] = []
        self._steps: list[Row] = []
        self._intensities: list[Row] = []

    # -- what happened ---------------------------------------------------------------------

    def add_stream(self, device: Device, opened_mono_ns: int) -> int:
        self.streams.append(Stream(device, opened_mono_ns))
        return len(self.streams) - 1

    def sample(self, handle: int, reading: Reading) -> None:
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
        self._samples.append(row)
        if len(self._samples) > MAX_ROWS:
            self._samples = self._thin(self._samples, lambda row: row[0])

    def usage(self, t_mono_ns: int, job_cpu_us: int | None, machine_busy_us: int | None) -> None:
        self._usage.append((t_mono_ns, job_cpu_us, machine_busy_us))
        if len(self._usage) > MAX_ROWS:
            self._usage = self._thin(self._usage, lambda _row: 0)

    def gpu_usage(self, handle: int, t_mono_ns: int, job_busy_us: int, all_busy_us: int) -> None:
        self._gpu_usage.append((handle, t_mono_ns, job_busy_us, all_busy_us))
        if len(self._gpu_usage) > MAX_ROWS:
            self._gpu_usage = self._thin(self._gpu_usage, lambda row: row[0])

    def event(
        self,
        kind: str,
        cause: str,
        since_mono_ns: int | None,
        t_mono_ns: int,
        detail: str,
        handle: int | None,
        energy_missing: bool,
    ) -> None:
        missing = int(energy_missing)
        row = (handle, kind, clean(cause), since_mono_ns, t_mono_ns, missing, clean(detail))
        (self.events if len(self.events) < MAX_EVENTS else self._events_lost).append(row)
        if len(self._events_lost) > MAX_EVENTS:
            self._events_lost = [_summed_up(self._events_lost)]

    def phase_began(
        self, pid: int, name: str, number: int | None, depth: int, t_mono_ns: int
    ) -> int:
        token = self._next_phase
        self._next_phase += 1
        if len(self.phases) >= MAX_ROWS:
            self.rows_thinned += 1
            return token
        phase = Phase(pid, clean(name), number, depth, t_mono_ns)
        self.phases[token] = self._changed_phases[token] = phase
        return token

    def phase_ended(self, token: int, t_mono_ns: int) -> None:
        phase = self.phases.get(token)
        if phase is not None:
            phase.ended_mono_ns = t_mono_ns
            self._changed_phases[token] = phase

    def metric(self, pid: int, t_mono_ns: int, name: str, value: float) -> None:
        self._metrics.append((pid, t_mono_ns, clean(name), value))  # NaN becomes NULL in SQLite
        if len(self._metrics) > MAX_ROWS:
            self._metrics = self._thin(self._metrics, lambda row: (row[0], row[2]))

    def step(self, pid: int, t_mono_ns: int, steps: int) -> None:
        self._steps.append((pid, t_mono_ns, steps))
        if len(self._steps) > MAX_ROWS:
            self._steps = self._thin(self._steps, lambda row: row[0])

    def grid_intensity(self, value: GridIntensity) -> None:
        if len(self._intensities) < MAX_ROWS:
            self._intensities.append(
                (
                    clean(value.zone),
                    value.valid_utc_ns,
                    value.g_per_kwh,
                    value.kind,
                    value.source,
                    int(value.estimated),
                    value.fetched_utc_ns,
                )
            )

    def _thin(self, rows: list[Row], series: Callable[[Row], Hashable]) -> list[Row]:
        kept = every_second(rows, series)
        self.rows_thinned += len(rows) - len(kept)
        return kept

    # -- writing it down -------------------------------------------------------------------

    @property
    def queued_rows(self) -> int:
        """How many rows no database has yet."""
        queues = (self._samples, self._usage, self._gpu_usage, self._metrics, self._steps)
        events = len(self.events) - self._events_written
        return sum(map(len, queues)) + events + len(self._changed_phases)

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
            many(sql.SAMPLE, [(ids[int(r[0] or 0)], *r[1:]) for r in self._samples])
            many(sql.USAGE, [(run_id, *r) for r in self._usage])
            many(sql.GPU_USAGE, [(ids[int(r[0] or 0)], *r[1:]) for r in self._gpu_usage])
            events = self._new_events()
            many(
                sql.EVENT,
                [(run_id, None if r[0] is None else ids[int(r[0])], *r[1:]) for r in events],
            )
            many(sql.METRIC, [(run_id, *r) for r in self._metrics])
            many(sql.STEP, [(run_id, *r) for r in self._steps])
            many(sql.INTENSITY, self._intensities)
            phase_ids = self._write_phases(conn, run_id)
            if self.end is None:
                conn.execute(sql.HEARTBEAT, (self.heartbeat_mono_ns, run_id))
            else:
                conn.execute(sql.RUN_END, {**asdict(self.end), "id": run_id})
        self.run_id = run_id
        for stream, row_id in zip(self.streams, ids, strict=True):
            stream.row_id = row_id
        for token, row_id in phase_ids.items():
            self._phase_written(token, row_id)
        self._queues_written(refused)

    def _insert_run(self, conn: sqlite3.Connection) -> int:
        values = asdict(self.start)
        for name, value in values.items():
            if isinstance(value, str):
                values[name] = clean(value)
        values["command"] = clean(json.dumps(self.start.command, ensure_ascii=False))
        values["environment"] = clean(json.dumps(self.start.environment, ensure_ascii=False))
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
            cursor = conn.execute(
                sql.STREAM,
                {
                    "run_id": run_id,
                    "key": clean(device.key),
                    "source": clean(device.source),
                    "origin": device.origin,
                    "tick_ns": round(device.tick_s * 1e9),
                    "gain_low": device.gain_low,
                    "gain_high": device.gain_high,
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
        phase = self.phases[token]
        phase.row_id = row_id
        if phase.ended_mono_ns is not None:
            del self.phases[token]

    def _new_events(self) -> list[Row]:
        events = self.events[self._events_written :]
        if self.end is not None and self._events_lost:
            events.append(_summed_up(self._events_lost))
        return events

    def _queues_written(self, refused: int) -> None:
        self._changed_phases.clear()
        self._events_written = len(self.events)
        if self.end is not None:
            self._events_lost.clear()
        for queue in (self._samples, self._usage, self._gpu_usage, self._metrics, self._steps):
            queue.clear()
        self._intensities.clear()
        self.rows_refused += refused

    # -- moving to another database --------------------------------------------------------

    def places(self) -> Places:
        """The row numbers of now, for `back_to` after a move that failed."""
        phases = {token: phase.row_id for token, phase in self.phases.items()}
        return self.run_id, [stream.row_id for stream in self.streams], phases

    def back_to(self, places: Places) -> None:
        """Undo `begin_again`; what it queued a second time does no harm."""
        self.run_id, streams, phases = places
        for stream, row_id in zip(self.streams, streams, strict=True):
            stream.row_id = row_id
        for token, row_id in phases.items():
            self.phases[token].row_id = row_id

    def begin_again(self, copied: Copied | None) -> None:
        """From now on write to another database, into which `copied` was taken over, or nothing.

        With nothing taken over, the run, its streams, the first and last sample of each, its
        events and its open phases are written again from memory.
        """
        if copied is not None:
            self.run_id = copied.run_id
            for stream in self.streams:
                stream.row_id = copied.streams.get(stream.row_id or 0)
            for phase in self.phases.values():
                phase.row_id = copied.phases.get(phase.row_id or 0)
            return
        self.run_id = None
        self._events_written = 0
        ends: list[Row] = []
        for stream in self.streams:
            stream.row_id = None
            ends += [row for row in (stream.first, stream.last) if row is not None]
        self._samples[:0] = ends
        for phase in self.phases.values():
            phase.row_id = None
        self._changed_phases.update(self.phases)


def clean(text: str) -> str:
    """`text` as SQLite can store it: bytes that were no UTF-8 become \\udcXX, spelled out."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def every_second(rows: list[Row], series: Callable[[Row], Hashable]) -> list[Row]:
    """About half the rows: the first and last of each series, and every second one between.

    Values are cumulative, so what is left out is detail and never energy.
    """
    last = {series(row): index for index, row in enumerate(rows)}
    seen: dict[Hashable, int] = {}
    kept = []
    for index, row in enumerate(rows):
        key = series(row)
        position = seen.get(key, 0)
        seen[key] = position + 1
        if position % 2 == 0 or last[key] == index:
            kept.append(row)
    return kept


def _summed_up(events: list[Row]) -> Row:
    """One event that stands for many; energy is missing if it was in any of them."""
    times = [event[4] for event in events if isinstance(event[4], int)]
    since = [event[3] for event in events if isinstance(event[3], int)]
    number = sum(
        int(str(event[6]).split(" ", 1)[0]) if event[1] == "events_dropped" else 1
        for event in events
    )
    return (
        None,
        "events_dropped",
        "",
        min(since + times),
        max(times),
        max(int(event[5] or 0) for event in events),
        f"{number} further events of this run were not kept one by one",
    )
