"""The list of runs as a widget that draws only the lines that are seen, however many there are.

A table that holds a cell object for every run takes 0.1 ms a run to fill, and is filled again for
every sort and every letter of a filter; here both cost one sort of records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, TypeAlias

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from frugalwatch.screen.jobs.all_runs import RunEntry
from frugalwatch.screen.jobs.columns import (
    Column,
    Key,
    Order,
    column_named,
    fitting_columns,
    in_order,
)
from frugalwatch.screen.words import Unit

# The side of a comparison that a marked run stands on.
Side: TypeAlias = Literal["A", "B"]
_NEXT_SIDE: Mapping[Side | None, Side | None] = {None: "A", "A": "B", "B": None}
_GAP = "  "


class RunsTable(ScrollView, can_focus=True):
    """One line a run. Tells of moves, of runs that are opened, and of marks."""

    SCOPED_CSS = False  # `.-ascii` stands on the program
    DEFAULT_CSS = """
    RunsTable {
        height: 1fr; background: $background; scrollbar-size-vertical: 1; overflow-x: hidden;
    }
    .-ascii RunsTable { scrollbar-size: 0 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Move", show=False),
        Binding("up,k", "move(-1)", "Move", show=False),
        Binding("pagedown", "page(1)", "Move", show=False),
        Binding("pageup", "page(-1)", "Move", show=False),
        Binding("home,g", "first", "Move", show=False),
        Binding("end,G", "last", "Move", show=False),
        Binding("enter", "open", "Open"),
        Binding("space,m", "mark", "Mark"),
        Binding("M", "unmark", "Drop all marks", show=False),
        Binding("s,greater_than_sign", "sort(1)", "Sort"),
        Binding("less_than_sign", "sort(-1)", "Sort by the column to the left", show=False),
        Binding("S", "turn", "Turn the order", show=False),
    ]

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

    class Changed(Message):
        """The marks or the order are others now."""

    def __init__(self, *, ascii_only: bool = False) -> None:
        super().__init__(id="all")
        self._ascii = ascii_only
        self._entries: list[RunEntry] = []
        self._given: Sequence[RunEntry] = ()
        self._sorted_by: tuple[Order, list[tuple[int, Key]]] = (Order(), [])
        self._unit: Unit = "Wh"
        self._columns: tuple[Column, ...] = fitting_columns(80)
        self._at: int | None = None
        self._row = 0
        self.order = Order()
        self.marks: dict[int, Side] = {}

    # -- what is shown -----------------------------------------------------------------------------

    def show_entries(self, entries: Sequence[RunEntry], unit: Unit, at: int | None = None) -> None:
        """List these runs. The cursor stays on its run, or goes to run `at`."""
        self._unit = unit
        if at is not None and self._at is None:
            self._at = at
        self._given = entries
        self._list(entries)

    def _list(self, entries: Sequence[RunEntry]) -> None:
        value = column_named(self.order.name).value
        keys = (self.order, [(entry.number, value(entry)) for entry in entries])
        if keys == self._sorted_by:  # figures of some may have changed, and none has moved
            by_number = {entry.number: entry for entry in entries}
            self._entries = [by_number[entry.number] for entry in self._entries]
        else:
            self._sorted_by, self._entries = keys, in_order(entries, self.order)
        numbers = [entry.number for entry in self._entries]
        if self._at in numbers:
            self._row = numbers.index(self._at)
        else:
            self._row = min(self._row, max(0, len(numbers) - 1))
        size = Size(self.size.width, len(self._entries) + 1)
        if size != self.virtual_size:
            self.virtual_size = size
        self.refresh()

    @property
    def entries(self) -> list[RunEntry]:
        """The runs that are listed, in their order."""
        return self._entries

    @property
    def current(self) -> RunEntry | None:
        """The run of the cursor."""
        return self._entries[self._row] if self._row < len(self._entries) else None

    def on_resize(self) -> None:
        """Choose the columns for the new width."""
        self._columns = fitting_columns(self.size.width)
        self._list(self._given)
        self._show_cursor()

    # -- drawing -----------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """One line: the heading stays while the runs scroll."""
        width = self.size.width
        base = self.rich_style
        if y == 0:
            return Strip([Segment(self.heading(), base + Style(bold=True))]).adjust_cell_length(
                width, base
            )
        row = self.scroll_offset.y + y - 1
        if row >= len(self._entries):
            return Strip.blank(width, base)
        style = base + Style(reverse=True) if row == self._row else base
        entry = self._entries[row]
        return Strip([Segment(self.line(entry), style)]).adjust_cell_length(width, style)

    def heading(self) -> str:
        """The names of the columns; the one that the list is sorted by has an arrow."""
        falling, rising = ("v", "^") if self._ascii else ("▼", "▲")
        cells = []
        for column in self._columns:
            name = column.name
            if name == self.order.name:
                arrow = falling if self.order.falling else rising
                name = f"{arrow}{name}" if column.right else f"{name}{arrow}"
            cells.append(_fitted(name, column))
        return "  " + _GAP.join(cells)

    def line(self, entry: RunEntry) -> str:
        """One run."""
        cells = [_fitted(column.text(entry, self._unit), column) for column in self._columns]
        return f"{self.marks.get(entry.number, ' ')} " + _GAP.join(cells)

    # -- keys --------------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        """Move the cursor by so many lines."""
        self._go(self._row + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by so many pages."""
        self._go(self._row + by * max(1, self.size.height - 2))

    def action_first(self) -> None:
        """Go to the first line."""
        self._go(0)

    def action_last(self) -> None:
        """Go to the last line."""
        self._go(len(self._entries) - 1)

    def action_open(self) -> None:
        """Ask for the run of the cursor."""
        if self.current is not None:
            self.post_message(self.Opened(self.current.number))

    def action_mark(self) -> None:
        """Mark the run of the cursor: A, then B, then not; and go on to the next line."""
        if self.current is None:
            return
        self._mark(self.current.number)
        self._go(self._row + 1)

    def action_unmark(self) -> None:
        """Drop all marks."""
        self.marks = {}
        self._tell()

    def action_sort(self, by: int) -> None:
        """Sort by the next column to the right (1) or left (-1)."""
        self._sort(self.order.moved(self._columns, by))

    def action_turn(self) -> None:
        """Turn the order."""
        self._sort(self.order.clicked(self.order.name))

    # -- mouse -------------------------------------------------------------------------------------

    def on_click(self, event: events.Click) -> None:
        """A column's name sorts, the margin marks, a line takes the cursor, once more opens it."""
        where = event.get_content_offset(self)
        if where is None:
            return
        event.stop()
        if where.y == 0:
            column = self._column_at(where.x)
            if column is not None:
                self._sort(self.order.clicked(column.name))
            return
        row = self.scroll_offset.y + where.y - 1
        if row >= len(self._entries):
            return
        if where.x < 2:
            self._mark(self._entries[row].number)
        elif row == self._row:
            self.action_open()
        else:
            self._go(row)

    def _column_at(self, x: int) -> Column | None:
        left = 2
        for column in self._columns:
            if left <= x < left + column.width + len(_GAP):
                return column
            left += column.width + len(_GAP)
        return None

    # -- changes -----------------------------------------------------------------------------------

    def _go(self, row: int) -> None:
        row = max(0, min(row, len(self._entries) - 1))
        if not self._entries or (row == self._row and self._at is not None):
            return
        self._row, self._at = row, self._entries[row].number
        self._show_cursor()
        self.refresh()
        self.post_message(self.Moved(self._at))

    def _show_cursor(self) -> None:
        """Scroll as little as shows the cursor's line below the heading."""
        lines = max(1, self.size.height - 1)
        top = self.scroll_offset.y
        if self._row < top:
            top = self._row
        elif self._row >= top + lines:
            top = self._row - lines + 1
        if top != self.scroll_offset.y:
            self.scroll_to(y=top, animate=False, force=True, immediate=True)

    def _mark(self, number: int) -> None:
        side = _NEXT_SIDE[self.marks.get(number)]
        if side is None:
            del self.marks[number]
        else:
            self.marks[number] = side
        self._tell()

    def _sort(self, order: Order) -> None:
        self.order = order
        self._list(self._given)
        self._show_cursor()
        self._tell()

    def _tell(self) -> None:
        self.refresh(Region(0, 0, *self.size))
        self.post_message(self.Changed())


def _fitted(text: str, column: Column) -> str:
    if len(text) > column.width:
        text = text[: max(0, column.width - 2)] + ".."
    return text.rjust(column.width) if column.right else text.ljust(column.width)
