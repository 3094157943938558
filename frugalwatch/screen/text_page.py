"""A page of text that scrolls: one run in full, help."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from frugalwatch.screen.records import Look
from frugalwatch.screen.view import Page, Wish
from frugalwatch.screen.words import Unit


class TextPage(Page):
    """Text over the whole screen; Esc or q leads back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "close", "Back", show=False),
        Binding("j,down", "scroll('down')", "Scroll", key_display="j k"),
        Binding("k,up", "scroll('up')", "Scroll", show=False),
        Binding("pagedown,space", "scroll('page_down')", "Scroll", show=False),
        Binding("pageup", "scroll('page_up')", "Scroll", show=False),
        Binding("g,home", "scroll('home')", "Scroll", show=False),
        Binding("G,end", "scroll('end')", "Scroll", show=False),
    ]
    DEFAULT_CSS = """
    TextPage #page { height: 1fr; padding: 0; }
    TextPage Header { display: none; }
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def body(self) -> ComposeResult:
        """The text."""
        with VerticalScroll(id="page"):
            yield Static(Text(self._text, no_wrap=True, overflow="ellipsis"), id="text")

    def wish(self) -> Wish:
        """Little: a page of text is read once."""
        return Wish(self.host.number, limit=1)

    def show_look(self, look: Look, unit: Unit) -> None:
        """A page of text does not change with the ledger."""

    def show_text(self, text: str) -> None:
        """Replace the text."""
        self._text = text
        self.query_one("#text", Static).update(Text(text, no_wrap=True, overflow="ellipsis"))

    def take_focus(self) -> None:
        """Let the keys scroll it."""
        self.query_one("#page").focus()

    def action_scroll(self, where: str) -> None:
        """Scroll the page: down, up, page_down, page_up, home, end."""
        page = self.query_one("#page", VerticalScroll)
        getattr(page, f"scroll_{where}")(animate=False)
