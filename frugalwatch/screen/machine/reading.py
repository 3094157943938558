"""Answers the view of the machine: sums by day, command and user, idle GPUs, the grid.

A look takes a few milliseconds, whatever is in the ledger: a month of history is read from the
stored totals of its runs, over several looks, and kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from frugalwatch.machine import boot_key
from frugalwatch.screen.machine.days import midnights
from frugalwatch.screen.machine.grid import read_grid
from frugalwatch.screen.machine.records import GridSeries, MachineLook
from frugalwatch.screen.machine.runs import MonthOfRuns
from frugalwatch.screen.machine.sums import Sums
from frugalwatch.screen.machine.union import Cluster, Piece, clusters, pieces
from frugalwatch.screen.reading import Source

# A look reads history for so long at most; runs that go on, and the grid, are read so often.
_BUDGET_S = 0.02
_RENEW_S = 5.0
_GRID_EVERY_S = 30.0
_GRID_BACK_S = 7 * 86_400.0
# Sums are shown so often while history is read.
_SHOW_S = 0.3


class MachinePart:
    """See `screen.reading.Part`. `here` is the boot that goes on, where its runs are listed."""

    def __init__(
        self, clock_s: Callable[[], float] = time.monotonic, here: str | None = None
    ) -> None:
        self._clock_s = clock_s
        self._here = boot_key() if here is None else here
        self._runs = MonthOfRuns()
        self._begins: list[float] = []
        self._over: Sums | None = None  # of the clusters that are over
        self._todo: list[Cluster] = []  # clusters that are over and not in there yet
        self._open: list[Cluster] = []  # those of which a run goes on
        self._last: MachineLook | None = None
        self._due_s = 0.0
        self._grid: GridSeries | None = None
        self._grid_due_s = -_GRID_EVERY_S

    def look(self, source: Source, question: object) -> MachineLook:
        """What is known now."""
        del question
        began_s = self._clock_s()
        now_utc_s = source.utc_ns() / 1e9
        begins = midnights(now_utc_s)
        if begins != self._begins:
            self._begins, self._over, self._last = begins, None, None
        done = self._runs.is_complete and self._over is not None and not self._todo
        news = self._runs.has_news(source)
        if self._last is not None and done and not news and began_s < self._due_s:
            return self._last
        self._read(source, began_s, news=news or began_s >= self._due_s)
        if self._last is None or self._is_done or began_s >= self._due_s:
            self._last = self._shown(source, now_utc_s)
            self._due_s = self._clock_s() + (_RENEW_S if self._is_done else _SHOW_S)
        return self._last

    @property
    def _is_done(self) -> bool:
        return self._runs.is_complete and self._over is not None and not self._todo

    def _read(self, source: Source, began_s: float, *, news: bool) -> None:
        """Read on for a moment: older runs, then what is new, then sums of what overlapped."""
        while not self._runs.is_complete:
            self._runs.read_back(source, round(self._begins[0] * 1e9))
            self._over = None
            if self._clock_s() - began_s > _BUDGET_S:
                return
        if news and self._runs.read_new(source):
            self._sort_in()
        if self._over is None:
            self._begin(source)
        while self._todo and self._clock_s() - began_s < _BUDGET_S:
            self._add(source, self._over_sums, self._todo.pop(0))

    @property
    def _over_sums(self) -> Sums:
        assert self._over is not None
        return self._over

    def _begin(self, source: Source) -> None:
        """Add up from the beginning: history has been read, or a day has begun."""
        self._over = Sums(self._begins, source.utc_ns() / 1e9)
        found = clusters(self._runs.parts.values())
        self._todo = [cluster for cluster in found if not _goes_on(cluster)]
        self._open = [cluster for cluster in found if _goes_on(cluster)]

    def _sort_in(self) -> None:
        """Take over runs that are new or have ended."""
        before = {run.number for cluster in self._open for run in cluster.runs}
        changed = self._runs.changed
        if any(number not in before and self._is_late(number, before) for number in changed):
            self._over = None  # it overlaps what was added up already
            return
        numbers = before | set(changed)
        found = clusters(self._runs.parts[number] for number in numbers)
        self._open = [cluster for cluster in found if _goes_on(cluster)]
        self._todo += [cluster for cluster in found if not _goes_on(cluster)]

    def _is_late(self, number: int, still_open: set[int]) -> bool:
        """Whether a run began before the last one of its boot that is over had ended."""
        new = self._runs.parts[number]
        return any(
            run.boot == new.boot and run.end_ns > new.begin_ns and run.number != number
            for run in self._runs.parts.values()
            if not run.is_running and run.number not in still_open
        )

    def _shown(self, source: Source, now_utc_s: float) -> MachineLook:
        if self._over is None:  # history is still being read: what there is, for the moment
            shown = Sums(self._begins, now_utc_s)
            for cluster in clusters(self._runs.parts.values()):
                self._add(source, shown, cluster)
        else:
            shown = self._over.copy(now_utc_s)
            for cluster in self._open:
                self._add(source, shown, cluster)
        if self._is_done:
            self._let_wait(source, shown)
        parts = self._runs.parts.values()
        oldest = min((run.begin_ns + run.offset_ns for run in parts), default=None)
        return MachineLook(
            now_utc_s=now_utc_s,
            hosts=tuple(sorted({run.host for run in parts})),
            days=tuple(zip(self._begins, shown.days, strict=True)),
            periods=shown.periods(),
            grid=self._grid_now(source, now_utc_s),
            by_user=source.settings.by_user,
            read_back_to_utc_s=None if self._is_done or oldest is None else oldest / 1e9,
        )

    def _add(self, source: Source, sums: Sums, cluster: Cluster) -> None:
        found: list[Piece] = pieces(source.connection, cluster, self._begins)
        sums.add(cluster, found, self._runs.gpus, by_user=source.settings.by_user)

    def _let_wait(self, source: Source, sums: Sums) -> None:
        """The GPUs of the boot that goes on have waited since its last run."""
        row = source.connection.execute("SELECT id FROM boot WHERE boot_key = ?", (self._here,))
        boot = row.fetchone()
        mine = [run for run in self._runs.parts.values() if boot and run.boot == boot[0]]
        if mine:
            last = max(mine, key=lambda run: run.end_ns)
            sums.wait_until(last.boot, source.utc_ns() - last.offset_ns)

    def _grid_now(self, source: Source, now_utc_s: float) -> GridSeries | None:
        now_s = self._clock_s()
        if now_s - self._grid_due_s >= _GRID_EVERY_S:
            self._grid_due_s = now_s
            self._grid = read_grid(source.connection, now_utc_s - _GRID_BACK_S)
        return self._grid


def _goes_on(cluster: Cluster) -> bool:
    return any(run.is_running for run in cluster.runs)
