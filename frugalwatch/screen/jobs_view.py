"""View 2: all runs, sorted by any column, filtered by words and properties, marked to compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from frugalwatch.screen.compare_page import ComparePage
from frugalwatch.screen.empty import no_run_lines
from frugalwatch.screen.export_rows import run_rows
from frugalwatch.screen.jobs.all_runs import RunEntry
from frugalwatch.screen.jobs.jobs_reader import JobsLook, JobsReader
from frugalwatch.screen.jobs.run_filter import SYNTAX
from frugalwatch.screen.jobs.runs_table import RunsTable
from frugalwatch.screen.records import Look
from frugalwatch.screen.view import Export, View, Wish
from frugalwatch.screen.words import Unit, fitting, joules


class JobsView(View):
    """The list of runs with a line to filter it by."""

    ID = "jobs"
    LABEL = "Jobs"
    LISTS = (RunsTable,)
    HELP = f"""\
 A click on a column's name sorts by it, another one turns the order.
 Space marks a run A, again B, again not; c compares what is marked: B with A,
 or, where all are A, each version of a command with the oldest one.

 The filter, behind /
{SYNTAX.rstrip()}"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("c", "compare", "Compare"),
        Binding("escape", "leave", "Drop the filter, then the marks; back", show=False),
    ]
    SCOPED_CSS = False  # as everywhere: classes of the terminal's size stand around a view
    DEFAULT_CSS = """
    JobsView #count { height: 1; }
    JobsView #filter { display: none; height: 1; padding: 0 1; }
    JobsView #filter.-open { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._found = JobsLook((), 0)

    def compose(self) -> ComposeResult:
        """The widgets from top to bottom."""
        yield RunsTable(ascii_only=self.host.symbols == "ascii")
        yield Static(id="count", markup=False)
        yield Input(
            placeholder="words, state:failed, date:today, energy>1Wh; ? has more; Esc clears",
            id="filter",
            compact=True,
        )

    def wish(self) -> Wish:
        """All runs that the filter keeps, and in full the run of the cursor."""
        text = self.query_one(Input).value
        return Wish(self.host.number, limit=1, part=JobsReader, question=text)

    def show_look(self, look: Look, unit: Unit) -> None:
        """Show this look at the ledger."""
        if not isinstance(look.part, JobsLook):
            return  # it was made for the view that was open before
        self._found = look.part
        at = look.run.row.number if look.run else None
        table = self.query_one(RunsTable)
        table.show_entries(look.part.entries, unit, at)
        self._show_count(unit)

    def _show_count(self, unit: Unit) -> None:
        found, table = self._found, self.query_one(RunsTable)
        kept = len(found.entries)
        count = f"{found.total} run{'s' * (found.total != 1)}"
        parts = [count if kept == found.total else f"{kept} of {count}"]
        typing = "Enter keeps it, Esc drops it" if self.query_one(Input).has_focus else ""
        parts += [found.said, _marked(table), typing, _sum(found.entries, unit)]
        self.query_one("#count", Static).update(
            f" {fitting(parts, self.app.size.width - 2)}", layout=False
        )

    def export(self) -> Export | None:
        """The runs of the list, in its order."""
        entries = self.query_one(RunsTable).entries
        return run_rows([entry.row for entry in entries]) if entries else None

    def empty_lines(self, look: Look) -> list[str]:
        """What to do where no run has been recorded."""
        return [] if look.runs or self.query_one(Input).value else no_run_lines(look)

    def take_focus(self) -> None:
        """Let the keys move in the list of runs."""
        self.query_one(RunsTable).focus()

    # -- keys --------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        """Let a person type a filter."""
        line = self.query_one(Input)
        line.add_class("-open")
        line.focus()

    def action_leave(self) -> None:
        """Drop the filter, else the marks; without either go back to the live view."""
        line, table = self.query_one(Input), self.query_one(RunsTable)
        if line.has_class("-open"):
            line.value = ""
            line.remove_class("-open")
            self.take_focus()
        elif table.marks:
            table.action_unmark()
        else:
            self.host.open_view("live")

    def action_compare(self) -> None:
        """Compare the marked runs; with one mark, the run of the cursor with it."""
        table = self.query_one(RunsTable)
        marks = dict(table.marks)
        if len(marks) == 1 and table.current is not None:
            marks.setdefault(table.current.number, "B" if "A" in marks.values() else "A")
        if len(marks) < 2:
            self.host.tell("mark two runs or more with Space, then press c")
            return
        self.host.open_page(ComparePage(marks))

    @on(RunsTable.Moved)
    def _moved(self, event: RunsTable.Moved) -> None:
        """The header shows the run of the cursor."""
        event.stop()
        self.host.number = event.number
        if not self.host.is_paused:
            self.host.look_soon()

    @on(RunsTable.Opened)
    def _opened(self, event: RunsTable.Opened) -> None:
        event.stop()
        self.host.open_run(event.number)

    @on(RunsTable.Changed)
    def _changed(self, event: RunsTable.Changed) -> None:
        event.stop()
        self._show_count(self.host.unit)

    @on(Input.Changed, "#filter")
    def _filter_changed(self) -> None:
        self.host.look_soon()

    @on(Input.Submitted, "#filter")
    def _filter_kept(self) -> None:
        self.take_focus()


def _marked(table: RunsTable) -> str:
    """`marked: 2 A, 1 B: c compares`; empty without marks."""
    sides = list(table.marks.values())
    counts = [f"{sides.count(side)} {side}" for side in ("A", "B") if side in sides]
    more = ": c compares" if len(sides) > 1 else ""
    return f"marked: {', '.join(counts)}{more}" if counts else ""


def _sum(entries: Sequence[RunEntry], unit: Unit) -> str:
    """The energy of the listed runs; what was measured and what was modelled stay two figures."""
    measured = [e.row.energy_j for e in entries if e.row.energy_j is not None]
    modelled = [e.row.estimated_j for e in entries if e.row.estimated_j is not None]
    parts = []
    if measured:
        parts.append(joules(sum(measured), 3, unit))
    if modelled:
        parts.append(f"~{joules(sum(modelled), 2, unit)}")
    return f"together {' + '.join(parts)}" if parts and len(entries) > 1 else ""
