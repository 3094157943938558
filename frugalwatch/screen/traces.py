"""Follows one run's samples and events: each row is read once, so a look costs what is new."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from frugalwatch.report.window import Span
from frugalwatch.screen.one_run.whole_trace import edges_of, read_trace
from frugalwatch.screen.records import Point, Trace

SHOWN_NS = 600 * 1_000_000_000
# Columns in which the trace of a run that is over is read: as many as a wide terminal can show.
_WHOLE_COLUMNS = 256
# A pause of so many usual steps is a gap: one late or lost look is none.
_STEPS_JOINED = 3
_SHORTEST_GAP_NS = 2_500_000_000

# The run's last rows, and the one before them, so that the curve begins at the window's edge.
_FIRST_SAMPLES = """
SELECT t_mono_ns, energy_uj FROM sample WHERE stream_id = :stream AND t_mono_ns >= coalesce(
    (SELECT max(t_mono_ns) FROM sample WHERE stream_id = :stream AND t_mono_ns <= :since), 0)
ORDER BY t_mono_ns
"""
_NEW_SAMPLES = """
SELECT t_mono_ns, energy_uj FROM sample WHERE stream_id = :stream AND t_mono_ns > :since
ORDER BY t_mono_ns
"""
_NEW_EVENTS = """
SELECT id, stream_id, kind, cause, since_mono_ns, t_mono_ns, detail FROM event
WHERE run_id = ? AND id > ? ORDER BY id
"""
_STEPS = """
SELECT t_mono_ns FROM sample WHERE stream_id = ? ORDER BY t_mono_ns {} LIMIT 30
"""
# What a person should know while the run goes on; gaps are shown with their device.
_TOLD = frozenset(
    {"sampler_restarted", "supervisor_lost", "suspended", "clock_step", "disagreement"}
    | {"ledger_unwritable", "notice", "recovered"}
)
# What the user set, which is named: the cause is the budget or the alert.
_NAMED = frozenset(
    {"budget_passed", "budget_exceeded", "budget_unwatched", "job_signalled", "job_goes_on"}
    | {"alert", "alert_over", "alert_undelivered"}
)


class _Gap:
    """A span in which a stream's device gave no figure. `until_ns` is None while it lasts."""

    __slots__ = ("cause", "since_ns", "until_ns")

    def __init__(self, since_ns: int, cause: str) -> None:
        self.since_ns = since_ns
        self.until_ns: int | None = None
        self.cause = cause


class RunTraces:
    """What happened to one run, and the traces of its streams: the last ten minutes while it goes
    on, the whole of them once it is over.
    """

    def __init__(self, run_id: int) -> None:
        self.run_id = run_id
        self._points: dict[int, deque[Point]] = {}
        self._gaps: dict[int, list[_Gap]] = {}
        self._last_event = 0
        self._whole: dict[int, Trace] = {}
        self.notices: tuple[str, ...] = ()

    def follow_events(self, connection: sqlite3.Connection) -> None:
        """Take in the events written since the last call."""
        for row in connection.execute(_NEW_EVENTS, (self.run_id, self._last_event)).fetchall():
            self._last_event, stream, kind, cause, since, t, detail = row
            if kind == "gap" and stream is not None:
                self._gaps.setdefault(stream, []).append(_Gap(t if since is None else since, cause))
            elif kind == "gap_end" and stream is not None:
                for gap in self._gaps.get(stream, []):
                    if gap.until_ns is None and gap.since_ns <= (t if since is None else since):
                        gap.until_ns = t
            elif kind in _TOLD:
                said = kind.replace("_", " ") if kind != "notice" else ""
                self._notice(said, detail or cause)
            elif kind in _NAMED:
                self._notice(f"{kind.replace('_', ' ')} {cause}".rstrip(), detail)

    def _notice(self, *parts: str) -> None:
        text = ": ".join(part for part in parts if part)
        self.notices = (*self.notices, text)[-5:]

    def follow_stream(
        self, connection: sqlite3.Connection, stream_id: int, end_ns: int, interval_ns: int
    ) -> Trace:
        """The stream's last ten minutes before `end_ns`."""
        points = self._points.setdefault(stream_id, deque())
        since = points[-1].t_mono_ns if points else end_ns - SHOWN_NS
        query = _NEW_SAMPLES if points else _FIRST_SAMPLES
        rows = connection.execute(query, {"stream": stream_id, "since": since}).fetchall()
        points.extend(Point(t, energy_uj / 1e6) for t, energy_uj in rows)
        while len(points) > 2 and points[1].t_mono_ns <= end_ns - SHOWN_NS:
            points.popleft()
        shown = tuple(points)
        return Trace(
            shown,
            tuple(g for g in self._gap_spans(stream_id, end_ns) if g.end > end_ns - SHOWN_NS),
            _longest_step_ns([point.t_mono_ns for point in shown[-30:]], interval_ns),
        )

    def whole_stream(
        self, connection: sqlite3.Connection, stream_id: int, window: Span, interval_ns: int
    ) -> Trace:
        """The stream of a run that is over, from its beginning to its end; read once."""
        known = self._whole.get(stream_id)
        if known is None:
            usual_ns = interval_ns
            for order in ("", "DESC") if interval_ns else ():  # thinned samples are minutes apart
                times = sorted(t for (t,) in connection.execute(_STEPS.format(order), (stream_id,)))
                usual_ns = max(usual_ns, _median_step_ns(times))
            gaps = self._gap_spans(stream_id, window.end)
            edges = edges_of(window, _WHOLE_COLUMNS)
            known = self._whole[stream_id] = read_trace(
                connection, stream_id, gaps, edges, usual_ns
            )
        return known

    def _gap_spans(self, stream_id: int, end_ns: int) -> list[Span]:
        return [
            Span(gap.since_ns, end_ns if gap.until_ns is None else gap.until_ns)
            for gap in self._gaps.get(stream_id, [])
        ]

    def open_gap(self, stream_id: int) -> tuple[int, str] | None:
        """Since when a stream's device has been silent and why, if it is so now."""
        for gap in self._gaps.get(stream_id, []):
            if gap.until_ns is None:
                return gap.since_ns, gap.cause
        return None


def _longest_step_ns(times: Sequence[int], interval_ns: int) -> int:
    """The longest pause that is no gap: samples that were thinned to minutes are further apart."""
    return max(_STEPS_JOINED * max(interval_ns, _median_step_ns(times)), _SHORTEST_GAP_NS)


def _median_step_ns(times: Sequence[int]) -> int:
    steps = sorted(later - earlier for earlier, later in pairwise(times))
    return steps[len(steps) // 2] if len(steps) > 1 else 0
