"""View 4: the machine over days: energy, what it went into, idle GPUs, the grid."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from frugalwatch.screen.empty import no_run_lines
from frugalwatch.screen.list_table import MovingTable
from frugalwatch.screen.machine.grid_chart import GridChart
from frugalwatch.screen.machine.reading import MachinePart
from frugalwatch.screen.machine.records import MachineLook, Period, Tally
from frugalwatch.screen.machine.words import (
    both_text,
    bounds_line,
    bounds_of,
    carbon_text,
    cost_text,
    day_lines,
    energy_rows,
    heading_lines,
    idle_lines,
    measured_text,
    modelled_text,
    no_grid_lines,
    rows_of,
    runs_text,
)
from frugalwatch.screen.records import Look
from frugalwatch.screen.view import Export, Value, View, Wish
from frugalwatch.screen.words import Unit

_WIDE, _TALL = 110, 36
_COLUMNS = (("Energy", 12), ("CO2e", 10), ("Cost", 14), ("Runs", 6))
_SCHEMA = "frugalwatch.screen.machine/1"
_PERIODS = 3
_DAYS_WIDTH = 40


class MachineView(View):
    """Energy by day and by command, GPUs without a job, the grid factor over time."""

    ID = "machine"
    LABEL = "Machine"
    LISTS = (MovingTable,)
    HELP = """\
 Energy       of all devices while runs recorded them; a second that several
              runs recorded counts once. Between runs nobody records
 By command   each run with all that its devices used, also beside other
              runs (*): these lines may add up to more than the sum
 Idle GPUs    measured: runs in which no process used the GPU. ~ between runs
              of one boot: its idle watts (frugalwatch calibrate) times that
 By user      only with by_user in the configuration: it is personal data"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "period", "Period", tooltip="Today, this week, 30 days"),
        Binding("b", "by_user", "By user", tooltip="By user, by command (needs by_user)"),
        Binding("escape", "app.view('live')", "Back to the live view", show=False),
    ]
    SCOPED_CSS = False
    DEFAULT_CSS = """
    MachineView Static { text-wrap: nowrap; text-overflow: ellipsis; }
    MachineView #sums { height: 5; }
    MachineView #what { height: 1; }
    MachineView #middle { height: 1fr; min-height: 3; }
    MachineView #parts { height: 1fr; width: 1fr; }
    MachineView #days { width: 40; padding: 0 1 0 2; display: none; }
    .-wide MachineView #days { display: block; }
    MachineView #idle { height: auto; max-height: 6; }
    MachineView #lower { height: 6; }
    MachineView #nogrid { height: auto; display: none; }
    MachineView .-nogrid #grid { display: none; }
    MachineView .-nogrid #nogrid { display: block; }
    MachineView #lower.-nogrid { height: auto; }
    .-tall MachineView #lower { height: 12; }
    .-tall MachineView #lower.-nogrid { height: auto; }
    .-tall MachineView #what, .-tall MachineView #idle { margin-top: 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._look: MachineLook | None = None
        self._unit: Unit = "Wh"
        self._place = 1
        self._users = False
        self._columns: tuple[object, ...] = ()
        self._rows: list[tuple[str, ...]] = []

    def compose(self) -> ComposeResult:
        """Sums, their parts, idle GPUs, the grid."""
        yield Static(id="sums", markup=False)
        yield Static(id="what", markup=False)
        with Horizontal(id="middle"):
            yield MovingTable(id="parts", cursor_type="row", cell_padding=0)
            yield Static(id="days", markup=False)
        yield Static(id="idle", markup=False)
        with Vertical(id="lower"):
            yield GridChart(self.host.symbols)
            yield Static(id="nogrid", markup=False)

    def wish(self) -> Wish:
        """The sums of the last month."""
        return Wish(self.host.number, limit=1, part=MachinePart)

    def show_look(self, look: Look, unit: Unit) -> None:
        """Show this look at the ledger."""
        if not isinstance(look.part, MachineLook):
            return
        self._look, self._unit = look.part, unit
        self._show()
        grid = look.part.grid
        shows_grid = grid is not None and bool(grid.values)
        self.query_one("#lower").set_class(not shows_grid, "-nogrid")
        if shows_grid:
            self.query_one(GridChart).show_grid(grid, look.part.now_utc_s)
        else:
            carbon = look.run.carbon.get("carbon") if look.run else None
            _write(self.query_one("#nogrid", Static), no_grid_lines(carbon))
        if look.part.read_back_to_utc_s is not None and not self.host.is_paused:
            self.host.look_soon()  # history is read in short looks, one after the other

    def heading(self, look: Look, unit: Unit, width: int) -> tuple[str, str] | None:
        """Today, and how far it is known."""
        if not isinstance(look.part, MachineLook):
            return None
        return heading_lines(look.part, unit, width)

    def empty_lines(self, look: Look) -> list[str]:
        """What to do where no run has been recorded."""
        return [] if look.runs else no_run_lines(look)

    def export(self) -> Export | None:
        """The sums, their parts in the period that is shown, and its idle GPUs."""
        if self._look is None:
            return None
        period = self._period
        rows = [_row("sum", name, name, tally) for name, tally in energy_rows(self._look)]
        rows += [_row("day", _day(begin), None, tally) for begin, tally in self._look.days]
        kind = "user" if self._users else "command"
        parts = rows_of(period, by_user=self._users)
        rows += [_row(kind, name, period.name, tally) for name, tally in parts]
        for gpu in period.idle:
            row = dict.fromkeys(rows[0])
            row |= {"kind": "idle GPU", "name": gpu.key, "period": period.name}
            row["measured_j"], row["measured_low_j"], row["measured_high_j"] = bounds_of(
                gpu.measured
            )
            row["estimated_j"], row["estimated_low_j"], row["estimated_high_j"] = bounds_of(
                gpu.estimated
            )
            rows.append(row | {"unused_in_runs_s": gpu.recorded_s, "between_runs_s": gpu.between_s})
        return Export("machine", _SCHEMA, rows, {"period": period.name})

    def take_focus(self) -> None:
        """Let the keys move in the list of commands."""
        self.query_one(MovingTable).focus()

    def on_resize(self, event: events.Resize) -> None:
        """Fit everything into the new size."""
        del event
        self._columns = ()
        self._show()

    def action_period(self) -> None:
        """Today, this week, 30 days, and today again."""
        self._place = (self._place + 1) % _PERIODS
        self._show()

    def action_by_user(self) -> None:
        """Sums by user, where they are recorded; by command again."""
        if self._look is not None and not self._look.by_user:
            self.host.tell("users are not recorded: by_user in the configuration, personal data")
            return
        self._users = not self._users
        self._show()

    @property
    def _period(self) -> Period:
        assert self._look is not None
        return self._look.periods[self._place]

    def _show(self) -> None:
        look = self._look
        if look is None:
            return
        width = self.app.size.width
        _write(self.query_one("#sums", Static), _sum_lines(look, self._unit, width))
        what = "user" if self._users else "command"
        _write(self.query_one("#what", Static), [f" By {what}, {self._period.name}"], bold=True)
        wide = width >= _WIDE
        self._show_parts(width - (_DAYS_WIDTH if wide else 0))
        if wide:
            lines = day_lines(look, self._unit, self.host.symbols, self.size.height)
            _write(self.query_one("#days", Static), lines)
        most = 6 if self.app.size.height >= _TALL else 3
        lines = idle_lines(self._period, self._unit, width, most - 1)
        title = f" Idle GPUs, {self._period.name}"
        _write(self.query_one("#idle", Static), [title, *lines], title=True)

    def _show_parts(self, width: int) -> None:
        table = self.query_one(MovingTable)
        room = max(12, width - sum(size for _, size in _COLUMNS) - 2)
        name = "User" if self._users else "Command"
        if self._columns != (name, room):
            self._columns, self._rows = (name, room), []
            table.clear(columns=True)
            table.add_column(f" {name}", width=room)
            for title, size in _COLUMNS:
                table.add_column(title.rjust(size), width=size)
        parts = rows_of(self._period, by_user=self._users)
        rows = [_cells(name, tally, self._unit, room) for name, tally in parts]
        if rows == self._rows:
            return
        at = table.cursor_row
        self._rows = rows
        with self.app.batch_update():
            table.clear()
            table.add_rows(rows)
        table.move_cursor(row=min(at, max(0, len(rows) - 1)), animate=False)


def _sum_lines(look: MachineLook, unit: Unit, width: int) -> list[str]:
    head = f" {'Energy':<12}{'measured':>13}{'modelled':>13}{'CO2e':>11}{'Cost':>13}  {'Runs':<16}"
    head += "Bounds" if width >= _WIDE else ""
    lines = [head.rstrip()]
    for name, tally in energy_rows(look):
        line = (
            f" {name:<12}{measured_text(tally, unit):>13}{modelled_text(tally, unit):>13}"
            f"{carbon_text(tally, unit):>11}{cost_text(tally):>13}  {runs_text(tally):<16}"
        )
        line += bounds_line(tally, unit) if width >= _WIDE else ""
        lines.append(line.rstrip()[:width])
    return lines


def _cells(name: str, tally: Tally, unit: Unit, room: int) -> tuple[str, ...]:
    mark = "*" if tally.overlapping else " "
    shown = name if len(name) <= room - 3 else name[: room - 6] + "..."
    texts = (both_text(tally, unit), carbon_text(tally, unit), cost_text(tally), str(tally.runs))
    cells = [text.rjust(size) for text, (_, size) in zip(texts, _COLUMNS, strict=True)]
    return (f" {mark}{shown}", *cells)


def _row(kind: str, name: str, period: str | None, tally: Tally) -> dict[str, Value]:
    measured, estimated = bounds_of(tally.measured), bounds_of(tally.estimated)
    return {
        "kind": kind,
        "name": name,
        "period": period,
        "measured_j": measured[0],
        "measured_low_j": measured[1],
        "measured_high_j": measured[2],
        "estimated_j": estimated[0],
        "estimated_low_j": estimated[1],
        "estimated_high_j": estimated[2],
        "co2e_g": tally.co2e_g,
        "cost": cost_text(tally) or None,
        "runs": tally.runs,
        "runs_without_figure": tally.unknown,
        "runs_overlapping": tally.overlapping,
        "unused_in_runs_s": None,
        "between_runs_s": None,
    }


def _day(begin_utc_s: float) -> str:
    import time

    return time.strftime("%Y-%m-%d", time.localtime(begin_utc_s))


def _write(widget: Static, lines: list[str], *, bold: bool = False, title: bool = True) -> None:
    text = Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
    if lines and (bold or title):
        text.stylize("bold", 0, len(lines[0]))
    if widget.content != text:
        widget.update(text)
