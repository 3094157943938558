"""A page that scrolls by the keys that pagers have taught people."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from frugalwatch.screen.view import Page


class ScrollPage(Page):
    """Scrolls its `VerticalScroll` with id "page"; Esc or q leads back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "scroll('down')", "Scroll", key_display="j k"),
        Binding("k,up", "scroll('up')", "Scroll", show=False),
        Binding("pagedown,space", "scroll('page_down')", "Scroll", show=False),
        Binding("pageup", "scroll('page_up')", "Scroll", show=False),
        Binding("g,home", "scroll('home')", "Scroll", show=False),
        Binding("G,end", "scroll('end')", "Scroll", show=False),
        Binding("q", "close", "Back", show=False),
    ]

    def take_focus(self) -> None:
        """Let the keys scroll it."""
        self.query_one("#page").focus()

    def action_scroll(self, where: str) -> None:
        """Scroll the page: down, up, page_down, page_up, home, end."""
        page = self.query_one("#page", VerticalScroll)
        getattr(page, f"scroll_{where}")(animate=False)
