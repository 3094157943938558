"""One run in full, as `frugalwatch show` prints it, and the page of help: text that scrolls."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static


class Page(ModalScreen[None]):
    """A text over the whole screen; Esc, q or Enter leads back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss", "Back"),
        Binding("j,down", "scroll('down')", "Down", show=False),
        Binding("k,up", "scroll('up')", "Up", show=False),
        Binding("pagedown,space", "scroll('page_down')", "Page down", show=False),
        Binding("pageup", "scroll('page_up')", "Page up", show=False),
        Binding("g,home", "scroll('home')", "First", show=False),
        Binding("G,end", "scroll('end')", "Last", show=False),
    ]

    DEFAULT_CSS = """
    Page { background: $surface; }
    Page #page { height: 1fr; padding: 0; }
    Page #back { height: 1; background: $panel; }
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """The text and the line of keys."""
        with VerticalScroll(id="page"):
            yield Static(Text(self._text, no_wrap=True, overflow="ellipsis"), id="text")
        yield Static(" [b]Esc[/b] Back  [b]j k[/b] Scroll", id="back")

    def show_text(self, text: str) -> None:
        """Replace the text."""
        self.query_one("#text", Static).update(Text(text, no_wrap=True, overflow="ellipsis"))

    def action_scroll(self, where: str) -> None:
        """Scroll the page: down, up, page_down, page_up, home, end."""
        page = self.query_one("#page", VerticalScroll)
        getattr(page, f"scroll_{where}")(animate=False)


HELP = """\
 This shows what the ledger knows and never touches a job: close it, open it.

 1  Live: power, energy and carbon of one run    2  Jobs: all runs

 up down j k g G    move in the list; the live view shows the cursor's run
 Enter              all about that run, as `frugalwatch show` prints it
 Esc                back; in the live view: follow the newest run again
 /                  list only runs with these words in their command
 u                  Wh (kWh and mWh by size), J, kWh
 Space              stop and go on looking; the run goes on
 q, Ctrl-C          leave. Ctrl-P: themes and more

 ~   a model's figure: not measured, and not part of the measured sum
 +   modelled energy stands beside the measured energy
 ?   below the chart: a device gave no figure there
 -   unknown. 0 is a measured zero

 from power   integrated from a sensor that shows watts
 assumed      no zone is set: the world's average, bounds over its grids
 covered      part of the run's time for which its sensors were read
"""
