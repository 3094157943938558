"""Follows one run's samples and events: each row is read once, so a look costs what is new."""

from __future__ import annotations

import sqlite3
from collections import deque

from frugalwatch.report.window import Span
from frugalwatch.screen.records import Point, Trace

SHOWN_NS = 600 * 1_000_000_000
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
# What a person should know while the run goes on; gaps are shown with their device.
_TOLD = frozenset(
    {"sampler_restarted", "supervisor_lost", "suspended", "clock_step", "disagreement"}
    | {"ledger_unwritable", "notice", "recovered"}
)


class _Gap:
    """A span in which a stream's device gave no figure. `until_ns` is None while it lasts."""

    __slots__ = ("cause", "since_ns", "until_ns")

    def __init__(self, since_ns: int, cause: str) -> None:
        self.since_ns = since_ns
        self.until_ns: int | None = None
        self.cause = cause


class RunTraces:
    """The last ten minutes of every stream of one run, and what happened to it."""

    def __init__(self, run_id: int) -> None:
        self.run_id = run_id
        self._points: dict[int, deque[Point]] = {}
        self._gaps: dict[int, list[_Gap]] = {}
        self._last_event = 0
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
                text = ": ".join(part for part in (said, detail or cause) if part)
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
        gaps = [
            Span(gap.since_ns, end_ns if gap.until_ns is None else gap.until_ns)
            for gap in self._gaps.get(stream_id, [])
        ]
        shown = tuple(points)
        return Trace(
            shown,
            tuple(gap for gap in gaps if gap.end > end_ns - SHOWN_NS),
            _longest_step_ns(shown, interval_ns),
        )

    def open_gap(self, stream_id: int) -> tuple[int, str] | None:
        """Since when a stream's device has been silent and why, if it is so now."""
        for gap in self._gaps.get(stream_id, []):
            if gap.until_ns is None:
                return gap.since_ns, gap.cause
        return None


def _longest_step_ns(points: tuple[Point, ...], interval_ns: int) -> int:
    """The longest pause that is no gap: samples that were thinned to minutes are further apart."""
    usual = interval_ns
    if len(points) > 2:
        steps = sorted(
            later.t_mono_ns - earlier.t_mono_ns
            for earlier, later in zip(points[-30:], points[-29:], strict=False)
        )
        usual = max(usual, steps[len(steps) // 2])
    return max(_STEPS_JOINED * usual, _SHORTEST_GAP_NS)
