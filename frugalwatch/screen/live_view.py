"""View 1: the run that goes on, or the one that was chosen."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from frugalwatch.screen.chart import PowerChart
from frugalwatch.screen.device_table import DeviceTable
from frugalwatch.screen.facts import Facts
from frugalwatch.screen.jobs_table import JobsTable
from frugalwatch.screen.records import Look
from frugalwatch.screen.symbols import Symbols
from frugalwatch.screen.words import Unit

_TALL = 36
# Lines of devices on a short and on a tall screen.
_DEVICES_SHORT, _DEVICES_TALL = 4, 11


class LiveView(Vertical):
    """Chart, devices, and the latest runs."""

    def __init__(self, symbols: Symbols) -> None:
        super().__init__(id="live")
        self._symbols = symbols

    def compose(self) -> ComposeResult:
        """The widgets from top to bottom."""
        with Horizontal(id="upper"):
            yield PowerChart(self._symbols)
            yield Facts()
        yield DeviceTable()
        yield JobsTable(id="recent")

    def show_look(self, look: Look, unit: Unit) -> None:
        """Show this look at the ledger."""
        run = look.run
        self.query_one(PowerChart).show_run(run)
        self.query_one(Facts).show_run(run, unit)
        most = _DEVICES_TALL if self.app.size.height >= _TALL else _DEVICES_SHORT
        self.query_one(DeviceTable).show_run(run, unit, most)
        self.query_one(JobsTable).show_runs(look.runs, unit, run.row.number if run else None)

    def take_focus(self) -> None:
        """Let the keys move in the list of runs."""
        self.query_one(JobsTable).focus()
