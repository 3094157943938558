"""View 2: all runs, and those that match a filter."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Static

from frugalwatch.screen.jobs_table import JobsTable
from frugalwatch.screen.records import Look
from frugalwatch.screen.words import Unit

MOST_RUNS = 500


class JobsView(Vertical):
    """The list of runs with a line to filter it by words of the command."""

    def __init__(self) -> None:
        super().__init__(id="jobs")
        self._at: int | None = None

    def compose(self) -> ComposeResult:
        """The widgets from top to bottom."""
        yield JobsTable(id="all")
        yield Static(id="count", markup=False)
        yield Input(
            placeholder="words of the command; Enter keeps, Esc clears", id="filter", compact=True
        )

    def show_look(self, look: Look, unit: Unit) -> None:
        """Show this look at the ledger."""
        at = self._at if self._at is not None else (look.run.row.number if look.run else None)
        self.query_one(JobsTable).show_runs(look.runs, unit, at)
        text = self.query_one(Input).value
        count = len(look.runs)
        which = f" with {text!r}" if text else ""
        more = f", the latest {MOST_RUNS}" if count >= MOST_RUNS else ""
        self.query_one("#count", Static).update(
            f" {count} run{'s' * (count != 1)}{which}{more}", layout=False
        )

    def stay_at(self, number: int) -> None:
        """Keep the cursor on this run from look to look."""
        self._at = number

    def open_filter(self) -> None:
        """Let a person type a filter."""
        line = self.query_one(Input)
        line.add_class("-open")
        line.focus()

    def clear_filter(self) -> bool:
        """Drop the filter; False if there was none."""
        line = self.query_one(Input)
        was_open = line.has_class("-open")
        line.value = ""
        line.remove_class("-open")
        self.take_focus()
        return was_open

    def take_focus(self) -> None:
        """Let the keys move in the list of runs."""
        self.query_one(JobsTable).focus()
