"""The top of the screen: which run, and its totals."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.text import Text
from textual.widgets import Static

from frugalwatch.report.format import command_line, duration
from frugalwatch.screen.records import Look, RunNow
from frugalwatch.screen.words import (
    Unit,
    carbon_text,
    cost_text,
    coverage_text,
    energy_so_far,
    fitting,
    grid_text,
    power_now,
    run_state,
    steps_text,
)

if TYPE_CHECKING:
    from frugalwatch.screen.view import Surface


class Header(Static):
    """Three lines: the run, its figures, and what they rest on. Nothing is ever cut in two."""

    DEFAULT_CSS = "Header { height: 3; background: $panel; }"

    def __init__(self) -> None:
        super().__init__(id="header")
        self._text = ("", "", "")

    def show_look(self, surface: Surface, look: Look | None, unit: Unit, *, paused: bool) -> None:
        """Write the header for this look: its run, or what the open view says itself."""
        width = self.app.size.width - 2
        clock = ("PAUSED  " if paused else "") + time.strftime("%H:%M:%S")
        run = look.run if look else None
        own = surface.heading(look, unit, width) if look else None
        if own is None:
            own = ("", "") if run is None else (_figures(run, unit, width), _grounds(run, width))
        lines = (_title(run, width, clock), *own)
        if lines != self._text:
            self._text = lines
            text = Text(no_wrap=True, overflow="ellipsis")
            text.append(f" {lines[0]}\n", style="bold")
            text.append(f" {lines[1]}\n", style="bold")
            text.append(f" {lines[2]}")
            self.update(text, layout=False)


def _title(run: RunNow | None, width: int, clock: str) -> str:
    if run is None:
        return "FrugalWatch".ljust(width - len(clock)) + clock
    known = fitting(
        [
            "FrugalWatch",
            f"run {run.row.number}",
            run_state(run),
            duration(run.row.duration_s),
            run.host,
        ],
        width - len(clock) - 2,
        gap="  ",
    )
    room = width - len(known) - len(clock) - 4
    command = command_line(list(run.row.command), room) if room >= 12 else ""
    line = f"{known}  {command}" if command else known
    return line.ljust(width - len(clock)) + clock


def _figures(run: RunNow, unit: Unit, width: int) -> str:
    now = [f"{power_now(run)} now"] if run.is_running else []
    whole = [*now, energy_so_far(run, unit), carbon_text(run), cost_text(run)]
    if len(fitting(whole, 10_000)) <= width:
        return fitting(whole, width)
    return fitting(
        [*now, energy_so_far(run, unit, bounds=False), carbon_text(run), cost_text(run)], width
    )


def _grounds(run: RunNow, width: int) -> str:
    return fitting(
        [
            grid_text(run),
            coverage_text(run),
            steps_text(run.steps),
            "~ modelled, not measured" if run.estimated is not None else "",
        ],
        width,
    )
