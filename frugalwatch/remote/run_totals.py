"""Totals of runs on their way to the server: kept until a query has read them back.

A run's total is a handful of series that are sent once, as of now, each with an explicit 0 a second
before. That a server said 2xx is not taken for an answer: it is asked for them, and what it cannot
show is sent again, later and later, for as long as the ledger has the run.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from frugalwatch.errors import FrugalWatchError
from frugalwatch.fleet.figures import Part
from frugalwatch.fleet.from_ledger import parts
from frugalwatch.ledger.connection import writing
from frugalwatch.metrics import names
from frugalwatch.remote.protobuf import Point
from frugalwatch.remote.query import Found, Queries, quoted

Which: TypeAlias = Literal["off", "shared", "all", "live"]

_ZERO_BEFORE_MS = 1_000
_ASK_AFTER_NS = 2_000_000_000
_LONGEST_NS = 86_400_000_000_000
_LIVE_NS = 60_000_000_000
# VictoriaMetrics stores decimals, which may be off in the last digit of a float64.
_SAME = 1e-12

_JOBS = """
SELECT coalesce(r.group_key, r.run_key) AS run_group, b.boot_key, count(*) AS recordings,
       sum(r.state = 'running' OR r.result IS NULL) AS running
FROM run r JOIN boot b ON b.id = r.boot_id JOIN machine m ON m.id = b.machine_id
WHERE r.run_key NOT LIKE 'daemon-%' AND (:machine IS NULL OR m.machine_key = :machine)
AND (:all OR r.group_key IS NOT NULL)
GROUP BY 1, 2
"""

_DUE = f"""
SELECT j.run_group, j.boot_key, t.state, t.figures, t.sent_ms, t.tries, j.running
FROM ({_JOBS}) j LEFT JOIN remote_run t
ON t.run_group = j.run_group AND t.boot_key = j.boot_key AND t.target_id = :target
WHERE t.state IS NULL OR json_extract(t.figures, '$.recordings') <> j.recordings
OR (t.state = 'running' AND (NOT j.running OR (:live AND t.next_utc_ns <= :now)))
OR (t.state = 'sent' AND t.next_utc_ns <= :now)
ORDER BY t.next_utc_ns LIMIT :most
"""

Key: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]  # name, labels
Value: TypeAlias = tuple[str, tuple[tuple[str, str], ...], float]


class Job(NamedTuple):
    """A run's figures that are due: to be sent, or (`ask`) to be read back."""

    run_group: str
    boot_key: str
    ended: bool
    recordings: int
    values: tuple[Value, ...]
    known: Mapping[Key, float]  # what was sent before, or what a query found there
    sent_ms: int | None
    tries: int
    ask: bool


class RunTotals:
    """Which runs' totals a server lacks. `machine` None: of every machine in the ledger."""

    def __init__(
        self,
        conn: sqlite3.Connection,
        target_id: int,
        ledger_key: str,
        *,
        machine: str | None,
        node: str | None,
        which: Which,
    ) -> None:
        self._conn = conn
        self._target_id = target_id
        self._ledger_key = ledger_key
        self._machine = machine
        self._node = node
        self._which = which

    def due(self, now_utc_ns: int, most: int) -> list[Job]:
        """Jobs to send or to read back now, at most `most`. Raises sqlite3.Error."""
        if self._which == "off":
            return []
        rows = self._conn.execute(
            _DUE,
            {
                "machine": self._machine,
                "all": self._which != "shared",
                "live": self._which == "live",
                "target": self._target_id,
                "now": now_utc_ns,
                "most": most,
            },
        ).fetchall()
        return [job for row in rows if (job := self._job(row)) is not None]

    def waiting(self) -> int:
        """How many jobs' totals no query has read back yet."""
        row = self._conn.execute(
            f"SELECT count(*) FROM ({_JOBS}) j LEFT JOIN remote_run t ON t.run_group = j.run_group"
            " AND t.boot_key = j.boot_key AND t.target_id = :target"
            " WHERE t.state IS NULL OR t.state <> 'confirmed'",
            {
                "machine": self._machine,
                "all": self._which not in ("shared", "off"),
                "target": self._target_id,
            },
        ).fetchone()
        return 0 if self._which == "off" else int(row[0])

    def _job(self, row: tuple[Any, ...]) -> Job | None:  # Any: the columns of _DUE
        run_group, boot_key, state, figures, sent_ms, tries, running = row
        before: Any = json.loads(figures) if figures else {"values": []}  # Any: our own JSON
        stored = {_key(name, labels): value for name, labels, value in before["values"]}
        found = parts(
            self._conn,
            run_group,
            machine=self._machine,
            boot_key=boot_key,
            ledger_key=self._ledger_key,
            node=self._node,
        )
        if not found:
            return None
        values = tuple(_values(run_group, found[0], live=self._which == "live" or not running))
        ask = state == "sent" and all(stored.get(each[:2]) == each[2] for each in values)
        return Job(
            run_group=run_group,
            boot_key=boot_key,
            ended=not running,
            recordings=found[0].recordings,
            values=values,
            known=stored,
            sent_ms=sent_ms,
            tries=tries or 0,
            ask=ask,
        )

    def series(self, job: Job, now_ms: int) -> list[tuple[dict[str, str], list[Point]]]:
        """What to send of a job, as of now: labels and values."""
        at_ms = max(now_ms, (job.sent_ms or 0) + _ZERO_BEFORE_MS + 1)
        found = []
        for name, labels, value in job.values:
            points = [Point(at_ms, value)]
            if name.endswith("_total") and (name, labels) not in job.known:
                points.insert(0, Point(at_ms - _ZERO_BEFORE_MS, 0.0))
            found.append(({"__name__": name, **dict(labels)}, points))
        return found

    def sent(self, job: Job, at_ms: int, now_utc_ns: int) -> None:
        """The server took them: ask for them soon. Raises sqlite3.Error."""
        state = "sent" if job.ended else "running"
        wait_ns = _wait_ns(job.tries) if job.ended else _LIVE_NS
        self._store(job, state, at_ms, job.tries, now_utc_ns + wait_ns)

    def read_back(self, job: Job, queries: Queries | None, now_utc_ns: int) -> Job | None:
        """Ask for a job's totals. None: they are there, or nobody could be asked.

        Else the job as it must be sent again. Raises sqlite3.Error.
        """
        if queries is None:
            self._store(job, "sent", job.sent_ms or 0, job.tries, now_utc_ns + _LONGEST_NS)
            return None
        since_s = max(0.0, now_utc_ns / 1e9 - (job.sent_ms or 0) / 1e3)
        try:
            found = queries.ask(_query(self._ledger_key, job, since_s))
        except FrugalWatchError:
            # Sent once and not known to be missing: only the question is asked again.
            tries = job.tries + 1
            self._store(job, "sent", job.sent_ms or 0, tries, now_utc_ns + _wait_ns(tries))
            return None
        there = _highest(found)
        if all(_is_there(there, one) for one in job.values):
            self._store(job, "confirmed", job.sent_ms or 0, job.tries, now_utc_ns)
            return None
        return job._replace(ask=False, tries=job.tries + 1, known=there)

    def _store(self, job: Job, state: str, at_ms: int, tries: int, next_utc_ns: int) -> None:
        # What was sent once stays known: another 0 would be a counter that fell.
        values = {**job.known, **{each[:2]: each[2] for each in job.values}}
        figures = {
            "recordings": job.recordings,
            "values": [[name, labels, value] for (name, labels), value in values.items()],
        }
        with writing(self._conn):
            self._conn.execute(
                "INSERT INTO remote_run (target_id, run_group, boot_key, state, figures, sent_ms,"
                " tries, next_utc_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (target_id, run_group, boot_key) DO UPDATE SET"
                " state = excluded.state, figures = excluded.figures, sent_ms = excluded.sent_ms,"
                " tries = excluded.tries, next_utc_ns = excluded.next_utc_ns",
                (
                    self._target_id,
                    job.run_group,
                    job.boot_key,
                    state,
                    json.dumps(figures),
                    at_ms,
                    tries,
                    next_utc_ns,
                ),
            )


