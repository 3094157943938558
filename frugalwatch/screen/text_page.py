"""A page of text that scrolls: one run in full, help."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from frugalwatch.screen.records import Look
from frugalwatch.screen.scroll_page import ScrollPage
from frugalwatch.screen.view import Wish
from frugalwatch.screen.words import Unit


class TextPage(ScrollPage):
    """Text over the whole screen; Esc or q leads back."""

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
