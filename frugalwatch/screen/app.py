"""The Textual program: looks at the ledger once a second and shows it in the view that is open.

All reading is done in one thread of its own, so that a locked ledger or a slow disk never holds
up a key. What a look found is a frozen record; widgets get that and nothing else.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, TypeVar

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import ContentSwitcher, Input

from frugalwatch.errors import FrugalWatchError
from frugalwatch.screen.details import HELP, Page
from frugalwatch.screen.header import Header
from frugalwatch.screen.jobs_table import JobsTable
from frugalwatch.screen.jobs_view import MOST_RUNS, JobsView
from frugalwatch.screen.keys import Keys
from frugalwatch.screen.live_view import LiveView
from frugalwatch.screen.message import Empty, Notices
from frugalwatch.screen.reading import LedgerWatch
from frugalwatch.screen.records import Look, Trouble
from frugalwatch.screen.symbols import Symbols, choose_symbols
from frugalwatch.screen.words import UNITS, Unit

_INTERVAL_S = 1.0
_RECENT = 20
_TALL = 36
_Answer = TypeVar("_Answer")


class Screen(App[None]):
    """The live screen. `number` is the run to show, None: whichever runs."""

    TITLE = "FrugalWatch"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - as App declares it
    VERTICAL_BREAKPOINTS = [(0, "-short"), (_TALL, "-tall")]  # noqa: RUF012
    CSS = """
    #views { height: 1fr; }
    #upper { height: 1fr; }
    #recent { height: 5; }
    JobsTable { background: $background; }
    #all { height: 1fr; }
    #count { height: 1; }
    #filter { display: none; height: 1; padding: 0 1; }
    #filter.-open { display: block; }
    #facts { display: none; }
    .-wide #facts { display: block; }
    .-tall #recent { height: 11; }
    .-tall #devices { margin: 1 0; }
    .-ascii DataTable, .-ascii VerticalScroll { scrollbar-size: 0 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "view('live')", "Live", show=False),
        Binding("2", "view('jobs')", "Jobs", show=False),
        Binding("slash", "filter", "Filter", show=False),
        Binding("u", "units", "Units", show=False),
        Binding("space", "pause", "Pause", show=False),
        Binding("question_mark", "help", "Help", show=False),
        Binding("escape", "leave", "Back", show=False),
        Binding("q", "quit", "Quit", show=False),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
    ]

    def __init__(
        self, watch: LedgerWatch, *, symbols: Symbols = "braille", number: int | None = None
    ) -> None:
        super().__init__()
        self.animation_level = "none"
        self._watch = watch
        self._symbols = symbols
        self._number = number
        self._unit: Unit = UNITS[0]
        self._paused = False
        self._filter = ""
        self._shown: Look | None = None
        self._looking = False
        self._again = False
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")

    def compose(self) -> ComposeResult:
        """Header, the views of which one is shown, notices, keys."""
        yield Header()
        yield Empty()
        with ContentSwitcher(id="views", initial="live"):
            yield LiveView(self._symbols)
            yield JobsView()
        yield Notices()
        yield Keys()

    async def on_mount(self) -> None:
        """Look for the first time, and then once a second."""
        self.screen.set_class(self._symbols == "ascii", "-ascii")
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.exit)
        self.query_one(LiveView).take_focus()
        self.set_interval(_INTERVAL_S, self._tick)
        self._look()

    async def on_unmount(self) -> None:
        """Close the ledger in the thread that opened it."""
        await self._in_reader(self._watch.close)
        self._reader.shutdown(wait=False)

    # -- looking -----------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self._paused:
            self._show_header()
        else:
            self._look()

    def _look(self) -> None:
        """Look now, or once more when the look that goes on is done."""
        if self._looking:
            self._again = True
            return
        self._looking = True
        self.run_worker(self._look_once(), exit_on_error=True)

    async def _look_once(self) -> None:
        number, jobs = self._number, self._view == "jobs"
        text, limit = (self._filter, MOST_RUNS) if jobs else ("", _RECENT)
        try:
            look = await self._in_reader(lambda: self._watch.look(number, text=text, limit=limit))
        finally:
            self._looking = False
        if self.is_running and jobs == (self._view == "jobs"):
            self._show(look)
        if self._again:
            self._again = False
            self._look()

    async def _in_reader(self, work: Callable[[], _Answer]) -> _Answer:
        return await asyncio.get_running_loop().run_in_executor(self._reader, work)

    # -- showing -----------------------------------------------------------------------------------

    @property
    def _view(self) -> str:
        return self.query_one("#views", ContentSwitcher).current or "live"

    def _show(self, look: Look) -> None:
        """Show a look. While the ledger cannot be read, what was read last stays."""
        if look.trouble is None:
            self._shown = look
        nothing = self._shown is None or (not self._shown.runs and not self._filter)
        self.query_one(Empty).show_lines(_empty(look) if nothing else [])
        self.query_one("#views").display = not nothing
        self._show_notices(look.trouble)
        self._show_header()
        if self._shown is None or nothing or look.trouble is not None:
            return
        if self._view == "jobs":
            self.query_one(JobsView).show_look(self._shown, self._unit)
        else:
            self.query_one(LiveView).show_look(self._shown, self._unit)

    def _show_header(self) -> None:
        run = self._shown.run if self._shown else None
        self.query_one(Header).show_run(run, self._unit, paused=self._paused)

    def _show_notices(self, trouble: Trouble | None) -> None:
        lines: list[str] = []
        if trouble is not None and self._shown is not None:
            lines.append(f"{trouble.message}; trying again")
        run = self._shown.run if self._shown else None
        if run is not None:
            if run.is_silent:
                lines.append(
                    "nothing was recorded for a while; if the run is gone: frugalwatch recover"
                )
            lines += run.notices
        self.query_one(Notices).tell(lines, 3 if self.size.height >= _TALL else 1)

    def _show_again(self) -> None:
        if self._shown is not None:
            self._show(self._shown)

    # -- keys --------------------------------------------------------------------------------------

    def action_view(self, name: str) -> None:
        """Open a view by its name."""
        self.query_one("#views", ContentSwitcher).current = name
        if name == "jobs":
            self.query_one(JobsView).take_focus()
        else:
            self.query_one(LiveView).take_focus()
        self._look()

    def action_filter(self) -> None:
        """Type a filter for the list of runs."""
        self.action_view("jobs")
        self.query_one(JobsView).open_filter()

    def action_units(self) -> None:
        """Wh, J, kWh, and Wh again."""
        self._unit = UNITS[(UNITS.index(self._unit) + 1) % len(UNITS)]
        self._show_again()

    def action_pause(self) -> None:
        """Stop looking, or go on."""
        self._paused = not self._paused
        self._tick()

    def action_help(self) -> None:
        """Show what the keys and marks mean."""
        self.push_screen(Page(HELP))

    def action_leave(self) -> None:
        """Drop the filter; in the live view follow the newest run again."""
        if self._view == "jobs":
            if not self.query_one(JobsView).clear_filter():
                self.action_view("live")
        else:
            self._number = None
            self._look()

    async def action_open(self) -> None:
        """Show everything about the run of the cursor."""
        if self._shown is not None and self._shown.run is not None:
            await self._open(self._shown.run.row.number)

    @on(JobsTable.Moved)
    def _moved(self, event: JobsTable.Moved) -> None:
        self._number = event.number
        self.query_one(JobsView).stay_at(event.number)
        if not self._paused:
            self._look()

    @on(JobsTable.Opened)
    async def _opened(self, event: JobsTable.Opened) -> None:
        await self._open(event.number)

    @on(Input.Changed, "#filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        self._filter = event.value
        self._look()

    @on(Input.Submitted, "#filter")
    def _filter_kept(self) -> None:
        self.query_one(JobsView).take_focus()

    async def _open(self, number: int) -> None:
        page = Page("  reading the run ...")
        await self.push_screen(page)
        self.run_worker(self._fill(page, number))

    async def _fill(self, page: Page, number: int) -> None:
        text = await self._in_reader(lambda: _run_in_full(self._watch, number))
        if page.is_mounted:
            page.show_text(text)


def _run_in_full(watch: LedgerWatch, number: int) -> str:
    """The text of `frugalwatch show`, or why there is none."""
    from frugalwatch.report.full import full_text
    from frugalwatch.report.style import Style

    try:
        return full_text(watch.document(number), Style(on=False))
    except FrugalWatchError as error:
        return str(error)
    except KeyError as error:
        return f"  what is stored about run {number} is not complete: it has no {error}"


def _empty(look: Look) -> list[str]:
    """What to say, and to do next, where there is nothing to show."""
    if look.trouble is not None and look.trouble.kind != "missing":
        return [look.trouble.message, look.trouble.hint, "", "Trying again every second."]
    return [
        "No run has been recorded yet.",
        "",
        "In another terminal:",
        "",
        "    frugalwatch run -- python train.py",
        "",
        "It shows up here by itself. What this machine can measure:",
        "",
        "    frugalwatch doctor",
        "",
        f"Looking at {look.path}",
    ]


def open_screen(watch: LedgerWatch, *, number: int | None, symbols: str) -> int:
    """Show the screen until a person leaves it. The exit status."""
    import os

    Screen(watch, symbols=choose_symbols(symbols, os.environ), number=number).run()
    return 0
