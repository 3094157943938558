"""How far the job is and what it will have used: one line below the chart, if the job told."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static

from frugalwatch.screen.live_words import (
    carbon_and_cost_at_end,
    done_text,
    energy_at_end,
    progress_text,
    time_left,
    time_left_short,
)
from frugalwatch.screen.records import RunNow
from frugalwatch.screen.symbols import Symbols
from frugalwatch.screen.words import Unit, fitting, steps_text

_BAR = 12
_ANY, _GAP = 10_000, "  "
_FULL: dict[Symbols, tuple[str, str]] = {
    "braille": ("⣿", "⣀"),
    "block": ("█", "░"),
    "ascii": ("#", "."),
}


class Progress(Static):
    """Steps or epochs of how many, a bar, and the totals that the job is heading for.

    Hidden for a job that reports no steps and no goal.
    """

    DEFAULT_CSS = "Progress { height: 1; display: none; } Progress.-told { display: block; }"

    def __init__(self, symbols: Symbols) -> None:
        super().__init__(id="progress")
        self._symbols = symbols
        self._line = ""

    def show_run(self, run: RunNow | None, unit: Unit) -> None:
        """Write the line for this run."""
        line = (
            "" if run is None else progress_line(run, unit, self.app.size.width - 2, self._symbols)
        )
        if line == self._line:
            return
        self._line = line
        self.set_class(bool(line), "-told")
        self.update(Text(f" {line}", no_wrap=True, overflow="ellipsis"), layout=False)


def progress_line(run: RunNow, unit: Unit, width: int, symbols: Symbols) -> str:
    """The line in at most `width` columns; empty where there is nothing to tell."""
    heading = run.projection
    if heading is None:
        return steps_text(run.steps)
    told = f"{progress_text(heading)} {bar(heading.share, _BAR, symbols)} {done_text(heading)}"
    at_end, left = energy_at_end(heading, unit), time_left_short(heading)
    if len(fitting([told, at_end, left], _ANY, gap=_GAP)) > width:
        told = f"{progress_text(heading)}, {done_text(heading)}"
    if len(fitting([told, at_end, time_left(heading)], _ANY, gap=_GAP)) <= width:
        left = time_left(heading)
    more = [carbon_and_cost_at_end(run, heading), steps_text(run.steps)]
    return fitting([told, at_end, left, *more], width, gap=_GAP)


def bar(share: float, cells: int, symbols: Symbols) -> str:
    """A share of 0 to 1 as a bar."""
    full, empty = _FULL[symbols]
    done = round(min(1.0, max(0.0, share)) * cells)
    return full * done + empty * (cells - done)
