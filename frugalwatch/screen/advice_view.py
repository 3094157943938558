"""View 3: what `advise` found, what was applied, and whether it held."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Static

from frugalwatch.ledger.advice_history import recommendation_rows
from frugalwatch.report.format import command_line
from frugalwatch.screen.advice.reading import AdviceEntry, AdviceLook, AdvicePart, counted
from frugalwatch.screen.advice.words import (
    NO_ADVICE,
    detail_lines,
    what_became,
    what_it_saves,
    what_it_says,
)
from frugalwatch.screen.list_table import ListTable
from frugalwatch.screen.records import Look
from frugalwatch.screen.text_page import TextPage
from frugalwatch.screen.view import Export, View, Wish
from frugalwatch.screen.words import Unit

_COLUMNS = (("Advice", 7), ("Change", 20), ("Saves", 25), ("Since then", 13))
_SCHEMA = "frugalwatch.screen.advice/1"


class AdviceView(View):
    """The list of advice, and all about the one of the cursor."""

    ID = "advice"
    LABEL = "Advice"
    LISTS = (ListTable,)
    HELP = """\
 Saves        of the best change: energy, or CPU time where there was no
              counter, with its interval from rounds that no selection saw
 Since then   open: nobody used it. runs: applied with `run --with`.
              held, NOT held, cannot tell: what `verify` measured again"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.view('live')", "Back to the live view", show=False),
        Binding("right_square_bracket", "scroll_detail(1)", "Scroll what is below", show=False),
        Binding("left_square_bracket", "scroll_detail(-1)", "Scroll what is below", show=False),
    ]
    SCOPED_CSS = False
    DEFAULT_CSS = """
    AdviceView #about { text-wrap: nowrap; text-overflow: ellipsis; }
    AdviceView #advices { height: 6; }
    AdviceView #detail { height: 1fr; border-top: solid $panel; }
    .-tall AdviceView #advices { height: 12; }
    .-ascii AdviceView #detail { border-top: ascii $panel; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._entries: tuple[AdviceEntry, ...] = ()
        self._at: int | None = None
        self._rows: list[tuple[str, ...]] = []

    def compose(self) -> ComposeResult:
        """The list above, the detail below."""
        yield ListTable(id="advices", cursor_type="row", cell_padding=0)
        with VerticalScroll(id="detail", can_focus=False):
            yield Static(id="about")

    def wish(self) -> Wish:
        """The stored advice."""
        return Wish(self.host.number, limit=1, part=AdvicePart)

    def show_look(self, look: Look, unit: Unit) -> None:
        """Show this look at the ledger."""
        if isinstance(look.part, AdviceLook):
            self._entries = look.part.entries
            self._show_list()
            self._show_detail()

    def empty_lines(self, look: Look) -> list[str]:
        """Which command makes some."""
        if isinstance(look.part, AdviceLook) and look.part.entries:
            return []
        return [*NO_ADVICE, "", f"Looking at {look.path}"]

    def heading(self, look: Look, unit: Unit, width: int) -> tuple[str, str] | None:
        """How much there is, and how much of it was used and held."""
        if not isinstance(look.part, AdviceLook) or not look.part.entries:
            return None
        some, applied, held = counted(look.part.entries)
        best = next((entry for entry in look.part.entries if entry.recommendations), None)
        said = f"{len(look.part.entries)} stored, {some} recommend something"
        latest = f"Latest: {best.name} {what_it_says(best)}, {what_it_saves(best)}" if best else ""
        return f"{said}   {applied} applied   {held} held when verified", latest[:width]

    def export(self) -> Export | None:
        """A row for each recommendation."""
        rows = [
            row
            for entry in self._entries
            for row in recommendation_rows(
                entry.name, entry.key, entry.document, list(entry.verifications), list(entry.uses)
            )
        ]
        return Export("advice", _SCHEMA, rows) if rows else None

    def take_focus(self) -> None:
        """Let the keys move in the list."""
        self.query_one(ListTable).focus()

    def action_scroll_detail(self, by: int) -> None:
        """Scroll what is known about the advice of the cursor."""
        self.query_one("#detail").scroll_relative(y=5 * by, animate=False)

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Show the advice of the cursor."""
        event.stop()
        if event.cursor_row < 0:
            return  # the keys were pressed in an empty list
        if event.row_key.value and self.query_one(ListTable).has_focus:
            self._at = int(event.row_key.value)
            self._show_detail()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open all about it over the whole screen."""
        event.stop()
        entry = self._chosen()
        if entry is not None:
            self.host.open_page(AdvicePage("\n".join(detail_lines(entry, self._width))))

    def on_resize(self, event: events.Resize) -> None:
        """Fit columns and text into the new width."""
        del event
        self._rows = []
        self._show_list()
        self._show_detail()

    @property
    def _width(self) -> int:
        return max(40, self.app.size.width - 2)

    def _chosen(self) -> AdviceEntry | None:
        found = [entry for entry in self._entries if entry.number == self._at]
        return found[0] if found else next(iter(self._entries), None)

    def _show_list(self) -> None:
        table = self.query_one(ListTable)
        room = max(8, self._width - sum(width for _, width in _COLUMNS))
        rows = [_cells(entry, room) for entry in self._entries]
        if rows == self._rows:
            return
        self._rows = rows
        at = self._chosen()
        with self.app.batch_update():
            table.clear(columns=True)
            for name, width in _COLUMNS:
                table.add_column(name, width=width)
            table.add_column("Command", width=room)
            for entry, cells in zip(self._entries, rows, strict=True):
                table.add_row(*cells, key=str(entry.number))
        if at is not None:
            table.move_cursor(row=table.get_row_index(str(at.number)), animate=False)

    def _show_detail(self) -> None:
        entry = self._chosen()
        lines = detail_lines(entry, self._width) if entry else []
        text = Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
        about = self.query_one("#about", Static)
        if about.content != text:
            about.update(text)


class AdvicePage(TextPage):
    """All about one advice."""

    LABEL = "Advice"


def _cells(entry: AdviceEntry, room: int) -> tuple[str, ...]:
    texts = (entry.name, what_it_says(entry), what_it_saves(entry), what_became(entry))
    cells = [text[: width - 1] for text, (_, width) in zip(texts, _COLUMNS, strict=True)]
    return (*cells, command_line(list(entry.command), room))
