"""The list of runs: in the live view the latest ones, in the jobs view all that match a filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from textual import events
from textual.message import Message
from textual.widgets import DataTable

from frugalwatch.ledger.queries import RunRow
from frugalwatch.report.format import command_line, duration, percent
from frugalwatch.screen.list_table import ListTable
from frugalwatch.screen.words import Unit, row_carbon, row_energy, started_text, state_text

if TYPE_CHECKING:
    from frugalwatch.screen.view import Host

_NARROW, _WIDE = 72, 110
_COLUMNS = (("Run", 6), ("State", 12), ("Time", 13), ("Energy", 12), ("CO2e", 11))
_MORE = (("Started", 14), ("Cover", 8))
_RIGHT = frozenset({"Time", "Energy", "CO2e", "Cover"})


class JobsTable(ListTable):
    """One line a run. Moving the cursor posts `Moved`, Enter or a click on it `Opened`."""

    class Moved(Message):
        """A person moved the cursor to this run."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    class Opened(Message):
        """A person wants to see this run in full."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's own name for it
        super().__init__(id=id, cursor_type="row", cell_padding=0)
        self._rows: dict[str, tuple[str, ...]] = {}
        self._runs: tuple[RunRow, ...] = ()
        self._unit: Unit = "Wh"
        self._fixed: tuple[tuple[str, int], ...] = ()
        self._room = 0
        self._at: int | None = None

    def show_runs(self, runs: Sequence[RunRow], unit: Unit, at: int | None) -> None:
        """Show these runs, the cursor on run `at` where it is listed."""
        self._runs, self._unit = tuple(runs), unit
        self._set_columns()
        rows = {str(run.number): self._cells(run) for run in runs}
        if list(rows) != list(self._rows):
            self._refill(rows)
        else:
            self._renew(rows)
        self._rows = rows
        if at is not None and str(at) in rows:
            self._at = at
            self.move_cursor(row=self.get_row_index(str(at)), animate=False)

    def on_resize(self, event: events.Resize) -> None:
        """Give the command what is left of the new width."""
        del event
        if self._fixed:
            self.show_runs(self._runs, self._unit, self._at)

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Tell a person's move from our own."""
        event.stop()
        if event.cursor_row < 0:
            return  # the keys were pressed in an empty list
        number = _number(event.row_key.value)
        if number is not None and number != self._at and self.has_focus:
            self._at = number
            self.post_message(self.Moved(number))

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Enter, or a click on the line of the cursor."""
        event.stop()
        number = _number(event.row_key.value)
        if number is not None:
            self.post_message(self.Opened(number))

    def _set_columns(self) -> None:
        width = self.size.width or self.app.size.width
        fixed = _columns(width)
        # One column is the scroll bar's, whether it is there or not.
        room = max(8, width - sum(size for _, size in fixed) - 2)
        if (fixed, room) == (self._fixed, self._room):
            return
        self._fixed, self._room = fixed, room
        self._rows = {}
        self.clear(columns=True)
        for name, size in fixed:
            self.add_column(_aligned(name, name, size), width=size, key=name)
        self.add_column("  Command", width=room, key="Command")

    def _refill(self, rows: dict[str, tuple[str, ...]]) -> None:
        with self.app.batch_update():
            self.clear()
            for key, cells in rows.items():
                self.add_row(*cells, key=key)

    def _renew(self, rows: dict[str, tuple[str, ...]]) -> None:
        names = [column.value for column in self.columns]
        for key, cells in rows.items():
            for name, cell, before in zip(names, cells, self._rows[key], strict=True):
                if cell != before and name is not None:
                    self.update_cell(key, name, cell)

    def _cells(self, run: RunRow) -> tuple[str, ...]:
        values = {
            "Run": f"{run.number:>4}",
            "State": state_text(run),
            "Time": duration(run.duration_s),
            "Energy": row_energy(run, self._unit),
            "CO2e": row_carbon(run, self._unit),
            "Started": started_text(run, cast("Host", self.app).utc_ns() / 1e9),
            "Cover": "-" if run.coverage is None else percent(run.coverage),
        }
        cells = [_aligned(name, values[name], size) for name, size in self._fixed]
        return (*cells, "  " + command_line(list(run.command), self._room - 2))


def _columns(width: int) -> tuple[tuple[str, int], ...]:
    """The columns before the command, with their widths."""
    if width < _NARROW:
        return tuple(column for column in _COLUMNS if column[0] != "Time")
    return (*_COLUMNS, *_MORE) if width >= _WIDE else _COLUMNS


def _aligned(name: str, text: str, size: int) -> str:
    if name in _RIGHT:
        return text.rjust(size)
    # What follows a column of figures keeps its distance.
    return f"  {text}".ljust(size) if name == "Started" else text.ljust(size)


def _number(key: str | None) -> int | None:
    return int(key) if key else None
