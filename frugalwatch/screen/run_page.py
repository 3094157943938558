"""One run in full, over the whole screen: sections that scroll, one tab for each."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from frugalwatch.report.window import Span
from frugalwatch.screen.one_run import sections
from frugalwatch.screen.one_run.detail import RunDetail, RunQuestion, RunReader
from frugalwatch.screen.one_run.drawing import columns_for
from frugalwatch.screen.one_run.export import detail_rows
from frugalwatch.screen.records import Look, RunNow
from frugalwatch.screen.scroll_page import ScrollPage
from frugalwatch.screen.view import Export, Wish
from frugalwatch.screen.words import Unit

_TALL = 36
_CHART_SHORT, _CHART_TALL = 8, 14
_ZOOM = 2
_PAN = 4  # a quarter of what is shown
_SHORTEST_NS = 2_000_000_000


class RunPage(ScrollPage):
    """The page of one run. Tab goes from section to section, + and - zoom into its power."""

    LABEL = "Run"
    HELP = """\
 Power is the mean of each column of the chart; ? below it: a device gave no
 figure there. The bars below are the job's phases, a line for each depth.

 device       energy of the devices while the job ran, whoever used it
 above idle   less what they would have used with nothing to do
 job's share  of that, by the job's part of the busy time
 > marks the one to quote: device on a machine of its own, else the share"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "section(1)", "Section"),
        Binding("shift+tab", "section(-1)", "Section before", show=False),
        Binding("plus,equals_sign", "zoom(1)", "Zoom", key_display="+ -"),
        Binding("minus", "zoom(-1)", "Zoom out", show=False),
        Binding("0", "whole", "Show the whole run", show=False),
        Binding("h,left", "pan(-1)", "Earlier", show=False),
        Binding("l,right", "pan(1)", "Later", show=False),
        Binding("right_square_bracket,n", "step(1)", "Next run", show=False),
        Binding("left_square_bracket,p", "step(-1)", "Run before", show=False),
    ]
    DEFAULT_CSS = """
    RunPage #tabs { height: 1; }
    RunPage #page { height: 1fr; padding: 0; scrollbar-size-vertical: 1; }
    RunPage #text { width: 100%; }
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number
        self._window: Span | None = None
        self._detail: RunDetail | None = None
        self._run: RunNow | None = None
        self._lines: list[Text] = []
        self._starts: list[int] = []
        self._section = 0

    def body(self) -> ComposeResult:
        """The tabs and the text."""
        yield Static(id="tabs")
        with VerticalScroll(id="page"):
            yield Static(Text("  reading the run ..."), id="text")

    def on_mount(self) -> None:
        """Follow the scrolling with the tabs."""
        self.watch(self.query_one("#page"), "scroll_y", self._scrolled, init=False)
        self._show_tabs()

    # -- reading and showing -----------------------------------------------------------------------

    def wish(self) -> Wish:
        """This run, over the stretch of time and in the columns that are seen."""
        columns = columns_for(self._width, self.host.symbols)
        question = RunQuestion(self._number, self._window, columns)
        return Wish(self._number, limit=1, part=RunReader, question=question)

    @property
    def _width(self) -> int:
        """Columns of text: the last one is the scroll bar's."""
        return max(20, self.app.size.width - 1)

    def show_look(self, look: Look, unit: Unit) -> None:
        """Show this look at the ledger."""
        if isinstance(look.part, str):
            self._write([Text(f"  {look.part}")], [0])
        if not isinstance(look.part, RunDetail) or look.run is None:
            return
        if look.run.row.number != self._number:
            return  # asked for the run before
        self._detail, self._run = look.part, look.run
        self._draw(unit)

    def _draw(self, unit: Unit) -> None:
        if self._detail is None or self._run is None:
            return
        tall = self.app.size.height >= _TALL
        how = sections.Look(
            self._width, _CHART_TALL if tall else _CHART_SHORT, self.host.symbols, unit
        )
        try:
            found = sections.sections(self._detail, self._run, how)
        except (KeyError, TypeError, ValueError) as error:  # written by another tool, or by hand
            text = f"  what is stored about run {self._number} is not complete: {error!r}"
            self._write([Text(text)], [0])
            return
        lines: list[Text] = []
        starts = []
        for section in found:
            starts.append(len(lines))
            lines += [*section, Text("")]
        # So that the title of the last section, too, can stand at the top.
        room = self.query_one("#page").size.height - (len(lines) - starts[-1])
        self._write(lines + [Text("")] * max(0, room), starts)

    def _write(self, lines: list[Text], starts: list[int]) -> None:
        if lines == self._lines:
            return
        tall = len(lines) != len(self._lines)
        self._lines, self._starts = lines, starts
        text = Text("\n", no_wrap=True, overflow="ellipsis", end="").join(lines)
        text.no_wrap, text.overflow = True, "ellipsis"
        self.query_one("#text", Static).update(text, layout=tall)
        self._show_tabs()

    def on_resize(self, event: events.Resize) -> None:
        """Draw for the new width; the chart has other columns now."""
        del event
        self._draw(self.host.unit)
        self.host.look_soon()

    def _show_tabs(self) -> None:
        text = Text(" ", no_wrap=True, overflow="ellipsis")
        for place, name in enumerate(sections.NAMES):
            style = "bold reverse" if place == self._section else ""
            text.append(f" {name} ", style=style)
            text.append(" ")
        if self._run is not None:
            which = f"run {self._number}"
            room = self._width - text.cell_len - len(which)
            if room > 0:
                text.append(" " * room + which)
        self.query_one("#tabs", Static).update(text, layout=False)

    def _scrolled(self) -> None:
        """Mark the section whose title is at the top, or above it."""
        page = self.query_one("#page", VerticalScroll)
        if self._starts:
            top = round(page.scroll_y)
            self._section = max(i for i, start in enumerate(self._starts) if start <= top or not i)
            self._show_tabs()

    def export(self) -> Export | None:
        """The phases, devices, metrics and events of the run."""
        return None if self._detail is None else detail_rows(self._detail.document)

    # -- keys --------------------------------------------------------------------------------------

    def action_section(self, by: int) -> None:
        """Go to the next section, or the one before."""
        if not self._starts:
            return
        self._section = (self._section + by) % len(self._starts)
        page = self.query_one("#page", VerticalScroll)
        page.scroll_to(y=self._starts[self._section], animate=False, immediate=True)
        self._show_tabs()

    def on_click(self, event: events.Click) -> None:
        """A click on a tab goes to its section."""
        if event.widget is not None and event.widget.id == "tabs":
            left = 1
            for place, name in enumerate(sections.NAMES):
                if left <= event.x < left + len(name) + 2:
                    self.action_section(place - self._section)
                left += len(name) + 3

    def action_zoom(self, by: int) -> None:
        """Show half of the time, or twice as much, around the middle of what is seen."""
        if self._detail is None:
            return
        shown, whole = self._detail.window, self._detail.whole
        length = shown.length // _ZOOM if by > 0 else shown.length * _ZOOM
        length = max(min(_SHORTEST_NS, whole.length), length)
        self._look_at(shown.begin + shown.length // 2 - length // 2, length)

    def action_pan(self, by: int) -> None:
        """Move what is seen by a quarter."""
        if self._detail is not None and self._window is not None:
            shown = self._detail.window
            self._look_at(shown.begin + by * shown.length // _PAN, shown.length)

    def action_whole(self) -> None:
        """Show the whole run."""
        self._window = None
        self.host.look_soon()

    def _look_at(self, begin: int, length: int) -> None:
        assert self._detail is not None
        whole = self._detail.whole
        if length >= whole.length:
            self._window = None
        else:
            begin = min(max(whole.begin, begin), whole.end - length)
            self._window = Span(begin, begin + length)
        self.query_one("#page", VerticalScroll).scroll_home(animate=False)
        self.host.look_soon()

    def action_step(self, by: int) -> None:
        """Open the next run of the ledger, or the one before, at the same section."""
        found = self._detail
        number = None if found is None else found.after if by > 0 else found.before
        if number is None:
            self.host.tell("there is no further run that way")
            return
        self._number, self._window, self._detail = number, None, None
        self.host.number = number
        self.host.look_soon()
