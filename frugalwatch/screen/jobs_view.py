"""View 2: all runs, and those that match a filter."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from frugalwatch.ledger.queries import RunRow
from frugalwatch.screen.empty import no_run_lines
from frugalwatch.screen.export_rows import run_rows
from frugalwatch.screen.jobs_table import JobsTable
from frugalwatch.screen.records import Look
from frugalwatch.screen.view import Export, View, Wish
from frugalwatch.screen.words import Unit

MOST_RUNS = 500


class JobsView(View):
    """The list of runs with a line to filter it by words of the command."""

    ID = "jobs"
    LABEL = "Jobs"
    LISTS = (JobsTable,)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("escape", "leave", "Drop the filter; back to the live view", show=False),
    ]
    SCOPED_CSS = False  # `.-wide` and `.-tall` stand on what is around it
    DEFAULT_CSS = """
    JobsView #all { height: 1fr; }
    JobsView #count { height: 1; }
    JobsView #filter { display: none; height: 1; padding: 0 1; }
    JobsView #filter.-open { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._at: int | None = None
        self._runs: tuple[RunRow, ...] = ()

    def compose(self) -> ComposeResult:
        """The widgets from top to bottom."""
        yield JobsTable(id="all")
        yield Static(id="count", markup=False)
        yield Input(
            placeholder="words of the command; Enter keeps, Esc clears", id="filter", compact=True
        )

    def wish(self) -> Wish:
        """All runs that match the filter."""
        return Wish(self.host.number, text=self.query_one(Input).value, limit=MOST_RUNS)

    def show_look(self, look: Look, unit: Unit) -> None:
        """Show this look at the ledger."""
        self._runs = look.runs
        at = self._at if self._at is not None else (look.run.row.number if look.run else None)
        self.query_one(JobsTable).show_runs(look.runs, unit, at)
        text = self.query_one(Input).value
        count = len(look.runs)
        which = f" with {text!r}" if text else ""
        more = f", the latest {MOST_RUNS}" if count >= MOST_RUNS else ""
        self.query_one("#count", Static).update(
            f" {count} run{'s' * (count != 1)}{which}{more}", layout=False
        )

    def export(self) -> Export | None:
        """The runs of the list."""
        return run_rows(self._runs) if self._runs else None

    def empty_lines(self, look: Look) -> list[str]:
        """What to do where no run has been recorded."""
        return [] if look.runs or self.query_one(Input).value else no_run_lines(look)

    def take_focus(self) -> None:
        """Let the keys move in the list of runs."""
        self.query_one(JobsTable).focus()

    def action_filter(self) -> None:
        """Let a person type a filter."""
        line = self.query_one(Input)
        line.add_class("-open")
        line.focus()

    def action_leave(self) -> None:
        """Drop the filter; without one go back to the live view."""
        line = self.query_one(Input)
        was_open = line.has_class("-open")
        line.value = ""
        line.remove_class("-open")
        self.take_focus()
        if not was_open:
            self.host.open_view("live")

    def on_jobs_table_moved(self, event: JobsTable.Moved) -> None:
        """Keep the cursor on this run from look to look; the header shows it."""
        event.stop()
        self._at = self.host.number = event.number
        self.host.look_soon()

    def on_jobs_table_opened(self, event: JobsTable.Opened) -> None:
        """Open the run of the cursor."""
        event.stop()
        self.host.open_run(event.number)

    @on(Input.Changed, "#filter")
    def _filter_changed(self) -> None:
        self.host.look_soon()

    @on(Input.Submitted, "#filter")
    def _filter_kept(self) -> None:
        self.take_focus()
