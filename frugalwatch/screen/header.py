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
    carbon_bounds,
    carbon_text,
    cost_bounds,
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


_ANY = 10_000


class Header(Static):
    """Three lines: the run, its figures, and what they rest on. Nothing is ever cut in two."""

    DEFAULT_CSS = "Header { height: 3; background: $panel; }"

    def __init__(self) -> None:
        super().__init__(id="header")
        self._text = ("", "", "")

    def show_look(self, surface: Surface, look: Look | None, unit: Unit, *, paused: bool) -> None:
        """Write the header for this look: its run, or what the open view says itself."""
        width = self.app.size.width - 2
        now = time.localtime(surface.host.utc_ns() / 1e9)
        clock = ("PAUSED  " if paused else "") + time.strftime("%H:%M:%S", now)
        run = look.run if look else None
        own = surface.heading(surface.last, unit, width) if surface.last else None
        if own is None:
            own = ("", "") if run is None else _lines(run, unit, width)
        name = fitting([self.app.title, self.app.sub_title], width, gap="  ")
        lines = (_title(name, run, width, clock), *own)
        if lines != self._text:
            self._text = lines
            text = Text(no_wrap=True, overflow="ellipsis")
            text.append(f" {lines[0]}\n", style="bold")
            text.append(f" {lines[1]}\n", style="bold")
            text.append(f" {lines[2]}")
            self.update(text, layout=False)


def _title(name: str, run: RunNow | None, width: int, clock: str) -> str:
    if run is None:
        return name.ljust(width - len(clock)) + clock
    known = fitting(
        [
            name,
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


def _lines(run: RunNow, unit: Unit, width: int) -> tuple[str, str]:
    """Power, energy, carbon, cost; and what they rest on. With as many bounds as fit."""
    now = f"{power_now(run)} now" if run.is_running else ""
    modelled = "~ modelled, not measured" if run.estimated is not None else ""
    rest = [modelled, coverage_text(run), steps_text(run.steps)]
    lines = ("", "")
    for bounds in (3, 2, 1, 0):
        power_energy = fitting([now, energy_so_far(run, unit, bounds=bounds > 0)], _ANY)
        figures = [
            power_energy,
            _carbon(run, unit, bounds=bounds > 1),
            *([cost] if (cost := _cost(run, bounds=bounds > 2)) else []),
        ]
        count = len(figures)
        while count > 1 and len(fitting(figures[:count], _ANY)) > width:
            count -= 1
        follow = [*figures[count:], grid_text(run)]
        lines = (fitting(figures[:count], width), fitting([*follow, *rest], width))
        needed = fitting([*follow, *rest[:2]] if bounds == 3 else follow, _ANY)
        if len(power_energy) <= width and len(needed) <= width:
            break
    return lines


def _carbon(run: RunNow, unit: Unit, *, bounds: bool) -> str:
    around = carbon_bounds(run, unit) if bounds else ""
    text = carbon_text(run, unit)
    return f"{text} ({around})" if around else text


def _cost(run: RunNow, *, bounds: bool) -> str:
    around = cost_bounds(run) if bounds else ""
    return f"{cost_text(run)} ({around})" if around else cost_text(run)
