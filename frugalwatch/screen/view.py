"""What every view and every page of the screen is: one class in one file.

A *view* has a number key and stands in the registry `views.VIEWS`; a *page* covers the screen until
Esc (one run in full, a comparison, help). Both are a `Surface`: the program asks the open one what
it wishes to know, looks at the ledger in another thread, and hands it what was found.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias, TypeVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widget import Widget

from frugalwatch.screen.header import Header
from frugalwatch.screen.keys import Keys
from frugalwatch.screen.message import Notices
from frugalwatch.screen.reading import LedgerWatch, PartFactory
from frugalwatch.screen.records import Look
from frugalwatch.screen.symbols import Symbols
from frugalwatch.screen.words import Unit

_Answer = TypeVar("_Answer")

# One cell of what `e` writes: SI base units, named in the column.
Value: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Wish:
    """What the next look should find.

    `number` is the run to read in full (None: the newest that runs), `text` filters the list of
    `limit` runs. `part` makes a reader of the view's own (see `reading.Part`); what it found for
    `question` is `Look.part`.
    """

    number: int | None = None
    text: str = ""
    limit: int = 20
    part: PartFactory | None = None
    question: object = None


@dataclass(frozen=True, slots=True)
class Export:
    """The rows on the screen for a file: `name` goes into its name, `schema` into the JSON.

    `about` are single facts beside the rows. Keys carry their SI unit.
    """

    name: str
    schema: str
    rows: Sequence[Mapping[str, Value]]
    about: Mapping[str, Value] | None = None


class Host(Protocol):
    """What a view may ask of the program that shows it."""

    number: int | None
    unit: Unit
    symbols: Symbols
    utc_ns: Callable[[], int]

    @property
    def is_paused(self) -> bool:
        """Whether nobody looks at the ledger just now."""

    @property
    def shown(self) -> Look | None:
        """The last look without trouble."""

    def look_soon(self) -> None:
        """Look now, or once more when the look that goes on is done."""

    def read(self, work: Callable[[LedgerWatch], _Answer]) -> Awaitable[_Answer]:
        """Do this in the thread that reads the ledger; a slow disk holds up no key."""

    def open_view(self, name: str) -> None:
        """Open a view by its ID, closing whatever page is open."""

    def open_run(self, number: int) -> None:
        """Open the page of one run."""

    def open_page(self, page: Page) -> None:
        """Open a page over the view."""

    def tell(self, line: str) -> None:
        """Show a line above the keys for a few seconds."""


class Surface(Widget):
    """Base of views and pages. Subclasses set LABEL and HELP, and answer the four questions."""

    LABEL: ClassVar[str] = ""
    # What its marks and figures mean; the keys are added from the bindings.
    HELP: ClassVar[str] = ""
    # The widgets in it that have keys of their own, for help.
    LISTS: ClassVar[tuple[type[Widget], ...]] = ()
    # What it was shown last without trouble; the program sets it.
    last: Look | None = None

    @property
    def host(self) -> Host:
        """The program, as far as a view knows it."""
        return cast(Host, self.app)

    def wish(self) -> Wish:
        """What the next look should find for it."""
        return Wish(number=self.host.number)

    def show_look(self, look: Look, unit: Unit) -> None:
        """Show this look at the ledger; called only without trouble."""
        raise NotImplementedError

    def export(self) -> Export | None:
        """The rows on the screen; None where there is nothing to export."""
        return None

    def heading(self, look: Look, unit: Unit, width: int) -> tuple[str, str] | None:
        """The second and third line of the header; None: those of the chosen run."""
        return None

    def empty_lines(self, look: Look) -> list[str]:
        """What to say, and to do next, where there is nothing to show; else nothing."""
        return []

    def take_focus(self) -> None:
        """Let the keys move in it."""
        self.focus()


class View(Surface, Vertical):
    """A view with a number key. `ID` names it in the program, `LABEL` beside its number."""

    ID: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__(id=self.ID)


class Page(Surface, Screen[None]):
    """Covers the screen until Esc. Subclasses yield their widgets in `body`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Back", key_display="Esc"),
    ]
    DEFAULT_CSS = """
    Page { background: $background; layout: vertical; }
    """

    def compose(self) -> ComposeResult:
        """Header, its own widgets, notices, keys."""
        yield Header()
        yield from self.body()
        yield Notices()
        yield Keys()

    def body(self) -> ComposeResult:
        """The widgets between header and keys."""
        return ()

    def action_close(self) -> None:
        """Back to what was open before."""
        self.dismiss(None)
