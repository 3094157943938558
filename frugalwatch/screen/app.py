"""The Textual program: looks at the ledger once a second for the view or page that is open.

All reading is done in one thread of its own, so that a locked ledger or a slow disk never holds
up a key. What a look found is a frozen record; views get that and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, TypeVar

from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.screen import Screen as TextualScreen
from textual.widgets import ContentSwitcher

from frugalwatch.screen.commands import palette_commands
from frugalwatch.screen.empty import trouble_lines
from frugalwatch.screen.export_page import ExportPage
from frugalwatch.screen.hangup import end_when_terminal_goes
from frugalwatch.screen.header import Header
from frugalwatch.screen.help import help_text
from frugalwatch.screen.keys import Keys
from frugalwatch.screen.memory import Choices, Memory
from frugalwatch.screen.message import Empty, Notices, notices
from frugalwatch.screen.reading import LedgerWatch
from frugalwatch.screen.records import Look
from frugalwatch.screen.symbols import Symbols, choose_symbols
from frugalwatch.screen.text_page import TextPage
from frugalwatch.screen.themes import THEMES, known_theme
from frugalwatch.screen.view import Page, Surface, View
from frugalwatch.screen.views import VIEWS
from frugalwatch.screen.words import UNITS, Unit

_INTERVAL_S = 1.0
_TALL = 36
_TOLD_S = 8.0
_VIEWS = ", ".join(view.LABEL for view in VIEWS)
_PAUSE = "Stop and go on looking; the run goes on"
_Answer = TypeVar("_Answer")


class Screen(App[None]):
    """The live screen. `number` is the run to show, None: whichever runs. `label`: always shown."""

    TITLE = "FrugalWatch"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - as App declares it
    VERTICAL_BREAKPOINTS = [(0, "-short"), (_TALL, "-tall")]  # noqa: RUF012
    CSS = """
    #views { height: 1fr; }
    DataTable { background: $background; }
    SearchIcon { display: none; }
    .-ascii DataTable, .-ascii VerticalScroll { scrollbar-size: 0 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(place), f"view('{view.ID}')", view.LABEL, tooltip=_VIEWS)
            for place, view in enumerate(VIEWS, start=1)
        ),
        Binding("h,left", "step(-1)", "View beside", show=False),
        Binding("l,right", "step(1)", "View beside", show=False),
        Binding("slash", "filter", "Filter", show=False, tooltip="Filter the list of all runs"),
        Binding("u", "units", "Units", tooltip="Wh and g, J and g, kWh and kg"),
        Binding("e", "export", "Export", tooltip="What is on the screen into a file"),
        Binding("space", "pause", "Pause", tooltip=_PAUSE),
        Binding("T", "theme", "Theme", show=False, tooltip="Dark, light, high contrast"),
        # Where Space marks a line, this is what is left.
        Binding("p", "pause", "Pause", show=False, tooltip=_PAUSE),
        Binding("ctrl+p", "command_palette", "Commands", tooltip="All commands, themes"),
        Binding("question_mark", "help", "Help"),
        Binding("q", "quit", "Quit", tooltip="Leave; runs go on"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
    ]

    def __init__(
        self,
        watch: LedgerWatch,
        *,
        symbols: Symbols = "braille",
        number: int | None = None,
        label: str = "",
        memory: Memory | None = None,
    ) -> None:
        super().__init__()
        self.sub_title = label
        self.animation_level = "none"
        self.symbols = symbols
        self.number = number
        self._memory = memory
        chosen = memory.read() if memory else Choices()
        self.unit: Unit = next((unit for unit in UNITS if unit == chosen.unit), UNITS[0])
        self._watch = watch
        self.utc_ns = watch.utc_ns
        self._paused = False
        self._shown: Look | None = None
        self._told = ""
        self._looking = False
        self._again = False
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = chosen.theme if known_theme(chosen.theme) else THEMES[0].name

    def compose(self) -> ComposeResult:
        """Header, the views of which one is shown, notices, keys."""
        yield Header()
        yield Empty()
        with ContentSwitcher(id="views", initial=VIEWS[0].ID):
            yield VIEWS[0]()
        yield Notices()
        yield Keys()

    async def on_mount(self) -> None:
        """Look for the first time, and then once a second."""
        self.set_class(self.symbols == "ascii", "-ascii")
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.exit)
        self.open_view(VIEWS[0].ID)
        self.theme_changed_signal.subscribe(self, lambda _: self._remember())
        self.set_interval(_INTERVAL_S, self._tick)

    async def on_unmount(self) -> None:
        """Close the ledger in the thread that opened it."""
        await self.read(LedgerWatch.close)
        self._reader.shutdown(wait=False)

    # -- what is open ------------------------------------------------------------------------------

    @property
    def view(self) -> View:
        """The view that is open, or below the open page."""
        name = self.screen_stack[0].query_one("#views", ContentSwitcher).current
        return self.screen_stack[0].query_one(f"#{name}", View)

    @property
    def surface(self) -> Surface:
        """The page that is open, else the view."""
        pages = [screen for screen in self.screen_stack if isinstance(screen, Page)]
        return pages[-1] if pages else self.view

    def _surface_if_any(self) -> Surface | None:
        """What is open; None while the screen is being taken down, and a look may still go on."""
        try:
            return self.surface
        except (NoMatches, IndexError):
            return None

    def open_view(self, name: str, then: str = "") -> None:
        """Open a view by its ID, closing whatever page is open; then do that action of its own."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        switcher = self.screen_stack[0].query_one("#views", ContentSwitcher)
        if switcher.query(f"#{name}"):
            self._switch_to(name, then)
        else:
            self.run_worker(self._load_view(switcher, name, then))

    async def _load_view(self, switcher: ContentSwitcher, name: str, then: str) -> None:
        """Open a view for the first time."""
        view = next(entry for entry in VIEWS if name == entry.ID)()
        view.display = False
        if not switcher.query(f"#{name}"):  # nobody was faster
            await switcher.mount(view)
        self._switch_to(name, then)

    def _switch_to(self, name: str, then: str) -> None:
        home = self.screen_stack[0]
        home.query_one("#views", ContentSwitcher).current = name
        self.view.take_focus()
        home.query_one(Keys).mark_open(name)
        self._show_header()
        self.look_soon()
        if then:
            self.call_later(self.run_action, then, self.view)

    def open_run(self, number: int) -> None:
        """Open the page of one run."""
        from frugalwatch.screen.run_page import RunPage

        self.open_page(RunPage(number))

    def open_page(self, page: Page) -> None:
        """Open a page over the view."""
        self.push_screen(page)
        self.look_soon()

    # -- looking -----------------------------------------------------------------------------------

    @property
    def is_paused(self) -> bool:
        """Whether nobody looks at the ledger just now."""
        return self._paused

    @property
    def shown(self) -> Look | None:
        """The last look without trouble."""
        return self._shown

    def _tick(self) -> None:
        if self._paused:
            self._show_header()
        else:
            self.look_soon()

    def look_soon(self) -> None:
        """Look now, or once more when the look that goes on is done."""
        if self._looking:
            self._again = True
            return
        self._looking = True
        self.run_worker(self._look_once(), exit_on_error=True)

    async def _look_once(self) -> None:
        surface = self._surface_if_any()
        if surface is None:
            self._looking = self._again = False
            return
        wish = surface.wish()
        try:
            look = await self.read(
                lambda watch: watch.look(
                    wish.number,
                    text=wish.text,
                    limit=wish.limit,
                    part=wish.part,
                    question=wish.question,
                )
            )
        finally:
            self._looking = False
        if self.is_running and surface.is_mounted and surface is self._surface_if_any():
            self._show(surface, look)
        if self._again:
            self._again = False
            self.look_soon()

    def read(self, work: Callable[[LedgerWatch], _Answer]) -> Awaitable[_Answer]:
        """Do this in the thread that reads the ledger; a slow disk holds up no key."""
        return asyncio.get_running_loop().run_in_executor(self._reader, work, self._watch)

    # -- showing -----------------------------------------------------------------------------------

    def _show(self, surface: Surface, look: Look) -> None:
        """Show a look. While the ledger cannot be read, what was read last stays."""
        if look.trouble is None:
            self._shown = surface.last = look
        if isinstance(surface, View):
            nothing = trouble_lines(look) if surface.last is None else []
            nothing = nothing or surface.empty_lines(surface.last or look)
            home = self.screen_stack[0]
            home.query_one(Empty).show_lines(nothing)
            if home.query_one("#views").display == bool(nothing):
                home.query_one("#views").display = not nothing
                surface.take_focus()
        else:
            nothing = []
        self._show_notices(look)
        self._show_header()
        if not nothing and look.trouble is None:
            surface.show_look(look, self.unit)

    def _show_header(self) -> None:
        for header in self.surface.screen.query(Header):
            header.show_look(self.surface, self._shown, self.unit, paused=self._paused)

    def _show_notices(self, look: Look | None = None) -> None:
        lines = [self._told] if self._told else []
        lines += notices(look, self._shown)
        for line in self.surface.screen.query(Notices):
            line.tell(lines, 3 if self.size.height >= _TALL else 1)

    def _show_again(self) -> None:
        if self._shown is not None:
            self._show(self.surface, self._shown)
        self.look_soon()

    def tell(self, line: str) -> None:
        """Show a line above the keys for a few seconds."""
        self._told = line
        self._show_notices()
        self.set_timer(_TOLD_S, self._forget)

    def _forget(self) -> None:
        self._told = ""
        self._show_notices()

    # -- keys --------------------------------------------------------------------------------------

    def action_view(self, name: str) -> None:
        """Open a view by its name."""
        self.open_view(name)

    def action_step(self, by: int) -> None:
        """Open the next view, or the one before."""
        places = [view.ID for view in VIEWS]
        self.open_view(places[(places.index(self.view.ID) + by) % len(places)])

    def action_press(self, key: str) -> None:
        """What a click on a key of the last line does."""
        self.simulate_key(key)

    def action_filter(self) -> None:
        """Open the list of all runs with its filter."""
        self.open_view("jobs", then="filter")

    def action_units(self) -> None:
        """Wh, J, kWh, and Wh again."""
        self.unit = UNITS[(UNITS.index(self.unit) + 1) % len(UNITS)]
        self._remember()
        self._show_again()

    def action_theme(self) -> None:
        """The next theme."""
        names = [theme.name for theme in THEMES]
        self.theme = names[(names.index(self.theme) + 1) % len(names)]
        self.tell(f"theme {self.theme}")

    def _remember(self) -> None:
        """Keep the theme and the units for the next time."""
        if self._memory is not None:
            self._memory.write(Choices(self.theme, self.unit))

    def action_pause(self) -> None:
        """Stop looking, or go on."""
        self._paused = not self._paused
        self._tick()

    def action_export(self) -> None:
        """Choose a format for what is on the screen."""
        # The picture is taken before the question covers its last lines.
        self.push_screen(ExportPage(self.surface, self.export_screenshot(title="FrugalWatch")))

    def action_help(self) -> None:
        """Show what the keys and marks mean."""
        if isinstance(self.surface, TextPage):
            return
        self.open_page(TextPage(help_text(type(self.surface), type(self))))

    def get_system_commands(self, screen: TextualScreen[object]) -> Iterable[SystemCommand]:
        """What the palette offers: all that has a key here, and the themes."""
        return palette_commands(self, self.surface)


def open_screen(watch: LedgerWatch, *, number: int | None, symbols: str, label: str = "") -> int:
    """Show the screen until a person leaves it. The exit status."""
    end_when_terminal_goes(0)
    drawn_with = choose_symbols(symbols, os.environ)
    memory = Memory(os.environ)
    Screen(watch, symbols=drawn_with, number=number, label=label, memory=memory).run()
    return 0