def _values(run_group: str, part: Part, *, live: bool) -> list[Value]:
    """The series of one part. Of a run that goes on, only that it does, unless `live`."""
    own = {
        "run_id": run_group,
        "instance": part.node,
        "job": names.JOB,
        "boot": part.boot_key,
        "ledger": part.ledger_key,
    }
    values: list[Value] = [
        _value(names.RUN_STARTED, own, part.began_utc_ms / 1e3),
        _value(names.RUN_RECORDINGS, own, float(part.recordings)),
    ]
    if live:
        for one in part.devices:
            device = dict(
                zip(
                    names.DEVICE_LABELS,
                    (one.device, one.domain, one.boundary, one.origin),
                    strict=True,
                )
            )
            labels = {**own, **device}
            values.append(_value(names.RUN_ENERGY, labels, one.energy_uj / 1e6))
            if part.ended:
                values.append(_value(names.RUN_ENERGY_LOW, labels, one.low_uj / 1e6))
                values.append(_value(names.RUN_ENERGY_HIGH, labels, one.high_uj / 1e6))
    ended_ms = part.ended_utc_ms if part.ended else None
    values.append(_value(names.RUN_ENDED, own, (ended_ms or 0) / 1e3))  # 0: it goes on
    if ended_ms is not None:
        if part.coverage is not None:
            values.append(_value(names.RUN_COVERAGE, own, part.coverage))
        if part.co2e_ug is not None:
            values.append(_value(names.RUN_CO2E, own, part.co2e_ug / 1e6))
    return values


def _value(name: str, labels: dict[str, str], value: float) -> Value:
    return name, tuple(sorted(labels.items())), value


def _query(ledger_key: str, job: Job, since_s: float) -> str:
    """The raw values of a job's series from when they were sent, and an hour before."""
    minutes = round(since_s / 60) + 61
    selector = (
        f'__name__=~"frugalwatch_run_.+",run_id={quoted(job.run_group)},'
        f"boot={quoted(job.boot_key)},ledger={quoted(ledger_key)}"
    )
    return f"{{{selector}}}[{minutes}m]"


def _key(name: str, labels: list[list[str]]) -> Key:
    return name, tuple((label, value) for label, value in labels)


def _highest(found: Sequence[Found]) -> dict[Key, float]:
    """By name and labels the highest value there is: how totals are reconciled."""
    highest: dict[Key, float] = {}
    for one in found:
        labels = {name: value for name, value in one.labels.items() if name != "__name__"}
        key = (one.labels.get("__name__", ""), tuple(sorted(labels.items())))
        highest[key] = max(value for _, value in one.points)
    return highest


def _is_there(there: dict[tuple[str, tuple[tuple[str, str], ...]], float], one: Value) -> bool:
    name, labels, value = one
    seen = there.get((name, labels))
    return seen is not None and seen >= value - abs(value) * _SAME


def _wait_ns(tries: int) -> int:
    """Until the next question: two seconds, then four times as long each time, a day at most."""
    return min(_LONGEST_NS, _ASK_AFTER_NS << 2 * min(tries, 12))
