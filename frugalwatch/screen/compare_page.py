"""Marked runs side by side, over the whole screen."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from frugalwatch.errors import FrugalWatchError
from frugalwatch.report.attribution import Energy
from frugalwatch.report.compare_runs import QUANTITIES, Comparison, compare_runs, value_of
from frugalwatch.report.compare_text import compare_lines
from frugalwatch.screen.reading import Source
from frugalwatch.screen.records import Look
from frugalwatch.screen.scroll_page import ScrollPage
from frugalwatch.screen.view import Export, Wish
from frugalwatch.screen.words import Unit, energy_text

# Figures of runs that go on change; reading them all again each second would not be cheap.
_AGAIN_NS = 5_000_000_000


class CompareReader:
    """Reads the runs of one comparison; again where one of them goes on."""

    def __init__(self) -> None:
        self._question: object = None
        self._found: Comparison | str = ""
        self._due_ns: int | None = 0

    def look(self, source: Source, question: tuple[tuple[int, str], ...]) -> Comparison | str:
        """The comparison of these runs on these sides; a text says why there is none."""
        now = source.utc_ns()
        if question == self._question and (self._due_ns is None or now < self._due_ns):
            return self._found
        self._question = question
        sides = dict(question)
        try:
            found = compare_runs(source.connection, list(sides), source.settings, sides)
        except FrugalWatchError as error:
            self._found, self._due_ns = error.message, None
            return self._found
        goes_on = any(run.document["state"] == "running" for run in found.runs)
        self._found, self._due_ns = found, now + _AGAIN_NS if goes_on else None
        return found


class ComparePage(ScrollPage):
    """Ratios with intervals, what differs, and the figures of every run."""

    LABEL = "Compare"
    HELP = """\
 The first side that ended well is what others are held against. An interval takes three
 runs on either side, each side of one command; where energy is modelled,
 CPU time is compared. Runs that failed or go on are in no ratio."""
    DEFAULT_CSS = """
    ComparePage #page { height: 1fr; padding: 0; scrollbar-size-vertical: 1; }
    ComparePage Header { display: none; }
    ComparePage #title { height: 1; background: $panel; text-style: bold; }
    """

    def __init__(self, sides: Mapping[int, str]) -> None:
        super().__init__()
        self._question = tuple(sorted(sides.items()))
        self._found: Comparison | None = None
        self._unit: Unit = "Wh"

    def body(self) -> ComposeResult:
        """The text."""
        yield Static(f" Comparison of {len(self._question)} runs", id="title")
        with VerticalScroll(id="page"):
            yield Static(Text("  reading the runs ..."), id="text")

    def on_mount(self) -> None:
        """Look, since a look that was over sooner could not be shown."""
        self.host.look_soon()

    def wish(self) -> Wish:
        """These runs on these sides."""
        return Wish(self.host.number, limit=1, part=CompareReader, question=self._question)

    def show_look(self, look: Look, unit: Unit) -> None:
        """Show this look at the ledger."""
        self._unit = unit
        if isinstance(look.part, str):
            self.query_one("#text", Static).update(Text(f"  {look.part}"))
        elif isinstance(look.part, Comparison):
            self._found = look.part
            self._draw()

    def _draw(self) -> None:
        if self._found is None:
            return
        unit = self._unit

        def in_unit(found: Energy, modelled: bool) -> str:
            return energy_text(found, unit, modelled=modelled)

        text = Text(no_wrap=True, overflow="ellipsis")
        try:
            lines = compare_lines(self._found, self.app.size.width - 2, in_unit)
        except (KeyError, TypeError, ValueError) as error:  # written by another tool, or by hand
            text.append(f"  what is stored about one of them is not complete: {error!r}")
        else:
            for line in lines:
                text.append(f"{line.text}\n", style="bold" if line.is_title else "")
        self.query_one("#text", Static).update(text)

    def on_resize(self, event: events.Resize) -> None:
        """Lay the table out for the new width."""
        del event
        self._draw()

    def export(self) -> Export | None:
        """A row a run."""
        if self._found is None:
            return None
        rows = [
            {
                "side": run.side,
                "run": run.number,
                "run_key": str(run.document["run_id"]),
                "left_out": run.left_out or None,
                "command": " ".join(run.document["command"]),
                "host": str(run.document["host"]),
                "git_commit": run.document.get("git_commit"),
                **{quantity: value_of(run.document, quantity) for quantity in QUANTITIES},
                "estimated_j": value_of(run.document, "estimated_j"),
            }
            for run in self._found.runs
        ]
        about = {
            f"{entry.quantity}_{entry.side}_over_{entry.against}": entry.found.ratio
            for entry in self._found.ratios
            if entry.found is not None
        }
        return Export("comparison", "frugalwatch.screen.comparison/1", rows, about)
