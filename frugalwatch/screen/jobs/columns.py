"""The columns of the list of runs: what each shows, and what it is sorted by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from frugalwatch.report.format import duration, percent
from frugalwatch.screen.jobs.all_runs import RunEntry
from frugalwatch.screen.jobs.run_filter import quantity_of
from frugalwatch.screen.words import Unit, row_carbon, row_energy, started_text, watts

Key: TypeAlias = float | str | None


class Column(NamedTuple):
    """One column. `rank` says in which order columns get room, 0 first; None sorts last always."""

    name: str
    width: int
    rank: int
    right: bool
    value: Callable[[RunEntry], Key]
    text: Callable[[RunEntry, Unit], str]


def _energy(entry: RunEntry) -> Key:
    return quantity_of(entry, "energy")


def _mean_power(entry: RunEntry, unit: Unit) -> str:
    del unit
    return watts(quantity_of(entry, "power"), modelled=entry.row.energy_j is None)


def _cover(entry: RunEntry, unit: Unit) -> str:
    del unit
    return "-" if entry.row.coverage is None else percent(entry.row.coverage)


def _cpu(entry: RunEntry, unit: Unit) -> str:
    del unit
    return "-" if entry.row.cpu_s is None else duration(entry.row.cpu_s)


COLUMNS: tuple[Column, ...] = (
    Column("Run", 5, 0, True, lambda e: e.number, lambda e, _: str(e.number)),
    Column("State", 11, 0, False, lambda e: e.state, lambda e, _: e.state),
    Column(
        "Started", 11, 5, False, lambda e: e.row.started_utc_s, lambda e, _: started_text(e.row)
    ),
    Column(
        "Time", 11, 2, True, lambda e: e.row.duration_s, lambda e, _: duration(e.row.duration_s)
    ),
    Column("CPU", 11, 8, True, lambda e: e.row.cpu_s, _cpu),
    Column("Energy", 11, 0, True, _energy, lambda e, unit: row_energy(e.row, unit)),
    Column("CO2e", 10, 1, True, lambda e: e.row.co2e_g, lambda e, unit: row_carbon(e.row, unit)),
    Column("Mean", 8, 6, True, lambda e: quantity_of(e, "power"), _mean_power),
    Column("Cover", 7, 7, True, lambda e: e.row.coverage, _cover),
    Column("Zone", 6, 10, False, lambda e: e.zone or None, lambda e, _: e.zone or "-"),
    Column("Host", 12, 9, False, lambda e: e.host, lambda e, _: e.host),
    Column("Command", 16, 0, False, lambda e: e.command, lambda e, _: e.command),
)
_GAP = 2
_MARGIN = 2  # the mark, and a space behind it
_ROOMY, _ROOMY_COMMAND = 110, 34


def fitting_columns(width: int) -> tuple[Column, ...]:
    """The columns that fit into `width`; the command gets what is left."""
    last = COLUMNS[-1]
    least = last.width if width < _ROOMY else _ROOMY_COMMAND
    chosen: list[Column] = []
    used = _MARGIN - _GAP
    for column in sorted(COLUMNS, key=lambda c: c.rank):
        needed = _GAP + (least if column is last else column.width)
        if column.rank == 0 or used + needed <= width:
            chosen.append(column)
            used += needed
    widened = last._replace(width=max(8, least + width - used))
    return tuple(widened if c is last else c for c in COLUMNS if c in chosen)


class Order(NamedTuple):
    """What the list is sorted by."""

    name: str = "Run"
    falling: bool = True

    def clicked(self, name: str) -> Order:
        """The order after a column was chosen: its first order, or the other one."""
        return Order(name, not self.falling if name == self.name else _big(name))

    def moved(self, shown: Sequence[Column], by: int) -> Order:
        """The order by the next column to the right or left of those that are shown."""
        names = [column.name for column in shown]
        place = names.index(self.name) if self.name in names else 0
        name = names[(place + by) % len(names)]
        return Order(name, _big(name))


def _big(name: str) -> bool:
    """Of figures and times the largest comes first, of words the first of the alphabet."""
    return name not in ("State", "Zone", "Host", "Command")


def column_named(name: str) -> Column:
    """The column of that name."""
    return next(column for column in COLUMNS if column.name == name)


def in_order(entries: Sequence[RunEntry], order: Order) -> list[RunEntry]:
    """The runs in that order; equal ones the newest first, unknown values at the end."""
    value = column_named(order.name).value
    newest = sorted(entries, key=lambda e: -e.number)
    known = [e for e in newest if value(e) is not None]
    unknown = [e for e in newest if value(e) is None]
    known.sort(key=lambda e: _sortable(value(e)), reverse=order.falling)
    return [*known, *unknown]


def _sortable(value: Key) -> tuple[float, str]:
    return (0.0, value.lower()) if isinstance(value, str) else (value or 0.0, "")
