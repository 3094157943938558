"""The keys of every list on the screen, arrows and those of vi alike."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import DataTable


class MovingTable(DataTable[str]):
    """A list with one line an entry and a cursor on one of them; there is nothing to open."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "cursor_down", "Move", show=False),
        Binding("k,up", "cursor_up", "Move", show=False),
        Binding("pagedown", "page_down", "Move", show=False),
        Binding("pageup", "page_up", "Move", show=False),
        Binding("g,home", "scroll_top", "Move", show=False),
        Binding("G,end", "scroll_bottom", "Move", show=False),
        # Without columns to scroll to they lead to the views beside, as everywhere.
        Binding("h,left", "app.step(-1)", "View beside", show=False),
        Binding("l,right", "app.step(1)", "View beside", show=False),
    ]


class ListTable(MovingTable):
    """A list whose entries can be opened."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "select_cursor", "Open")]
