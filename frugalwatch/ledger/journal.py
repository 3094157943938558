"""What the sampler writes through: it never raises, and no ledger failure costs the run its energy.

Rows are queued in memory and `commit()` writes them in one transaction. While the ledger cannot be
written, the queue is kept within bounds (values are cumulative, so thinning loses detail only) and
tried again with growing pauses. A run that cannot be written by its end is saved in another place,
and a person is told where.

A lock is waited for 0.4 s at most. What cannot be bounded from inside a process is a disk that
does not answer: then the sampler waits, and the job, which is another process, does not.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from collectors.base import Condition, Device, Reading
from frugalwatch.ledger.connection import (
    Notify,
    Trouble,
    explain,
    memory_ledger,
    open_ledger,
    quarantine_notice,
    trouble,
)
from frugalwatch.ledger.paths import fallback_directories
from frugalwatch.ledger.quarantine import FileIdentity, identity, quarantine
from frugalwatch.ledger.queue import clean
from frugalwatch.ledger.recording import Phase, Recording
from frugalwatch.ledger.records import GridIntensity, RunEnd, RunStart, RunTotals
from frugalwatch.ledger.rescue import (
    close_quietly,
    fallback_file,
    remove_ledger,
    try_copy,
    try_read,
)
from frugalwatch.ledger.statements import (
    ANY_TO_THIN,
    CALIBRATED_MACHINE,
    LAST_GPU_USE,
    LAST_READINGS,
    RUN_HEARTBEAT,
)
from frugalwatch.ledger.totals import store_totals

if TYPE_CHECKING:  # loaded for machines that were calibrated
    from collectors.calibration import Calibration
    from frugalwatch.ledger.job_processes import GpuRow, ProcessRow

_COMMIT_BUSY_S = 0.4
_FINISH_BUSY_S = 1.0
_LONGEST_PAUSE_S = 30
_LOCKED_BEFORE_SAID = 3  # a ledger that is locked for a moment is nobody's business


class Journal:
    """One run's way into the ledger. `where` names the database that is written to.

    `notify(kind, message)` is called once for each kind of trouble: full, locked, readonly,
    permission, corrupt, newer, foreign, missing, other; quarantined, fallback, unpublished.
    Where `inbox` is set, the finished run is also placed there as a file of its own.
    `lasting`: the recording goes on for months. Events that were written are let go, and trouble
    that was over and comes again is told again.
    """

    def __init__(
        self,
        path: str,
        *,
        notify: Notify,
        fallback_dirs: Sequence[str] | None = None,
        inbox: str | None = None,
        lasting: bool = False,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.path = path
        self.where = path
        self._notify = notify
        self._fallback_dirs = fallback_dirs
        self._inbox = inbox
        self._lasting = lasting
        self._clock_ns = clock_ns
        self._conn: sqlite3.Connection | None = None
        self._file: FileIdentity | None = None
        self._busy_s = 0.0
        self._failures = 0
        self._retry_at_ns = 0
        self._told: set[str] = set()
        self._recording: Recording | None = None

    # -- what happened: memory only, nothing below this line and above `commit` can block ----

    def open_run(self, start: RunStart) -> None:
        """Begin to record a run. It reaches the database with the first commit."""
        self._recording = Recording(start)

    def reopen_run(self, start: RunStart) -> int | None:
        """Go on with a run whose sampler died, in its streams. Its last heartbeat, or None.

        `start` is the one that the run began with (with this sampler's own pid): if the first
        sampler died before it wrote anything, the run begins here.
        """
        self.open_run(start)
        try:
            conn = self._connect(_COMMIT_BUSY_S)
            row = conn.execute(RUN_HEARTBEAT, (start.run_key,)).fetchone()
        except Exception as error:  # noqa: BLE001 - this class answers for never raising
            self._failed(error)
            return None
        return None if row is None else int(row[0])

    def calibration(self) -> Calibration | None:
        """What the ledger knows of this machine's watts; None if nothing, or unreadable."""
        try:
            conn = self._connect(_COMMIT_BUSY_S)
            machine_key = self.recording.start.machine_key
            row = conn.execute(CALIBRATED_MACHINE, (machine_key,)).fetchone()
            if row is None:
                return None
            from frugalwatch.ledger.calibrations import load_calibration

            return load_calibration(conn, int(row[0]))
        except Exception as error:  # noqa: BLE001 - this class answers for never raising
            self._failed(error)
            return None

    def last_readings(self) -> dict[str, Reading]:
        """The last stored reading of each device of a run that was reopened, by device key."""
        if self._conn is None:
            return {}
        try:
            rows = self._conn.execute(LAST_READINGS, (self.recording.start.run_key,)).fetchall()
        except sqlite3.Error as error:
            self._failed(error)
            return {}
        return {key: Reading(key, t, energy, low, high) for key, t, energy, low, high in rows}

    def last_gpu_use(self) -> dict[str, tuple[int, int]]:
        """SM micro-seconds of the job and of all that a dead sampler wrote last, by device key."""
        if self._conn is None:
            return {}
        try:
            rows = self._conn.execute(LAST_GPU_USE, (self.recording.start.run_key,)).fetchall()
        except sqlite3.Error as error:
            self._failed(error)
            return {}
        return {key: (job_us, all_us) for key, job_us, all_us in rows}

    def last_processes(self) -> tuple[list[ProcessRow], list[tuple[str, int, int, int]]]:
        """The last account of a run that was reopened; its GPU rows begin with a device's key."""
        if self._conn is None:
            return [], []
        from frugalwatch.ledger.job_processes import last_account

        try:
            return last_account(self._conn, self.recording.start.run_key)
        except sqlite3.Error as error:
            self._failed(error)
            return [], []

    def add_stream(self, device: Device, opened_mono_ns: int) -> int:
        """A handle for one device's readings; its cumulative figure starts at 0 here."""
        return self.recording.add_stream(device, opened_mono_ns)

    def sample(self, handle: int, reading: Reading) -> None:
        """Queue one reading."""
        self.recording.sample(handle, reading)

    def usage(self, t_mono_ns: int, job_cpu_us: int | None, machine_busy_us: int | None) -> None:
        """Queue CPU micro-seconds since the run began: of the job's tree, and of the machine."""
        self.recording.usage.add((t_mono_ns, job_cpu_us, machine_busy_us))

    def gpu_usage(self, handle: int, t_mono_ns: int, job_busy_us: int, all_busy_us: int) -> None:
        """Queue SM micro-seconds since the run began: of the job's processes, and of all."""
        self.recording.gpu_usage.add((handle, t_mono_ns, job_busy_us, all_busy_us))

    def processes(self, rows: Sequence[ProcessRow], gpus: Sequence[GpuRow]) -> None:
        """Queue the account of the job's processes, which takes the place of the one before."""
        self.recording.processes.put(rows, gpus)

    def event(
        self,
        kind: str,
        cause: str = "",
        *,
        t_mono_ns: int,
        since_mono_ns: int | None = None,
        detail: str = "",
        handle: int | None = None,
        energy_missing: bool = False,
    ) -> None:
        """Queue something that a person should know."""
        self.recording.events.add(
            (
                handle,
                kind,
                clean(cause),
                since_mono_ns,
                t_mono_ns,
                int(energy_missing),
                clean(detail),
            )
        )

    def phase_began(
        self, pid: int, name: str, t_mono_ns: int, *, number: int | None = None, depth: int = 0
    ) -> int:
        """Queue the beginning of a phase; the token is for `phase_ended`."""
        phase = Phase(pid, name, t_mono_ns, number=number, depth=depth)
        return self.recording.phase_began(phase)

    def phase_ended(self, token: int, t_mono_ns: int) -> None:
        """Queue the end of a phase. An unknown token is ignored."""
        self.recording.phase_ended(token, t_mono_ns)

    def metric(self, pid: int, t_mono_ns: int, name: str, value: float) -> None:
        """Queue a value that the job reported; NaN is stored as NULL."""
        self.recording.metrics.add((pid, t_mono_ns, clean(name), value))

    def step(self, pid: int, t_mono_ns: int, steps: int) -> None:
        """Queue the number of steps that a process has done so far."""
        self.recording.steps.add((pid, t_mono_ns, steps))

    def condition(self, handle: int, seen: Condition) -> None:
        """Queue what a device was like at an instant."""
        self.recording.conditions.add(
            (
                handle,
                seen.t_mono_ns,
                _in_units(seen.temperature_c, 1_000),
                None if seen.clock_hz is None else round(seen.clock_hz),
                _in_units(seen.fan_share, 1_000_000),
                _in_units(seen.busy_share, 1_000_000),
            )
        )

    def goal(self, pid: int, t_mono_ns: int, name: str, total: int) -> None:
        """Queue how many steps (`name` ""), or phases of that name, a process will do in all."""
        self.recording.goals.add((pid, clean(name), total, t_mono_ns))

    def grid_intensity(self, value: GridIntensity) -> None:
        """Queue one value of a live grid source."""
        self.recording.intensities.add((*value[:5], int(value.estimated), value.fetched_utc_ns))

    def heartbeat(self, t_mono_ns: int) -> None:
        """Say that the sampler was alive at this instant; every commit stores the last one."""
        self.recording.heartbeat_mono_ns = t_mono_ns

    @property
    def recording(self) -> Recording:
        """The queue. Raises RuntimeError before `open_run`."""
        if self._recording is None:
            raise RuntimeError("open_run comes first")
        return self._recording

    @property
    def run_id(self) -> int | None:
        """The run's row number in the database at `where`; None until it was written."""
        return self.recording.run_id

    # -- writing ----------------------------------------------------------------------------

    def commit(self) -> bool:
        """Write what is queued, in one transaction. False: it is still queued, and kept."""
        if self._clock_ns() < self._retry_at_ns:
            return False
        return self._attempt(_COMMIT_BUSY_S)

    def finish(self, end: RunEnd) -> sqlite3.Connection:
        """Write the end of the run; a connection to the database that holds all of it.

        If that is not the ledger, `where` is the file, or ":memory:". The connection belongs to
        this journal until `close()`.
        """
        recording = self.recording
        recording.end = end
        if recording.rows_thinned():
            detail = (
                f"{recording.rows_thinned()} rows left out while the ledger could not be written"
            )
            self.event("samples_thinned", t_mono_ns=end.ended_mono_ns, detail=detail)
        if recording.rows_refused:
            detail = f"{recording.rows_refused} rows were refused by the database"
            self.event("rows_refused", t_mono_ns=end.ended_mono_ns, detail=detail)
        if self._attempt(_FINISH_BUSY_S) and self._conn is not None:
            return self._conn
        return self._save_elsewhere()

    def store_totals(self, totals: RunTotals) -> None:
        """Write the totals of the finished run, in the ledger or wherever the run had to go."""
        for _ in range(2):
            if self._conn is None or self.run_id is None:
                return
            try:
                store_totals(self._conn, self.run_id, totals)
                return
            except Exception as error:  # noqa: BLE001 - this class answers for never raising
                self._failed(error)
                if self.where != self.path:
                    return
                self._save_elsewhere()

    def thin(self, older_than_utc_ns: int, *, budget_s: float) -> None:
        """Thin old runs' samples, for about so long at most. Call it after `store_totals`."""
        if self._conn is None:
            return
        try:
            old = self._conn.execute(ANY_TO_THIN, (older_than_utc_ns,)).fetchone()
            if old is not None:
                from frugalwatch.ledger.thin import thin

                thin(self._conn, older_than_utc_ns, budget_s=budget_s)
        except Exception as error:  # noqa: BLE001 - this class answers for never raising
            self._failed(error)

    def attend(self, work: Callable[[sqlite3.Connection], None]) -> bool:
        """Have something done to the open ledger between two commits; False if it was not done."""
        if self._conn is None or self._failures:
            return False
        try:
            work(self._conn)
        except Exception as error:  # noqa: BLE001 - this class answers for never raising
            self._failed(error)
            return False
        return True

    def close(self) -> None:
        """Publish the finished run where an inbox is set, and close the database. Safe twice."""
        conn, self._conn = self._conn, None
        if conn is None:
            return
        recording = self.recording
        try:
            if self._inbox is not None and recording.end is not None and self.where == self.path:
                from frugalwatch.ledger.inbox import publish

                publish(conn, recording.start.run_key, self._inbox)
        except Exception as error:  # noqa: BLE001 - this class answers for never raising
            self._tell("unpublished", f"the run stays in {self.where}: {error}")
        close_quietly(conn)

    # -- failing ----------------------------------------------------------------------------

    def _attempt(self, busy_s: float) -> bool:
        for last in (False, True):
            try:
                self.recording.write(self._connect(busy_s))
            except Exception as error:  # noqa: BLE001 - this class answers for never raising
                if not last and trouble(error) == "corrupt" and self._begin_new_file():
                    continue
                self._failed(error)
                return False
            if self._lasting:
                self.recording.events.forget_written()
                self._say_it_works_again()
            self._failures = 0
            self._retry_at_ns = 0
            return True
        return False

    def _connect(self, busy_s: float) -> sqlite3.Connection:
        """The open ledger. If its file was deleted or renamed, the run moves to a new one."""
        old = self._conn
        if old is not None and identity(self.path) == self._file:
            if busy_s != self._busy_s:
                old.execute(f"PRAGMA busy_timeout = {round(busy_s * 1000)}")
                self._busy_s = busy_s
            return old
        conn = open_ledger(self.path, create=True, notify=self._tell, busy_s=busy_s)
        self._busy_s = busy_s
        if old is not None:
            self.recording.begin_again(try_copy(old, conn, self.recording.start.run_key))
            close_quietly(old)
        self._conn = conn
        self._file = identity(self.path)
        return conn

    def _begin_new_file(self) -> bool:
        """Put the damaged ledger aside; the next `_connect` sees that its file is gone."""
        if self._conn is None:
            return False
        try:
            moved = quarantine(self.path, self._file)
        except OSError:
            return False
        if moved is not None:
            self._tell("quarantined", quarantine_notice(self.path, moved))
        return True

    def _failed(self, error: BaseException) -> None:
        self._failures += 1
        pause_s = min(_LONGEST_PAUSE_S, 2 ** min(self._failures - 1, 10))
        now = self._clock_ns()
        self._retry_at_ns = now + pause_s * 1_000_000_000
        kind: Trouble = trouble(error)
        if kind == "locked" and self._failures < _LOCKED_BEFORE_SAID:
            return
        if kind not in self._told:
            self.event("ledger_unwritable", kind, t_mono_ns=now, detail=str(error)[:500])
            self._tell(kind, explain(error, self.path).message + "; the run goes on in memory")

    def _say_it_works_again(self) -> None:
        if self._failures and self._told:
            self._told.clear()
            self.event("ledger_writable", t_mono_ns=self._clock_ns(), detail="it is written again")

    def _tell(self, kind: str, message: str) -> None:
        if kind in self._told:
            return
        self._told.add(kind)
        try:
            self._notify(kind, message)
        except Exception:  # noqa: BLE001 - a closed stderr must not end the measurement
            return

    def _save_elsewhere(self) -> sqlite3.Connection:
        old = self._conn if self._conn is not None else try_read(self.path)
        directories = self._fallback_dirs
        if directories is None:
            directories = fallback_directories(os.environ)
        for directory in directories:
            if self._take_over(
                old, fallback_file(directory, self.path, self.recording.start.run_key)
            ):
                self._tell("fallback", f"this run was saved in {self.where}")
                break
        else:
            self._take_over(old, ":memory:")
            self._tell("fallback", "this run could not be saved anywhere, only shown")
        if old is not None:
            close_quietly(old)
        if self._conn is None:
            self._conn = memory_ledger()
        return self._conn

    def _take_over(self, old: sqlite3.Connection | None, path: str | None) -> bool:
        """Write the whole run into the database at `path`; False if that fails too."""
        if path is None:
            return False
        recording = self.recording
        places = recording.places()
        try:
            conn = memory_ledger() if path == ":memory:" else open_ledger(path, create=True)
        except Exception:  # noqa: BLE001 - this class answers for never raising
            return False
        try:
            recording.begin_again(try_copy(old, conn, recording.start.run_key))
            recording.write(conn)
        except Exception:  # noqa: BLE001 - this class answers for never raising
            recording.back_to(places)
            close_quietly(conn)
            remove_ledger(path)
            return False
        self._conn, self.where = conn, path
        return True


def _in_units(value: float | None, units: int) -> int | None:
    return None if value is None else round(value * units)
