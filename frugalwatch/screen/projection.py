"""What a job will have used at its end, where it said how many steps or epochs there will be.

An estimate, with the range that the job itself shows: its time so far is cut into stretches, and
the rest is taken to be like the second half of them; like the cheapest for the low bound, like the
dearest for the high one. A job that changes its ways later ends outside of that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from frugalwatch.report.attribution import Energy
from frugalwatch.report.phases import span_energy, steps_by_process
from frugalwatch.report.window import Span
from frugalwatch.screen.figures import Figures, RunRecord

_STRETCHES = 8
# Fewer stretches, or a shorter time, show nothing of how a job swings.
_LEAST_STRETCHES = 2
_LEAST_NS = 5_000_000_000

_GOALS = "SELECT pid, name, total FROM goal WHERE run_id = ? ORDER BY name, total DESC"
_STEPS_AT = """
SELECT t_mono_ns, steps FROM step WHERE run_id = ? AND pid = ? AND t_mono_ns <= ?
ORDER BY t_mono_ns DESC LIMIT 1
"""
_PHASES = """
SELECT began_mono_ns, ended_mono_ns FROM phase WHERE run_id = ? AND pid = ? AND name = ?
AND ended_mono_ns IS NOT NULL ORDER BY began_mono_ns
"""


class Mark(NamedTuple):
    """An instant, and how much was done by then."""

    t_mono_ns: int
    done: int


class Stretch(NamedTuple):
    """From one mark to the next."""

    begin: Mark
    end: Mark

    @property
    def done(self) -> int:
        """How much was done in it."""
        return self.end.done - self.begin.done

    @property
    def span(self) -> Span:
        """When it was."""
        return Span(self.begin.t_mono_ns, self.end.t_mono_ns)


@dataclass(frozen=True, slots=True)
class Range:
    """An estimate between two bounds."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Projection:
    """How far a job is, and the totals it is heading for. Joules and seconds; None is unknown.

    `what` is `steps` or a phase's name. `measured` and `estimated` are the run's totals at its end,
    never to be added up; `left_s` is the time until then.
    """

    what: str
    done: int
    total: int
    measured: Range | None = None
    estimated: Range | None = None
    left_s: Range | None = None

    @property
    def left(self) -> int:
        """How much is still to be done."""
        return self.total - self.done

    @property
    def share(self) -> float:
        """How much is done, 0 to 1."""
        return min(1.0, self.done / self.total)


def project(
    connection: sqlite3.Connection, record: RunRecord, figures: Figures
) -> Projection | None:
    """Where the run is heading. None for a job that did not say how much it will do."""
    goals = connection.execute(_GOALS, (record.number,)).fetchall()
    for pid, name, total in goals:
        if name:
            marks = _phase_marks(connection, record.number, pid, name)
        else:
            marks = _step_marks(connection, record.number)
        if not marks:
            continue
        found = Projection(name or "steps", marks[-1].done, total)
        stretches = [Stretch(a, b) for a, b in pairwise(marks) if b.done > a.done]
        lasted_ns = marks[-1].t_mono_ns - marks[0].t_mono_ns
        if found.left <= 0 or len(stretches) < _LEAST_STRETCHES or lasted_ns < _LEAST_NS:
            return found
        costs = _Costs(connection, record, figures, stretches)
        return replace(
            found,
            measured=costs.at_end(found.left, figures.measured, modelled=False),
            estimated=costs.at_end(found.left, figures.estimated, modelled=True),
            left_s=costs.time_left(found.left),
        )
    return None


def _step_marks(connection: sqlite3.Connection, run_id: int) -> tuple[Mark, ...]:
    """The steps of the process that reported most, at instants evenly spread over its time."""
    processes = steps_by_process(connection, run_id)
    if not processes:
        return ()
    most = processes[0]
    spread = most.last_ns - most.first_ns
    times = [most.first_ns + spread * k // _STRETCHES for k in range(_STRETCHES)]
    marks = [
        Mark(*connection.execute(_STEPS_AT, (run_id, most.pid, t)).fetchone())
        for t in [*times, most.last_ns]
    ]
    return tuple(dict.fromkeys(marks))


def _phase_marks(
    connection: sqlite3.Connection, run_id: int, pid: int, name: str
) -> tuple[Mark, ...]:
    """Where the phases of one name began, and where the last one that is over ended."""
    spans = connection.execute(_PHASES, (run_id, pid, name)).fetchall()
    if not spans:
        return (Mark(0, 0),)
    marks = [Mark(began, place) for place, (began, _) in enumerate(spans)]
    marks.append(Mark(spans[-1][1], len(spans)))
    stride = max(1, len(spans) // _STRETCHES)
    return (*marks[:-1:stride], marks[-1])


class _Costs:
    """Energy and time of one step, or one phase, in each stretch of a run."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        record: RunRecord,
        figures: Figures,
        stretches: Sequence[Stretch],
    ) -> None:
        self._connection = connection
        self._record = record
        self._devices = figures.devices
        self._stretches = stretches
        # What was done in it is not reported yet: it is part of what is left to do.
        self._since = Span(stretches[-1].end.t_mono_ns, record.window.end)

    def at_end(self, left: int, now: Energy | None, *, modelled: bool) -> Range | None:
        """Joules of the whole run after so many further steps; `now` is what it has used."""
        if now is None:
            return None
        each: list[Range] = []
        for stretch in self._stretches:
            used = self._energy(stretch.span, modelled=modelled)
            if used is None:
                return None
            count = stretch.done
            each.append(Range(used.value / count, used.low / count, used.high / count))
        spent = self._energy(self._since, modelled=modelled)
        spent_j = spent.value if spent is not None else 0.0

        def at_end(so_far_j: float, each_j: float) -> float:
            return so_far_j + max(0.0, left * each_j - spent_j)

        value = at_end(now.value, self._late([one.value for one in each]))
        return Range(
            value,
            min(value, at_end(now.low, min(one.low for one in each))),
            max(value, at_end(now.high, max(one.high for one in each))),
        )

    def time_left(self, left: int) -> Range:
        """Seconds until so many further steps are done."""
        each_s = [stretch.span.length / 1e9 / stretch.done for stretch in self._stretches]
        passed_s = self._since.length / 1e9
        paces = (self._late(each_s), min(each_s), max(each_s))
        return Range(*(max(0.0, left * pace - passed_s) for pace in paces))

    def _energy(self, span: Span, *, modelled: bool) -> Energy | None:
        return span_energy(
            self._connection, self._record.number, self._devices, span, modelled=modelled
        )

    def _late(self, each: Sequence[float]) -> float:
        """The mean over the second half of the stretches, weighted by what was done in them."""
        begin = len(each) // 2
        counts = [stretch.done for stretch in self._stretches[begin:]]
        return sum(e * c for e, c in zip(each[begin:], counts, strict=True)) / sum(counts)
