"""View 1: the run that goes on, or the one that was chosen."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from frugalwatch.screen.chart import PowerChart
from frugalwatch.screen.device_table import DeviceTable
from frugalwatch.screen.empty import no_run_lines
from frugalwatch.screen.export_rows import device_rows
from frugalwatch.screen.facts import Facts
from frugalwatch.screen.jobs_table import JobsTable
from frugalwatch.screen.progress import Progress
from frugalwatch.screen.records import Look, RunNow
from frugalwatch.screen.view import Export, View
from frugalwatch.screen.words import Unit

_TALL = 36
# Lines of devices on a short and on a tall screen.
_DEVICES_SHORT, _DEVICES_TALL = 6, 11


class LiveView(View):
    """Chart, devices, and the latest runs."""

    ID = "live"
    LABEL = "Live"
    HELP = """\
 ?   below the chart: a device gave no figure there
 The list below shows the latest runs; the view shows the run of the cursor."""
    LISTS = (JobsTable,)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "follow", "Follow the newest run again", show=False),
    ]
    SCOPED_CSS = False  # `.-wide` and `.-tall` stand on what is around it
    DEFAULT_CSS = """
    LiveView #upper { height: 1fr; }
    LiveView #recent { height: 5; }
    LiveView #facts { display: none; }
    .-wide LiveView #facts { display: block; }
    .-tall LiveView #recent { height: 11; }
    .-tall LiveView #devices { margin: 1 0; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._run: RunNow | None = None

    def compose(self) -> ComposeResult:
        """The widgets from top to bottom."""
        with Horizontal(id="upper"):
            yield PowerChart(self.host.symbols)
            yield Facts()
        yield Progress(self.host.symbols)
        yield DeviceTable(self.host.symbols)
        yield JobsTable(id="recent")

    def show_look(self, look: Look, unit: Unit) -> None:
        """Show this look at the ledger."""
        run = self._run = look.run
        self.query_one(PowerChart).show_run(run)
        self.query_one(Facts).show_run(run, unit)
        self.query_one(Progress).show_run(run, unit)
        most = _DEVICES_TALL if self.app.size.height >= _TALL else _DEVICES_SHORT
        self.query_one(DeviceTable).show_run(run, unit, most)
        self.query_one(JobsTable).show_runs(look.runs, unit, run.row.number if run else None)

    def export(self) -> Export | None:
        """The devices of the run that is shown."""
        if self._run is None:
            return None
        return device_rows(self._run)

    def empty_lines(self, look: Look) -> list[str]:
        """What to do where no run has been recorded."""
        return [] if look.runs else no_run_lines(look)

    def take_focus(self) -> None:
        """Let the keys move in the list of runs."""
        self.query_one(JobsTable).focus()

    def on_jobs_table_moved(self, event: JobsTable.Moved) -> None:
        """Show the run of the cursor from now on."""
        event.stop()
        self.host.number = event.number
        self.host.look_soon()

    def on_jobs_table_opened(self, event: JobsTable.Opened) -> None:
        """Open the run of the cursor."""
        event.stop()
        self.host.open_run(event.number)

    def action_follow(self) -> None:
        """Show the newest run again, whichever that is."""
        self.host.number = None
        self.host.look_soon()
