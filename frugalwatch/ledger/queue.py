"""Rows that wait for the database, in bounded space.

Figures are cumulative, so leaving out a row between two others loses detail and never energy.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

Value = int | float | str | None
Row = tuple[Value, ...]

MAX_ROWS = 16_000  # of one table; about 4 MiB of samples
MAX_EVENTS = 2_000


class Rows:
    """The queue of one table. When full, about half of what lies between the ends is left out.

    `series` tells which rows belong together: the first and the last row of each stay.
    """

    __slots__ = ("_series", "rows", "thinned")

    def __init__(self, series: Callable[[Row], Hashable]) -> None:
        self.rows: list[Row] = []
        self.thinned = 0
        self._series = series

    def add(self, row: Row) -> None:
        """Queue one row."""
        self.rows.append(row)
        if len(self.rows) > MAX_ROWS:
            kept = every_second(self.rows, self._series)
            self.thinned += len(self.rows) - len(kept)
            self.rows = kept


class Events:
    """Events of a run: (handle, kind, cause, since, t, energy_missing, detail).

    All of them stay in memory, for the case that the database is lost; beyond MAX_EVENTS they are
    summed up in one, which is written when the run ends.
    """

    __slots__ = ("_further", "kept", "written")

    def __init__(self) -> None:
        self.kept: list[Row] = []
        self.written = 0
        self._further: list[Row] = []

    def add(self, event: Row) -> None:
        """Queue one event."""
        if len(self.kept) < MAX_EVENTS:
            self.kept.append(event)
            return
        self._further.append(event)
        if len(self._further) > MAX_EVENTS:
            self._further = [_summed_up(self._further)]

    def new(self, *, last: bool) -> list[Row]:
        """What the database lacks; with `last`, the one that stands for those not kept too."""
        events = self.kept[self.written :]
        if last and self._further:
            events.append(_summed_up(self._further))
        return events

    def all_written(self, *, last: bool) -> None:
        """What `new` answered is in the database."""
        self.written = len(self.kept)
        if last:
            self._further.clear()

    def forget_written(self) -> None:
        """Let go of what is in the database: for a recording that has no end to wait for."""
        del self.kept[: self.written]
        self.written = 0
        room = MAX_EVENTS - len(self.kept)
        self.kept += self._further[:room]
        del self._further[:room]


def every_second(rows: list[Row], series: Callable[[Row], Hashable]) -> list[Row]:
    """About half the rows: the first and last of each series, and every second one between."""
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


def clean(text: str) -> str:
    """`text` as SQLite can store it: bytes that were no UTF-8 become \\udcXX, spelled out."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


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
