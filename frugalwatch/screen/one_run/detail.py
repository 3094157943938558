"""What the page of one run knows: the run object, and what is drawn along the run's time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from frugalwatch.errors import NotFoundError
from frugalwatch.report.devices import read_rows
from frugalwatch.report.documents import run_document
from frugalwatch.report.window import Span
from frugalwatch.screen.one_run.whole_trace import edges_of, read_gaps, read_power
from frugalwatch.screen.reading import Source
from frugalwatch.screen.records import Document

# Working out the run object of a run that goes on never takes more than this part of a core.
_SHARE_OF_TIME = 50
_SOONEST_NS = 900_000_000  # at each look, where that is cheap
_MOST_SPANS = 5000

_RUN = """
SELECT state, started_mono_ns, ended_mono_ns, heartbeat_mono_ns, interval_ns,
       thinned, environment, cpu_model, cpu_threads, memory_bytes, kernel
FROM run JOIN boot ON boot.id = run.boot_id JOIN machine ON machine.id = boot.machine_id
WHERE run.id = ?
"""
_SPANS = """
SELECT name, number, depth, began_mono_ns, ended_mono_ns FROM phase
WHERE run_id = :run AND began_mono_ns < :end AND coalesce(ended_mono_ns, :end) > :begin
ORDER BY began_mono_ns, id LIMIT :most
"""
_GPU_USE = """
SELECT v.key, max(g.job_busy_us) - min(g.job_busy_us), max(g.all_busy_us) - min(g.all_busy_us)
FROM stream s JOIN device v ON v.id = s.device_id JOIN gpu_usage g ON g.stream_id = s.id
WHERE s.run_id = ? GROUP BY s.id
"""


class PhaseSpan(NamedTuple):
    """One phase on the time axis; without an end it goes on, or the job died in it."""

    name: str
    number: int | None
    depth: int
    begin_ns: int
    end_ns: int | None


class GpuUse(NamedTuple):
    """Seconds for which a GPU worked: for the job's processes, and for every process."""

    key: str
    job_s: float
    all_s: float


class RunQuestion(NamedTuple):
    """Which run, which stretch of its time (None: all of it), and in how many columns."""

    number: int
    window: Span | None
    columns: int


@dataclass(frozen=True, slots=True)
class RunDetail:
    """One run in full. `power_w` has mean watts by device key, a value for each column."""

    document: Document
    environment: Mapping[str, str | None]
    machine: Mapping[str, Any]  # Any: columns of tables machine and boot
    whole: Span
    window: Span
    power_w: Mapping[str, tuple[float | None, ...]]
    spans: tuple[PhaseSpan, ...]
    spans_left_out: bool
    gpu_use: tuple[GpuUse, ...]
    before: int | None
    after: int | None


class RunReader:
    """Reads one run's page again and again. What cannot change is read once."""

    def __init__(self) -> None:
        self._number = -1
        self._document: dict[str, Any] = {}
        self._is_final = False
        self._due_ns = 0
        self._power_for: tuple[object, ...] = ()
        self._power: dict[str, tuple[float | None, ...]] = {}
        self._edges: list[int] = []

    def look(self, source: Source, question: RunQuestion) -> RunDetail | str:
        """The run as it is now; a text says why there is none."""
        if question.number != self._number:
            self.__init__()  # type: ignore[misc]  # begin anew for another run
            self._number = question.number
        connection = source.connection
        cursor = connection.execute(_RUN, (question.number,))
        names = [column[0] for column in cursor.description]
        row = cursor.fetchone()
        if row is None:
            return f"run {question.number} is not in this ledger"
        run = dict(zip(names, row, strict=True))
        try:
            self._read_document(source)
        except NotFoundError as error:
            return error.message
        end = run["heartbeat_mono_ns"] if run["ended_mono_ns"] is None else run["ended_mono_ns"]
        whole = Span(run["started_mono_ns"], max(end, run["started_mono_ns"] + 1))
        window = _inside(whole, question.window)
        self._read_power(connection, run, window, whole, question.columns)
        spans = _spans(connection, question.number, window)
        return RunDetail(
            document=self._document,
            environment=_environment(run["environment"]),
            machine={k: run[k] for k in ("cpu_model", "cpu_threads", "memory_bytes", "kernel")},
            whole=whole,
            window=Span(self._edges[0], self._edges[-1]),
            power_w=self._power,
            spans=spans[:_MOST_SPANS],
            spans_left_out=len(spans) > _MOST_SPANS,
            gpu_use=_gpu_use(connection, question.number),
            before=_neighbour(connection, question.number, "<", "max"),
            after=_neighbour(connection, question.number, ">", "min"),
        )

    def _read_document(self, source: Source) -> None:
        """The run object: as it was printed, or worked out now for a run that goes on."""
        if self._is_final or (self._document and source.utc_ns() < self._due_ns):
            return
        began = source.utc_ns()
        found = run_document(source.connection, self._number, source.settings)
        self._document, self._is_final = found
        took = max(0, source.utc_ns() - began)
        self._due_ns = began + max(_SOONEST_NS, _SHARE_OF_TIME * took)

    def _read_power(
        self,
        connection: sqlite3.Connection,
        run: Mapping[str, Any],
        window: Span,
        whole: Span,
        columns: int,
    ) -> None:
        """The columns of the chart. While a run goes on they are made anew a column later."""
        step = max(1, window.length // max(1, columns))
        chosen = (columns, run["state"], window.begin, window.end // step)
        if chosen == self._power_for:
            return
        self._power_for = chosen
        self._edges = edges_of(window, columns)
        gaps = read_gaps(connection, self._number, whole.end)
        self._power = read_power(
            connection,
            read_rows(connection, self._number),
            gaps,
            self._edges,
            run["interval_ns"],
            thinned=bool(run["thinned"]),
        )


def _inside(whole: Span, wanted: Span | None) -> Span:
    if wanted is None:
        return whole
    begin = min(max(whole.begin, wanted.begin), whole.end - 1)
    return Span(begin, max(begin + 1, min(whole.end, wanted.end)))


def _spans(connection: sqlite3.Connection, number: int, window: Span) -> tuple[PhaseSpan, ...]:
    values = {"run": number, "begin": window.begin, "end": window.end, "most": _MOST_SPANS + 1}
    return tuple(PhaseSpan._make(row) for row in connection.execute(_SPANS, values))


def _gpu_use(connection: sqlite3.Connection, number: int) -> tuple[GpuUse, ...]:
    rows = connection.execute(_GPU_USE, (number,))
    return tuple(GpuUse(key, job / 1e6, busy / 1e6) for key, job, busy in rows)


def _environment(text: str) -> Mapping[str, str | None]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _neighbour(connection: sqlite3.Connection, number: int, sign: str, which: str) -> int | None:
    found = connection.execute(f"SELECT {which}(id) FROM run WHERE id {sign} ?", (number,))
    value: int | None = found.fetchone()[0]
    return value
