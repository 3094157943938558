"""Sends one ledger to one server: counters in order, totals of runs, a request at a time.

The ledger is the spool. What a pass holds in memory is one request; how far it got is written to
the ledger when the server has it. So a sender may be killed, unplugged or stopped for hours at any
moment: the next one sends the same again, which does no harm, and goes on.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from frugalwatch.ledger.connection import writing
from frugalwatch.metrics import names
from frugalwatch.remote import cursor
from frugalwatch.remote.cursor import Advance, Loss, Sent
from frugalwatch.remote.deliver import Delivery, Outgoing, Post, Taken, UnavailableError
from frugalwatch.remote.protobuf import Point
from frugalwatch.remote.query import Queries
from frugalwatch.remote.run_totals import Job, RunTotals, Which
from frugalwatch.remote.spool import Counted, Spool, Step
from frugalwatch.remote.streams import device_series
from frugalwatch.remote.transport import Answer

MOST_POINTS = 5_000  # of a request: 60 kB before compression
_MOST_JOBS = 50
_RECOUNT_NS = 3_600_000_000_000
_CLOCK_SET_BACK = "the clock was set back: the server has later values already"
# Fewer values than this left out are no loss worth a word: the next one follows at once.
_FEW = 4


class Plan(NamedTuple):
    """What is sent of a ledger, and as whose. `machine` None: of every machine in it."""

    node: str
    machine: str | None
    devices: bool = True
    runs: Which = "shared"
    every_ms: int = 15_000
    node_is_chosen: bool = False


class Passed(NamedTuple):
    """What one pass did. `more`: there is more to send right away."""

    points: int
    requests: int
    bytes_sent: int
    more: bool
    lost: tuple[Loss, ...] = ()
    newest_ms: int | None = None


class _Waiting(NamedTuple):
    """A series in the batch: where it stands, and the steps behind its points."""

    sent: Sent
    steps: Sequence[Step]
    skipped: Loss | None


class Sender:
    """Sends passes of one ledger. `clock` is Unix time in nanoseconds. Not thread-safe."""

    def __init__(
        self,
        conn: sqlite3.Connection,
        url: str,
        post: Post,
        plan: Plan,
        *,
        queries: Queries | None = None,
        clock: Callable[[], int] = time.time_ns,
        most_points: int = MOST_POINTS,
    ) -> None:
        self._conn = conn
        self._post = post
        self._plan = plan
        self._queries = queries
        self._clock = clock
        self._most_points = most_points
        self.target = cursor.target(conn, url)
        self._target_id = self.target.target_id
        self._in_flight_ms = self.target.in_flight_ms
        self._spool = Spool(conn, plan.machine, every_ms=plan.every_ms)
        self._runs = RunTotals(
            conn,
            self._target_id,
            self.target.ledger_key,
            machine=plan.machine,
            node=plan.node if plan.node_is_chosen else None,
            which=plan.runs,
        )
        self._recount_at_ns = 0
        self._batch: list[_Waiting] = []
        self._points = self._requests = self._bytes_sent = 0
        self._newest_ms: int | None = None
        self._lost: list[Loss] = []

    def send(self, *, everything: bool = False) -> Passed:
        """One pass: at most one batch of counters, and the totals that are due.

        `everything`: also of the interval that goes on. Raises UnavailableError (it is noted in
        the ledger, and what was taken stays taken) or sqlite3.Error.
        """
        self._points = self._requests = self._bytes_sent = 0
        self._newest_ms = None
        self._lost = []
        delivery = Delivery(self._counting_post, self._taken)
        more = False
        try:
            if self._plan.devices:
                self._recount(everything=everything)
                more = self._counters(delivery, everything=everything)
            self._totals()
            if delivery.stuck:
                raise UnavailableError(f"refused: {delivery.stuck[0]}", ours=True)
        except UnavailableError as error:
            cursor.note_error(self._conn, self._target_id, str(error), self._clock())
            raise
        if self._requests:
            cursor.all_answered(self._conn, self._target_id, self._clock())
        return Passed(
            self._points,
            self._requests,
            self._bytes_sent,
            more,
            tuple(self._lost),
            self._newest_ms,
        )

    def _counting_post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        self._requests += 1
        self._bytes_sent += len(body)
        return self._post(body, headers)

    def waiting_totals(self) -> int:
        """How many jobs' totals no query has read back yet."""
        return self._runs.waiting()

    # -- counters --------------------------------------------------------------------------

    def _counters(self, delivery: Delivery, *, everything: bool) -> bool:
        now_ms = self._clock() // 1_000_000
        self._batch, more = self._collect(now_ms, everything=everything)
        outgoing = [
            self._outgoing(number, waiting, now_ms) for number, waiting in enumerate(self._batch)
        ]
        outgoing = [each for each in outgoing if each.points]
        again = self._in_flight_ms is not None
        if outgoing and not again:
            self._in_flight_ms = max(each.points[-1].t_ms for each in outgoing)
            cursor.begin_request(self._conn, self._target_id, self._in_flight_ms)
        delivery.send(outgoing)
        self._in_flight_ms = None
        return more or again

    def _collect(self, now_ms: int, *, everything: bool) -> tuple[list[_Waiting], bool]:
        """The next stretch of every counter, cut where the first of them was cut.

        Counters go on side by side in time: one that ran ahead would move the server's window
        past what the others still have to tell.
        """
        sents = [
            cursor.sent(self._conn, self._target_id, labels)
            for labels in device_series(self._conn, self._plan.machine)
        ]
        most = max(2, self._most_points // max(1, len(sents)))
        found = [
            self._spool.steps(
                one.labels,
                one.counted,
                started=one.sent_ms is not None,
                now_ms=now_ms,
                most=most,
                everything=everything,
            )
            for one in sents
        ]
        cut = [steps[-1].t_ms for steps in found if len(steps) >= most]
        more = bool(cut)
        if self._in_flight_ms is not None:
            cut.append(self._in_flight_ms)
        until = min(cut, default=None)
        batch = []
        for one, steps in zip(sents, found, strict=True):
            kept = [step for step in steps if until is None or step.t_ms <= until]
            batch.append(_in_order(one, kept))
        return batch, more

    def _outgoing(self, number: int, waiting: _Waiting, now_ms: int) -> Outgoing:
        one = waiting.sent
        present = max(now_ms, (one.sent_ms or 0) + 1)
        points = [Point(step.t_ms, step.total_uj / 1e6) for step in waiting.steps]
        late = one.total_uj != one.sent_uj and one.sent_ms is not None and one.counted
        if not points and late and self._in_flight_ms is None:
            points = [Point(present, one.total_uj / 1e6)]
        elif waiting.steps and points[-1].t_ms <= (one.sent_ms or -1):
            points = [Point(present, points[-1].value)]  # the clock was set back
        labels = {
            "__name__": names.ENERGY,
            "instance": self._plan.node,
            "job": names.JOB,
            "ledger": self.target.ledger_key,
            **one.labels,
        }
        return Outgoing(number, labels, points, present, self._in_flight_ms)

    def _taken(self, taken: Sequence[Taken]) -> None:
        """The server has these: move their cursors, in one transaction."""
        moves = []
        for one in taken:
            waiting = self._batch[one.number]
            counted: dict[str, Counted] = {}
            steps = [step for step in waiting.steps if _is_sent(step, one.newest)]
            for step in steps:
                counted[step.boot_key] = step.counted
            uj = steps[-1].total_uj if steps else waiting.sent.total_uj
            loss = one.loss if one.loss is not None else waiting.skipped
            if loss is not None:
                self._lost.append(loss)
            moves.append(Advance(waiting.sent.series_id, one.newest.t_ms, uj, counted, loss))
            self._points += max(1, len(steps) - (one.loss.points if one.loss else 0))
            self._newest_ms = max(self._newest_ms or 0, one.newest.t_ms)
        cursor.advance(self._conn, self._target_id, moves, self._clock())

    def _recount(self, *, everything: bool) -> None:
        """Look for recordings that came late into what was counted: hourly, and when asked."""
        now_ns = self._clock()
        if now_ns < self._recount_at_ns and not everything:
            return
        self._recount_at_ns = now_ns + _RECOUNT_NS
        for labels in device_series(self._conn, self._plan.machine):
            one = cursor.sent(self._conn, self._target_id, labels)
            found = {
                boot: more
                for boot, before in one.counted.items()
                if (more := self._spool.recount(labels, boot, before)) is not None
            }
            if found:
                with writing(self._conn):
                    cursor.store_counted(self._conn, one.series_id, found)

    # -- totals of runs ----------------------------------------------------------------------

    def _totals(self) -> None:
        now_ns = self._clock()
        for due in self._runs.due(now_ns, _MOST_JOBS):
            job: Job | None = due
            if due.ask:
                job = (
                    None
                    if self._queries is None
                    else self._runs.read_back(due, self._queries, now_ns)
                )
            if job is not None and not job.ask:
                self._send_job(job)

    def _send_job(self, job: Job) -> None:
        now_ms = self._clock() // 1_000_000
        taken: list[Taken] = []
        delivery = Delivery(self._counting_post, taken.extend)
        outgoing = [
            Outgoing(number, labels, points, now_ms + 1)
            for number, (labels, points) in enumerate(self._runs.series(job, now_ms))
        ]
        delivery.send(outgoing)
        if delivery.stuck:
            raise UnavailableError(f"refused: {delivery.stuck[0]}", ours=True)
        at_ms = max(one.newest.t_ms for one in taken)
        self._runs.sent(job, at_ms, self._clock())


def _in_order(one: Sent, steps: Sequence[Step]) -> _Waiting:
    """Without steps that lie before what the server has: their energy is in the next one."""
    if one.sent_ms is None or not steps or steps[0].t_ms > one.sent_ms:
        return _Waiting(one, _rising(steps), None)
    newer = [step for step in steps if step.t_ms > (one.sent_ms or 0)]
    older = steps[: len(steps) - len(newer)]
    loss = None
    if len(older) >= _FEW:
        loss = Loss(older[0].t_ms, older[-1].t_ms, len(older), _CLOCK_SET_BACK)
    return _Waiting(one, _rising(newer or steps[-1:]), loss)


def _rising(steps: Sequence[Step]) -> list[Step]:
    """Each later than the one before: of two in one millisecond the second."""
    kept: list[Step] = []
    for step in steps:
        while kept and kept[-1].t_ms >= step.t_ms:
            kept.pop()
        kept.append(step)
    return kept


def _is_sent(step: Step, newest: Point) -> bool:
    return step.total_uj / 1e6 <= newest.value
